//! Packs: append-only files in which the instances lie, as they came, with their facts and checksums.
//!
//! A pack grows as `<id>.open` and is sealed as `<id>.pack` with an index at its end ([`format`] says what lies where).
//! It is retired at a size or after an idle time, and sealed once the event log has all of its records
//! ([`Packs::logged`]): so after a crash the unsealed packs hold everything that the log may lack.
//!
//! With an object store ([`Packs::use_objects`], [`remote`]) sealed packs are uploaded, and their files here are copies.
//!
//! - [`Packs::append`] stores ordinary instances: one committer, one sync for all that wait.
//! - [`Packs::lease`] streams one that is too large to be held, [`Packs::try_lease`] one that need not be.
//! - [`Packs::read`], [`Packs::reader`], [`Packs::records`] give back only what was written, or an error.

mod committer;
mod copied;
mod disk;
mod error;
pub mod format;
mod groups;
mod lease;
mod record;
mod recover;
mod remote;
mod scan;
mod sealer;
mod shared;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::{Semaphore, oneshot, watch};
use uuid::Uuid;
use yingku_core::ids::PackId;

use self::committer::{Committer, Waiting};
use self::groups::Groups;
use self::lease::Pool;
use self::remote::{Journal, RemoteThread};
use self::shared::{SEALED, Shared, UNSEALED};
use crate::objects::ObjectsOptions;
use crate::space::{FileSystem, FreeSpace, Shortage};

pub use self::copied::{CopiedPack, WrittenPack};
pub use self::disk::{Disk, LocalDisk};
pub use self::error::{PackError, PackOpenError};
pub use self::lease::{LeasedWriter, MAX_LEASES};
pub use self::record::{CHUNK_BYTES, MAX_READ_BYTES, RecordInfo, RecordReader, StoredRecord};
pub use self::recover::{CutRecord, DamagedRange, Recovered, RecoveredPack};
pub use self::remote::{BroughtHome, NodeError, NodePart, ObjectsHealth, OtherNodes, bring_home};
pub use self::verify::{VerifyProgress, VerifyReport};

/// Instances that may wait for the committer. Their bytes are bounded by those who hold them.
const MAX_WAITING: usize = 4096;

/// What has to have an instance before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// This node's disk. The event log has its facts soon after.
    #[default]
    Local,
    /// The object store, and then the event log: nothing is lost with a node ([`groups`]).
    Object,
}

/// How packs are kept. The last two are there for tests.
#[derive(Clone)]
pub struct PackOptions {
    /// This node's number: the upper 16 bits of its packs' ids.
    pub node: u16,
    /// A pack that has this size gets no further instances.
    pub seal_bytes: u64,
    /// A pack that got no instance for this long gets none any more.
    pub seal_idle: Duration,
    /// Instances are refused when less than this would stay free. More than the log's reserve, so that the log, which
    /// lies on the same disk as a rule, still takes the facts of what was stored.
    pub reserve_bytes: u64,
    /// [`Ack::Object`] needs an object store.
    pub ack: Ack,
    /// Where sealed packs go; `None`: they stay here.
    pub objects: Option<ObjectsOptions>,
    pub free_space: Arc<dyn FreeSpace>,
    pub disk: Arc<dyn Disk>,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            node: 0,
            seal_bytes: 256 * 1024 * 1024,
            seal_idle: Duration::from_secs(600),
            reserve_bytes: 2 * 1024 * 1024 * 1024,
            ack: Ack::Local,
            objects: None,
            free_space: Arc::new(FileSystem),
            disk: Arc::new(LocalDisk),
        }
    }
}

/// An instance to be stored.
pub struct NewInstance {
    /// The Part 10 stream: pieces in order. They are written as they are, without being put together.
    pub data: Vec<Bytes>,
    /// Given back as they are.
    pub facts: Bytes,
    /// BLAKE3 over transfer syntax UID and data set.
    pub digest: [u8; 32],
    /// CRC-32C of `data`, computed while it came in. A wrong one makes an instance that cannot be read.
    pub crc: u32,
}

impl NewInstance {
    pub fn data_len(&self) -> u64 {
        self.data.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Where an instance lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placed {
    pub pack: PackId,
    /// Byte offset of the record in the pack.
    pub offset: u64,
    /// Bytes of the Part 10 stream.
    pub length: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    pub pack: PackId,
    pub sealed: bool,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackUsage {
    pub packs: u64,
    pub bytes: u64,
}

/// What an operator and the readiness check want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackHealth {
    /// Why nothing is acknowledged any more; ends only with a restart.
    pub latched: Option<Arc<str>>,
    /// The last store was refused for lack of space; ends by itself.
    pub full: Option<Shortage>,
    /// The next store would be refused for lack of space.
    pub short: Option<Shortage>,
    /// Instances that wait for the committer.
    pub waiting: usize,
}

/// All packs of one node. Clones are the same packs; when the last is dropped they are closed.
#[derive(Clone)]
pub struct Packs {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    places: Arc<Semaphore>,
    committer: Mutex<Option<JoinHandle<()>>>,
    sealer: Mutex<Option<JoinHandle<()>>>,
    objects: Mutex<Option<RemoteThread>>,
}

impl Packs {
    /// Opens the packs in `dir` (made if it is not there) and reads the unsealed ones through. Blocks.
    pub fn open(dir: &Path, options: PackOptions) -> Result<(Self, Recovered), PackOpenError> {
        Self::open_locked(PacksDirectory::lock(dir)?, options, &|_, _| false)
    }

    /// The same, of a directory that was locked before. `is_logged` says whether the log tells of a record: then it was
    /// stored, and is damaged if it is not right.
    pub fn open_locked(
        directory: PacksDirectory,
        options: PackOptions,
        is_logged: &dyn Fn(PackId, u64) -> bool,
    ) -> Result<(Self, Recovered), PackOpenError> {
        let PacksDirectory { dir, file } = directory;
        let (dir, dir_file) = (dir.as_path(), file);
        let io = |source| PackOpenError::Io {
            dir: dir.to_owned(),
            source,
        };
        let journal = Journal::open(dir).map_err(io)?;
        let next_serial = next_serial(dir, &options, &journal).map_err(io)?;
        let (sealer_queue, to_seal) = mpsc::channel();
        let shared = Arc::new(Shared::new(
            dir,
            dir_file,
            options,
            next_serial,
            sealer_queue,
            journal,
        ));
        let recovered =
            recover::recover(&shared, is_logged).map_err(|source| PackOpenError::Recovery {
                dir: dir.to_owned(),
                source,
            })?;
        let inner = Inner::start(shared, to_seal).map_err(io)?;
        let packs = Self {
            inner: Arc::new(inner),
        };
        Ok((packs, recovered))
    }

    /// Uses the object store of the options from now on, if they name one, and asks other nodes for what is not there.
    /// `archive` tells whose packs these are, `dir` is the archive's directory, which remembers the place.
    pub async fn use_objects(
        &self,
        archive: Uuid,
        dir: &Path,
        nodes: Option<Arc<dyn OtherNodes>>,
    ) -> Result<(), PackOpenError> {
        let shared = &self.inner.shared;
        if let Some(options) = &shared.options.objects {
            let thread = remote::start(shared, options, archive, dir, nodes).await?;
            *self.inner.objects.lock() = Some(thread);
        } else if let Some(location) = crate::objects::remembered(dir)? {
            let location = location.to_string();
            return Err(PackOpenError::ObjectsNotConfigured { location });
        } else if let Some(nodes) = nodes {
            let started = remote::start_without_objects(shared, nodes);
            let thread = started.map_err(|source| PackOpenError::Io {
                dir: shared.dir.clone(),
                source,
            })?;
            *self.inner.objects.lock() = Some(thread);
        }
        Ok(())
    }

    /// The object store of the options.
    pub fn objects_options(&self) -> Option<&ObjectsOptions> {
        self.inner.shared.options.objects.as_ref()
    }

    /// Where the object store stands; `None` without one.
    pub fn objects_health(&self) -> Option<ObjectsHealth> {
        self.watch_objects().map(|health| health.borrow().clone())
    }

    /// The same, as it changes.
    pub fn watch_objects(&self) -> Option<watch::Receiver<ObjectsHealth>> {
        self.inner.shared.remote.get()?.watch()
    }

    /// Stores an instance; durable when this resolves to `Ok`. Dropped meanwhile, it may or may not be stored.
    pub async fn append(&self, instance: NewInstance) -> Result<Placed, PackError> {
        check_facts(&instance.facts)?;
        let place = Arc::clone(&self.inner.places)
            .try_acquire_owned()
            .map_err(|_| PackError::Busy {
                waiting: MAX_WAITING,
            })?;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            instance,
            reply,
            place,
        };
        {
            let queue = self.inner.queue.lock();
            let sender = queue.as_ref().ok_or(PackError::Closed)?;
            sender.send(waiting).map_err(|_| PackError::Closed)?;
        }
        answer.await.map_err(|_| PackError::Closed)?
    }

    /// A writer for an instance too large to be held in memory. Waits while [`MAX_LEASES`] are in use.
    pub async fn lease(&self) -> Result<LeasedWriter, PackError> {
        self.inner.shared.refuse_if_latched()?;
        LeasedWriter::open(Arc::clone(&self.inner.shared), Arc::clone(&self.inner.pool)).await
    }

    /// A writer if one is free beside the last, which is for those too large to be held: while an instance still comes in,
    /// the disk works at it already.
    pub fn try_lease(&self) -> Option<LeasedWriter> {
        let shared = &self.inner.shared;
        // One group of many is better than an object for each.
        if shared.latched().is_some() || shared.options.ack == Ack::Object {
            return None;
        }
        LeasedWriter::try_open(Arc::clone(&self.inner.shared), Arc::clone(&self.inner.pool))
    }

    /// Tells that the event log has `records` more of this pack's records.
    pub fn logged(&self, pack: PackId, records: u64) {
        self.inner.shared.logged(pack, records);
    }

    /// Tells that the event log has all records of a pack that a start found unsealed.
    pub fn all_logged(&self, pack: PackId) {
        self.inner.shared.logged(pack, u64::MAX);
    }

    /// New packs come after this one, even if the directory no longer has it: a number is never used again.
    pub fn continue_after(&self, pack: PackId) {
        self.inner.shared.continue_after(pack);
    }

    /// Whether the pack lies here, or was uploaded.
    pub fn has(&self, pack: PackId) -> bool {
        let shared = &self.inner.shared;
        shared.journal.size(pack).is_some()
            || shared.ledger.lock().contains_key(&pack)
            || shared.path(pack, SEALED).exists()
    }

    pub fn ack(&self) -> Ack {
        self.inner.shared.options.ack
    }

    /// Sealed packs whose files lie here.
    pub fn sealed_here(&self) -> io::Result<Vec<PackId>> {
        self.inner.shared.ids(SEALED)
    }

    /// Whether the pack is in the object store.
    pub fn is_uploaded(&self, pack: PackId) -> bool {
        self.inner.shared.journal.size(pack).is_some()
    }

    /// Begins a pack of instances that lie in others; a cold one is for those that are wanted rarely.
    pub fn copied_pack(&self, is_cold: bool) -> Result<CopiedPack, PackError> {
        CopiedPack::create(&self.inner.shared, is_cold)
    }

    /// Whether a sealed pack was made of others. Blocks on the disk.
    pub fn is_copied(&self, pack: PackId) -> Result<bool, PackError> {
        copied::is_copied(&self.inner.shared, pack)
    }

    /// Takes a sealed pack away, here and from the object store. Who reads it keeps its file. Blocks.
    pub fn remove(&self, pack: PackId) -> Result<(), PackError> {
        self.inner.shared.remove(pack)
    }

    /// Bytes that may still be written beside the reserve.
    pub fn room(&self) -> u64 {
        self.inner.shared.reserve.room()
    }

    /// A pack that has this size gets no further instances.
    pub fn seal_bytes(&self) -> u64 {
        self.inner.shared.options.seal_bytes
    }

    /// Reads and checks one record of at most [`MAX_READ_BYTES`] of data. Blocks on the disk.
    pub fn read(&self, pack: PackId, offset: u64) -> Result<StoredRecord, PackError> {
        self.inner.shared.pack(pack)?.read(offset)
    }

    /// A reader of one record of any size. Blocks on the disk.
    pub fn reader(&self, pack: PackId, offset: u64) -> Result<RecordReader, PackError> {
        RecordReader::open(self.inner.shared.pack(pack)?, offset)
    }

    /// The pack's records in order, without their data; damaged ones as errors. Blocks on the disk.
    pub fn records(
        &self,
        pack: PackId,
    ) -> Result<impl Iterator<Item = Result<RecordInfo, PackError>> + Send + use<>, PackError> {
        let entries = verify::entries(&self.inner.shared, pack)?;
        let file = self.inner.shared.pack(pack)?;
        Ok(entries
            .into_iter()
            .map(move |entry| file.info(entry.offset).map(|(info, _)| info)))
    }

    /// A part of a pack that lies here, for another node: what there is of `range`, and how far the pack goes. An open one
    /// goes as far as it is durable. Blocks on the disk.
    pub fn local_part(&self, pack: PackId, range: Range<u64>) -> Result<NodePart, PackError> {
        self.inner.shared.local_part(pack, range)
    }

    /// From now on nothing more is stored, until a restart.
    pub fn stop(&self, reason: &str) {
        self.inner.shared.stop(reason);
    }

    /// One record without its data. Blocks on the disk.
    pub fn record(&self, pack: PackId, offset: u64) -> Result<RecordInfo, PackError> {
        let (info, _) = self.inner.shared.pack(pack)?.info(offset)?;
        Ok(info)
    }

    /// Where the records of a pack lie. Blocks on the disk.
    pub fn offsets(&self, pack: PackId) -> Result<BTreeSet<u64>, PackError> {
        let entries = verify::entries(&self.inner.shared, pack)?;
        Ok(entries.into_iter().map(|entry| entry.offset).collect())
    }

    /// All packs of this node, here or in the object store, in the order of their ids.
    pub fn list(&self) -> io::Result<Vec<PackInfo>> {
        let shared = &self.inner.shared;
        let mut packs = Vec::new();
        for (extension, sealed) in [(UNSEALED, false), (SEALED, true)] {
            for pack in shared.ids(extension)? {
                match fs::metadata(shared.path(pack, extension)) {
                    Ok(metadata) => packs.push(PackInfo {
                        pack,
                        sealed,
                        bytes: metadata.len(),
                    }),
                    // Sealed or removed meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        packs.extend(
            shared
                .journal
                .packs()
                .into_iter()
                .map(|(pack, bytes)| PackInfo {
                    pack,
                    sealed: true,
                    bytes,
                }),
        );
        packs.sort_by_key(|info| info.pack);
        packs.dedup_by_key(|info| info.pack);
        Ok(packs)
    }

    pub fn usage(&self) -> io::Result<PackUsage> {
        let packs = self.list()?;
        Ok(PackUsage {
            packs: packs.len() as u64,
            bytes: packs.iter().map(|info| info.bytes).sum(),
        })
    }

    /// Bytes of the packs here that were written to since a moment: what came since then, and begun packs' earlier part.
    pub fn written_since(&self, since: SystemTime) -> io::Result<u64> {
        let shared = &self.inner.shared;
        let mut bytes = 0u64;
        for extension in [UNSEALED, SEALED] {
            for pack in shared.ids(extension)? {
                match fs::metadata(shared.path(pack, extension)) {
                    Ok(metadata) if metadata.modified()? >= since => bytes += metadata.len(),
                    Ok(_) => {}
                    // Sealed or removed meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(bytes)
    }

    /// Reads every pack through. Blocks for as long as the disk takes; appends and reads go on meanwhile.
    pub fn verify(&self, progress: impl FnMut(VerifyProgress)) -> Result<VerifyReport, PackError> {
        verify::verify(&self.inner.shared, progress)
    }

    /// How many packs were sealed or, empty, removed since start, as it grows.
    pub fn watch_sealed(&self) -> watch::Receiver<u64> {
        self.inner.shared.sealed.subscribe()
    }

    pub fn health(&self) -> PackHealth {
        PackHealth {
            latched: self.inner.shared.latched(),
            full: self.inner.shared.full(),
            short: self.inner.shared.reserve.admit(0).err(),
            waiting: MAX_WAITING.saturating_sub(self.inner.places.available_permits()),
        }
    }

    /// Answers what waits, refuses what comes later, seals what the event log has whole. Blocks; done by the last drop too.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn start(shared: Arc<Shared>, to_seal: mpsc::Receiver<PackId>) -> io::Result<Self> {
        let pool = Arc::new(Pool::new());
        let committer = Committer {
            shared: Arc::clone(&shared),
            pool: Arc::clone(&pool),
            current: None,
            groups: Groups::new(&shared),
        };
        let (queue, waiting) = mpsc::channel();
        let committer = std::thread::Builder::new()
            .name("pack-committer".into())
            .spawn(move || committer.run(waiting))?;
        let for_sealer = Arc::clone(&shared);
        let sealer = std::thread::Builder::new()
            .name("pack-sealer".into())
            .spawn(move || sealer::run(&for_sealer, &to_seal))?;
        Ok(Self {
            shared,
            pool,
            queue: Mutex::new(Some(queue)),
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            committer: Mutex::new(Some(committer)),
            sealer: Mutex::new(Some(sealer)),
            objects: Mutex::new(None),
        })
    }

    fn close(&self) {
        self.queue.lock().take();
        join(&self.committer, "pack committer");
        self.pool.close(&self.shared);
        self.shared.sealer.lock().take();
        join(&self.sealer, "pack sealer");
        if let Some(objects) = self.objects.lock().take() {
            objects.stop();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>, what: &str) {
    if let Some(thread) = thread.lock().take()
        && thread.join().is_err()
    {
        tracing::error!(what, "a thread had panicked");
    }
}

fn check_facts(facts: &Bytes) -> Result<(), PackError> {
    if facts.len() > format::MAX_FACTS_BYTES as usize {
        return Err(PackError::TooLarge {
            what: "facts",
            bytes: facts.len() as u64,
            limit: u64::from(format::MAX_FACTS_BYTES),
        });
    }
    Ok(())
}

/// The directory of the packs, held by this process alone.
pub struct PacksDirectory {
    dir: PathBuf,
    file: File,
}

impl PacksDirectory {
    /// Made if it is not there.
    pub fn lock(dir: &Path) -> Result<Self, PackOpenError> {
        let io = |source| PackOpenError::Io {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent).and_then(|d| d.sync_all()).map_err(io)?;
        }
        let file = File::open(dir).map_err(io)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            PackOpenError::InUse {
                dir: dir.to_owned(),
            }
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
        })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The node whose packs lie here; `None`: there are none.
    pub fn node(&self) -> io::Result<Option<u16>> {
        let own = [UNSEALED, SEALED].map(|extension| shared::ids_in(&self.dir, extension));
        let mut nodes = BTreeSet::new();
        for ids in own {
            nodes.extend(ids?.into_iter().map(PackId::node));
        }
        let journal = Journal::open(&self.dir)?;
        nodes.extend(journal.packs().into_iter().map(|(pack, _)| pack.node()));
        Ok(nodes.pop_last())
    }
}

/// Sealed packs whose files lie in a folder.
pub fn sealed_in(dir: &Path) -> io::Result<Vec<PackId>> {
    shared::ids_in(dir, SEALED)
}

/// Behind all of this node's packs, here or in the object store.
fn next_serial(dir: &Path, options: &PackOptions, journal: &Journal) -> io::Result<u64> {
    let mut ids: Vec<PackId> = journal.packs().into_iter().map(|(pack, _)| pack).collect();
    for extension in [UNSEALED, SEALED] {
        ids.extend(shared::ids_in(dir, extension)?);
    }
    let own = ids.into_iter().filter(|id| id.node() == options.node);
    let next = own.map(|id| id.serial() + 1).max();
    Ok(next.unwrap_or_default())
}
