//! C-STORE into the archive: a small instance is gathered in memory, a large one streams into a pack.
//!
//! Bytes on their way in are bounded, those of one sender and all together. An instance takes its first share with its
//! first piece (a sender that has sent none holds nothing) and never waits for another to give memory back after that:
//! if there is no more, it goes to a pack.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use yingku_core::ids::{AeTitle, HospitalCode, StudyUid};
use yingku_core::refusal::{RefusalReason, RefusedInstances};
use yingku_core::registry::{ExamWay, Scope, Service};
use yingku_storage::archive::{
    Admission, Incoming, IntakeError, Refused, RefusedRequest, StreamedIncoming,
};

use super::Scp;
use super::access::status_of;
use super::awaited::Awaited;
use super::shares::{HeldShare, SenderShare};
use crate::association::Peer;
use crate::meters::{self, Way};
use crate::status::Status;
use crate::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};

/// How long an instance waits for memory or for a pack; then its sender is told to come again.
const SHARE_TIMEOUT: Duration = Duration::from_secs(20);
/// An instance larger than this streams into a pack: radiographs of some 20 MB still go the quick way.
const LARGE_BYTES: usize = 32 << 20;
/// An instance that has this much, and is the only one on its way, streams into a pack: the disk then works while the
/// network does. Smaller ones, and those of several senders, share one sync.
const STREAM_BYTES: usize = 64 << 10;
/// Kinds of refusals of one association that are gathered before they are recorded.
const REFUSALS_GATHERED: usize = 256;

/// What an association was refused is recorded when so much time has gone, at its end at the latest.
const GATHERING_TIME: Duration = Duration::from_secs(5);

type Caller = (String, Option<SocketAddr>);

/// Refusals of associations that have not ended yet.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<Caller, Vec<RefusedInstances>>>);

/// What is to be done about a refusal that was counted.
enum Counted {
    /// The first since the last record: it is recorded after [`GATHERING_TIME`].
    First,
    More,
    /// There are too many kinds to wait.
    Full(Vec<RefusedInstances>),
}

impl Refusals {
    fn add(&self, peer: &Peer, refused: RefusedInstances) -> Counted {
        let mut all = self.0.lock();
        let gathered = all.entry(key(peer)).or_default();
        let is_first = gathered.is_empty();
        let same = gathered.iter_mut().find(|known| {
            known.study_uid == refused.study_uid
                && known.reason == refused.reason
                && known.hospital == refused.hospital
        });
        match same {
            Some(known) => known.count = known.count.saturating_add(1),
            None => gathered.push(refused),
        }
        if gathered.len() >= REFUSALS_GATHERED {
            Counted::Full(std::mem::take(gathered))
        } else if is_first {
            Counted::First
        } else {
            Counted::More
        }
    }

    fn take(&self, peer: &Peer) -> Vec<RefusedInstances> {
        self.0.lock().remove(&key(peer)).unwrap_or_default()
    }
}

fn key(peer: &Peer) -> Caller {
    (peer.calling.clone(), peer.address)
}

impl InstanceStore for Scp {
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        Box::pin(async move {
            let peer = &announced.peer;
            let Some(scope) = self.scope(&peer.calling, Service::Store) else {
                return Err(StoreRefusal::new(
                    Status::NOT_AUTHORISED,
                    "this AE may not store: ask the operator",
                ));
            };
            let sender = AeTitle::new(&peer.calling).map_err(|_| {
                StoreRefusal::new(Status::NOT_AUTHORISED, "calling AE title is not valid")
            })?;
            let share = self.share_of(peer);
            let awaited = self.inner.awaited.of(&sender);
            let sink = Sink {
                awaited,
                ..self.sink(announced, sender, scope, share)
            };
            Ok(Box::new(sink) as Box<dyn InstanceSink>)
        })
    }

    fn refused(&self, peer: &Peer, refusal: &StoreRefusal) {
        self.note_refusal(peer, self.hospital_of(&peer.calling), refusal);
    }
}

impl Scp {
    /// Takes an instance of a sender for the hospitals of a scope.
    pub(super) fn sink(
        &self,
        announced: Announced,
        sender: AeTitle,
        scope: Scope,
        share: Arc<SenderShare>,
    ) -> Sink {
        let head = announced.file_meta().encode();
        let crc = crc32c::crc32c(&head);
        Sink {
            scp: self.clone(),
            share,
            association: format!("{:?}", announced.peer.address),
            peer: announced.peer,
            sender,
            scope,
            length: head.len(),
            tried: false,
            awaited: None,
            kept: Kept::Memory {
                data: vec![head],
                share: None,
            },
            crc,
        }
    }

    /// Records why an instance was refused, for its sender and for reconciliation.
    pub(super) fn note_refusal(
        &self,
        peer: &Peer,
        hospital: Option<HospitalCode>,
        refusal: &StoreRefusal,
    ) {
        if refusal.is_recorded {
            return;
        }
        let (rule, reason) = rule_of(refusal.status);
        let code = hospital.as_ref().map(HospitalCode::as_str);
        let study = refusal.study.as_ref().map(StudyUid::as_str);
        self.digest(
            peer,
            code.unwrap_or_default(),
            rule,
            study.unwrap_or_default(),
            &refusal.comment,
        );
        let Ok(sender) = AeTitle::new(&peer.calling) else {
            return;
        };
        self.count(
            peer,
            RefusedInstances {
                hospital,
                sender,
                study_uid: refusal.study.clone(),
                date: String::new(),
                class: String::new(),
                reason,
                count: 1,
            },
        );
    }
}

/// How refusals are recorded that were made without a look at the exams.
fn rule_of(status: Status) -> (&'static str, RefusalReason) {
    match status {
        Status::MISMATCH => ("command-differs", RefusalReason::Malformed),
        Status::SOP_CLASS_NOT_SUPPORTED => ("sop-class-differs", RefusalReason::Malformed),
        Status::NOT_AUTHORISED => ("may-not-store", RefusalReason::NotAuthorised),
        Status::OUT_OF_RESOURCES => ("out-of-resources", RefusalReason::NotStored),
        Status::UNABLE_TO_PROCESS => ("not-stored", RefusalReason::NotStored),
        _ => ("malformed", RefusalReason::Malformed),
    }
}

fn busy() -> StoreRefusal {
    StoreRefusal::new(
        Status::OUT_OF_RESOURCES,
        "archive is busy with other instances: send again later",
    )
}

/// Waits for a share as long as a sender should.
async fn within<T, E>(share: impl Future<Output = Result<T, E>>) -> Result<T, StoreRefusal> {
    tokio::time::timeout(SHARE_TIMEOUT, share)
        .await
        .map_err(|_| busy())?
        .map_err(|_| closing())
}

fn closing() -> StoreRefusal {
    StoreRefusal::new(
        Status::OUT_OF_RESOURCES,
        "archive is stopping: send again later",
    )
}

impl Scp {
    /// The hospital of an AE that has but one, whether it may store or not.
    fn hospital_of(&self, calling: &str) -> Option<HospitalCode> {
        let title = AeTitle::new(calling).ok()?;
        let registry = self.archive().registry();
        registry.peers.get(&title)?.hospitals.single()
    }

    fn digest(&self, peer: &Peer, hospital: &str, rule: &str, example: &str, reason: &str) {
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let refused = RefusedRequest {
            source: format!("ae:{}", peer.calling),
            hospital: hospital.to_owned(),
            example: example.to_owned(),
            operation: "C-STORE".to_owned(),
            path: String::new(),
            rule: rule.to_owned(),
            reason: reason.to_owned(),
        };
        self.archive().errors().record(&refused, now_ms);
    }

    fn count(&self, peer: &Peer, refused: RefusedInstances) {
        let counted = self.inner.refusals.add(peer, refused);
        let (scp, peer) = (self.clone(), peer.clone());
        match counted {
            Counted::More => {}
            Counted::Full(gathered) => {
                self.inner
                    .runtime
                    .spawn(async move { scp.record(&peer, gathered).await });
            }
            Counted::First => {
                let inner = Arc::downgrade(&scp.inner);
                self.inner.runtime.spawn(async move {
                    tokio::time::sleep(GATHERING_TIME).await;
                    if let Some(inner) = inner.upgrade() {
                        Scp { inner }.record_refusals(&peer).await;
                    }
                });
            }
        }
    }

    async fn record_refusals(&self, peer: &Peer) {
        let refused = self.inner.refusals.take(peer);
        self.record(peer, refused).await;
    }

    async fn record(&self, peer: &Peer, refused: Vec<RefusedInstances>) {
        let actor = format!("ae:{}", peer.calling);
        if let Err(error) = self.archive().record_refusals(actor, refused).await {
            tracing::warn!(%error, "refused instances are missing from reconciliation");
        }
    }

    /// What an association leaves to do: its facts into the log, its refusals into reconciliation.
    pub(super) async fn settle(&self, peer: &Peer) {
        self.record_refusals(peer).await;
        if let Err(error) = self.archive().flush_facts().await {
            tracing::warn!(%error, "stored instances are durable, their facts follow later");
        }
    }

    fn refuse(
        &self,
        peer: &Peer,
        sender: AeTitle,
        study: StudyUid,
        refused: Refused,
    ) -> StoreRefusal {
        let registry = self.archive().registry();
        let hospital = refused.hospital.as_ref();
        let hospital = hospital.and_then(|code| registry.hospitals.get(code));
        let by_forms = hospital.is_some_and(|it| it.exams == ExamWay::Forms);
        let (status, rule, comment) = match refused.reason {
            RefusalReason::Unregistered if by_forms => (
                Status::NOT_REGISTERED,
                "exam-not-registered",
                "no exam, and no one open form with this UID or AccessionNumber".to_owned(),
            ),
            RefusalReason::Unregistered => (
                Status::NOT_REGISTERED,
                "exam-not-pushed",
                "exam not pushed for this Study Instance UID".to_owned(),
            ),
            RefusalReason::PatientIdDiffers if by_forms => (
                Status::MISMATCH,
                "patient-id-differs",
                "PatientID differs from the exam's, or the form's of this number".to_owned(),
            ),
            RefusalReason::PatientIdDiffers => (
                Status::MISMATCH,
                "patient-id-differs",
                "PatientID differs from imageList.patientID of the push".to_owned(),
            ),
            RefusalReason::AccessionNumberDiffers => (
                Status::MISMATCH,
                "accession-number-differs",
                "AccessionNumber differs from accessionNo of the push".to_owned(),
            ),
            RefusalReason::HospitalSuspended => (
                Status::NOT_AUTHORISED,
                "hospital-suspended",
                "hospital is suspended: ask the operator".to_owned(),
            ),
            RefusalReason::LiveExam => (
                Status::NOT_AUTHORISED,
                "exam-live",
                "live exam, hospital in mode test: ask the operator".to_owned(),
            ),
            RefusalReason::Malformed => (
                Status::CANNOT_UNDERSTAND,
                "malformed",
                "data set is malformed".to_owned(),
            ),
            RefusalReason::NotAuthorised => (
                Status::NOT_AUTHORISED,
                "may-not-store",
                "this AE may not store: ask the operator".to_owned(),
            ),
            RefusalReason::NotStored => (
                Status::OUT_OF_RESOURCES,
                "not-stored",
                "archive cannot store now: send again later".to_owned(),
            ),
        };
        let hospital = refused
            .hospital
            .as_ref()
            .map(|code| code.to_string())
            .unwrap_or_default();
        self.digest(peer, &hospital, rule, study.as_str(), &comment);
        self.count(
            peer,
            RefusedInstances {
                hospital: refused.hospital,
                sender,
                study_uid: Some(study),
                date: refused.date,
                class: refused.class,
                reason: refused.reason,
                count: 1,
            },
        );
        StoreRefusal {
            is_recorded: true,
            ..StoreRefusal::new(status, comment)
        }
    }
}

enum Kept {
    Memory {
        data: Vec<Bytes>,
        /// Absent before the first piece.
        share: Option<HeldShare>,
    },
    Pack {
        large: Box<StreamedIncoming>,
        _share: Option<HeldShare>,
        _lease: OwnedSemaphorePermit,
    },
    /// Between the two.
    Moving,
}

/// A pack to stream into, and the sender's part of them.
type Leased = (StreamedIncoming, OwnedSemaphorePermit);

pub(super) struct Sink {
    scp: Scp,
    peer: Peer,
    /// Which one it is that the pieces come by.
    association: String,
    sender: AeTitle,
    share: Arc<SenderShare>,
    scope: Scope,
    kept: Kept,
    /// A free pack was asked for.
    tried: bool,
    /// Set if a C-MOVE of ours has the sender bring it.
    awaited: Option<Arc<Awaited>>,
    /// Bytes of the Part 10 stream so far.
    length: usize,
    crc: u32,
}

impl Sink {
    /// One that is gathered with others rather than streamed, unless it is too large.
    pub(super) fn gathered(self) -> Self {
        Self {
            tried: true,
            ..self
        }
    }

    /// Takes a piece, and lets its sender wait for as long as the piece may take of the line.
    async fn take_in_time(&mut self, chunk: Bytes) -> Result<(), StoreRefusal> {
        let bytes = chunk.len();
        self.take(chunk).await?;
        if let Some(awaited) = &self.awaited {
            awaited.pass(bytes).await;
        }
        Ok(())
    }

    async fn take(&mut self, chunk: Bytes) -> Result<(), StoreRefusal> {
        self.length = self.length.saturating_add(chunk.len());
        let shares = &self.scp.inner.shares;
        shares.piece(&self.association);
        if let Kept::Memory { data, share } = &mut self.kept {
            // A sender that has not sent a piece yet takes nothing from the others.
            let share = match share {
                Some(share) => share,
                None => share.insert(within(shares.first(&self.share)).await?),
            };
            let room = shares.enlarge(&self.share, share, self.length);
            let asks = !self.tried && self.length >= STREAM_BYTES;
            self.tried |= asks;
            let free = if asks && shares.is_alone(share) {
                try_stream(&self.scp, &self.share)
            } else {
                None
            };
            if free.is_none() && room && self.length <= LARGE_BYTES {
                self.crc = crc32c::crc32c_append(self.crc, &chunk);
                data.push(chunk);
                return Ok(());
            }
            let pack = match free {
                Some(free) => free,
                None => self.stream().await?,
            };
            self.move_to_pack(pack).await?;
        }
        match &mut self.kept {
            Kept::Pack { large, .. } => {
                large.write(chunk).await.map_err(|error| refusal_of(&error))
            }
            _ => Err(closing()),
        }
    }

    /// A pack to stream into, as soon as one is free.
    async fn stream(&self) -> Result<Leased, StoreRefusal> {
        let until = tokio::time::Instant::now() + SHARE_TIMEOUT;
        let lease = within(self.share.lease()).await?;
        let large = tokio::time::timeout_at(until, self.scp.archive().store_large())
            .await
            .map_err(|_| busy())?
            .map_err(|error| refusal_of(&error))?;
        Ok((large, lease))
    }

    async fn move_to_pack(&mut self, (mut large, lease): Leased) -> Result<(), StoreRefusal> {
        let Kept::Memory { data, share } = std::mem::replace(&mut self.kept, Kept::Moving) else {
            return Err(closing());
        };
        for piece in data {
            large
                .write(piece)
                .await
                .map_err(|error| refusal_of(&error))?;
        }
        self.kept = Kept::Pack {
            large: Box::new(large),
            _share: share.and_then(HeldShare::least),
            _lease: lease,
        };
        Ok(())
    }

    async fn end(self, arrived: Arrived) -> Result<(), StoreRefusal> {
        let archive = self.scp.archive();
        let admission = archive
            .admit(&self.scope, &self.sender, &arrived.facts)
            .await
            .map_err(|error| refusal_of(&error))?;
        let admission: Admission = match admission {
            Ok(admission) => admission,
            Err(refused) => {
                let study = arrived.facts.study_uid.clone();
                return Err(self.scp.refuse(&self.peer, self.sender, study, refused));
            }
        };
        let Arrived {
            facts,
            digest,
            length,
        } = arrived;
        let stored = match self.kept {
            Kept::Memory { data, share } => {
                let incoming = Incoming {
                    admission,
                    sender: self.sender,
                    facts,
                    digest,
                    data,
                    crc: self.crc,
                };
                let stored = archive.store(incoming).await;
                drop(share);
                stored
            }
            Kept::Pack { large, .. } => large.finish(&admission, self.sender, facts, digest).await,
            Kept::Moving => return Err(closing()),
        };
        if stored.is_ok() && self.awaited.is_some() {
            meters::fetched(Way::Move, length);
        }
        stored.map_err(|error| refusal_of(&error))
    }
}

/// A pack to stream into, if one is free that nobody may need more.
fn try_stream(scp: &Scp, share: &SenderShare) -> Option<Leased> {
    let lease = share.try_lease()?;
    Some((scp.archive().try_store_streaming()?, lease))
}

fn refusal_of(error: &IntakeError) -> StoreRefusal {
    tracing::warn!(%error, "an instance could not be stored");
    let comment = match status_of(error.kind()) {
        Status::OUT_OF_RESOURCES => "archive cannot store now: send again later",
        _ => "archive failed to store: ask the operator",
    };
    StoreRefusal::new(status_of(error.kind()), comment)
}

impl InstanceSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        Box::pin(self.take_in_time(chunk))
    }

    fn finish(self: Box<Self>, arrived: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        Box::pin((*self).end(arrived))
    }
}
