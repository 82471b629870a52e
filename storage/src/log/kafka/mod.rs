//! The event log in a Kafka topic of one partition: a position is an offset.
//!
//! Records are appended by an idempotent producer that waits for all copies in step. One thread follows the topic's end
//! ([`tail`]) and an append resolves when that thread has read the record back, so that what is acknowledged is in the
//! very log that everybody reads. Transactions and compaction would leave gaps between offsets and are never used.
//!
//! Offsets are not committed: cursors stay with what follows from the log.

mod client;
mod error;
mod identity;
mod open;
mod options;
mod producer;
mod reader;
mod recent;
mod tail;
#[cfg(test)]
mod tests;
mod topic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::watch;
use yingku_core::ids::Position;

use self::client::Doubt;
use self::producer::{Appender, Delivery};
use self::reader::Reader;
use self::recent::Recent;
use super::room::Room;
use super::{APPEND_LIMIT, BoxFuture, EventLog, LogError, LogHealth, LogRecord, at_their_places};

pub use error::KafkaOpenError;
pub use options::{KafkaLogOptions, KafkaLogin, KafkaMechanism, KafkaTls, Secret};

/// The only one.
const PARTITION: i32 = 0;
/// Header of a record that came from another log: the time that it has there, milliseconds, 8 bytes, big-endian. The
/// brokers give every record the time at which they take it.
const TIME_HEADER: &str = "yingku-time";
/// One question to the brokers.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// The Kafka backend of [`EventLog`]. Dropping it leaves what is on its way to its fate.
pub struct KafkaLog {
    shared: Arc<Shared>,
    tail: Mutex<Option<JoinHandle<()>>>,
}

/// What appends, reads and the tail's thread share.
struct Shared {
    options: KafkaLogOptions,
    cluster: String,
    doubt: Doubt,
    state: watch::Sender<State>,
    end: watch::Sender<Position>,
    recent: Mutex<Recent>,
    room: Room,
    appender: Appender,
    /// The tail's, who may make it anew; others ask it about the topic.
    consumer: Mutex<Arc<BaseConsumer<Doubt>>>,
    stretch: Mutex<Reader>,
    point: Mutex<Reader>,
    questions: Questions,
    closed: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Here,
    /// The brokers do not answer, or not yet as they should.
    Away(Arc<str>),
    /// It is not the log that it was.
    Stopped(Arc<str>),
}

/// The positions of a topic.
#[derive(Clone, Copy)]
struct Ends {
    first: Position,
    next: Position,
}

/// Questions about the end; those who ask at the same time share an answer.
struct Questions {
    begun: AtomicU64,
    /// The answer to the last one, with its number.
    answered: tokio::sync::Mutex<(u64, Result<Position, LogError>)>,
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        if let Some(tail) = self.tail.lock().take()
            && tail.join().is_err()
        {
            tracing::error!("the thread that follows the log had panicked");
        }
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn enter(&self, state: State) {
        let before = self.state.send_replace(state.clone());
        match (&before, &state) {
            (State::Away(_), State::Here) => tracing::info!("the log is back"),
            (State::Here, State::Away(reason)) => {
                tracing::warn!(%reason, "the log is away; nothing is acknowledged until it is back");
            }
            _ => {}
        }
    }

    fn stop(&self, reason: &str) {
        tracing::error!(
            reason,
            "the log is not as it was; nothing is read or acknowledged until a restart"
        );
        self.state.send_replace(State::Stopped(reason.into()));
    }

    fn consumer(&self) -> Arc<BaseConsumer<Doubt>> {
        Arc::clone(&self.consumer.lock())
    }

    /// Refuses while the log is away or for good.
    fn refuse(&self) -> Result<(), LogError> {
        match &*self.state.borrow() {
            State::Here => Ok(()),
            State::Away(reason) => Err(LogError::away(reason)),
            State::Stopped(reason) => Err(LogError::Latched {
                reason: Arc::clone(reason),
            }),
        }
    }

    /// Asks the brokers where the topic begins and ends. Blocks.
    fn ask_end(&self) -> Result<Ends, LogError> {
        let consumer = self.consumer();
        let asked = consumer.fetch_watermarks(&self.options.topic, PARTITION, ASK_TIMEOUT);
        let (first, next) = asked.map_err(|error| {
            self.doubt.raise();
            LogError::away(error.to_string())
        })?;
        let position = |offset: i64| {
            let offset = u64::try_from(offset).map_err(|_| LogError::away("no such offset"))?;
            Ok(Position(offset))
        };
        Ok(Ends {
            first: position(first)?,
            next: position(next)?,
        })
    }

    /// Sends records in their order and waits until all of them were read back.
    async fn append_all(
        &self,
        records: Vec<(Bytes, Option<i64>)>,
    ) -> Result<Vec<Position>, LogError> {
        let appended = async {
            let end = *self.end.borrow();
            let mut deliveries = Vec::with_capacity(records.len());
            for (record, time_ms) in records {
                self.refuse()?;
                let share = self.room.enter(record.len()).await?;
                deliveries.push(self.appender.send(&record, time_ms, share)?);
            }
            let mut positions = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let delivery: Delivery = delivery.await.map_err(|_| LogError::Closed)?;
                positions.push(self.read_back(delivery?, end).await?);
            }
            Ok(positions)
        };
        match tokio::time::timeout(APPEND_LIMIT, appended).await {
            Ok(appended) => appended,
            Err(_) => {
                self.doubt.raise();
                Err(LogError::away("no answer"))
            }
        }
    }

    /// Resolves when the record at `position`, which was sent when the log ended at `end`, was read from the log.
    async fn read_back(&self, position: Position, end: Position) -> Result<Position, LogError> {
        if position < end {
            // It went into a topic that is shorter than the one that was read.
            self.doubt.raise();
            return Err(LogError::away("the topic is not the one that it was"));
        }
        let mut ends = self.end.subscribe();
        let mut states = self.state.subscribe();
        tokio::select! {
            biased;
            stopped = states.wait_for(|state| matches!(state, State::Stopped(_))) => {
                drop(stopped);
                self.refuse()?;
                Err(LogError::Closed)
            }
            read = ends.wait_for(|next| *next > position) => {
                read.map(|_| position).map_err(|_| LogError::Closed)
            }
        }
    }
}

impl Questions {
    /// The end as the brokers tell it at some moment after this was first polled.
    async fn ask(&self, shared: &Arc<Shared>) -> Result<Position, LogError> {
        let before = self.begun.load(Ordering::Acquire);
        let mut answered = self.answered.lock().await;
        if answered.0 > before {
            return answered.1.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let asked = Arc::clone(shared);
        let answer = tokio::task::spawn_blocking(move || asked.ask_end())
            .await
            .unwrap_or(Err(LogError::Closed))
            .map(|ends| ends.next);
        *answered = (number, answer.clone());
        answer
    }
}

impl EventLog for KafkaLog {
    fn append(&self, record: Bytes) -> BoxFuture<'static, Result<Position, LogError>> {
        let appended = self.append_all(vec![record]);
        Box::pin(async move { appended.await?.pop().ok_or(LogError::Closed) })
    }

    fn append_all(
        &self,
        records: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            records.iter().try_for_each(LogError::check_size)?;
            let records = records.into_iter().map(|record| (record, None));
            shared.append_all(records.collect()).await
        })
    }

    fn import(&self, records: Vec<LogRecord>) -> BoxFuture<'static, Result<(), LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let from: Vec<Position> = records.iter().map(|record| record.position).collect();
            let records = records.into_iter();
            let records = records.map(|record| (record.bytes, Some(record.time_ms)));
            let placed = shared.append_all(records.collect()).await?;
            at_their_places(&from, &placed)
        })
    }

    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let end = self.end()?;
        if from >= end || max_records == 0 {
            return Ok(Vec::new());
        }
        if let Some(records) = self.shared.recent.lock().read(from, max_records, max_bytes) {
            return Ok(records);
        }
        self.shared.refuse()?;
        let mut stretch = self.shared.stretch.lock();
        stretch.read(from, end, max_records, max_bytes)
    }

    fn get(&self, position: Position) -> Result<Option<LogRecord>, LogError> {
        if position >= self.end()? {
            return Ok(None);
        }
        if let Some(record) = self.shared.recent.lock().get(position) {
            return Ok(Some(record));
        }
        self.shared.refuse()?;
        self.shared.point.lock().get(position).map(Some)
    }

    fn end(&self) -> Result<Position, LogError> {
        if let State::Stopped(_) = *self.shared.state.borrow() {
            self.shared.refuse()?;
        }
        Ok(*self.shared.end.borrow())
    }

    fn watch_end(&self) -> watch::Receiver<Position> {
        self.shared.end.subscribe()
    }

    fn latest_end(&self) -> BoxFuture<'static, Result<Position, LogError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.refuse()?;
            shared.questions.ask(&shared).await
        })
    }

    fn first_after(&self, time_ms: i64) -> Result<Position, LogError> {
        let end = self.end()?;
        self.shared.refuse()?;
        // Negative times have other meanings for Kafka; no record has one.
        let later = time_ms.saturating_add(1).max(0);
        let found = self.shared.point.lock().first_from(later)?;
        let Some(found) = found.filter(|found| *found < end) else {
            return Ok(end);
        };
        // No record before it is later, for the brokers took none before it happened. One that came from another log may
        // have happened long before they took it.
        let is_later = |position| match self.get(position)? {
            Some(record) => Ok(record.time_ms > time_ms),
            None => Err(LogError::damaged(position, "record is missing")),
        };
        if is_later(found)? {
            return Ok(found);
        }
        let (mut low, mut high) = (found.0 + 1, end.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match is_later(Position(middle))? {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(Position(low))
    }

    fn health(&self) -> LogHealth {
        let (mut latched, mut away) = (None, None);
        match &*self.shared.state.borrow() {
            State::Here => {}
            State::Away(reason) => away = Some(Arc::clone(reason)),
            State::Stopped(reason) => latched = Some(Arc::clone(reason)),
        }
        LogHealth {
            end: *self.shared.end.borrow(),
            latched,
            away,
            full: None,
            waiting_bytes: self.shared.room.taken_bytes(),
        }
    }
}
