//! Part 10 files (PS3.10 §7): the head that stands before a data set, written and read.

use bytes::Bytes;
use dicom_core::Tag;

use crate::scan::{Encoding, Kind, parse_header};
use crate::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION};

/// Zeros: what a sender puts there is nobody's data.
const PREAMBLE_BYTES: usize = 128;
const MAGIC: &[u8; 4] = b"DICM";
/// Longest file meta information that is read; real ones take some 300 bytes, private information may add.
pub const FILE_META_LIMIT: usize = 64 * 1024;

/// What the head tells of the data set that follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileMeta {
    /// (0002,0002)
    pub sop_class: String,
    /// (0002,0003)
    pub sop_instance: String,
    /// (0002,0010)
    pub transfer_syntax: String,
    /// (0002,0016): who sent it.
    pub source_ae: String,
}

/// Why bytes are not the head of a Part 10 file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Part10Error {
    #[error("no DICM after 128 bytes")]
    NotDicom,
    #[error("file meta information is cut, or longer than {FILE_META_LIMIT} bytes")]
    Truncated,
    #[error("{0} of the file meta information has no valid VR")]
    Vr(Tag),
    #[error("file meta information names no transfer syntax")]
    NoTransferSyntax,
}

impl FileMeta {
    /// Preamble, `DICM` and group 0002: what makes a received data set a Part 10 stream.
    pub fn encode(&self) -> Bytes {
        let mut group = Vec::with_capacity(256);
        put_long(&mut group, 0x0001, b"OB", &[0, 1]);
        put(&mut group, 0x0002, b"UI", &self.sop_class);
        put(&mut group, 0x0003, b"UI", &self.sop_instance);
        put(&mut group, 0x0010, b"UI", &self.transfer_syntax);
        put(&mut group, 0x0012, b"UI", IMPLEMENTATION_CLASS_UID);
        put(&mut group, 0x0013, b"SH", IMPLEMENTATION_VERSION);
        if !self.source_ae.is_empty() {
            put(&mut group, 0x0016, b"AE", &self.source_ae);
        }
        let mut head = vec![0; PREAMBLE_BYTES];
        head.reserve(16 + group.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[2, 0, 0, 0, b'U', b'L', 4, 0]);
        head.extend_from_slice(&(group.len() as u32).to_le_bytes());
        head.extend_from_slice(&group);
        head.into()
    }

    /// Reads the head from the first bytes of a file; also returns where the data set begins.
    ///
    /// The group length is not believed: group 0002 ends where another group begins.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), Part10Error> {
        let magic = bytes.get(PREAMBLE_BYTES..PREAMBLE_BYTES + MAGIC.len());
        if magic != Some(MAGIC.as_slice()) {
            return Err(Part10Error::NotDicom);
        }
        let mut meta = Self::default();
        let mut at = PREAMBLE_BYTES + MAGIC.len();
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            // A file may end after its head.
            if rest.is_empty()
                || rest
                    .first_chunk::<2>()
                    .is_some_and(|group| *group != [2, 0])
            {
                break;
            }
            let header = parse_header(rest, Encoding::EXPLICIT_LITTLE)
                .map_err(Part10Error::Vr)?
                .ok_or(Part10Error::Truncated)?;
            let end = header.size.saturating_add(header.length as usize);
            let value = rest.get(header.size..end).ok_or(Part10Error::Truncated)?;
            if at + end > FILE_META_LIMIT || header.kind == Kind::Sequence {
                return Err(Part10Error::Truncated);
            }
            match header.tag.element() {
                0x0002 => meta.sop_class = text(value),
                0x0003 => meta.sop_instance = text(value),
                0x0010 => meta.transfer_syntax = text(value),
                0x0016 => meta.source_ae = text(value),
                _ => {}
            }
            at += end;
        }
        if meta.transfer_syntax.is_empty() {
            return Err(Part10Error::NoTransferSyntax);
        }
        Ok((meta, at))
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_matches([' ', '\0'])
        .to_owned()
}

fn put(group: &mut Vec<u8>, element: u16, vr: &[u8; 2], value: &str) {
    let odd = value.len() % 2;
    group.extend_from_slice(&[2, 0]);
    group.extend_from_slice(&element.to_le_bytes());
    group.extend_from_slice(vr);
    // Every text here has passed as an identifier of 64 characters or fewer.
    group.extend_from_slice(&((value.len() + odd) as u16).to_le_bytes());
    group.extend_from_slice(value.as_bytes());
    if odd == 1 {
        group.push(if vr == b"UI" { 0 } else { b' ' });
    }
}

fn put_long(group: &mut Vec<u8>, element: u16, vr: &[u8; 2], value: &[u8]) {
    group.extend_from_slice(&[2, 0]);
    group.extend_from_slice(&element.to_le_bytes());
    group.extend_from_slice(vr);
    group.extend_from_slice(&[0, 0]);
    group.extend_from_slice(&(value.len() as u32).to_le_bytes());
    group.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn meta() -> FileMeta {
        FileMeta {
            sop_class: "1.2.840.10008.5.1.4.1.1.2".into(),
            sop_instance: "1.2.3".into(),
            transfer_syntax: "1.2.840.10008.1.2.1".into(),
            source_ae: "CT1".into(),
        }
    }

    #[test]
    fn a_head_reads_back_and_ends_where_the_data_set_begins() {
        let mut file = meta().encode().to_vec();
        let head = file.len();
        file.extend_from_slice(&[8, 0, 5, 0, b'C', b'S', 0, 0]);
        assert_eq!(FileMeta::decode(&file).unwrap(), (meta(), head));
    }

    #[test]
    fn a_head_cut_anywhere_is_refused() {
        let file = meta().encode();
        for end in 0..file.len() {
            let cut = FileMeta::decode(&file[..end]);
            assert!(
                cut.is_err() || cut.is_ok_and(|(read, at)| at == end && read != meta()),
                "{end}"
            );
        }
    }

    #[test]
    fn a_length_of_4_gib_in_the_head_is_refused() {
        let mut file = meta().encode()[..144].to_vec();
        file.extend_from_slice(&[2, 0, 2, 1, b'O', b'B', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF, 1, 2]);
        assert_eq!(FileMeta::decode(&file), Err(Part10Error::Truncated));
    }
}
