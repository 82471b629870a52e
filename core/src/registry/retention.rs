//! For how long images are kept, and when they are wanted so rarely that slower storage will do: by hospital and by
//! the patient's class, counted from the day of the exam.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Scope, Settings};
use crate::dictionaries::PATIENT_CLASS;
use crate::exam::ExamRow;
use crate::instance::StudyRow;
use crate::time::{LocalDate, LocalDateTime, Zone};

/// The shortest time after which images may be deleted: a guard against a slip of the pen, no legal term. (In China
/// outpatients' records are kept for 15 years at least, inpatients' for 30.)
pub const SHORTEST_MONTHS: u16 = 12;

/// Rules that there may be: each exam is held against them one by one.
pub const RULES_LIMIT: usize = 100;

const DAY_MS: i64 = 24 * 3_600_000;

/// One rule. Of several that an exam meets the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// By which deletions name it.
    pub name: String,
    #[serde(default = "Scope::all")]
    pub hospitals: Scope,
    /// 患者来源 (`patientInfo.patientSource`) by code or name of the dictionary, or as hospitals write it; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub patients: BTreeSet<String>,
    /// Months after the exam; absent: its images are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_months: Option<u16>,
    /// Days for which nothing is deleted after its images came last, or its exam changed: so long a slip of the exam's
    /// date can be mended.
    #[serde(default = "usual_grace_days")]
    pub grace_days: u16,
    /// Months after the exam; absent: its images stay where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_after_months: Option<u16>,
}

fn usual_grace_days() -> u16 {
    30
}

impl RetentionRule {
    fn covers(&self, exam: &ExamRow) -> bool {
        let is_patient = || {
            let source = canonical(&exam.patient_source);
            self.patients.iter().any(|named| canonical(named) == source)
        };
        self.hospitals.has(&exam.key.hospital) && (self.patients.is_empty() || is_patient())
    }
}

/// A class by its code, whichever way it is written; what the dictionary does not have as it is.
pub fn canonical(source: &str) -> &str {
    let source = source.trim();
    let mut rows = PATIENT_CLASS.rows().iter();
    let known = rows.find(|(code, name)| *code == source || *name == source);
    known.map_or(source, |(code, _)| code)
}

impl Settings {
    /// The rule that counts for an exam.
    pub fn retention_of(&self, exam: &ExamRow) -> Option<&RetentionRule> {
        self.retention.iter().find(|rule| rule.covers(exam))
    }

    /// The rule by which an exam's images are to be deleted by a moment, in unix milliseconds.
    pub fn deletion_due(&self, exam: &ExamRow, now_ms: i64) -> Option<&RetentionRule> {
        let rule = self.retention_of(exam)?;
        is_past(exam, rule.delete_after_months?, now_ms).then_some(rule)
    }

    /// Whether an exam may lose the images of a study by a moment.
    pub fn may_lose(&self, exam: &ExamRow, study: &StudyRow, now_ms: i64) -> bool {
        self.deletion_due(exam, now_ms).is_some_and(|rule| {
            let last_ms = exam.time_ms.max(study.last_time_ms);
            now_ms.saturating_sub(last_ms) >= i64::from(rule.grace_days) * DAY_MS
        })
    }

    /// Whether an exam's images may lie on slower storage by a moment.
    pub fn is_cold(&self, exam: &ExamRow, now_ms: i64) -> bool {
        let rule = self.retention_of(exam);
        let months = rule.and_then(|rule| rule.cold_after_months);
        months.is_some_and(|months| is_past(exam, months, now_ms))
    }
}

/// Whether so many months have passed since the exam's day. By UTC's date, which no time zone of an operator moves.
fn is_past(exam: &ExamRow, months: u16, now_ms: i64) -> bool {
    let today = LocalDateTime::from_unix_ms(now_ms, &Zone::utc()).map(LocalDateTime::date);
    let day = LocalDate::parse(exam.exam_date()).ok();
    let in_months = |date: LocalDate| u32::from(date.year()) * 12 + u32::from(date.month());
    today.zip(day).is_some_and(|(today, day)| {
        let until = (in_months(day) + u32::from(months), day.day());
        (in_months(today), today.day()) >= until
    })
}
