//! Lenient, bounded reading of XML (R12): elements by their local names whatever their namespace, stray text between
//! elements, blanks within tags (`< ApplyNo >`), a document's own word about its encoding ignored. What could make a
//! small text large or reach for anything outside it (document types, entities) is refused. The common crate finds
//! where markup begins and ends; names, references and limits are ours, because no reader is lenient in just these ways.

mod charset;
mod reader;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use charset::{decode, is_gbk};
pub use reader::{
    ATTRIBUTES_LIMIT, ATTRIBUTES_PER_ELEMENT_LIMIT, DEPTH_LIMIT, ELEMENTS_LIMIT, TEXT_LIMIT,
};

/// The most bytes of a form's own document (UTF-8). The log holds 1 MiB in a record, and a form has some kilobytes.
pub const DOCUMENT_LIMIT: usize = 1 << 20;

/// An element with all that is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    /// Without prefix.
    pub name: String,
    /// Names without prefix, values without outer blanks; declarations of namespaces are not among them.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// The element's own character data and CDATA, that between its children too, without outer blanks.
    pub text: String,
    namespace: Option<Arc<str>>,
}

/// Names only: texts are patients'.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element")
            .field("name", &self.name)
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}

impl Element {
    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// An attribute's value, whatever the case of its name (`code`, `Code`): the contract has both.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The element that a path leads to from here, by the first child of each name: `Exam/ReqHospital`.
    pub fn at(&self, path: &str) -> Option<&Element> {
        path.split('/')
            .try_fold(self, |element, name| element.child(name))
    }

    /// The namespace, where the text declares one for the element's prefix.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The element as XML text, without namespaces; its own text stands before its children.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    // Recursion is bounded: no element that was read is deeper than the limit.
    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            out.push_str(&escape(value));
            out.push('"');
        }
        out.push('>');
        out.push_str(&escape(&self.text));
        for child in &self.children {
            child.write(out);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// Reads a whole document of at most [`TEXT_LIMIT`] bytes, in time and memory that grow with the text and no faster.
pub fn read(text: &str) -> Result<Element, XmlError> {
    reader::read(text)
}

/// Text as it stands in an element or an attribute; characters that XML cannot hold become U+FFFD.
pub fn escape(text: &str) -> Cow<'_, str> {
    let plain =
        |c: char| is_allowed(c) && !matches!(c, '&' | '<' | '>' | '"' | '\'' | '\r' | '\n' | '\t');
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A reader would take it for the end of a line.
            '\r' => out.push_str("&#13;"),
            c if is_allowed(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Cow::Owned(out)
}

/// What XML 1.0 lets stand in a document (production 2, `Char`).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Where something stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// Bytes from 0 of the text after decoding.
    pub offset: usize,
}

impl Place {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.as_bytes().iter().take(offset);
        Self {
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            offset,
        }
    }
}

/// Why bytes are not a document that is read. Never holds anything of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("内容为空，应为 XML (there is no content; XML is meant)")]
    Empty,
    #[error("XML 超过 {limit} 字节 (the XML has more than {limit} bytes)")]
    TooLarge { limit: usize },
    #[error(
        "第 {offset} 字节起不是合法的 {charset} 编码；请核对 Content-Type 的 charset 与实际编码 (not {charset} from byte {offset}: compare charset in Content-Type with the real encoding)"
    )]
    Charset {
        charset: &'static str,
        offset: usize,
    },
    #[error(
        "内容是 {charset} 编码，不支持；请以 UTF-8 或 GBK 发送 (encoded as {charset}: send UTF-8 or GBK)"
    )]
    OtherCharset { charset: &'static str },
    #[error(
        "内容是 gzip 压缩的，不支持；请不压缩发送 (compressed with gzip: send it uncompressed)"
    )]
    Compressed,
    #[error("不是合法的 XML：{}{zh} (not XML: {en}, {})", .place.zh(), .place.en())]
    Syntax {
        place: Place,
        zh: &'static str,
        en: &'static str,
    },
    #[error("{}的结束标签与{}的开始标签不符 (the end tag, {}, does not match the start tag, {})",
        .end.zh(), .start.zh(), .end.en(), .start.en())]
    Mismatch { start: Place, end: Place },
    #[error("{}的标签没有结束 (the tag is never closed, {})", .place.zh(), .place.en())]
    Unclosed { place: Place },
    #[error("{}有 DTD (DOCTYPE)，出于安全不接受，请去掉 (a DTD is refused for safety: leave it out, {})",
        .place.zh(), .place.en())]
    Dtd { place: Place },
    #[error("{}的实体引用不支持；内容中的 & 应写作 &amp; (an entity that is not one of XML's own five; write & as &amp;, {})",
        .place.zh(), .place.en())]
    Entity { place: Place },
    #[error("{}有 XML 不允许的控制字符 (a character that XML does not allow, {})",
        .place.zh(), .place.en())]
    Character { place: Place },
    #[error("{}嵌套超过 {DEPTH_LIMIT} 层 (nested deeper than {DEPTH_LIMIT}, {})",
        .place.zh(), .place.en())]
    Depth { place: Place },
    #[error("{}起元素超过 {ELEMENTS_LIMIT} 个 (more than {ELEMENTS_LIMIT} elements, {})",
        .place.zh(), .place.en())]
    Elements { place: Place },
    #[error("{}起属性过多，一个元素最多 {ATTRIBUTES_PER_ELEMENT_LIMIT} 个，共 {ATTRIBUTES_LIMIT} 个 (more than {ATTRIBUTES_PER_ELEMENT_LIMIT} attributes of an element or {ATTRIBUTES_LIMIT} in all, {})",
        .place.zh(), .place.en())]
    Attributes { place: Place },
}

impl Place {
    fn zh(&self) -> String {
        format!("第 {} 行（第 {} 字节）", self.line, self.offset)
    }

    fn en(&self) -> String {
        format!("line {}, byte {}", self.line, self.offset)
    }
}
