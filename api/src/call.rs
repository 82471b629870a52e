//! One request as an operation sees it: who calls, from where, with which body.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use yingku_core::ids::{AppId, HospitalCode};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::{App, Closed, Registry, Scope};
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::{Archive, RefusedRequest};

use crate::auth::attempts::{LicenseAttempts, SignAttempts};
use crate::auth::sign::PrivateKeys;
use crate::error::{Failure, Note};
use crate::jiwei::JiweiClient;
use crate::limits::{ApiConfig, Places};
use crate::nodes;

/// What all requests share.
pub struct Api {
    pub archive: Archive,
    pub config: ApiConfig,
    pub places: Places,
    pub sign_attempts: SignAttempts,
    pub license_attempts: LicenseAttempts,
    /// Of questions of 基卫 that a key should open.
    pub question_attempts: SignAttempts,
    pub private_keys: Arc<PrivateKeys>,
    pub jiwei: JiweiClient,
    /// Decryptions at once: they take whole cores.
    pub decrypting: Arc<tokio::sync::Semaphore>,
    /// Parts of packs that are in memory for other nodes.
    pub node_parts: Arc<tokio::sync::Semaphore>,
    /// Questions of supervision that walk over many exams.
    supervising: Arc<tokio::sync::Semaphore>,
    /// Readers of the feed that wait for something new.
    pub awaiting: Arc<tokio::sync::Semaphore>,
}

/// Decryptions of signs at once; more wait, so that a flood of signs leaves cores to the rest.
const DECRYPTING: usize = 2;

/// Questions of supervision at once: each takes a core for up to seconds, and the memory of what it adds up.
const SUPERVISING: usize = 2;

/// Readers that wait at once: each keeps one of the places of all requests; more are answered at once.
const AWAITING: usize = 64;

impl Api {
    pub fn new(archive: Archive, config: ApiConfig) -> Self {
        Self {
            archive,
            places: Places::new(&config),
            sign_attempts: SignAttempts::new(&config),
            license_attempts: LicenseAttempts::new(&config),
            question_attempts: SignAttempts::of_questions(&config),
            private_keys: Arc::default(),
            jiwei: JiweiClient::new(config.jiwei_timeout),
            decrypting: Arc::new(tokio::sync::Semaphore::new(DECRYPTING)),
            node_parts: Arc::new(tokio::sync::Semaphore::new(nodes::PARTS_AT_ONCE)),
            supervising: Arc::new(tokio::sync::Semaphore::new(SUPERVISING)),
            awaiting: Arc::new(tokio::sync::Semaphore::new(AWAITING)),
            config,
        }
    }

    /// Leaves what was refused in the error digest, with its true reasons. `operation`: an address without context.
    pub async fn note_refusals(&self, operation: &'static str, source: String, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let archive = self.archive.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            for note in notes {
                let refused = RefusedRequest {
                    source: source.clone(),
                    hospital: note.hospital,
                    example: note.example,
                    operation: operation.to_owned(),
                    path: note.path,
                    rule: note.rule,
                    reason: note.reason,
                };
                archive.errors().record(&refused, now_ms());
            }
        });
        if let Err(error) = recorded.await {
            tracing::error!(%error, "a refusal is missing from the error digest");
        }
    }
}

/// The app of a request's token, as registered when the request came.
#[derive(Clone)]
pub struct Caller {
    pub registry: Arc<Registry>,
    pub id: AppId,
}

impl Caller {
    pub fn app(&self) -> Result<&App, Failure> {
        self.registry
            .apps
            .get(&self.id)
            .ok_or_else(|| Failure::new(ErrorKind::Unauthenticated, "token-ended", INVALID_TOKEN))
    }

    /// The actor of events that this app causes.
    pub fn actor(&self) -> String {
        format!("app:{}", self.id)
    }
}

/// R2's own words.
pub const INVALID_TOKEN: &str =
    "token无效或已过期，请重新获取 (the token is missing, wrong or expired: get a new one)";

/// One request.
pub struct Call {
    pub api: Arc<Api>,
    /// Absent for operations that need no token.
    pub caller: Option<Caller>,
    pub address: IpAddr,
    /// Under which name the caller reached this node: `scheme://host[:port]`.
    pub origin: String,
    pub body: Bytes,
    /// Of the Content-Type.
    pub charset: Option<String>,
    /// `appId` of the query or a header: narrows whose key a sign is tried with.
    pub app_hint: Option<String>,
    /// What follows the operation's address, of those that go on.
    pub rest_of_path: Option<String>,
    pub registry: Arc<Registry>,
}

impl Call {
    pub fn archive(&self) -> &Archive {
        &self.api.archive
    }

    pub fn caller(&self) -> Result<&Caller, Failure> {
        self.caller
            .as_ref()
            .ok_or_else(|| Failure::new(ErrorKind::Unauthenticated, "token-missing", INVALID_TOKEN))
    }

    /// Refuses a hospital that the app has nothing to do with.
    pub fn allow(&self, hospital: &HospitalCode) -> Result<(), Failure> {
        allow(&self.caller()?.app()?.hospitals, hospital)
    }

    /// Waits until one more question of supervision may walk over many exams.
    pub async fn turn_of_supervision(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Failure> {
        let turns = Arc::clone(&self.api.supervising);
        let turn = turns.acquire_owned().await;
        turn.map_err(|error| Failure::internal(&error))
    }

    /// The hospital asked about, or all of the app's.
    pub fn hospitals(&self, asked: Option<&HospitalCode>) -> Result<Vec<HospitalCode>, Failure> {
        let scope = &self.caller()?.app()?.hospitals;
        if let Some(hospital) = asked {
            allow(scope, hospital)?;
            self.registered(hospital)?;
            return Ok(vec![hospital.clone()]);
        }
        let all = self.registry.hospitals.keys();
        Ok(all.filter(|code| scope.has(code)).cloned().collect())
    }

    /// Refuses a hospital that nobody registered: an app of all hospitals is let in with any code.
    pub fn registered(&self, hospital: &HospitalCode) -> Result<(), Failure> {
        if self.registry.hospitals.contains_key(hospital) {
            return Ok(());
        }
        let refusal = Refusal::new(
            ErrorKind::NotFound,
            "hospital-unknown",
            "hospitalCode",
            Closed::Unknown.message(),
        );
        Err(refusal.into())
    }

    /// The last day that a declaration may be of: clocks of hospitals may be ahead of ours.
    pub fn tomorrow(&self) -> LocalDate {
        let today = LocalDateTime::from_unix_ms(now_ms(), &self.zone()).map(LocalDateTime::date);
        today.and_then(LocalDate::next).unwrap_or(LocalDate::LAST)
    }

    pub fn zone(&self) -> Zone {
        Zone::named(&self.registry.settings.time_zone).unwrap_or_default()
    }
}

/// Refuses a hospital outside a scope.
pub fn allow(scope: &Scope, hospital: &HospitalCode) -> Result<(), Failure> {
    if scope.has(hospital) {
        return Ok(());
    }
    let message =
        format!("无权限：该应用不能访问医院 {hospital} (no right for hospital {hospital})");
    let rule = "hospital-forbidden";
    let refusal = Refusal::new(ErrorKind::Forbidden, rule, "hospitalCode", message);
    Err(Failure::from(refusal).about(hospital.as_str(), ""))
}

/// A moment as local time, as the contract writes it.
pub fn local_time(moment_ms: i64, zone: &Zone) -> String {
    LocalDateTime::from_unix_ms(moment_ms, zone)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// Bodies up to this are checked on the thread that serves the connection; larger ones would hold it up.
pub const INLINE_BYTES: usize = 128 << 10;

/// Now, in unix milliseconds.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Runs what computes or reads disks apart from the threads that serve connections.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::internal(&error)),
    }
}
