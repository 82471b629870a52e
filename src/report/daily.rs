//! The report that the working node makes each day at a set time.

use std::path::Path;
use std::time::Duration;

use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;

use super::{Format, Report, send};
use crate::config::{Report as Settings, TimeOfDay};
use crate::operate::yesterday;

/// Tries of one day's report, and what lies between them.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_secs(600);
/// A clock that is set, or a summer time, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// Makes a report at each day's time, for as long as it is polled. One whose time passes while no node works is not made up
/// for: `yingku report daily --day` does that.
pub async fn run(archive: &Archive, settings: &Settings) {
    let Some(at) = settings.daily_at else {
        return std::future::pending().await;
    };
    let mut next_ms = next(archive, at, now_ms());
    loop {
        let left_ms = u64::try_from(next_ms - now_ms()).unwrap_or_default();
        if left_ms > 0 {
            let left = Duration::from_millis(left_ms).min(LONGEST_SLEEP);
            tokio::time::sleep(left).await;
            continue;
        }
        make(archive, settings).await;
        next_ms = next(archive, at, now_ms().max(next_ms));
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The first moment after another at which a clock shows the time.
fn next(archive: &Archive, at: TimeOfDay, after_ms: i64) -> i64 {
    let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
    next_in(&zone, at, after_ms)
}

fn next_in(zone: &Zone, at: TimeOfDay, after_ms: i64) -> i64 {
    let today = LocalDateTime::from_unix_ms(after_ms, zone).map(LocalDateTime::date);
    let days = std::iter::successors(today, |day| day.next());
    let moments = days.filter_map(|day| {
        let time = LocalDateTime::new(day, at.hour, at.minute, 0).ok()?;
        Some(time.unix_ms(zone))
    });
    // Outside the years taken there is none.
    moments
        .take(3)
        .find(|ms| *ms > after_ms)
        .unwrap_or(i64::MAX)
}

async fn make(archive: &Archive, settings: &Settings) {
    let day = yesterday(archive);
    for left in (0..TRIES).rev() {
        match deliver(archive, settings, day).await {
            Ok(()) => {
                tracing::info!(%day, "the daily report is delivered");
                return;
            }
            Err(error) if left > 0 => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the daily report is tried again"
                );
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the daily report is not delivered"
                );
            }
        }
    }
}

async fn deliver(archive: &Archive, settings: &Settings, day: LocalDate) -> anyhow::Result<()> {
    let report = send::made(archive, day, None).await?;
    if let Some(dir) = &settings.dir {
        files(&report, &archive.dir().join(dir))?;
    }
    if let Some(url) = &settings.webhook {
        send::to_webhook(&report, url).await?;
    }
    Ok(())
}

fn files(report: &Report, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (format, ending) in [
        (Format::Text, "md"),
        (Format::Json, "json"),
        (Format::Csv, "csv"),
    ] {
        let name = format!("daily-{}.{ending}", report.day);
        send::to_file(report, format, &dir.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_today_s_or_tomorrow_s() {
        let zone = Zone::default();
        let at = TimeOfDay {
            hour: 7,
            minute: 30,
        };
        let next = |now: &str| {
            let now_ms = LocalDateTime::parse(now).ok()?.unix_ms(&zone);
            let next = LocalDateTime::from_unix_ms(next_in(&zone, at, now_ms), &zone)?;
            Some(next.to_string())
        };
        for (now, expected) in [
            ("2026-07-04 07:29:59", "2026-07-04 07:30:00"),
            ("2026-07-04 07:30:00", "2026-07-05 07:30:00"),
            ("2026-12-31 23:00:00", "2027-01-01 07:30:00"),
        ] {
            assert_eq!(next(now).as_deref(), Some(expected));
        }
    }
}
