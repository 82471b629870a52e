//! The contract from the client's side (§2.1, §2.2, R2–R4): sign, token, posting JSON.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Encrypt, RsaPublicKey};
use serde_json::Value;

/// A push waits up to 10 s for its outcome; a reconciliation of a year takes some, too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer that is read.
const ANSWER_LIMIT_BYTES: u64 = 256 << 20;
/// PKCS#1 v1.5 pads with 11 bytes at least.
const PADDING_BYTES: usize = 11;

/// Who asks, and where.
#[derive(Clone, Default, Args)]
pub struct Credentials {
    /// 归档的地址 (address of the archive)
    #[arg(long, env = "YINGKU_URL", global = true, value_name = "URL")]
    pub url: Option<String>,
    /// 应用 appId
    #[arg(long, env = "YINGKU_APP", global = true, value_name = "应用")]
    pub app: Option<String>,
    /// 许可证 (license)
    #[arg(
        long,
        env = "YINGKU_LICENSE",
        global = true,
        hide_env_values = true,
        value_name = "许可证"
    )]
    pub license: Option<String>,
    /// 机构：医院代码 (orgId)
    #[arg(long, env = "YINGKU_ORG", global = true, value_name = "医院代码")]
    pub org: Option<String>,
    /// 平台发放的公钥，PEM 文件 (the public key that the platform handed out)
    #[arg(long, env = "YINGKU_KEY", global = true, value_name = "文件")]
    pub key: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("url", &self.url)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// An app with its token.
pub struct Session {
    agent: ureq::Agent,
    url: String,
    token: String,
}

/// One answer, flat or within `content` (R2).
pub struct Answer {
    pub status: i64,
    pub message: String,
    pub result: Value,
}

impl Answer {
    pub fn is_done(&self) -> bool {
        self.status == 0
    }

    /// The server's time, if a sign is refused because it has none.
    fn missing_time(&self) -> Option<&str> {
        let fault = self.result.get(0).unwrap_or(&self.result);
        let rule = fault.get("rule")?.as_str()?;
        let time = fault.get("serverTime")?.as_str()?;
        (rule == "sign-time-missing").then_some(time)
    }

    fn read(http: u16, bytes: &[u8]) -> anyhow::Result<Self> {
        let body: Value = serde_json::from_slice(bytes)
            .with_context(|| format!("HTTP {http}: 应答不是 JSON (the answer is no JSON)"))?;
        let body = body.get("content").unwrap_or(&body);
        let status = body.get("status");
        let status = status
            .and_then(Value::as_i64)
            .or_else(|| status?.as_str()?.parse().ok())
            .with_context(|| format!("HTTP {http}: 应答没有 status (the answer has no status)"))?;
        Ok(Self {
            status,
            message: body
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            result: body.get("result").cloned().unwrap_or(Value::Null),
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.status, self.message)?;
        if !self.result.is_null() {
            write!(f, "\n{:#}", self.result)?;
        }
        Ok(())
    }
}

impl Session {
    /// Signs and gets a token.
    pub fn open(credentials: &Credentials) -> anyhow::Result<Self> {
        let Credentials {
            url: Some(url),
            app: Some(app),
            license: Some(license),
            org: Some(org),
            key: Some(key),
        } = credentials
        else {
            anyhow::bail!(
                "须给出 --url --app --license --org --key，或环境变量 YINGKU_URL YINGKU_APP YINGKU_LICENSE YINGKU_ORG YINGKU_KEY (are required)"
            );
        };
        let pem = std::fs::read_to_string(key)
            .with_context(|| format!("公钥 {} 读不到 (cannot be read)", key.display()))?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        let mut session = Self {
            agent,
            url: url.trim_end_matches('/').to_owned(),
            token: String::new(),
        };
        let get_token = |plaintext: &str| {
            let sign = sign(&pem, plaintext)
                .with_context(|| format!("公钥 {} (public key)", key.display()))?;
            let body = serde_json::json!({ "sign": sign }).to_string();
            session.post("/v1/auth/getToken", body.as_bytes())
        };
        let plaintext = format!("{app},{org},{license}");
        let mut answer = get_token(&plaintext)?;
        // An app whose signs must have a time is told so, and told the server's: that one is within any window.
        if let Some(time) = answer.missing_time() {
            answer = get_token(&format!("{plaintext},{time}"))?;
        }
        anyhow::ensure!(answer.is_done(), "取令牌失败 (no token): {answer}");
        // One object, or an array of one (R4).
        let result = answer.result.get(0).unwrap_or(&answer.result);
        session.token = result
            .get("token")
            .and_then(Value::as_str)
            .context("应答没有 token (the answer has no token)")?
            .to_owned();
        Ok(session)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = self
            .agent
            .post(&url)
            .header("Content-Type", "application/json;charset=UTF-8");
        if !self.token.is_empty() {
            request = request.header("token", &self.token);
        }
        let mut response = request
            .send(body)
            .with_context(|| format!("{url}: 没有应答 (no answer)"))?;
        let http = response.status().as_u16();
        let bytes = response
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT_BYTES)
            .read_to_vec()
            .with_context(|| format!("{url}: 应答中断 (the answer broke off)"))?;
        Answer::read(http, &bytes)
    }
}

/// RSA PKCS#1 v1.5 in blocks, Base64 (R3).
fn sign(pem: &str, plaintext: &str) -> anyhow::Result<String> {
    let key = RsaPublicKey::from_public_key_pem(pem)?;
    let block = key.size().saturating_sub(PADDING_BYTES).max(1);
    let mut sealed = Vec::new();
    for part in plaintext.as_bytes().chunks(block) {
        sealed.extend(key.encrypt(&mut rand::rngs::OsRng, Pkcs1v15Encrypt, part)?);
    }
    Ok(STANDARD.encode(sealed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_shape_of_an_answer_is_read() {
        for text in [
            r#"{"status":0,"message":"m","result":{"token":"t"}}"#,
            r#"{"content":{"status":"0","message":"m","result":{"token":"t"}}}"#,
        ] {
            let answer = Answer::read(200, text.as_bytes()).unwrap();
            assert!(answer.is_done() && answer.message == "m", "{text}");
        }
        assert!(Answer::read(502, b"<html>").is_err());
        assert!(Answer::read(200, b"{}").is_err());
    }
}
