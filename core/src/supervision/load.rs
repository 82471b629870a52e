//! Load 工作量: how much a device or a person did, by the hours of the day.

use super::group::{Dimension, GroupKey, Groups, Seen};
use crate::time::LocalDateTime;

/// Bands of a day: the hour at which each begins, and its name.
pub const BANDS: [(u8, &str, &str); 5] = [
    (0, "night", "0–8 时"),
    (8, "morning", "8–12 时"),
    (12, "noon", "12–14 时"),
    (14, "afternoon", "14–18 时"),
    (18, "evening", "18–24 时"),
];

/// What one did within a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    pub count: u32,
    /// As [`BANDS`].
    pub bands: [u32; BANDS.len()],
    /// Its time is not told.
    pub untimed: u32,
}

impl Load {
    fn add(&mut self, time: Option<LocalDateTime>) {
        self.count = self.count.saturating_add(1);
        let hour = time.map(|time| time.time().0);
        let begun = hour.map(|hour| BANDS.partition_point(|(begin, ..)| *begin <= hour));
        let band = begun.and_then(|begun| self.bands.get_mut(begun.saturating_sub(1)));
        let count = band.unwrap_or(&mut self.untimed);
        *count = count.saturating_add(1);
    }
}

/// Adds up exams, in any order.
pub struct Tally {
    of: Dimension,
    groups: Groups<Load>,
    total: Load,
    unknown: u32,
}

impl Tally {
    /// `of`: one of [`OF_CONTENT`](super::group::OF_CONTENT), whose load it is; it stands in front of `by`.
    pub fn new(of: Dimension, by: &[Dimension]) -> Self {
        let mut all = vec![of];
        all.extend(by);
        Self {
            of,
            groups: Groups::new(&all),
            total: Load::default(),
            unknown: 0,
        }
    }

    /// Reports count for who wrote and who affirmed them once they are confirmed, at their own times; an exam counts for
    /// everybody else when it was made.
    pub fn add(&mut self, seen: Seen<'_>) {
        let is_report = matches!(self.of, Dimension::Reporter | Dimension::Affirmer);
        if !seen.row.counted || is_report && !seen.row.reported {
            return;
        }
        let Some(content) = &seen.row.content else {
            self.unknown = self.unknown.saturating_add(1);
            return;
        };
        let time = match self.of {
            Dimension::Reporter => content.reported,
            Dimension::Affirmer => content.affirmed,
            _ => seen.row.examined,
        };
        self.groups.of(|dimension| seen.value(dimension)).add(time);
        self.total.add(time);
    }

    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Groups, total, and the exams of before rules version 7, of which nobody is known.
    pub fn finish(self) -> (Vec<(GroupKey, Load)>, Load, u32) {
        (self.groups.finish().collect(), self.total, self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Exam;
    use super::*;

    #[test]
    fn a_device_s_exams_are_counted_by_the_hour_they_were_made() {
        let mut tally = Tally::new(Dimension::Device, &[Dimension::Hospital]);
        for (hour, device) in [
            (0, "CT1"),
            (7, "CT1"),
            (8, "CT1"),
            (12, "CT1"),
            (18, "CT1"),
            (23, "CT1"),
        ] {
            tally.add(Exam::new("1", "E").at_hour(hour).device(device).seen());
        }
        tally.add(
            Exam::new("2", "E")
                .at_hour(13)
                .device("CT1")
                .unreported()
                .seen(),
        );
        tally.add(Exam::new("1", "E").at_hour(15).device("MR1").seen());
        tally.add(Exam::new("1", "E").of_before().seen());
        tally.add(Exam::new("1", "E").device("CT1").withdrawn().seen());
        let (groups, total, unknown) = tally.finish();
        let told: Vec<_> = groups
            .iter()
            .map(|(key, load)| (key.join("/"), load.count, load.bands))
            .collect();
        assert_eq!(
            told,
            [
                ("CT1/1".to_owned(), 6, [2, 1, 1, 0, 2]),
                ("CT1/2".to_owned(), 1, [0, 0, 1, 0, 0]),
                ("MR1/1".to_owned(), 1, [0, 0, 0, 1, 0])
            ]
        );
        assert_eq!((total.count, total.untimed, unknown), (8, 0, 1));
    }

    #[test]
    fn a_report_counts_for_its_doctor_once_it_is_confirmed_at_its_own_time() {
        let mut tally = Tally::new(Dimension::Affirmer, &[]);
        let exam = Exam::new("1", "E").at_hour(9).affirmed("王", Some(16));
        tally.add(exam.seen());
        tally.add(exam.clone().unreported().seen());
        tally.add(exam.affirmed("王", None).seen());
        let (groups, ..) = tally.finish();
        let load = groups.first().map(|(_, load)| *load).unwrap_or_default();
        assert_eq!(
            (load.count, load.bands, load.untimed),
            (2, [0, 0, 0, 1, 0], 1)
        );
    }
}
