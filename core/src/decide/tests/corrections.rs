//! Corrections and their undoing.

use super::*;

fn e1() -> Push {
    Push::new("350006", "E1", "王一", 70, "1.2.1")
}

fn withdraw(exam: ExamKey) -> CorrectionAction {
    CorrectionAction::WithdrawExam { exam }
}

#[test]
fn a_withdrawn_exam_lets_its_study_go_and_takes_it_back() {
    let mut house = House::new();
    house.push(&e1());
    let (outcome, position) = house.correct(withdraw(key("350006", "E1", 0)));
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(
        rule(&house.correct(withdraw(key("350006", "E1", 0))).0),
        "conflict"
    );
    // Images that come meanwhile are held, and shown when the withdrawal is undone
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    assert_eq!(
        (house.held("1.2.1"), house.shown("350006", "1.2.1")),
        (2, 0)
    );
    assert_eq!(house.undo(position), Outcome::Done);
    assert_eq!(
        (house.held("1.2.1"), house.shown("350006", "1.2.1")),
        (0, 2)
    );
    assert_eq!(rule(&house.undo(position)), "conflict");
}

#[test]
fn a_push_brings_back_what_its_app_withdrew_but_not_what_an_operator_did() {
    for (actor, withdrawn) in [
        ("app:demo-pacs", None),
        ("operator:o", Some(WithdrawnBy::Operator)),
    ] {
        let mut house = House::new();
        house.push(&e1());
        let (reason, author) = ("示例".to_owned(), "tester".to_owned());
        let made = CorrectionMade {
            action: withdraw(key("350006", "E1", 0)),
            reason,
            author,
        };
        house.take(actor, Event::CorrectionMade(made));
        house.push(&e1().status(65));
        assert_eq!(house.row("350006", "E1").withdrawn, withdrawn, "{actor}");
    }
}

#[test]
fn hidden_instances_come_back_when_undone() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    let study = StudyKey {
        hospital: code("350006"),
        study: uid("1.2.1"),
    };
    let instances = vec![SopInstanceUid::new("1.2.1.1.1").unwrap()];
    let hide = CorrectionAction::HideInstances { study, instances };
    let (_, position) = house.correct(hide.clone());
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    assert_eq!(rule(&house.correct(hide).0), "conflict");
    house.undo(position);
    assert_eq!(house.shown("350006", "1.2.1"), 3);
}

#[test]
fn a_moved_study_goes_to_the_other_hospital_and_back() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    house.store(&Images::new("1.2.1", "C-E1", 0..200));
    let study = StudyKey {
        hospital: code("350006"),
        study: uid("1.2.1"),
    };
    let to = key("350007", "E9", 0);
    let (outcome, position) = house.correct(CorrectionAction::MoveStudy { study, to });
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350007", "1.2.1")
        ),
        (0, 200)
    );
    assert!(house.row("350006", "E1").studies[0].foreign);
    // A new version of the exam that lost it does not take it back
    house.push(&e1().status(65));
    assert!(house.row("350006", "E1").studies[0].foreign);
    assert_eq!(house.undo(position), Outcome::Done);
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350007", "1.2.1")
        ),
        (200, 0)
    );
    assert!(!house.row("350006", "E1").studies[0].foreign);
}

#[test]
fn undoing_a_move_does_not_revive_the_claim_of_an_exam_withdrawn_since() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let study = StudyKey {
        hospital: code("350006"),
        study: uid("1.2.1"),
    };
    let to = key("350007", "E9", 0);
    let (_, moved) = house.correct(CorrectionAction::MoveStudy { study, to });
    house.correct(withdraw(key("350006", "E1", 0)));
    house.undo(moved);
    assert_eq!(house.claims[&uid("1.2.1")].active().count(), 0);
}

#[test]
fn a_ruling_settles_a_conflict_for_both() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let (study, exam) = (uid("1.2.1"), key("350007", "E9", 0));
    house.correct(CorrectionAction::RuleConflict { study, exam });
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350007", "1.2.1")
        ),
        (0, 2)
    );
    assert_eq!(house.listed(FindingKind::StudyConflict), 0);
    // A new version does not open the settled conflict again
    house.push(&Push::new("350007", "E9", "李四", 65, "1.2.1"));
    for (hospital, exam) in [("350006", "E1"), ("350007", "E9")] {
        assert!(
            !house.row(hospital, exam).has(ExamFlag::StudyConflict),
            "{exam}"
        );
    }
}

#[test]
fn a_released_claim_stays_released_when_the_exam_is_pushed_again() {
    let mut house = House::new();
    house.push(&e1());
    let (study, exam) = (uid("1.2.1"), key("350006", "E1", 0));
    let release = CorrectionAction::ReleaseUid { study, exam };
    assert_eq!(house.correct(release.clone()).0, Outcome::Done);
    house.push(&e1().status(65));
    assert_eq!(house.claims[&uid("1.2.1")].active().count(), 0);
    assert_eq!(rule(&house.correct(release).0), "not-found");
}

#[test]
fn a_moved_study_is_hidden_with_its_new_exam_and_shown_again_with_it() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let study = StudyKey {
        hospital: code("350006"),
        study: uid("1.2.1"),
    };
    let to = key("350007", "E9", 0);
    house.correct(CorrectionAction::MoveStudy { study, to });
    // A new version keeps what was moved to it
    house.push(&Push::new("350007", "E9", "李四", 65, "1.2.9"));
    let (_, withdrawn) = house.correct(withdraw(key("350007", "E9", 0)));
    assert!(house.claims[&uid("1.2.1")].owner().is_none());
    house.undo(withdrawn);
    let owner = house.claims[&uid("1.2.1")]
        .owner()
        .map(|claim| claim.exam.clone());
    assert_eq!(owner, Some(key("350007", "E9", 0)));
}

#[test]
fn images_ruled_for_an_exam_do_not_fall_back_when_it_is_withdrawn() {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.1"));
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    let (study, exam) = (uid("1.2.1"), key("350007", "E9", 0));
    house.correct(CorrectionAction::RuleConflict { study, exam });
    house.correct(withdraw(key("350007", "E9", 0)));
    assert!(house.claims[&uid("1.2.1")].owner().is_none());
}

#[test]
fn undoing_a_release_keeps_numbers_that_were_corrected_meanwhile() {
    let mut house = House::new();
    house.push(&e1());
    let (study, exam) = (uid("1.2.1"), key("350006", "E1", 0));
    let (_, released) = house.correct(CorrectionAction::ReleaseUid { study, exam });
    house.push(&e1().with("/examInfo/patientID", "C-NEW"));
    house.undo(released);
    let claims = &house.claims[&uid("1.2.1")];
    assert_eq!(
        claims.owner().map(|claim| claim.patient_id.as_str()),
        Some("C-NEW")
    );
}
