//! Procedure steps that machines report, and how they mark forms (PS3.4 annex F, R14).

use super::forms::{document, event};
use super::*;
use crate::apply_form::STEPS_KEPT;
use crate::apply_form::progress::{FormState, progress};
use crate::event::ProcedureStepReported;
use crate::outcome::FormStep;
use crate::performed::StepStatus;

const UID: &str = "1.2.840.1.7";

impl House {
    fn with_form(apply_no: &str) -> Self {
        let mut house = Self::form_house();
        let inserted = house.send_document(&document("INSERT", apply_no, "王一"));
        assert_eq!(inserted, Ok(FormStep::Inserted));
        house
    }

    fn the_form(&self, apply_no: &str) -> &ApplyFormRow {
        &self.apply_forms[&form_key(apply_no)]
    }

    /// A machine's first report of a step for a form, with the study UID that the worklist gave out.
    fn begin(&mut self, step: &str, apply_no: &str) -> Result<(), String> {
        let study = self.the_form(apply_no).study_uid.clone();
        self.report(ProcedureStepReported {
            studies: vec![study],
            forms: vec![form_key(apply_no)],
            ..report(step, true, StepStatus::InProgress)
        })
    }

    fn change(&mut self, step: &str, status: StepStatus) -> Result<(), String> {
        self.report(report(step, false, status))
    }

    fn report(&mut self, body: ProcedureStepReported) -> Result<(), String> {
        match self.take("ae:CT01", Event::ProcedureStepReported(body)) {
            Outcome::Done => Ok(()),
            Outcome::Refused(refusal) => Err(refusal.rule),
            other => panic!("{other:?}"),
        }
    }

    fn form_stands(&self, apply_no: &str) -> FormState {
        progress(self.the_form(apply_no), &[]).state
    }
}

fn form_key(apply_no: &str) -> FormKey {
    FormKey {
        hospital: code("350006"),
        apply_no: apply_no.to_owned(),
        generation: 0,
    }
}

fn report(step: &str, is_new: bool, status: StepStatus) -> ProcedureStepReported {
    ProcedureStepReported {
        step: SopInstanceUid::new(step).unwrap(),
        is_new,
        status,
        sender: AeTitle::new("CT01").unwrap(),
        station: None,
        started: None,
        ended: None,
        studies: Vec::new(),
        numbers: Vec::new(),
        forms: Vec::new(),
    }
}

fn refused(rule: &str) -> Result<(), String> {
    Err(rule.to_owned())
}

#[test]
fn a_form_that_a_machine_does_is_registered_until_that_is_broken_off() {
    let mut house = House::with_form("1");
    assert_eq!(house.form_stands("1"), FormState::Received);
    // When a machine begins with it, it is in no worklist and changes no more
    house.begin(UID, "1").unwrap();
    assert!(!house.the_form("1").is_open());
    assert_eq!(house.form_stands("1"), FormState::Started);
    for action in ["UPDATE", "DELETE"] {
        let sent = document(action, "1", "王一").replace("待查", "肺炎");
        assert_eq!(
            house.send_document(&sent),
            Err("form-taken".to_owned()),
            "{action}"
        );
    }
    // And the same again is a repeat
    let same = document("INSERT", "1", "王一");
    assert_eq!(house.send_document(&same), Ok(FormStep::Repeated));
    // When it is broken off the form is open again, and can be deleted
    house.change(UID, StepStatus::Discontinued).unwrap();
    assert!(house.the_form("1").is_open());
    assert_eq!(house.form_stands("1"), FormState::Received);
    let delete = document("DELETE", "1", "王一");
    assert_eq!(house.send_document(&delete), Ok(FormStep::Deleted));
}

#[test]
fn a_form_that_is_done_says_when_it_began_and_when_it_ended() {
    let mut house = House::with_form("1");
    house.begin(UID, "1").unwrap();
    let began = house.steps[&SopInstanceUid::new(UID).unwrap()].first_ms;
    house.change(UID, StepStatus::InProgress).unwrap();
    assert_eq!(house.form_stands("1"), FormState::Started);
    house.change(UID, StepStatus::Completed).unwrap();
    let ended = house.steps[&SopInstanceUid::new(UID).unwrap()].time_ms;
    let stands = progress(house.the_form("1"), &[]);
    assert_eq!(stands.state, FormState::Performed);
    assert_eq!(
        (stands.started_ms, stands.performed_ms),
        (Some(began), Some(ended))
    );
    assert!(!house.the_form("1").is_open());
    // A second step of it goes on: it is not done yet
    house.begin("1.2.840.1.8", "1").unwrap();
    assert_eq!(house.form_stands("1"), FormState::Started);
}

#[test]
fn a_step_is_created_once_and_ends_once_and_is_its_creator_s() {
    let mut house = House::with_form("1");
    assert_eq!(
        house.change(UID, StepStatus::Completed),
        refused("step-unknown")
    );
    house.begin(UID, "1").unwrap();
    assert_eq!(house.begin(UID, "1"), refused("step-known"));
    let others = ProcedureStepReported {
        sender: AeTitle::new("MR01").unwrap(),
        ..report(UID, false, StepStatus::Discontinued)
    };
    assert_eq!(house.report(others), refused("step-unknown"));
    house.change(UID, StepStatus::Completed).unwrap();
    for status in [StepStatus::InProgress, StepStatus::Discontinued] {
        assert_eq!(house.change(UID, status), refused("step-ended"));
    }
    assert!(!house.the_form("1").is_open(), "it stays done");
}

#[test]
fn a_step_marks_only_forms_that_it_names_and_is_recorded_all_the_same() {
    let mut house = House::with_form("00000000000000001X");
    let form = form_key("00000000000000001X");
    // Given reports that name another study or number, no form, or one that is not there
    let named = |number: &str, forms: Vec<FormKey>| ProcedureStepReported {
        numbers: vec![number.to_owned()],
        forms,
        ..report(UID, true, StepStatus::InProgress)
    };
    for (step, body) in [
        ("1.1", named("2", vec![form.clone()])),
        ("1.2", named("0000000000000000", Vec::new())),
        ("1.3", named("9", vec![form_key("9")])),
    ] {
        let step = SopInstanceUid::new(step).unwrap();
        let body = ProcedureStepReported {
            step: step.clone(),
            ..body
        };
        house.report(body).unwrap();
        assert!(house.steps[&step].forms.is_empty());
        assert!(house.the_form(&form.apply_no).is_open());
        house.change(step.as_str(), StepStatus::Completed).unwrap();
    }
    // When one names its number as Accession Number has it, cut, it is marked
    house
        .report(named("0000000000000000", vec![form.clone(), form.clone()]))
        .unwrap();
    assert_eq!(house.the_form(&form.apply_no).steps.len(), 1);
    assert!(!house.the_form(&form.apply_no).is_open());
}

#[test]
fn a_form_that_was_deleted_and_came_again_has_no_step_of_the_one_before() {
    let mut house = House::with_form("1");
    house.begin("1.1", "1").unwrap();
    house.begin("1.2", "1").unwrap();
    house.change("1.1", StepStatus::Discontinued).unwrap();
    house.change("1.2", StepStatus::Discontinued).unwrap();
    house.begin("1.3", "1").unwrap();
    house.change("1.3", StepStatus::Discontinued).unwrap();
    house
        .send_document(&document("DELETE", "1", "王一"))
        .unwrap();
    house
        .send_document(&document("INSERT", "1", "王二"))
        .unwrap();
    assert!(house.the_form("1").steps.is_empty());
    // A report with the study UID of the one before is for nobody
    let before = ProcedureStepReported {
        studies: vec![StudyUid::new("2.25.1").unwrap()],
        forms: vec![form_key("1")],
        ..report("1.4", true, StepStatus::InProgress)
    };
    house.report(before).unwrap();
    assert!(house.the_form("1").is_open());
}

#[test]
fn a_form_keeps_a_bounded_number_of_steps_and_those_that_count() {
    let mut house = House::with_form("1");
    house.begin("1.1", "1").unwrap();
    house.change("1.1", StepStatus::Completed).unwrap();
    for number in 2..40 {
        let step = format!("1.{number}");
        house.begin(&step, "1").unwrap();
        house.change(&step, StepStatus::Discontinued).unwrap();
    }
    let form = house.the_form("1");
    assert_eq!(form.steps.len(), STEPS_KEPT);
    assert_eq!(form.steps[0].step.as_str(), "1.1");
    assert!(!form.is_open());
}

#[test]
fn a_trial_s_form_is_not_marked_once_its_hospital_is_live() {
    let mut house = House::form_house();
    let mode = |house: &mut House, mode| {
        let hospital = house.registry.hospitals.get_mut(&code("350006"));
        hospital.unwrap().mode = mode;
    };
    mode(&mut house, HospitalMode::Test);
    let form = event(&house, &document("INSERT", "1", "测试"));
    house.take("his:demo-his", form);
    mode(&mut house, HospitalMode::Live);
    house.begin(UID, "1").unwrap();
    assert!(house.the_form("1").steps.is_empty());
}
