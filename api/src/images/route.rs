//! `GET /v1/image/frame?token=…`: one frame as JPEG, for who has its address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};
use yingku_core::instance::ChunkEntry;
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::Registry;
use yingku_rendering::{Asked, Rendered, SIDE_LEAST, SIDE_LIMIT, Window};
use yingku_storage::archive::AuditEntry;

use super::address::SignedImage;
use super::picture::picture_of;
use super::shown;
use crate::call::{Api, blocking, now_ms};
use crate::envelope::Shape;
use crate::error::Failure;
use crate::limits::network;
use crate::meters;
use crate::operations::Statuses;
use crate::router::too_many;

/// Its address without context.
pub const FRAME: &str = "/v1/image/frame";

/// Where no other side is asked for: a screen of a clinic.
const SIDE: u32 = 1_024;
/// A browser that pages back and forth asks once; what is withdrawn is gone from it as soon.
const CACHED: Duration = Duration::from_secs(300);

#[derive(Debug, Default, Deserialize)]
struct Params {
    #[serde(default)]
    token: String,
    side: Option<String>,
    window: Option<String>,
}

/// What OpenAPI says of it.
pub fn describe() -> Value {
    let words = |words: &str| {
        json!({
            "description": words,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } },
        })
    };
    let parameter = |name: &str, required: bool, schema: Value| json!({ "name": name, "in": "query", "required": required, "schema": schema });
    json!({
        "operationId": "imageFrame",
        "summary": "图像一帧",
        "description": "签名地址所指的一帧图像，服务器转换为 JPEG；地址由 report/citation 等给出，到期失效，每次读取重新核对可见性 (one frame as JPEG, by a signed address that expires)",
        "security": [],
        "parameters": [
            parameter("token", true, json!({ "type": "string", "description": "地址所含，不可自制 (part of the address)" })),
            parameter("side", false, json!({
                "type": "integer", "minimum": SIDE_LEAST, "maximum": SIDE_LIMIT, "default": SIDE,
                "description": "长边像素上限 (longer side at most)",
            })),
            parameter("window", false, json!({
                "type": "string",
                "description": "窗位,窗宽，如 40,400；缺省用图像自带的 (centre and width)",
            })),
        ],
        "responses": {
            "200": { "description": "图片 (the picture)", "content": { "image/jpeg": {} } },
            "400": words("side 或 window 有误 (a wrong side or window)"),
            "403": words("地址无效或已过期 (a wrong or expired address)"),
            "404": words("检查已撤回，或影像已不归此检查 (withdrawn, or not the exam's any more)"),
            "422": words("不是图像、像素格式或传输语法不支持、数据损坏 (no image, not supported, or damaged)"),
            "429": words("请求过多 (too many)"),
            "503": words("暂不可用，请重试 (try again)"),
        },
    })
}

/// Answers with the picture, or in words.
pub async fn frame(api: &Arc<Api>, uri: &Uri, address: IpAddr) -> Response<Body> {
    let since = Instant::now();
    let source = format!("address:{}", network(address));
    let query = Query::<Params>::try_from_uri(uri);
    let params = query.map(|Query(params)| params).unwrap_or_default();
    match answer(api, &params).await {
        Ok((rendered, cached)) => {
            let response = jpeg(rendered, cached);
            meters::requested(FRAME, &response, true, since);
            response
        }
        Err(Refused { mut failure, http }) => {
            let shape = Shape {
                statuses: Statuses::Http,
                ..Shape::default()
            };
            let mut reply = failure.reply(shape);
            reply.http = http.unwrap_or(reply.http);
            let notes = std::mem::take(&mut failure.notes);
            api.note_refusals(FRAME, source, notes).await;
            let response = reply.into_response(shape);
            meters::requested(FRAME, &response, false, since);
            response
        }
    }
}

struct Refused {
    failure: Failure,
    /// Other than the failure's own.
    http: Option<StatusCode>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            http: None,
        }
    }
}

/// The picture, and for how long it may be kept.
async fn answer(api: &Arc<Api>, params: &Params) -> Result<(Rendered, Duration), Refused> {
    let archive = &api.archive;
    let image = SignedImage::open(archive.key(), &params.token)
        .ok_or_else(|| forbidden("image-address", WRONG))?;
    let left = image.expires.saturating_sub(now_ms() / 1000);
    if left <= 0 {
        return Err(forbidden("image-expired", EXPIRED).into());
    }
    let asked = asked(params, image.frame)?;
    let _place = api.places.any().ok_or_else(too_many)?;
    let registry = archive.registry();
    if !may_still_read(&registry, &image) {
        return Err(forbidden("image-reader", ENDED).into());
    }
    audit(api, &image).await?;
    archive.settle().await.map_err(Failure::from)?;
    let entry = find(api, image).await?;
    let rendered = picture_of(api, &entry, &asked).await.map_err(|error| {
        let http = error
            .is_of_image()
            .then_some(StatusCode::UNPROCESSABLE_ENTITY);
        Refused {
            failure: error.into(),
            http,
        }
    })?;
    let left = Duration::from_secs(left.unsigned_abs());
    Ok((rendered, left.min(CACHED)))
}

const WRONG: &str = "图片地址无效，请回到报告页面重新打开，或重新引用 (not an address of this archive: open the report again)";
const EXPIRED: &str = "图片地址已过期，请回到报告页面重新打开，或重新引用 (the address has expired: open the report again)";
const ENDED: &str = "该应用已停用，或不再有此医院的权限 (the app is disabled, or has no right to this hospital any more)";

fn forbidden(rule: &str, words: &str) -> Failure {
    Failure::new(ErrorKind::Forbidden, rule, words)
}

fn asked(params: &Params, frame: u32) -> Result<Asked, Failure> {
    let side = match &params.side {
        None => SIDE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|side| (SIDE_LEAST..=SIDE_LIMIT).contains(side))
            .ok_or_else(|| {
                let words = format!("side 应为 {SIDE_LEAST} 至 {SIDE_LIMIT} 的整数 (must be a whole number from {SIDE_LEAST} to {SIDE_LIMIT})");
                Failure::new(ErrorKind::Invalid, "side", words).at("side")
            })?,
    };
    let window = match &params.window {
        None => None,
        Some(text) => Some(window(text).ok_or_else(|| {
            let words = "window 应为窗位与窗宽，如 40,400，窗宽大于 0 (must be centre and width, as 40,400)";
            Failure::new(ErrorKind::Invalid, "window", words).at("window")
        })?),
    };
    Ok(Asked {
        frame,
        window,
        side,
    })
}

fn window(text: &str) -> Option<Window> {
    let (center, width) = text.split_once(',')?;
    let number = |text: &str| {
        let number: f64 = text.trim().parse().ok()?;
        number.is_finite().then_some(number)
    };
    let (center, width) = (number(center)?, number(width)?);
    (width > 0.).then_some(Window { center, width })
}

/// Whether the app that was given the address still may read there; others have no registration to lose.
fn may_still_read(registry: &Registry, image: &SignedImage) -> bool {
    match image.reader.reader.split_once(':') {
        Some(("app" | "link", id)) => registry.apps.values().any(|app| {
            app.id.as_str() == id && app.enabled && app.hospitals.has(&image.exam.hospital)
        }),
        _ => true,
    }
}

async fn audit(api: &Api, image: &SignedImage) -> Result<(), Failure> {
    let reader = image.reader.clone();
    let entry = AuditEntry {
        reader: reader.reader,
        operation: "frame".to_owned(),
        hospital: image.exam.hospital.to_string(),
        target: format!("{}/{}", image.exam.hospital, image.exam.exam_no),
        read_for: reader.read_for,
        user: reader.user,
        reason: reader.reason,
    };
    Ok(api.archive.audit(entry).await?)
}

/// Where the image lies, if it may be shown now.
async fn find(api: &Arc<Api>, image: SignedImage) -> Result<ChunkEntry, Failure> {
    let archive = api.archive.clone();
    let found = blocking(move || {
        let views = archive.views();
        let Some(exam) = views.exam(&image.exam)? else {
            return Ok(None);
        };
        let (study, instance) = (Some(&image.study), &image.instance);
        let found = shown::image(&views, &archive.registry(), &exam, study, instance)?;
        Ok(found.map(|(_, _, entry)| entry))
    });
    found.await?.ok_or_else(|| {
        let words = "没有此图像：检查已撤回，或影像已不归此检查 (no such image: the exam is withdrawn, or the image is its own no more)";
        Failure::new(ErrorKind::NotFound, "not-found", words)
    })
}

fn jpeg(rendered: Rendered, cached: Duration) -> Response<Body> {
    let mut response = Response::new(Body::from(rendered.jpeg));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    let cached = format!("private, max-age={}", cached.as_secs());
    if let Ok(cached) = HeaderValue::from_str(&cached) {
        headers.insert(header::CACHE_CONTROL, cached);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_is_two_numbers_and_wider_than_nothing() {
        let read = window("-600, 1500").unwrap();
        assert_eq!((read.center, read.width), (-600., 1500.));
        for text in ["", "40", "40,0", "40,-1", "a,b", "NaN,1", "1,inf", "1,2,3"] {
            assert_eq!(window(text), None, "{text}");
        }
    }
}
