//! Images that a retention rule deletes.

use super::*;
use crate::event::ImagesDeleted;
use crate::registry::{RegistryChange, RetentionRule, Settings};

/// 2027-07-04 00:00 UTC, a year after the exams of these tests.
const A_YEAR_LATER_MS: i64 = 1_814_659_200_000;

fn rule_of(
    name: &str,
    hospitals: &[&str],
    patients: &[&str],
    months: Option<u16>,
) -> RetentionRule {
    serde_json::from_value(json!({
        "name": name, "hospitals": hospitals, "patients": patients, "delete_after_months": months, "grace_days": 0
    }))
    .unwrap()
}

impl House {
    fn keep(&mut self, retention: Vec<RetentionRule>) {
        self.registry.apply(RegistryChange::PutSettings(Settings {
            retention,
            ..self.registry.settings.clone()
        }));
    }

    /// Somebody found exams due at a moment.
    fn delete(&mut self, rule: &str, exams: &[&str], time_ms: i64) {
        let exams = exams
            .iter()
            .map(|exam_no| key("350006", exam_no, 0))
            .collect();
        let rule = rule.to_owned();
        let event = Event::ImagesDeleted(ImagesDeleted {
            rule,
            exams,
            epoch: None,
        });
        self.take_at(time_ms, "node:0", event);
    }
}

fn scanned(exam_no: &str, study: &str, source: &str) -> Push {
    let mut push = Push::new("350006", exam_no, exam_no, 70, study);
    push.0["patientInfo"]["patientSource"] = source.into();
    push
}

/// An outpatient's exam, and one of a health check, which are kept for a year.
fn house() -> House {
    let mut house = House::new();
    house.push(&scanned("E1", "1.2.1", "门诊"));
    house.push(&scanned("E2", "1.2.2", "体检"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    house.store(&Images::new("1.2.2", "C-E2", 10..13));
    house.keep(vec![
        rule_of("其他医院", &["350007"], &[], Some(12)),
        rule_of("体检一年", &["*"], &["PE"], Some(12)),
        rule_of("其余", &["*"], &[], None),
    ]);
    house
}

#[test]
fn images_go_when_their_time_is_over_by_the_rule_that_fits_first() {
    let mut house = house();
    // A day before its time nothing goes, by no other rule either, and of no patient whom the rule does not name
    house.delete("体检一年", &["E1", "E2"], A_YEAR_LATER_MS - 1);
    house.delete("其他医院", &["E1", "E2"], A_YEAR_LATER_MS);
    house.delete("其余", &["E1", "E2"], A_YEAR_LATER_MS);
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350006", "1.2.2")
        ),
        (2, 3)
    );
    // Then the rule's do, and the exam says so
    house.delete("体检一年", &["E1", "E2"], A_YEAR_LATER_MS);
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350006", "1.2.2")
        ),
        (2, 0)
    );
    assert!(house.row("350006", "E2").has(ExamFlag::ImagesDeleted));
    assert!(!house.row("350006", "E1").has(ExamFlag::ImagesDeleted));
    let steps = house
        .history
        .iter()
        .filter(|line| line.step == ExamStep::ImagesDeleted);
    assert_eq!(steps.count(), 1);
    // Once: a record that comes again finds nothing
    let lines = house.history.len();
    house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
    assert_eq!(house.history.len(), lines);
    // A push does not bring them back, and says that they were there
    house.push(&scanned("E2", "1.2.2", "体检").with("/patientInfo/name", "王二"));
    assert!(house.row("350006", "E2").has(ExamFlag::ImagesDeleted));
    // and what is sent again is stored as new
    house.store(&Images::new("1.2.2", "C-E2", 10..13));
    assert_eq!(house.shown("350006", "1.2.2"), 3);
}

#[test]
fn what_is_under_legal_hold_is_not_deleted_until_that_is_undone() {
    let mut house = house();
    let exam = key("350006", "E2", 0);
    let (held, hold) = house.correct(CorrectionAction::LegalHold { exam: exam.clone() });
    assert_eq!(held, Outcome::Done);
    assert_eq!(house.listed(FindingKind::LegalHold), 1);
    let (twice, _) = house.correct(CorrectionAction::LegalHold { exam });
    assert_eq!(rule(&twice), "conflict");
    // Under hold nothing goes, whatever is pushed meanwhile
    house.push(&scanned("E2", "1.2.2", "体检").with("/patientInfo/name", "王二"));
    house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
    assert_eq!(house.shown("350006", "1.2.2"), 3);
    // When it is undone, it does
    assert_eq!(house.undo(hold), Outcome::Done);
    assert_eq!(house.listed(FindingKind::LegalHold), 0);
    house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
    assert_eq!(house.shown("350006", "1.2.2"), 0);
    let unknown = key("350006", "E9", 0);
    let (refused, _) = house.correct(CorrectionAction::LegalHold { exam: unknown });
    assert_eq!(rule(&refused), "not-found");
}

#[test]
fn one_scan_of_two_forms_stays_as_long_as_either_asks_for_it() {
    // Given a health check's scan that an outpatient's form shares
    let mut house = house();
    let shared = scanned("E3", "1.2.2", "门诊").with("/patientInfo/sickId", "S-E2");
    house.push(&shared);
    // When the health check's time is over, then its images stay, for the other's sake
    house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
    assert_eq!(house.shown("350006", "1.2.2"), 3);
    // and go when that may lose them as well, by another rule
    house.keep(vec![
        rule_of("体检一年", &["*"], &["体检"], Some(12)),
        rule_of("其余一年", &["*"], &[], Some(12)),
    ]);
    house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
    assert_eq!(house.shown("350006", "1.2.2"), 0);
    for exam_no in ["E2", "E3"] {
        assert!(
            house.row("350006", exam_no).has(ExamFlag::ImagesDeleted),
            "{exam_no}"
        );
    }
}

#[test]
fn whoever_claimed_a_study_can_have_it_held() {
    let exam = || key("350006", "E3", 0);
    let shared = || scanned("E3", "1.2.2", "门诊").with("/patientInfo/sickId", "S-E2");
    let hold = |house: &mut House| house.correct(CorrectionAction::LegalHold { exam: exam() });
    let kept = |house: &mut House| {
        house.delete("体检一年", &["E2"], A_YEAR_LATER_MS);
        assert_eq!(house.shown("350006", "1.2.2"), 3);
    };
    // Given another form of the scan, under hold, that was withdrawn
    let mut withdrawn = house();
    withdrawn.push(&shared());
    hold(&mut withdrawn);
    withdrawn.correct(CorrectionAction::WithdrawExam { exam: exam() });
    kept(&mut withdrawn);
    // or that names the study no longer
    let mut renamed = house();
    renamed.push(&shared());
    hold(&mut renamed);
    renamed.push(&scanned("E3", "1.2.3", "门诊").with("/patientInfo/sickId", "S-E2"));
    kept(&mut renamed);
    // or another patient's, who claims the study too
    let mut contested = house();
    contested.push(&scanned("E3", "1.2.2", "门诊"));
    hold(&mut contested);
    kept(&mut contested);
    // Nobody's hold, but nobody has ruled on it either
    let mut contested = house();
    contested.push(&scanned("E3", "1.2.2", "体检"));
    kept(&mut contested);
}

#[test]
fn a_slip_of_the_date_can_be_mended_before_images_go() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let mut house = house();
    let mut rule = rule_of("体检一年", &["*"], &["PE"], Some(12));
    rule.grace_days = 30;
    house.keep(vec![rule]);
    // Given an exam that is pushed again with a day long past
    let pushed_ms = A_YEAR_LATER_MS - 100 * DAY_MS;
    let slipped = scanned("E2", "1.2.2", "体检").with("/examInfo/examTime", "1926-07-04 08:00:00");
    house.take_at(pushed_ms, "app:demo-pacs", slipped.event());
    // Then nothing of it goes for a month
    house.delete("体检一年", &["E2"], pushed_ms + 30 * DAY_MS - 1);
    assert_eq!(house.shown("350006", "1.2.2"), 3);
    house.delete("体检一年", &["E2"], pushed_ms + 30 * DAY_MS);
    assert_eq!(house.shown("350006", "1.2.2"), 0);
    // and its pack is known to have something deleted in it
    let pack = house.packs[&PackId::new(0, 1)];
    assert_eq!(pack.deleted_since_ms, Some(pushed_ms + 30 * DAY_MS));
}
