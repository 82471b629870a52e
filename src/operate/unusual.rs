//! Who reads as somebody should ask after.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::supervision::unusual::Limits;
use yingku_core::time::{LocalDate, Zone};
use yingku_storage::archive::Archive;

use crate::control::Output;
use crate::unusual::{self, Days};

/// So many readings between two words of how far it is.
const NOTE_EVERY: u64 = 1 << 20;

/// Whose reading, and from where on it is unusual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnusualAsked {
    pub from: String,
    pub to: String,
    pub limits: Limits,
    /// Readers that are left out, as the audit stream names them.
    pub except: Vec<String>,
    pub json: bool,
}

pub async fn list(archive: &Archive, asked: UnusualAsked, output: &Output) -> anyhow::Result<bool> {
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    let from = LocalDate::parse(&asked.from).context("--from 应为 YYYY-MM-DD (must be a date)")?;
    let to = LocalDate::parse(&asked.to).context("--to 应为 YYYY-MM-DD (must be a date)")?;
    let days = Days::new(from, to, &zone)?;
    let (archive, noted) = (archive.clone(), output.clone());
    let text = tokio::task::spawn_blocking(move || {
        let mut next_note = NOTE_EVERY;
        let mut on = |readings| {
            if readings >= next_note {
                next_note = readings + NOTE_EVERY;
                noted.blocking_note(format!("已看调阅 (readings looked at): {readings}"))?;
            }
            Ok(())
        };
        let found = unusual::look(&archive, days, &asked.limits, &asked.except, &mut on)?;
        match asked.json {
            true => Ok(serde_json::to_string_pretty(&found)?),
            false => anyhow::Ok(unusual::text(&found)),
        }
    })
    .await??;
    output.line(text).await?;
    Ok(true)
}
