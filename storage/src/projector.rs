//! The projector follows the log: decodes each record, decides it, and writes what follows into the views.
//!
//! It stops at a record that it cannot decode or decide, and says which; nothing is skipped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use yingku_core::decide::{Context, DecideError, Prepared, decide_prepared, prepare};
use yingku_core::envelope::{Cipher, Envelope, EnvelopeError};
use yingku_core::event::{Event, EventError};
use yingku_core::ids::Position;
use yingku_core::outcome::Decided;
use yingku_core::registry::Registry;

use crate::log::{EventLog, LogError, LogRecord};
use crate::views::{BatchState, Cursor, Views, ViewsError};

/// Records of one batch at most: what one write to the views takes in.
pub const BATCH_RECORDS: usize = 1_024;
/// Bytes of one batch at most (one record more may go over).
pub const BATCH_BYTES: usize = 4 << 20;
/// Bytes of rows that one write takes in (one record's more may go over): a short record may change many.
const BATCH_ROW_BYTES: usize = 64 << 20;

/// A record, decoded, with what rules need of it read already.
pub struct Decoded {
    pub position: Position,
    pub time_ms: i64,
    pub id: [u8; 16],
    pub actor: String,
    pub event: Prepared,
}

/// Why the projector stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("record {position} cannot be decoded by this release: {source}")]
    Record {
        position: Position,
        source: RecordError,
    },
    #[error("record {position} cannot be decided: {source}")]
    Decide {
        position: Position,
        source: DecideError,
    },
    #[error("record {position} makes the rules fail; this is a defect of this release")]
    Panic { position: Position },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Views(#[from] ViewsError),
}

impl ProjectError {
    /// Whether nothing is wrong but that the log is away.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_away())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("its body is enciphered with key {0}, which this node does not have")]
    Cipher(u32),
}

pub fn decode(record: &LogRecord) -> Result<Decoded, ProjectError> {
    let at = |source: RecordError| ProjectError::Record {
        position: record.position,
        source,
    };
    let envelope = Envelope::decode(&record.bytes).map_err(|e| at(e.into()))?;
    if envelope.cipher != Cipher::None {
        return Err(at(RecordError::Cipher(envelope.key_id)));
    }
    let event = Event::decode(&envelope).map_err(|e| at(e.into()))?;
    let position = record.position;
    let event = guarded(position, || prepare(event))?;
    Ok(Decoded {
        position: record.position,
        time_ms: record.time_ms,
        id: *envelope.id.as_bytes(),
        actor: envelope.actor.to_owned(),
        event,
    })
}

/// Records from a position on, decoded up to the first that cannot be.
pub struct Batch {
    pub records: Vec<Decoded>,
    pub failure: Option<ProjectError>,
}

impl Batch {
    /// Without what lies at `end` or behind it.
    pub fn before(mut self, end: Position) -> Self {
        self.records.retain(|record| record.position < end);
        if self
            .records
            .last()
            .is_some_and(|last| last.position.next() == end)
        {
            self.failure = None;
        }
        self
    }
}

pub fn read_batch(log: &dyn EventLog, from: Position) -> Result<Batch, ProjectError> {
    let records = log.read(from, BATCH_RECORDS, BATCH_BYTES)?;
    let mut batch = Batch {
        records: Vec::with_capacity(records.len()),
        failure: None,
    };
    for record in &records {
        match decode(record) {
            Ok(decoded) => batch.records.push(decoded),
            Err(error) => {
                batch.failure = Some(error);
                break;
            }
        }
    }
    Ok(batch)
}

/// How long whoever follows the log leaves one alone that is away.
pub const AWAY_RETRY: Duration = Duration::from_millis(250);

/// As [`read_batch`], and waits while the log is away, until `stop`.
pub fn read_batch_patiently(
    log: &dyn EventLog,
    from: Position,
    stop: &AtomicBool,
) -> Result<Batch, ProjectError> {
    loop {
        match read_batch(log, from) {
            Err(error) if error.is_away() && !stop.load(Ordering::Acquire) => {
                std::thread::sleep(AWAY_RETRY);
            }
            read => return read,
        }
    }
}

/// What a batch came to.
pub struct Applied {
    pub cursor: Cursor,
    pub registry: Option<Arc<Registry>>,
    /// Record id and outcome of each record.
    pub outcomes: Vec<([u8; 16], Decided)>,
    pub failure: Option<ProjectError>,
}

/// Decides the records in order and writes the changes in one piece. A failure keeps what came before it.
pub fn apply_batch(
    views: &Views,
    registry: &Arc<Registry>,
    mut cursor: Cursor,
    batch: Batch,
) -> Result<Applied, ProjectError> {
    let mut outcomes = Vec::with_capacity(batch.records.len());
    let mut records = batch.records.into_iter();
    let mut now = Arc::clone(registry);
    let mut any_changed = false;
    loop {
        let mut state = BatchState::new(views, Arc::clone(&now));
        let stopped = decide(
            &mut state,
            &mut cursor,
            &mut records,
            BATCH_ROW_BYTES,
            |id, decided| {
                outcomes.push((id, decided));
            },
        )?;
        let (after, changed) = state.commit(&cursor)?;
        now = after;
        any_changed |= changed;
        if stopped.is_some() || records.len() == 0 {
            return Ok(Applied {
                cursor,
                registry: any_changed.then_some(now),
                outcomes,
                failure: stopped.or(batch.failure),
            });
        }
    }
}

/// A rule that panics must not take the node down: it stops at its record and stays readable.
fn guarded<T>(
    position: Position,
    rule: impl FnOnce() -> Result<T, DecideError>,
) -> Result<T, ProjectError> {
    catch_unwind(AssertUnwindSafe(rule))
        .map_err(|_| ProjectError::Panic { position })?
        .map_err(|source| ProjectError::Decide { position, source })
}

/// Decides the records in order; the state takes their changes in. `Ok(Some)`: the record at which it stops.
pub fn decide_batch(
    state: &mut BatchState<'_>,
    cursor: &mut Cursor,
    batch: Batch,
) -> Result<Option<ProjectError>, ProjectError> {
    let mut records = batch.records.into_iter();
    let stopped = decide(state, cursor, &mut records, usize::MAX, |_, _| {})?;
    Ok(stopped.or(batch.failure))
}

/// Decides records until their rows take so much memory, or none is left.
fn decide(
    state: &mut BatchState<'_>,
    cursor: &mut Cursor,
    records: &mut std::vec::IntoIter<Decoded>,
    row_bytes: usize,
    mut outcome_of: impl FnMut([u8; 16], Decided),
) -> Result<Option<ProjectError>, ProjectError> {
    while state.bytes() < row_bytes
        && let Some(record) = records.next()
    {
        let position = record.position;
        // A broker's clock may step back; the time of what happened does not.
        let time_ms = record.time_ms.max(cursor.last_time_ms);
        let context = Context {
            position,
            time_ms,
            actor: &record.actor,
        };
        let decided = guarded(position, || decide_prepared(&*state, context, record.event));
        let (outcome, changes) = match decided {
            Ok(decided) => decided,
            Err(failure) => return Ok(Some(failure)),
        };
        state.apply(changes)?;
        cursor.next = position.next();
        cursor.last_id = record.id;
        cursor.last_time_ms = time_ms;
        let decided = Decided {
            position,
            time_ms,
            outcome,
        };
        outcome_of(record.id, decided);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;
    use yingku_core::event::{RULES_VERSION, RulesActivated};

    use super::*;

    fn record(position: u64, time_ms: i64) -> LogRecord {
        let event = Event::RulesActivated(RulesActivated {
            rules: RULES_VERSION,
        });
        let (kind, version) = event.kind();
        let bytes = Envelope {
            id: Uuid::now_v7(),
            kind,
            version,
            rules: RULES_VERSION,
            cipher: Cipher::None,
            key_id: 0,
            hospital: None,
            actor: "node:0",
            body: &event.encode_body().unwrap(),
        }
        .encode()
        .unwrap();
        LogRecord {
            position: Position(position),
            time_ms,
            bytes: bytes.into(),
        }
    }

    #[test]
    fn a_rule_that_panics_is_named_by_its_record() {
        let failure = guarded(Position(7), || -> Result<(), DecideError> {
            panic!("a defect")
        });
        assert!(matches!(
            failure,
            Err(ProjectError::Panic {
                position: Position(7)
            })
        ));
    }

    #[test]
    fn the_time_of_what_happened_does_not_step_back_with_a_brokers_clock() {
        let dir = tempfile::tempdir().unwrap();
        let views = Views::open(dir.path()).unwrap();
        let applied = apply(&views, &[500, 300, 700]);
        let outcomes = applied.outcomes.iter();
        let times: Vec<i64> = outcomes.map(|(_, decided)| decided.time_ms).collect();
        assert_eq!(times, [500, 500, 700]);
        assert_eq!(applied.cursor.last_time_ms, 700);
    }

    fn apply(views: &Views, times_ms: &[i64]) -> Applied {
        let records = times_ms.iter().zip(0..);
        let batch = Batch {
            records: records
                .map(|(time_ms, position)| decode(&record(position, *time_ms)).unwrap())
                .collect(),
            failure: None,
        };
        let applied = apply_batch(views, &Arc::default(), Cursor::default(), batch).unwrap();
        assert!(applied.failure.is_none());
        applied
    }

    #[test]
    fn records_of_many_rows_are_written_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let views = Views::open(dir.path()).unwrap();
        let mut records = [1, 2, 3]
            .map(|position| decode(&record(position, 0)).unwrap())
            .into_iter()
            .collect::<Vec<_>>()
            .into_iter();
        // No rows fit: each call takes none, and leaves all
        let (mut state, mut cursor) = (BatchState::new(&views, Arc::default()), Cursor::default());
        let stopped = decide(&mut state, &mut cursor, &mut records, 0, |_, _| {}).unwrap();
        assert!(stopped.is_none());
        assert_eq!((records.len(), cursor), (3, Cursor::default()));
        let stopped = decide(&mut state, &mut cursor, &mut records, usize::MAX, |_, _| {}).unwrap();
        assert!(stopped.is_none());
        assert_eq!((records.len(), cursor.next), (0, Position(4)));
    }
}
