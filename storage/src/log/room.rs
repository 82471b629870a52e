//! Room for records on their way into a log: bounded in bytes and in those who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LogError;

/// Payload that may be on its way: a second of the fastest ingest, a tenth of the memory of an idle node.
pub const ROOM_BYTES: usize = 32 * 1024 * 1024;
/// What a waiting record costs beyond its payload, so that tiny records are bounded too (131,072 of them).
const RECORD_OVERHEAD_BYTES: usize = 256;
/// Appends that may wait for room; more are refused at once.
const MAX_WAITERS: usize = 10_000;

pub struct Room {
    free: Arc<Semaphore>,
    waiters: AtomicUsize,
}

/// A record's share of the room; dropping it gives the room back.
pub type Share = OwnedSemaphorePermit;

impl Room {
    pub fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(ROOM_BYTES)),
            waiters: AtomicUsize::new(0),
        }
    }

    /// Bytes on their way, with what records cost beyond their payload.
    pub fn taken_bytes(&self) -> usize {
        ROOM_BYTES.saturating_sub(self.free.available_permits())
    }

    /// Waits for room for one record.
    pub async fn enter(&self, bytes: usize) -> Result<Share, LogError> {
        let cost = u32::try_from(bytes + RECORD_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        if let Ok(share) = Arc::clone(&self.free).try_acquire_many_owned(cost) {
            return Ok(share);
        }
        let _counted = self.count_waiter()?;
        Arc::clone(&self.free)
            .acquire_many_owned(cost)
            .await
            .map_err(|_| LogError::Closed)
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
