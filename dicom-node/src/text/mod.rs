//! Text of data sets: Specific Character Set (PS3.5 §6.1) both ways.
//!
//! Bytes are decoded before they are split into values: in GB18030, GBK and Shift_JIS the second byte of a character
//! may be 0x5C, the backslash that separates values (診 誠 鈂 運 錦 衆 …). The separator of decoded text is certain.

mod decode;
mod encode;
mod repertoire;

use repertoire::{Repertoire, Term};

/// What bytes above 0x7F mean where no character set is declared and they are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undeclared {
    /// What senders in China leave undeclared.
    #[default]
    Gb18030,
    Latin1,
}

/// How the text of one data set is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterSet {
    /// The first value: what text is in until an escape sequence says otherwise.
    first: Repertoire,
    /// Whether escape sequences (ISO 2022) may switch.
    extended: bool,
    undeclared: Undeclared,
    terms: String,
}

impl CharacterSet {
    /// From the value of (0008,0005); unknown terms are taken as not declared.
    pub fn from_element(value: &[u8], undeclared: Undeclared) -> Self {
        let text = String::from_utf8_lossy(value);
        let terms = text.trim_matches([' ', '\0']);
        let mut parsed = terms.split('\\').map(Term::parse);
        let first = parsed.next().unwrap_or(Term::DEFAULT);
        let more = parsed.next().is_some();
        Self {
            first: first.repertoire,
            extended: (more || first.extended) && !first.repertoire.is_whole(),
            undeclared,
            terms: terms.to_owned(),
        }
    }

    /// The value of (0008,0005).
    pub fn terms(&self) -> &str {
        &self.terms
    }

    /// UTF-8.
    pub fn utf8() -> Self {
        Self::from_element(b"ISO_IR 192", Undeclared::Gb18030)
    }

    /// Text of any VR but PN, values still separated by backslashes.
    pub fn decode(&self, bytes: &[u8]) -> String {
        self.decode_with(bytes, &[])
    }

    /// A PN, whose delimiters `^` and `=` also end an escape sequence's effect (PS3.5 §6.2.1.2).
    pub fn decode_person_name(&self, bytes: &[u8]) -> String {
        self.decode_with(bytes, b"^=")
    }

    fn decode_with(&self, bytes: &[u8], delimiters: &[u8]) -> String {
        if bytes.is_ascii() && !bytes.contains(&decode::ESCAPE) && !self.first.changes_ascii() {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        if self.extended || bytes.contains(&decode::ESCAPE) {
            return decode::with_escapes(bytes, self.first, self.undeclared, delimiters);
        }
        decode::plain(bytes, self.first, self.undeclared)
    }

    /// `text` in this character set, or `None` where it has a character that the set lacks.
    pub fn encode(&self, text: &str) -> Option<Vec<u8>> {
        if text.is_ascii() {
            return Some(text.as_bytes().to_vec());
        }
        encode::encode(text, self.first, &self.terms)
    }
}

/// The values of a decoded element, padding aside.
pub fn values(text: &str) -> impl Iterator<Item = &str> {
    text.split('\\')
        .map(|value| value.trim_matches([' ', '\0']))
}

#[cfg(test)]
mod tests;
