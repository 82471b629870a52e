//! The lines by which a worklist finds open forms, kept since their rules are in force.

use yingku_core::apply_form::ApplyFormRow;
use yingku_core::event::OPEN_FORMS_SINCE_RULES;

use super::BatchState;
use crate::views::keys::open_forms::{self, Line};
use crate::views::keys::{self, FormIndexKind};
use crate::views::{View, ViewsError, decode};

impl BatchState<'_> {
    /// The rules are others than before: from the first that have them on, every open form has its lines.
    pub(super) fn rules_activated(&mut self, before: u32) -> Result<(), ViewsError> {
        let are_kept = |rules| rules >= OPEN_FORMS_SINCE_RULES;
        if are_kept(before) || !are_kept(self.registry.rules) {
            return Ok(());
        }
        // Rules that were taken back left lines that nobody kept.
        self.delete_below(View::OpenForms, &[])?;
        for line in self.keys_below(View::FormIndex, &[FormIndexKind::OpenDay as u8])? {
            let is_there = self.look(View::FormIndex, &line, |_| Ok(()))?.is_some();
            let Some((_, form)) = keys::form_of_line(&line).filter(|_| is_there) else {
                continue;
            };
            let row = |bytes: &[u8]| decode(View::ApplyForms, bytes);
            let row = self.look(View::ApplyForms, &keys::form(&form), row)?;
            self.put_open_form(None, row.as_ref())?;
        }
        Ok(())
    }

    pub(super) fn put_open_form(
        &mut self,
        before: Option<&ApplyFormRow>,
        after: Option<&ApplyFormRow>,
    ) -> Result<(), ViewsError> {
        if self.registry.rules < OPEN_FORMS_SINCE_RULES {
            return Ok(());
        }
        let (known, lines) = (lines_of(before)?, lines_of(after)?);
        for (key, _) in &known {
            if !lines.iter().any(|(line, _)| line == key) {
                self.delete(View::OpenForms, key.clone());
            }
        }
        for line in &lines {
            if !known.contains(line) {
                let (key, value) = line;
                self.rows.insert(View::OpenForms, key, Some(value));
            }
        }
        Ok(())
    }
}

fn lines_of(row: Option<&ApplyFormRow>) -> Result<Vec<Line>, ViewsError> {
    let lines = row.map(open_forms::lines).transpose();
    let lines = lines.map_err(|source| ViewsError::Row {
        view: View::OpenForms.name(),
        source: Box::new(source),
    });
    Ok(lines?.unwrap_or_default())
}
