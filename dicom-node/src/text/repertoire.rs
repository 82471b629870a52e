//! The character repertoires that DICOM names (PS3.3 §C.12.1.1.2).

use encoding_rs::{
    EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1254,
};

/// What bytes stand for, when no escape sequence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repertoire {
    /// ISO 646: bytes above 0x7F are undeclared.
    Default,
    Latin1,
    /// JIS X 0201: Romaji below, half-width Katakana above.
    Katakana,
    Utf8,
    Gb18030,
    Gbk,
    /// Any other single-byte set.
    Table(&'static Encoding),
    /// EUC-KR or EUC-CN in the upper half: code extensions that sloppy writers use without their escape sequences.
    Upper(&'static Encoding),
}

impl Repertoire {
    /// UTF-8 and the Chinese sets allow no code extensions.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Utf8 | Self::Gb18030 | Self::Gbk)
    }

    /// No repertoire that we know reads a byte under 0x80 as another character: JIS X 0201's yen sign and overline are
    /// kept as backslash and tilde, as everybody does.
    pub fn changes_ascii(self) -> bool {
        false
    }

    pub fn encoding(self) -> Option<&'static Encoding> {
        match self {
            Self::Default | Self::Latin1 => None,
            Self::Katakana => Some(SHIFT_JIS),
            Self::Utf8 => Some(UTF_8),
            Self::Gb18030 => Some(GB18030),
            Self::Gbk => Some(GBK),
            Self::Table(encoding) | Self::Upper(encoding) => Some(encoding),
        }
    }
}

/// A value of (0008,0005).
#[derive(Debug, Clone, Copy)]
pub struct Term {
    pub repertoire: Repertoire,
    /// `ISO 2022 …`: with code extensions.
    pub extended: bool,
}

impl Term {
    pub const DEFAULT: Self = Self {
        repertoire: Repertoire::Default,
        extended: false,
    };

    /// Reads a term as the standard writes it, and as it is often miswritten (`ISO-IR 192`, `ISO IR 100`, `GB 18030`).
    pub fn parse(term: &str) -> Self {
        let plain: String = term
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let (extended, name) = match plain.strip_prefix("ISO2022IR") {
            Some(number) => (true, number),
            None => (false, plain.strip_prefix("ISOIR").unwrap_or(&plain)),
        };
        Self {
            repertoire: repertoire(name),
            extended,
        }
    }
}

fn repertoire(name: &str) -> Repertoire {
    match name {
        "100" => Repertoire::Latin1,
        "101" => Repertoire::Table(ISO_8859_2),
        "109" => Repertoire::Table(ISO_8859_3),
        "110" => Repertoire::Table(ISO_8859_4),
        "144" => Repertoire::Table(ISO_8859_5),
        "127" => Repertoire::Table(ISO_8859_6),
        "126" => Repertoire::Table(ISO_8859_7),
        "138" => Repertoire::Table(ISO_8859_8),
        "148" => Repertoire::Table(WINDOWS_1254),
        "203" => Repertoire::Table(ISO_8859_15),
        "166" => Repertoire::Table(WINDOWS_874),
        "13" => Repertoire::Katakana,
        "149" => Repertoire::Upper(EUC_KR),
        "58" => Repertoire::Upper(GBK),
        "192" | "UTF8" => Repertoire::Utf8,
        "GB18030" => Repertoire::Gb18030,
        "GBK" | "GB2312" => Repertoire::Gbk,
        _ => Repertoire::Default,
    }
}
