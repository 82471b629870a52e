//! 检查执行: a procedure step as the machine that performs it reports it (DICOM MPPS, PS3.4 annex F). It says of a form that
//! it is being done, is done, or was broken off, before a push or an image says anything.

use serde::{Deserialize, Serialize};

use crate::ids::{AeTitle, FormKey, SopInstanceUid};

/// Forms that one step is for, at most: several are done in one go now and then.
pub const FORMS_OF_STEP: usize = 16;

/// Performed Procedure Step Status (0040,0252).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepStatus {
    InProgress,
    Completed,
    Discontinued,
}

/// One step's current state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    pub step: SopInstanceUid,
    /// Who created it: nobody else changes it.
    pub sender: AeTitle,
    pub status: StepStatus,
    /// Log time of the record that created it, and of the last one, unix milliseconds.
    pub first_ms: i64,
    pub time_ms: i64,
    /// Forms that it is for; none: it is recorded, and marks nothing.
    pub forms: Vec<FormKey>,
}

/// A step of a form, as the form's row has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormStepRow {
    pub step: SopInstanceUid,
    pub status: StepStatus,
    /// Log time, unix milliseconds.
    pub started_ms: i64,
    /// When it was completed or discontinued.
    pub ended_ms: Option<i64>,
}
