//! 申请单: an apply form as the archive holds it. What its HIS sent stays in the log; the row says what it came to, and
//! has what a worklist and a look-up by the patient's numbers need.
//!
//! A form meets the exams that name its number whichever comes first: [`FormRow`](crate::exam::FormRow) is written by
//! pushes, [`ApplyFormRow`] by what the HIS says, both under one [`FormKey`]. Where the form stands is derived from both
//! when somebody asks ([`progress`]).

pub mod progress;
pub mod turnaround;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::apply_form::{ApplyForm, Coded, FormItem};
use crate::ids::{FormKey, Position, StudyUid};

/// Versions of a form that its row names, at most; the eldest of them go for later ones and stay in the log.
pub const VERSIONS_LIMIT: usize = 64;

/// By which way a form came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormSource {
    /// `SynApplyInfo` (contract §3.1).
    Soap,
    /// 基卫: asked for by card number (contract §1).
    Jiwei,
}

/// One form's current state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyFormRow {
    pub key: FormKey,
    /// Record that holds the current content.
    pub position: Position,
    /// Log time of that record, unix milliseconds.
    pub time_ms: i64,
    /// Record that inserted it: the first, or the first since it was deleted.
    pub first_position: Position,
    pub first_time_ms: i64,
    /// Records that brought content since then, in order; at most [`VERSIONS_LIMIT`].
    pub versions: Vec<Position>,
    pub digest: [u8; 16],
    pub source: FormSource,
    /// 申请单号 as its HIS writes it: notices repeat it (R15).
    pub spelling: String,
    /// Record that deleted it, and its log time.
    pub deleted: Option<(Position, i64)>,
    /// An exam that is not withdrawn has it: it is no longer open.
    pub taken: bool,
    /// The hospital was in mode `test`.
    pub test: bool,
    /// Study UID that the worklist gives out for it, once and for all (R16).
    pub study_uid: StudyUid,
    pub content: FormContent,
}

/// What is asked of a form without reading its record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormContent {
    pub sick_id: String,
    /// 病人ID as its HIS writes it.
    pub sick_spelling: String,
    pub name: String,
    pub phonetic: String,
    pub sex: String,
    /// `YYYY-MM-DD`
    pub birth_date: String,
    pub patient_class: Coded,
    pub card_no: String,
    pub inpatient_no: String,
    pub outpatient_no: String,
    pub exam_class: String,
    /// Items, [`ITEMS_KEPT`] at most.
    pub items: Vec<FormItem>,
    pub organs: Vec<String>,
    pub device: String,
    pub perform_dept: Coded,
    pub req_dept: Coded,
    pub req_physician: Coded,
    /// 申请时间, `YYYY-MM-DD HH:MM:SS`.
    pub req_time: String,
    /// 预约时间; empty: none.
    pub scheduled_time: String,
}

/// Items and organs of a form that its row holds; the rest is read from the log.
pub const ITEMS_KEPT: usize = 16;

impl FormContent {
    pub fn of(form: &ApplyForm) -> Self {
        let (patient, exam) = (&form.patient, &form.exam);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let scheduled = exam.scheduled_time.map(|time| time.to_string());
        Self {
            sick_id: patient.sick_no.clone(),
            sick_spelling: form.sick_no_spelling.clone(),
            name: patient.name.clone(),
            phonetic: text(&patient.phoneticize),
            sex: patient.sex.clone(),
            birth_date: patient.birth_date.to_string(),
            patient_class: patient.patient_class.clone(),
            card_no: text(&patient.card_no),
            inpatient_no: text(&patient.in_patient_no),
            outpatient_no: text(&patient.out_patient_no),
            exam_class: exam.exam_class.clone(),
            items: exam.items.iter().take(ITEMS_KEPT).cloned().collect(),
            organs: exam.organs.iter().take(ITEMS_KEPT).cloned().collect(),
            device: text(&exam.device),
            perform_dept: exam.perform_dept.clone().unwrap_or_default(),
            req_dept: exam.req_dept.clone(),
            req_physician: exam.req_physician.clone(),
            req_time: exam.req_time.to_string(),
            scheduled_time: scheduled.unwrap_or_default(),
        }
    }
}

impl ApplyFormRow {
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    /// Shown in the worklist: neither deleted nor taken by an exam.
    pub fn is_open(&self) -> bool {
        !self.is_deleted() && !self.taken
    }

    /// `YYYY-MM-DD HH:MM:SS` for which it is planned: of the appointment, else of the request.
    pub fn planned_time(&self) -> &str {
        match self.content.scheduled_time.as_str() {
            "" => &self.content.req_time,
            scheduled => scheduled,
        }
    }

    /// `YYYY-MM-DD` for which it is planned.
    pub fn planned_date(&self) -> &str {
        date_of(self.planned_time())
    }

    /// `YYYY-MM-DD` on which it was applied for.
    pub fn apply_date(&self) -> &str {
        date_of(&self.content.req_time)
    }
}

fn date_of(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

impl std::fmt::Debug for ApplyFormRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplyFormRow")
            .field("key", &self.key)
            .field("position", &self.position)
            .field("deleted", &self.deleted)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// The study UID of a form that was inserted at a position: the same on every node and in every replay, and another's
/// for every other form. A UUID under the arc 2.25 (PS3.5 §B.2).
pub fn study_uid(key: &FormKey, inserted: Position) -> Result<StudyUid, crate::ids::IdError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"yingku study of form");
    for part in [key.hospital.as_str(), &key.apply_no] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&key.generation.to_le_bytes());
    hasher.update(&inserted.0.to_le_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
    // Version 8: made in a way of one's own (RFC 9562 §5.8).
    let uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    StudyUid::new(format!("2.25.{}", Uuid::as_u128(&uuid)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::HospitalCode;

    #[test]
    fn a_form_s_study_uid_is_its_own_and_always_the_same() {
        let key = |apply_no: &str| FormKey {
            hospital: HospitalCode::new("350006").unwrap(),
            apply_no: apply_no.to_owned(),
            generation: 0,
        };
        let uid = study_uid(&key("1"), Position(7)).unwrap();
        assert_eq!(uid, study_uid(&key("1"), Position(7)).unwrap());
        assert_ne!(uid, study_uid(&key("2"), Position(7)).unwrap());
        assert_ne!(uid, study_uid(&key("1"), Position(8)).unwrap());
        assert!(uid.as_str().starts_with("2.25.") && uid.as_str().len() <= 64);
    }
}
