//! Checks RocksDB's write-ahead log and its list of tables (MANIFEST) before RocksDB opens them.
//!
//! A crash leaves at most an incomplete last record in the write-ahead log. RocksDB takes a record whose length field runs
//! past the end of the file for such a tail, and would silently drop every good record behind it; a flipped bit in a
//! length field looks just like that. So: where the first bad record is all there, or good ones follow, it is damage. With
//! the MANIFEST any bad record is: RocksDB deletes tables that it does not list, and may loop for ever over a record of a
//! type that it does not know.
//!
//! The file is a row of 32 KiB blocks; a physical record never crosses a block and is
//! `masked CRC-32C (4) | length (2) | type (1) | payload`, the CRC over type and payload. What is left of a block when
//! fewer than 7 bytes remain is zero. (RocksDB wiki, "Write Ahead Log File Format"; recycled logs, which differ, are off.)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
/// Full, First, Middle, Last: the types that carry data.
const DATA_TYPES: std::ops::RangeInclusive<u8> = 1..=4;

/// A bad record that is no torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalDamage {
    pub file: PathBuf,
    /// Byte of the first bad record.
    pub offset: usize,
    /// It is the list of tables.
    pub in_manifest: bool,
}

/// Looks through every such file in the directory.
pub fn scan(dir: &Path) -> io::Result<Vec<WalDamage>> {
    let mut damage = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file = entry.path();
        let is_wal = file.extension().is_some_and(|e| e == "log");
        let is_manifest = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"MANIFEST-");
        if !is_wal && !is_manifest {
            continue;
        }
        let bytes = fs::read(&file)?;
        if let Some(offset) = first_bad(&bytes)
            && (is_manifest || !is_torn_tail(&bytes, offset))
        {
            damage.push(WalDamage {
                file,
                offset,
                in_manifest: is_manifest,
            });
        }
    }
    Ok(damage)
}

/// Where the first record begins that is not as it was written.
fn first_bad(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    while offset < bytes.len() {
        let block_left = BLOCK_BYTES - offset % BLOCK_BYTES;
        offset += if block_left < HEADER_BYTES {
            block_left
        } else {
            match record_at(bytes, offset) {
                Some(length) => HEADER_BYTES + length,
                None => return Some(offset),
            }
        };
    }
    None
}

/// Whether a crash can have left the bad record at `offset`: it ends too early and nothing good is behind it.
fn is_torn_tail(bytes: &[u8], offset: usize) -> bool {
    let tail = bytes.get(offset..).unwrap_or_default();
    // Room that was allocated ahead. No good record starts with zeros.
    if tail.iter().all(|byte| *byte == 0) {
        return true;
    }
    if let Some((_, [low, high, _, payload @ ..])) = tail.split_first_chunk::<4>()
        && payload.len() >= usize::from(u16::from_le_bytes([*low, *high]))
    {
        return false;
    }
    !(offset + 1..bytes.len()).any(|at| {
        BLOCK_BYTES - at % BLOCK_BYTES >= HEADER_BYTES
            && bytes.get(at + 6).is_some_and(|t| DATA_TYPES.contains(t))
            && record_at(bytes, at).is_some()
    })
}

/// The payload length of the record that begins at `offset`, if it is whole and its checksum right.
fn record_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let header = bytes.get(offset..offset + HEADER_BYTES)?;
    let (crc, rest) = header.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    if offset % BLOCK_BYTES + HEADER_BYTES + length > BLOCK_BYTES {
        return None;
    }
    let covered = bytes.get(offset + 6..offset + HEADER_BYTES + length)?;
    (masked(crc32c::crc32c(covered)) == u32::from_le_bytes(*crc)).then_some(length)
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
