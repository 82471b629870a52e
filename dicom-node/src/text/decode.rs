//! Bytes to text.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5,
    ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_15, UTF_8, WINDOWS_874, WINDOWS_1254,
};

use super::Undeclared;
use super::repertoire::Repertoire;

pub const ESCAPE: u8 = 0x1B;

/// Text without escape sequences.
pub fn plain(bytes: &[u8], repertoire: Repertoire, undeclared: Undeclared) -> String {
    match repertoire {
        Repertoire::Default => guess(bytes, undeclared),
        Repertoire::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Repertoire::Katakana => katakana(bytes),
        // Bytes that are not what was declared are more often GB18030 than damage.
        Repertoire::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => guess(bytes, undeclared),
        },
        Repertoire::Gb18030 | Repertoire::Gbk => decoded(GB18030, bytes),
        Repertoire::Table(encoding) | Repertoire::Upper(encoding) => decoded(encoding, bytes),
    }
}

/// Undeclared bytes: UTF-8 if they are valid UTF-8, else what the setting says.
fn guess(bytes: &[u8], undeclared: Undeclared) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let or_gb18030 = match undeclared {
            Undeclared::Gb18030 if may_be_gb18030(text) => GB18030
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map(Into::into),
            _ => None,
        };
        return or_gb18030.unwrap_or_else(|| text.to_owned());
    }
    match undeclared {
        Undeclared::Gb18030 => match GB18030.decode_without_bom_handling(bytes) {
            (text, false) => text.into_owned(),
            (_, true) => decoded(UTF_8, bytes),
        },
        Undeclared::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Whether what reads as UTF-8 may have been meant as GB18030: characters of two bytes only. Chinese takes three in
/// UTF-8, and many a name's two in GB18030 pass for Latin, Greek, Cyrillic or Hebrew: 毛伟, 郑伟, 谢强.
fn may_be_gb18030(text: &str) -> bool {
    !text.is_ascii() && text.chars().all(|c| c < '\u{800}')
}

fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> String {
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// JIS X 0201: the upper half holds half-width Katakana from U+FF61 on.
fn katakana(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            0..0x80 => char::from(*byte),
            0xA1..=0xDF => char::from_u32(0xFF61 + u32::from(*byte - 0xA1))
                .unwrap_or(char::REPLACEMENT_CHARACTER),
            _ => char::REPLACEMENT_CHARACTER,
        })
        .collect()
}

/// What the lower half (G0) stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lower {
    SingleByte,
    /// JIS X 0208: two bytes a character.
    Kanji,
    /// JIS X 0212: two bytes a character.
    SupplementaryKanji,
}

/// An escape sequence's effect (PS3.3 table C.12-3 and C.12-4).
enum Switch {
    Lower(Lower),
    Upper(Repertoire),
}

fn switch(sequence: &[u8]) -> Option<(Switch, usize)> {
    let upper = |encoding| Switch::Upper(Repertoire::Table(encoding));
    Some(match sequence {
        [0x28, 0x42 | 0x4A, ..] => (Switch::Lower(Lower::SingleByte), 2),
        [0x24, 0x42 | 0x40, ..] => (Switch::Lower(Lower::Kanji), 2),
        [0x24, 0x28, 0x44, ..] => (Switch::Lower(Lower::SupplementaryKanji), 3),
        [0x24, 0x29, 0x43, ..] => (Switch::Upper(Repertoire::Upper(EUC_KR)), 3),
        [0x24, 0x29, 0x41, ..] => (Switch::Upper(Repertoire::Upper(GBK)), 3),
        [0x29, 0x49, ..] => (Switch::Upper(Repertoire::Katakana), 2),
        [0x2D, 0x41, ..] => (Switch::Upper(Repertoire::Latin1), 2),
        [0x2D, 0x42, ..] => (upper(ISO_8859_2), 2),
        [0x2D, 0x43, ..] => (upper(ISO_8859_3), 2),
        [0x2D, 0x44, ..] => (upper(ISO_8859_4), 2),
        [0x2D, 0x4C, ..] => (upper(ISO_8859_5), 2),
        [0x2D, 0x47, ..] => (upper(ISO_8859_6), 2),
        [0x2D, 0x46, ..] => (upper(ISO_8859_7), 2),
        [0x2D, 0x48, ..] => (upper(ISO_8859_8), 2),
        [0x2D, 0x4D, ..] => (upper(WINDOWS_1254), 2),
        [0x2D, 0x62, ..] => (upper(ISO_8859_15), 2),
        [0x2D, 0x54, ..] => (upper(WINDOWS_874), 2),
        _ => return None,
    })
}

/// Text with code extensions (PS3.5 §6.1.2.5).
pub fn with_escapes(
    bytes: &[u8],
    first: Repertoire,
    undeclared: Undeclared,
    delimiters: &[u8],
) -> String {
    let mut text = String::with_capacity(bytes.len());
    let (mut lower, mut upper) = (Lower::SingleByte, first);
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == ESCAPE {
            rest = match switch(after) {
                Some((Switch::Lower(set), used)) => {
                    lower = set;
                    after.get(used..).unwrap_or_default()
                }
                Some((Switch::Upper(set), used)) => {
                    upper = set;
                    after.get(used..).unwrap_or_default()
                }
                None => after,
            };
            continue;
        }
        let double = lower != Lower::SingleByte && (0x21..=0x7E).contains(&byte);
        if !double && resets(byte, delimiters) {
            text.push(char::from(byte));
            lower = Lower::SingleByte;
            // Where the first set has no upper half, what was switched to goes on: writers forget to repeat it.
            if first != Repertoire::Default {
                upper = first;
            }
            rest = after;
            continue;
        }
        let end = rest
            .iter()
            .position(|b| *b == ESCAPE || (!double && resets(*b, delimiters)))
            .unwrap_or(rest.len());
        let (run, following) = rest.split_at(end);
        if double {
            text.push_str(&kanji(run, lower));
        } else {
            text.push_str(&plain(run, upper, undeclared));
        }
        rest = following;
    }
    text
}

/// Control characters, the value separator and the VR's own delimiters bring back the first repertoire.
fn resets(byte: u8, delimiters: &[u8]) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | b'\\') || delimiters.contains(&byte)
}

/// JIS X 0208 or 0212 in the lower half, by way of EUC-JP, which has the same codes in the upper half.
fn kanji(run: &[u8], set: Lower) -> String {
    let mut upper = Vec::with_capacity(run.len() * 2);
    for pair in run.chunks(2) {
        if let [first @ 0x21..=0x7E, second @ 0x21..=0x7E] = pair {
            if set == Lower::SupplementaryKanji {
                upper.push(0x8F);
            }
            upper.extend_from_slice(&[first | 0x80, second | 0x80]);
        } else {
            upper.extend(pair.iter().filter(|byte| byte.is_ascii()));
        }
    }
    decoded(EUC_JP, &upper)
}
