//! Opening an archive: log, views, packs, and what the last run left unfinished.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::ids::{PackId, Position};
use yingku_core::registry::Registry;

use super::audit::Audit;
use super::facts::{FactsQueue, Stored};
use super::follower::{Follower, next_path, open_views, use_views};
use super::identity::{self, IdentityError};
use super::intake::decode_facts;
use super::node::{self, NodeIdError};
use super::{
    Archive, ErrorDigest, ErrorDigestError, Inner, Shared, Submission, SubmitError, mend, nodes,
    snapshot, submit,
};
use crate::keys::{ClusterKey, Purpose};
use crate::log::{
    EmbeddedLog, EmbeddedLogOptions, EventLog, KafkaLog, KafkaLogOptions, KafkaOpenError,
    LogOpenError,
};
use crate::objects::ObjectsOptions;
use crate::packs::{PackOpenError, PackOptions, Packs, PacksDirectory};
use crate::views::{Views, ViewsError};

/// The audit log's part of the event log's reserve.
const AUDIT_RESERVE_PART: u64 = 8;
/// Directories of the embedded logs.
pub(super) const EMBEDDED: &str = "log";
pub(super) const EMBEDDED_AUDIT: &str = "audit";
/// Files that tell which topics an archive uses whose log is in Kafka.
pub(super) const KAFKA_EVENTS: &str = "log.kafka.json";
pub(super) const KAFKA_AUDIT: &str = "audit.kafka.json";

/// How an archive is kept.
#[derive(Clone)]
pub struct ArchiveOptions {
    pub log: LogOptions,
    pub packs: PackOptions,
}

/// Where the log is kept.
#[derive(Clone)]
pub enum LogOptions {
    /// In the data directory.
    Embedded(EmbeddedLogOptions),
    /// In a topic, and the audit stream in one beside it.
    Kafka(KafkaLogOptions),
}

impl From<EmbeddedLogOptions> for LogOptions {
    fn from(options: EmbeddedLogOptions) -> Self {
        Self::Embedded(options)
    }
}

impl From<KafkaLogOptions> for LogOptions {
    fn from(options: KafkaLogOptions) -> Self {
        Self::Kafka(options)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("影像包正在整理，请稍后再运行 (packs are being compacted: run it again later)")]
    Compacting,
    #[error("the data directory {dir} cannot be made")]
    Directory {
        dir: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Log(#[from] LogOpenError),
    #[error(transparent)]
    Kafka(#[from] KafkaOpenError),
    #[error(
        "the log of the archive in {} is in Kafka ({KAFKA_EVENTS} names its topic), and the settings name none: set log.place",
        dir.display()
    )]
    LogIsInKafka { dir: PathBuf },
    #[error(
        "the archive in {} has a log of its own in {EMBEDDED}/, and the settings name a Kafka topic: take log.place out, \
         or use another data directory",
        dir.display()
    )]
    LogIsEmbedded { dir: PathBuf },
    #[error(transparent)]
    Packs(#[from] PackOpenError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Digest(#[from] ErrorDigestError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Node(#[from] NodeIdError),
    #[error(
        "the cluster key is not this archive's: what is sealed in its registry does not open under it; give this node the \
         key that the archive was made with"
    )]
    ClusterKey,
    #[error("{0}")]
    Follow(Box<dyn std::error::Error + Send + Sync>),
    #[error("the views do not follow the log: {0}")]
    Stopped(String),
    #[error("what the last run stored cannot be brought into the log")]
    Recover(#[from] SubmitError),
}

impl Archive {
    /// Whether an archive was made in a directory, wherever its log is.
    pub fn lies_in(dir: &Path) -> bool {
        dir.join(EMBEDDED).is_dir() || dir.join(KAFKA_EVENTS).is_file()
    }

    /// Opens the archive in a directory. When this resolves, the views have the whole log and the log has the facts of
    /// everything in the packs.
    pub async fn open(
        dir: &Path,
        options: ArchiveOptions,
        key: ClusterKey,
    ) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let dir = dir.to_owned();
        let ArchiveOptions { log, mut packs } = options;
        let objects = packs.objects.clone();
        let Parts {
            log,
            audit,
            directory,
            follower,
            errors,
        } = {
            let runtime = runtime.clone();
            let dir = dir.clone();
            blocking(move || open_parts(&dir, log, objects, runtime)).await?
        };
        let follower = Arc::new(follower);
        follow_to_end(&follower, &*log).await?;
        activate_rules(&*log, &follower.shared).await?;
        check_key(&key, &follower.shared.registry.read())?;
        let node = node::identify(&dir, &directory, &*log, &follower.shared).await?;
        packs.node = node.number;
        let views = Arc::clone(&follower.shared.views.read());
        let (packs, unlogged) = blocking(move || open_packs(directory, packs, &views)).await?;
        let facts = FactsQueue::start(
            &runtime,
            Arc::clone(&log),
            packs.clone(),
            format!("node:{}", node.number),
        );
        let archive = Self {
            inner: Arc::new(Inner {
                dir,
                node,
                log,
                audit: Audit::new(audit),
                packs,
                key,
                follower,
                facts,
                errors,
                compacting: tokio::sync::Mutex::default(),
                snapshotting: tokio::sync::Mutex::default(),
            }),
        };
        match archive.take_up(&unlogged).await {
            // Every byte of the views cannot be read before each start: what is damaged shows here, or to a reader.
            Err(OpenError::Views(_)) => {
                mend::make_anew(&archive.inner.follower).await?;
                archive.take_up(&unlogged).await?;
            }
            done => done?,
        }
        // The log of a new archive has begun only now.
        identity::check(&archive.inner.dir.join("packs"), &*archive.inner.log)?;
        archive.use_objects().await?;
        mend::start(&archive.inner.follower);
        Ok(archive)
    }

    async fn use_objects(&self) -> Result<(), OpenError> {
        let identity = identity::of(&*self.inner.log).map_err(SubmitError::from)?;
        let identity = identity.ok_or_else(|| OpenError::Stopped("the log is empty".to_owned()))?;
        let nodes = nodes::Nodes::new(self).map_err(|e| OpenError::Follow(e.into()))?;
        let (packs, dir) = (&self.inner.packs, &self.inner.dir);
        Ok(packs.use_objects(identity, dir, Some(nodes)).await?)
    }

    /// A pack that was lost leaves its instances missing, and its number unused: what is stored later must not be read
    /// in its place.
    fn continue_packs(&self) -> Result<(), ViewsError> {
        let packs = &self.inner.packs;
        for (pack, _) in self.views().packs(self.node())? {
            packs.continue_after(pack);
        }
        let named = self.views().logged_packs(self.node())?;
        let mut lost = named.iter().filter(|pack| !packs.has(**pack)).peekable();
        if let Some(first) = lost.peek().copied() {
            let packs = lost.count();
            tracing::error!(packs, %first, "packs that the log names are not in the packs directory; their images cannot be read until they are put back; `yingku verify` names them");
        }
        Ok(())
    }

    /// Goes on where the log and the packs ended.
    async fn take_up(&self, unlogged: &[PackId]) -> Result<(), OpenError> {
        self.continue_packs()?;
        let mut unlogged = unlogged.to_vec();
        unlogged.extend(self.sealed_before_logged()?);
        let copies = Copies::Known;
        self.log_recovered(&unlogged, copies).await.map(drop)
    }

    /// Packs that are acknowledged by the object store are sealed before the log has them.
    fn sealed_before_logged(&self) -> Result<Vec<PackId>, OpenError> {
        let views = self.views();
        let mut named: BTreeSet<PackId> = views.logged_packs(self.node())?.into_iter().collect();
        let rows = views.packs(self.node())?.into_iter();
        named.extend(rows.filter_map(|(pack, row)| row.compacted.map(|_| pack)));
        let here = self.inner.packs.sealed_here();
        let mut here = here.map_err(|source| {
            OpenError::Follow(format!("the packs cannot be listed: {source}").into())
        })?;
        let packs = &self.inner.packs;
        // Of a pack that was made of others the log tells otherwise, or not at all.
        let is_copied = |pack: &PackId| packs.is_copied(*pack).unwrap_or(false);
        here.retain(|pack| pack.node() == self.node() && !named.contains(pack) && !is_copied(pack));
        Ok(here)
    }

    /// Brings facts that a crash kept from the log out of the packs.
    async fn log_recovered(&self, unlogged: &[PackId], copies: Copies) -> Result<u64, OpenError> {
        let mut brought = 0u64;
        for &pack in unlogged {
            let mut missing = 0u64;
            let records = self
                .inner
                .packs
                .records(pack)
                .map_err(super::IntakeError::from);
            let records = match records {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(%pack, %error, "a pack cannot be read; run `yingku verify`");
                    continue;
                }
            };
            let mut whole = true;
            let is_copied = self.inner.packs.is_copied(pack).unwrap_or(false);
            let logged = self.views().logged_offsets(pack)?;
            // Asked last: the lines of a pack go when it is given up.
            let row = self.views().pack(pack)?;
            if row.is_some_and(|row| row.compacted.is_some()) {
                continue;
            }
            for record in records {
                let Ok(record) = record else {
                    tracing::error!(%pack, "a damaged record is kept aside; run `yingku verify`");
                    whole = false;
                    continue;
                };
                let Some(stored) = decode_facts(pack, &record) else {
                    tracing::error!(%pack, offset = record.offset, "facts of another release: start the release that wrote them once, so that they come into the log");
                    whole = false;
                    continue;
                };
                if logged.contains(&record.offset) {
                    continue;
                }
                if !is_copied || self.is_all_that_is_left(&stored, copies)? {
                    // A copy takes the place of what it was made of.
                    let anew = stored.anew || is_copied;
                    self.inner.facts.stored(Stored { anew, ..stored }).await?;
                    missing += 1;
                }
            }
            self.settle().await?;
            if missing > 0 {
                tracing::info!(%pack, missing, "facts that a stop kept from the log were brought into it");
            }
            brought += missing;
            if whole {
                self.inner.packs.all_logged(pack);
            }
        }
        Ok(brought)
    }

    /// Whether nothing else has the instances of a copy of which the log does not tell.
    fn is_all_that_is_left(&self, copy: &Stored, copies: Copies) -> Result<bool, OpenError> {
        let views = self.views();
        for instance in &copy.group.instances {
            let is_left = match views.place_of(&copy.group.study_uid, instance)? {
                Some(other) => other != copy.pack && !self.inner.packs.has(other),
                None => copies == Copies::Unknown,
            };
            if is_left {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads all packs of this node again and brings what the log lacks into it: after a log was repaired, say. How many
    /// instances that were.
    pub async fn rescan(&self, copies: Copies) -> Result<u64, OpenError> {
        let compacting = self.inner.compacting.try_lock();
        let _compacting = compacting.map_err(|_| OpenError::Compacting)?;
        self.settle().await?;
        let packs = self.inner.packs.clone();
        let listed = blocking(move || {
            packs.list().map_err(|source| {
                OpenError::Follow(format!("the packs cannot be listed: {source}").into())
            })
        });
        let own = listed.await?.into_iter().map(|info| info.pack);
        let own: Vec<PackId> = own.filter(|pack| pack.node() == self.node()).collect();
        self.log_recovered(&own, copies).await
    }
}

/// Which copies of instances a rescan takes for instances, where the log does not tell of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Those of instances that the views know, and whose other places are gone.
    Known,
    /// Also those of which nothing is known: the log has lost records, or the instances were dropped or deleted since.
    Unknown,
}

/// As [`replayed`]; views that turn out to be damaged are made anew.
async fn follow_to_end(follower: &Arc<Follower>, log: &dyn EventLog) -> Result<(), OpenError> {
    match replayed(log, &follower.shared).await {
        Err(OpenError::Stopped(_)) if follower.damage().is_some() => {
            mend::make_anew(follower).await?;
            replayed(log, &follower.shared).await
        }
        followed => followed,
    }
}

/// Waits for the views as long as they make progress: a first replay takes longer than any request may.
async fn replayed(log: &dyn EventLog, shared: &Shared) -> Result<(), OpenError> {
    let end = log.end().map_err(SubmitError::from)?;
    let mut projected = shared.projected.subscribe();
    let mut stopped = shared.stopped.subscribe();
    tokio::select! {
        _ = projected.wait_for(|next| *next >= end) => Ok(()),
        why = stopped.wait_for(Option::is_some) => {
            let why = why.ok().and_then(|why| why.clone());
            Err(OpenError::Stopped(why.as_deref().unwrap_or("unknown").to_owned()))
        }
    }
}

/// A new archive begins with the rules of the release that made it; later ones are activated by an operator.
async fn activate_rules(log: &dyn EventLog, shared: &Shared) -> Result<(), OpenError> {
    if shared.registry.read().rules == 0 {
        let activated = Submission {
            hospital: None,
            actor: "node:new".to_owned(),
            event: Event::RulesActivated(RulesActivated {
                rules: RULES_VERSION,
            }),
        };
        submit(log, shared, activated).await?;
    }
    Ok(())
}

/// A node with another key would take no sign and no token, and no other node would know it.
fn check_key(key: &ClusterKey, registry: &Registry) -> Result<(), OpenError> {
    match registry.apps.values().next() {
        Some(app) if key.open(Purpose::License, &app.license).is_err() => {
            Err(OpenError::ClusterKey)
        }
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| OpenError::Follow(e.into()))?
}

struct Parts {
    log: Arc<dyn EventLog>,
    audit: Arc<dyn EventLog>,
    directory: PacksDirectory,
    follower: Follower,
    errors: ErrorDigest,
}

fn open_parts(
    dir: &Path,
    options: LogOptions,
    objects: Option<ObjectsOptions>,
    runtime: tokio::runtime::Handle,
) -> Result<Parts, OpenError> {
    std::fs::create_dir_all(dir).map_err(|source| OpenError::Directory {
        dir: dir.to_owned(),
        source,
    })?;
    let directory = PacksDirectory::lock(&dir.join("packs"))?;
    let (log, audit) = open_logs(dir, options, &runtime)?;
    identity::check(&dir.join("packs"), &*log)?;
    let views_dir = dir.join("views");
    std::fs::create_dir_all(&views_dir).map_err(|source| OpenError::Directory {
        dir: views_dir.clone(),
        source,
    })?;
    let mut views = open_views(&views_dir)?;
    if views.cursor()?.next == Position(0)
        && let Some(objects) = objects
    {
        views = from_snapshot(views, &views_dir, &objects, &*log, &runtime)?;
    }
    let follower =
        Follower::start(views_dir, views, Arc::clone(&log), runtime).map_err(OpenError::Follow)?;
    let errors = open_errors(dir)?;
    Ok(Parts {
        log,
        audit,
        directory,
        follower,
        errors,
    })
}

/// What vendors were refused for is worth something, but not a start that fails: a damaged digest is kept aside.
fn open_errors(dir: &Path) -> Result<ErrorDigest, OpenError> {
    let path = dir.join("refusals");
    match ErrorDigest::open(&path) {
        Ok(errors) => Ok(errors),
        Err(error) => {
            let aside = dir.join("refusals.damaged");
            tracing::warn!(%error, aside = %aside.display(), "the error digest is damaged; it is moved aside and begun anew");
            let _ = std::fs::remove_dir_all(&aside);
            if std::fs::rename(&path, &aside).is_err() {
                return Err(error.into());
            }
            Ok(ErrorDigest::open(&path)?)
        }
    }
}

/// The views of the newest snapshot, if there is one; else those that were given, which are empty.
fn from_snapshot(
    empty: Views,
    views_dir: &Path,
    objects: &ObjectsOptions,
    log: &dyn EventLog,
    runtime: &tokio::runtime::Handle,
) -> Result<Views, OpenError> {
    let Some(archive) = identity::of(log).map_err(SubmitError::from)? else {
        return Ok(empty);
    };
    let path = next_path(views_dir);
    let restored = runtime.block_on(snapshot::restore(objects, archive, log, &path));
    if matches!(restored, Ok(None)) {
        return Ok(empty);
    }
    drop(empty);
    let opened = restored.and_then(|_| Ok(use_views(views_dir, &path)?));
    match opened {
        Ok(views) => Ok(views),
        Err(error) => {
            tracing::warn!(%error, "no snapshot can be used; the whole log is read");
            let _ = std::fs::remove_dir_all(&path);
            Ok(open_views(views_dir)?)
        }
    }
}

/// The packs, and which of them the log may lack something of.
fn open_packs(
    directory: PacksDirectory,
    options: PackOptions,
    views: &Views,
) -> Result<(Packs, Vec<PackId>), OpenError> {
    let is_logged = |pack, offset| match views.logged_offsets(pack) {
        Ok(logged) => logged.contains(&offset),
        Err(error) => {
            tracing::error!(%pack, %error, "what the log has of a pack is not known; nothing of it is cut off");
            true
        }
    };
    let (packs, recovered) = Packs::open_locked(directory, options, &is_logged)?;
    for cut in &recovered.cut {
        tracing::warn!(pack = %cut.pack, offset = cut.offset, bytes = cut.bytes, "an incomplete last record was moved aside");
    }
    for damage in &recovered.damage {
        tracing::error!(pack = %damage.pack, from = damage.range.start, to = damage.range.end, reason = %damage.reason, "a pack is damaged; the bytes are kept and never served");
    }
    let unlogged = recovered.packs.iter().map(|pack| pack.pack).collect();
    Ok((packs, unlogged))
}

pub(super) type Log = Arc<dyn EventLog>;

/// The event log and the audit stream's.
pub(super) fn open_logs(
    dir: &Path,
    options: LogOptions,
    runtime: &tokio::runtime::Handle,
) -> Result<(Log, Log), OpenError> {
    let embedded = dir.join(EMBEDDED);
    let (events, audit) = (dir.join(KAFKA_EVENTS), dir.join(KAFKA_AUDIT));
    match options {
        LogOptions::Embedded(_) if events.exists() => Err(OpenError::LogIsInKafka {
            dir: dir.to_owned(),
        }),
        LogOptions::Kafka(_) if embedded.exists() => Err(OpenError::LogIsEmbedded {
            dir: dir.to_owned(),
        }),
        LogOptions::Embedded(options) => {
            // Reading goes on when nothing more is stored, so its records may use most of what is kept free.
            let for_audit = EmbeddedLogOptions {
                reserve_bytes: options.reserve_bytes / AUDIT_RESERVE_PART,
                ..options.clone()
            };
            Ok((
                Arc::new(EmbeddedLog::open(&embedded, options)?),
                Arc::new(EmbeddedLog::open(&dir.join(EMBEDDED_AUDIT), for_audit)?),
            ))
        }
        LogOptions::Kafka(options) => {
            let for_audit = options.audit();
            Ok((
                Arc::new(KafkaLog::open(options, &events, runtime)?),
                Arc::new(KafkaLog::open(for_audit, &audit, runtime)?),
            ))
        }
    }
}
