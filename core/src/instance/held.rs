//! Instances that are kept aside: stored, not shown, adopted when a matching push arrives (R8).

use serde::{Deserialize, Serialize};

use super::facts::SeriesGroup;
use crate::ids::{PackId, Position, SopInstanceUid, StudyUid};

/// Why stored instances are kept aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldReason {
    /// No exam with this study UID was pushed.
    Unregistered,
    /// PatientID or AccessionNumber differ.
    Mismatch,
}

/// What is held of one study UID, counted: a study's groups are only read when it may be that they can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct HeldStudy {
    /// Number of the next group. Some before it may be gone.
    pub next_group: u32,
    pub instances: u32,
}

/// A held group: its study and its number there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldGroupKey {
    pub study: StudyUid,
    pub number: u32,
}

/// Instances of one series that were stored by one record and match no exam.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldGroup {
    pub pack: PackId,
    pub position: Position,
    pub time_ms: i64,
    pub reason: HoldReason,
    pub group: SeriesGroup,
}

impl HeldGroup {
    pub fn count(&self) -> u32 {
        u32::try_from(self.group.instances.len()).unwrap_or(u32::MAX)
    }
}

/// One held instance: the same bytes are held once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldInstance {
    pub study: StudyUid,
    pub sop_instance: SopInstanceUid,
    pub digest: [u8; 16],
}
