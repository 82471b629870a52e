//! Walks through a pack's records without an index: for packs that were not sealed, and for verification.

use std::ops::Range;
use std::sync::Arc;

use super::error::PackError;
use super::format::{
    FOOTER_BYTES, Footer, HEADER_BYTES, Header, INDEX_ENTRY_BYTES, IndexEntry, RECORD_HEADER_BYTES,
    RECORD_MAGIC, RecordHeader,
};
use super::record::PackFile;

/// Bytes looked through at once for the next record behind damage.
const WINDOW_BYTES: usize = 1024 * 1024;

/// What lies between a pack's header and `end`.
#[derive(Debug, Default)]
pub struct Scan {
    pub entries: Vec<IndexEntry>,
    /// Bytes that are no valid record, with valid records behind them.
    pub damage: Vec<Range<u64>>,
    /// Where the last valid record ends. What follows up to the scanned end, if anything, is no record.
    pub end: u64,
}

impl PackFile {
    pub fn check_header(&self) -> Result<Header, PackError> {
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes, 0)?;
        Header::decode(&bytes)
            .filter(|header| header.pack == self.id)
            .ok_or_else(|| self.damaged(0, "its header is wrong"))
    }

    /// Finds and checks every record that ends at `end` or before.
    pub fn scan(self: &Arc<Self>, end: u64) -> Result<Scan, PackError> {
        let mut scan = Scan {
            end: HEADER_BYTES as u64,
            ..Scan::default()
        };
        let mut at = scan.end;
        while at < end {
            let found = match self.valid_at(at, end)? {
                Some(entry) => Some(entry),
                None => self.next_valid(at, end)?,
            };
            let Some(entry) = found else { break };
            if entry.offset > scan.end {
                scan.damage.push(scan.end..entry.offset);
            }
            at = entry.end();
            scan.end = at;
            scan.entries.push(entry);
        }
        Ok(scan)
    }

    /// The record at `offset`, if there is one and all of it is right.
    fn valid_at(self: &Arc<Self>, offset: u64, end: u64) -> Result<Option<IndexEntry>, PackError> {
        match self.check(offset) {
            Ok(entry) if entry.end() <= end => Ok(Some(entry)),
            Ok(_) | Err(PackError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first valid record behind the bad one at `bad`.
    fn next_valid(self: &Arc<Self>, bad: u64, end: u64) -> Result<Option<IndexEntry>, PackError> {
        // Where the bad record's own header is right, the next one begins where it says.
        let from = match self.header_at(bad)? {
            Some(header) if header.complete => bad.saturating_add(header.record_len()),
            _ => bad + 1,
        };
        let mut window = vec![0; WINDOW_BYTES];
        let mut at = from;
        while at.saturating_add(RECORD_HEADER_BYTES as u64) <= end {
            let length = usize::try_from(end - at).map_or(WINDOW_BYTES, |l| l.min(WINDOW_BYTES));
            let Some(window) = window.get_mut(..length) else {
                break;
            };
            self.fill(window, at)?;
            for start in magic_positions(window) {
                if let Some(entry) = self.valid_at(at + start as u64, end)? {
                    return Ok(Some(entry));
                }
            }
            // Windows overlap, so that a magic across their border is seen.
            at += (length - RECORD_MAGIC.len() + 1).max(1) as u64;
        }
        Ok(None)
    }

    pub fn header_at(&self, offset: u64) -> Result<Option<RecordHeader>, PackError> {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        match self.fill(&mut bytes, offset) {
            Ok(()) => Ok(RecordHeader::decode(&bytes, self.id, offset)),
            Err(PackError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The index of a sealed pack and where it lies.
    pub fn index(&self) -> Result<(Vec<IndexEntry>, u64), PackError> {
        let file_len = self.len()?;
        let footer_at = file_len
            .checked_sub(FOOTER_BYTES as u64)
            .ok_or_else(|| self.damaged(0, "its footer is missing"))?;
        let mut footer = [0; FOOTER_BYTES];
        self.fill(&mut footer, footer_at)?;
        let footer = Footer::decode(&footer, self.id)
            .ok_or_else(|| self.damaged(footer_at, "its footer is wrong"))?;
        let index_len = footer.count.saturating_mul(INDEX_ENTRY_BYTES as u64);
        if footer.index_offset.checked_add(index_len) != Some(footer_at) {
            return Err(self.damaged(footer_at, "its footer does not fit the file"));
        }
        let mut bytes = vec![0; index_len as usize];
        self.fill(&mut bytes, footer.index_offset)?;
        if crc32c::crc32c(&bytes) != footer.index_crc {
            return Err(self.damaged(footer.index_offset, "the checksum of its index is wrong"));
        }
        let (entries, _) = bytes.as_chunks::<INDEX_ENTRY_BYTES>();
        let entries = entries.iter().filter_map(IndexEntry::decode).collect();
        Ok((entries, footer.index_offset))
    }
}

fn magic_positions(window: &[u8]) -> impl Iterator<Item = usize> + '_ {
    window
        .windows(RECORD_MAGIC.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == RECORD_MAGIC)
        .map(|(start, _)| start)
}
