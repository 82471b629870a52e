//! The lines of changes, kept since their rules are in force.

use std::collections::BTreeMap;

use yingku_core::event::CHANGES_SINCE_RULES;
use yingku_core::ids::{ExamKey, Position};

use super::BatchState;
use crate::views::{View, ViewsError, keys};

impl BatchState<'_> {
    /// The rules are others than before: from the first that have them on, every exam has a line where it changed last.
    pub(super) fn changes_kept_since(&mut self, before: u32) -> Result<(), ViewsError> {
        let are_kept = |rules| rules >= CHANGES_SINCE_RULES;
        if are_kept(before) || !are_kept(self.registry.rules) {
            return Ok(());
        }
        // Rules that were taken back left lines, and what changed since has none.
        self.delete_below(View::Changes, &[])?;
        let mut last: BTreeMap<ExamKey, Position> = BTreeMap::new();
        for line in self.keys_below(View::History, &[])? {
            let is_there = self.look(View::History, &line, |_| Ok(()))?.is_some();
            let Some((exam, position)) = keys::changes::history_of(&line).filter(|_| is_there)
            else {
                continue;
            };
            let known = last.entry(exam).or_insert(position);
            *known = position.max(*known);
        }
        for (exam, position) in last {
            self.put_empty(View::Changes, keys::changes::line(position, &exam));
        }
        Ok(())
    }
}
