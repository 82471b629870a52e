//! Gateways that send to us because a C-MOVE of ours has them do so (contract §2.5): what they bring on associations of
//! theirs goes the way of any sender's, and within what the hospital's line may be asked for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use yingku_core::ids::AeTitle;

use super::Scp;
use crate::gateway::Bandwidth;

/// Gateways whose images are awaited, by the title under which they store.
#[derive(Default)]
pub(super) struct AwaitedGateways(Mutex<HashMap<AeTitle, Vec<Weak<Awaited>>>>);

/// Images of a gateway are awaited while one of these is kept.
#[derive(Debug)]
pub struct Awaited {
    /// Shared by all that comes from the gateway; absent: all that its line gives.
    bandwidth: Option<Arc<Bandwidth>>,
}

impl Scp {
    /// Counts what this AE stores, and has it share a bandwidth, until what is given back is dropped.
    pub fn await_gateway(
        &self,
        gateway: AeTitle,
        bandwidth: Option<Arc<Bandwidth>>,
    ) -> Arc<Awaited> {
        let awaited = Arc::new(Awaited { bandwidth });
        let mut all = self.inner.awaited.0.lock();
        all.retain(|_, those| {
            those.retain(|one| one.strong_count() > 0);
            !those.is_empty()
        });
        all.entry(gateway)
            .or_default()
            .push(Arc::downgrade(&awaited));
        awaited
    }
}

impl AwaitedGateways {
    /// What is awaited from a sender. Of several the latest: its bandwidth is as the gateway is set now.
    pub(super) fn of(&self, sender: &AeTitle) -> Option<Arc<Awaited>> {
        let all = self.0.lock();
        all.get(sender)?.iter().rev().find_map(Weak::upgrade)
    }
}

impl Awaited {
    /// Waits until the line has had its time for so many bytes.
    pub(super) async fn pass(&self, bytes: usize) {
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.pass(bytes).await;
        }
    }
}
