//! Who reads a patient's data, for which hospital, and why. Every reading of the interfaces for readers begins here, and is on
//! record before it is answered.
//!
//! An app reads the exams of the hospital that it reads for. Those of other hospitals that it has a right to it reads for a
//! reason, which is recorded; what a hospital keeps to itself (`own_only`) it does not see at all.

use serde_json::Value;
use yingku_core::contract::Rule;
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::HospitalCode;
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::{Registry, Scope};
use yingku_storage::archive::AuditEntry;

use super::params::Params;
use super::schema;
use crate::call::{Call, allow};
use crate::error::Failure;
use crate::images::ImageReader;

/// Why exams of other hospitals are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The patient is there now.
    Visit,
    /// The patient has agreed.
    Consent,
    Emergency,
}

impl Reason {
    pub fn code(self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Consent => "consent",
            Self::Emergency => "emergency",
        }
    }

    pub fn of(text: &str) -> Result<Self, &'static str> {
        match text {
            "visit" => Ok(Self::Visit),
            "consent" => Ok(Self::Consent),
            "emergency" => Ok(Self::Emergency),
            _ => Err(
                "应为 visit（当前就诊）、consent（患者同意）或 emergency（急诊抢救） (must be visit, consent or emergency)",
            ),
        }
    }
}

/// Characters of the code of who reads.
const USER_LIMIT: usize = 32;
/// Characters of a hospital's code.
const HOSPITAL_LIMIT: usize = 32;

/// Fields of a request by which it says who reads.
pub fn request_schema() -> [(&'static str, bool, Value); 3] {
    [
        (
            "readFor",
            false,
            schema::text(
                HOSPITAL_LIMIT,
                "为哪家医院调阅（医院代码）；缺省为应用所属医院 (the hospital that it is read for)",
            ),
        ),
        (
            "reason",
            false,
            schema::text(
                16,
                "跨院调阅理由：visit 当前就诊、consent 患者同意、emergency 急诊抢救；缺省只答本院的检查 (why exams of other hospitals are read; without it they are left out)",
            ),
        ),
        (
            "user",
            false,
            schema::text(
                USER_LIMIT,
                "调阅人工号，不写姓名；记入调阅记录 (code of who reads, for the record)",
            ),
        ),
    ]
}

/// One reader with one purpose.
#[derive(Debug, Clone)]
pub struct Reading {
    reader: String,
    scope: Scope,
    pub read_for: HospitalCode,
    pub reason: Option<Reason>,
    user: String,
}

/// Whether a reading shows an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Yes,
    /// Of another hospital, and no reason is given.
    WantsReason,
    /// Of a hospital without a right, kept to its own hospital, withdrawn, or a trial's: for this reader there is none.
    No,
}

impl Reading {
    /// Reads [`request_schema`]'s fields.
    pub fn read(params: &mut Params<'_>, call: &Call) -> Result<Self, Failure> {
        let app = call.caller()?.app()?;
        let read_for = params.parsed("readFor", |text| HospitalCode::new(text));
        let reason = params.parsed("reason", Reason::of);
        let user = params.text("user", USER_LIMIT).unwrap_or_default();
        if !user.is_empty() && !is_user_code(&user) {
            params.fault(
                "user",
                Rule::Format,
                "应为工号：字母、数字、点、下划线或连字符 (must be a code of letters, digits, dot, underscore or hyphen)"
                    .to_owned(),
            );
        }
        if let Some(hospital) = read_for.as_ref().filter(|hospital| **hospital != app.org) {
            allow(&app.hospitals, hospital)?;
        }
        Ok(Self {
            reader: call.caller()?.actor(),
            scope: app.hospitals.clone(),
            read_for: read_for.unwrap_or_else(|| app.org.clone()),
            reason,
            user,
        })
    }

    /// A reading that no app's token stands for. `scope`: hospitals whose exams it may see at all; `user`: as [`is_user_code`]
    /// has it, or empty.
    pub fn new(
        reader: String,
        scope: Scope,
        read_for: HospitalCode,
        reason: Option<Reason>,
        user: String,
    ) -> Self {
        Self {
            reader,
            scope,
            read_for,
            reason,
            user,
        }
    }

    /// Hospitals of which anything may be shown.
    pub fn hospitals<'r>(&self, registry: &'r Registry) -> impl Iterator<Item = &'r HospitalCode> {
        let codes = registry.hospitals.keys();
        codes.filter(|code| self.has(code) && (self.reason.is_some() || **code == self.read_for))
    }

    fn has(&self, hospital: &HospitalCode) -> bool {
        self.scope.has(hospital)
    }

    /// Whether the exam, as it stands, is for this reader.
    pub fn shows(&self, exam: &ExamRow, registry: &Registry) -> Shown {
        let is_there = exam.withdrawn.is_none() && !exam.has(ExamFlag::Superseded);
        match is_there {
            true => self.is_for(exam, registry),
            false => Shown::No,
        }
    }

    /// As [`Self::shows`], whether or not the exam is withdrawn.
    pub fn is_for(&self, exam: &ExamRow, registry: &Registry) -> Shown {
        let hospital = &exam.key.hospital;
        let is_tried = exam.has(ExamFlag::Test);
        let is_own = *hospital == self.read_for;
        let entry = registry.hospitals.get(hospital);
        let is_kept = entry.is_some_and(|entry| entry.own_only.has(exam, &registry.settings));
        if !self.has(hospital) || !is_own && (is_kept || is_tried) {
            return Shown::No;
        }
        match is_own || self.reason.is_some() {
            true => Shown::Yes,
            false => Shown::WantsReason,
        }
    }

    /// For whom addresses of images are made.
    pub fn image_reader(&self) -> ImageReader {
        ImageReader {
            reader: self.reader.clone(),
            read_for: self.read_for.to_string(),
            user: self.user.clone(),
            reason: self.reason.map_or("", Reason::code).to_owned(),
        }
    }

    /// Puts the reading on record. `hospital`: whose patient it is, where it is one hospital's; `target`: exam or study, never
    /// a patient's name or number.
    pub async fn audit(
        &self,
        call: &Call,
        operation: &str,
        hospital: Option<&HospitalCode>,
        target: &str,
    ) -> Result<(), Failure> {
        let entry = self.entry(operation, hospital, target);
        Ok(call.archive().audit(entry).await?)
    }

    /// What goes on record of it.
    pub fn entry(
        &self,
        operation: &str,
        hospital: Option<&HospitalCode>,
        target: &str,
    ) -> AuditEntry {
        AuditEntry {
            reader: self.reader.clone(),
            operation: operation.to_owned(),
            hospital: hospital.map(ToString::to_string).unwrap_or_default(),
            target: target.to_owned(),
            read_for: self.read_for.to_string(),
            user: self.user.clone(),
            reason: self.reason.map_or("", Reason::code).to_owned(),
        }
    }
}

/// Whether a text can be the code of a person: no name, and nothing that a log would read otherwise.
pub fn is_user_code(text: &str) -> bool {
    let is_code = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=USER_LIMIT).contains(&text.len()) && text.chars().all(is_code)
}

/// Of an exam that is another hospital's, where no reason is given.
pub fn wants_reason() -> Failure {
    Refusal::new(
        ErrorKind::Forbidden,
        "reason-required",
        "reason",
        "此检查属于其他医院：跨院调阅须在 reason 说明理由：visit 当前就诊、consent 患者同意、emergency 急诊抢救 (another hospital's exam: say in reason why it is read: visit, consent or emergency)",
    )
    .into()
}
