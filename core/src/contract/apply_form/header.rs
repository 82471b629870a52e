//! `Header`: who sends the form, with which licence, and what is to be done with it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::fault::Rule;
use super::super::xml::Element;
use super::reader::Reader;
use super::record::FromValue;
use super::table::HEADER;

/// The sending program where it does not name itself.
const DEFAULT_APPLICATION: &str = "HIS";

/// 动作代码: what a message does with its form (§3.1). Stored by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Insert,
    Update,
    Delete,
}

impl Action {
    /// Reads it in any case of letters; nothing at all is INSERT.
    fn parse(text: &str) -> Option<Self> {
        [
            ("", Self::Insert),
            ("INSERT", Self::Insert),
            ("UPDATE", Self::Update),
            ("DELETE", Self::Delete),
        ]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, action)| action)
    }
}

/// What of the header could be read.
pub(super) struct Header {
    pub application: String,
    pub license: Option<Zeroizing<String>>,
    pub action: Option<Action>,
}

pub(super) fn read(reader: &mut Reader, root: &Element) -> Header {
    let Some(element) = reader.required_node(root, "Header") else {
        return Header {
            application: DEFAULT_APPLICATION.to_owned(),
            license: None,
            action: Some(Action::Insert),
        };
    };
    let mut values = reader.fields(&HEADER, element, "Header");
    let path = "Header/Action";
    let action = Action::parse(values.text("Action").unwrap_or_default())
        .filter(|_| !reader.findings.has_fault_at(path));
    if action.is_none() && !reader.findings.has_fault_at(path) {
        let message = "动作代码只能为 INSERT、UPDATE、DELETE 或空（即 INSERT） (must be INSERT, UPDATE, DELETE or empty, which is INSERT)";
        reader.refuse(path, Rule::Code, message);
    }
    Header {
        application: FromValue::from_value(values.take("Application"))
            .unwrap_or_else(|| DEFAULT_APPLICATION.to_owned()),
        license: FromValue::from_value(values.take("License")).map(Zeroizing::new),
        action,
    }
}

/// A message's licence before anything is checked: who has a wrong one learns nothing else.
pub fn license_of(root: &Element) -> Option<Zeroizing<String>> {
    let text = root.at("Header/License")?.text.trim();
    (!text.is_empty()).then(|| Zeroizing::new(text.to_owned()))
}
