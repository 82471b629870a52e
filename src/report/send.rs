//! Where a report goes: a file, or an address that takes it by POST.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use yingku_storage::archive::Archive;

use super::{Format, Report};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes a day's report apart from the threads that serve.
pub async fn made(
    archive: &Archive,
    day: yingku_core::time::LocalDate,
    hospital: Option<yingku_core::ids::HospitalCode>,
) -> anyhow::Result<Report> {
    archive.settle().await?;
    let archive = archive.clone();
    let made = move || super::of_day(&archive, day, hospital.as_ref());
    tokio::task::spawn_blocking(made).await?
}

/// Writes it beside its place and moves it there, so that nobody reads half of one.
pub fn to_file(report: &Report, format: Format, path: &Path) -> anyhow::Result<()> {
    let text = report.written(format)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("{} 无法写 (cannot be written)", path.display()))
}

/// Posts it as JSON. Anything but a status of 2xx is a failure.
pub async fn to_webhook(report: &Report, url: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let request = http
        .post(url)
        .header(
            reqwest::header::CONTENT_TYPE,
            "application/json;charset=UTF-8",
        )
        .body(serde_json::to_vec(report)?);
    // An address may hold a secret: no error repeats it.
    let sent = request.send().await.map_err(reqwest::Error::without_url);
    let answer = sent.context("日报送不到 (the report cannot be delivered)")?;
    let status = answer.status();
    anyhow::ensure!(
        status.is_success(),
        "对方不收日报：HTTP {status} (the report was refused)"
    );
    Ok(())
}
