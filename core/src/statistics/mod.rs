//! Declarations: how many exams a hospital says it should have uploaded (contract §2.6), and which ones (`uploadDetail`).

use serde::{Deserialize, Serialize};

use crate::ids::{HospitalCode, Position};

/// What one hospital declared for one day and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DeclarationRow {
    /// Every declaration under this spelling of the class, oldest first; a later one replaces the earlier, both stay
    /// (R10).
    pub counts: Vec<DeclaredCount>,
    pub details: Vec<DeclaredDetail>,
}

/// Declarations kept for one hospital, day and class: two a day for a year and a half. Older ones stay in the log.
pub const DECLARATION_LIMIT: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredCount {
    pub position: Position,
    pub time_ms: i64,
    pub count: u32,
    /// The hospital was in mode `test`: uncounted, purgeable.
    pub test: bool,
}

/// The exams that one call of `uploadDetail` named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredDetail {
    pub position: Position,
    pub time_ms: i64,
    pub exam_nos: Vec<String>,
    /// As [`DeclaredCount::test`].
    pub test: bool,
}

/// Hospital, day and class: what reconciliation counts by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DayKey {
    pub hospital: HospitalCode,
    /// `YYYY-MM-DD`
    pub date: String,
    /// As declared; it compares by its canonical class (R10), which an administrator's aliases may change.
    pub class: String,
}
