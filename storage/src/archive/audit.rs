//! The audit stream: who read what. A log of its own, apart from the events.
//!
//! Entries of one reader, target and operation within five minutes are one record. When an entry cannot be written,
//! the reader gets nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Archive;
use crate::log::{EventLog, LogError};

/// Repeats within this time are one record.
const WINDOW: Duration = Duration::from_secs(300);
/// Entries remembered to tell repeats; when there are more, the oldest window is forgotten and recorded again.
const REMEMBERED: usize = 100_000;

/// One reading of patient data. Codes and UIDs only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuditEntry {
    /// `app:ID`, `ae:TITLE` or `operator:NAME`; of the clinic page `clinic:ADDRESS` or `link:APP`.
    pub reader: String,
    /// `find`, `move`, `get`, `query`, `detail`, `history` …
    pub operation: String,
    /// Hospital whose patient it is; empty if a question went over several.
    pub hospital: String,
    /// Exam (`hospital/examNo`) or study UID; of a question that lists, empty or how many exams (`7 exams`).
    pub target: String,
    /// Hospital for which it is read; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub read_for: String,
    /// Code of who reads there, as the app gives it; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `visit`, `consent` or `emergency`; empty: not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the reading cannot be recorded, so it is not answered; send again later")]
pub struct AuditError(#[from] LogError);

pub(super) struct Audit {
    log: Arc<dyn EventLog>,
    /// By digest of the entry: one that names all exams of a page is some kilobytes.
    recent: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Audit {
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            recent: Mutex::default(),
        }
    }

    async fn record(&self, entry: AuditEntry) -> Result<(), AuditError> {
        let now = Instant::now();
        // An entry is codes only, so it always encodes.
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        let digest = *blake3::hash(&bytes).as_bytes();
        if let Some(at) = self.recent.lock().get(&digest)
            && now.duration_since(*at) < WINDOW
        {
            return Ok(());
        }
        self.log.append(bytes.into()).await?;
        let mut recent = self.recent.lock();
        if recent.len() >= REMEMBERED {
            recent.retain(|_, at| now.duration_since(*at) < WINDOW);
            if recent.len() >= REMEMBERED {
                recent.clear();
            }
        }
        recent.insert(digest, now);
        Ok(())
    }
}

impl Archive {
    /// Records a reading before it is answered.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), AuditError> {
        self.inner.audit.record(entry).await
    }

    /// The stream itself, for operators.
    pub fn audit_log(&self) -> &Arc<dyn EventLog> {
        &self.inner.audit.log
    }
}
