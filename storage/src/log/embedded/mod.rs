//! The event log on the local disk: a RocksDB database of its own, written by one committer with `sync`.
//!
//! Recovery tolerates only a torn tail, which is what a crash leaves. Anything else that is not as it was written
//! refuses to open (`yingku log repair` copies first, then cuts).

mod committer;
mod error;
mod intake;
mod options;
mod record;
mod repair;
#[cfg(test)]
mod tests;
mod wal;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::DB;
use tokio::sync::watch;
use yingku_core::ids::Position;

use self::committer::Committer;
use self::intake::Intake;
use super::{BoxFuture, EventLog, LogError, LogHealth, LogRecord, at_their_places};
use crate::space::{Reserve, Shortage};

pub use error::LogOpenError;
pub use options::EmbeddedLogOptions;
pub use repair::{RepairError, RepairReport, repair};

/// What a row costs beyond its payload, roughly.
const ROW_BYTES: usize = 256;
/// How much of the log's end is read and checked at open: more than two write-ahead logs hold.
const CHECKED_TAIL_BYTES: usize = 64 * 1024 * 1024;

/// What readers, appenders and the committer share.
struct Shared {
    db: DB,
    end: watch::Sender<Position>,
    state: Mutex<State>,
    clock: options::Clock,
    write_fault: options::WriteFault,
}

#[derive(Default)]
struct State {
    latched: Option<Arc<str>>,
    full: Option<Shortage>,
}

/// The embedded backend of [`EventLog`]. Dropping it writes what waits and closes the database.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes an empty one where nothing is.
    pub fn open(dir: &Path, options: EmbeddedLogOptions) -> Result<Self, LogOpenError> {
        let db = open_database(dir)?;
        let (next, previous_ms) = check_ends(dir, &db)?;
        let shared = Arc::new(Shared {
            db,
            end: watch::Sender::new(next),
            state: Mutex::default(),
            clock: options.clock,
            write_fault: options.write_fault,
        });
        let committer = Committer {
            shared: Arc::clone(&shared),
            reserve: Reserve::new(dir, options.reserve_bytes, options.free_space),
            next,
            previous_ms,
        };
        let (sender, receiver) = mpsc::channel();
        let committer = std::thread::Builder::new()
            .name("log-committer".into())
            .spawn(move || committer.run(receiver))
            .map_err(|e| LogOpenError::io(dir, e))?;
        Ok(Self {
            shared,
            intake: Arc::new(Intake::new(sender)),
            committer: Mutex::new(Some(committer)),
        })
    }

    /// Answers what waits, refuses what comes later and writes the database's tables, so that the next start need not
    /// replay the write-ahead log. Blocks; done by drop too.
    pub fn close(&self) {
        self.intake.close();
        let Some(committer) = self.committer.lock().take() else {
            return;
        };
        if committer.join().is_err() {
            tracing::error!("the event log's committer had panicked");
        }
        if self.shared.state.lock().latched.is_none()
            && let Err(error) = self.shared.db.flush()
        {
            tracing::warn!(%error, "closing the event log: tables not written, the next start replays");
        }
    }

    fn enter_all(
        &self,
        records: Vec<(Bytes, Option<i64>)>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>> {
        let intake = Arc::clone(&self.intake);
        Box::pin(async move {
            records
                .iter()
                .try_for_each(|(record, _)| LogError::check_size(record))?;
            let mut answers = Vec::with_capacity(records.len());
            for (record, time_ms) in records {
                answers.push(intake.enter(record, time_ms).await?);
            }
            let mut positions = Vec::with_capacity(answers.len());
            for answer in answers {
                positions.push(answer.await.map_err(|_| LogError::Closed)??);
            }
            Ok(positions)
        })
    }

    /// Reads every record and checks its position and checksum. `progress` gets the position reached now and then.
    /// Blocks for as long as the disk takes. Returns the number of records.
    pub fn verify(&self, mut progress: impl FnMut(Position)) -> Result<u64, LogError> {
        let end = *self.shared.end.borrow();
        let mut next = Position(0);
        while next < end {
            let records = self.read(next, 10_000, BATCH_READ_BYTES)?;
            let Some(last) = records.last() else {
                return Err(LogError::damaged(next, "record is missing"));
            };
            next = last.position.next();
            progress(next);
        }
        Ok(next.0)
    }
}

/// How much `verify` holds at once.
const BATCH_READ_BYTES: usize = 4 * 1024 * 1024;

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn open_database(dir: &Path) -> Result<DB, LogOpenError> {
    let io = |e| LogOpenError::io(dir, e);
    fs::create_dir_all(dir).map_err(io)?;
    if let Some(parent) = dir.parent() {
        // The directory's own entry must outlive a power loss.
        fs::File::open(parent)
            .and_then(|d| d.sync_all())
            .map_err(io)?;
    }
    // RocksDB would take a directory without CURRENT for a new database and delete what lies there.
    if !dir.join("CURRENT").exists() && holds_data(dir).map_err(io)? {
        return Err(LogOpenError::damaged(dir, "the file CURRENT is missing"));
    }
    if let Some(damage) = wal::scan(dir).map_err(io)?.first() {
        return Err(LogOpenError::damaged(
            dir,
            format!(
                "{} has a bad record at byte {}",
                damage.file.display(),
                damage.offset
            ),
        ));
    }
    DB::open(&options::database(), dir).map_err(|e| LogOpenError::database(dir, e))
}

fn holds_data(dir: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sst" || e == "log") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks the first record and the last ones; the next position and the last record's time.
fn check_ends(dir: &Path, db: &DB) -> Result<(Position, i64), LogOpenError> {
    let damaged = |reason: String| LogOpenError::damaged(dir, reason);
    let mut rows = db.raw_iterator_opt(options::reading());
    rows.seek_to_first();
    rows.status().map_err(|e| LogOpenError::database(dir, e))?;
    let Some(first) = rows.key() else {
        return Ok((Position(0), i64::MIN));
    };
    if record::position(first) != Some(Position(0)) {
        return Err(damaged("its first record is missing".into()));
    }
    rows.seek_to_last();
    let mut later: Option<LogRecord> = None;
    let mut last: Option<(Position, i64)> = None;
    let mut checked_bytes = 0;
    while let Some((key, value)) = rows.item() {
        let position =
            record::position(key).ok_or_else(|| damaged("a key is not a position".into()))?;
        let record = record::decode(position, value).map_err(|e| damaged(e.to_string()))?;
        if let Some(later) = &later
            && later.position != position.next()
        {
            return Err(damaged(format!(
                "no record at position {}",
                position.next()
            )));
        }
        last.get_or_insert((position, record.time_ms));
        checked_bytes += record.bytes.len() + ROW_BYTES;
        if checked_bytes > CHECKED_TAIL_BYTES {
            break;
        }
        later = Some(record);
        rows.prev();
    }
    rows.status().map_err(|e| LogOpenError::database(dir, e))?;
    let (position, time_ms) = last.ok_or_else(|| damaged("its last record is missing".into()))?;
    Ok((position.next(), time_ms))
}

impl EventLog for EmbeddedLog {
    fn append(&self, record: Bytes) -> BoxFuture<'static, Result<Position, LogError>> {
        let intake = Arc::clone(&self.intake);
        Box::pin(async move {
            LogError::check_size(&record)?;
            let answer = intake.enter(record, None).await?;
            answer.await.map_err(|_| LogError::Closed)?
        })
    }

    fn append_all(
        &self,
        records: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>> {
        let records = records.into_iter().map(|record| (record, None));
        self.enter_all(records.collect())
    }

    fn import(&self, records: Vec<LogRecord>) -> BoxFuture<'static, Result<(), LogError>> {
        let from: Vec<Position> = records.iter().map(|record| record.position).collect();
        let records = records.into_iter();
        let records = records.map(|record| (record.bytes, Some(record.time_ms)));
        let entered = self.enter_all(records.collect());
        Box::pin(async move { at_their_places(&from, &entered.await?) })
    }

    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let end = *self.shared.end.borrow();
        let mut records = Vec::new();
        if from >= end || max_records == 0 {
            return Ok(records);
        }
        let mut rows = self.shared.db.raw_iterator_opt(options::reading());
        rows.seek(record::key(from));
        let mut next = from;
        let mut bytes = 0usize;
        while next < end && records.len() < max_records {
            let row = rows.item();
            let (_, value) = row
                .filter(|(key, _)| record::position(key) == Some(next))
                .ok_or_else(|| match rows.status() {
                    Err(error) => LogError::damaged(next, error),
                    Ok(()) => LogError::damaged(next, "record is missing"),
                })?;
            let record = record::decode(next, value)?;
            bytes = bytes.saturating_add(record.bytes.len());
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(record);
            next = next.next();
            rows.next();
        }
        Ok(records)
    }

    fn get(&self, position: Position) -> Result<Option<LogRecord>, LogError> {
        if position >= *self.shared.end.borrow() {
            return Ok(None);
        }
        let value = self
            .shared
            .db
            .get_pinned_opt(record::key(position), &options::reading())
            .map_err(|e| LogError::damaged(position, e))?
            .ok_or_else(|| LogError::damaged(position, "record is missing"))?;
        record::decode(position, &value).map(Some)
    }

    fn end(&self) -> Result<Position, LogError> {
        Ok(*self.shared.end.borrow())
    }

    fn watch_end(&self) -> watch::Receiver<Position> {
        self.shared.end.subscribe()
    }

    fn health(&self) -> LogHealth {
        let state = self.shared.state.lock();
        LogHealth {
            end: *self.shared.end.borrow(),
            latched: state.latched.clone(),
            away: None,
            full: state.full,
            waiting_bytes: self.intake.waiting_bytes(),
        }
    }
}
