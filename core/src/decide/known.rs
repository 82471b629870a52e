//! Which instances a study holds already: each SOP Instance UID is shown once, the same bytes are kept once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::instances::for_each_chunk;
use crate::ids::{SopInstanceUid, StudyKey};
use crate::instance::{InstanceKey, StudyRow};
use crate::state::{ChunkKey, State, StateError, Work};

/// What a study holds under an instance's UID, in any of its series.
pub(super) enum Found {
    Nothing,
    /// The same bytes.
    Same,
    /// Other bytes only.
    Other,
}

/// The instances that the study holds already: read from its chunks, or, of one that is listed, those that were added
/// since. Nearly all of them have one digest; the others follow it.
pub(super) struct Known<'a> {
    study: &'a StudyKey,
    listed: bool,
    digests: HashMap<SopInstanceUid, ([u8; 16], Vec<[u8; 16]>)>,
}

impl<'a> Known<'a> {
    pub(super) fn of<S: State>(
        work: &Work<'_, S>,
        row: &StudyRow,
        study: &'a StudyKey,
    ) -> Result<Self, StateError> {
        let mut known = Self {
            study,
            listed: row.is_listed(),
            digests: HashMap::new(),
        };
        if !known.listed {
            for_each_chunk(work, row, |_, chunk| {
                for entry in chunk.entries {
                    known.add(&entry.stored.image.sop_instance, entry.stored.digest);
                }
            })?;
        }
        Ok(known)
    }

    pub(super) fn add(&mut self, uid: &SopInstanceUid, digest: [u8; 16]) {
        match self.digests.entry(uid.clone()) {
            Entry::Vacant(place) => {
                place.insert((digest, Vec::new()));
            }
            Entry::Occupied(mut known) => known.get_mut().1.push(digest),
        }
    }

    pub(super) fn find<S: State>(
        &self,
        work: &Work<'_, S>,
        uid: &SopInstanceUid,
        digest: &[u8; 16],
    ) -> Result<Found, StateError> {
        let known = self.digests.get(uid);
        if known.is_some_and(|(first, others)| first == digest || others.contains(digest)) {
            return Ok(Found::Same);
        }
        let first = InstanceKey::first(self.study, uid);
        let place = match self.listed {
            true => work.place(&first)?,
            false => None,
        };
        let Some(place) = place else {
            return Ok(match known {
                Some(_) => Found::Other,
                None => Found::Nothing,
            });
        };
        let chunk = work.chunk(&ChunkKey::of(self.study, place))?;
        let version = InstanceKey {
            version: Some(*digest),
            ..first
        };
        let same =
            chunk.is_some_and(|chunk| chunk.holds(uid, digest)) || work.place(&version)?.is_some();
        Ok(if same { Found::Same } else { Found::Other })
    }
}
