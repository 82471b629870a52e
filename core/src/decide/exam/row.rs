//! The exam's row that a push makes.

use super::super::Context;
use super::Content;
use crate::contract::push::ExamStatus;
use crate::dictionaries::{canonical_class, is_placeholder};
use crate::exam::{ExamFlag, ExamRow, FinalReport, ReportState, Withdrawals};
use crate::ids::ExamKey;
use crate::registry::{Hospital, HospitalMode, Settings};

pub(super) fn status_number(status: ExamStatus) -> u8 {
    status.code().parse().unwrap_or_default()
}

/// R6: a changed 70 is a revision; the same that was taken back is what it was.
fn report_state(last_final: Option<FinalReport>, status: u8, digest: [u8; 16]) -> ReportState {
    match (status, last_final) {
        (60, _) => ReportState::Preliminary,
        (65, _) => ReportState::Returned,
        (70, None) => ReportState::Confirmed,
        (70, Some(last)) if last.digest == digest => last.state,
        (70, Some(_)) => ReportState::Revised,
        _ => ReportState::None,
    }
}

pub(super) fn row_of(
    settings: &Settings,
    context: Context<'_>,
    hospital: &Hospital,
    key: ExamKey,
    before: Option<&ExamRow>,
    content: Content,
) -> ExamRow {
    let status = status_number(content.summary.exam_status);
    let earlier_final = before.and_then(|row| row.last_final);
    let report = report_state(earlier_final, status, content.digest);
    let last_final = match report.is_final() {
        true => Some(FinalReport {
            digest: content.digest,
            state: report,
        }),
        false => earlier_final,
    };
    let confirmed_ms = match before.map_or(0, |row| row.confirmed_ms) {
        0 if report.is_final() => context.time_ms,
        earlier => earlier,
    };
    let summary = content.summary;
    let mut row = ExamRow {
        key,
        position: context.position,
        time_ms: context.time_ms,
        first_position: before.map_or(context.position, |row| row.first_position),
        first_time_ms: before.map_or(context.time_ms, |row| row.first_time_ms),
        version: before.map_or(1, |row| row.version.saturating_add(1)),
        digest: content.digest,
        last_digest: content.digest,
        status,
        report,
        confirmed_ms,
        last_final,
        exam_time: summary.exam_time.to_string(),
        class: summary.exam_class.into_owned(),
        apply_no: summary.apply_no.into_owned(),
        sick_id: summary.sick_id.into_owned(),
        name: summary.name.into_owned(),
        sex: summary.sex.into_owned(),
        birth_date: summary
            .birth_date
            .map(|date| date.to_string())
            .unwrap_or_default(),
        patient_id: summary.patient_id.into_owned(),
        card_no: summary.card_no.into_owned(),
        inpatient_no: summary.inpatient_no.into_owned(),
        outpatient_no: summary.out_patient_no.into_owned(),
        patient_source: summary.patient_source.into_owned(),
        studies: content.studies,
        moved: before.map(|row| row.moved.clone()).unwrap_or_default(),
        // A doubt stays on its list until the comparison settles it, and no push brings back what was deleted.
        flags: [ExamFlag::IdentityDoubt, ExamFlag::ImagesDeleted]
            .into_iter()
            .filter(|flag| before.is_some_and(|row| row.has(*flag)))
            .collect(),
        // What the app took back, its next push brings back; an operator's ruling stays.
        withdrawn: Withdrawals {
            app: None,
            operator: before.and_then(|row| row.withdrawn.operator),
        },
    };
    let test = match before.map(|row| row.has(ExamFlag::Test)) {
        // What counts is never marked, also where a trial's hospital has an old push ruled on.
        Some(false) => false,
        Some(true) => hospital.mode != HospitalMode::Live,
        None => hospital.mode == HospitalMode::Test,
    };
    row.set(ExamFlag::Test, test);
    row.set(ExamFlag::Warned, content.warned);
    row.set(ExamFlag::WithoutPush, content.without_push);
    let is_superseded = before.is_some_and(|row| row.has(ExamFlag::Superseded));
    row.set(ExamFlag::Superseded, content.without_push && is_superseded);
    row.set(
        ExamFlag::UnknownClass,
        !canonical_class(&settings.class_aliases, &row.class).known,
    );
    row.set(
        ExamFlag::PlaceholderApplyNo,
        is_placeholder(&settings.placeholder_apply_nos, &row.apply_no),
    );
    row
}
