//! What was declared against what is held.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::ids::HospitalCode;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;
use yingku_storage::views::reconcile::{Question, reconcile as answer};

use super::ensure_registered;
use crate::control::Output;
use crate::reconciliation;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciling {
    pub hospital: Option<HospitalCode>,
    pub from: String,
    pub to: String,
    /// Local time.
    pub as_of: Option<String>,
    pub json: bool,
}

pub async fn reconcile(
    archive: &Archive,
    asked: Reconciling,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.settle().await?;
    let archive = archive.clone();
    let text = tokio::task::spawn_blocking(move || answered(&archive, &asked)).await??;
    output.line(text).await?;
    Ok(true)
}

fn answered(archive: &Archive, asked: &Reconciling) -> anyhow::Result<String> {
    let registry = archive.registry();
    let hospitals: Vec<HospitalCode> = match &asked.hospital {
        Some(code) => {
            ensure_registered(archive, code)?;
            vec![code.clone()]
        }
        None => registry.hospitals.keys().cloned().collect(),
    };
    let as_of_ms = match &asked.as_of {
        Some(text) => {
            let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
            let time = LocalDateTime::parse(text)
                .context("--as-of 应为 \"YYYY-MM-DD HH:MM:SS\" (must be a time)")?;
            // To the end of that second, as the interface has it.
            Some(time.unix_ms(&zone) + 999)
        }
        None => None,
    };
    let from = LocalDate::parse(&asked.from).context("--from 应为 YYYY-MM-DD (must be a date)")?;
    let to = LocalDate::parse(&asked.to).context("--to 应为 YYYY-MM-DD (must be a date)")?;
    anyhow::ensure!(
        from <= to,
        "--from {from} 在 --to {to} 之后，请对调 (--from is after --to)"
    );
    let question = Question {
        hospitals: &hospitals,
        from,
        to,
        as_of: as_of_ms
            .map(|time_ms| archive.position_at(time_ms))
            .transpose()?,
        as_of_ms,
    };
    let found = answer(&archive.views(), &registry, question)?;
    if asked.json {
        Ok(serde_json::to_string_pretty(&found)?)
    } else {
        Ok(reconciliation::text(&found))
    }
}
