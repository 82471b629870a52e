//! What one sender may take of what all senders share: memory for instances on their way in, and packs to stream into.
//!
//! So a sender that crawls, or that brings more than the archive can take, keeps only itself waiting.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use yingku_storage::packs::MAX_LEASES;

/// Bytes of all instances on their way in.
const HELD_BYTES: usize = 192 << 20;
/// What an instance takes at a time.
const HELD_UNIT: usize = 1 << 20;
/// Bytes of one sender's instances on their way in: two more of its kind find room.
const HELD_BYTES_PER_SENDER: usize = HELD_BYTES / 3;
/// Instances of one sender that stream into packs at the same time.
const LEASES_PER_SENDER: usize = MAX_LEASES / 2;
/// A sender that brought nothing for this long is not busy.
const PAUSE: Duration = Duration::from_millis(50);

/// The shares of all senders.
pub struct Shares {
    held: Arc<Semaphore>,
    /// Senders that have an instance on its way.
    senders: Mutex<HashMap<String, Weak<SenderShare>>>,
    pieces: Mutex<Pieces>,
}

/// What one sender may take.
pub struct SenderShare {
    held: Arc<Semaphore>,
    leases: Arc<Semaphore>,
}

/// An instance's part of the memory: its sender's, and that of all.
pub struct HeldShare {
    own: OwnedSemaphorePermit,
    common: OwnedSemaphorePermit,
}

/// Who sent a piece of an instance last, and when somebody else had sent one before.
#[derive(Default)]
struct Pieces {
    by: String,
    others_at: Option<Instant>,
    at: Option<Instant>,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            held: Arc::new(Semaphore::new(HELD_BYTES / HELD_UNIT)),
            senders: Mutex::default(),
            pieces: Mutex::default(),
        }
    }
}

impl Shares {
    /// The share of a sender, the same for all of its associations.
    pub fn of(&self, sender: &str) -> Arc<SenderShare> {
        let mut senders = self.senders.lock();
        if let Some(known) = senders.get(sender).and_then(Weak::upgrade) {
            return known;
        }
        senders.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(SenderShare {
            held: Arc::new(Semaphore::new(HELD_BYTES_PER_SENDER / HELD_UNIT)),
            leases: Arc::new(Semaphore::new(LEASES_PER_SENDER)),
        });
        senders.insert(sender.to_owned(), Arc::downgrade(&share));
        share
    }

    /// What an instance begins with; waits while its sender, or all together, have taken everything.
    pub async fn first(&self, sender: &SenderShare) -> Result<HeldShare, AcquireError> {
        let own = Arc::clone(&sender.held).acquire_owned().await?;
        let common = Arc::clone(&self.held).acquire_owned().await?;
        Ok(HeldShare { own, common })
    }

    /// Enlarges an instance's share to its length, without waiting. Whether there was room.
    pub fn enlarge(&self, sender: &SenderShare, share: &mut HeldShare, length: usize) -> bool {
        let needed = length.div_ceil(HELD_UNIT);
        let Ok(more) = u32::try_from(needed.saturating_sub(share.own.num_permits())) else {
            return false;
        };
        let own = Arc::clone(&sender.held).try_acquire_many_owned(more);
        let common = Arc::clone(&self.held).try_acquire_many_owned(more);
        match (own, common) {
            (Ok(own), Ok(common)) => {
                share.own.merge(own);
                share.common.merge(common);
                true
            }
            _ => false,
        }
    }

    /// Notes that an association brought a piece.
    pub fn piece(&self, association: &str) {
        let mut pieces = self.pieces.lock();
        if pieces.by != association {
            pieces.others_at = pieces.at;
            association.clone_into(&mut pieces.by);
        }
        pieces.at = Some(Instant::now());
    }

    /// Whether nothing else is on its way, or only what does not move: for the association that brought the last piece.
    pub fn is_alone(&self, share: &HeldShare) -> bool {
        self.held.available_permits() + share.common.num_permits() >= HELD_BYTES / HELD_UNIT
            || self
                .pieces
                .lock()
                .others_at
                .is_none_or(|at| at.elapsed() >= PAUSE)
    }
}

impl SenderShare {
    /// A place for one instance that streams; waits while all are taken.
    pub async fn lease(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.leases).acquire_owned().await
    }

    pub fn try_lease(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.leases).try_acquire_owned().ok()
    }
}

impl HeldShare {
    /// What an instance keeps that streams: it is on its way too.
    pub fn least(mut self) -> Option<Self> {
        let own = self.own.split(1)?;
        let common = self.common.split(1)?;
        Some(Self { own, common })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_sender_that_has_taken_its_share_waits_alone() {
        // Given a sender whose instances, of two associations, have taken all that it may
        let shares = Shares::default();
        let (greedy, other) = (shares.of("GREEDY"), shares.of("OTHER"));
        let mut taken = shares.first(&shares.of("GREEDY")).await.unwrap();
        assert!(shares.enlarge(&greedy, &mut taken, HELD_BYTES_PER_SENDER));
        let streaming = [greedy.lease().await, greedy.lease().await];
        // Then its next one waits
        assert!(!shares.enlarge(&greedy, &mut taken, HELD_BYTES_PER_SENDER + 1));
        assert!(shares.first(&greedy).now_or_never().is_none());
        assert!(greedy.try_lease().is_none());
        // And another's does not
        let mut others = shares.first(&other).now_or_never().unwrap().unwrap();
        assert!(shares.enlarge(&other, &mut others, HELD_BYTES_PER_SENDER));
        assert!(other.try_lease().is_some());
        // Until what was taken comes back
        drop((taken, streaming));
        assert!(shares.first(&greedy).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_does_not_move_disturbs_nobody() {
        let shares = Shares::default();
        let (slow, prompt) = (shares.of("SLOW"), shares.of("PROMPT"));
        let _crawls = shares.first(&slow).await.unwrap();
        let share = shares.first(&prompt).await.unwrap();
        shares.piece("prompt");
        shares.piece("prompt");
        assert!(shares.is_alone(&share));
        shares.piece("slow");
        shares.piece("prompt");
        assert!(!shares.is_alone(&share));
    }
}
