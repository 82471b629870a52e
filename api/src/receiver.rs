//! A plain receiver of POST requests, apart from the archive's own interfaces: the vendor's tool takes status notices with
//! it, as a HIS does.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use futures::future::BoxFuture;
use tokio::net::TcpListener;

/// Bytes of a request: a notice has some kilobytes.
const BODY_BYTES: usize = 1 << 20;

/// What came.
#[derive(Debug)]
pub struct Posted {
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// What goes back.
#[derive(Debug)]
pub struct Replied {
    /// Whether the request could be read: HTTP's 200, else 400.
    pub is_understood: bool,
    pub content_type: String,
    pub body: Vec<u8>,
}

pub type Answer = dyn Fn(Posted) -> BoxFuture<'static, Replied> + Send + Sync;

/// Answers whatever is posted, whatever the path, until `stop`.
pub async fn receive(
    listener: TcpListener,
    answer: Arc<Answer>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .fallback(reply)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(answer);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn reply(
    State(answer): State<Arc<Answer>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if method != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let replied = answer(Posted {
        content_type: kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned),
        body,
    })
    .await;
    if !replied.is_understood {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    if let Ok(kind) = header::HeaderValue::from_str(&replied.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    *response.body_mut() = Body::from(replied.body);
    response
}
