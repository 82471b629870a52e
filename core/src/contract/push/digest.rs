//! The digest by which two contents are the same (R6): over the fields that the contract knows, as the check left
//! them, whatever the order of keys. Unknown fields are not part of it: a sender's own clock or serial number must
//! not make a new version of every repeat; they stay in the event.

use super::super::fields::{EXAM_PUSH, Field, Kind};
use super::super::json::{Json, JsonError};

/// Digest of a canonical push.
pub fn canonical_digest(json: &[u8]) -> Result<[u8; 16], JsonError> {
    let text = super::super::json::decode(json, None)?;
    Ok(digest_of(&EXAM_PUSH, &Json::parse(&text)?))
}

/// The first 128 bits of BLAKE3 over an encoding in which every length stands before what it measures.
pub(in super::super) fn digest_of(table: &Field, value: &Json<'_>) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(2048);
    encode(table, value, &mut bytes);
    let mut digest = [0; 16];
    blake3::Hasher::new()
        .update(&bytes)
        .finalize_xof()
        .fill(&mut digest);
    digest
}

fn encode(table: &Field, value: &Json<'_>, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, mark: u8, length: usize| {
        out.push(mark);
        // A message is far below 4 GiB.
        out.extend_from_slice(&(length as u32).to_le_bytes());
    };
    match value {
        Json::Object(entries) => {
            let mut known: Vec<(usize, &Field, &Json<'_>)> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                if let Some((place, field)) = table.child(key) {
                    known.push((place, field, value));
                }
            }
            known.sort_unstable_by_key(|(place, ..)| *place);
            put(out, b'o', known.len());
            for (_, field, value) in known {
                put(out, b'k', field.name.len());
                out.extend_from_slice(field.name.as_bytes());
                encode(field, value, out);
            }
        }
        Json::Array(items) if matches!(table.kind, Kind::Array | Kind::Object) => {
            put(out, b'a', items.len());
            items.iter().for_each(|item| encode(table, item, out));
        }
        Json::Text(text) => {
            put(out, b't', text.len());
            out.extend_from_slice(text.as_bytes());
        }
        // The canonical form has nothing else below known fields.
        Json::Array(_) | Json::Null | Json::Bool(_) | Json::Number(_) => put(out, b'n', 0),
    }
}
