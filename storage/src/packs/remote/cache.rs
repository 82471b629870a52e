//! What of the object store lies here: local files of uploaded packs, and sparse files of packs that were read. Both are
//! copies, and the budget takes those away that were not read for longest.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use yingku_core::ids::PackId;

use super::blocks::RemoteBlocks;
use super::fetch::{Fetcher, Source};
use crate::packs::error::PackError;
use crate::packs::record::PackFile;
use crate::packs::shared::{SEALED, Shared, ids_in};

/// Sparse file of a pack that is not here.
const SPARSE: &str = "blocks";
/// Sparse files that are open at once; a descriptor is scarce.
const MAX_OPEN: usize = 1024;
/// How often blocks that readers brought are held against the budget, and the space is looked at.
pub const EVICT_EVERY: Duration = Duration::from_secs(5);
/// Packs for which room is kept: one for ordinary instances and one for each lease, which all reserve theirs at once,
/// and as many again while those are uploaded.
const HEADROOM_PACKS: u64 = 10;

pub struct Cache {
    budget_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts reads; the highest number was used last.
    clock: u64,
    used: HashMap<PackId, u64>,
    open: HashMap<PackId, Arc<PackFile>>,
}

/// A sealed pack that lies here whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPack {
    pub pack: PackId,
    pub bytes: u64,
    pub uploaded: bool,
}

/// Sparse files of the last run: nobody knows any more which of their blocks came.
pub fn clear(dir: &Path) -> io::Result<()> {
    for pack in ids_in(dir, SPARSE)? {
        fs::remove_file(dir.join(format!("{pack}.{SPARSE}")))?;
    }
    Ok(())
}

/// The sealed packs that lie here whole, in order.
pub fn local_packs(shared: &Shared) -> io::Result<Vec<LocalPack>> {
    let mut found = Vec::new();
    for pack in shared.ids(SEALED)? {
        match fs::metadata(shared.path(pack, SEALED)) {
            Ok(metadata) => found.push(LocalPack {
                pack,
                bytes: metadata.len(),
                uploaded: shared.journal.size(pack) == Some(metadata.len()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

impl Cache {
    pub fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            state: Mutex::default(),
        }
    }

    pub fn used(&self, pack: PackId) {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        state.used.insert(pack, now);
    }

    pub fn get(&self, pack: PackId) -> Option<Arc<PackFile>> {
        let found = self.state.lock().open.get(&pack).cloned();
        if found.is_some() {
            self.used(pack);
        }
        found
    }

    /// Makes the sparse file of a pack of `size` bytes.
    pub fn open(
        &self,
        shared: &Shared,
        fetcher: &Arc<Fetcher>,
        pack: PackId,
        source: Source,
        size: u64,
    ) -> Result<Arc<PackFile>, PackError> {
        self.used(pack);
        let mut state = self.state.lock();
        if let Some(open) = state.open.get(&pack) {
            return Ok(Arc::clone(open));
        }
        while state.open.len() >= MAX_OPEN {
            let used = &state.used;
            let oldest = state.open.keys().min_by_key(|id| used.get(id)).copied();
            let Some(oldest) = oldest else { break };
            state.drop_sparse(shared, oldest);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(shared.path(pack, SPARSE))
            .and_then(|file| file.set_len(size).map(|()| file))
            .map_err(|e| PackError::read(pack, e))?;
        let blocks = RemoteBlocks::new(Arc::clone(fetcher), shared.reserve.clone(), source, size);
        let opened = Arc::new(PackFile::remote(pack, file, blocks));
        state.open.insert(pack, Arc::clone(&opened));
        Ok(opened)
    }

    /// Lets go of the blocks of a pack that is gone.
    pub fn forget(&self, shared: &Shared, pack: PackId) {
        let mut state = self.state.lock();
        if state.open.contains_key(&pack) {
            state.drop_sparse(shared, pack);
        }
        state.used.remove(&pack);
    }

    /// Bytes of the sparse files.
    pub fn sparse_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.open.values().map(|pack| allocated(pack)).sum()
    }

    /// What is to go, longest unread first, until the rest fits the budget and the space is enough.
    pub fn to_evict(&self, shared: &Shared, local: &[LocalPack]) -> Vec<Evictable> {
        let short = short_bytes(shared);
        let state = self.state.lock();
        let sparse = state.open.values().map(|pack| Evictable {
            pack: pack.id,
            bytes: allocated(pack),
            whole: false,
        });
        let uploaded = local.iter().filter(|local| local.uploaded);
        let whole = uploaded.map(|local| Evictable {
            pack: local.pack,
            bytes: local.bytes,
            whole: true,
        });
        let mut candidates: Vec<Evictable> = sparse.chain(whole).collect();
        let backlog: u64 = local.iter().filter(|l| !l.uploaded).map(|l| l.bytes).sum();
        let held = candidates.iter().map(|c| c.bytes).sum::<u64>() + backlog;
        let mut excess = held.saturating_sub(self.budget_bytes).max(short);
        candidates.sort_unstable_by_key(|c| (state.used.get(&c.pack).copied(), c.pack));
        candidates.retain(|candidate| {
            let goes = excess > 0;
            excess = excess.saturating_sub(candidate.bytes);
            goes
        });
        candidates
    }

    /// Removes what [`Cache::to_evict`] named. Readers that are at it keep their file.
    pub fn evict(&self, shared: &Shared, evictable: Evictable) -> io::Result<()> {
        if !evictable.whole {
            self.state.lock().drop_sparse(shared, evictable.pack);
            return Ok(());
        }
        fs::remove_file(shared.path(evictable.pack, SEALED))?;
        shared.close_sealed(evictable.pack);
        self.state.lock().used.remove(&evictable.pack);
        Ok(())
    }
}

impl State {
    fn drop_sparse(&mut self, shared: &Shared, pack: PackId) {
        self.open.remove(&pack);
        self.used.remove(&pack);
        if let Err(error) = fs::remove_file(shared.path(pack, SPARSE)) {
            tracing::warn!(%pack, %error, "the blocks of a pack cannot be removed");
        }
    }
}

/// A copy that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evictable {
    pub pack: PackId,
    pub bytes: u64,
    /// A whole pack; else blocks of one.
    pub whole: bool,
}

/// Space that instances which come may need and that is not there.
pub fn short_bytes(shared: &Shared) -> u64 {
    let headroom = shared.options.seal_bytes.saturating_mul(HEADROOM_PACKS);
    match shared.reserve.admit(headroom) {
        Ok(()) => 0,
        Err(shortage) => {
            (shortage.reserve_bytes.saturating_add(headroom)).saturating_sub(shortage.free_bytes)
        }
    }
}

fn allocated(pack: &PackFile) -> u64 {
    pack.file.metadata().map_or(0, |m| m.blocks() * 512)
}
