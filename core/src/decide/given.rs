//! What queries answer of a study that an operator ruled on, or whose images' numbers are no exam's any more, and by whose
//! numbers a study is found, kept in step with its exams and the claims.

use std::collections::BTreeSet;

use crate::ids::{StudyKey, StudyUid};
use crate::instance::{
    ALSO_LIMIT, Claim, Given, Numbers, StudyClaims, StudyRow, covers, has_numbers_of,
};
use crate::registry::Registry;
use crate::state::{State, StateError, Work};

/// The last step of every record: whatever it changed of whose a study is went through its claims, an exam's new numbers
/// too, and what it learnt of the scan is in the study's row.
pub(super) fn keep_in_step<S: State>(work: &mut Work<'_, S>) -> Result<(), StateError> {
    let given = work.changes.studies.iter().filter(|(_, study)| {
        let row = study.after.as_ref();
        row.is_some_and(|row| row.given.is_some())
    });
    let mut studies: BTreeSet<StudyUid> = given.map(|(key, _)| key.study.clone()).collect();
    studies.extend(work.changes.claims.keys().cloned());
    for uid in studies {
        let claims = work.claims(&uid)?;
        if claims.holders.is_empty() {
            continue;
        }
        let ruled_for = claims.ruled_for.as_ref().and(claims.owner());
        // A trial's numbers do not lead to what is live.
        let is_live = claims.owner().is_some_and(|owner| !owner.trial);
        let owning = claims.owning().filter(|claim| !(is_live && claim.trial));
        let owning: Vec<Claim> = owning.cloned().collect();
        let exam = match ruled_for {
            Some(claim) => work.exam(&claim.exam)?,
            None => None,
        };
        for hospital in &claims.holders {
            let key = StudyKey::new(hospital.clone(), uid.clone());
            let Some(before) = work.study(&key)? else {
                continue;
            };
            let given = exam
                .as_ref()
                .filter(|exam| exam.key.hospital == key.hospital)
                .map(|exam| Given::of(exam, &uid, &before.study));
            let mut row = before.clone();
            row.given = given.or_else(|| renumbered(work.registry(), &claims, &before));
            row.also = also(&row, &owning);
            if row != before {
                work.put_study(Some(before), Some(row));
            }
        }
    }
    Ok(())
}

/// What is answered where no exam has the images' numbers any more: its form was withdrawn, or they were corrected.
fn renumbered(registry: &Registry, claims: &StudyClaims, row: &StudyRow) -> Option<Given> {
    let owner = claims.owner().filter(|_| claims.ruled_for.is_none())?;
    let has_numbers = |claim| has_numbers_of(registry, claim, row);
    if claims.owning().any(has_numbers) || !covers(registry, claims, row) {
        return None;
    }
    Some(Given::renumbered(owner, row))
}

/// What its exams call the study, where that is not what is answered. A number that an exam does not tell is the images'.
fn also(row: &StudyRow, owning: &[Claim]) -> Vec<Numbers> {
    let (patient, study) = row.answered();
    let mut also = Vec::new();
    let own = owning
        .iter()
        .filter(|claim| claim.exam.hospital == row.key.hospital);
    for numbers in own.map(|claim| Numbers::of(claim, &study.accession_no)) {
        let is_answered =
            numbers.patient_id == patient.id && numbers.accession_no == study.accession_no;
        if !is_answered && !also.contains(&numbers) && also.len() < ALSO_LIMIT {
            also.push(numbers);
        }
    }
    also
}
