//! What changed between two versions of an exam: paths only, for `/v1/exam/history`. Whoever may read the values
//! fetches the versions themselves.

use serde::{Deserialize, Serialize};

use super::json::{Json, JsonError, decode};

/// The most changes named; versions that differ in more are different documents.
pub const CHANGES_LIMIT: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// With indices, `reportList[0].impression`.
    pub path: String,
    pub kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// Compares two events' canonical JSON.
pub fn compare_json(old: &[u8], new: &[u8]) -> Result<Vec<Change>, JsonError> {
    let (old, new) = (decode(old, None)?, decode(new, None)?);
    Ok(compare(&Json::parse(&old)?, &Json::parse(&new)?))
}

/// Compares two values, whatever the order of keys. Items of arrays are compared by their place. An object or array
/// that is new or gone is one change.
pub fn compare(old: &Json<'_>, new: &Json<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    values(old, new, &mut String::new(), &mut changes);
    changes
}

fn note(path: &str, kind: ChangeKind, changes: &mut Vec<Change>) {
    if changes.len() < CHANGES_LIMIT {
        changes.push(Change {
            path: path.to_owned(),
            kind,
        });
    }
}

/// Runs `step` with the path made longer, and makes it as it was again.
fn below(path: &mut String, part: &str, step: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(part);
    step(path);
    path.truncate(length);
}

fn values(old: &Json<'_>, new: &Json<'_>, path: &mut String, changes: &mut Vec<Change>) {
    match (old, new) {
        (Json::Object(before), Json::Object(after)) => {
            let part = |path: &str, key: &str| {
                if path.is_empty() {
                    key.to_owned()
                } else {
                    format!(".{key}")
                }
            };
            for (key, value) in before {
                let part = part(path, key);
                below(path, &part, |path| match new.get(key) {
                    Some(other) => values(value, other, path, changes),
                    None => note(path, ChangeKind::Removed, changes),
                });
            }
            for (key, _) in after.iter().filter(|(key, _)| old.get(key).is_none()) {
                let part = part(path, key);
                below(path, &part, |path| note(path, ChangeKind::Added, changes));
            }
        }
        (Json::Array(before), Json::Array(after)) => {
            for i in 0..before.len().max(after.len()) {
                below(path, &format!("[{i}]"), |path| {
                    match (before.get(i), after.get(i)) {
                        (Some(old), Some(new)) => values(old, new, path, changes),
                        (Some(_), None) => note(path, ChangeKind::Removed, changes),
                        (None, _) => note(path, ChangeKind::Added, changes),
                    }
                });
            }
        }
        (old, new) if old != new => note(path, ChangeKind::Changed, changes),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn lines(old: &str, new: &str) -> Vec<String> {
        let changes = compare_json(old.as_bytes(), new.as_bytes()).unwrap();
        changes
            .iter()
            .map(|change| format!("{:?} {}", change.kind, change.path))
            .collect()
    }

    #[test]
    fn names_every_place_that_differs_and_no_value() {
        let old = r#"{"a":"1","b":{"c":"2","gone":"x"},"l":[{"k":"1"},{"k":"2"}],"t":"same"}"#;
        let new = r#"{"t":"same","b":{"c":"3"},"a":"1","l":[{"k":"9"}],"new":{"deep":"1"}}"#;
        assert_eq!(
            lines(old, new),
            [
                "Changed b.c",
                "Removed b.gone",
                "Changed l[0].k",
                "Removed l[1]",
                "Added new"
            ]
        );
        assert_eq!(lines(new, new), [""; 0]);
    }

    #[test]
    fn a_value_of_another_kind_is_one_change_and_the_list_is_bounded() {
        assert_eq!(lines(r#"{"a":"1"}"#, r#"{"a":["1"]}"#), ["Changed a"]);
        let many = |value: &str| format!("[{}]", vec![value; 2_000].join(","));
        assert_eq!(lines(&many("1"), &many("2")).len(), CHANGES_LIMIT);
    }
}
