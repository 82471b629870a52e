//! Bytes of objects for those who wait in any thread.

use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use yingku_core::ids::PackId;

use super::key;
use crate::objects::{Bucket, ObjectsError, ObjectsErrorKind};
use crate::packs::error::PackError;

/// After a read that got no answer the next ones fail at once for so long: the instances of a study would each wait their
/// whole time otherwise.
const PAUSE: Duration = Duration::from_secs(5);

pub struct Fetcher {
    bucket: Arc<Bucket>,
    handle: Handle,
    away: Mutex<Option<(Instant, ObjectsError)>>,
}

impl Fetcher {
    pub fn new(bucket: Arc<Bucket>, handle: Handle) -> Self {
        Self {
            bucket,
            handle,
            away: Mutex::new(None),
        }
    }

    /// Bytes of the pack's object; `None` if there is none.
    pub fn size(&self, pack: PackId) -> Result<Option<u64>, PackError> {
        let bucket = Arc::clone(&self.bucket);
        self.wait(pack, async move { bucket.size(&key(pack)).await })
    }

    /// A part of the pack's object, as long as asked for.
    pub fn range(&self, pack: PackId, range: Range<u64>) -> Result<Bytes, PackError> {
        let bucket = Arc::clone(&self.bucket);
        let (bytes, _) = self.wait(pack, async move { bucket.range(&key(pack), range).await })?;
        Ok(bytes)
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
            Ok(answer) => {
                self.is_back();
                Ok(answer)
            }
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

fn remote(pack: PackId, error: ObjectsError) -> PackError {
    if error.is_missing() {
        return PackError::Missing { pack };
    }
    PackError::Remote {
        pack,
        source: Arc::new(error),
    }
}
