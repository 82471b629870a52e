//! What is acknowledged by the object store: each group of instances that wait together is a pack of its own.
//!
//! It is written whole to the disk, uploaded and compared, and only then its instances have their places; the archive
//! brings their facts into the event log before it acknowledges them. So what was acknowledged is lost with no node, and
//! the log never tells of an instance that only a lost disk had. Where the object store does not take it in time, nothing
//! of the group is acknowledged and nothing of it is kept.
//!
//! A group goes at once while the object store has nothing to do; else it waits for the next answer, at most [`LINGER`],
//! and takes in what comes meanwhile. Such packs stay as small as they came.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use yingku_core::ids::PackId;

use super::committer::{BATCH_BYTES, Waiting};
use super::error::PackError;
use super::remote::Remote;
use super::shared::Shared;
use super::writer::write_whole;
use super::{NewInstance, Placed};

/// How long a group takes others in.
const LINGER: Duration = Duration::from_millis(50);
/// How often a group that waits looks whether the object store is free.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Groups on their way at once; each is on the disk, and read from there.
const UPLOADS_AT_ONCE: usize = 4;
/// An upload that takes longer is not waited for: senders give up after half a minute.
const UPLOAD_LIMIT: Duration = Duration::from_secs(25);
/// The same for each 64 MiB of a large instance.
const PIECE_BYTES: u64 = 64 << 20;

pub struct Groups {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl Groups {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            places: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
        }
    }

    /// All that wait, and those that come while others are on their way.
    pub fn gather(
        &self,
        first: Waiting,
        queue: &mpsc::Receiver<Waiting>,
        group: &mut Vec<Waiting>,
    ) {
        let deadline = Instant::now() + LINGER;
        let mut bytes = first.instance.data_len();
        group.push(first);
        while bytes < BATCH_BYTES {
            let is_free = self.places.available_permits() == UPLOADS_AT_ONCE;
            let wait = match is_free {
                true => Duration::ZERO,
                false => deadline
                    .saturating_duration_since(Instant::now())
                    .min(LOOK_EVERY),
            };
            match queue.recv_timeout(wait) {
                Ok(next) => {
                    bytes += next.instance.data_len();
                    group.push(next);
                }
                Err(RecvTimeoutError::Timeout) if is_free || Instant::now() >= deadline => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes a group, and has it answered when the object store has it. Waits while too many are on their way.
    pub fn store(&self, group: Vec<Waiting>) {
        match self.write(&group) {
            Ok((upload, placed)) => self.send(upload, group, placed),
            Err(error) => answer(group, |_| Err(error.clone())),
        }
    }

    fn write(&self, group: &[Waiting]) -> Result<(DirectUpload, Vec<Placed>), PackError> {
        let instances: Vec<&NewInstance> = group.iter().map(|waiting| &waiting.instance).collect();
        self.shared
            .admit(instances.iter().map(|it| it.data_len()).sum())?;
        let pack = self.shared.next_id();
        let upload = DirectUpload::begin(&self.shared, pack)?;
        let placed = write_whole(&self.shared, pack, &instances)?;
        Ok((upload, placed))
    }

    fn send(&self, upload: DirectUpload, group: Vec<Waiting>, placed: Vec<Placed>) {
        let handle = upload.remote.handle().clone();
        let place = handle.block_on(Arc::clone(&self.places).acquire_owned());
        handle.spawn(async move {
            let uploaded = upload.run().await;
            drop(place);
            let mut placed = placed.into_iter();
            answer(group, |_| match (&uploaded, placed.next()) {
                (Ok(()), Some(placed)) => Ok(placed),
                (Ok(()), None) => Err(PackError::Closed),
                (Err(error), _) => Err(error.clone()),
            });
        });
    }
}

fn answer(group: Vec<Waiting>, mut with: impl FnMut(&Waiting) -> Result<Placed, PackError>) {
    for waiting in group {
        let answer = with(&waiting);
        waiting.answer(answer);
    }
}

/// A pack that is uploaded while somebody waits for it. Ended before that, the pack is kept only if the object store has
/// it.
pub struct DirectUpload {
    shared: Arc<Shared>,
    remote: Arc<Remote>,
    pack: PackId,
    done: bool,
}

impl DirectUpload {
    /// From now on nobody else uploads the pack.
    pub fn begin(shared: &Arc<Shared>, pack: PackId) -> Result<Self, PackError> {
        let remote = shared.remote.get().ok_or(PackError::Closed)?;
        remote.direct(pack, true);
        Ok(Self {
            shared: Arc::clone(shared),
            remote: Arc::clone(remote),
            pack,
            done: false,
        })
    }

    /// Resolves to `Ok` when the object store has the whole pack, and this node remembers it.
    pub async fn run(mut self) -> Result<(), PackError> {
        let pack = self.shared.pack(self.pack)?;
        let pieces = pack.len()? / PIECE_BYTES;
        let limit = UPLOAD_LIMIT
            .saturating_mul(u32::try_from(pieces).unwrap_or(u32::MAX).saturating_add(1));
        drop(pack);
        let (shared, remote, id) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.remote),
            self.pack,
        );
        // On the threads of all other requests, whoever waits.
        let uploading = self.remote.handle().spawn(async move {
            let upload = remote.upload_now(&shared, id);
            match tokio::time::timeout(limit, upload).await {
                Ok(uploaded) => uploaded,
                Err(_) => Err(remote.no_answer(id)),
            }
        });
        uploading.await.map_err(|_| PackError::Closed)??;
        self.done = true;
        // Its pages are of more use to the next group: nobody asks for an image that has just come as a rule.
        self.shared.give_up_pages(self.pack);
        Ok(())
    }
}

impl Drop for DirectUpload {
    fn drop(&mut self) {
        if !self.done {
            self.shared.discard(self.pack);
        }
        self.remote.direct(self.pack, false);
    }
}
