//! Images of two patients under one study UID never lie in one row, though a hospital may send them: a push of the wrong
//! patient is withdrawn, the right one pushed, and the images come again.
//!
//! The row that readers see is that of the one whose the study is. What was taken in for another patient is set aside, with
//! all that it has, and comes back when the study is that patient's again.

use super::{Context, moving};
use crate::ids::{HospitalCode, StudyKey, StudyUid};
use crate::instance::{SetAside, StudyClaims, TakenFor, covers};
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
    // After a ruling the images are the exam's, whosever they were.
    if claims.ruled_for.is_some() || claims.holders.is_empty() && claims.aside.is_empty() {
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
        if !row.taken_for.as_ref().is_some_and(is_his) {
            // The exam's patient was corrected, and the images are the exam's.
            let mut corrected = row.clone();
            corrected.taken_for = Some(TakenFor::of(owner));
            work.put_study(current, Some(corrected));
        }
        return Ok(false);
    }
    let own = claims
        .aside
        .iter()
        .find(|aside| aside.is_same_person(owner));
    let own = own.map(|aside| key.with_lot(aside.lot));
    if current.is_none() && own.is_none() || own.is_none() && !room {
        return Ok(false);
    }
    if let Some(row) = current {
        let lot = free_lot(&claims, &key.hospital);
        moving::transfer(work, context, &key, &key.with_lot(lot))?;
        let mut claims = work.claims(study)?;
        claims.aside.push(SetAside {
            hospital: key.hospital.clone(),
            lot,
            taken_for: row.taken_for,
        });
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
