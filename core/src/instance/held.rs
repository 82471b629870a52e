//! Instances that are kept aside: stored, not shown, adopted when a matching push arrives (R8).

use serde::{Deserialize, Serialize};

use super::facts::{SeriesGroup, StoredInstance};
use crate::ids::{AeTitle, HospitalCode, PackId, Position, SopInstanceUid, StudyUid};

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
    /// The record since which it is held for this reason.
    pub since: Position,
    pub group: SeriesGroup,
}

impl HeldGroup {
    pub fn count(&self) -> u32 {
        u32::try_from(self.group.instances.len()).unwrap_or(u32::MAX)
    }
}

/// A group that is held no more, or for another reason now: what a question about the past asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHold {
    pub hospital: HospitalCode,
    pub study: StudyUid,
    pub sender: AeTitle,
    pub modality: String,
    /// Study Date as `YYYY-MM-DD`; empty if the images have none that is a date.
    pub date: String,
    /// When the instances came, unix milliseconds.
    pub time_ms: i64,
    pub reason: HoldReason,
    pub count: u32,
    pub since: Position,
    /// The record that ended it.
    pub until: Position,
}

impl FormerHold {
    pub fn of(held: &HeldGroup, until: Position) -> Self {
        Self {
            hospital: held.group.hospital.clone(),
            study: held.group.study_uid.clone(),
            sender: held.group.sender.clone(),
            modality: held.group.series.modality.clone(),
            date: held
                .group
                .study
                .day()
                .map_or_else(String::new, |day| day.to_string()),
            time_ms: held.time_ms,
            reason: held.reason,
            count: held.count(),
            since: held.since,
            until,
        }
    }
}

/// One held instance: the same bytes are held once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldInstance {
    pub study: StudyUid,
    pub sop_instance: SopInstanceUid,
    pub digest: [u8; 16],
}

impl HeldInstance {
    pub fn of(study: &StudyUid, instance: &StoredInstance) -> Self {
        Self {
            study: study.clone(),
            sop_instance: instance.image.sop_instance.clone(),
            digest: instance.digest,
        }
    }

    /// Whether it is this one.
    pub fn is(&self, instance: &StoredInstance) -> bool {
        self.digest == instance.digest && self.sop_instance == instance.image.sop_instance
    }
}
