//! An exam that is registered from its apply form (R16), because its hospital pushes none: an image or a procedure step says
//! that the form is being done, or an operator does.
//!
//! It has a number of its own, so no push is ever taken for it; [`beside`](super::beside) says how it stands beside those that
//! name its form.

use super::super::{Context, DecideError, apply_form};
use super::{Content, change, closed, register, scan};
use crate::apply_form::ApplyFormRow;
use crate::event::{ExamRegistered, REGISTRATION_SINCE_RULES, RegisteredBy};
use crate::exam::{
    ExamFlag, ExamRow, FORM_EXAMS_LIMIT, REGISTERED_STUDIES_LIMIT, RegisteredRow, RegisteredStudy,
};
use crate::ids::{ExamKey, ExamNo, FormKey, IdError, StudyUid};
use crate::outcome::{ErrorKind, Outcome, PushOutcome, PushStep, Refusal};
use crate::registry::{Closed, ExamWay, Hospital, HospitalMode};
use crate::state::{State, StateError, Work};

/// What stands before a form's number in its exam's: no PACS writes so.
const PREFIX: &str = "F:";
/// Digits that stand for a form's number that is too long for an exam's.
const DIGEST_DIGITS: usize = 24;

/// The number of a form's exam; `nth`: how often it was registered, this time too.
pub fn exam_no(apply_no: &str, nth: usize) -> Result<ExamNo, IdError> {
    let again = match nth {
        0 | 1 => String::new(),
        nth => format!("~{nth}"),
    };
    // Both have a meaning of their own where an operator names an exam.
    if !apply_no.contains(['#', '/'])
        && let Ok(number) = ExamNo::new(format!("{PREFIX}{apply_no}{again}"))
    {
        return Ok(number);
    }
    let digest = blake3::hash(apply_no.as_bytes()).to_hex();
    let digits = digest.get(..DIGEST_DIGITS).unwrap_or_default();
    ExamNo::new(format!("{PREFIX}{digits}{again}"))
}

/// Rule of a refusal because the form or its exams are others than the record was made of: make it again.
pub const FORM_CHANGED: &str = "form-changed";

pub(in crate::decide) fn registered<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ExamRegistered,
) -> Result<Outcome, DecideError> {
    let mut content = Content::read(&body.content_as_pushed())?;
    content.without_push = true;
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
    let current = current(work, &form)?;
    // A report may have come first: the study that the worklist gave out is of its form nevertheless.
    let beside_push = by_person || body.by == RegisteredBy::StudyUid && current.is_none();
    if form.taken && !beside_push {
        return Ok(Outcome::Refused(apply_form::taken()));
    }
    if !by_person && is_withdrawn(work, &content)? {
        return Ok(Outcome::Refused(withdrawn()));
    }
    if let Some(row) = current {
        let outcome = further(work, context, hospital, row, (content, by_person))?;
        scan::join(work, context, &form)?;
        return Ok(outcome);
    }
    if work.form(&body.form)?.exams.len() >= FORM_EXAMS_LIMIT {
        return Ok(Outcome::Refused(too_many_exams()));
    }
    // A form that was open when the hospital's numbers began anew is of the earlier ones, and so is its exam.
    let key = content.key(body.form.generation);
    if work.exam(&key)?.is_some() {
        return Ok(Outcome::Refused(form_changed()));
    }
    let mut row = RegisteredRow::default();
    note(&mut row, &content, false);
    work.put_registered(key.clone(), Some(row));
    enter(work, &body.form, key.clone())?;
    let outcome = register(work, context, hospital, key, content)?;
    scan::join(work, context, &form)?;
    Ok(outcome)
}

/// The exam that was registered from the form as it stands.
fn current<S: State>(
    work: &Work<'_, S>,
    form: &ApplyFormRow,
) -> Result<Option<ExamRow>, StateError> {
    for exam in work.form(&form.key)?.exams.iter().rev() {
        let row = work.exam(exam)?;
        let row = row.filter(|row| is_of(row, &form.key) && row.withdrawn.is_none());
        if let Some(row) = row.filter(|row| row.has(ExamFlag::Test) == form.test) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Whether the exam was registered from a form of this number.
pub(super) fn is_of(row: &ExamRow, form: &FormKey) -> bool {
    row.has(ExamFlag::WithoutPush) && row.apply_no == form.apply_no
}

fn is_withdrawn<S: State>(work: &Work<'_, S>, content: &Content) -> Result<bool, StateError> {
    for study in &content.studies {
        if is_barred(work, &study.uid)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an exam of the study was withdrawn: what comes of it again is for a person to say.
pub(in crate::decide) fn is_barred<S: State>(
    work: &Work<'_, S>,
    study: &StudyUid,
) -> Result<bool, StateError> {
    for claim in work.claims(study)?.claims {
        if work
            .exam(&claim.exam)?
            .is_some_and(|row| row.bars_registration())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes under which studies the form is done, and the PatientID of their images: a person's word counts for a known one too.
/// Whether anything is new.
fn note(row: &mut RegisteredRow, content: &Content, by_person: bool) -> bool {
    let patient_id = content.summary.patient_id.to_string();
    let mut is_new = false;
    for study in &content.studies {
        let is_full = row.studies.len() >= REGISTERED_STUDIES_LIMIT;
        match row.studies.iter_mut().find(|known| known.uid == study.uid) {
            Some(known) if by_person && known.patient_id != patient_id => {
                known.patient_id.clone_from(&patient_id);
                is_new = true;
            }
            Some(_) => {}
            None if !is_full => {
                row.studies.push(RegisteredStudy {
                    uid: study.uid.clone(),
                    patient_id: patient_id.clone(),
                });
                is_new = true;
            }
            None => {}
        }
    }
    is_new
}

/// The form has the exam, whatever generation of numbers pushes are of.
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

/// Gives the exam a further study, or other numbers by which images of one are compared.
fn further<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    (mut content, by_person): (Content, bool),
) -> Result<Outcome, DecideError> {
    let mut row = work.registered(&existing.key)?.unwrap_or_default();
    let known = row.studies.len();
    for study in &content.studies {
        if is_given_up(work, &existing, &study.uid)? {
            return Ok(Outcome::Refused(given_up()));
        }
    }
    if !note(&mut row, &content, by_person) {
        return Ok(match known >= REGISTERED_STUDIES_LIMIT {
            true => Outcome::Refused(too_many_studies()),
            // The step is done again under the study that the exam has.
            false => Outcome::Push(repeated(&existing)),
        });
    }
    let told = std::mem::take(&mut content.studies);
    content.studies.clone_from(&existing.studies);
    for study in told {
        match content
            .studies
            .iter_mut()
            .find(|known| known.uid == study.uid)
        {
            Some(known) => known.accession_no = study.accession_no,
            None => content.studies.push(study),
        }
    }
    work.put_registered(existing.key.clone(), Some(row));
    change(work, context, hospital, existing, content)
}

/// Whether the exam's claim on one of its studies is in force no more.
fn is_given_up<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    study: &StudyUid,
) -> Result<bool, StateError> {
    let claims = work.claims(study)?.claims;
    let mut own = claims.iter().filter(|claim| claim.exam == row.key);
    Ok(row.has_study(study) && own.any(|claim| claim.released))
}

fn repeated(row: &ExamRow) -> PushOutcome {
    PushOutcome {
        exam: row.key.clone(),
        step: PushStep::Repeated,
        version: row.version,
        flags: row.flags.clone(),
        hidden: None,
        lifted: None,
        contested: false,
        adopted: 0,
    }
}

/// PatientID by which images of one of the exam's studies are compared.
pub(in crate::decide) fn patient_id_of<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    study: &StudyUid,
) -> Result<String, StateError> {
    let registered = match row.has(ExamFlag::WithoutPush) {
        true => work.registered(&row.key)?,
        false => None,
    };
    let studies = registered.into_iter().flat_map(|row| row.studies);
    let found = studies.into_iter().find(|known| known.uid == *study);
    Ok(found.map_or_else(|| row.patient_id.clone(), |known| known.patient_id))
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

fn withdrawn() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "exam-withdrawn",
        FORM_PATH,
        "此 Study 的检查已撤回，不再自行登记：确需恢复请撤销该撤回，或以 yingku forms register 登记 \
         (an exam of this study was withdrawn, so nothing registers it by itself: undo that, or register it with yingku forms register)",
    )
}

fn given_up() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "study-released",
        "imageList",
        "此 Study 已由管理员从该检查释放或移出，未作改动：确需归还请撤销该更正，或换一个 Study \
         (an operator took this study from the exam: nothing was changed; undo that correction, or name another study)",
    )
}

fn too_many_exams() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "too-many-exams",
        FORM_PATH,
        format!(
            "一张申请单至多有 {FORM_EXAMS_LIMIT} 次检查：请以新的申请单重新申请 (a form has {FORM_EXAMS_LIMIT} exams at most: apply with a new one)"
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
