//! What a gateway sends us on an association of ours (contract §2.5) goes the way of a sender's instances: the same memory,
//! the same match, the same packs. Its hospital is known by the gateway, and so are its rights.
//!
//! A gateway keeps its images whatever we answer, so it is answered as soon as an instance has come whole, and the next one
//! comes while this one is matched and written: several share a sync. What is durable is counted, and only that is believed:
//! a study is fetched when its images are in the log.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use yingku_core::ids::{AeTitle, StudyKey};
use yingku_core::registry::Scope;

use super::Scp;
use super::storage::Sink;
use crate::association::Peer;
use crate::meters::{self, Way};
use crate::status::Status;
use crate::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};

/// Instances of one study that are answered and not durable yet: of slices some 16 MB, of which a crash costs the time
/// that they took.
const ON_THEIR_WAY: u32 = 32;

/// Takes instances of one hospital's gateway into the archive. Clones are the same.
#[derive(Clone)]
pub struct FetchedStore {
    inner: Arc<Inner>,
}

struct Inner {
    scp: Scp,
    /// What it was asked for.
    study: StudyKey,
    gateway: AeTitle,
    came: Mutex<Came>,
    /// As which the gateway's refusals are gathered.
    peer: Mutex<Option<Peer>>,
    on_their_way: Arc<Semaphore>,
}

/// What came of a gateway's instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// Durable; those that were here before among them.
    pub stored: u32,
    pub refused: u32,
    /// Of the refused ones those that the archive could not take just then.
    pub refused_for_now: u32,
    /// Of studies that it was not asked for: not taken, and counted nowhere else.
    pub of_others: u32,
    /// Why the last one was refused: no patient data.
    pub last_refusal: String,
}

impl Scp {
    /// Where the instances of a study go that its hospital's gateway sends.
    pub fn fetched_store(&self, study: StudyKey, gateway: AeTitle) -> FetchedStore {
        FetchedStore {
            inner: Arc::new(Inner {
                scp: self.clone(),
                study,
                gateway,
                came: Mutex::default(),
                peer: Mutex::default(),
                on_their_way: Arc::new(Semaphore::new(ON_THEIR_WAY as usize)),
            }),
        }
    }
}

impl FetchedStore {
    /// Waits for what is on its way, brings it into the log and the views, and tells what came.
    pub async fn settle(&self) -> Came {
        let inner = &self.inner;
        // It is closed by nobody.
        let _all = inner.on_their_way.acquire_many(ON_THEIR_WAY).await;
        let peer = inner.peer.lock().clone();
        if let Some(peer) = peer {
            inner.scp.settle(&peer).await;
        }
        inner.came.lock().clone()
    }

    /// The one that sends: on an association of ours we are the one that called.
    fn sender(&self, peer: &Peer) -> Peer {
        let sender = Peer {
            calling: self.inner.gateway.as_str().to_owned(),
            called: peer.calling.clone(),
            ..peer.clone()
        };
        *self.inner.peer.lock() = Some(sender.clone());
        sender
    }

    fn note(&self, sender: &Peer, outcome: Result<(), StoreRefusal>) {
        let Err(refusal) = outcome else {
            let mut came = self.inner.came.lock();
            came.stored = came.stored.saturating_add(1);
            return;
        };
        {
            let mut came = self.inner.came.lock();
            came.refused = came.refused.saturating_add(1);
            if refusal.status == Status::OUT_OF_RESOURCES {
                came.refused_for_now = came.refused_for_now.saturating_add(1);
            }
            came.last_refusal.clone_from(&refusal.comment);
        }
        let hospital = Some(self.inner.study.hospital.clone());
        self.inner.scp.note_refusal(sender, hospital, &refusal);
    }
}

impl InstanceStore for FetchedStore {
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        let sender = self.sender(&announced.peer);
        let announced = Announced {
            peer: sender.clone(),
            ..announced
        };
        let Inner {
            scp,
            study,
            gateway,
            ..
        } = self.inner.as_ref();
        let hospital = &study.hospital;
        let scope = Scope::of([hospital]);
        // By hospital: gateways of several may have one title.
        let share = scp.inner.shares.of(&format!("gateway:{hospital}"));
        let sink = scp.sink(announced, gateway.clone(), scope, share);
        let coming = Coming {
            // Those that are on their way share a sync, unless one is too large to be held.
            sink: sink.gathered(),
            store: self.clone(),
            sender,
        };
        Box::pin(std::future::ready(Ok(
            Box::new(coming) as Box<dyn InstanceSink>
        )))
    }

    fn refused(&self, peer: &Peer, refusal: &StoreRefusal) {
        // What is recorded is counted already.
        if refusal.is_recorded {
            return;
        }
        self.note(&self.sender(peer), Err(refusal.clone()));
    }
}

/// One instance, until it has come whole.
struct Coming {
    sink: Sink,
    store: FetchedStore,
    sender: Peer,
}

impl InstanceSink for Coming {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        self.sink.write(chunk)
    }

    fn finish(self: Box<Self>, arrived: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        let Self {
            sink,
            store,
            sender,
        } = *self;
        Box::pin(async move {
            if arrived.facts.study_uid != store.inner.study.study {
                let mut came = store.inner.came.lock();
                came.of_others = came.of_others.saturating_add(1);
                return Err(StoreRefusal {
                    is_recorded: true,
                    ..StoreRefusal::new(Status::MISMATCH, "not of the study that was asked for")
                });
            }
            let bytes = arrived.length;
            let places = Arc::clone(&store.inner.on_their_way);
            let place = places.acquire_owned().await;
            // On the runtime of the thread that fetches: it ends with it.
            tokio::spawn(async move {
                let outcome = Box::new(sink).finish(arrived).await;
                if outcome.is_ok() {
                    meters::fetched(Way::Get, bytes);
                }
                store.note(&sender, outcome);
                drop(place);
            });
            Ok(())
        })
    }
}
