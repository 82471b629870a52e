//! Where a reader of the feed has come to, as it keeps it: sealed, so that nobody makes up positions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use yingku_core::envelope::Envelope;
use yingku_core::ids::{ExamKey, Position};
use yingku_storage::keys::{ClusterKey, Purpose};
use yingku_storage::log::{EventLog, LogError};

use crate::error::Failure;

/// Characters of a cursor: an exam's key and some numbers are 500 bytes at most, and Base64 makes a third more of them.
pub const CURSOR_LIMIT: usize = 1_024;

/// A place among the lines of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Changes of records before this position are told.
    pub next: Position,
    /// Of the record at `next`, lines up to this exam's are told as well: one record may change many exams.
    pub told: Option<ExamKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub place: Place,
    /// Id of the record before `place.next`: another log has another one there.
    record: [u8; 16],
    /// Of the app and what it asks for: a cursor does not continue another question.
    pub question: u64,
    /// Of what the reader might see when it began: when that is no longer so, its copy lacks what became visible.
    pub rights: u64,
}

impl Cursor {
    /// Reads the log, so it blocks.
    pub fn at(
        place: Place,
        log: &dyn EventLog,
        question: u64,
        rights: u64,
    ) -> Result<Self, LogError> {
        Ok(Self {
            record: record_before(log, place.next)?.unwrap_or_default(),
            place,
            question,
            rights,
        })
    }

    /// Whether the log is the one in which this place is. Reads it, so it blocks.
    pub fn is_of(&self, log: &dyn EventLog) -> Result<bool, LogError> {
        Ok(record_before(log, self.place.next)? == Some(self.record))
    }

    pub fn seal(&self, key: &ClusterKey) -> Result<String, Failure> {
        let plain = serde_json::to_vec(self).map_err(|error| Failure::internal(&error))?;
        Ok(URL_SAFE_NO_PAD.encode(key.seal_bytes(Purpose::Feed, &plain)?))
    }

    /// `None`: it is not one of this cluster's, or was changed.
    pub fn open(key: &ClusterKey, text: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = key.open_bytes(Purpose::Feed, &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

/// `None`: the log does not reach so far. Zeros stand before the first record.
fn record_before(log: &dyn EventLog, position: Position) -> Result<Option<[u8; 16]>, LogError> {
    let Some(before) = position.0.checked_sub(1) else {
        return Ok(Some([0; 16]));
    };
    let record = log.get(Position(before))?;
    Ok(record.and_then(|record| Envelope::id_of(&record.bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use yingku_core::ids::{ExamNo, HospitalCode};
    use yingku_storage::log::MemoryLog;

    use super::*;

    #[test]
    fn a_cursor_of_the_longest_key_fits_and_opens_only_as_a_cursor() {
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let place = Place {
            next: Position(u64::MAX),
            told: Some(ExamKey {
                hospital: HospitalCode::new("9".repeat(32)).unwrap(),
                exam_no: ExamNo::new("检".repeat(32)).unwrap(),
                generation: u16::MAX,
            }),
        };
        let log = MemoryLog::new();
        let cursor = Cursor::at(place, &log, u64::MAX, u64::MAX).unwrap();
        let sealed = cursor.seal(&key).unwrap();
        assert!(sealed.len() <= CURSOR_LIMIT, "{}", sealed.len());
        assert_eq!(Cursor::open(&key, &sealed), Some(cursor.clone()));
        let plain = serde_json::to_vec(&cursor).unwrap();
        let page = URL_SAFE_NO_PAD.encode(key.seal_bytes(Purpose::Page, &plain).unwrap());
        assert_eq!(Cursor::open(&key, &page), None);
        // The log is shorter than that: it is another one.
        assert!(!cursor.is_of(&log).unwrap());
        let start = Cursor::at(Place::default(), &log, 0, 0).unwrap();
        assert!(start.is_of(&log).unwrap());
    }
}
