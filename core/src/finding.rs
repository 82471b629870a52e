//! Findings: the lists that an operator works through. Each line goes when what it tells of is settled.

use serde::{Deserialize, Serialize};

use crate::ids::{HospitalCode, Position};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum FindingKind {
    /// A study UID that two hospitals or patients claim (R7); subject: the UID.
    StudyConflict = 1,
    /// A push refused as suspected reuse of a number (R6); subject: exam number and digest of the push.
    NumberReuse = 2,
    /// Push and images differ about the person (R8); subject: the exam.
    IdentityDoubt = 3,
    /// A SOP Instance UID that came again with other bytes; subject: study and SOP Instance UID.
    FurtherVersion = 4,
    /// A study with more series or claims than are indexed; subject: the study UID.
    Overflow = 5,
    /// An exam whose images no retention rule deletes; subject: the exam.
    LegalHold = 6,
    /// A study that a hospital's gateway has and nobody pushed; subject: the study UID. Since rules version 5.
    NotPushed = 7,
    /// A form refused because its number is another patient's (R6); subject: its number. Since rules version 6.
    FormReuse = 8,
    /// An exam whose national imaging index another exam has, too; subject: the exam. Since rules version 7.
    IndexCollision = 9,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FindingKey {
    pub kind: FindingKind,
    pub hospital: HospitalCode,
    pub subject: String,
}

/// A finding that is settled: what a question about the past asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledFinding {
    pub key: FindingKey,
    pub row: FindingRow,
    /// The record that settled it.
    pub until: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRow {
    pub position: Position,
    /// The record since which it is listed: a later one if it was settled and is listed again.
    pub since: Position,
    pub time_ms: i64,
    /// Exams concerned, as `hospital/examNo`.
    pub exams: Vec<String>,
    /// What differs, without values.
    pub detail: Vec<String>,
}
