//! Attribute matching (PS3.4 §C.2.2.2): single value, list of UIDs, wildcard, range; names in any of their groups.

use dicom_core::VR;
use yingku_core::query::{folded_name, wildcard_matches};

/// Whether a value meets a key. An empty key matches everything (universal matching).
pub fn meets(vr: VR, key: &str, value: &str) -> bool {
    let key = key.trim();
    if key.is_empty() {
        return true;
    }
    match vr {
        VR::UI => key.split('\\').any(|uid| uid.trim() == value.trim()),
        VR::DA => in_range(key, value, 8),
        VR::TM => in_range(key, &value.replace(':', ""), 6),
        VR::PN => name_meets(key, value),
        VR::IS => {
            let number = |text: &str| text.trim().parse::<i64>().ok();
            key.split('\\')
                .any(|key| match (number(key), number(value)) {
                    (Some(a), Some(b)) => a == b,
                    _ => wildcard_matches(key.trim(), value.trim()),
                })
        }
        _ => key.split('\\').any(|key| {
            value
                .split('\\')
                .any(|value| text_meets(key.trim(), value.trim()))
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

/// `a-b`, `-b`, `a-` or a single value; `digits` of a value are compared, fewer are filled up.
fn in_range(key: &str, value: &str, digits: usize) -> bool {
    let plain = |text: &str, fill: char| {
        let mut text: String = text
            .trim()
            .chars()
            .filter(|c| c.is_ascii_digit())
            .take(digits)
            .collect();
        while text.len() < digits && !text.is_empty() {
            text.push(fill);
        }
        text
    };
    let value = plain(value, '0');
    if value.is_empty() {
        return false;
    }
    match key.split_once('-') {
        Some((from, to)) => {
            let (from, to) = (plain(from, '0'), plain(to, '9'));
            (from.is_empty() || value >= from) && (to.is_empty() || value <= to)
        }
        None => {
            let key = key.trim().trim_end_matches('*');
            let asked: String = key
                .chars()
                .filter(char::is_ascii_digit)
                .take(digits)
                .collect();
            !asked.is_empty() && value.starts_with(&asked)
        }
    }
}

/// First and last day of a date key, `YYYYMMDD`; empty where it is open.
pub fn date_bounds(key: &str) -> (String, String) {
    let digits = |text: &str| {
        text.trim()
            .chars()
            .filter(char::is_ascii_digit)
            .take(8)
            .collect()
    };
    match key.split_once('-') {
        Some((from, to)) => (digits(from), digits(to)),
        None => (digits(key), digits(key)),
    }
}

/// A name meets a key if one of its component groups does; a key with groups asks for each of them.
/// Case aside, and component separators aside: 张小东 finds 张^小东.
fn name_meets(key: &str, name: &str) -> bool {
    let groups: Vec<String> = name
        .split('=')
        .map(folded_name)
        .filter(|group| !group.is_empty())
        .collect();
    key.split('=')
        .map(folded_name)
        .filter(|key| !key.is_empty())
        .all(|key| {
            groups
                .iter()
                .any(|group| text_meets(&key, group) || text_meets(&joined(&key), &joined(group)))
        })
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
        ] {
            assert_eq!(meets(vr, key, value), matches, "{vr:?} {key} {value}");
        }
    }
}
