//! An apply form's message, in log order (contract §3.1, R14): inserted, updated, deleted, a repeat, or refused because its
//! exam is registered or being done. A form that is deleted can be inserted again.
//!
//! What 基卫 says of a form (§1) is an INSERT with less in it than a HIS sends by §3. So it never changes a form that came
//! by §3: of the same patient it is a repeat, of another one it is refused, and one that its HIS has deleted stays deleted.
//! The other way round a form that came from 基卫 takes what its HIS sends later.

mod meeting;
mod steps;

use super::exam::{closed, form_key, meet_earlier};
use super::{Context, DecideError, settle_finding};
use crate::apply_form::{ApplyFormRow, FormContent, FormSource, VERSIONS_LIMIT, study_uid};
use crate::contract::apply_form::{Action, ApplyForm, ApplyFormBody};
use crate::event::{ApplyFormReceived, MEETINGS_SINCE_RULES, REGISTRATION_SINCE_RULES};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::FormKey;
use crate::outcome::{ErrorKind, FormOutcome, FormStep, Outcome, Refusal};
use crate::registry::{Closed, HospitalMode};
use crate::state::{State, StateError, Work};
use crate::time::{LocalDateTime, Zone};

pub(super) use meeting::meet;

/// Rule of a refusal because an exam has the form, or a machine does it: code -88.
pub const FORM_TAKEN: &str = "form-taken";
/// Rule of a refusal because its HIS deleted the form.
pub const FORM_DELETED: &str = "form-deleted";
/// Rule of a refusal because the number is another patient's.
pub const FORM_REUSED: &str = "number-reuse";
/// Rule of a refusal because there is no such form: code -99.
pub const FORM_UNKNOWN: &str = "form-unknown";

pub(super) fn received<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ApplyFormReceived,
) -> Result<Outcome, DecideError> {
    let path = "Exam/ReqHospital";
    let Some(hospital) = work.registry().hospitals.get(&body.hospital) else {
        return Ok(Outcome::Refused(closed(path, Closed::Unknown)));
    };
    if hospital.mode == HospitalMode::Suspended {
        return Ok(Outcome::Refused(closed(path, Closed::Suspended)));
    }
    let is_trial = hospital.mode == HospitalMode::Test;
    let known = find(work, body, hospital.generation, is_trial)?;
    let live = known.as_ref().filter(|row| !row.is_deleted());
    if is_trial && live.is_some_and(|row| !row.test) {
        return Ok(Outcome::Refused(is_live()));
    }
    // What was tried out keeps no number from who is live.
    let live = live.filter(|row| row.test == is_trial);
    let was_soap = |row: &ApplyFormRow| row.source == FormSource::Soap && row.test == is_trial;
    let is_deleted = live.is_none() && known.as_ref().is_some_and(was_soap);
    if is_deleted && body.source == FormSource::Jiwei {
        return Ok(Outcome::Refused(deleted()));
    }
    let form = FormReceived {
        body,
        key: form_key(&body.hospital, &body.body.apply_no, hospital.generation),
        is_trial,
    };
    match (body.body.action, &body.body.form, live) {
        (Action::Delete, _, None) | (Action::Update, _, None) => Ok(Outcome::Refused(unknown())),
        (Action::Delete, _, Some(row)) => delete(work, context, row.clone()),
        (_, None, _) => Err(DecideError::Content(
            "apply form without content".to_owned(),
        )),
        (Action::Insert, Some(content), None) => insert(work, context, &form, known, content),
        (Action::Insert | Action::Update, Some(content), Some(row)) => {
            update(work, context, &form, row.clone(), content)
        }
    }
}

struct FormReceived<'a> {
    body: &'a ApplyFormReceived,
    key: FormKey,
    is_trial: bool,
}

/// The form that a message is about: of the hospital's generation of numbers, or for a change of an earlier one. One that is
/// sent again is no second form because numbers began anew meanwhile (R14).
fn find<S: State>(
    work: &Work<'_, S>,
    body: &ApplyFormReceived,
    generation: u16,
    is_trial: bool,
) -> Result<Option<ApplyFormRow>, StateError> {
    let row =
        |generation| work.apply_form(&form_key(&body.hospital, &body.body.apply_no, generation));
    let current = row(generation)?;
    let is_insert = body.body.action == Action::Insert;
    if current.is_some() || is_insert && work.registry().rules < MEETINGS_SINCE_RULES {
        return Ok(current);
    }
    for generation in (0..generation).rev() {
        let is_again = |row: &ApplyFormRow| row.test == is_trial && is_sent_again(row, &body.body);
        let is_meant = |row: &ApplyFormRow| !is_insert || is_again(row);
        let earlier = row(generation)?.filter(|row| !row.is_deleted() && is_meant(row));
        if earlier.is_some() {
            return Ok(earlier);
        }
    }
    Ok(None)
}

/// Whether an INSERT is of this form of an earlier generation of numbers: it says the same, or the form is open and of the
/// same person.
fn is_sent_again(earlier: &ApplyFormRow, body: &ApplyFormBody) -> bool {
    let is_same_person = body.form.as_ref().is_some_and(|form| {
        let (content, patient) = (&earlier.content, &form.patient);
        content.sick_id == patient.sick_no && content.name == patient.name
    });
    earlier.digest == body.digest || earlier.is_open() && is_same_person
}

fn insert<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    form: &FormReceived<'_>,
    before: Option<ApplyFormRow>,
    content: &ApplyForm,
) -> Result<Outcome, DecideError> {
    let uid = study_uid(&form.key, context.position)
        .map_err(|error| DecideError::Content(error.to_string()))?;
    let row = ApplyFormRow {
        key: form.key.clone(),
        position: context.position,
        time_ms: context.time_ms,
        first_position: context.position,
        first_time_ms: context.time_ms,
        versions: vec![context.position],
        digest: form.body.body.digest,
        source: form.body.source,
        spelling: form.body.body.spelling.clone(),
        deleted: None,
        taken: false,
        steps: Vec::new(),
        test: form.is_trial,
        study_uid: uid,
        came_on: local_day(work, context.time_ms),
        content: FormContent::of(content),
    };
    if work.registry().rules >= MEETINGS_SINCE_RULES {
        meet_earlier(work, &row)?;
    }
    let row = ApplyFormRow {
        taken: meeting::is_taken(work, &row)?,
        ..row
    };
    work.put_apply_form(before, Some(row));
    settle_finding(work, context, listed_as(&form.key))?;
    Ok(done(&form.key, FormStep::Inserted))
}

fn update<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    form: &FormReceived<'_>,
    before: ApplyFormRow,
    content: &ApplyForm,
) -> Result<Outcome, DecideError> {
    let key = before.key.clone();
    let is_insert = form.body.body.action == Action::Insert;
    let new = FormContent::of(content);
    // R6 for forms: an update may correct a person, another's form under the number is no insert of this one.
    let is_another_s = is_insert && is_other_person(&before.content, &new);
    if form.body.source == FormSource::Jiwei && before.source == FormSource::Soap {
        return Ok(match is_another_s {
            true => suspect(work, context, &before),
            false => done(&key, FormStep::Repeated),
        });
    }
    if before.digest == form.body.body.digest && (is_insert || !before.is_registered()) {
        return Ok(done(&key, FormStep::Repeated));
    }
    if before.is_registered() {
        return Ok(Outcome::Refused(taken()));
    }
    if is_another_s {
        return Ok(suspect(work, context, &before));
    }
    let mut row = ApplyFormRow {
        position: context.position,
        time_ms: context.time_ms,
        digest: form.body.body.digest,
        source: form.body.source,
        spelling: form.body.body.spelling.clone(),
        content: new,
        ..before.clone()
    };
    if row.versions.len() >= VERSIONS_LIMIT {
        row.versions.remove(0);
    }
    row.versions.push(context.position);
    work.put_apply_form(Some(before), Some(row));
    settle_finding(work, context, listed_as(&key))?;
    Ok(done(&key, FormStep::Updated))
}

/// R6 for forms: listed for an operator until the form changes or goes.
fn suspect<S: State>(work: &mut Work<'_, S>, context: Context<'_>, form: &ApplyFormRow) -> Outcome {
    if work.registry().rules >= REGISTRATION_SINCE_RULES {
        let row = FindingRow {
            position: context.position,
            since: context.position,
            time_ms: context.time_ms,
            exams: Vec::new(),
            detail: vec!["SickNo".to_owned(), "PatientName".to_owned()],
        };
        work.put_finding(listed_as(&form.key), Some(row));
    }
    Outcome::Refused(reused())
}

fn listed_as(form: &FormKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::FormReuse,
        hospital: form.hospital.clone(),
        subject: form.apply_no.clone(),
    }
}

/// A number that is absent, as forms of 基卫 may have it, tells nothing of whose they are.
fn is_other_person(before: &FormContent, new: &FormContent) -> bool {
    let same_number = !new.sick_id.is_empty() && before.sick_id == new.sick_id;
    !same_number && before.name != new.name
}

fn local_day<S: State>(work: &Work<'_, S>, time_ms: i64) -> String {
    let zone = Zone::named(&work.registry().settings.time_zone).unwrap_or_default();
    let time = LocalDateTime::from_unix_ms(time_ms, &zone);
    time.map(|time| time.date().to_string()).unwrap_or_default()
}

fn delete<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: ApplyFormRow,
) -> Result<Outcome, DecideError> {
    if before.is_registered() {
        return Ok(Outcome::Refused(taken()));
    }
    let key = before.key.clone();
    let row = ApplyFormRow {
        position: context.position,
        time_ms: context.time_ms,
        deleted: Some((context.position, context.time_ms)),
        ..before.clone()
    };
    work.put_apply_form(Some(before), Some(row));
    settle_finding(work, context, listed_as(&key))?;
    Ok(done(&key, FormStep::Deleted))
}

/// Takes a form of a trial out of the views.
pub(super) fn purged<S: State>(work: &mut Work<'_, S>, key: &FormKey) -> Result<(), StateError> {
    if let Some(row) = work.apply_form(key)?.filter(|row| row.test) {
        work.put_apply_form(Some(row), None);
    }
    Ok(())
}

fn done(key: &FormKey, step: FormStep) -> Outcome {
    Outcome::Form(FormOutcome {
        form: key.clone(),
        step,
    })
}

const PATH: &str = "Exam/ApplyNo";

pub(super) fn taken() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        FORM_TAKEN,
        PATH,
        "该申请单的检查已登记、已检查或已出报告，未作改动；确需修改请先在影像科取消该检查 \
         (an exam of this form is registered: nothing was changed; have the exam cancelled first)",
    )
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(
        ErrorKind::NotFound,
        FORM_UNKNOWN,
        PATH,
        "没有此申请单，或已删除：请核对申请单号与医院，或以 INSERT 重新发送 \
         (no such form, or it is deleted: check number and hospital, or send it as INSERT)",
    )
}

fn reused() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        FORM_REUSED,
        PATH,
        "此申请单号已属于另一患者（SickNo、PatientName 均不同），疑似重复使用，未作改动：更正患者请发 UPDATE，换患者请先 DELETE \
         (the number belongs to another patient's form: send UPDATE to correct the patient, or DELETE the form first)",
    )
}

fn deleted() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        FORM_DELETED,
        PATH,
        "此申请单已由其 HIS 删除，基卫所述不再收下；仍有效的请 HIS 以 INSERT 重新发送 \
         (its HIS deleted this form, so it is not taken from 基卫: if it stands, have the HIS send it again)",
    )
}

fn is_live() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "form-live",
        PATH,
        "该医院现处于测试（test），而此申请单号是正式申请单，未作改动：测试请另用申请单号 \
         (a live form, and its hospital is in mode test: nothing was changed; test with another number)",
    )
}
