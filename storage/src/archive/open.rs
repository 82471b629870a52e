//! Opening an archive: log, views, packs, and what the last run left unfinished.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use yingku_core::envelope::Envelope;
use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::ids::{PackId, Position, SopInstanceUid, StudyKey};
use yingku_core::instance::SeriesGroup;

use super::audit::Audit;
use super::facts::FactsQueue;
use super::follower::{Follower, open_views};
use super::intake::decode_facts;
use super::{Archive, ErrorDigest, ErrorDigestError, Inner, Submission, SubmitError};
use crate::keys::ClusterKey;
use crate::log::{EmbeddedLog, EmbeddedLogOptions, EventLog, LogOpenError};
use crate::packs::{PackOpenError, PackOptions, Packs, Placed};
use crate::views::ViewsError;

/// The audit log's part of the event log's reserve.
const AUDIT_RESERVE_PART: u64 = 8;

/// How an archive is kept.
#[derive(Clone)]
pub struct ArchiveOptions {
    pub log: EmbeddedLogOptions,
    pub packs: PackOptions,
}

impl ArchiveOptions {
    /// This node's number (design §3: the upper part of its packs' ids).
    pub fn node(&self) -> u16 {
        self.packs.node
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {dir} cannot be made")]
    Directory {
        dir: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Log(#[from] LogOpenError),
    #[error(transparent)]
    Packs(#[from] PackOpenError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Digest(#[from] ErrorDigestError),
    #[error("{0}")]
    Follow(Box<dyn std::error::Error + Send + Sync>),
    #[error("the views do not follow the log: {0}")]
    Stopped(String),
    #[error("what the last run stored cannot be brought into the log")]
    Recover(#[from] SubmitError),
}

impl Archive {
    /// Opens the archive in a directory. When this resolves, the views have the whole log and the log has the facts of
    /// everything in the packs.
    pub async fn open(
        dir: &Path,
        options: ArchiveOptions,
        key: ClusterKey,
    ) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let node = options.node();
        let dir = dir.to_owned();
        let opened = {
            let runtime = runtime.clone();
            let dir = dir.clone();
            tokio::task::spawn_blocking(move || open_parts(&dir, options, runtime))
                .await
                .map_err(|e| OpenError::Follow(e.into()))??
        };
        let Parts {
            log,
            audit,
            packs,
            unlogged,
            follower,
            errors,
        } = opened;
        let facts = FactsQueue::start(
            &runtime,
            Arc::clone(&log),
            packs.clone(),
            format!("node:{node}"),
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
            }),
        };
        archive.replayed().await?;
        archive.log_recovered(unlogged).await?;
        archive.activate_rules().await?;
        archive.use_objects().await?;
        Ok(archive)
    }

    /// The id of the log's first record is the archive's own: the same on all nodes that follow this log.
    async fn use_objects(&self) -> Result<(), OpenError> {
        let first = self.inner.log.get(Position(0)).map_err(SubmitError::from)?;
        let first = first.ok_or_else(|| OpenError::Stopped("the log is empty".to_owned()))?;
        let envelope = Envelope::decode(&first.bytes).map_err(|e| OpenError::Follow(e.into()))?;
        let packs = &self.inner.packs;
        Ok(packs.use_objects(envelope.id, &self.inner.dir).await?)
    }

    /// A new archive begins with the rules of the release that made it; later ones are activated by an operator.
    async fn activate_rules(&self) -> Result<(), OpenError> {
        if self.registry().rules == 0 {
            let event = Event::RulesActivated(RulesActivated {
                rules: RULES_VERSION,
            });
            let actor = self.node_actor();
            let submission = Submission {
                hospital: None,
                actor,
                event,
            };
            self.submit(submission).await?;
        }
        Ok(())
    }

    /// Waits for the views as long as they make progress: a first replay takes longer than any request may.
    async fn replayed(&self) -> Result<(), OpenError> {
        let end = self.inner.log.end().map_err(SubmitError::from)?;
        let shared = &self.inner.follower.shared;
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

    /// Brings facts that a crash kept from the log out of the packs.
    async fn log_recovered(&self, unlogged: Vec<PackId>) -> Result<(), OpenError> {
        for pack in unlogged {
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
            let mut studies = KnownStudies::default();
            for record in records {
                let Ok(record) = record else {
                    tracing::error!(%pack, "a damaged record is kept aside; run `yingku verify`");
                    whole = false;
                    continue;
                };
                let place = Placed {
                    pack,
                    offset: record.offset,
                    length: record.data_len,
                };
                let Some(group) = decode_facts(&record.facts, place) else {
                    tracing::error!(%pack, offset = record.offset, "facts of another release; run `yingku rescan`");
                    whole = false;
                    continue;
                };
                if !studies.has(self, &group)? {
                    self.inner.facts.stored(pack, group).await?;
                    missing += 1;
                }
            }
            self.settle().await?;
            if missing > 0 {
                tracing::info!(%pack, missing, "facts that a stop kept from the log were brought into it");
            }
            if whole {
                self.inner.packs.all_logged(pack);
            }
        }
        Ok(())
    }
}

/// Instances that the views hold of the studies that a pack names, shown or held: one look for each study, however many
/// records it has in the pack.
#[derive(Default)]
struct KnownStudies(HashMap<StudyKey, HashSet<(SopInstanceUid, [u8; 16])>>);

impl KnownStudies {
    /// Whether the views hold every instance of the group.
    fn has(&mut self, archive: &Archive, group: &SeriesGroup) -> Result<bool, ViewsError> {
        let key = StudyKey {
            hospital: group.hospital.clone(),
            study: group.study_uid.clone(),
        };
        if !self.0.contains_key(&key) {
            let known = known_instances(archive, &key)?;
            self.0.insert(key.clone(), known);
        }
        let known = self.0.get(&key);
        Ok(group.instances.iter().all(|instance| {
            let identity = (instance.image.sop_instance.clone(), instance.digest);
            known.is_some_and(|known| known.contains(&identity))
        }))
    }
}

fn known_instances(
    archive: &Archive,
    key: &StudyKey,
) -> Result<HashSet<(SopInstanceUid, [u8; 16])>, ViewsError> {
    let views = archive.views();
    let mut known = HashSet::new();
    if let Some(study) = views.study(key)? {
        for series in 0..study.series.len() {
            for entry in views.all_instances(&study, series)? {
                known.insert((entry.image().sop_instance.clone(), entry.stored.digest));
            }
        }
    }
    let held = views.held(&key.study)?.unwrap_or_default();
    for instance in held.groups.iter().flat_map(|held| &held.group.instances) {
        known.insert((instance.image.sop_instance.clone(), instance.digest));
    }
    Ok(known)
}

struct Parts {
    log: Arc<dyn EventLog>,
    audit: Arc<dyn EventLog>,
    packs: Packs,
    unlogged: Vec<PackId>,
    follower: Follower,
    errors: ErrorDigest,
}

fn open_parts(
    dir: &Path,
    options: ArchiveOptions,
    runtime: tokio::runtime::Handle,
) -> Result<Parts, OpenError> {
    std::fs::create_dir_all(dir).map_err(|source| OpenError::Directory {
        dir: dir.to_owned(),
        source,
    })?;
    let log: Arc<dyn EventLog> =
        Arc::new(EmbeddedLog::open(&dir.join("log"), options.log.clone())?);
    // Reading goes on when nothing more is stored, so its records may use most of what is kept free.
    let audit_options = EmbeddedLogOptions {
        reserve_bytes: options.log.reserve_bytes / AUDIT_RESERVE_PART,
        ..options.log
    };
    let audit: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&dir.join("audit"), audit_options)?);
    let (packs, recovered) = Packs::open(&dir.join("packs"), options.packs)?;
    for cut in &recovered.cut {
        tracing::warn!(pack = %cut.pack, offset = cut.offset, bytes = cut.bytes, "an incomplete last record was moved aside");
    }
    for damage in &recovered.damage {
        tracing::error!(pack = %damage.pack, from = damage.range.start, to = damage.range.end, reason = %damage.reason, "a pack is damaged; the bytes are kept and never served");
    }
    let views_dir = dir.join("views");
    std::fs::create_dir_all(&views_dir).map_err(|source| OpenError::Directory {
        dir: views_dir.clone(),
        source,
    })?;
    let views = open_views(&views_dir)?;
    let follower =
        Follower::start(views_dir, views, Arc::clone(&log), runtime).map_err(OpenError::Follow)?;
    let errors = ErrorDigest::open(&dir.join("refusals"))?;
    let unlogged = recovered.packs.iter().map(|pack| pack.pack).collect();
    Ok(Parts {
        log,
        audit,
        packs,
        unlogged,
        follower,
        errors,
    })
}
