//! Which studies an exam has when its push tells nothing of images, and what it leaves with a form that it names no longer.

use super::*;

/// A push that tells nothing of images.
fn without_images(exam_no: &str, form: &str) -> Push {
    let push = report(exam_no, 70, "1.2.5").without("imageList");
    push.with("/examInfo/applyNo", form)
}

impl House {
    fn studies_of(&self, exam_no: &str) -> Vec<&str> {
        let studies = self.row("350006", exam_no).own_studies();
        studies.map(|it| it.as_str()).collect()
    }

    fn given_out(&self) -> StudyUid {
        self.apply_forms[&form_key()].study_uid.clone()
    }

    fn before_rules_7(&mut self) {
        self.registry.rules = crate::event::MEETINGS_SINCE_RULES - 1;
    }
}

#[test]
fn an_exam_that_names_another_form_leaves_the_scan_of_the_former_one() {
    let mut house = House::of_scenario_3();
    let given_out = house.given_out();
    house.done_under(given_out.as_str());
    house.push(&report("R1", 60, "1.2.5"));
    assert_eq!(house.studies_of("R1"), ["1.2.5", given_out.as_str()]);
    house.push(&without_images("R1", "F-2"));
    // It keeps its own, and the scan is shown as the former form's exam
    assert_eq!(house.studies_of("R1"), ["1.2.5"]);
    assert!(house.is_shown(given_out.as_str()) && !house.exam().has(ExamFlag::Superseded));
    let claims = &house.claims[&given_out];
    let mut active = claims.active().map(|claim| claim.exam.exam_no.as_str());
    assert_eq!((active.next(), active.next()), (Some(&*number(1)), None));
    assert_eq!(house.given_out(), given_out);
}

#[test]
fn an_exam_leaves_a_study_that_was_given_out_and_has_no_image_yet() {
    let mut house = House::of_scenario_3();
    let given_out = house.given_out();
    house.push(&report("R1", 60, given_out.as_str()));
    house.push(&without_images("R1", "F-2"));
    assert!(house.studies_of("R1").is_empty());
    // The form is open under what was given out for it, and its image registers it
    assert!(house.is_open());
    assert_eq!(house.given_out(), given_out);
    house.done_under(given_out.as_str());
    assert!(house.is_shown(given_out.as_str()) && !house.is_open());
}

#[test]
fn an_exam_keeps_a_study_that_was_given_out_when_an_image_is_its_own() {
    // Given images that were taken in for the exam itself
    let mut house = House::of_scenario_3();
    let given_out = house.given_out();
    house.push(&report("R1", 60, given_out.as_str()));
    house.store(&Images::new(given_out.as_str(), "C-R1", 0..1));
    house.push(&without_images("R1", "F-2"));
    assert_eq!(house.studies_of("R1"), [given_out.as_str()]);
    assert!(house.is_open() && house.given_out() != given_out);
    // or one among the form's that has the exam's numbers
    let mut house = House::of_scenario_3();
    house.done_under(given_out.as_str());
    house.push(&report("R1", 60, "1.2.5"));
    house.store(&Images::new(given_out.as_str(), "C-R1", 1..2));
    house.push(&without_images("R1", "F-2"));
    assert_eq!(house.studies_of("R1"), ["1.2.5", given_out.as_str()]);
}

#[test]
fn an_exam_keeps_what_its_push_names_whatever_form_it_names() {
    let mut house = House::of_scenario_3();
    let given_out = house.given_out();
    house.done_under(given_out.as_str());
    house.push(&report("R1", 60, "1.2.5"));
    let named = report("R1", 70, given_out.as_str()).with("/examInfo/applyNo", "F-2");
    house.push(&named);
    assert_eq!(house.studies_of("R1"), [given_out.as_str()]);
}

#[test]
fn a_push_that_tells_nothing_of_images_keeps_its_own_beside_the_form_s() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    house.push(&report("R1", 60, "1.2.5"));
    house.push(&without_images("R1", FORM));
    assert_eq!(house.studies_of("R1"), ["1.2.5", "1.2.1"]);
}

#[test]
fn before_rules_7_an_exam_took_the_scan_of_its_former_form_along() {
    let mut house = House::of_scenario_3();
    house.before_rules_7();
    house.done_under("1.2.1");
    house.push(&report("R1", 60, "1.2.5"));
    house.push(&without_images("R1", FORM));
    assert_eq!(house.studies_of("R1"), ["1.2.1"]);
    house.push(&without_images("R1", "F-2"));
    assert_eq!(house.studies_of("R1"), ["1.2.1"]);
}
