//! What a hospital's settings change about checking (R5): each length rule, and the pathology fields, refuse or warn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a broken rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Refuse,
    Warn,
}

/// Part of a hospital's registry settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationPolicy {
    /// For length rules that `length` does not name.
    pub length_default: Mode,
    /// By path of the field table, `reportList[].description`; a `*` at the end stands for everything below,
    /// `reportList[].*`. The longest pattern that fits counts.
    pub length: BTreeMap<String, Mode>,
    /// The six specimen fields that pathology needs.
    pub pathology: Mode,
}

impl ValidationPolicy {
    /// The mode of a field's length rule, by its path in the field table (no indices).
    pub fn length_mode(&self, path: &str) -> Mode {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == pattern,
        };
        self.length
            .iter()
            .filter(|(pattern, _)| fits(pattern))
            .max_by_key(|(pattern, _)| (!pattern.ends_with('*'), pattern.len()))
            .map_or(self.length_default, |(_, mode)| *mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_that_fits_counts() {
        let policy = ValidationPolicy {
            length: [
                ("reportList[].*".to_owned(), Mode::Warn),
                ("reportList[].reportNo".to_owned(), Mode::Refuse),
                ("patientInfo.*".to_owned(), Mode::Refuse),
                ("patientInfo.identity[].*".to_owned(), Mode::Warn),
            ]
            .into(),
            ..Default::default()
        };
        assert_eq!(policy.length_mode("reportList[].description"), Mode::Warn);
        assert_eq!(policy.length_mode("reportList[].reportNo"), Mode::Refuse);
        assert_eq!(
            policy.length_mode("patientInfo.identity[].idName"),
            Mode::Warn
        );
        assert_eq!(policy.length_mode("patientInfo.name"), Mode::Refuse);
        assert_eq!(policy.length_mode("examInfo.device"), Mode::Refuse);
    }
}
