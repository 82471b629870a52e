//! Lines of [`View::PatientKeys`](super::View::PatientKeys): from documents and cards to exams.

use yingku_core::identity::PersonKey;
use yingku_core::ids::ExamKey;

use super::{Key, Parts};

/// Bytes of a digest: it has no end of its own, since all are as long.
const DIGEST_BYTES: usize = 16;

/// A line.
pub fn line(person: PersonKey, exam: &ExamKey) -> Vec<u8> {
    Key::default().digest(person.as_bytes()).exam(exam).done()
}

/// Beginning of the lines of a document or card.
pub fn of_person(person: PersonKey) -> Vec<u8> {
    Key::default().digest(person.as_bytes()).done()
}

/// The exam of a line.
pub fn exam_of(line: &[u8]) -> Option<ExamKey> {
    Parts(line.get(DIGEST_BYTES..)?).exam()
}
