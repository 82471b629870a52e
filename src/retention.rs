//! Images whose time is over by a retention rule: found here, deleted by an event, which decides again.

use std::collections::BTreeMap;

use yingku_core::event::{CARE_SINCE_RULES, Event, ImagesDeleted};
use yingku_core::exam::ExamRow;
use yingku_core::finding::{FindingKey, FindingKind};
use yingku_core::ids::{ExamKey, StudyKey, StudyUid};
use yingku_core::registry::Settings;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{Views, ViewsError, Walk};

/// Exams of one record: their keys take some 50 KB.
const EXAMS_OF_RECORD: usize = 500;
/// Exams of one round, so that the list is bounded; the next round takes the rest.
const EXAMS_OF_ROUND: usize = 10_000;

/// Rounds in a row; what is left is for the next day.
const ROUNDS: usize = 100;

/// What is due, by the name of the rule.
#[derive(Debug, Default)]
pub struct Due {
    pub exams: BTreeMap<String, Vec<ExamKey>>,
    pub bytes: u64,
}

impl Due {
    pub fn count(&self) -> usize {
        self.exams.values().map(Vec::len).sum()
    }
}

/// Deletes what is due, round by round. How many exams had images of theirs deleted.
pub async fn apply(archive: &Archive, epoch: Option<u64>) -> anyhow::Result<usize> {
    if archive.registry().rules < CARE_SINCE_RULES {
        return Ok(0);
    }
    let mut deleted = 0;
    for _ in 0..ROUNDS {
        let due = find(archive).await?;
        if due.exams.is_empty() {
            return Ok(deleted);
        }
        let count = due.count();
        for (rule, exams) in due.exams {
            for exams in exams.chunks(EXAMS_OF_RECORD) {
                tracing::info!(
                    rule,
                    exams = exams.len(),
                    "images whose time is over are deleted"
                );
                let body = ImagesDeleted {
                    rule: rule.clone(),
                    exams: exams.to_vec(),
                    epoch,
                };
                let submission = Submission {
                    hospital: None,
                    actor: archive.node_actor(),
                    event: Event::ImagesDeleted(body),
                };
                archive.submit(submission).await?;
            }
        }
        deleted += count;
        if count < EXAMS_OF_ROUND {
            break;
        }
    }
    Ok(deleted)
}

/// What is due now.
pub async fn find(archive: &Archive) -> anyhow::Result<Due> {
    archive.settle().await?;
    let archive = archive.clone();
    let found = tokio::task::spawn_blocking(move || {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        due(&archive.views(), &archive.registry().settings, now_ms)
    });
    Ok(found.await??)
}

fn due(views: &Views, settings: &Settings, now_ms: i64) -> Result<Due, ViewsError> {
    let mut due = Due::default();
    if !settings
        .retention
        .iter()
        .any(|rule| rule.delete_after_months.is_some())
    {
        return Ok(due);
    }
    let mut failed = None;
    let mut count = 0;
    views.visit_all_exams(&mut |row| {
        let Some(rule) = settings.deletion_due(&row, now_ms) else {
            return Walk::On;
        };
        match bytes_to_delete(views, settings, &row, now_ms) {
            Ok(0) => Walk::On,
            Ok(bytes) => {
                due.bytes = due.bytes.saturating_add(bytes);
                due.exams
                    .entry(rule.name.clone())
                    .or_default()
                    .push(row.key);
                count += 1;
                match count < EXAMS_OF_ROUND {
                    true => Walk::On,
                    false => Walk::Stop,
                }
            }
            Err(error) => {
                failed = Some(error);
                Walk::Stop
            }
        }
    })?;
    failed.map_or(Ok(due), Err)
}

/// Bytes of an exam's images that no hold and no other exam keeps.
fn bytes_to_delete(
    views: &Views,
    settings: &Settings,
    exam: &ExamRow,
    now_ms: i64,
) -> Result<u64, ViewsError> {
    let mut bytes = 0u64;
    for uid in exam.own_studies() {
        let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
        let there = views.study(&study)?.map_or(0, |row| row.bytes);
        if there > 0 && may_lose(views, settings, exam, uid, now_ms)? {
            bytes = bytes.saturating_add(there);
        }
    }
    Ok(bytes)
}

fn may_lose(
    views: &Views,
    settings: &Settings,
    exam: &ExamRow,
    uid: &StudyUid,
    now_ms: i64,
) -> Result<bool, ViewsError> {
    let claims = views.claims(uid)?.unwrap_or_default();
    let others = claims.owning().map(|claim| claim.exam.clone());
    for key in others.chain([exam.key.clone()]) {
        let Some(row) = views.exam(&key)? else {
            continue;
        };
        let is_due = settings.deletion_due(&row, now_ms).is_some();
        if !is_due || views.finding(&hold_of(&key))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn hold_of(exam: &ExamKey) -> FindingKey {
    FindingKey {
        kind: FindingKind::LegalHold,
        hospital: exam.hospital.clone(),
        subject: exam.to_string(),
    }
}
