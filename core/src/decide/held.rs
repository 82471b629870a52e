//! Instances that match no exam: kept aside, shown once they match, dropped when they have waited too long (R8).

use super::instances::{Arrival, destination, show};
use super::{Context, aside};
use crate::event::HoldExpired;
use crate::ids::{PackId, StudyKey, StudyUid};
use crate::instance::{
    FormerHold, HeldGroup, HeldGroupKey, HeldInstance, HoldReason, SeriesGroup, StoredInstance,
};
use crate::outcome::Outcome;
use crate::state::{State, StateError, Work};

/// Keeps a group aside; what is held already with the same bytes is not held twice.
pub(super) fn hold<S: State>(
    work: &mut Work<'_, S>,
    arrival: Arrival,
    group: &SeriesGroup,
    reason: HoldReason,
) -> Result<(), StateError> {
    let mut held = work.held(&group.study_uid)?;
    let number = held.next_group;
    let mut fresh = Vec::new();
    for instance in &group.instances {
        let known = HeldInstance::of(&group.study_uid, instance);
        if work.held_in(&known)?.is_none() {
            work.put_held_instance(known, Some(number));
            fresh.push(instance.clone());
        }
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let row = HeldGroup {
        pack: arrival.pack,
        position: arrival.position,
        time_ms: arrival.time_ms,
        reason,
        since: arrival.position,
        group: SeriesGroup {
            instances: fresh,
            ..group.clone()
        },
    };
    let at = HeldGroupKey {
        study: group.study_uid.clone(),
        number,
    };
    held.next_group = number.saturating_add(1);
    held.instances = held.instances.saturating_add(row.count());
    work.put_held_group(at, Some(row));
    work.put_held(group.study_uid.clone(), held);
    Ok(())
}

/// Shows held instances of a study that match now. How many.
pub(super) fn adopt<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study_uid: &StudyUid,
) -> Result<u32, StateError> {
    let mut adopted = 0u32;
    for (at, held) in groups(work, study_uid)? {
        match destination(work, &held.group)? {
            Ok(hospital) => {
                aside::align(work, context, study_uid, true)?;
                let study = StudyKey::new(hospital, study_uid.clone());
                // Shown from this record on, so that a question about the past does not see them.
                let arrival = Arrival {
                    pack: held.pack,
                    position: context.position,
                    time_ms: context.time_ms,
                };
                show(work, context, arrival, &study, &held.group)?;
                adopted = adopted.saturating_add(held.count());
                let_go(work, context, at, &held)?;
            }
            Err(reason) if reason != held.reason => {
                end_hold(work, context, &held);
                let since = context.position;
                let held = HeldGroup {
                    reason,
                    since,
                    ..held
                };
                work.put_held_group(at, Some(held));
            }
            Err(_) => {}
        }
    }
    Ok(adopted)
}

/// Drops what a hospital's study has held for too long.
pub(super) fn expired<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &HoldExpired,
) -> Result<Outcome, StateError> {
    for (at, held) in groups(work, &body.study)? {
        if held.group.hospital == body.hospital && held.position <= body.up_to {
            let_go(work, context, at, &held)?;
        }
    }
    Ok(Outcome::Done)
}

/// Drops what is held in these packs: they are lost.
pub(super) fn lost<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    packs: &[PackId],
) -> Result<(), StateError> {
    for (at, held) in groups(work, study)? {
        if packs.contains(&held.pack) {
            let_go(work, context, at, &held)?;
        }
    }
    Ok(())
}

/// Held instances of a study whose copies lie in `pack`, where `copy` says for their place so far, are held there from
/// now on.
pub(super) fn relocate<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyUid,
    pack: PackId,
    copy: impl Fn(PackId, u64) -> Option<u64>,
) -> Result<(), StateError> {
    if work.held(study)?.instances == 0 {
        return Ok(());
    }
    for (at, held) in groups(work, study)? {
        let (mut moved, mut stay) = (Vec::new(), Vec::new());
        for mut instance in held.group.instances.iter().cloned() {
            match copy(held.pack, instance.offset) {
                Some(offset) => {
                    instance.offset = offset;
                    moved.push(instance);
                }
                None => stay.push(instance),
            }
        }
        if !moved.is_empty() {
            part(work, at, &held, pack, moved, stay)?;
        }
    }
    Ok(())
}

/// A held group lies in one pack: instances that leave it for another make a group of their own.
pub(super) fn part<S: State>(
    work: &mut Work<'_, S>,
    mut at: HeldGroupKey,
    held: &HeldGroup,
    pack: PackId,
    moved: Vec<StoredInstance>,
    stay: Vec<StoredInstance>,
) -> Result<(), StateError> {
    let of = |pack, instances| HeldGroup {
        pack,
        group: SeriesGroup {
            instances,
            ..held.group.clone()
        },
        ..held.clone()
    };
    if !stay.is_empty() {
        work.put_held_group(at.clone(), Some(of(held.pack, stay)));
        let mut study_held = work.held(&at.study)?;
        at.number = study_held.next_group;
        study_held.next_group = at.number.saturating_add(1);
        work.put_held(at.study.clone(), study_held);
        for instance in &moved {
            let line = HeldInstance::of(&at.study, instance);
            work.put_held_instance(line, Some(at.number));
        }
    }
    work.put_held_group(at, Some(of(pack, moved)));
    Ok(())
}

/// The held groups of a study, in order of arrival.
fn groups<S: State>(
    work: &Work<'_, S>,
    study: &StudyUid,
) -> Result<Vec<(HeldGroupKey, HeldGroup)>, StateError> {
    let mut groups = Vec::new();
    for number in 0..work.held(study)?.next_group {
        let at = HeldGroupKey {
            study: study.clone(),
            number,
        };
        if let Some(group) = work.held_group(&at)? {
            groups.push((at, group));
        }
    }
    Ok(groups)
}

/// Keeps for questions about the past that a group was held, and why.
fn end_hold<S: State>(work: &mut Work<'_, S>, context: Context<'_>, held: &HeldGroup) {
    let former = FormerHold::of(held, context.position);
    work.changes.former_holds.push(former);
}

fn let_go<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    at: HeldGroupKey,
    group: &HeldGroup,
) -> Result<(), StateError> {
    end_hold(work, context, group);
    for instance in &group.group.instances {
        work.put_held_instance(HeldInstance::of(&at.study, instance), None);
    }
    let mut held = work.held(&at.study)?;
    held.instances = held.instances.saturating_sub(group.count());
    work.put_held(at.study.clone(), held);
    work.put_held_group(at, None);
    Ok(())
}
