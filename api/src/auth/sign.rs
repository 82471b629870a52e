//! Signs (R3): RSA PKCS#1 v1.5 under the public key that the platform handed out, in every spelling that clients use.
//!
//! The `rsa` crate decrypts with an exponentiation whose time depends on the key (RUSTSEC-2023-0071). Three things keep
//! that from a caller: each decryption is blinded with fresh randomness, so its time says nothing about the message
//! that was sent; every failure is answered at the same moment after the request came, whatever went wrong
//! ([`crate::rest::get_token`]); and after some failures in a minute callers are refused or take turns
//! ([`super::attempts`]), where the attack needs many thousands.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use parking_lot::Mutex;
use rand::rngs::OsRng;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use subtle::ConstantTimeEq;
use yingku_core::contract::sign::{self, NoTime, SignPlaintext, SignTime};
use yingku_core::ids::AppId;
use yingku_core::registry::{App, Registry};
use yingku_storage::keys::{APP_KEY_BITS, ClusterKey, Purpose};

/// R3: blocks that a client's helper may have cut its plaintext into.
const BLOCKS: usize = 4;
/// R3: characters of a sign, line breaks aside: as many blocks of an app's key, in hex.
pub const LIMIT_CHARS: usize = BLOCKS * APP_KEY_BITS / 8 * 2;
/// Apps whose keys are tried, since a sign does not name its app: 256 decryptions take about half a second.
pub const TRIED: usize = 256;

/// Base64 whose padding may be there or not, and whose last bits may be anything: some encoders leave them set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a sign is not taken. For the operator's digest; the caller hears the same for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    #[error(
        "sign 为空、超过 {LIMIT_CHARS} 字符，或既非 Base64 也非十六进制 (empty, too long, or neither Base64 nor hex)"
    )]
    Unreadable,
    #[error(
        "没有启用的应用的私钥能解开 sign：公钥、填充方式或分块不对 (no enabled app's private key opens the sign: another public key, padding or block size)"
    )]
    NoKey,
    #[error("sign 已解开，但{0} (opened, but)")]
    Plaintext(sign::SignError),
    #[error(
        "用应用 {0} 的密钥解开，但其中的 appId 是另一个 (opened with that app's key, but names another app)"
    )]
    OtherApp(AppId),
    #[error("license 与应用 {0} 的不符 (the license is not that app's)")]
    License(AppId),
    #[error("orgId 不是应用 {0} 的医院 (the orgId is not one of the app's hospitals)")]
    Organisation(AppId),
}

impl SignFault {
    /// Whose key opened the sign.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Self::OtherApp(app) | Self::License(app) | Self::Organisation(app) => Some(app),
            Self::Unreadable | Self::NoKey | Self::Plaintext(_) => None,
        }
    }
}

/// A sign whose app and license match.
pub struct Identified {
    pub app: AppId,
    pub org: Option<String>,
    pub time: Option<Result<SignTime, NoTime>>,
}

/// Bytes of a sign: Base64 (standard or URL-safe, in lines or not, a blank that was a `+`), or hex.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut compact = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\r' | '\n' | '\t' => {}
            ' ' | '-' => compact.push('+'),
            '_' => compact.push('/'),
            other => compact.push(other),
        }
        if compact.len() > LIMIT_CHARS {
            return None;
        }
    }
    if compact.is_empty() {
        return None;
    }
    if compact.len().is_multiple_of(2) && compact.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return compact
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
    }
    BASE64.decode(compact).ok()
}

/// Private keys that were opened and parsed; a key of another epoch or spelling is opened again.
#[derive(Default)]
pub struct PrivateKeys {
    parsed: Mutex<HashMap<AppId, (String, Arc<RsaPrivateKey>)>>,
}

impl PrivateKeys {
    fn of(&self, key: &ClusterKey, app: &App) -> Option<Arc<RsaPrivateKey>> {
        if let Some((sealed, parsed)) = self.parsed.lock().get(&app.id)
            && *sealed == app.private_key.0
        {
            return Some(Arc::clone(parsed));
        }
        let der = match key.open(Purpose::PrivateKey, &app.private_key) {
            Ok(der) => der,
            Err(error) => {
                tracing::error!(app = %app.id, %error, "the app's private key does not open");
                return None;
            }
        };
        let Ok(private) = RsaPrivateKey::from_pkcs8_der(&der) else {
            tracing::error!(app = %app.id, "the app's private key is no PKCS#8 RSA key");
            return None;
        };
        let private = Arc::new(private);
        let mut parsed = self.parsed.lock();
        if parsed.len() >= TRIED * 2 {
            parsed.clear();
        }
        parsed.insert(
            app.id.clone(),
            (app.private_key.0.clone(), Arc::clone(&private)),
        );
        Some(private)
    }
}

/// Finds the app that a sign is from. Takes milliseconds of computing for each app tried.
pub fn identify(
    keys: &PrivateKeys,
    cluster_key: &ClusterKey,
    registry: &Registry,
    sign: &[u8],
    named: Option<&AppId>,
) -> Result<Identified, SignFault> {
    let apps = registry
        .apps
        .values()
        .filter(|app| app.enabled && named.is_none_or(|id| app.id == *id));
    // The most telling of what went wrong: a key that fits and a wrong license say more than a key that does not fit.
    let mut fault = SignFault::NoKey;
    for app in apps.take(TRIED) {
        let Some(private) = keys.of(cluster_key, app) else {
            continue;
        };
        let Some(plaintext) = decrypt(&private, sign) else {
            continue;
        };
        match compare(cluster_key, app, &plaintext) {
            Ok(identified) => return Ok(identified),
            Err(found) if !matches!(fault, SignFault::License(_)) => fault = found,
            Err(_) => {}
        }
    }
    Err(fault)
}

fn decrypt(private: &RsaPrivateKey, sign: &[u8]) -> Option<Vec<u8>> {
    let block = private.size();
    if block == 0
        || sign.is_empty()
        || !sign.len().is_multiple_of(block)
        || sign.len() / block > BLOCKS
    {
        return None;
    }
    let mut plaintext = Vec::new();
    for block in sign.chunks(block) {
        let part = private
            .decrypt_blinded(&mut OsRng, Pkcs1v15Encrypt, block)
            .ok()?;
        plaintext.extend_from_slice(&part);
    }
    Some(plaintext)
}

fn compare(cluster_key: &ClusterKey, app: &App, plaintext: &[u8]) -> Result<Identified, SignFault> {
    let readings = sign::parse(plaintext).map_err(SignFault::Plaintext)?;
    if readings.iter().any(|plain| plain.app_id != app.id.as_str()) {
        return Err(SignFault::OtherApp(app.id.clone()));
    }
    let wrong = || SignFault::License(app.id.clone());
    let license = cluster_key
        .open(Purpose::License, &app.license)
        .map_err(|_| wrong())?;
    // Digests have one length, so that comparing takes one time whatever the lengths of the licenses.
    let ours = blake3::hash(&license);
    let fits = |plain: &SignPlaintext| {
        let theirs = blake3::hash(plain.license.expose());
        bool::from(ours.as_bytes().ct_eq(theirs.as_bytes()))
    };
    let plain = readings.into_iter().find(fits).ok_or_else(wrong)?;
    Ok(Identified {
        app: app.id.clone(),
        org: plain.org_id,
        time: plain.time,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_spelling_gives_the_same_bytes() {
        let bytes: Vec<u8> = (0..=255).collect();
        let standard = BASE64.encode(&bytes);
        let lines: Vec<String> = standard
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        for spelling in [
            standard.clone(),
            lines.join("\r\n"),
            standard.replace('+', "-").replace('/', "_"),
            standard.replace('+', " "),
            standard.trim_end_matches('=').to_owned(),
            hex.to_lowercase(),
            hex,
        ] {
            assert_eq!(decode(&spelling).unwrap(), bytes, "{spelling}");
        }
    }

    #[test]
    fn what_is_no_sign_is_none() {
        for text in ["", "  ", "???", &"A".repeat(LIMIT_CHARS + 1)] {
            assert!(decode(text).is_none());
        }
    }
}
