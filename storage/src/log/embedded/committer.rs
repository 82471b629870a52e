//! The one thread that writes: takes all records that wait, writes them as one batch with one sync, wakes everyone.

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::oneshot;
use yingku_core::ids::Position;

use super::{Shared, record};
use crate::log::LogError;
use crate::log::room::Share;
use crate::space::Reserve;

/// Payload of one batch: large enough that the sync is shared by all who wait, small enough that it takes milliseconds.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A record that waits, with its share of the queue and the one who waits for it.
pub struct Waiting {
    pub bytes: Bytes,
    /// Its time in the log that it comes from.
    pub time_ms: Option<i64>,
    pub reply: oneshot::Sender<Result<Position, LogError>>,
    /// Given back when the record is answered.
    pub share: Share,
}

impl Waiting {
    fn answer(self, answer: Result<Position, LogError>) {
        // First, so that an answered record is not counted as waiting.
        drop(self.share);
        // Whoever stopped waiting does not want to know.
        let _ = self.reply.send(answer);
    }
}

/// State that only the committer's thread touches.
pub struct Committer {
    pub shared: Arc<Shared>,
    pub reserve: Reserve,
    pub next: Position,
    pub previous_ms: i64,
}

impl Committer {
    /// Runs until every sender is gone and the queue is empty.
    pub fn run(mut self, queue: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while let Ok(first) = queue.recv() {
            let mut bytes = first.bytes.len();
            batch.push(first);
            while bytes < BATCH_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.bytes.len();
                batch.push(next);
            }
            match self.commit(&batch, bytes) {
                Ok(first_position) => {
                    for (waiting, position) in batch.drain(..).zip(first_position.0..) {
                        waiting.answer(Ok(Position(position)));
                    }
                }
                Err(error) => {
                    for waiting in batch.drain(..) {
                        waiting.answer(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Makes the batch durable; the position of its first record.
    fn commit(&mut self, batch: &[Waiting], bytes: usize) -> Result<Position, LogError> {
        if let Some(reason) = self.shared.state.lock().latched.clone() {
            return Err(LogError::Latched { reason });
        }
        // Twice: once in the write-ahead log, once in the table that it becomes.
        let admitted = self.reserve.admit(2 * bytes as u64);
        self.shared.state.lock().full = admitted.err();
        admitted.map_err(LogError::Full)?;

        let first = self.next;
        let mut position = first;
        let mut time_ms = self.previous_ms;
        let mut write = WriteBatch::with_capacity_bytes(bytes + 64 * batch.len());
        for waiting in batch {
            time_ms = time_ms.max(waiting.time_ms.unwrap_or_else(|| (self.shared.clock)()));
            let value = record::encode(position, time_ms, &waiting.bytes);
            write.put(record::key(position), value);
            position = position.next();
        }
        self.write(write).map_err(|reason| self.latch(&reason))?;
        self.next = position;
        self.previous_ms = time_ms;
        self.shared.end.send_replace(position);
        Ok(first)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), String> {
        (self.shared.write_fault)().map_err(|e| e.to_string())?;
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.shared
            .db
            .write_opt(batch, &options)
            .map_err(|e| e.to_string())
    }

    /// RocksDB may resume by itself after some errors; what it lost by then is not ours to guess, so this never ends.
    fn latch(&self, reason: &str) -> LogError {
        let reason: Arc<str> = format!("a write failed ({reason}); check its disk").into();
        tracing::error!(%reason, "writing the event log failed; nothing is acknowledged until a restart");
        self.shared.state.lock().latched = Some(Arc::clone(&reason));
        LogError::Latched { reason }
    }
}
