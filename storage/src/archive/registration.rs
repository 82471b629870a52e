//! Exams that are registered from their apply forms, where a hospital pushes none (R16): by the first image that is for a
//! form, by a procedure step, or by an operator. The record is decided before the image is admitted.

use yingku_core::apply_form::{ApplyFormRow, accession_of, may_be_given_out};
use yingku_core::contract::push::of_form::{Registration, of_form};
use yingku_core::decide::{FORM_CHANGED, registered_exam_no};
use yingku_core::event::{
    Event, ExamRegistered, MEETINGS_SINCE_RULES, REGISTRATION_SINCE_RULES, RegisteredBy,
};
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamKey, ExamNo, FormKey, HospitalCode, IdError, StudyUid};
use yingku_core::instance::InstanceFacts;
use yingku_core::outcome::{Decided, Outcome};
use yingku_core::registry::{ExamWay, Hospital, HospitalMode, Matching, Scope};
use yingku_core::time::{LocalDateTime, Zone};

use super::{Archive, ContentError, Submission, SubmitError};
use crate::log::unix_ms;
use crate::views::keys::FormIndexKind;
use crate::views::{ViewsError, Walk};

/// A form that changes while its exam is registered is read again so many times.
const TRIES: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the form's content cannot be read")]
    Content(#[from] ContentError),
    #[error("there is no such form")]
    NoForm,
    #[error("the form's number is no exam number")]
    Number(#[from] IdError),
}

/// What is known of a registration beside its form.
pub struct Registering {
    pub form: FormKey,
    pub by: RegisteredBy,
    /// `None`: the one that the worklist gives out.
    pub study: Option<StudyUid>,
    /// PatientID that its images have; `None`: the patient's number, as the worklist gives it out.
    pub patient_id: Option<String>,
    /// AccessionNumber of its images, if one is here and has one.
    pub accession_no: Option<String>,
    /// `ae:TITLE` or `operator:NAME`.
    pub actor: String,
    /// Why, where a person says so.
    pub reason: String,
}

/// The form that an image is for.
pub(super) enum Meant {
    /// None, or not one alone.
    None,
    Form {
        form: FormKey,
        by: RegisteredBy,
    },
    /// A form of this hospital, of another patient.
    OtherPatient(HospitalCode),
}

impl Archive {
    /// Registers the form's exam; what it comes to is decided in log order, with the form as it stands then.
    pub async fn register_form(&self, what: &Registering) -> Result<Decided, RegistrationError> {
        let mut tries = 1;
        loop {
            let event = self.registration(what)?;
            let submission = Submission {
                hospital: Some(what.form.hospital.clone()),
                actor: what.actor.clone(),
                event: Event::ExamRegistered(event),
            };
            let decided = self.submit(submission).await?;
            match &decided.outcome {
                Outcome::Refused(refusal) if refusal.rule == FORM_CHANGED && tries < TRIES => {
                    tries += 1;
                }
                _ => return Ok(decided),
            }
        }
    }

    fn registration(&self, what: &Registering) -> Result<ExamRegistered, RegistrationError> {
        let row = self.views().apply_form(&what.form)?;
        let row = row.filter(|row| !row.is_deleted());
        let row = row.ok_or(RegistrationError::NoForm)?;
        let content = self.form_content(row.position)?;
        let form = content.body.form.ok_or(RegistrationError::NoForm)?;
        let registry = self.registry();
        let hospital = registry.hospitals.get(&row.key.hospital);
        let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
        let now_ms = unix_ms();
        let exam_time = LocalDateTime::from_unix_ms(now_ms, &zone);
        let patient_id = what.patient_id.as_ref().unwrap_or(&row.content.sick_id);
        let exam_no = self.exam_no(&row.key)?;
        // Who compares to the letter compares with what the worklist gives out; elsewhere it need not be told.
        let is_exact = hospital.is_some_and(|it| it.matching == Matching::Exact);
        let given_out = is_exact.then(|| row.accession_no());
        let by_number = what.by == RegisteredBy::AccessionNumber || is_exact;
        let told = what.accession_no.clone().filter(|_| by_number);
        let accession_no = told.or(given_out);
        let registration = Registration {
            hospital: &row.key.hospital,
            hospital_name: hospital.map_or("", |it| it.name.as_str()),
            apply_no: &row.key.apply_no,
            exam_no: &exam_no,
            exam_time: exam_time.ok_or(RegistrationError::NoForm)?,
            study: what.study.as_ref().unwrap_or(&row.study_uid),
            patient_id,
            accession_no: accession_no.as_deref(),
        };
        let (json, digest) = of_form(&form, &registration);
        Ok(ExamRegistered {
            form: row.key.clone(),
            content: row.position,
            by: what.by,
            reason: what.reason.clone(),
            digest,
            json,
        })
    }

    /// The first number that no exam of the form's has yet.
    fn exam_no(&self, form: &FormKey) -> Result<ExamNo, RegistrationError> {
        let views = self.views();
        let mut nth = 1;
        loop {
            let exam = ExamKey {
                hospital: form.hospital.clone(),
                exam_no: registered_exam_no(&form.apply_no, nth)?,
                generation: form.generation,
            };
            // Each is a registration that ended before; the log says so.
            if views.exam(&exam)?.is_none() {
                return Ok(exam.exam_no);
            }
            nth += 1;
        }
    }

    /// The form that an image is for: of whose study UID it is, else the only open one of the sender's only hospital
    /// whose number it has.
    pub(super) fn meant_by(
        &self,
        scope: &Scope,
        facts: &InstanceFacts,
    ) -> Result<Meant, ViewsError> {
        let registry = self.registry();
        if registry.rules < REGISTRATION_SINCE_RULES {
            return Ok(Meant::None);
        }
        if self.is_withdrawn(&facts.study_uid)? {
            return Ok(Meant::None);
        }
        let is_asked = |hospital: &&Hospital| registers_from_forms(hospital, scope);
        for hospital in registry.hospitals.values().filter(is_asked) {
            if let Some(row) = self.form_of_study(hospital, &facts.study_uid)? {
                let by = RegisteredBy::StudyUid;
                let is_his = is_his(&row, hospital, facts);
                return Ok(meant(row, by, is_his));
            }
        }
        let hospital = scope.single().or_else(|| self.only_hospital(scope));
        let hospital = hospital.and_then(|code| registry.hospitals.get(&code));
        let Some(hospital) = hospital.filter(is_asked) else {
            return Ok(Meant::None);
        };
        Ok(match self.only_form_numbered(hospital, facts)? {
            Some(row) => {
                let is_his = row.is_for(&facts.patient, hospital.matching);
                meant(row, RegisteredBy::AccessionNumber, is_his)
            }
            None => Meant::None,
        })
    }

    /// The form for which the worklist gave out the image's study UID, where only pushes of its patient claim that, and none of
    /// them names a form: it and they have not met.
    pub(super) fn unmet_form(
        &self,
        scope: &Scope,
        facts: &InstanceFacts,
    ) -> Result<Option<FormKey>, ViewsError> {
        let registry = self.registry();
        let study = &facts.study_uid;
        if registry.rules < MEETINGS_SINCE_RULES || !may_be_given_out(study) {
            return Ok(None);
        }
        let claims = self.views().claims(study)?.unwrap_or_default();
        let owner = claims.owner().map(|claim| &claim.exam.hospital);
        let hospital = owner.and_then(|code| registry.hospitals.get(code));
        let Some(hospital) = hospital.filter(|it| registers_from_forms(it, scope)) else {
            return Ok(None);
        };
        for claim in &claims.claims {
            let row = self.views().exam(&claim.exam)?;
            let names_none = |row: &ExamRow| {
                row.has(ExamFlag::PlaceholderApplyNo)
                    && !row.has(ExamFlag::WithoutPush)
                    && row.key.hospital == hospital.code
                    && row.withdrawn.is_none()
            };
            if claim.released || !row.as_ref().is_some_and(names_none) {
                return Ok(None);
            }
        }
        let form = self.form_of_study(hospital, study)?;
        Ok(form
            .filter(|row| {
                let mut claims = claims.claims.iter();
                claims.all(|claim| claim.sick_id == row.content.sick_id)
                    && is_his(row, hospital, facts)
            })
            .map(|row| row.key))
    }

    /// Whether an exam of the study was withdrawn: the rules register none by itself then, so nobody need ask them.
    fn is_withdrawn(&self, study: &StudyUid) -> Result<bool, ViewsError> {
        let views = self.views();
        for claim in views.claims(study)?.unwrap_or_default().claims {
            let exam = views.exam(&claim.exam)?;
            if exam.is_some_and(|row| row.bars_registration()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn form_of_study(
        &self,
        hospital: &Hospital,
        study: &StudyUid,
    ) -> Result<Option<ApplyFormRow>, ViewsError> {
        let mut found = None;
        let kind = FormIndexKind::StudyUid;
        let is_trial = hospital.mode == HospitalMode::Test;
        let mut visit = |row: ApplyFormRow| match !row.is_deleted() && row.test == is_trial {
            true => {
                found = Some(row);
                Walk::Stop
            }
            false => Walk::On,
        };
        self.views()
            .visit_forms_with(kind, &hospital.code, study.as_str(), &mut visit)?;
        let Some(row) = found else {
            return Ok(None);
        };
        // A report may have come first; what was registered already has its study, or somebody took it from it.
        let exams = self.views().exams_of_form(&row.key)?;
        let mut registered = exams.iter().filter(|it| it.has(ExamFlag::WithoutPush));
        let is_done = registered.any(|it| row.taken || it.has_study(study));
        Ok(Some(row).filter(|_| !is_done))
    }

    fn only_form_numbered(
        &self,
        hospital: &Hospital,
        facts: &InstanceFacts,
    ) -> Result<Option<ApplyFormRow>, ViewsError> {
        let number = facts.study.accession_no.trim();
        if number.is_empty() {
            return Ok(None);
        }
        let is_trial = hospital.mode == HospitalMode::Test;
        let mut found: Vec<ApplyFormRow> = Vec::new();
        let mut visit = |row: ApplyFormRow| {
            if !row.is_deleted() && row.test == is_trial {
                // A number of the hospital's earlier generation gives way to one that is written so now.
                found.retain(|known| {
                    known.key.apply_no != row.key.apply_no
                        || known.key.generation > row.key.generation
                });
                found.push(row);
            }
            match found.len() {
                0..=2 => Walk::On,
                _ => Walk::Stop,
            }
        };
        let number = accession_of(number);
        self.views()
            .visit_forms_of_accession(&hospital.code, &number, &mut visit)?;
        // Of two that are one in the characters that images have, nobody knows which it is, though one is done already.
        let only = found.pop().filter(|_| found.is_empty());
        let Some(row) = only.filter(|row| is_to_be_registered(hospital, row)) else {
            return Ok(None);
        };
        let exams = self.views().exams_of_form(&row.key)?;
        let has_it = exams.iter().any(|exam| exam.has_study(&facts.study_uid));
        Ok(Some(row).filter(|_| !has_it))
    }
}

/// Who compares nothing but study UIDs takes one that was given out for what it is.
fn is_his(row: &ApplyFormRow, hospital: &Hospital, facts: &InstanceFacts) -> bool {
    hospital.matching == Matching::Study || row.is_for(&facts.patient, hospital.matching)
}

fn registers_from_forms(hospital: &Hospital, scope: &Scope) -> bool {
    let takes = hospital.mode != HospitalMode::Suspended;
    takes && hospital.exams == ExamWay::Forms && scope.has(&hospital.code)
}

fn meant(row: ApplyFormRow, by: RegisteredBy, is_his: bool) -> Meant {
    match is_his {
        true => Meant::Form { form: row.key, by },
        false => Meant::OtherPatient(row.key.hospital),
    }
}

/// Whether the form has no exam yet; a machine may have begun with it.
fn is_to_be_registered(hospital: &Hospital, row: &ApplyFormRow) -> bool {
    let is_trial = hospital.mode == HospitalMode::Test;
    !row.is_deleted() && !row.taken && row.test == is_trial
}
