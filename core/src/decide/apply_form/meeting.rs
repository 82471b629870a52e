//! Keeps forms in step with the exams that name them, after each record (R14, R16): which forms are taken, whose the steps are
//! that machines reported, and which study UID the worklist gives out.
//!
//! When the exam of a form is withdrawn, or names another one, the form is done anew: it is open, without the steps, which wait
//! with the exam and come back with it.

use std::collections::BTreeSet;

use super::super::Context;
use super::super::exam::{beside, form_key, registered};
use super::steps;
use crate::apply_form::{ApplyFormRow, study_uid};
use crate::event::{MEETINGS_SINCE_RULES, REGISTRATION_SINCE_RULES};
use crate::exam::{ExamFlag, ExamRow};
use crate::ids::{FormKey, StudyKey, StudyUid};
use crate::instance::{StudyClaims, StudyRow};
use crate::state::{State, StateError, Work};

pub(in crate::decide) fn meet<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    let knows = work.registry().rules >= REGISTRATION_SINCE_RULES;
    let mut touched = come_or_gone(work);
    if knows {
        touched.extend(begun_or_broken_off(work)?);
        touched.extend(claimed_otherwise(work)?);
    }
    for key in touched {
        let Some(before) = work.apply_form(&key)? else {
            continue;
        };
        let mut row = before.clone();
        if knows && !row.is_deleted() {
            steps::bring_back(work, &mut row)?;
            steps::put_away(work, &mut row)?;
        }
        row.taken = is_taken(work, &row)?;
        if knows
            && !row.taken
            && !row.is_deleted()
            && is_spent(work, &row)?
            && let Ok(uid) = study_uid(&key, context.position)
        {
            row.study_uid = uid;
        }
        if row != before {
            work.put_apply_form(Some(before), Some(row));
        }
    }
    Ok(())
}

/// Forms whose exams this record made, withdrew or brought back, or that it gave another form.
fn come_or_gone<S: State>(work: &Work<'_, S>) -> BTreeSet<FormKey> {
    let mut touched = BTreeSet::new();
    for exam in work.changes.exams.values() {
        let stands = |row: &ExamRow| {
            let is_trial = row.has(ExamFlag::Test);
            (row.apply_no.clone(), row.withdrawn.is_none(), is_trial)
        };
        let (before, after) = (exam.before.as_ref(), exam.after.as_ref());
        if before.map(stands) == after.map(stands) {
            continue;
        }
        for row in before.into_iter().chain(after) {
            touched.extend(forms_of(work, row));
        }
    }
    touched
}

/// Forms of registered exams whose steps this record changed, or of which it brought the first image.
fn begun_or_broken_off<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<FormKey>, StateError> {
    let mut touched = BTreeSet::new();
    for (key, form) in &work.changes.apply_forms {
        let steps = |row: &Option<ApplyFormRow>| row.as_ref().map(|row| row.steps.clone());
        if steps(&form.before) != steps(&form.after) {
            touched.insert(key.clone());
        }
    }
    for (key, study) in &work.changes.studies {
        let is_here = |row: &Option<StudyRow>| row.as_ref().is_some_and(|row| row.bytes > 0);
        if is_here(&study.before) == is_here(&study.after) {
            continue;
        }
        for claim in work.claims(&key.study)?.owning() {
            let exam = work.exam(&claim.exam)?;
            if let Some(row) = exam.filter(|row| row.has(ExamFlag::WithoutPush)) {
                touched.extend(forms_of(work, &row));
            }
        }
    }
    Ok(touched)
}

/// Forms of registered exams of whose studies this record changed who claims them.
fn claimed_otherwise<S: State>(work: &Work<'_, S>) -> Result<BTreeSet<FormKey>, StateError> {
    let mut touched = BTreeSet::new();
    for claims in work.changes.claims.values() {
        for claim in &claims.claims {
            let exam = work.exam(&claim.exam)?;
            if let Some(row) = exam.filter(|row| row.has(ExamFlag::WithoutPush)) {
                touched.extend(forms_of(work, &row));
            }
        }
    }
    Ok(touched)
}

/// The forms that an exam's number may mean: of its generation of numbers and of later ones, and of earlier ones since it meets
/// those.
fn forms_of<S: State>(work: &Work<'_, S>, exam: &ExamRow) -> impl Iterator<Item = FormKey> {
    let key = &exam.key;
    let hospital = work.registry().hospitals.get(&key.hospital);
    let newest = hospital.map_or(key.generation, |hospital| hospital.generation);
    let oldest = match work.registry().rules >= MEETINGS_SINCE_RULES {
        true => 0,
        false => key.generation,
    };
    (oldest..=newest).map(|generation| form_key(&key.hospital, &exam.apply_no, generation))
}

/// Whether the exam names the form and is not withdrawn; one that was tried out is of no live form.
pub(super) fn stands_for(exam: &ExamRow, form: &ApplyFormRow) -> bool {
    exam.apply_no == form.key.apply_no
        && exam.withdrawn.is_none()
        && exam.has(ExamFlag::Test) == form.test
}

/// Whether an exam that is not withdrawn names the form. One that was registered from it does not take it while nothing came
/// of that.
pub(super) fn is_taken<S: State>(
    work: &Work<'_, S>,
    form: &ApplyFormRow,
) -> Result<bool, StateError> {
    let knows = work.registry().rules >= REGISTRATION_SINCE_RULES;
    for exam in work.form(&form.key)?.exams {
        let Some(exam) = work.exam(&exam)? else {
            continue;
        };
        let takes = match knows {
            true => stands_for(&exam, form) && !beside::is_idle(work, form, &exam)?,
            false => exam.apply_no == form.key.apply_no && exam.withdrawn.is_none(),
        };
        if takes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the study UID of an open form is to be given out no more: its exam gave it up, or it has none that stands while the
/// UID is or was an exam's, whose images would come together with others; or none that stands has it, and what comes of it
/// registers nothing.
fn is_spent<S: State>(work: &Work<'_, S>, form: &ApplyFormRow) -> Result<bool, StateError> {
    let claims = work.claims(&form.study_uid)?;
    let (mut stands, mut has_it) = (false, false);
    for exam in work.form(&form.key)?.exams {
        let exam = work.exam(&exam)?;
        let Some(exam) = exam.filter(|exam| stands_for(exam, form)) else {
            continue;
        };
        stands = true;
        let mut own = claims.claims.iter().filter(|it| it.exam == exam.key);
        if own.clone().any(|claim| claim.released) {
            return Ok(true);
        }
        has_it |= own.next().is_some();
    }
    let parts = work.registry().rules >= MEETINGS_SINCE_RULES;
    if parts && stands && !has_it && registered::is_barred(work, &form.study_uid)? {
        return Ok(true);
    }
    if stands {
        return Ok(false);
    }
    match parts {
        true => is_used(work, &form.study_uid, &claims, &form.key),
        false => Ok(!claims.claims.is_empty()),
    }
}

/// Whether the study is an exam's, or was one's that is withdrawn, or has images. One that an exam left with the form, when it
/// named another, is as it was.
fn is_used<S: State>(
    work: &Work<'_, S>,
    study: &StudyUid,
    claims: &StudyClaims,
    form: &FormKey,
) -> Result<bool, StateError> {
    let home = StudyKey::new(form.hospital.clone(), study.clone());
    let has_images = work.study(&home)?.is_some_and(|row| row.bytes > 0);
    let is_claimed = claims.active().next().is_some();
    if has_images || is_claimed {
        return Ok(true);
    }
    for claim in &claims.claims {
        let exam = work.exam(&claim.exam)?;
        if exam.is_some_and(|row| row.has_study(study)) {
            return Ok(true);
        }
    }
    Ok(false)
}
