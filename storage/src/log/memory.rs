//! A log that lasts as long as the process: for tests of what stands above the log.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;
use yingku_core::ids::Position;

use super::{
    BoxFuture, EventLog, LogError, LogHealth, LogRecord, as_many_as_fit, at_their_places, unix_ms,
};

/// Keeps the contract of [`EventLog`] except that it survives nothing.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    records: Mutex<Vec<LogRecord>>,
    end: watch::Sender<Position>,
}

impl MemoryLog {
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                records: Mutex::new(Vec::new()),
                end: watch::Sender::new(Position(0)),
            }),
        }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn push(&self, bytes: Bytes, time_ms: i64) -> Position {
        let mut records = self.records.lock();
        let position = Position(records.len() as u64);
        let previous_ms = records.last().map_or(i64::MIN, |r| r.time_ms);
        records.push(LogRecord {
            position,
            time_ms: time_ms.max(previous_ms),
            bytes,
        });
        // Under the lock, so that the watched end never goes back.
        self.end.send_replace(position.next());
        position
    }
}

impl EventLog for MemoryLog {
    fn append(&self, record: Bytes) -> BoxFuture<'static, Result<Position, LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            LogError::check_size(&record)?;
            Ok(shared.push(record, unix_ms()))
        })
    }

    fn append_all(
        &self,
        records: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            records.iter().try_for_each(LogError::check_size)?;
            let pushed = records.into_iter().map(|r| shared.push(r, unix_ms()));
            Ok(pushed.collect())
        })
    }

    fn import(&self, records: Vec<LogRecord>) -> BoxFuture<'static, Result<(), LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let from: Vec<Position> = records.iter().map(|record| record.position).collect();
            let placed = records.into_iter().map(|r| shared.push(r.bytes, r.time_ms));
            at_their_places(&from, &placed.collect::<Vec<_>>())
        })
    }

    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let records = self.shared.records.lock();
        let start = usize::try_from(from.0).unwrap_or(usize::MAX);
        let records = records.iter().skip(start).cloned();
        Ok(as_many_as_fit(records, max_records, max_bytes))
    }

    fn get(&self, position: Position) -> Result<Option<LogRecord>, LogError> {
        let records = self.shared.records.lock();
        let index = usize::try_from(position.0).unwrap_or(usize::MAX);
        Ok(records.get(index).cloned())
    }

    fn end(&self) -> Result<Position, LogError> {
        Ok(*self.shared.end.borrow())
    }

    fn watch_end(&self) -> watch::Receiver<Position> {
        self.shared.end.subscribe()
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            end: *self.shared.end.borrow(),
            latched: None,
            away: None,
            full: None,
            waiting_bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_memory_log_keeps_the_contract() {
        conformance::run(Arc::new(MemoryLog::new())).await;
        conformance::imports(&MemoryLog::new()).await;
    }
}
