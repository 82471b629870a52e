//! What packs ask of the operating system, in one place, so that tests can make each of it fail.

use std::fs::File;
use std::io::{self, IoSlice};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

/// Buffers that one vectored write may have on Linux (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

pub trait Disk: Send + Sync + 'static {
    /// Writes some of the buffers at `offset`; how many bytes.
    fn write_some(&self, file: &File, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes the file's data, and its length, durable (`fdatasync`).
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&self, file: &File, len: u64) -> io::Result<()>;

    /// Asks for a part of the file to be written soon; what it fails at, the sync will find.
    fn begin_writeback(&self, file: &File, offset: u64, len: u64);

    /// Lets go of the copy in memory that the system keeps of a part of the file that is on the disk.
    fn forget(&self, file: &File, offset: u64, len: u64);

    /// Reserves room for `len` bytes without changing the file's length. A file system that cannot is no error.
    fn reserve(&self, file: &File, len: u64) -> io::Result<()>;
}

/// The local file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn write_some(&self, file: &File, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let buffers = buffers.get(..MAX_SLICES).unwrap_or(buffers);
        loop {
            match rustix::io::pwritev(file, buffers, offset) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(file, len)?)
    }

    fn begin_writeback(&self, file: &File, offset: u64, len: u64) {
        // Linux begins to write dirty pages that it is told will not be needed, and keeps them until they are clean.
        not_needed(file, offset, len);
    }

    fn forget(&self, file: &File, offset: u64, len: u64) {
        not_needed(file, offset, len);
    }

    fn reserve(&self, file: &File, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }
}

fn not_needed(file: &File, offset: u64, len: u64) {
    let len = std::num::NonZeroU64::new(len);
    if let Err(error) = rustix::fs::fadvise(file, offset, len, Advice::DontNeed) {
        tracing::debug!(%error, "the system does not take advice about a file");
    }
}

/// Writes all buffers at `offset`.
pub fn write_all(
    disk: &dyn Disk,
    file: &File,
    mut buffers: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        let written = disk.write_some(file, buffers, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += written as u64;
        IoSlice::advance_slices(&mut buffers, written);
    }
    Ok(())
}

/// Whether the disk, or the user's share of it, has no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
