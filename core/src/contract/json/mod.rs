//! Lenient reading of JSON (R5): a BOM, GBK where the charset says so, duplicated keys (the last counts), and numbers
//! kept as they were written. Our own reader, because the common one makes floating point of numbers, loses the order
//! of keys, and names no byte where a text is not UTF-8.

mod parser;
mod writer;

use std::borrow::Cow;

pub use parser::DEPTH_LIMIT;

use super::charset;

/// A JSON value that borrows from its text where it can. No `Debug`: it holds patients.
#[derive(Clone, PartialEq, Eq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// The number as it was written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// Keys in the order in which they came, each once.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why bytes are not a JSON value. Offsets count bytes from 0 of the text after decoding, without BOM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error(
        "第 {offset} 字节起不是合法的 UTF-8 编码；若为 GBK，请在 Content-Type 中声明 charset=GBK (not UTF-8 from byte {offset}; declare charset=GBK if it is GBK)"
    )]
    Utf8 { offset: usize },
    #[error(
        "第 {offset} 字节起不是合法的 {charset} 编码，请核对 charset (not {charset} from byte {offset})"
    )]
    Charset {
        charset: &'static str,
        offset: usize,
    },
    #[error("不是合法的 JSON：第 {offset} 字节处{zh} (not JSON: {en} at byte {offset})")]
    Syntax {
        offset: usize,
        zh: &'static str,
        en: &'static str,
    },
    #[error(
        "JSON 嵌套超过 {DEPTH_LIMIT} 层，第 {offset} 字节处 (nested deeper than {DEPTH_LIMIT} at byte {offset})"
    )]
    Depth { offset: usize },
    #[error(
        "内容是 {charset} 编码，不支持；请以 UTF-8 发送，或以 GBK 发送并声明 charset=GBK (encoded as {charset}: send UTF-8, or GBK with charset=GBK)"
    )]
    OtherCharset { charset: &'static str },
    #[error(
        "内容是 gzip 压缩的，不支持；请不压缩发送 (compressed with gzip: send it uncompressed)"
    )]
    Compressed,
    #[error("请求内容为空，应为 JSON (the body is empty; JSON is meant)")]
    Empty,
}

impl<'a> Json<'a> {
    /// Reads a whole text.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        parser::parse(text)
    }

    /// The value of a key of an object.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of an array; of anything else none.
    pub fn items(&self) -> &[Json<'a>] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    /// What sort of value it is, in words that show nothing of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::Text(_) => "text",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// Compact JSON text.
    pub fn to_bytes(&self) -> Vec<u8> {
        writer::write(self)
    }
}

const GZIP: &[u8] = b"\x1F\x8B";
const UTF_16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];

/// Makes UTF-8 text of a request's bytes. `charset` is that of the Content-Type; GBK, GB2312 and GB18030 are read as
/// GB18030, which contains them; anything else must be UTF-8, whatever it is called, and is told what it is if not.
pub fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, JsonError> {
    if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        return utf8(rest);
    }
    let encoding = charset.and_then(|label| {
        encoding_rs::Encoding::for_label(label.trim().trim_matches('"').as_bytes())
    });
    match encoding {
        _ if bytes.starts_with(GZIP) => Err(JsonError::Compressed),
        _ if UTF_16_MARKS.iter().any(|mark| bytes.starts_with(mark)) => {
            Err(JsonError::OtherCharset { charset: "UTF-16" })
        }
        Some(e) if charset::is_chinese(e) => gb18030(bytes),
        Some(e) => utf8(bytes).and_then(|text| {
            // ASCII in UTF-16 is UTF-8 with zeros between.
            let is_utf_16 = e == encoding_rs::UTF_16LE || e == encoding_rs::UTF_16BE;
            if is_utf_16 && text.contains('\0') {
                return Err(JsonError::OtherCharset { charset: e.name() });
            }
            Ok(text)
        }),
        None => utf8(bytes),
    }
    .map_err(|error| match (error, encoding) {
        (JsonError::Utf8 { .. }, Some(e)) if e != encoding_rs::UTF_8 => {
            JsonError::OtherCharset { charset: e.name() }
        }
        (error, _) => error,
    })
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    charset::utf8(bytes).map_err(|offset| JsonError::Utf8 { offset })
}

fn gb18030(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    charset::strict(encoding_rs::GB18030, bytes).map_err(|offset| JsonError::Charset {
        charset: "GBK/GB18030",
        offset,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn error(text: &str) -> JsonError {
        Json::parse(text).err().expect("an error")
    }

    #[test]
    fn reads_what_the_common_reader_reads() {
        for text in [
            r#"{"a":[1,-2.50,3e8,true,false,null,"x\n\u4e2d\ud83d\ude00\\\"\/"],"b":{},"c":[]}"#,
            "  [ ]  ",
            "\"中文\"",
            "0",
            "{\"a\" : {\"b\" : [ {\"c\" : 1 } , 2 ] } }",
        ] {
            let ours: serde_json::Value =
                serde_json::from_slice(&Json::parse(text).ok().unwrap().to_bytes()).unwrap();
            let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(ours, theirs, "{text}");
        }
    }

    #[test]
    fn refuses_what_the_common_reader_refuses() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "nul",
            "tru",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"a\nb\"",
            "1 2",
            "[1 2]",
            "{\"a\" 1}",
            "'a'",
            "+1",
        ] {
            assert!(
                serde_json::from_str::<serde_json::Value>(text).is_err(),
                "{text}"
            );
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn damaged_text_is_read_or_refused_as_by_the_common_reader() {
        let sample = include_bytes!("../../../../tests/fixtures/contract/exam_push.json");
        let check = |bytes: &[u8]| {
            if let Ok(text) = decode(bytes, None) {
                let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
                assert_eq!(Json::parse(&text).is_ok(), theirs, "{text}");
            }
        };
        for at in 0..sample.len() {
            check(&sample[..at]);
            for byte in *b"\"\\{}[]:,0-e.u\x01 \xE8" {
                let mut damaged = sample.to_vec();
                damaged[at] = byte;
                check(&damaged);
            }
        }
    }

    #[test]
    fn numbers_stay_as_written_and_the_last_of_a_key_counts() {
        let value = Json::parse(r#"{"n":12345678901234567890123456789012,"t":1,"o":2,"t":3}"#)
            .ok()
            .unwrap();
        assert!(value.get("n") == Some(&Json::Number("12345678901234567890123456789012".into())));
        assert_eq!(
            value.to_bytes(),
            br#"{"n":12345678901234567890123456789012,"o":2,"t":3}"#
        );
    }

    #[test]
    fn many_duplicated_keys_keep_the_last() {
        let text: Vec<String> = (0..100_000)
            .map(|i| format!("\"k{}\":{i}", i % 50_000))
            .collect();
        let text = format!("{{{}}}", text.join(","));
        let Json::Object(entries) = Json::parse(&text).ok().unwrap() else {
            panic!("an object")
        };
        assert_eq!(entries.len(), 50_000);
        assert!(entries[0].1 == Json::Number("50000".into()));
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(DEPTH_LIMIT)).is_ok());
        assert_eq!(
            error(&nested(DEPTH_LIMIT + 1)),
            JsonError::Depth {
                offset: DEPTH_LIMIT
            }
        );
        assert!(matches!(
            error(&"[{\"a\":".repeat(1_000_000)),
            JsonError::Depth { .. }
        ));
    }

    #[test]
    fn other_encodings_get_advice_that_helps() {
        let text = r#"{"name":"王"}"#;
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&b"\xFF\xFE"[..], &little].concat();
        let ascii: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, charset) in [
            (&marked, None),
            (&marked, Some("GBK")),
            (&little, Some("utf-16")),
            (&ascii, Some("utf-16")),
        ] {
            let said = decode(bytes, charset).unwrap_err().to_string();
            assert!(said.contains("UTF-16") && said.contains("UTF-8"), "{said}");
        }
        let said = decode(b"\x1F\x8B\x08\0\0", None).unwrap_err().to_string();
        assert!(said.contains("gzip") && !said.contains("GBK"), "{said}");
        // whatever it is called, UTF-8 is read
        assert_eq!(decode(text.as_bytes(), Some("utf-16")).unwrap(), text);
        assert_eq!(decode(text.as_bytes(), Some("big5")).unwrap(), text);
    }

    #[test]
    fn bytes_are_decoded_as_declared() {
        assert_eq!(decode(b"\xEF\xBB\xBF{}", Some("gbk")).unwrap(), "{}");
        let gbk = encoding_rs::GBK.encode("{\"name\":\"诊\"}").0;
        for charset in ["GBK", "gb2312", "GB18030", " \"gbk\" "] {
            assert_eq!(
                decode(&gbk, Some(charset)).unwrap(),
                "{\"name\":\"诊\"}",
                "{charset}"
            );
        }
        assert_eq!(decode(&gbk, None), Err(JsonError::Utf8 { offset: 9 }));
        assert!(
            decode(&gbk, None)
                .unwrap_err()
                .to_string()
                .contains("charset=GBK")
        );
        assert!(matches!(
            decode(b"{\"a\":\"\xFF\xFF\"}", Some("GBK")),
            Err(JsonError::Charset { .. })
        ));
    }
}
