//! Bytes of objects for those who wait in any thread.

use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yingku_core::ids::PackId;

use super::key;
use crate::objects::{Bucket, ObjectsError, ObjectsErrorKind};
use crate::packs::error::PackError;

/// After a read that got no answer the next ones fail at once for so long: the instances of a study would each wait their
/// whole time otherwise.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads at once: each has up to 32 MiB in memory. More wait for their turn.
const MAX_READS: usize = 8;

pub struct Fetcher {
    bucket: Arc<Bucket>,
    handle: Handle,
    turns: Arc<Semaphore>,
    away: Mutex<Option<(Instant, ObjectsError)>>,
}

impl Fetcher {
    pub fn new(bucket: Arc<Bucket>, handle: Handle) -> Self {
        Self {
            bucket,
            handle,
            turns: Arc::new(Semaphore::new(MAX_READS)),
            away: Mutex::new(None),
        }
    }

    /// Bytes of the pack's object; `None` if there is none.
    pub fn size(&self, pack: PackId) -> Result<Option<u64>, PackError> {
        let bucket = Arc::clone(&self.bucket);
        self.wait(pack, async move { bucket.size(&key(pack)).await })
    }

    /// A part of the pack's object, as long as asked for.
    pub fn range(&self, pack: PackId, range: Range<u64>) -> Result<Fetched, PackError> {
        let (bucket, turns) = (Arc::clone(&self.bucket), Arc::clone(&self.turns));
        let turn = self.wait(pack, async move { Ok(turns.acquire_owned().await.ok()) })?;
        // Those before may have found out meanwhile that it is away.
        let (bytes, _) = self.wait(pack, async move { bucket.range(&key(pack), range).await })?;
        Ok(Fetched { bytes, _turn: turn })
    }

    fn wait<T: Send + 'static>(
        &self,
        pack: PackId,
        request: impl Future<Output = Result<T, ObjectsError>> + Send + 'static,
    ) -> Result<T, PackError> {
        self.fail_if_away(pack)?;
        let (reply, answer) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = reply.send(request.await);
        });
        match answer.recv().map_err(|_| PackError::Closed)? {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.kind == ObjectsErrorKind::Away {
                    tracing::warn!(%pack, %error, "the object store is away; packs that are not here cannot be read");
                    *self.away.lock() = Some((Instant::now(), error.clone()));
                }
                Err(remote(pack, error))
            }
        }
    }

    /// Somebody got an answer.
    pub fn is_back(&self) {
        *self.away.lock() = None;
    }

    fn fail_if_away(&self, pack: PackId) -> Result<(), PackError> {
        match &*self.away.lock() {
            Some((since, error)) if since.elapsed() < PAUSE => Err(remote(pack, error.clone())),
            _ => Ok(()),
        }
    }
}

/// Bytes of an object; the next reader's turn comes when they are gone.
pub struct Fetched {
    pub bytes: Bytes,
    _turn: Option<OwnedSemaphorePermit>,
}

fn remote(pack: PackId, error: ObjectsError) -> PackError {
    if error.is_missing() {
        return PackError::Missing { pack };
    }
    PackError::Remote {
        pack,
        source: Arc::new(error),
    }
}
