//! Deflated data sets (PS3.5 §A.5): inflated piece by piece into the walker, never kept.

use flate2::{Decompress, FlushDecompress, Status};

use super::facts::Kept;
use super::walk::Walker;
use super::{DATA_SET_LIMIT, INFLATED_FREELY, INFLATED_RATIO, ScanError};

/// One piece of inflated data.
const PIECE_BYTES: usize = 32 * 1024;

pub struct Inflater {
    stream: Decompress,
    walker: Walker,
    piece: Vec<u8>,
    ended: bool,
    /// Bytes after the stream's end: one, to make the length even, is allowed.
    trailing: u64,
}

impl Inflater {
    pub fn new(walker: Walker) -> Self {
        Self {
            stream: Decompress::new(false),
            walker,
            piece: Vec::with_capacity(PIECE_BYTES),
            ended: false,
            trailing: 0,
        }
    }

    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), ScanError> {
        while !self.ended {
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            self.piece.clear();
            let status = self
                .stream
                .decompress_vec(input, &mut self.piece, FlushDecompress::None)
                .map_err(|_| ScanError::Deflate(taken))?;
            let used = self.stream.total_in().saturating_sub(taken) as usize;
            input = input.get(used..).unwrap_or_default();
            let (taken, given_now) = (self.stream.total_in(), self.stream.total_out());
            if given_now > DATA_SET_LIMIT {
                return Err(ScanError::DataSetTooLong);
            }
            if given_now > INFLATED_FREELY && given_now > taken.saturating_mul(INFLATED_RATIO) {
                return Err(ScanError::InflatesTooMuch);
            }
            self.walker.feed(&self.piece)?;
            self.ended = status == Status::StreamEnd;
            let stuck = used == 0 && self.stream.total_out() == given;
            if stuck || (input.is_empty() && self.piece.len() < PIECE_BYTES) {
                break;
            }
        }
        if self.ended {
            self.trailing = self.trailing.saturating_add(input.len() as u64);
            if self.trailing > 1 {
                return Err(ScanError::Deflate(self.stream.total_in()));
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Kept, ScanError> {
        if !self.ended {
            return Err(ScanError::Truncated(self.stream.total_in()));
        }
        self.walker.finish()
    }
}
