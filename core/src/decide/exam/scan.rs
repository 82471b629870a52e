//! A push without a form's number whose study is the one that the worklist gave out for a form: that is given out once, so it
//! proves that both belong together. Such an exam has the form's number from then on, unless its push names another form.
//!
//! What a placeholder says joins nothing (R10); the scan does, once an image or a machine registered the form's exam (R16).

use super::super::Context;
use super::{Content, form, form_key};
use crate::apply_form::ApplyFormRow;
use crate::dictionaries::is_placeholder;
use crate::event::MEETINGS_SINCE_RULES;
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::ids::StudyUid;
use crate::registry::{Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

/// Gives a push the number of the form whose exam was registered under its study. One that tells nothing of images has those of
/// the exam that is here.
pub(super) fn meet<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    existing: Option<&ExamRow>,
    content: &mut Content,
) -> Result<(), StateError> {
    let registry = work.registry();
    let placeholders = &registry.settings.placeholder_apply_nos;
    if registry.rules < MEETINGS_SINCE_RULES
        || !is_placeholder(placeholders, &content.summary.apply_no)
    {
        return Ok(());
    }
    let studies = match (content.studies.as_slice(), existing) {
        ([], Some(existing)) => existing.studies.as_slice(),
        (named, _) => named,
    };
    let is_trial = hospital.mode == HospitalMode::Test;
    for study in studies {
        for claim in work.claims(&study.uid)?.claims {
            let row = work.exam(&claim.exam)?;
            let is_meant = |row: &ExamRow| {
                // One that is hidden with its pushes comes back with them.
                (!claim.released || row.withdrawn.app.is_some())
                    && row.has(ExamFlag::WithoutPush)
                    && row.key.hospital == content.hospital
                    && row.sick_id == content.summary.sick_id
                    && row.has(ExamFlag::Test) == is_trial
            };
            let Some(row) = row.filter(is_meant) else {
                continue;
            };
            let key = form_key(&row.key.hospital, &row.apply_no, row.key.generation);
            let form = work.apply_form(&key)?;
            let has_met = existing.is_some_and(|it| it.apply_no == row.apply_no);
            if has_met || form.is_some_and(|form| was_given_out(&form, &study.uid)) {
                content.summary.apply_no = row.apply_no.into();
                return Ok(());
            }
        }
    }
    Ok(())
}

fn was_given_out(form: &ApplyFormRow, study: &StudyUid) -> bool {
    !form.is_deleted() && form.study_uid == *study
}

/// Gives pushes that came before the form's exam was registered under the study that was given out the form's number.
pub(super) fn join<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    form: &ApplyFormRow,
) -> Result<(), StateError> {
    if work.registry().rules < MEETINGS_SINCE_RULES {
        return Ok(());
    }
    let claims = work.claims(&form.study_uid)?;
    let is_registered = claims.active().any(|claim| {
        let mine = work.changes.exams.get(&claim.exam);
        let row = mine.and_then(|exam| exam.after.as_ref());
        row.is_some_and(|row| row.has(ExamFlag::WithoutPush))
    });
    for claim in claims.active().filter(|_| is_registered) {
        let before = work.exam(&claim.exam)?;
        let is_meant = |row: &ExamRow| {
            row.has(ExamFlag::PlaceholderApplyNo)
                && row.key.hospital == form.key.hospital
                && row.sick_id == form.content.sick_id
                && row.has(ExamFlag::Test) == form.test
        };
        let Some(before) = before.filter(is_meant) else {
            continue;
        };
        let mut row = before.clone();
        row.apply_no.clone_from(&form.key.apply_no);
        row.set(ExamFlag::PlaceholderApplyNo, false);
        form::enter(work, Some(&before), &row)?;
        work.changes.history.push(ExamHistory {
            position: context.position,
            time_ms: context.time_ms,
            step: ExamStep::Corrected,
            content: None,
            row: row.clone(),
        });
        work.put_exam(Some(before), Some(row));
    }
    Ok(())
}
