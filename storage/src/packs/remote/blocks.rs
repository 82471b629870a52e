//! The blocks of a pack that lies elsewhere, in the object store or at its node: which of them are in its sparse file already.
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

use super::fetch::{Fetcher, Source};
use crate::packs::error::PackError;
use crate::space::Reserve;

/// 16 instances of 512 KB: a study of 400 slices is 25 requests.
pub const BLOCK_BYTES: u64 = 8 * 1024 * 1024;
/// Blocks of one request.
const MAX_RUN: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Absent,
    /// Somebody waits for them.
    OnItsWay,
    Present,
}

pub struct RemoteBlocks {
    fetcher: Arc<Fetcher>,
    reserve: Reserve,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    source: Source,
    /// Bytes of the pack, as far as they are known; an open one grows at its node.
    size: u64,
    blocks: Vec<Block>,
}

/// Blocks that somebody fetches.
#[derive(Clone)]
struct Run {
    blocks: RangeInclusive<usize>,
    bytes: Range<u64>,
    source: Source,
}

impl std::fmt::Debug for RemoteBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteBlocks")
            .field("size", &self.state.lock().size)
            .finish_non_exhaustive()
    }
}

impl RemoteBlocks {
    pub fn new(fetcher: Arc<Fetcher>, reserve: Reserve, source: Source, size: u64) -> Self {
        Self {
            fetcher,
            reserve,
            state: Mutex::new(State {
                source,
                size,
                blocks: vec![Block::Absent; count(size)],
            }),
            changed: Condvar::new(),
        }
    }

    /// Sees to it that `range` can be read from the file. `Some`: there is no room for it, these are its bytes. Blocks
    /// until they came.
    pub fn provide(
        &self,
        pack: PackId,
        file: &File,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, PackError> {
        let size = self.size_for(pack, file, range.end)?;
        let range = range.start.min(size)..range.end.min(size);
        if range.is_empty() {
            return Ok(None);
        }
        while let Some(run) = self.take_absent(&range) {
            let source = run.source;
            match self.fetch(pack, file, run) {
                Ok(true) => {}
                Ok(false) => {
                    let fetched = self.fetcher.range(pack, source, range)?;
                    return Ok(Some(fetched.bytes));
                }
                // Its node may have uploaded it meanwhile, and gone.
                Err(error) if source == Source::Node => self.look_again(pack, error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Bytes of the pack; asks its node again if more are wanted than were there.
    fn size_for(&self, pack: PackId, file: &File, wanted: u64) -> Result<u64, PackError> {
        {
            let state = self.state.lock();
            if wanted <= state.size || state.source == Source::Objects {
                return Ok(state.size);
            }
        }
        let size = match self.fetcher.size_at_node(pack) {
            Ok(size) => size,
            Err(error) => {
                self.look_again(pack, error)?;
                self.fetcher.find(pack)?.1
            }
        };
        let mut state = self.state.lock();
        if size > state.size {
            file.set_len(size).map_err(|e| PackError::read(pack, e))?;
            state.grow(size);
        }
        Ok(state.size)
    }

    /// Goes on with the object store if the pack is there by now; else what its node did stands.
    fn look_again(&self, pack: PackId, error: PackError) -> Result<(), PackError> {
        match self.fetcher.find(pack) {
            Ok((Source::Objects, _)) => {
                self.state.lock().source = Source::Objects;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Forgets what came: the next reader asks again.
    pub fn distrust(&self) {
        for block in &mut self.state.lock().blocks {
            if *block == Block::Present {
                *block = Block::Absent;
            }
        }
    }

    /// The first absent blocks of the range, marked as on their way; waits for those that are. `None`: all are there.
    fn take_absent(&self, range: &Range<u64>) -> Option<Run> {
        let (first, last) = (index(range.start), index(range.end - 1));
        let mut state = self.state.lock();
        loop {
            let needed = state.blocks.get(first..=last)?;
            if let Some(from) = needed.iter().position(|block| *block == Block::Absent) {
                let absent = needed.iter().skip(from).take(MAX_RUN);
                let length = absent.take_while(|block| **block == Block::Absent).count();
                let run = first + from..=first + from + length - 1;
                state.set(&run, Block::OnItsWay);
                let start = *run.start() as u64 * BLOCK_BYTES;
                let end = ((*run.end() as u64 + 1) * BLOCK_BYTES).min(state.size);
                return Some(Run {
                    blocks: run,
                    bytes: start..end,
                    source: state.source,
                });
            }
            if needed.iter().all(|block| *block == Block::Present) {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Whether the blocks are in the file now.
    fn fetch(&self, pack: PackId, file: &File, run: Run) -> Result<bool, PackError> {
        let Range { start, end } = run.bytes;
        let source = run.source;
        let mut arrival = Arrival {
            blocks: self,
            run,
            outcome: Block::Absent,
        };
        if self.reserve.admit(end - start).is_err() {
            return Ok(false);
        }
        let fetched = self.fetcher.range(pack, source, start..end)?;
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
    run: Run,
    outcome: Block,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut state = self.blocks.state.lock();
        state.set(&self.run.blocks, self.outcome);
        // The pack has grown meanwhile: the last block came without what it has now.
        let last = *self.run.blocks.end();
        let whole = ((last as u64 + 1) * BLOCK_BYTES).min(state.size);
        if self.run.bytes.end < whole {
            state.set(&(last..=last), Block::Absent);
        }
        drop(state);
        self.blocks.changed.notify_all();
    }
}

impl State {
    fn set(&mut self, run: &RangeInclusive<usize>, to: Block) {
        if let Some(blocks) = self.blocks.get_mut(run.clone()) {
            blocks.fill(to);
        }
    }

    /// The block that was the last one came without what it has now.
    fn grow(&mut self, size: u64) {
        if self.size < size
            && !self.size.is_multiple_of(BLOCK_BYTES)
            && let Some(last @ Block::Present) = self.blocks.last_mut()
        {
            *last = Block::Absent;
        }
        self.size = size;
        self.blocks.resize(count(size), Block::Absent);
    }
}

fn count(size: u64) -> usize {
    usize::try_from(size.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset / BLOCK_BYTES).unwrap_or(usize::MAX)
}
