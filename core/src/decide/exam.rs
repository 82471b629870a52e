//! A push, in log order: a new exam, a new version, a repeat, a late status, or a suspected reuse of the number (R6).

use std::collections::BTreeSet;

use super::{Context, DecideError, held, instances};
use crate::contract::push::{ExamPushedBody, ExamStatus, ExamSummary};
use crate::correction::ReuseRuling;
use crate::dictionaries::{canonical_class, is_placeholder};
use crate::exam::{
    DeclaredStudy, ExamFlag, ExamHistory, ExamRow, ExamStep, ReportState, WithdrawnBy,
};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{ExamKey, ExamNo, HospitalCode, StudyUid};
use crate::instance::{CLAIM_LIMIT, Claim, StudyClaims};
use crate::outcome::{ErrorKind, Outcome, PushOutcome, PushStep, Refusal};
use crate::registry::{Hospital, HospitalMode, Settings};
use crate::state::{State, StateError, Work};

pub(super) fn pushed<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &ExamPushedBody<'_>,
    content: Content,
) -> Result<Outcome, DecideError> {
    let Some(hospital) = work.registry().hospitals.get(&content.hospital) else {
        return Ok(unknown_hospital());
    };
    if hospital.mode == HospitalMode::Suspended {
        return Ok(Outcome::Refused(Refusal::new(
            ErrorKind::Forbidden,
            "hospital-suspended",
            "hospitalCode",
            "该医院已暂停接入，请联系平台管理员 (this hospital is suspended: ask the operator)",
        )));
    }
    let (key, existing) = find(work, hospital, &content)?;
    let Some(existing) = existing else {
        return register(work, context, hospital, key, content);
    };
    // What was tested is pushed again when the hospital goes live, and counts from then on.
    let goes_live = existing.has(ExamFlag::Test) && hospital.mode == HospitalMode::Live;
    let same = content.digest == existing.digest || content.digest == existing.last_digest;
    if same && !goes_live {
        return Ok(outcome(&existing, PushStep::Repeated, 0));
    }
    if reuses_number(&existing, &content) {
        return suspect(work, context, &existing, body);
    }
    next_version(work, context, hospital, existing, content)
}

/// An operator said what a push was that was refused as suspected reuse.
pub(super) fn ruled<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &[u8],
    ruling: ReuseRuling,
) -> Result<Outcome, DecideError> {
    let body: ExamPushedBody<'_> =
        postcard::from_bytes(body).map_err(|e| DecideError::Content(e.to_string()))?;
    let content = Content::read(&body)?;
    let Some(hospital) = work.registry().hospitals.get(&content.hospital) else {
        return Ok(unknown_hospital());
    };
    match ruling {
        ReuseRuling::Correction => {
            // The exam it corrects is the latest of that number, however little they have in common.
            for generation in (0..=hospital.generation).rev() {
                if let Some(existing) = work.exam(&content.key(generation))? {
                    return next_version(work, context, hospital, existing, content);
                }
            }
            let key = content.key(hospital.generation);
            register(work, context, hospital, key, content)
        }
        ReuseRuling::NewGeneration => {
            let current = content.key(hospital.generation);
            if work.exam(&current)?.is_none() {
                // An earlier ruling opened the generation already.
                return register(work, context, hospital, current, content);
            }
            let mut next = hospital.clone();
            next.generation = next.generation.saturating_add(1);
            let key = content.key(next.generation);
            work.changes
                .registry
                .push(crate::registry::RegistryChange::PutHospital(next));
            register(work, context, hospital, key, content)
        }
    }
}

fn unknown_hospital() -> Outcome {
    Outcome::Refused(Refusal::new(
        ErrorKind::Invalid,
        "hospital-unknown",
        "hospitalCode",
        "医院代码未在平台登记，请核对平台分配的代码 (hospitalCode is not registered: check the code given by the platform)",
    ))
}

/// What rules read of a push, on its own: it needs no state, so a replay reads it ahead.
pub(super) struct Content {
    hospital: HospitalCode,
    exam_no: ExamNo,
    digest: [u8; 16],
    warned: bool,
    studies: Vec<DeclaredStudy>,
    summary: ExamSummary<'static>,
}

impl Content {
    pub(super) fn read(body: &ExamPushedBody<'_>) -> Result<Self, DecideError> {
        let unreadable = |what: &str| DecideError::Content(what.to_owned());
        let summary =
            ExamSummary::from_json(&body.json).map_err(|e| DecideError::Content(e.to_string()))?;
        let hospital =
            HospitalCode::new(&summary.hospital_code).map_err(|_| unreadable("hospitalCode"))?;
        let exam_no = ExamNo::new(&summary.exam_no).map_err(|_| unreadable("examNo"))?;
        let studies = declared_studies(&summary).map_err(|_| unreadable("studyUID"))?;
        Ok(Self {
            hospital,
            exam_no,
            digest: body.digest,
            warned: !body.warnings.is_empty(),
            studies,
            summary: summary.into_owned(),
        })
    }

    fn key(&self, generation: u16) -> ExamKey {
        ExamKey {
            hospital: self.hospital.clone(),
            exam_no: self.exam_no.clone(),
            generation,
        }
    }

    fn shares_study(&self, row: &ExamRow) -> bool {
        self.studies
            .iter()
            .any(|study| row.studies.iter().any(|known| known.uid == study.uid))
    }

    fn is_of(&self, row: &ExamRow) -> bool {
        self.summary.sick_id == row.sick_id || self.summary.name == row.name
    }
}

/// Rows of `imageList` with the same study UID add up (R9).
fn declared_studies(summary: &ExamSummary<'_>) -> Result<Vec<DeclaredStudy>, crate::ids::IdError> {
    let mut studies: Vec<DeclaredStudy> = Vec::with_capacity(summary.images.len());
    for image in &summary.images {
        let uid = StudyUid::new(&image.study_uid)?;
        let accession_no = Some(image.accession_no.as_ref()).filter(|text| !text.is_empty());
        match studies.iter_mut().find(|study| study.uid == uid) {
            Some(study) => {
                study.image_count = match (study.image_count, image.image_count) {
                    (Some(a), Some(b)) => Some(a.saturating_add(b)),
                    (a, b) => a.or(b),
                };
                study.linked &= image.has_image_url;
                if study.accession_no.is_none() {
                    study.accession_no = accession_no.map(str::to_owned);
                }
            }
            None => studies.push(DeclaredStudy {
                uid,
                accession_no: accession_no.map(str::to_owned),
                image_count: image.image_count,
                linked: image.has_image_url,
                foreign: false,
            }),
        }
    }
    Ok(studies)
}

/// The exam that a push is about: of the current generation, or of an earlier one if it is plainly that one (R6).
fn find<S: State>(
    work: &Work<'_, S>,
    hospital: &Hospital,
    content: &Content,
) -> Result<(ExamKey, Option<ExamRow>), StateError> {
    let current = content.key(hospital.generation);
    let row = work.exam(&current)?;
    if row.as_ref().is_some_and(|row| !reuses_number(row, content)) {
        return Ok((current, row));
    }
    for generation in (0..hospital.generation).rev() {
        let key = content.key(generation);
        if let Some(row) = work.exam(&key)?
            && content.is_of(&row)
            && content.shares_study(&row)
        {
            return Ok((key, Some(row)));
        }
    }
    Ok((current, row))
}

/// R6: the person (sickId and name) and every study UID differ.
fn reuses_number(existing: &ExamRow, content: &Content) -> bool {
    existing.sick_id != content.summary.sick_id
        && existing.name != content.summary.name
        && !content.shares_study(existing)
}

fn suspect<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    existing: &ExamRow,
    body: &ExamPushedBody<'_>,
) -> Result<Outcome, DecideError> {
    let key = reuse_finding(&existing.key.hospital, &existing.key.exam_no, &body.digest);
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
                time_ms: context.time_ms,
                exams: vec![existing.key.to_string()],
                detail: vec!["sickId".into(), "name".into(), "studyUID".into()],
            };
            work.put_finding(key, Some(row));
            context.position
        }
    };
    Ok(Outcome::Refused(Refusal::new(
        ErrorKind::Conflict,
        "number-reuse",
        "examNo",
        format!(
            "examNo 已属于另一患者且检查UID全部不同，疑似流水号重复使用，已登记待平台确认，登记号 {} \
             (examNo belongs to another patient with other study UIDs: suspected reuse, listed for the operator as {})",
            listed, listed
        ),
    )))
}

/// The list's line of a push that was refused as suspected reuse.
pub(super) fn reuse_finding(
    hospital: &HospitalCode,
    exam_no: &ExamNo,
    digest: &[u8; 16],
) -> FindingKey {
    FindingKey {
        kind: FindingKind::NumberReuse,
        hospital: hospital.clone(),
        subject: format!("{exam_no}/{:032x}", u128::from_be_bytes(*digest)),
    }
}

fn register<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    key: ExamKey,
    content: Content,
) -> Result<Outcome, DecideError> {
    let row = row_of(
        &work.registry().settings,
        context,
        hospital,
        key,
        None,
        content,
    );
    commit(
        work,
        context,
        None,
        row,
        ExamStep::Registered,
        PushStep::Registered,
    )
}

fn next_version<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    hospital: &Hospital,
    existing: ExamRow,
    content: Content,
) -> Result<Outcome, DecideError> {
    let late = match status_number(content.summary.exam_status) {
        // Images were received before any report, also before one that was taken back.
        50 => existing.confirmed_ms > 0,
        // After 65 a new draft is what is to be expected.
        60 => existing.report.is_final(),
        _ => false,
    };
    if late {
        let mut row = existing.clone();
        row.version = row.version.saturating_add(1);
        row.last_digest = content.digest;
        row.set(ExamFlag::LateStatus, true);
        return commit(
            work,
            context,
            Some(existing),
            row,
            ExamStep::Late,
            PushStep::Late,
        );
    }
    let key = existing.key.clone();
    let row = row_of(
        &work.registry().settings,
        context,
        hospital,
        key,
        Some(&existing),
        content,
    );
    commit(
        work,
        context,
        Some(existing),
        row,
        ExamStep::Changed,
        PushStep::Changed,
    )
}

fn status_number(status: ExamStatus) -> u8 {
    status.code().parse().unwrap_or_default()
}

fn report_state(before: Option<&ExamRow>, status: u8) -> ReportState {
    match status {
        60 => ReportState::Preliminary,
        65 => ReportState::Returned,
        70 if before.is_some_and(|row| row.confirmed_ms > 0) => ReportState::Revised,
        70 => ReportState::Confirmed,
        _ => ReportState::None,
    }
}

fn row_of(
    settings: &Settings,
    context: Context<'_>,
    hospital: &Hospital,
    key: ExamKey,
    before: Option<&ExamRow>,
    content: Content,
) -> ExamRow {
    let status = status_number(content.summary.exam_status);
    let report = report_state(before, status);
    let confirmed_ms = match before.map_or(0, |row| row.confirmed_ms) {
        0 if report.is_final() => context.time_ms,
        earlier => earlier,
    };
    let summary = content.summary;
    let mut row = ExamRow {
        key,
        position: context.position,
        time_ms: context.time_ms,
        first_position: before.map_or(context.position, |row| row.first_position),
        first_time_ms: before.map_or(context.time_ms, |row| row.first_time_ms),
        version: before.map_or(1, |row| row.version.saturating_add(1)),
        digest: content.digest,
        last_digest: content.digest,
        status,
        report,
        confirmed_ms,
        exam_time: summary.exam_time.to_string(),
        class: summary.exam_class.into_owned(),
        apply_no: summary.apply_no.into_owned(),
        sick_id: summary.sick_id.into_owned(),
        name: summary.name.into_owned(),
        sex: summary.sex.into_owned(),
        birth_date: summary
            .birth_date
            .map(|date| date.to_string())
            .unwrap_or_default(),
        patient_id: summary.patient_id.into_owned(),
        card_no: summary.card_no.into_owned(),
        inpatient_no: summary.inpatient_no.into_owned(),
        outpatient_no: summary.out_patient_no.into_owned(),
        studies: content.studies,
        moved: before.map(|row| row.moved.clone()).unwrap_or_default(),
        // A doubt stays on its list until the comparison settles it.
        flags: before
            .filter(|row| row.has(ExamFlag::IdentityDoubt))
            .map(|_| ExamFlag::IdentityDoubt)
            .into_iter()
            .collect(),
        // What the app took back, its next push brings back; an operator's ruling stays.
        withdrawn: before
            .and_then(|row| row.withdrawn)
            .filter(|by| *by == WithdrawnBy::Operator),
    };
    let test = hospital.mode == HospitalMode::Test
        || before.is_some_and(|row| row.has(ExamFlag::Test)) && hospital.mode != HospitalMode::Live;
    row.set(ExamFlag::Test, test);
    row.set(ExamFlag::Warned, content.warned);
    row.set(
        ExamFlag::UnknownClass,
        !canonical_class(&settings.class_aliases, &row.class).known,
    );
    row.set(
        ExamFlag::PlaceholderApplyNo,
        is_placeholder(&settings.placeholder_apply_nos, &row.apply_no),
    );
    row
}

/// Writes the row, its claims and its history, and adopts what was held for it.
fn commit<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<ExamRow>,
    mut row: ExamRow,
    step: ExamStep,
    push: PushStep,
) -> Result<Outcome, DecideError> {
    let mut adopted = 0u32;
    if push != PushStep::Late {
        adopted = take_claims(work, context, before.as_ref(), &mut row)?;
    }
    let outcome = outcome(&row, push, adopted);
    work.changes.history.push(ExamHistory {
        position: context.position,
        time_ms: context.time_ms,
        step,
        content: Some(context.position),
        row: row.clone(),
    });
    work.put_exam(before, Some(row));
    Ok(outcome)
}

fn outcome(row: &ExamRow, step: PushStep, adopted: u32) -> Outcome {
    Outcome::Push(PushOutcome {
        exam: row.key.clone(),
        step,
        version: row.version,
        flags: row.flags.clone(),
        hidden: row.withdrawn.is_some(),
        adopted,
    })
}

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
        .collect();
    let mut adopted = 0u32;
    for study in &touched {
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
        declared.foreign = row.withdrawn.is_none() && !claims.owning().any(is_own);
        let claimed = claims.active().any(is_own);
        let full = claims.claims.len() >= CLAIM_LIMIT && !claims.claims.iter().any(is_own);
        conflict |= full || claimed && claims.is_contested() && claims.ruled_for.is_none();
    }
    row.set(ExamFlag::StudyConflict, conflict && row.withdrawn.is_none());
    let doubtful = instances::doubts(work, context, row)?;
    row.set(ExamFlag::IdentityDoubt, doubtful);
    Ok(())
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

/// Brings the claims on study UIDs in line with the row.
fn reclaim<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    before: Option<&ExamRow>,
    row: &ExamRow,
) -> Result<(), StateError> {
    for declared in before.into_iter().flat_map(|row| &row.studies) {
        if !row.studies.iter().any(|study| study.uid == declared.uid) {
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
        match claims.claims.iter_mut().find(|claim| claim.exam == row.key) {
            Some(claim) => {
                claim.sick_id.clone_from(&row.sick_id);
                claim.patient_id.clone_from(&row.patient_id);
                claim.accession_no.clone_from(&declared.accession_no);
                // A claim that lapsed and comes back stands behind those made meanwhile.
                let was_in_force = before.is_some_and(|before| {
                    before.withdrawn.is_none()
                        && before.studies.iter().any(|study| study.uid == declared.uid)
                });
                if claim.released && was_in_force {
                    // An operator released it: a new version does not take it back.
                } else {
                    if claim.released && row.withdrawn.is_none() {
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
                patient_id: row.patient_id.clone(),
                accession_no: declared.accession_no.clone(),
                released: row.withdrawn.is_some(),
                moved: false,
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
        for claim in claims
            .claims
            .iter_mut()
            .filter(|claim| claim.exam == row.key && claim.moved)
        {
            claim.sick_id.clone_from(&row.sick_id);
            claim.patient_id.clone_from(&row.patient_id);
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
    let is_listed = |claims: &StudyClaims| claims.is_contested() && claims.ruled_for.is_none();
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
