//! Following the changes: the exams that records changed are put in place of what was found of them.

use std::time::{Duration, Instant};

use yingku_core::ids::{ExamKey, Position};
use yingku_core::registry::Settings;

use crate::document::Exam;
use crate::index::{Index, IndexError};

/// Exams that are read and turned into documents at once.
const AT_ONCE: usize = 1_000;
/// Of a long way to go, what is committed at once: a crash makes so much again.
const COMMIT_EXAMS: usize = 50_000;
/// Between two commits: each is a segment, which has to be merged.
const BETWEEN_COMMITS: Duration = Duration::from_millis(300);
/// Threads that turn exams into documents; one more writes them.
const BUILDERS: usize = 2;

pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Exams that changed, each once, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub exams: Vec<ExamKey>,
    pub next: Position,
    /// There is nothing more so far.
    pub is_all: bool,
}

/// Where changes and exams come from.
pub trait Source: Send + Sync {
    /// Waits until something after a position is there. `false`: nothing more will come.
    fn wait(&self, next: Position) -> bool;

    /// The exams that records from a position on changed, `limit` of them or a few more.
    fn changed(&self, from: Position, limit: usize) -> Result<Changed, SourceError>;

    /// An exam as it stands; `None`: it is found no more.
    fn exam(&self, key: &ExamKey) -> Result<Option<Exam>, SourceError>;

    /// Those in force.
    fn settings(&self) -> Settings;

    /// Whether to stop.
    fn is_stopped(&self) -> bool;
}

/// Follows until the source ends, or something fails: then the index stays as it was committed, is behind, and says why. Called
/// again it goes on from there.
pub fn follow(index: &Index, source: &dyn Source) -> Result<(), SourceError> {
    let followed = index
        .renew()
        .map_err(SourceError::from)
        .and_then(|()| follow_on(index, source));
    if let Err(error) = &followed {
        index.failed(error.to_string());
    }
    followed
}

fn follow_on(index: &Index, source: &dyn Source) -> Result<(), SourceError> {
    let mut last_commit: Option<Instant> = None;
    while source.wait(index.next()) {
        if let Some(rest) = last_commit.and_then(|at| BETWEEN_COMMITS.checked_sub(at.elapsed())) {
            std::thread::sleep(rest);
        }
        let mut at = index.next();
        let mut exams = 0;
        loop {
            let changed = source.changed(at, AT_ONCE)?;
            exams += changed.exams.len();
            put(index, source, changed.exams)?;
            at = changed.next;
            if changed.is_all || exams >= COMMIT_EXAMS || source.is_stopped() {
                break;
            }
        }
        // After a failure a commit shows that writing goes on.
        if exams == 0 && index.problem().is_none() {
            index.passed(at);
            continue;
        }
        index.commit(at)?;
        last_commit = Some(Instant::now());
    }
    Ok(())
}

fn put(index: &Index, source: &dyn Source, exams: Vec<ExamKey>) -> Result<(), SourceError> {
    let settings = source.settings();
    let share = exams.len().div_ceil(BUILDERS).max(1);
    let build = |exams: &[ExamKey]| {
        let documents = exams.iter().map(|key| {
            let exam = source.exam(key)?;
            let document = exam.map(|exam| index.document(&exam, &settings));
            Ok((key.clone(), document))
        });
        documents.collect::<Result<Vec<_>, SourceError>>()
    };
    let shares: Vec<&[ExamKey]> = exams.chunks(share).collect();
    let built = std::thread::scope(|scope| {
        let started: Vec<_> = shares
            .iter()
            .map(|exams| scope.spawn(|| build(exams)))
            .collect();
        let ended = started.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err("making documents panicked".into()))
        });
        ended.collect::<Result<Vec<_>, SourceError>>()
    })?;
    for documents in built {
        index
            .replace(documents)
            .map_err(|error: IndexError| SourceError::from(error))?;
    }
    Ok(())
}
