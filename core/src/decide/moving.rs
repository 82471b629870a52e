//! Instances that go to another row: to the study of another hospital, or aside.

use super::instances::{Arrival, Standing, add, for_each_chunk, take_out};
use super::{Context, aside, past, versions};
use crate::ids::{HospitalCode, Position, SeriesUid, StudyKey, StudyUid};
use crate::instance::{
    ChunkEntry, Guests, InstanceKey, PatientFacts, SeriesGroup, SetAside, StudyFacts, StudyRow,
};
use crate::state::{State, StateError, Work};

/// Takes a study and its instances out of the views.
pub(super) fn remove_study<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
) -> Result<(), StateError> {
    let Some(row) = work.study(key)? else {
        return Ok(());
    };
    if row.counted.is_some() {
        past::keep(work, key)?;
    }
    let mut chunks = Vec::new();
    for_each_chunk(work, &row, |at, chunk| chunks.push((at, chunk)))?;
    for (at, chunk) in chunks {
        work.put_chunk(at, None);
        for entry in chunk.entries.iter().filter(|_| row.is_listed()) {
            work.put_place(InstanceKey::of(key, entry), None);
        }
    }
    work.put_study(Some(row), None);
    Ok(())
}

/// Gives a study's instances to another hospital.
pub(super) fn rehome<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    from: &StudyKey,
    to: &HospitalCode,
) -> Result<(), StateError> {
    match from.hospital == *to {
        true => Ok(()),
        false => transfer(
            work,
            context,
            from,
            &StudyKey::new(to.clone(), from.study.clone()),
        ),
    }
}

/// Moves a study's instances: the same instances, another key.
pub(super) fn transfer<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    from: &StudyKey,
    target: &StudyKey,
) -> Result<(), StateError> {
    let Some(row) = work.study(from)? else {
        return Ok(());
    };
    past::keep(work, from)?;
    past::keep(work, target)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &row, |at, chunk| chunks.push((at, chunk)))?;
    let rulings = versions::leave(work, context, from, &chunks)?;
    let entries = chunks.into_iter().flat_map(|(at, chunk)| {
        let entries = chunk.entries.into_iter();
        entries.map(move |entry| (at.series, entry))
    });
    let facts = (&row.patient, &row.study);
    put_in(
        work,
        context,
        target,
        &row,
        facts,
        &entries.collect::<Vec<_>>(),
    )?;
    versions::arrive(work, target, rulings)?;
    if let Some(before) = work.study(target)? {
        let mut moved = before.clone();
        moved.taken_for.clone_from(&row.taken_for);
        moved.guests.clone_from(&row.guests);
        moved.came_as.clone_from(&row.came_as);
        for person in &row.other_persons {
            moved.name_person(person);
        }
        work.put_study(Some(before), Some(moved));
    }
    remove_study(work, from)?;
    if from.lot == 0 {
        let mut claims = work.claims(&from.study)?;
        claims.holders.retain(|holder| *holder != from.hospital);
        work.put_claims(from.study.clone(), claims);
    }
    Ok(())
}

/// Adds instances of a study to another row.
fn put_in<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    target: &StudyKey,
    from: &StudyRow,
    (patient, study): (&PatientFacts, &StudyFacts),
    entries: &[(u32, ChunkEntry)],
) -> Result<(), StateError> {
    // Entries that came together go together: each call reads the study again.
    for run in entries.chunk_by(came_together) {
        let Some((series, first)) = run.first() else {
            continue;
        };
        let Some(series) = usize::try_from(*series)
            .ok()
            .and_then(|index| from.series.get(index))
        else {
            continue;
        };
        let group = SeriesGroup {
            hospital: target.hospital.clone(),
            sender: first.sender.clone(),
            study_uid: from.key.study.clone(),
            series_uid: SeriesUid::clone(&series.uid),
            patient: patient.clone(),
            study: study.clone(),
            series: series.facts.clone(),
            instances: run.iter().map(|(_, entry)| entry.stored.clone()).collect(),
        };
        let arrival = Arrival {
            pack: first.pack,
            // There from this record on, so that a question about the past sees it where it was.
            position: context.position,
            time_ms: context.time_ms,
        };
        add(work, context, arrival, target, &group, standing_of(first))?;
    }
    Ok(())
}

fn came_together((a_series, a): &(u32, ChunkEntry), (b_series, b): &(u32, ChunkEntry)) -> bool {
    a_series == b_series
        && (&a.sender, a.pack, standing_of(a)) == (&b.sender, b.pack, standing_of(b))
}

fn standing_of(entry: &ChunkEntry) -> Standing {
    Standing {
        hidden: entry.hidden,
        guest: entry.guest,
    }
}

/// Sets aside, for the patient that it was ruled for, what came under rulings from this one on with that patient's numbers:
/// the rulings do not stand any more.
pub(super) fn part<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    since: Position,
) -> Result<(), StateError> {
    for hospital in work.claims(study)?.holders {
        let key = StudyKey::new(hospital, study.clone());
        let Some(row) = work.study(&key)? else {
            continue;
        };
        let before = row.guests.iter().filter(|guests| guests.ruling < since);
        let stay = before.count();
        if stay == row.guests.len() {
            continue;
        }
        let is_going = |entry: &ChunkEntry| usize::try_from(entry.guest).is_ok_and(|at| at > stay);
        let taken = take_out(work, context, &key, is_going)?;
        if let Some(parted) = work.study(&key)? {
            let mut left = parted.clone();
            left.guests.truncate(stay);
            work.put_study(Some(parted), Some(left));
        }
        for (guests, at) in row.guests.iter().zip(1u32..).skip(stay) {
            let own = taken.iter().filter(|(_, entry)| entry.guest == at);
            let own: Vec<_> = own.cloned().collect();
            seat(work, context, &row, guests, own)?;
        }
    }
    Ok(())
}

/// Adds guests that have left a study to what is set aside for their patient.
fn seat<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    from: &StudyRow,
    guests: &Guests,
    mut entries: Vec<(u32, ChunkEntry)>,
) -> Result<(), StateError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut claims = work.claims(&from.key.study)?;
    let hospital = guests.taken_for.exam.hospital.clone();
    let known = claims.aside.iter().find(|aside| {
        let taken_for = aside.taken_for.as_ref();
        aside.hospital == hospital
            && taken_for.is_some_and(|known| known.is_same(&guests.taken_for))
    });
    let lot = known.map_or_else(|| aside::free_lot(&claims, &hospital), |aside| aside.lot);
    if known.is_none() {
        claims.aside.push(SetAside {
            hospital: hospital.clone(),
            lot,
            taken_for: Some(guests.taken_for.clone()),
        });
        work.put_claims(from.key.study.clone(), claims);
    }
    let target = StudyKey::new(hospital, from.key.study.clone()).with_lot(lot);
    past::keep(work, &target)?;
    // The one that is seen of several versions comes first, and so is seen there.
    entries.sort_by_key(|(_, entry)| entry.further);
    for (_, entry) in &mut entries {
        entry.guest = 0;
    }
    let facts = (&guests.patient, &guests.study);
    put_in(work, context, &target, from, facts, &entries)?;
    if let Some(before) = work.study(&target)? {
        let mut row = before.clone();
        row.taken_for = Some(guests.taken_for.clone());
        for person in &guests.other_persons {
            row.name_person(person);
        }
        work.put_study(Some(before), Some(row));
    }
    Ok(())
}
