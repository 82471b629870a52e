//! Who claims a study UID, whose its images are (R7), and what follows for the exams that claim it.

use std::collections::BTreeSet;

use super::exam::registered;
use super::{Context, aside, held, instances};
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{ExamKey, HospitalCode, StudyKey, StudyUid};
use crate::instance::{CLAIM_LIMIT, Claim, StudyClaims, covers};
use crate::state::{State, StateError, Work};

/// Brings claims in line with the row and shows what was held for it, or for those who claim the same studies; sets
/// the row's flags and theirs. How many instances are shown now.
pub(super) fn take_claims<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<&ExamRow>,
    row: &mut ExamRow,
) -> Result<u32, StateError> {
    reclaim(work, context, before, row)?;
    let touched: BTreeSet<StudyUid> = before
        .into_iter()
        .flat_map(|before| &before.studies)
        .chain(&row.studies)
        .map(|study| study.uid.clone())
        .chain(row.moved.iter().cloned())
        .collect();
    let mut adopted = 0u32;
    for study in &touched {
        aside::align(work, context, study, false)?;
        adopted = adopted.saturating_add(held::adopt(work, context, study)?);
    }
    set_standing(work, context, row)?;
    for study in &touched {
        settle(work, context, study, Some(&row.key))?;
    }
    Ok(adopted)
}

/// Whose the row's studies are, and the flags that follow from it.
pub(super) fn set_standing<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    row: &mut ExamRow,
) -> Result<(), StateError> {
    let mut conflict = false;
    for index in 0..row.studies.len() {
        let Some(declared) = row.studies.get_mut(index) else {
            break;
        };
        let claims = work.claims(&declared.uid)?;
        let is_own = |claim: &Claim| claim.exam == row.key;
        let is_foreign = !claims.owning().any(is_own)
            || are_anothers(work, &claims, &row.key.hospital, &declared.uid)?;
        declared.foreign = row.withdrawn.is_none() && is_foreign;
        let claimed = claims.active().any(is_own);
        let full = claims.claims.len() >= CLAIM_LIMIT && !claims.claims.iter().any(is_own);
        conflict |= full || claimed && claims.is_in_conflict(work.registry().rules);
    }
    row.set(ExamFlag::StudyConflict, conflict && row.withdrawn.is_none());
    let doubtful = instances::doubts(work, context, row)?;
    row.set(ExamFlag::IdentityDoubt, doubtful);
    Ok(())
}

/// Whether the images that are here were taken in for another patient than the one whose the study is.
fn are_anothers<S: State>(
    work: &Work<'_, S>,
    claims: &StudyClaims,
    hospital: &HospitalCode,
    study: &StudyUid,
) -> Result<bool, StateError> {
    if !claims.holders.contains(hospital) {
        return Ok(false);
    }
    let row = work.study(&StudyKey::new(hospital.clone(), study.clone()))?;
    Ok(row.is_some_and(|row| !covers(work.registry(), claims, &row)))
}

/// Brings the other exams that claim a study in line with claims that have changed.
pub(super) fn settle<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    except: Option<&ExamKey>,
) -> Result<(), StateError> {
    for claim in work.claims(study)?.claims {
        if except == Some(&claim.exam) {
            continue;
        }
        let Some(before) = work.exam(&claim.exam)? else {
            continue;
        };
        let mut row = before.clone();
        set_standing(work, context, &mut row)?;
        if row != before {
            work.changes.history.push(ExamHistory {
                position: context.position,
                time_ms: context.time_ms,
                step: ExamStep::Corrected,
                content: None,
                row: row.clone(),
            });
            work.put_exam(Some(before), Some(row));
        }
    }
    Ok(())
}

/// Takes an exam that is gone out of claims; a ruling for it ends with it, and the others claim as if it had never been.
pub(super) fn forget(claims: &mut StudyClaims, gone: &ExamKey) {
    claims.claims.retain(|claim| claim.exam != *gone);
    claims.ruled_for.take_if(|exam| exam == gone);
}

/// Brings the claims on study UIDs in line with the row.
fn reclaim<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<&ExamRow>,
    row: &ExamRow,
) -> Result<(), StateError> {
    for declared in before.into_iter().flat_map(|row| &row.studies) {
        if !row.has_study(&declared.uid) {
            let mut claims = work.claims(&declared.uid)?;
            for claim in claims
                .claims
                .iter_mut()
                .filter(|claim| claim.exam == row.key)
            {
                claim.released = true;
            }
            put_claims(work, context, &declared.uid, claims)?;
        }
    }
    for declared in &row.studies {
        let mut claims = work.claims(&declared.uid)?;
        let full = claims.claims.len() >= CLAIM_LIMIT;
        let position = row.first_position;
        let patient_id = registered::patient_id_of(work, row, &declared.uid)?;
        match claims.claims.iter_mut().find(|claim| claim.exam == row.key) {
            Some(claim) => {
                claim.sick_id.clone_from(&row.sick_id);
                claim.patient_id.clone_from(&patient_id);
                claim.accession_no.clone_from(&declared.accession_no);
                claim.trial = row.has(ExamFlag::Test);
                // A claim that lapsed and comes back stands behind those made meanwhile.
                let was_in_force = before.is_some_and(|before| {
                    before.withdrawn.is_none()
                        && before.studies.iter().any(|study| study.uid == declared.uid)
                });
                if claim.released && was_in_force {
                    // An operator released it: a new version does not take it back.
                } else {
                    if !was_in_force && row.withdrawn.is_none() {
                        claim.position = context.position;
                    }
                    claim.released = row.withdrawn.is_some();
                }
            }
            None if full => {}
            None => claims.claims.push(Claim {
                exam: row.key.clone(),
                position: if before.is_some() {
                    context.position
                } else {
                    position
                },
                sick_id: row.sick_id.clone(),
                patient_id,
                accession_no: declared.accession_no.clone(),
                released: row.withdrawn.is_some(),
                trial: row.has(ExamFlag::Test),
            }),
        }
        put_claims(work, context, &declared.uid, claims)?;
    }
    reclaim_moved(work, context, before, row)
}

/// Studies that an operator gave to the exam are hidden and shown with it, and follow its numbers.
fn reclaim_moved<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<&ExamRow>,
    row: &ExamRow,
) -> Result<(), StateError> {
    let was_withdrawn = before.is_some_and(|before| before.withdrawn.is_some());
    let changes = was_withdrawn != row.withdrawn.is_some();
    for uid in &row.moved {
        let mut claims = work.claims(uid)?;
        let patient_id = registered::patient_id_of(work, row, uid)?;
        for claim in claims
            .claims
            .iter_mut()
            .filter(|claim| claim.exam == row.key)
        {
            claim.sick_id.clone_from(&row.sick_id);
            claim.patient_id.clone_from(&patient_id);
            if changes {
                claim.released = row.withdrawn.is_some();
            }
        }
        put_claims(work, context, uid, claims)?;
    }
    Ok(())
}

/// Writes claims and keeps the conflict list in step with them.
pub(super) fn put_claims<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    claims: StudyClaims,
) -> Result<(), StateError> {
    let rules = work.registry().rules;
    let is_listed = |claims: &StudyClaims| claims.is_in_conflict(rules);
    // The list has a line for each hospital that claims the study: each sees its own conflicts.
    let hospitals_of = |claims: &StudyClaims| -> BTreeSet<HospitalCode> {
        claims
            .active()
            .map(|claim| claim.exam.hospital.clone())
            .collect()
    };
    let key = |hospital| FindingKey {
        kind: FindingKind::StudyConflict,
        hospital,
        subject: study.as_str().to_owned(),
    };
    let before = work.claims(study)?;
    if is_listed(&before) {
        for hospital in hospitals_of(&before) {
            work.put_finding(key(hospital), None);
        }
    }
    if is_listed(&claims) {
        let exams: Vec<String> = claims
            .active()
            .map(|claim| claim.exam.to_string())
            .collect();
        for hospital in hospitals_of(&claims) {
            let row = FindingRow {
                position: context.position,
                since: context.position,
                time_ms: context.time_ms,
                exams: exams.clone(),
                detail: vec!["studyUID".to_owned()],
            };
            work.put_finding(key(hospital), Some(row));
        }
    }
    work.put_claims(study.clone(), claims);
    Ok(())
}
