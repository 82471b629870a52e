//! The daily report, shown, written or sent.

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::ids::HospitalCode;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;

use super::ensure_registered;
use crate::control::Output;
use crate::report::{Format, send};

/// Which report, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporting {
    /// Yesterday, if it is not said.
    pub day: Option<String>,
    pub hospital: Option<HospitalCode>,
    pub format: Format,
    /// Written by the process that does the operation.
    pub out: Option<PathBuf>,
    pub webhook: Option<String>,
}

pub async fn daily(archive: &Archive, asked: Reporting, output: &Output) -> anyhow::Result<bool> {
    if let Some(hospital) = &asked.hospital {
        ensure_registered(archive, hospital)?;
    }
    let day = match &asked.day {
        Some(day) => LocalDate::parse(day).context("--day 应为 YYYY-MM-DD (must be a date)")?,
        None => yesterday(archive),
    };
    let report = send::made(archive, day, asked.hospital.clone()).await?;
    let (out, webhook) = (&asked.out, &asked.webhook);
    if let Some(path) = out {
        send::to_file(&report, asked.format, path)?;
        output
            .line(format!("已写入 (written): {}", path.display()))
            .await?;
    }
    if let Some(url) = webhook {
        send::to_webhook(&report, url).await?;
        output.line("已送出 (sent)").await?;
    }
    if out.is_none() && webhook.is_none() {
        output.line(report.written(asked.format)?).await?;
    }
    Ok(true)
}

/// The last whole day, by the hospitals' clocks.
pub fn yesterday(archive: &Archive) -> LocalDate {
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let today = LocalDateTime::from_unix_ms(now_ms, &zone).map(LocalDateTime::date);
    today.unwrap_or(LocalDate::LAST).days_before(1)
}
