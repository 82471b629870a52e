//! Images that are deleted because a retention rule says so: each deletion is an event, and what is under legal hold stays.
//!
//! The record names exams that somebody found due; whether they are is decided here, by the rules as they are and by the
//! log's time.

use super::{Context, instances};
use crate::event::ImagesDeleted;
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::finding::{FindingKey, FindingKind};
use crate::ids::{ExamKey, StudyKey, StudyUid};
use crate::outcome::Outcome;
use crate::state::{State, StateError, Work};

/// The line that holds an exam's images.
pub(super) fn hold_of(exam: &ExamKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::LegalHold,
        hospital: exam.hospital.clone(),
        subject: exam.to_string(),
    }
}

pub(super) fn deleted<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ImagesDeleted,
) -> Result<Outcome, StateError> {
    for key in &body.exams {
        let Some(row) = work.exam(key)? else { continue };
        let settings = &work.registry().settings;
        let due = settings.deletion_due(&row, context.time_ms);
        if due.is_none_or(|due| due.name != body.rule) {
            // The rules are others by now, or the exam is.
            continue;
        }
        for uid in row.own_studies() {
            delete(work, context, &row, uid)?;
        }
    }
    Ok(Outcome::Done)
}

/// Deletes a study's images if all exams whose they are may lose them.
fn delete<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    exam: &ExamRow,
    uid: &StudyUid,
) -> Result<(), StateError> {
    let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
    let Some(row) = work.study(&study)? else {
        return Ok(());
    };
    let claims = work.claims(uid)?;
    // One scan of several forms is kept as long as any of them asks for it.
    let mut keys: Vec<ExamKey> = claims.owning().map(|claim| claim.exam.clone()).collect();
    keys.extend(row.taken_for.iter().map(|taken_for| taken_for.exam.clone()));
    keys.sort();
    keys.dedup();
    if !keys.contains(&exam.key) {
        return Ok(());
    }
    let mut owners = Vec::new();
    for key in keys {
        let Some(owner) = work.exam(&key)? else {
            continue;
        };
        if !may_lose(work, context, &owner)? {
            return Ok(());
        }
        owners.push(owner);
    }
    if instances::take_out(work, context, &study, |_| true)?.is_empty() {
        return Ok(());
    }
    for before in owners {
        let mut row = before.clone();
        row.set(ExamFlag::ImagesDeleted, true);
        work.changes.history.push(ExamHistory {
            position: context.position,
            time_ms: context.time_ms,
            step: ExamStep::ImagesDeleted,
            content: None,
            row: row.clone(),
        });
        work.put_exam(Some(before), Some(row));
    }
    Ok(())
}

fn may_lose<S: State>(
    work: &Work<'_, S>,
    context: Context<'_>,
    exam: &ExamRow,
) -> Result<bool, StateError> {
    let settings = &work.registry().settings;
    let due = settings.deletion_due(exam, context.time_ms);
    Ok(due.is_some() && work.finding(&hold_of(&exam.key))?.is_none())
}
