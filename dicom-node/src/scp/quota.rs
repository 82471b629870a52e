//! What callers may have at once: so much all of them together, and of that so much one of them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Places, or bytes: whoever takes some gives it back.
#[derive(Debug)]
pub struct Quota {
    all: u64,
    each: u64,
    taken: Mutex<Taken>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_caller: HashMap<String, u64>,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub struct Part {
    quota: Arc<Quota>,
    caller: String,
    amount: u64,
}

impl Quota {
    /// `each` for one caller, `all` for all of them.
    pub fn new(all: u64, each: u64) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            taken: Mutex::default(),
            given_back: Notify::new(),
        })
    }

    /// Takes `amount`, at most what one caller may have, if it is there now.
    pub fn try_take(self: &Arc<Self>, caller: &str, amount: u64) -> Option<Part> {
        let amount = amount.min(self.each);
        let mut taken = self.taken.lock();
        let own = taken.by_caller.get(caller).copied().unwrap_or_default();
        if own.saturating_add(amount) > self.each || taken.all.saturating_add(amount) > self.all {
            return None;
        }
        taken.all += amount;
        taken.by_caller.insert(caller.to_owned(), own + amount);
        Some(Part {
            quota: Arc::clone(self),
            caller: caller.to_owned(),
            amount,
        })
    }

    /// Takes `amount`, as [`Self::try_take`] does, and waits until it is there.
    pub async fn take(self: &Arc<Self>, caller: &str, amount: u64) -> Part {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // Before looking, so that nothing is given back unnoticed in between.
            given_back.as_mut().enable();
            if let Some(part) = self.try_take(caller, amount) {
                return part;
            }
            given_back.await;
        }
    }
}

impl Part {
    /// Gives back all but `amount`.
    pub fn keep(&mut self, amount: u64) {
        let more = self.amount.saturating_sub(amount);
        self.amount -= more;
        self.give_back(more);
    }

    fn give_back(&self, amount: u64) {
        let mut taken = self.quota.taken.lock();
        taken.all = taken.all.saturating_sub(amount);
        if let Some(own) = taken.by_caller.get_mut(&self.caller) {
            *own = own.saturating_sub(amount);
            if *own == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
        drop(taken);
        self.quota.given_back.notify_waiters();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_caller_cannot_take_what_is_for_all() {
        let quota = Quota::new(10, 6);
        let first = quota.try_take("A", 4).unwrap();
        assert!(quota.try_take("A", 3).is_none());
        let other = quota.try_take("B", 6).unwrap();
        assert!(quota.try_take("C", 1).is_none());
        drop(other);
        assert!(quota.try_take("C", 1).is_some());
        drop(first);
        assert!(quota.try_take("A", 100).is_some(), "as much as it may have");
    }

    #[test]
    fn what_is_not_kept_is_there_for_others() {
        let quota = Quota::new(10, 6);
        let mut first = quota.try_take("A", 6).unwrap();
        first.keep(2);
        first.keep(5);
        let more = quota.try_take("A", 4).unwrap();
        assert!(quota.try_take("A", 1).is_none());
        drop((first, more));
        assert!(quota.try_take("A", 6).is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back() {
        let quota = Quota::new(10, 6);
        let held = quota.try_take("A", 6).unwrap();
        let waiting = quota.take("A", 1);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(held);
        assert_eq!(waiting.await.amount, 1);
    }
}
