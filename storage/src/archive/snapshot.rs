//! Snapshots of the views in the object store, from which a new node starts instead of reading the whole log.
//!
//! | object | what |
//! |---|---|
//! | `PREFIX/snapshots/FOLDER.json` | [`Manifest`]: what the snapshot is of, and its files; written last |
//! | `PREFIX/snapshot-files/FOLDER/NAME` | a file of the views' database, as a checkpoint gave it |
//!
//! A snapshot is believed as far as it agrees with the log: the record before its position must be the one that it names.
//! What comes out of it is compared file by file with the digests of the manifest; whatever is wrong with one costs the
//! time of a replay and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use yingku_core::envelope::Envelope;
use yingku_core::ids::Position;

use super::Archive;
use crate::log::{EventLog, LogError, unix_ms};
use crate::objects::{Bucket, ClaimError, ObjectsError, ObjectsOptions};
use crate::views::{Cursor, ROWS_VERSION, Views, ViewsError};

const MANIFESTS: &str = "snapshots";
const FILES: &str = "snapshot-files";
/// Snapshots that are kept: a node may be reading the one before the last.
const KEPT: usize = 2;
/// Where a snapshot is put together before it is uploaded.
const STAGED: &str = "snapshot.staged";
/// A log that is this little ahead of empty views is read sooner than a snapshot is fetched.
const WORTH_RECORDS: u64 = 1_000;

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The views have every record before it.
    pub position: Position,
    /// Id of the record before it, in hex.
    pub last_id: String,
    pub rows_version: u32,
    /// Unix milliseconds.
    pub made_ms: i64,
    /// Begins with the position, so that names are in the order of positions; no two snapshots share one.
    folder: String,
    files: Vec<SnapshotFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SnapshotFile {
    name: String,
    bytes: u64,
    /// BLAKE3 in hex.
    digest: String,
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotReport {
    pub position: Position,
    pub files: usize,
    pub bytes: u64,
    pub took: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("there is no object store to keep snapshots in: set objects.location")]
    NoObjects,
    #[error("the object store: {0}")]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("files of the snapshot: {0}")]
    Files(#[from] io::Error),
    #[error("the manifest of a snapshot: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error("file {name} of the snapshot is not what its manifest says")]
    Differs { name: String },
    #[error(transparent)]
    Place(#[from] ClaimError),
}

impl Manifest {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn key(&self) -> String {
        format!("{MANIFESTS}/{}.json", self.folder)
    }

    fn key_of(&self, file: &SnapshotFile) -> String {
        format!("{FILES}/{}/{}", self.folder, file.name)
    }
}

impl Archive {
    /// Puts the views as they are now into the object store, and takes all but the last few snapshots away. One at a time: an
    /// operator's waits for the one that is made by itself.
    pub async fn snapshot(&self) -> Result<SnapshotReport, SnapshotError> {
        let since = Instant::now();
        let _alone = self.inner.snapshotting.lock().await;
        let bucket = self.snapshot_bucket()?;
        let staged = Staged::new(&self.inner.dir)?;
        let (views, path) = (self.views(), staged.0.clone());
        let (cursor, files) = in_thread(move || take(&views, &path)).await?;
        let manifest = Manifest {
            position: cursor.next,
            last_id: hex_of(&cursor.last_id),
            rows_version: cursor.rows_version,
            made_ms: unix_ms(),
            folder: format!("{:020}-{}", cursor.next.0, Uuid::now_v7()),
            files,
        };
        for file in &manifest.files {
            let path = staged.0.join(&file.name);
            bucket.put_file(&manifest.key_of(file), &path).await?;
        }
        let bytes = serde_json::to_vec(&manifest)?;
        bucket.put(&manifest.key(), bytes.into()).await?;
        forget_old(&bucket).await?;
        Ok(SnapshotReport {
            position: manifest.position,
            files: manifest.files.len(),
            bytes: manifest.bytes(),
            took: since.elapsed(),
        })
    }

    /// When the last snapshot was made, unix milliseconds.
    pub async fn last_snapshot_ms(&self) -> Result<Option<i64>, SnapshotError> {
        let bucket = self.snapshot_bucket()?;
        let found = manifests(&bucket).await?;
        Ok(found.last().map(|(_, last)| last.made_ms))
    }

    fn snapshot_bucket(&self) -> Result<Bucket, SnapshotError> {
        let options = self.inner.packs.objects_options();
        Ok(Bucket::open(options.ok_or(SnapshotError::NoObjects)?)?)
    }
}

/// A directory that goes again.
struct Staged(PathBuf);

impl Staged {
    fn new(dir: &Path) -> io::Result<Self> {
        let path = dir.join(STAGED);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self(path)),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// Makes a checkpoint in `path`; what it is of, and its files.
fn take(views: &Views, path: &Path) -> Result<(Cursor, Vec<SnapshotFile>), SnapshotError> {
    views.checkpoint(path)?;
    let cursor = {
        // Opened once: only what opens is worth keeping. What that writes beside the files is part of it.
        Views::open(path)?.cursor()?
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_file() || name == "LOCK" || name.starts_with("LOG") {
            continue;
        }
        files.push(SnapshotFile {
            bytes: entry.metadata()?.len(),
            digest: digest_of(&entry.path())?,
            name,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((cursor, files))
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// All of this release's rows and of others', each with its key, the newest last. One that cannot be read is left out.
async fn manifests(bucket: &Bucket) -> Result<Vec<(String, Manifest)>, SnapshotError> {
    let mut names: Vec<String> = bucket
        .list(MANIFESTS)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        let key = format!("{MANIFESTS}/{name}");
        let Some(bytes) = bucket.get(&key).await? else {
            continue;
        };
        match serde_json::from_slice(&bytes) {
            Ok(manifest) => found.push((key, manifest)),
            Err(error) => {
                tracing::warn!(%name, %error, "the manifest of a snapshot is not readable")
            }
        }
    }
    Ok(found)
}

/// The manifest goes first: what has none is no snapshot.
async fn forget_old(bucket: &Bucket) -> Result<(), SnapshotError> {
    let mut old = manifests(bucket).await?;
    old.truncate(old.len().saturating_sub(KEPT));
    for (key, manifest) in old {
        bucket.delete(&key).await?;
        for file in &manifest.files {
            bucket.delete(&manifest.key_of(file)).await?;
        }
    }
    Ok(())
}

/// Fetches the newest snapshot that this release can read and that agrees with the log into `path`. `None`: there is none
/// that is worth it.
pub(super) async fn restore(
    options: &ObjectsOptions,
    archive: Uuid,
    log: &dyn EventLog,
    path: &Path,
) -> Result<Option<Position>, SnapshotError> {
    if log.end()?.0 < WORTH_RECORDS {
        return Ok(None);
    }
    let bucket = Bucket::open(options)?;
    if !crate::objects::belongs_to(&bucket, archive).await? {
        return Ok(None);
    }
    let found = manifests(&bucket).await?;
    for (_, manifest) in found.iter().rev() {
        if manifest.rows_version != ROWS_VERSION || !is_of_this_log(manifest, log)? {
            continue;
        }
        tracing::info!(position = %manifest.position, bytes = manifest.bytes(), "the views start from a snapshot");
        fetch(&bucket, manifest, path).await?;
        return Ok(Some(manifest.position));
    }
    Ok(None)
}

fn is_of_this_log(manifest: &Manifest, log: &dyn EventLog) -> Result<bool, LogError> {
    let Some(last) = manifest.position.0.checked_sub(1) else {
        return Ok(false);
    };
    let record = log.get(Position(last))?;
    let id = record.and_then(|record| Envelope::id_of(&record.bytes));
    Ok(id.is_some_and(|id| hex_of(&id) == manifest.last_id))
}

async fn fetch(bucket: &Bucket, manifest: &Manifest, path: &Path) -> Result<(), SnapshotError> {
    fs::create_dir_all(path)?;
    for file in &manifest.files {
        // A name is a file of this directory and nothing else.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !file.name.chars().all(plain) || file.name.starts_with('.') {
            return Err(SnapshotError::Differs {
                name: "?".to_owned(),
            });
        }
        let target = path.join(&file.name);
        bucket
            .get_file(&manifest.key_of(file), file.bytes, &target)
            .await?;
        let digest = in_thread(move || Ok(digest_of(&target)?)).await?;
        if digest != file.digest {
            return Err(SnapshotError::Differs {
                name: file.name.clone(),
            });
        }
    }
    Ok(())
}

fn hex_of(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}
