//! Whether the node lives, and whether it may be sent work.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::call::Api;
use crate::envelope::json_response;

pub fn alive() -> Response<Body> {
    json_response(StatusCode::OK, br#"{"alive":true}"#.to_vec())
}

/// Ready: the log takes records, the views follow it closely, and there is space. Words say why not.
pub fn ready(api: &Api) -> Response<Body> {
    let health = api.archive.health();
    let http = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let objects = api.archive.packs().objects_health().map(|objects| {
        serde_json::json!({
            "backlogPacks": objects.backlog_packs,
            "backlogBytes": objects.backlog_bytes,
            "localBytes": objects.local_bytes,
            "problem": objects.problem,
        })
    });
    let index = api.config.index.as_ref().map(|index| {
        let next = index.next();
        serde_json::json!({
            "exams": index.exams(),
            "indexedTo": next.0,
            "behind": health.projected.0.saturating_sub(next.0),
            "problem": index.problem(),
        })
    });
    let body = serde_json::json!({
        "ready": health.is_ready(),
        "end": health.end.0,
        "projected": health.projected.0,
        "behind": health.behind(),
        "stopped": health.stopped,
        "viewsDamaged": health.views_damaged,
        "logLatched": health.log_latched,
        "logAway": health.log_away,
        "packsLatched": health.packs_latched,
        "full": health.full,
        "short": health.short,
        // Away or behind is no reason to send work elsewhere: what comes is kept here meanwhile.
        "objects": objects,
        // Nor is search that is behind; null: there is none.
        "index": index,
    });
    json_response(http, body.to_string().into_bytes())
}
