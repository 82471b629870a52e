//! A machine's report of a procedure step, in log order (PS3.4 §F.7.2): created, changed, or refused because it is there
//! already, is not there, or has ended. A form whose step was not broken off is registered: R14's -88 holds for it.

use super::Context;
use crate::apply_form::{ApplyFormRow, STEPS_KEPT};
use crate::event::ProcedureStepReported;
use crate::ids::FormKey;
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::performed::{FORMS_OF_STEP, FormStepRow, StepRow, StepStatus};
use crate::registry::HospitalMode;
use crate::state::{State, StateError, Work};

/// Rule of a refusal because there is such a step already.
pub const STEP_KNOWN: &str = "step-known";
/// Rule of a refusal because the sender has no such step.
pub const STEP_UNKNOWN: &str = "step-unknown";
/// Rule of a refusal because the step was completed or discontinued.
pub const STEP_ENDED: &str = "step-ended";

pub(super) fn reported<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ProcedureStepReported,
) -> Result<Outcome, StateError> {
    let known = work.step(&body.step)?;
    let row = match (body.is_new, known) {
        (true, Some(_)) => return Ok(Outcome::Refused(is_known())),
        (true, None) => StepRow {
            step: body.step.clone(),
            sender: body.sender.clone(),
            status: body.status,
            first_ms: context.time_ms,
            time_ms: context.time_ms,
            forms: met(work, body)?,
        },
        (false, Some(row)) if row.sender == body.sender => {
            if row.status != StepStatus::InProgress {
                return Ok(Outcome::Refused(has_ended()));
            }
            StepRow {
                status: body.status,
                time_ms: context.time_ms,
                ..row
            }
        }
        (false, _) => return Ok(Outcome::Refused(is_unknown())),
    };
    for form in &row.forms {
        mark(work, form, &row, body.is_new)?;
    }
    work.put_step(row);
    Ok(Outcome::Done)
}

/// The forms that the step is for, of those that its node found.
fn met<S: State>(
    work: &Work<'_, S>,
    body: &ProcedureStepReported,
) -> Result<Vec<FormKey>, StateError> {
    let mut forms = Vec::new();
    for key in body.forms.iter().take(FORMS_OF_STEP) {
        let row = work.apply_form(key)?;
        let is_met = row.is_some_and(|row| {
            let hospital = work.registry().hospitals.get(&key.hospital);
            let is_trial = hospital.is_some_and(|it| it.mode == HospitalMode::Test);
            !row.is_deleted() && row.test == is_trial && is_for(body, &row)
        });
        if is_met && !forms.contains(key) {
            forms.push(key.clone());
        }
    }
    Ok(forms)
}

/// A step is for a form whose study UID or number it names.
fn is_for(body: &ProcedureStepReported, row: &ApplyFormRow) -> bool {
    body.studies.contains(&row.study_uid) || body.numbers.contains(&row.accession_no())
}

/// Keeps the form's row in step. A form that was deleted and came again since is another: it has no such step.
fn mark<S: State>(
    work: &mut Work<'_, S>,
    form: &FormKey,
    step: &StepRow,
    is_new: bool,
) -> Result<(), StateError> {
    let Some(before) = work.apply_form(form)?.filter(|row| !row.is_deleted()) else {
        return Ok(());
    };
    let mut row = before.clone();
    let ended_ms = ended_ms(step);
    match row.steps.iter_mut().find(|it| it.step == step.step) {
        Some(known) => {
            known.status = step.status;
            known.ended_ms = ended_ms;
        }
        None if is_new => {
            make_room(&mut row.steps);
            row.steps.push(FormStepRow {
                step: step.step.clone(),
                status: step.status,
                started_ms: step.first_ms,
                ended_ms,
            });
        }
        None => return Ok(()),
    }
    work.put_apply_form(Some(before), Some(row));
    Ok(())
}

/// When the step was completed or discontinued.
pub(super) fn ended_ms(step: &StepRow) -> Option<i64> {
    (step.status != StepStatus::InProgress).then_some(step.time_ms)
}

/// What was broken off goes first, then the eldest.
pub(super) fn make_room(steps: &mut Vec<FormStepRow>) {
    while steps.len() >= STEPS_KEPT {
        let broken_off = |it: &FormStepRow| it.status == StepStatus::Discontinued;
        steps.remove(steps.iter().position(broken_off).unwrap_or_default());
    }
}

const PATH: &str = "SOPInstanceUID";

fn is_known() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        STEP_KNOWN,
        PATH,
        "已有此检查执行步骤，请用新的 UID (there is such a performed procedure step: create it under a new UID)",
    )
}

fn is_unknown() -> Refusal {
    Refusal::new(
        ErrorKind::NotFound,
        STEP_UNKNOWN,
        PATH,
        "该设备没有此检查执行步骤，请先 N-CREATE (this AE has no such performed procedure step: create it first)",
    )
}

fn has_ended() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        STEP_ENDED,
        PATH,
        "此检查执行步骤已结束，不能再改 (the performed procedure step has ended and may not be changed)",
    )
}
