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
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
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
