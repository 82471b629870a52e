//! How a hospital's images reach the archive (contract §2.3), and its DICOM gateway, from which they are fetched (§2.5).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::AeTitle;

/// Associations with one gateway at a time, at most: it is a hospital's own machine, with patients waiting.
pub const GATEWAY_ASSOCIATIONS_LIMIT: u8 = 8;

/// By which way a hospital's images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ImageWay {
    /// The hospital sends them by C-STORE (§2.4).
    #[default]
    Store,
    /// The platform fetches them after the push (§2.5).
    Pull,
    /// They open at the hospital; nothing is fetched.
    Link,
}

impl ImageWay {
    pub fn is_store(&self) -> bool {
        *self == Self::Store
    }
}

/// How a gateway hands over a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum PullMethod {
    /// C-GET: over the association that asks.
    #[default]
    Get,
    /// C-MOVE to this node's own AE title, where they come in like any sender's.
    Move,
}

/// A hospital's DICOM gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub ae: AeTitle,
    pub host: String,
    pub port: u16,
    /// AE title under which we ask; absent: this node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calling_ae: Option<AeTitle>,
    #[serde(default)]
    pub method: PullMethod,
    /// Studies that are fetched at a time, each over an association of its own.
    #[serde(default = "usual_associations")]
    pub associations: u8,
    /// What all of them together take of the hospital's line; absent: all that it gives. By C-MOVE: what `ae` stores at the
    /// node that asked, while it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub megabytes_per_second: Option<u32>,
    /// Times of day within which a study may be begun, and a sweep, local time; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// Whether it is asked every night what it has that nobody pushed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sweep: bool,
    /// `false`: nothing is fetched; what is due waits.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn usual_associations() -> u8 {
    2
}

fn enabled() -> bool {
    true
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Gateway {
    /// Whether a study may be begun at this minute of the day.
    pub fn is_open_at(&self, minute: u16) -> bool {
        self.hours.is_empty() || self.hours.iter().any(|hours| hours.has(minute))
    }
}

/// A span of the day, `19:00-07:00`; one that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// Minute of the day, 0 to 1439.
    from: u16,
    /// The first minute behind it, 0 to 1440.
    to: u16,
}

const MINUTES_OF_DAY: u16 = 24 * 60;

/// Why a text is no span of the day.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} 应写作 19:00-07:00 (must be written HH:MM-HH:MM)")]
pub struct HoursError(String);

impl Hours {
    pub fn has(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let parse = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (minute(from)?, minute(to)?);
            (from < MINUTES_OF_DAY && from != to).then_some(Self { from, to })
        };
        parse().ok_or_else(|| HoursError(text.to_owned()))
    }
}

/// `HH:MM` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str, limit: u16| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u16 = digits.parse().ok()?;
        (is_number && number < limit).then_some(number)
    };
    let at = number(hour, 25)? * 60 + number(minute, 60)?;
    (at <= MINUTES_OF_DAY).then_some(at)
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_span_of_the_day_may_go_over_midnight() {
        let at = |hour: u16, minute: u16| hour * 60 + minute;
        let night: Hours = "19:00-07:00".parse().unwrap();
        for (minute, is_within) in [
            (at(18, 59), false),
            (at(19, 0), true),
            (at(0, 0), true),
            (at(6, 59), true),
            (at(7, 0), false),
        ] {
            assert_eq!(night.has(minute), is_within, "{minute}");
        }
        let noon: Hours = "12:00-13:30".parse().unwrap();
        assert!(noon.has(at(13, 29)) && !noon.has(at(13, 30)) && !noon.has(at(0, 0)));
        let whole: Hours = "00:00-24:00".parse().unwrap();
        assert!(whole.has(0) && whole.has(at(23, 59)));
        assert_eq!(night.to_string(), "19:00-07:00");
    }

    #[test]
    fn what_is_no_span_of_the_day_is_refused() {
        for text in [
            "",
            "19:00",
            "19-07",
            "25:00-26:00",
            "24:00-07:00",
            "24:30-01:00",
            "19:60-20:00",
            "9:00-10:00",
            "10:00-10:00",
            "+1:00-02:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
