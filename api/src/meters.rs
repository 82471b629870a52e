//! `/metrics`: what those who watch the node read, in Prometheus' text format. Labels are operations, outcomes, rules and the
//! ids of HIS; nothing of a patient, an app or a hospital is among them. Only addresses that the operator named may read it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use yingku_core::ids::HisId;
use yingku_core::pull::PullLine;
use yingku_indexer::Index;
use yingku_storage::archive::Archive;
use yingku_storage::views::ViewsError;

use crate::call::{Api, now_ms};
use crate::envelope::json_response;

/// Where the figures are gathered, and who may read them.
#[derive(Clone)]
pub struct Meters {
    pub gathered: PrometheusHandle,
    pub readers: Vec<IpAddr>,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters")
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

/// `operation`: its address without context.
pub fn requested(operation: &'static str, response: &Response<Body>, done: bool, since: Instant) {
    let outcome = if done { "done" } else { "refused" };
    metrics::counter!(
        "yingku_http_requests_total",
        "operation" => operation,
        "http" => response.status().as_u16().to_string(),
        "outcome" => outcome,
    )
    .increment(1);
    metrics::histogram!("yingku_http_request_seconds", "operation" => operation)
        .record(since.elapsed());
}

pub async fn page(api: &Arc<Api>, reader: IpAddr) -> Response<Body> {
    let Some(meters) = api.config.meters.clone() else {
        return refusal(StatusCode::NOT_FOUND, "no metrics are gathered");
    };
    if !meters.readers.contains(&reader.to_canonical()) {
        return refusal(
            StatusCode::FORBIDDEN,
            "add the reader's address to http.metrics_readers",
        );
    }
    let (archive, index) = (api.archive.clone(), api.config.index.clone());
    // Packs are counted in their directory.
    let rendered = tokio::task::spawn_blocking(move || {
        measure(&archive);
        if let Some(index) = index {
            measure_index(&index, &archive);
        }
        meters.gathered.render()
    });
    match rendered.await {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let kind = header::HeaderValue::from_static("text/plain; version=0.0.4");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "metrics failed"),
    }
}

fn refusal(http: StatusCode, why: &str) -> Response<Body> {
    json_response(
        http,
        serde_json::json!({ "message": why }).to_string().into(),
    )
}

fn measure_index(index: &Index, archive: &Archive) {
    let behind = archive.health().projected.0.saturating_sub(index.next().0);
    metrics::gauge!("yingku_index_exams").set(index.exams() as f64);
    metrics::gauge!("yingku_index_behind_records").set(behind as f64);
    let failing = index.problem().is_some();
    metrics::gauge!("yingku_index_failing").set(if failing { 1.0 } else { 0.0 });
}

/// What stands rather than happens is read when it is asked for.
fn measure(archive: &Archive) {
    let health = archive.health();
    metrics::gauge!("yingku_ready").set(if health.is_ready() { 1.0 } else { 0.0 });
    metrics::gauge!("yingku_log_end").set(health.end.0 as f64);
    metrics::gauge!("yingku_views_position").set(health.projected.0 as f64);
    metrics::counter!("yingku_views_followed_records_total").absolute(health.followed);
    metrics::gauge!("yingku_views_behind_records").set(health.behind() as f64);
    let full = health.short.is_some();
    metrics::gauge!("yingku_disk_full").set(if full { 1.0 } else { 0.0 });
    let packs = archive.packs();
    metrics::gauge!("yingku_pack_waiting_instances").set(packs.health().waiting as f64);
    match packs.usage() {
        Ok(usage) => {
            metrics::gauge!("yingku_packs").set(usage.packs as f64);
            metrics::gauge!("yingku_pack_bytes").set(usage.bytes as f64);
        }
        Err(error) => tracing::warn!(%error, "packs cannot be counted"),
    }
    if let Some(objects) = packs.objects_health() {
        let away = objects.problem.is_some();
        metrics::gauge!("yingku_objects_problem").set(if away { 1.0 } else { 0.0 });
        metrics::gauge!("yingku_upload_backlog_packs").set(objects.backlog_packs as f64);
        metrics::gauge!("yingku_upload_backlog_bytes").set(objects.backlog_bytes as f64);
        metrics::gauge!("yingku_pack_local_bytes").set(objects.local_bytes as f64);
    }
    for his in archive.registry().his.keys() {
        if let Err(error) = measure_notices(archive, his) {
            tracing::warn!(%his, %error, "status notices cannot be counted");
        }
    }
    if let Err(error) = measure_pulls(archive) {
        tracing::warn!(%error, "studies that are to be fetched cannot be counted");
    }
}

fn measure_notices(archive: &Archive, his: &HisId) -> Result<(), ViewsError> {
    let standing = archive.views().notices_standing(his)?;
    let waits_ms = standing
        .oldest_ms
        .map_or(0, |oldest_ms| now_ms() - oldest_ms);
    let his = || his.as_str().to_owned();
    metrics::gauge!("yingku_notices_open", "his" => his()).set(standing.open as f64);
    metrics::gauge!("yingku_notices_oldest_seconds", "his" => his()).set(waits_ms as f64 / 1000.0);
    metrics::gauge!("yingku_notices_stopped", "his" => his()).set(standing.stopped as f64);
    Ok(())
}

/// Studies of one hospital and line that are counted: who has more waiting knows enough.
const PULLS_LIMIT: usize = 100_000;

fn measure_pulls(archive: &Archive) -> Result<(), ViewsError> {
    let registry = archive.registry();
    let with_gateway = || {
        registry
            .hospitals
            .values()
            .filter(|it| it.gateway.is_some())
    };
    let count = |line| -> Result<f64, ViewsError> {
        let mut all = 0;
        for hospital in with_gateway() {
            all += archive
                .views()
                .count_pulls(&hospital.code, line, PULLS_LIMIT)?;
        }
        Ok(all as f64)
    };
    metrics::gauge!("yingku_pulls_open", "line" => "live").set(count(PullLine::Live)?);
    metrics::gauge!("yingku_pulls_open", "line" => "backfill").set(count(PullLine::Backfill)?);
    metrics::gauge!("yingku_pulls_stopped").set(count(PullLine::Stopped)?);
    Ok(())
}
