//! Packs that are not here: in the object store, or at another node.
//!
//! - **Up** ([`uploader`], [`upload`]): the node that wrote a pack uploads it, in parts of 32 MiB with checksums; then it
//!   reads the index back and compares. Only then the pack is in the [`journal`], which is durable. A crash amid an upload
//!   is taken up where the server has got to; uploads that nobody remembers are aborted.
//! - **Evicted** ([`cache`]): a local file of the journal is a copy. When local bytes exceed their budget, or space runs
//!   short, those go that were not read for longest; a file that is not in the journal never goes.
//! - **Read** ([`blocks`]): a pack that is not here is read in blocks of 8 MiB, kept in a sparse file beside the packs.
//!   What comes is checked as if it came from the disk: a record with a wrong checksum is never given on.
//!
//! - **Other nodes'** ([`other_nodes`]): what is not in the object store is read from the node that wrote it, in the same
//!   blocks; an open pack grows meanwhile.
//!
//! All requests run on threads of their own, so that whoever waits for them may be in any thread. While the store is away,
//! storing goes on as long as there is local space, and reads of evicted packs fail within their time limit.

mod blocks;
mod cache;
mod fetch;
mod home;
mod journal;
mod other_nodes;
mod upload;
mod uploader;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;
use yingku_core::ids::PackId;

use self::upload::{Upload, UploadError};
use super::error::{PackError, PackOpenError};
use super::record::PackFile;
use super::shared::{SEALED, Shared};
use crate::objects::{
    self, Bucket, ClaimError, Location, ObjectsError, ObjectsErrorKind, ObjectsOptions,
};

pub use self::blocks::RemoteBlocks;
pub use self::home::{BroughtHome, bring_home};
pub use self::journal::Journal;
pub use self::other_nodes::{NodeError, NodePart, OtherNodes};

use self::cache::{Cache, EVICT_EVERY};
use self::fetch::{Fetcher, Source};
use self::uploader::Uploader;

/// Threads of the requests: hashing and encrypting one part, and something for readers meanwhile.
const THREADS: usize = 2;

/// What an operator wants to know of the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsHealth {
    pub location: String,
    pub uploaded_packs: u64,
    /// Sealed packs that are not uploaded yet, and their bytes.
    pub backlog_packs: u64,
    pub backlog_bytes: u64,
    /// Bytes of sealed packs, and of blocks of others, that lie here.
    pub local_bytes: u64,
    /// Why the last upload did not succeed; `None` after one that did.
    pub problem: Option<String>,
}

/// Bytes of other nodes' packs that are kept here where there is no object store, and so no budget for copies.
const CACHE_BYTES: u64 = 4 << 30;

/// What uploader and readers share.
pub struct Remote {
    fetcher: Arc<Fetcher>,
    cache: Cache,
    /// Of the object store, if there is one.
    health: Option<watch::Receiver<ObjectsHealth>>,
    /// Something is to be uploaded or evicted.
    wake: Notify,
    /// Packs that somebody uploads who waits for it.
    direct: Mutex<HashSet<PackId>>,
}

/// The object store in use; ends with [`RemoteThread::stop`].
pub struct RemoteThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Remote {
    /// The file of a pack that is not here.
    pub fn pack(&self, shared: &Shared, id: PackId) -> Result<Arc<PackFile>, PackError> {
        if let Some(pack) = self.cache.get(id) {
            return Ok(pack);
        }
        let (source, size) = match shared.journal.size(id) {
            Some(size) => (Source::Objects, size),
            // Another node's.
            None => self.fetcher.find(id)?,
        };
        self.cache.open(shared, &self.fetcher, id, source, size)
    }

    /// Where requests run.
    pub fn handle(&self) -> &Handle {
        self.fetcher.handle()
    }

    /// Somebody begins, or ends, to upload a pack himself.
    pub fn direct(&self, pack: PackId, begins: bool) {
        let mut direct = self.direct.lock();
        match begins {
            true => direct.insert(pack),
            false => direct.remove(&pack),
        };
    }

    fn is_direct(&self, pack: PackId) -> bool {
        self.direct.lock().contains(&pack)
    }

    /// Uploads a sealed pack now; the journal has it on return.
    pub async fn upload_now(&self, shared: &Arc<Shared>, pack: PackId) -> Result<(), PackError> {
        let bucket = self.fetcher.bucket().ok_or(PackError::Closed)?;
        let uploaded = match Upload::open(shared, bucket, pack) {
            Ok(upload) => upload.run().await,
            Err(error) => Err(error),
        };
        let size = uploaded.map_err(|error| match error {
            UploadError::Objects(source) => PackError::Remote {
                pack,
                source: Arc::new(source),
            },
            UploadError::Pack(error) => error,
            UploadError::Local(source) => PackError::Read {
                pack,
                source: Arc::new(source),
            },
            error @ (UploadError::Differs | UploadError::Claim(_)) => {
                let words = error.to_string();
                PackError::Remote {
                    pack,
                    source: Arc::new(ObjectsError::new(ObjectsErrorKind::Refused, words)),
                }
            }
        })?;
        let entering = Arc::clone(shared);
        let entered = tokio::task::spawn_blocking(move || entering.journal.enter(pack, size)).await;
        let entered = entered.unwrap_or_else(|error| Err(io::Error::other(error)));
        entered.map_err(|source| PackError::Read {
            pack,
            source: Arc::new(source),
        })
    }

    /// Takes a pack out of the object store and the journal, if it is there, and what was read of it. Blocks.
    pub fn remove(&self, shared: &Shared, pack: PackId) -> Result<(), PackError> {
        if shared.journal.size(pack).is_some() {
            self.fetcher.delete(pack)?;
            let left = shared.journal.leave(pack);
            left.map_err(|source| PackError::Read {
                pack,
                source: Arc::new(source),
            })?;
        }
        self.cache.forget(shared, pack);
        Ok(())
    }

    /// The object store did not answer in time.
    pub fn no_answer(&self, pack: PackId) -> PackError {
        PackError::Remote {
            pack,
            source: Arc::new(ObjectsError::new(
                ObjectsErrorKind::Away,
                "no answer in time",
            )),
        }
    }

    /// A local file was read.
    pub fn used(&self, pack: PackId) {
        self.cache.used(pack);
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn watch(&self) -> Option<watch::Receiver<ObjectsHealth>> {
        self.health.clone()
    }
}

impl RemoteThread {
    /// Ends all requests, wherever they are. Blocks.
    pub fn stop(self) {
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread of the object store had panicked");
        }
    }
}

/// Starts to use the object store for the packs of `shared`; `dir` is the archive's.
///
/// A place that is known to be this archive's may be away; any other must answer.
pub async fn start(
    shared: &Arc<Shared>,
    options: &ObjectsOptions,
    archive: Uuid,
    dir: &Path,
    nodes: Option<Arc<dyn OtherNodes>>,
) -> Result<RemoteThread, PackOpenError> {
    let location = &options.location;
    let bucket = Bucket::open(options).map_err(|source| ClaimError::Unusable {
        location: location.to_string(),
        source,
    })?;
    let claim = Claim {
        archive,
        remembered: objects::remembered(dir)?,
        bucket: Arc::new(bucket),
    };
    let io = |source| PackOpenError::Io {
        dir: shared.dir.clone(),
        source,
    };
    cache::clear(&shared.dir).map_err(io)?;
    let (handle, thread) = requests_thread().map_err(io)?;
    match begin(shared, options, claim, nodes, &handle, dir).await {
        Ok(()) => Ok(thread),
        Err(error) => {
            thread.stop();
            Err(error)
        }
    }
}

/// Reads other nodes' packs where there is no object store.
pub fn start_without_objects(
    shared: &Arc<Shared>,
    nodes: Arc<dyn OtherNodes>,
) -> io::Result<RemoteThread> {
    cache::clear(&shared.dir)?;
    let (handle, thread) = requests_thread()?;
    let remote = Arc::new(Remote {
        fetcher: Arc::new(Fetcher::new(None, Some(nodes), handle.clone())),
        cache: Cache::new(CACHE_BYTES),
        health: None,
        wake: Notify::new(),
        direct: Mutex::default(),
    });
    if shared.remote.set(Arc::clone(&remote)).is_ok() {
        handle.spawn(keep_budget(Arc::clone(shared), remote));
    }
    Ok(thread)
}

/// Lets go of other nodes' blocks that were not read for longest. Runs until its runtime ends.
async fn keep_budget(shared: Arc<Shared>, remote: Arc<Remote>) {
    loop {
        tokio::select! {
            () = remote.wake.notified() => {}
            () = tokio::time::sleep(EVICT_EVERY) => {}
        }
        for evictable in remote.cache.to_evict(&shared, &[]) {
            if let Err(error) = remote.cache.evict(&shared, evictable) {
                tracing::warn!(pack = %evictable.pack, %error, "the blocks of a pack cannot be removed");
            }
        }
    }
}

async fn begin(
    shared: &Arc<Shared>,
    options: &ObjectsOptions,
    claim: Claim,
    nodes: Option<Arc<dyn OtherNodes>>,
    handle: &Handle,
    dir: &Path,
) -> Result<(), PackOpenError> {
    let is_known = claim.is_known(&options.location) && shared.journal.existed();
    let claiming = {
        let (claim, shared) = (claim.clone(), Arc::clone(shared));
        handle.spawn(async move { claim.make(&shared).await })
    };
    let unclaimed = match claiming.await.map_err(io::Error::other) {
        Ok(Ok(())) => {
            objects::remember(dir, &options.location)?;
            None
        }
        Ok(Err(error)) if error.is_away() && is_known => {
            tracing::warn!(%error, "the object store is away; what comes is kept here, what was evicted cannot be read");
            Some(claim.clone())
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(source) => {
            return Err(PackOpenError::Io {
                dir: shared.dir.clone(),
                source,
            });
        }
    };
    let (health, watched) = watch::channel(ObjectsHealth {
        location: options.location.to_string(),
        uploaded_packs: 0,
        backlog_packs: 0,
        backlog_bytes: 0,
        local_bytes: 0,
        problem: None,
    });
    let bucket = Some(Arc::clone(&claim.bucket));
    let remote = Arc::new(Remote {
        fetcher: Arc::new(Fetcher::new(bucket, nodes, handle.clone())),
        cache: Cache::new(options.cache_bytes),
        health: Some(watched),
        wake: Notify::new(),
        direct: Mutex::default(),
    });
    if shared.remote.set(Arc::clone(&remote)).is_err() {
        tracing::error!("an object store is in use already");
        return Ok(());
    }
    let uploader = Uploader::new(Arc::clone(shared), remote, claim.bucket, health, unclaimed);
    handle.spawn(uploader.run());
    Ok(())
}

/// What is to be found out before anything is uploaded.
#[derive(Clone)]
pub struct Claim {
    archive: Uuid,
    remembered: Option<Location>,
    bucket: Arc<Bucket>,
}

impl Claim {
    fn is_known(&self, location: &Location) -> bool {
        self.remembered
            .as_ref()
            .is_some_and(|known| known.is_same_place(location))
    }

    /// The place is this archive's, and the journal has what lies there.
    async fn make(&self, shared: &Shared) -> Result<(), ClaimError> {
        let node = shared.options.node;
        objects::claim(&self.bucket, self.archive, node, self.remembered.as_ref()).await?;
        if shared.journal.existed() {
            return Ok(());
        }
        // A new archive, or one whose journal is gone: numbers of evicted packs must not be given again.
        let unusable = |source| ClaimError::Unusable {
            location: self.bucket.location().to_string(),
            source,
        };
        let mut own = list(&self.bucket).await.map_err(unusable)?;
        own.retain(|(pack, _)| pack.node() == node);
        for (pack, _) in &own {
            shared.continue_after(*pack);
        }
        let begun = shared.journal.begin(own.into_iter());
        begun.map_err(|source| ClaimError::File {
            file: shared.dir.clone(),
            source,
        })
    }
}

/// Folders of the packs in the bucket: of those that are wanted now and then, and of cold ones, which a rule of the
/// bucket may keep on slower storage.
const FOLDERS: [&str; 2] = ["packs", "cold-packs"];

fn key(pack: PackId) -> String {
    let [usual, cold] = FOLDERS;
    let folder = if pack.is_cold() { cold } else { usual };
    format!("{folder}/{pack}.{SEALED}")
}

/// The packs in the bucket and their bytes, whosever they are.
async fn list(bucket: &Bucket) -> Result<Vec<(PackId, u64)>, ObjectsError> {
    let mut packs = Vec::new();
    for folder in FOLDERS {
        let found = bucket.list(folder).await?.into_iter();
        packs.extend(found.filter_map(|(name, size)| {
            let pack = PackId::parse(name.strip_suffix(".pack")?)?;
            Some((pack, size))
        }));
    }
    Ok(packs)
}

fn requests_thread() -> io::Result<(Handle, RemoteThread)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("objects")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("objects-runtime".into())
        .spawn(move || {
            // Ends when it is told to, or when whoever could tell is gone.
            let _ = runtime.block_on(stopped);
        })?;
    Ok((handle, RemoteThread { stop, thread }))
}
