//! 申请单: an apply form as the archive holds it. What its HIS sent stays in the log; the row says what it came to, and
//! has what a worklist and a look-up by the patient's numbers need.
//!
//! A form meets the exams that name its number whichever comes first: [`FormRow`](crate::exam::FormRow) is written by
//! pushes, [`ApplyFormRow`] by what the HIS says, both under one [`FormKey`]. Where the form stands is derived from both
//! when somebody asks ([`progress`]).

mod person;
pub mod progress;
pub mod turnaround;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::apply_form::{ApplyForm, Coded, FormItem};
use crate::ids::{FormKey, Position, StudyUid};
use crate::performed::{FormStepRow, StepStatus};
use crate::time::LocalDateTime;

/// Versions of a form that its row names, at most; the eldest of them go for later ones and stay in the log.
pub const VERSIONS_LIMIT: usize = 64;

/// Procedure steps that a form's row has, at most: a form is done once, and again where it was broken off.
pub const STEPS_KEPT: usize = 16;
/// Arc of UIDs that are made of a UUID (PS3.5 §B.2).
const UUID_ARC: &str = "2.25.";
/// VR SH (PS3.5 §6.2).
const ACCESSION_CHARACTERS: usize = 16;

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
    /// Procedure steps that machines reported for it, in order; [`STEPS_KEPT`] at most.
    pub steps: Vec<FormStepRow>,
    /// The hospital was in mode `test`.
    pub test: bool,
    /// Study UID that the worklist gives out for it, once and for all (R16).
    pub study_uid: StudyUid,
    /// Local day on which it was inserted, `YYYY-MM-DD`.
    pub came_on: String,
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
    /// `YYYY-MM-DD`; empty: not known.
    pub birth_date: String,
    pub patient_class: Coded,
    pub card_no: String,
    pub inpatient_no: String,
    pub outpatient_no: String,
    pub exam_class: String,
    /// 优先级别, in words.
    pub priority: String,
    /// Why: 检查目的, else 临床诊断, else 临床症状; its first [`REASON_CHARACTERS`].
    pub reason: String,
    /// 申请病区.
    pub ward: String,
    pub bed_no: String,
    /// Items, [`ITEMS_KEPT`] at most.
    pub items: Vec<FormItem>,
    pub organs: Vec<String>,
    pub device: String,
    pub perform_dept: Coded,
    /// 检查技师.
    pub technician: String,
    pub req_dept: Coded,
    pub req_physician: Coded,
    /// 申请时间, `YYYY-MM-DD HH:MM:SS`; empty: not known.
    pub req_time: String,
    /// 预约时间; empty: none.
    pub scheduled_time: String,
    /// 健康卡号, 社保卡号 and 医保卡号 that are not the card number.
    pub other_cards: Vec<String>,
}

/// Items and organs of a form that its row holds; the rest is read from the log.
pub const ITEMS_KEPT: usize = 16;
/// Of the reason: what a worklist has room for (VR LO).
pub const REASON_CHARACTERS: usize = 64;

impl FormContent {
    pub fn of(form: &ApplyForm) -> Self {
        let (patient, exam) = (&form.patient, &form.exam);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = |coded: &Option<Coded>| coded.clone().unwrap_or_default().name;
        let reasons = [&exam.exam_motive, &exam.clin_diag, &exam.clin_symp];
        let reason = reasons.into_iter().flatten().next();
        let reason = reason.map(String::as_str).unwrap_or_default();
        let time = |time: Option<LocalDateTime>| time.map(|it| it.to_string()).unwrap_or_default();
        let cards = [&patient.health_card, &patient.si_card, &patient.mi_card];
        let other_cards: BTreeSet<&String> = cards
            .into_iter()
            .flatten()
            .filter(|card| Some(*card) != patient.card_no.as_ref())
            .collect();
        Self {
            sick_id: patient.sick_no.clone(),
            sick_spelling: form.sick_no_spelling.clone(),
            name: patient.name.clone(),
            phonetic: text(&patient.phoneticize),
            sex: patient.sex.clone(),
            birth_date: patient
                .birth_date
                .map(|date| date.to_string())
                .unwrap_or_default(),
            patient_class: patient.patient_class.clone(),
            card_no: text(&patient.card_no),
            inpatient_no: text(&patient.in_patient_no),
            outpatient_no: text(&patient.out_patient_no),
            exam_class: exam.exam_class.clone(),
            priority: exam.priority_order.clone(),
            reason: reason.chars().take(REASON_CHARACTERS).collect(),
            ward: name(&exam.req_ward),
            bed_no: text(&patient.bed_no),
            items: exam.items.iter().take(ITEMS_KEPT).cloned().collect(),
            organs: exam.organs.iter().take(ITEMS_KEPT).cloned().collect(),
            device: text(&exam.device),
            perform_dept: exam.perform_dept.clone().unwrap_or_default(),
            technician: name(&exam.technician),
            req_dept: exam.req_dept.clone(),
            req_physician: exam.req_physician.clone(),
            req_time: time(exam.req_time),
            scheduled_time: time(exam.scheduled_time),
            other_cards: other_cards.into_iter().cloned().collect(),
        }
    }
}

impl ApplyFormRow {
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    /// A machine does it or has done it; what was broken off is to be done again.
    pub fn is_started(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|it| it.status != StepStatus::Discontinued)
    }

    /// Registered, as R14 means it: an exam has it, or a machine does it.
    pub fn is_registered(&self) -> bool {
        self.taken || self.is_started()
    }

    /// Shown in the worklist: neither deleted nor registered.
    pub fn is_open(&self) -> bool {
        !self.is_deleted() && !self.is_registered()
    }

    /// Its number as Accession Number has it, which has 16 characters; R8 compares no more of it.
    pub fn accession_no(&self) -> String {
        accession_of(&self.key.apply_no)
    }

    /// For when it is planned: `YYYY-MM-DD HH:MM:SS` of the appointment, else of the request, else the day on which it came.
    pub fn planned_time(&self) -> &str {
        let content = &self.content;
        let times = [&content.scheduled_time, &content.req_time, &self.came_on];
        let mut times = times.into_iter().filter(|time| !time.is_empty());
        times.next().map_or("", String::as_str)
    }

    /// The day of [`Self::planned_time`], `YYYY-MM-DD`.
    pub fn planned_date(&self) -> &str {
        date_of(self.planned_time())
    }

    /// `YYYY-MM-DD` on which it was applied for; where that is not known, on which it came.
    pub fn apply_date(&self) -> &str {
        match self.content.req_time.as_str() {
            "" => &self.came_on,
            time => date_of(time),
        }
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

/// A form's number as Accession Number has it.
pub fn accession_of(apply_no: &str) -> String {
    apply_no.chars().take(ACCESSION_CHARACTERS).collect()
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
    StudyUid::new(format!("{UUID_ARC}{}", Uuid::as_u128(&uuid)))
}

/// Whether a study UID looks as [`study_uid`] makes them: nobody need look for the form of any other.
pub fn may_be_given_out(study: &StudyUid) -> bool {
    study.as_str().starts_with(UUID_ARC)
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
