//! A data set that is written element by element, in the order of its tags: answers of which there are many.

use std::borrow::Cow;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::Out;
use crate::scan::Encoding;
use crate::text::CharacterSet;

/// Most answers fit.
const DATA_SET_BYTES: usize = 1024;

/// Writes a data set, or an item of one. Tags come in ascending order; Specific Character Set is put in by itself.
pub struct AscendingWriter<'a> {
    out: Out,
    charset: &'a CharacterSet,
    /// The set is still to be named, which only the root does.
    names_charset: bool,
}

impl<'a> AscendingWriter<'a> {
    /// In `transfer_syntax`, text in `charset`.
    pub fn new(transfer_syntax: &str, charset: &'a CharacterSet) -> Self {
        Self {
            out: Out {
                bytes: Vec::with_capacity(DATA_SET_BYTES),
                encoding: Encoding::of(transfer_syntax),
            },
            charset,
            names_charset: !charset.terms().is_empty(),
        }
    }

    /// For an item of a sequence of this data set.
    pub fn item(&self) -> Self {
        Self {
            out: Out {
                bytes: Vec::new(),
                encoding: self.out.encoding,
            },
            charset: self.charset,
            names_charset: false,
        }
    }

    /// Writes a text; `false`, and nothing is written, where it has a character that the set lacks.
    pub fn put(&mut self, tag: Tag, vr: VR, text: &str) -> bool {
        let value = match text.is_ascii() {
            true => Cow::Borrowed(text.as_bytes()),
            false => match self.charset.encode(text) {
                Some(bytes) => Cow::Owned(bytes),
                None => return false,
            },
        };
        if self.begins(tag) {
            self.out.element(tag, vr, &value);
        }
        true
    }

    /// Writes a sequence; without items it is empty.
    pub fn put_items(&mut self, tag: Tag, items: Vec<Self>) {
        if self.begins(tag) {
            let mut inside = self.item().out;
            for item in items {
                inside.item(&item.out.bytes);
            }
            self.out.element(tag, VR::SQ, &inside.bytes);
        }
    }

    pub fn done(self) -> Vec<u8> {
        self.out.bytes
    }

    /// Names the character set where its place is; whether the element is another one.
    fn begins(&mut self, tag: Tag) -> bool {
        let charset = tags::SPECIFIC_CHARACTER_SET;
        if self.names_charset && tag > charset {
            let terms = self.charset.terms().as_bytes();
            self.out.element(charset, VR::CS, terms);
            self.names_charset = false;
        }
        tag != charset
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DataSetWriter, vr_of};
    use super::*;
    use crate::text::Undeclared;

    #[test]
    fn it_writes_what_the_writer_of_whole_data_sets_writes() {
        for syntax in [
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.1.2.2",
        ] {
            for terms in ["GB18030", "ISO_IR 192", "\\ISO 2022 IR 58"] {
                let charset = CharacterSet::from_element(terms.as_bytes(), Undeclared::Gb18030);
                let mut whole = DataSetWriter::new();
                let mut ascending = AscendingWriter::new(syntax, &charset);
                for (tag, text) in [
                    (tags::ACCESSION_NUMBER, "A1"),
                    (tags::PATIENT_NAME, "ZHANG^XIAODONG=张小东"),
                    (tags::STUDY_INSTANCE_UID, "1.2.3"),
                ] {
                    whole.put(tag, text);
                    assert!(ascending.put(tag, vr_of(tag), text));
                }
                let (tag, text) = (tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION, "胸部平扫");
                let mut step = DataSetWriter::new();
                step.put(tag, text);
                whole.put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step]);
                let mut step = ascending.item();
                assert!(step.put(tag, vr_of(tag), text));
                ascending.put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step]);
                assert_eq!(ascending.done(), whole.encode(syntax, &charset));
            }
        }
    }

    #[test]
    fn what_the_set_lacks_is_not_written() {
        let charset = CharacterSet::from_element(b"", Undeclared::Gb18030);
        let mut writer = AscendingWriter::new("1.2.840.10008.1.2.1", &charset);
        assert!(!writer.put(tags::PATIENT_NAME, VR::PN, "张小东"));
        assert!(writer.done().is_empty());
    }
}
