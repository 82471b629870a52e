//! Moving an archive between an embedded log and a Kafka topic, and out of an object store.
//!
//! The log is copied record by record, each to the position and with the time that it had, so that the views that follow
//! from the copy are those that followed from the original: that is the proof, and it is made before anything is called
//! done. The original stays beside the archive, under [`KEPT`], for an operator to remove.
//!
//! A copy that broke off is taken up where it got to. Nobody else may use the archive meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use yingku_core::ids::{PackId, Position};

use super::open::{
    ArchiveOptions, EMBEDDED, EMBEDDED_AUDIT, KAFKA_AUDIT, KAFKA_EVENTS, LogOptions, OpenError,
    open_logs,
};
use super::{Archive, RebuildError, SubmitError, identity};
use crate::keys::ClusterKey;
use crate::log::{EventLog, LogError, unix_ms};
use crate::packs::{BroughtHome, PackOpenError, PacksDirectory, bring_home};
use crate::projector::AWAY_RETRY;
use crate::views::ViewsError;

/// Directory of the copy while it is made.
const STAGED: &str = "migration";
/// Directory of what was copied, afterwards.
const KEPT: &str = "before-migration";
/// Records that are copied at once, and their bytes.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;
/// How often in a row a log that is away is asked again: half a minute.
const AWAY_RETRIES: u32 = 120;

/// What was moved.
#[derive(Debug, Clone)]
pub struct MigrationReport {
    /// Where the log ends, before and after.
    pub end: Position,
    pub audit_end: Position,
    /// Digest of the views that were there, and of those that were made from the copy: equal.
    pub digest: [u8; 32],
    pub brought: BroughtHome,
    /// Packs that the log names and this directory does not have: other nodes' that were never uploaded.
    pub missing: Vec<PackId>,
    /// Where the original is.
    pub kept: PathBuf,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationStep {
    Copied {
        next: Position,
        end: Position,
    },
    /// A pack is fetched, so many are left.
    Fetching {
        pack: PackId,
        left: usize,
    },
    /// Views are made from the copy.
    Proving,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("the archive is to be kept as it is kept already: there is nothing to move")]
    Nothing,
    #[error(
        "{} is there: what was moved before. Look whether it is needed, then remove it", dir.display()
    )]
    Before { dir: PathBuf },
    #[error(
        "another node of this archive has the duties for {0} s more: stop all nodes, and wait so long"
    )]
    Running(i64),
    #[error(
        "from one object store to another nothing is moved: bring the packs home first (settings without objects.location)"
    )]
    ObjectsElsewhere,
    #[error(
        "the log to copy to has {end} records, the last of which is not this archive's: give it an empty topic"
    )]
    NotEmpty { end: Position },
    #[error("the archive as it is")]
    From(#[source] OpenError),
    #[error(
        "the archive as it was moved; the original is in {}", kept.display()
    )]
    To { source: OpenError, kept: PathBuf },
    #[error(
        "views made from the copy are not those that were there, at record {at} and {copied_at}: the copy is not used. The \
         original is in {}; put it back in its place", kept.display()
    )]
    Differs {
        at: Position,
        copied_at: Position,
        kept: PathBuf,
    },
    #[error(transparent)]
    Packs(#[from] PackOpenError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error("files of the archive in {}", dir.display())]
    Files { dir: PathBuf, source: io::Error },
}

/// Moves the archive in `dir`, which nobody uses, from how it is kept to how it is to be kept.
pub async fn migrate(
    dir: &Path,
    from: ArchiveOptions,
    to: ArchiveOptions,
    key: ClusterKey,
    progress: impl Fn(MigrationStep) + Send + Sync + 'static,
) -> Result<MigrationReport, MigrateError> {
    let progress: Arc<dyn Fn(MigrationStep) + Send + Sync> = Arc::new(progress);
    let kept = dir.join(KEPT);
    if kept.exists() {
        return Err(MigrateError::Before { dir: kept });
    }
    let home = match (&from.packs.objects, &to.packs.objects) {
        (Some(from), Some(to)) if !from.location.is_same_place(&to.location) => {
            return Err(MigrateError::ObjectsElsewhere);
        }
        (Some(from), None) => Some(from.clone()),
        _ => None,
    };
    let moves_log = !from.log.is_same_place(&to.log);
    if !moves_log && home.is_none() {
        return Err(MigrateError::Nothing);
    }
    // Whole, and with what its packs have that its log lacks.
    let (at, digest) = standing(dir, &from, &key).await?;
    let directory = PacksDirectory::lock(&dir.join("packs"))?;
    let ends = copy_logs(dir, &from, &to, moves_log, Arc::clone(&progress)).await?;
    let mut brought = BroughtHome::default();
    if let Some(objects) = home {
        let told = |pack, left| progress(MigrationStep::Fetching { pack, left });
        brought = bring_home(&directory, dir, &objects, ends.archive, told).await?;
    }
    if moves_log {
        switch(dir, &kept).map_err(|source| MigrateError::Files {
            dir: dir.to_owned(),
            source,
        })?;
    }
    drop(directory);
    progress(MigrationStep::Proving);
    let failed = |source| MigrateError::To {
        source,
        kept: kept.clone(),
    };
    let archive = Archive::open(dir, to, key).await.map_err(failed)?;
    let proved = prove(&archive, at, digest, &kept).await;
    archive.close().await;
    let missing = proved?;
    Ok(MigrationReport {
        end: ends.events,
        audit_end: ends.audit,
        digest,
        brought,
        missing,
        kept,
    })
}

/// Where the archive stands, and the digest of its views.
async fn standing(
    dir: &Path,
    options: &ArchiveOptions,
    key: &ClusterKey,
) -> Result<(Position, [u8; 32]), MigrateError> {
    let opened = Archive::open(dir, options.clone(), key.clone()).await;
    let archive = opened.map_err(MigrateError::From)?;
    let now = unix_ms();
    // That this directory's node does not run its lock tells.
    let registry = archive.registry();
    let others = registry
        .leases
        .values()
        .filter(|lease| lease.node != archive.node());
    let left = others.map(|lease| lease.until_ms - now).max();
    let running = left.filter(|left| *left > 0);
    let settled = archive.settle().await;
    let views = archive.views();
    archive.close().await;
    drop(archive);
    if let Some(left_ms) = running {
        return Err(MigrateError::Running(left_ms / 1_000 + 1));
    }
    settled?;
    let standing = blocking(move || {
        let frozen = views.freeze();
        Ok((frozen.cursor()?.next, frozen.digest()?))
    });
    standing.await
}

struct CopiedEnds {
    archive: uuid::Uuid,
    events: Position,
    audit: Position,
}

/// Copies both logs, if they are to move.
async fn copy_logs(
    dir: &Path,
    from: &ArchiveOptions,
    to: &ArchiveOptions,
    moves: bool,
    progress: Arc<dyn Fn(MigrationStep) + Send + Sync>,
) -> Result<CopiedEnds, MigrateError> {
    let (dir, from, to) = (dir.to_owned(), from.log.clone(), to.log.clone());
    let runtime = Handle::current();
    blocking(move || {
        let (events, audit) = open_logs(&dir, from, &runtime).map_err(MigrateError::From)?;
        let archive = identity::of(&*events)?.ok_or(LogError::Closed)?;
        let mut ends = CopiedEnds {
            archive,
            events: events.end()?,
            audit: audit.end()?,
        };
        if moves {
            let staged = dir.join(STAGED);
            fs::create_dir_all(&staged).map_err(|source| MigrateError::Files {
                dir: staged.clone(),
                source,
            })?;
            let (events_copy, audit_copy) =
                open_logs(&staged, to, &runtime).map_err(MigrateError::From)?;
            ends.events = copy(&*events, &*events_copy, &runtime, &*progress)?;
            ends.audit = copy(&*audit, &*audit_copy, &runtime, &*progress)?;
        }
        Ok(ends)
    })
    .await
}

/// Copies what the copy lacks; the end. Blocks.
fn copy(
    original: &dyn EventLog,
    copy: &dyn EventLog,
    runtime: &Handle,
    progress: &dyn Fn(MigrationStep),
) -> Result<Position, MigrateError> {
    let mut retries = 0;
    loop {
        match copy_more(original, copy, runtime) {
            Ok((next, end)) if next == end => return Ok(end),
            Ok((next, end)) => {
                retries = 0;
                progress(MigrationStep::Copied { next, end });
            }
            // What of a batch was taken is seen by the next look at the copy's end.
            Err(MigrateError::Log(error)) if error.is_away() && retries < AWAY_RETRIES => {
                retries += 1;
                std::thread::sleep(AWAY_RETRY);
            }
            Err(error) => return Err(error),
        }
    }
}

fn copy_more(
    original: &dyn EventLog,
    copy: &dyn EventLog,
    runtime: &Handle,
) -> Result<(Position, Position), MigrateError> {
    let next = runtime.block_on(async {
        let next = copy.latest_end().await?;
        let mut seen = copy.watch_end();
        let reached = seen.wait_for(|end| *end >= next).await;
        reached.map(|_| next).map_err(|_| LogError::Closed)
    })?;
    let end = original.end()?;
    if let Some(last) = next.0.checked_sub(1).map(Position) {
        let (there, here) = (copy.get(last)?, original.get(last)?);
        if there.map(|record| record.bytes) != here.map(|record| record.bytes) {
            return Err(MigrateError::NotEmpty { end: next });
        }
    }
    let records = original.read(next, BATCH_RECORDS, BATCH_BYTES)?;
    let copied = Position(next.0 + records.len() as u64);
    runtime.block_on(copy.import(records))?;
    Ok((copied, end))
}

/// Puts the copy in the original's place.
fn switch(dir: &Path, kept: &Path) -> io::Result<()> {
    let names = [EMBEDDED, EMBEDDED_AUDIT, KAFKA_EVENTS, KAFKA_AUDIT];
    let staged = dir.join(STAGED);
    fs::create_dir_all(kept)?;
    let move_all = |from: &Path, to: &Path| -> io::Result<()> {
        for name in names {
            match fs::rename(from.join(name), to.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(from)?.sync_all()?;
        File::open(to)?.sync_all()
    };
    // Between the two the directory has no log, and an archive that is opened there finds its views ahead of it.
    move_all(dir, kept)?;
    move_all(&staged, dir)?;
    fs::remove_dir_all(&staged)
}

/// Makes the views anew from the copy and compares them. Packs that the log names and that are nowhere.
async fn prove(
    archive: &Archive,
    at: Position,
    digest: [u8; 32],
    kept: &Path,
) -> Result<Vec<PackId>, MigrateError> {
    let rebuilding = archive.clone();
    let rebuilt = blocking(move || Ok(rebuilding.rebuild()?)).await?;
    let views = archive.views();
    let copied_at = views.cursor()?.next;
    if (copied_at, rebuilt.digest) != (at, digest) {
        return Err(MigrateError::Differs {
            at,
            copied_at,
            kept: kept.to_owned(),
        });
    }
    let mut missing = Vec::new();
    if archive.packs().objects_options().is_none() {
        let registry = archive.registry();
        let others = registry.nodes.keys().copied();
        for node in std::iter::once(archive.node()).chain(others) {
            missing.extend(views.logged_packs(node)?);
        }
        missing.retain(|pack| !archive.packs().has(*pack));
        missing.sort_unstable();
        missing.dedup();
    }
    Ok(missing)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MigrateError> + Send + 'static,
) -> Result<T, MigrateError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(MigrateError::Files {
            dir: PathBuf::new(),
            source: io::Error::other(error),
        })
    })
}

impl LogOptions {
    fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Embedded(_), Self::Embedded(_)) => true,
            (Self::Kafka(one), Self::Kafka(other)) => one.is_same_place(other),
            _ => false,
        }
    }
}
