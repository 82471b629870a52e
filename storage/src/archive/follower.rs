//! Following the log on a thread of its own, and making new views beside the old ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use yingku_core::ids::Position;
use yingku_core::registry::Registry;

use super::replay::replay;
use super::{RebuildError, Shared};
use crate::log::{EventLog, LogError};
use crate::projector::{AWAY_RETRY, Applied, ProjectError, apply_batch, read_batch};
use crate::views::{Cursor, SEGMENT_BYTES, Views, ViewsError};

/// File that names the views in use.
const CURRENT: &str = "current";
/// A log of which at least this many records are to be followed into empty views is replayed in pieces.
const REPLAY_RECORDS: u64 = 10_000;

/// How long a stop waits for a rebuild to see it.
const REBUILD_STOPS_WITHIN: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a rebuild did.
#[derive(Debug, Clone)]
pub struct RebuildReport {
    pub records: u64,
    /// Until the new views were whole and written.
    pub replayed: Duration,
    /// With both digests.
    pub took: Duration,
    pub digest: [u8; 32],
    /// Digest of the views that were replaced, at the same position: equal unless they were damaged.
    pub replaced_digest: Option<[u8; 32]>,
}

pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    log: Arc<dyn EventLog>,
    stop: Arc<AtomicBool>,
    wake: watch::Sender<()>,
    swaps: mpsc::Sender<Swap>,
    thread: Mutex<Option<JoinHandle<()>>>,
    rebuilding: Mutex<()>,
    views_dir: PathBuf,
}

/// Views made anew, to be brought to the follower's own position and put in place of the old ones.
struct Swap {
    views: Views,
    cursor: Cursor,
    registry: Arc<Registry>,
    done: oneshot::Sender<Result<Swapped, BoxError>>,
    /// Nothing is written into the new views until this tells (or is gone): their rows are frozen for the digest.
    frozen: mpsc::Receiver<()>,
}

/// Both views at the moment of the swap.
struct Swapped {
    old: Arc<Views>,
    new: Arc<Views>,
    /// Whether the old ones had come as far as the new.
    at_same_position: bool,
}

/// Opens the views that are in use; damaged ones and those of another release are made anew by following the log.
/// Whatever else lies beside them is left over from a rebuild that a stop broke off, and goes.
pub(super) fn open_views(views_dir: &Path) -> Result<Views, ViewsError> {
    let views = match open_current(views_dir) {
        Some(views) => views,
        None => {
            let path = next_path(views_dir);
            set_current(views_dir, &path);
            Views::open(&path)?
        }
    };
    sweep(views_dir, views.path());
    Ok(views)
}

/// Views that are to be used from now on instead of empty ones.
pub(super) fn use_views(views_dir: &Path, path: &Path) -> Result<Views, ViewsError> {
    let views = Views::open(path)?;
    set_current(views_dir, path);
    sweep(views_dir, path);
    Ok(views)
}

/// Where the views of an archive in the making go.
pub(super) fn views_in(views_dir: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(views_dir)?;
    let path = next_path(views_dir);
    set_current(views_dir, &path);
    Ok(path)
}

/// Brings views that nobody else uses from a position to a later one.
pub(super) fn follow_up(
    views: &Views,
    log: &dyn EventLog,
    mut cursor: Cursor,
    mut registry: Arc<Registry>,
    end: Position,
) -> Result<(Cursor, Arc<Registry>), ProjectError> {
    while cursor.next < end {
        let at = cursor.next;
        let batch = read_batch(log, at)?.before(end);
        let applied = apply_batch(views, &registry, cursor, batch)?;
        cursor = applied.cursor;
        registry = applied.registry.unwrap_or(registry);
        if let Some(failure) = applied.failure {
            return Err(failure);
        }
        if cursor.next == at {
            return Err(LogError::damaged(at, "the log ends before it").into());
        }
    }
    Ok((cursor, registry))
}

/// How far the views of a stopped archive have followed its log; `None`: there are none that can be read.
pub fn views_position(dir: &Path) -> Option<Position> {
    let views = current_path(&dir.join("views"));
    let is_there = views.is_dir();
    let cursor = is_there.then(|| Views::open(&views).and_then(|views| views.cursor()))?;
    cursor.ok().map(|cursor| cursor.next)
}

/// The views in use, if this release can use them.
fn open_current(views_dir: &Path) -> Option<Views> {
    let opened = Views::open(&current_path(views_dir)).and_then(|views| {
        let cursor = views.cursor()?;
        views.registry()?;
        Ok((views, cursor))
    });
    match opened {
        Ok((views, cursor)) if cursor.rows_version == crate::views::ROWS_VERSION => Some(views),
        Ok(_) => {
            tracing::info!("views of another release are made anew");
            None
        }
        Err(error) => {
            tracing::error!(%error, "views are damaged and made anew from the log");
            None
        }
    }
}

/// Removes every directory of views but the one in use.
fn sweep(views_dir: &Path, in_use: &Path) {
    let entries = match std::fs::read_dir(views_dir) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "the views directory cannot be read");
            return;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix('v'));
        let is_views = number.is_some_and(|number| number.parse::<u32>().is_ok());
        if is_views
            && path != in_use
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "old views could not be removed");
        }
    }
}

fn current_path(views_dir: &Path) -> PathBuf {
    let name = std::fs::read_to_string(views_dir.join(CURRENT)).unwrap_or_default();
    let name = name.trim();
    views_dir.join(if name.is_empty() { "v1" } else { name })
}

/// A directory that is not there yet.
pub(super) fn next_path(views_dir: &Path) -> PathBuf {
    (2u32..)
        .map(|number| views_dir.join(format!("v{number}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| views_dir.join("v0"))
}

/// A lost pointer only costs a replay, so it is written without ceremony but in one piece.
fn set_current(views_dir: &Path, path: &Path) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let staged = views_dir.join("current.new");
    let result = std::fs::create_dir_all(views_dir)
        .and_then(|()| std::fs::write(&staged, name.unwrap_or_default()))
        .and_then(|()| std::fs::rename(&staged, views_dir.join(CURRENT)));
    if let Err(error) = result {
        tracing::warn!(%error, "the name of the views in use could not be written");
    }
}

impl Follower {
    /// Starts to follow; returns at once.
    pub(super) fn start(
        views_dir: PathBuf,
        views: Views,
        log: Arc<dyn EventLog>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, BoxError> {
        let cursor = views.cursor()?;
        check_cursor(&*log, &cursor)?;
        let registry = views.registry()?;
        let shared = Arc::new(Shared {
            views: RwLock::new(Arc::new(views)),
            replaced: watch::Sender::new(()),
            registry: RwLock::new(Arc::new(registry)),
            projected: watch::Sender::new(cursor.next),
            followed: AtomicU64::new(0),
            waiters: Mutex::default(),
            stopped: watch::Sender::new(None),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (swaps, incoming) = mpsc::channel();
        let wake = watch::Sender::new(());
        let thread = Thread {
            shared: Arc::clone(&shared),
            log: Arc::clone(&log),
            stop: Arc::clone(&stop),
            woken: wake.subscribe(),
            swaps: incoming,
            views_dir: views_dir.clone(),
            cursor,
            runtime,
        };
        let thread = std::thread::Builder::new()
            .name("projector".into())
            .spawn(move || thread.run())?;
        Ok(Self {
            shared,
            log,
            stop,
            wake,
            swaps,
            thread: Mutex::new(Some(thread)),
            rebuilding: Mutex::new(()),
            views_dir,
        })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.send_replace(());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the projector's thread had panicked");
        }
        // A rebuild that was under way lets go of the log.
        drop(self.rebuilding.try_lock_for(REBUILD_STOPS_WITHIN));
    }

    /// What of the views in use cannot be read.
    pub(super) fn damage(&self) -> Option<Arc<str>> {
        self.shared.views.read().damage().borrow().clone()
    }

    pub(super) fn rebuild(&self) -> Result<RebuildReport, RebuildError> {
        let Some(_running) = self.rebuilding.try_lock() else {
            return Err(RebuildError::Running);
        };
        let start = Instant::now();
        let path = next_path(&self.views_dir);
        let boxed = |error: BoxError| RebuildError::Project(error);
        let views = Views::open(&path).map_err(|e| boxed(e.into()))?;
        let end = self.log.end().map_err(|e| boxed(e.into()))?;
        let (cursor, registry) = replay(&views, &*self.log, end, SEGMENT_BYTES, &self.stop)
            .map_err(|e| boxed(e.into()))?;
        let replayed = start.elapsed();
        let (done, outcome) = oneshot::channel();
        let (go_on, frozen) = mpsc::channel();
        self.swaps
            .send(Swap {
                views,
                cursor,
                registry,
                done,
                frozen,
            })
            .map_err(|_| boxed("the archive is closed".into()))?;
        self.wake.send_replace(());
        let swapped = outcome
            .blocking_recv()
            .map_err(|_| boxed("the projector stopped".into()))?
            .map_err(boxed)?;
        let new = swapped.new.freeze();
        drop(go_on);
        let digest = new.digest().map_err(|e| boxed(e.into()))?;
        let replaced_digest = swapped
            .at_same_position
            .then(|| swapped.old.digest().ok())
            .flatten();
        swapped.old.remove_when_closed();
        Ok(RebuildReport {
            records: end.0,
            replayed,
            took: start.elapsed(),
            digest,
            replaced_digest,
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A log that ends before the cursor, or holds another record there, is another log or a cut one.
fn check_cursor(log: &dyn EventLog, cursor: &Cursor) -> Result<(), BoxError> {
    let Some(last) = cursor.next.0.checked_sub(1) else {
        return Ok(());
    };
    let record = log.get(Position(last))?.ok_or_else(|| {
        format!(
            "the views have seen record {last}, the log ends before it: it was cut or is another archive's. \
             Put the right log back, or remove the views directory to accept this log as it is"
        )
    })?;
    if yingku_core::envelope::Envelope::id_of(&record.bytes) != Some(cursor.last_id) {
        return Err(format!(
            "record {last} of the log is not the one that the views have seen: this is another archive's log. \
             Put the right log back, or remove the views directory to accept this log as it is"
        )
        .into());
    }
    Ok(())
}

struct Thread {
    shared: Arc<Shared>,
    log: Arc<dyn EventLog>,
    stop: Arc<AtomicBool>,
    woken: watch::Receiver<()>,
    swaps: mpsc::Receiver<Swap>,
    views_dir: PathBuf,
    cursor: Cursor,
    runtime: tokio::runtime::Handle,
}

impl Thread {
    fn run(mut self) {
        let mut end = self.log.watch_end();
        loop {
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            while let Ok(swap) = self.swaps.try_recv() {
                self.swap(swap);
            }
            let mut away = false;
            if self.shared.stopped.borrow().is_none()
                && let Err(error) = self.step()
            {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                away = error.is_away();
                if !away {
                    tracing::error!(%error, "the projector stopped; nothing is skipped, nothing is answered");
                    self.shared
                        .stopped
                        .send_replace(Some(error.to_string().into()));
                }
            }
            let next = self.cursor.next;
            let stopped = self.shared.stopped.borrow().is_some();
            let woken = &mut self.woken;
            self.runtime.block_on(async {
                tokio::select! {
                    _ = end.wait_for(|end| !stopped && !away && *end > next) => {}
                    () = tokio::time::sleep(AWAY_RETRY), if away => {}
                    _ = woken.changed() => {}
                }
            });
        }
    }

    /// Follows to the end of the log.
    fn step(&mut self) -> Result<(), ProjectError> {
        let end = self.log.end()?;
        if self.cursor.next == Position(0) && end.0 >= REPLAY_RECORDS {
            let views = Arc::clone(&self.shared.views.read());
            let (cursor, registry) = replay(&views, &*self.log, end, SEGMENT_BYTES, &self.stop)?;
            self.publish(Applied {
                cursor,
                registry: Some(registry),
                outcomes: Vec::new(),
                failure: None,
            })?;
        }
        loop {
            let batch = read_batch(&*self.log, self.cursor.next)?;
            if batch.records.is_empty() && batch.failure.is_none() {
                return Ok(());
            }
            let views = Arc::clone(&self.shared.views.read());
            let registry = Arc::clone(&self.shared.registry.read());
            let applied = apply_batch(&views, &registry, self.cursor, batch)?;
            self.publish(applied)?;
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }

    fn publish(&mut self, applied: Applied) -> Result<(), ProjectError> {
        let followed = applied.cursor.next.0 - self.cursor.next.0;
        self.shared.followed.fetch_add(followed, Ordering::Relaxed);
        self.cursor = applied.cursor;
        if let Some(registry) = applied.registry {
            *self.shared.registry.write() = registry;
        }
        self.shared.projected.send_replace(self.cursor.next);
        let mut waiters = self.shared.waiters.lock();
        for (id, decided) in applied.outcomes {
            if let Some(waiter) = waiters.remove(&id) {
                // Whoever gave up waiting will send again.
                let _ = waiter.send(decided);
            }
        }
        drop(waiters);
        match applied.failure {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Brings new views to where the old ones are, and puts them in their place.
    fn swap(&mut self, swap: Swap) {
        let Swap {
            views,
            cursor,
            registry,
            done,
            frozen,
        } = swap;
        let result = (|| -> Result<Swapped, BoxError> {
            let (cursor, registry) =
                follow_up(&views, &*self.log, cursor, registry, self.cursor.next)?;
            let at_same_position = cursor.next == self.cursor.next;
            let new = Arc::new(views);
            set_current(&self.views_dir, new.path());
            let old = std::mem::replace(&mut *self.shared.views.write(), Arc::clone(&new));
            *self.shared.registry.write() = registry;
            self.cursor = cursor;
            self.shared.projected.send_replace(cursor.next);
            self.shared.replaced.send_replace(());
            // Damaged views may be why it stopped; with new ones it goes on.
            self.shared.stopped.send_replace(None);
            Ok(Swapped {
                old,
                new,
                at_same_position,
            })
        })();
        let _ = done.send(result);
        let _ = frozen.recv();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_broken_rebuild_left_is_swept_and_nothing_else() {
        // Given views in use, those of a rebuild that was broken off, and a file of somebody's
        let dir = tempfile::tempdir().unwrap();
        drop(Views::open(&dir.path().join("v2")).unwrap());
        drop(Views::open(&dir.path().join("v3")).unwrap());
        std::fs::write(dir.path().join(CURRENT), "v2").unwrap();
        std::fs::create_dir(dir.path().join("vault")).unwrap();
        // When they are opened
        let views = open_views(dir.path()).unwrap();
        // Then those in use are there, and what is no view was left alone
        assert_eq!(views.path(), dir.path().join("v2"));
        assert_eq!(names(dir.path()), [CURRENT, "v2", "vault"]);
    }

    #[test]
    fn views_that_cannot_be_used_are_replaced_and_go() {
        let dir = tempfile::tempdir().unwrap();
        drop(Views::open(&dir.path().join("v1")).unwrap());
        std::fs::write(dir.path().join("v1").join("CURRENT"), "nonsense").unwrap();
        let views = open_views(dir.path()).unwrap();
        assert_eq!(views.path(), dir.path().join("v2"));
        assert_eq!(names(dir.path()), [CURRENT, "v2"]);
    }

    #[test]
    fn replaced_views_go_when_their_last_reader_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v1");
        let views = Arc::new(Views::open(&path).unwrap());
        let reader = Arc::clone(&views);
        views.remove_when_closed();
        drop(views);
        assert!(path.exists() && reader.cursor().is_ok());
        drop(reader);
        assert!(!path.exists());
    }
}
