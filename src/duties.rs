//! What is done once for an archive. What time brings about: instances that waited too long for their push are dropped
//! (R8), and images whose time is over by a retention rule are deleted, both by events. Status notices are sent, and
//! studies are fetched from gateways. The daily report is made.
//!
//! It is done by one node of an archive, the one that has the lease; where the log is this node's own it is always that one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use yingku_core::decide::DUTIES;
use yingku_core::event::{Event, HoldExpired};
use yingku_core::ids::{HospitalCode, Position, StudyUid};
use yingku_core::registry::Registry;
use yingku_dicom_node::scp::Scp;
use yingku_storage::archive::{Archive, SnapshotError, Submission};
use yingku_storage::views::{ViewsError, Walk};

use crate::config::Report as ReportSettings;
use crate::{notices, pulls, report, retention};

/// `hold_days` counts days: an hour more or less is nothing.
const EVERY: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Studies of one round, so that the list is bounded; the next round takes the rest.
const STUDIES_OF_ROUND: usize = 10_000;

/// What has to be done, and by whom.
#[derive(Clone)]
pub struct Duties {
    /// Other nodes may follow the same log.
    pub shared: bool,
    /// Hours between snapshots of the views; `None`: an operator makes them.
    pub snapshot_hours: Option<u16>,
    /// Where images go that are fetched.
    pub scp: Scp,
    pub report: ReportSettings,
}

/// Looks every hour until `stop`.
pub async fn run(archive: Archive, duties: Duties, stop: CancellationToken) {
    if !duties.shared {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work(&archive, &duties, None) => {}
        }
        return;
    }
    let duty = archive.duty(DUTIES);
    tokio::select! {
        () = stop.cancelled() => duty.give_back().await,
        () = duty.work(|epoch| work(&archive, &duties, Some(epoch))) => {}
    }
}

async fn work(archive: &Archive, duties: &Duties, epoch: Option<u64>) {
    tokio::join!(
        look_every_hour(archive, duties, epoch),
        notices::run(archive, epoch),
        pulls::run(archive, &duties.scp, epoch),
        report::daily::run(archive, &duties.report)
    );
}

async fn look_every_hour(archive: &Archive, duties: &Duties, epoch: Option<u64>) {
    let mut hours = tokio::time::interval(EVERY);
    let mut retained_ms: Option<i64> = None;
    loop {
        hours.tick().await;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        // Rules count in months, and every exam is looked at.
        if retained_ms.is_none_or(|last_ms| now_ms - last_ms >= DAY_MS) {
            match retention::apply(archive, epoch).await {
                Ok(_) => retained_ms = Some(now_ms),
                Err(error) => {
                    tracing::warn!(%error, "images whose time is over stay until the next hour");
                }
            }
        }
        if let Err(error) = expire_holds(archive, now_ms, epoch).await {
            tracing::warn!(%error, "held instances that waited too long stay until the next hour");
        }
        if let Some(hours) = duties.snapshot_hours
            && let Err(error) = make_snapshot(archive, now_ms, hours).await
        {
            tracing::warn!(%error, "no snapshot of the views was made; it is tried again in an hour");
        }
    }
}

/// Makes a snapshot if the last one is older than `hours`; the first one with the first look.
async fn make_snapshot(archive: &Archive, now_ms: i64, hours: u16) -> Result<(), SnapshotError> {
    let last_ms = archive.last_snapshot_ms().await?;
    if last_ms.is_some_and(|last_ms| now_ms - last_ms < i64::from(hours) * HOUR_MS) {
        return Ok(());
    }
    let made = archive.snapshot().await?;
    tracing::info!(position = %made.position, bytes = made.bytes, "a snapshot of the views was made");
    Ok(())
}

async fn expire_holds(archive: &Archive, now_ms: i64, epoch: Option<u64>) -> anyhow::Result<usize> {
    let expired = expired(archive, now_ms)?;
    let count = expired.len();
    for ((study, hospital), up_to) in expired {
        tracing::info!(%study, %hospital, "held instances waited longer than hold_days and are dropped");
        let submission = Submission {
            hospital: Some(hospital.clone()),
            actor: archive.node_actor(),
            event: Event::HoldExpired(HoldExpired {
                study,
                hospital,
                up_to,
                epoch,
            }),
        };
        archive.submit(submission).await?;
    }
    Ok(count)
}

type Expired = BTreeMap<(StudyUid, HospitalCode), Position>;

fn expired(archive: &Archive, now_ms: i64) -> Result<Expired, ViewsError> {
    let registry = archive.registry();
    let mut expired = Expired::new();
    archive.views().visit_held(&mut |held| {
        let hospital = held.group.hospital;
        if waited_too_long(&registry, &hospital, now_ms - held.time_ms) {
            let study = held.group.study_uid;
            let up_to = expired.entry((study, hospital)).or_default();
            *up_to = (*up_to).max(held.position);
        }
        if expired.len() >= STUDIES_OF_ROUND {
            Walk::Stop
        } else {
            Walk::On
        }
    })?;
    Ok(expired)
}

/// Without `hold_days` a hospital that held before holds nothing any longer than a day.
fn waited_too_long(registry: &Registry, hospital: &HospitalCode, waited_ms: i64) -> bool {
    let days = registry
        .hospitals
        .get(hospital)
        .and_then(|hospital| hospital.hold_days)
        .unwrap_or(1);
    waited_ms > i64::from(days) * DAY_MS
}
