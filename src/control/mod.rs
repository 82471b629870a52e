//! How operator commands reach the archive: through the socket of the server that holds the data directory, or, when
//! none runs, by opening the archive themselves. Both ways end in [`crate::operate::execute`].

mod client;
mod server;
mod socket;

pub use client::run;
pub use server::ControlServer;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Longest request: a registry file of a province fits.
pub const REQUEST_LIMIT_BYTES: u64 = 4 << 20;
/// Replies that may wait for a slow reader; then the operation waits.
const REPLIES_WAITING: usize = 256;

/// What an operation answers, one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// For standard output.
    Line(String),
    /// For standard error: progress, remarks.
    Note(String),
    /// The last one. `Ok(false)`: done, and what was looked at is not as it should be.
    End(Result<bool, String>),
}

/// Whoever asked went away.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the command ended before its answer did")]
pub struct Gone;

/// Where an operation puts its replies.
#[derive(Clone)]
pub struct Output(mpsc::Sender<Reply>);

impl Output {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Reply>) {
        let (sender, receiver) = mpsc::channel(REPLIES_WAITING);
        (Self(sender), receiver)
    }

    pub async fn line(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0
            .send(Reply::Line(text.into()))
            .await
            .map_err(|_| Gone)
    }

    pub async fn note(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0
            .send(Reply::Note(text.into()))
            .await
            .map_err(|_| Gone)
    }

    /// Unless there is no room for it at this moment.
    pub fn try_line(&self, text: impl Into<String>) {
        let _ = self.0.try_send(Reply::Line(text.into()));
    }

    /// From a thread of its own.
    pub fn blocking_line(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0
            .blocking_send(Reply::Line(text.into()))
            .map_err(|_| Gone)
    }

    pub fn blocking_note(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0
            .blocking_send(Reply::Note(text.into()))
            .map_err(|_| Gone)
    }

    /// Resolves when whoever asked went away.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}
