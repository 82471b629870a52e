//! How answers come from a search, which has a thread of its own, to the caller: several at a time, since handing one over
//! and writing it costs as much as finding it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use yingku_storage::views::Walk;

use super::Scp;
use super::quota::{Part, Quota};
use crate::association::{Association, AssociationError, Peer};
use crate::message::Command;
use crate::status::Status;

/// Batches that are found before the caller has taken the earlier ones.
const BATCHES_AHEAD: usize = 4;
/// Answers that are handed over together: while the caller takes some, as many are found.
const BATCH_ANSWERS: usize = 32;
/// … and their bytes (one answer's more may go over).
const BATCH_BYTES: usize = 32 << 10;
/// How long an answer waits for others at most: as long as nobody notices.
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// What is written at once.
const WRITE_BYTES: usize = 64 << 10;

/// A match as it goes to the caller.
struct Answer {
    data_set: Vec<u8>,
    status: Status,
}

/// Matches that are handed over together.
pub struct Batch {
    answers: Vec<Answer>,
    /// Absent where there was none: then it waits alone.
    _memory: Option<Part>,
}

#[cfg(test)]
impl Batch {
    pub fn data_sets(self) -> impl Iterator<Item = Vec<u8>> {
        self.answers.into_iter().map(|answer| answer.data_set)
    }
}

/// Where a search puts its answers.
pub struct Answers {
    sender: mpsc::Sender<Batch>,
    memory: Arc<Quota>,
    /// Whose memory it is.
    caller: String,
    waiting: RefCell<Waiting>,
}

#[derive(Default)]
struct Waiting {
    answers: Vec<Answer>,
    bytes: usize,
    since: Option<Instant>,
}

impl Waiting {
    fn are_due(&self) -> bool {
        let is_old = |since: &Instant| since.elapsed() >= BATCH_WAIT;
        self.answers.len() >= BATCH_ANSWERS
            || self.bytes >= BATCH_BYTES
            || self.since.as_ref().is_some_and(is_old)
    }
}

impl Answers {
    /// … and where its caller takes them.
    pub fn new(scp: &Scp, peer: &Peer) -> (Self, mpsc::Receiver<Batch>) {
        Self::with(Arc::clone(&scp.inner.answers), scp.caller(peer))
    }

    pub fn with(memory: Arc<Quota>, caller: String) -> (Self, mpsc::Receiver<Batch>) {
        let (sender, received) = mpsc::channel(BATCHES_AHEAD);
        let answers = Self {
            sender,
            memory,
            caller,
            waiting: RefCell::default(),
        };
        (answers, received)
    }

    /// Whether nobody waits for them any more. Asked at every row that is looked at: what has waited long enough goes then.
    pub fn is_unheard(&self) -> bool {
        if self.waiting.borrow().are_due() {
            self.hand_over();
        }
        self.sender.is_closed()
    }

    /// Takes an answer; waits for room, on a thread that may.
    pub fn send(&self, data_set: Vec<u8>, status: Status) -> Walk {
        let mut waiting = self.waiting.borrow_mut();
        waiting.bytes += data_set.len();
        waiting.since.get_or_insert_with(Instant::now);
        waiting.answers.push(Answer { data_set, status });
        let are_due = waiting.are_due();
        drop(waiting);
        if are_due { self.hand_over() } else { Walk::On }
    }

    /// Hands over what waits; a search ends with it. A batch without memory waits until the caller has taken all before it, so
    /// no search depends on another's caller.
    pub fn hand_over(&self) -> Walk {
        let Waiting { answers, bytes, .. } = self.waiting.take();
        if answers.is_empty() {
            return Walk::On;
        }
        let memory = self.memory.try_take(&self.caller, bytes as u64);
        let room = if memory.is_some() { 1 } else { BATCHES_AHEAD };
        let reserved = match self.sender.try_reserve_many(room) {
            Ok(permits) => Ok(permits),
            Err(_) => Handle::current().block_on(self.sender.reserve_many(room)),
        };
        let Some(permit) = reserved.ok().and_then(|mut permits| permits.next()) else {
            return Walk::Stop;
        };
        permit.send(Batch {
            answers,
            _memory: memory,
        });
        Walk::On
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    Cancelled,
}

/// Sends answers as they come, and listens to the caller meanwhile: a search may go on for long without a match. When
/// this returns, the receiver is gone, which ends the search at the next row that it looks at.
pub async fn deliver(
    association: &mut Association,
    context: u8,
    request: &Command,
    mut answers: mpsc::Receiver<Batch>,
) -> Result<Delivery, AssociationError> {
    loop {
        tokio::select! {
            batch = answers.recv() => {
                let Some(Batch { answers, _memory }) = batch else {
                    return Ok(Delivery::Whole);
                };
                for Answer { data_set, status } in answers {
                    let response = request.response(status).with_data_set();
                    association.queue_with(context, &response, &data_set);
                    if association.queued_bytes() >= WRITE_BYTES {
                        association.flush().await?;
                    }
                }
                association.flush().await?;
            }
            spoken = association.peer_speaks() => {
                spoken?;
                if association.is_cancelled(request.message_id).await? {
                    return Ok(Delivery::Cancelled);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
