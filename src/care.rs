//! The care of this node's packs: at night they are compacted, and what was given up goes when its time is over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use yingku_core::time::{LocalDateTime, Zone};
use yingku_storage::archive::{Archive, CompactError};

use crate::config::Care;

/// How often is looked whether it is time.
const EVERY: Duration = Duration::from_secs(900);

/// What comes before any duty: copies that a crash left are given up while everything that they are of is there.
pub async fn begin(archive: &Archive) {
    match archive.give_up_unfinished().await {
        Ok(()) | Err(CompactError::Running) => {}
        Err(error) => {
            tracing::warn!(%error, "packs that a broken-off compaction left stay; it is tried again in a quarter of an hour");
        }
    }
}

/// Looks until `stop`.
pub async fn run(archive: Archive, care: Care, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = look(&archive, &care) => {}
    }
}

async fn look(archive: &Archive, care: &Care) {
    let mut times = tokio::time::interval(EVERY);
    let mut last_day = None;
    loop {
        times.tick().await;
        begin(archive).await;
        let zone = Zone::named(&archive.registry().settings.time_zone).unwrap_or_default();
        let now = LocalDateTime::from_unix_ms(jiff::Timestamp::now().as_millisecond(), &zone);
        if let Some(now) = now
            && care.compact
            && last_day != Some(now.date())
            && care.hours.have(now.time().0, now.time().1)
        {
            match archive.compact(care.compaction()).await {
                Ok(report) => {
                    last_day = Some(now.date());
                    tracing::info!(
                        looked_at = report.looked_at,
                        packs = report.packs,
                        made = report.made,
                        instances = report.instances,
                        bytes = report.bytes,
                        given_up = report.given_up,
                        unreadable = report.unreadable,
                        "packs were compacted"
                    );
                }
                // An operator has not activated the rules yet, or does it himself at this moment.
                Err(CompactError::Rules | CompactError::Running) => {}
                Err(error) => {
                    tracing::warn!(%error, "packs are not compacted; it is tried again in a quarter of an hour");
                }
            }
        }
        let (removing, kept) = (archive.clone(), care.kept());
        let removed = tokio::task::spawn_blocking(move || removing.remove_compacted(kept)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "packs that were compacted stay; it is tried again in a quarter of an hour");
        }
    }
}
