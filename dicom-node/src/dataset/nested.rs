//! A small data set with what is in its sequences: keys of a worklist's question, attributes of a performed step.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::{number, vr_of};
use crate::scan::{Encoding, RawItem, RawValue, ScanError, read_tree};
use crate::text::{CharacterSet, Undeclared};

/// The elements of a data set, or of an item; `Debug` shows their tags only.
#[derive(Clone, Default)]
pub struct Nested {
    values: BTreeMap<Tag, Value>,
}

#[derive(Clone)]
enum Value {
    Text(String),
    Items(Vec<Nested>),
}

impl Nested {
    /// Reads a data set in `transfer_syntax`, and how it writes text.
    pub fn decode(
        bytes: &[u8],
        transfer_syntax: &str,
        undeclared: Undeclared,
    ) -> Result<(Self, CharacterSet), ScanError> {
        let mut raw = read_tree(bytes, Encoding::of(transfer_syntax))?;
        let terms = match raw.remove(&tags::SPECIFIC_CHARACTER_SET) {
            Some(RawValue::Bytes(terms)) => terms,
            _ => &[],
        };
        let charset = CharacterSet::from_element(terms, undeclared);
        let nested = Self::of(raw, &charset, transfer_syntax);
        Ok((nested, charset))
    }

    fn of(raw: RawItem<'_>, charset: &CharacterSet, transfer_syntax: &str) -> Self {
        let value = |tag, value| match value {
            RawValue::Items(items) => {
                let items = items.into_iter();
                let items = items.map(|item| Self::of(item, charset, transfer_syntax));
                Value::Items(items.collect())
            }
            RawValue::Bytes(bytes) => {
                let text = match vr_of(tag) {
                    VR::PN => charset.decode_person_name(bytes),
                    VR::US => number(bytes, transfer_syntax),
                    _ => charset.decode(bytes),
                };
                Value::Text(text.trim_matches([' ', '\0']).to_owned())
            }
        };
        // As in an identifier, group lengths and file meta elements say nothing.
        let elements = raw
            .into_iter()
            .filter(|(tag, _)| tag.element() != 0 && tag.group() != 0x0002);
        Self {
            values: elements.map(|(tag, raw)| (tag, value(tag, raw))).collect(),
        }
    }

    /// The value; empty where there is none, and of a sequence.
    pub fn text(&self, tag: Tag) -> &str {
        match self.values.get(&tag) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// The items of a sequence; none where there is no sequence.
    pub fn items(&self, tag: Tag) -> &[Nested] {
        match self.values.get(&tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// In ascending order.
    pub fn tags(&self) -> impl Iterator<Item = Tag> + '_ {
        self.values.keys().copied()
    }

    /// Every element, those of items too, with its value.
    pub fn walk(&self, visit: &mut dyn FnMut(Tag, &str)) {
        for (tag, value) in &self.values {
            match value {
                Value::Text(text) => visit(*tag, text),
                Value::Items(items) => {
                    visit(*tag, "");
                    for item in items {
                        item.walk(visit);
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::DataSetWriter;
    use super::*;

    const SYNTAXES: [&str; 3] = [
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.2",
    ];

    fn read(bytes: &[u8], syntax: &str) -> Result<Nested, ScanError> {
        Nested::decode(bytes, syntax, Undeclared::Gb18030).map(|(nested, _)| nested)
    }

    #[test]
    fn items_read_back_as_written_in_every_syntax() {
        let charset = CharacterSet::from_element(b"GB18030", Undeclared::Gb18030);
        for syntax in SYNTAXES {
            let mut code = DataSetWriter::new();
            code.put(tags::CODE_MEANING, "胸部平扫");
            let mut step = DataSetWriter::new();
            step.put(tags::MODALITY, "CT")
                .put_items(tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE, vec![code]);
            let mut whole = DataSetWriter::new();
            whole
                .put(tags::PATIENT_NAME, "ZHANG^XIAODONG=张小东")
                .put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step])
                .put_items(tags::REFERENCED_STUDY_SEQUENCE, Vec::new())
                .put(tags::REQUESTED_PROCEDURE_ID, "A1");
            let back = read(&whole.encode(syntax, &charset), syntax).unwrap();
            assert_eq!(back.text(tags::PATIENT_NAME), "ZHANG^XIAODONG=张小东");
            assert_eq!(back.text(tags::REQUESTED_PROCEDURE_ID), "A1");
            assert!(back.items(tags::REFERENCED_STUDY_SEQUENCE).is_empty());
            let step = &back.items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE)[0];
            assert_eq!(step.text(tags::MODALITY), "CT");
            let code = &step.items(tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE)[0];
            assert_eq!(code.text(tags::CODE_MEANING), "胸部平扫");
            let mut seen = 0;
            back.walk(&mut |_, _| seen += 1);
            assert_eq!(seen, 7);
        }
    }

    #[test]
    fn undefined_lengths_are_read_and_what_is_cut_is_refused() {
        // Given a sequence and an item that end with delimiters
        let mut bytes = b"\x40\x00\x00\x01SQ\x00\x00\xff\xff\xff\xff".to_vec();
        bytes.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        bytes.extend_from_slice(b"\x08\x00\x60\x00CS\x02\x00CT");
        bytes.extend_from_slice(b"\xfe\xff\x0d\xe0\x00\x00\x00\x00");
        bytes.extend_from_slice(b"\xfe\xff\xdd\xe0\x00\x00\x00\x00");
        bytes.extend_from_slice(b"\x40\x00\x01\x10SH\x02\x00A1");
        let read_all = read(&bytes, SYNTAXES[1]).unwrap();
        let step = &read_all.items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE)[0];
        assert_eq!(step.text(tags::MODALITY), "CT");
        assert_eq!(read_all.text(tags::REQUESTED_PROCEDURE_ID), "A1");
        // Cut within an element or an open sequence it is refused
        let whole = [0, 46, bytes.len()];
        for length in (0..bytes.len()).filter(|length| !whole.contains(length)) {
            assert!(read(&bytes[..length], SYNTAXES[1]).is_err(), "{length}");
        }
    }

    #[test]
    fn sequences_nested_too_deep_are_refused() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend_from_slice(b"\x40\x00\x00\x01SQ\x00\x00\xff\xff\xff\xff");
            bytes.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        }
        let refused = read(&bytes, SYNTAXES[1]).unwrap_err();
        assert!(matches!(refused, ScanError::TooDeep(_)));
    }
}
