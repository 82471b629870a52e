//! What is looked for may stand anywhere in an envelope: as elements, as escaped text, in a CDATA section, escaped twice.

use std::borrow::Cow;

use yingku_core::contract::xml::{self, Element, XmlError};

/// Texts within texts that are looked into: some stacks escape a document twice.
const LAYERS: usize = 3;

/// The first that `of` makes something of: of the elements in their order, then of those in their texts.
pub fn find<T>(root: &Element, of: &dyn Fn(&Element) -> Option<T>) -> Result<Option<T>, XmlError> {
    find_in(root, LAYERS, of)
}

/// A text that may be a document: as it stands, or escaped once more than is meant.
fn document_of(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('<') {
        return Some(Cow::Borrowed(text));
    }
    let is_escaped = text.contains("&lt;");
    is_escaped.then(|| Cow::Owned(format!("<text>{text}</text>")))
}

fn find_in<T>(
    root: &Element,
    layers: usize,
    of: &dyn Fn(&Element) -> Option<T>,
) -> Result<Option<T>, XmlError> {
    let mut waiting = vec![root];
    let mut texts = Vec::new();
    while let Some(element) = waiting.pop() {
        if let Some(found) = of(element) {
            return Ok(Some(found));
        }
        texts.extend(document_of(&element.text));
        waiting.extend(element.children.iter().rev());
    }
    if layers == 0 {
        return Ok(None);
    }
    let mut unreadable = None;
    for text in texts {
        match xml::read(&text).and_then(|root| find_in(&root, layers - 1, of)) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) => unreadable = Some(error),
        }
    }
    unreadable.map_or(Ok(None), Err)
}
