//! What time brings about: instances that waited too long for their push are dropped, by an event (R8).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use yingku_core::event::{Event, HoldExpired};
use yingku_core::ids::{HospitalCode, Position, StudyUid};
use yingku_core::registry::Registry;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{ViewsError, Walk};

/// `hold_days` counts days: an hour more or less is nothing.
const EVERY: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 86_400_000;
/// Studies of one round, so that the list is bounded; the next round takes the rest.
const STUDIES_OF_ROUND: usize = 10_000;

/// Looks every hour until `stop`.
pub async fn run(archive: Archive, stop: CancellationToken) {
    let mut hours = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hours.tick() => {}
        }
        if let Err(error) = expire_holds(&archive, jiff::Timestamp::now().as_millisecond()).await {
            tracing::warn!(%error, "held instances that waited too long stay until the next hour");
        }
    }
}

pub async fn expire_holds(archive: &Archive, now_ms: i64) -> anyhow::Result<usize> {
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
