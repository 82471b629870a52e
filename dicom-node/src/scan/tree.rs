//! A small data set in memory with what is in its sequences, checked by the same walk as an instance.

use std::collections::BTreeMap;

use dicom_core::Tag;

use super::element::{
    Encoding, Header, ITEM, ITEM_END, Kind, SEQUENCE_END, UNDEFINED, parse_header,
};
use super::walk::Walker;
use super::{DATA_SET_LIMIT, ScanError};

/// The elements of a data set, or of an item of a sequence.
pub type RawItem<'a> = BTreeMap<Tag, RawValue<'a>>;

pub enum RawValue<'a> {
    Bytes(&'a [u8]),
    Items(Vec<RawItem<'a>>),
}

/// Reads all of it. The walk bounds how deep sequences are nested, so reading them one in another cannot exhaust the stack.
pub fn read_tree(bytes: &[u8], encoding: Encoding) -> Result<RawItem<'_>, ScanError> {
    if bytes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut walker = Walker::new(encoding, DATA_SET_LIMIT).with_file_meta();
    walker.feed(bytes)?;
    walker.finish()?;
    let mut reader = Reader {
        rest: bytes,
        whole: bytes.len(),
    };
    reader.elements(encoding)
}

/// Reads what is known to be sound.
struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes that there were at first.
    whole: usize,
}

impl<'a> Reader<'a> {
    fn truncated(&self) -> ScanError {
        ScanError::Truncated((self.whole - self.rest.len()) as u64)
    }

    fn header(&mut self, encoding: Encoding) -> Result<Header, ScanError> {
        let at = (self.whole - self.rest.len()) as u64;
        let header = parse_header(self.rest, encoding)
            .map_err(|tag| ScanError::Vr { tag, at })?
            .ok_or_else(|| self.truncated())?;
        self.take(header.size)?;
        Ok(header)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ScanError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    /// What has a length of its own.
    fn within(&mut self, length: u32) -> Result<Reader<'a>, ScanError> {
        let rest = self.take(length as usize)?;
        Ok(Reader {
            rest,
            whole: rest.len(),
        })
    }

    /// Elements up to the end of the bytes, or of the item.
    fn elements(&mut self, encoding: Encoding) -> Result<RawItem<'a>, ScanError> {
        let mut elements = BTreeMap::new();
        while !self.rest.is_empty() {
            let header = self.header(encoding)?;
            if header.tag == ITEM_END {
                break;
            }
            let value = match (header.kind, header.length) {
                (Kind::Sequence, UNDEFINED) => RawValue::Items(self.items(encoding)?),
                (Kind::Unknown, UNDEFINED) => {
                    let inside = Encoding {
                        explicit: false,
                        ..encoding
                    };
                    RawValue::Items(self.items(inside)?)
                }
                (_, UNDEFINED) => {
                    let at = (self.whole - self.rest.len()) as u64;
                    return Err(ScanError::UndefinedLength {
                        tag: header.tag,
                        at,
                    });
                }
                (Kind::Sequence, length) => RawValue::Items(self.within(length)?.items(encoding)?),
                (_, length) => RawValue::Bytes(self.take(length as usize)?),
            };
            elements.insert(header.tag, value);
        }
        Ok(elements)
    }

    /// Items up to the end of the bytes, or of the sequence.
    fn items(&mut self, encoding: Encoding) -> Result<Vec<RawItem<'a>>, ScanError> {
        let mut items = Vec::new();
        while !self.rest.is_empty() {
            let header = self.header(encoding)?;
            match (header.tag, header.length) {
                (SEQUENCE_END, _) => break,
                (ITEM, UNDEFINED) => items.push(self.elements(encoding)?),
                (ITEM, length) => items.push(self.within(length)?.elements(encoding)?),
                _ => return Err(self.truncated()),
            }
        }
        Ok(items)
    }
}
