//! Images whose time is over by a retention rule: found here, deleted by an event, which decides again.

use std::collections::BTreeMap;

use yingku_core::decide::{Look, hold_of, losers};
use yingku_core::event::{CARE_SINCE_RULES, Event, ImagesDeleted};
use yingku_core::exam::ExamRow;
use yingku_core::ids::{ExamKey, StudyKey, StudyUid};
use yingku_core::instance::{CHUNK_INSTANCES, StudyClaims, StudyRow};
use yingku_core::registry::Settings;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{Views, ViewsError, Walk};

/// Exams of one record: their keys take some 50 KB.
const EXAMS_OF_RECORD: usize = 500;
/// Images of one record, roughly (one exam's more may go over): every node has the rows that it changes in memory.
const IMAGES_OF_RECORD: u64 = 20_000;
/// Exams of one round, so that the list is bounded; the next round takes the rest.
const EXAMS_OF_ROUND: usize = 10_000;

/// Rounds in a row; what is left is for the next day.
const ROUNDS: usize = 100;

/// What is due, by the name of the rule.
#[derive(Debug, Default)]
pub struct Due {
    /// Each exam with the number of its images, roughly.
    pub exams: BTreeMap<String, Vec<(ExamKey, u64)>>,
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
            for exams in records(&exams) {
                tracing::info!(
                    rule,
                    exams = exams.len(),
                    "images whose time is over are deleted"
                );
                let body = ImagesDeleted {
                    rule: rule.clone(),
                    exams,
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

/// The exams of each record.
fn records(exams: &[(ExamKey, u64)]) -> Vec<Vec<ExamKey>> {
    let mut records: Vec<Vec<ExamKey>> = Vec::new();
    let mut images_of_record = 0u64;
    for (exam, images) in exams {
        images_of_record = images_of_record.saturating_add(*images);
        let begins = images_of_record > IMAGES_OF_RECORD
            || records
                .last()
                .is_none_or(|record| record.len() >= EXAMS_OF_RECORD);
        if begins {
            records.push(Vec::new());
            images_of_record = *images;
        }
        if let Some(record) = records.last_mut() {
            record.push(exam.clone());
        }
    }
    records
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
    let seen = Seen { views, settings };
    let mut failed = None;
    let mut count = 0;
    views.visit_all_exams(&mut |row| {
        let Some(rule) = settings.deletion_due(&row, now_ms) else {
            return Walk::On;
        };
        match to_delete(&seen, &row, now_ms) {
            Ok((0, _)) => return Walk::On,
            Ok((images, bytes)) => {
                due.bytes = due.bytes.saturating_add(bytes);
                let exams = due.exams.entry(rule.name.clone()).or_default();
                exams.push((row.key, images));
                count += 1;
            }
            Err(error) => failed = Some(error),
        }
        match count < EXAMS_OF_ROUND && failed.is_none() {
            true => Walk::On,
            false => Walk::Stop,
        }
    })?;
    failed.map_or(Ok(due), Err)
}

/// An exam's images that nothing keeps: their number and bytes.
fn to_delete(seen: &Seen<'_>, exam: &ExamRow, now_ms: i64) -> Result<(u64, u64), ViewsError> {
    let (mut images, mut bytes) = (0u64, 0u64);
    for uid in exam.own_studies() {
        if losers(seen, exam, uid, now_ms)?.is_none() {
            continue;
        }
        let study = StudyKey::new(exam.key.hospital.clone(), uid.clone());
        if let Some(row) = seen.views.study(&study)? {
            let chunks: u64 = row
                .series
                .iter()
                .map(|series| u64::from(series.chunks))
                .sum();
            images = images.saturating_add(chunks.saturating_mul(CHUNK_INSTANCES as u64));
            bytes = bytes.saturating_add(row.bytes);
        }
    }
    Ok((images, bytes))
}

/// The views as the rules ask them.
struct Seen<'a> {
    views: &'a Views,
    settings: &'a Settings,
}

impl Look for Seen<'_> {
    type Error = ViewsError;

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn exam(&self, key: &ExamKey) -> Result<Option<ExamRow>, ViewsError> {
        self.views.exam(key)
    }

    fn claims(&self, study: &StudyUid) -> Result<StudyClaims, ViewsError> {
        Ok(self.views.claims(study)?.unwrap_or_default())
    }

    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, ViewsError> {
        self.views.study(key)
    }

    fn is_held(&self, key: &ExamKey) -> Result<bool, ViewsError> {
        Ok(self.views.finding(&hold_of(key))?.is_some())
    }
}
