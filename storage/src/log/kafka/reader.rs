//! Reading what lies further back, over a connection that stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use yingku_core::ids::Position;

use super::client::{Doubt, give_up, is_of_a_group};
use super::options::{KafkaLogOptions, Purpose};
use super::{ASK_TIMEOUT, PARTITION, TIME_HEADER};
use crate::log::{LogError, LogRecord};

/// How long records that exist are waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// One consumer, read by one caller at a time. Between reads it fetches on only if it was left in mid-stretch.
pub struct Reader {
    consumer: BaseConsumer<Doubt>,
    config: ClientConfig,
    topic: Arc<str>,
    doubt: Doubt,
    /// What the consumer gives next; absent if it gives nothing.
    next: Option<Position>,
    /// Fetched and not given out: the record at `next`.
    held: Option<LogRecord>,
}

impl Reader {
    pub fn open(options: &KafkaLogOptions, purpose: Purpose, doubt: &Doubt) -> KafkaResult<Self> {
        let config = options.consumer(purpose);
        Ok(Self {
            consumer: config.create_with_context(doubt.clone())?,
            config,
            topic: options.topic.as_str().into(),
            doubt: doubt.clone(),
            next: None,
            held: None,
        })
    }

    /// Records from `from` on, which lies before `end`, as [`crate::log::EventLog::read`] promises them.
    pub fn read(
        &mut self,
        from: Position,
        end: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let read = self.read_on(from, end, max_records, max_bytes);
        if read.is_err() || self.next.is_none_or(|next| next >= end) {
            self.rest();
        }
        read
    }

    /// One record before the end, and nothing fetched behind it.
    pub fn get(&mut self, position: Position) -> Result<LogRecord, LogError> {
        let read = self.read_on(position, position.next(), 1, 0);
        self.rest();
        read?
            .pop()
            .ok_or_else(|| LogError::damaged(position, "record is missing"))
    }

    /// The first position whose time is `time_ms` or later; `None` if there is none.
    pub fn first_from(&self, time_ms: i64) -> Result<Option<Position>, LogError> {
        let away = |error: KafkaError| {
            self.doubt.raise();
            LogError::away(error.to_string())
        };
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(time_ms))
            .map_err(away)?;
        let found = self
            .consumer
            .offsets_for_times(asked, ASK_TIMEOUT)
            .map_err(away)?;
        let found = found
            .find_partition(&self.topic, PARTITION)
            .ok_or_else(|| LogError::away("no answer about the time"))?;
        found.error().map_err(away)?;
        Ok(match found.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok().map(Position),
            _ => None,
        })
    }

    fn read_on(
        &mut self,
        from: Position,
        end: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        if self.next != Some(from) {
            self.start(from)?;
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        let mut records = Vec::new();
        let mut bytes = 0usize;
        let mut next = from;
        while next < end && records.len() < max_records {
            let record = self.one(next, deadline)?;
            bytes = bytes.saturating_add(record.bytes.len());
            if bytes > max_bytes && !records.is_empty() {
                self.held = Some(record);
                break;
            }
            records.push(record);
            next = next.next();
            self.next = Some(next);
        }
        Ok(records)
    }

    fn start(&mut self, from: Position) -> Result<(), LogError> {
        self.held = None;
        assign(&self.consumer, &self.topic, from)
            .map_err(|error| LogError::away(error.to_string()))?;
        self.next = Some(from);
        Ok(())
    }

    fn rest(&mut self) {
        self.next = None;
        self.held = None;
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a reader of the log fetches on");
        }
    }

    /// Goes on with another consumer: one that was connected while the brokers were stopped was seen to fetch nothing more
    /// when they went on, however often it was assigned anew.
    fn renew(&mut self) {
        match self.config.create_with_context(self.doubt.clone()) {
            Ok(consumer) => give_up(std::mem::replace(&mut self.consumer, consumer)),
            Err(error) => tracing::warn!(%error, "a reader of the log cannot be made anew"),
        }
    }

    fn one(&mut self, position: Position, deadline: Instant) -> Result<LogRecord, LogError> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let mut last_error = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    let record = record_of(&message);
                    if record.position == position {
                        return Ok(record);
                    }
                    return Err(LogError::damaged(position, "the topic has no such record"));
                }
                Some(Err(error)) if is_damage(&error) => {
                    return Err(LogError::damaged(position, error.to_string()));
                }
                Some(Err(error)) if is_of_a_group(&error) => {}
                Some(Err(error)) => {
                    self.doubt.raise();
                    last_error = Some(error);
                }
                None if Instant::now() >= deadline => {
                    self.doubt.raise();
                    self.renew();
                    let reason = last_error.map_or_else(
                        || format!("record {position} did not come"),
                        |error| error.to_string(),
                    );
                    return Err(LogError::away(reason));
                }
                None => {}
            }
        }
    }
}

/// Makes the consumer begin at a position, whatever it fetched before.
pub fn assign(consumer: &BaseConsumer<Doubt>, topic: &str, from: Position) -> KafkaResult<()> {
    let offset = i64::try_from(from.0).unwrap_or(i64::MAX);
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(topic, PARTITION, Offset::Offset(offset))?;
    consumer.assign(&at)
}

pub fn record_of(message: &impl Message) -> LogRecord {
    let taken_ms = message.timestamp().to_millis().unwrap_or(0);
    LogRecord {
        position: Position(u64::try_from(message.offset()).unwrap_or(u64::MAX)),
        time_ms: time_elsewhere(message).unwrap_or(taken_ms),
        bytes: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    }
}

/// The time of a record that came from another log.
fn time_elsewhere(message: &impl Message) -> Option<i64> {
    let headers = message.headers()?;
    let time = headers.iter().find(|header| header.key == TIME_HEADER)?;
    Some(i64::from_be_bytes(time.value?.try_into().ok()?))
}

/// The bytes that came are not those that were written.
pub fn is_damage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BadMessage
                | RDKafkaErrorCode::BadCompression
                | RDKafkaErrorCode::InvalidMessage
        )
    )
}
