//! The event log: everything that happened, in one order, from which all else is derived.
//!
//! [`EventLog`] is the contract; its backends keep it word for word, and [`conformance`] holds them to it.
//! - [`EmbeddedLog`]: a RocksDB database of its own on the local disk; the default.
//! - [`KafkaLog`]: a topic that several nodes share.
//! - [`MemoryLog`]: for tests.

#[cfg(test)]
mod conformance;
mod embedded;
mod kafka;
mod memory;
mod room;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use yingku_core::ids::Position;

use crate::space::Shortage;

pub use embedded::{
    EmbeddedLog, EmbeddedLogOptions, LogOpenError, RepairError, RepairReport, repair,
};
pub use kafka::{
    KafkaLog, KafkaLogOptions, KafkaLogin, KafkaMechanism, KafkaOpenError, KafkaTls, Secret,
};
pub use memory::MemoryLog;

/// The largest record: 1 MiB.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// An append is answered within this time, be it that the answer is unknown.
pub const APPEND_LIMIT: Duration = Duration::from_secs(9);

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One record as it lies in the log. The log does not look into `bytes`.
#[derive(Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub position: Position,
    /// When the log took it, milliseconds of the Unix epoch by the clock of whoever keeps the log. A log on this machine
    /// never lets it decrease; a broker's clock may step back, so whoever derives from it takes the latest so far.
    pub time_ms: i64,
    pub bytes: Bytes,
}

impl std::fmt::Debug for LogRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogRecord")
            .field("position", &self.position)
            .field("time_ms", &self.time_ms)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// The contract of every event log.
///
/// 1. **Durable.** When an append resolves to `Ok`, the record survives the loss of process and power.
/// 2. **One order.** Records have positions 0, 1, 2 … without gaps; all readers see the same bytes at the same
///    position, for ever. A record is readable before its append resolves, never before it is durable.
/// 3. **Order of one caller.** If append B is first polled after append A resolved, B's position is the higher.
///    Of concurrent appends either may come first.
/// 4. **Unknown is possible.** After an error other than [`LogError::TooLarge`], [`LogError::Busy`] and
///    [`LogError::Full`], and after a future was dropped that had been polled, the record may or may not be in the log.
///    Whoever appends makes records that may come twice.
/// 5. **Never wrong.** A record that cannot be read as it was written is [`LogError::Damaged`]; nothing is skipped.
/// 6. **Stops, or waits.** What failed decides. When a local disk failed a write nobody knows what it holds: nothing more
///    is acknowledged by this process ([`LogError::Latched`]), reading goes on. When a broker is away nothing is wrong
///    with what it holds: appends are [`LogError::Away`], at the latest after [`APPEND_LIMIT`], and succeed again once it
///    is back and was found to hold what this process has read. If it holds something else the log stops as above, and
///    reading with it: it is another log. A lack of space ([`LogError::Full`]) is no failure: nothing was written, and
///    when space returns appends succeed again.
/// 7. A record has at most [`MAX_RECORD_BYTES`]; an empty record is allowed.
/// 8. **Moved with its times.** What [`EventLog::import`] takes has the positions and times that it had in the log that it
///    comes from, unless a time would step back.
pub trait EventLog: Send + Sync + 'static {
    /// Appends one record. Nothing happens before the future is first polled. Waits while the queue is full;
    /// [`LogError::Busy`] when too many wait already.
    fn append(&self, record: Bytes) -> BoxFuture<'static, Result<Position, LogError>>;

    /// Appends records in their order, not necessarily adjacent. After an error some of them may be in the log.
    fn append_all(
        &self,
        records: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>>;

    /// Appends records of another log, the first of which is the next here, with the times that they have there. Nobody
    /// else may append meanwhile. After an error some of them may be in the log.
    fn import(&self, records: Vec<LogRecord>) -> BoxFuture<'static, Result<(), LogError>>;

    /// Records from `from` on, in order, without gaps: at most `max_records`, and as many as fit `max_bytes` of payload,
    /// but at least one if there is one and `max_records` is not 0. Empty only at the end.
    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// The record at a position; `None` at and beyond the end.
    fn get(&self, position: Position) -> Result<Option<LogRecord>, LogError>;

    /// The end as this process knows it: everything before it is durable and readable. Past all that was appended here;
    /// what another node appended follows a moment later.
    fn end(&self) -> Result<Position, LogError>;

    /// The end, as it moves.
    fn watch_end(&self) -> watch::Receiver<Position>;

    /// The end, wherever it was appended: past everything whose append resolved anywhere before this was first polled.
    fn latest_end(&self) -> BoxFuture<'static, Result<Position, LogError>> {
        Box::pin(std::future::ready(self.end()))
    }

    /// First position whose log time is later than `time_ms`; the end if there is none.
    fn first_after(&self, time_ms: i64) -> Result<Position, LogError> {
        let (mut low, mut high) = (0, self.end()?.0);
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self
                .get(Position(middle))?
                .ok_or_else(|| LogError::damaged(Position(middle), "record is missing"))?;
            if record.time_ms > time_ms {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Position(low))
    }

    fn health(&self) -> LogHealth;
}

/// What an operator and the readiness check want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHealth {
    pub end: Position,
    /// Why nothing is acknowledged any more; ends only with a restart.
    pub latched: Option<Arc<str>>,
    /// Why the log cannot be reached; ends by itself.
    pub away: Option<Arc<str>>,
    /// The last commit was refused for lack of space; ends by itself.
    pub full: Option<Shortage>,
    /// Payload bytes that wait for a commit.
    pub waiting_bytes: usize,
}

impl LogHealth {
    /// Whether an append may be expected to succeed.
    pub fn accepts(&self) -> bool {
        self.latched.is_none() && self.away.is_none() && self.full.is_none()
    }
}

/// Why the log did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("a record of {bytes} bytes is larger than the log takes ({limit} bytes)")]
    TooLarge { bytes: usize, limit: usize },
    #[error("{waiting} appends wait for the log already; send again later")]
    Busy { waiting: usize },
    #[error("the log takes no records for lack of space: {0}; free space, then send again")]
    Full(Shortage),
    #[error("the log stopped and takes nothing until a restart: {reason}")]
    Latched { reason: Arc<str> },
    #[error(
        "the log cannot be reached, whether it took the record is unknown; send again later: {reason}"
    )]
    Away { reason: Arc<str> },
    #[error(
        "the log is damaged at position {position}: {reason}; stop the service and run `yingku log repair`"
    )]
    Damaged {
        position: Position,
        reason: Arc<str>,
    },
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    pub(crate) fn damaged(position: Position, reason: impl AsRef<str>) -> Self {
        Self::Damaged {
            position,
            reason: reason.as_ref().into(),
        }
    }

    pub(crate) fn away(reason: impl AsRef<str>) -> Self {
        Self::Away {
            reason: reason.as_ref().into(),
        }
    }

    /// Whether waiting may help: the log is not where it was, and may be back in a moment.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    pub(crate) fn check_size(record: &Bytes) -> Result<(), Self> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(Self::TooLarge {
                bytes: record.len(),
                limit: MAX_RECORD_BYTES,
            });
        }
        Ok(())
    }
}

/// Whether records went where they come from.
fn at_their_places(records: &[Position], placed: &[Position]) -> Result<(), LogError> {
    let wrong = records.iter().zip(placed).find(|(from, to)| from != to);
    match wrong {
        Some((from, to)) => Err(LogError::damaged(
            *to,
            format!(
                "it was appended as a copy of record {from}: others append here, or it was not empty"
            ),
        )),
        None => Ok(()),
    }
}

/// The beginning of `records` that [`EventLog::read`] gives under its limits.
fn as_many_as_fit(
    records: impl Iterator<Item = LogRecord>,
    max_records: usize,
    max_bytes: usize,
) -> Vec<LogRecord> {
    let mut bytes = 0usize;
    records
        .take(max_records)
        .enumerate()
        .take_while(|(index, record)| {
            bytes = bytes.saturating_add(record.bytes.len());
            *index == 0 || bytes <= max_bytes
        })
        .map(|(_, record)| record)
        .collect()
}

/// Milliseconds of the Unix epoch.
pub(crate) fn unix_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
