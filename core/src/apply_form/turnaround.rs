//! How long it takes from an apply form to its exam and its report, day by day. Added up from rows: no counter can drift.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// When one form came to what, unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FormTimes {
    /// 申请时间, as its HIS says; else when the form came.
    pub applied_ms: i64,
    /// When the first push of an exam with this form came. Hospitals that push finished exams only have it late.
    pub registered_ms: Option<i64>,
    /// 检查时间 of the earliest such exam, as the hospital says.
    pub examined_ms: Option<i64>,
    /// When the first push with a confirmed report of such an exam came.
    pub reported_ms: Option<i64>,
    /// Its HIS deleted it: it is counted, and no times are of it.
    pub is_cancelled: bool,
    /// Exams have it only whose images a backfill fetched (contract §2.5): they are of the past, and when they were pushed
    /// says nothing of how long anything took. It is counted, and no times are of it.
    pub is_backfilled: bool,
}

/// Half of the times are no longer than the median, nine tenths than the 90th percentile (nearest rank); whole minutes.
/// Times that would be negative (the form of an emergency is written after the exam) count as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Forms with both times.
    pub count: u32,
    /// Absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_minutes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_minutes: Option<u64>,
}

/// The forms of one day, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayTurnaround {
    /// 申请日期, `YYYY-MM-DD`; empty: of all days.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// Cancelled ones too.
    pub forms: u32,
    pub cancelled: u32,
    /// Forms that an exam has.
    pub with_exam: u32,
    pub with_report: u32,
    pub apply_to_registered: Spread,
    pub apply_to_exam: Spread,
    pub exam_to_report: Spread,
    pub apply_to_report: Spread,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turnaround {
    /// Days with forms.
    pub days: Vec<DayTurnaround>,
    pub total: DayTurnaround,
}

/// Adds up forms in any order.
#[derive(Debug, Default)]
pub struct Tally {
    days: BTreeMap<String, Draft>,
    total: Draft,
}

#[derive(Debug, Default)]
struct Draft {
    counts: DayTurnaround,
    registered: Vec<u64>,
    examined: Vec<u64>,
    exam_to_report: Vec<u64>,
    reported: Vec<u64>,
}

impl Tally {
    /// `date`: the day on which it was applied for.
    pub fn add(&mut self, date: &str, times: FormTimes) {
        self.total.add(times);
        if !self.days.contains_key(date) {
            self.days.insert(date.to_owned(), Draft::default());
        }
        if let Some(draft) = self.days.get_mut(date) {
            draft.add(times);
        }
    }

    pub fn finish(self) -> Turnaround {
        let days = self.days.into_iter();
        Turnaround {
            days: days.map(|(date, draft)| draft.finish(date)).collect(),
            total: self.total.finish(String::new()),
        }
    }
}

impl Draft {
    fn add(&mut self, times: FormTimes) {
        let more = |count: &mut u32, by: bool| *count = count.saturating_add(u32::from(by));
        more(&mut self.counts.forms, true);
        more(&mut self.counts.cancelled, times.is_cancelled);
        if times.is_cancelled {
            return;
        }
        more(&mut self.counts.with_exam, times.registered_ms.is_some());
        more(&mut self.counts.with_report, times.reported_ms.is_some());
        if times.is_backfilled {
            return;
        }
        let applied_ms = Some(times.applied_ms);
        self.registered
            .extend(minutes(applied_ms, times.registered_ms));
        self.examined.extend(minutes(applied_ms, times.examined_ms));
        self.exam_to_report
            .extend(minutes(times.examined_ms, times.reported_ms));
        self.reported.extend(minutes(applied_ms, times.reported_ms));
    }

    fn finish(self, date: String) -> DayTurnaround {
        DayTurnaround {
            date,
            apply_to_registered: spread(self.registered),
            apply_to_exam: spread(self.examined),
            exam_to_report: spread(self.exam_to_report),
            apply_to_report: spread(self.reported),
            ..self.counts
        }
    }
}

fn minutes(from_ms: Option<i64>, to_ms: Option<i64>) -> Option<u64> {
    let took_ms = to_ms?.saturating_sub(from_ms?).max(0);
    u64::try_from(took_ms / 60_000).ok()
}

fn spread(mut minutes: Vec<u64>) -> Spread {
    minutes.sort_unstable();
    // The smallest that so many tenths are not above.
    let rank = |tenths: usize| {
        let rank = (minutes.len() * tenths).div_ceil(10);
        minutes.get(rank.saturating_sub(1)).copied()
    };
    Spread {
        count: u32::try_from(minutes.len()).unwrap_or(u32::MAX),
        median_minutes: rank(5),
        p90_minutes: rank(9),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn form(exam_after: i64, report_after: Option<i64>) -> FormTimes {
        FormTimes {
            applied_ms: 1_000,
            registered_ms: Some(1_000 + (exam_after + 1) * MINUTE_MS),
            examined_ms: Some(1_000 + exam_after * MINUTE_MS),
            reported_ms: report_after.map(|after| 1_000 + after * MINUTE_MS),
            is_cancelled: false,
            is_backfilled: false,
        }
    }

    #[test]
    fn median_and_nine_tenths_are_of_the_forms_that_came_so_far() {
        // Given ten forms with exams after 10, 20 … 100 minutes, and reports of two
        let mut tally = Tally::default();
        for step in 1..=10 {
            let report = (step <= 2).then_some(step * 10 + 30);
            tally.add("2026-07-04", form(step * 10, report));
        }
        // and one that waits, and one that was cancelled after its exam had been there
        tally.add("2026-07-04", FormTimes::default());
        tally.add(
            "2026-07-05",
            FormTimes {
                is_cancelled: true,
                ..form(10, Some(20))
            },
        );
        // When they are added up
        let answer = tally.finish();
        // Then
        let [day, next] = &answer.days[..] else {
            panic!("{answer:?}")
        };
        assert_eq!((day.forms, day.with_exam, day.with_report), (11, 10, 2));
        let spread = |of: Spread| (of.count, of.median_minutes, of.p90_minutes);
        assert_eq!(spread(day.apply_to_exam), (10, Some(50), Some(90)));
        assert_eq!(spread(day.apply_to_registered), (10, Some(51), Some(91)));
        assert_eq!(spread(day.exam_to_report), (2, Some(30), Some(30)));
        assert_eq!(spread(day.apply_to_report), (2, Some(40), Some(50)));
        assert_eq!((next.forms, next.cancelled, next.with_exam), (1, 1, 0));
        assert_eq!(spread(next.apply_to_exam), (0, None, None));
        assert_eq!((answer.total.forms, answer.total.cancelled), (12, 1));
    }

    #[test]
    fn a_form_of_the_past_is_counted_and_took_no_time() {
        let mut tally = Tally::default();
        tally.add("2026-07-04", form(10, Some(20)));
        tally.add(
            "2026-07-04",
            FormTimes {
                is_backfilled: true,
                ..form(1_000_000, Some(2_000_000))
            },
        );
        let total = tally.finish().total;
        assert_eq!((total.forms, total.with_exam, total.with_report), (2, 2, 2));
        let spreads = [
            total.apply_to_registered,
            total.apply_to_exam,
            total.exam_to_report,
            total.apply_to_report,
        ];
        assert!(
            spreads.iter().all(|spread| spread.count == 1),
            "{spreads:?}"
        );
        assert_eq!(total.apply_to_report.p90_minutes, Some(20));
    }

    #[test]
    fn a_form_that_was_written_after_its_exam_took_no_time() {
        let mut tally = Tally::default();
        tally.add("2026-07-04", form(-30, Some(15)));
        let total = tally.finish().total;
        assert_eq!(total.apply_to_exam.median_minutes, Some(0));
        assert_eq!(total.exam_to_report.median_minutes, Some(45));
    }
}
