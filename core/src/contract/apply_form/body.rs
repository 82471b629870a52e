//! What the event of a form holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::super::push::FieldWarning;
use super::digest::Encoding;
use super::exam::FormExam;
use super::header::Action;
use super::numbers::Number;
use super::patient::FormPatient;
use super::record::{Coded, FromValues};
use super::values::{Value, Values};

/// Body of the event that a form was received. Stored as postcard: new fields go at the end, in a new version.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyFormBody {
    pub action: Action,
    /// 申请单号, without its hospital's prefix.
    pub apply_no: String,
    /// The number as the sender writes it: notices repeat it (R15).
    pub spelling: String,
    /// By which two contents are the same (R14), whatever the action; of a deletion it tells nothing.
    pub digest: [u8; 16],
    /// None of a deletion.
    pub form: Option<Box<ApplyForm>>,
    /// 申请医师 of this message: who made, changed or deleted the form, as far as it is said.
    pub operator: Option<Coded>,
    /// Where the form was taken although a rule was broken.
    pub warnings: Vec<FieldWarning>,
}

impl ApplyFormBody {
    /// An INSERT of a form that came otherwise than by §3.
    ///
    /// # Errors
    /// If it is larger than [`super::FORM_LIMIT_BYTES`].
    pub(in crate::contract) fn inserted(
        apply_no: &str,
        spelling: &str,
        form: ApplyForm,
        operator: Option<Coded>,
        warnings: &[Fault],
    ) -> Result<Self, Fault> {
        let encoding = encode(apply_no, Some(&form));
        if encoding.len() > super::FORM_LIMIT_BYTES {
            return Err(super::too_large(encoding.len()));
        }
        Ok(Self {
            action: Action::Insert,
            apply_no: apply_no.to_owned(),
            spelling: spelling.to_owned(),
            digest: encoding.digest(),
            form: Some(Box::new(form)),
            operator,
            warnings: warnings.iter().map(FieldWarning::from).collect(),
        })
    }
}

/// 申请单: what a hospital's HIS asks to have examined (§3.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyForm {
    pub patient: FormPatient,
    pub exam: FormExam,
    /// 病人ID as the sender writes it.
    pub sick_no_spelling: String,
}

impl ApplyForm {
    /// Makes the types of fields that the check has passed; the patient's number is kept without its prefix.
    pub(super) fn from_values(
        mut patient: Values,
        exam: Values,
        sick_no: Option<Number<'_>>,
    ) -> Option<Self> {
        let number = sick_no?;
        patient.put("SickNo", Value::Text(number.bare));
        Some(Self {
            patient: FormPatient::from_values(patient)?,
            exam: FormExam::from_values(exam)?,
            sick_no_spelling: number.spelling,
        })
    }
}

/// What a form's digest is made of. Spellings of numbers are not part of it.
pub(super) fn encode(apply_no: &str, form: Option<&ApplyForm>) -> Encoding {
    let mut out = Encoding::default();
    out.open();
    out.field("ApplyNo", apply_no);
    if let Some(form) = form {
        out.field("Patient", &form.patient);
        out.field("Exam", &form.exam);
    }
    out.close();
    out
}

impl fmt::Debug for ApplyFormBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyFormBody")
            .field("action", &self.action)
            .field("apply_no", &self.apply_no)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ApplyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyForm").finish_non_exhaustive()
    }
}
