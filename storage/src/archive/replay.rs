//! Replaying a long log into empty views: one thread reads and decodes, one decides, one writes files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use yingku_core::ids::Position;
use yingku_core::registry::Registry;

use crate::log::{EventLog, LogError};
use crate::projector::{Batch, ProjectError, decide_batch, read_batch_patiently};
use crate::views::{BatchState, Cursor, Rows, Views, ViewsError};

/// Decoded batches that wait for the rules; each holds some 4 MiB of records.
const DECODED_AHEAD: usize = 4;
/// Pieces of rows that wait for the disk, beside the one that is written and the one that is collected.
const SEGMENTS_WAITING: usize = 1;

/// Replays the log up to a position. Views whose replay was broken off are marked and made anew when they are opened.
pub(crate) fn replay(
    views: &Views,
    log: &dyn EventLog,
    end: Position,
    segment_bytes: usize,
    stop: &AtomicBool,
) -> Result<(Cursor, Arc<Registry>), ProjectError> {
    views.begin_load()?;
    let pending = AtomicUsize::new(0);
    let (state, cursor) = std::thread::scope(|scope| {
        let (decoded, batches) = sync_channel(DECODED_AHEAD);
        scope.spawn(move || read_ahead(log, end, &decoded, stop));
        let (segments, full) = sync_channel::<Arc<Rows>>(SEGMENTS_WAITING);
        let written = &pending;
        let writer = scope.spawn(move || -> Result<(), ViewsError> {
            for rows in full {
                views.load(&rows)?;
                written.fetch_sub(1, Ordering::Release);
            }
            Ok(())
        });
        let handing = Handing {
            segments,
            segment_bytes,
            pending: &pending,
        };
        let decided = decide_all(views, batches, handing, stop);
        let wrote = writer.join();
        let decided = decided?;
        match wrote {
            Ok(result) => result?,
            // What the thread said went to standard error; the views are incomplete.
            Err(_) => return Err(ProjectError::Log(LogError::Closed)),
        }
        Ok(decided)
    })?;
    let (registry, _) = state.commit(&cursor)?;
    views.flush()?;
    Ok((cursor, registry))
}

fn read_ahead(
    log: &dyn EventLog,
    end: Position,
    decoded: &SyncSender<Result<Batch, ProjectError>>,
    stop: &AtomicBool,
) {
    let mut from = Position(0);
    while from < end {
        let batch = read_batch_patiently(log, from, stop).map(|batch| batch.before(end));
        from = match &batch {
            Ok(Batch {
                records,
                failure: None,
            }) => records.last().map_or(end, |last| last.position.next()),
            _ => end,
        };
        if decoded.send(batch).is_err() {
            return;
        }
    }
}

/// Decides everything and hands all rows over; the cursor and the registry are left to be written.
fn decide_all<'v>(
    views: &'v Views,
    batches: Receiver<Result<Batch, ProjectError>>,
    handing: Handing<'_>,
    stop: &AtomicBool,
) -> Result<(BatchState<'v>, Cursor), ProjectError> {
    let mut state = BatchState::of_empty(views);
    let mut cursor = Cursor::default();
    for batch in batches {
        if stop.load(Ordering::Acquire) {
            return Err(ProjectError::Log(LogError::Closed));
        }
        if let Some(failure) = decide_batch(&mut state, &mut cursor, batch?)? {
            return Err(failure);
        }
        state.written_but(handing.pending.load(Ordering::Acquire));
        // A writer that failed takes no more; its error is the answer.
        if state.bytes() >= handing.segment_bytes && !handing.over(&mut state) {
            break;
        }
    }
    handing.over(&mut state);
    Ok((state, cursor))
}

/// The way from the rules to the disk.
struct Handing<'a> {
    segments: SyncSender<Arc<Rows>>,
    segment_bytes: usize,
    /// Pieces that were handed over and are not in files yet.
    pending: &'a AtomicUsize,
}

impl Handing<'_> {
    /// Whether the rows collected so far are on their way.
    fn over(&self, state: &mut BatchState<'_>) -> bool {
        self.pending.fetch_add(1, Ordering::AcqRel);
        self.segments.send(state.hand_over()).is_ok()
    }
}
