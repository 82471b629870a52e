//! Tokens (R4): the app's id, its epoch and the time, sealed under the cluster key, so that every node knows them
//! without asking another. Disabling an app or raising its epoch ends all of them at once.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use yingku_core::ids::AppId;
use yingku_core::registry::{App, Registry};
use yingku_storage::keys::{ClusterKey, KeyError, Purpose};

/// Contract §2.2: two hours, and 15 minutes more in which it is still taken.
pub const VALID_MS: i64 = 2 * 3_600_000;
const GRACE_MS: i64 = 15 * 60_000;
/// Contract §2.2: VC(256).
pub const LIMIT_CHARS: usize = 256;
/// Layout of what is sealed: version, epoch, issue time, app id.
const VERSION: u8 = 1;

/// Why a token does not open the door. The caller hears one message for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("请求没有 token (the request has no token)")]
    Missing,
    #[error("token 不是本平台发出的 (not one of this archive's tokens)")]
    Unreadable,
    #[error("token 已过期 (the token expired)")]
    Expired(AppId),
    #[error(
        "应用已停用，或其 license 已更换 (the app is disabled, or its license has changed since)"
    )]
    Ended(AppId),
}

impl TokenFault {
    /// Whose token it was, if it could be read.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Self::Expired(app) | Self::Ended(app) => Some(app),
            Self::Missing | Self::Unreadable => None,
        }
    }

    pub fn rule(&self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Unreadable => "token-wrong",
            Self::Expired(_) => "token-expired",
            Self::Ended(_) => "token-ended",
        }
    }
}

/// Makes a token for an app.
pub fn issue(key: &ClusterKey, app: &App, now_ms: i64) -> Result<String, KeyError> {
    let mut plain = vec![VERSION];
    plain.extend_from_slice(&app.epoch.to_le_bytes());
    plain.extend_from_slice(&now_ms.to_le_bytes());
    plain.extend_from_slice(app.id.as_str().as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(key.seal_bytes(Purpose::Token, &plain)?))
}

/// Whose token it is, if that app may come in with it.
pub fn check(
    key: &ClusterKey,
    registry: &Registry,
    text: &str,
    now_ms: i64,
) -> Result<AppId, TokenFault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TokenFault::Missing);
    }
    if text.len() > LIMIT_CHARS {
        return Err(TokenFault::Unreadable);
    }
    let (id, epoch, issued_ms) = open(key, text).ok_or(TokenFault::Unreadable)?;
    if now_ms.saturating_sub(issued_ms) > VALID_MS + GRACE_MS {
        return Err(TokenFault::Expired(id));
    }
    match registry.apps.get(&id) {
        Some(app) if app.enabled && app.epoch == epoch => Ok(id),
        _ => Err(TokenFault::Ended(id)),
    }
}

fn open(key: &ClusterKey, text: &str) -> Option<(AppId, u32, i64)> {
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let plain = key.open_bytes(Purpose::Token, &sealed).ok()?;
    let (version, rest) = plain.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (issued, id) = rest.split_first_chunk::<8>()?;
    let id = AppId::new(std::str::from_utf8(id).ok()?).ok()?;
    Some((id, u32::from_le_bytes(*epoch), i64::from_le_bytes(*issued)))
}

/// The token of a request: header `token`, or `Authorization: Bearer`. Some clients always send the one, empty.
pub fn of_headers(headers: &HeaderMap) -> &str {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = text("token").filter(|token| !token.trim().is_empty()) {
        return token;
    }
    text("authorization")
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token)
}
