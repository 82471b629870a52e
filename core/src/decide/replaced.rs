//! Instances that were stored anew because the copy that was there can no longer be read: they lie in the new place from
//! now on, and nothing else of them changes.

use std::collections::BTreeMap;

use super::{Context, held, instances};
use crate::ids::{PackId, StudyKey, StudyUid};
use crate::instance::{
    HeldGroupKey, HeldInstance, InstanceKey, InstancesStored, StoredInstance, StudyRow,
};
use crate::outcome::Outcome;
use crate::state::{ChunkKey, State, StateError, Work};

/// What is neither shown nor held any more comes as any other instance.
pub(super) fn stored_anew<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &InstancesStored,
) -> Result<Outcome, StateError> {
    if work.pack(body.pack)?.compacted.is_some() {
        return Ok(Outcome::Done);
    }
    for group in &body.groups {
        for study in work.claims(&group.study_uid)?.homes(&group.study_uid) {
            shown(work, &study, body.pack, &group.instances)?;
        }
        kept_aside(work, &group.study_uid, body.pack, &group.instances)?;
    }
    instances::stored(work, context, body)
}

fn shown<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyKey,
    pack: PackId,
    instances: &[StoredInstance],
) -> Result<(), StateError> {
    let Some(before) = work.study(study)? else {
        return Ok(());
    };
    let mut row = before.clone();
    for anew in instances {
        for at in chunks_that_may_hold(work, &row, anew)? {
            let Some(mut chunk) = work.chunk(&at)? else {
                continue;
            };
            let mut entries = chunk.entries.iter_mut();
            let Some(entry) = entries.find(|entry| is_same(&entry.stored, anew)) else {
                continue;
            };
            let others = row.bytes.saturating_sub(entry.stored.length);
            row.bytes = others.saturating_add(anew.length);
            entry.pack = pack;
            move_to(&mut entry.stored, anew);
            work.put_chunk(at, Some(chunk));
        }
    }
    work.put_study(Some(before), Some(row));
    Ok(())
}

fn chunks_that_may_hold<S: State>(
    work: &Work<'_, S>,
    row: &StudyRow,
    instance: &StoredInstance,
) -> Result<Vec<ChunkKey>, StateError> {
    if !row.is_listed() {
        return Ok(ChunkKey::all_of(row).collect());
    }
    let first = InstanceKey::first(&row.key, &instance.image.sop_instance);
    let version = InstanceKey {
        version: Some(instance.digest),
        ..first.clone()
    };
    let mut chunks = Vec::new();
    for line in [first, version] {
        let place = work.place(&line)?;
        chunks.extend(place.map(|place| ChunkKey::of(&row.key, place)));
    }
    Ok(chunks)
}

fn kept_aside<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyUid,
    pack: PackId,
    instances: &[StoredInstance],
) -> Result<(), StateError> {
    let mut anew: BTreeMap<u32, Vec<&StoredInstance>> = BTreeMap::new();
    for instance in instances {
        if let Some(number) = work.held_in(&HeldInstance::of(study, instance))? {
            anew.entry(number).or_default().push(instance);
        }
    }
    for (number, anew) in anew {
        let at = HeldGroupKey {
            study: study.clone(),
            number,
        };
        let Some(group) = work.held_group(&at)? else {
            continue;
        };
        let (mut moved, mut stay) = (Vec::new(), Vec::new());
        for mut instance in group.group.instances.iter().cloned() {
            match anew.iter().find(|anew| is_same(&instance, anew)) {
                Some(anew) => {
                    move_to(&mut instance, anew);
                    moved.push(instance);
                }
                None => stay.push(instance),
            }
        }
        held::part(work, at, &group, pack, moved, stay)?;
    }
    Ok(())
}

fn is_same(stored: &StoredInstance, anew: &StoredInstance) -> bool {
    stored.digest == anew.digest && stored.image.sop_instance == anew.image.sop_instance
}

fn move_to(stored: &mut StoredInstance, anew: &StoredInstance) {
    stored.offset = anew.offset;
    stored.length = anew.length;
}
