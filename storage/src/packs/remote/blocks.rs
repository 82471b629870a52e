//! The blocks of a pack that lies in the object store: which of them are in its sparse file already.
//!
//! A reader that needs some that are not there asks for all of them in one request, of at most 32 MiB; others who need the
//! same wait for it. What has no room in the file is given to the reader alone.

use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use yingku_core::ids::PackId;

use super::fetch::Fetcher;
use crate::packs::error::PackError;
use crate::space::Reserve;

/// 16 instances of 512 KB: a study of 400 slices is 25 requests.
pub const BLOCK_BYTES: u64 = 8 * 1024 * 1024;
/// Blocks of one request.
const MAX_RUN: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Absent,
    /// Somebody waits for the object store.
    OnItsWay,
    Present,
}

pub struct RemoteBlocks {
    fetcher: Arc<Fetcher>,
    reserve: Reserve,
    size: u64,
    blocks: Mutex<Vec<Block>>,
    changed: Condvar,
}

impl std::fmt::Debug for RemoteBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteBlocks")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl RemoteBlocks {
    pub fn new(fetcher: Arc<Fetcher>, reserve: Reserve, size: u64) -> Self {
        let count = usize::try_from(size.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX);
        Self {
            fetcher,
            reserve,
            size,
            blocks: Mutex::new(vec![Block::Absent; count]),
            changed: Condvar::new(),
        }
    }

    /// Sees to it that `range` can be read from the file. `Some`: there is no room for it, these are its bytes. Blocks on
    /// the object store.
    pub fn provide(
        &self,
        pack: PackId,
        file: &File,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, PackError> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return Ok(None);
        }
        while let Some(run) = self.take_absent(&range) {
            if !self.fetch(pack, file, &run)? {
                let fetched = self.fetcher.range(pack, range)?;
                return Ok(Some(fetched.bytes));
            }
        }
        Ok(None)
    }

    /// Forgets what came: the next reader asks again.
    pub fn distrust(&self) {
        for block in self.blocks.lock().iter_mut() {
            if *block == Block::Present {
                *block = Block::Absent;
            }
        }
    }

    /// The first absent blocks of the range, marked as on their way; waits for those that are. `None`: all are there.
    fn take_absent(&self, range: &Range<u64>) -> Option<RangeInclusive<usize>> {
        let (first, last) = (index(range.start), index(range.end - 1));
        let mut blocks = self.blocks.lock();
        loop {
            let needed = blocks.get(first..=last)?;
            if let Some(from) = needed.iter().position(|block| *block == Block::Absent) {
                let absent = needed.iter().skip(from).take(MAX_RUN);
                let length = absent.take_while(|block| **block == Block::Absent).count();
                let run = first + from..=first + from + length - 1;
                set(&mut blocks, &run, Block::OnItsWay);
                return Some(run);
            }
            if needed.iter().all(|block| *block == Block::Present) {
                return None;
            }
            self.changed.wait(&mut blocks);
        }
    }

    /// Whether the blocks are in the file now.
    fn fetch(
        &self,
        pack: PackId,
        file: &File,
        run: &RangeInclusive<usize>,
    ) -> Result<bool, PackError> {
        let mut arrival = Arrival {
            blocks: self,
            run: run.clone(),
            outcome: Block::Absent,
        };
        let start = *run.start() as u64 * BLOCK_BYTES;
        let end = ((*run.end() as u64 + 1) * BLOCK_BYTES).min(self.size);
        if self.reserve.admit(end - start).is_err() {
            return Ok(false);
        }
        let fetched = self.fetcher.range(pack, start..end)?;
        if let Err(error) = file.write_all_at(&fetched.bytes, start) {
            tracing::warn!(%pack, %error, "blocks of a pack cannot be kept here");
            return Ok(false);
        }
        arrival.outcome = Block::Present;
        Ok(true)
    }
}

/// Tells those who wait what became of the blocks.
struct Arrival<'a> {
    blocks: &'a RemoteBlocks,
    run: RangeInclusive<usize>,
    outcome: Block,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        set(&mut self.blocks.blocks.lock(), &self.run, self.outcome);
        self.blocks.changed.notify_all();
    }
}

fn set(blocks: &mut [Block], run: &RangeInclusive<usize>, to: Block) {
    if let Some(blocks) = blocks.get_mut(run.clone()) {
        blocks.fill(to);
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset / BLOCK_BYTES).unwrap_or(usize::MAX)
}
