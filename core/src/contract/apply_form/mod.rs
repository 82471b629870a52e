//! 申请单: the apply form that a hospital's HIS sends (§3.1 `SynApplyInfo`), read from its XML.
//!
//! [`parse`] holds every element against the contract's table and R13, finds the hospital by R15, and gives a typed
//! [`ApplyForm`] in the [`ApplyFormBody`] that the event stores. Pure: a tree in, content or all faults out.

mod body;
mod digest;
mod exam;
mod header;
mod items;
mod numbers;
mod patient;
mod reader;
mod record;
mod refused;
mod rules;
mod table;
mod values;

pub use body::{ApplyForm, ApplyFormBody};
pub use exam::FormExam;
pub use header::{Action, license_of};
pub use items::{FormItem, ITEMS_LIMIT, ORGANS_LIMIT, SAMPLES_LIMIT, Sample};
pub(super) use numbers::{hospital_by_number_prefix, is_project, of_hospital as number_of};
pub use patient::{FormPatient, Identity};
pub use record::Coded;
pub use refused::FormRefused;
pub(super) use rules::SEXES;

use std::fmt;

use zeroize::Zeroizing;

use self::header::Header;
use self::numbers::Numbers;
use self::reader::Reader;
use self::values::Values;
use super::fault::{Fault, Rule};
use super::push::{CANONICAL_LIMIT_BYTES, FieldWarning};
use super::xml::Element;
use crate::ids::HospitalCode;
use crate::registry::Registry;

/// Prose that is longer than the table has it is kept up to here (R13), in characters. The table's longest has 600.
pub const PROSE_LIMIT: usize = 10_000;
/// The most characters of an attribute `code`, of which the contract says nothing: as many as of a form's number.
pub const CODE_LIMIT: usize = table::LONGER_LIMIT;
/// The most bytes of a form's content: as of a push, an event with it must fit the log's largest record.
pub const FORM_LIMIT_BYTES: usize = CANONICAL_LIMIT_BYTES;

/// What the check needs to know beside the message.
#[derive(Clone, Copy)]
pub struct FormContext<'c> {
    /// Hospitals by their codes, aliases of classes, placeholders.
    pub registry: &'c Registry,
}

/// A form that is taken, if its licence is right.
pub struct ParsedForm {
    pub action: Action,
    /// 验证码: for the caller to compare, and nowhere stored.
    pub license: Zeroizing<String>,
    /// The sending program.
    pub application: String,
    pub hospital: HospitalCode,
    /// 申请单号 without its prefix.
    pub apply_no: String,
    /// What the event stores.
    pub body: ApplyFormBody,
    /// What is wrong without being refused.
    pub warnings: Vec<Fault>,
}

impl fmt::Debug for ParsedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedForm")
            .field("action", &self.action)
            .field("hospital", &self.hospital)
            .field("apply_no", &self.apply_no)
            .finish_non_exhaustive()
    }
}

/// Reads and checks a message. `root` is its document's element, whatever its name. The hospital is a registered one;
/// whether it may send anything now is for the caller to ask. Names all faults at once.
pub fn parse(root: &Element, context: FormContext<'_>) -> Result<ParsedForm, Box<FormRefused>> {
    let mut reader = Reader::default();
    let message = Message::read(&mut reader, root, context.registry);
    let mut findings = reader.findings;
    let (hospital, apply_no) = (message.hospital(), message.apply_no());
    if findings.faults.is_empty() {
        match message.into_parsed(findings.warnings.clone()) {
            Ok(parsed) => return Ok(parsed),
            Err(fault) => findings.refuse(fault),
        }
    }
    Err(Box::new(FormRefused {
        faults: findings.faults,
        more: findings.more,
        warnings: findings.warnings,
        hospital,
        apply_no,
    }))
}

/// A message's parts after the check.
struct Message<'r> {
    header: Header,
    /// None of a deletion, which needs no more than the form's number (R13).
    patient: Option<Values>,
    exam: Values,
    numbers: Numbers<'r>,
}

impl<'r> Message<'r> {
    fn read(reader: &mut Reader, root: &Element, registry: &'r Registry) -> Self {
        let header = header::read(reader, root);
        let is_document = match header.action {
            Some(action) => action != Action::Delete,
            // Whatever is meant, a patient who is there can be checked.
            None => root.child("Patient").is_some(),
        };
        let patient = is_document.then(|| patient::read(reader, root));
        let exam = match reader.required_node(root, "Exam") {
            Some(exam) if is_document => exam::read(reader, exam),
            Some(exam) => reader.fields(&table::DELETED, exam, "Exam"),
            None => Values::new("Exam"),
        };
        let findings = &mut reader.findings;
        if let Some(patient) = &patient {
            rules::apply(findings, patient, &exam, &registry.settings);
        }
        let sick_no = patient.as_ref().and_then(|patient| patient.text("SickNo"));
        let numbers = numbers::read(findings, registry, &exam, sick_no);
        Self {
            header,
            patient,
            exam,
            numbers,
        }
    }

    fn hospital(&self) -> Option<HospitalCode> {
        self.numbers.hospital.map(|hospital| hospital.code.clone())
    }

    /// Without its prefix, or as it is written where that is not registered.
    fn apply_no(&self) -> Option<String> {
        let split = self.numbers.apply_no.as_ref();
        split
            .map(|number| number.bare.as_str())
            .or_else(|| self.exam.text("ApplyNo"))
            .map(str::to_owned)
    }

    /// Makes the types of what no fault was found in.
    fn into_parsed(self, warnings: Vec<Fault>) -> Result<ParsedForm, Fault> {
        // A required field that the check let through is not of its type: this names a gap between table and types
        // instead of hiding it.
        let unreadable = || Fault::new("", Rule::Type, "内容无法识别 (content cannot be read)");
        let hospital = self.hospital().ok_or_else(unreadable)?;
        let action = self.header.action.ok_or_else(unreadable)?;
        let license = self.header.license.ok_or_else(unreadable)?;
        let number = self.numbers.apply_no.ok_or_else(unreadable)?;
        let operator = self.exam.coded("ReqPhysician").cloned();
        let form = match self.patient {
            Some(patient) => Some(
                ApplyForm::from_values(patient, self.exam, self.numbers.sick_no)
                    .ok_or_else(unreadable)?,
            ),
            None => None,
        };
        let encoding = body::encode(&number.bare, form.as_ref());
        if encoding.len() > FORM_LIMIT_BYTES {
            return Err(too_large(encoding.len()));
        }
        Ok(ParsedForm {
            action,
            license,
            application: self.header.application,
            hospital,
            apply_no: number.bare.clone(),
            body: ApplyFormBody {
                action,
                apply_no: number.bare,
                spelling: number.spelling,
                digest: encoding.digest(),
                form: form.map(Box::new),
                operator,
                warnings: warnings.iter().map(FieldWarning::from).collect(),
            },
            warnings,
        })
    }
}

fn too_large(found: usize) -> Fault {
    let message = format!(
        "内容过大：最多 {FORM_LIMIT_BYTES} 字节，实为 {found} 字节，请缩短文字 (at most {FORM_LIMIT_BYTES} bytes, found {found}: shorten the texts)"
    );
    Fault::new("", Rule::Length, message).with_limit(FORM_LIMIT_BYTES)
}

#[cfg(test)]
mod tests;
