//! What a record came to: the answer that every node gives for it.

use serde::{Deserialize, Serialize};

use crate::exam::{ExamFlag, WithdrawnBy};
use crate::ids::{ExamKey, FormKey, Position};

/// The one list of ways to fail; every edge turns a kind into its own statuses in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// The request breaks a rule of the contract.
    Invalid,
    /// Well formed, but what is there does not allow it.
    Conflict,
    NotFound,
    /// No token, or one that is wrong or expired.
    Unauthenticated,
    /// Known, but without the right.
    Forbidden,
    TooLarge,
    /// More than its share at once; again later.
    TooMany,
    /// Space runs out; nothing is taken until there is some again.
    Full,
    /// Recorded or not, the outcome is not known: send again.
    Unavailable,
    Internal,
}

/// Why `decide` refused a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: ErrorKind,
    /// Short name that digests and counters group by.
    pub rule: String,
    /// Path in the request, empty if it concerns the whole.
    pub path: String,
    /// What was wrong and what to do, Chinese first; no patient data.
    pub message: String,
}

/// How a push changed its exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PushStep {
    Registered,
    Changed,
    /// Same content as the current version: nothing new (R6).
    Repeated,
    /// Kept in the history only (R6).
    Late,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOutcome {
    pub exam: ExamKey,
    pub step: PushStep,
    pub version: u32,
    pub flags: Vec<ExamFlag>,
    /// Kept and not shown, and for whom.
    pub hidden: Option<WithdrawnBy>,
    /// The app's withdrawal that this push ended, by its correction.
    pub lifted: Option<Position>,
    /// Images of a contested study are another patient's until an operator rules (R7).
    pub contested: bool,
    /// Instances that were held and are shown now.
    pub adopted: u32,
}

/// How a message changed its apply form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FormStep {
    /// There was none, or it was deleted.
    Inserted,
    Updated,
    /// Same content as it has: nothing new (R14).
    Repeated,
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormOutcome {
    pub form: FormKey,
    pub step: FormStep,
}

/// What a record came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    Push(PushOutcome),
    Refused(Refusal),
    Form(FormOutcome),
}

/// An outcome with the position of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub position: Position,
    pub time_ms: i64,
    pub outcome: Outcome,
}

impl Refusal {
    pub fn new(kind: ErrorKind, rule: &str, path: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            rule: rule.to_owned(),
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
