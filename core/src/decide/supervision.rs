//! Keeps what supervision asks of exams in step with them, after each record: one row an exam, from what the record brought
//! and from what stands around the exam then.
//!
//! What a content tells is kept from the push that brought it: nothing reads the log again. Of contents that came before
//! rules version 7, and of one that an undone ruling brought back, it is not known until the next push. Lines that lead from
//! documents and cards to exams follow the rows: an exam has them while it counts and its content is known.

use std::collections::BTreeSet;

use super::{Context, notice};
use crate::apply_form::ApplyFormRow;
use crate::exam::{ExamFlag, ExamRow};
use crate::ids::{ExamKey, StudyKey};
use crate::instance::StudyRow;
use crate::pull::{PullRow, PullWhy};
use crate::state::{Replaced, State, StateError, Work};
use crate::supervision::{SupervisedContent, SupervisedKey, SupervisedRow, Surroundings};
use crate::time::LocalDateTime;

/// This record made a content the exam's.
pub(super) fn brought<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    exam: &ExamKey,
    content: &mut SupervisedContent,
) {
    let content = SupervisedContent {
        sender: context.actor.to_owned(),
        ..std::mem::take(content)
    };
    work.brought.insert(exam.clone(), Some(content));
}

/// This record brought an earlier content back.
pub(super) fn forgot<S: State>(work: &mut Work<'_, S>, exam: &ExamKey) {
    work.brought.insert(exam.clone(), None);
}

/// `heard_of`: exams that the record changed, or brought the first image of.
pub(super) fn follow<S: State>(
    work: &mut Work<'_, S>,
    heard_of: &BTreeSet<ExamKey>,
) -> Result<(), StateError> {
    let mut touched = heard_of.clone();
    touched.extend(of_forms(work)?);
    touched.extend(of_backfills(work)?);
    touched.extend(of_studies(work)?);
    for exam in touched {
        let after = work.exam(&exam)?;
        let before = match work.changes.exams.get(&exam) {
            Some(replaced) => replaced.before.as_ref().map(SupervisedKey::of),
            None => after.as_ref().map(SupervisedKey::of),
        };
        let known = match &before {
            Some(key) => work.supervised(key)?,
            None => None,
        };
        let stands = after.as_ref().map(SupervisedKey::of);
        let has_moved = before != stands;
        if let Some(key) = before.filter(|_| has_moved) {
            work.changes.supervised.insert(key, None);
        }
        let (Some(row), Some(key)) = (after, stands) else {
            put_patient_keys(work, &exam, known.as_ref(), None);
            continue;
        };
        let content = match work.brought.get(&exam) {
            Some(brought) => brought.clone(),
            None => known.as_ref().and_then(|known| known.content.clone()),
        };
        let now = around(work, &row, content, known.as_ref())?;
        put_patient_keys(work, &exam, known.as_ref(), Some(&now));
        if known.as_ref() != Some(&now) || has_moved {
            work.changes.supervised.insert(key, Some(now));
        }
    }
    Ok(())
}

fn put_patient_keys<S: State>(
    work: &mut Work<'_, S>,
    exam: &ExamKey,
    before: Option<&SupervisedRow>,
    after: Option<&SupervisedRow>,
) {
    let (before, after) = (
        before.map_or(&[][..], SupervisedRow::joins_by),
        after.map_or(&[][..], SupervisedRow::joins_by),
    );
    let lines = &mut work.changes.patient_keys;
    for key in before.iter().filter(|key| !after.contains(key)) {
        lines.insert((*key, exam.clone()), false);
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        lines.insert((*key, exam.clone()), true);
    }
}

/// The row of an exam whose content is not at hand.
pub fn row_of<S: State>(state: &S, exam: &ExamRow) -> Result<SupervisedRow, StateError> {
    around(&Work::new(state), exam, None, None)
}

fn around<S: State>(
    work: &Work<'_, S>,
    exam: &ExamRow,
    content: Option<SupervisedContent>,
    known: Option<&SupervisedRow>,
) -> Result<SupervisedRow, StateError> {
    let mut images_ms: Option<i64> = None;
    let mut backfilled = known.is_some_and(|known| known.backfilled);
    let hospital = work.registry().hospitals.get(&exam.key.hospital);
    let is_fetched = hospital.is_some_and(|hospital| hospital.gateway.is_some());
    for uid in exam.own_studies() {
        let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
        if let Some(row) = work.study(&study)?.filter(|row| row.bytes > 0) {
            let came_ms = row.first_time_ms;
            images_ms = Some(images_ms.map_or(came_ms, |known_ms| known_ms.min(came_ms)));
        }
        backfilled |= is_fetched && work.pull(&study)?.is_some_and(|pull| is_backfill(&pull));
    }
    // What a retention rule deleted was here.
    let earlier_ms = known.filter(|_| exam.has(ExamFlag::ImagesDeleted));
    let earlier_ms = earlier_ms.map_or(0, |known| known.images_ms);
    let around = Surroundings {
        images_ms: images_ms.unwrap_or(earlier_ms),
        backfilled,
        form: applied(work, exam)?,
    };
    Ok(SupervisedRow::of(exam, around, content))
}

fn is_backfill(pull: &PullRow) -> bool {
    pull.why == PullWhy::Backfill
}

/// 申请时间 of the exam's form, if that is here.
fn applied<S: State>(
    work: &Work<'_, S>,
    exam: &ExamRow,
) -> Result<Option<Option<LocalDateTime>>, StateError> {
    if exam.has(ExamFlag::PlaceholderApplyNo) {
        return Ok(None);
    }
    let form = work.apply_form(&notice::form_of(work, exam)?)?;
    let is_trial = exam.has(ExamFlag::Test);
    let form = form.filter(|row| !row.is_deleted() && row.test == is_trial);
    Ok(form.map(|row| LocalDateTime::parse(&row.content.req_time).ok()))
}

/// Exams of forms that came, went or tell another time.
fn of_forms<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<ExamKey>, StateError> {
    let mut exams = BTreeSet::new();
    for (key, form) in &work.changes.apply_forms {
        let tells = |row: &ApplyFormRow| (row.is_deleted(), row.test, row.content.req_time.clone());
        let Replaced { before, after } = form.as_ref();
        if before.as_ref().map(tells) == after.as_ref().map(tells) {
            continue;
        }
        for exam in work.form(key)?.exams {
            let row = work.exam(&exam)?;
            if row.is_some_and(|row| row.apply_no == key.apply_no) {
                exams.insert(exam);
            }
        }
    }
    Ok(exams)
}

/// Exams of studies whose first image is another than before, or gone.
fn of_studies<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<ExamKey>, StateError> {
    let first = |row: &Option<StudyRow>| {
        let row = row.as_ref().filter(|row| row.bytes > 0);
        row.map(|row| row.first_time_ms)
    };
    let mut exams = BTreeSet::new();
    for (key, study) in &work.changes.studies {
        if key.lot == 0 && first(&study.before) != first(&study.after) {
            let claims = work.claims(&key.study)?.claims.into_iter();
            let claiming = claims.map(|claim| claim.exam);
            exams.extend(claiming.filter(|exam| exam.hospital == key.hospital));
        }
    }
    Ok(exams)
}

/// Exams of studies that an operator has fetched as the past's.
fn of_backfills<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<ExamKey>, StateError> {
    let mut exams = BTreeSet::new();
    for (study, pull) in &work.changes.pulls {
        let was = pull.before.as_ref().is_some_and(is_backfill);
        if was || !pull.after.as_ref().is_some_and(is_backfill) {
            continue;
        }
        let claims = work.claims(&study.study)?;
        let owning = claims.owning().map(|claim| &claim.exam);
        exams.extend(
            owning
                .filter(|exam| exam.hospital == study.hospital)
                .cloned(),
        );
    }
    Ok(exams)
}
