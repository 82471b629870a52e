//! Refused instances: counted by reconciliation with reason and sender, never silently dropped (R8).

use serde::{Deserialize, Serialize};

use crate::ids::{AeTitle, HospitalCode, Position, StudyUid};

/// Why the node refused an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalReason {
    /// No exam with this study UID was pushed.
    Unregistered,
    PatientIdDiffers,
    AccessionNumberDiffers,
    /// The data set breaks a rule of PS3.5 or a limit.
    Malformed,
    HospitalSuspended,
    /// The exam is live and its hospital in mode `test`: a trial changes nothing that counts.
    LiveExam,
    /// The sender may not store.
    NotAuthorised,
    /// The archive had no room, no time or no luck: it was to be sent again.
    NotStored,
}

/// Refused instances of one study, from one sender, for one reason, within one association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedInstances {
    /// Absent if neither the sender nor the study tells it.
    pub hospital: Option<HospitalCode>,
    pub sender: AeTitle,
    /// Absent if the data set was not readable.
    pub study_uid: Option<StudyUid>,
    /// `YYYY-MM-DD` of the exam or the data set's Study Date; empty if neither is known.
    pub date: String,
    /// Canonical class of the exam, or of the data set's modality; empty if neither is known.
    pub class: String,
    pub reason: RefusalReason,
    pub count: u32,
}

/// The refusals that one record tells of, as reconciliation lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRow {
    pub position: Position,
    pub time_ms: i64,
    pub refused: RefusedInstances,
}
