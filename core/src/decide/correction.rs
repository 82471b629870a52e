//! Corrections, in log order: hidden at once, nothing destroyed, each one undone by another.

use std::collections::BTreeSet;

use super::{Context, DecideError, exam, held, instances};
use crate::correction::{Before, CorrectionAction, CorrectionMade, CorrectionRow, ReuseRuling};
use crate::exam::{ExamHistory, ExamRow, ExamStep, WithdrawnBy};
use crate::ids::{ExamKey, Position, StudyKey, StudyUid};
use crate::instance::{Claim, StudyClaims};
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
        CorrectionAction::MoveStudy { study, to } => move_study(work, context, study, to)?,
        CorrectionAction::ReleaseUid { study, exam } => release(work, context, study, exam)?,
        CorrectionAction::RuleConflict { study, exam } => rule(work, context, study, exam)?,
        CorrectionAction::RuleReuse { refused, ruling } => {
            rule_reuse(work, context, *refused, *ruling)?
        }
        CorrectionAction::Undo { correction } => undo(work, context, *correction)?,
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

fn conflict(path: &str, message: &str) -> Refusal {
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
    exam::take_claims(work, context, Some(&before), &mut row)?;
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

/// Puts new claims in force: the images follow the owner, the exams' flags the claims.
fn set_claims<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    mut claims: StudyClaims,
) -> Result<(), StateError> {
    let holders = claims.holders.clone();
    let owner = claims.owner().map(|claim| claim.exam.hospital.clone());
    claims.holders = work.claims(study)?.holders;
    exam::put_claims(work, context, study, claims)?;
    if let Some(owner) = owner {
        for holder in holders {
            let from = StudyKey {
                hospital: holder,
                study: study.clone(),
            };
            instances::rehome(work, context, &from, &owner)?;
        }
    }
    held::adopt(work, context, study)?;
    for key in work.claims(study)?.claims.iter().map(|claim| &claim.exam) {
        let Some(before) = work.exam(key)? else {
            continue;
        };
        let mut row = before.clone();
        exam::set_standing(work, context, &mut row)?;
        record(work, context, before, row, ExamStep::Corrected);
    }
    Ok(())
}

fn move_study<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    to: &ExamKey,
) -> Result<Ruled, StateError> {
    if work.study(study)?.is_none() {
        return Ok(Err(no_study()));
    }
    let Some(exam) = work.exam(to)? else {
        return Ok(Err(no_exam()));
    };
    if exam.withdrawn.is_some() {
        return Ok(Err(conflict(
            "to",
            "目标检查已撤回 (the exam it is to go to is withdrawn)",
        )));
    }
    if !exam.moved.contains(&study.study) {
        let mut row = exam.clone();
        row.moved.push(study.study.clone());
        work.put_exam(Some(exam.clone()), Some(row));
    }
    let before = work.claims(&study.study)?;
    let mut claims = before.clone();
    for claim in &mut claims.claims {
        claim.released = true;
    }
    claims.claims.retain(|claim| claim.exam != *to);
    claims.claims.push(Claim {
        exam: to.clone(),
        position: context.position,
        sick_id: exam.sick_id.clone(),
        patient_id: exam.patient_id.clone(),
        accession_no: None,
        released: false,
        moved: true,
    });
    claims.ruled_for = Some(to.clone());
    set_claims(work, context, &study.study, claims)?;
    Ok(Ok(Before::Claims {
        study: study.study.clone(),
        claims: before,
    }))
}

fn release<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    exam: &ExamKey,
) -> Result<Ruled, StateError> {
    let before = work.claims(study)?;
    let mut claims = before.clone();
    let Some(claim) = claims
        .claims
        .iter_mut()
        .find(|claim| claim.exam == *exam && !claim.released)
    else {
        return Ok(Err(not_found(
            "study",
            "此检查未占用该检查UID (this exam does not claim this study UID)",
        )));
    };
    claim.released = true;
    if claims.ruled_for.as_ref() == Some(exam) {
        claims.ruled_for = None;
    }
    // Images stay where they are: without a matching claim they are hidden.
    exam::put_claims(work, context, study, claims)?;
    held::adopt(work, context, study)?;
    exam::settle(work, context, study, None)?;
    Ok(Ok(Before::Claims {
        study: study.clone(),
        claims: before,
    }))
}

fn rule<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    exam: &ExamKey,
) -> Result<Ruled, StateError> {
    let before = work.claims(study)?;
    let mut claims = before.clone();
    let Some(claim) = claims
        .claims
        .iter_mut()
        .find(|claim| claim.exam == *exam && !claim.released)
    else {
        return Ok(Err(not_found(
            "exam",
            "此检查未占用该检查UID (this exam does not claim this study UID)",
        )));
    };
    // The ruling is about whose the images are, so their identifiers are not compared again.
    claim.moved = true;
    claims.ruled_for = Some(exam.clone());
    set_claims(work, context, study, claims)?;
    Ok(Ok(Before::Claims {
        study: study.clone(),
        claims: before,
    }))
}

fn rule_reuse<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    refused: Position,
    ruling: ReuseRuling,
) -> Result<Ruled, DecideError> {
    let Some(body) = work.refused_push(refused)? else {
        return Ok(Err(not_found(
            "refused",
            "没有此登记号的疑似重复 (no push is listed under this number)",
        )));
    };
    if let Outcome::Refused(refusal) = exam::ruled(work, context, &body, ruling)? {
        return Ok(Err(refusal));
    }
    work.changes.refused_pushes.insert(refused, None);
    let content: crate::contract::push::ExamPushedBody<'_> =
        postcard::from_bytes(&body).map_err(|e| DecideError::Content(e.to_string()))?;
    let summary = crate::contract::push::ExamSummary::from_json(&content.json)
        .map_err(|e| DecideError::Content(e.to_string()))?;
    if let (Ok(hospital), Ok(exam_no)) = (
        crate::ids::HospitalCode::new(&summary.hospital_code),
        crate::ids::ExamNo::new(&summary.exam_no),
    ) {
        work.put_finding(
            exam::reuse_finding(&hospital, &exam_no, &content.digest),
            None,
        );
    }
    Ok(Ok(Before::Nothing))
}

fn undo<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    position: Position,
) -> Result<Ruled, DecideError> {
    let Some(mut row) = work.correction(position)? else {
        return Ok(Err(not_found(
            "correction",
            "没有此更正记录 (no such correction)",
        )));
    };
    if row.undone.is_some() {
        return Ok(Err(conflict(
            "correction",
            "该更正已撤销 (this correction is undone already)",
        )));
    }
    let made: CorrectionMade =
        serde_json::from_str(&row.made).map_err(|e| DecideError::Content(e.to_string()))?;
    match (&made.action, &row.before) {
        (CorrectionAction::WithdrawExam { exam }, _) => {
            let Some(exam) = work.exam(exam)? else {
                return Ok(Err(no_exam()));
            };
            // A later withdrawal by an operator stands although the app takes its own back.
            if exam.withdrawn == Some(withdrawn_by(&row.actor)) {
                set_withdrawn(work, context, exam, None)?;
            }
        }
        (CorrectionAction::HideInstances { study, .. }, Before::Hidden(hidden)) => {
            let hidden: BTreeSet<_> = hidden.iter().cloned().collect();
            instances::set_hidden(work, study, Some(&hidden), false)?;
        }
        (_, Before::Claims { study, claims }) => {
            let mut claims = claims.clone();
            let now = work.claims(study)?;
            // Claims that came after the correction stay.
            for claim in now.claims {
                if claim.position > position
                    && !claims.claims.iter().any(|known| known.exam == claim.exam)
                {
                    claims.claims.push(claim);
                }
            }
            claims.holders = now.holders;
            // Numbers that were corrected meanwhile stay corrected.
            for claim in &mut claims.claims {
                let Some(exam) = work.exam(&claim.exam)? else {
                    continue;
                };
                claim.sick_id.clone_from(&exam.sick_id);
                claim.patient_id.clone_from(&exam.patient_id);
                if let Some(declared) = exam.studies.iter().find(|s| s.uid == *study) {
                    claim.accession_no.clone_from(&declared.accession_no);
                }
            }
            // What lapsed meanwhile stays lapsed.
            for claim in claims.claims.iter_mut().filter(|claim| !claim.moved) {
                let declares = work.exam(&claim.exam)?.is_some_and(|exam| {
                    exam.withdrawn.is_none() && exam.studies.iter().any(|s| s.uid == *study)
                });
                claim.released |= !declares;
            }
            set_claims(work, context, study, claims)?;
        }
        _ => {
            return Ok(Err(conflict(
                "correction",
                "此类更正不能撤销，请作相反的更正 (this correction cannot be undone: make the opposite one)",
            )));
        }
    }
    row.undone = Some(context.position);
    work.changes.corrections.insert(position, row);
    Ok(Ok(Before::Nothing))
}
