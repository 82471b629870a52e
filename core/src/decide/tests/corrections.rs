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
        assert_eq!(
            house.row("350006", "E1").withdrawn.by(),
            withdrawn,
            "{actor}"
        );
    }
}

#[test]
fn hidden_instances_come_back_when_undone() {
    let mut house = House::new();
    house.push(&e1());
    house.store(&Images::new("1.2.1", "C-E1", 0..3));
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
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
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
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
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
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
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
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

fn study_at(hospital: &str, study: &str) -> StudyKey {
    StudyKey::new(code(hospital), uid(study))
}

fn move_to(exam: ExamKey) -> CorrectionAction {
    let study = study_at("350006", "1.2.1");
    CorrectionAction::MoveStudy { study, to: exam }
}

/// Two exams of two patients in one hospital; the images of 1.2.1 came under the first one's name.
fn mixed_up() -> House {
    let mut house = House::new();
    house.push(&e1());
    house.push(&Push::new("350006", "E2", "李四", 70, "1.2.2"));
    house.store(&Images {
        name: "王一",
        ..Images::new("1.2.1", "C-E1", 0..2)
    });
    house
}

/// Name and PatientID as queries answer them.
fn answered(house: &House, hospital: &str, study: &str) -> (String, String) {
    let (patient, _) = house.studies[&study_at(hospital, study)].answered();
    (patient.name.clone(), patient.id.clone())
}

fn is(name: &str, id: &str) -> (String, String) {
    (name.to_owned(), id.to_owned())
}

#[test]
fn a_moved_study_is_answered_as_the_patient_of_the_exam_it_is_given_to() {
    let mut house = mixed_up();
    let (_, moved) = house.correct(move_to(key("350006", "E2", 0)));
    assert_eq!(answered(&house, "350006", "1.2.1"), is("李四", "C-E2"));
    // It follows the exam's corrections
    let corrected =
        Push::new("350006", "E2", "李四", 65, "1.2.2").with("/patientInfo/name", "李斯");
    house.push(&corrected.with("/examInfo/patientID", "C-NEW"));
    assert_eq!(answered(&house, "350006", "1.2.1"), is("李斯", "C-NEW"));
    // Images that come later are the same study's
    house.store(&Images::new("1.2.1", "C-E1", 2..3));
    assert_eq!(house.shown("350006", "1.2.1"), 3);
    assert_eq!(answered(&house, "350006", "1.2.1"), is("李斯", "C-NEW"));
    house.undo(moved);
    assert_eq!(answered(&house, "350006", "1.2.1"), is("王一", "C-E1"));
}

#[test]
fn a_study_is_given_to_one_exam_at_a_time() {
    let given = |house: &House, exam: &str| house.row("350006", exam).given().count();
    let mut house = mixed_up();
    house.push(&Push::new("350006", "E3", "赵六", 70, "1.2.3"));
    house.correct(move_to(key("350006", "E2", 0)));
    let (_, second) = house.correct(move_to(key("350006", "E3", 0)));
    assert_eq!((given(&house, "E2"), given(&house, "E3")), (0, 1));
    assert_eq!(answered(&house, "350006", "1.2.1"), is("赵六", "C-E3"));
    // The exam that it was taken from is withdrawn, so undoing shows its images to nobody
    house.correct(withdraw(key("350006", "E2", 0)));
    house.undo(second);
    assert_eq!((given(&house, "E2"), given(&house, "E3")), (1, 0));
    assert!(house.claims[&uid("1.2.1")].owner().is_none());
}

#[test]
fn corrections_of_one_study_are_undone_last_first() {
    let mut house = mixed_up();
    let (_, moved) = house.correct(move_to(key("350006", "E2", 0)));
    let (study, exam) = (uid("1.2.1"), key("350006", "E2", 0));
    let (_, released) = house.correct(CorrectionAction::ReleaseUid { study, exam });
    assert_eq!(house.row("350006", "E2").given().count(), 0);
    let Outcome::Refused(refusal) = house.undo(moved) else {
        panic!("undone out of turn")
    };
    assert!(
        refusal
            .message
            .contains(&format!("correct undo {released}"))
    );
    assert_eq!(house.undo(released), Outcome::Done);
    assert_eq!(house.undo(moved), Outcome::Done);
    assert_eq!(answered(&house, "350006", "1.2.1"), is("王一", "C-E1"));
}

#[test]
fn two_scans_under_one_uid_never_become_one_study() {
    // Given images of one UID at two hospitals: the first exam gave it up after its images had come
    let mut house = House::new();
    house.push(&e1());
    house.store(&Images::new("1.2.1", "C-E1", 0..2));
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.1"));
    house.correct(withdraw(key("350006", "E1", 0)));
    house.store(&Images::new("1.2.1", "C-E9", 5..7));
    assert_eq!(house.shown("350007", "1.2.1"), 2);
    // When the first ones are to go to the other hospital, then it is refused
    let refused = house.correct(move_to(key("350007", "E9", 0))).0;
    assert_eq!(rule(&refused), "conflict");
    assert_eq!(house.shown("350007", "1.2.1"), 2);
}

#[test]
fn images_hidden_before_a_move_are_shown_again_where_they_went() {
    let mut house = mixed_up();
    house.push(&Push::new("350007", "E9", "李四", 70, "1.2.9"));
    let hide = CorrectionAction::HideInstances {
        study: study_at("350006", "1.2.1"),
        instances: vec![SopInstanceUid::new("1.2.1.1.1").unwrap()],
    };
    let (_, hidden) = house.correct(hide);
    house.correct(move_to(key("350007", "E9", 0)));
    assert_eq!(house.shown("350007", "1.2.1"), 1);
    house.undo(hidden);
    assert_eq!(house.shown("350007", "1.2.1"), 2);
}

#[test]
fn a_purge_of_the_exam_they_were_moved_to_leaves_images_to_be_moved_on() {
    // Given live images that went to a trial's exam, as the rules once allowed
    let mut house = mixed_up();
    house.put_hospital("350007", HospitalMode::Test);
    house.push(&Push::new("350007", "T1", "测试", 70, "1.2.9"));
    assert_eq!(
        rule(&house.correct(move_to(key("350007", "T1", 0))).0),
        "conflict"
    );
    house.registry.rules = RULINGS_SINCE_RULES - 1;
    let (_, moved) = house.correct(move_to(key("350007", "T1", 0)));
    let exams = vec![key("350007", "T1", 0)];
    house.take("operator:o", purge(exams));
    assert!(house.claims[&uid("1.2.1")].owner().is_none());
    assert_eq!(house.undo(moved), Outcome::Done);
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    assert_eq!(answered(&house, "350006", "1.2.1"), is("王一", "C-E1"));
}

/// E1 and a push that uses its number for another; where that is listed.
fn reused() -> (House, Push, Position) {
    let mut house = House::new();
    house.push(&e1());
    let other = Push::new("350006", "E1", "李四", 70, "1.2.9");
    let refused = Position(house.next);
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    (house, other, refused)
}

#[test]
fn a_ruling_that_a_push_corrects_its_exam_is_undone_until_other_content_comes() {
    let ruling = ReuseRuling::Correction;
    let (mut house, other, refused) = reused();
    let (_, ruled) = house.correct(CorrectionAction::RuleReuse { refused, ruling });
    assert_eq!(house.undo(ruled), Outcome::Done);
    // The exam is what it was, and the push is listed again, under its number
    let row = house.row("350006", "E1");
    assert_eq!((row.name.as_str(), row.version), ("王一", 3));
    assert_eq!(row.studies[0].uid, uid("1.2.1"));
    assert!(!row.studies[0].foreign);
    assert_eq!(house.listed(FindingKind::NumberReuse), 1);
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    assert_eq!(house.listed(FindingKind::NumberReuse), 1);
    let (outcome, ruled) = house.correct(CorrectionAction::RuleReuse { refused, ruling });
    assert_eq!(outcome, Outcome::Done);
    // After another version the exam is what the hospital pushed
    house.push(&other.status(65));
    assert_eq!(rule(&house.undo(ruled)), "conflict");
    assert_eq!(house.row("350006", "E1").name, "李四");
}

#[test]
fn a_new_generation_is_not_undone_and_the_refusal_says_what_to_do() {
    let (mut house, _, refused) = reused();
    let ruling = ReuseRuling::NewGeneration;
    let (_, ruled) = house.correct(CorrectionAction::RuleReuse { refused, ruling });
    let Outcome::Refused(refusal) = house.undo(ruled) else {
        panic!("undone")
    };
    assert!(refusal.message.contains("correct withdraw 350006/E1#1"));
    assert!(house.exams[&key("350006", "E1", 1)].withdrawn.is_none());
}

/// What the history of E1 says last.
fn last_step(house: &House) -> (ExamStep, Position) {
    let mut lines = house.history.iter().rev();
    let last = lines.find(|line| line.row.key == key("350006", "E1", 0));
    last.map(|line| (line.step, line.position)).unwrap()
}

#[test]
fn a_push_with_new_content_ends_the_apps_withdrawal_and_says_so() {
    let mut house = House::new();
    house.push(&e1());
    let (_, first) = house.correct_as("app:demo-pacs", withdraw(key("350006", "E1", 0)));
    // The same again does not show it
    let Outcome::Push(again) = house.push(&e1()) else {
        panic!("refused")
    };
    assert_eq!((again.hidden, again.lifted), (Some(WithdrawnBy::App), None));
    // New content does: it is said, and stands in the history
    let lifting = Position(house.next);
    let Outcome::Push(lifted) = house.push(&e1().status(65)) else {
        panic!("refused")
    };
    assert_eq!((lifted.hidden, lifted.lifted), (None, Some(first)));
    assert_eq!(last_step(&house), (ExamStep::Restored, lifting));
    // The withdrawal is over: undoing it is refused, whatever came since
    let Outcome::Refused(refusal) = house.undo(first) else {
        panic!("undone")
    };
    assert!(refusal.message.contains("已由此后的推送"));
    let (_, second) = house.correct_as("app:demo-pacs", withdraw(key("350006", "E1", 0)));
    assert_eq!(rule(&house.undo(first)), "conflict");
    assert!(house.row("350006", "E1").withdrawn.is_some());
    assert_eq!(house.undo(second), Outcome::Done);
    assert!(house.row("350006", "E1").withdrawn.is_none());
}

#[test]
fn each_withdrawal_is_undone_on_its_own() {
    let mut house = House::new();
    house.push(&e1());
    let (_, by_app) = house.correct_as("app:demo-pacs", withdraw(key("350006", "E1", 0)));
    let (_, by_operator) = house.correct(withdraw(key("350006", "E1", 0)));
    assert_eq!(house.undo(by_app), Outcome::Done);
    let by = house.row("350006", "E1").withdrawn.by();
    assert_eq!(by, Some(WithdrawnBy::Operator));
    assert_eq!(house.undo(by_operator), Outcome::Done);
    assert!(house.row("350006", "E1").withdrawn.is_none());
}

#[test]
fn hiding_images_and_its_undoing_stand_in_the_exams_history() {
    let mut house = mixed_up();
    let (_, hidden) = house.correct(CorrectionAction::HideInstances {
        study: study_at("350006", "1.2.1"),
        instances: Vec::new(),
    });
    assert_eq!(last_step(&house), (ExamStep::Corrected, hidden));
    let undone = Position(house.next);
    house.undo(hidden);
    assert_eq!(last_step(&house), (ExamStep::Corrected, undone));
}

#[test]
fn a_study_that_another_took_meanwhile_stays_his_when_a_withdrawal_is_undone() {
    let mut house = House::new();
    house.push(&e1());
    let (_, withdrawn) = house.correct(withdraw(key("350006", "E1", 0)));
    house.push(&Push::new("350006", "E2", "李四", 70, "1.2.1"));
    assert_eq!(house.undo(withdrawn), Outcome::Done);
    assert!(house.row("350006", "E1").studies[0].foreign);
    assert_eq!(house.listed(FindingKind::StudyConflict), 1);
}
