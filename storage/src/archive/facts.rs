//! Facts of stored instances on their way into the log: many to a record, in batches.
//!
//! An instance is durable in its pack before its facts come here, so a batch may wait a moment: for more of them, but
//! not when somebody reads, or an association ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use yingku_core::event::Event;
use yingku_core::ids::PackId;
use yingku_core::instance::facts::FACTS_VERSION;
use yingku_core::instance::{InstancesStored, SeriesGroup};

use super::{Submission, SubmitError, encode};
use crate::log::{EventLog, LogError};
use crate::packs::Packs;

/// Instances whose facts may wait; a full queue makes storing wait.
const QUEUE_INSTANCES: usize = 8_192;
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

pub(super) struct FactsQueue {
    sender: mpsc::Sender<Message>,
}

impl FactsQueue {
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        log: Arc<dyn EventLog>,
        packs: Packs,
        actor: String,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_INSTANCES);
        runtime.spawn(run(receiver, log, packs, actor));
        Self { sender }
    }

    /// Takes the facts of a stored instance.
    pub(super) async fn stored(&self, stored: Stored) -> Result<(), SubmitError> {
        self.sender
            .send(Message::Stored(Box::new(stored)))
            .await
            .map_err(|_| SubmitError::Pending)
    }

    /// Resolves once everything that was taken before is in the log.
    pub(super) async fn flush(&self) -> Result<(), SubmitError> {
        let (done, outcome) = oneshot::channel();
        self.sender
            .send(Message::Flush(done))
            .await
            .map_err(|_| SubmitError::Pending)?;
        match tokio::time::timeout(FLUSH_TIMEOUT, outcome).await {
            Ok(Ok(Ok(()))) => Ok(()),
            _ => Err(SubmitError::Pending),
        }
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

async fn run(
    mut receiver: mpsc::Receiver<Message>,
    log: Arc<dyn EventLog>,
    packs: Packs,
    actor: String,
) {
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
        let result = write(&*log, &packs, &actor, record).await;
        for flush in flushes {
            let _ = flush.send(result.clone());
        }
    }
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

/// Appends a record. While the log refuses it is offered again: the facts are in the pack, and only there.
async fn write(
    log: &dyn EventLog,
    packs: &Packs,
    actor: &str,
    record: Record,
) -> Result<(), Arc<str>> {
    let Some(stored) = record.stored else {
        return Ok(());
    };
    let pack = stored.pack;
    let instances = record.instances as u64;
    let submission = Submission {
        hospital: None,
        actor: actor.to_owned(),
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
        match super::append(log, bytes.clone()).await {
            Ok(_) => {
                packs.logged(pack, instances);
                return Ok(());
            }
            Err(
                error @ (LogError::Closed | LogError::Latched { .. } | LogError::TooLarge { .. }),
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
