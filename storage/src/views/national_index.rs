//! Exams' national imaging indexes, as readers and whoever tells the authority look them up.

use yingku_core::ids::{ExamKey, Position};
use yingku_core::national_index::{IndexHolders, IndexRow, NationalIndex};

use super::{View, Views, ViewsError, Walk, keys};

impl Views {
    pub fn national_index(&self, exam: &ExamKey) -> Result<Option<IndexRow>, ViewsError> {
        self.get(View::NationalIndexes, &keys::exam(exam))
    }

    /// The exams that an index leads to, or led to.
    pub fn index_holders(&self, index: &NationalIndex) -> Result<IndexHolders, ViewsError> {
        let row = self.get(View::IndexHolders, &keys::index_holders(index))?;
        Ok(row.unwrap_or_default())
    }

    /// Shows the indexes of which the authority is to be told, of records from a position on and in their order, until the
    /// visitor stops.
    pub fn visit_owed_indexes(
        &self,
        from: Position,
        visit: &mut dyn FnMut(IndexRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let start = keys::changes::from(from);
        self.scan(View::OwedIndexes, &[], &start, |key, _| {
            let line = keys::changes::read(key);
            let row = line
                .map(|(_, exam)| self.national_index(&exam))
                .transpose()?;
            Ok(match row.flatten().filter(|row| row.owed().is_some()) {
                Some(row) => visit(row),
                None => Walk::On,
            })
        })
    }
}
