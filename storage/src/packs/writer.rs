//! An open pack in the hands of the one who appends to it.

use std::fs::{self, OpenOptions};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use yingku_core::ids::PackId;

use super::disk::{is_full, write_all};
use super::error::PackError;
use super::format::{
    HEADER_BYTES, Header, IndexEntry, Origin, RECORD_HEADER_BYTES, RecordHeader, TRAILER_BYTES,
    Trailer,
};
use super::record::PackFile;
use super::sealer::index_of;
use super::shared::{SEALED, Shared, UNSEALED, Unsealed, WHOLE};
use super::{NewInstance, Placed};
use crate::log::unix_ms;

/// The least that a page of memory has.
const PAGE_BYTES: u64 = 4096;
/// Less is not worth a system call.
const FORGET_BYTES: u64 = 64 * 1024;

pub struct OpenPack {
    pub pack: Arc<PackFile>,
    /// Where the next record goes: everything before is durable.
    pub end: u64,
    pub records: u64,
    pub last_append: Instant,
    /// The system has nothing before this in memory.
    forgotten: u64,
}

impl OpenPack {
    /// Makes a new pack; its header and its name are durable on return.
    pub fn create(shared: &Shared) -> Result<Self, PackError> {
        let id = shared.next_id();
        let path = shared.path(id, UNSEALED);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| PackError::Create {
                source: Arc::new(e),
            })?;
        let pack = Arc::new(PackFile::local(id, file));
        let disk = &shared.options.disk;
        let header = Header {
            pack: id,
            created_ms: unix_ms(),
            origin: Origin::Senders,
        };
        let made = shared.reserve_room(&pack).and_then(|()| {
            let header = header.encode();
            write_all(disk.as_ref(), &pack.file, &mut [IoSlice::new(&header)], 0)
        });
        if let Err(error) = made {
            let refusal = shared.full_or_latch(&pack, 0, &error);
            if is_full(&error) {
                // It holds nothing; if it cannot be removed now, the next start does.
                let _ = fs::remove_file(path);
            }
            return Err(refusal);
        }
        disk.sync_data(&pack.file)
            .and_then(|()| disk.sync_data(&shared.dir_file))
            .map_err(|e| shared.latch("syncing a new pack", &e))?;
        let unsealed = Unsealed::new(Arc::clone(&pack));
        shared.ledger.lock().insert(id, unsealed);
        Ok(Self {
            pack,
            end: HEADER_BYTES as u64,
            records: 0,
            last_append: Instant::now(),
            forgotten: 0,
        })
    }

    pub fn id(&self) -> PackId {
        self.pack.id
    }

    /// Appends all instances with one sync. All or none: after an error nothing of them is in the pack, or it is latched.
    pub fn append(
        &mut self,
        shared: &Shared,
        instances: &[&NewInstance],
    ) -> Result<Vec<Placed>, PackError> {
        self.forget(shared, self.end);
        let frames = frames_of(self.id(), self.end, instances);
        let mut buffers = buffers_of(&frames, instances);
        let disk = shared.options.disk.as_ref();
        write_all(disk, &self.pack.file, &mut buffers, self.end)
            .map_err(|e| shared.full_or_latch(&self.pack, self.end, &e))?;
        disk.sync_data(&self.pack.file)
            .map_err(|e| shared.latch("sync", &e))?;
        let entries: Vec<IndexEntry> = frames.iter().map(|frame| frame.entry).collect();
        self.appended(shared, &entries);
        let placed = entries.iter().map(|entry| Placed {
            pack: self.id(),
            offset: entry.offset,
            length: entry.data_len,
        });
        Ok(placed.collect())
    }

    /// Lets the system give up its copy in memory of what is durable, everything before `synced`. Called just before more
    /// is written: the next instance then has the pages of the one before, and what else is cached stays. New pages are
    /// dear where memory was free. A virtual machine gets each from its host, which made a write of 512 KB cost 1.2 ms more
    /// than one into pages that were in use a moment ago. Who reads an instance has it read from the disk once.
    pub fn forget(&mut self, shared: &Shared, synced: u64) {
        let bytes = synced.saturating_sub(self.forgotten);
        if bytes >= FORGET_BYTES {
            let disk = &shared.options.disk;
            disk.forget(&self.pack.file, self.forgotten, bytes);
            // The page that it ends in is not full yet, and stays.
            self.forgotten = synced - synced % PAGE_BYTES;
        }
    }

    /// Enters durable records.
    pub fn appended(&mut self, shared: &Shared, entries: &[IndexEntry]) {
        self.end = entries.last().map_or(self.end, IndexEntry::end);
        self.records += entries.len() as u64;
        self.last_append = Instant::now();
        shared.enter(self.id(), entries);
    }

    pub fn is_due(&self, shared: &Shared) -> bool {
        self.end >= shared.options.seal_bytes
            || (self.records > 0 && self.last_append.elapsed() >= shared.options.seal_idle)
    }
}

/// Writes instances as a new pack of their own, whole: durable, sealed and under its name on return.
pub fn write_whole(
    shared: &Shared,
    id: PackId,
    instances: &[&NewInstance],
) -> Result<Vec<Placed>, PackError> {
    let staged = shared.path(id, WHOLE);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&staged)
        .map_err(|e| PackError::Create {
            source: Arc::new(e),
        })?;
    let pack = PackFile::local(id, file);
    let header = Header {
        pack: id,
        created_ms: unix_ms(),
        origin: Origin::Senders,
    };
    let header = header.encode();
    let frames = frames_of(id, HEADER_BYTES as u64, instances);
    let entries: Vec<IndexEntry> = frames.iter().map(|frame| frame.entry).collect();
    let end = entries.last().map_or(HEADER_BYTES as u64, IndexEntry::end);
    let index = index_of(id, &entries, end);
    let mut buffers = vec![IoSlice::new(&header)];
    buffers.extend(buffers_of(&frames, instances));
    buffers.push(IoSlice::new(&index));
    let disk = shared.options.disk.as_ref();
    if let Err(error) = write_all(disk, &pack.file, &mut buffers, 0) {
        let refusal = shared.full_or_latch(&pack, 0, &error);
        // It holds nothing; if it cannot be removed now, the next start does.
        let _ = fs::remove_file(&staged);
        return Err(refusal);
    }
    disk.sync_data(&pack.file)
        .and_then(|()| fs::rename(&staged, shared.path(id, SEALED)))
        .and_then(|()| disk.sync_data(&shared.dir_file))
        .map_err(|e| shared.latch("syncing a whole pack", &e))?;
    let placed = entries.iter().map(|entry| Placed {
        pack: id,
        offset: entry.offset,
        length: entry.data_len,
    });
    Ok(placed.collect())
}

fn frames_of(pack: PackId, mut end: u64, instances: &[&NewInstance]) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(instances.len());
    for instance in instances {
        let frame = Frame::new(pack, end, instance);
        end = frame.entry.end();
        frames.push(frame);
    }
    frames
}

fn buffers_of<'a>(frames: &'a [Frame], instances: &'a [&NewInstance]) -> Vec<IoSlice<'a>> {
    let mut buffers = Vec::with_capacity(instances.iter().map(|i| i.data.len() + 3).sum());
    for (frame, instance) in frames.iter().zip(instances) {
        buffers.push(IoSlice::new(&frame.header));
        buffers.extend(instance.data.iter().map(|piece| IoSlice::new(piece)));
        buffers.push(IoSlice::new(&instance.facts));
        buffers.push(IoSlice::new(&frame.trailer));
    }
    buffers
}

/// What stands around an instance's data and facts.
struct Frame {
    header: [u8; RECORD_HEADER_BYTES],
    trailer: [u8; TRAILER_BYTES],
    entry: IndexEntry,
}

impl Frame {
    fn new(pack: PackId, offset: u64, instance: &NewInstance) -> Self {
        let header = RecordHeader {
            complete: true,
            facts_len: instance.facts.len() as u32,
            data_len: instance.data_len(),
        };
        let bytes = header.encode(pack, offset);
        let trailer = Trailer {
            digest: instance.digest,
            data_crc: instance.crc,
        };
        Self {
            trailer: trailer.encode(&bytes, &instance.facts),
            header: bytes,
            entry: IndexEntry {
                offset,
                data_len: header.data_len,
                facts_len: header.facts_len,
                data_crc: instance.crc,
            },
        }
    }
}
