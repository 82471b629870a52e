//! `[report]`: the daily report that the working node makes by itself.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Report {
    /// In the archive's time zone; absent: nothing is made by itself.
    pub daily_at: Option<TimeOfDay>,
    /// Where files are written, relative to the data directory.
    pub dir: Option<PathBuf>,
    /// Where it is posted as JSON.
    pub webhook: Option<String>,
}

impl Report {
    /// One that goes nowhere is a mistake.
    pub fn check(&self) -> anyhow::Result<()> {
        let goes = self.dir.is_some() || self.webhook.is_some();
        anyhow::ensure!(
            self.daily_at.is_none() || goes,
            "report.daily_at 已设而 report.dir 与 report.webhook 都未设，日报无处可去 (daily_at needs dir or webhook)"
        );
        Ok(())
    }
}

/// `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeOfDay {
    pub hour: u8,
    pub minute: u8,
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = || {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(Self { hour, minute })
        };
        read().ok_or_else(|| format!("{text:?}: 应如 07:30 (HH:MM)"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_time_of_day_is_hours_and_minutes() {
        let time = |text: &str| TimeOfDay::try_from(text.to_owned()).ok();
        let expected = TimeOfDay {
            hour: 7,
            minute: 30,
        };
        assert_eq!(time("07:30"), Some(expected));
        for wrong in ["", "7", "24:00", "07:60", "ab:cd"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_report_that_goes_nowhere_is_refused() {
        let report = |text: &str| toml::from_str::<Report>(text).unwrap();
        assert!(report("daily_at = \"07:30\"").check().is_err());
        assert!(
            report("daily_at = \"07:30\"\ndir = \"reports\"")
                .check()
                .is_ok()
        );
        assert!(report("").check().is_ok());
    }
}
