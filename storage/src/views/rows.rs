//! Rows that were changed and are not in the views' files yet.
//!
//! Keys and rows lie one behind the other in one buffer: a rebuild collects hundreds of thousands of them, and as
//! many small allocations would cost more than deciding what is in them.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use rustc_hash::FxSeededState;

use super::View;

/// What an entry costs beside its key and row: its place in the tables.
const ENTRY_BYTES: usize = 64;

/// View, key and row of one change; no row: it was removed.
pub type Changed<'a> = (View, &'a [u8], Option<&'a [u8]>);

/// Numbers in keys come from outside: nobody can tell in advance which of them share a place in the table.
static HASHER: LazyLock<FxSeededState> = LazyLock::new(|| FxSeededState::with_seed(rand::random()));

/// Changed rows of every view; a later change of a row takes the place of the earlier.
#[derive(Default)]
pub struct Rows {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// Hash of view and key → the entry that came last of those that share it.
    places: HashMap<u64, u32, rustc_hash::FxBuildHasher>,
}

struct Entry {
    view: View,
    key: Span,
    /// `None`: the row was removed.
    row: Option<Span>,
    /// Another entry of the same hash.
    next: Option<u32>,
}

#[derive(Clone, Copy)]
struct Span {
    at: usize,
    length: u32,
}

impl Rows {
    fn put(&mut self, bytes: &[u8]) -> Span {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        Span {
            at,
            // A row is far below 4 GiB: the log's records have at most 1 MiB.
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }

    fn bytes_of(&self, span: Span) -> &[u8] {
        self.buffer
            .get(span.at..span.at + span.length as usize)
            .unwrap_or_default()
    }

    fn place(&self, hash: u64, view: View, key: &[u8]) -> Option<u32> {
        let mut place = self.places.get(&hash).copied();
        while let Some(at) = place {
            let entry = self.entries.get(at as usize)?;
            if entry.view == view && self.bytes_of(entry.key) == key {
                return Some(at);
            }
            place = entry.next;
        }
        None
    }

    /// The row as it was changed: `Some(None)` if it was removed, `None` if it was not changed.
    pub fn get(&self, view: View, key: &[u8]) -> Option<Option<&[u8]>> {
        let at = self.place(HASHER.hash_one((view, key)), view, key)?;
        let entry = self.entries.get(at as usize)?;
        Some(entry.row.map(|span| self.bytes_of(span)))
    }

    pub fn insert(&mut self, view: View, key: &[u8], row: Option<&[u8]>) {
        let hash = HASHER.hash_one((view, key));
        if let Some(at) = self.place(hash, view, key) {
            let row = row.map(|bytes| self.put(bytes));
            if let Some(entry) = self.entries.get_mut(at as usize) {
                entry.row = row;
            }
            return;
        }
        let key = self.put(key);
        let row = row.map(|bytes| self.put(bytes));
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let next = self.places.insert(hash, place);
        self.entries.push(Entry {
            view,
            key,
            row,
            next,
        });
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.entries.len() * ENTRY_BYTES
    }

    /// Every changed row, in the order of the first changes.
    pub fn iter(&self) -> impl Iterator<Item = (View, &[u8], Option<&[u8]>)> {
        self.entries.iter().map(|entry| {
            (
                entry.view,
                self.bytes_of(entry.key),
                entry.row.map(|span| self.bytes_of(span)),
            )
        })
    }

    /// Every changed row, by view and key.
    pub fn sorted(&self) -> Vec<Changed<'_>> {
        let mut rows: Vec<_> = self.iter().collect();
        rows.sort_unstable_by_key(|(view, key, _)| (*view, *key));
        rows
    }
}
