//! What a gateway sends us on an association of ours (contract §2.5) goes the way of a sender's instances: the same memory,
//! the same match, the same packs. Its hospital is known by the gateway, and so are its rights.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use yingku_core::ids::{AeTitle, HospitalCode};
use yingku_core::registry::Scope;

use super::Scp;
use crate::association::Peer;
use crate::status::Status;
use crate::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};

/// Takes instances of one hospital's gateway into the archive.
pub struct FetchedStore {
    scp: Scp,
    hospital: HospitalCode,
    gateway: AeTitle,
    came: Arc<Mutex<Came>>,
    /// As which the gateway's refusals are gathered.
    peer: Mutex<Option<Peer>>,
}

/// What came of a gateway's instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// Durable; those that were here before among them.
    pub stored: u32,
    pub refused: u32,
    /// Of the refused ones those that the archive could not take just then.
    pub refused_for_now: u32,
    /// Why the last one was refused: no patient data.
    pub last_refusal: String,
}

impl Scp {
    /// Where the instances go that a hospital's gateway sends.
    pub fn fetched_store(&self, hospital: HospitalCode, gateway: AeTitle) -> FetchedStore {
        FetchedStore {
            scp: self.clone(),
            hospital,
            gateway,
            came: Arc::default(),
            peer: Mutex::default(),
        }
    }
}

impl FetchedStore {
    pub fn came(&self) -> Came {
        self.came.lock().clone()
    }

    /// Brings what came into the log and the views.
    pub async fn settle(&self) {
        let peer = self.peer.lock().clone();
        if let Some(peer) = peer {
            self.scp.settle(&peer).await;
        }
    }

    /// The one that sends: on an association of ours we are the one that called.
    fn sender(&self, peer: &Peer) -> Peer {
        let sender = Peer {
            calling: self.gateway.as_str().to_owned(),
            called: peer.calling.clone(),
            ..peer.clone()
        };
        *self.peer.lock() = Some(sender.clone());
        sender
    }
}

impl InstanceStore for FetchedStore {
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        let announced = Announced {
            peer: self.sender(&announced.peer),
            ..announced
        };
        let scope = Scope::of([&self.hospital]);
        let share = self
            .scp
            .inner
            .shares
            .of(&format!("gateway:{}", self.gateway));
        let sink = self.scp.sink(announced, self.gateway.clone(), scope, share);
        let counted = Counted {
            sink: Box::new(sink),
            came: Arc::clone(&self.came),
        };
        Box::pin(std::future::ready(Ok(
            Box::new(counted) as Box<dyn InstanceSink>
        )))
    }

    fn refused(&self, peer: &Peer, refusal: &StoreRefusal) {
        {
            let mut came = self.came.lock();
            came.refused = came.refused.saturating_add(1);
            if refusal.status == Status::OUT_OF_RESOURCES {
                came.refused_for_now = came.refused_for_now.saturating_add(1);
            }
            came.last_refusal.clone_from(&refusal.comment);
        }
        let hospital = Some(self.hospital.clone());
        self.scp.note_refusal(&self.sender(peer), hospital, refusal);
    }
}

/// Counts what is durable.
struct Counted {
    sink: Box<dyn InstanceSink>,
    came: Arc<Mutex<Came>>,
}

impl InstanceSink for Counted {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        self.sink.write(chunk)
    }

    fn finish(self: Box<Self>, arrived: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        let Self { sink, came } = *self;
        Box::pin(async move {
            sink.finish(arrived).await?;
            let mut came = came.lock();
            came.stored = came.stored.saturating_add(1);
            Ok(())
        })
    }
}
