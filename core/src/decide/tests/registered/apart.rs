//! Two exams of one form: whose each step is that a machine reported.

use super::*;

impl House {
    fn machine(&mut self, step: &str, is_new: bool, status: StepStatus) {
        let study = self.apply_forms[&form_key()].study_uid.clone();
        let body = ProcedureStepReported {
            step: SopInstanceUid::new(step).unwrap(),
            is_new,
            status,
            sender: AeTitle::new("CT01").unwrap(),
            station: None,
            started: None,
            ended: None,
            studies: vec![study],
            numbers: Vec::new(),
            forms: vec![form_key()],
        };
        let outcome = self.take("ae:CT01", Event::ProcedureStepReported(body));
        assert_eq!(outcome, Outcome::Done);
    }

    /// A machine begins with the form under the study that the worklist gives out.
    fn begin_as(&mut self, step: &str) {
        self.machine(step, true, StepStatus::InProgress);
        let study = self.apply_forms[&form_key()].study_uid.clone();
        let outcome = self.register(RegisteredBy::Step, study.as_str());
        assert_eq!(super::step(&outcome), PushStep::Registered);
    }

    fn steps_of_form(&self) -> Vec<&str> {
        let steps = self.apply_forms[&form_key()].steps.iter();
        steps.map(|it| it.step.as_str()).collect()
    }

    /// The form done as 1.1, withdrawn, done again as 1.2, and the withdrawal undone.
    fn done_twice() -> Self {
        let mut house = Self::of_scenario_3();
        house.begin_as("1.1");
        let withdrawal = house.withdraw(&number(1));
        house.begin_as("1.2");
        assert_eq!(house.undo(withdrawal), Outcome::Done);
        assert_eq!(house.steps_of_form(), ["1.1", "1.2"]);
        assert!(!house.is_open());
        house
    }
}

#[test]
fn a_form_whose_second_exam_is_withdrawn_is_open_when_the_first_was_broken_off() {
    let mut house = House::done_twice();
    house.machine("1.2", false, StepStatus::Completed);
    let withdrawal = house.withdraw(&number(2));
    assert_eq!(house.steps_of_form(), ["1.1"]);
    assert!(!house.is_open());
    house.machine("1.1", false, StepStatus::Discontinued);
    assert!(house.is_open());
    // It is done again under a study whose images register something
    let anew = house.apply_forms[&form_key()].study_uid.clone();
    let outcome = house.register(RegisteredBy::StudyUid, anew.as_str());
    assert_eq!(step(&outcome), PushStep::Changed);
    // What was withdrawn comes back with its step
    house.undo(withdrawal);
    assert_eq!(house.steps_of_form(), ["1.1", "1.2"]);
    assert!(!house.is_open());
}

#[test]
fn a_form_whose_first_exam_is_withdrawn_again_is_open_when_the_second_was_broken_off() {
    let mut house = House::done_twice();
    house.withdraw(&number(1));
    assert_eq!(house.steps_of_form(), ["1.2"]);
    house.machine("1.2", false, StepStatus::Discontinued);
    assert!(house.is_open());
    let deleted = house.send_document(&document("DELETE", FORM, "王一"));
    assert!(deleted.is_ok());
}

#[test]
fn both_exams_of_a_form_wait_with_their_own_steps() {
    let mut house = House::done_twice();
    let second = house.withdraw(&number(2));
    let first = house.withdraw(&number(1));
    assert!(house.is_open() && house.steps_of_form().is_empty());
    house.undo(second);
    assert_eq!(house.steps_of_form(), ["1.2"]);
    house.machine("1.2", false, StepStatus::Discontinued);
    assert!(house.is_open());
    house.undo(first);
    assert_eq!(house.steps_of_form(), ["1.1", "1.2"]);
    assert!(!house.is_open());
}

#[test]
fn steps_stay_while_a_push_of_their_form_stands() {
    let mut house = House::done_twice();
    house.push(&report("R1", 70, "1.2.5"));
    house.withdraw(&number(2));
    assert_eq!(house.steps_of_form(), ["1.1", "1.2"]);
    let withdrawal = house.withdraw("R1");
    assert!(house.is_open());
    house.undo(withdrawal);
    assert!(!house.is_open());
}

#[test]
fn before_rules_7_steps_of_a_form_were_its_standing_exam_s() {
    let mut house = House::of_scenario_3();
    house.registry.rules = crate::event::MEETINGS_SINCE_RULES - 1;
    house.begin_as("1.1");
    let withdrawal = house.withdraw(&number(1));
    house.begin_as("1.2");
    house.undo(withdrawal);
    house.withdraw(&number(2));
    house.machine("1.1", false, StepStatus::Discontinued);
    assert!(!house.is_open());
}
