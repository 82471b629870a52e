//! Apply-form numbers that stand for "no form" (R10): accepted in a push, flagged, never joined and not counted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

const DEFAULTS: &[&str] = &[
    "无",
    "空",
    "未知",
    "不详",
    "暂无",
    "没有",
    "无申请单",
    "NULL",
    "NONE",
    "NIL",
    "NA",
    "N/A",
    "UNDEFINED",
    "NAN",
    "-",
    "--",
    "---",
    "_",
    "/",
    "\\",
    ".",
    "*",
    "#",
    "?",
    "？",
    "－",
    "—",
    "——",
    "（无）",
    "(无)",
];

/// The list, which an administrator can edit. Entries are compared without regard to ASCII case and blanks around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Placeholders(BTreeSet<String>);

impl Placeholders {
    pub fn new(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(
            entries
                .into_iter()
                .map(|entry| entry.as_ref().trim().to_owned())
                .collect(),
        )
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Default for Placeholders {
    fn default() -> Self {
        // Rows of zeros as long as the field may be: programs pad.
        let zeros = (1..=32).map(|count| "0".repeat(count));
        Self::new(
            DEFAULTS
                .iter()
                .map(|entry| (*entry).to_owned())
                .chain(zeros),
        )
    }
}

/// Whether an apply-form number is none. Nothing at all is none, too.
pub fn is_placeholder(list: &Placeholders, text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || list.0.contains(text)
        || list.iter().any(|entry| entry.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_nothings_are_placeholders_and_numbers_are_not() {
        let list = Placeholders::default();
        for text in [
            "0", "000", "无", "NULL", "null", "-", "", " 无 ", "none", "N/A",
        ] {
            assert!(is_placeholder(&list, text), "{text}");
        }
        for text in ["00000001", "A0", "10", "无锡01"] {
            assert!(!is_placeholder(&list, text), "{text}");
        }
        assert!(!is_placeholder(&Placeholders::new(["x"]), "0"));
    }
}
