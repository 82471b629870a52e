//! Whose a study's images are: moved to another exam, released, or ruled on (R7).

use super::super::{Context, aside, claims, held, moving};
use super::{Ruled, conflict, no_exam, no_study, not_found, record};
use crate::correction::Before;
use crate::event::RULINGS_SINCE_RULES;
use crate::exam::{ExamFlag, ExamRow, ExamStep, MOVED_LIMIT};
use crate::ids::{ExamKey, HospitalCode, StudyKey, StudyUid};
use crate::instance::{Claim, StudyClaims};
use crate::outcome::Refusal;
use crate::state::{State, StateError, Work};

pub(super) fn move_study<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    to: &ExamKey,
) -> Result<Ruled, StateError> {
    let (uid, from) = (&study.study, &study.hospital);
    if work.study(study)?.is_none() {
        return Ok(Err(no_study()));
    }
    let Some(exam) = work.exam(to)? else {
        return Ok(Err(no_exam()));
    };
    let before = work.claims(uid)?;
    if let Err(refusal) = meets_no_others(&before, from, &to.hospital) {
        return Ok(Err(refusal));
    }
    let refused = |message| Ok(Err(conflict("to", message)));
    if exam.withdrawn.is_some() {
        return refused("目标检查已撤回 (the exam it is to go to is withdrawn)");
    }
    if exam.moved.contains(uid) {
        return refused("影像已归目标检查 (the images are this exam's already)");
    }
    if exam.moved.len() >= MOVED_LIMIT {
        return refused("移入该检查的 Study 过多 (too many studies were moved to this exam)");
    }
    if let Err(refusal) = may_be_ruled(work, study, &exam)? {
        return Ok(Err(refusal));
    }
    let given = given(work, uid, &before)?;
    let mut claims = before.clone();
    if let Some(given) = &given {
        take_from(work, context, uid, given, &mut claims)?;
    }
    for claim in &mut claims.claims {
        claim.released = true;
    }
    claims.claims.retain(|claim| claim.exam != *to);
    let declared = exam.studies.iter().find(|declared| declared.uid == *uid);
    claims.claims.push(Claim {
        exam: to.clone(),
        position: context.position,
        sick_id: exam.sick_id.clone(),
        patient_id: exam.patient_id.clone(),
        accession_no: declared.and_then(|declared| declared.accession_no.clone()),
        released: false,
        trial: exam.has(ExamFlag::Test),
    });
    claims.ruled_for = Some(to.clone());
    claims.corrected = Some(context.position);
    claims.ruled_at = Some(context.position);
    let marked = mark(work, study, to)?;
    give(work, context, uid, to)?;
    put(work, context, uid, claims, Some((from, &to.hospital)))?;
    Ok(Ok(Before::Claims {
        study: uid.clone(),
        claims: before,
        given,
        from: Some(from.clone()),
        marked,
    }))
}

pub(super) fn release<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    exam: &ExamKey,
) -> Result<Ruled, StateError> {
    let before = work.claims(study)?;
    let mut claims = before.clone();
    let Some(claim) = in_force(&mut claims, exam) else {
        return Ok(Err(claims_not("study")));
    };
    claim.released = true;
    if claims.ruled_for.as_ref() == Some(exam) {
        claims.ruled_for = None;
    }
    claims.corrected = Some(context.position);
    let given = given(work, study, &before)?;
    if given.as_ref() == Some(exam) {
        take_from(work, context, study, exam, &mut claims)?;
    }
    // Images stay where they are: without a matching claim they are hidden.
    put(work, context, study, claims, None)?;
    Ok(Ok(Before::Claims {
        study: study.clone(),
        claims: before,
        given,
        from: None,
        marked: None,
    }))
}

pub(super) fn rule<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    exam: &ExamKey,
) -> Result<Ruled, StateError> {
    let before = work.claims(study)?;
    let mut claims = before.clone();
    let Some(claim) = in_force(&mut claims, exam).cloned() else {
        return Ok(Err(claims_not("exam")));
    };
    let row = work.exam(exam)?;
    claims.ruled_for = Some(exam.clone());
    claims.corrected = Some(context.position);
    claims.ruled_at = Some(context.position);
    // Images that were taken in for him are his; else he gets those that are there, where the one is whose they were.
    let has_own = has_own(work, study, &before, &claim)?;
    let owner = before.owner().map(|claim| &claim.exam);
    let from = before
        .ruled_for
        .as_ref()
        .or(owner)
        .map(|exam| exam.hospital.clone())
        .filter(|from| *from != exam.hospital && before.holders.contains(from) && !has_own);
    if let Some(from) = &from
        && let Err(refusal) = meets_no_others(&before, from, &exam.hospital)
    {
        return Ok(Err(refusal));
    }
    let home = from.as_ref().unwrap_or(&exam.hospital).clone();
    let home = StudyKey::new(home, study.clone());
    if let Some(row) = row.filter(|_| !has_own)
        && let Err(refusal) = may_be_ruled(work, &home, &row)?
    {
        return Ok(Err(refusal));
    }
    let given = given(work, study, &before)?;
    if let Some(given) = given.as_ref().filter(|given| *given != exam) {
        take_from(work, context, study, given, &mut claims)?;
    }
    let marked = match has_own {
        true => None,
        false => mark(work, &home, exam)?,
    };
    let homes = from.as_ref().map(|from| (from, &exam.hospital));
    put(work, context, study, claims, homes)?;
    Ok(Ok(Before::Claims {
        study: study.clone(),
        claims: before,
        given,
        from,
        marked,
    }))
}

/// Whether images of the study were taken in for the claim's patient, wherever they are now.
fn has_own<S: State>(
    work: &Work<'_, S>,
    study: &StudyUid,
    claims: &StudyClaims,
    claim: &Claim,
) -> Result<bool, StateError> {
    if work.registry().rules < RULINGS_SINCE_RULES {
        return Ok(false);
    }
    for home in claims.homes(study) {
        let row = work.study(&home)?;
        let taken_for = row.and_then(|row| row.taken_for);
        if taken_for.is_some_and(|taken_for| taken_for.is_same_person(claim)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes that a row's images were ruled to be an exam's. Whose they had been ruled to be; absent: there are none.
fn mark<S: State>(
    work: &mut Work<'_, S>,
    home: &StudyKey,
    exam: &ExamKey,
) -> Result<Option<Option<ExamKey>>, StateError> {
    let Some(before) = work.study(home)? else {
        return Ok(None);
    };
    let mut row = before.clone();
    let earlier = row.ruled_for.replace(exam.clone());
    work.put_study(Some(before), Some(row));
    Ok(Some(earlier))
}

/// Takes such a note back, wherever the images are.
pub(super) fn unmark<S: State>(
    work: &mut Work<'_, S>,
    study: &StudyUid,
    exam: &ExamKey,
    earlier: Option<&ExamKey>,
) -> Result<(), StateError> {
    let mut claims = work.claims(study)?;
    for home in claims.homes(study) {
        if let Some(before) = work.study(&home)?
            && before.ruled_for.as_ref() == Some(exam)
        {
            let mut row = before.clone();
            row.ruled_for = earlier.cloned();
            work.put_study(Some(before), Some(row));
        }
    }
    for aside in &mut claims.aside {
        if aside.ruled_for.as_ref() == Some(exam) {
            aside.ruled_for = earlier.cloned();
        }
    }
    work.put_claims(study.clone(), claims);
    Ok(())
}

fn in_force<'a>(claims: &'a mut StudyClaims, exam: &ExamKey) -> Option<&'a mut Claim> {
    let mut claims = claims.claims.iter_mut();
    claims.find(|claim| claim.exam == *exam && !claim.released)
}

fn claims_not(path: &str) -> Refusal {
    not_found(
        path,
        "此检查未占用该检查UID；流水号有多代时以 #代 指明 (this exam does not claim this study UID: if its number has several generations, name one with #)",
    )
}

/// Whether images may be ruled to be an exam's: not those of a live exam to be a trial's, which a purge takes away.
fn may_be_ruled<S: State>(
    work: &Work<'_, S>,
    home: &StudyKey,
    exam: &ExamRow,
) -> Result<Result<(), Refusal>, StateError> {
    if work.registry().rules < RULINGS_SINCE_RULES {
        return Ok(Ok(()));
    }
    let Some(row) = work.study(home)? else {
        return Ok(Ok(()));
    };
    let taken_for = match &row.taken_for {
        Some(taken_for) => work.exam(&taken_for.exam)?,
        None => None,
    };
    let is_trials = taken_for.is_some_and(|exam| exam.has(ExamFlag::Test));
    if exam.has(ExamFlag::Test) && !is_trials {
        return Ok(Err(conflict(
            "exam",
            "正式检查的影像不能归测试检查，清除测试数据时会一并隐藏 (images of a live exam cannot become a test exam's: a purge of test data would hide them)",
        )));
    }
    Ok(Ok(()))
}

/// Two scans under one UID must not become one study.
fn meets_no_others(
    claims: &StudyClaims,
    from: &HospitalCode,
    to: &HospitalCode,
) -> Result<(), Refusal> {
    if from != to && claims.holders.contains(to) {
        return Err(conflict(
            "study",
            format!(
                "{to} 已有同一检查UID的其他影像，不能合并：请先将其移至所属检查 (that hospital holds other images of this UID: move those to their exam first)"
            ),
        ));
    }
    Ok(())
}

/// The exam that an operator gave the study to.
pub(super) fn given<S: State>(
    work: &Work<'_, S>,
    study: &StudyUid,
    claims: &StudyClaims,
) -> Result<Option<ExamKey>, StateError> {
    let Some(ruled_for) = &claims.ruled_for else {
        return Ok(None);
    };
    let exam = work.exam(ruled_for)?;
    Ok(exam
        .filter(|exam| exam.moved.contains(study))
        .map(|exam| exam.key))
}

/// Lists a study among those that were given to an exam.
pub(super) fn give<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    to: &ExamKey,
) -> Result<(), StateError> {
    if let Some(before) = work.exam(to)? {
        let mut row = before.clone();
        row.moved.push(study.clone());
        record(work, context, before, row, ExamStep::Corrected);
    }
    Ok(())
}

/// Takes a study from the exam that it was given to. A claim of that exam's own push stays, as any push's.
pub(super) fn take_from<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    given: &ExamKey,
    claims: &mut StudyClaims,
) -> Result<(), StateError> {
    let Some(before) = work.exam(given)? else {
        return Ok(());
    };
    let declares = before.studies.iter().any(|known| known.uid == *study);
    claims
        .claims
        .retain(|claim| claim.exam != *given || declares);
    let mut row = before.clone();
    row.moved.retain(|uid| uid != study);
    record(work, context, before, row, ExamStep::Corrected);
    Ok(())
}

/// Puts claims in force: the images go from one hospital to another, the exams' flags follow the claims.
pub(super) fn put<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    mut claims: StudyClaims,
    homes: Option<(&HospitalCode, &HospitalCode)>,
) -> Result<(), StateError> {
    let now = work.claims(study)?;
    (claims.holders, claims.aside) = (now.holders, now.aside);
    claims::put_claims(work, context, study, claims)?;
    moving::part(work, context, study)?;
    if let Some((from, to)) = homes {
        let from = StudyKey::new(from.clone(), study.clone());
        moving::rehome(work, context, &from, to)?;
    }
    aside::align(work, context, study, false)?;
    moving::join(work, context, study)?;
    held::adopt(work, context, study)?;
    // Everyone concerned has the correction in the exam's history, also where nothing else changes.
    for key in work.claims(study)?.claims.iter().map(|claim| &claim.exam) {
        let Some(before) = work.exam(key)? else {
            continue;
        };
        let mut row = before.clone();
        claims::set_standing(work, context, &mut row)?;
        record(work, context, before, row, ExamStep::Corrected);
    }
    Ok(())
}
