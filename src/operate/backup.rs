//! A copy of the archive at another place, kept up while it serves.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use yingku_storage::archive::{Archive, BackupLag};

use crate::control::Output;

/// Between two lines about how far behind the copy is, while nothing changes for the better.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub async fn backup(
    archive: &Archive,
    to: &Path,
    once: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    let told: Mutex<Option<(Instant, bool)>> = Mutex::new(None);
    let teller = output.clone();
    let tell = move |lag: BackupLag| {
        let caught_up = lag.behind_records == 0 && lag.behind_bytes == 0;
        let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_news =
            told.is_none_or(|(when, before)| when.elapsed() >= TELL_EVERY || caught_up != before);
        if is_news {
            *told = Some((Instant::now(), caught_up));
            // Whoever asked may be gone, or read slowly; what is told next says the same.
            teller.try_line(line(lag));
        }
    };
    archive.back_up(to, once, output.gone(), tell).await?;
    Ok(true)
}

fn line(lag: BackupLag) -> String {
    format!(
        "备份至 (copied to): {}; 落后 (behind): {} 条 (records), {} 字节影像 (bytes of images)",
        lag.position, lag.behind_records, lag.behind_bytes
    )
}
