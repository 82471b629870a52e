//! An exam that is registered from its apply form (R16), because its hospital pushes none: an image or a procedure step says
//! that the form is being done, or an operator does. The form's number is the exam's.
//!
//! A push may come later, and a report with it, under whatever number. It becomes the exam's content: under the form's number
//! as a new version; under another one as an exam that takes the place of this one, with its images and with what receivers
//! of notices were told. Either way the studies of which images came stay the exam's, and are compared by the PatientID
//! that those had, whatever the push says of them. A step that is broken off before an image came takes its exam back.

use super::super::notice::has_images;
use super::super::{Context, DecideError, apply_form, correction};
use super::{Content, change, closed, form_key, register, reuses_number};
use crate::event::{ExamRegistered, REGISTRATION_SINCE_RULES, RegisteredBy};
use crate::exam::{
    DeclaredStudy, ExamFlag, ExamRow, ExamStep, REGISTERED_STUDIES_LIMIT, RegisteredRow,
    Withdrawals,
};
use crate::ids::{ExamKey, FormKey, StudyKey, StudyUid};
use crate::notice::Told;
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::{Closed, ExamWay, Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

/// Rule of a refusal because the form has other content than the exam was made of: make it again.
pub const FORM_CHANGED: &str = "form-changed";
/// Rule of a refusal because an exam has the form's number that was not registered from it.
pub const NUMBER_TAKEN: &str = "exam-known";

pub(in crate::decide) fn registered<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ExamRegistered,
) -> Result<Outcome, DecideError> {
    let content = read(body)?;
    let registry = work.registry();
    let Some(hospital) = registry.hospitals.get(&body.form.hospital) else {
        return Ok(Outcome::Refused(closed("hospitalCode", Closed::Unknown)));
    };
    if hospital.mode == HospitalMode::Suspended {
        return Ok(Outcome::Refused(closed("hospitalCode", Closed::Suspended)));
    }
    let by_person = body.by == RegisteredBy::Operator;
    if registry.rules < REGISTRATION_SINCE_RULES
        || hospital.exams != ExamWay::Forms && !by_person
        || content.hospital != body.form.hospital
    {
        return Ok(Outcome::Refused(not_so_registered()));
    }
    let is_trial = hospital.mode == HospitalMode::Test;
    let form = work.apply_form(&body.form)?;
    let Some(form) = form.filter(|row| !row.is_deleted() && row.test == is_trial) else {
        return Ok(Outcome::Refused(apply_form::unknown()));
    };
    if form.position != body.content {
        return Ok(Outcome::Refused(form_changed()));
    }
    // A form that was open when the hospital's numbers began anew is of the earlier ones, and so is its exam.
    let key = content.key(body.form.generation);
    let known = work.exam(&key)?;
    if let Some(row) = &known
        && !is_of_form(work, row, &body.form)?
    {
        return Ok(Outcome::Refused(number_taken(row)));
    }
    match known.filter(|row| row.has(ExamFlag::WithoutPush)) {
        Some(row) if row.withdrawn.operator.is_some() => Ok(Outcome::Refused(withdrawn(&row))),
        // What is registered has a further study only if somebody says so.
        Some(row) if row.withdrawn.is_none() && by_person => {
            further(work, context, hospital, row, content)
        }
        _ if form.taken => Ok(Outcome::Refused(apply_form::taken())),
        Some(row) => again(work, context, hospital, row, content),
        None => {
            note(work, &key, &content, None)?;
            let outcome = register(work, context, hospital, key.clone(), content)?;
            enter(work, &body.form, key)?;
            Ok(outcome)
        }
    }
}

fn read(body: &ExamRegistered) -> Result<Content, DecideError> {
    let mut content = Content::read(&body.content_as_pushed())?;
    content.without_push = true;
    Ok(content)
}

/// The form has the exam, also where pushes that name its number are of a later generation.
fn enter<S: State>(
    work: &mut Work<'_, S>,
    form: &FormKey,
    exam: ExamKey,
) -> Result<(), StateError> {
    let mut row = work.form(form)?;
    if !row.exams.contains(&exam) {
        row.exams.push(exam);
        work.put_form(form.clone(), row);
    }
    Ok(())
}

/// Whether the exam was registered from this form.
fn is_of_form<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    form: &FormKey,
) -> Result<bool, StateError> {
    Ok(row.has(ExamFlag::WithoutPush) && work.form(form)?.exams.contains(&row.key))
}

/// Notes under which studies the form is done, and the PatientID of their images.
fn note<S: State>(
    work: &mut Work<'_, S>,
    key: &ExamKey,
    content: &Content,
    before: Option<RegisteredRow>,
) -> Result<(), StateError> {
    let mut row = before.unwrap_or_default();
    row.patient_id = content.summary.patient_id.to_string();
    for study in &content.studies {
        if !row.studies.contains(&study.uid) && row.studies.len() < REGISTERED_STUDIES_LIMIT {
            row.studies.push(study.uid.clone());
        }
    }
    work.put_registered(key.clone(), Some(row));
    Ok(())
}

/// Registers anew what was broken off, or gave way to an exam that is gone.
fn again<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    content: Content,
) -> Result<Outcome, DecideError> {
    note(work, &existing.key, &content, None)?;
    change(work, context, hospital, existing, content)
}

/// Gives the exam a further study.
fn further<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    mut content: Content,
) -> Result<Outcome, DecideError> {
    if content
        .studies
        .iter()
        .all(|study| existing.has_study(&study.uid))
    {
        return Ok(Outcome::Refused(apply_form::taken()));
    }
    let before = work.registered(&existing.key)?;
    if before
        .as_ref()
        .is_some_and(|row| row.studies.len() >= REGISTERED_STUDIES_LIMIT)
    {
        return Ok(Outcome::Refused(too_many_studies()));
    }
    let fresh = std::mem::take(&mut content.studies);
    content.studies.clone_from(&existing.studies);
    content.studies.extend(fresh);
    note(work, &existing.key, &content, before)?;
    change(work, context, hospital, existing, content)
}

/// The exam without a push whose place the push takes, if there is one: it has the same form, and is of the same person.
pub(in crate::decide) fn before_push<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    content: &Content,
) -> Result<Option<ExamRow>, StateError> {
    if work.registry().rules < REGISTRATION_SINCE_RULES {
        return Ok(None);
    }
    let form = form_key(
        &content.hospital,
        &content.summary.apply_no,
        hospital.generation,
    );
    for exam in work.form(&form)?.exams {
        let row = work.exam(&exam)?;
        let gives_way = |row: &ExamRow| {
            row.has(ExamFlag::WithoutPush)
                && row.withdrawn.is_none()
                && row.apply_no == content.summary.apply_no
                && !reuses_number(row, content)
        };
        if let Some(row) = row.filter(gives_way) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Hands over to an exam that is about to be pushed what the one without a push has.
pub(in crate::decide) fn hand_over<S: State>(
    work: &mut Work<'_, S>,
    from: &ExamRow,
    to: &ExamKey,
) -> Result<(), StateError> {
    let row = work.registered(&from.key)?;
    work.put_registered(to.clone(), row);
    let told = work.told(&from.key)?;
    work.put_told(to.clone(), told);
    work.put_told(from.key.clone(), Told::default());
    Ok(())
}

/// Hides an exam whose place another one has taken.
pub(in crate::decide) fn give_way<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &ExamKey,
) -> Result<(), StateError> {
    let Some(row) = work.exam(key)? else {
        return Ok(());
    };
    let withdrawn = Withdrawals {
        app: Some(context.position),
        ..row.withdrawn
    };
    work.put_registered(key.clone(), None);
    correction::set_withdrawn(work, context, row, withdrawn, ExamStep::Withdrawn)
}

/// What a step that was broken off had registered goes, if nothing came of it.
pub(in crate::decide) fn broken_off<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    form: &FormKey,
) -> Result<(), StateError> {
    for exam in work.form(form)?.exams {
        let Some(row) = work.exam(&exam)? else {
            continue;
        };
        let is_registered = row.has(ExamFlag::WithoutPush)
            && row.withdrawn.is_none()
            && row.apply_no == form.apply_no;
        if is_registered && !has_images(work, &row)? {
            give_way(work, context, &row.key)?;
        }
    }
    Ok(())
}

/// Adds to a push's studies those of its exam's registration that it does not name: all, if it names none; else those of
/// which images came. `before`: the row that has them so far.
pub(in crate::decide) fn keep_studies<S: State>(
    work: &Work<'_, S>,
    key: &ExamKey,
    before: Option<&ExamRow>,
    studies: &mut Vec<DeclaredStudy>,
) -> Result<(), StateError> {
    let Some(registered) = work.registered(key)? else {
        return Ok(());
    };
    let names_none = studies.is_empty();
    for uid in registered.studies {
        let is_named = studies.iter().any(|study| study.uid == uid);
        let study = StudyKey::new(key.hospital.clone(), uid);
        let has_come = work.study(&study)?.is_some_and(|row| row.bytes > 0);
        if is_named || !(names_none || has_come) {
            continue;
        }
        let known = before.and_then(|row| row.studies.iter().find(|it| it.uid == study.study));
        studies.push(DeclaredStudy {
            accession_no: known.and_then(|known| known.accession_no.clone()),
            uid: study.study,
            image_count: None,
            linked: false,
            foreign: false,
        });
    }
    Ok(())
}

/// PatientID by which images of one of the exam's studies are compared.
pub(in crate::decide) fn patient_id_of<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    study: &StudyUid,
) -> Result<String, StateError> {
    let registered = work.registered(&row.key)?;
    let registered = registered.filter(|registered| registered.studies.contains(study));
    Ok(registered.map_or_else(
        || row.patient_id.clone(),
        |registered| registered.patient_id,
    ))
}

const FORM_PATH: &str = "examInfo.applyNo";

fn not_so_registered() -> Refusal {
    Refusal::new(
        ErrorKind::Forbidden,
        "not-from-forms",
        "hospitalCode",
        "该医院的检查由推送登记，不由申请单登记；确需如此请在登记文件中设 exams = \"forms\" \
         (this hospital's exams are registered by pushes: set exams = \"forms\" to have them registered from forms)",
    )
}

fn form_changed() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        FORM_CHANGED,
        FORM_PATH,
        "申请单内容刚有变化，请重试 (the form has just changed: try again)",
    )
}

fn number_taken(row: &ExamRow) -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        NUMBER_TAKEN,
        FORM_PATH,
        format!(
            "已有检查 {0} 用此号，不能再由申请单登记：请核对两者是否同一检查 \
             (exam {0} has this number, so none can be registered from the form: see whether they are the same)",
            row.key
        ),
    )
}

fn withdrawn(row: &ExamRow) -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "exam-withdrawn",
        FORM_PATH,
        format!(
            "检查 {0} 已由平台管理员撤回：确需恢复请撤销该撤回 (yingku correct undo) \
             (an operator withdrew exam {0}: undo that if it stands)",
            row.key
        ),
    )
}

fn too_many_studies() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "too-many-studies",
        "imageList",
        format!(
            "一张申请单至多登记 {REGISTERED_STUDIES_LIMIT} 个 Study (a form is registered with {REGISTERED_STUDIES_LIMIT} studies at most)"
        ),
    )
}
