//! The index follows the views: here it is told where changes and exams come from.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_core::contract::push::ExamPush;
use yingku_core::event::CHANGES_SINCE_RULES;
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamKey, Position};
use yingku_core::registry::Settings;
use yingku_indexer::{Changed, Exam, Index, IndexError, Source, SourceError, follow};
use yingku_storage::archive::Archive;
use yingku_storage::views::Walk;

use crate::backoff;

/// Directory of the index, within the data directory.
const DIRECTORY: &str = "index";
/// Before the exams are asked for again after a failure.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Opens the node's index, or makes it anew.
pub fn open(archive: &Archive, data: &Path) -> anyhow::Result<Index> {
    let views = archive.views().cursor()?.next;
    let opened: Result<Index, IndexError> = Index::open(&data.join(DIRECTORY), views);
    Ok(opened?)
}

/// Follows on a thread of its own until `stop`.
pub fn start(archive: &Archive, index: &Index, stop: &CancellationToken, tasks: &TaskTracker) {
    let source = Changes {
        archive: archive.clone(),
        stop: stop.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    let index = index.clone();
    tasks.spawn_blocking(move || {
        let mut failures = 0;
        while let Err(error) = follow(&index, &source) {
            failures += 1;
            tracing::error!(%error, "the index does not follow and is behind");
            let rest = backoff::grown(AGAIN_AFTER, failures);
            let stopped = source.stop.cancelled();
            let is_stopped = source
                .runtime
                .block_on(async { tokio::time::timeout(rest, stopped).await.is_ok() });
            if is_stopped {
                return;
            }
        }
    });
}

struct Changes {
    archive: Archive,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl Changes {
    /// Before their rules are active there are no lines, and then there are lines of all that was before: nothing may be passed
    /// until then.
    fn has_changes(&self) -> bool {
        self.archive.registry().rules >= CHANGES_SINCE_RULES
    }
}

impl Source for Changes {
    fn wait(&self, next: Position) -> bool {
        let mut projected = self.archive.watch_projected();
        self.runtime.block_on(async {
            tokio::select! {
                () = self.stop.cancelled() => false,
                reached = projected.wait_for(|position| *position > next && self.has_changes()) => {
                    reached.is_ok()
                }
            }
        })
    }

    fn changed(&self, from: Position, limit: usize) -> Result<Changed, SourceError> {
        let views = self.archive.views();
        // Before the lines are read: what comes meanwhile is read again, not left out.
        let end = views.cursor()?.next;
        let mut exams: Vec<ExamKey> = Vec::new();
        let mut last = None;
        let mut is_whole = true;
        views.visit_changes(from, &mut |position, exam| {
            if exams.len() >= limit && last != Some(position) {
                is_whole = false;
                return Walk::Stop;
            }
            last = Some(position);
            exams.push(exam);
            Walk::On
        })?;
        let behind = last.map_or(from, |last| Position(last.0 + 1));
        exams.sort();
        exams.dedup();
        Ok(Changed {
            exams,
            next: match is_whole {
                true => behind.max(end),
                false => behind,
            },
            is_all: is_whole,
        })
    }

    fn exam(&self, key: &ExamKey) -> Result<Option<Exam>, SourceError> {
        let row = self.archive.views().exam(key)?;
        let is_found = |row: &ExamRow| row.withdrawn.is_none() && !row.has(ExamFlag::Superseded);
        let Some(row) = row.filter(is_found) else {
            return Ok(None);
        };
        let body = self.archive.pushed_content(row.position)?;
        match ExamPush::from_canonical(&body.json) {
            Some(content) => Ok(Some(Exam { row, content })),
            None => {
                tracing::error!(exam = %key, "the content of an exam cannot be read: it is not found");
                Ok(None)
            }
        }
    }

    fn settings(&self) -> Settings {
        self.archive.registry().settings.clone()
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }
}
