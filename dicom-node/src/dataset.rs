//! Identifiers of C-FIND, C-MOVE and C-GET (PS3.4 §C.4): small data sets, read and written whole.
//!
//! An identifier holds keys at its root; of a sequence only its tag is kept (a query by a sequence's items is not
//! supported, the standard leaves it optional, but the answer has to say so). What is read has passed the same checks as an instance: lengths, depth, count.

mod ascending;
mod nested;

use std::collections::BTreeMap;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use crate::scan::{Encoding, ITEM, ScanError, read_root};
use crate::text::{CharacterSet, Undeclared};

pub use ascending::AscendingWriter;
pub use nested::Nested;

/// Longest identifier that is read: a list of 5,000 UIDs fits.
pub const IDENTIFIER_LIMIT: usize = 512 * 1024;

/// The keys of a query, decoded.
#[derive(Clone)]
pub struct Identifier {
    keys: BTreeMap<Tag, String>,
    charset: CharacterSet,
}

impl Identifier {
    /// Reads an identifier in `transfer_syntax`, at most [`IDENTIFIER_LIMIT`] bytes of it.
    pub fn decode(
        bytes: &[u8],
        transfer_syntax: &str,
        undeclared: Undeclared,
    ) -> Result<Self, ScanError> {
        let mut raw = BTreeMap::new();
        read_root(bytes, Encoding::of(transfer_syntax), |tag, value| {
            // Group lengths, and file meta elements that some put into a query, ask for nothing.
            if tag.element() != 0 && tag.group() != 0x0002 {
                raw.insert(tag, value);
            }
        })?;
        let terms = raw
            .remove(&tags::SPECIFIC_CHARACTER_SET)
            .unwrap_or_default();
        let charset = CharacterSet::from_element(terms, undeclared);
        let keys = raw
            .into_iter()
            .map(|(tag, value)| {
                let text = match vr_of(tag) {
                    VR::PN => charset.decode_person_name(value),
                    VR::US => number(value, transfer_syntax),
                    _ => charset.decode(value),
                };
                (tag, text.trim_matches([' ', '\0']).to_owned())
            })
            .collect();
        Ok(Self { keys, charset })
    }

    /// The key's value; `None` if the key is not there, empty if it matches everything.
    pub fn get(&self, tag: Tag) -> Option<&str> {
        self.keys.get(&tag).map(String::as_str)
    }

    /// The key's values: a list of UIDs, say. Empty ones aside.
    pub fn list(&self, tag: Tag) -> Vec<&str> {
        let text = self.get(tag).unwrap_or_default();
        crate::text::values(text)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// All keys that were asked for, in ascending order.
    pub fn tags(&self) -> impl Iterator<Item = Tag> + '_ {
        self.keys.keys().copied()
    }

    /// How the caller writes text, and wants to read it.
    pub fn charset(&self) -> &CharacterSet {
        &self.charset
    }
}

impl std::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

/// US as a decimal number.
fn number(value: &[u8], transfer_syntax: &str) -> String {
    value
        .first_chunk::<2>()
        .map(|bytes| Encoding::of(transfer_syntax).u16(*bytes).to_string())
        .unwrap_or_default()
}

/// The VR that the dictionary gives; UN if it knows none.
pub fn vr_of(tag: Tag) -> VR {
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// The tag that the dictionary gives a keyword, `StudyInstanceUID`; also written `0020,000D`.
pub fn tag_of(keyword: &str) -> Option<Tag> {
    StandardDataDictionary.parse_tag(keyword)
}

/// The dictionary's keyword, or the tag's number where it knows none.
pub fn keyword_of(tag: Tag) -> String {
    StandardDataDictionary
        .by_tag(tag)
        .map_or_else(|| tag.to_string(), |entry| entry.alias.to_owned())
}

/// Writes an identifier or an answer: values as text, in ascending order of their tags.
#[derive(Default, Clone)]
pub struct DataSetWriter {
    values: BTreeMap<Tag, Written>,
}

#[derive(Clone)]
enum Written {
    Text(VR, String),
    Items(Vec<DataSetWriter>),
}

impl DataSetWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// A value with the dictionary's VR; several values are separated by backslashes.
    pub fn put(&mut self, tag: Tag, value: impl Into<String>) -> &mut Self {
        self.put_as(tag, vr_of(tag), value)
    }

    pub fn put_as(&mut self, tag: Tag, vr: VR, value: impl Into<String>) -> &mut Self {
        self.values.insert(tag, Written::Text(vr, value.into()));
        self
    }

    /// A sequence; without items it is empty.
    pub fn put_items(&mut self, tag: Tag, items: Vec<DataSetWriter>) -> &mut Self {
        self.values.insert(tag, Written::Items(items));
        self
    }

    /// The data set in `transfer_syntax`, text in `charset`, or in UTF-8 where that lacks a character.
    pub fn encode(&self, transfer_syntax: &str, charset: &CharacterSet) -> Vec<u8> {
        match self.encode_in(transfer_syntax, charset) {
            Some(bytes) => bytes,
            None => self
                .encode_in(transfer_syntax, &CharacterSet::utf8())
                .unwrap_or_default(),
        }
    }

    fn encode_in(&self, transfer_syntax: &str, charset: &CharacterSet) -> Option<Vec<u8>> {
        let declared = !charset.terms().is_empty();
        self.write(Encoding::of(transfer_syntax), charset, declared)
    }

    /// `declared`: with the character set, which only the root names.
    fn write(&self, encoding: Encoding, charset: &CharacterSet, declared: bool) -> Option<Vec<u8>> {
        let mut out = Out {
            bytes: Vec::with_capacity(512),
            encoding,
        };
        let mut charset_written = false;
        for (tag, written) in &self.values {
            if *tag == tags::SPECIFIC_CHARACTER_SET {
                continue;
            }
            if declared && !charset_written && *tag > tags::SPECIFIC_CHARACTER_SET {
                out.element(
                    tags::SPECIFIC_CHARACTER_SET,
                    VR::CS,
                    charset.terms().as_bytes(),
                );
                charset_written = true;
            }
            let (vr, value) = match written {
                Written::Text(vr, value) => (vr, value),
                Written::Items(items) => {
                    let mut inside = Out {
                        bytes: Vec::new(),
                        encoding,
                    };
                    for item in items {
                        inside.item(&item.write(encoding, charset, false)?);
                    }
                    out.element(*tag, VR::SQ, &inside.bytes);
                    continue;
                }
            };
            match vr {
                VR::US => out.numbers(*tag, *vr, value, |n: u16| encoding.u16_bytes(n).to_vec()),
                VR::UL => out.numbers(*tag, *vr, value, |n: u32| encoding.u32_bytes(n).to_vec()),
                VR::SQ => out.element(*tag, VR::SQ, &[]),
                _ => out.element(*tag, *vr, &charset.encode(value)?),
            }
        }
        Some(out.bytes)
    }
}

struct Out {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Out {
    fn numbers<N: std::str::FromStr>(
        &mut self,
        tag: Tag,
        vr: VR,
        value: &str,
        encode: impl Fn(N) -> Vec<u8>,
    ) {
        let bytes: Vec<u8> = value
            .split('\\')
            .filter_map(|v| v.trim().parse().ok())
            .flat_map(encode)
            .collect();
        self.element(tag, vr, &bytes);
    }

    /// An item of a sequence, which has no VR (PS3.5 §7.5).
    fn item(&mut self, elements: &[u8]) {
        self.bytes
            .extend_from_slice(&self.encoding.u16_bytes(ITEM.group()));
        self.bytes
            .extend_from_slice(&self.encoding.u16_bytes(ITEM.element()));
        self.bytes
            .extend_from_slice(&self.encoding.u32_bytes(elements.len() as u32));
        self.bytes.extend_from_slice(elements);
    }

    fn element(&mut self, tag: Tag, vr: VR, value: &[u8]) {
        let Encoding { explicit, .. } = self.encoding;
        let padded = value.len() + value.len() % 2;
        let short = u16::try_from(padded);
        self.bytes
            .extend_from_slice(&self.encoding.u16_bytes(tag.group()));
        self.bytes
            .extend_from_slice(&self.encoding.u16_bytes(tag.element()));
        match (explicit, short) {
            (true, Ok(length)) if crate::scan::has_short_length(vr) => {
                self.bytes.extend_from_slice(&vr.to_bytes());
                self.bytes
                    .extend_from_slice(&self.encoding.u16_bytes(length));
            }
            (true, _) => {
                // A text too long for a 16-bit length goes as UN (PS3.5 §6.2.2).
                let vr = if crate::scan::has_short_length(vr) {
                    VR::UN
                } else {
                    vr
                };
                self.bytes.extend_from_slice(&vr.to_bytes());
                self.bytes.extend_from_slice(&[0, 0]);
                self.bytes
                    .extend_from_slice(&self.encoding.u32_bytes(padded as u32));
            }
            (false, _) => {
                self.bytes
                    .extend_from_slice(&self.encoding.u32_bytes(padded as u32));
            }
        }
        self.bytes.extend_from_slice(value);
        if padded > value.len() {
            self.bytes.push(if vr == VR::UI { 0 } else { b' ' });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    const SYNTAXES: [&str; 3] = [
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.2",
    ];

    fn read(bytes: &[u8], syntax: &str) -> Identifier {
        Identifier::decode(bytes, syntax, Undeclared::Gb18030).unwrap()
    }

    #[test]
    fn an_answer_reads_back_in_every_syntax_and_charset() {
        for syntax in SYNTAXES {
            for terms in ["GB18030", "GBK", "ISO_IR 192", "\\ISO 2022 IR 58"] {
                let charset = CharacterSet::from_element(terms.as_bytes(), Undeclared::Gb18030);
                let mut answer = DataSetWriter::new();
                answer
                    .put(tags::PATIENT_NAME, "Zhang^XiaoDong=张^小东")
                    .put(tags::STUDY_INSTANCE_UID, "1.2.3")
                    .put(tags::QUERY_RETRIEVE_LEVEL, "STUDY")
                    .put(tags::MODALITIES_IN_STUDY, "CT\\SR")
                    .put(tags::ROWS, "512");
                let back = read(&answer.encode(syntax, &charset), syntax);
                assert_eq!(back.get(tags::PATIENT_NAME), Some("Zhang^XiaoDong=张^小东"));
                assert_eq!(back.list(tags::MODALITIES_IN_STUDY), ["CT", "SR"]);
                assert_eq!(back.get(tags::ROWS), Some("512"));
                assert_eq!(back.charset().terms(), terms);
                assert_eq!(back.get(tags::PATIENT_ID), None);
            }
        }
    }

    #[test]
    fn a_character_that_the_callers_set_lacks_brings_utf8() {
        let latin = CharacterSet::from_element(b"ISO_IR 100", Undeclared::Gb18030);
        let mut answer = DataSetWriter::new();
        answer.put(tags::PATIENT_NAME, "张^小东");
        let back = read(&answer.encode(SYNTAXES[1], &latin), SYNTAXES[1]);
        assert_eq!(back.charset().terms(), "ISO_IR 192");
        assert_eq!(back.get(tags::PATIENT_NAME), Some("张^小东"));
    }

    #[test]
    fn group_lengths_and_file_meta_elements_are_no_keys() {
        for (syntax, bytes) in [
            (
                SYNTAXES[0],
                &b"\x02\x00\x03\x00\x00\x00\x00\x00\
                   \x10\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00\
                   \x10\x00\x20\x00\x02\x00\x00\x00P1"[..],
            ),
            (
                SYNTAXES[1],
                &b"\x02\x00\x03\x00UI\x00\x00\
                   \x10\x00\x00\x00UL\x04\x00\x0a\x00\x00\x00\
                   \x10\x00\x20\x00LO\x02\x00P1"[..],
            ),
        ] {
            let query = read(bytes, syntax);
            assert_eq!(query.tags().collect::<Vec<_>>(), [tags::PATIENT_ID]);
            assert_eq!(query.get(tags::PATIENT_ID), Some("P1"));
            assert!(
                crate::scan::scan(syntax, bytes, Undeclared::Gb18030)
                    .is_err_and(|error| error.to_string().contains("out of place")),
                "an instance has none of them"
            );
        }
    }

    #[test]
    fn of_a_sequence_in_a_query_only_its_tag_is_kept() {
        let mut bytes = b"\x40\x00\x75\x02SQ\x00\x00\xff\xff\xff\xff".to_vec();
        bytes.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        bytes.extend_from_slice(b"\x10\x00\x20\x00LO\x02\x00P1");
        bytes.extend_from_slice(b"\xfe\xff\x0d\xe0\x00\x00\x00\x00");
        bytes.extend_from_slice(b"\xfe\xff\xdd\xe0\x00\x00\x00\x00");
        bytes.extend_from_slice(b"\x50\x00\x20\x00LO\x02\x00P2");
        let query = read(&bytes, SYNTAXES[1]);
        assert_eq!(
            query.tags().collect::<Vec<_>>(),
            [Tag(0x40, 0x275), Tag(0x50, 0x20)]
        );
        assert_eq!(query.get(Tag(0x40, 0x275)), Some(""));
        assert!(
            Identifier::decode(&bytes[..bytes.len() - 1], SYNTAXES[1], Undeclared::Gb18030)
                .is_err()
        );
    }
}
