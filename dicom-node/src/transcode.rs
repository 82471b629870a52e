//! Data sets between Implicit and Explicit VR Little Endian, for peers that take only one of them: the elements' heads
//! change, their values do not. Anything compressed leaves as it came.

use std::collections::BTreeMap;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};

use crate::scan::{DEPTH_LIMIT, Encoding, Header, ITEM, ITEM_END, Kind, SEQUENCE_END, UNDEFINED};
use crate::scan::{has_short_length, parse_header};

/// The other transfer syntax that the same values can be written in.
pub fn counterpart(transfer_syntax: &str) -> Option<&'static str> {
    match transfer_syntax {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Some(uids::EXPLICIT_VR_LITTLE_ENDIAN),
        uids::EXPLICIT_VR_LITTLE_ENDIAN => Some(uids::IMPLICIT_VR_LITTLE_ENDIAN),
        _ => None,
    }
}

/// Rewrites a data set from one of the two transfer syntaxes in the other; `None` if it is not sound.
/// Sequences and items get an undefined length, group lengths go: both would be wrong.
pub fn rewrite(data: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    if counterpart(from) != Some(to) {
        return None;
    }
    let (source, target) = (Encoding::of(from), Encoding::of(to));
    let signs = if target.explicit {
        Signs::of(data, source)?
    } else {
        Signs::default()
    };
    let mut out = Vec::with_capacity(data.len() + data.len() / 64 + 4096);
    // The data sets that enclose where we are, the root first: which numbers of theirs are signed.
    let mut signed = vec![signs.of_data_set(0)];
    let mut items = 0;
    walk(data, source, |step| match step {
        Step::Open(tag) => {
            put_head(&mut out, target, tag, VR::SQ, UNDEFINED);
            if tag == ITEM {
                items += 1;
                let enclosing = signed.last().copied().flatten();
                signed.push(signs.of_data_set(items).or(enclosing));
            }
        }
        Step::Close(tag) => {
            let delimiter = if tag == ITEM {
                signed.pop();
                ITEM_END
            } else {
                SEQUENCE_END
            };
            put_head(&mut out, Encoding::IMPLICIT_LITTLE, delimiter, VR::UN, 0);
        }
        Step::Element { vr, tag, value } => {
            if tag.element() == 0 {
                return;
            }
            let is_signed = signed.last().copied().flatten().unwrap_or_default();
            let vr = vr.unwrap_or_else(|| implicit_vr(tag, is_signed));
            // The value lies behind a length of 32 bits.
            put_head(&mut out, target, tag, vr, value.len() as u32);
            out.extend_from_slice(value);
        }
    })?;
    Some(out)
}

/// The beginning of a large data set, written in another transfer syntax.
pub struct Front {
    /// All before the root's pixel data, and their head.
    pub bytes: Vec<u8>,
    /// Where the pixel data's value begins in what was rewritten, and how long it is.
    pub value_at: usize,
    pub value_length: u32,
}

/// Rewrites the beginning of a data set up to the value of its pixel data; `None` if that does not begin within `data`,
/// or if the data set is not sound.
pub fn rewrite_front(data: &[u8], from: &str, to: &str) -> Option<Front> {
    let (source, target) = (Encoding::of(from), Encoding::of(to));
    let at = walk_until(data, source, is_pixel_data, |_| {})?;
    let (before, rest) = data.split_at_checked(at)?;
    let header = parse_header(rest, source).ok()??;
    if header.length == UNDEFINED {
        return None;
    }
    let mut bytes = rewrite(before, from, to)?;
    let vr = if source.explicit {
        explicit_vr(rest)
    } else {
        implicit_vr(header.tag, false)
    };
    put_head(&mut bytes, target, header.tag, vr, header.length);
    Some(Front {
        bytes,
        value_at: at.checked_add(header.size)?,
        value_length: header.length,
    })
}

fn is_pixel_data(header: &Header) -> bool {
    header.tag == tags::PIXEL_DATA
}

/// What Pixel Representation (0028,0103) says in each data set: in the root, then in each item in the order in which
/// they open. It may stand behind what it speaks of.
#[derive(Default)]
struct Signs(BTreeMap<usize, bool>);

impl Signs {
    fn of(data: &[u8], encoding: Encoding) -> Option<Self> {
        let mut signs = Self::default();
        let mut enclosing = vec![0];
        let mut items = 0;
        walk(data, encoding, |step| match step {
            Step::Open(ITEM) => {
                items += 1;
                enclosing.push(items);
            }
            Step::Close(ITEM) => {
                enclosing.pop();
            }
            Step::Element {
                tag: tags::PIXEL_REPRESENTATION,
                value: [low, _],
                ..
            } => {
                let here = enclosing.last().copied().unwrap_or_default();
                signs.0.insert(here, *low == 1);
            }
            _ => {}
        })?;
        Some(signs)
    }

    fn of_data_set(&self, number: usize) -> Option<bool> {
        self.0.get(&number).copied()
    }
}

/// What a walk through a data set comes by.
enum Step<'a> {
    /// A sequence, or an item.
    Open(Tag),
    Close(Tag),
    Element {
        tag: Tag,
        /// Absent where the encoding leaves it to the dictionary.
        vr: Option<VR>,
        value: &'a [u8],
    },
}

/// A sequence or an item that is open.
struct Open {
    tag: Tag,
    /// Where it ends; absent where a delimiter says so.
    end: Option<usize>,
    /// Encoding of what stands around it.
    around: Encoding,
}

/// Goes through a data set; `None` if it is not sound.
fn walk<'a>(data: &'a [u8], encoding: Encoding, visit: impl FnMut(Step<'a>)) -> Option<()> {
    walk_until(data, encoding, |_| false, visit).map(drop)
}

/// Goes through a data set to its end, or to the first element at its root that `ends`; gives back where that is.
fn walk_until<'a>(
    data: &'a [u8],
    encoding: Encoding,
    ends: impl Fn(&Header) -> bool,
    mut visit: impl FnMut(Step<'a>),
) -> Option<usize> {
    let mut here = encoding;
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        while let Some(innermost) = open.pop_if(|innermost| innermost.end == Some(at)) {
            visit(Step::Close(innermost.tag));
            here = innermost.around;
        }
        if at >= data.len() {
            return open.is_empty().then_some(at);
        }
        let rest = data.get(at..)?;
        let header = parse_header(rest, here).ok()??;
        if open.is_empty() && ends(&header) {
            return Some(at);
        }
        let is_undefined = header.length == UNDEFINED;
        let end = at
            .checked_add(header.size)?
            .checked_add(header.length as usize);
        if matches!(header.tag, ITEM_END | SEQUENCE_END) {
            let innermost = open.pop()?;
            visit(Step::Close(innermost.tag));
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
            visit(Step::Open(header.tag));
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
        visit(Step::Element {
            tag: header.tag,
            vr: here.explicit.then(|| explicit_vr(rest)),
            value: data.get(at + header.size..end)?,
        });
        at = end;
    }
}

fn explicit_vr(element: &[u8]) -> VR {
    match element {
        [_, _, _, _, a, b, ..] => VR::from_binary([*a, *b]).unwrap_or(VR::UN),
        _ => VR::UN,
    }
}

/// The dictionary's VR; where it leaves a choice, that of PS3.5 §A.1 and of the data set's Pixel Representation.
fn implicit_vr(tag: Tag, is_signed: bool) -> VR {
    if tag.group() % 2 == 1 && (0x10..=0xFF).contains(&tag.element()) {
        return VR::LO;
    }
    match StandardDataDictionary.by_tag(tag).map(|entry| entry.vr()) {
        Some(VirtualVr::Xs) if is_signed => VR::SS,
        Some(vr) => vr.relaxed(),
        None => VR::UN,
    }
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

    fn implicit_element(group: u16, element: u16, value: &[u8]) -> Vec<u8> {
        let head = [group.to_le_bytes(), element.to_le_bytes()].concat();
        [&head, &(value.len() as u32).to_le_bytes()[..], value].concat()
    }

    fn sequence(group: u16, element: u16, items: &[Vec<u8>]) -> Vec<u8> {
        let items: Vec<Vec<u8>> = items
            .iter()
            .map(|item| implicit_element(0xFFFE, 0xE000, item))
            .collect();
        implicit_element(group, element, &items.concat())
    }

    /// The VRs of an element in an Explicit VR data set, in the order in which it occurs.
    fn vrs(data: &[u8], tag: Tag) -> Vec<&str> {
        let head = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
        data.windows(6)
            .filter(|window| window.starts_with(&head))
            .map(|window| std::str::from_utf8(window.get(4..).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn us_or_ss_is_what_the_pixel_representation_around_it_says() {
        let padding = implicit_element(0x28, 0x120, &(-2000i16).to_le_bytes());
        let descriptor = implicit_element(0x28, 0x3002, &[0, 1, 0x18, 0xFC, 16, 0]);
        let signed = implicit_element(0x28, 0x103, &[1, 0]);
        let unsigned = implicit_element(0x28, 0x103, &[0, 0]);
        // given a signed data set with a lookup table whose item says nothing of its own, and an item that is unsigned;
        // one item stands before the root's Pixel Representation
        let own = [unsigned.clone(), padding.clone()].concat();
        let data = [
            sequence(0x08, 0x1140, &[padding.clone(), own]),
            signed,
            padding.clone(),
            sequence(0x28, 0x3000, std::slice::from_ref(&descriptor)),
        ]
        .concat();
        // when
        let explicit = rewrite(&data, IMPLICIT, EXPLICIT).unwrap();
        // then
        assert_eq!(
            vrs(&explicit, tags::PIXEL_PADDING_VALUE),
            ["SS", "US", "SS"]
        );
        assert_eq!(vrs(&explicit, tags::LUT_DESCRIPTOR), ["SS"]);
        let plain = [unsigned, padding, descriptor].concat();
        let explicit = rewrite(&plain, IMPLICIT, EXPLICIT).unwrap();
        assert_eq!(vrs(&explicit, tags::PIXEL_PADDING_VALUE), ["US"]);
        assert_eq!(vrs(&explicit, tags::LUT_DESCRIPTOR), ["US"]);
    }

    #[test]
    fn the_front_of_a_data_set_is_rewritten_before_its_pixels_are_there() {
        let data = explicit();
        let whole = rewrite(&data, EXPLICIT, IMPLICIT).unwrap();
        // given all of it but the pixels themselves
        let front = rewrite_front(data.get(..data.len() - 4).unwrap(), EXPLICIT, IMPLICIT).unwrap();
        assert_eq!(front.value_at, data.len() - 4);
        assert_eq!(front.value_length, 4);
        assert!(whole.starts_with(&front.bytes));
        assert_eq!(front.bytes.len(), whole.len() - 4);
        // and back
        let front = rewrite_front(&whole, IMPLICIT, EXPLICIT).unwrap();
        let back = rewrite(&whole, IMPLICIT, EXPLICIT).unwrap();
        assert!(back.starts_with(&front.bytes));
        assert_eq!(front.bytes.len(), back.len() - 4);
        // Before the head of the pixel data is there, there is no front
        for end in 1..data.len() - 4 {
            let cut = rewrite_front(data.get(..end).unwrap(), EXPLICIT, IMPLICIT);
            assert!(cut.is_none(), "cut at {end}");
        }
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
