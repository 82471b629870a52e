//! Uploads the sealed packs of this node one after another, and evicts what the local budget no longer holds.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use yingku_core::ids::PackId;

use super::cache::{EVICT_EVERY, Evictable, LocalPack, local_packs, short_bytes};
use super::upload::{self, Upload, UploadError, known_uploads};
use super::{Claim, FOLDERS, ObjectsHealth, Remote, key};
use crate::objects::{Bucket, ObjectsError, ObjectsErrorKind};
use crate::packs::error::PackError;
use crate::packs::shared::Shared;

/// Pauses while the object store is away: doubled from the first to the last, each varied by up to a half, so that many
/// nodes do not come back at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
pub struct Uploader {
    shared: Arc<Shared>,
    remote: Arc<Remote>,
    bucket: Arc<Bucket>,
    health: watch::Sender<ObjectsHealth>,
    /// What could not be found out at the start.
    unclaimed: Option<Claim>,
    /// The server may have uploads of ours that nobody remembers.
    sweep: bool,
    /// Packs that cannot be uploaded as they are, until a restart.
    unfit: HashSet<PackId>,
    failures: u32,
}

impl Uploader {
    pub fn new(
        shared: Arc<Shared>,
        remote: Arc<Remote>,
        bucket: Arc<Bucket>,
        health: watch::Sender<ObjectsHealth>,
        unclaimed: Option<Claim>,
    ) -> Self {
        Self {
            shared,
            remote,
            bucket,
            health,
            unclaimed,
            sweep: true,
            unfit: HashSet::new(),
            failures: 0,
        }
    }

    /// Runs until its runtime ends.
    pub async fn run(mut self) {
        let mut sealed = self.shared.sealed.subscribe();
        loop {
            match self.step().await {
                Ok(true) => self.succeeded(),
                Ok(false) => {
                    self.succeeded();
                    tokio::select! {
                        changed = sealed.changed() => if changed.is_err() { return },
                        () = self.remote.wake.notified() => {}
                        () = tokio::time::sleep(EVICT_EVERY) => {}
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    self.pause(&mut sealed).await;
                }
            }
        }
    }

    /// Does the next thing; whether there may be more.
    async fn step(&mut self) -> Result<bool, UploadError> {
        let local = self.look()?;
        self.evict(&local).await?;
        if let Some(claim) = &self.unclaimed {
            let done = claim.make(&self.shared).await;
            done.map_err(|error| UploadError::Claim(Box::new(error)))?;
            self.unclaimed = None;
        }
        if self.sweep {
            match self.sweep().await {
                // Not every server can list uploads, and not every account may: no reason to upload nothing.
                Err(UploadError::Objects(error)) if error.kind != ObjectsErrorKind::Away => {
                    tracing::warn!(%error, "uploads that were begun and not ended are not looked for");
                }
                done => done?,
            }
            self.sweep = false;
        }
        let next = local.iter().find(|local| self.is_due(local));
        let Some(next) = next.map(|local| local.pack) else {
            return Ok(false);
        };
        self.upload(next).await?;
        Ok(true)
    }

    /// What lies here, entered into the figures.
    fn look(&self) -> io::Result<Vec<LocalPack>> {
        let local = local_packs(&self.shared)?;
        let sparse = self.remote.cache.sparse_bytes();
        let waiting = local.iter().filter(|local| !local.uploaded);
        self.health.send_modify(|health| {
            health.uploaded_packs = self.shared.journal.count();
            health.backlog_packs = waiting.clone().count() as u64;
            health.backlog_bytes = waiting.map(|local| local.bytes).sum();
            health.local_bytes = sparse + local.iter().map(|local| local.bytes).sum::<u64>();
        });
        Ok(local)
    }

    fn is_due(&self, local: &LocalPack) -> bool {
        !local.uploaded
            && local.pack.node() == self.shared.options.node
            && !self.unfit.contains(&local.pack)
            && !self.remote.is_direct(local.pack)
    }

    async fn upload(&mut self, pack: PackId) -> Result<(), UploadError> {
        let uploaded = match Upload::open(&self.shared, &self.bucket, pack) {
            Ok(upload) => upload.run().await,
            Err(error) => Err(error),
        };
        match uploaded {
            Ok(size) => {
                self.shared.journal.enter(pack, size)?;
                tracing::info!(%pack, bytes = size, "a pack is in the object store");
                Ok(())
            }
            Err(UploadError::Pack(error @ PackError::Damaged { .. })) => {
                tracing::error!(%pack, %error, "a damaged pack is not uploaded; run `yingku verify`");
                self.unfit.insert(pack);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Aborts what nobody here goes on with, and forgets what the server no longer has.
    async fn sweep(&self) -> Result<(), UploadError> {
        let uploads = known_uploads(&self.shared)?;
        let known: HashSet<String> = uploads.iter().map(|(_, id)| id.clone()).collect();
        let mut there = HashSet::new();
        for folder in FOLDERS {
            let own = format!("{folder}/{:04x}-", self.shared.options.node);
            there.extend(self.bucket.sweep_uploads(&own, &known).await?);
        }
        for (pack, _) in uploads.iter().filter(|(_, id)| !there.contains(id)) {
            upload::forget(&self.shared, *pack);
        }
        Ok(())
    }

    async fn evict(&self, local: &[LocalPack]) -> Result<(), UploadError> {
        let cache = &self.remote.cache;
        let mut away = None;
        for evictable in cache.to_evict(&self.shared, local) {
            if evictable.whole && away.is_none() {
                match self.is_whole_there(evictable).await {
                    Ok(true) => {}
                    // The copy here is the only one left: it is uploaded again.
                    Ok(false) => {
                        self.shared.journal.withdraw(evictable.pack);
                        continue;
                    }
                    Err(error) => away = Some(error),
                }
            }
            // It was compared when it was uploaded. To look again is a precaution, and instances that come need the space.
            if evictable.whole && away.is_some() && short_bytes(&self.shared) == 0 {
                continue;
            }
            cache.evict(&self.shared, evictable)?;
            tracing::debug!(pack = %evictable.pack, bytes = evictable.bytes, "evicted");
        }
        away.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn is_whole_there(&self, evictable: Evictable) -> Result<bool, ObjectsError> {
        let there = self.bucket.size(&key(evictable.pack)).await?;
        let whole = there == Some(evictable.bytes);
        if !whole {
            tracing::error!(pack = %evictable.pack, found = ?there, "an uploaded pack is no longer in the object store as it was; it is uploaded again");
        }
        Ok(whole)
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.remote.fetcher.is_back();
        self.health.send_modify(|health| health.problem = None);
    }

    fn failed(&mut self, error: &UploadError) {
        let words = error.to_string();
        self.health.send_modify(|health| {
            if health.problem.as_deref() != Some(&words) {
                tracing::warn!(error = %words, backlog_bytes = health.backlog_bytes, "packs wait for the object store");
            }
            health.problem = Some(words);
        });
        // A request that was not answered may have begun an upload.
        self.sweep |=
            matches!(error, UploadError::Objects(error) if error.kind == ObjectsErrorKind::Away);
        self.failures = self.failures.saturating_add(1);
    }

    /// Until the next attempt. Copies still go if space is needed, and the figures are kept.
    async fn pause(&self, sealed: &mut watch::Receiver<u64>) {
        let pause = tokio::time::sleep(pause(self.failures));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.remote.wake.notified() => {}
                Ok(()) = sealed.changed() => {}
            }
            if let Ok(local) = self.look() {
                // Why it fails is what the pause is for.
                let _ = self.evict(&local).await;
            }
        }
    }
}

/// Before the next attempt after so many failures.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(LAST_PAUSE)
        .mul_f64(rand::thread_rng().gen_range(0.5..1.5))
}
