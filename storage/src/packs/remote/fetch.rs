//! Bytes of packs that are not here, from the object store or from their node, for those who wait in any thread.

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
use super::other_nodes::{NodeError, NodePart, OtherNodes};
use crate::objects::{Bucket, ObjectsError, ObjectsErrorKind};
use crate::packs::error::PackError;

/// After a read that got no answer the next ones fail at once for so long: the instances of a study would each wait their
/// whole time otherwise.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads at once: each has up to 32 MiB in memory. More wait for their turn.
const MAX_READS: usize = 8;

/// Where a pack that is not here is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Objects,
    /// The node that wrote it.
    Node,
}

pub struct Fetcher {
    bucket: Option<Arc<Bucket>>,
    nodes: Option<Arc<dyn OtherNodes>>,
    handle: Handle,
    turns: Arc<Semaphore>,
    away: Mutex<Option<(Instant, ObjectsError)>>,
}

impl Fetcher {
    pub fn new(
        bucket: Option<Arc<Bucket>>,
        nodes: Option<Arc<dyn OtherNodes>>,
        handle: Handle,
    ) -> Self {
        Self {
            bucket,
            nodes,
            handle,
            turns: Arc::new(Semaphore::new(MAX_READS)),
            away: Mutex::new(None),
        }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_deref()
    }

    /// Where the pack is, and its bytes there: in the object store, or else at its node.
    pub fn find(&self, pack: PackId) -> Result<(Source, u64), PackError> {
        let stored = match &self.bucket {
            Some(bucket) => {
                let bucket = Arc::clone(bucket);
                self.wait(pack, async move { bucket.size(&key(pack)).await })
            }
            None => Ok(None),
        };
        if let Ok(Some(size)) = stored {
            return Ok((Source::Objects, size));
        }
        match (self.ask_node(pack, 0..0), stored) {
            (Ok(part), _) => Ok((Source::Node, part.size)),
            // Why the object store does not say is what has to be known, if its node has nothing.
            (Err(PackError::Missing { .. }), Err(error)) => Err(error),
            (Err(error), _) => Err(error),
        }
    }

    /// How far the pack goes at its node by now.
    pub fn size_at_node(&self, pack: PackId) -> Result<u64, PackError> {
        Ok(self.ask_node(pack, 0..0)?.size)
    }

    /// A part of the pack, as long as asked for.
    pub fn range(
        &self,
        pack: PackId,
        source: Source,
        range: Range<u64>,
    ) -> Result<Fetched, PackError> {
        let turns = Arc::clone(&self.turns);
        let turn = self.answer_of(async move { turns.acquire_owned().await.ok() })?;
        let bytes = match (source, &self.bucket) {
            (Source::Objects, Some(bucket)) => {
                let bucket = Arc::clone(bucket);
                // Those before may have found out meanwhile that it is away.
                let (bytes, _) =
                    self.wait(pack, async move { bucket.range(&key(pack), range).await })?;
                bytes
            }
            (Source::Objects, None) => return Err(PackError::Missing { pack }),
            (Source::Node, _) => {
                let length = range.end - range.start;
                let part = self.ask_node(pack, range)?;
                if part.bytes.len() as u64 != length {
                    return Err(at_node(
                        pack,
                        NodeError::Away("it gave fewer bytes than were asked for".to_owned()),
                    ));
                }
                part.bytes
            }
        };
        Ok(Fetched { bytes, _turn: turn })
    }

    /// Takes a pack out of the object store; one that is not there is no error.
    pub fn delete(&self, pack: PackId) -> Result<(), PackError> {
        let bucket = self.bucket.as_ref().ok_or(PackError::Missing { pack })?;
        let bucket = Arc::clone(bucket);
        match self.wait(pack, async move { bucket.delete(&key(pack)).await }) {
            Err(PackError::Missing { .. }) => Ok(()),
            done => done,
        }
    }

    fn ask_node(&self, pack: PackId, range: Range<u64>) -> Result<NodePart, PackError> {
        let nodes = self.nodes.as_ref().ok_or(PackError::Missing { pack })?;
        let asked = self.answer_of(nodes.range(pack, range))?;
        asked.map_err(|error| at_node(pack, error))
    }

    fn wait<T: Send + 'static>(
        &self,
        pack: PackId,
        request: impl Future<Output = Result<T, ObjectsError>> + Send + 'static,
    ) -> Result<T, PackError> {
        self.fail_if_away(pack)?;
        match self.answer_of(request)? {
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

    fn answer_of<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PackError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = reply.send(request.await);
        });
        answer.recv().map_err(|_| PackError::Closed)
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

fn at_node(pack: PackId, error: NodeError) -> PackError {
    match error {
        NodeError::Missing => PackError::Missing { pack },
        NodeError::Away(_) => PackError::AtNode {
            pack,
            node: pack.node(),
            source: Arc::new(error),
        },
    }
}
