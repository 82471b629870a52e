//! Apply forms of a range of days: lists of them, those that wait for an exam, and how long it all takes.

use yingku_core::apply_form::ApplyFormRow;
use yingku_core::apply_form::progress::{FormState, Meeting, progress};
use yingku_core::apply_form::turnaround::{FormTimes, Tally, Turnaround};
use yingku_core::exam::ExamRow;
use yingku_core::ids::{HospitalCode, StudyKey};
use yingku_core::pull::PullWhy;
use yingku_core::reconcile::DAYS_LIMIT;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};

use super::exams::EXAMS_LOOKED_AT_LIMIT;
use super::keys::FormIndexKind;
use super::{Views, ViewsError, Walk};

const HOUR_MS: i64 = 3_600_000;
/// Before every day of the contract.
const FIRST_DAY: &str = "0000-00-00";

/// Days, both included.
#[derive(Debug, Clone, Copy)]
pub struct Days {
    pub from: LocalDate,
    pub to: LocalDate,
}

impl Days {
    /// Refuses a range that is too long for one question.
    pub fn new(from: LocalDate, to: LocalDate) -> Result<Self, ViewsError> {
        let mut days = std::iter::successors(Some(from), |day| day.next()).take(DAYS_LIMIT);
        match days.any(|day| day == to) {
            true => Ok(Self { from, to }),
            false => Err(ViewsError::Days { limit: DAYS_LIMIT }),
        }
    }
}

/// Forms that wait for longer than is usual.
#[derive(Debug, Clone, Copy)]
pub struct Overdue {
    pub now_ms: i64,
    /// So many hours after the time for which a form is planned (that of the appointment, else of the request).
    pub hours: u32,
}

impl Views {
    /// A hospital's forms that were applied for on some days, cancelled ones too, in the order in which they came. Refused
    /// with [`ViewsError::TooMany`] where they are more than one question may look at.
    pub fn forms_of_days(
        &self,
        hospital: &HospitalCode,
        days: Days,
    ) -> Result<Vec<ApplyFormRow>, ViewsError> {
        let mut rows = Vec::new();
        let (from, to) = (days.from.to_string(), days.to.to_string());
        self.visit_forms_of_days(FormIndexKind::ApplyDay, hospital, &from, &to, &mut |row| {
            taken(&mut rows, row)
        })?;
        rows.sort_by_key(|row| row.first_position);
        Ok(rows)
    }

    /// A hospital's forms without an exam that are overdue, in the order in which they came; with days only those that are
    /// planned for them.
    pub fn overdue_forms(
        &self,
        hospital: &HospitalCode,
        days: Option<Days>,
        overdue: Overdue,
        zone: &Zone,
    ) -> Result<Vec<ApplyFormRow>, ViewsError> {
        let due_ms = overdue.now_ms - i64::from(overdue.hours) * HOUR_MS;
        let due = LocalDateTime::from_unix_ms(due_ms, zone).map(|due| due.to_string());
        let Some(due) = due else {
            return Ok(Vec::new());
        };
        let last = due.get(..FIRST_DAY.len()).unwrap_or_default();
        let from = days.map_or_else(|| FIRST_DAY.to_owned(), |days| days.from.to_string());
        let to = days.map_or_else(|| last.to_owned(), |days| days.to.to_string());
        let to = to.as_str().min(last);
        let mut rows = Vec::new();
        self.visit_forms_of_days(
            FormIndexKind::OpenDay,
            hospital,
            &from,
            to,
            &mut |row| match row.is_open() && row.planned_time() <= due.as_str() {
                true => taken(&mut rows, row),
                false => Ok(Walk::On),
            },
        )?;
        rows.sort_by_key(|row| row.first_position);
        Ok(rows)
    }

    /// How long forms of some days took to their exams and reports. What was tried out counts nowhere.
    pub fn turnaround(
        &self,
        hospital: &HospitalCode,
        days: Days,
        zone: &Zone,
    ) -> Result<Turnaround, ViewsError> {
        let mut tally = Tally::default();
        let (from, to) = (days.from.to_string(), days.to.to_string());
        let mut looked_at = 0;
        self.visit_forms_of_days(FormIndexKind::ApplyDay, hospital, &from, &to, &mut |row| {
            looked_at += 1;
            if looked_at > EXAMS_LOOKED_AT_LIMIT {
                return Err(too_many());
            }
            if !row.test {
                tally.add(row.apply_date(), self.form_times(&row, zone)?);
            }
            Ok(Walk::On)
        })?;
        Ok(tally.finish())
    }

    fn form_times(&self, row: &ApplyFormRow, zone: &Zone) -> Result<FormTimes, ViewsError> {
        let mut exams = self.exams_of_form(&row.key)?;
        let mut live = Vec::new();
        for exam in &exams {
            if !self.is_backfilled(exam)? {
                live.push(exam.clone());
            }
        }
        let is_backfilled = live.is_empty() && !exams.is_empty();
        if !is_backfilled {
            exams = live;
        }
        let meetings: Vec<Meeting<'_>> = exams.iter().map(without_images).collect();
        let progress = progress(row, &meetings);
        let local = |text: &str| LocalDateTime::parse(text).ok().map(|it| it.unix_ms(zone));
        let examined_ms = exams.iter().filter_map(|exam| local(&exam.exam_time)).min();
        Ok(FormTimes {
            applied_ms: local(&row.content.req_time).unwrap_or(row.first_time_ms),
            registered_ms: progress.registered_ms,
            examined_ms,
            // One that was taken back is none until it is confirmed again.
            reported_ms: progress
                .reported_ms
                .filter(|_| progress.state == FormState::Reported),
            is_cancelled: progress.state == FormState::Cancelled,
            is_backfilled,
        })
    }

    /// Whether an exam is of the past: an operator had its images fetched as such.
    fn is_backfilled(&self, exam: &ExamRow) -> Result<bool, ViewsError> {
        for uid in exam.own_studies() {
            let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
            let pull = self.pull(&study)?;
            if pull.is_some_and(|pull| pull.why == PullWhy::Backfill) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// When images came is not asked here, and would be a look at each study.
fn without_images(exam: &ExamRow) -> Meeting<'_> {
    Meeting {
        exam,
        first_image_ms: None,
    }
}

fn taken(rows: &mut Vec<ApplyFormRow>, row: ApplyFormRow) -> Result<Walk, ViewsError> {
    if rows.len() >= EXAMS_LOOKED_AT_LIMIT {
        return Err(too_many());
    }
    rows.push(row);
    Ok(Walk::On)
}

fn too_many() -> ViewsError {
    ViewsError::TooMany {
        limit: EXAMS_LOOKED_AT_LIMIT,
    }
}
