//! The projector follows the log: decodes each record, decides it, and writes what follows into the views.
//!
//! It stops at a record that it cannot decode or decide, and says which; nothing is skipped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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
    let event = catch_unwind(AssertUnwindSafe(|| prepare(event)))
        .map_err(|_| ProjectError::Panic { position })?
        .map_err(|source| ProjectError::Decide { position, source })?;
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
    let mut state = BatchState::new(views, Arc::clone(registry));
    let mut outcomes = Vec::with_capacity(batch.records.len());
    let failure = decide_batch(&mut state, &mut cursor, batch, |id, decided| {
        outcomes.push((id, decided));
    })?;
    let (registry, changed) = state.commit(&cursor)?;
    Ok(Applied {
        cursor,
        registry: changed.then_some(registry),
        outcomes,
        failure,
    })
}

/// Decides the records in order; the state takes their changes in. `Ok(Some)`: the record at which it stops.
pub fn decide_batch(
    state: &mut BatchState<'_>,
    cursor: &mut Cursor,
    batch: Batch,
    mut outcome_of: impl FnMut([u8; 16], Decided),
) -> Result<Option<ProjectError>, ProjectError> {
    for record in batch.records {
        let position = record.position;
        let context = Context {
            position,
            time_ms: record.time_ms,
            actor: &record.actor,
        };
        // A panic in a rule must not take the node down: it stops here and stays readable.
        let decided = catch_unwind(AssertUnwindSafe(|| {
            decide_prepared(&*state, context, record.event)
        }));
        let (outcome, changes) = match decided {
            Ok(Ok(decided)) => decided,
            Ok(Err(source)) => return Ok(Some(ProjectError::Decide { position, source })),
            Err(_) => return Ok(Some(ProjectError::Panic { position })),
        };
        state.apply(changes)?;
        cursor.next = position.next();
        cursor.last_id = record.id;
        cursor.last_time_ms = record.time_ms;
        let decided = Decided {
            position,
            time_ms: record.time_ms,
            outcome,
        };
        outcome_of(record.id, decided);
    }
    Ok(batch.failure)
}
