//! Reading a request's body: never more than the limit in memory, never longer than the time it is given.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use yingku_core::outcome::ErrorKind;

use crate::call::Api;
use crate::error::Failure;

/// Bytes of a refused body that are read and thrown away, as a multiple of the limit: clients that send their whole
/// body before they read must find the answer, not a reset.
const DISCARDED: usize = 8;

/// The charset that a Content-Type names.
pub fn charset(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').skip(1).find_map(|parameter| {
        let (name, charset) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| charset.trim().trim_matches('"').to_owned())
    })
}

/// The length that the head declares.
pub fn declared(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// A body, and the room that it takes for as long as it is held.
pub struct Held {
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads a body up to the limit.
pub async fn read(
    api: &Arc<Api>,
    body: Body,
    declared: Option<usize>,
    limit: usize,
) -> Result<Held, Failure> {
    read_within(api, body, declared, limit, api.config.body_timeout).await
}

/// As [`read`], within a time of its own.
pub async fn read_within(
    api: &Arc<Api>,
    body: Body,
    declared: Option<usize>,
    limit: usize,
    time: Duration,
) -> Result<Held, Failure> {
    let mut stream = body.into_data_stream();
    if declared.is_some_and(|bytes| bytes > limit) {
        discard(api, stream);
        return Err(too_large(limit));
    }
    let deadline = tokio::time::Instant::now() + time;
    // Most bodies come in one piece, which is then not copied.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    loop {
        let piece = match tokio::time::timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(piece))) => piece,
        };
        if first.len() + whole.len() + piece.len() > limit {
            discard(api, stream);
            return Err(too_large(limit));
        }
        let Some(more) = api.places.bytes(piece.len()) else {
            discard(api, stream);
            return Err(no_room());
        };
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        if whole.is_empty() && first.is_empty() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    let bytes = if whole.is_empty() {
        first
    } else {
        whole.freeze()
    };
    Ok(Held { bytes, _room: room })
}

/// Throws away the rest of a body while the answer is on its way.
pub fn discard(api: &Arc<Api>, mut stream: BodyDataStream) {
    let (time, bytes) = (
        api.config.body_timeout,
        api.config.max_body_bytes.saturating_mul(DISCARDED),
    );
    tokio::spawn(async move {
        let drained = async {
            let mut left = bytes;
            while let Some(Ok(piece)) = stream.next().await {
                left = match left.checked_sub(piece.len()) {
                    Some(left) => left,
                    None => break,
                };
            }
        };
        // Whether it ended by itself or by time does not matter: the stream is dropped.
        let _ = tokio::time::timeout(time, drained).await;
    });
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        ErrorKind::TooLarge,
        "body-size",
        format!(
            "请求内容过大，最多 {limit} 字节；请分批发送，或去掉内嵌的图片和附件 (the body has more than {limit} bytes: send it in parts, or leave embedded pictures out)"
        ),
    )
}

fn no_room() -> Failure {
    Failure::new(
        ErrorKind::TooMany,
        "body-memory",
        "同时传输的内容过多，请稍后重发 (too much is being sent at once: send again later)",
    )
}

fn too_slow() -> Failure {
    Failure::new(
        ErrorKind::Invalid,
        "body-time",
        "请求内容未在规定时间内传完 (the body did not arrive in time)",
    )
}

fn broken(error: &axum::Error) -> Failure {
    Failure::new(
        ErrorKind::Invalid,
        "body-broken",
        "请求内容传输中断 (the body broke off)",
    )
    .because(error.to_string())
}
