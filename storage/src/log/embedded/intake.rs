//! Where appends enter: a queue in front of the committer, bounded in bytes and in those who wait for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use yingku_core::ids::Position;

use super::committer::Waiting;
use crate::log::LogError;

/// Payload that may wait for the committer: a second of the fastest ingest, a tenth of the memory of an idle node.
pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// What a waiting record costs beyond its payload, so that tiny records are bounded too (131,072 of them).
const WAITING_OVERHEAD_BYTES: usize = 256;
/// Appends that may wait for room in the queue; more are refused at once.
const MAX_WAITERS: usize = 10_000;
/// The queue and its bounds.
pub struct Intake {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    room: Arc<Semaphore>,
    waiters: AtomicUsize,
}

impl Intake {
    pub fn new(queue: mpsc::Sender<Waiting>) -> Self {
        Self {
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            waiters: AtomicUsize::new(0),
        }
    }

    /// What waits is still committed; what comes later is refused.
    pub fn close(&self) {
        self.queue.lock().take();
    }

    /// What waits, with what it costs beyond its payload.
    pub fn waiting_bytes(&self) -> usize {
        QUEUE_BYTES.saturating_sub(self.room.available_permits())
    }

    /// Waits for room, then hands the record to the committer.
    pub async fn enter(
        &self,
        bytes: Bytes,
    ) -> Result<oneshot::Receiver<Result<Position, LogError>>, LogError> {
        let cost = u32::try_from(bytes.len() + WAITING_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        let share = match Arc::clone(&room).try_acquire_many_owned(cost) {
            Ok(share) => share,
            Err(_) => {
                let _counted = self.count_waiter()?;
                room.acquire_many_owned(cost)
                    .await
                    .map_err(|_| LogError::Closed)?
            }
        };
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            bytes,
            reply,
            share,
        };
        let queue = self.queue.lock();
        let sender = queue.as_ref().ok_or(LogError::Closed)?;
        sender.send(waiting).map_err(|_| LogError::Closed)?;
        Ok(answer)
    }

    fn count_waiter(&self) -> Result<CountedWaiter<'_>, LogError> {
        let waiting = self.waiters.fetch_add(1, Ordering::Relaxed);
        let counted = CountedWaiter(&self.waiters);
        if waiting >= MAX_WAITERS {
            return Err(LogError::Busy { waiting });
        }
        Ok(counted)
    }
}

/// Counts down again, whether the wait ended or was given up.
struct CountedWaiter<'a>(&'a AtomicUsize);

impl Drop for CountedWaiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
