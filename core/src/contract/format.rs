//! How a field's text is held against the contract, and the one spelling that it is brought into.

use std::fmt;

use super::decimal::Decimal;
use super::fault::Rule;
use crate::time::{LocalDate, LocalDateTime, TimeError};

/// What the contract's tables say of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `VC(n)`, `VARCHAR(n)`: at most n characters.
    AtMost(usize),
    /// `C(n)`, `CHAR(n)`: exactly n characters.
    Exactly(usize),
    /// `C(19)`
    Time,
    /// `C(10)`, `CHAR(10)`
    Date,
    /// `N(p,s)`, `Number(p,s)`: at most p digits, s of them after the point. With s = 0 it is a count, never negative.
    Decimal { precision: usize, scale: usize },
}

/// Which rule a text breaks, and how; the message shows nothing of the text but its length.
pub(super) struct Broken {
    pub rule: Rule,
    pub message: String,
}

impl Format {
    /// Reads a table's word for it.
    pub(super) fn parse(text: &str) -> Self {
        let inner = text
            .split_once('(')
            .map_or("", |(_, rest)| rest.trim_end_matches(')'));
        let number = |text: &str| text.parse::<usize>().unwrap_or_default();
        if text.starts_with('V') {
            Format::AtMost(number(inner))
        } else if text.starts_with('N') {
            let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
            Format::Decimal {
                precision: number(precision),
                scale: number(scale),
            }
        } else {
            match number(inner) {
                19 => Format::Time,
                10 => Format::Date,
                count => Format::Exactly(count),
            }
        }
    }

    /// Holds a text against the format. Gives its canonical spelling where that is another: times and dates in one
    /// form, numbers without needless zeros.
    pub(super) fn check(self, text: &str) -> Result<Option<String>, Broken> {
        match self {
            Format::AtMost(limit) => {
                // No text has more characters than bytes.
                let found = match text.len() > limit {
                    true => text.chars().count(),
                    false => return Ok(None),
                };
                match found > limit {
                    true => Err(self.too_long(found)),
                    false => Ok(None),
                }
            }
            Format::Exactly(count) => match text.chars().count() {
                found if found != count => Err(self.too_long(found)),
                _ => Ok(None),
            },
            Format::Time => self.moment(LocalDateTime::parse(text), text),
            Format::Date => self.moment(LocalDate::parse(text), text),
            Format::Decimal { precision, scale } => self.decimal(text, precision, scale),
        }
    }

    fn too_long(self, found: usize) -> Broken {
        let message = match self {
            Format::Exactly(count) => {
                format!(
                    "长度错误：应为 {count} 个字符，实为 {found} 个 (must have {count} characters, found {found})"
                )
            }
            Format::AtMost(limit) => format!(
                "超长：最多 {limit} 个字符，实为 {found} 个，请缩短 (at most {limit} characters, found {found})"
            ),
            Format::Decimal { .. } | Format::Time | Format::Date => format!(
                "数字超出 {self}，整数与小数共 {found} 位，请核对 (number beyond {self}, found {found} digits)"
            ),
        };
        Broken {
            rule: Rule::Length,
            message,
        }
    }

    fn moment(
        self,
        read: Result<impl ToString, TimeError>,
        text: &str,
    ) -> Result<Option<String>, Broken> {
        match read {
            Ok(moment) => Ok(Some(moment.to_string()).filter(|canonical| canonical != text)),
            Err(error) => {
                let what = match self {
                    Format::Date => "日期",
                    _ => "时间",
                };
                let found = text.chars().count();
                let message = format!(
                    "{what}有误：{error}；应为 {self}，实为 {found} 个字符 (found {found} characters)"
                );
                Err(Broken {
                    rule: Rule::Format,
                    message,
                })
            }
        }
    }

    fn decimal(self, text: &str, precision: usize, scale: usize) -> Result<Option<String>, Broken> {
        let no_number = |message| Broken {
            rule: Rule::Number,
            message,
        };
        let Some(number) = Decimal::read(text).filter(|number| scale > 0 || !number.negative)
        else {
            let what = if scale == 0 { "非负整数" } else { "数字" };
            let found = text.chars().count();
            return Err(no_number(format!(
                "应为{what} {self}，实为 {found} 个字符的其他内容 (must be a number {self}; found something else, {found} characters)"
            )));
        };
        if scale == 0 && !number.fraction.is_empty() {
            return Err(no_number(format!(
                "应为非负整数 {self}，实为小数 (must be a whole number {self}; found a fraction)"
            )));
        }
        if number.whole.len() > precision - scale || number.fraction.len() > scale {
            return Err(self.too_long(number.whole.len() + number.fraction.len()));
        }
        Ok(Some(number.canonical(scale)).filter(|canonical| canonical != text))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::AtMost(limit) => write!(f, "VC({limit})"),
            Format::Exactly(count) => write!(f, "C({count})"),
            Format::Time => f.write_str("YYYY-MM-DD HH:MM:SS"),
            Format::Date => f.write_str("YYYY-MM-DD"),
            Format::Decimal {
                precision,
                scale: 0,
            } => write!(f, "N({precision})"),
            Format::Decimal { precision, scale } => write!(f, "N({precision},{scale})"),
        }
    }
}
