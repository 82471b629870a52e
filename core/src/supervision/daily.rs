//! What a daily report judges: who is silent, and when a disk is full.

use serde::Serialize;

use crate::time::LocalDate;

/// Weeks whose same day a day is held against.
pub const WEEKS: usize = 4;

/// Of those weeks so many must have had something, or nothing is usual yet.
const WEEKS_KNOWN: usize = 2;

/// Below this average half a day's exams are chance.
const USUAL_LEAST: u32 = 10;

/// Beyond so many days a disk counts as large enough.
const DAYS_AHEAD: u64 = 10 * 365;

/// Exams whose first push came on a day, and on the same weekday of the weeks before, the last one first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub today: u32,
    pub weeks_before: [u32; WEEKS],
}

/// A day against what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Silence {
    /// Nothing came, and something usually does.
    Silent,
    /// Less than half of what is usual.
    Few,
    Usual,
    /// There is no usual yet.
    Unknown,
}

impl Silence {
    /// 中文, as tables show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Silent => "静默",
            Self::Few => "偏少",
            Self::Usual => "正常",
            Self::Unknown => "尚无可比",
        }
    }
}

impl Flow {
    /// Counts exams that came on the day so many weeks before; 0: the day itself.
    pub fn add(&mut self, weeks_before: usize) {
        let count = match weeks_before.checked_sub(1) {
            None => Some(&mut self.today),
            Some(week) => self.weeks_before.get_mut(week),
        };
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
    }

    /// The average of the weeks before, rounded.
    pub fn usual(&self) -> u32 {
        let sum: u64 = self
            .weeks_before
            .iter()
            .map(|count| u64::from(*count))
            .sum();
        let weeks = WEEKS as u64;
        u32::try_from((sum + weeks / 2) / weeks).unwrap_or(u32::MAX)
    }

    pub fn silence(&self) -> Silence {
        let known = self.weeks_before.iter().filter(|count| **count > 0).count();
        let usual = self.usual();
        match self.today {
            _ if known < WEEKS_KNOWN => Silence::Unknown,
            0 => Silence::Silent,
            today if usual >= USUAL_LEAST && today.saturating_mul(2) < usual => Silence::Few,
            _ => Silence::Usual,
        }
    }
}

/// The day on which a disk is full if as much comes each day as came on average of some days. `None`: none that can be told.
pub fn full_on(
    today: LocalDate,
    room_bytes: u64,
    grown_bytes: u64,
    of_days: u64,
) -> Option<LocalDate> {
    let each_day = grown_bytes.checked_div(of_days)?;
    let days = room_bytes.checked_div(each_day)?;
    if days > DAYS_AHEAD {
        return None;
    }
    let mut day = today;
    for _ in 0..days {
        day = day.next()?;
    }
    Some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_held_against_the_same_weekday_of_four_weeks() {
        for (today, weeks_before, silence) in [
            (0, [3, 2, 0, 1], Silence::Silent),
            (0, [3, 0, 0, 0], Silence::Unknown),
            (9, [0, 0, 0, 0], Silence::Unknown),
            (9, [20, 20, 20, 20], Silence::Few),
            (10, [20, 20, 20, 20], Silence::Usual),
            (1, [5, 6, 9, 9], Silence::Usual),
            (0, [20, 20, 20, 20], Silence::Silent),
        ] {
            let flow = Flow {
                today,
                weeks_before,
            };
            assert_eq!(flow.silence(), silence, "{flow:?}");
        }
    }

    #[test]
    fn weeks_are_counted_apart() {
        let mut flow = Flow::default();
        for weeks in [0, 0, 1, 4, 5] {
            flow.add(weeks);
        }
        let expected = Flow {
            today: 2,
            weeks_before: [1, 0, 0, 1],
        };
        assert_eq!((flow, flow.usual()), (expected, 1));
    }

    #[test]
    fn a_disk_is_full_when_its_room_is_used_up() {
        let full = |room, grown| {
            let today = LocalDate::parse("2026-07-04").ok()?;
            full_on(today, room, grown, 28).map(|day| day.to_string())
        };
        assert_eq!(full(280, 280), Some("2026-08-01".to_owned()));
        assert_eq!(full(9, 280), Some("2026-07-04".to_owned()));
        assert_eq!(full(280, 0), None);
        assert_eq!(full(u64::MAX, 280), None);
    }
}
