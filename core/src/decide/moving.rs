//! Instances that go to another row: to the study of another hospital, or aside.

use super::instances::{Arrival, Edit, Standing, add, edit, for_each_chunk, take_out};
use super::{Context, aside, past, versions};
use crate::ids::{HospitalCode, SeriesUid, StudyKey, StudyUid};
use crate::instance::{
    ChunkEntry, Guests, InstanceKey, PatientFacts, SeriesGroup, SetAside, StudyFacts, StudyRow,
    TakenFor, covers,
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
        moved.ruled_for.clone_from(&row.ruled_for);
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
        let standing = Standing {
            hides: from.hides_of(first).to_vec(),
            guest: first.guest,
        };
        add(work, context, arrival, target, &group, standing)?;
    }
    Ok(())
}

fn came_together((a_series, a): &(u32, ChunkEntry), (b_series, b): &(u32, ChunkEntry)) -> bool {
    let how = |entry: &ChunkEntry| (entry.pack, entry.hidden, entry.guest);
    a_series == b_series && a.sender == b.sender && how(a) == how(b)
}

/// Sets aside, each for his patient, guests that are not of the one for whom the study is ruled now.
pub(super) fn part<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
) -> Result<(), StateError> {
    let claims = work.claims(study)?;
    let mut all = claims.claims.iter();
    let ruled_for = all.find(|claim| claims.ruled_for.as_ref() == Some(&claim.exam));
    let stays =
        |guests: &Guests| ruled_for.is_some_and(|claim| guests.taken_for.is_same_person(claim));
    for hospital in &claims.holders {
        let key = StudyKey::new(hospital.clone(), study.clone());
        let Some(row) = work.study(&key)? else {
            continue;
        };
        if row.guests.iter().all(stays) {
            continue;
        }
        let mut next = 0u32;
        let numbers = row.guests.iter().map(|guests| {
            next += u32::from(stays(guests));
            if stays(guests) { next } else { 0 }
        });
        let numbers: Vec<u32> = numbers.collect();
        let number_of = |entry: &ChunkEntry| {
            let at = usize::try_from(entry.guest).unwrap_or(usize::MAX);
            at.checked_sub(1).and_then(|at| numbers.get(at).copied())
        };
        let taken = take_out(work, context, &key, |entry| number_of(entry) == Some(0))?;
        edit(work, &key, |_, entry| match number_of(entry) {
            Some(number) if number != entry.guest => {
                entry.guest = number;
                Edit::Changed
            }
            _ => Edit::Kept,
        })?;
        if let Some(parted) = work.study(&key)? {
            let mut left = parted.clone();
            left.guests.retain(stays);
            work.put_study(Some(parted), Some(left));
        }
        for (guests, at) in row.guests.iter().zip(1u32..) {
            let own = taken.iter().filter(|(_, entry)| entry.guest == at);
            let own: Vec<_> = own.cloned().collect();
            seat(work, context, &row, guests, own)?;
        }
    }
    Ok(())
}

/// What was set aside for the one for whom the study is ruled now comes to the images that he was given.
pub(super) fn join<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
) -> Result<(), StateError> {
    let claims = work.claims(study)?;
    let Some(owner) = claims.owner().filter(|_| claims.ruled_for.is_some()) else {
        return Ok(());
    };
    let key = StudyKey::new(owner.exam.hospital.clone(), study.clone());
    let own = claims
        .aside
        .iter()
        .find(|aside| aside.hospital == key.hospital && aside.is_same_person(owner));
    let (Some(own), Some(row)) = (own, work.study(&key)?) else {
        return Ok(());
    };
    if !covers(work.registry(), &claims, &row) {
        return Ok(());
    }
    let from = key.with_lot(own.lot);
    let Some(lot) = work.study(&from)? else {
        return Ok(());
    };
    past::keep(work, &key)?;
    past::keep(work, &from)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &lot, |at, chunk| chunks.push((at, chunk)))?;
    versions::leave(work, context, &from, &chunks)?;
    let is_his = row
        .taken_for
        .as_ref()
        .is_some_and(|it| it.is_same_person(owner));
    let mut guests = row.guests.clone();
    let number = match is_his {
        true => 0,
        false => {
            let is_known = |known: &Guests| {
                (&known.patient.id, &known.study.accession_no)
                    == (&lot.patient.id, &lot.study.accession_no)
            };
            let at = guests.iter().position(is_known).unwrap_or(guests.len());
            if at == guests.len() {
                guests.push(Guests {
                    taken_for: TakenFor::of(owner),
                    patient: lot.patient.clone(),
                    study: lot.study.clone(),
                    other_persons: lot.other_persons.clone(),
                });
            }
            u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
        }
    };
    let entries = chunks.into_iter().flat_map(|(at, chunk)| {
        let entries = chunk.entries.into_iter();
        entries.map(move |entry| {
            (
                at.series,
                ChunkEntry {
                    guest: number,
                    ..entry
                },
            )
        })
    });
    let mut entries: Vec<_> = entries.collect();
    // The one that is seen of several versions comes first, and so is seen there.
    entries.sort_by_key(|(_, entry)| entry.further);
    put_in(
        work,
        context,
        &key,
        &lot,
        (&lot.patient, &lot.study),
        &entries,
    )?;
    if let Some(before) = work.study(&key)? {
        let mut joined = before.clone();
        joined.guests = guests;
        if is_his {
            for person in &lot.other_persons {
                joined.name_person(person);
            }
        }
        work.put_study(Some(before), Some(joined));
    }
    remove_study(work, &from)?;
    let mut claims = work.claims(study)?;
    claims
        .aside
        .retain(|aside| (&aside.hospital, aside.lot) != (&from.hospital, from.lot));
    work.put_claims(study.clone(), claims);
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
            ruled_for: None,
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
