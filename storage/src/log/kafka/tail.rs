//! Following the topic's end: what comes is checked to be the continuation of what was read before, then published.
//!
//! A connection may break and another log may stand behind the address when it is back. So whenever one broke, and now
//! and then, the topic is looked at before anything read from it is believed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use yingku_core::ids::Position;

use super::client::{give_up, hear, is_of_a_group};
use super::options::Purpose;
use super::reader::{assign, is_damage, record_of};
use super::{ASK_TIMEOUT, Shared, State};
use crate::log::{LogError, LogRecord};

/// How long the thread waits for records before it looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// Records that are published at once.
const BATCH_RECORDS: usize = 1_024;
/// How often the topic is looked at though nothing happened.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Between two looks while the brokers are away.
const RETRY: Duration = Duration::from_millis(250);
/// How long the library may tell what it knows before a look.
const HEARING: Duration = Duration::from_millis(20);
/// So many looks in a row must find another log before it is taken for one: brokers that start tell odd things.
const FINDINGS: u32 = 4;

pub struct Tail {
    pub shared: Arc<Shared>,
    pub last: Option<LastRecord>,
}

/// The record before the end, by its content.
#[derive(Clone, Copy)]
pub struct LastRecord {
    position: Position,
    digest: blake3::Hash,
}

impl LastRecord {
    pub fn of(record: &LogRecord) -> Self {
        Self {
            position: record.position,
            digest: blake3::hash(&record.bytes),
        }
    }
}

/// What a look at the topic found to be wrong.
enum Finding {
    Away(String),
    OtherLog(String),
}

impl From<LogError> for Finding {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Away { reason } => Self::Away(reason.to_string()),
            other => Self::OtherLog(other.to_string()),
        }
    }
}

impl Tail {
    /// Runs until the log is closed, or is not the one it was.
    pub fn run(mut self) {
        let mut looked = Instant::now();
        // Where it stood at the last look.
        let mut stood = None;
        self.start();
        while !self.shared.is_closed() {
            if self.shared.doubt.take() {
                if !self.look_until_right() {
                    return;
                }
                self.start();
                looked = Instant::now();
                stood = Some(self.next());
            } else if looked.elapsed() >= LOOK_EVERY {
                match self.look() {
                    // A consumer was seen to fetch nothing more after brokers that had been stopped went on.
                    Ok(end) if end > self.next() && stood == Some(self.next()) => {
                        tracing::warn!(next = %self.next(), %end, "the log goes on and nothing is fetched: asked for anew");
                        self.renew();
                        self.start();
                    }
                    Ok(_) => {}
                    Err(_) => self.shared.doubt.raise(),
                }
                looked = Instant::now();
                stood = Some(self.next());
            }
            let published = match self.fetched() {
                // What came over a new connection is fetched again when the topic was looked at.
                Ok(_) if self.shared.doubt.is_raised() => Ok(()),
                Ok(records) => self.publish(records),
                Err(damage) => Err(damage),
            };
            if let Err(reason) = published {
                self.shared.stop(&reason);
                return;
            }
        }
    }

    fn next(&self) -> Position {
        self.last.map_or(Position(0), |last| last.position.next())
    }

    fn renew(&self) {
        let shared = &self.shared;
        let config = shared.options.consumer(Purpose::Tail);
        match config.create_with_context(shared.doubt.clone()) {
            Ok(consumer) => give_up(std::mem::replace(
                &mut *shared.consumer.lock(),
                Arc::new(consumer),
            )),
            Err(error) => tracing::warn!(%error, "the end of the log is followed as before"),
        }
    }

    fn start(&self) {
        let shared = &self.shared;
        if let Err(error) = assign(&shared.consumer(), &shared.options.topic, self.next()) {
            tracing::warn!(%error, "the end of the log cannot be followed");
            shared.doubt.raise();
            std::thread::sleep(RETRY);
        }
    }

    /// Everything that is there; waits a moment for the first. `Err`: it is not as it was written.
    fn fetched(&self) -> Result<Vec<LogRecord>, String> {
        let consumer = self.shared.consumer();
        let mut records = Vec::new();
        let mut wait = POLL;
        while records.len() < BATCH_RECORDS {
            match consumer.poll(wait) {
                Some(Ok(message)) => records.push(record_of(&message)),
                Some(Err(error)) if is_of_a_group(&error) => {}
                Some(Err(error)) if is_damage(&error) => {
                    return Err(format!("after record {}: {error}", self.next()));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "following the log");
                    self.shared.doubt.raise();
                    std::thread::sleep(RETRY);
                    break;
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    fn publish(&mut self, records: Vec<LogRecord>) -> Result<(), String> {
        let Some(last) = records.last() else {
            return Ok(());
        };
        let last = LastRecord::of(last);
        let mut next = self.next();
        {
            let mut recent = self.shared.recent.lock();
            for record in records {
                if record.position != next {
                    return Err(format!(
                        "the topic has record {} where {next} must be: it was compacted or written in transactions",
                        record.position
                    ));
                }
                next = next.next();
                recent.push(record);
            }
        }
        self.last = Some(last);
        self.shared.end.send_replace(next);
        Ok(())
    }

    /// Looks until the topic is found to be right. `false`: it never will be, or the log is closed.
    fn look_until_right(&self) -> bool {
        let mut findings = 0;
        loop {
            // What was said up to here is answered by this look; records are fetched again.
            hear(&self.shared.consumer(), HEARING);
            self.shared.doubt.take();
            match self.look() {
                Ok(_) => {
                    self.shared.enter(State::Here);
                    return true;
                }
                Err(Finding::Away(reason)) => {
                    findings = 0;
                    self.shared.enter(State::Away(reason.into()));
                }
                Err(Finding::OtherLog(reason)) => {
                    findings += 1;
                    if findings == FINDINGS {
                        self.shared.stop(&reason);
                        return false;
                    }
                    self.shared.enter(State::Away(reason.into()));
                }
            }
            std::thread::sleep(RETRY);
            if self.shared.is_closed() {
                return false;
            }
        }
    }

    /// Whether the topic is the log that was read so far; where it ends.
    fn look(&self) -> Result<Position, Finding> {
        let end = self.shared.ask_end()?;
        let next = self.next();
        if end.first > Position(0) {
            return Err(Finding::OtherLog(format!(
                "the topic has lost its first {} records",
                end.first
            )));
        }
        if end.next < next {
            return Err(Finding::OtherLog(format!(
                "the topic ends at {}, and this node has read it up to {next}: it was cut or made anew",
                end.next
            )));
        }
        let consumer = self.shared.consumer();
        let cluster = consumer.client().fetch_cluster_id(ASK_TIMEOUT);
        if let Some(cluster) = cluster
            && cluster != self.shared.cluster
        {
            return Err(Finding::OtherLog(format!(
                "the cluster is {cluster} and was {}",
                self.shared.cluster
            )));
        }
        if let Some(last) = &self.last {
            let found = self.shared.point.lock().get(last.position)?;
            if blake3::hash(&found.bytes) != last.digest {
                return Err(Finding::OtherLog(format!(
                    "record {} of the topic is not the one that this node has read: it is another log",
                    last.position
                )));
            }
        }
        Ok(end.next)
    }
}
