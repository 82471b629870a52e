//! Instances that came again with other bytes: the first is shown, the further ones are listed, until an operator says
//! which it is to be.

use std::collections::{BTreeSet, HashMap};

use super::instances::{Edit, edit, for_each_chunk};
use super::{Context, settle_finding};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{SopInstanceUid, StudyKey, StudyUid};
use crate::instance::{Chunk, ChunkEntry, InstanceKey};
use crate::state::{ChunkKey, State, StateError, Work};

type Digest = [u8; 16];

/// Lists it, since when it first was so.
pub(super) fn list<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    uid: &SopInstanceUid,
) -> Result<(), StateError> {
    let key = line_of(study, uid);
    if work.finding(&key)?.is_none() {
        let row = FindingRow {
            position: context.position,
            since: context.position,
            time_ms: context.time_ms,
            exams: Vec::new(),
            detail: vec!["bytes".to_owned()],
        };
        work.put_finding(key, Some(row));
    }
    Ok(())
}

/// The list's line of an instance.
pub(super) fn line_of(study: &StudyKey, uid: &SopInstanceUid) -> FindingKey {
    FindingKey {
        kind: FindingKind::FurtherVersion,
        hospital: study.hospital.clone(),
        subject: format!("{study}/{uid}"),
    }
}

/// Whether the study of a line is gone.
pub(super) fn is_gone<S: State>(
    work: &Work<'_, S>,
    listed: &FindingKey,
) -> Result<bool, StateError> {
    // Subject: hospital/study/SOP instance; UIDs hold no slash.
    let Some(Ok(study)) = listed.subject.rsplit('/').nth(1).map(StudyUid::new) else {
        return Ok(false);
    };
    let hospital = listed.hospital.clone();
    Ok(work.study(&StudyKey::new(hospital, study))?.is_none())
}

/// The bytes that a study has under an instance's UID.
#[derive(Default)]
pub(super) struct Versions {
    /// Those that are shown, unless they are hidden.
    pub(super) current: Option<Digest>,
    pub(super) further: Vec<Digest>,
}

impl Versions {
    fn add(&mut self, entry: &ChunkEntry) {
        match entry.further {
            true => self.further.push(entry.stored.digest),
            false => self.current = Some(entry.stored.digest),
        }
    }

    fn count(&self) -> usize {
        usize::from(self.current.is_some()).saturating_add(self.further.len())
    }
}

pub(super) fn of<S: State>(
    work: &Work<'_, S>,
    study: &StudyKey,
    uid: &SopInstanceUid,
) -> Result<Versions, StateError> {
    let mut versions = Versions::default();
    let Some(row) = work.study(study)? else {
        return Ok(versions);
    };
    for_each_chunk(work, &row, |_, chunk| {
        for entry in chunk.entries {
            if entry.image().sop_instance == *uid {
                versions.add(&entry);
            }
        }
    })?;
    Ok(versions)
}

/// Makes instances with these bytes, which the study has, those that are shown of their UIDs.
pub(super) fn choose<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyKey,
    chosen: &HashMap<SopInstanceUid, Digest>,
) -> Result<(), StateError> {
    let mut places = Vec::new();
    edit(work, study, |at, entry| {
        let uid = &entry.stored.image.sop_instance;
        let Some(further) = chosen.get(uid).map(|digest| entry.stored.digest != *digest) else {
            return Edit::Kept;
        };
        if further == entry.further {
            return Edit::Kept;
        }
        places.push((InstanceKey::of(study, entry), None));
        entry.further = further;
        places.push((InstanceKey::of(study, entry), Some(at.place())));
        Edit::Changed
    })?;
    if work.study(study)?.is_some_and(|row| row.is_listed()) {
        // What one leaves the other takes.
        places.sort_by_key(|(_, place)| place.is_some());
        for (key, place) in places {
            work.put_place(key, place);
        }
    }
    Ok(())
}

/// After these have left a study: of each instance that is left one version is seen, and listed are those that have
/// several.
pub(super) fn part<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    left: &[(u32, ChunkEntry)],
) -> Result<(), StateError> {
    let left = left
        .iter()
        .map(|(_, entry)| &entry.stored.image.sop_instance);
    let left: BTreeSet<_> = left.collect();
    let mut there: HashMap<SopInstanceUid, Versions> = HashMap::new();
    if let Some(row) = work.study(study)? {
        for_each_chunk(work, &row, |_, chunk| {
            for entry in chunk.entries {
                let uid = &entry.stored.image.sop_instance;
                if left.contains(uid) {
                    there.entry(uid.clone()).or_default().add(&entry);
                }
            }
        })?;
    }
    let unseen = there
        .iter()
        .filter(|(_, versions)| versions.current.is_none());
    let seen = unseen.filter_map(|(uid, versions)| {
        let first = versions.further.first()?;
        Some((uid.clone(), *first))
    });
    choose(work, study, &seen.collect())?;
    for uid in left {
        if there.get(uid).is_none_or(|versions| versions.count() < 2) {
            settle_finding(work, context, line_of(study, uid))?;
        }
    }
    Ok(())
}

/// What was ruled of instances that go to another row.
pub(super) struct Rulings {
    current: HashMap<SopInstanceUid, Digest>,
    /// Nothing is left to be ruled of these.
    settled: Vec<SopInstanceUid>,
}

/// Takes the lines of a study's instances off the list, for they go elsewhere.
pub(super) fn leave<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    chunks: &[(ChunkKey, Chunk)],
) -> Result<Rulings, StateError> {
    let entries = || chunks.iter().flat_map(|(_, chunk)| &chunk.entries);
    let mut rulings = Rulings {
        current: HashMap::new(),
        settled: Vec::new(),
    };
    for entry in entries().filter(|entry| entry.further) {
        let uid = &entry.image().sop_instance;
        let key = line_of(study, uid);
        if rulings.current.contains_key(uid) {
            continue;
        }
        let current = entries().find(|other| !other.further && other.image().sop_instance == *uid);
        if let Some(current) = current {
            rulings.current.insert(uid.clone(), current.stored.digest);
        }
        match work.finding(&key)? {
            Some(_) => settle_finding(work, context, key)?,
            None => rulings.settled.push(uid.clone()),
        }
    }
    Ok(rulings)
}

/// Brings in line with what was ruled what has come by [`leave`].
pub(super) fn arrive<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyKey,
    rulings: Rulings,
) -> Result<(), StateError> {
    if !rulings.current.is_empty() {
        choose(work, study, &rulings.current)?;
    }
    for uid in rulings.settled {
        work.put_finding(line_of(study, &uid), None);
    }
    Ok(())
}
