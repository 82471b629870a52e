//! How a node and a worker speak: over the worker's standard input and output, one question and one answer at a time.
//!
//! Question: length (u32, little endian) and JSON of [`Question`]; the worker takes it with the byte [`READY`], so that one that
//! died meanwhile costs no instance; then the instance's bytes. Answer: length and JSON of [`Answer`], then the JPEG's bytes.
//! Both sides bound every length.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Asked, Fault};

/// A worker has read a question, and reads on.
pub const READY: u8 = 6;
/// Bytes of a JSON head: some hundred.
pub const HEAD_LIMIT_BYTES: usize = 4_096;
/// Bytes of a JPEG: the largest side at the best quality is some 16 MB.
pub const JPEG_LIMIT_BYTES: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    pub asked: Asked,
    /// Bytes of the instance that follow.
    pub length: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Picture {
        columns: u32,
        rows: u32,
        /// Bytes of the JPEG that follow.
        length: u64,
    },
    Fault(Fault),
}

/// A head with its length before it.
pub fn head<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut head = length.to_le_bytes().to_vec();
    head.extend_from_slice(&json);
    Ok(head)
}

/// Bytes of the JSON that follows; an error if nobody of ours says so.
pub fn head_length(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    match length <= HEAD_LIMIT_BYTES {
        true => Ok(length),
        false => Err(io::Error::other("a head is longer than any of ours")),
    }
}

/// The next head; `None`: the other side is gone.
pub fn read_head<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut json = vec![0; head_length(length)?];
    input.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

pub fn write<T: Serialize>(output: &mut impl Write, value: &T, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&head(value)?)?;
    output.write_all(bytes)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_comes_back_and_what_is_too_long_is_not_read() {
        let mut wire = Vec::new();
        write(&mut wire, &Answer::Fault(Fault::Damaged), b"").unwrap();
        let read: Answer = read_head(&mut wire.as_slice()).unwrap().unwrap();
        assert!(matches!(read, Answer::Fault(Fault::Damaged)));
        let none: Option<Answer> = read_head(&mut [].as_slice()).unwrap();
        assert!(none.is_none());
        let endless = [0xFF; 8];
        assert!(read_head::<Answer>(&mut endless.as_slice()).is_err());
    }
}
