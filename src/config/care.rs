//! `[care]`: what a node does for its packs beside keeping them.

use std::time::Duration;

use serde::Deserialize;
use yingku_storage::archive::Compaction;

const HOUR_S: u64 = 3_600;
const MINUTES_OF_DAY: u16 = 24 * 60;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Care {
    pub compact: bool,
    pub hours: Hours,
    pub after_days: u16,
    pub max_bytes: u64,
    pub bytes_per_second: u64,
    pub keep_hours: u16,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            compact: true,
            hours: Hours {
                from: 60,
                to: 5 * 60,
            },
            after_days: 7,
            max_bytes: 64 << 30,
            bytes_per_second: 50 << 20,
            keep_hours: 24,
        }
    }
}

impl Care {
    pub fn compaction(&self) -> Compaction {
        Compaction {
            after: Duration::from_secs(u64::from(self.after_days) * 24 * HOUR_S),
            max_bytes: self.max_bytes,
            bytes_per_second: self.bytes_per_second,
            dry_run: false,
        }
    }

    /// How long the file of a pack stays that nothing leads to any more.
    pub fn kept(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_hours) * HOUR_S)
    }
}

/// `HH:MM-HH:MM` in the archive's time zone; it may go over midnight. The same twice: the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    to: u16,
}

impl Hours {
    /// Whether a time of day is within.
    pub fn have(self, hour: u8, minute: u8) -> bool {
        let now = u16::from(hour) * 60 + u16::from(minute);
        let length = (MINUTES_OF_DAY + self.to - self.from) % MINUTES_OF_DAY;
        length == 0 || (MINUTES_OF_DAY + now - self.from) % MINUTES_OF_DAY < length
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("{text:?}: 应如 01:00-05:00 (HH:MM-HH:MM)");
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let minutes = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        Ok(Self {
            from: minutes(from).ok_or_else(wrong)?,
            to: minutes(to).ok_or_else(wrong)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hours_may_go_over_midnight() {
        let hours = |text: &str| Hours::try_from(text.to_owned());
        let morning = hours("01:00-05:00").unwrap();
        assert!(morning.have(1, 0) && morning.have(4, 59));
        assert!(!morning.have(0, 59) && !morning.have(5, 0));
        let night = hours("22:30-04:00").unwrap();
        assert!(night.have(23, 0) && night.have(3, 59));
        assert!(!night.have(22, 29) && !night.have(12, 0));
        assert!(hours("00:00-00:00").unwrap().have(13, 13));
        for wrong in ["", "1-5", "24:00-05:00", "01:60-05:00", "01:00"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
