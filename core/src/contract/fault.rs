//! Faults: what is wrong with a message, where, and what to do (R2). A fault never holds the value itself.

use serde::{Deserialize, Serialize};

use crate::ids::{ExamNo, HospitalCode, IdError};
use crate::registry::Closed;

/// The most faults named for one message; a message with more is wrong throughout, and the answer stays readable.
pub const FAULTS_LIMIT: usize = 200;

/// Which rule was broken. Stored in events by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// A required field is absent.
    Required,
    /// Too long, or not of the one length allowed.
    Length,
    /// An object where text is meant, and the like.
    Type,
    /// Not a time, a date or an identifier.
    Format,
    /// Not one of the codes.
    Code,
    /// Not a number of the stated form.
    Number,
    /// Contradicts another field.
    Consistency,
    /// A number that stands for none (R10).
    Placeholder,
    /// The text is no JSON at all.
    Json,
    #[serde(rename = "hospital-unknown")]
    HospitalUnknown,
    #[serde(rename = "hospital-suspended")]
    HospitalSuspended,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Place with real indices, `examInfo.examItemList[0].itemName`; empty for the whole message.
    pub path: String,
    pub rule: Rule,
    /// Chinese first, then English in parentheses.
    pub message: String,
    /// The contract's limit, `VC(32)`, where one was broken.
    pub limit: Option<String>,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, rule: Rule, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            rule,
            message: message.into(),
            limit: None,
        }
    }

    /// What keeps a hospital's message from being taken, whatever else it says.
    pub fn of_hospital(path: impl Into<String>, closed: Closed) -> Self {
        let rule = match closed {
            Closed::Unknown => Rule::HospitalUnknown,
            Closed::Suspended => Rule::HospitalSuspended,
        };
        Self::new(path, rule, closed.message())
    }

    /// What is wrong with an identifier.
    pub fn of_identifier(path: impl Into<String>, error: &IdError) -> Self {
        let message = error.to_string();
        match error {
            IdError::Empty { .. } => Self::new(path, Rule::Required, message),
            IdError::Character { .. } => Self::new(path, Rule::Format, message),
            IdError::TooLong { limit, .. } => {
                Self::new(path, Rule::Length, message).with_limit(format!("VC({limit})"))
            }
        }
    }

    pub(crate) fn with_limit(mut self, limit: impl ToString) -> Self {
        self.limit = Some(limit.to_string());
        self
    }
}

/// A message that is not taken, and all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// At most [`FAULTS_LIMIT`].
    pub faults: Vec<Fault>,
    /// Faults beyond those named.
    pub more: usize,
    pub warnings: Vec<Fault>,
    /// As far as they could be read, for the vendor's error digest.
    pub hospital: Option<HospitalCode>,
    pub exam_no: Option<ExamNo>,
}

impl Refused {
    pub(crate) fn one(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
            more: 0,
            warnings: Vec::new(),
            hospital: None,
            exam_no: None,
        }
    }

    /// Names what keeps the hospital's message from being taken, before all else.
    pub fn name_hospital(&mut self, path: &str, closed: Closed) {
        self.faults.insert(0, Fault::of_hospital(path, closed));
        if self.faults.len() > FAULTS_LIMIT {
            self.faults.pop();
            self.more += 1;
        }
    }

    /// One line for the envelope's `message`: the first few faults.
    pub fn summary(&self) -> String {
        summary(&self.faults, self.more)
    }
}

/// The first few faults in one line; `more` were found beyond those.
pub(super) fn summary(faults: &[Fault], more: usize) -> String {
    /// More than this is for the list, not for one line.
    const SHOWN: usize = 5;
    let total = faults.len() + more;
    let mut line = format!("共 {total} 处错误：");
    for (i, fault) in faults.iter().take(SHOWN).enumerate() {
        if i > 0 {
            line.push('；');
        }
        if !fault.path.is_empty() {
            line.push_str(&fault.path);
            line.push(' ');
        }
        line.push_str(&fault.message);
    }
    if total > SHOWN {
        line.push_str("；…");
    }
    line
}

/// Faults and warnings of one message while it is checked.
#[derive(Default)]
pub(crate) struct Findings {
    pub faults: Vec<Fault>,
    pub more: usize,
    pub warnings: Vec<Fault>,
}

impl Findings {
    pub fn refuse(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_LIMIT {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub fn warn(&mut self, fault: Fault) {
        if self.warnings.len() < FAULTS_LIMIT {
            self.warnings.push(fault);
        }
    }

    pub fn has_fault_at(&self, path: &str) -> bool {
        self.faults.iter().any(|fault| fault.path == path)
    }

    pub fn into_refused(self) -> Refused {
        Refused {
            faults: self.faults,
            more: self.more,
            warnings: self.warnings,
            hospital: None,
            exam_no: None,
        }
    }
}
