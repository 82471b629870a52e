//! Rows of exams' national imaging indexes, and the line of those of which the authority is to be told.

use yingku_core::national_index::{IndexHolders, IndexRow, NationalIndex};
use yingku_core::state::Replaced;

use super::BatchState;
use crate::views::{View, ViewsError, keys};

impl BatchState<'_> {
    pub(super) fn put_index(&mut self, row: Replaced<IndexRow>) -> Result<(), ViewsError> {
        let line = |row: &IndexRow| {
            let is_owed = row.owed().is_some();
            is_owed.then(|| keys::changes::line(row.position, &row.exam))
        };
        let (before, after) = (row.before.as_ref(), row.after.as_ref());
        let (known, now) = (before.and_then(line), after.and_then(line));
        if known != now {
            if let Some(known) = known {
                self.delete(View::OwedIndexes, known);
            }
            if let Some(now) = now {
                self.put_empty(View::OwedIndexes, now);
            }
        }
        match (before, after) {
            (_, Some(row)) => self.put(View::NationalIndexes, keys::exam(&row.exam), row)?,
            (Some(row), None) => self.delete(View::NationalIndexes, keys::exam(&row.exam)),
            (None, None) => {}
        }
        Ok(())
    }

    pub(super) fn put_index_holders(
        &mut self,
        index: &NationalIndex,
        holders: &IndexHolders,
    ) -> Result<(), ViewsError> {
        let key = keys::index_holders(index);
        match holders.holders.is_empty() {
            true => self.delete(View::IndexHolders, key),
            false => self.put(View::IndexHolders, key, holders)?,
        }
        Ok(())
    }
}
