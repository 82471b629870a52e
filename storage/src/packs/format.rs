//! The pack file, byte by byte. All numbers are little-endian, all checksums CRC-32C (Castagnoli).
//!
//! ```text
//! pack    = header, record*                      while it grows (`<id>.open`)
//! pack    = header, record*, index, footer       sealed         (`<id>.pack`)
//! record  = record header, data, facts, trailer
//! ```
//!
//! Header, 64 bytes:
//!
//! | byte | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `YKPACK\r\n` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 1 | cipher: 0 none (1 is AES-256-GCM, 2 SM4-GCM; reserved) |
//! | 11 | 1 | 0 |
//! | 12 | 4 | key id, 0 without a cipher |
//! | 16 | 8 | pack id |
//! | 24 | 8 | creation time, milliseconds of the Unix epoch |
//! | 32 | 1 | origin: 0 its instances came in, 1 they were copied from other packs |
//! | 33 | 27 | 0 |
//! | 60 | 4 | checksum of bytes 0–59 |
//!
//! Record header, 24 bytes. Its checksum also covers pack id and offset, so that a record is only valid where it was
//! written:
//!
//! | byte | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `YKRC` |
//! | 4 | 1 | 1 complete, 0 still being streamed (a large instance) |
//! | 5 | 3 | 0 |
//! | 8 | 4 | length of the facts |
//! | 12 | 8 | length of the data |
//! | 20 | 4 | checksum of pack id (8), offset (8) and bytes 0–19 |
//!
//! Data: a complete DICOM Part 10 stream (PS3.10 §7). Facts: as the caller encoded them. Trailer, 40 bytes:
//!
//! | byte | bytes | what |
//! |---|---|---|
//! | 0 | 32 | BLAKE3 over transfer syntax UID and data set |
//! | 32 | 4 | checksum of the data |
//! | 36 | 4 | checksum of the record header, the facts and bytes 0–35, so that facts can be read without the data |
//!
//! Index: 24 bytes for each record, in the order of offsets: offset (8), length of the data (8), length of the facts (4),
//! checksum of the data (4). Footer, the last 32 bytes:
//!
//! | byte | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `YKINDEX\n` |
//! | 8 | 8 | offset of the index |
//! | 16 | 8 | number of records |
//! | 24 | 4 | checksum of the index |
//! | 28 | 4 | checksum of pack id (8) and footer bytes 0–27 |

use yingku_core::ids::PackId;

pub const HEADER_BYTES: usize = 64;
pub const RECORD_HEADER_BYTES: usize = 24;
pub const TRAILER_BYTES: usize = 40;
pub const INDEX_ENTRY_BYTES: usize = 24;
pub const FOOTER_BYTES: usize = 32;

pub const RECORD_MAGIC: [u8; 4] = *b"YKRC";

const PACK_MAGIC: [u8; 8] = *b"YKPACK\r\n";
const FOOTER_MAGIC: [u8; 8] = *b"YKINDEX\n";
const VERSION: u16 = 1;
const CIPHER_NONE: u8 = 0;
const COMPLETE: u8 = 1;

/// Largest data of a record: 64 GiB, beyond any instance that a modality makes and within every offset.
pub const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Largest facts of a record: a thousand times what the scan makes.
pub const MAX_FACTS_BYTES: u32 = 1024 * 1024;

/// Start of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub pack: PackId,
    pub created_ms: i64,
    pub origin: Origin,
}

/// Where a pack's instances are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    Senders = 0,
    OtherPacks = 1,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = Writer::<HEADER_BYTES>::new();
        out.put(&PACK_MAGIC);
        out.put(&VERSION.to_le_bytes());
        out.put(&[CIPHER_NONE, 0]);
        out.put(&0u32.to_le_bytes());
        out.put(&self.pack.0.to_le_bytes());
        out.put(&self.created_ms.to_le_bytes());
        out.put(&[self.origin as u8]);
        out.put(&[0; 27]);
        out.sealed(&[])
    }

    /// `None` unless the bytes are a header that this version wrote.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut input = Reader::checked(bytes, &[])?;
        input.expect(&PACK_MAGIC)?;
        input.expect(&VERSION.to_le_bytes())?;
        input.expect(&[CIPHER_NONE, 0])?;
        input.expect(&0u32.to_le_bytes())?;
        Some(Self {
            pack: PackId(input.u64()?),
            created_ms: input.u64()?.cast_signed(),
            origin: match input.take::<1>()? {
                [0] => Origin::Senders,
                [1] => Origin::OtherPacks,
                _ => return None,
            },
        })
    }
}

/// Start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// False while a large instance is being streamed: lengths are 0 then, and what follows is not a record yet.
    pub complete: bool,
    pub facts_len: u32,
    pub data_len: u64,
}

impl RecordHeader {
    /// What stands at the start of a record whose length is not known yet.
    pub const STREAMING: Self = Self {
        complete: false,
        facts_len: 0,
        data_len: 0,
    };

    pub fn encode(self, pack: PackId, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = Writer::<RECORD_HEADER_BYTES>::new();
        out.put(&RECORD_MAGIC);
        out.put(&[if self.complete { COMPLETE } else { 0 }, 0, 0, 0]);
        out.put(&self.facts_len.to_le_bytes());
        out.put(&self.data_len.to_le_bytes());
        out.sealed(&place(pack, offset))
    }

    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES], pack: PackId, offset: u64) -> Option<Self> {
        let mut input = Reader::checked(bytes, &place(pack, offset))?;
        input.expect(&RECORD_MAGIC)?;
        let complete = match input.take::<4>()? {
            [COMPLETE, 0, 0, 0] => true,
            [0, 0, 0, 0] => false,
            _ => return None,
        };
        let (facts_len, data_len) = (input.u32()?, input.u64()?);
        (facts_len <= MAX_FACTS_BYTES && data_len <= MAX_DATA_BYTES).then_some(Self {
            complete,
            facts_len,
            data_len,
        })
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> u64 {
        RECORD_HEADER_BYTES as u64
            + self.data_len
            + u64::from(self.facts_len)
            + TRAILER_BYTES as u64
    }
}

fn place(pack: PackId, offset: u64) -> [u8; 16] {
    let mut place = [0; 16];
    let (id, at) = place.split_at_mut(8);
    id.copy_from_slice(&pack.0.to_le_bytes());
    at.copy_from_slice(&offset.to_le_bytes());
    place
}

/// End of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    pub digest: [u8; 32],
    pub data_crc: u32,
}

impl Trailer {
    pub fn encode(self, header: &[u8; RECORD_HEADER_BYTES], facts: &[u8]) -> [u8; TRAILER_BYTES] {
        let mut out = Writer::<TRAILER_BYTES>::new();
        out.put(&self.digest);
        out.put(&self.data_crc.to_le_bytes());
        out.sealed_from(crc32c::crc32c_append(crc32c::crc32c(header), facts))
    }

    /// `None` unless header, facts and trailer belong together. The data is not looked at.
    pub fn decode(
        bytes: &[u8; TRAILER_BYTES],
        header: &[u8; RECORD_HEADER_BYTES],
        facts: &[u8],
    ) -> Option<Self> {
        let seed = crc32c::crc32c_append(crc32c::crc32c(header), facts);
        let mut input = Reader::checked_from(bytes, seed)?;
        Some(Self {
            digest: input.take()?,
            data_crc: input.u32()?,
        })
    }
}

/// A record as the index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: u64,
    pub data_len: u64,
    pub facts_len: u32,
    pub data_crc: u32,
}

impl IndexEntry {
    pub fn encode(self) -> [u8; INDEX_ENTRY_BYTES] {
        let mut out = Writer::<INDEX_ENTRY_BYTES>::new();
        out.put(&self.offset.to_le_bytes());
        out.put(&self.data_len.to_le_bytes());
        out.put(&self.facts_len.to_le_bytes());
        out.put(&self.data_crc.to_le_bytes());
        out.bytes
    }

    pub fn decode(bytes: &[u8; INDEX_ENTRY_BYTES]) -> Option<Self> {
        let mut input = Reader { rest: bytes };
        Some(Self {
            offset: input.u64()?,
            data_len: input.u64()?,
            facts_len: input.u32()?,
            data_crc: input.u32()?,
        })
    }

    /// The first byte after the record.
    pub fn end(&self) -> u64 {
        self.offset
            .saturating_add(RECORD_HEADER_BYTES as u64 + TRAILER_BYTES as u64)
            .saturating_add(self.data_len)
            .saturating_add(u64::from(self.facts_len))
    }
}

/// End of a sealed pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    pub index_offset: u64,
    pub count: u64,
    pub index_crc: u32,
}

impl Footer {
    pub fn encode(self, pack: PackId) -> [u8; FOOTER_BYTES] {
        let mut out = Writer::<FOOTER_BYTES>::new();
        out.put(&FOOTER_MAGIC);
        out.put(&self.index_offset.to_le_bytes());
        out.put(&self.count.to_le_bytes());
        out.put(&self.index_crc.to_le_bytes());
        out.sealed(&pack.0.to_le_bytes())
    }

    pub fn decode(bytes: &[u8; FOOTER_BYTES], pack: PackId) -> Option<Self> {
        let mut input = Reader::checked(bytes, &pack.0.to_le_bytes())?;
        input.expect(&FOOTER_MAGIC)?;
        Some(Self {
            index_offset: input.u64()?,
            count: input.u64()?,
            index_crc: input.u32()?,
        })
    }
}

/// Fills a fixed number of bytes; what is not put stays 0.
struct Writer<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self {
            bytes: [0; N],
            used: 0,
        }
    }

    fn put(&mut self, part: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.used..self.used + part.len()) {
            place.copy_from_slice(part);
        }
        self.used += part.len();
    }

    /// Ends with the checksum of `before` and everything put.
    fn sealed(self, before: &[u8]) -> [u8; N] {
        self.sealed_from(crc32c::crc32c(before))
    }

    fn sealed_from(mut self, seed: u32) -> [u8; N] {
        let covered = self.bytes.split_at(N - 4).0;
        let crc = crc32c::crc32c_append(seed, covered);
        self.used = N - 4;
        self.put(&crc.to_le_bytes());
        self.bytes
    }
}

/// Takes fields from bytes whose checksum was right.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn checked(bytes: &'a [u8], before: &[u8]) -> Option<Self> {
        Self::checked_from(bytes, crc32c::crc32c(before))
    }

    fn checked_from(bytes: &'a [u8], seed: u32) -> Option<Self> {
        let (rest, crc) = bytes.split_last_chunk::<4>()?;
        (crc32c::crc32c_append(seed, rest) == u32::from_le_bytes(*crc)).then_some(Self { rest })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn expect(&mut self, wanted: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const PACK: PackId = PackId(0x0001_0000_0000_0002);

    /// Every bit of `bytes` counts for `decodes`.
    fn every_bit_counts<const N: usize>(bytes: [u8; N], decodes: impl Fn(&[u8; N]) -> bool) {
        assert!(decodes(&bytes));
        for bit in 0..N * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!decodes(&flipped), "bit {bit}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_and_every_bit_counts() {
        let header = Header {
            pack: PACK,
            created_ms: 1_700_000_000_000,
            origin: Origin::OtherPacks,
        };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        every_bit_counts(header.encode(), |b| Header::decode(b).is_some());

        let record = RecordHeader {
            complete: true,
            facts_len: 300,
            data_len: 5_000_000_000,
        };
        let encoded = record.encode(PACK, 64);
        assert_eq!(RecordHeader::decode(&encoded, PACK, 64), Some(record));
        every_bit_counts(encoded, |b| RecordHeader::decode(b, PACK, 64).is_some());
        assert_eq!(RecordHeader::decode(&encoded, PACK, 65), None);
        assert_eq!(RecordHeader::decode(&encoded, PackId(1), 64), None);

        let trailer = Trailer {
            digest: [9; 32],
            data_crc: 77,
        };
        let bytes = trailer.encode(&encoded, b"facts");
        assert_eq!(Trailer::decode(&bytes, &encoded, b"facts"), Some(trailer));
        every_bit_counts(bytes, |b| Trailer::decode(b, &encoded, b"facts").is_some());
        assert_eq!(Trailer::decode(&bytes, &encoded, b"fakts"), None);

        let footer = Footer {
            index_offset: 1 << 40,
            count: 3,
            index_crc: 5,
        };
        assert_eq!(Footer::decode(&footer.encode(PACK), PACK), Some(footer));
        every_bit_counts(footer.encode(PACK), |b| Footer::decode(b, PACK).is_some());

        let entry = IndexEntry {
            offset: 64,
            data_len: 10,
            facts_len: 5,
            data_crc: 1,
        };
        assert_eq!(IndexEntry::decode(&entry.encode()), Some(entry));
        assert_eq!(entry.end(), 64 + 24 + 10 + 5 + 40);
    }

    #[test]
    fn lengths_beyond_the_limits_are_no_header() {
        for (facts_len, data_len) in [(MAX_FACTS_BYTES + 1, 0), (0, MAX_DATA_BYTES + 1)] {
            let header = RecordHeader {
                complete: true,
                facts_len,
                data_len,
            };
            assert_eq!(
                RecordHeader::decode(&header.encode(PACK, 64), PACK, 64),
                None
            );
        }
    }
}
