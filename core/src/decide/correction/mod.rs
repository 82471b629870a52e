//! Corrections, in log order: hidden at once, nothing destroyed, taken back by an undoing.

mod ownership;
mod undo;

use std::collections::{BTreeSet, HashMap};

use super::{Context, DecideError, claims, deleted, exam, instances, settle_finding, versions};
use crate::correction::{Before, CorrectionAction, CorrectionMade, CorrectionRow};
use crate::event::RULINGS_SINCE_RULES;
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep, Withdrawals};
use crate::finding::FindingRow;
use crate::ids::{ExamKey, Position, SopInstanceUid, StudyKey};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::HospitalMode;
use crate::state::{State, StateError, Work};

pub fn made<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &CorrectionMade,
) -> Result<Outcome, DecideError> {
    let result = match &body.action {
        CorrectionAction::WithdrawExam { exam } => withdraw(work, context, exam)?,
        CorrectionAction::HideInstances { study, instances } => {
            hide(work, context, study, instances)?
        }
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
        CorrectionAction::ChooseVersion {
            study,
            instance,
            digest,
        } => choose_version(work, context, study, instance, digest)?,
        CorrectionAction::LegalHold { exam } => legal_hold(work, context, exam)?,
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
            lifted: None,
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
        "没有此检查，请核对医院代码、examNo 与 #代（不写 #代 即最近一代） (no such exam: check hospital, examNo and #generation, without which the latest is meant)",
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
    let by_app = context.actor.starts_with("app:");
    let hospital = work.registry().hospitals.get(&key.hospital);
    let in_trial = hospital.is_some_and(|hospital| hospital.mode == HospitalMode::Test);
    let is_narrow = work.registry().rules >= RULINGS_SINCE_RULES;
    if is_narrow && by_app && in_trial && !row.has(ExamFlag::Test) {
        return Ok(Err(exam::is_live(&row)));
    }
    if by_app && row.has(ExamFlag::WithoutPush) {
        return Ok(Err(conflict(
            "exam",
            "此检查由申请单登记，不是推送来的，只能由平台管理员撤回 (this exam was registered from its form: only an operator withdraws it)",
        )));
    }
    let already = row.withdrawn;
    if already.operator.is_some() || by_app && already.app.is_some() {
        return Ok(Err(conflict(
            "exam",
            "此检查已撤回 (this exam is withdrawn already)",
        )));
    }
    let made = Some(context.position);
    let withdrawn = match by_app {
        true => Withdrawals {
            app: made,
            ..already
        },
        false => Withdrawals {
            operator: made,
            ..already
        },
    };
    set_withdrawn(work, context, row, withdrawn, ExamStep::Withdrawn)?;
    Ok(Ok(Before::Nothing))
}

pub(super) fn set_withdrawn<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: ExamRow,
    withdrawn: Withdrawals,
    step: ExamStep,
) -> Result<(), StateError> {
    let mut row = before.clone();
    row.withdrawn = withdrawn;
    claims::take_claims(work, context, Some(&before), &mut row)?;
    record(work, context, before, row, step);
    Ok(())
}

/// An app's withdrawal ends with a push of new content: it cannot be undone any more.
pub(super) fn lift<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    withdrawal: Position,
) -> Result<(), StateError> {
    if let Some(mut row) = work.correction(withdrawal)? {
        row.lifted = Some(context.position);
        work.changes.corrections.insert(withdrawal, row);
    }
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
    context: Context<'_>,
    study: &StudyKey,
    chosen: &[SopInstanceUid],
) -> Result<Ruled, StateError> {
    if work.study(study)?.is_none() {
        return Ok(Err(no_study()));
    }
    let chosen: BTreeSet<_> = chosen.iter().cloned().collect();
    let chosen = Some(&chosen).filter(|chosen| !chosen.is_empty());
    let hidden = instances::hide(work, context, study, chosen)?;
    if hidden.is_empty() {
        return Ok(Err(conflict(
            "instances",
            "所列影像不在该检查中或已隐藏 (these instances are not in the study, or hidden already)",
        )));
    }
    record_for_owners(work, context, study)?;
    Ok(Ok(Before::Hidden(hidden)))
}

fn choose_version<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    instance: &SopInstanceUid,
    digest: &str,
) -> Result<Ruled, StateError> {
    let Ok(digest) = u128::from_str_radix(digest, 16).map(u128::to_be_bytes) else {
        return Ok(Err(no_version()));
    };
    let there = versions::of(work, study, instance)?;
    let Some(current) = there.current else {
        return Ok(Err(no_version()));
    };
    if digest != current && !there.further.contains(&digest) {
        return Ok(Err(no_version()));
    }
    let line = versions::line_of(study, instance);
    let listed = work.finding(&line)?;
    if digest == current && listed.is_none() {
        return Ok(Err(conflict(
            "digest",
            "现在显示的就是这一版 (this version is the one that is shown)",
        )));
    }
    // Where that is the one shown already, it is confirmed.
    if digest != current {
        let chosen = HashMap::from([(instance.clone(), digest)]);
        versions::choose(work, study, &chosen)?;
    }
    settle_finding(work, context, line)?;
    record_for_owners(work, context, study)?;
    Ok(Ok(Before::Shown {
        digest: current,
        listed,
    }))
}

/// One hold at a time: a second reason is for the first one's end.
fn legal_hold<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &ExamKey,
) -> Result<Ruled, StateError> {
    let Some(row) = work.exam(key)? else {
        return Ok(Err(no_exam()));
    };
    let line = deleted::hold_of(key);
    if work.finding(&line)?.is_some() {
        return Ok(Err(conflict(
            "exam",
            "此检查已在依法保留中 (this exam is under legal hold already)",
        )));
    }
    let held = FindingRow {
        position: context.position,
        since: context.position,
        time_ms: context.time_ms,
        exams: vec![key.to_string()],
        detail: Vec::new(),
    };
    work.put_finding(line, Some(held));
    record(work, context, row.clone(), row, ExamStep::Corrected);
    Ok(Ok(Before::Nothing))
}

fn no_version() -> Refusal {
    not_found(
        "digest",
        "该检查中没有这份影像的这一版，请核对 yingku findings 所列 (the study has no such version of this instance: see yingku findings)",
    )
}

/// Exams whose images a study's are have in their history what became of them.
pub(super) fn record_for_owners<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
) -> Result<(), StateError> {
    let claims = work.claims(&study.study)?;
    for claim in claims.owning() {
        if claim.exam.hospital != study.hospital {
            continue;
        }
        if let Some(row) = work.exam(&claim.exam)? {
            record(work, context, row.clone(), row, ExamStep::Corrected);
        }
    }
    Ok(())
}
