//! Lines of [`View::Changes`](super::View::Changes): which exams changed, in the order of the log.

use yingku_core::ids::{ExamKey, Position};

use super::{Key, Parts};

/// A line.
pub fn line(position: Position, exam: &ExamKey) -> Vec<u8> {
    Key::default().u64(position.0).exam(exam).done()
}

/// What a line says.
pub fn read(key: &[u8]) -> Option<(Position, ExamKey)> {
    let (position, exam) = key.split_first_chunk()?;
    let exam = Parts(exam).exam()?;
    Some((Position(u64::from_be_bytes(*position)), exam))
}

/// What a line of [`View::History`](super::View::History) says, its content aside.
pub fn history_of(key: &[u8]) -> Option<(ExamKey, Position)> {
    let (exam, position) = key.split_last_chunk()?;
    let exam = Parts(exam).exam()?;
    Some((exam, Position(u64::from_be_bytes(*position))))
}

/// Beginning of all lines from a position on.
pub fn from(position: Position) -> Vec<u8> {
    Key::default().u64(position.0).done()
}
