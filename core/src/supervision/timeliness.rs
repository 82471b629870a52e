//! Timeliness 及时性: how long it takes from one step of an exam to the next.

use super::Spread;
use super::group::{Dimension, GroupKey, Groups, Seen};
use crate::time::{LocalDateTime, Zone};

/// From what to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Step {
    /// 申请时间 to 检查时间; an emergency's form that was written after its exam took no time.
    ApplyToExam,
    /// 检查时间 to the arrival of the first push.
    ExamToPush,
    /// Arrival of the first push to that of the first image; images that waited for their push took no time.
    PushToImages,
    /// 检查时间 to the arrival of the push with the confirmed report.
    ExamToReport,
    /// 检查时间 to 审核时间, as the hospital says both.
    ExamToAffirmed,
}

impl Step {
    pub const ALL: [Step; 5] = [
        Step::ApplyToExam,
        Step::ExamToPush,
        Step::PushToImages,
        Step::ExamToReport,
        Step::ExamToAffirmed,
    ];

    /// As an answer writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApplyToExam => "applyToExam",
            Self::ExamToPush => "examToPush",
            Self::PushToImages => "pushToImages",
            Self::ExamToReport => "examToReport",
            Self::ExamToAffirmed => "examToAffirmed",
        }
    }

    /// 中文, as tables show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::ApplyToExam => "申请至检查",
            Self::ExamToPush => "检查至推送",
            Self::PushToImages => "推送至首图",
            Self::ExamToReport => "检查至确认报告到达",
            Self::ExamToAffirmed => "检查至审核",
        }
    }

    /// Minutes that are well where nobody sets another limit: two days from form to exam, a day for anything else.
    pub fn limit(self) -> u32 {
        match self {
            Self::ApplyToExam => 2 * DAY_MINUTES,
            _ => DAY_MINUTES,
        }
    }
}

const DAY_MINUTES: u32 = 24 * 60;

/// Limits in minutes, as [`Step::ALL`].
pub type Limits = [u32; Step::ALL.len()];

/// Clocks of a hospital may be so far ahead of ours, or of each other, before a time is plainly wrong.
const CLOCKS_DIFFER_MS: i64 = 10 * 60_000;

/// No exam of a digital archive is of before.
const FIRST_YEAR: u16 = 1990;

/// Exams with wrong times that are named, at most.
pub const NAMED_LIMIT: usize = 100;

/// Why an exam's times cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It has none, or one before [`FIRST_YEAR`].
    ExamTime,
    /// It is after its first push.
    ExamAfterPush,
    /// 审核时间 is before it.
    AffirmedBeforeExam,
    /// 申请时间 is before [`FIRST_YEAR`].
    ApplyTime,
}

impl Wrong {
    /// As an answer writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExamTime => "examTime",
            Self::ExamAfterPush => "examAfterPush",
            Self::AffirmedBeforeExam => "affirmedBeforeExam",
            Self::ApplyTime => "applyTime",
        }
    }
}

/// One group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeliness {
    pub exams: u32,
    /// Of the past: in no spread.
    pub backfilled: u32,
    /// With times that cannot be right: in no spread.
    pub wrong: u32,
    /// As [`Step::ALL`].
    pub steps: [Spread; Step::ALL.len()],
}

/// An exam that [`Wrong`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub hospital: String,
    pub exam_no: String,
    pub why: Wrong,
}

#[derive(Default)]
struct Draft {
    exams: u32,
    backfilled: u32,
    wrong: u32,
    minutes: [Vec<u32>; Step::ALL.len()],
}

/// Adds up exams, in any order.
pub struct Tally {
    zone: Zone,
    limits: Limits,
    groups: Groups<Draft>,
    total: Draft,
    named: Vec<Named>,
}

impl Tally {
    /// `zone`: of the hospitals' clocks.
    pub fn new(by: &[Dimension], limits: Limits, zone: Zone) -> Self {
        Self {
            zone,
            limits,
            groups: Groups::new(by),
            total: Draft::default(),
            named: Vec::new(),
        }
    }

    pub fn add(&mut self, seen: Seen<'_>) {
        if !seen.row.counted {
            return;
        }
        let took = match seen.row.backfilled {
            true => Took::Backfilled,
            false => self.times(seen),
        };
        if let Took::Wrong(why) = took
            && self.named.len() < NAMED_LIMIT
        {
            self.named.push(Named {
                hospital: seen.key.hospital.to_string(),
                exam_no: seen.key.exam_no.to_string(),
                why,
            });
        }
        self.groups.of(|dimension| seen.value(dimension)).add(took);
        self.total.add(took);
    }

    fn times(&self, seen: Seen<'_>) -> Took {
        let row = seen.row;
        let local = |time: LocalDateTime| time.unix_ms(&self.zone);
        let is_early = |time: LocalDateTime| time.date().year() < FIRST_YEAR;
        let Some(examined) = row.examined.filter(|time| !is_early(*time)) else {
            return Took::Wrong(Wrong::ExamTime);
        };
        if row.applied.is_some_and(is_early) {
            return Took::Wrong(Wrong::ApplyTime);
        }
        let examined_ms = local(examined);
        if examined_ms > row.pushed_ms + CLOCKS_DIFFER_MS {
            return Took::Wrong(Wrong::ExamAfterPush);
        }
        let content = row.content.as_ref().filter(|_| row.reported);
        let affirmed = content.and_then(|content| content.affirmed).map(local);
        if affirmed.is_some_and(|affirmed_ms| affirmed_ms + CLOCKS_DIFFER_MS < examined_ms) {
            return Took::Wrong(Wrong::AffirmedBeforeExam);
        }
        let came = |time_ms: i64| (time_ms > 0).then_some(time_ms);
        let confirmed = came(row.confirmed_ms).filter(|_| row.reported);
        let between = |from_ms: i64, to_ms: Option<i64>| minutes(to_ms? - from_ms);
        Took::Steps([
            row.applied
                .and_then(|applied| between(local(applied), Some(examined_ms))),
            between(examined_ms, Some(row.pushed_ms)),
            between(row.pushed_ms, came(row.images_ms)),
            between(examined_ms, confirmed),
            between(examined_ms, affirmed),
        ])
    }

    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Groups, total, and the first exams whose times cannot be right.
    pub fn finish(self) -> (Vec<(GroupKey, Timeliness)>, Timeliness, Vec<Named>) {
        let limits = self.limits;
        let groups = self.groups.finish();
        let groups = groups.map(|(key, draft)| (key, draft.finish(&limits)));
        (groups.collect(), self.total.finish(&limits), self.named)
    }
}

#[derive(Clone, Copy)]
enum Took {
    Backfilled,
    Wrong(Wrong),
    /// Minutes, as [`Step::ALL`].
    Steps([Option<u32>; Step::ALL.len()]),
}

impl Draft {
    fn add(&mut self, took: Took) {
        let more = |count: &mut u32| *count = count.saturating_add(1);
        more(&mut self.exams);
        match took {
            Took::Backfilled => more(&mut self.backfilled),
            Took::Wrong(_) => more(&mut self.wrong),
            Took::Steps(steps) => {
                for (minutes, took) in self.minutes.iter_mut().zip(steps) {
                    minutes.extend(took);
                }
            }
        }
    }

    fn finish(self, limits: &Limits) -> Timeliness {
        let mut answer = Timeliness {
            exams: self.exams,
            backfilled: self.backfilled,
            wrong: self.wrong,
            ..Timeliness::default()
        };
        let steps = answer.steps.iter_mut().zip(self.minutes).zip(limits);
        for ((spread, minutes), limit) in steps {
            *spread = Spread::of(minutes, *limit);
        }
        answer
    }
}

fn minutes(took_ms: i64) -> Option<u32> {
    u32::try_from(took_ms.max(0) / 60_000).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Exam;
    use super::*;

    const LIMITS: Limits = [60, 30, 10, 120, 120];

    fn answer(exams: &[Exam]) -> (Timeliness, Vec<Named>) {
        let mut tally = Tally::new(&[], LIMITS, Zone::utc());
        exams.iter().for_each(|exam| tally.add(exam.seen()));
        let (groups, total, named) = tally.finish();
        assert_eq!(groups.first().map(|(_, group)| *group), Some(total));
        (total, named)
    }

    #[test]
    fn steps_are_from_the_exam_to_its_push_its_images_and_its_report() {
        // Given an exam at 8:00, applied for at 7:00, pushed at 8:20, with images at 8:50 and its report at 9:10
        let one = Exam::new("1", "E1")
            .at_hour(8)
            .applied(-60)
            .pushed(20)
            .images(50)
            .confirmed(70);
        // one with images before its push, and one without any and without a report
        let two = Exam::new("1", "E2")
            .at_hour(8)
            .applied(5)
            .pushed(40)
            .images(30)
            .confirmed(200);
        let three = Exam::new("1", "E3").at_hour(8).pushed(60).unreported();
        let (total, named) = answer(&[one, two, three]);
        let told = total
            .steps
            .map(|spread| (spread.count, spread.p50, spread.max, spread.within));
        assert_eq!(
            told,
            [
                (2, Some(0), Some(60), 2),
                (3, Some(40), Some(60), 1),
                (2, Some(0), Some(30), 1),
                (2, Some(70), Some(200), 1),
                (0, None, None, 0),
            ]
        );
        assert_eq!((total.exams, total.wrong, named), (3, 0, Vec::new()));
    }

    #[test]
    fn what_a_backfill_brought_and_times_that_cannot_be_are_counted_apart() {
        let exam = || Exam::new("1", "E").at_hour(8).pushed(20);
        let (total, named) = answer(&[
            exam(),
            exam().backfilled(),
            exam().at("1900-01-01 08:00:00"),
            exam().pushed(-11),
            exam().pushed(-10),
            exam().affirmed("王", Some(7)),
            exam().withdrawn(),
        ]);
        assert_eq!((total.exams, total.backfilled, total.wrong), (6, 1, 3));
        assert_eq!(total.steps.map(|spread| spread.count), [0, 2, 0, 0, 0]);
        let why: Vec<Wrong> = named.iter().map(|named| named.why).collect();
        assert_eq!(
            why,
            [
                Wrong::ExamTime,
                Wrong::ExamAfterPush,
                Wrong::AffirmedBeforeExam
            ]
        );
    }
}
