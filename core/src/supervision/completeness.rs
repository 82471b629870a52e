//! Completeness 完整性: reconciliation's cells, added up by what is asked. The rules are those of
//! [`reconcile`](crate::reconcile); nothing is counted anew here but exams whose apply form is here.

use super::group::{Dimension, GroupKey, Groups, Seen, Where};
use crate::reconcile::{Cell, Counts};

/// One group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completeness {
    pub counts: Counts,
    /// Counted exams whose apply form is here.
    pub with_form: u32,
    /// Of hospitals in mode `test` only: in no total.
    pub test: bool,
}

/// Adds up cells and exams, in any order.
pub struct Tally {
    groups: Groups<Draft>,
    total: Completeness,
}

#[derive(Default)]
struct Draft {
    so_far: Completeness,
    has_live: bool,
}

impl Tally {
    pub fn new(by: &[Dimension]) -> Self {
        Self {
            groups: Groups::new(by),
            total: Completeness::default(),
        }
    }

    /// A trial's cell is told of where nothing live is in its group.
    pub fn cell(&mut self, cell: &Cell) {
        let place = Where {
            hospital: &cell.hospital_code,
            date: &cell.date,
            class: &cell.class,
        };
        let draft = self.groups.of(|dimension| place.value(dimension));
        match (cell.test, draft.has_live) {
            (true, true) => return,
            (true, false) => draft.so_far.test = true,
            (false, false) => {
                *draft = Draft::default();
                draft.has_live = true;
            }
            (false, true) => {}
        }
        draft.so_far.counts.add(&cell.counts);
        if !cell.test {
            self.total.counts.add(&cell.counts);
        }
    }

    /// After all cells.
    pub fn exam(&mut self, seen: Seen<'_>) {
        if !seen.row.counted || !seen.row.has_form {
            return;
        }
        let draft = self.groups.of(|dimension| seen.value(dimension));
        draft.so_far.with_form = draft.so_far.with_form.saturating_add(1);
        if !draft.so_far.test {
            self.total.with_form = self.total.with_form.saturating_add(1);
        }
    }

    pub fn finish(self) -> (Vec<(GroupKey, Completeness)>, Completeness) {
        let groups = self.groups.finish();
        let groups = groups.map(|(key, draft)| (key, draft.so_far));
        (groups.collect(), self.total)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cell(
        hospital: &str,
        date: &str,
        declared: Option<u32>,
        registered: u32,
        test: bool,
    ) -> Cell {
        Cell {
            hospital_code: hospital.to_owned(),
            hospital_name: String::new(),
            date: date.to_owned(),
            class: "CT".to_owned(),
            class_known: true,
            test,
            declared_time: None,
            counts: Counts {
                declared,
                registered,
                ..Counts::default()
            },
            refusals: Vec::new(),
            holds: Vec::new(),
            unfinished: Vec::new(),
            more_unfinished: 0,
        }
    }

    #[test]
    fn cells_add_up_by_what_is_asked_and_a_trial_is_in_no_total() {
        // Given three live cells of two hospitals, one without a declaration, and a trial's
        let cells = [
            cell("1", "2026-07-04", Some(5), 4, false),
            cell("1", "2026-08-01", None, 2, false),
            cell("2", "2026-07-04", Some(7), 7, false),
            cell("3", "2026-07-04", Some(100), 100, true),
        ];
        let answer = |by: &[Dimension]| {
            let mut tally = Tally::new(by);
            cells.iter().for_each(|cell| tally.cell(cell));
            tally.finish()
        };
        // When they are asked for by hospital
        let (groups, total) = answer(&[Dimension::Hospital]);
        // Then
        let told: Vec<_> = groups
            .iter()
            .map(|(key, group)| {
                let counts = &group.counts;
                (key.concat(), counts.declared, counts.registered, group.test)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("1".to_owned(), Some(5), 6, false),
                ("2".to_owned(), Some(7), 7, false),
                ("3".to_owned(), Some(100), 100, true)
            ]
        );
        assert_eq!(
            (total.counts.declared, total.counts.registered),
            (Some(12), 13)
        );
        // By month the trial's is nowhere, whichever comes first
        let (groups, same) = answer(&[Dimension::Month]);
        let told: Vec<_> = groups
            .iter()
            .map(|(key, group)| (key.concat(), group.counts.registered))
            .collect();
        assert_eq!(
            told,
            [("2026-07".to_owned(), 11), ("2026-08".to_owned(), 2)]
        );
        assert_eq!(same, total);
    }
}
