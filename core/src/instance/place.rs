//! Where the instances of a large study lie: a list by UID, beside the chunks.
//!
//! A small study's chunks are looked through; a study of more than
//! [`LOOKED_THROUGH_CHUNKS`](super::LOOKED_THROUGH_CHUNKS) has a line here for each of its instances.

use serde::{Deserialize, Serialize};

use super::chunk::ChunkEntry;
use crate::ids::{SopInstanceUid, StudyKey};

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    pub study: StudyKey,
    pub sop_instance: SopInstanceUid,
    /// Absent for the first that came under this UID; the digest of a further version.
    pub version: Option<[u8; 16]>,
}

/// The chunk row that holds the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Index of the series in the study row.
    pub series: u32,
    pub chunk: u32,
}

impl InstanceKey {
    pub fn first(study: &StudyKey, sop_instance: &SopInstanceUid) -> Self {
        Self {
            study: study.clone(),
            sop_instance: sop_instance.clone(),
            version: None,
        }
    }

    pub fn of(study: &StudyKey, entry: &ChunkEntry) -> Self {
        Self {
            version: entry.further.then_some(entry.stored.digest),
            ..Self::first(study, &entry.image().sop_instance)
        }
    }
}
