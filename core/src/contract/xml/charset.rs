//! Which encoding a document's bytes are in.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use super::XmlError;
use crate::contract::charset;

/// Where an XML declaration must end: it names a version, an encoding and little more.
const DECLARATION_BYTES: usize = 256;

const GZIP: &[u8] = b"\x1F\x8B";

/// Makes UTF-8 text of a document's bytes. A byte order mark decides, since no other encoding begins so; then the
/// transport's charset, then what the document declares, else it is UTF-8. GBK, GB2312 and GB18030 are read as
/// GB18030; UTF-16 as its bytes lie. Whatever else is named, UTF-8 is meant, and is told what it is if not: clients
/// write `charset=ISO-8859-1` over texts that are plain ASCII.
pub fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, XmlError> {
    if bytes.starts_with(GZIP) {
        return Err(XmlError::Compressed);
    }
    if let Some((encoding, mark)) = certain(bytes) {
        return decoded(encoding, bytes, mark);
    }
    match named(bytes, charset) {
        Some(encoding) if charset::is_chinese(encoding) => decoded(GB18030, bytes, 0),
        Some(encoding) if encoding != UTF_8 => {
            decoded(UTF_8, bytes, 0).map_err(|_| XmlError::OtherCharset {
                charset: encoding.name(),
            })
        }
        _ => decoded(UTF_8, bytes, 0),
    }
}

/// Whether [`decode`] reads the bytes as GBK, so that an answer should be in it.
pub fn is_gbk(bytes: &[u8], charset: Option<&str>) -> bool {
    certain(bytes).is_none() && named(bytes, charset).is_some_and(charset::is_chinese)
}

/// The encoding that the first bytes leave no doubt of, and the length of its mark.
fn certain(bytes: &[u8]) -> Option<(&'static Encoding, usize)> {
    // Markup in UTF-16 has a zero beside its first bracket.
    match bytes.get(..2) {
        Some(b"<\0") => Some((UTF_16LE, 0)),
        Some(b"\0<") => Some((UTF_16BE, 0)),
        _ => Encoding::for_bom(bytes),
    }
}

/// The encoding that the transport names, or else the document.
fn named(bytes: &[u8], charset: Option<&str>) -> Option<&'static Encoding> {
    charset
        .and_then(|label| Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes()))
        .or_else(|| declared(bytes))
}

/// The text behind a byte order mark of some bytes.
fn decoded<'a>(
    encoding: &'static Encoding,
    bytes: &'a [u8],
    mark: usize,
) -> Result<Cow<'a, str>, XmlError> {
    let rest = bytes.get(mark..).unwrap_or_default();
    charset::strict(encoding, rest).map_err(|offset| XmlError::Charset {
        charset: match encoding == GB18030 {
            true => "GBK/GB18030",
            false => encoding.name(),
        },
        offset: offset + mark,
    })
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.trim_ascii_start().strip_prefix(b"<?xml")?;
    let head = head.get(..DECLARATION_BYTES).unwrap_or(head);
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let head = str::from_utf8(head.get(..end)?).ok()?;
    let (_, after) = head.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value.split(quote).nth(1)?;
    Encoding::for_label(label.trim().as_bytes())
}
