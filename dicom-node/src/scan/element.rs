//! Headers of elements, in the three encodings there are (PS3.5 §7.1 and annex A).

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, uids};

/// Length of a value whose end is marked by a delimiter.
pub const UNDEFINED: u32 = 0xFFFF_FFFF;
/// Longest header: tag, VR, two reserved bytes, 32-bit length.
pub const LONGEST_HEADER: usize = 12;

pub const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
pub const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
pub const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// Retired from the standard, but not from the archives of hospitals.
pub const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Implicit VR Little Endian with big endian pixel data, of old GE machines.
const GE_PRIVATE: &str = "1.2.840.113619.5.2";
/// Implicit VR Little Endian under a name of its own (PS3.6 annex A, retired).
const PAPYRUS_3: &str = "1.2.840.10008.1.20";
const JPIP_DEFLATE: &str = "1.2.840.10008.1.2.4.95";
const JPIP_HTJ2K_DEFLATE: &str = "1.2.840.10008.1.2.4.205";

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const IMPLICIT_LITTLE: Self = Self {
        explicit: false,
        big_endian: false,
    };
    pub const EXPLICIT_LITTLE: Self = Self {
        explicit: true,
        big_endian: false,
    };
    pub const EXPLICIT_BIG: Self = Self {
        explicit: true,
        big_endian: true,
    };

    /// PS3.5 annex A: all others are Explicit VR Little Endian, whatever is in their pixel data.
    pub fn of(transfer_syntax: &str) -> Self {
        match transfer_syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN | GE_PRIVATE | PAPYRUS_3 => Self::IMPLICIT_LITTLE,
            EXPLICIT_VR_BIG_ENDIAN => Self::EXPLICIT_BIG,
            _ => Self::EXPLICIT_LITTLE,
        }
    }

    pub fn is_deflated(transfer_syntax: &str) -> bool {
        matches!(
            transfer_syntax,
            uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN | JPIP_DEFLATE | JPIP_HTJ2K_DEFLATE
        )
    }

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    pub fn u16_bytes(self, value: u16) -> [u8; 2] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    pub fn u32_bytes(self, value: u32) -> [u8; 4] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

/// What matters of a VR to someone who only walks past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sequence,
    Text,
    /// OB or OW: may be encapsulated pixel data.
    Bytes,
    /// UN: with an undefined length it is a sequence in Implicit VR (PS3.5 §6.2.2).
    Unknown,
    Other,
}

impl Kind {
    fn of(vr: VR) -> Self {
        match vr {
            VR::SQ => Self::Sequence,
            VR::OB | VR::OW => Self::Bytes,
            VR::UN => Self::Unknown,
            VR::AE
            | VR::AS
            | VR::CS
            | VR::DA
            | VR::DS
            | VR::DT
            | VR::IS
            | VR::LO
            | VR::LT
            | VR::PN
            | VR::SH
            | VR::ST
            | VR::TM
            | VR::UC
            | VR::UI
            | VR::UR
            | VR::UT => Self::Text,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub tag: Tag,
    pub kind: Kind,
    pub length: u32,
    /// Bytes of the header itself.
    pub size: usize,
}

/// Reads the header at the start of `bytes`; `Ok(None)` if it is not all there.
/// The error is the tag of an element whose VR is no VR.
pub fn parse_header(bytes: &[u8], encoding: Encoding) -> Result<Option<Header>, Tag> {
    let Some((&[g0, g1, e0, e1, a, b, c, d], rest)) = bytes.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let tag = Tag(encoding.u16([g0, g1]), encoding.u16([e0, e1]));
    let long = encoding.u32([a, b, c, d]);
    if tag.group() == 0xFFFE {
        return Ok(Some(Header {
            tag,
            kind: Kind::Other,
            length: long,
            size: 8,
        }));
    }
    if !encoding.explicit {
        return Ok(Some(Header {
            tag,
            kind: kind_from_dictionary(tag),
            length: long,
            size: 8,
        }));
    }
    if !(a.is_ascii_uppercase() && b.is_ascii_uppercase()) {
        return Err(tag);
    }
    let vr = VR::from_binary([a, b]);
    let kind = vr.map_or(Kind::Other, Kind::of);
    if vr.is_some_and(has_short_length) {
        let length = u32::from(encoding.u16([c, d]));
        return Ok(Some(Header {
            tag,
            kind,
            length,
            size: 8,
        }));
    }
    let Some(&length) = rest.first_chunk::<4>() else {
        return Ok(None);
    };
    Ok(Some(Header {
        tag,
        kind,
        length: encoding.u32(length),
        size: LONGEST_HEADER,
    }))
}

/// PS3.5 §7.1.2: all others, and VRs that are yet to come, have a 32-bit length after two reserved bytes.
pub fn has_short_length(vr: VR) -> bool {
    !matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

fn kind_from_dictionary(tag: Tag) -> Kind {
    if tag == PIXEL_DATA {
        return Kind::Bytes;
    }
    if tag.group() % 2 == 1 {
        return Kind::Unknown;
    }
    StandardDataDictionary
        .by_tag(tag)
        .map_or(Kind::Unknown, |entry| Kind::of(entry.vr().relaxed()))
}
