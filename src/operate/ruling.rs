//! Why something is ruled, and by whom: asked for wherever an operator changes what hospitals see.

use serde::{Deserialize, Serialize};
use yingku_core::correction::REASON_LIMIT;

/// Longest name of a person, in bytes: with its prefix it is the record's actor (255 bytes).
const AUTHOR_LIMIT_BYTES: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub reason: String,
    pub author: String,
}

impl Ruling {
    /// Takes a reason and a person, each trimmed and within its limit.
    pub fn new(reason: &str, author: &str) -> anyhow::Result<Self> {
        let (reason, author) = (reason.trim(), author.trim());
        anyhow::ensure!(
            !author.is_empty() && author.len() <= AUTHOR_LIMIT_BYTES,
            "--author: 1 至 {AUTHOR_LIMIT_BYTES} 字节 (bytes)"
        );
        anyhow::ensure!(
            !reason.is_empty() && reason.chars().count() <= REASON_LIMIT,
            "--reason: 1 至 {REASON_LIMIT} 字 (characters)"
        );
        Ok(Self {
            reason: reason.to_owned(),
            author: author.to_owned(),
        })
    }

    /// As records name who caused them.
    pub fn actor(&self) -> String {
        format!("operator:{}", self.author)
    }
}
