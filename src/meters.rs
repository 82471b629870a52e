//! Gathers what the crates count, for `/metrics`.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use yingku_api::Meters;

/// Upper ends in seconds: from a look-up in memory to the longest that a caller waits.
const SECONDS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Samples lie in memory until they are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

pub fn start(
    readers: Vec<IpAddr>,
    stop: CancellationToken,
) -> anyhow::Result<(Meters, impl Future<Output = ()>)> {
    let gathered = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("buckets")?
        .install_recorder()
        .context("metrics")?;
    let meters = Meters {
        gathered: gathered.clone(),
        readers,
    };
    Ok((meters, upkeep(gathered, stop)))
}

async fn upkeep(gathered: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => gathered.run_upkeep(),
        }
    }
}
