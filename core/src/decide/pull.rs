//! Which studies a record has the platform fetch from their hospital's gateway (contract §2.5), and what came of those that
//! were fetched.
//!
//! | what the record leaves | of a hospital whose images are fetched |
//! |---|---|
//! | an exam declares a study whose images are not here in the declared count (R9) | its pull is open |
//! | … because a push says so, or says another count | it is open anew, at once |
//! | they are here | its pull is done |
//! | they were, and are no longer (a lost pack, a hiding) | its pull is open again |
//! | nobody's study any more: withdrawn, another's, a link, deleted by a rule | it has no pull |
//!
//! A study without a declared count is fetched while nothing of it is here; whoever fetched it says when that is all.

use std::collections::BTreeMap;

use super::{Context, settle_finding};
use crate::event::{GatewaySwept, PullsAsked, PullsTried};
use crate::exam::{ExamFlag, ExamRow};
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{ExamKey, StudyKey};
use crate::instance::ImageCounts;
use crate::outcome::Outcome;
use crate::pull::{PullRow, PullState, PullWhy, PullWords, WORDS_LIMIT};
use crate::reconcile::{StudyState, images_of};
use crate::state::{State, StateError, Work};

/// Opens and closes pulls as the record has it.
pub(super) fn follow<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
) -> Result<(), StateError> {
    let hospitals = &work.registry().hospitals;
    if hospitals.values().all(|entry| entry.gateway.is_none()) {
        return Ok(());
    }
    for (study, is_pushed) in touched(work, context) {
        let known = work.pull(&study)?;
        let need = need_of(work, &study)?;
        let after = after(work, context, &study, known.clone(), need, is_pushed);
        if after != known {
            work.put_pull(known, after);
        }
        if is_pushed && is_claimed(work, &study)? {
            settle_finding(work, context, not_pushed(&study))?;
        }
    }
    Ok(())
}

/// Studies of hospitals with a gateway that this record changed, or an exam of theirs; whether a push of one whose it is
/// brought new content.
fn touched<S: State>(work: &Work<'_, S>, context: Context<'_>) -> BTreeMap<StudyKey, bool> {
    let mut touched = BTreeMap::new();
    let hospitals = &work.registry().hospitals;
    let has_gateway = |hospital| {
        let hospital: Option<&crate::registry::Hospital> = hospitals.get(hospital);
        hospital.is_some_and(|hospital| hospital.gateway.is_some())
    };
    for (key, exam) in &work.changes.exams {
        if !has_gateway(&key.hospital) {
            continue;
        }
        let is_pushed = exam
            .after
            .as_ref()
            .is_some_and(|row| row.position == context.position);
        let rows = [(&exam.before, false), (&exam.after, is_pushed)];
        for (row, is_pushed) in rows {
            for declared in row.iter().flat_map(|row| &row.studies) {
                let study = StudyKey::new(key.hospital.clone(), declared.uid.clone());
                // What is another's is not fetched because this one says so.
                *touched.entry(study).or_default() |= is_pushed && !declared.foreign;
            }
        }
    }
    let studies = work.changes.studies.keys();
    for key in studies.filter(|key| key.lot == 0 && has_gateway(&key.hospital)) {
        touched.entry(key.clone()).or_default();
    }
    touched
}

/// How a study's images stand to what the exams want whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    /// Nobody wants it here.
    None,
    Met,
    Unmet(ExamKey),
    /// It is wanted, and nobody says how many images it has.
    Uncounted {
        exam: ExamKey,
        is_here: bool,
    },
}

fn need_of<S: State>(work: &Work<'_, S>, study: &StudyKey) -> Result<Need, StateError> {
    let claims = work.claims(&study.study)?;
    let mut need = Need::None;
    for claim in claims.owning() {
        if claim.exam.hospital != study.hospital {
            continue;
        }
        let Some(row) = work.exam(&claim.exam)? else {
            continue;
        };
        match need_of_exam(work, &row, study)? {
            unmet @ Need::Unmet(_) => return Ok(unmet),
            Need::None => {}
            Need::Met => need = Need::Met,
            uncounted @ Need::Uncounted { .. } if need == Need::None => need = uncounted,
            Need::Uncounted { .. } => {}
        }
    }
    Ok(need)
}

fn need_of_exam<S: State>(
    work: &Work<'_, S>,
    row: &ExamRow,
    study: &StudyKey,
) -> Result<Need, StateError> {
    if row.has(ExamFlag::WithoutPush) {
        // Its gateway may not have all of it yet: a push says when it has.
        return Ok(Need::None);
    }
    if row.withdrawn.is_some() || row.has(ExamFlag::ImagesDeleted) {
        return Ok(Need::None);
    }
    let declares = |declared: &crate::exam::DeclaredStudy| {
        declared.uid == study.study && !declared.foreign && !declared.linked
    };
    let Some(at) = row.studies.iter().position(declares) else {
        return Ok(Need::None);
    };
    let mut declared = Vec::with_capacity(row.studies.len());
    for each in &row.studies {
        let counts = match each.foreign {
            true => ImageCounts::default(),
            false => counts_of(work, &row.key, &each.uid)?,
        };
        declared.push((each, counts));
    }
    let mut given = ImageCounts::default();
    for uid in row.given() {
        given = given.and(counts_of(work, &row.key, uid)?);
    }
    let (states, _) = images_of(row, &declared, given);
    Ok(match states.get(at) {
        None | Some(StudyState::Linked) => Need::None,
        Some(StudyState::Reached { .. }) => Need::Met,
        Some(StudyState::Begun | StudyState::Missing) => Need::Unmet(row.key.clone()),
        Some(StudyState::Uncounted) => Need::Uncounted {
            exam: row.key.clone(),
            is_here: declared
                .get(at)
                .is_some_and(|(_, counts)| counts.instances > 0),
        },
    })
}

fn counts_of<S: State>(
    work: &Work<'_, S>,
    exam: &ExamKey,
    uid: &crate::ids::StudyUid,
) -> Result<ImageCounts, StateError> {
    let row = work.study(&StudyKey::new(exam.hospital.clone(), uid.clone()))?;
    Ok(row.map(|row| row.counts()).unwrap_or_default())
}

fn after<S: State>(
    work: &Work<'_, S>,
    context: Context<'_>,
    study: &StudyKey,
    known: Option<PullRow>,
    need: Need,
    is_pushed: bool,
) -> Option<PullRow> {
    let hospital = work.registry().hospitals.get(&study.hospital);
    let is_pulled = hospital.is_some_and(|hospital| hospital.is_pulled());
    let state = known.as_ref().map(|row| row.state);
    let exam = match need {
        Need::None => return None,
        Need::Met => return known.map(|row| ended(row, context)),
        Need::Unmet(exam) => exam,
        // Whoever fetches it says when it is whole.
        Need::Uncounted { is_here: true, .. } => return known,
        Need::Uncounted { exam, .. } => exam,
    };
    let why = match (is_pushed, state) {
        _ if !is_pulled => return known,
        (true, _) => PullWhy::Pushed,
        (false, Some(PullState::Open | PullState::Stopped)) => return known,
        (false, None | Some(PullState::Done)) => PullWhy::MissingAgain,
    };
    Some(opened(context, study, exam, why, known))
}

/// A pull that is due at once, whatever became of it before.
fn opened(
    context: Context<'_>,
    study: &StudyKey,
    exam: ExamKey,
    why: PullWhy,
    before: Option<PullRow>,
) -> PullRow {
    PullRow {
        study: study.clone(),
        exam,
        why,
        state: PullState::Open,
        since: context.position,
        since_ms: context.time_ms,
        tries: 0,
        next_ms: context.time_ms,
        expected: before.as_ref().and_then(|row| row.expected),
        got: None,
        last: before.and_then(|row| row.last),
    }
}

fn ended(row: PullRow, context: Context<'_>) -> PullRow {
    if row.state == PullState::Done {
        return row;
    }
    PullRow {
        state: PullState::Done,
        next_ms: context.time_ms,
        ..row
    }
}

/// Notes what came of tries.
pub(super) fn tried<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &PullsTried,
) -> Result<Outcome, StateError> {
    for tried in &body.tried {
        let study = StudyKey::new(body.hospital.clone(), tried.study.clone());
        let Some(before) = work.pull(&study)? else {
            continue;
        };
        let last = Some(PullWords {
            time_ms: context.time_ms,
            words: tried.words.chars().take(WORDS_LIMIT).collect(),
        });
        let mut row = PullRow {
            expected: tried.expected.or(before.expected),
            last,
            ..before.clone()
        };
        // What was opened anew since, or is done by what came, is not for this result to say.
        if before.state == PullState::Open && before.since == tried.since {
            let is_met = match need_of(work, &study)? {
                Need::Unmet(_) => false,
                Need::None | Need::Met | Need::Uncounted { .. } => true,
            };
            row.state = match tried.state {
                PullState::Done if !is_met => PullState::Open,
                state => state,
            };
            row.tries = tried.tries;
            row.next_ms = match row.state {
                PullState::Open => tried.next_ms,
                PullState::Stopped | PullState::Done => context.time_ms,
            };
            row.got = tried.got;
        }
        work.put_pull(Some(before), Some(row));
    }
    Ok(Outcome::Done)
}

/// Opens the pulls of what an operator names and is not here whole.
pub(super) fn asked<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &PullsAsked,
) -> Result<Outcome, StateError> {
    for key in &body.exams {
        let Some(row) = work.exam(key)? else {
            continue;
        };
        for declared in &row.studies {
            let study = StudyKey::new(key.hospital.clone(), declared.uid.clone());
            let exam = match need_of(work, &study)? {
                Need::None | Need::Met => continue,
                Need::Uncounted { is_here: true, .. } if body.backfill => continue,
                Need::Unmet(exam) | Need::Uncounted { exam, .. } => exam,
            };
            let before = work.pull(&study)?;
            let is_open = before
                .as_ref()
                .is_some_and(|row| row.state == PullState::Open);
            if body.backfill && is_open {
                continue;
            }
            let why = match body.backfill {
                true => PullWhy::Backfill,
                false => PullWhy::Asked,
            };
            let after = opened(context, &study, exam, why, before.clone());
            work.put_pull(before, Some(after));
        }
    }
    Ok(Outcome::Done)
}

/// Lists what a gateway has and nobody pushed; the push takes it off.
pub(super) fn swept<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &GatewaySwept,
) -> Result<Outcome, StateError> {
    for unpushed in &body.studies {
        let study = StudyKey::new(body.hospital.clone(), unpushed.study.clone());
        let key = not_pushed(&study);
        if is_claimed(work, &study)? || work.finding(&key)?.is_some() {
            continue;
        }
        let row = FindingRow {
            position: context.position,
            since: context.position,
            time_ms: context.time_ms,
            exams: Vec::new(),
            detail: vec![body.date.clone(), unpushed.modality.clone()],
        };
        work.put_finding(key, Some(row));
    }
    Ok(Outcome::Done)
}

fn not_pushed(study: &StudyKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::NotPushed,
        hospital: study.hospital.clone(),
        subject: study.study.to_string(),
    }
}

/// Whether an exam of the hospital declares the study.
fn is_claimed<S: State>(work: &Work<'_, S>, study: &StudyKey) -> Result<bool, StateError> {
    let claims = work.claims(&study.study)?;
    let mut active = claims.active();
    Ok(active.any(|claim| claim.exam.hospital == study.hospital))
}
