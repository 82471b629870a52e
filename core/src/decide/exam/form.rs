//! Apply forms that exams name: a form's number is suspected to be used again as an exam's is (R6).

use super::Content;
use super::reuse::reuses_number;
use crate::apply_form::ApplyFormRow;
use crate::dictionaries::is_placeholder;
use crate::event::{MEETINGS_SINCE_RULES, REGISTRATION_SINCE_RULES};
use crate::exam::{ExamFlag, ExamRow, FORM_EXAMS_LIMIT};
use crate::ids::{ExamKey, FormKey, HospitalCode};
use crate::registry::{Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

/// The other person's exam that has the push's form. Nobody's, if an exam of this person has it too.
pub(super) fn reused<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    content: &Content,
) -> Result<Option<ExamRow>, StateError> {
    let apply_no = content.summary.apply_no.as_ref();
    if is_placeholder(&work.registry().settings.placeholder_apply_nos, apply_no) {
        return Ok(None);
    }
    let key = key(&content.hospital, apply_no, hospital.generation);
    let mut other = None;
    for exam in work.form(&key)?.exams {
        let Some(exam) = work.exam(&exam)? else {
            continue;
        };
        // A cancelled exam lets its form go, and a trial's keeps none from who is live.
        let is_trial = exam.has(ExamFlag::Test) && hospital.mode == HospitalMode::Live;
        if exam.apply_no != apply_no || exam.withdrawn.is_some() || is_trial {
            continue;
        }
        if !reuses_number(&exam, content) {
            return Ok(None);
        }
        other.get_or_insert(exam);
    }
    Ok(other)
}

/// Enters an exam under its form when it comes or names another one.
pub(super) fn enter<S: State>(
    work: &mut Work<'_, S>,
    before: Option<&ExamRow>,
    row: &ExamRow,
) -> Result<(), StateError> {
    if row.has(ExamFlag::PlaceholderApplyNo)
        || before.is_some_and(|before| before.apply_no == row.apply_no)
    {
        return Ok(());
    }
    let hospital = work.registry().hospitals.get(&row.key.hospital);
    let generation = hospital.map_or(row.key.generation, |hospital| hospital.generation);
    // A push that opens a generation is of that one already.
    let generation = generation.max(row.key.generation);
    let key = named(work, row, generation)?;
    let mut form = work.form(&key)?;
    if form.exams.contains(&row.key) {
        return Ok(());
    }
    if form.exams.len() >= FORM_EXAMS_LIMIT {
        form.exams.remove(eldest_push(work, &form.exams)?);
    }
    form.exams.push(row.key.clone());
    work.put_form(key, form);
    Ok(())
}

/// The form that the exam's number means: of the current generation of numbers; where that has none, one of an earlier one that
/// is not another person's, as forms are that were open when the hospital's numbers began anew.
fn named<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    generation: u16,
) -> Result<FormKey, StateError> {
    let current = key(&row.key.hospital, &row.apply_no, generation);
    if work.registry().rules < MEETINGS_SINCE_RULES {
        return Ok(current);
    }
    let is_trial = row.has(ExamFlag::Test);
    for generation in (0..=generation).rev() {
        let key = key(&row.key.hospital, &row.apply_no, generation);
        let form = work.apply_form(&key)?;
        let is_meant = |form: &ApplyFormRow| {
            let is_his = key == current || !is_other_person(form, row);
            !form.is_deleted() && form.test == is_trial && is_his
        };
        if form.as_ref().is_some_and(is_meant) {
            return Ok(key);
        }
    }
    Ok(current)
}

/// R6: number and name differ, and no scan says otherwise. A number that is absent, as forms of 基卫 may have it, tells nothing.
fn is_other_person(form: &ApplyFormRow, exam: &ExamRow) -> bool {
    let content = &form.content;
    let same_number = !content.sick_id.is_empty() && content.sick_id == exam.sick_id;
    !same_number && content.name != exam.name && !exam.has_study(&form.study_uid)
}

/// Has a form that comes when its hospital's numbers have begun anew meet the exams of earlier ones that name it and have none.
pub(in crate::decide) fn meet_earlier<S: State>(
    work: &mut Work<'_, S>,
    form: &ApplyFormRow,
) -> Result<(), StateError> {
    let mut row = work.form(&form.key)?;
    let known = row.exams.len();
    for generation in 0..form.key.generation {
        let earlier = key(&form.key.hospital, &form.key.apply_no, generation);
        if work
            .apply_form(&earlier)?
            .is_some_and(|it| !it.is_deleted())
        {
            continue;
        }
        for exam in work.form(&earlier)?.exams {
            let is_meant = |exam: &ExamRow| {
                exam.apply_no == form.key.apply_no
                    && exam.has(ExamFlag::Test) == form.test
                    && !exam.has(ExamFlag::WithoutPush)
                    && !is_other_person(form, exam)
            };
            let is_known = row.exams.contains(&exam) || row.exams.len() >= FORM_EXAMS_LIMIT;
            if !is_known && work.exam(&exam)?.as_ref().is_some_and(is_meant) {
                row.exams.push(exam);
            }
        }
    }
    if row.exams.len() > known {
        work.put_form(form.key.clone(), row);
    }
    Ok(())
}

/// Which of a form's exams goes for a later one: one that was registered from the form stays.
fn eldest_push<S: State>(work: &Work<'_, S>, exams: &[ExamKey]) -> Result<usize, StateError> {
    if work.registry().rules < REGISTRATION_SINCE_RULES {
        return Ok(0);
    }
    for (at, exam) in exams.iter().enumerate() {
        let row = work.exam(exam)?;
        if row.is_none_or(|row| !row.has(ExamFlag::WithoutPush)) {
            return Ok(at);
        }
    }
    Ok(0)
}

pub(in crate::decide) fn key(hospital: &HospitalCode, apply_no: &str, generation: u16) -> FormKey {
    FormKey {
        hospital: hospital.clone(),
        apply_no: apply_no.to_owned(),
        generation,
    }
}
