//! The contract's `N(p,s)`: decimal numbers as text, without floating point.

/// A plain decimal number, without the zeros that say nothing.
pub(super) struct Decimal<'a> {
    pub negative: bool,
    pub whole: &'a str,
    pub fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Reads digits with at most a sign and a point; no exponents.
    pub fn read(text: &'a str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !plain(whole) || !plain(fraction) {
            return None;
        }
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        Some(Self {
            negative: negative && whole.len() + fraction.len() > 0,
            whole,
            fraction,
        })
    }

    /// With exactly `scale` digits after the point.
    pub fn canonical(&self, scale: usize) -> String {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            self.whole
        };
        match scale {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{:0<scale$}", self.fraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_canonical_text() {
        let canonical = |text, scale| Decimal::read(text).map(|number| number.canonical(scale));
        for text in ["153.5", "0153.50", "+153.5000"] {
            assert_eq!(canonical(text, 2).as_deref(), Some("153.50"), "{text}");
        }
        assert_eq!(canonical("-0.0", 2).as_deref(), Some("0.00"));
        assert_eq!(canonical("-.5", 2).as_deref(), Some("-0.50"));
        assert_eq!(canonical("007", 0).as_deref(), Some("7"));
        for text in ["", ".", "-", "1.2.3", "1e3", "１", "0x1", "1 000"] {
            assert_eq!(canonical(text, 2), None, "{text}");
        }
    }
}
