//! Exams that a hospital shows to nobody but its own readers: 体检, and classes that it holds for sensitive.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::retention::canonical;
use crate::dictionaries::canonical_class;
use crate::exam::ExamRow;

/// What is kept from readers of other hospitals, whatever their reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnOnly {
    /// 患者来源 (`patientInfo.patientSource`) by code or name of the dictionary, or as the hospital writes it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub patients: BTreeSet<String>,
    /// Exam classes by code, name or alias.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<String>,
}

impl OwnOnly {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn has(&self, exam: &ExamRow, settings: &Settings) -> bool {
        let source = canonical(&exam.patient_source);
        let is_patient = |named: &String| canonical(named) == source;
        let class = |text: &str| canonical_class(&settings.class_aliases, text).code;
        self.patients.iter().any(is_patient)
            || !self.classes.is_empty() && {
                let of_exam = class(&exam.class);
                self.classes.iter().any(|named| class(named) == of_exam)
            }
    }
}
