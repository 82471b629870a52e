//! Seals packs whose records the event log has: index, footer, sync, and the name `.pack`, away from the committer.

use std::fs;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::mpsc;

use yingku_core::ids::PackId;

use super::disk::{is_full, write_all};
use super::format::{FOOTER_BYTES, Footer, INDEX_ENTRY_BYTES, IndexEntry};
use super::record::PackFile;
use super::shared::{SEALED, Shared, UNSEALED};

/// Runs until every sender is gone.
pub fn run(shared: &Shared, queue: &mpsc::Receiver<PackId>) {
    while let Ok(pack) = queue.recv() {
        if shared.latched().is_some() {
            continue;
        }
        match seal(shared, pack) {
            Ok(()) => {
                shared.ledger.lock().remove(&pack);
                shared.sealed.send_modify(|sealed| *sealed += 1);
            }
            // It stays readable as it is; the next start tries again.
            Err(error) if is_full(&error) => {
                tracing::warn!(%pack, "no room to seal a pack; it stays unsealed until the next start");
            }
            Err(error) => {
                shared.latch("sealing a pack", &error);
            }
        }
    }
}

fn seal(shared: &Shared, id: PackId) -> io::Result<()> {
    let unsealed = {
        let ledger = shared.ledger.lock();
        let unsealed = ledger.get(&id);
        unsealed.map(|u| (Arc::clone(&u.pack), u.index.clone(), u.end))
    };
    let Some((pack, index, end)) = unsealed else {
        return Ok(());
    };
    let open = shared.path(id, UNSEALED);
    if index.is_empty() {
        fs::remove_file(open)?;
    } else {
        write_index(shared, &pack, &index, end)?;
        fs::rename(open, shared.path(id, SEALED))?;
    }
    shared.options.disk.sync_data(&shared.dir_file)
}

fn write_index(shared: &Shared, pack: &PackFile, index: &[IndexEntry], end: u64) -> io::Result<()> {
    let disk = shared.options.disk.as_ref();
    let bytes = index_of(pack.id, index, end);
    if let Err(error) = write_all(disk, &pack.file, &mut [IoSlice::new(&bytes)], end) {
        disk.truncate(&pack.file, end)?;
        return Err(error);
    }
    // Gives back the room that was reserved and not used.
    disk.truncate(&pack.file, end + bytes.len() as u64)?;
    disk.sync_data(&pack.file)
}

/// What stands at the end of a sealed pack, behind its records.
pub fn index_of(pack: PackId, index: &[IndexEntry], end: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(index.len() * INDEX_ENTRY_BYTES + FOOTER_BYTES);
    for entry in index {
        bytes.extend_from_slice(&entry.encode());
    }
    let footer = Footer {
        index_offset: end,
        count: index.len() as u64,
        index_crc: crc32c::crc32c(&bytes),
    };
    bytes.extend_from_slice(&footer.encode(pack));
    bytes
}
