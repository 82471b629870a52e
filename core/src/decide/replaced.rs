//! Instances that were stored anew because the copy that was there can no longer be read: they lie in the new place from
//! now on, and nothing else of them changes.

use std::collections::HashMap;

use super::{Context, held, instances};
use crate::ids::{PackId, SopInstanceUid, StudyKey, StudyUid};
use crate::instance::{HeldGroup, HeldInstance, InstanceKey, InstancesStored, SeriesGroup};
use crate::instance::{StoredInstance, StudyRow};
use crate::outcome::Outcome;
use crate::state::{ChunkKey, State, StateError, Work};

/// What is neither shown nor held any more comes as any other instance.
pub(super) fn stored_anew<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &InstancesStored,
) -> Result<Outcome, StateError> {
    for group in &body.groups {
        for hospital in work.claims(&group.study_uid)?.holders {
            let study = StudyKey {
                hospital,
                study: group.study_uid.clone(),
            };
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

/// A held group lies in one pack: instances that leave it for another make a group of their own.
fn kept_aside<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyUid,
    pack: PackId,
    instances: &[StoredInstance],
) -> Result<(), StateError> {
    let mut anew: HashMap<(&SopInstanceUid, [u8; 16]), &StoredInstance> = HashMap::new();
    for instance in instances {
        let held = HeldInstance {
            study: study.clone(),
            sop_instance: instance.image.sop_instance.clone(),
            digest: instance.digest,
        };
        if work.holds(&held)? {
            anew.insert((&instance.image.sop_instance, instance.digest), instance);
        }
    }
    if anew.is_empty() {
        return Ok(());
    }
    for (at, group) in held::groups(work, study)? {
        let replaced = |instance: &StoredInstance| {
            anew.get(&(&instance.image.sop_instance, instance.digest))
                .copied()
        };
        let (mut moved, stay): (Vec<_>, Vec<_>) = (group.group.instances.iter().cloned())
            .partition(|instance| replaced(instance).is_some());
        for instance in &mut moved {
            if let Some(anew) = replaced(instance) {
                move_to(instance, anew);
            }
        }
        if moved.is_empty() {
            continue;
        }
        let of = |pack, instances| HeldGroup {
            pack,
            group: SeriesGroup {
                instances,
                ..group.group.clone()
            },
            ..group.clone()
        };
        let mut moved_at = at.clone();
        if !stay.is_empty() {
            let mut held = work.held(study)?;
            moved_at.number = held.next_group;
            held.next_group = held.next_group.saturating_add(1);
            work.put_held(study.clone(), held);
            work.put_held_group(at, Some(of(group.pack, stay)));
        }
        work.put_held_group(moved_at, Some(of(pack, moved)));
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
