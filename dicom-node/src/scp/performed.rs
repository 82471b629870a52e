//! N-CREATE and N-SET of Modality Performed Procedure Step (PS3.4 annex F): what a machine says of the step that it performs.
//!
//! It is answered with Success once the log has it. A step that is for no form which is known here is taken as well: the
//! machine goes on, and nothing is marked.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use uuid::Uuid;
use yingku_core::apply_form::{ApplyFormRow, accession_of};
use yingku_core::decide::performed::{STEP_ENDED, STEP_KNOWN, STEP_UNKNOWN};
use yingku_core::event::{
    Event, FORMS_SINCE_RULES, ProcedureStepReported, REGISTRATION_SINCE_RULES, RegisteredBy,
};
use yingku_core::ids::{AeTitle, FormKey, HospitalCode, SopInstanceUid, StudyUid};
use yingku_core::outcome::{ErrorKind, Outcome, Refusal};
use yingku_core::performed::{FORMS_OF_STEP, StepStatus};
use yingku_core::registry::{ExamWay, HospitalMode, Registry, Scope, Service};
use yingku_core::time::LocalDateTime;
use yingku_storage::archive::{Registering, Submission};
use yingku_storage::views::keys::FormIndexKind;
use yingku_storage::views::{Views, ViewsError, Walk};

use super::Scp;
use super::access::{Denied, not_allowed, unavailable};
use crate::association::{Association, AssociationError, Peer};
use crate::dataset::Nested;
use crate::message::{Command, Operation};
use crate::status::Status;

/// Longest report that is read: one that names some thousand images of a step has 500 KB.
const REPORT_LIMIT: usize = 4 * 1024 * 1024;
/// Characters of a number that a report names, at most: what LO has.
const NUMBER_CHARACTERS: usize = 64;
/// Error ID (0000,0903) of a step that has ended (PS3.4 §F.7.2.2.3).
const MAY_NO_LONGER_BE_UPDATED: u16 = 0xA710;

/// Why a report is not taken.
struct NotTaken {
    denied: Denied,
    error_id: Option<u16>,
}

impl From<Denied> for NotTaken {
    fn from(denied: Denied) -> Self {
        Self {
            denied,
            error_id: None,
        }
    }
}

pub async fn serve(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
) -> Result<(), AssociationError> {
    let bytes = association
        .read_data_set("procedure step", REPORT_LIMIT)
        .await?;
    let syntax = association.context(context)?.transfer_syntax.to_string();
    let peer = association.peer().clone();
    let response = match take(scp, &peer, request, &bytes, &syntax).await {
        Ok(step) => Command {
            sop_instance: Some(step.to_string()),
            ..request.response(Status::SUCCESS)
        },
        Err(NotTaken { denied, error_id }) => {
            tracing::info!(
                sender = %peer.calling,
                step = request.sop_instance.as_deref().unwrap_or_default(),
                status = %denied.status,
                comment = %denied.comment,
                "procedure step refused"
            );
            Command {
                error_id,
                ..request.response(denied.status).with_comment(denied.comment)
            }
        }
    };
    association.send(context, &response).await
}

/// Has the report in the log; the step's UID.
async fn take(
    scp: &Scp,
    peer: &Peer,
    request: &Command,
    bytes: &[u8],
    syntax: &str,
) -> Result<SopInstanceUid, NotTaken> {
    let scope = scp
        .scope(&peer.calling, Service::Mpps)
        .ok_or_else(|| not_allowed("report procedure steps"))?;
    if scp.archive().registry().rules < FORMS_SINCE_RULES {
        let comment = format!("operator must activate rules version {FORMS_SINCE_RULES} first");
        return Err(Denied::new(Status::PROCESSING_FAILURE, comment).into());
    }
    let (report, _) = Nested::decode(bytes, syntax, scp.settings().undeclared)
        .map_err(|error| Denied::new(Status::PROCESSING_FAILURE, error.to_string()))?;
    let is_new = request.operation == Operation::Create;
    let step = step_uid(request, is_new)?;
    let mut body = ProcedureStepReported {
        status: status(&report, is_new)?,
        is_new,
        sender: AeTitle::new(&peer.calling).map_err(|_| not_allowed("report procedure steps"))?,
        step: step.clone(),
        station: AeTitle::new(report.text(tags::PERFORMED_STATION_AE_TITLE)).ok(),
        started: moment(
            &report,
            tags::PERFORMED_PROCEDURE_STEP_START_DATE,
            tags::PERFORMED_PROCEDURE_STEP_START_TIME,
        ),
        ended: moment(
            &report,
            tags::PERFORMED_PROCEDURE_STEP_END_DATE,
            tags::PERFORMED_PROCEDURE_STEP_END_TIME,
        ),
        studies: Vec::new(),
        numbers: Vec::new(),
        forms: Vec::new(),
    };
    let mut done_under = Vec::new();
    if is_new {
        done_under = name_forms(scp, scope, &report, &mut body).await?;
    }
    submit(scp, peer, body).await?;
    register(scp, peer, &step, &done_under).await;
    Ok(step)
}

/// Registers the exams of the forms that are being done, where a hospital pushes none (R16). The step is on record whatever
/// comes of that, and the first image registers what is not registered here.
async fn register(scp: &Scp, peer: &Peer, step: &SopInstanceUid, done_under: &[DoneUnder]) {
    let archive = scp.archive();
    let registry = archive.registry();
    let row = archive.views().step(step);
    let Ok(Some(row)) = row.inspect_err(|error| {
        tracing::error!(%error, "the forms of a procedure step cannot be looked up");
    }) else {
        return;
    };
    if registry.rules < REGISTRATION_SINCE_RULES || row.status == StepStatus::Discontinued {
        return;
    }
    for form in &row.forms {
        let hospital = registry.hospitals.get(&form.hospital);
        if hospital.is_none_or(|it| it.exams != ExamWay::Forms) {
            continue;
        }
        let found = archive.views().apply_form(form);
        // A step of an exam that was cancelled meanwhile is the form's no longer, and says nothing of it.
        let is_its = |found: &ApplyFormRow| found.steps.iter().any(|known| known.step == *step);
        let found = found.ok().flatten();
        let Some(found) = found.filter(|found| !found.taken && is_its(found)) else {
            continue;
        };
        let what = Registering {
            form: form.clone(),
            by: RegisteredBy::Step,
            // As the step names it; else the one that the worklist gave out.
            study: done_under
                .iter()
                .find(|one| one.form == found.key)
                .and_then(|one| one.study.clone()),
            patient_id: None,
            accession_no: None,
            actor: format!("ae:{}", peer.calling),
            reason: String::new(),
        };
        match archive.register_form(&what).await {
            // Refused: somebody else was faster.
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a procedure step registers no exam of its form"),
        }
    }
}

/// A form that a step is for, and the study that the step names beside it.
struct DoneUnder {
    form: FormKey,
    study: Option<StudyUid>,
}

/// The step's UID; made here where a machine leaves it to the archive (PS3.7 §10.1.5.1.4).
fn step_uid(request: &Command, is_new: bool) -> Result<SopInstanceUid, Denied> {
    let given = request.sop_instance.as_deref().unwrap_or_default();
    let made;
    let uid = if given.is_empty() && is_new {
        made = format!("2.25.{}", Uuid::now_v7().as_u128());
        &made
    } else {
        given
    };
    SopInstanceUid::new(uid)
        .map_err(|error| Denied::new(Status::INVALID_OBJECT_INSTANCE, error.reason()))
}

/// A step begins in progress; a change that says nothing leaves it so.
fn status(report: &Nested, is_new: bool) -> Result<StepStatus, Denied> {
    let written = report.text(tags::PERFORMED_PROCEDURE_STEP_STATUS);
    match (written, is_new) {
        ("IN PROGRESS", _) | ("", false) => Ok(StepStatus::InProgress),
        ("COMPLETED", false) => Ok(StepStatus::Completed),
        ("DISCONTINUED", false) => Ok(StepStatus::Discontinued),
        ("", true) => Err(Denied::new(
            Status::MISSING_ATTRIBUTE,
            "no PerformedProcedureStepStatus",
        )),
        (_, true) => Err(Denied::new(
            Status::INVALID_ATTRIBUTE_VALUE,
            "PerformedProcedureStepStatus must be IN PROGRESS",
        )),
        (_, false) => Err(Denied::new(
            Status::INVALID_ATTRIBUTE_VALUE,
            "PerformedProcedureStepStatus is none that is known",
        )),
    }
}

/// A date and a time as one; `None` where they are none.
fn moment(report: &Nested, date: Tag, time: Tag) -> Option<LocalDateTime> {
    let digits = |tag| -> String {
        let text = report.text(tag).chars();
        text.filter(char::is_ascii_digit).collect()
    };
    let (date, time) = (digits(date), digits(time));
    let date = (date.get(..4)?, date.get(4..6)?, date.get(6..8)?);
    let time = (time.get(..2)?, time.get(2..4)?, time.get(4..6)?);
    let text = format!(
        "{}-{}-{} {}:{}:{}",
        date.0, date.1, date.2, time.0, time.1, time.2
    );
    LocalDateTime::parse(&text).ok()
}

/// What the report says of the forms that it is for, and which these are.
async fn name_forms(
    scp: &Scp,
    scope: Scope,
    report: &Nested,
    body: &mut ProcedureStepReported,
) -> Result<Vec<DoneUnder>, Denied> {
    let patient = report.text(tags::PATIENT_ID).to_owned();
    let mut parts = Vec::new();
    let items = report.items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE);
    for item in items.iter().take(FORMS_OF_STEP) {
        let part = Part::of(item);
        body.studies.extend(part.study.clone());
        body.numbers.extend(part.numbers.iter().cloned());
        parts.push(part);
    }
    body.numbers.sort();
    body.numbers.dedup();
    scp.archive()
        .settle()
        .await
        .map_err(|error| unavailable(&error))?;
    let views = scp.archive().views();
    let registry = scp.archive().registry();
    let search = tokio::task::spawn_blocking(move || {
        let finder = Finder {
            views: &views,
            registry: &registry,
            scope,
            patient,
        };
        let mut forms: Vec<DoneUnder> = Vec::new();
        for part in parts {
            if let Some(form) = finder.form_of(&part)?
                && !forms.iter().any(|known| known.form == form)
            {
                let study = part.study;
                forms.push(DoneUnder { form, study });
            }
        }
        Ok::<_, ViewsError>(forms)
    });
    match search.await {
        Ok(Ok(done_under)) => {
            body.forms = done_under.iter().map(|one| one.form.clone()).collect();
            Ok(done_under)
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the form of a procedure step cannot be looked up");
            Err(cannot_look())
        }
        Err(error) => {
            tracing::error!(%error, "the form of a procedure step cannot be looked up");
            Err(cannot_look())
        }
    }
}

fn cannot_look() -> Denied {
    Denied::new(
        Status::PROCESSING_FAILURE,
        "views cannot be read: ask the operator",
    )
}

/// One scheduled step that the report is about.
struct Part {
    study: Option<StudyUid>,
    /// As Accession Number has them.
    numbers: Vec<String>,
}

impl Part {
    fn of(item: &Nested) -> Self {
        let numbers = [
            tags::ACCESSION_NUMBER,
            tags::REQUESTED_PROCEDURE_ID,
            tags::SCHEDULED_PROCEDURE_STEP_ID,
        ];
        let numbers = numbers.map(|tag| item.text(tag).to_owned()).into_iter();
        let fits =
            |number: &String| !number.is_empty() && number.chars().count() <= NUMBER_CHARACTERS;
        let mut numbers: Vec<String> = numbers
            .filter(fits)
            .map(|number| accession_of(&number))
            .collect();
        numbers.sort();
        numbers.dedup();
        Self {
            study: StudyUid::new(item.text(tags::STUDY_INSTANCE_UID)).ok(),
            numbers,
        }
    }
}

struct Finder<'a> {
    views: &'a Views,
    registry: &'a Registry,
    scope: Scope,
    /// Patient ID; empty: the report names none.
    patient: String,
}

impl Finder<'_> {
    /// By number, where exactly one form of the patient's has it; else by the study UID that the worklist gave out. Several forms
    /// may be done as one study.
    fn form_of(&self, part: &Part) -> Result<Option<FormKey>, ViewsError> {
        let mut numbered: Vec<FormKey> = Vec::new();
        for (hospital, is_trial) in self.hospitals() {
            for number in &part.numbers {
                let mut visit = |row: ApplyFormRow| {
                    let is_his = self.patient.is_empty() || row.content.sick_id == self.patient;
                    if is_his && !row.is_deleted() && row.test == is_trial {
                        numbered.push(row.key);
                    }
                    Walk::On
                };
                self.views
                    .visit_forms_of_accession(hospital, number, &mut visit)?;
            }
        }
        numbered.sort();
        numbered.dedup();
        if let [only] = numbered.as_slice() {
            return Ok(Some(only.clone()));
        }
        let mut found = None;
        for (hospital, is_trial) in self.hospitals() {
            let mut visit = |row: ApplyFormRow| {
                if row.test == is_trial {
                    found = Some(row.key);
                }
                Walk::On
            };
            if let Some(study) = &part.study {
                let kind = FormIndexKind::StudyUid;
                self.views
                    .visit_forms_with(kind, hospital, study.as_str(), &mut visit)?;
            }
        }
        Ok(found)
    }

    fn hospitals(&self) -> impl Iterator<Item = (&HospitalCode, bool)> {
        let hospitals = self.registry.hospitals.iter();
        hospitals
            .filter(|(code, _)| self.scope.has(code))
            .map(|(code, hospital)| (code, hospital.mode == HospitalMode::Test))
    }
}

async fn submit(scp: &Scp, peer: &Peer, body: ProcedureStepReported) -> Result<(), NotTaken> {
    let hospital = body.forms.first().map(|form| form.hospital.clone());
    let submission = Submission {
        hospital,
        actor: format!("ae:{}", peer.calling),
        event: Event::ProcedureStepReported(body),
    };
    match scp.archive().submit(submission).await {
        Ok(decided) => match decided.outcome {
            Outcome::Refused(refusal) => Err(refused(&refusal)),
            _ => Ok(()),
        },
        Err(error) => {
            tracing::warn!(%error, "a procedure step is not recorded");
            let status = match error.kind() {
                ErrorKind::Full | ErrorKind::TooMany | ErrorKind::TooLarge => {
                    Status::RESOURCE_LIMITATION
                }
                _ => Status::PROCESSING_FAILURE,
            };
            Err(Denied::new(status, "archive not ready: send it again later").into())
        }
    }
}

/// As PS3.4 §F.7.2 and PS3.7 §10.1 have it.
fn refused(refusal: &Refusal) -> NotTaken {
    let (status, comment, error_id) = match refusal.rule.as_str() {
        STEP_KNOWN => (
            Status::DUPLICATE_SOP_INSTANCE,
            "there is such a performed procedure step already",
            None,
        ),
        STEP_UNKNOWN => (
            Status::NO_SUCH_SOP_INSTANCE,
            "this AE has no such performed procedure step",
            None,
        ),
        STEP_ENDED => (
            Status::PROCESSING_FAILURE,
            "Performed Procedure Step Object may no longer be updated",
            Some(MAY_NO_LONGER_BE_UPDATED),
        ),
        _ => (
            Status::PROCESSING_FAILURE,
            "refused: ask the operator",
            None,
        ),
    };
    NotTaken {
        denied: Denied::new(status, comment),
        error_id,
    }
}
