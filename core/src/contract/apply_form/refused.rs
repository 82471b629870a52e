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
    /// The first few faults in one line, for `desc`.
    pub fn summary(&self) -> String {
        fault::summary(&self.faults, self.more)
    }
}
