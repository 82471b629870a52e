//! The numbers of a recount, and the same of an answer.

use std::collections::{BTreeMap, BTreeSet};

use yingku_core::dictionaries::canonical_class;
use yingku_core::event::DetailRow;
use yingku_core::instance::HoldReason;
use yingku_core::reconcile::Reconciliation;

use super::Recount;
use super::content::is_placeholder;

const NUMBERS: usize = 27;

/// Names of [`Tally`]'s numbers.
pub const COUNTS: [&str; NUMBERS] = [
    "declared",
    "registered",
    "confirmed",
    "complete",
    "partly",
    "missing",
    "noneDeclared",
    "linked",
    "refused",
    "held",
    "identityDoubts",
    "conflicts",
    "late",
    "placeholder",
    "withdrawn",
    "test",
    "deficit",
    "surplus",
    "suspectedReuse",
    "furtherVersions",
    "mismatched",
    "detailDiffers",
    "testDeclared",
    "unknownClass",
    "warned",
    "imageSurplus",
    "unnamed",
];

/// Numbers by hospital, date and class; a cell of zeros is no cell.
pub type Tally = BTreeMap<(String, String, String), [i64; NUMBERS]>;

/// The same numbers of an answer.
pub fn tally_of(answer: &Reconciliation) -> Tally {
    let cells = answer.cells.iter().map(|cell| {
        let c = &cell.counts;
        let some = |number: Option<u32>| number.map_or(0, i64::from);
        let key = (
            cell.hospital_code.clone(),
            cell.date.clone(),
            cell.class.clone(),
        );
        let images = &c.images;
        let mismatched = cell.holds.iter();
        let mismatched = mismatched.filter(|hold| hold.reason == HoldReason::Mismatch);
        let mismatched = mismatched.map(|hold| i64::from(hold.count)).sum();
        let counts = [
            some(c.declared),
            c.registered.into(),
            c.confirmed.into(),
            images.complete.into(),
            images.partly.into(),
            images.missing.into(),
            images.none_declared.into(),
            images.linked.into(),
            c.refused.into(),
            c.held.into(),
            c.identity_doubts.into(),
            c.conflicts.into(),
            c.late.into(),
            c.placeholder_apply_no.into(),
            c.withdrawn.into(),
            c.test_exams.into(),
            some(c.deficit),
            c.surplus.into(),
            c.suspected_reuse.into(),
            c.further_versions.into(),
            mismatched,
            c.detail_differs.into(),
            c.test_declared.into(),
            c.unknown_class.into(),
            c.warned.into(),
            images.surplus.into(),
            some(c.unnamed),
        ];
        (key, counts)
    });
    cells
        .filter(|(_, counts)| counts.iter().any(|count| *count != 0))
        .collect()
}

impl Recount {
    fn class(&self, text: &str) -> String {
        canonical_class(&self.registry.settings.class_aliases, text).code
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally::new();
        // Named ones that tell why fewer are confirmed than declared.
        let mut explained: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        let mut explain = |(hospital, date, class): (&str, &str, &str)| {
            let key = (hospital.to_owned(), date.to_owned(), self.class(class));
            *explained.entry(key).or_default() += 1;
        };
        let mut add = |(hospital, date, class): (&str, &str, &str), count: usize, by: i64| {
            let key = (hospital.to_owned(), date.to_owned(), self.class(class));
            tally.entry(key).or_insert([0; NUMBERS])[count] += by;
        };
        let mut confirmed = Vec::new();
        for (number, exam) in &self.exams {
            let at = (
                number.0.as_str(),
                exam.now.date.as_str(),
                exam.now.class.as_str(),
            );
            if exam.test {
                add(at, 15, 1);
                continue;
            }
            if !exam.withdrawn.is_empty() {
                add(at, 14, 1);
                explain(at);
                continue;
            }
            add(at, 1, 1);
            let placeholder = is_placeholder(&exam.now.apply_no);
            if exam.now.status == 70 && !placeholder {
                add(at, 2, 1);
                confirmed.push((at, exam.confirmed_ms));
            } else {
                explain(at);
            }
            let state = self.image_state(number);
            add(at, state, 1);
            if COUNTS[state] == "complete" {
                add(at, 25, i64::from(self.has_surplus(number)));
            }
            let class = canonical_class(&self.registry.settings.class_aliases, at.2);
            add(at, 23, i64::from(!class.known));
            add(at, 24, i64::from(exam.now.warned));
            add(at, 10, i64::from(self.is_doubtful(number)));
            add(at, 11, i64::from(self.is_contested(number)));
            add(at, 12, i64::from(exam.late));
            add(at, 13, i64::from(placeholder));
            add(at, 19, self.further_versions(number) as i64);
        }
        for (number, _) in self.reuse.keys() {
            let exam = &self.exams[number];
            let at = (
                number.0.as_str(),
                exam.now.date.as_str(),
                exam.now.class.as_str(),
            );
            add(at, 18, i64::from(!exam.test));
        }
        // The latest list about a class, all its spellings together.
        let mut latest: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
        let key = |row: &'_ DetailRow| self.class(&row.exam_class);
        for (position, row) in &self.details {
            let list = (row.hospital_code.as_str(), row.exam_date.as_str(), key(row));
            latest.insert(list, *position);
        }
        let mut named: BTreeMap<(&str, &str, &str), Vec<&DetailRow>> = BTreeMap::new();
        for (position, row) in &self.details {
            let (hospital, date) = (row.hospital_code.as_str(), row.exam_date.as_str());
            if latest[&(hospital, date, key(row))] == *position {
                let exam = (hospital, row.exam_no.as_str(), date);
                named.entry(exam).or_default().push(row);
            }
        }
        for ((hospital, exam_no, date), rows) in named {
            let number = (hospital.to_owned(), exam_no.to_owned());
            // Told under the first of the classes that name it.
            let class = rows.iter().map(|row| key(row)).min().unwrap();
            let Some(exam) = self.exams.get(&number) else {
                explain((hospital, date, &class));
                continue;
            };
            if exam.test {
                continue;
            }
            if exam.now.date != date {
                add((hospital, date, &class), 21, 1);
                explain((hospital, date, &class));
            } else if exam.withdrawn.is_empty() {
                let differs = rows.iter().any(|row| self.differs(&number, row));
                add((hospital, date, &exam.now.class), 21, i64::from(differs));
            }
        }
        for ((hospital, date, class), count) in &self.refused {
            add((hospital, date, class), 8, i64::from(*count));
        }
        let mut held_studies = BTreeSet::new();
        for image in &self.held {
            let at = (
                image.hospital.as_str(),
                image.date.as_str(),
                image.modality.as_str(),
            );
            add(at, 9, 1);
            let is_mismatched = self.owner(&image.study).is_some();
            add(at, 20, i64::from(is_mismatched));
            if !is_mismatched && held_studies.insert((at.0, at.1, self.class(at.2), &image.study)) {
                explain(at);
            }
        }
        // The latest message about a class, all its spellings together.
        type Declared<'a> = (&'a str, &'a str, String, bool);
        let mut declared: BTreeMap<Declared<'_>, (u64, i64, i64)> = BTreeMap::new();
        for row in &self.declared {
            let key = (
                row.hospital.as_str(),
                row.date.as_str(),
                self.class(&row.class),
                row.test,
            );
            let latest = declared
                .entry(key)
                .or_insert((row.position, 0, row.time_ms));
            if row.position > latest.0 {
                *latest = (row.position, 0, row.time_ms);
            }
            if row.position == latest.0 {
                latest.1 += i64::from(row.count);
            }
        }
        for ((hospital, date, class, test), (_, count, time_ms)) in declared {
            if test {
                add((hospital, date, class.as_str()), 22, count);
                continue;
            }
            let of_cell: Vec<i64> = confirmed
                .iter()
                .filter(|((h, d, c), _)| (*h, *d) == (hospital, date) && self.class(c) == class)
                .map(|(_, confirmed_ms)| *confirmed_ms)
                .collect();
            let in_time = of_cell.iter().filter(|ms| **ms <= time_ms).count() as i64;
            let at = (hospital, date, class.as_str());
            add(at, 0, count);
            let deficit = (count - of_cell.len() as i64).max(0);
            add(at, 16, deficit);
            let key = (hospital.to_owned(), date.to_owned(), class.clone());
            let by_name = explained.get(&key).copied().unwrap_or(0);
            add(at, 26, (deficit - by_name).max(0));
            add(at, 17, (in_time - count).max(0));
        }
        tally.retain(|_, counts| counts.iter().any(|count| *count != 0));
        tally
    }
}
