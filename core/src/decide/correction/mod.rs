//! Corrections, in log order: hidden at once, nothing destroyed, taken back by an undoing.

mod ownership;
mod undo;

use std::collections::BTreeSet;

use super::{Context, DecideError, claims, exam, instances};
use crate::correction::{Before, CorrectionAction, CorrectionMade, CorrectionRow};
use crate::exam::{ExamHistory, ExamRow, ExamStep, WithdrawnBy};
use crate::ids::{ExamKey, StudyKey};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::state::{State, StateError, Work};

pub fn made<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &CorrectionMade,
) -> Result<Outcome, DecideError> {
    let result = match &body.action {
        CorrectionAction::WithdrawExam { exam } => withdraw(work, context, exam)?,
        CorrectionAction::HideInstances { study, instances } => hide(work, study, instances)?,
        CorrectionAction::MoveStudy { study, to } => {
            ownership::move_study(work, context, study, to)?
        }
        CorrectionAction::ReleaseUid { study, exam } => {
            ownership::release(work, context, study, exam)?
        }
        CorrectionAction::RuleConflict { study, exam } => {
            ownership::rule(work, context, study, exam)?
        }
        CorrectionAction::RuleReuse { refused, ruling } => {
            exam::ruled(work, context, *refused, *ruling)?
        }
        CorrectionAction::Undo { correction } => undo::undo(work, context, *correction)?,
    };
    let before = match result {
        Ok(before) => before,
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    let made = serde_json::to_string(body).map_err(|e| DecideError::Content(e.to_string()))?;
    work.changes.corrections.insert(
        context.position,
        CorrectionRow {
            position: context.position,
            time_ms: context.time_ms,
            actor: context.actor.to_owned(),
            made,
            undone: None,
            before,
        },
    );
    Ok(Outcome::Done)
}

type Ruled = Result<Before, Refusal>;

fn not_found(path: &str, message: &str) -> Refusal {
    Refusal::new(ErrorKind::NotFound, "not-found", path, message)
}

fn conflict(path: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorKind::Conflict, "conflict", path, message)
}

fn no_exam() -> Refusal {
    not_found(
        "exam",
        "没有此检查，请核对医院代码和examNo (no such exam: check hospital and examNo)",
    )
}

fn no_study() -> Refusal {
    not_found(
        "study",
        "该医院没有此检查UID的影像 (this hospital holds no images of this study UID)",
    )
}

fn withdraw<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &ExamKey,
) -> Result<Ruled, StateError> {
    let Some(row) = work.exam(key)? else {
        return Ok(Err(no_exam()));
    };
    let by = withdrawn_by(context.actor);
    if row.withdrawn == Some(WithdrawnBy::Operator) || row.withdrawn == Some(by) {
        return Ok(Err(conflict(
            "exam",
            "此检查已撤回 (this exam is withdrawn already)",
        )));
    }
    set_withdrawn(work, context, row, Some(by))?;
    Ok(Ok(Before::Nothing))
}

fn withdrawn_by(actor: &str) -> WithdrawnBy {
    if actor.starts_with("app:") {
        WithdrawnBy::App
    } else {
        WithdrawnBy::Operator
    }
}

fn set_withdrawn<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: ExamRow,
    withdrawn: Option<WithdrawnBy>,
) -> Result<(), StateError> {
    let mut row = before.clone();
    row.withdrawn = withdrawn;
    claims::take_claims(work, context, Some(&before), &mut row)?;
    let step = if withdrawn.is_some() {
        ExamStep::Withdrawn
    } else {
        ExamStep::Restored
    };
    record(work, context, before, row, step);
    Ok(())
}

fn record<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: ExamRow,
    row: ExamRow,
    step: ExamStep,
) {
    work.changes.history.push(ExamHistory {
        position: context.position,
        time_ms: context.time_ms,
        step,
        content: None,
        row: row.clone(),
    });
    work.put_exam(Some(before), Some(row));
}

fn hide<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyKey,
    chosen: &[crate::ids::SopInstanceUid],
) -> Result<Ruled, StateError> {
    if work.study(study)?.is_none() {
        return Ok(Err(no_study()));
    }
    let chosen: BTreeSet<_> = chosen.iter().cloned().collect();
    let hidden = if chosen.is_empty() {
        instances::set_hidden(work, study, None, true)?
    } else {
        instances::set_hidden(work, study, Some(&chosen), true)?
    };
    if hidden.is_empty() {
        return Ok(Err(conflict(
            "instances",
            "所列影像不在该检查中或已隐藏 (these instances are not in the study, or hidden already)",
        )));
    }
    Ok(Ok(Before::Hidden(hidden)))
}
