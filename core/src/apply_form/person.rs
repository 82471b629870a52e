//! Whether an image is of the person whom a form is for (R16): a number that was typed at the machine may be another's form.

use super::ApplyFormRow;
use crate::instance::doubt::{Told, differences_from, is_named};
use crate::instance::{PatientFacts, is_same_patient_id};
use crate::names::PersonName;
use crate::registry::Matching;

impl ApplyFormRow {
    /// Whether the image has the patient's number; else whether it has the name, and nothing that differs. One without a number
    /// is nobody's: those that come after it have one.
    pub fn is_for(&self, patient: &PatientFacts, matching: Matching) -> bool {
        let content = &self.content;
        if patient.id.trim().is_empty() {
            return false;
        }
        let has_number = !content.sick_id.is_empty()
            && is_same_patient_id(matching, &content.sick_id, &patient.id);
        if has_number {
            return true;
        }
        // As the worklist gives it out, and as the name is read by itself.
        let given = PersonName::new(&content.name, &content.phonetic).alphabetic;
        let read = PersonName::new(&content.name, "").alphabetic;
        let told = Told {
            name: &content.name,
            sex: &content.sex,
            birth_date: &content.birth_date,
        };
        is_named(&[&content.name, &given, &read], &patient.name)
            && differences_from(&told, patient).is_empty()
    }
}
