//! Duties that run on one node at a time.
//!
//! A node takes a duty by an event and keeps it by further ones; the log's order decides between several. The holder stops
//! when its time is over by its own clock, counted from before it asked, whatever the log says; the others wait for that
//! time from when they read the last such event. So two never work at once, and a dead holder is replaced after
//! [`TTL`] and a moment.

use std::future::Future;
use std::time::{Duration, Instant};

use rand::Rng;
use uuid::Uuid;
use yingku_core::event::{Event, LeaseTaken};
use yingku_core::outcome::Outcome;
use yingku_core::registry::Lease;

use super::{Archive, Submission, SubmitError};

/// For how long a duty is taken.
pub const TTL: Duration = Duration::from_secs(12);
/// How long after it was taken it is taken again: half its time is left for a log that is slow.
const RENEW: Duration = Duration::from_secs(6);
/// Nodes that wait do not all ask at the same moment.
const JITTER_MS: u64 = 700;
/// Rest after a question that the log did not take.
const RETRY: Duration = Duration::from_millis(500);

/// A duty that this process may have.
pub struct Duty {
    archive: Archive,
    name: &'static str,
    run: Uuid,
}

/// The duty is this process's until then.
#[derive(Clone, Copy)]
struct Held {
    epoch: u64,
    until: Instant,
}

impl Archive {
    pub fn duty(&self, name: &'static str) -> Duty {
        Duty {
            archive: self.clone(),
            name,
            run: Uuid::now_v7(),
        }
    }
}

impl Duty {
    /// Works whenever this process has the duty; `work` is told the epoch that its results carry, and is dropped when the
    /// duty is lost. Never ends.
    pub async fn work<F: Future<Output = ()>>(&self, work: impl Fn(u64) -> F) {
        loop {
            let held = self.take().await;
            tracing::info!(
                duty = self.name,
                epoch = held.epoch,
                "this node has the duty"
            );
            tokio::select! {
                () = work(held.epoch) => {}
                () = self.keep(held) => {}
            }
            tracing::warn!(
                duty = self.name,
                epoch = held.epoch,
                "this node no longer has the duty"
            );
        }
    }

    /// Gives it back, so that another need not wait for its end.
    pub async fn give_back(&self) {
        if let Some(lease) = self.lease().filter(|lease| self.is_own(lease))
            && let Err(error) = self.ask(lease.epoch, Duration::ZERO).await
        {
            tracing::info!(duty = self.name, %error, "the duty ends by its time");
        }
    }

    fn lease(&self) -> Option<Lease> {
        self.archive.registry().leases.get(self.name).cloned()
    }

    fn is_own(&self, lease: &Lease) -> bool {
        (lease.node, lease.run) == (self.archive.node(), self.run)
    }

    /// Waits until it is free, and takes it.
    async fn take(&self) -> Held {
        let mut projected = self.archive.inner.follower.shared.projected.subscribe();
        let mut seen = None;
        let mut free_at = Instant::now();
        loop {
            let lease = self.lease();
            if lease != seen {
                let jitter = rand::thread_rng().gen_range(0..JITTER_MS);
                let others = lease.as_ref().filter(|lease| !self.is_own(lease));
                let ttl_ms = others.map_or(0, |lease| u64::from(lease.ttl_ms) + jitter);
                free_at = Instant::now() + Duration::from_millis(ttl_ms);
                seen.clone_from(&lease);
            }
            if Instant::now() < free_at {
                tokio::select! {
                    () = tokio::time::sleep_until(free_at.into()) => {}
                    changed = projected.changed() => if changed.is_err() {
                        // The archive is closed: nothing is taken any more.
                        std::future::pending::<()>().await;
                    }
                }
                continue;
            }
            let epoch = match &lease {
                None => 1,
                Some(lease) if self.is_own(lease) => lease.epoch,
                Some(lease) => lease.epoch + 1,
            };
            let asked = Instant::now();
            match self.ask(epoch, TTL).await {
                Ok(true) => {
                    return Held {
                        epoch,
                        until: asked + TTL,
                    };
                }
                Ok(false) | Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Ends when the duty is lost.
    async fn keep(&self, mut held: Held) {
        let epoch = held.epoch;
        loop {
            let due = held.until - TTL + RENEW;
            tokio::time::sleep_until(due.into()).await;
            loop {
                let asked = Instant::now();
                let answer = tokio::time::timeout_at(held.until.into(), self.ask(epoch, TTL)).await;
                match answer {
                    Ok(Ok(true)) => {
                        held.until = asked + TTL;
                        break;
                    }
                    Ok(Ok(false)) | Err(_) => return,
                    Ok(Err(_)) => tokio::time::sleep(RETRY).await,
                }
                if Instant::now() >= held.until {
                    return;
                }
            }
        }
    }

    async fn ask(&self, epoch: u64, ttl: Duration) -> Result<bool, SubmitError> {
        let taken = Submission {
            hospital: None,
            actor: self.archive.node_actor(),
            event: Event::LeaseTaken(LeaseTaken {
                duty: self.name.to_owned(),
                node: self.archive.node(),
                run: self.run,
                epoch,
                ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX),
            }),
        };
        let decided = self.archive.submit(taken).await?;
        Ok(!matches!(decided.outcome, Outcome::Refused(_)))
    }
}
