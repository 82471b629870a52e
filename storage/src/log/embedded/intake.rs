//! Where appends enter: a bounded queue in front of the committer.

use std::sync::mpsc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use yingku_core::ids::Position;

use super::committer::Waiting;
use crate::log::LogError;
use crate::log::room::Room;

/// The queue and its bounds.
pub struct Intake {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    room: Room,
}

impl Intake {
    pub fn new(queue: mpsc::Sender<Waiting>) -> Self {
        Self {
            queue: Mutex::new(Some(queue)),
            room: Room::new(),
        }
    }

    /// What waits is still committed; what comes later is refused.
    pub fn close(&self) {
        self.queue.lock().take();
    }

    /// What waits, with what it costs beyond its payload.
    pub fn waiting_bytes(&self) -> usize {
        self.room.taken_bytes()
    }

    /// Waits for room, then hands the record to the committer.
    ///
    /// `time_ms`: when another log took it; absent: it happens now.
    pub async fn enter(
        &self,
        bytes: Bytes,
        time_ms: Option<i64>,
    ) -> Result<oneshot::Receiver<Result<Position, LogError>>, LogError> {
        let share = self.room.enter(bytes.len()).await?;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            bytes,
            time_ms,
            reply,
            share,
        };
        let queue = self.queue.lock();
        let sender = queue.as_ref().ok_or(LogError::Closed)?;
        sender.send(waiting).map_err(|_| LogError::Closed)?;
        Ok(answer)
    }
}
