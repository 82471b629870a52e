//! Pushes without a form's number whose study is the one that the worklist gave out.

use super::*;

fn nameless(status: u8, study: &str) -> Push {
    report("R1", status, study).with("/examInfo/applyNo", "无")
}

#[test]
fn an_image_of_the_study_that_was_given_out_joins_the_push_that_names_no_form_to_the_form() {
    // Given a push without a form's number that claims the study, and a form that is open
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.push(&nameless(60, given_out.as_str()));
    assert!(house.is_open() && house.told_codes().is_empty());
    // When an image registers the form's exam
    house.done_under(given_out.as_str());
    // Then form and push have met, and the registered exam is the push's shadow
    let row = house.row("350006", "R1");
    assert_eq!(row.apply_no, FORM);
    assert!(!row.has(ExamFlag::PlaceholderApplyNo) && !row.has(ExamFlag::StudyConflict));
    assert!(house.exam().has(ExamFlag::Superseded) && !house.is_open());
    assert!(house.is_shown(given_out.as_str()));
    assert_eq!(house.told_codes(), ["20", "50"]);
    // The report, which names none either, is told of under the form
    house.push(&nameless(70, given_out.as_str()));
    house.push(&nameless(70, given_out.as_str()).without("imageList"));
    assert_eq!(house.row("350006", "R1").apply_no, FORM);
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
    // It goes with its withdrawal, and comes back with a push
    let exam = key("350006", "R1", 0);
    house.correct_as("app:demo-pacs", CorrectionAction::WithdrawExam { exam });
    assert!(house.is_open() && !house.is_shown(given_out.as_str()));
    house.push(&nameless(70, given_out.as_str()).with("/patientInfo/sex", "女"));
    assert_eq!(house.row("350006", "R1").apply_no, FORM);
    assert!(!house.is_open() && house.is_shown(given_out.as_str()));
}

#[test]
fn a_push_that_names_no_form_meets_the_one_whose_exam_has_its_study() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.done_under(given_out.as_str());
    house.push(&nameless(70, given_out.as_str()));
    assert_eq!(house.row("350006", "R1").apply_no, FORM);
    assert!(house.exam().has(ExamFlag::Superseded));
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
}

#[test]
fn a_push_that_names_another_form_or_is_another_patient_s_is_not_joined() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.push(&report("R1", 60, given_out.as_str()).with("/examInfo/applyNo", "F-2"));
    let other = Push::new("350006", "E9", "李四", 60, given_out.as_str());
    house.push(&other.with("/examInfo/applyNo", "无"));
    house.register(RegisteredBy::StudyUid, given_out.as_str());
    assert_eq!(house.row("350006", "R1").apply_no, "F-2");
    assert_eq!(house.row("350006", "E9").apply_no, "无");
}

#[test]
fn a_study_that_was_not_given_out_joins_nothing() {
    let mut house = House::of_scenario_3();
    house.push(&nameless(60, "1.2.1"));
    house.register(RegisteredBy::AccessionNumber, "1.2.1");
    assert_eq!(house.row("350006", "R1").apply_no, "无");
    house.push(&nameless(70, "1.2.1"));
    assert_eq!(house.row("350006", "R1").apply_no, "无");
}

#[test]
fn before_rules_7_a_push_that_names_no_form_met_none() {
    let mut house = House::of_scenario_3();
    house.registry.rules = crate::event::MEETINGS_SINCE_RULES - 1;
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.done_under(given_out.as_str());
    house.push(&nameless(70, given_out.as_str()));
    assert_eq!(house.row("350006", "R1").apply_no, "无");
}
