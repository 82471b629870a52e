//! Reads the fields of elements and holds each against its row of the table. Names every wrong one, with a path as the
//! table has it; elements that repeat have an index from 1, as in XPath: `Exam/ExamItems/ExamItem[2]/ItemName`.

use std::fmt::Write;

use super::super::fault::{Fault, Findings, Rule};
use super::super::fields::Format;
use super::super::xml::Element;
use super::record::Coded;
use super::table::{Overlong, Row, Scope};
use super::values::{Value, Values};
use super::{CODE_LIMIT, PROSE_LIMIT};

#[derive(Default)]
pub(super) struct Reader {
    pub findings: Findings,
}

impl Reader {
    /// Reads an element's fields.
    pub fn fields(&mut self, scope: &'static Scope, element: &Element, at: &str) -> Values {
        let mut values = Values::new(at);
        for row in &scope.rows {
            let path = values.path(row.name);
            match self.only(element, row.name, &path) {
                Some(found) => {
                    values.filled = true;
                    if let Some(value) = self.value(row, found, element, &path) {
                        values.put(row.name, value);
                    }
                }
                None if row.required => self.missing(row.title, row.name, element, path),
                None => {}
            }
        }
        values
    }

    /// The one node of a name that has something in it, or an empty one.
    pub fn node<'e>(&mut self, parent: &'e Element, name: &str, path: &str) -> Option<&'e Element> {
        let named = || parent.children.iter().filter(|child| child.name == name);
        let mut filled = named().filter(|node| !node.children.is_empty());
        let first = filled.next().or_else(|| named().next());
        if filled.next().is_some() {
            let message =
                "节点出现多次，只能有一个 (the node stands more than once; there must be one)";
            self.refuse(path, Rule::Consistency, message);
        }
        first
    }

    /// A node without which there is no form.
    pub fn required_node<'e>(&mut self, parent: &'e Element, name: &str) -> Option<&'e Element> {
        let node = self.node(parent, name, name);
        if node.is_none() {
            self.missing("节点", name, parent, name.to_owned());
        }
        node
    }

    /// Holds a text that is not empty against its row.
    pub fn text(&mut self, row: &Row, text: &str, path: &str) -> Option<String> {
        if row.is_number() && !self.is_word(text, path) {
            return None;
        }
        match row.format.check(text) {
            Ok(canonical) => Some(canonical.unwrap_or_else(|| text.to_owned())),
            Err(broken) if broken.rule == Rule::Length && row.overlong == Overlong::Flagged => {
                self.overlong(row, text, path)
            }
            Err(broken) => {
                let fault = Fault::new(path, broken.rule, broken.message);
                self.findings.refuse(fault.with_limit(row.format));
                None
            }
        }
    }

    /// Names a field that must be there, with one of nearly the same name if there is such.
    pub fn missing(&mut self, title: &str, name: &str, parent: &Element, path: String) {
        let mut message = format!("必填“{title}”缺失或为空，请补上 (required, absent or empty");
        let near = |child: &&Element| child.name != name && child.name.eq_ignore_ascii_case(name);
        if let Some(near) = parent.children.iter().find(near) {
            // One of our names but for the case of its letters, so it shows nothing of a patient.
            let _ = write!(
                message,
                "; found element {}, names are case-sensitive",
                near.name
            );
        }
        message.push(')');
        self.refuse(path, Rule::Required, message);
    }

    /// Elements stand where a text is meant.
    pub fn not_text(&mut self, path: &str) {
        let message =
            "类型错误：应为文本，实为含子元素的节点 (must be text, found elements within)";
        self.refuse(path, Rule::Type, message);
    }

    pub fn refuse(&mut self, path: impl Into<String>, rule: Rule, message: impl Into<String>) {
        self.findings.refuse(Fault::new(path, rule, message));
    }

    /// The one element of a name that has something in it. A sender who writes two different ones must say which.
    fn only<'e>(&mut self, parent: &'e Element, name: &str, path: &str) -> Option<&'e Element> {
        let mut filled = parent
            .children
            .iter()
            .filter(|child| child.name == name && is_filled(child));
        let first = filled.next()?;
        let same =
            |other: &Element| (other.text.trim(), code(other)) == (first.text.trim(), code(first));
        if !filled.all(same) {
            let message = "出现多次且内容不同，只能保留一个 (stands more than once with different contents; leave one)";
            self.refuse(path, Rule::Consistency, message);
        }
        Some(first)
    }

    fn value(
        &mut self,
        row: &Row,
        element: &Element,
        parent: &Element,
        path: &str,
    ) -> Option<Value> {
        let text = self.own_text(row, element, parent, path);
        if !row.coded {
            return text.map(Value::Text);
        }
        let code = match code(element) {
            "" => None,
            code => self.code(code, &format!("{path}/@code")),
        };
        // Where the name was refused the code still tells the form's hospital.
        (code.is_some() || text.is_some()).then(|| {
            Value::Coded(Coded {
                code,
                name: text.unwrap_or_default(),
            })
        })
    }

    fn own_text(
        &mut self,
        row: &Row,
        element: &Element,
        parent: &Element,
        path: &str,
    ) -> Option<String> {
        if !element.children.is_empty() {
            self.not_text(path);
            return None;
        }
        let text = element.text.trim();
        if text.is_empty() || row.none == Some(text) {
            if row.required {
                self.missing(row.title, row.name, parent, path.to_owned());
            }
            return None;
        }
        self.text(row, text, path)
    }

    fn code(&mut self, code: &str, path: &str) -> Option<String> {
        let limit = Format::AtMost(CODE_LIMIT);
        if !self.is_word(code, path) {
            return None;
        }
        if let Err(broken) = limit.check(code) {
            let fault = Fault::new(path, broken.rule, broken.message);
            self.findings.refuse(fault.with_limit(limit));
            return None;
        }
        Some(code.to_owned())
    }

    fn is_word(&mut self, text: &str, path: &str) -> bool {
        let word = !text.chars().any(char::is_control);
        if !word {
            let message =
                "含有换行或其他控制字符，请去除 (holds a line break or another control character)";
            self.refuse(path, Rule::Format, message);
        }
        word
    }

    fn overlong(&mut self, row: &Row, text: &str, path: &str) -> Option<String> {
        let found = text.chars().count();
        if found > PROSE_LIMIT {
            let message = format!(
                "超长：最多 {PROSE_LIMIT} 个字符，实为 {found} 个，请缩短 (at most {PROSE_LIMIT} characters, found {found})"
            );
            let fault = Fault::new(path, Rule::Length, message);
            self.findings
                .refuse(fault.with_limit(Format::AtMost(PROSE_LIMIT)));
            return None;
        }
        let limit = row.format;
        let message = format!(
            "超长：约定 {limit}，实为 {found} 个字符，已保留并标记 (longer than {limit}, found {found} characters; kept and flagged)"
        );
        self.findings
            .warn(Fault::new(path, Rule::Length, message).with_limit(limit));
        Some(text.to_owned())
    }
}

fn code(element: &Element) -> &str {
    element.attribute("code").unwrap_or_default().trim()
}

fn is_filled(element: &Element) -> bool {
    !element.text.trim().is_empty() || !element.children.is_empty() || !code(element).is_empty()
}
