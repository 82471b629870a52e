//! Studies of an exam whose push tells nothing of images: they are what they were, without a count. One that names studies
//! leaves those out that it does not name.
//!
//! An exam that names another form now does not take the scan of the former one along: a study that the worklist gave out for
//! that form, or under which it was done, stays with it unless an image says that it is this exam's.

use super::Content;
use super::beside::{forms_of, shared_studies};
use super::registered::is_of;
use crate::event::MEETINGS_SINCE_RULES;
use crate::exam::{DeclaredStudy, ExamFlag, ExamRow};
use crate::ids::{ExamKey, StudyKey, StudyUid};
use crate::instance::is_bound;
use crate::state::{State, StateError, Work};

/// Has a push that names no study keep those of the exam.
pub(super) fn keep_studies<S: State>(
    work: &Work<'_, S>,
    before: &ExamRow,
    content: &mut Content,
) -> Result<(), StateError> {
    if !content.studies.is_empty() {
        return Ok(());
    }
    let left = match work.registry().rules >= MEETINGS_SINCE_RULES {
        true => left_behind(work, before, content)?,
        false => Vec::new(),
    };
    let kept = before
        .studies
        .iter()
        .filter(|study| !left.contains(&study.uid));
    content.studies = kept
        .map(|study| DeclaredStudy {
            image_count: None,
            linked: false,
            ..study.clone()
        })
        .collect();
    Ok(())
}

/// Studies of the form that the exam leaves.
fn left_behind<S: State>(
    work: &Work<'_, S>,
    before: &ExamRow,
    content: &Content,
) -> Result<Vec<StudyUid>, StateError> {
    let mut left = Vec::new();
    if before.apply_no == content.summary.apply_no || before.has(ExamFlag::PlaceholderApplyNo) {
        return Ok(left);
    }
    let mut of_form = Vec::new();
    let mut registered = Vec::new();
    for form in forms_of(work, before) {
        let exams = work.form(&form)?.exams;
        if !exams.contains(&before.key) {
            continue;
        }
        of_form.extend(work.apply_form(&form)?.map(|row| row.study_uid));
        for exam in exams {
            if let Some(row) = work.exam(&exam)?.filter(|row| is_of(row, &form)) {
                of_form.extend(shared_studies(work, &row)?);
                registered.push(exam);
            }
        }
    }
    for study in &before.studies {
        if of_form.contains(&study.uid) && !is_its(work, before, &study.uid, &registered)? {
            left.push(study.uid.clone());
        }
    }
    Ok(left)
}

/// Whether images of the study are the exam's: an operator ruled so, they were taken in for it, or one has its numbers and not
/// those of the form's registered exams.
fn is_its<S: State>(
    work: &Work<'_, S>,
    exam: &ExamRow,
    study: &StudyUid,
    registered: &[ExamKey],
) -> Result<bool, StateError> {
    let claims = work.claims(study)?;
    if claims.ruled_for.as_ref() == Some(&exam.key) {
        return Ok(true);
    }
    let key = StudyKey::new(exam.key.hospital.clone(), study.clone());
    let Some(row) = work.study(&key)?.filter(|row| row.bytes > 0) else {
        return Ok(false);
    };
    let taken_for = row.taken_for.as_ref();
    if taken_for.is_some_and(|it| it.exam == exam.key) {
        return Ok(true);
    }
    let own = claims.active().find(|claim| claim.exam == exam.key);
    let others = claims.active().filter(|it| registered.contains(&it.exam));
    let others: Vec<_> = others.collect();
    Ok(own.is_some_and(|own| is_bound(work.registry(), &row, own, &others)))
}
