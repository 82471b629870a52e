//! Whose images are seen: patients of one hospital under one study UID, numbers that are corrected, trials.

use super::*;
use crate::instance::covers;

const STUDY: &str = "1.2.1";

fn e1() -> Push {
    Push::new("350006", "E1", "王一", 70, STUDY)
}

fn e2() -> Push {
    Push::new("350006", "E2", "李二", 70, STUDY)
}

fn withdraw(house: &mut House, exam: &str) -> Position {
    let exam = key("350006", exam, 0);
    let (outcome, position) = house.correct(CorrectionAction::WithdrawExam { exam });
    assert_eq!(outcome, Outcome::Done);
    position
}

/// Images that readers see, and the PatientID that they have.
fn seen(house: &House) -> (u32, String) {
    let study = StudyKey::new(code("350006"), uid(STUDY));
    let row = house.studies.get(&study).filter(|row| {
        let claims = house.claims.get(&uid(STUDY));
        claims.is_some_and(|claims| covers(&house.registry, claims, row))
    });
    row.map_or_else(Default::default, |row| {
        (row.visible_instances(), row.patient.id.clone())
    })
}

fn images(of: &str) -> Images<'_> {
    Images::new(STUDY, of, 0..2)
}

#[test]
fn two_patients_images_under_one_uid_are_never_seen_together() {
    // Given a push of the wrong patient with its images, withdrawn, and the right one's
    let mut house = House::new();
    house.push(&e1());
    house.store(&images("C-E1"));
    let first = withdraw(&mut house, "E1");
    house.push(&e2());
    assert_eq!(seen(&house), (0, String::new()));
    assert!(house.row("350006", "E2").studies[0].foreign);
    // When the right patient's images come, then they alone are seen, and count
    house.store(&Images {
        bytes: 1,
        ..images("C-E2")
    });
    assert_eq!(seen(&house), (2, "C-E2".to_owned()));
    assert!(!house.row("350006", "E2").studies[0].foreign);
    assert_eq!(house.listed(FindingKind::FurtherVersion), 0);
    // When it was the other way round after all, then the first patient's come back, alone
    let second = withdraw(&mut house, "E2");
    assert_eq!(seen(&house), (0, String::new()));
    house.undo(first);
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
    // And so again
    withdraw(&mut house, "E1");
    house.undo(second);
    assert_eq!(seen(&house), (2, "C-E2".to_owned()));
    house.store(&Images {
        bytes: 1,
        ..images("C-E2")
    });
    assert_eq!(seen(&house), (2, "C-E2".to_owned()));
}

#[test]
fn instances_that_were_hidden_stay_hidden_while_they_are_set_aside_and_are_shown_again_there() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&images("C-E1"));
    let study = StudyKey::new(code("350006"), uid(STUDY));
    let hide = CorrectionAction::HideInstances {
        study,
        instances: vec![SopInstanceUid::new("1.2.1.1.1").unwrap()],
    };
    let (_, hidden) = house.correct(hide);
    let first = withdraw(&mut house, "E1");
    house.push(&e2());
    house.store(&images("C-E2"));
    assert_eq!(seen(&house), (2, "C-E2".to_owned()));
    assert_eq!(house.undo(hidden), Outcome::Done);
    assert_eq!(seen(&house), (2, "C-E2".to_owned()));
    withdraw(&mut house, "E2");
    house.undo(first);
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
}

#[test]
fn a_scan_with_two_forms_is_seen_when_the_first_is_withdrawn() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350006", "E2", "王一", 70, STUDY));
    house.store(&images("C-E1"));
    withdraw(&mut house, "E1");
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
    house.store(&Images::new(STUDY, "C-E2", 2..3));
    assert_eq!(seen(&house), (3, "C-E1".to_owned()));
    assert!(!house.row("350006", "E2").studies[0].foreign);
}

#[test]
fn corrected_numbers_hide_no_image_that_was_acknowledged() {
    for (path, number) in [
        ("/examInfo/patientID", "C-NEW"),
        ("/imageList/0/accessionNo", "A-NEW"),
    ] {
        let mut house = House::new();
        house.push(&e1());
        house.store(&images("C-E1"));
        house.push(&e1().with(path, number));
        assert_eq!(seen(&house), (2, "C-E1".to_owned()), "{path}");
    }
}

#[test]
fn a_corrected_patient_of_an_exam_keeps_its_images_while_their_numbers_are_the_exams() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&images("C-E1"));
    house.push(&e1().with("/patientInfo/sickId", "S-NEW"));
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
    // Since then they are that patient's, also when the number is corrected as well
    house.push(
        &e1()
            .with("/patientInfo/sickId", "S-NEW")
            .with("/examInfo/patientID", "C-NEW"),
    );
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
    // Another patient with another number at once is another's
    house.push(
        &e1()
            .with("/patientInfo/sickId", "S-OTHER")
            .with("/examInfo/patientID", "C-OTHER"),
    );
    assert_eq!(seen(&house), (0, String::new()));
}

#[test]
fn a_push_that_tells_nothing_of_images_takes_none_away() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&images("C-E1"));
    house.push(&e1().without("imageList"));
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
    let row = house.row("350006", "E1");
    assert_eq!((row.studies.len(), row.studies[0].image_count), (1, None));
    house.store(&Images::new(STUDY, "C-E1", 2..3));
    assert_eq!(seen(&house).0, 3);
    // It is withdrawn with the exam as any other
    withdraw(&mut house, "E1");
    assert_eq!(seen(&house).0, 0);
}

#[test]
fn a_trial_keeps_no_study_from_a_hospital_that_is_live() {
    let mut house = House::new();
    house.put_hospital("350010", HospitalMode::Test);
    house.push(&Push::new("350010", "E9", "试用", 70, STUDY));
    house.push(&e1());
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
    house.store(&images("C-E1"));
    assert_eq!(seen(&house), (2, "C-E1".to_owned()));
}

#[test]
fn a_study_is_answered_under_numbers_that_an_exam_has() {
    // Given a scan with two forms whose images have the first one's numbers
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350006", "E2", "王一", 70, STUDY));
    house.store(&images("C-E1"));
    let study = StudyKey::new(code("350006"), uid(STUDY));
    let found_by = |house: &House| -> Vec<String> {
        let row = &house.studies[&study];
        let mut ids: Vec<_> = row.patient_ids().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(found_by(&house), ["C-E1", "C-E2"]);
    // When the first is withdrawn, then nobody finds it by that one's number
    let first = withdraw(&mut house, "E1");
    assert_eq!(found_by(&house), ["C-E2"]);
    house.undo(first);
    assert_eq!(found_by(&house), ["C-E1", "C-E2"]);
    // When the numbers of both are corrected, then the new ones count
    house.push(&e1().with("/examInfo/patientID", "C-NEW"));
    assert_eq!(found_by(&house), ["C-E2", "C-NEW"]);
    house.store(&Images::new(STUDY, "C-NEW", 2..3));
    assert_eq!(found_by(&house), ["C-E2", "C-NEW"]);
}
