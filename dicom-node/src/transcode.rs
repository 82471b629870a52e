//! Data sets between Implicit and Explicit VR Little Endian, for peers that take only one of them: the elements' heads
//! change, their values do not. Anything compressed leaves as it came.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::uids;

use crate::dataset::vr_of;
use crate::scan::{DEPTH_LIMIT, Encoding, ITEM, ITEM_END, Kind, SEQUENCE_END, UNDEFINED};
use crate::scan::{has_short_length, parse_header};

/// The other transfer syntax that the same values can be written in.
pub fn counterpart(transfer_syntax: &str) -> Option<&'static str> {
    match transfer_syntax {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Some(uids::EXPLICIT_VR_LITTLE_ENDIAN),
        uids::EXPLICIT_VR_LITTLE_ENDIAN => Some(uids::IMPLICIT_VR_LITTLE_ENDIAN),
        _ => None,
    }
}

/// A sequence or an item that is open.
struct Open {
    tag: Tag,
    /// Where it ends; absent where a delimiter says so.
    end: Option<usize>,
    /// Encoding of what stands around it.
    around: Encoding,
}

/// Rewrites a data set from one of the two transfer syntaxes in the other; `None` if it is not sound.
/// Sequences and items get an undefined length, group lengths go: both would be wrong.
pub fn rewrite(data: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    if counterpart(from) != Some(to) {
        return None;
    }
    let target = Encoding::of(to);
    let mut here = Encoding::of(from);
    let mut out = Vec::with_capacity(data.len() + data.len() / 64 + 4096);
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        while let Some(innermost) = open.pop_if(|innermost| innermost.end == Some(at)) {
            close(&mut out, &innermost);
            here = innermost.around;
        }
        if at >= data.len() {
            return open.is_empty().then_some(out);
        }
        let rest = data.get(at..)?;
        let header = parse_header(rest, here).ok()??;
        let is_undefined = header.length == UNDEFINED;
        let end = at
            .checked_add(header.size)?
            .checked_add(header.length as usize);
        if matches!(header.tag, ITEM_END | SEQUENCE_END) {
            let innermost = open.pop()?;
            close(&mut out, &innermost);
            here = innermost.around;
            at += header.size;
            continue;
        }
        let nests = header.tag == ITEM
            || header.kind == Kind::Sequence
            || header.kind == Kind::Unknown && is_undefined;
        if nests {
            if open.len() >= 2 * DEPTH_LIMIT {
                return None;
            }
            put_head(&mut out, target, header.tag, VR::SQ, UNDEFINED);
            let end = if is_undefined { None } else { Some(end?) };
            open.push(Open {
                tag: header.tag,
                end,
                around: here,
            });
            if header.kind == Kind::Unknown {
                // PS3.5 §6.2.2: UN of undefined length holds Implicit VR.
                here = Encoding::IMPLICIT_LITTLE;
            }
            at += header.size;
            continue;
        }
        if is_undefined {
            return None;
        }
        let end = end?;
        let value = data.get(at + header.size..end)?;
        if header.tag.element() != 0 {
            let vr = if here.explicit {
                explicit_vr(rest)
            } else {
                implicit_vr(header.tag)
            };
            put_head(&mut out, target, header.tag, vr, header.length);
            out.extend_from_slice(value);
        }
        at = end;
    }
}

fn close(out: &mut Vec<u8>, open: &Open) {
    let delimiter = if open.tag == ITEM {
        ITEM_END
    } else {
        SEQUENCE_END
    };
    put_head(out, Encoding::IMPLICIT_LITTLE, delimiter, VR::UN, 0);
}

fn explicit_vr(element: &[u8]) -> VR {
    match element {
        [_, _, _, _, a, b, ..] => VR::from_binary([*a, *b]).unwrap_or(VR::UN),
        _ => VR::UN,
    }
}

fn implicit_vr(tag: Tag) -> VR {
    if tag.group() % 2 == 1 && (0x10..=0xFF).contains(&tag.element()) {
        return VR::LO;
    }
    vr_of(tag)
}

fn put_head(out: &mut Vec<u8>, target: Encoding, tag: Tag, vr: VR, length: u32) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    if !target.explicit || tag.group() == 0xFFFE {
        out.extend_from_slice(&length.to_le_bytes());
        return;
    }
    match u16::try_from(length) {
        Ok(short) if has_short_length(vr) => {
            out.extend_from_slice(&vr.to_bytes());
            out.extend_from_slice(&short.to_le_bytes());
        }
        _ => {
            // A value too long for its VR's 16-bit length goes as UN.
            let vr = if has_short_length(vr) { VR::UN } else { vr };
            out.extend_from_slice(&vr.to_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const IMPLICIT: &str = uids::IMPLICIT_VR_LITTLE_ENDIAN;
    const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

    /// Patient's name; a sequence of defined length with one item; pixel data.
    fn explicit() -> Vec<u8> {
        let mut data = b"\x10\x00\x10\x00PN\x04\x00A^B ".to_vec();
        data.extend_from_slice(b"\x40\x00\x75\x02SQ\x00\x00\x14\x00\x00\x00");
        data.extend_from_slice(b"\xfe\xff\x00\xe0\x0c\x00\x00\x00");
        data.extend_from_slice(b"\x40\x00\x07\x00LO\x04\x00Head");
        data.extend_from_slice(b"\xe0\x7f\x10\x00OW\x00\x00\x04\x00\x00\x00\x01\x02\x03\x04");
        data
    }

    #[test]
    fn there_and_back_keeps_every_value() {
        let implicit = rewrite(&explicit(), EXPLICIT, IMPLICIT).unwrap();
        let mut wanted = b"\x10\x00\x10\x00\x04\x00\x00\x00A^B ".to_vec();
        wanted.extend_from_slice(b"\x40\x00\x75\x02\xff\xff\xff\xff");
        wanted.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        wanted.extend_from_slice(b"\x40\x00\x07\x00\x04\x00\x00\x00Head");
        wanted.extend_from_slice(b"\xfe\xff\x0d\xe0\x00\x00\x00\x00");
        wanted.extend_from_slice(b"\xfe\xff\xdd\xe0\x00\x00\x00\x00");
        wanted.extend_from_slice(b"\xe0\x7f\x10\x00\x04\x00\x00\x00\x01\x02\x03\x04");
        assert_eq!(implicit, wanted);
        let back = rewrite(&implicit, IMPLICIT, EXPLICIT).unwrap();
        assert_eq!(rewrite(&back, EXPLICIT, IMPLICIT).unwrap(), implicit);
    }

    #[test]
    fn what_is_cut_is_not_rewritten() {
        let data = explicit();
        for end in 1..data.len() {
            let cut = rewrite(data.get(..end).unwrap(), EXPLICIT, IMPLICIT);
            // Only where an element at the root ends does a shorter data set stand on its own.
            assert_eq!(cut.is_some(), [12, 44].contains(&end), "cut at {end}");
        }
    }

    #[test]
    fn compressed_data_sets_have_no_counterpart() {
        assert_eq!(counterpart("1.2.840.10008.1.2.4.50"), None);
        assert_eq!(
            rewrite(&explicit(), EXPLICIT, "1.2.840.10008.1.2.4.50"),
            None
        );
    }
}
