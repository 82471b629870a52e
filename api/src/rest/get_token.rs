//! `POST /v1/auth/getToken` (§2.2, R3, R4): a token for a sign.

use std::net::IpAddr;

use serde_json::{Value, json};
use tokio::time::Instant;
use yingku_core::contract::sign::NoTime;
use yingku_core::ids::AppId;
use yingku_core::outcome::{ErrorKind, Outcome};
use yingku_core::registry::{App, Registry};

use super::params::{Params, text};
use super::schema;
use crate::auth::attempts::next_floor;
use crate::auth::sign::{self, Identified, SignFault};
use crate::auth::token;
use crate::call::{Api, Call, blocking, local_time, now_ms};
use crate::envelope::{Answer, Shape};
use crate::error::Failure;
use crate::limits::network;
use crate::operations::Statuses;

/// The mark of a used sign outlives its time window by this, for clocks of nodes that differ.
const MARK_MARGIN_MS: i64 = 60_000;

const INVALID_SIGN: &str = "sign 无效，请核对 appId、orgId、license、平台分配的公钥及加密方式（RSA PKCS#1 v1.5，Base64 或十六进制，至多 2048 字符） \
     (invalid sign: check appId, orgId, license, the public key, and RSA PKCS#1 v1.5 in Base64 or hex)";

pub const EXAMPLE: &str = r#"{"sign":"<RSA(appId,orgId,license)>"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        (
            "sign",
            true,
            schema::text(
                sign::LIMIT_CHARS,
                "RSA PKCS#1 v1.5 加密 appId,orgId,license 或 appId,license,time 或 appId,orgId,license,time；Base64 或十六进制",
            ),
        ),
        (
            "appId",
            false,
            schema::text(64, "可选，缩小试用公钥的范围 (optional: whose key to try)"),
        ),
    ])
}

pub fn result_schema() -> Value {
    schema::object(&[(
        "token",
        true,
        schema::text(
            token::LIMIT_CHARS,
            "令牌，置于请求头 token 或 Authorization: Bearer，有效两小时",
        ),
    )])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let started = Instant::now();
    let attempts = &call.api.sign_attempts;
    let identified = match identify(&call).await {
        Ok(identified) => {
            attempts.opened(call.address, &identified.0.id).await?;
            attempts.succeeded(call.address, &identified.0.id);
            identified
        }
        Err(Unidentified::Other(failure)) => return Err(failure),
        Err(Unidentified::Fault(fault)) => {
            let app = fault.app();
            if let Some(app) = app {
                attempts.opened(call.address, app).await?;
            }
            attempts.failed(call.address, app);
            tokio::time::sleep_until(next_floor(started)).await;
            return Err(invalid_sign(&fault, call.address));
        }
    };
    let (app, sign, identified) = identified;
    let shape = Shape::of(&app, Statuses::Contract);
    grant(&call, &app, &sign, &identified)
        .await
        .map_err(|failure| {
            let mut failure = failure.with_shape(shape);
            failure.source = Some(format!("app:{}", app.id));
            failure
        })
}

/// Why no app was made out.
enum Unidentified {
    Fault(SignFault),
    /// Nothing that the sign can help.
    Other(Failure),
}

impl From<SignFault> for Unidentified {
    fn from(fault: SignFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for Unidentified {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// One message for whatever is wrong; the digest has the reason.
fn invalid_sign(fault: &SignFault, address: IpAddr) -> Failure {
    let rule = match fault {
        SignFault::Unreadable => "sign-unreadable",
        SignFault::NoKey => "sign-key",
        SignFault::Plaintext(_) => "sign-plaintext",
        SignFault::OtherApp(_) => "sign-app",
        SignFault::License(_) => "sign-license",
        SignFault::Organisation(_) => "sign-org",
    };
    let mut failure = Failure::new(ErrorKind::Invalid, rule, INVALID_SIGN)
        .at("sign")
        .because(fault.to_string());
    failure.source = Some(match fault.app() {
        Some(app) => format!("app:{app}"),
        None => format!("address:{}", network(address)),
    });
    failure
}

/// The sign's bytes and the app that the request names; `None`: there is no sign.
fn read(call: &Call) -> Option<(Vec<u8>, Option<AppId>)> {
    let text = text(&call.body, call.charset.as_deref()).ok()?;
    let mut params = Params::read(&text).ok()?;
    let sign = params.text("sign", sign::LIMIT_CHARS * 2)?;
    let named = params.text("appId", 64).or_else(|| call.app_hint.clone());
    Some((
        sign::decode(&sign)?,
        named.and_then(|id| AppId::new(id).ok()),
    ))
}

/// Everything up to the match of app and license.
async fn identify(call: &Call) -> Result<(App, Vec<u8>, Identified), Unidentified> {
    let (sign, named) = read(call).ok_or(SignFault::Unreadable)?;
    let api: &Api = &call.api;
    api.sign_attempts
        .begin(call.address, named.as_ref())
        .await?;
    let decrypting = api.decrypting.clone();
    let _place = decrypting
        .acquire_owned()
        .await
        .map_err(|error| Failure::internal(&error))?;
    let (keys, cluster_key) = (api.private_keys.clone(), api.archive.key().clone());
    let registry = call.registry.clone();
    let (sign, found) = blocking(move || {
        let found = sign::identify(&keys, &cluster_key, &registry, &sign, named.as_ref());
        Ok((sign, found))
    })
    .await?;
    let identified = found?;
    let app = call.registry.apps.get(&identified.app).cloned();
    let app = app.ok_or(SignFault::NoKey)?;
    if let Some(org) = &identified.org
        && !has_org(&call.registry, &app, org)
    {
        return Err(SignFault::Organisation(app.id).into());
    }
    Ok((app, sign, identified))
}

/// What comes after the match: the time, which is told apart (R3).
async fn grant(
    call: &Call,
    app: &App,
    sign: &[u8],
    identified: &Identified,
) -> Result<Answer, Failure> {
    let now_ms = now_ms();
    match identified.time {
        None if app.require_time => {
            return Err(time_failure(
                call,
                "sign-time-missing",
                "该应用要求 sign 带时间 (this app's signs must have a time)",
                now_ms,
            ));
        }
        None => {}
        Some(Err(NoTime)) => {
            return Err(time_failure(
                call,
                "sign-time-form",
                "sign 的时间有误，应为 YYYY-MM-DD HH:MM:SS，如 2026-07-04 10:54:32 (the sign's time must be written YYYY-MM-DD HH:MM:SS)",
                now_ms,
            ));
        }
        Some(Ok(time)) => {
            let time_ms = time.unix_ms(&call.zone());
            let window_ms = i64::from(app.time_window_minutes) * 60_000;
            if (now_ms - time_ms).abs() > window_ms {
                let message = format!(
                    "sign 的时间与服务器相差超过 {} 分钟，请校准时钟 (the sign's time is more than {} minutes off)",
                    app.time_window_minutes, app.time_window_minutes
                );
                return Err(time_failure(call, "sign-time", &message, now_ms));
            }
            consume(call, app, sign, time_ms + window_ms + MARK_MARGIN_MS).await?;
        }
    }
    let token = token::issue(call.archive().key(), app, now_ms)?;
    let mut answer = Answer::new("成功 (done)").with_result(json!({ "token": token }));
    answer.shape = Some(Shape::of(app, Statuses::Contract));
    Ok(answer)
}

fn has_org(registry: &Registry, app: &App, org: &str) -> bool {
    org == app.org.as_str()
        || registry
            .hospitals
            .keys()
            .any(|code| code.as_str() == org && app.hospitals.has(code))
}

fn time_failure(call: &Call, rule: &str, message: &str, now_ms: i64) -> Failure {
    let server = local_time(now_ms, &call.zone());
    let message = format!("{message}；服务器时间 {server} (server time)");
    let mut failure = Failure::new(ErrorKind::Invalid, rule, message.as_str()).at("sign");
    failure.result = Some(json!([{
        "path": "sign",
        "rule": rule,
        "message": message,
        "serverTime": server,
    }]));
    failure
}

/// A timed sign works once, on whichever node it comes: the log decides (R3).
async fn consume(call: &Call, app: &App, sign: &[u8], expires_ms: i64) -> Result<(), Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(app.id.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(sign);
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    let decided = call
        .archive()
        .use_sign(format!("app:{}", app.id), digest, now_ms(), expires_ms)
        .await?;
    match decided.outcome {
        Outcome::Refused(refusal) => {
            let mut failure = time_failure(call, &refusal.rule, &refusal.message, now_ms());
            // Not 401: getToken answers 0 or 1, and 999 speaks of tokens (R2).
            failure.kind = ErrorKind::Invalid;
            Err(failure)
        }
        _ => Ok(()),
    }
}
