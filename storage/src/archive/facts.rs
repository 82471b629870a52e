//! Facts of stored instances on their way into the log: many to a record, in batches.
//!
//! An instance is durable in its pack before its facts come here, so a batch may wait a moment: for more of them, but
//! not when somebody reads, or an association ends. While the log takes nothing the queue fills up; of what comes then
//! only the places are kept, and the facts are read from the packs again when it is their turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use yingku_core::event::Event;
use yingku_core::ids::PackId;
use yingku_core::instance::facts::FACTS_VERSION;
use yingku_core::instance::{InstancesStored, SeriesGroup};

use super::intake::decode_facts;
use super::{Submission, SubmitError, encode};
use crate::log::{EventLog, LogError};
use crate::packs::Packs;

/// Instances whose facts may wait in memory, some 16 MB.
const QUEUE_INSTANCES: usize = 8_192;
/// How long storing waits for a full queue that may only be slow.
const ROOM_WAIT: Duration = Duration::from_secs(1);
/// Instances of one record at most: some 150 KB with long texts, well under the log's limit.
const RECORD_INSTANCES: usize = 512;
/// Bytes of facts of one record at most, estimated; half of what a record may have.
const RECORD_BYTES: usize = 512 << 10;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_millis(250);
/// How long the queue waits before it offers facts to a log again that refused them.
const RETRY: Duration = Duration::from_millis(500);

/// How long a reader waits for facts that the log does not take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Facts of stored instances that lie in one pack.
pub(super) struct Stored {
    pub(super) pack: PackId,
    /// Whether they were stored because the copies that are known can no longer be read.
    pub(super) anew: bool,
    pub(super) group: SeriesGroup,
}

enum Message {
    Stored(Box<Stored>),
    /// Everything sent before is in the log, or why not.
    Flush(oneshot::Sender<Result<(), Arc<str>>>),
}

/// Stored instances whose facts found no room: where they lie, in the order in which they came. Eight bytes each, so
/// that the disk is full of instances long before the memory is full of these.
type Behind = BTreeMap<PackId, VecDeque<u64>>;

pub(super) struct FactsQueue {
    sender: mpsc::Sender<Message>,
    behind: Arc<Mutex<Behind>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FactsQueue {
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        log: Arc<dyn EventLog>,
        packs: Packs,
        actor: String,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_INSTANCES);
        let behind = Arc::new(Mutex::default());
        let writer = Writer {
            log,
            packs,
            actor,
            behind: Arc::clone(&behind),
        };
        let writer = runtime.spawn(writer.run(receiver));
        Self {
            sender,
            behind,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Lets go of log and packs. What was not flushed stays in its pack for the next start.
    pub(super) async fn end(&self) {
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            writer.abort();
            let _ = writer.await;
        }
    }

    /// Takes the facts of a stored instance.
    pub(super) async fn stored(&self, stored: Stored) -> Result<(), SubmitError> {
        let Some(stored) = self.offer(Box::new(stored), false)? else {
            return Ok(());
        };
        match tokio::time::timeout(ROOM_WAIT, self.sender.reserve()).await {
            Ok(Ok(place)) => {
                place.send(Message::Stored(stored));
                Ok(())
            }
            Ok(Err(_)) => Err(SubmitError::Pending),
            Err(_) => self.offer(stored, true).map(drop),
        }
    }

    /// Gives the facts back if the queue is full and they may wait for room: `enough` says that they have, and nothing
    /// waits while others are left behind.
    fn offer(&self, stored: Box<Stored>, enough: bool) -> Result<Option<Box<Stored>>, SubmitError> {
        // Held over both, so that nothing is left behind by a queue that has been emptied meanwhile.
        let mut behind = self.behind.lock();
        match self.sender.try_send(Message::Stored(stored)) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(Message::Stored(stored))) => {
                if !enough && behind.is_empty() {
                    return Ok(Some(stored));
                }
                let offsets = stored.group.instances.iter().map(|it| it.offset);
                behind.entry(stored.pack).or_default().extend(offsets);
                Ok(None)
            }
            Err(_) => Err(SubmitError::Pending),
        }
    }

    /// Resolves once everything that was taken before is in the log.
    pub(super) async fn flush(&self) -> Result<(), SubmitError> {
        let flushed = async {
            let (done, outcome) = oneshot::channel();
            self.sender.send(Message::Flush(done)).await.ok()?;
            outcome.await.ok()?.ok()
        };
        let flushed = tokio::time::timeout(FLUSH_TIMEOUT, flushed).await;
        flushed.ok().flatten().ok_or(SubmitError::Pending)
    }
}

/// Facts of one record in the making.
#[derive(Default)]
struct Record {
    stored: Option<InstancesStored>,
    anew: bool,
    instances: usize,
    bytes: usize,
}

impl Record {
    fn takes(&self, more: &Stored) -> bool {
        self.instances < RECORD_INSTANCES
            && self.bytes < RECORD_BYTES
            && self
                .stored
                .as_ref()
                .is_none_or(|stored| stored.pack == more.pack && self.anew == more.anew)
    }

    fn add(&mut self, Stored { pack, anew, group }: Stored) {
        self.anew = anew;
        self.instances += group.instances.len();
        let stored = self.stored.get_or_insert_with(|| InstancesStored {
            facts_version: FACTS_VERSION,
            pack,
            groups: Vec::new(),
        });
        let same = stored.groups.iter_mut().rev().find(|known| {
            known.series_uid == group.series_uid
                && known.study_uid == group.study_uid
                && known.hospital == group.hospital
                && known.sender == group.sender
                && known.patient == group.patient
                && known.study == group.study
                && known.series == group.series
        });
        match same {
            Some(known) => {
                self.bytes += 160 * group.instances.len();
                known.instances.extend(group.instances);
            }
            None => {
                self.bytes += 160 + estimated_bytes(&group);
                stored.groups.push(group);
            }
        }
    }
}

fn estimated_bytes(group: &SeriesGroup) -> usize {
    postcard::to_stdvec(group).map_or(RECORD_BYTES, |bytes| bytes.len())
}

struct Writer {
    log: Arc<dyn EventLog>,
    packs: Packs,
    actor: String,
    behind: Arc<Mutex<Behind>>,
}

impl Writer {
    async fn run(self, mut receiver: mpsc::Receiver<Message>) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(message) => message,
                None => match receiver.recv().await {
                    Some(message) => message,
                    None => return,
                },
            };
            let mut record = Record::default();
            let mut flushes = Vec::new();
            take(first, &mut record, &mut flushes, &mut carried);
            let deadline = tokio::time::Instant::now() + LINGER;
            while flushes.is_empty() && carried.is_none() {
                match tokio::time::timeout_at(deadline, receiver.recv()).await {
                    Ok(Some(message)) => take(message, &mut record, &mut flushes, &mut carried),
                    Ok(None) | Err(_) => break,
                }
            }
            let mut result = self.write(record).await;
            if result.is_ok() && (!flushes.is_empty() || receiver.is_empty()) {
                result = self.write_behind().await;
            }
            for flush in flushes {
                let _ = flush.send(result.clone());
            }
        }
    }

    /// Appends a record. While the log refuses it is offered again: the facts are in the pack, and only there.
    async fn write(&self, record: Record) -> Result<(), Arc<str>> {
        let Some(stored) = record.stored else {
            return Ok(());
        };
        let pack = stored.pack;
        let instances = record.instances as u64;
        let submission = Submission {
            hospital: None,
            actor: self.actor.clone(),
            event: match record.anew {
                true => Event::InstancesReplaced(stored),
                false => Event::InstancesStored(stored),
            },
        };
        let (_, bytes) = encode(&submission).map_err(|error| {
            tracing::error!(%pack, %error, "facts cannot be encoded; they stay in their pack");
            Arc::<str>::from(error.to_string())
        })?;
        let mut told = false;
        loop {
            match super::append(&*self.log, bytes.clone()).await {
                Ok(_) => {
                    self.packs.logged(pack, instances);
                    return Ok(());
                }
                Err(
                    error @ (LogError::Closed
                    | LogError::Latched { .. }
                    | LogError::TooLarge { .. }),
                ) => {
                    tracing::error!(%pack, instances, %error, "facts stay in their pack until the next start");
                    return Err(error.to_string().into());
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(%pack, instances, %error, "facts wait for the log");
                        told = true;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Appends what found no room in the queue.
    async fn write_behind(&self) -> Result<(), Arc<str>> {
        while let Some((pack, offsets)) = self.next_behind() {
            let packs = self.packs.clone();
            let read = tokio::task::spawn_blocking(move || read_facts(&packs, pack, &offsets));
            let facts = read.await.map_err(|error| error.to_string())?;
            let mut record = Record::default();
            for stored in facts {
                if !record.takes(&stored) {
                    self.write(std::mem::take(&mut record)).await?;
                }
                record.add(stored);
            }
            self.write(record).await?;
        }
        Ok(())
    }

    /// Some instances of one pack.
    fn next_behind(&self) -> Option<(PackId, Vec<u64>)> {
        let mut behind = self.behind.lock();
        let mut entry = behind.first_entry()?;
        let pack = *entry.key();
        let offsets = entry.get_mut();
        let taken = offsets
            .drain(..offsets.len().min(RECORD_INSTANCES))
            .collect();
        if offsets.is_empty() {
            entry.remove();
        }
        Some((pack, taken))
    }
}

/// Facts as they lie in the pack. Damaged ones stay behind, and their pack unsealed: the next start looks at them.
fn read_facts(packs: &Packs, pack: PackId, offsets: &[u64]) -> Vec<Stored> {
    let mut facts = Vec::with_capacity(offsets.len());
    for &offset in offsets {
        let stored = packs
            .record(pack, offset)
            .map(|record| decode_facts(pack, &record));
        match stored {
            Ok(Some(stored)) => facts.push(stored),
            Ok(None) => tracing::error!(%pack, offset, "facts cannot be read; run `yingku verify`"),
            Err(error) => {
                tracing::error!(%pack, offset, %error, "facts cannot be read; run `yingku verify`")
            }
        }
    }
    facts
}

fn take(
    message: Message,
    record: &mut Record,
    flushes: &mut Vec<oneshot::Sender<Result<(), Arc<str>>>>,
    carried: &mut Option<Message>,
) {
    match message {
        Message::Flush(done) => flushes.push(done),
        Message::Stored(stored) if record.takes(&stored) => record.add(*stored),
        other => *carried = Some(other),
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
