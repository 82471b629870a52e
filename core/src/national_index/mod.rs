//! 医保影像云索引: the national imaging index of an exam, by which an authority finds it in whatever archive holds it.
//!
//! `PERSON-TIME-BODYPART-DEVICE-UNIT`, 82 characters: person code (26 digits), exam time (`YYYYMMDDhhmm`), body part (9),
//! device (13) and the storing unit's unified social credit code (18, GB 32100). What stands in which part is a template's
//! to say; the first one has zeros for body part and device, whose code tables are not in force.
//!
//! The person code is a patient's number: `Debug` shows none of it, and errors name parts, not values.

mod credit_code;
mod row;
#[cfg(test)]
mod tests;

pub use credit_code::{CreditCode, CreditCodeError};
pub use row::{
    HOLDERS_LIMIT, Holder, Holding, IndexHolders, IndexRow, IndexState, Lack, Owed, OwedKind,
    REASON_LIMIT,
};

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::time::{LocalDate, LocalDateTime};

/// Digits of a person code.
pub const PERSON_DIGITS: usize = 26;
const TIME_DIGITS: usize = 12;
const BODY_PART_CHARACTERS: usize = 9;
const DEVICE_CHARACTERS: usize = 13;
/// Characters of a whole index.
pub const INDEX_CHARACTERS: usize = PERSON_DIGITS
    + TIME_DIGITS
    + BODY_PART_CHARACTERS
    + DEVICE_CHARACTERS
    + CreditCode::CHARACTERS
    + 4;

/// Which part of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Person,
    Time,
    BodyPart,
    Device,
    Unit,
}

impl Part {
    fn words(self) -> &'static str {
        match self {
            Self::Person => {
                "第1段个人编码应为26位数字 (part 1, the person code, must be 26 digits)"
            }
            Self::Time => {
                "第2段检查时间应为 YYYYMMDDhhmm (part 2, the exam time, must be YYYYMMDDhhmm)"
            }
            Self::BodyPart => {
                "第3段部位编码应为9位，编码表启用前全为0 (part 3, the body part, must be 9 zeros until its code table is in force)"
            }
            Self::Device => {
                "第4段设备编码应为13位，编码表启用前全为0 (part 4, the device, must be 13 zeros until its code table is in force)"
            }
            Self::Unit => {
                "第5段应为18位统一社会信用代码，校验位须正确 (part 5 must be a unified social credit code of 18 characters with its check character)"
            }
        }
    }
}

/// Why a text is no index. Says nothing of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("影像云索引应为5段，以连字符分隔 (an index is five parts with hyphens between)")]
    Parts,
    #[error("{}", .0.words())]
    Part(Part),
}

/// 个人编码: the person of an index, 26 digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PersonCode(String);

impl PersonCode {
    pub fn new(text: &str) -> Result<Self, IndexError> {
        let text = text.trim();
        let is_code = text.len() == PERSON_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        match is_code && text.bytes().any(|b| b != b'0') {
            true => Ok(Self(text.to_owned())),
            false => Err(IndexError::Part(Part::Person)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonCode(…)")
    }
}

impl<'de> Deserialize<'de> for PersonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Which template an index is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum IndexTemplate {
    /// Body part and device are zeros.
    #[default]
    First,
}

impl TryFrom<u16> for IndexTemplate {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        match number {
            1 => Ok(Self::First),
            _ => Err(format!(
                "索引模板 {number} 本版本不认识，只有 1 (this release knows template 1 only)"
            )),
        }
    }
}

impl From<IndexTemplate> for u16 {
    fn from(template: IndexTemplate) -> u16 {
        match template {
            IndexTemplate::First => 1,
        }
    }
}

impl IndexTemplate {
    /// The index of a person's exam at a time, stored by a unit.
    pub fn compose(
        self,
        person: &PersonCode,
        time: LocalDateTime,
        unit: &CreditCode,
    ) -> NationalIndex {
        let digits = time.to_string();
        let digits = digits.chars().filter(char::is_ascii_digit);
        let minutes: String = digits.take(TIME_DIGITS).collect();
        let (body_part, device) = match self {
            Self::First => (
                "0".repeat(BODY_PART_CHARACTERS),
                "0".repeat(DEVICE_CHARACTERS),
            ),
        };
        NationalIndex(format!(
            "{}-{minutes}-{body_part}-{device}-{unit}",
            person.as_str()
        ))
    }

    fn allows(self, body_part: &str, device: &str) -> Result<(), IndexError> {
        let is_zeros = |text: &str, count| text.len() == count && text.bytes().all(|b| b == b'0');
        match self {
            Self::First if !is_zeros(body_part, BODY_PART_CHARACTERS) => {
                Err(IndexError::Part(Part::BodyPart))
            }
            Self::First if !is_zeros(device, DEVICE_CHARACTERS) => {
                Err(IndexError::Part(Part::Device))
            }
            Self::First => Ok(()),
        }
    }
}

/// An index, of which every part was checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NationalIndex(String);

impl NationalIndex {
    /// Reads an index that any template known here makes; blanks around it aside.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let text = text.trim();
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(IndexError::Parts);
        let (person, time, body_part, device, unit) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(IndexError::Parts);
        }
        let code = PersonCode::new(person)?;
        let time = minutes(time).ok_or(IndexError::Part(Part::Time))?;
        let template = IndexTemplate::First;
        template.allows(body_part, device)?;
        let unit = CreditCode::new(unit).map_err(|_| IndexError::Part(Part::Unit))?;
        let index = template.compose(&code, time, &unit);
        match index.0 == text {
            true => Ok(index),
            // Blanks within, or letters that are written small.
            false => Err(IndexError::Parts),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NationalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NationalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NationalIndex(…)")
    }
}

impl<'de> Deserialize<'de> for NationalIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// `YYYYMMDDhhmm` as a time of the calendar.
fn minutes(text: &str) -> Option<LocalDateTime> {
    if text.len() != TIME_DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (day, time) = text.split_at_checked(8)?;
    LocalDate::from_number(day.parse().ok()?).ok()?;
    LocalDateTime::parse(&format!("{day}{time}00")).ok()
}
