//! What is kept of exams for supervision, record by record.

use super::*;
use crate::event::SUPERVISION_SINCE_RULES;

impl House {
    /// Of an exam as it stands; its day is part of where it is.
    fn supervised_row(&self, exam_no: &str) -> &SupervisedRow {
        &self.supervised[&SupervisedKey::of(self.row("350006", exam_no))]
    }

    fn sender(&self, exam_no: &str) -> Option<&str> {
        let content = self.supervised_row(exam_no).content.as_ref();
        content.map(|content| content.sender.as_str())
    }

    /// Every exam has one row, under its day.
    fn rows_agree(&self) {
        let exams: Vec<SupervisedKey> = self.exams.values().map(SupervisedKey::of).collect();
        assert_eq!(self.supervised.len(), exams.len());
        for row in self.exams.values() {
            let kept = &self.supervised[&SupervisedKey::of(row)];
            assert_eq!(
                (kept.counted, kept.class.as_str()),
                (row.is_counted(), row.class.as_str())
            );
            assert_eq!(
                (kept.pushed_ms, kept.confirmed_ms),
                (row.first_time_ms, row.confirmed_ms)
            );
        }
        let lines = self.supervised.iter().flat_map(|(at, row)| {
            let persons = row.joins_by().iter();
            persons.map(|person| (*person, at.exam()))
        });
        assert!(
            self.patient_keys
                .iter()
                .cloned()
                .eq(BTreeSet::from_iter(lines))
        );
    }
}

fn positive(status: u8, flag: &str) -> Push {
    let mut push = Push::new("350006", "E1", "张三", status, "1.2.1");
    push.0["reportList"] = json!([{"abNormalFlag": flag, "affirmReporter": "王"}]);
    push
}

#[test]
fn an_exam_s_row_follows_its_pushes_its_images_and_its_day() {
    // Given an exam at 50, and then its first image
    let mut house = House::new();
    house.take_at(5_000, "app:pacs", positive(50, "").event());
    assert_eq!(
        (house.sender("E1"), house.supervised_row("E1").images_ms),
        (Some("app:pacs"), 0)
    );
    house.take_at(6_000, "ae:PACS", Images::new("1.2.1", "C-E1", 0..1).event());
    house.take_at(7_000, "ae:PACS", Images::new("1.2.1", "C-E1", 1..2).event());
    // When the report comes, of another day
    let report = positive(70, "1").with("/examInfo/examTime", "2026-07-05 09:00:00");
    house.take_at(8_000, "app:ris", report.event());
    // Then the row is under that day, and tells what came when
    let row = house.supervised_row("E1");
    assert_eq!(
        (row.pushed_ms, row.images_ms, row.confirmed_ms),
        (5_000, 6_000, 8_000)
    );
    assert_eq!(
        (row.reported, row.content.as_ref().unwrap().positive),
        (true, Some(true))
    );
    assert_eq!(house.sender("E1"), Some("app:ris"));
    house.rows_agree();
    // A late status changes no content
    house.take_at(9_000, "app:pacs", positive(50, "0").event());
    assert_eq!(house.sender("E1"), Some("app:ris"));
    house.rows_agree();
    // What is withdrawn counts no more and keeps its content
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam {
        exam: key("350006", "E1", 0),
    });
    assert!(!house.supervised_row("E1").counted);
    house.undo(withdrawal);
    assert!(house.supervised_row("E1").counted && house.sender("E1").is_some());
}

#[test]
fn before_the_rules_nothing_is_kept_and_then_the_content_is_unknown_until_the_next_push() {
    let mut house = House::new();
    house.registry.rules = SUPERVISION_SINCE_RULES - 1;
    house.push(&positive(50, ""));
    assert!(house.supervised.is_empty());
    // As the record does that activates the rules (the views fill the rows in)
    house.registry.rules = RULES_VERSION;
    let row = crate::decide::supervised_row(&house, house.row("350006", "E1")).unwrap();
    assert!(row.counted && row.content.is_none());
    house.store(&Images::new("1.2.1", "C-E1", 0..1));
    assert!(
        house.supervised_row("E1").content.is_none() && house.supervised_row("E1").images_ms > 0
    );
    house.push(&positive(70, "0"));
    assert_eq!(
        house
            .supervised_row("E1")
            .content
            .as_ref()
            .unwrap()
            .positive,
        Some(false)
    );
}

#[test]
fn a_ruling_that_is_undone_leaves_a_content_that_is_not_known() {
    let mut house = House::new();
    house.push(&positive(70, "1"));
    let other = Push::new("350006", "E1", "李四", 70, "1.2.9");
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    let refused = Position(house.next - 1);
    let ruling = ReuseRuling::Correction;
    let (outcome, ruled) = house.correct(CorrectionAction::RuleReuse { refused, ruling });
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(
        house
            .supervised_row("E1")
            .content
            .as_ref()
            .unwrap()
            .positive,
        None
    );
    house.undo(ruled);
    assert!(house.supervised_row("E1").content.is_none());
    house.rows_agree();
}

#[test]
fn a_trial_s_row_goes_with_its_exam() {
    let mut house = House::new();
    house.put_hospital("350006", HospitalMode::Test);
    house.push(&positive(70, "1"));
    assert!(!house.supervised_row("E1").counted);
    house.take("operator:o", purge(vec![key("350006", "E1", 0)]));
    assert!(house.supervised.is_empty());
}

/// By a passport's number.
fn known_by(number: &str) -> Push {
    let mut push = positive(70, "1");
    push.0["patientInfo"]["identity"] = json!([{"idType": "4", "idNumber": number}]);
    push
}

#[test]
fn documents_lead_to_an_exam_while_it_counts_and_has_them() {
    // given an exam whose content has a document
    let mut house = House::new();
    house.push(&known_by("E12893745"));
    let first = house.patient_keys.clone();
    assert_eq!(first.len(), 1);
    // when it has another one, then that leads to it and the first no more, on whatever day it is
    house.push(&known_by("E99893745").with("/examInfo/examTime", "2026-07-05 09:00:00"));
    house.rows_agree();
    assert_eq!(house.patient_keys.len(), 1);
    assert!(first.is_disjoint(&house.patient_keys));
    // A withdrawal takes the line, and undone brings it back
    let second = house.patient_keys.clone();
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam {
        exam: key("350006", "E1", 0),
    });
    assert!(house.patient_keys.is_empty());
    house.undo(withdrawal);
    assert_eq!(house.patient_keys, second);
    house.rows_agree();
}

#[test]
fn a_trial_s_documents_lead_nowhere_until_its_number_is_a_live_exam_s() {
    let mut house = House::new();
    house.put_hospital("350006", HospitalMode::Test);
    house.push(&known_by("E12893745"));
    assert!(house.patient_keys.is_empty());
    house.put_hospital("350006", HospitalMode::Live);
    house.push(&known_by("E12893745").status(60));
    house.push(&known_by("E12893745"));
    assert_eq!(house.patient_keys.len(), 1);
    house.rows_agree();
}
