//! Instances that came again with other bytes: the first is shown, the further ones are listed, until an operator says
//! which it is to be.

use std::collections::HashMap;

use super::instances::{for_each_chunk, recount};
use super::{Context, past, settle_finding};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{SopInstanceUid, StudyKey, StudyUid};
use crate::instance::{Chunk, InstanceKey};
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
            match entry.image().sop_instance == *uid {
                true if entry.further => versions.further.push(entry.stored.digest),
                true => versions.current = Some(entry.stored.digest),
                false => {}
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
    let Some(before) = work.study(study)? else {
        return Ok(());
    };
    past::keep(work, study)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &before, |at, chunk| chunks.push((at, chunk)))?;
    let mut row = before.clone();
    let mut places = Vec::new();
    for (at, mut chunk) in chunks {
        let mut touched = false;
        for entry in &mut chunk.entries {
            let Some(digest) = chosen.get(&entry.stored.image.sop_instance) else {
                continue;
            };
            let further = entry.stored.digest != *digest;
            if further == entry.further {
                continue;
            }
            touched = true;
            places.push((InstanceKey::of(study, entry), None));
            let counted = entry.is_visible();
            entry.further = further;
            if counted != entry.is_visible() {
                recount(&mut row, at.series, entry);
            }
            places.push((InstanceKey::of(study, entry), Some(at.place())));
        }
        if touched {
            work.put_chunk(at, Some(chunk));
        }
    }
    if before.is_listed() {
        // What one leaves the other takes.
        places.sort_by_key(|(_, place)| place.is_some());
        for (key, place) in places {
            work.put_place(key, place);
        }
    }
    work.put_study(Some(before), Some(row));
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
