//! How a record lies in the database.
//!
//! Key: position, 8 bytes, big-endian. Value:
//!
//! | byte | bytes | what |
//! |---|---|---|
//! | 0 | 8 | log time, little-endian, milliseconds of the Unix epoch |
//! | 8 | 4 | CRC-32C over the key, the time's 8 bytes and the payload, little-endian |
//! | 12 | … | payload |

use bytes::Bytes;
use yingku_core::ids::Position;

use crate::log::{LogError, LogRecord};

const HEADER_BYTES: usize = 12;

pub fn key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// The position of a key, if the key is one.
pub fn position(key: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(key.try_into().ok()?)))
}

fn checksum(position: Position, time_ms: i64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&key(position));
    let crc = crc32c::crc32c_append(crc, &time_ms.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

pub fn encode(position: Position, time_ms: i64, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.extend_from_slice(&time_ms.to_le_bytes());
    value.extend_from_slice(&checksum(position, time_ms, payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

pub fn decode(position: Position, value: &[u8]) -> Result<LogRecord, LogError> {
    let damaged = || LogError::damaged(position, "the record's checksum is wrong");
    let (time, rest) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (crc, payload) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let time_ms = i64::from_le_bytes(*time);
    if u32::from_le_bytes(*crc) != checksum(position, time_ms, payload) {
        return Err(damaged());
    }
    Ok(LogRecord {
        position,
        time_ms,
        bytes: Bytes::copy_from_slice(payload),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_record_comes_back_and_any_flipped_bit_is_found() {
        let value = encode(Position(7), 1_700_000_000_123, b"what happened");
        let record = decode(Position(7), &value).unwrap();
        assert_eq!(record.time_ms, 1_700_000_000_123);
        assert_eq!(&record.bytes[..], b"what happened");
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(Position(7), &flipped).is_err(), "bit {bit}");
        }
        // The right bytes at another position are wrong too.
        assert!(decode(Position(8), &value).is_err());
        assert!(decode(Position(7), &value[..11]).is_err());
    }
}
