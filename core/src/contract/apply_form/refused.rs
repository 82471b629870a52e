//! A form that is not taken.

use super::super::fault::{self, Fault};
use crate::ids::HospitalCode;

/// All that is wrong with a form (code -3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormRefused {
    /// At most [`FAULTS_LIMIT`](super::super::fault::FAULTS_LIMIT).
    pub faults: Vec<Fault>,
    /// Faults beyond those named.
    pub more: usize,
    pub warnings: Vec<Fault>,
    /// As far as they could be read, for the vendor's error digest.
    pub hospital: Option<HospitalCode>,
    /// Without its prefix.
    pub apply_no: Option<String>,
}

impl FormRefused {
    /// What is wrong in one line, for `desc`, which is short: where all of it is, and then what the first of it is.
    pub fn summary(&self) -> String {
        let what = fault::summary(&self.faults, self.more);
        let paths: Vec<&str> = self
            .faults
            .iter()
            .map(|fault| fault.path.as_str())
            .collect();
        match paths.len() {
            0 | 1 => what,
            _ => format!("{}；{what}", paths.join("、")),
        }
    }
}
