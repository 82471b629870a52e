//! How names and texts are compared when something is looked for.

/// A person name group as it is compared: case aside, component separators as one blank, blanks around it aside.
pub fn folded_name(group: &str) -> String {
    let mut folded = String::with_capacity(group.len());
    for c in group.chars() {
        if c == '^' || c.is_whitespace() {
            if !folded.ends_with(' ') && !folded.is_empty() {
                folded.push(' ');
            }
        } else {
            folded.extend(c.to_lowercase());
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// A name group without separators: 张小东 and 张^小东 are looked for in one place.
pub fn joined_name(group: &str) -> String {
    folded_name(group).replace(' ', "")
}

/// Digits of a date: `YYYYMMDD`.
pub const DATE_DIGITS: usize = 8;

/// The first `length` digits of a date or time, filled up where there are fewer: `2026.03.04` is `20260304`. Empty where
/// there is none.
pub fn digits(text: &str, length: usize, fill: char) -> String {
    let digits = text.chars().filter(char::is_ascii_digit);
    let mut digits: String = digits.take(length).collect();
    while digits.len() < length && !digits.is_empty() {
        digits.push(fill);
    }
    digits
}

/// DICOM wildcard matching (PS3.4 §C.2.2.2.4): `*` any run of characters, `?` any one.
/// Costs at most the product of the two lengths.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What is behind the last star, and where in the text it was tried last.
    let mut star: Option<(&str, &str)> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut keys = pattern.chars();
        match keys.next() {
            Some('*') => {
                pattern = keys.as_str();
                star = Some((pattern, text));
            }
            Some(key) if key == '?' || key == c => {
                pattern = keys.as_str();
                text = rest.as_str();
            }
            _ => {
                let Some((behind, from)) = star else {
                    return false;
                };
                let mut later = from.chars();
                later.next();
                text = later.as_str();
                pattern = behind;
                star = Some((behind, text));
            }
        }
        rest = text.chars();
    }
    pattern.chars().all(|c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_standard_says() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("张*", "张小东", true),
            ("*东", "张小东", true),
            ("张?东", "张小东", true),
            ("张?", "张小东", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(wildcard_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn names_fold_case_and_separators() {
        assert_eq!(folded_name("WANG^XiaoDong^"), "wang xiaodong");
        assert_eq!(folded_name(" 张^小东 "), "张 小东");
    }
}
