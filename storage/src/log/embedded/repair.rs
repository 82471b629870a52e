//! Makes a damaged log usable again: copies it aside whole, then keeps every record before the damage.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::{DB, WriteBatch, WriteOptions};
use yingku_core::ids::Position;

use super::{open_database, options, record, wal};

/// Payload of one batch while records are copied.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Copies of damaged logs that may lie beside the log before the operator must clear some away.
const MAX_COPIES: u32 = 100;

/// What the repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// Where the log lies as it was found.
    pub copy: PathBuf,
    /// The end of the repaired log: records before it were kept.
    pub end: Position,
    /// Why nothing after that was kept; `None` if the log could be read to its end.
    pub cut_because: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("there is no event log in {}", .0.display())]
    Missing(PathBuf),
    #[error("{} copies of damaged logs lie beside {} already; move them away", MAX_COPIES, .0.display())]
    TooManyCopies(PathBuf),
    #[error("the event log is in use; stop the service first")]
    InUse,
    #[error("copying or moving files of the event log failed")]
    Io(#[from] io::Error),
    #[error(
        "not one record of the log in {} can be read ({reason}); it is unchanged, and its copy is {}; to begin with an empty \
         log all the same, repair with --force",
        dir.display(), copy.display()
    )]
    NothingKept {
        dir: PathBuf,
        copy: PathBuf,
        reason: String,
    },
    #[error("the repaired log could not be written")]
    Database(#[from] rocksdb::Error),
    #[error("nothing of the log in {} can be read; it is unchanged", dir.display())]
    Unreadable {
        dir: PathBuf,
        source: rocksdb::Error,
    },
}

/// Repairs the log in `dir`. The service must not run. Nothing is destroyed: `<dir>.damaged-<n>` keeps all.
///
/// A repaired log may end earlier than before: views that went further refuse to serve it until they are removed and made
/// anew. `force`: also if nothing at all can be kept.
pub fn repair(dir: &Path, force: bool) -> Result<RepairReport, RepairError> {
    if !dir.is_dir() {
        return Err(RepairError::Missing(dir.to_owned()));
    }
    let copy = free_name(dir, "damaged")?;
    let work = free_name(dir, "salvage")?;
    let fresh = free_name(dir, "repaired")?;
    refuse_if_in_use(dir)?;
    copy_dir(dir, &copy)?;
    // Opening writes to a database, so that what is read is a copy too.
    copy_dir(dir, &work)?;
    let kept = keep_good_prefix(&work, &fresh);
    fs::remove_dir_all(&work)?;
    let (end, cut_because) = match kept {
        Ok(kept) => kept,
        Err(error) => {
            if fresh.exists() {
                fs::remove_dir_all(&fresh)?;
            }
            return Err(error);
        }
    };
    if let (Position(0), Some(reason), false) = (end, &cut_because, force) {
        fs::remove_dir_all(&fresh)?;
        return Err(RepairError::NothingKept {
            dir: dir.to_owned(),
            copy,
            reason: reason.clone(),
        });
    }
    // A crash between the two renames leaves no log at `dir`; it still lies whole in the copy and in `fresh`.
    let old = free_name(dir, "replaced")?;
    fs::rename(dir, &old)?;
    fs::rename(&fresh, dir)?;
    sync_parent(dir)?;
    fs::remove_dir_all(&old)?;
    Ok(RepairReport {
        copy,
        end,
        cut_because,
    })
}

/// Copies every good record from position 0 on until the first that is missing or wrong.
fn keep_good_prefix(
    damaged: &Path,
    fresh: &Path,
) -> Result<(Position, Option<String>), RepairError> {
    let unreadable = |source| RepairError::Unreadable {
        dir: damaged.to_owned(),
        source,
    };
    let mut rebuild = !damaged.join("CURRENT").exists();
    let mut cut_because = None;
    for damage in wal::scan(damaged)? {
        // RocksDB may loop over a bad record: in the copy it meets none.
        rebuild |= damage.in_manifest;
        if !damage.in_manifest {
            let name = damage.file.file_name().unwrap_or_default();
            let words = format!(
                "{} has a bad record at byte {}",
                name.display(),
                damage.offset
            );
            cut_because.get_or_insert(words);
        }
        let file = fs::OpenOptions::new().write(true).open(&damage.file)?;
        file.set_len(damage.offset as u64)?;
    }
    if rebuild || DB::open(&options::salvage(), damaged).is_err() {
        DB::repair(&options::salvage(), damaged).map_err(unreadable)?;
    }
    let old = DB::open(&options::salvage(), damaged).map_err(unreadable)?;
    let new = open_database(fresh).map_err(io::Error::other)?;
    let mut next = Position(0);
    let mut batch = WriteBatch::default();
    // One by one: a walk over all tables ends at once where one of them is damaged, be it the last.
    loop {
        match old.get_pinned_opt(record::key(next), &options::reading()) {
            Ok(Some(value)) => match record::decode(next, &value) {
                Ok(_) => batch.put(record::key(next), &value),
                Err(error) => {
                    cut_because = Some(error.to_string());
                    break;
                }
            },
            Ok(None) => {
                let later = is_later(&old, next);
                cut_because = later.map_or_else(
                    |error| Some(error.to_string()),
                    |later| {
                        later
                            .then(|| format!("no record at position {next}"))
                            .or(cut_because)
                    },
                );
                break;
            }
            Err(error) => {
                cut_because = Some(error.to_string());
                break;
            }
        }
        if batch.size_in_bytes() > BATCH_BYTES {
            new.write(std::mem::take(&mut batch))?;
        }
        next = next.next();
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    new.write_opt(batch, &synced)?;
    new.flush()?;
    Ok((next, cut_because))
}

/// Whether there is any record behind a position.
fn is_later(log: &DB, position: Position) -> Result<bool, rocksdb::Error> {
    let mut rows = log.raw_iterator_opt(options::reading());
    rows.seek(record::key(position));
    let found = rows.valid();
    rows.status().map(|()| found)
}

/// RocksDB holds a lock on the file LOCK while a database is open.
fn refuse_if_in_use(dir: &Path) -> Result<(), RepairError> {
    let lock = dir.join("LOCK");
    if !lock.exists() {
        return Ok(());
    }
    let file = fs::OpenOptions::new().write(true).open(lock)?;
    match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(_) => Err(RepairError::InUse),
    }
}

fn free_name(dir: &Path, what: &str) -> Result<PathBuf, RepairError> {
    (1..=MAX_COPIES)
        .map(|n| {
            let mut name = dir.as_os_str().to_owned();
            name.push(format!(".{what}-{n}"));
            PathBuf::from(name)
        })
        .find(|path| !path.exists())
        .ok_or_else(|| RepairError::TooManyCopies(dir.to_owned()))
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
