//! The rules: (state, record) → outcome and changes, in log order, the same wherever the log is replayed.
//!
//! A rule reads only state and record. Every setting that it depends on is in the registry, which events change; what
//! time brings about is an event too.

mod apply_form;
mod aside;
mod claims;
mod compacted;
mod correction;
mod deleted;
mod exam;
mod given;
mod held;
mod instances;
mod known;
mod lease;
mod lost;
mod moving;
mod national_index;
mod node;
mod notice;
mod past;
pub mod performed;
mod pull;
mod replaced;
mod statistics;
mod supervision;
mod versions;

pub use apply_form::{FORM_DELETED, FORM_REUSED, FORM_TAKEN, FORM_UNKNOWN};
pub use deleted::{Look, hold_of, losers};
pub use exam::registered::{FORM_CHANGED, exam_no as registered_exam_no};
pub use lease::DUTIES;
pub use node::SINCE_RULES as NODES_SINCE_RULES;
pub use supervision::row_of as supervised_row;

use crate::event::{
    CHANGES_SINCE_RULES, Event, FORMS_SINCE_RULES, INDEX_SINCE_RULES, PULLS_SINCE_RULES,
    PURGED_NOTICES_SINCE_RULES, REGISTRATION_SINCE_RULES, RULES_VERSION, SUPERVISION_SINCE_RULES,
    SignUsed, TestDataPurged,
};
use crate::exam::ExamFlag;
use crate::finding::{FindingKey, FindingKind, SettledFinding};
use crate::ids::{ExamKey, Position, StudyKey, StudyUid};
use crate::instance::StudyClaims;
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::refusal::RefusalRow;
use crate::state::{Changes, State, StateError, Work};

/// Where and when the record stands in the log, and who wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub position: Position,
    /// Log time, unix milliseconds.
    pub time_ms: i64,
    pub actor: &'a str,
}

/// Why a record could not be decided. The projector stops at it.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the record's content is not readable: {0}")]
    Content(String),
    #[error("rules version {0} is activated, this release knows up to {RULES_VERSION}")]
    Rules(u32),
}

/// An event of which everything is read that needs no state: a replay does that ahead, on another core.
pub struct Prepared {
    event: Event,
    push: Option<exam::Content>,
}

impl Prepared {
    pub fn event(&self) -> &Event {
        &self.event
    }
}

/// Reads what the rules need of an event.
pub fn prepare(event: Event) -> Result<Prepared, DecideError> {
    let push = match &event {
        Event::ExamPushed(body) => Some(exam::Content::read(body)?),
        _ => None,
    };
    Ok(Prepared { event, push })
}

/// Decides one record.
pub fn decide<S: State>(
    state: &S,
    context: Context<'_>,
    event: &Event,
) -> Result<(Outcome, Changes), DecideError> {
    decide_read(state, context, event, None)
}

/// As [`decide`], for an event that was prepared.
pub fn decide_prepared<S: State>(
    state: &S,
    context: Context<'_>,
    prepared: Prepared,
) -> Result<(Outcome, Changes), DecideError> {
    decide_read(state, context, &prepared.event, prepared.push)
}

fn decide_read<S: State>(
    state: &S,
    context: Context<'_>,
    event: &Event,
    push: Option<exam::Content>,
) -> Result<(Outcome, Changes), DecideError> {
    let mut work = Work::new(state);
    let outcome = match event {
        Event::ExamPushed(body) => {
            let content = match push {
                Some(content) => content,
                None => exam::Content::read(body)?,
            };
            exam::pushed(&mut work, context, body, content)?
        }
        Event::InstancesStored(body) => instances::stored(&mut work, context, body)?,
        Event::InstancesReplaced(body) => replaced::stored_anew(&mut work, context, body)?,
        Event::StatisticsDeclared(body) => statistics::declared(&mut work, context, body)?,
        Event::DetailDeclared(body) => statistics::detailed(&mut work, context, body)?,
        Event::CorrectionMade(body) => correction::made(&mut work, context, body)?,
        Event::HoldExpired(body) if lease::is_past(&work, DUTIES, body.epoch) => lease::ignored(),
        Event::HoldExpired(body) => held::expired(&mut work, context, body)?,
        Event::SignUsed(body) => sign_used(&mut work, context, body)?,
        Event::TestDataPurged(body) => purged(&mut work, context, body)?,
        Event::InstancesRefused(body) => {
            work.changes
                .refusals
                .extend(body.refused.iter().cloned().map(|refused| RefusalRow {
                    position: context.position,
                    time_ms: context.time_ms,
                    refused,
                }));
            Outcome::Done
        }
        Event::RegistryChanged(body) => {
            work.changes.registry.clone_from(&body.changes);
            Outcome::Done
        }
        Event::RulesActivated(body) if body.rules > RULES_VERSION => {
            return Err(DecideError::Rules(body.rules));
        }
        Event::RulesActivated(body) => {
            node::rules_activated(&mut work, body.rules);
            work.changes.rules = Some(body.rules);
            Outcome::Done
        }
        Event::PackLost(body) => lost::lost(&mut work, context, body)?,
        Event::InstancesMoved(body) => compacted::moved(&mut work, context, body)?,
        Event::PacksCompacted(body) => compacted::compacted(&mut work, context, body)?,
        Event::ImagesDeleted(body) if lease::is_past(&work, DUTIES, body.epoch) => lease::ignored(),
        Event::ImagesDeleted(body) => deleted::deleted(&mut work, context, body)?,
        Event::ApplyFormReceived(body) => apply_form::received(&mut work, context, body)?,
        Event::NoticesTried(body) if lease::is_past(&work, DUTIES, body.epoch) => lease::ignored(),
        Event::NoticesTried(body) => notice::tried(&mut work, context, body)?,
        Event::NoticesAgain(body) => notice::again(&mut work, context, body)?,
        Event::ProcedureStepReported(body) => performed::reported(&mut work, context, body)?,
        Event::PullsTried(body) if lease::is_past(&work, DUTIES, body.epoch) => lease::ignored(),
        Event::PullsTried(body) => pull::tried(&mut work, context, body)?,
        Event::GatewaySwept(body) if lease::is_past(&work, DUTIES, body.epoch) => lease::ignored(),
        Event::GatewaySwept(body) => pull::swept(&mut work, context, body)?,
        Event::PullsAsked(body) => pull::asked(&mut work, context, body)?,
        Event::ExamRegistered(body) => exam::registered::registered(&mut work, context, body)?,
        Event::IndexAsked(body) => national_index::asked(&mut work, context, body)?,
        Event::IndexExported(body) => national_index::exported(&mut work, context, body)?,
        Event::IndexAnswered(body) => national_index::answered(&mut work, context, body)?,
        Event::LeaseTaken(body) => lease::taken(&mut work, context, body),
        Event::NodeJoined(body) => node::joined(&mut work, body),
        Event::NodeStarted(body) => node::started(&mut work, body),
    };
    if work.registry().rules >= REGISTRATION_SINCE_RULES {
        exam::beside::follow(&mut work, context)?;
    }
    past::close(&mut work, context)?;
    given::keep_in_step(&mut work)?;
    if work.registry().rules >= FORMS_SINCE_RULES {
        apply_form::meet(&mut work, context)?;
        notice::follow(&mut work, context)?;
    }
    if work.registry().rules >= PULLS_SINCE_RULES {
        pull::follow(&mut work, context)?;
    }
    if work.registry().rules >= INDEX_SINCE_RULES {
        national_index::follow(&mut work, context)?;
    }
    if work.registry().rules >= CHANGES_SINCE_RULES {
        let exams = notice::touched(&work)?;
        if work.registry().rules >= SUPERVISION_SINCE_RULES {
            supervision::follow(&mut work, &exams)?;
        }
        let exams = exams.into_iter();
        work.changes.heard_of = exams.map(|exam| (context.position, exam)).collect();
    }
    // What is refused leaves no trace but the lists that say so.
    Ok((outcome, work.changes))
}

fn sign_used<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &SignUsed,
) -> Result<Outcome, DecideError> {
    let read = |hex: &str| {
        u128::from_str_radix(hex, 16)
            .map(u128::to_be_bytes)
            .map_err(|_| DecideError::Content("sign digest".to_owned()))
    };
    let digest = read(&body.digest)?;
    for old in &body.forget {
        let old = read(old)?;
        if work
            .sign(&old)?
            .is_some_and(|expires_ms| expires_ms < context.time_ms)
        {
            work.changes.signs.insert(old, None);
        }
    }
    if work
        .sign(&digest)?
        .is_some_and(|expires_ms| expires_ms >= context.time_ms)
    {
        return Ok(Outcome::Refused(Refusal::new(
            ErrorKind::Unauthenticated,
            "sign-used",
            "sign",
            "sign 已使用过，请用新的时间重新生成 (this sign was used before: make a new one)",
        )));
    }
    work.changes.signs.insert(digest, Some(body.expires_ms));
    Ok(Outcome::Done)
}

/// Takes a finding off its list, and keeps it for questions about the past.
fn settle_finding<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: FindingKey,
) -> Result<(), StateError> {
    if let Some(row) = work.finding(&key)? {
        work.changes.settled.push(SettledFinding {
            key: key.clone(),
            row,
            until: context.position,
        });
        work.put_finding(key, None);
    }
    Ok(())
}

/// Takes what came while a hospital was in mode `test` out of the views: exams with the studies that nobody else
/// claims, declarations, lines of lists.
fn purged<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &TestDataPurged,
) -> Result<Outcome, StateError> {
    for key in &body.exams {
        let Some(row) = work.exam(key)? else { continue };
        if !row.has(ExamFlag::Test) || work.finding(&hold_of(key))?.is_some() {
            continue;
        }
        for declared in &row.studies {
            let mut claims = forget(work, context, &declared.uid, key)?;
            let study = StudyKey::new(key.hospital.clone(), declared.uid.clone());
            let mut others = claims.claims.iter();
            // Images that an operator moved here are no test data: they stay, hidden, until they are moved on.
            if !row.moved.contains(&declared.uid)
                && !others.any(|claim| claim.exam.hospital == key.hospital)
            {
                moving::remove_study(work, &study)?;
                claims.holders.retain(|holder| *holder != key.hospital);
            }
            claims::put_claims(work, context, &declared.uid, claims)?;
        }
        for uid in row.given() {
            let claims = forget(work, context, uid, key)?;
            claims::put_claims(work, context, uid, claims)?;
        }
        work.put_finding(
            FindingKey {
                kind: FindingKind::IdentityDoubt,
                hospital: key.hospital.clone(),
                subject: key.to_string(),
            },
            None,
        );
        work.changes.purged.insert(key.clone());
        notice::forget(work, key)?;
        work.put_exam(Some(row.clone()), None);
        let declared = row.studies.iter().map(|declared| &declared.uid);
        for uid in declared.chain(row.given()) {
            aside::align(work, context, uid, false)?;
            held::adopt(work, context, uid)?;
            claims::settle(work, context, uid, None)?;
        }
    }
    for day in &body.declarations {
        statistics::purged(work, day)?;
    }
    for key in &body.findings {
        purge_finding(work, key)?;
    }
    for key in &body.forms {
        apply_form::purged(work, key)?;
    }
    if work.registry().rules >= PURGED_NOTICES_SINCE_RULES {
        notice::purged(work, context, &body.notices)?;
    }
    Ok(Outcome::Done)
}

/// Takes an exam that is gone out of a study's claims, and its images that are set aside out of the views.
fn forget<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    study: &StudyUid,
    gone: &ExamKey,
) -> Result<StudyClaims, StateError> {
    let mut claims = work.claims(study)?;
    let was_ruled = claims.ruled_for.as_ref() == Some(gone);
    claims::forget(&mut claims, gone);
    if was_ruled {
        claims::put_claims(work, context, study, claims)?;
        moving::part(work, context, study)?;
        claims = work.claims(study)?;
    }
    for aside in std::mem::take(&mut claims.aside) {
        if aside.taken_for.as_ref().is_some_and(|it| it.exam == *gone) {
            moving::remove_study(work, &aside.home(study))?;
        } else {
            claims.aside.push(aside);
        }
    }
    Ok(claims)
}

/// Takes a line off its list without a trace if what it tells of is gone.
fn purge_finding<S: State>(work: &mut Work<'_, S>, key: &FindingKey) -> Result<(), StateError> {
    let Some(row) = work.finding(key)? else {
        return Ok(());
    };
    let is_gone = match key.kind {
        FindingKind::NumberReuse => exam::is_free(work, key)?,
        FindingKind::FurtherVersion => versions::is_gone(work, key)?,
        _ => false,
    };
    if is_gone {
        if key.kind == FindingKind::NumberReuse {
            work.changes.refused_pushes.insert(row.position, None);
        }
        work.put_finding(key.clone(), None);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
