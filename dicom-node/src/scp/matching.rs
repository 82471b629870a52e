//! Attribute matching (PS3.4 §C.2.2.2): single value, list, wildcard, range; names in any of their groups.
//!
//! The indexes that lead to studies ([`super::query`]) are asked with [`values`], [`bounds`] and
//! [`yingku_core::query::joined_name`]: what [`meets`] takes, an index must lead to.

use dicom_core::VR;
use yingku_core::query::{DATE_DIGITS, digits, folded_name, wildcard_matches};

/// `HHMMSS` and six digits of a second.
pub const TIME_DIGITS: usize = 12;
/// Characters of one value of a key at most: what the longest of the VRs allow (LO, and PN for each of its three groups;
/// PS3.5 §6.2). Numbers in images are longer than SH allows now and then, and must be found.
const VALUE_CHARACTERS: usize = 64;
/// Characters of a key at most, all its values together. Every study that an index leads to is compared with it.
const KEY_CHARACTERS: usize = 2_048;

/// Whether a value meets a key. A key that asks for everything is met by every value, an empty one too.
pub fn meets(vr: VR, key: &str, value: &str) -> bool {
    is_universal(vr, key) || values(key).any(|key| value_meets(vr, key, value))
}

/// An empty key, and `*` where wildcards are allowed (PS3.4 §C.2.2.2.3, §C.2.2.2.4).
pub fn is_universal(vr: VR, key: &str) -> bool {
    let anything = |value: &str| vr != VR::UI && value.chars().all(|c| c == '*');
    values(key).next().is_none() || values(key).any(anything)
}

/// The values of a key, empty ones aside.
pub fn values(key: &str) -> impl Iterator<Item = &str> {
    let values = key.split('\\').map(str::trim);
    values.filter(|value| !value.is_empty())
}

/// Whether a key is longer than its VR allows. UIDs are not measured: a list of them may be long, and each is looked up.
pub fn is_too_long(vr: VR, key: &str) -> bool {
    if vr == VR::UI {
        return false;
    }
    let parts = key.split(|c| c == '\\' || c == '=' && vr == VR::PN);
    let mut lengths = parts.map(|part| part.chars().count());
    lengths.any(|length| length > VALUE_CHARACTERS) || key.chars().count() > KEY_CHARACTERS
}

fn value_meets(vr: VR, key: &str, value: &str) -> bool {
    match vr {
        VR::DA => in_range(key, value, DATE_DIGITS),
        VR::TM => in_range(key, value, TIME_DIGITS),
        _ => value.split('\\').map(str::trim).any(|value| match vr {
            VR::UI => key == value,
            VR::PN => NameKey::new(key).is_met_by(value.split('=')),
            VR::IS => match (key.parse::<i64>(), value.parse::<i64>()) {
                (Ok(key), Ok(value)) => key == value,
                _ => text_meets(key, value),
            },
            _ => text_meets(key, value),
        }),
    }
}

fn text_meets(key: &str, value: &str) -> bool {
    if is_wildcard(key) {
        wildcard_matches(key, value)
    } else {
        key == value
    }
}

pub fn is_wildcard(key: &str) -> bool {
    key.contains(['*', '?'])
}

fn in_range(key: &str, value: &str, length: usize) -> bool {
    let value = digits(value, length, '0');
    bounds(key, length).is_some_and(|(from, to)| in_bounds(&value, &from, &to))
}

/// Whether a value's digits lie between what [`bounds`] gives.
pub fn in_bounds(value: &str, from: &str, to: &str) -> bool {
    !value.is_empty() && value >= from && (to.is_empty() || value <= to)
}

/// First and last value that a date or time key asks for, as [`digits`]; empty where it is open, `None` where it asks for
/// none. The key is `a-b`, `-b`, `a-` or a single value.
///
/// A value that is not given to the last digit stands for all of its span (PS3.5 §6.2: the components left out are not
/// known, not zero), at both ends: `10-11` ends with 11:59:59, and `2026` is the year.
pub fn bounds(key: &str, length: usize) -> Option<(String, String)> {
    let (from, to) = match key.split_once('-') {
        Some((from, to)) => (digits(from, length, '0'), digits(to, length, '9')),
        None => (digits(key, length, '0'), digits(key, length, '9')),
    };
    (key.contains('-') || !from.is_empty()).then_some((from, to))
}

/// A value of a key of VR PN, read once for many names: a name meets it if one of its component groups does; one with groups
/// asks for each of them. Case aside.
pub struct NameKey(Vec<GroupKey>);

impl NameKey {
    pub fn new(key: &str) -> Self {
        let groups = key.split('=').map(folded_name);
        let groups = groups.filter(|group| !group.is_empty());
        Self(groups.map(GroupKey::new).collect())
    }

    /// `groups`: of a name as it is written.
    pub fn is_met_by<'a>(&self, groups: impl Iterator<Item = &'a str>) -> bool {
        let groups: Vec<String> = groups.map(folded_name).collect();
        let groups_of_name = groups.iter().filter(|group| !group.is_empty());
        self.0
            .iter()
            .all(|key| groups_of_name.clone().any(|group| key.is_met_by(group)))
    }
}

/// Components are compared one by one where the key has several: `LI^AN` is not `Lian`. A key without separators asks for
/// the whole name: `lian` finds both. In Chinese the name is the same however it is divided: 张^小东 finds 张小东.
struct GroupKey {
    folded: String,
    /// `None`: it is divided.
    joined: Option<String>,
}

impl GroupKey {
    fn new(folded: String) -> Self {
        let is_divided = folded.contains(' ') && folded.is_ascii();
        Self {
            joined: (!is_divided).then(|| joined(&folded)),
            folded,
        }
    }

    fn is_met_by(&self, group: &str) -> bool {
        let joined_meets = |key: &String| text_meets(key, &joined(group));
        text_meets(&self.folded, group) || self.joined.as_ref().is_some_and(joined_meets)
    }
}

fn joined(name: &str) -> String {
    name.replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_as_the_standard_says() {
        for (vr, key, value, matches) in [
            (VR::LO, "", "anything", true),
            (VR::LO, "CT0*", "CT000001", true),
            (VR::LO, "ct0*", "CT000001", false),
            (VR::UI, "1.2\\1.3", "1.3", true),
            (VR::UI, "1.2\\1.3", "1.30", false),
            (VR::DA, "20260704", "20260704", true),
            (VR::DA, "20260701-20260731", "20260704", true),
            (VR::DA, "-20260703", "20260704", false),
            (VR::DA, "20260704-", "20260704", true),
            (VR::DA, "20260704", "", false),
            (VR::DA, "garbage", "20260704", false),
            (VR::TM, "1000-1100", "105432.123", true),
            (VR::TM, "1000-1100", "110100", false),
            (VR::PN, "张小东", "Zhang^XiaoDong=张^小东", true),
            (VR::PN, "张^小东", "Zhang^XiaoDong=张^小东", true),
            (VR::PN, "ZHANG*", "Zhang^XiaoDong=张^小东", true),
            (VR::PN, "zhang^xiaodong", "Zhang^XiaoDong=张^小东", true),
            (
                VR::PN,
                "Zhang^XiaoDong=李*",
                "Zhang^XiaoDong=张^小东",
                false,
            ),
            (VR::PN, "王*", "Zhang^XiaoDong=张^小东", false),
            (VR::CS, "CT\\MR", "MR\\SR", true),
            (VR::CS, "US", "MR\\SR", false),
            (VR::IS, "7", "007", true),
            // `*` alone asks for everything, what is empty too
            (VR::PN, "*", "", true),
            (VR::LO, "*", "", true),
            (VR::DA, "*", "", true),
            (VR::LO, "?*", "", false),
            (VR::LO, "\\", "anything", true),
            (VR::UI, "*", "1.2", false),
            // Lists
            (VR::LO, "P1*\\ZZZ", "P10", true),
            (VR::LO, "P1\\ZZZ", "P10", false),
            (VR::DA, "20260101\\20260704", "20260704", true),
            (VR::PN, "李*\\张*", "张^小东", true),
            (VR::UI, "1.2", "1.1\\1.2", true),
            // Dates and times that are not given to the last digit stand for all of their span
            (VR::DA, "202612", "20261231", true),
            (VR::DA, "20261101-202612", "20261231", true),
            (VR::DA, "20260304", "2026.03.04", true),
            (VR::TM, "10-11", "115959.9", true),
            (VR::TM, "10-11", "120000", false),
            (VR::TM, "-105432", "105432.9", true),
            (VR::TM, "105432.5", "105432.500", true),
            (VR::TM, "105432.5", "105432.6", false),
            // Components stay apart where the key has several
            (VR::PN, "LI^AN", "Lian", false),
            (VR::PN, "LI^AN", "li^an", true),
            (VR::PN, "LI^A*", "Lian", false),
            (VR::PN, "lian", "LI^AN", true),
            (VR::PN, "li*", "LI^AN", true),
            (VR::PN, "张^小东", "张小东", true),
        ] {
            assert_eq!(meets(vr, key, value), matches, "{vr:?} {key} {value}");
        }
    }

    #[test]
    fn a_key_longer_than_its_vr_allows_is_refused() {
        let long = |count| "a".repeat(count);
        for (vr, key, too_long) in [
            (VR::LO, long(64), false),
            (VR::LO, long(65), true),
            (VR::LO, "*a".repeat(120_000), true),
            (VR::LO, [long(64), long(64)].join("\\"), false),
            (VR::LO, vec![long(8); 300].join("\\"), true),
            (VR::PN, [long(64), long(64), long(64)].join("="), false),
            (VR::PN, long(65), true),
            (VR::UI, vec!["1.2.3".to_owned(); 5_000].join("\\"), false),
        ] {
            assert_eq!(is_too_long(vr, &key), too_long, "{vr:?} {}", key.len());
        }
    }
}
