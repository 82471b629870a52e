//! The one thread that stores ordinary instances: writes all that wait, syncs once, answers all.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::PackError;
use super::groups::Groups;
use super::lease::Pool;
use super::shared::Shared;
use super::writer::OpenPack;
use super::{Ack, NewInstance, Placed};

/// Data of one batch: some 50 ms of a disk's time, so that nobody waits much longer than for his own instance.
pub const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// An instance that waits to be stored.
pub struct Waiting {
    pub instance: NewInstance,
    pub reply: oneshot::Sender<Result<Placed, PackError>>,
    /// Given back when it is answered.
    pub place: OwnedSemaphorePermit,
}

impl Waiting {
    pub fn answer(self, answer: Result<Placed, PackError>) {
        // First, so that an answered instance is not counted as waiting.
        drop(self.place);
        // Whoever stopped waiting does not want to know.
        let _ = self.reply.send(answer);
    }
}

pub struct Committer {
    pub shared: Arc<Shared>,
    pub pool: Arc<Pool>,
    pub current: Option<OpenPack>,
    /// Used instead of the current pack where the object store is to have what is acknowledged.
    pub groups: Groups,
}

impl Committer {
    /// Runs until every sender is gone and the queue is empty; then gives up its pack.
    pub fn run(mut self, queue: mpsc::Receiver<Waiting>) {
        // A pack may stay open for a quarter longer than its idle time; nobody waits for that.
        let pause = (self.shared.options.seal_idle / 4).max(Duration::from_millis(1));
        let mut batch = Vec::new();
        loop {
            match queue.recv_timeout(pause) {
                Ok(first) if self.shared.options.ack == Ack::Object => {
                    self.groups.gather(first, &queue, &mut batch);
                    self.groups.store(std::mem::take(&mut batch));
                }
                Ok(first) => {
                    self.gather(first, &queue, &mut batch);
                    self.answer(&mut batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.pool.retire_due(&self.shared);
            if self
                .current
                .as_ref()
                .is_some_and(|p| p.is_due(&self.shared))
            {
                self.retire();
            }
        }
        self.retire();
    }

    fn retire(&mut self) {
        if let Some(pack) = self.current.take() {
            self.shared.retire(pack.id());
        }
    }

    /// All that wait, up to the size of a batch or of the pack.
    fn gather(&self, first: Waiting, queue: &mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>) {
        let used = self.current.as_ref().map_or(0, |p| p.end);
        let limit = BATCH_BYTES.min(self.shared.options.seal_bytes.saturating_sub(used));
        let mut bytes = first.instance.data_len();
        batch.push(first);
        while bytes < limit {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.instance.data_len();
            batch.push(next);
        }
    }

    fn answer(&mut self, batch: &mut Vec<Waiting>) {
        match self.commit(batch) {
            Ok(placed) => {
                for (waiting, placed) in batch.drain(..).zip(placed) {
                    waiting.answer(Ok(placed));
                }
            }
            Err(error) => {
                for waiting in batch.drain(..) {
                    waiting.answer(Err(error.clone()));
                }
            }
        }
    }

    fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Placed>, PackError> {
        let instances: Vec<&NewInstance> = batch.iter().map(|w| &w.instance).collect();
        let bytes = instances.iter().map(|i| i.data_len()).sum();
        self.shared.admit(bytes)?;
        let mut pack = match self.current.take() {
            Some(pack) => pack,
            None => OpenPack::create(&self.shared)?,
        };
        let placed = pack.append(&self.shared, &instances);
        self.current = Some(pack);
        placed
    }
}
