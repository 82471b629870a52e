//! The archive: the only way to write, and the way to the views.
//!
//! [`Archive::submit`] appends a record and answers with what it came to once this node's projector has passed it.
//! [`Archive::store`] puts an instance into a pack; its facts follow into the log in batches.

mod audit;
mod backup;
mod compact;
mod content;
mod error_digest;
mod facts;
mod follower;
mod identity;
mod intake;
mod lease;
mod mend;
mod migrate;
mod node;
mod nodes;
mod open;
mod registration;
pub(crate) mod replay;
#[cfg(test)]
mod resent_tests;
mod sign;
mod snapshot;
#[cfg(test)]
mod stopped_tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;
use yingku_core::envelope::{Cipher, Envelope, RECORD_LIMIT_BYTES};
use yingku_core::event::{Event, RULES_VERSION};
use yingku_core::ids::{HospitalCode, Position};
use yingku_core::outcome::{Decided, ErrorKind};
use yingku_core::registry::Registry;

use crate::keys::ClusterKey;
use crate::log::{EventLog, LogError};
use crate::packs::{PackError, Packs};
use crate::views::Views;

pub use audit::{AuditEntry, AuditError};
pub use backup::{BackupError, BackupLag, RestoreReport, restore};
pub use compact::{CompactError, CompactReport, Compaction};
pub use content::ContentError;
pub use error_digest::{ErrorDigest, ErrorDigestError, RefusedRequest, RefusedRequestKey};
pub use follower::{RebuildReport, views_position};
pub use intake::{Admission, Incoming, IntakeError, Refused, STUDY_HELD_LIMIT, StreamedIncoming};
pub use lease::Duty;
pub use migrate::{MigrateError, MigrationReport, MigrationStep, migrate};
pub use node::{NodeIdError, Reached};
pub use nodes::{NODE_TOKEN, PACK_BYTES};
pub use open::{ArchiveOptions, Copies, LogOptions, OpenError};
pub use registration::{Registering, RegistrationError};
pub use snapshot::{SnapshotError, SnapshotReport};

/// How long an answer waits for its outcome; a record that took longer is recorded, its outcome pending.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// Views that are further behind answer late: a second's work, as a rule.
const READY_BEHIND_RECORDS: u64 = 10_000;

/// What is to be recorded.
pub struct Submission {
    pub hospital: Option<HospitalCode>,
    /// `app:ID`, `ae:TITLE`, `operator:NAME` or `node:NUMBER`.
    pub actor: String,
    pub event: Event,
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the record is larger than the log takes: {bytes} bytes of at most {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the record cannot be encoded")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("recorded, outcome pending: send again, repeating is safe")]
    Pending,
}

impl SubmitError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } | Self::Log(LogError::TooLarge { .. }) => ErrorKind::TooLarge,
            Self::Log(LogError::Full(_)) => ErrorKind::Full,
            Self::Log(LogError::Busy { .. }) => ErrorKind::TooMany,
            Self::Log(_) | Self::Pending => ErrorKind::Unavailable,
            Self::Encode(_) => ErrorKind::Internal,
        }
    }
}

/// Where the node stands.
#[derive(Debug, Clone)]
pub struct Health {
    pub end: Position,
    /// Next position of the views.
    pub projected: Position,
    /// Records that the views took in since the start: with a snapshot far fewer than the log has.
    pub followed: u64,
    /// Why the projector stopped.
    pub stopped: Option<String>,
    /// What of the views cannot be read; ends when they were made anew.
    pub views_damaged: Option<String>,
    pub log_latched: Option<String>,
    /// Why the log, or the audit stream's, cannot be reached; ends by itself.
    pub log_away: Option<String>,
    pub packs_latched: Option<String>,
    /// What was refused last for lack of space.
    pub full: Option<String>,
    /// Space is lacking at this moment.
    pub short: Option<String>,
}

impl Health {
    /// Whether the node may be sent work: the log takes records, the views follow it closely, and there is space.
    pub fn is_ready(&self) -> bool {
        let problems = [
            &self.stopped,
            &self.views_damaged,
            &self.log_latched,
            &self.log_away,
            &self.packs_latched,
            &self.short,
        ];
        problems.iter().all(|problem| problem.is_none()) && self.behind() <= READY_BEHIND_RECORDS
    }

    /// Records of the log that the views do not have yet.
    pub fn behind(&self) -> u64 {
        self.end.0.saturating_sub(self.projected.0)
    }
}

/// The archive on this node. Clones are the same archive.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    node: node::NodeId,
    log: Arc<dyn EventLog>,
    audit: audit::Audit,
    packs: Packs,
    key: ClusterKey,
    follower: Arc<follower::Follower>,
    facts: facts::FactsQueue,
    errors: ErrorDigest,
    /// One run at a time.
    compacting: tokio::sync::Mutex<()>,
    snapshotting: tokio::sync::Mutex<()>,
}

/// What the projector shares with those who wait for it.
struct Shared {
    views: RwLock<Arc<Views>>,
    /// Tells when others have taken their place.
    replaced: watch::Sender<()>,
    registry: RwLock<Arc<Registry>>,
    /// Next position of the views.
    projected: watch::Sender<Position>,
    /// Records that were followed since the start.
    followed: AtomicU64,
    waiters: Mutex<HashMap<[u8; 16], oneshot::Sender<Decided>>>,
    stopped: watch::Sender<Option<Arc<str>>>,
}

impl Archive {
    pub fn views(&self) -> Arc<Views> {
        Arc::clone(&self.inner.follower.shared.views.read())
    }

    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.inner.follower.shared.registry.read())
    }

    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.inner.log
    }

    pub fn packs(&self) -> &Packs {
        &self.inner.packs
    }

    pub fn key(&self) -> &ClusterKey {
        &self.inner.key
    }

    pub fn errors(&self) -> &ErrorDigest {
        &self.inner.errors
    }

    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    pub fn node(&self) -> u16 {
        self.inner.node.number
    }

    /// The operator of this node as an actor of events.
    pub fn node_actor(&self) -> String {
        format!("node:{}", self.node())
    }

    /// Records what happened; resolves once it is durable and this node has decided it.
    ///
    /// [`SubmitError::Pending`] means recorded or not is unknown, or recorded and not yet decided: sending it again is
    /// safe, since repeating a record changes nothing.
    pub async fn submit(&self, submission: Submission) -> Result<Decided, SubmitError> {
        submit(&*self.inner.log, &self.inner.follower.shared, submission).await
    }

    /// Resolves once the views have everything that the log held when this was called. `Err`: they do not follow.
    pub async fn catch_up(&self) -> Result<(), SubmitError> {
        let end = self.inner.log.latest_end().await?;
        self.wait_for(end).await
    }

    /// How far the views have followed the log, as it changes.
    pub fn watch_projected(&self) -> watch::Receiver<Position> {
        self.inner.follower.shared.projected.subscribe()
    }

    /// Resolves once the views have every record before `position`.
    pub async fn wait_for(&self, position: Position) -> Result<(), SubmitError> {
        let shared = &self.inner.follower.shared;
        let mut projected = shared.projected.subscribe();
        let mut stopped = shared.stopped.subscribe();
        tokio::select! {
            reached = projected.wait_for(|next| *next >= position) => {
                reached.map(|_| ()).map_err(|_| SubmitError::Pending)
            }
            _ = stopped.wait_for(Option::is_some) => Err(SubmitError::Pending),
            () = tokio::time::sleep(OUTCOME_TIMEOUT) => Err(SubmitError::Pending),
        }
    }

    /// A read on this node first brings the facts of what it has stored into the log and the views
    /// ("Seen at once" in ARCHITECTURE.md).
    pub async fn settle(&self) -> Result<(), SubmitError> {
        self.inner.facts.flush().await?;
        self.catch_up().await
    }

    /// The position that a moment of the past stands for: views as of it hold the records before it. Blocks.
    pub fn position_at(&self, time_ms: i64) -> Result<Position, LogError> {
        self.inner.log.first_after(time_ms)
    }

    pub fn health(&self) -> Health {
        let shared = &self.inner.follower.shared;
        let log = self.inner.log.health();
        // Without the audit stream nothing is read.
        let away = log.away.or_else(|| self.audit_log().health().away);
        let packs = self.inner.packs.health();
        Health {
            end: log.end,
            projected: *shared.projected.borrow(),
            followed: shared.followed.load(Ordering::Relaxed),
            stopped: shared.stopped.borrow().as_deref().map(str::to_owned),
            views_damaged: self.views().damage().borrow().as_deref().map(str::to_owned),
            log_latched: log.latched.as_deref().map(str::to_owned),
            log_away: away.as_deref().map(str::to_owned),
            packs_latched: packs.latched.as_deref().map(str::to_owned),
            full: log.full.or(packs.full).map(|shortage| shortage.to_string()),
            short: packs.short.map(|shortage| shortage.to_string()),
        }
    }

    /// Makes new views beside the old ones and swaps, while serving. Blocks for as long as the replay takes.
    pub fn rebuild(&self) -> Result<RebuildReport, RebuildError> {
        self.inner.follower.rebuild()
    }

    /// Brings waiting facts into the log and stops following it. With the last clone the directory is free again.
    pub async fn close(&self) {
        if let Err(error) = self.inner.facts.flush().await {
            tracing::warn!(%error, "facts of stored instances wait in their packs for the next start");
        }
        self.inner.facts.end().await;
        self.inner.follower.stop();
    }
}

/// Why new views were not made.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Project(#[from] Box<dyn std::error::Error + Send + Sync>),
    #[error("a rebuild is running already")]
    Running,
}

/// [`Archive::submit`], also while the archive is being opened.
async fn submit(
    log: &dyn EventLog,
    shared: &Shared,
    submission: Submission,
) -> Result<Decided, SubmitError> {
    let (id, bytes) = encode(&submission)?;
    if shared.stopped.borrow().is_some() {
        return Err(SubmitError::Pending);
    }
    let (sender, receiver) = oneshot::channel();
    shared.waiters.lock().insert(id, sender);
    // Whoever gives up waiting takes its place in the table along.
    let _guard = Waiting { shared, id };
    append(log, bytes).await?;
    let mut stopped = shared.stopped.subscribe();
    tokio::select! {
        decided = receiver => decided.map_err(|_| SubmitError::Pending),
        _ = stopped.wait_for(Option::is_some) => Err(SubmitError::Pending),
        () = tokio::time::sleep(OUTCOME_TIMEOUT) => Err(SubmitError::Pending),
    }
}

struct Waiting<'a> {
    shared: &'a Shared,
    id: [u8; 16],
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiters.lock().remove(&self.id);
    }
}

/// Appends a record; how long that took is measured.
async fn append(log: &dyn EventLog, record: Bytes) -> Result<Position, LogError> {
    let since = Instant::now();
    let appended = log.append(record).await;
    let outcome = if appended.is_ok() { "done" } else { "failed" };
    metrics::histogram!("yingku_log_append_seconds", "outcome" => outcome).record(since.elapsed());
    appended
}

/// Encodes a submission under a new id.
fn encode(submission: &Submission) -> Result<([u8; 16], Bytes), SubmitError> {
    let (kind, version) = submission.event.kind();
    let body = submission
        .event
        .encode_body()
        .map_err(|e| SubmitError::Encode(Box::new(e)))?;
    let id = Uuid::now_v7();
    let bytes = Envelope {
        id,
        kind,
        version,
        rules: RULES_VERSION,
        cipher: Cipher::None,
        key_id: 0,
        hospital: submission.hospital.clone(),
        actor: &submission.actor,
        body: &body,
    }
    .encode()
    .map_err(|e| SubmitError::Encode(Box::new(e)))?;
    if bytes.len() > RECORD_LIMIT_BYTES {
        return Err(SubmitError::TooLarge {
            bytes: bytes.len(),
            limit: RECORD_LIMIT_BYTES,
        });
    }
    Ok((*id.as_bytes(), bytes.into()))
}

impl From<PackError> for IntakeError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}
