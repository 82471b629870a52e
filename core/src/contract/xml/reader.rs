//! From text to a tree: the open elements lie on a stack, so nothing recurses, and each byte is looked at a fixed
//! number of times.

use std::borrow::Cow;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::Event;
use quick_xml::events::attributes::Attributes;

use super::{Element, Place, XmlError, is_allowed};

/// The most bytes of text read: a request of 2 MiB in GBK or UTF-16 is up to half as much again in UTF-8.
pub const TEXT_LIMIT: usize = 4 << 20;
/// The deepest nesting read. A form in its envelope nests nine deep.
pub const DEPTH_LIMIT: usize = 64;
/// The most elements read. A form has a hundred, one with a hundred items some seven hundred; each costs memory.
pub const ELEMENTS_LIMIT: usize = 20_000;
/// The most attributes of one element: they are compared with one another, and the contract has five.
pub const ATTRIBUTES_PER_ELEMENT_LIMIT: usize = 64;
/// The most attributes in all: five bytes of text make one, and each costs many times that.
pub const ATTRIBUTES_LIMIT: usize = 20_000;
/// Bytes in which the end of a character's second reference is looked for: it has eight, and perhaps zeros in front.
const REFERENCE_BYTES: usize = 16;

pub(super) fn read(text: &str) -> Result<Element, XmlError> {
    if text.len() > TEXT_LIMIT {
        return Err(XmlError::TooLarge { limit: TEXT_LIMIT });
    }
    // Blanks and byte order marks before the declaration: where texts were glued together.
    let body = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
    if body.is_empty() {
        return Err(XmlError::Empty);
    }
    let mut tree = Tree {
        text,
        open: Vec::new(),
        root: None,
        scope: Vec::new(),
        elements: 0,
        attributes: 0,
    };
    if let Some((offset, _)) = text.char_indices().find(|(_, c)| !is_allowed(*c)) {
        let place = tree.place(offset);
        return Err(XmlError::Character { place });
    }
    tree.grow(text.len() - body.len(), body)?;
    match (tree.open.last(), tree.root.take()) {
        (Some(open), _) => Err(XmlError::Unclosed {
            place: tree.place(open.offset),
        }),
        (None, Some(root)) => Ok(root),
        (None, None) => Err(tree.wrong(text.len(), "没有元素", "there is no element")),
    }
}

/// An element whose end has not come.
struct Open<'t> {
    element: Element,
    /// The name with its prefix, which the end tag repeats.
    name: &'t str,
    offset: usize,
    /// Declarations of namespaces that were in force before it.
    scope: usize,
}

struct Tree<'t> {
    text: &'t str,
    open: Vec<Open<'t>>,
    root: Option<Element>,
    /// Prefixes and their namespaces, the innermost last. Bounded by depth and attributes of an element.
    scope: Vec<(&'t str, Arc<str>)>,
    elements: usize,
    attributes: usize,
}

impl<'t> Tree<'t> {
    fn place(&self, offset: usize) -> Place {
        Place::of(self.text, offset)
    }

    fn wrong(&self, offset: usize, zh: &'static str, en: &'static str) -> XmlError {
        let place = self.place(offset);
        XmlError::Syntax { place, zh, en }
    }

    /// Takes piece by piece of `body`, which begins at `from` in the text.
    fn grow(&mut self, from: usize, body: &'t str) -> Result<(), XmlError> {
        let mut reader = Reader::from_str(body);
        let config = reader.config_mut();
        // Ends are matched here, since blanks may stand before their names.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        let mut start = 0;
        let mut taken = 0;
        loop {
            let event = reader.read_event();
            let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let offset = from + start;
            // Pieces begin and end beside ASCII characters.
            let piece = body.get(start..end).unwrap_or_default();
            match event.map_err(|error| self.broken(&error, offset))? {
                Event::Eof => return Ok(()),
                Event::Start(_) => self.tag(within(piece, "<", ">"), offset, false)?,
                Event::Empty(_) => self.tag(within(piece, "<", "/>"), offset, true)?,
                Event::End(_) => self.end(within(piece, "</", ">"), offset)?,
                Event::Text(_) => self.characters(piece, offset)?,
                Event::CData(_) => self.characters(within(piece, "<![CDATA[", "]]>"), offset)?,
                Event::GeneralRef(_) if start < taken => {}
                Event::GeneralRef(_) => {
                    let after = body.get(end..).unwrap_or_default();
                    let (c, more) = self.reference(within(piece, "&", ";"), after, offset)?;
                    taken = end + more;
                    self.own_text(offset)?.push(c);
                }
                Event::DocType(_) => {
                    let place = self.place(offset);
                    return Err(XmlError::Dtd { place });
                }
                // A declaration also where a document stands in another: it says nothing that matters.
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
            }
            start = end;
        }
    }

    /// A start tag or an empty element; `inner` is what stands between its brackets.
    fn tag(&mut self, inner: &'t str, offset: usize, empty: bool) -> Result<(), XmlError> {
        let inner = inner.trim();
        if let Some(name) = inner.strip_prefix('/') {
            return self.end(name, offset);
        }
        let (inner, empty) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, empty),
        };
        let name = inner.split_whitespace().next().unwrap_or_default();
        if !is_name(name) {
            let (zh, en) = (
                "不是标签；内容中的 < 应写作 &lt;",
                "not a tag (write < within content as &lt;)",
            );
            return Err(self.wrong(offset, zh, en));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(self.wrong(offset, "有第二个根元素", "a second root element"));
        }
        if self.open.len() >= DEPTH_LIMIT {
            let place = self.place(offset);
            return Err(XmlError::Depth { place });
        }
        self.elements += 1;
        if self.elements > ELEMENTS_LIMIT {
            let place = self.place(offset);
            return Err(XmlError::Elements { place });
        }
        let scope = self.scope.len();
        let attributes = self.attributes(inner, name.len(), offset)?;
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let element = Element {
            name: local.to_owned(),
            attributes,
            children: Vec::new(),
            text: String::new(),
            namespace: self.namespace(prefix),
        };
        self.open.push(Open {
            element,
            name,
            offset,
            scope,
        });
        if empty {
            self.close();
        }
        Ok(())
    }

    /// The attributes of a tag; declarations of namespaces among them come into force.
    fn attributes(
        &mut self,
        inner: &'t str,
        name: usize,
        offset: usize,
    ) -> Result<Vec<(String, String)>, XmlError> {
        let mut attributes = Vec::new();
        let wrong = |tree: &Self| {
            let zh = "属性不合法：应为 名称=\"值\"，且不重复";
            let en = "attributes must be name=\"value\", each once";
            tree.wrong(offset, zh, en)
        };
        for (i, attribute) in Attributes::new(inner, name).enumerate() {
            self.attributes += 1;
            if i >= ATTRIBUTES_PER_ELEMENT_LIMIT || self.attributes > ATTRIBUTES_LIMIT {
                let place = self.place(offset);
                return Err(XmlError::Attributes { place });
            }
            let attribute = attribute.map_err(|_| wrong(self))?;
            let key = str::from_utf8(attribute.key.0).unwrap_or_default();
            if !is_name(key) {
                return Err(wrong(self));
            }
            let raw = str::from_utf8(&attribute.value).unwrap_or_default();
            let value = self.value(raw, offset)?;
            match key.split_once(':') {
                Some(("xmlns", prefix)) => self.scope.push((prefix, value.into())),
                None if key == "xmlns" => self.scope.push(("", value.into())),
                Some((_, local)) => attributes.push((local.to_owned(), value)),
                None => attributes.push((key.to_owned(), value)),
            }
        }
        Ok(attributes)
    }

    /// An attribute's value without references and outer blanks (XML 1.0, 3.3.3).
    fn value(&self, raw: &str, offset: usize) -> Result<String, XmlError> {
        let mut value = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('&') {
            value.extend(before.chars().map(blank));
            // Without an end, what is left is looked through once, here.
            let (name, after) = after.split_once(';').ok_or_else(|| XmlError::Entity {
                place: self.place(offset),
            })?;
            let (c, more) = self.reference(name, after, offset)?;
            value.push(c);
            rest = after.get(more..).unwrap_or_default();
        }
        value.extend(rest.chars().map(blank));
        Ok(value.trim().to_owned())
    }

    fn namespace(&self, prefix: &str) -> Option<Arc<str>> {
        let declared = self.scope.iter().rev().find(|(own, _)| *own == prefix);
        declared
            .map(|(_, namespace)| Arc::clone(namespace))
            .filter(|namespace| !namespace.is_empty())
    }

    fn end(&mut self, name: &str, offset: usize) -> Result<(), XmlError> {
        let Some(open) = self.open.last() else {
            return Err(self.wrong(offset, "结束标签没有开始标签", "an end tag without a start"));
        };
        if open.name != name.trim() {
            return Err(XmlError::Mismatch {
                start: self.place(open.offset),
                end: self.place(offset),
            });
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else {
            return;
        };
        self.scope.truncate(open.scope);
        let mut element = open.element;
        let trimmed = element.text.trim();
        if trimmed.len() < element.text.len() {
            element.text = trimmed.to_owned();
        }
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(element),
            None => self.root = Some(element),
        }
    }

    /// Character data, with the ends of its lines as XML has them (2.11).
    fn characters(&mut self, data: &str, offset: usize) -> Result<(), XmlError> {
        if self.open.is_empty() && data.trim().is_empty() {
            return Ok(());
        }
        let data = match data.contains('\r') {
            true => Cow::Owned(data.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(data),
        };
        self.own_text(offset)?.push_str(&data);
        Ok(())
    }

    fn own_text(&mut self, offset: usize) -> Result<&mut String, XmlError> {
        match self.open.last_mut() {
            Some(open) => Ok(&mut open.element.text),
            None => Err(XmlError::Syntax {
                place: Place::of(self.text, offset),
                zh: "根元素之外有文字",
                en: "there is text outside the root element",
            }),
        }
    }

    /// The character that stands behind `&name;`, and how many bytes of what comes after belong to it.
    fn reference(&self, name: &str, after: &str, offset: usize) -> Result<(char, usize), XmlError> {
        let number = match name {
            "lt" => return Ok(('<', 0)),
            "gt" => return Ok(('>', 0)),
            "amp" => return Ok(('&', 0)),
            "apos" => return Ok(('\'', 0)),
            "quot" => return Ok(('"', 0)),
            _ => name.strip_prefix('#').ok_or_else(|| XmlError::Entity {
                place: self.place(offset),
            })?,
        };
        number_of(number)
            .and_then(|number| match char::from_u32(number) {
                Some(c) => Some((c, 0)),
                None => of_two_halves(number, after),
            })
            .filter(|(c, _)| is_allowed(*c))
            .ok_or_else(|| XmlError::Character {
                place: self.place(offset),
            })
    }

    /// Markup that has no end, in words. `offset` is where it begins.
    fn broken(&self, error: &Error, offset: usize) -> XmlError {
        match error {
            Error::Syntax(SyntaxError::UnclosedDoctype)
            | Error::IllFormed(IllFormedError::MissingDoctypeName) => XmlError::Dtd {
                place: self.place(offset),
            },
            Error::Syntax(SyntaxError::InvalidBangMarkup) => {
                self.wrong(offset, "有不认识的 <! 标记", "unknown markup after <!")
            }
            Error::IllFormed(IllFormedError::UnclosedReference) => XmlError::Entity {
                place: self.place(offset),
            },
            _ => self.wrong(offset, "起的标记没有结束", "markup that does not end"),
        }
    }
}

/// What stands behind the `#` of a reference.
fn number_of(number: &str) -> Option<u32> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    Some(digits)
        .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
}

/// A character beyond U+FFFF of which two references were made, one for each half that UTF-16 has of it: so writes Woodstox,
/// which is in CXF, rare names in GBK. Also the bytes of the second reference, which begins `after`.
fn of_two_halves(first: u32, after: &str) -> Option<(char, usize)> {
    let mut bytes = after.bytes().take(REFERENCE_BYTES);
    let length = bytes.position(|byte| byte == b';')? + 1;
    let second = after.get(..length)?.strip_prefix("&#")?.strip_suffix(';')?;
    let halves = [first, number_of(second)?].map(u16::try_from);
    let [Ok(first), Ok(second)] = halves else {
        return None;
    };
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, length))
}

/// What stands between two ends that a piece is known to have.
fn within<'t>(piece: &'t str, first: &str, last: &str) -> &'t str {
    let inner = piece.strip_prefix(first).unwrap_or(piece);
    inner.strip_suffix(last).unwrap_or(inner)
}

fn blank(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        c => c,
    }
}

/// A name, perhaps with one prefix.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    match name.split_once(':') {
        Some((prefix, local)) => is_part(prefix) && is_part(local),
        None => is_part(name),
    }
}
