//! Declarations that count (R10).

use std::collections::BTreeMap;

use yingku_core::ids::{HospitalCode, Position};
use yingku_core::reconcile::Place;
use yingku_core::statistics::{DayKey, DeclarationRow, DeclaredCount, DeclaredDetail};

use super::super::{ViewsError, Walk};
use super::Gathering;
use super::detail::Named;

impl Gathering<'_> {
    /// Enters the declarations; what details tell of exams.
    pub(super) fn declarations(&mut self, hospital: &HospitalCode) -> Result<Named, ViewsError> {
        let mut days: Vec<(DayKey, DeclarationRow)> = Vec::new();
        let views = self.views;
        views.visit_declarations(hospital, &self.from, &self.to, &mut |day, row| {
            days.push((day, row));
            Walk::On
        })?;
        let mut by_class: BTreeMap<String, (Place, Vec<DeclarationRow>)> = BTreeMap::new();
        let mut named = Named::default();
        for (day, row) in days {
            let place = self.place(day.hospital.as_str(), &day.date, &day.class);
            let key = format!("{} {}", place.date, place.class.code);
            let (_, rows) = by_class.entry(key).or_insert_with(|| (place, Vec::new()));
            rows.push(row);
        }
        for (place, rows) in by_class.into_values() {
            let (in_trial, _) = in_force(&rows, self.as_of, true);
            for declared in in_trial {
                self.book.declare_test(&place, declared.count);
            }
            let (counts, details) = in_force(&rows, self.as_of, false);
            for declared in counts {
                self.book.declare(&place, declared.count, declared.time_ms);
            }
            for detail in details {
                named.add(&place, detail.lines);
            }
        }
        Ok(named)
    }
}

/// What counts of a day and class, declared under one or several spellings of it (R10): the latest declaration, whole.
/// Spellings of one message, as DR and CR, are parts of it and add up; a later message replaces an earlier one also
/// where it spells the class in another way, so that `X-Ray` 80 after `DR` 50 is 80. The same goes for lists of exams.
/// What was declared in mode `test` is apart from what was declared live.
fn in_force(
    rows: &[DeclarationRow],
    as_of: Option<Position>,
    test: bool,
) -> (Vec<DeclaredCount>, Vec<DeclaredDetail>) {
    let (mut counts, mut details) = (Vec::new(), Vec::new());
    for row in rows {
        let of_kind = row.counts.iter().filter(|declared| declared.test == test);
        counts.extend(latest(of_kind, as_of, |declared| declared.position));
        let of_kind = row.details.iter().filter(|declared| declared.test == test);
        details.extend(latest(of_kind, as_of, |declared| declared.position));
    }
    keep_latest(&mut counts, |declared| declared.position);
    keep_latest(&mut details, |declared| declared.position);
    (counts, details)
}

fn latest<'a, T: Clone + 'a>(
    declared: impl DoubleEndedIterator<Item = &'a T>,
    as_of: Option<Position>,
    position: impl Fn(&T) -> Position,
) -> Option<T> {
    let mut latest_first = declared.rev();
    latest_first
        .find(|row| as_of.is_none_or(|as_of| position(row) < as_of))
        .cloned()
}

fn keep_latest<T>(rows: &mut Vec<T>, position: impl Fn(&T) -> Position) {
    let latest = rows.iter().map(&position).max();
    rows.retain(|row| Some(position(row)) == latest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(counts: &[(u64, u32)]) -> DeclarationRow {
        let declared = |&(position, count): &(u64, u32)| DeclaredCount {
            position: Position(position),
            time_ms: 0,
            count,
            test: false,
        };
        DeclarationRow {
            counts: counts.iter().map(declared).collect(),
            details: Vec::new(),
        }
    }

    #[test]
    fn a_later_declaration_replaces_an_earlier_one_of_the_same_class_however_either_spells_it() {
        let sum = |rows: Vec<DeclarationRow>, as_of: Option<u64>| {
            let (counts, _) = in_force(&rows, as_of.map(Position), false);
            counts.iter().map(|declared| declared.count).sum::<u32>()
        };
        // DR 50 first, X-Ray 80 in a later message: both are X-Ray
        assert_eq!(sum(vec![row(&[(1, 50)]), row(&[(2, 80)])], None), 80);
        // As it was told between the two
        assert_eq!(sum(vec![row(&[(1, 50)]), row(&[(2, 80)])], Some(2)), 50);
        // Three messages, CT, ct and ＣＴ: the last one counts
        assert_eq!(
            sum(vec![row(&[(3, 5)]), row(&[(2, 5)]), row(&[(1, 5)])], None),
            5
        );
        // DR and CR in one message are parts of it
        assert_eq!(sum(vec![row(&[(1, 50)]), row(&[(1, 30)])], None), 80);
    }
}
