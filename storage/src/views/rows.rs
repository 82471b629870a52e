//! Rows that were changed and are not in the views' files yet.

use std::collections::HashMap;
use std::sync::LazyLock;

use rustc_hash::FxSeededState;

use super::View;

/// A row, or `None` where it was removed.
pub type Row = Option<Vec<u8>>;

/// What an entry costs beside its key and value, roughly: its place in the table and two allocations.
const ENTRY_BYTES: usize = 96;

/// Numbers in keys come from outside: nobody can tell in advance which of them share a place in the table.
static SEED: LazyLock<usize> = LazyLock::new(rand::random);

/// Changed rows of every view; a later change of a row takes the place of the earlier.
pub struct Rows {
    views: [HashMap<Vec<u8>, Row, FxSeededState>; View::ALL.len()],
    bytes: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            views: std::array::from_fn(|_| HashMap::with_hasher(FxSeededState::with_seed(*SEED))),
            bytes: 0,
        }
    }
}

impl Rows {
    pub fn get(&self, view: View, key: &[u8]) -> Option<&Row> {
        self.views.get(view as usize)?.get(key)
    }

    pub fn insert(&mut self, view: View, key: Vec<u8>, row: Row) {
        self.bytes += ENTRY_BYTES + key.len() + row.as_ref().map_or(0, Vec::len);
        if let Some(rows) = self.views.get_mut(view as usize) {
            rows.insert(key, row);
        }
    }

    /// Keys of one view's changed rows, in no order.
    pub fn keys(&self, view: View) -> impl Iterator<Item = &[u8]> {
        self.views
            .get(view as usize)
            .into_iter()
            .flat_map(|rows| rows.keys().map(Vec::as_slice))
    }

    /// Memory that they take; rows that were changed again count twice.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every view that has changed rows, in no order.
    pub fn views(&self) -> impl Iterator<Item = (View, impl Iterator<Item = (&[u8], &Row)>)> {
        View::ALL
            .into_iter()
            .zip(&self.views)
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(view, rows)| (view, rows.iter().map(|(key, row)| (key.as_slice(), row))))
    }
}
