//! Images that are deleted because a retention rule says so: each deletion is an event, and what is under legal hold stays.
//!
//! The record names exams that somebody found due; whether they are is decided here, by the rules as they are and by the
//! log's time. Who looks for them asks the same question ([`losers`]).

use std::collections::BTreeSet;

use super::{Context, instances};
use crate::event::ImagesDeleted;
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::finding::{FindingKey, FindingKind};
use crate::ids::{ExamKey, PackId, StudyKey, StudyUid};
use crate::instance::{PackRow, StudyClaims, StudyRow};
use crate::outcome::Outcome;
use crate::registry::Settings;
use crate::state::{State, StateError, Work};

/// What the question reads whether images may be deleted.
pub trait Look {
    type Error;

    fn settings(&self) -> &Settings;
    fn exam(&self, key: &ExamKey) -> Result<Option<ExamRow>, Self::Error>;
    fn claims(&self, study: &StudyUid) -> Result<StudyClaims, Self::Error>;
    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, Self::Error>;
    /// Whether the exam's images are under legal hold.
    fn is_held(&self, key: &ExamKey) -> Result<bool, Self::Error>;
}

impl<S: State> Look for Work<'_, S> {
    type Error = StateError;

    fn settings(&self) -> &Settings {
        &self.registry().settings
    }

    fn exam(&self, key: &ExamKey) -> Result<Option<ExamRow>, StateError> {
        Work::exam(self, key)
    }

    fn claims(&self, study: &StudyUid) -> Result<StudyClaims, StateError> {
        Work::claims(self, study)
    }

    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, StateError> {
        Work::study(self, key)
    }

    fn is_held(&self, key: &ExamKey) -> Result<bool, StateError> {
        Ok(self.finding(&hold_of(key))?.is_some())
    }
}

/// The line that holds an exam's images.
pub fn hold_of(exam: &ExamKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::LegalHold,
        hospital: exam.hospital.clone(),
        subject: exam.to_string(),
    }
}

/// The exams that lose a study's images if those are deleted at a moment; `None`: they stay.
///
/// Every exam whose they are must be due by some rule: one scan of several forms is kept as long as any of them asks for
/// it. A hold of any exam that ever claimed the study keeps them, and so does a conflict that nobody has ruled on.
pub fn losers<L: Look>(
    look: &L,
    exam: &ExamRow,
    uid: &StudyUid,
    now_ms: i64,
) -> Result<Option<Vec<ExamRow>>, L::Error> {
    let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
    let Some(row) = look.study(&study)?.filter(|row| row.bytes > 0) else {
        return Ok(None);
    };
    let claims = look.claims(uid)?;
    if claims.is_contested() {
        return Ok(None);
    }
    let mut owners: BTreeSet<&ExamKey> = claims.owning().map(|claim| &claim.exam).collect();
    owners.extend(row.taken_for.iter().map(|it| &it.exam));
    owners.extend(row.ruled_for.iter());
    owners.extend(row.guests.iter().map(|guests| &guests.taken_for.exam));
    if !owners.contains(&exam.key) {
        return Ok(None);
    }
    let claimants = claims.claims.iter().map(|claim| &claim.exam);
    for key in claimants.chain(owners.iter().copied()) {
        if look.is_held(key)? {
            return Ok(None);
        }
    }
    let mut losers = Vec::with_capacity(owners.len());
    for key in owners {
        let Some(owner) = look.exam(key)? else {
            continue;
        };
        if !look.settings().may_lose(&owner, &row, now_ms) {
            return Ok(None);
        }
        losers.push(owner);
    }
    Ok(Some(losers))
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
            if let Some(losers) = losers(work, &row, uid, context.time_ms)? {
                delete(work, context, &row, uid, losers)?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn delete<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    exam: &ExamRow,
    uid: &StudyUid,
    losers: Vec<ExamRow>,
) -> Result<(), StateError> {
    let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
    let taken = instances::take_out(work, context, &study, |_| true)?;
    let packs: BTreeSet<PackId> = taken.iter().map(|(_, entry)| entry.pack).collect();
    for pack in packs {
        let row = work.pack(pack)?;
        let deleted_since_ms = row.deleted_since_ms.or(Some(context.time_ms));
        work.put_pack(
            pack,
            PackRow {
                deleted_since_ms,
                ..row
            },
        );
    }
    for before in losers {
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
