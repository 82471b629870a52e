//! Adds up facts, in any order, to the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BySender, Cell, Counts, HeldFrom, ImageState, NAMES_LIMIT, Reconciliation, RefusedFrom,
    SENDERS_LIMIT, Unfinished, Why,
};
use crate::dictionaries::ClassCode;
use crate::exam::{ExamFlag, ExamRow, ReportState};
use crate::ids::{AeTitle, FormKey, StudyUid};
use crate::instance::HoldReason;
use crate::refusal::RefusalReason;
use crate::registry::{Hospital, HospitalMode};
use crate::time::{LocalDateTime, Zone};

/// Hospital, date and class of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Empty if nobody knows it.
    pub hospital: String,
    /// `YYYY-MM-DD`
    pub date: String,
    pub class: ClassCode,
}

/// What lists say of an exam beside its row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    pub suspected_reuse: u32,
    pub further_versions: u32,
    /// In what it is not as `uploadDetail` tells.
    pub differs: Vec<Why>,
    /// Where fetching what it lacks stands.
    pub pull: Option<Why>,
}

/// Cells in the making.
#[derive(Default)]
pub struct Book {
    /// Of the times that cells tell.
    zone: Zone,
    forms_known: bool,
    drafts: BTreeMap<(String, String, String), Draft>,
}

#[derive(Default)]
struct Draft {
    class_known: bool,
    counts: Counts,
    declared_ms: Option<i64>,
    /// When each confirmed exam's report was first confirmed.
    confirmed_ms: Vec<i64>,
    refusals: BySender<RefusalReason>,
    holds: BySender<HoldReason>,
    unfinished: Vec<Unfinished>,
    more_unfinished: u32,
    /// Named ones that tell why fewer are confirmed than declared.
    explained: u32,
    held_studies: BTreeSet<StudyUid>,
}

fn more(count: &mut u32, by: u32) {
    *count = count.saturating_add(by);
}

impl Book {
    pub fn in_zone(zone: Zone) -> Self {
        Self {
            zone,
            ..Self::default()
        }
    }

    fn at(&mut self, place: &Place) -> &mut Draft {
        let key = (
            place.hospital.clone(),
            place.date.clone(),
            place.class.code.clone(),
        );
        let draft = self.drafts.entry(key).or_default();
        draft.class_known = place.class.known;
        draft
    }

    /// A declaration that counts; several spellings of a class in one message add up (DR and CR are both X-Ray).
    pub fn declare(&mut self, place: &Place, count: u32, time_ms: i64) {
        let draft = self.at(place);
        let declared = &mut draft.counts.declared;
        *declared = Some(declared.unwrap_or(0).saturating_add(count));
        draft.declared_ms = Some(draft.declared_ms.map_or(time_ms, |ms| ms.min(time_ms)));
    }

    /// A declaration of a trial run.
    pub fn declare_test(&mut self, place: &Place, count: u32) {
        more(&mut self.at(place).counts.test_declared, count);
    }

    /// An exam, whatever its state; what is not counted is shown apart.
    pub fn exam(&mut self, place: &Place, row: &ExamRow, images: ImageState, marks: Marks) {
        let draft = self.at(place);
        let counts = &mut draft.counts;
        if row.has(ExamFlag::Test) {
            more(&mut counts.test_exams, 1);
            return;
        }
        let is_shadow = row.has(ExamFlag::Superseded)
            || row.has(ExamFlag::WithoutPush) && row.withdrawn.app.is_some();
        if is_shadow {
            // A push of its form is counted in its place, or its form is to be done again.
            return;
        }
        more(&mut counts.suspected_reuse, marks.suspected_reuse);
        if row.withdrawn.is_some() {
            more(&mut counts.withdrawn, 1);
            draft.name_exam(row, vec![Why::Withdrawn]);
            return;
        }
        more(&mut counts.registered, 1);
        more(&mut counts.further_versions, marks.further_versions);
        for (flag, count) in [
            (ExamFlag::IdentityDoubt, &mut counts.identity_doubts),
            (ExamFlag::StudyConflict, &mut counts.conflicts),
            (ExamFlag::LateStatus, &mut counts.late),
            (
                ExamFlag::PlaceholderApplyNo,
                &mut counts.placeholder_apply_no,
            ),
            (ExamFlag::Warned, &mut counts.warned),
        ] {
            more(count, u32::from(row.has(flag)));
        }
        more(&mut counts.unknown_class, u32::from(!place.class.known));
        let mut why = Vec::new();
        if row.is_accordant() {
            more(&mut counts.confirmed, 1);
            draft.confirmed_ms.push(row.confirmed_ms);
        } else if row.report == ReportState::Returned {
            why.push(Why::ReportReturned);
        } else if !row.report.is_final() {
            why.push(Why::NoReport);
        }
        if row.has(ExamFlag::PlaceholderApplyNo) {
            why.push(Why::NoApplyForm);
        }
        let tally = &mut draft.counts.images;
        match images {
            ImageState::Complete { surplus } => {
                more(&mut tally.complete, 1);
                more(&mut tally.surplus, u32::from(surplus));
            }
            ImageState::Partly => {
                more(&mut tally.partly, 1);
                why.push(Why::ImagesPartly);
                why.extend(marks.pull);
            }
            ImageState::Missing => {
                more(&mut tally.missing, 1);
                why.push(Why::ImagesMissing);
                why.extend(marks.pull);
            }
            ImageState::NoneDeclared => more(&mut tally.none_declared, 1),
            ImageState::Linked => more(&mut tally.linked, 1),
            ImageState::Deleted => more(&mut tally.deleted, 1),
        }
        let differs = u32::from(!marks.differs.is_empty());
        more(&mut draft.counts.detail_differs, differs);
        why.extend(marks.differs);
        if !why.is_empty() {
            draft.name_exam(row, why);
        }
    }

    /// An exam that `uploadDetail` named and no push registered.
    pub fn not_registered(&mut self, place: &Place, exam_no: &str) {
        self.at(place).name(Unfinished {
            exam_no: exam_no.to_owned(),
            apply_no: String::new(),
            generation: 0,
            study_uid: String::new(),
            why: vec![Why::NotRegistered],
        });
    }

    /// An exam that `uploadDetail` named for this place and that stands in another.
    pub fn elsewhere(&mut self, place: &Place, row: &ExamRow, differs: Vec<Why>) {
        let draft = self.at(place);
        more(&mut draft.counts.detail_differs, 1);
        draft.name(Unfinished {
            exam_no: row.key.exam_no.as_str().to_owned(),
            apply_no: String::new(),
            generation: row.key.generation,
            study_uid: String::new(),
            why: differs,
        });
    }

    pub fn refuse(&mut self, place: &Place, sender: &AeTitle, reason: RefusalReason, count: u32) {
        let draft = self.at(place);
        more(&mut draft.counts.refused, count);
        more(
            draft.refusals.entry((sender.clone(), reason)).or_default(),
            count,
        );
    }

    pub fn hold(
        &mut self,
        place: &Place,
        sender: &AeTitle,
        reason: HoldReason,
        count: u32,
        study: &StudyUid,
    ) {
        let draft = self.at(place);
        more(&mut draft.counts.held, count);
        more(
            draft.holds.entry((sender.clone(), reason)).or_default(),
            count,
        );
        if !draft.held_studies.insert(study.clone()) {
            return;
        }
        let explained = draft.explained;
        draft.name(Unfinished {
            exam_no: String::new(),
            apply_no: String::new(),
            generation: 0,
            study_uid: study.as_str().to_owned(),
            why: vec![Why::ImagesHeld],
        });
        // Images that differ from their exam tell nothing of an exam that is not there.
        if reason == HoldReason::Mismatch {
            draft.explained = explained;
        }
    }

    /// An apply form that is planned for the place's day and that no exam has. `is_named`: `uploadDetail` names an exam for
    /// it that is not there either; both tell of one.
    pub fn form(&mut self, place: &Place, key: &FormKey, is_named: bool) {
        let draft = self.at(place);
        let count = draft.counts.forms_without_exam.get_or_insert(0);
        more(count, 1);
        let explained = draft.explained;
        draft.name(Unfinished {
            exam_no: String::new(),
            apply_no: key.apply_no.clone(),
            generation: key.generation,
            study_uid: String::new(),
            why: vec![Why::FormWithoutExam],
        });
        if is_named {
            draft.explained = explained;
        }
    }

    /// Forms were looked at: cells without any have none, not an unknown number.
    pub fn forms_are_known(&mut self) {
        self.forms_known = true;
    }

    /// Cells with their numbers, and the totals of hospitals that are not in mode `test`.
    pub fn finish<'h>(
        self,
        hospital_of: impl Fn(&str) -> Option<&'h Hospital>,
    ) -> (Vec<Cell>, Counts) {
        let forms = self.forms_known.then_some(0);
        let mut totals = Counts {
            forms_without_exam: forms,
            ..Counts::default()
        };
        let cells: Vec<Cell> = self
            .drafts
            .into_iter()
            .map(|((hospital, date, class), mut draft)| {
                let counts = &mut draft.counts;
                counts.forms_without_exam = counts.forms_without_exam.or(forms);
                let cell = draft.cell(&self.zone, hospital_of(&hospital), hospital, date, class);
                if !cell.test {
                    totals.add(&cell.counts);
                }
                cell
            })
            .collect();
        (cells, totals)
    }
}

impl Reconciliation {
    /// Cells of one hospital, date and class.
    pub fn cell(&self, hospital: &str, date: &str, class: &str) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.hospital_code == hospital && cell.date == date && cell.class == class)
    }
}

impl Draft {
    fn name_exam(&mut self, row: &ExamRow, why: Vec<Why>) {
        self.name(Unfinished {
            exam_no: row.key.exam_no.as_str().to_owned(),
            apply_no: String::new(),
            generation: row.key.generation,
            study_uid: String::new(),
            why,
        });
    }

    fn name(&mut self, named: Unfinished) {
        if named.why.iter().any(|why| why.explains_deficit()) {
            more(&mut self.explained, 1);
        }
        if self.unfinished.len() < NAMES_LIMIT {
            self.unfinished.push(named);
        } else {
            more(&mut self.more_unfinished, 1);
        }
    }

    fn cell(
        self,
        zone: &Zone,
        registered: Option<&Hospital>,
        hospital: String,
        date: String,
        class: String,
    ) -> Cell {
        let mut counts = self.counts;
        if let (Some(declared), Some(declared_ms)) = (counts.declared, self.declared_ms) {
            let deficit = declared.saturating_sub(counts.confirmed);
            counts.deficit = Some(deficit);
            counts.unnamed = Some(deficit.saturating_sub(self.explained));
            let in_time = self
                .confirmed_ms
                .iter()
                .filter(|confirmed_ms| **confirmed_ms <= declared_ms)
                .count();
            let in_time = u32::try_from(in_time).unwrap_or(u32::MAX);
            counts.surplus = in_time.saturating_sub(declared);
        }
        let refusals = self
            .refusals
            .into_iter()
            .map(|((sender, reason), count)| RefusedFrom {
                sender,
                reason,
                count,
            })
            .take(SENDERS_LIMIT)
            .collect();
        let holds = self
            .holds
            .into_iter()
            .map(|((sender, reason), count)| HeldFrom {
                sender,
                reason,
                count,
            })
            .take(SENDERS_LIMIT)
            .collect();
        Cell {
            hospital_code: hospital,
            hospital_name: registered.map_or_else(String::new, |hospital| hospital.name.clone()),
            date,
            class,
            class_known: self.class_known,
            test: registered.is_some_and(|hospital| hospital.mode == HospitalMode::Test),
            declared_time: self
                .declared_ms
                .and_then(|ms| LocalDateTime::from_unix_ms(ms, zone)),
            counts,
            refusals,
            holds,
            unfinished: self.unfinished,
            more_unfinished: self.more_unfinished,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::exam::Withdrawals;
    use crate::ids::{ExamKey, ExamNo, HospitalCode, Position};

    fn place() -> Place {
        Place {
            hospital: "350006".to_owned(),
            date: "2026-07-04".to_owned(),
            class: ClassCode {
                code: "CT".to_owned(),
                known: true,
            },
        }
    }

    fn exam(number: u32, report: ReportState, confirmed_ms: i64) -> ExamRow {
        ExamRow {
            key: ExamKey {
                hospital: HospitalCode::new("350006").unwrap(),
                exam_no: ExamNo::new(format!("E{number}")).unwrap(),
                generation: 0,
            },
            position: Position(0),
            time_ms: 0,
            first_position: Position(0),
            first_time_ms: 0,
            version: 1,
            digest: [0; 16],
            last_digest: [0; 16],
            status: 70,
            report,
            confirmed_ms,
            last_final: None,
            exam_time: "2026-07-04 08:00:00".to_owned(),
            class: "CT".to_owned(),
            apply_no: "F1".to_owned(),
            sick_id: String::new(),
            name: String::new(),
            sex: String::new(),
            birth_date: String::new(),
            patient_id: String::new(),
            card_no: String::new(),
            inpatient_no: String::new(),
            outpatient_no: String::new(),
            patient_source: String::new(),
            studies: Vec::new(),
            moved: Vec::new(),
            flags: Vec::new(),
            withdrawn: Withdrawals::default(),
        }
    }

    #[test]
    fn names_explain_the_deficit_and_the_rest_is_unnamed() {
        // Given ten declared exams of which two are confirmed, one of them without its images
        let mut book = Book::default();
        book.declare(&place(), 10, 100);
        let whole = ImageState::Complete { surplus: false };
        let mut add = |row: &ExamRow, images| book.exam(&place(), row, images, Marks::default());
        add(&exam(1, ReportState::Confirmed, 50), whole);
        add(&exam(2, ReportState::Revised, 50), ImageState::Missing);
        // And one without report, one withdrawn, one without form, one named only, one known by its images only
        add(&exam(3, ReportState::None, 0), whole);
        let mut withdrawn = exam(4, ReportState::Confirmed, 50);
        withdrawn.withdrawn.app = Some(Position(9));
        add(&withdrawn, whole);
        let mut formless = exam(5, ReportState::Confirmed, 50);
        formless.set(ExamFlag::PlaceholderApplyNo, true);
        add(&formless, whole);
        book.not_registered(&place(), "E6");
        let (sender, study) = (
            AeTitle::new("PACS").unwrap(),
            StudyUid::new("1.2.7").unwrap(),
        );
        for _ in 0..2 {
            book.hold(&place(), &sender, HoldReason::Unregistered, 9, &study);
        }
        // When they are added up
        let (cells, totals) = book.finish(|_| None);
        // Then eight are short, five of them by name; missing images explain none
        let counts = cells[0].counts;
        assert_eq!((counts.registered, counts.confirmed), (4, 2));
        assert_eq!((counts.deficit, counts.unnamed), (Some(8), Some(3)));
        assert_eq!((counts.held, cells[0].unfinished.len()), (18, 6));
        assert_eq!(totals, counts);
    }

    #[test]
    fn forms_without_an_exam_are_named_and_explain_a_deficit() {
        // Given three declared exams, and two forms without one; for the second uploadDetail names an exam
        let mut book = Book::default();
        book.forms_are_known();
        book.declare(&place(), 3, 100);
        let form = |apply_no: &str| FormKey {
            hospital: HospitalCode::new("350006").unwrap(),
            apply_no: apply_no.to_owned(),
            generation: 0,
        };
        book.form(&place(), &form("F1"), false);
        book.not_registered(&place(), "E2");
        book.form(&place(), &form("F2"), true);
        // When they are added up
        let (cells, totals) = book.finish(|_| None);
        // Then both are named, and one of the three is short without a name
        let counts = cells[0].counts;
        assert_eq!(counts.forms_without_exam, Some(2));
        assert_eq!((counts.deficit, counts.unnamed), (Some(3), Some(1)));
        let named = cells[0].unfinished.iter().map(|it| it.apply_no.as_str());
        assert_eq!(named.collect::<Vec<_>>(), ["F1", "", "F2"]);
        assert_eq!(totals, counts);
    }

    #[test]
    fn reports_finished_after_the_declaration_are_no_surplus() {
        let mut book = Book::default();
        book.declare(&place(), 1, 100);
        for (number, confirmed_ms) in [(1, 50), (2, 100), (3, 101)] {
            let row = exam(number, ReportState::Confirmed, confirmed_ms);
            book.exam(&place(), &row, ImageState::NoneDeclared, Marks::default());
        }
        let (cells, _) = book.finish(|_| None);
        assert_eq!(
            (cells[0].counts.deficit, cells[0].counts.surplus),
            (Some(0), 1)
        );
    }

    #[test]
    fn names_are_bounded_and_the_others_counted() {
        let mut book = Book::default();
        for number in 0..NAMES_LIMIT + 3 {
            book.not_registered(&place(), &format!("E{number}"));
        }
        let (cells, _) = book.finish(|_| None);
        assert_eq!(
            (cells[0].unfinished.len(), cells[0].more_unfinished),
            (NAMES_LIMIT, 3)
        );
    }
}
