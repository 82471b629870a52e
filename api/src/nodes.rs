//! What other nodes of the archive ask for: parts of packs that only this node has.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;
use yingku_core::ids::PackId;
use yingku_storage::archive::{NODE_TOKEN, PACK_BYTES};
use yingku_storage::packs::{NodePart, PackError};

use crate::call::Api;

/// Where packs are asked for; the pack's id follows.
pub const PACKS: &str = "/nodes/packs/";
/// Parts of up to 32 MiB that are in memory at once; whoever asks for more comes again.
pub const PARTS_AT_ONCE: usize = 8;

/// How long a request waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
const PIECE_BYTES: usize = 256 << 10;

/// A part of a pack, asked for by a node.
pub struct PackPart {
    pack: PackId,
    range: Range<u64>,
}

impl PackPart {
    /// Reads `GET /nodes/packs/{pack}?from=BYTE&length=BYTES`; `Err`: the answer to whoever is no node, or asks for nothing.
    pub fn of(api: &Api, name: &str, request: &Request<Body>) -> Result<Self, StatusCode> {
        let pack = PackId::parse(name).ok_or(StatusCode::NOT_FOUND)?;
        let token = request.headers().get(NODE_TOKEN);
        let token = token.and_then(|token| token.to_str().ok()).unwrap_or("");
        if !api.archive.is_from_node(token, pack) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let query = request.uri().query().unwrap_or("");
        let (from, length) = number_in(query, "from")
            .zip(number_in(query, "length"))
            .ok_or(StatusCode::BAD_REQUEST)?;
        Ok(Self {
            pack,
            range: from..from.saturating_add(length),
        })
    }
}

/// What there is of it here.
pub async fn answer(api: &Arc<Api>, asked: Result<PackPart, StatusCode>) -> Response<Body> {
    let PackPart { pack, range } = match asked {
        Ok(asked) => asked,
        Err(refused) => return status(refused),
    };
    let place = Arc::clone(&api.node_parts).acquire_owned();
    let Ok(Ok(place)) = tokio::time::timeout(PLACE_TIMEOUT, place).await else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let archive = api.archive.clone();
    let read = move || archive.part_for_node(pack, range);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(NodePart { bytes, size })) => {
            let answer = Response::builder()
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(PACK_BYTES, size)
                .body(body(bytes, place));
            answer.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Ok(Err(PackError::Missing { .. })) => status(StatusCode::NOT_FOUND),
        Ok(Err(error)) => {
            tracing::warn!(%pack, %error, "another node cannot be given a part of a pack");
            status(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The place is free again once the bytes are gone.
fn body(bytes: Bytes, place: OwnedSemaphorePermit) -> Body {
    Body::from_stream(stream::unfold((bytes, place), |(mut left, place)| async {
        if left.is_empty() {
            return None;
        }
        let piece = left.split_to(PIECE_BYTES.min(left.len()));
        Some((Ok::<_, Infallible>(piece), (left, place)))
    }))
}

fn number_in(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.parse().ok())?
    })
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
