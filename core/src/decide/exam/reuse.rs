//! Suspected reuse of a number (R6): what is refused and listed, and what an operator says of it.

use super::super::{Context, DecideError, claims, settle_finding, supervision};
use super::{Content, change, form, register, unknown_hospital};
use crate::contract::push::ExamPushedBody;
use crate::correction::{Before, ReuseRuling};
use crate::exam::{ExamFlag, ExamHistory, ExamRow, ExamStep};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{ExamKey, ExamNo, HospitalCode, Position};
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::RegistryChange;
use crate::state::{State, StateError, Work};

/// R6: the person (sickId and name) and every study UID change. An exam that has neither a study UID nor a confirmed
/// report yet has none that could change: an unknown patient of the emergency room who is identified meanwhile.
pub(super) fn reuses_number(existing: &ExamRow, content: &Content) -> bool {
    let is_begun = existing.studies.is_empty() && existing.confirmed_ms == 0;
    existing.sick_id != content.summary.sick_id
        && existing.name != content.summary.name
        && !content.shares_study(existing)
        && !is_begun
}

/// What a push seems to use again, and the other person's exam that has it.
#[derive(Clone, Copy)]
pub(super) enum Reused<'a> {
    Exam(&'a ExamRow),
    Form(&'a ExamRow),
}

pub(super) fn suspect<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    reused: Reused<'_>,
    content: &Content,
    body: &ExamPushedBody<'_>,
) -> Result<Outcome, DecideError> {
    let (Reused::Exam(existing) | Reused::Form(existing)) = reused;
    let key = reuse_finding(&content.hospital, &content.exam_no, &body.digest);
    // Vendors send again what was refused: the same push is listed once.
    let listed = match work.finding(&key)? {
        Some(row) => row.position,
        None => {
            let bytes =
                postcard::to_stdvec(body).map_err(|e| DecideError::Content(e.to_string()))?;
            work.changes
                .refused_pushes
                .insert(context.position, Some(bytes));
            let row = FindingRow {
                position: context.position,
                since: context.position,
                time_ms: context.time_ms,
                exams: vec![existing.key.to_string()],
                detail: differences(reused, content),
            };
            work.put_finding(key, Some(row));
            context.position
        }
    };
    let (path, number) = match reused {
        Reused::Exam(_) => ("examNo", "流水号"),
        Reused::Form(_) => ("examInfo.applyNo", "申请单号"),
    };
    Ok(Outcome::Refused(Refusal::new(
        ErrorKind::Conflict,
        "number-reuse",
        path,
        format!(
            "{path} 已属于另一患者（sickId、姓名均不同），{}，疑似{number}重复使用，已登记待平台确认，登记号 {listed} \
             ({path} belongs to another patient and no study UID is the same: suspected reuse, listed for the operator as {listed})",
            studies_differ(existing, content)
        ),
    )))
}

fn studies_differ(existing: &ExamRow, content: &Content) -> &'static str {
    match (existing.studies.is_empty(), content.studies.is_empty()) {
        (false, false) => "且检查UID全部不同",
        (true, true) => "且两次推送均无检查UID可证明是同一检查",
        (true, false) => "且原检查报告已确认而无检查UID可证明是同一检查",
        (false, true) => "且本次推送没有原检查的任何检查UID",
    }
}

/// What differs, without values.
fn differences(reused: Reused<'_>, content: &Content) -> Vec<String> {
    let mut names = vec!["sickId".to_owned(), "name".to_owned()];
    let (Reused::Exam(existing) | Reused::Form(existing)) = reused;
    if !existing.studies.is_empty() || !content.studies.is_empty() {
        names.push("studyUID".to_owned());
    }
    names
}

/// The list's line of a push that was refused as suspected reuse.
fn reuse_finding(hospital: &HospitalCode, exam_no: &ExamNo, digest: &[u8; 16]) -> FindingKey {
    FindingKey {
        kind: FindingKind::NumberReuse,
        hospital: hospital.clone(),
        subject: format!("{exam_no}/{:032x}", u128::from_be_bytes(*digest)),
    }
}

/// Whether a listed number has no exam any more, of whatever generation.
pub(crate) fn is_free<S: State>(
    work: &Work<'_, S>,
    listed: &FindingKey,
) -> Result<bool, StateError> {
    let Some((number, _)) = listed.subject.rsplit_once('/') else {
        return Ok(false);
    };
    let (Ok(exam_no), Some(hospital)) = (
        ExamNo::new(number),
        work.registry().hospitals.get(&listed.hospital),
    ) else {
        return Ok(false);
    };
    for generation in 0..=hospital.generation {
        let key = ExamKey {
            hospital: listed.hospital.clone(),
            exam_no: exam_no.clone(),
            generation,
        };
        if work.exam(&key)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An operator said what a push was that was refused as suspected reuse. Its content stays, for as long as the ruling
/// may be undone; it is listed no more.
pub(crate) fn ruled<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    refused: Position,
    ruling: ReuseRuling,
) -> Result<Result<Before, Refusal>, DecideError> {
    let not_listed = Refusal::new(
        ErrorKind::NotFound,
        "not-found",
        "refused",
        "没有此登记号的疑似重复 (no push is listed under this number)",
    );
    let Some(body) = work.refused_push(refused)? else {
        return Ok(Err(not_listed));
    };
    let content = read(&body)?;
    let key = reuse_finding(&content.hospital, &content.exam_no, &content.digest);
    let Some(listed) = work.finding(&key)?.filter(|row| row.position == refused) else {
        return Ok(Err(not_listed));
    };
    let Some(hospital) = work.registry().hospitals.get(&content.hospital) else {
        return Ok(Err(unknown_hospital()));
    };
    settle_finding(work, context, key)?;
    let existing = match ruling {
        // The exam it corrects is the latest of that number, however little they have in common.
        ReuseRuling::Correction => {
            let mut generations = (0..=hospital.generation).rev();
            generations
                .find_map(|generation| work.exam(&content.key(generation)).transpose())
                .transpose()?
        }
        ReuseRuling::NewGeneration => None,
    };
    if let Some(existing) = existing {
        let before = Before::Version {
            listed,
            exam: Box::new(existing.clone()),
        };
        // Of two persons' statuses none is late: the content is the exam's because an operator says so.
        change(work, context, hospital, existing, content)?;
        return Ok(Ok(before));
    }
    let mut key = content.key(hospital.generation);
    // An earlier ruling may have opened the generation already.
    let is_used = work.exam(&key)?.is_some() || form::reused(work, hospital, &content)?.is_some();
    if ruling == ReuseRuling::NewGeneration && is_used {
        let mut next = hospital.clone();
        next.generation = next.generation.saturating_add(1);
        key.generation = next.generation;
        work.changes
            .registry
            .push(RegistryChange::PutHospital(next));
    }
    let before = Before::Registered { exam: key.clone() };
    register(work, context, hospital, key, content)?;
    Ok(Ok(before))
}

fn read(body: &[u8]) -> Result<Content, DecideError> {
    let body: ExamPushedBody<'_> =
        postcard::from_bytes(body).map_err(|e| DecideError::Content(e.to_string()))?;
    Content::read(&body)
}

/// Undoes the ruling at a position that made a refused push an exam's version: the exam is what it was before, as a
/// further version, and the push is listed again. Not if a later push has brought other content.
pub(crate) fn restore<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    ruling: Position,
    listed: FindingRow,
    earlier: ExamRow,
) -> Result<Result<(), Refusal>, DecideError> {
    let now = work
        .exam(&earlier.key)?
        .filter(|now| now.position == ruling);
    let (Some(now), Some(body)) = (now, work.refused_push(listed.position)?) else {
        return Ok(Err(Refusal::new(
            ErrorKind::Conflict,
            "conflict",
            "correction",
            format!(
                "裁定后 {0} 已有新内容，不能撤销：请医院重新推送 {0} 的正确内容，或以 yingku correct withdraw {0} 隐藏 \
                 (the exam has other content since: have the hospital push what is right, or withdraw it)",
                earlier.key
            ),
        )));
    };
    let content = read(&body)?;
    let key = reuse_finding(&content.hospital, &content.exam_no, &content.digest);
    let listed = FindingRow {
        since: context.position,
        ..listed
    };
    work.put_finding(key, Some(listed));
    let mut row = ExamRow {
        version: now.version.saturating_add(1),
        moved: now.moved.clone(),
        withdrawn: now.withdrawn,
        ..earlier
    };
    row.set(ExamFlag::Test, now.has(ExamFlag::Test));
    row.set(ExamFlag::IdentityDoubt, now.has(ExamFlag::IdentityDoubt));
    row.set(ExamFlag::ImagesDeleted, now.has(ExamFlag::ImagesDeleted));
    claims::take_claims(work, context, Some(&now), &mut row)?;
    supervision::forgot(work, &row.key);
    work.changes.history.push(ExamHistory {
        position: context.position,
        time_ms: context.time_ms,
        step: ExamStep::Corrected,
        content: Some(row.position),
        row: row.clone(),
    });
    work.put_exam(Some(now), Some(row));
    Ok(Ok(()))
}
