//! A push, in log order: a new exam, a new version, a repeat, a late status, or a suspected reuse of the number (R6).

pub(super) mod beside;
mod content;
mod form;
mod kept;
pub(super) mod registered;
mod reuse;
mod row;
mod scan;

use super::{Context, DecideError, claims, correction, supervision};
use crate::contract::push::ExamPushedBody;
use crate::event::{MEETINGS_SINCE_RULES, REGISTRATION_SINCE_RULES};
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::ids::ExamKey;
use crate::notice::Told;
use crate::outcome::{ErrorKind, Outcome, PushOutcome, PushStep, Refusal};
use crate::registry::{Closed, Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

pub(super) use content::Content;
pub(super) use form::{key as form_key, meet_earlier};
use reuse::{Reused, reuses_number, suspect};
pub(super) use reuse::{is_free, restore, ruled};
use row::{row_of, status_number};

pub(super) fn pushed<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ExamPushedBody<'_>,
    mut content: Content,
) -> Result<Outcome, DecideError> {
    let Some(hospital) = work.registry().hospitals.get(&content.hospital) else {
        return Ok(Outcome::Refused(unknown_hospital()));
    };
    if hospital.mode == HospitalMode::Suspended {
        return Ok(Outcome::Refused(closed("hospitalCode", Closed::Suspended)));
    }
    let (key, existing) = find(work, hospital, &content)?;
    scan::meet(work, hospital, existing.as_ref(), &mut content)?;
    let Some(existing) = existing else {
        if let Some(other) = form::reused(work, hospital, &content)? {
            return suspect(work, context, Reused::Form(&other), &content, body);
        }
        return register(work, context, hospital, key, content);
    };
    if existing.has(ExamFlag::WithoutPush) {
        return Ok(Outcome::Refused(is_form_s(&existing)));
    }
    // What was tested is pushed again when the hospital goes live, and counts from then on.
    let goes_live = existing.has(ExamFlag::Test) && hospital.mode == HospitalMode::Live;
    let same = content.digest == existing.digest || content.digest == existing.last_digest;
    if same && !goes_live {
        return Ok(Outcome::Push(push_outcome(&existing, PushStep::Repeated)));
    }
    if hospital.mode == HospitalMode::Test && !existing.has(ExamFlag::Test) {
        return Ok(Outcome::Refused(is_live(&existing)));
    }
    let reuses = reuses_number(&existing, &content);
    // A trial keeps no number from who is live, but what an operator ruled on is for an operator to rule on.
    let gives_way = goes_live && !is_ruled_on(work, &existing)?;
    if reuses && !gives_way {
        return suspect(work, context, Reused::Exam(&existing), &content, body);
    }
    if (reuses || content.summary.apply_no != existing.apply_no)
        && let Some(other) = form::reused(work, hospital, &content)?
    {
        return suspect(work, context, Reused::Form(&other), &content, body);
    }
    if reuses {
        return take_over(work, context, hospital, existing, content);
    }
    next_version(work, context, hospital, existing, content)
}

/// Whether an operator gave the exam images, or ruled that they are its.
fn is_ruled_on<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Result<bool, StateError> {
    for declared in &row.studies {
        if work.claims(&declared.uid)?.ruled_for.as_ref() == Some(&row.key) {
            return Ok(true);
        }
    }
    Ok(!row.moved.is_empty())
}

/// A trial changes nothing that counts, takes nothing of it back, and a purge of what was tested takes nothing of it along.
pub(super) fn is_live(existing: &ExamRow) -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "exam-live",
        "examNo",
        format!(
            "{0} 是正式检查，而该医院现处于测试（test），未接收、正式数据未改动：测试请另用 examNo；确为该检查的新内容，请平台管理员将医院改回 live 后重新推送 \
             ({0} is a live exam and its hospital is in mode test: nothing was taken or changed. Test with another examNo; if this is that exam's new content, have the operator set the hospital live and push again)",
            existing.key
        ),
    )
}

/// A number that the archive gave stays its own.
fn is_form_s(existing: &ExamRow) -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "exam-of-form",
        "examNo",
        format!(
            "{0} 是平台由申请单登记检查时所给的号，未作改动：请以本院自己的流水号推送，并在 examInfo.applyNo 写申请单号 {1} \
             (the archive gave {0} to an exam that it registered from a form: push under a number of your own, with applyNo {1})",
            existing.key, existing.apply_no
        ),
    )
}

/// Why nothing is taken of a hospital, as a refusal.
pub(super) fn closed(path: &str, why: Closed) -> Refusal {
    let (kind, rule) = match why {
        Closed::Unknown => (ErrorKind::Invalid, "hospital-unknown"),
        Closed::Suspended => (ErrorKind::Forbidden, "hospital-suspended"),
    };
    Refusal::new(kind, rule, path, why.message())
}

fn unknown_hospital() -> Refusal {
    closed("hospitalCode", Closed::Unknown)
}

/// The exam that a push is about: of the current generation, or of an earlier one if it is plainly that one (R6), as
/// exams are that were under way when the hospital started its numbers anew.
fn find<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    content: &Content,
) -> Result<(ExamKey, Option<ExamRow>), StateError> {
    let current = content.key(hospital.generation);
    let row = work.exam(&current)?;
    if row.as_ref().is_some_and(|row| content.is_plainly(row)) {
        return Ok((current, row));
    }
    for generation in (0..hospital.generation).rev() {
        let key = content.key(generation);
        if let Some(row) = work.exam(&key)?
            && content.is_plainly(&row)
        {
            return Ok((key, Some(row)));
        }
    }
    Ok((current, row))
}

fn register<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    key: ExamKey,
    mut content: Content,
) -> Result<Outcome, DecideError> {
    beside::add_studies(work, hospital, &mut content)?;
    supervision::brought(work, context, &key, &mut content.supervised);
    note_identities(work, &key, &mut content);
    let row = row_of(
        &work.registry().settings,
        context,
        hospital,
        key,
        None,
        content,
    );
    let (step, push) = (ExamStep::Registered, PushStep::Registered);
    commit(work, context, None, row, step, push)
}

/// Gives the number of a trial's exam to another person's live one. That is a first push: of the trial's nothing is its
/// own but the number's history.
fn take_over<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    trial: ExamRow,
    mut content: Content,
) -> Result<Outcome, DecideError> {
    let key = trial.key.clone();
    if work.registry().rules >= REGISTRATION_SINCE_RULES && work.told(&key)? != Told::default() {
        work.put_told(key.clone(), Told::default());
    }
    supervision::brought(work, context, &key, &mut content.supervised);
    note_identities(work, &key, &mut content);
    let mut row = row_of(
        &work.registry().settings,
        context,
        hospital,
        key,
        None,
        content,
    );
    row.version = trial.version.saturating_add(1);
    // A doubt stays on its list until the comparison settles it.
    let doubtful = trial.has(ExamFlag::IdentityDoubt);
    row.set(ExamFlag::IdentityDoubt, doubtful);
    commit(
        work,
        context,
        Some(trial),
        row,
        ExamStep::Registered,
        PushStep::Registered,
    )
}

fn next_version<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    content: Content,
) -> Result<Outcome, DecideError> {
    let late = match status_number(content.summary.exam_status) {
        // Images were received before any report, also before one that was taken back.
        50 => existing.confirmed_ms > 0,
        // After 65 a new draft is what is to be expected.
        60 => existing.report.is_final(),
        _ => false,
    };
    if late {
        let mut row = existing.clone();
        row.version = row.version.saturating_add(1);
        row.last_digest = content.digest;
        row.set(ExamFlag::LateStatus, true);
        return commit(
            work,
            context,
            Some(existing),
            row,
            ExamStep::Late,
            PushStep::Late,
        );
    }
    change(work, context, hospital, existing, content)
}

/// Makes a push the exam's content, whatever stood there.
fn change<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    mut content: Content,
) -> Result<Outcome, DecideError> {
    let key = existing.key.clone();
    if work.registry().rules >= MEETINGS_SINCE_RULES {
        kept::keep_studies(work, &existing, &mut content)?;
        beside::add_studies(work, hospital, &mut content)?;
    } else {
        beside::add_studies(work, hospital, &mut content)?;
        kept::keep_studies(work, &existing, &mut content)?;
    }
    supervision::brought(work, context, &key, &mut content.supervised);
    note_identities(work, &key, &mut content);
    let row = row_of(
        &work.registry().settings,
        context,
        hospital,
        key,
        Some(&existing),
        content,
    );
    commit(
        work,
        context,
        Some(existing),
        row,
        ExamStep::Changed,
        PushStep::Changed,
    )
}

/// Keeps for the record's other rules by what the content knows its patient: the row does not have it.
fn note_identities<S: State>(work: &mut Work<'_, S>, key: &ExamKey, content: &mut Content) {
    let identities = std::mem::take(&mut content.summary.identities);
    if !identities.is_empty() {
        work.identities.insert(key.clone(), identities);
    }
}

/// Writes the row, its claims and its history, and adopts what was held for it.
fn commit<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<ExamRow>,
    mut row: ExamRow,
    mut step: ExamStep,
    push: PushStep,
) -> Result<Outcome, DecideError> {
    let mut adopted = 0u32;
    if push != PushStep::Late {
        adopted = claims::take_claims(work, context, before.as_ref(), &mut row)?;
    }
    let lifted = before
        .as_ref()
        .and_then(|before| before.withdrawn.app)
        .filter(|_| row.withdrawn.app.is_none());
    if let Some(correction) = lifted {
        correction::lift(work, context, correction)?;
        step = ExamStep::Restored;
    }
    if !row.has(ExamFlag::WithoutPush) {
        form::enter(work, before.as_ref(), &row)?;
    }
    let outcome = Outcome::Push(PushOutcome {
        adopted,
        lifted,
        ..push_outcome(&row, push)
    });
    work.changes.history.push(ExamHistory {
        position: context.position,
        time_ms: context.time_ms,
        step,
        content: Some(context.position),
        row: row.clone(),
    });
    work.put_exam(before, Some(row));
    Ok(outcome)
}

fn push_outcome(row: &ExamRow, step: PushStep) -> PushOutcome {
    PushOutcome {
        exam: row.key.clone(),
        step,
        version: row.version,
        flags: row.flags.clone(),
        hidden: row.withdrawn.by(),
        lifted: None,
        contested: row.has(ExamFlag::StudyConflict)
            && row.studies.iter().any(|study| study.foreign),
        adopted: 0,
    }
}
