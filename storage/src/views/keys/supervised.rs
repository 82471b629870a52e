//! Lines of [`View::Supervised`](super::View::Supervised): what supervision asks of exams, by hospital and day.

use yingku_core::ids::{ExamNo, HospitalCode};
use yingku_core::supervision::SupervisedKey;

use super::{Key, Parts};

/// A line.
pub fn line(key: &SupervisedKey) -> Vec<u8> {
    Key::default()
        .text(key.hospital.as_str())
        .text(&key.date)
        .text(key.exam_no.as_str())
        .u16(key.generation)
        .done()
}

/// The exam of a line.
pub fn read(key: &[u8]) -> Option<SupervisedKey> {
    let mut parts = Parts(key);
    Some(SupervisedKey {
        hospital: HospitalCode::new(parts.text()?).ok()?,
        date: parts.text()?.to_owned(),
        exam_no: ExamNo::new(parts.text()?).ok()?,
        generation: parts.u16()?,
    })
}
