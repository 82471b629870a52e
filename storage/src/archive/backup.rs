//! A copy of an archive at another place, kept up while the archive serves, and an archive made from such a copy.
//!
//! | at the place | what |
//! |---|---|
//! | `log/`, `audit/` | embedded logs with the same records, at the same positions, with the same times |
//! | `packs/ID.pack`, `packs/ID.open` | the packs of this node that are in no object store; open ones as far as they are durable |
//! | `packs/ID.TIME.aside` | a copy that was not as long as its pack, kept for an operator to look at |
//! | `node`, `packs/archive` | which node and which archive it is |
//! | `backup.json` | [`Manifest`]: how far the copy goes, and the digest of the views at a position |
//!
//! The cluster key is not there: who has the copy does not have the secrets of the registry.
//!
//! A round copies what the packs have first and then the log as far as it went before, so that the copy never tells of an
//! image that it lacks. Restoring reads every record and every pack through, makes the views from the log and compares
//! their digest with the one that the archive had at that position.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use uuid::Uuid;
use yingku_core::ids::{PackId, Position};

use super::follower::views_in;
use super::open::{EMBEDDED, EMBEDDED_AUDIT};
use super::replay::replay;
use super::{Archive, SubmitError, identity, node};
use crate::log::{EmbeddedLog, EmbeddedLogOptions, EventLog, LogError, LogOpenError, unix_ms};
use crate::packs::{
    PackError, PackInfo, PackOpenError, PackOptions, Packs, PacksDirectory, VerifyReport,
};
use crate::projector::ProjectError;
use crate::views::{SEGMENT_BYTES, Views, ViewsError};

const MANIFEST: &str = "backup.json";
const PACKS: &str = "packs";
/// Records that are copied at once, and their bytes.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of a pack that are copied at once.
const PIECE_BYTES: u64 = 8 << 20;
/// Between two rounds, so that a busy archive is not copied byte by byte.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// How often the digest is taken: all of the views are read for it.
const PROVE_EVERY: Duration = Duration::from_secs(3_600);

/// How far a copy goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The id of the log's first record.
    pub archive: Uuid,
    /// The copy has every record before it, and every image that those tell of.
    pub position: Position,
    pub audit: Position,
    /// Unix milliseconds.
    pub made_ms: i64,
    pub proof: Option<Proof>,
}

/// What the views were at a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub position: Position,
    /// BLAKE3 of every row, in hex.
    pub digest: String,
}

/// What a round has copied, and what came meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupLag {
    pub position: Position,
    /// Records of the log, and bytes of packs, that the copy lacks.
    pub behind_records: u64,
    pub behind_bytes: u64,
}

/// An archive that was made from a copy.
#[derive(Debug)]
pub struct RestoreReport {
    pub position: Position,
    pub audit: Position,
    /// Where the digest was compared; absent: the copy has none.
    pub proved: Option<Position>,
    pub packs: VerifyReport,
    /// Images that the log tells of, and those of them that no pack has: they are in the object store, or lost.
    pub told: u64,
    pub missing: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} is the archive's own directory, or lies in it", place.display())]
    Own { place: PathBuf },
    #[error("{} holds a copy of another archive ({theirs}, this one is {ours})", place.display())]
    Foreign {
        place: PathBuf,
        theirs: Uuid,
        ours: Uuid,
    },
    #[error(
        "the copy in {} has {copied} records and the log ends at {end}, or has others there: it is a copy of another log", place.display()
    )]
    Ahead {
        place: PathBuf,
        copied: Position,
        end: Position,
    },
    #[error("{} holds no copy of an archive: {MANIFEST} is missing or not readable", place.display())]
    NoCopy { place: PathBuf },
    #[error("{} is there already: give the archive a directory that does not exist", dir.display())]
    Exists { dir: PathBuf },
    #[error(
        "views made from the copy have digest {found} at record {position}, and had {expected} when it was copied: the copy \
         is not the archive. What was made of it is in {}", dir.display()
    )]
    Differs {
        position: Position,
        expected: String,
        found: String,
        dir: PathBuf,
    },
    #[error("files in {}", place.display())]
    Files { place: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    LogOpen(#[from] LogOpenError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    PackOpen(#[from] PackOpenError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// A copy in the making.
struct Copy {
    archive: Archive,
    place: PathBuf,
    log: EmbeddedLog,
    audit: EmbeddedLog,
    manifest: Manifest,
    /// Nobody waits for it any more.
    stop: Arc<AtomicBool>,
    /// Held, so that nobody else copies to this place.
    _directory: PacksDirectory,
}

impl Archive {
    /// Copies the archive to a place, and goes on copying until `gone` resolves; with `once`, until the copy has what there
    /// was at the beginning. `tell` gets where it stands after each round.
    pub async fn back_up(
        &self,
        place: &Path,
        once: bool,
        gone: impl Future<Output = ()>,
        tell: impl Fn(BackupLag) + Send + Sync + 'static,
    ) -> Result<BackupLag, BackupError> {
        let tell: Arc<dyn Fn(BackupLag) + Send + Sync> = Arc::new(tell);
        let (archive, place) = (self.clone(), place.to_owned());
        let mut copy = blocking(move || Copy::open(archive, place)).await?;
        let stop = copy.stop.clone();
        let mut proved: Option<Instant> = None;
        tokio::pin!(gone);
        loop {
            self.settle().await?;
            let mut end = self.log().watch_end();
            let is_due = proved.is_none_or(|proved| proved.elapsed() >= PROVE_EVERY);
            let round = blocking(move || {
                let mut lag = copy.round()?;
                if is_due && !copy.is_stopped() {
                    copy.prove()?;
                    lag = copy.lag()?;
                }
                Ok((lag, copy))
            });
            tokio::pin!(round);
            let (lag, done) = tokio::select! {
                done = &mut round => done?,
                () = &mut gone => {
                    stop.store(true, Ordering::Relaxed);
                    return round.await.map(|(lag, _)| lag);
                }
            };
            copy = done;
            if is_due {
                proved = Some(Instant::now());
            }
            metrics::gauge!("yingku_backup_behind_records").set(lag.behind_records as f64);
            metrics::gauge!("yingku_backup_behind_bytes").set(lag.behind_bytes as f64);
            metrics::gauge!("yingku_backup_last_round_timestamp_seconds")
                .set(copy.manifest.made_ms as f64 / 1_000.0);
            tell(lag);
            if once {
                return Ok(lag);
            }
            let more = async {
                tokio::time::sleep(ROUND_EVERY).await;
                end.wait_for(|end| *end > lag.position).await.is_ok()
            };
            tokio::select! {
                goes_on = more => if !goes_on {
                    return Ok(lag);
                },
                () = &mut gone => return Ok(lag),
            }
        }
    }
}

impl Copy {
    /// Goes on with the copy that is there, or begins one.
    fn open(archive: Archive, place: PathBuf) -> Result<Self, BackupError> {
        let files = |source| BackupError::Files {
            place: place.clone(),
            source,
        };
        fs::create_dir_all(&place).map_err(files)?;
        let place = place.canonicalize().map_err(files)?;
        let own = archive
            .dir()
            .canonicalize()
            .map_err(|source| BackupError::Files {
                place: place.clone(),
                source,
            })?;
        if place.starts_with(&own) || own.starts_with(&place) {
            return Err(BackupError::Own { place });
        }
        let ours = identity::of(&**archive.log())?.ok_or(LogError::Closed)?;
        let directory = PacksDirectory::lock(&place.join(PACKS))?;
        let manifest = match read_manifest(&place) {
            Some(manifest) if manifest.archive != ours => {
                return Err(BackupError::Foreign {
                    place,
                    theirs: manifest.archive,
                    ours,
                });
            }
            Some(manifest) => manifest,
            None => Manifest {
                archive: ours,
                position: Position(0),
                audit: Position(0),
                made_ms: 0,
                proof: None,
            },
        };
        let options = || EmbeddedLogOptions {
            reserve_bytes: 0,
            ..EmbeddedLogOptions::default()
        };
        Ok(Self {
            log: EmbeddedLog::open(&place.join(EMBEDDED), options())?,
            audit: EmbeddedLog::open(&place.join(EMBEDDED_AUDIT), options())?,
            archive,
            place,
            manifest,
            stop: Arc::default(),
            _directory: directory,
        })
    }

    /// Copies what there is more than at the last round.
    fn round(&mut self) -> Result<BackupLag, BackupError> {
        let end = self.archive.log().end()?;
        for name in [node::FILE, &format!("{PACKS}/{}", identity::FILE)] {
            self.copy_small(name)?;
        }
        self.copy_up_to(end)?;
        let archive = self.archive.clone();
        let audit_end = archive.audit_log().end()?;
        self.manifest.audit = self.copy_records(&**archive.audit_log(), &self.audit, audit_end)?;
        self.manifest.made_ms = unix_ms();
        self.write_manifest()?;
        self.lag()
    }

    /// Copies what the packs have, then the records before `end`, which tell of nothing that came later.
    fn copy_up_to(&mut self, end: Position) -> Result<(), BackupError> {
        for info in self.packs(end)? {
            self.copy_pack(info)?;
        }
        if !self.is_stopped() {
            let archive = self.archive.clone();
            self.manifest.position = self.copy_records(&**archive.log(), &self.log, end)?;
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Packs of this node that are nowhere else and that the records before `end` still need.
    fn packs(&self, end: Position) -> Result<Vec<PackInfo>, BackupError> {
        let packs = self.archive.packs();
        let mut listed = packs.list().map_err(|source| self.files(source))?;
        listed.retain(|info| !packs.is_uploaded(info.pack));
        let views = self.archive.views();
        let mut needed = Vec::with_capacity(listed.len());
        for info in listed {
            if !is_given_up(&views, info.pack, end)? {
                needed.push(info);
            }
        }
        Ok(needed)
    }

    /// What was compacted since is in other packs of the copy.
    fn remove_given_up(&self) -> Result<(), BackupError> {
        let views = self.archive.views();
        let folder = self.place.join(PACKS);
        for pack in crate::packs::sealed_in(&folder).map_err(|source| self.files(source))? {
            if is_given_up(&views, pack, self.manifest.position)? {
                let removed = fs::remove_file(self.sealed_path(pack));
                removed.map_err(|source| self.files(source))?;
            }
        }
        Ok(())
    }

    fn lag(&self) -> Result<BackupLag, BackupError> {
        let mut behind_bytes = 0u64;
        for info in self.packs(self.manifest.position)? {
            let size = self.size_of(info.pack)?;
            behind_bytes += size.saturating_sub(self.copied_bytes(info.pack));
        }
        let end = self.archive.log().end()?;
        Ok(BackupLag {
            position: self.manifest.position,
            behind_records: end.0.saturating_sub(self.manifest.position.0),
            behind_bytes,
        })
    }

    /// Durable bytes of a pack; 0: it is gone, because it was empty.
    fn size_of(&self, pack: PackId) -> Result<u64, BackupError> {
        match self.archive.packs().local_part(pack, 0..0) {
            Ok(part) => Ok(part.size),
            Err(PackError::Missing { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn open_path(&self, pack: PackId) -> PathBuf {
        self.place.join(PACKS).join(format!("{pack}.open"))
    }

    fn sealed_path(&self, pack: PackId) -> PathBuf {
        self.place.join(PACKS).join(format!("{pack}.pack"))
    }

    fn copied_bytes(&self, pack: PackId) -> u64 {
        let paths = [self.sealed_path(pack), self.open_path(pack)];
        let found = paths.iter().find_map(|path| fs::metadata(path).ok());
        found.map_or(0, |metadata| metadata.len())
    }

    /// Appends what the copy of a pack lacks; a sealed one that is whole gets its name.
    fn copy_pack(&self, info: PackInfo) -> Result<(), BackupError> {
        let pack = info.pack;
        match fs::metadata(self.sealed_path(pack)) {
            Ok(copied) if !info.sealed || copied.len() == info.bytes => return Ok(()),
            // Another pack than that of which the copy was made, or the original has lost its end: the copy may be the good one.
            Ok(_) => {
                let aside = self
                    .sealed_path(pack)
                    .with_extension(format!("{}.aside", unix_ms()));
                tracing::warn!(%pack, aside = %aside.display(), "the copy of a pack is not as long as the pack is; it is kept aside and copied anew");
                let kept = fs::rename(self.sealed_path(pack), aside);
                kept.map_err(|source| self.files(source))?;
            }
            Err(_) => {}
        }
        let mut at = self.copied_bytes(pack);
        let path = self.open_path(pack);
        let mut options = OpenOptions::new();
        let opened = options.append(true).create(true).open(&path);
        let mut file = opened.map_err(|source| self.files(source))?;
        loop {
            let part = match self.archive.packs().local_part(pack, at..at + PIECE_BYTES) {
                Ok(part) => part,
                Err(PackError::Missing { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            if part.bytes.is_empty() {
                break;
            }
            if self.is_stopped() {
                return Ok(());
            }
            file.write_all(&part.bytes)
                .map_err(|source| self.files(source))?;
            at += part.bytes.len() as u64;
        }
        file.sync_all().map_err(|source| self.files(source))?;
        // It may have been sealed while it was copied: then the next round gives it its name.
        if info.sealed {
            let renamed = fs::rename(&path, self.sealed_path(pack));
            let synced = renamed.and_then(|()| File::open(self.place.join(PACKS))?.sync_all());
            synced.map_err(|source| self.files(source))?;
        }
        Ok(())
    }

    /// Copies records before `end`; where the copy ends.
    fn copy_records(
        &self,
        original: &dyn EventLog,
        copy: &EmbeddedLog,
        end: Position,
    ) -> Result<Position, BackupError> {
        let mut next = copy.end()?;
        let ahead = BackupError::Ahead {
            place: self.place.clone(),
            copied: next,
            end,
        };
        if let Some(last) = next.0.checked_sub(1).map(Position) {
            let (there, here) = (copy.get(last)?, original.get(last)?);
            if there.map(|record| record.bytes) != here.map(|record| record.bytes) {
                return Err(ahead);
            }
        }
        while next < end && !self.is_stopped() {
            let mut records = original.read(next, BATCH_RECORDS, BATCH_BYTES)?;
            records.retain(|record| record.position < end);
            if records.is_empty() {
                break;
            }
            next = Position(next.0 + records.len() as u64);
            Handle::current().block_on(copy.import(records))?;
        }
        Ok(next)
    }

    fn copy_small(&self, name: &str) -> Result<(), BackupError> {
        match fs::read(self.archive.dir().join(name)) {
            Ok(bytes) => write_durably(&self.place.join(name), &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|source| self.files(source))
    }

    /// Takes the digest of the views at a position that the copy has.
    fn prove(&mut self) -> Result<(), BackupError> {
        let views = self.archive.views();
        let frozen = views.freeze();
        let position = frozen.cursor()?.next;
        let digest = hex(&frozen.digest()?);
        self.copy_up_to(position)?;
        if self.manifest.position >= position {
            self.manifest.proof = Some(Proof { position, digest });
        }
        self.write_manifest()?;
        self.remove_given_up()
    }

    fn write_manifest(&self) -> Result<(), BackupError> {
        let bytes = serde_json::to_vec_pretty(&self.manifest).unwrap_or_default();
        write_durably(&self.place.join(MANIFEST), &bytes).map_err(|source| self.files(source))
    }

    fn files(&self, source: io::Error) -> BackupError {
        BackupError::Files {
            place: self.place.clone(),
            source,
        }
    }
}

/// Whether nothing leads to a pack any more after the records before `end`.
fn is_given_up(views: &Views, pack: PackId, end: Position) -> Result<bool, ViewsError> {
    let compacted = views.pack(pack)?.and_then(|row| row.compacted);
    Ok(compacted.is_some_and(|at| at.position < end))
}

/// Makes an archive in `dir`, which is not there yet, from a copy, and proves that it is what was copied. The cluster key
/// is still to be put there.
pub async fn restore(
    place: &Path,
    dir: &Path,
    packs: PackOptions,
) -> Result<RestoreReport, BackupError> {
    let (place, dir) = (place.to_owned(), dir.to_owned());
    blocking(move || restore_blocking(&place, &dir, packs)).await
}

fn restore_blocking(
    place: &Path,
    dir: &Path,
    options: PackOptions,
) -> Result<RestoreReport, BackupError> {
    let no_copy = || BackupError::NoCopy {
        place: place.to_owned(),
    };
    let manifest = read_manifest(place).ok_or_else(no_copy)?;
    // A copy that is being made changes under the reader.
    let copied = PacksDirectory::lock(&place.join(PACKS))?;
    if dir.exists() {
        return Err(BackupError::Exists {
            dir: dir.to_owned(),
        });
    }
    let files = |source| BackupError::Files {
        place: dir.to_owned(),
        source,
    };
    fs::create_dir_all(dir.join(PACKS)).map_err(files)?;
    for (name, end) in [
        (EMBEDDED, manifest.position),
        (EMBEDDED_AUDIT, manifest.audit),
    ] {
        let from = EmbeddedLog::open(&place.join(name), EmbeddedLogOptions::default())?;
        let to = EmbeddedLog::open(&dir.join(name), EmbeddedLogOptions::default())?;
        let mut next = Position(0);
        while next < end {
            let mut records = from.read(next, BATCH_RECORDS, BATCH_BYTES)?;
            records.retain(|record| record.position < end);
            if records.is_empty() {
                return Err(
                    LogError::damaged(next, "the copy ends before its manifest says").into(),
                );
            }
            next = Position(next.0 + records.len() as u64);
            Handle::current().block_on(to.import(records))?;
        }
    }
    copy_files(&place.join(PACKS), &dir.join(PACKS)).map_err(files)?;
    if place.join(node::FILE).exists() {
        fs::copy(place.join(node::FILE), dir.join(node::FILE)).map_err(files)?;
    }
    drop(copied);
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(
        &dir.join(EMBEDDED),
        EmbeddedLogOptions::default(),
    )?);
    let views = prove(dir, &*log, &manifest)?;
    verify_packs(dir, options, &views, &manifest)
}

/// Makes views up to the position of the proof, compares them, and follows the rest.
fn prove(dir: &Path, log: &dyn EventLog, manifest: &Manifest) -> Result<Views, BackupError> {
    let views = views_in(&dir.join("views")).map_err(|source| BackupError::Files {
        place: dir.to_owned(),
        source,
    })?;
    let stop = AtomicBool::new(false);
    let at = manifest.proof.as_ref().map(|proof| proof.position);
    let end = at.unwrap_or(manifest.position);
    let views = Views::open(&views)?;
    let (cursor, registry) = replay(&views, log, end, SEGMENT_BYTES, &stop)?;
    if let Some(proof) = &manifest.proof {
        let found = hex(&views.digest()?);
        if found != proof.digest {
            return Err(BackupError::Differs {
                position: proof.position,
                expected: proof.digest.clone(),
                found,
                dir: dir.to_owned(),
            });
        }
    }
    super::follower::follow_up(&views, log, cursor, registry, manifest.position)?;
    Ok(views)
}

/// Reads every pack through, and looks for every image that the log tells of.
fn verify_packs(
    dir: &Path,
    options: PackOptions,
    views: &Views,
    manifest: &Manifest,
) -> Result<RestoreReport, BackupError> {
    let registry = views.registry()?;
    let nodes: BTreeSet<u16> = registry.nodes.keys().copied().chain([0]).collect();
    let directory = PacksDirectory::lock(&dir.join(PACKS))?;
    let unknown = |pack, offset| match views.logged_offsets(pack) {
        Ok(logged) => logged.contains(&offset),
        Err(_) => true,
    };
    let options = PackOptions {
        objects: None,
        ..options
    };
    let (packs, _) = Packs::open_locked(directory, options, &unknown)?;
    let (mut told, mut missing) = (0u64, 0u64);
    for node in nodes {
        for pack in views.logged_packs(node)? {
            let logged = views.logged_offsets(pack)?;
            told += logged.len() as u64;
            let found = match packs.offsets(pack) {
                Err(PackError::Missing { .. }) => BTreeSet::new(),
                found => found?,
            };
            missing += logged.difference(&found).count() as u64;
        }
    }
    let report = packs.verify(|_| ())?;
    packs.close();
    Ok(RestoreReport {
        position: manifest.position,
        audit: manifest.audit,
        proved: manifest.proof.as_ref().map(|proof| proof.position),
        packs: report,
        told,
        missing,
    })
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copied = to.join(entry.file_name());
            fs::copy(entry.path(), &copied)?;
            File::open(&copied)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

fn read_manifest(place: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(place.join(MANIFEST)).ok()?).ok()
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    let staged = path.with_extension("new");
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(LogError::Closed.into()))
}
