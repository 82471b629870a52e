//! What appends, leases, the sealer and readers share: the directory, the latch and the ledger of unsealed packs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use yingku_core::ids::PackId;

use super::disk::is_full;
use super::error::PackError;
use super::format::{HEADER_BYTES, IndexEntry};
use super::record::PackFile;
use super::remote::{Journal, NodePart, Remote};
use super::{Ack, PackOptions};
use crate::space::{Reserve, Shortage};

/// How long a large instance waits for its pack's seal.
const SEAL_LIMIT: Duration = Duration::from_secs(60);
/// Sealed packs that are kept open for reading; opening one costs some microseconds, a descriptor is scarce.
const OPEN_SEALED_PACKS: usize = 256;

pub const UNSEALED: &str = "open";
pub const SEALED: &str = "pack";
/// A pack that is written whole, until it has its name.
pub const WHOLE: &str = "whole";

pub struct Shared {
    pub dir: PathBuf,
    /// Held to sync the directory, and locked so that no second process writes here.
    pub dir_file: File,
    pub options: PackOptions,
    pub reserve: Reserve,
    pub next_serial: AtomicU64,
    pub ledger: Mutex<HashMap<PackId, Unsealed>>,
    pub sealer: Mutex<Option<mpsc::Sender<PackId>>>,
    /// Packs sealed since start.
    pub sealed: watch::Sender<u64>,
    /// Which packs are in the object store.
    pub journal: Journal,
    /// The object store, once it is in use.
    pub remote: OnceLock<Arc<Remote>>,
    state: Mutex<State>,
    sealed_files: Mutex<SealedFiles>,
    /// One new pack at a time asks whether there is room to reserve.
    reserving: Mutex<()>,
}

#[derive(Default)]
struct State {
    latched: Option<Arc<str>>,
    full: Option<Shortage>,
}

#[derive(Default)]
struct SealedFiles {
    files: HashMap<PackId, (Arc<PackFile>, u64)>,
    uses: u64,
}

/// A pack that has no index in its file yet.
pub struct Unsealed {
    pub pack: Arc<PackFile>,
    /// The durable records.
    pub index: Vec<IndexEntry>,
    /// Where the last durable record ends.
    pub end: u64,
    /// How many of the records the event log has.
    pub logged: u64,
    /// Nothing is appended any more.
    pub retired: bool,
    /// Its seal is under way.
    pub sealing: bool,
}

impl Unsealed {
    pub fn new(pack: Arc<PackFile>) -> Self {
        Self {
            pack,
            index: Vec::new(),
            end: HEADER_BYTES as u64,
            logged: 0,
            retired: false,
            sealing: false,
        }
    }
}

impl Shared {
    pub fn new(
        dir: &Path,
        dir_file: File,
        options: PackOptions,
        next_serial: u64,
        sealer: mpsc::Sender<PackId>,
        journal: Journal,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            dir_file,
            reserve: Reserve::new(dir, options.reserve_bytes, Arc::clone(&options.free_space)),
            options,
            next_serial: AtomicU64::new(next_serial),
            ledger: Mutex::default(),
            sealer: Mutex::new(Some(sealer)),
            sealed: watch::Sender::new(0),
            journal,
            remote: OnceLock::new(),
            state: Mutex::default(),
            sealed_files: Mutex::default(),
            reserving: Mutex::default(),
        }
    }

    pub fn path(&self, pack: PackId, extension: &str) -> PathBuf {
        self.dir.join(format!("{pack}.{extension}"))
    }

    pub fn next_id(&self) -> PackId {
        PackId::new(self.options.node, self.next_serial())
    }

    pub fn next_cold_id(&self) -> PackId {
        PackId::cold(self.options.node, self.next_serial())
    }

    fn next_serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// New packs get higher numbers than this one.
    pub fn continue_after(&self, pack: PackId) {
        self.next_serial
            .fetch_max(pack.serial() + 1, Ordering::Relaxed);
    }

    /// Refuses when latched or when `bytes` more would eat into the reserve.
    pub fn admit(&self, bytes: u64) -> Result<(), PackError> {
        self.refuse_if_latched()?;
        let admitted = self.reserve.admit(bytes);
        self.state.lock().full = admitted.err();
        if let (Err(_), Some(remote)) = (&admitted, self.remote.get()) {
            // It may have copies here that can go.
            remote.wake();
        }
        admitted.map_err(PackError::Full)
    }

    /// Reserves room for a whole pack, which then lies in one piece. Only where as much again can be stored beside it: what
    /// packs keep for later is taken from the log, and from instances that no other pack would be admitted for.
    pub fn reserve_room(&self, pack: &PackFile) -> io::Result<()> {
        let _others_wait = self.reserving.lock();
        let bytes = self.options.seal_bytes;
        match self.reserve.admit(bytes.saturating_mul(2)) {
            Ok(()) => self.options.disk.reserve(&pack.file, bytes),
            Err(_) => Ok(()),
        }
    }

    pub fn refuse_if_latched(&self) -> Result<(), PackError> {
        match self.state.lock().latched.clone() {
            Some(reason) => Err(PackError::Latched { reason }),
            None => Ok(()),
        }
    }

    pub fn latched(&self) -> Option<Arc<str>> {
        self.state.lock().latched.clone()
    }

    pub fn full(&self) -> Option<Shortage> {
        self.state.lock().full
    }

    /// After a failed write or sync nobody knows what the disk holds; asking it again may answer wrongly that all is
    /// well. So nothing is acknowledged any more.
    pub fn latch(&self, what: &str, error: &io::Error) -> PackError {
        let reason: Arc<str> = format!("{what}: {error}").into();
        tracing::error!(%reason, "writing a pack failed; no instance is acknowledged until a restart");
        let mut state = self.state.lock();
        let reason = state.latched.get_or_insert(reason);
        PackError::Latched {
            reason: Arc::clone(reason),
        }
    }

    /// Nothing more is stored.
    pub fn stop(&self, reason: &str) {
        tracing::error!(reason, "no instance is acknowledged until a restart");
        self.state.lock().latched.get_or_insert(reason.into());
    }

    /// The disk was full in spite of the reserve: what was written of the record is cut off again.
    pub fn full_or_latch(&self, pack: &PackFile, end: u64, error: &io::Error) -> PackError {
        if !is_full(error) {
            return self.latch("write", error);
        }
        if let Err(error) = self.options.disk.truncate(&pack.file, end) {
            return self.latch("cutting off a record that did not fit", &error);
        }
        let shortage = Shortage {
            free_bytes: 0,
            reserve_bytes: self.options.reserve_bytes,
        };
        self.state.lock().full = Some(shortage);
        PackError::Full(shortage)
    }

    /// Enters durable records of a pack; from now on they can be read.
    pub fn enter(&self, pack: PackId, entries: &[IndexEntry]) {
        let mut ledger = self.ledger.lock();
        if let Some(unsealed) = ledger.get_mut(&pack) {
            unsealed.index.extend_from_slice(entries);
            unsealed.end = entries.last().map_or(unsealed.end, IndexEntry::end);
        }
    }

    /// Nothing more comes into this pack: it is sealed once the event log has all of it, or removed if it holds nothing.
    pub fn retire(&self, pack: PackId) {
        if let Some(unsealed) = self.ledger.lock().get_mut(&pack) {
            unsealed.retired = true;
        }
        self.seal_if_due(pack);
    }

    pub fn logged(&self, pack: PackId, records: u64) {
        if let Some(unsealed) = self.ledger.lock().get_mut(&pack) {
            unsealed.logged = unsealed.logged.saturating_add(records);
        }
        self.seal_if_due(pack);
    }

    fn seal_if_due(&self, pack: PackId) {
        let mut ledger = self.ledger.lock();
        let Some(unsealed) = ledger.get_mut(&pack) else {
            return;
        };
        // What is acknowledged by the object store goes there first.
        let waits = self.options.ack == Ack::Local && unsealed.logged < unsealed.index.len() as u64;
        if !unsealed.retired || unsealed.sealing || waits {
            return;
        }
        unsealed.sealing = true;
        drop(ledger);
        // Closed packs stay unsealed; the next start reads them through.
        if let Some(sealer) = self.sealer.lock().as_ref() {
            let _ = sealer.send(pack);
        }
    }

    /// Resolves when a retired pack has its name; `false`: it does not get it.
    pub async fn is_sealed(&self, pack: PackId) -> bool {
        let mut sealed = self.sealed.subscribe();
        let named = async {
            while !self.path(pack, SEALED).exists() {
                if sealed.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(SEAL_LIMIT, named)
            .await
            .unwrap_or(false)
    }

    /// The system need not keep a sealed pack in memory.
    pub fn give_up_pages(&self, pack: PackId) {
        if let Ok(pack) = self.sealed_pack(pack)
            && let Ok(len) = pack.len()
        {
            self.options.disk.forget(&pack.file, 0, len);
        }
    }

    /// Takes away a sealed pack of which nothing was acknowledged.
    pub fn discard(&self, pack: PackId) {
        self.close_sealed(pack);
        match fs::remove_file(self.path(pack, SEALED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%pack, %error, "a pack of which nothing was acknowledged stays");
            }
            _ => {}
        }
    }

    /// Takes a sealed pack away: from the object store, then out of the journal, then from the disk, so that it is there for
    /// another try whatever fails. One that is not sealed stays.
    pub fn remove(&self, pack: PackId) -> Result<(), PackError> {
        if self.ledger.lock().contains_key(&pack) {
            return Ok(());
        }
        if let Some(remote) = self.remote.get() {
            remote.remove(self, pack)?;
        }
        self.close_sealed(pack);
        match fs::remove_file(self.path(pack, SEALED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PackError::read(pack, error))
            }
            _ => {
                let synced = self.options.disk.sync_data(&self.dir_file);
                synced.map_err(|error| PackError::read(pack, error))
            }
        }
    }

    /// The file of a pack, sealed or not, here or in the object store.
    pub fn pack(&self, id: PackId) -> Result<Arc<PackFile>, PackError> {
        if let Some(unsealed) = self.ledger.lock().get(&id) {
            return Ok(Arc::clone(&unsealed.pack));
        }
        let remote = self.remote.get();
        match (self.sealed_pack(id), remote) {
            (Err(PackError::Missing { .. }), Some(remote)) => remote.pack(self, id),
            (Ok(pack), Some(remote)) => {
                remote.used(id);
                Ok(pack)
            }
            (found, None) | (found @ Err(_), _) => found,
        }
    }

    /// What lies here of a part of a pack, and how far the pack goes here.
    pub fn local_part(&self, id: PackId, range: Range<u64>) -> Result<NodePart, PackError> {
        let unsealed = {
            let ledger = self.ledger.lock();
            ledger.get(&id).map(|it| (Arc::clone(&it.pack), it.end))
        };
        let (pack, size) = match unsealed {
            Some(unsealed) => unsealed,
            None => {
                let pack = self.sealed_pack(id)?;
                let size = pack.len()?;
                (pack, size)
            }
        };
        let range = range.start.min(size)..range.end.min(size);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = pack.read_vec(range.start, length)?.into();
        Ok(NodePart { bytes, size })
    }

    fn sealed_pack(&self, id: PackId) -> Result<Arc<PackFile>, PackError> {
        let mut sealed = self.sealed_files.lock();
        sealed.uses += 1;
        let now = sealed.uses;
        if let Some((pack, used)) = sealed.files.get_mut(&id) {
            *used = now;
            return Ok(Arc::clone(pack));
        }
        let file = File::open(self.path(id, SEALED)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => PackError::Missing { pack: id },
            _ => PackError::read(id, e),
        })?;
        if sealed.files.len() >= OPEN_SEALED_PACKS {
            let oldest = sealed.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                sealed.files.remove(&oldest);
            }
        }
        let pack = Arc::new(PackFile::local(id, file));
        sealed.files.insert(id, (Arc::clone(&pack), now));
        Ok(pack)
    }

    /// Lets go of a sealed file that was removed, so that its space returns.
    pub fn close_sealed(&self, id: PackId) {
        self.sealed_files.lock().files.remove(&id);
    }

    /// Ids of all pack files with this extension, in order.
    pub fn ids(&self, extension: &str) -> io::Result<Vec<PackId>> {
        ids_in(&self.dir, extension)
    }
}

/// Ids of all pack files in `dir` with this extension, in order.
pub fn ids_in(dir: &Path, extension: &str) -> io::Result<Vec<PackId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            ids.extend(path.file_stem().and_then(|s| PackId::parse(s.to_str()?)));
        }
    }
    ids.sort_unstable();
    Ok(ids)
}
