//! Other nodes: reading what only they have, and knowing that a request comes from one.
//!
//! `GET {address}/nodes/packs/{pack}?from=BYTE&length=BYTES` answers the bytes and, in [`PACK_BYTES`], how far the pack
//! goes. [`NODE_TOKEN`] holds time and pack, sealed under the cluster key: who has that key is a node.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::StatusCode;
use yingku_core::ids::PackId;

use super::{Archive, Shared};
use crate::keys::{ClusterKey, KeyError, Purpose};
use crate::log::unix_ms;
use crate::packs::{NodeError, NodePart, OtherNodes, PackError};

/// Header that says that the request comes from a node.
pub const NODE_TOKEN: &str = "node-token";
/// Header of the answer: bytes of the pack that can be read.
pub const PACK_BYTES: &str = "pack-bytes";
/// Bytes of one request at most: what readers ask for at once.
pub const MAX_PART_BYTES: u64 = 32 << 20;

/// Clocks of nodes differ by less than this; a token of another moment is refused.
const TOKEN_MINUTES: i64 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// 32 MiB over a line of 30 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that did not answer is left alone for so long: the instances of a study would each wait their whole time.
const PAUSE: Duration = Duration::from_secs(5);

/// The way to the other nodes.
pub(super) struct Nodes(Arc<Inner>);

struct Inner {
    own: u16,
    shared: Arc<Shared>,
    key: ClusterKey,
    http: reqwest::Client,
    away: Mutex<HashMap<u16, Instant>>,
}

impl Nodes {
    pub(super) fn new(archive: &Archive) -> Result<Arc<Self>, reqwest::Error> {
        // Whoever was first installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()?;
        Ok(Arc::new(Self(Arc::new(Inner {
            own: archive.node(),
            shared: Arc::clone(&archive.inner.follower.shared),
            key: archive.inner.key.clone(),
            http,
            away: Mutex::default(),
        }))))
    }
}

impl OtherNodes for Nodes {
    fn range(
        &self,
        pack: PackId,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<NodePart, NodeError>> {
        let inner = Arc::clone(&self.0);
        async move { inner.range(pack, range).await }.boxed()
    }
}

impl Inner {
    async fn range(&self, pack: PackId, range: Range<u64>) -> Result<NodePart, NodeError> {
        let node = pack.node();
        let address = match self.shared.registry.read().nodes.get(&node) {
            Some(known) if node != self.own && !known.address.is_empty() => known.address.clone(),
            _ => return Err(NodeError::Missing),
        };
        if let Some(since) = self.away.lock().get(&node)
            && since.elapsed() < PAUSE
        {
            return Err(NodeError::Away("it did not answer a moment ago".to_owned()));
        }
        let part = self.ask(&address, pack, range).await;
        let mut away = self.away.lock();
        match &part {
            Err(NodeError::Away(_)) => away.insert(node, Instant::now()),
            _ => away.remove(&node),
        };
        part
    }

    async fn ask(
        &self,
        address: &str,
        pack: PackId,
        range: Range<u64>,
    ) -> Result<NodePart, NodeError> {
        let away = |error: reqwest::Error| NodeError::Away(error.without_url().to_string());
        let token = token(&self.key, pack, unix_ms());
        let token = token.map_err(|error| NodeError::Away(error.to_string()))?;
        let length = range.end - range.start;
        let url = format!(
            "{address}/nodes/packs/{pack}?from={}&length={length}",
            range.start
        );
        let asked = self.http.get(url).header(NODE_TOKEN, token).send().await;
        let mut answer = asked.map_err(away)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(NodeError::Missing),
            StatusCode::UNAUTHORIZED => {
                let words = "it has another cluster key, or another time";
                return Err(NodeError::Away(words.to_owned()));
            }
            status => return Err(NodeError::Away(format!("it answered {status}"))),
        }
        let size = answer.headers().get(PACK_BYTES);
        let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
        let size = size.ok_or_else(|| NodeError::Away("it is no node".to_owned()))?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            if (bytes.len() + piece.len()) as u64 > length {
                return Err(NodeError::Away("it gave more than asked for".to_owned()));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(NodePart {
            bytes: bytes.freeze(),
            size,
        })
    }
}

fn token(key: &ClusterKey, pack: PackId, now_ms: i64) -> Result<String, KeyError> {
    let sealed = key.seal_bytes(Purpose::Node, format!("{now_ms} {pack}").as_bytes())?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

fn is_token(key: &ClusterKey, token: &str, pack: PackId, now_ms: i64) -> bool {
    let sealed = URL_SAFE_NO_PAD.decode(token).ok();
    let opened = sealed.and_then(|sealed| key.open_bytes(Purpose::Node, &sealed).ok());
    let said = opened
        .as_deref()
        .and_then(|it| std::str::from_utf8(it).ok());
    said.and_then(|said| said.split_once(' '))
        .is_some_and(|(time, named)| {
            let time: i64 = time.parse().unwrap_or_default();
            named == pack.to_string() && (now_ms - time).abs() < TOKEN_MINUTES * 60_000
        })
}

impl Archive {
    /// Whether a request for a pack comes from a node of this archive.
    pub fn is_from_node(&self, token: &str, pack: PackId) -> bool {
        is_token(&self.inner.key, token, pack, unix_ms())
    }

    /// What lies here of a part of a pack, for another node. Blocks on the disk.
    pub fn part_for_node(&self, pack: PackId, range: Range<u64>) -> Result<NodePart, PackError> {
        let end = range.end.min(range.start.saturating_add(MAX_PART_BYTES));
        self.inner.packs.local_part(pack, range.start..end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_good_for_its_pack_its_key_and_its_time() {
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let other = ClusterKey::from_hex(&"cd".repeat(32)).unwrap();
        let (pack, another) = (PackId::new(1, 2), PackId::new(1, 3));
        let now = 1_000_000_000;
        let made = token(&key, pack, now).unwrap();
        assert!(is_token(&key, &made, pack, now + 60_000));
        assert!(!is_token(&key, &made, another, now));
        assert!(!is_token(&other, &made, pack, now));
        assert!(!is_token(&key, &made, pack, now + 6 * 60_000));
        assert!(!is_token(&key, "", pack, now));
    }
}
