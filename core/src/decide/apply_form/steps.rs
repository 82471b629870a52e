//! Whose the steps are that machines reported of a form. A step is of the form; which of its exams it belongs to is asked when
//! one of them is withdrawn: its steps wait with it and come back with it.
//!
//! A form whose exam was withdrawn is done again, and when that is undone the form has two. So an exam keeps the steps that
//! waited with it as its own; a step that no exam keeps is of the latest that was registered from the form.

use super::super::performed::{ended_ms, make_room};
use super::meeting::stands_for;
use crate::apply_form::ApplyFormRow;
use crate::event::MEETINGS_SINCE_RULES;
use crate::exam::{ExamFlag, ExamRow, RegisteredRow};
use crate::ids::{ExamKey, SopInstanceUid};
use crate::performed::FormStepRow;
use crate::state::{State, StateError, Work};

/// Gives the form the steps of exams that stand for it again, as they are by now.
pub(super) fn bring_back<S: State>(
    work: &mut Work<'_, S>,
    form: &mut ApplyFormRow,
) -> Result<(), StateError> {
    let tells_apart = work.registry().rules >= MEETINGS_SINCE_RULES;
    for exam in changed_exams(work, form, true)? {
        let Some(mut kept) = work.registered(&exam)? else {
            continue;
        };
        let steps = match tells_apart {
            true => kept.steps.clone(),
            false => std::mem::take(&mut kept.steps),
        };
        for mut step in steps {
            if form.steps.iter().any(|known| known.step == step.step) {
                continue;
            }
            // It may be of another form that the exam named.
            let row = work.step(&step.step)?;
            let Some(row) = row.filter(|row| row.forms.contains(&form.key)) else {
                continue;
            };
            step.status = row.status;
            step.ended_ms = ended_ms(&row);
            make_room(&mut form.steps);
            form.steps.push(step);
        }
        form.steps.sort_by_key(|step| step.started_ms);
        work.put_registered(exam, kept.or_none());
    }
    Ok(())
}

/// Lays the steps of exams that were withdrawn beside them. What names another form now was not what the machine did, and a push
/// that stands has all that the form was done under.
pub(super) fn put_away<S: State>(
    work: &mut Work<'_, S>,
    form: &mut ApplyFormRow,
) -> Result<(), StateError> {
    if form.steps.is_empty() {
        return Ok(());
    }
    let sides = Sides::of(work, form)?;
    let tells_apart = work.registry().rules >= MEETINGS_SINCE_RULES;
    if sides.gone.is_empty() || sides.push_stands || sides.stands && !tells_apart {
        return Ok(());
    }
    for step in std::mem::take(&mut form.steps) {
        let keeper = match tells_apart {
            true => sides.keeper(&step.step),
            false => None,
        };
        match keeper.or(sides.latest.as_ref()) {
            Some(exam) if sides.gone.contains(exam) => {
                let mut kept = work.registered(exam)?.unwrap_or_default();
                keep(&mut kept, step);
                work.put_registered(exam.clone(), Some(kept));
            }
            _ => form.steps.push(step),
        }
    }
    Ok(())
}

fn keep(kept: &mut RegisteredRow, step: FormStepRow) {
    match kept.steps.iter_mut().find(|it| it.step == step.step) {
        Some(known) => *known = step,
        None => {
            make_room(&mut kept.steps);
            kept.steps.push(step);
        }
    }
}

/// The form's exams that this record withdrew, and those that stand.
#[derive(Default)]
struct Sides {
    gone: Vec<ExamKey>,
    stands: bool,
    /// A push stands for the form.
    push_stands: bool,
    /// Steps that each of them keeps.
    kept: Vec<(ExamKey, Vec<FormStepRow>)>,
    /// Whose a step is that none keeps: of the latest that was registered from the form, else of the first that is gone.
    latest: Option<ExamKey>,
}

impl Sides {
    fn of<S: State>(work: &Work<'_, S>, form: &ApplyFormRow) -> Result<Self, StateError> {
        let mut sides = Self::default();
        let gone = changed_exams(work, form, false)?;
        for exam in work.form(&form.key)?.exams {
            let row = work.exam(&exam)?;
            let Some(row) = row.filter(|row| row.apply_no == form.key.apply_no) else {
                continue;
            };
            let stands = stands_for(&row, form);
            let is_gone = gone.contains(&exam);
            if !stands && !is_gone {
                continue;
            }
            let is_registered = row.has(ExamFlag::WithoutPush);
            sides.stands |= stands;
            sides.push_stands |= stands && !is_registered;
            // What was registered when the machine began comes before a push of it.
            if is_registered || sides.latest.is_none() && is_gone {
                sides.latest = Some(exam.clone());
            }
            if let Some(kept) = work.registered(&exam)? {
                sides.kept.push((exam.clone(), kept.steps));
            }
            if is_gone {
                sides.gone.push(exam);
            }
        }
        Ok(sides)
    }

    fn keeper(&self, step: &SopInstanceUid) -> Option<&ExamKey> {
        let keeps = |kept: &Vec<FormStepRow>| kept.iter().any(|it| it.step == *step);
        let keeper = self.kept.iter().find(|(_, kept)| keeps(kept));
        keeper.map(|(exam, _)| exam)
    }
}

/// The form's exams that this record changed and that stand for it after the record, or before it.
fn changed_exams<S: State>(
    work: &Work<'_, S>,
    form: &ApplyFormRow,
    stands_now: bool,
) -> Result<Vec<ExamKey>, StateError> {
    let mut exams = work.form(&form.key)?.exams;
    exams.retain(|key| {
        let changed = work.changes.exams.get(key);
        changed.is_some_and(|exam| {
            let stands = |row: &Option<ExamRow>| {
                let row = row.as_ref();
                row.is_some_and(|row| stands_for(row, form))
            };
            // One that the record made has nothing to bring back.
            exam.before.is_some()
                && stands(&exam.after) == stands_now
                && stands(&exam.before) != stands_now
        })
    });
    Ok(exams)
}
