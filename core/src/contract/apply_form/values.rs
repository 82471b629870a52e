//! The fields of one element by name, as the check against the table left them. Rules look at them, and types are
//! made of them.

use std::collections::BTreeMap;

use super::record::Coded;

/// One field's content. No `Debug`: it holds patients.
pub(super) enum Value {
    Text(String),
    Coded(Coded),
    Texts(Vec<String>),
    Nodes(Vec<Values>),
}

#[derive(Default)]
pub(super) struct Values {
    /// The element's path with indices, `Exam/Samples/SampleInfo[1]`.
    pub at: String,
    /// The sender wrote something into one of its fields, be it wrong.
    pub filled: bool,
    fields: BTreeMap<&'static str, Value>,
}

impl Values {
    pub fn new(at: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            ..Self::default()
        }
    }

    pub fn put(&mut self, name: &'static str, value: Value) {
        self.fields.insert(name, value);
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// A field's text; of one with a code its name. None where it is absent or was refused.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.fields.get(name)? {
            Value::Text(text) => Some(text),
            Value::Coded(coded) => Some(coded.name.as_str()).filter(|name| !name.is_empty()),
            Value::Texts(_) | Value::Nodes(_) => None,
        }
    }

    pub fn coded(&self, name: &str) -> Option<&Coded> {
        match self.fields.get(name)? {
            Value::Coded(coded) => Some(coded),
            _ => None,
        }
    }

    /// A field's attribute `code`.
    pub fn code(&self, name: &str) -> Option<&str> {
        self.coded(name)?.code.as_deref()
    }

    pub fn nodes(&self, name: &str) -> &[Values] {
        match self.fields.get(name) {
            Some(Value::Nodes(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The path of one of its fields.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }
}
