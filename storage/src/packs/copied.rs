//! A pack that is made of instances of other packs: it regroups them, so that what belongs together lies together and what
//! nobody needs is left behind.
//!
//! It is written under a name of its own that a start removes, and gets its name whole: durable and sealed. Its header
//! says what it is: where the log does not tell of one, it is a copy that a crash left, and nothing is lost with it.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice};
use std::sync::Arc;

use yingku_core::ids::PackId;

use super::disk::{is_full, write_all};
use super::error::PackError;
use super::format::{Header, IndexEntry, Origin, RecordHeader, Trailer};
use super::groups::DirectUpload;
use super::record::{PackFile, RecordReader};
use super::sealer::index_of;
use super::shared::{SEALED, Shared, WHOLE};
use crate::log::unix_ms;
use crate::space::Shortage;

/// Bytes that are written before they are synced: what waits for a sync of its own waits for no more.
const SYNC_BYTES: u64 = 8 << 20;

/// Such a pack in the making. Dropped before [`CopiedPack::finish`], it leaves nothing.
pub struct CopiedPack {
    shared: Arc<Shared>,
    pack: PackFile,
    entries: Vec<IndexEntry>,
    end: u64,
    synced: u64,
    /// Nobody else uploads it, where there is an object store.
    upload: Option<DirectUpload>,
    done: bool,
}

/// Such a pack, whole: durable here under its name. Dropped before [`WrittenPack::stored`], where there is an object store,
/// it leaves nothing.
pub struct WrittenPack {
    id: PackId,
    upload: Option<DirectUpload>,
}

impl WrittenPack {
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Resolves to `Ok` when the object store has it, if there is one.
    pub async fn stored(self) -> Result<(), PackError> {
        match self.upload {
            Some(upload) => upload.run().await,
            None => Ok(()),
        }
    }
}

impl CopiedPack {
    pub(super) fn create(shared: &Arc<Shared>, is_cold: bool) -> Result<Self, PackError> {
        shared.refuse_if_latched()?;
        let id = match is_cold {
            true => shared.next_cold_id(),
            false => shared.next_id(),
        };
        let upload = match &shared.options.objects {
            Some(_) => Some(DirectUpload::begin(shared, id)?),
            None => None,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(shared.path(id, WHOLE))
            .map_err(|e| PackError::Create {
                source: Arc::new(e),
            })?;
        let mut copied = Self {
            shared: Arc::clone(shared),
            pack: PackFile::local(id, file),
            entries: Vec::new(),
            end: 0,
            synced: 0,
            upload,
            done: false,
        };
        let header = Header {
            pack: id,
            created_ms: unix_ms(),
            origin: Origin::OtherPacks,
        };
        copied.write(&[&header.encode()])?;
        Ok(copied)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Copies an instance; the offset of its record here. What cannot be read, or is not as it was written, is not copied,
    /// and nothing of it is kept. Blocks on the disk.
    pub fn copy(&mut self, from: PackId, offset: u64) -> Result<u64, PackError> {
        let mut reader = RecordReader::open(self.shared.pack(from)?, offset)?;
        let info = reader.info().clone();
        // Instances that come have the room first: as much as a whole pack and this instance stay free for them.
        let room = self.shared.options.seal_bytes.saturating_add(info.data_len);
        self.shared.reserve.admit(room).map_err(PackError::Full)?;
        let at = self.end;
        match self.copy_record(&mut reader, &info.facts, info.digest) {
            Ok(entry) => {
                self.entries.push(entry);
                self.sync_if_due()?;
                Ok(at)
            }
            Err(error) => {
                self.end = at;
                self.failed(self.shared.options.disk.truncate(&self.pack.file, at))?;
                Err(error)
            }
        }
    }

    fn copy_record(
        &mut self,
        reader: &mut RecordReader,
        facts: &[u8],
        digest: [u8; 32],
    ) -> Result<IndexEntry, PackError> {
        let entry = IndexEntry {
            offset: self.end,
            data_len: reader.left(),
            facts_len: facts.len() as u32,
            data_crc: reader.data_crc(),
        };
        let header = RecordHeader {
            complete: true,
            facts_len: entry.facts_len,
            data_len: entry.data_len,
        };
        let header = header.encode(self.pack.id, entry.offset);
        self.write(&[&header])?;
        while let Some(chunk) = reader.next_chunk()? {
            self.write(&[&chunk])?;
        }
        let trailer = Trailer {
            digest,
            data_crc: entry.data_crc,
        };
        self.write(&[facts, &trailer.encode(&header, facts)])?;
        Ok(entry)
    }

    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), PackError> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let disk = self.shared.options.disk.as_ref();
        let written = write_all(disk, &self.pack.file, &mut slices, self.end);
        self.failed(written)?;
        self.end += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Nothing depends on this file yet, so nothing is latched: it is dropped.
    fn failed<T>(&self, done: io::Result<T>) -> Result<T, PackError> {
        done.map_err(|error| match is_full(&error) {
            true => PackError::Full(Shortage {
                free_bytes: 0,
                reserve_bytes: self.shared.options.reserve_bytes,
            }),
            false => PackError::read(self.pack.id, error),
        })
    }

    fn sync_if_due(&mut self) -> Result<(), PackError> {
        if self.end - self.synced < SYNC_BYTES {
            return Ok(());
        }
        self.sync()
    }

    /// What is durable need not be in memory.
    fn sync(&mut self) -> Result<(), PackError> {
        let disk = self.shared.options.disk.as_ref();
        self.failed(disk.sync_data(&self.pack.file))?;
        disk.forget(&self.pack.file, self.synced, self.end - self.synced);
        self.synced = self.end;
        Ok(())
    }

    /// Seals it under its name. Durable on return; the log does not tell of it yet.
    pub fn finish(mut self) -> Result<WrittenPack, PackError> {
        let id = self.pack.id;
        let index = index_of(id, &self.entries, self.end);
        self.write(&[&index])?;
        self.sync()?;
        self.done = true;
        let (staged, sealed) = (self.shared.path(id, WHOLE), self.shared.path(id, SEALED));
        let named = fs::rename(staged, sealed);
        self.failed(named)?;
        let synced = self.shared.options.disk.sync_data(&self.shared.dir_file);
        self.failed(synced)?;
        self.shared.sealed.send_modify(|sealed| *sealed += 1);
        let upload = self.upload.take();
        Ok(WrittenPack { id, upload })
    }
}

impl Drop for CopiedPack {
    fn drop(&mut self) {
        if !self.done {
            // A start removes what is left.
            let _ = fs::remove_file(self.shared.path(self.pack.id, WHOLE));
        }
    }
}

/// Whether a sealed pack that lies here was made of others.
pub fn is_copied(shared: &Shared, pack: PackId) -> Result<bool, PackError> {
    let header = shared.pack(pack)?.check_header()?;
    Ok(header.origin == Origin::OtherPacks)
}
