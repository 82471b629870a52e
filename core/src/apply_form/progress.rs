//! Where a form stands (received, registered, started, performed, images, reported, cancelled), and since when: derived from
//! the form, the steps that machines reported of it, and the exams that name it.

use serde::Serialize;

use super::ApplyFormRow;
use crate::exam::ExamRow;
use crate::performed::{FormStepRow, StepStatus};

/// How far a form has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormState {
    /// Received; no exam has it.
    Received,
    /// An exam has it.
    Registered,
    /// A machine has begun with it.
    Started,
    /// A machine is done with it.
    Performed,
    /// An image of such an exam is here.
    Images,
    /// A report of such an exam is confirmed.
    Reported,
    /// Its HIS deleted it.
    Cancelled,
}

/// A form's state with the times at which it was reached, unix milliseconds of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FormProgress {
    pub state: FormState,
    pub received_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performed_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_ms: Option<i64>,
}

/// An exam that has the form, and when its first image came.
pub struct Meeting<'a> {
    pub exam: &'a ExamRow,
    pub first_image_ms: Option<i64>,
}

/// `meetings`: of exams that name the form now and are not withdrawn.
pub fn progress(form: &ApplyFormRow, meetings: &[Meeting<'_>]) -> FormProgress {
    let first = |time: fn(&Meeting<'_>) -> Option<i64>| meetings.iter().filter_map(time).min();
    let registered_ms = first(|it| Some(it.exam.first_time_ms));
    let images_ms = first(|it| it.first_image_ms);
    let reported_ms = first(|it| (it.exam.confirmed_ms > 0).then_some(it.exam.confirmed_ms));
    let is_reported = meetings.iter().any(|it| it.exam.report.is_final());
    let cancelled_ms = form.deleted.map(|(_, time_ms)| time_ms);
    let (started_ms, performed_ms) = performed(&form.steps);
    let state = match (cancelled_ms, is_reported) {
        (Some(_), _) => FormState::Cancelled,
        (_, true) => FormState::Reported,
        _ if images_ms.is_some() => FormState::Images,
        _ if performed_ms.is_some() => FormState::Performed,
        _ if started_ms.is_some() => FormState::Started,
        _ if registered_ms.is_some() => FormState::Registered,
        _ => FormState::Received,
    };
    FormProgress {
        state,
        received_ms: form.first_time_ms,
        registered_ms,
        started_ms,
        performed_ms,
        images_ms,
        reported_ms,
        cancelled_ms,
    }
}

/// When the first step began that was not broken off, and when the last one ended if none goes on.
fn performed(steps: &[FormStepRow]) -> (Option<i64>, Option<i64>) {
    let counted = || {
        let steps = steps.iter();
        steps.filter(|it| it.status != StepStatus::Discontinued)
    };
    let started_ms = counted().map(|it| it.started_ms).min();
    let goes_on = counted().any(|it| it.status == StepStatus::InProgress);
    let ended_ms = counted().filter_map(|it| it.ended_ms).max();
    (started_ms, ended_ms.filter(|_| !goes_on))
}
