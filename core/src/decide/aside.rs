//! Images of two patients under one study UID never lie in one row, though a hospital may send them: a push of the wrong
//! patient is withdrawn, the right one pushed, and the images come again.
//!
//! The row that readers see is that of the one whose the study is. What was taken in for another patient is set aside, with
//! all that it has, and comes back when the study is that patient's again.

use super::{Context, moving};
use crate::event::RULINGS_SINCE_RULES;
use crate::ids::{HospitalCode, StudyKey, StudyUid};
use crate::instance::{Claim, SetAside, StudyClaims, TakenFor, covers};
use crate::state::{State, StateError, Work};

/// Brings a study's rows in line with whose it is: another patient's images make room if there are images of the owner's,
/// or, with `room`, if such are about to come. Whether anything was moved.
pub(super) fn align<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    room: bool,
) -> Result<bool, StateError> {
    let claims = work.claims(study)?;
    let is_ruled = claims.ruled_for.is_some();
    let is_narrow = work.registry().rules >= RULINGS_SINCE_RULES;
    // Before, after a ruling whatever was there was the exam's.
    if is_ruled && !is_narrow || claims.holders.is_empty() && claims.aside.is_empty() {
        return Ok(false);
    }
    let Some(owner) = claims.owner() else {
        return Ok(false);
    };
    let key = StudyKey::new(owner.exam.hospital.clone(), study.clone());
    let current = work.study(&key)?;
    if let Some(row) = &current
        && covers(work.registry(), &claims, row)
    {
        let is_his = |taken_for: &TakenFor| taken_for.is_same_person(owner);
        if !is_ruled && !row.taken_for.as_ref().is_some_and(is_his) {
            // The exam's patient was corrected, and the images are the exam's.
            let mut corrected = row.clone();
            corrected.taken_for = Some(TakenFor::of(owner));
            work.put_study(current, Some(corrected));
        }
        return Ok(false);
    }
    let own = rightful(work, &claims, owner, &key)?;
    if current.is_none() && own.is_none() || own.is_none() && !room {
        return Ok(false);
    }
    if let Some(row) = current {
        let lot = free_lot(&claims, &key.hospital);
        moving::transfer(work, context, &key, &key.with_lot(lot))?;
        let mut claims = work.claims(study)?;
        claims.aside.push(SetAside::of(&row, lot));
        work.put_claims(study.clone(), claims);
    }
    if let Some(own) = own {
        moving::transfer(work, context, &own, &key)?;
        let mut claims = work.claims(study)?;
        claims
            .aside
            .retain(|aside| (&aside.hospital, aside.lot) != (&own.hospital, own.lot));
        work.put_claims(study.clone(), claims);
    }
    Ok(true)
}

/// The row that is to be seen: what the owner was given, else what was taken in for him. It was set aside, or, since rules
/// version 3, is where a ruling took it, in another hospital.
fn rightful<S: State>(
    work: &Work<'_, S>,
    claims: &StudyClaims,
    owner: &Claim,
    key: &StudyKey,
) -> Result<Option<StudyKey>, StateError> {
    let mut rows = Vec::new();
    for aside in &claims.aside {
        let home = aside.home(&key.study);
        rows.push((home, aside.ruled_for.clone(), aside.is_same_person(owner)));
    }
    let others = claims.holders.iter();
    let others = others.filter(|_| work.registry().rules >= RULINGS_SINCE_RULES);
    for hospital in others.filter(|hospital| **hospital != key.hospital) {
        let home = StudyKey::new(hospital.clone(), key.study.clone());
        if let Some(row) = work.study(&home)? {
            let taken_for = row.taken_for.as_ref();
            let is_his = taken_for.is_some_and(|taken_for| taken_for.is_same_person(owner));
            rows.push((home, row.ruled_for, is_his));
        }
    }
    let is_given = |ruled_for: &Option<_>| ruled_for.is_some() && *ruled_for == claims.ruled_for;
    let given = rows.iter().find(|(_, ruled_for, _)| is_given(ruled_for));
    let found = given.or_else(|| rows.iter().find(|(_, _, is_his)| *is_his));
    Ok(found.map(|(home, ..)| home.clone()))
}

pub(super) fn free_lot(claims: &StudyClaims, hospital: &HospitalCode) -> u16 {
    let lots = claims
        .aside
        .iter()
        .filter(|aside| aside.hospital == *hospital);
    lots.map(|aside| aside.lot)
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}
