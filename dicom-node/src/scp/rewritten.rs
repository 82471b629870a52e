//! A large instance that is rewritten while it is read: what stands before and behind its pixels is held, they are not.

use std::io;

use bytes::{Buf, Bytes};
use yingku_storage::packs::PackError;

use super::instances::{Streamed, WHOLE_BYTES};
use super::quota::Part;
use crate::transcode::{Front, rewrite, rewrite_front};

/// What may stand behind the pixels: padding, signatures, private elements.
const BEHIND_BYTES: u64 = 1 << 20;

/// The data set's pieces come in order: front, pixels as they are, what is behind.
pub struct Rewritten {
    stream: Streamed,
    from: String,
    to: String,
    front: Option<Bytes>,
    /// What was read together with the front.
    read: Bytes,
    /// Bytes of the pixels that are still to come.
    pixels_left: u64,
    behind: Vec<u8>,
    _memory: Part,
}

impl Rewritten {
    /// Reads up to the pixels; `None` if there are none, or if too much stands before or behind them. Blocks on the disk.
    pub fn begin(
        mut stream: Streamed,
        from: &str,
        to: &str,
        mut memory: Part,
    ) -> Result<Option<Self>, PackError> {
        let mut read = Vec::new();
        let front = loop {
            let Some(chunk) = stream.next_blocking()? else {
                return Ok(None);
            };
            read.extend_from_slice(&chunk);
            if let Some(front) = rewrite_front(&read, from, to) {
                break front;
            }
            if read.len() as u64 >= WHOLE_BYTES {
                return Ok(None);
            }
        };
        let Front {
            bytes,
            value_at,
            value_length,
        } = front;
        let pixels_left = u64::from(value_length);
        let here = read.len().saturating_sub(value_at) as u64;
        let behind = (here + stream.bytes_left()).saturating_sub(pixels_left);
        if behind > BEHIND_BYTES {
            return Ok(None);
        }
        memory.keep((read.len() + bytes.len()) as u64 + 2 * BEHIND_BYTES);
        let mut read = Bytes::from(read);
        read.advance(value_at);
        Ok(Some(Self {
            stream,
            from: from.to_owned(),
            to: to.to_owned(),
            front: Some(bytes.into()),
            read,
            pixels_left,
            behind: Vec::new(),
            _memory: memory,
        }))
    }

    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(front) = self.front.take() {
            return Ok(Some(front));
        }
        loop {
            let mut piece = std::mem::take(&mut self.read);
            if piece.is_empty() {
                match self.stream.next().await? {
                    Some(next) => piece = next,
                    None => return self.last(),
                }
            }
            let pixels = self.pixels_left.min(piece.len() as u64);
            self.pixels_left -= pixels;
            // No more than the piece has.
            let pixels = piece.split_to(pixels as usize);
            self.behind.extend_from_slice(&piece);
            if !pixels.is_empty() {
                return Ok(Some(pixels));
            }
        }
    }

    /// What stands behind the pixels, now that all of it is here.
    fn last(&mut self) -> io::Result<Option<Bytes>> {
        if self.pixels_left > 0 {
            return Err(io::Error::other("the data set ends within its pixels"));
        }
        let behind = std::mem::take(&mut self.behind);
        if behind.is_empty() {
            return Ok(None);
        }
        // Nothing there is signed or not as the pixels are.
        let rewritten = rewrite(&behind, &self.from, &self.to);
        let rewritten = rewritten.ok_or_else(|| io::Error::other("its end is not sound"))?;
        Ok((!rewritten.is_empty()).then(|| rewritten.into()))
    }
}
