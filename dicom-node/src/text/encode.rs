//! Text to bytes, for answers in the character set that the caller asked for.

use encoding_rs::{EncoderResult, Encoding, GBK};

use super::repertoire::{Repertoire, Term};

/// `None` where a character is not in the set. A text is written in the first repertoire if that has all of it, else with
/// the escape sequences of ISO 2022 IR 58 if that is among the terms.
pub fn encode(text: &str, first: Repertoire, terms: &str) -> Option<Vec<u8>> {
    let without_escapes = match first {
        Repertoire::Utf8 => Some(text.as_bytes().to_vec()),
        Repertoire::Latin1 => text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect(),
        Repertoire::Gb18030 | Repertoire::Gbk | Repertoire::Table(_) => {
            encoded(first.encoding()?, text)
        }
        Repertoire::Default | Repertoire::Katakana | Repertoire::Upper(_) => None,
    };
    without_escapes.or_else(|| {
        let has_escapes = !first.is_whole() && terms.split('\\').any(is_chinese);
        has_escapes.then(|| gb2312_with_escapes(text)).flatten()
    })
}

/// ISO 2022 IR 58.
fn is_chinese(term: &str) -> bool {
    let term = Term::parse(term);
    term.extended && term.repertoire == Repertoire::Upper(GBK)
}

fn encoded(encoding: &'static Encoding, text: &str) -> Option<Vec<u8>> {
    let mut encoder = encoding.new_encoder();
    let room = encoder.max_buffer_length_from_utf8_without_replacement(text.len())?;
    let mut bytes = Vec::with_capacity(room);
    match encoder.encode_from_utf8_to_vec_without_replacement(text, &mut bytes, true) {
        (EncoderResult::InputEmpty, _) => Some(bytes),
        _ => None,
    }
}

/// ISO 2022 IR 58: GB 2312 in the upper half, announced anew after every delimiter (PS3.5 annex K).
fn gb2312_with_escapes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() + 16);
    let mut announced = false;
    for character in text.chars() {
        if character.is_ascii() {
            if matches!(character, '\t' | '\n' | '\r' | '\u{c}' | '\\' | '^' | '=') {
                announced = false;
            }
            bytes.push(character as u8);
            continue;
        }
        let code = encoded(GBK, character.encode_utf8(&mut [0; 4]))?;
        // GBK's codes with both bytes from 0xA1 on and the first up to 0xF7 are GB 2312.
        if !matches!(code.as_slice(), [0xA1..=0xF7, 0xA1..=0xFE]) {
            return None;
        }
        if !announced {
            bytes.extend_from_slice(b"\x1b$)A");
            announced = true;
        }
        bytes.extend_from_slice(&code);
    }
    Some(bytes)
}
