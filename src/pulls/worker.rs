//! Fetches one hospital's studies: what is pushed before what is of the past, each again until its images are here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use yingku_core::event::{Event, PullsTried};
use yingku_core::ids::{HospitalCode, StudyKey};
use yingku_core::pull::{PullLine, PullRow, PullState, TriedPull, WORDS_LIMIT};
use yingku_core::registry::{GATEWAY_ASSOCIATIONS_LIMIT, Gateway, Registry};
use yingku_dicom_node::gateway::{self, Bandwidth, on_own_thread};
use yingku_dicom_node::scp::Scp;
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::views::{ViewsError, Walk};

use super::attempt::{Attempt, Ended, Given};
use super::hours::{is_open, local};
use super::sweep::{self, Nights, sweep};
use super::{meters, pace};

/// How often it is looked whether the hours within which a gateway may be asked have come.
const HOURS_EVERY: Duration = Duration::from_secs(30);
/// A study that takes longer is broken off and tried again: what came is kept.
const STUDY_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
const BYTES_OF_MEGABYTE: u64 = 1_000_000;

/// What took a place at the gateway, and ended.
enum Done {
    /// How a try ended, by the pull as it was when it began.
    Tried(Box<PullRow>, Ended),
    Swept(anyhow::Result<()>),
}

pub struct Worker {
    archive: Archive,
    scp: Scp,
    hospital: HospitalCode,
    epoch: Option<u64>,
    running: BTreeSet<StudyKey>,
    /// What waits for the log.
    results: Vec<TriedPull>,
    unreached: u32,
    pause_until: Option<Instant>,
    /// The gateway's setting, and what its associations share.
    bandwidth: Option<(u32, Arc<Bandwidth>)>,
    nights: Nights,
}

/// What is due now, and when the next is.
#[derive(Default)]
struct Due {
    rows: Vec<PullRow>,
    next_ms: Option<i64>,
}

impl Worker {
    pub fn new(archive: Archive, scp: Scp, hospital: HospitalCode, epoch: Option<u64>) -> Self {
        Self {
            archive,
            scp,
            hospital,
            epoch,
            running: BTreeSet::new(),
            results: Vec::new(),
            unreached: 0,
            pause_until: None,
            bandwidth: None,
            nights: Nights::default(),
        }
    }

    /// Ends when the hospital has no gateway any more, or the archive is closed. Dropped, what it fetches is broken off.
    pub async fn run(mut self) {
        let mut projected = self.archive.watch_projected();
        let mut fetching: JoinSet<Done> = JoinSet::new();
        loop {
            if !self.results.is_empty() && !self.record().await {
                tokio::time::sleep(pace::after_unreached(1)).await;
                continue;
            }
            let registry = self.archive.registry();
            let hospital = registry.hospitals.get(&self.hospital);
            let Some(gateway) = hospital.and_then(|hospital| hospital.gateway.clone()) else {
                return;
            };
            let wake = self.begin(&registry, &gateway, &mut fetching).await;
            tokio::select! {
                Some(done) = fetching.join_next(), if !fetching.is_empty() => match done {
                    Ok(Done::Tried(row, ended)) => self.settle(*row, ended),
                    Ok(Done::Swept(outcome)) => self.swept(outcome),
                    Err(error) => {
                        // Which study it was is not known: all begin anew from the views.
                        tracing::error!(hospital = %self.hospital, %error, "fetching a study failed");
                        return;
                    }
                },
                changed = projected.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Begins what is due and may be begun; gives back when to look again.
    async fn begin(
        &mut self,
        registry: &Registry,
        gateway: &Gateway,
        fetching: &mut JoinSet<Done>,
    ) -> Option<Instant> {
        let is_on = gateway.enabled && registry.closed(&self.hospital).is_none();
        if !is_on {
            return None;
        }
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let now = local(registry, now_ms);
        if !is_open(gateway, now.as_ref()) {
            return Some(Instant::now() + HOURS_EVERY);
        }
        if let Some(until) = self.pause_until.filter(|until| *until > Instant::now()) {
            return Some(until);
        }
        // Of a gateway that was not reached only one is tried, to see.
        let at_once = match self.unreached {
            0 => gateway.associations.clamp(1, GATEWAY_ASSOCIATIONS_LIMIT),
            _ => 1,
        };
        let mut free = usize::from(at_once).saturating_sub(fetching.len());
        if free == 0 {
            return None;
        }
        if let Some(now) = now.filter(|now| self.nights.is_due(gateway, now)) {
            self.nights.begun(gateway, &now);
            self.sweep(gateway, fetching);
            free -= 1;
        }
        let night = gateway.sweep.then(|| Instant::now() + sweep::LOOK_EVERY);
        match self.due(now_ms, free).await {
            Ok(due) => {
                for row in due.rows {
                    self.fetch(gateway, row, fetching);
                }
                let wait = |next_ms: i64| next_ms.saturating_sub(now_ms).max(0).unsigned_abs();
                let next = due
                    .next_ms
                    .map(|next_ms| Instant::now() + Duration::from_millis(wait(next_ms)));
                next.into_iter().chain(night).min()
            }
            Err(error) => {
                tracing::warn!(hospital = %self.hospital, %error, "what is to be fetched cannot be read");
                Some(Instant::now() + pace::after_unreached(8))
            }
        }
    }

    /// Studies whose time has come, live ones first.
    async fn due(&self, now_ms: i64, free: usize) -> Result<Due, ViewsError> {
        let (views, hospital) = (self.archive.views(), self.hospital.clone());
        let running = self.running.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut due = Due::default();
            for line in [PullLine::Live, PullLine::Backfill] {
                if due.rows.len() >= free {
                    break;
                }
                views.visit_pulls(&hospital, line, &mut |row: PullRow| {
                    if row.next_ms > now_ms {
                        let earlier = due.next_ms.map_or(row.next_ms, |it| it.min(row.next_ms));
                        due.next_ms = Some(earlier);
                        return Walk::Stop;
                    }
                    if !running.contains(&row.study) {
                        due.rows.push(row);
                    }
                    match due.rows.len() < free {
                        true => Walk::On,
                        false => Walk::Stop,
                    }
                })?;
            }
            Ok(due)
        });
        read.await.unwrap_or_else(|_| Ok(Due::default()))
    }

    fn fetch(&mut self, gateway: &Gateway, row: PullRow, fetching: &mut JoinSet<Done>) {
        self.running.insert(row.study.clone());
        let bandwidth = self.bandwidth_of(gateway);
        let attempt = Attempt {
            archive: self.archive.clone(),
            scp: self.scp.clone(),
            gateway: called(gateway, &self.scp, bandwidth),
            method: gateway.method,
            row: row.clone(),
        };
        fetching.spawn(async move {
            let work = move || async move {
                let limited = tokio::time::timeout(STUDY_TIMEOUT, attempt.run());
                limited.await.unwrap_or_else(|_| {
                    Ended::Broken(Given {
                        words: "调取超时 (it took too long)".to_owned(),
                        ..Given::default()
                    })
                })
            };
            let ended = on_own_thread("pull", work).await;
            let ended = ended.unwrap_or_else(|| Ended::Failed("no thread for it".to_owned()));
            Done::Tried(Box::new(row), ended)
        });
    }

    fn sweep(&self, gateway: &Gateway, fetching: &mut JoinSet<Done>) {
        let (archive, scp, epoch) = (self.archive.clone(), self.scp.clone(), self.epoch);
        let (hospital, gateway) = (self.hospital.clone(), gateway.clone());
        fetching.spawn(async move {
            Done::Swept(sweep(&archive, &scp, &hospital, &gateway, epoch).await)
        });
    }

    fn swept(&mut self, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.nights.failed();
            let error = format!("{error:#}");
            tracing::warn!(hospital = %self.hospital, error, "a gateway is not asked what nobody pushed");
        }
    }

    fn bandwidth_of(&mut self, gateway: &Gateway) -> Option<Arc<Bandwidth>> {
        let megabytes = gateway.megabytes_per_second?;
        match &self.bandwidth {
            Some((known, shared)) if *known == megabytes => Some(Arc::clone(shared)),
            _ => {
                let shared = Bandwidth::new(u64::from(megabytes) * BYTES_OF_MEGABYTE);
                self.bandwidth = Some((megabytes, Arc::clone(&shared)));
                Some(shared)
            }
        }
    }

    /// Notes what came of a try.
    fn settle(&mut self, row: PullRow, ended: Ended) {
        self.running.remove(&row.study);
        meters::tried(&ended);
        let (is_whole, result) = match ended {
            Ended::Whole(result) => (true, result),
            Ended::Lacking(result) => (false, result),
            Ended::Broken(result) => {
                self.pause();
                let result = result_of(&row, false, result, pace::after_broken);
                self.results.push(result);
                return;
            }
            Ended::Unreached(words) => {
                self.pause();
                // The log need not tell of each try: a gateway may be away for days.
                if self.unreached.is_power_of_two() {
                    self.results.push(unchanged(&row, words));
                }
                return;
            }
            Ended::Failed(why) => {
                tracing::error!(hospital = %self.hospital, study = %row.study.study, why, "a study cannot be fetched");
                self.pause_until = Some(Instant::now() + pace::after_unreached(8));
                return;
            }
        };
        self.unreached = 0;
        // A gateway's own words may name a patient: they are in the list, whose readers are audited.
        tracing::info!(hospital = %self.hospital, study = %row.study.study, is_whole, "a study was fetched");
        let result = result_of(&row, is_whole, result, pace::after_tries);
        self.results.push(result);
    }

    fn pause(&mut self) {
        self.unreached = self.unreached.saturating_add(1);
        self.pause_until = Some(Instant::now() + pace::after_unreached(self.unreached));
        tracing::warn!(hospital = %self.hospital, times = self.unreached, "a gateway gives no studies: yingku pull list says why");
    }

    /// Brings results into the log; what cannot be recorded stays, and a restart fetches it again.
    async fn record(&mut self) -> bool {
        let submission = Submission {
            hospital: Some(self.hospital.clone()),
            actor: self.archive.node_actor(),
            event: Event::PullsTried(PullsTried {
                hospital: self.hospital.clone(),
                tried: self.results.clone(),
                epoch: self.epoch,
            }),
        };
        match self.archive.submit(submission).await {
            Ok(_) => {
                self.results.clear();
                true
            }
            Err(error) => {
                tracing::warn!(hospital = %self.hospital, %error, "results of fetching wait for the log");
                false
            }
        }
    }
}

/// The gateway as the registry has it.
pub(super) fn called(
    gateway: &Gateway,
    scp: &Scp,
    bandwidth: Option<Arc<Bandwidth>>,
) -> gateway::Gateway {
    let own = scp.settings().ae_title.as_str();
    let calling = gateway.calling_ae.as_ref().map_or(own, |ae| ae.as_str());
    gateway::Gateway {
        called: gateway.ae.as_str().to_owned(),
        calling: calling.to_owned(),
        address: address(&gateway.host, gateway.port),
        bandwidth,
    }
}

/// An IPv6 address stands in brackets.
fn address(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// What the log is told: done, or tried again after a while, or left to an operator.
fn result_of(
    row: &PullRow,
    is_whole: bool,
    result: Given,
    after: fn(u32) -> Duration,
) -> TriedPull {
    // Where something came more may come.
    let tries = match result.has_come {
        true => 1,
        false => row.tries.saturating_add(1),
    };
    let state = match (is_whole, tries >= pace::TRIES_LIMIT) {
        (true, _) => PullState::Done,
        (false, true) => PullState::Stopped,
        (false, false) => PullState::Open,
    };
    let wait_ms = i64::try_from(after(tries).as_millis()).unwrap_or(i64::MAX);
    TriedPull {
        study: row.study.study.clone(),
        since: row.since,
        state,
        tries,
        next_ms: jiff::Timestamp::now()
            .as_millisecond()
            .saturating_add(wait_ms),
        expected: result.expected,
        got: result.got,
        words: cut(&result.words),
    }
}

/// A try that says nothing of the study.
fn unchanged(row: &PullRow, words: String) -> TriedPull {
    TriedPull {
        study: row.study.study.clone(),
        since: row.since,
        state: PullState::Open,
        tries: row.tries,
        next_ms: row.next_ms,
        expected: row.expected,
        got: row.got,
        words: cut(&words),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(WORDS_LIMIT).collect()
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
