//! What was declared against what is held.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::ids::HospitalCode;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;
use yingku_storage::views::reconcile::{Question, reconcile as answer};

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
            anyhow::ensure!(
                registry.hospitals.contains_key(code),
                "没有登记医院 {code} (is not registered)"
            );
            vec![code.clone()]
        }
        None => registry.hospitals.keys().cloned().collect(),
    };
    let as_of_ms = match &asked.as_of {
        Some(text) => {
            let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
            let time = LocalDateTime::parse(text).context("--as-of")?;
            // To the end of that second, as the interface has it.
            Some(time.unix_ms(&zone) + 999)
        }
        None => None,
    };
    let question = Question {
        hospitals: &hospitals,
        from: LocalDate::parse(&asked.from).context("--from")?,
        to: LocalDate::parse(&asked.to).context("--to")?,
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
