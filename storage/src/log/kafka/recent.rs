//! The last records, in memory: whoever follows the log closely reads nothing twice from the brokers.

use std::collections::VecDeque;

use yingku_core::ids::Position;

use crate::log::{LogRecord, as_many_as_fit};

/// Payload that is kept; some thousand pushes.
const RECENT_BYTES: usize = 16 * 1024 * 1024;

/// The records before `next`, as many as fit, without gaps.
pub struct Recent {
    records: VecDeque<LogRecord>,
    bytes: usize,
    next: Position,
}

impl Recent {
    pub fn new(next: Position) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            next,
        }
    }

    pub fn push(&mut self, record: LogRecord) {
        self.bytes += record.bytes.len();
        self.next = record.position.next();
        self.records.push_back(record);
        while self.bytes > RECENT_BYTES
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Records from a position on; `None` if that one is not here.
    pub fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Option<Vec<LogRecord>> {
        let first = self.next.0 - self.records.len() as u64;
        let index = usize::try_from(from.0.checked_sub(first)?).ok()?;
        let records = self.records.range(index.min(self.records.len())..).cloned();
        Some(as_many_as_fit(records, max_records, max_bytes))
    }

    pub fn get(&self, position: Position) -> Option<LogRecord> {
        self.read(position, 1, 0)?.pop()
    }
}
