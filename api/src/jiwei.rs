//! The platform as a client of a hospital's 基卫 (contract §1, R11): one question by HTTP, and the answer deciphered.
//!
//! A 基卫 is somebody's small server. It is asked a few questions at once and no more, and one that hangs costs its own
//! askers some seconds and nobody else anything.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yingku_core::contract::jiwei::{
    ANSWER_LIMIT_BYTES, Answer, ApplyQuery, Carrier, JiweiError, JiweiKey,
};
use yingku_core::ids::HisId;

/// Questions at work at once, to all 基卫 together, until what was answered is recorded: each may have 4 MiB in memory.
const AT_ONCE: usize = 16;
/// Questions under way to one of them.
const AT_ONCE_PER_HIS: usize = 4;
/// How long a question waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where and how to ask.
pub struct Address<'a> {
    pub his: &'a HisId,
    pub url: &'a str,
    pub carrier: Carrier,
    pub key: &'a JiweiKey,
}

/// Why there is no answer. The texts are for who asked: nothing in them is the other side's.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "同时向该基卫查询过多，请稍后再试 (too many questions to this 基卫 at once: try again later)"
    )]
    Busy,
    #[error(
        "连不上医院的基卫，请稍后再试并告知平台管理员 (the hospital's 基卫 cannot be reached: try again later, tell the operator)"
    )]
    Unreached(#[source] reqwest::Error),
    #[error("医院的基卫未在 {} 秒内应答，请稍后再试 (the hospital's 基卫 did not answer within {} seconds: try again later)", .0.as_secs_f32(), .0.as_secs_f32())]
    Late(Duration),
    #[error(
        "医院的基卫应答 HTTP {0}，请平台管理员核对其地址与运行情况 (the hospital's 基卫 answered HTTP {0}: the operator should check its address)"
    )]
    Status(u16),
    #[error("基卫的应答传输中断，请稍后再试 (the answer broke off: try again later)")]
    Broken(#[source] reqwest::Error),
    #[error(transparent)]
    Wire(#[from] JiweiError),
    #[error("HTTP 客户端不可用，请告知平台管理员 (there is no HTTP client: tell the operator)")]
    NoClient,
}

impl AskError {
    /// Name by which digests count it.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Busy => "jiwei-busy",
            Self::Unreached(_) => "jiwei-unreached",
            Self::Late(_) => "jiwei-late",
            Self::Status(_) => "jiwei-status",
            Self::Broken(_) => "jiwei-broken",
            Self::Wire(JiweiError::Refused { .. }) => "jiwei-refused",
            Self::Wire(JiweiError::NotReadable) => "jiwei-unreadable",
            Self::Wire(_) => "jiwei-answer",
            Self::NoClient => "internal",
        }
    }

    /// What the operator reads: also what the other side said, which may name a patient and is in no other place.
    pub fn for_operators(&self) -> String {
        match self {
            Self::Wire(JiweiError::Refused { said, .. }) => {
                format!("{self}；基卫：{}", said.for_operators())
            }
            Self::Unreached(error) | Self::Broken(error) => {
                format!("{self}: {}", chain(error))
            }
            other => other.to_string(),
        }
    }
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An answer, and the place among all questions that it keeps while it is held.
pub struct Heard {
    pub answer: Answer,
    _place: OwnedSemaphorePermit,
}

/// Who asks.
pub struct JiweiClient {
    http: OnceLock<Option<reqwest::Client>>,
    all: Arc<Semaphore>,
    per_his: Mutex<HashMap<HisId, Arc<Semaphore>>>,
    /// For the whole of one question.
    timeout: Duration,
}

impl JiweiClient {
    pub fn new(timeout: Duration) -> Self {
        Self {
            http: OnceLock::new(),
            all: Arc::new(Semaphore::new(AT_ONCE)),
            per_his: Mutex::default(),
            timeout,
        }
    }

    /// Asks once. Nothing is tried again: who asks is waiting, and asks again if he likes.
    pub async fn ask(&self, to: Address<'_>, question: &ApplyQuery) -> Result<Heard, AskError> {
        let body = question.compose(to.key, to.carrier)?;
        let (_own_place, place) = self.places(to.his).await?;
        let http = self.http().ok_or(AskError::NoClient)?;
        let request = http
            .post(to.url)
            .header(CONTENT_TYPE, to.carrier.content_type())
            .body(body);
        let response = request.send().await.map_err(|error| self.failed(error))?;
        if response.status() != StatusCode::OK {
            return Err(AskError::Status(response.status().as_u16()));
        }
        let body = self.read(response).await?;
        Ok(Heard {
            answer: Answer::read(&body, to.key)?,
            _place: place,
        })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, AskError> {
        let mut body = Vec::new();
        loop {
            let part = match response.chunk().await {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(body),
                Err(error) if error.is_timeout() => return Err(AskError::Late(self.timeout)),
                Err(error) => return Err(AskError::Broken(error.without_url())),
            };
            if body.len() + part.len() > ANSWER_LIMIT_BYTES {
                let limit_bytes = ANSWER_LIMIT_BYTES;
                return Err(JiweiError::TooLarge { limit_bytes }.into());
            }
            body.extend_from_slice(&part);
        }
    }

    fn failed(&self, error: reqwest::Error) -> AskError {
        match error.is_timeout() && !error.is_connect() {
            true => AskError::Late(self.timeout),
            false => AskError::Unreached(error.without_url()),
        }
    }

    /// A place of the one that is asked, and one among all.
    async fn places(
        &self,
        his: &HisId,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), AskError> {
        let own = {
            let mut per_his = self.per_his.lock();
            // Only registered ones get here, so there are few.
            let own = per_his.entry(his.clone());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_PER_HIS))))
        };
        let all = Arc::clone(&self.all);
        // The one's own first: those who wait for a slow one hold no place of the others.
        let places = async move {
            Some((
                own.acquire_owned().await.ok()?,
                all.acquire_owned().await.ok()?,
            ))
        };
        let waited = tokio::time::timeout(PLACE_TIMEOUT, places).await;
        waited.ok().flatten().ok_or(AskError::Busy)
    }

    /// Made when it is first needed: it reads the system's certificates.
    fn http(&self) -> Option<&reqwest::Client> {
        let make = || {
            // Whoever was first installed the same one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let built = reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(self.timeout)
                .redirect(reqwest::redirect::Policy::none())
                // Patients' forms go to the hospital and to nobody in between.
                .no_proxy()
                .build();
            built
                .inspect_err(|error| tracing::error!(%error, "there is no HTTP client for 基卫"))
                .ok()
        };
        self.http.get_or_init(make).as_ref()
    }
}
