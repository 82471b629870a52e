//! What callers share: so much at once for all of them, and of that so much for one AE.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Places, or bytes: whoever takes some gives it back.
#[derive(Debug)]
pub struct Shares {
    all: u64,
    each: u64,
    taken: Mutex<Taken>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_ae: HashMap<String, u64>,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    ae: String,
    amount: u64,
}

impl Shares {
    /// `each` for one AE, `all` for all of them.
    pub fn new(all: u64, each: u64) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            taken: Mutex::default(),
            given_back: Notify::new(),
        })
    }

    /// Takes `amount`, at most what one AE may have, if it is there now.
    pub fn try_take(self: &Arc<Self>, ae: &str, amount: u64) -> Option<Share> {
        let amount = amount.min(self.each);
        let mut taken = self.taken.lock();
        let own = taken.by_ae.get(ae).copied().unwrap_or_default();
        if own.saturating_add(amount) > self.each || taken.all.saturating_add(amount) > self.all {
            return None;
        }
        taken.all += amount;
        taken.by_ae.insert(ae.to_owned(), own + amount);
        Some(Share {
            shares: Arc::clone(self),
            ae: ae.to_owned(),
            amount,
        })
    }

    /// Takes `amount`, as [`Self::try_take`] does, and waits until it is there.
    pub async fn take(self: &Arc<Self>, ae: &str, amount: u64) -> Share {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // Before looking, so that nothing is given back unnoticed in between.
            given_back.as_mut().enable();
            if let Some(share) = self.try_take(ae, amount) {
                return share;
            }
            given_back.await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        taken.all = taken.all.saturating_sub(self.amount);
        if let Some(own) = taken.by_ae.get_mut(&self.ae) {
            *own = own.saturating_sub(self.amount);
            if *own == 0 {
                taken.by_ae.remove(&self.ae);
            }
        }
        drop(taken);
        self.shares.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_ae_cannot_take_what_is_for_all() {
        let shares = Shares::new(10, 6);
        let first = shares.try_take("A", 4).unwrap();
        assert!(shares.try_take("A", 3).is_none());
        let other = shares.try_take("B", 6).unwrap();
        assert!(shares.try_take("C", 1).is_none());
        drop(other);
        assert!(shares.try_take("C", 1).is_some());
        drop(first);
        assert!(
            shares.try_take("A", 100).is_some(),
            "as much as it may have"
        );
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back() {
        let shares = Shares::new(10, 6);
        let held = shares.try_take("A", 6).unwrap();
        let waiting = shares.take("A", 1);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(held);
        assert_eq!(waiting.await.amount, 1);
    }
}
