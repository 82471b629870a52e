//! Tells a torn tail of RocksDB's write-ahead log from damage before RocksDB opens it.
//!
//! A crash leaves at most an incomplete last record. RocksDB takes a record whose length field runs past the end of
//! the file for such a tail, and would silently drop every good record behind it; a flipped bit in a length field
//! looks just like that. So: where the first bad record is followed by a good one, it is damage.
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

/// A bad record with good ones behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalDamage {
    pub file: PathBuf,
    /// Byte of the first bad record.
    pub offset: usize,
    /// Byte of a good record behind it.
    pub good_after: usize,
}

/// Looks through every write-ahead log in the directory.
pub fn scan(dir: &Path) -> io::Result<Option<WalDamage>> {
    for entry in fs::read_dir(dir)? {
        let file = entry?.path();
        if file.extension().is_some_and(|e| e == "log") {
            let bytes = fs::read(&file)?;
            if let Some((offset, good_after)) = damage_in(&bytes) {
                return Ok(Some(WalDamage {
                    file,
                    offset,
                    good_after,
                }));
            }
        }
    }
    Ok(None)
}

fn damage_in(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut offset = 0;
    loop {
        let block_left = BLOCK_BYTES - offset % BLOCK_BYTES;
        if block_left < HEADER_BYTES {
            offset += block_left;
            continue;
        }
        if offset >= bytes.len() {
            return None;
        }
        match record_at(bytes, offset) {
            Some(length) => offset += HEADER_BYTES + length,
            // Zeros stand where space was allocated ahead; a good record never starts with seven of them.
            None => {
                let behind = (offset + 1..bytes.len()).find(|&at| {
                    BLOCK_BYTES - at % BLOCK_BYTES >= HEADER_BYTES
                        && bytes.get(at + 6).is_some_and(|t| DATA_TYPES.contains(t))
                        && record_at(bytes, at).is_some()
                });
                return behind.map(|good_after| (offset, good_after));
            }
        }
    }
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
