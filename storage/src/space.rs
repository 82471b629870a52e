//! Free space of the disk, held against a reserve, so that neither log nor packs ever meet a full disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the figure comes from; tests put a disk of their own here.
pub trait FreeSpace: Send + Sync + 'static {
    /// Bytes that an unprivileged writer may still use on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The file system itself (`statvfs`; one or two microseconds, so that it is asked before every commit).
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl FreeSpace for FileSystem {
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Too little is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{free_bytes} bytes are free and {reserve_bytes} bytes must stay free")]
pub struct Shortage {
    pub free_bytes: u64,
    pub reserve_bytes: u64,
}

/// Refuses what would eat into the reserve of one directory's disk.
#[derive(Clone)]
pub struct Reserve {
    dir: PathBuf,
    reserve_bytes: u64,
    source: Arc<dyn FreeSpace>,
}

impl Reserve {
    pub fn new(dir: &Path, reserve_bytes: u64, source: Arc<dyn FreeSpace>) -> Self {
        Self {
            dir: dir.to_owned(),
            reserve_bytes,
            source,
        }
    }

    /// Bytes that may still be written.
    pub fn room(&self) -> u64 {
        let free_bytes = self.source.free_bytes(&self.dir).unwrap_or(0);
        free_bytes.saturating_sub(self.reserve_bytes)
    }

    /// Whether `bytes` more may be written. A disk that cannot be asked counts as full.
    pub fn admit(&self, bytes: u64) -> Result<(), Shortage> {
        let free_bytes = self.source.free_bytes(&self.dir).unwrap_or_else(|error| {
            tracing::warn!(dir = %self.dir.display(), %error, "free space unknown, taken as none");
            0
        });
        if free_bytes < self.reserve_bytes.saturating_add(bytes) {
            return Err(Shortage {
                free_bytes,
                reserve_bytes: self.reserve_bytes,
            });
        }
        Ok(())
    }
}
