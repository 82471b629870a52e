//! Reading one record: checked before anything of it is believed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use yingku_core::ids::PackId;

use super::error::PackError;
use super::format::{IndexEntry, RECORD_HEADER_BYTES, RecordHeader, TRAILER_BYTES, Trailer};
use super::remote::RemoteBlocks;

/// Data that is read at once at most; a larger instance is streamed.
pub const MAX_READ_BYTES: u64 = 64 * 1024 * 1024;
/// One piece of a streamed instance.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// An open pack file and the id that its records must carry.
#[derive(Debug)]
pub struct PackFile {
    pub id: PackId,
    /// Of a pack in the object store: the blocks that came, and holes.
    pub file: File,
    remote: Option<RemoteBlocks>,
}

/// A record, read and checked.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The Part 10 stream.
    pub data: Bytes,
    /// As the caller of append encoded them.
    pub facts: Bytes,
    /// BLAKE3 over transfer syntax UID and data set.
    pub digest: [u8; 32],
}

/// What a record says of itself, without its data.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordInfo {
    pub offset: u64,
    pub data_len: u64,
    pub facts: Bytes,
    pub digest: [u8; 32],
}

impl std::fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredRecord")
            .field("data", &self.data.len())
            .field("facts", &self.facts.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RecordInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordInfo")
            .field("offset", &self.offset)
            .field("data_len", &self.data_len)
            .field("facts", &self.facts.len())
            .finish_non_exhaustive()
    }
}

impl PackFile {
    pub fn local(id: PackId, file: File) -> Self {
        Self {
            id,
            file,
            remote: None,
        }
    }

    pub fn remote(id: PackId, file: File, blocks: RemoteBlocks) -> Self {
        Self {
            id,
            file,
            remote: Some(blocks),
        }
    }

    /// The header of the record at `offset`.
    fn header(&self, offset: u64) -> Result<([u8; RECORD_HEADER_BYTES], RecordHeader), PackError> {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        self.fill(&mut bytes, offset)?;
        let header = RecordHeader::decode(&bytes, self.id, offset)
            .ok_or_else(|| self.damaged(offset, "no record begins there"))?;
        if !header.complete {
            return Err(self.damaged(offset, "the record is not complete"));
        }
        // A length is only believed as far as the file goes, so that it can reserve no memory beyond that.
        let file_len = self.len()?;
        if offset.saturating_add(header.record_len()) > file_len {
            return Err(self.damaged(offset, "the record is cut"));
        }
        Ok((bytes, header))
    }

    pub fn len(&self) -> Result<u64, PackError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|e| PackError::read(self.id, e))?.len())
    }

    /// Reads and checks the record at `offset`.
    pub fn read(&self, offset: u64) -> Result<StoredRecord, PackError> {
        self.twice(|| self.read_once(offset))
    }

    /// What came from elsewhere is fetched once more before it is called damaged.
    fn twice<T>(&self, read: impl Fn() -> Result<T, PackError>) -> Result<T, PackError> {
        match (read(), &self.remote) {
            (Err(PackError::Damaged { .. }), Some(remote)) => {
                remote.distrust();
                read().inspect_err(|_| remote.distrust())
            }
            (done, _) => done,
        }
    }

    fn read_once(&self, offset: u64) -> Result<StoredRecord, PackError> {
        let (header_bytes, header) = self.header(offset)?;
        if header.data_len > MAX_READ_BYTES {
            return Err(PackError::TooLarge {
                what: "an instance to be read at once",
                bytes: header.data_len,
                limit: MAX_READ_BYTES,
            });
        }
        let body_len = header.data_len as usize + header.facts_len as usize + TRAILER_BYTES;
        let mut body = Bytes::from(self.read_vec(offset + RECORD_HEADER_BYTES as u64, body_len)?);
        let cut = || self.damaged(offset, "the record is cut");
        let data = body.split_to(header.data_len as usize);
        let facts = body.split_to(header.facts_len as usize);
        let trailer = body.first_chunk().ok_or_else(cut)?;
        let trailer = Trailer::decode(trailer, &header_bytes, &facts)
            .ok_or_else(|| self.damaged(offset, "the checksum of its facts is wrong"))?;
        if crc32c::crc32c(&data) != trailer.data_crc {
            return Err(self.damaged(offset, "the checksum of its data is wrong"));
        }
        Ok(StoredRecord {
            data,
            facts,
            digest: trailer.digest,
        })
    }

    /// Reads and checks all but the data of the record at `offset`.
    pub fn info(&self, offset: u64) -> Result<(RecordInfo, Trailer), PackError> {
        self.twice(|| self.info_once(offset))
    }

    fn info_once(&self, offset: u64) -> Result<(RecordInfo, Trailer), PackError> {
        let (header_bytes, header) = self.header(offset)?;
        let facts_at = offset + RECORD_HEADER_BYTES as u64 + header.data_len;
        let length = header.facts_len as usize + TRAILER_BYTES;
        let mut tail = Bytes::from(self.read_vec(facts_at, length)?);
        let facts = tail.split_to(header.facts_len as usize);
        let trailer = tail
            .first_chunk()
            .and_then(|trailer| Trailer::decode(trailer, &header_bytes, &facts))
            .ok_or_else(|| self.damaged(offset, "the checksum of its facts is wrong"))?;
        let info = RecordInfo {
            offset,
            data_len: header.data_len,
            facts,
            digest: trailer.digest,
        };
        Ok((info, trailer))
    }

    /// Reads the record at `offset` through and checks all of it, holding one chunk at a time.
    pub fn check(self: &Arc<Self>, offset: u64) -> Result<IndexEntry, PackError> {
        let mut reader = RecordReader::open(Arc::clone(self), offset)?;
        while reader.next_chunk()?.is_some() {}
        Ok(IndexEntry {
            offset,
            data_len: reader.info.data_len,
            facts_len: reader.info.facts.len() as u32,
            data_crc: reader.trailer.data_crc,
        })
    }

    pub fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), PackError> {
        if let Some(bytes) = self.provide(offset, buffer.len())? {
            if bytes.len() != buffer.len() {
                return Err(self.damaged(offset, "the file ends there"));
            }
            buffer.copy_from_slice(&bytes);
            return Ok(());
        }
        self.file.read_exact_at(buffer, offset).map_err(|e| {
            if e.kind() == io::ErrorKind::UnexpectedEof {
                self.damaged(offset, "the file ends there")
            } else {
                PackError::read(self.id, e)
            }
        })
    }

    /// `length` bytes from `offset`, into memory that is not zeroed before.
    pub fn read_vec(&self, offset: u64, length: usize) -> Result<Vec<u8>, PackError> {
        if let Some(bytes) = self.provide(offset, length)? {
            return match bytes.len() == length {
                true => Ok(bytes.into()),
                false => Err(self.damaged(offset, "the file ends there")),
            };
        }
        let mut bytes: Vec<u8> = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|e| PackError::read(self.id, io::Error::new(io::ErrorKind::OutOfMemory, e)))?;
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(self.damaged(at, "the file ends there")),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(PackError::read(self.id, e.into())),
            }
        }
        // The allocator may have given more room than asked for.
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Brings what is to be read into the file, if it comes from elsewhere. `Some`: it had no room there, these are its
    /// bytes, as many as there are.
    fn provide(&self, offset: u64, length: usize) -> Result<Option<Bytes>, PackError> {
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        let end = offset.saturating_add(length as u64);
        remote.provide(self.id, &self.file, offset..end)
    }

    /// What went wrong on the way here does not stay: the next reader asks again.
    fn distrust(&self) {
        if let Some(remote) = &self.remote {
            remote.distrust();
        }
    }

    pub fn damaged(&self, offset: u64, reason: &'static str) -> PackError {
        PackError::damaged(self.id, offset, reason)
    }
}

/// Streams an instance of any size. The last chunk is only handed out once the whole data's checksum was right, so that
/// a receiver of a damaged instance never gets a complete one; [`RecordReader::verify`] first finds out beforehand.
#[derive(Debug)]
pub struct RecordReader {
    pack: Arc<PackFile>,
    info: RecordInfo,
    trailer: Trailer,
    given: u64,
    crc: u32,
}

impl RecordReader {
    pub(super) fn open(pack: Arc<PackFile>, offset: u64) -> Result<Self, PackError> {
        let (info, trailer) = pack.info(offset)?;
        Ok(Self {
            pack,
            info,
            trailer,
            given: 0,
            crc: 0,
        })
    }

    pub fn info(&self) -> &RecordInfo {
        &self.info
    }

    /// Checksum that the data is to have.
    pub(super) fn data_crc(&self) -> u32 {
        self.trailer.data_crc
    }

    /// Bytes of the data that are still to come.
    pub fn left(&self) -> u64 {
        self.info.data_len - self.given
    }

    /// The next at most [`CHUNK_BYTES`] of the data; `None` after the last. Blocks on the disk.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, PackError> {
        let left = self.info.data_len - self.given;
        if left == 0 {
            // Also checked here for the sake of data of no bytes.
            self.check_crc()?;
            return Ok(None);
        }
        let length = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let at = self.info.offset + RECORD_HEADER_BYTES as u64 + self.given;
        let chunk = self.pack.read_vec(at, length)?;
        self.crc = crc32c::crc32c_append(self.crc, &chunk);
        self.given += length as u64;
        if self.given == self.info.data_len {
            self.check_crc()?;
        }
        Ok(Some(Bytes::from(chunk)))
    }

    /// Reads all data once and checks it, without moving this reader. Blocks on the disk.
    pub fn verify(&self) -> Result<(), PackError> {
        self.pack.check(self.info.offset).map(drop)
    }

    fn check_crc(&self) -> Result<(), PackError> {
        if self.crc != self.trailer.data_crc {
            self.pack.distrust();
            let reason = "the checksum of its data is wrong";
            return Err(self.pack.damaged(self.info.offset, reason));
        }
        Ok(())
    }
}
