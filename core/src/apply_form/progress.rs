//! Where a form stands (received, registered, images, reported, cancelled), and since when: derived from the form and the
//! exams that name it.

use serde::Serialize;

use super::ApplyFormRow;
use crate::exam::ExamRow;

/// How far a form has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormState {
    /// Received; no exam has it.
    Received,
    /// An exam has it.
    Registered,
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
    let state = match (cancelled_ms, is_reported, images_ms, registered_ms) {
        (Some(_), ..) => FormState::Cancelled,
        (_, true, ..) => FormState::Reported,
        (_, _, Some(_), _) => FormState::Images,
        (.., Some(_)) => FormState::Registered,
        _ => FormState::Received,
    };
    FormProgress {
        state,
        received_ms: form.first_time_ms,
        registered_ms,
        images_ms,
        reported_ms,
        cancelled_ms,
    }
}
