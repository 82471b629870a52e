//! Chunk rows: up to [`CHUNK_INSTANCES`] instances of one series in one row, column by column.
//!
//! A city makes billions of instances and every node holds them all, so a row spends some 30 bytes on each: a shared
//! UID prefix, a table for each attribute that hardly varies, deltas for the numbers that grow. All integers are
//! LEB128; signed deltas are zigzag. The layout is versioned by its first byte.

use crate::ids::{AeTitle, PackId, Position, SopInstanceUid, Uid};

use super::facts::{ImageFacts, StoredInstance};

/// Instances of one row at most: a row is read and rewritten whole.
pub const CHUNK_INSTANCES: usize = 128;

const LAYOUT: u8 = 2;

/// One stored instance.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkEntry {
    pub stored: StoredInstance,
    pub pack: PackId,
    pub sender: AeTitle,
    /// The record that brought it.
    pub position: Position,
    /// 0: it is not hidden. Else which of the study's [`hides`](super::StudyRow::hides) hide it, counted from 1.
    pub hidden: u32,
    /// Same SOP Instance UID as an earlier one, other bytes: listed, not shown.
    pub further: bool,
    /// 0: it came as the study's first images did. Else with the numbers of these of the study's [`Guests`](super::Guests),
    /// counted from 1.
    pub guest: u32,
}

impl ChunkEntry {
    pub fn image(&self) -> &ImageFacts {
        &self.stored.image
    }

    /// Shown to readers and counted.
    pub fn is_visible(&self) -> bool {
        self.hidden == 0 && !self.further
    }
}

/// Where an instance lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InPack {
    pub pack: PackId,
    /// Of its record.
    pub offset: u64,
    /// Bytes of the Part 10 stream.
    pub length: u64,
}

/// The instances of one chunk row, in order of arrival.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    pub entries: Vec<ChunkEntry>,
}

/// Why bytes are not a chunk row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chunk row is damaged: {0}")]
pub struct ChunkError(&'static str);

impl Chunk {
    /// Whether an instance is here with these bytes.
    pub fn holds(&self, sop_instance: &SopInstanceUid, digest: &[u8; 16]) -> bool {
        self.entries.iter().any(|entry| {
            entry.stored.digest == *digest && entry.image().sop_instance == *sop_instance
        })
    }

    /// The instance with these bytes.
    pub fn take(self, sop_instance: &SopInstanceUid, digest: &[u8; 16]) -> Option<ChunkEntry> {
        self.entries.into_iter().find(|entry| {
            entry.stored.digest == *digest && entry.image().sop_instance == *sop_instance
        })
    }

    /// Where the instances of a row lie, without reading anything else of them.
    pub fn places(bytes: &[u8]) -> Result<Vec<InPack>, ChunkError> {
        let mut input = Reader(bytes);
        let count = input.count()?;
        for _ in 0..=count {
            // The UIDs' common beginning, and the rest of each.
            input.text()?;
        }
        input.take(16 * count)?;
        for _ in ["class", "transfer syntax", "sender"] {
            input.table(count, |_| Some(()))?;
        }
        input.texts_of_numbers(count)?;
        let (offsets, lengths) = (input.deltas(count)?, input.deltas(count)?);
        let packs = input.runs(count)?;
        if packs.len() != count {
            return Err(ChunkError("column"));
        }
        let places = packs.into_iter().zip(offsets).zip(lengths);
        let places = places.map(|((pack, offset), length)| InPack {
            pack: PackId(pack),
            offset,
            length,
        });
        Ok(places.collect())
    }

    pub fn encode(&self) -> Vec<u8> {
        let entries = &self.entries;
        let mut out = Writer(Vec::with_capacity(64 + entries.len() * 32));
        out.0.push(LAYOUT);
        out.number(entries.len() as u64);
        let prefix = common_prefix(entries.iter().map(|e| e.image().sop_instance.as_str()));
        out.text(prefix);
        for entry in entries {
            out.text(
                entry
                    .image()
                    .sop_instance
                    .as_str()
                    .get(prefix.len()..)
                    .unwrap_or(""),
            );
        }
        for entry in entries {
            out.0.extend_from_slice(&entry.stored.digest);
        }
        out.table(entries, |e| e.image().sop_class.as_str());
        out.table(entries, |e| e.image().transfer_syntax.as_str());
        out.table(entries, |e| e.sender.as_str());
        out.numbers_of_text(entries);
        out.deltas(entries, |e| e.stored.offset);
        out.deltas(entries, |e| e.stored.length);
        out.runs(entries, |e| e.pack.0);
        out.runs(entries, |e| e.position.0);
        out.runs(entries, |e| u64::from(e.image().rows));
        out.runs(entries, |e| u64::from(e.image().columns));
        out.runs(entries, |e| u64::from(e.image().bits_allocated));
        out.runs(entries, |e| u64::from(e.image().frames));
        out.runs(entries, |e| u64::from(e.hidden));
        out.runs(entries, |e| u64::from(e.further));
        out.runs(entries, |e| u64::from(e.guest));
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut input = Reader(bytes);
        let count = input.count()?;
        let prefix = input.text()?;
        let mut uids = Vec::with_capacity(count);
        let mut uid = String::with_capacity(64);
        for _ in 0..count {
            uid.clear();
            uid.push_str(prefix);
            uid.push_str(input.text()?);
            uids.push(SopInstanceUid::new(&uid).map_err(|_| ChunkError("uid"))?);
        }
        let mut digests = Vec::with_capacity(count);
        for _ in 0..count {
            let digest: [u8; 16] = input
                .take(16)?
                .try_into()
                .map_err(|_| ChunkError("digest"))?;
            digests.push(digest);
        }
        let mut classes = input.table(count, |text| Uid::new(text).ok())?.into_iter();
        let mut syntaxes = input.table(count, |text| Uid::new(text).ok())?.into_iter();
        let mut senders = input
            .table(count, |text| AeTitle::new(text).ok())?
            .into_iter();
        let mut numbers = input.texts_of_numbers(count)?.into_iter();
        let mut offsets = input.deltas(count)?.into_iter();
        let mut lengths = input.deltas(count)?.into_iter();
        let mut columns = Vec::with_capacity(9);
        for _ in 0..9 {
            columns.push(input.runs(count)?.into_iter());
        }
        let [
            packs,
            positions,
            rows,
            widths,
            bits,
            frames,
            hidden,
            further,
            guests,
        ] = columns.as_mut_slice()
        else {
            return Err(ChunkError("columns"));
        };
        let mut entries = Vec::with_capacity(count);
        for (sop_instance, digest) in uids.into_iter().zip(digests) {
            let short = || ChunkError("column");
            entries.push(ChunkEntry {
                stored: StoredInstance {
                    image: ImageFacts {
                        sop_instance,
                        sop_class: classes.next().ok_or_else(short)?,
                        transfer_syntax: syntaxes.next().ok_or_else(short)?,
                        number: numbers.next().ok_or_else(short)?,
                        rows: rows.next().ok_or_else(short)? as u32,
                        columns: widths.next().ok_or_else(short)? as u32,
                        bits_allocated: bits.next().ok_or_else(short)? as u16,
                        frames: frames.next().ok_or_else(short)? as u32,
                    },
                    offset: offsets.next().ok_or_else(short)?,
                    length: lengths.next().ok_or_else(short)?,
                    digest,
                },
                sender: senders.next().ok_or_else(short)?,
                pack: PackId(packs.next().ok_or_else(short)?),
                position: Position(positions.next().ok_or_else(short)?),
                hidden: hidden.next().ok_or_else(short)? as u32,
                further: further.next().ok_or_else(short)? != 0,
                guest: guests.next().ok_or_else(short)? as u32,
            });
        }
        Ok(Self { entries })
    }
}

fn common_prefix<'a>(mut texts: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = texts.next() else { return "" };
    let mut length = first.len();
    for text in texts {
        let same = first
            .bytes()
            .zip(text.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        length = length.min(same);
    }
    first.get(..length).unwrap_or("")
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Runs of equal values: number of runs, then (length, value).
    fn runs(&mut self, entries: &[ChunkEntry], value: impl Fn(&ChunkEntry) -> u64) {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for entry in entries {
            let value = value(entry);
            match runs.last_mut() {
                Some((length, last)) if *last == value => *length += 1,
                _ => runs.push((1, value)),
            }
        }
        self.number(runs.len() as u64);
        for (length, value) in runs {
            self.number(length);
            self.number(value);
        }
    }

    fn deltas(&mut self, entries: &[ChunkEntry], value: impl Fn(&ChunkEntry) -> u64) {
        let mut last = 0u64;
        for entry in entries {
            let value = value(entry);
            self.number(zigzag(value.wrapping_sub(last) as i64));
            last = value;
        }
    }

    /// A table of distinct texts, then runs of indices into it.
    fn table<'a>(&mut self, entries: &'a [ChunkEntry], text: impl Fn(&'a ChunkEntry) -> &'a str) {
        let mut table: Vec<&str> = Vec::new();
        let mut runs: Vec<(u64, usize)> = Vec::new();
        for entry in entries {
            let text = text(entry);
            let index = table
                .iter()
                .position(|known| *known == text)
                .unwrap_or_else(|| {
                    table.push(text);
                    table.len() - 1
                });
            match runs.last_mut() {
                Some((length, last)) if *last == index => *length += 1,
                _ => runs.push((1, index)),
            }
        }
        self.number(table.len() as u64);
        for text in table {
            self.text(text);
        }
        self.number(runs.len() as u64);
        for (length, index) in runs {
            self.number(length);
            self.number(index as u64);
        }
    }

    /// Instance numbers: a delta (even) where the text is a plain number, else the text itself (odd: its length).
    fn numbers_of_text(&mut self, entries: &[ChunkEntry]) {
        let mut last = 0i64;
        for entry in entries {
            let text = entry.image().number.as_str();
            match plain_number(text) {
                Some(value) => {
                    self.number(zigzag(value - last) << 1);
                    last = value;
                }
                None => {
                    self.number(((text.len() as u64) << 1) | 1);
                    self.0.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// The value of a text that prints as it stood: no sign, no leading zeros, 31 bits.
fn plain_number(text: &str) -> Option<i64> {
    let value: i64 = i64::from(text.parse::<i32>().ok()?);
    (value >= 0 && !(text.len() > 1 && text.starts_with('0')) && !text.starts_with('+'))
        .then_some(value)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ChunkError> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(ChunkError("ends early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, ChunkError> {
        let (head, tail) = self.0.split_first().ok_or(ChunkError("ends early"))?;
        self.0 = tail;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, ChunkError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ChunkError("number"))
    }

    fn text(&mut self) -> Result<&'a str, ChunkError> {
        let length = usize::try_from(self.number()?).map_err(|_| ChunkError("text"))?;
        std::str::from_utf8(self.take(length)?).map_err(|_| ChunkError("text"))
    }

    /// Layout and number of instances, which every row begins with.
    fn count(&mut self) -> Result<usize, ChunkError> {
        if self.byte()? != LAYOUT {
            return Err(ChunkError("layout"));
        }
        let count = usize::try_from(self.number()?).map_err(|_| ChunkError("count"))?;
        (count <= CHUNK_INSTANCES)
            .then_some(count)
            .ok_or(ChunkError("count"))
    }

    fn run_length(&mut self, left: usize) -> Result<usize, ChunkError> {
        let length = usize::try_from(self.number()?).map_err(|_| ChunkError("run"))?;
        if length == 0 || length > left {
            Err(ChunkError("run"))
        } else {
            Ok(length)
        }
    }

    fn runs(&mut self, count: usize) -> Result<Vec<u64>, ChunkError> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..self.number()? {
            let length = self.run_length(count - values.len())?;
            let value = self.number()?;
            values.extend(std::iter::repeat_n(value, length));
        }
        Ok(values)
    }

    fn deltas(&mut self, count: usize) -> Result<Vec<u64>, ChunkError> {
        let mut values = Vec::with_capacity(count);
        let mut last = 0u64;
        for _ in 0..count {
            last = last.wrapping_add(unzigzag(self.number()?) as u64);
            values.push(last);
        }
        Ok(values)
    }

    fn table<T: Clone>(
        &mut self,
        count: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ChunkError> {
        let size = usize::try_from(self.number()?).map_err(|_| ChunkError("table"))?;
        if size > count {
            return Err(ChunkError("table"));
        }
        let mut table = Vec::with_capacity(size);
        for _ in 0..size {
            table.push(parse(self.text()?).ok_or(ChunkError("table"))?);
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..self.number()? {
            let length = self.run_length(count - values.len())?;
            let index = usize::try_from(self.number()?).map_err(|_| ChunkError("table"))?;
            let value = table.get(index).ok_or(ChunkError("table"))?;
            values.extend(std::iter::repeat_n(value.clone(), length));
        }
        Ok(values)
    }

    fn texts_of_numbers(&mut self, count: usize) -> Result<Vec<String>, ChunkError> {
        let mut values = Vec::with_capacity(count);
        let mut last = 0i64;
        for _ in 0..count {
            let head = self.number()?;
            if head & 1 == 0 {
                last = last.wrapping_add(unzigzag(head >> 1));
                values.push(last.to_string());
            } else {
                let length = usize::try_from(head >> 1).map_err(|_| ChunkError("number"))?;
                let text =
                    std::str::from_utf8(self.take(length)?).map_err(|_| ChunkError("number"))?;
                values.push(text.to_owned());
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn chunk(count: usize) -> Chunk {
        let entries = (0..count)
            .map(|i| ChunkEntry {
                stored: StoredInstance {
                    image: ImageFacts {
                        sop_instance: SopInstanceUid::new(format!(
                            "1.2.840.113619.2.55.3.{}",
                            1000 + i
                        ))
                        .unwrap(),
                        sop_class: Uid::new("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                        transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
                        number: match i % 7 {
                            0 => String::new(),
                            1 => format!("00{i}"),
                            _ => i.to_string(),
                        },
                        rows: 512,
                        columns: 512,
                        bits_allocated: 16,
                        frames: 1 + (i as u32 / 50),
                    },
                    offset: 64 + i as u64 * 525_000,
                    length: 524_900 + (i as u64 % 3),
                    digest: [i as u8; 16],
                },
                pack: PackId(3),
                sender: AeTitle::new("CT1").unwrap(),
                position: Position(100 + i as u64 / 40),
                hidden: if i == 5 { 2 } else { 0 },
                further: i == 6,
                guest: u32::from(i > 90),
            })
            .collect();
        Chunk { entries }
    }

    #[test]
    fn what_is_encoded_decodes() {
        for count in [0, 1, 7, CHUNK_INSTANCES] {
            assert!(
                Chunk::decode(&chunk(count).encode()).unwrap() == chunk(count),
                "{count}"
            );
        }
    }

    #[test]
    fn an_instance_takes_about_thirty_bytes() {
        let bytes = chunk(CHUNK_INSTANCES).encode().len();
        assert!(
            bytes <= 32 * CHUNK_INSTANCES,
            "{} bytes each",
            bytes / CHUNK_INSTANCES
        );
    }

    #[test]
    fn a_cut_or_changed_row_never_panics() {
        let bytes = chunk(20).encode();
        for cut in 0..bytes.len() {
            assert!(Chunk::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let _ = Chunk::decode(&changed);
            }
        }
    }
}
