//! What supervision asks of exams, kept since its rules are in force.

use yingku_core::decide::supervised_row;
use yingku_core::event::SUPERVISION_SINCE_RULES;
use yingku_core::exam::ExamRow;
use yingku_core::supervision::SupervisedKey;

use super::BatchState;
use crate::views::{View, ViewsError, decode, keys};

impl BatchState<'_> {
    /// The rules are others than before: from the first that have them on, every exam has its row. What a content tells that
    /// came before is not known, and with it no document that leads to the exam, until its next push.
    pub(super) fn supervised_since(&mut self, before: u32) -> Result<(), ViewsError> {
        let are_kept = |rules| rules >= SUPERVISION_SINCE_RULES;
        if are_kept(before) || !are_kept(self.registry.rules) {
            return Ok(());
        }
        // Rules that were taken back left rows that nobody kept.
        self.delete_below(View::Supervised, &[])?;
        self.delete_below(View::PatientKeys, &[])?;
        for key in self.keys_below(View::Exams, &[])? {
            let exam: Option<ExamRow> =
                self.look(View::Exams, &key, |bytes| decode(View::Exams, bytes))?;
            let Some(exam) = exam else { continue };
            let row = supervised_row(&*self, &exam).map_err(|error| ViewsError::Row {
                view: View::Supervised.name(),
                source: error.0,
            })?;
            let line = keys::supervised::line(&SupervisedKey::of(&exam));
            self.put(View::Supervised, line, &row)?;
        }
        Ok(())
    }
}
