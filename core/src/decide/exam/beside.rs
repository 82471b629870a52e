//! How an exam that was registered from its form (R16) stands beside the pushes that name the form.
//!
//! Such a push, whatever its number, is a further exam of the same scan (R7): it has the studies that the form was done under,
//! and receivers of notices are told on from where they were. The registered exam keeps its claim, with the numbers that images
//! came with, and steps back ([`ExamFlag::Superseded`]): it is counted and listed no more, and is hidden while such pushes are
//! withdrawn. A form whose step was broken off before an image came is open again, and its exam waits; when the form is then
//! changed or deleted, the exam goes.

use std::collections::BTreeSet;

use super::super::notice::has_images;
use super::super::{Context, claims, correction};
use super::registered::is_of;
use super::{Content, form_key};
use crate::apply_form::ApplyFormRow;
use crate::event::REGISTRATION_SINCE_RULES;
use crate::exam::{DeclaredStudy, ExamFlag, ExamHistory, ExamRow, ExamStep, Withdrawals};
use crate::ids::{ExamKey, FormKey, StudyUid};
use crate::notice::Told;
use crate::performed::StepStatus;
use crate::registry::{Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

/// Adds to a push's studies those of registered exams of its form and person that it does not name. They come without a count.
pub(in crate::decide) fn add_studies<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    content: &mut Content,
) -> Result<(), StateError> {
    if work.registry().rules < REGISTRATION_SINCE_RULES || content.without_push {
        return Ok(());
    }
    let is_trial = hospital.mode == HospitalMode::Test;
    for generation in 0..=hospital.generation {
        let form = form_key(&content.hospital, &content.summary.apply_no, generation);
        for exam in work.form(&form)?.exams {
            let row = work.exam(&exam)?;
            let is_meant = |row: &ExamRow| {
                is_of(row, &form)
                    && row.sick_id == content.summary.sick_id
                    && row.has(ExamFlag::Test) == is_trial
            };
            let Some(row) = row.filter(is_meant) else {
                continue;
            };
            for uid in shared_studies(work, &row)? {
                if !content.studies.iter().any(|named| named.uid == uid) {
                    content.studies.push(without_count(uid));
                }
            }
        }
    }
    Ok(())
}

/// The forms that an exam's number may mean, of the latest generation first.
pub(super) fn forms_of<S: State>(work: &Work<'_, S>, row: &ExamRow) -> Vec<FormKey> {
    let hospital = work.registry().hospitals.get(&row.key.hospital);
    let newest = hospital.map_or(0, |hospital| hospital.generation);
    let generations = (0..=newest.max(row.key.generation)).rev();
    let key = |generation| form_key(&row.key.hospital, &row.apply_no, generation);
    generations.map(key).collect()
}

/// Of one patient, and both of a trial or none.
fn is_same(one: &ExamRow, other: &ExamRow) -> bool {
    one.sick_id == other.sick_id && one.has(ExamFlag::Test) == other.has(ExamFlag::Test)
}

/// Whether nothing came of the exam's registration so far: its steps were broken off, and no image is here.
pub(in crate::decide) fn is_idle<S: State>(
    work: &Work<'_, S>,
    form: &ApplyFormRow,
    row: &ExamRow,
) -> Result<bool, StateError> {
    let mut steps = form.steps.iter();
    let is_broken_off =
        !form.steps.is_empty() && steps.all(|step| step.status == StepStatus::Discontinued);
    let has_none = !row.has(ExamFlag::ImagesDeleted) && !has_images(work, row)?;
    Ok(row.has(ExamFlag::WithoutPush) && is_broken_off && has_none)
}

/// Brings registered exams in line with their forms and with the pushes that name these.
pub(in crate::decide) fn follow<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    let mut forms: BTreeSet<FormKey> = work.changes.apply_forms.keys().cloned().collect();
    let exams: Vec<ExamRow> = work
        .changes
        .exams
        .values()
        .flat_map(|exam| exam.before.iter().chain(&exam.after).cloned())
        .collect();
    for row in &exams {
        forms.extend(forms_of(work, row));
    }
    for key in forms {
        for exam in work.form(&key)?.exams {
            let Some(row) = work.exam(&exam)?.filter(|row| is_of(row, &key)) else {
                continue;
            };
            stand(work, context, &key, row)?;
        }
    }
    Ok(())
}

/// Sets what a registered exam is beside its pushes.
fn stand<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &FormKey,
    before: ExamRow,
) -> Result<(), StateError> {
    let pushes = pushes_of(work, &before)?;
    let stands = pushes.iter().any(|push| push.withdrawn.is_none());
    let form = work.apply_form(key)?;
    let is_other = form.is_none_or(|form| form.is_deleted() || form.position > before.position);
    // Its form goes, or is another since, while nothing has come of it.
    let is_past = is_other && !has_images(work, &before)?;
    let is_hidden = is_past || !stands && !pushes.is_empty();
    let exam = before.key.clone();
    if before.withdrawn.app.is_some() != is_hidden {
        let withdrawn = Withdrawals {
            app: is_hidden.then_some(context.position),
            ..before.withdrawn
        };
        let step = match is_hidden {
            true => ExamStep::Withdrawn,
            false => ExamStep::Restored,
        };
        if is_hidden {
            // Shown again, it is told of from the beginning.
            work.put_told(exam.clone(), Told::default());
        }
        correction::set_withdrawn(work, context, before, withdrawn, step)?;
    }
    let Some(now) = work.exam(&exam)? else {
        return Ok(());
    };
    let standing: Vec<ExamKey> = pushes
        .into_iter()
        .filter(|push| push.withdrawn.is_none())
        .map(|push| push.key)
        .collect();
    let studies = shared_studies(work, &now)?;
    for push in &standing {
        share(work, context, push, &studies)?;
    }
    supersede(work, context, now, standing.first())
}

/// Another exam takes its place, or does no longer. What receivers were told of it is told of the first that does.
fn supersede<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: ExamRow,
    by: Option<&ExamKey>,
) -> Result<(), StateError> {
    if before.has(ExamFlag::Superseded) == by.is_some() {
        return Ok(());
    }
    if let Some(push) = by
        && (work.told(push)? == Told::default() || has_come_to(work, push, &before.apply_no))
    {
        let told = work.told(&before.key)?;
        if told != Told::default() {
            work.put_told(push.clone(), told);
        }
    }
    let mut row = before.clone();
    row.set(ExamFlag::Superseded, by.is_some());
    record(work, context, before, row);
    Ok(())
}

/// Whether the exam names this form since this record.
fn has_come_to<S: State>(work: &Work<'_, S>, exam: &ExamKey, apply_no: &str) -> bool {
    let changed = work.changes.exams.get(exam);
    let before = changed.and_then(|exam| exam.before.as_ref());
    before.is_some_and(|before| before.apply_no != apply_no)
}

/// Has a push that stands in the registered exam's place declare its studies as well.
fn share<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    push: &ExamKey,
    studies: &[StudyUid],
) -> Result<(), StateError> {
    let Some(before) = work.exam(push)? else {
        return Ok(());
    };
    let mut row = before.clone();
    for uid in studies.iter().filter(|uid| !before.has_study(uid)) {
        row.studies.push(without_count(uid.clone()));
    }
    if row.studies == before.studies {
        return Ok(());
    }
    claims::take_claims(work, context, Some(&before), &mut row)?;
    record(work, context, before, row);
    Ok(())
}

/// Studies whose images are the registered exam's, and that nobody took from it.
pub(super) fn shared_studies<S: State>(
    work: &Work<'_, S>,
    registered: &ExamRow,
) -> Result<Vec<StudyUid>, StateError> {
    let mut studies = Vec::new();
    for uid in registered.own_studies() {
        let claims = work.claims(uid)?;
        let mut active = claims.active();
        if active.any(|claim| claim.exam == registered.key) {
            studies.push(uid.clone());
        }
    }
    Ok(studies)
}

/// A study of which nobody says how many images it has; its accession number is as the registered exam's claim has it.
fn without_count(uid: StudyUid) -> DeclaredStudy {
    DeclaredStudy {
        uid,
        accession_no: None,
        image_count: None,
        linked: false,
        foreign: false,
    }
}

fn record<S: State>(work: &mut Work<'_, S>, context: Context<'_>, before: ExamRow, row: ExamRow) {
    let mut lines = work.changes.history.iter_mut();
    // What the record did to it has its line already.
    match lines.find(|line| line.row.key == row.key && line.position == context.position) {
        Some(line) => line.row.clone_from(&row),
        None => work.changes.history.push(ExamHistory {
            position: context.position,
            time_ms: context.time_ms,
            step: ExamStep::Corrected,
            content: None,
            row: row.clone(),
        }),
    }
    work.put_exam(Some(before), Some(row));
}

/// Whether a push was withdrawn while the registered exam was there: what was before it, that says nothing of it.
fn is_withdrawn_since(push: &ExamRow, registered: &ExamRow) -> bool {
    let made = [push.withdrawn.app, push.withdrawn.operator];
    let mut made = made.into_iter().flatten();
    made.any(|position| position > registered.first_position)
}

/// Pushed exams of the registered one's form and person: those that stand, and those that were withdrawn since it is there.
fn pushes_of<S: State>(
    work: &Work<'_, S>,
    registered: &ExamRow,
) -> Result<Vec<ExamRow>, StateError> {
    let mut pushes = Vec::new();
    for form in forms_of(work, registered) {
        for exam in work.form(&form)?.exams {
            let row = work.exam(&exam)?;
            pushes.extend(row.filter(|row| {
                !row.has(ExamFlag::WithoutPush)
                    && row.apply_no == registered.apply_no
                    && is_same(registered, row)
                    && (row.withdrawn.is_none() || is_withdrawn_since(row, registered))
            }));
        }
    }
    Ok(pushes)
}
