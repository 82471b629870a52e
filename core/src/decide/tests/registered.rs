//! Exams that are registered from their apply forms, and the pushes that come later (R16).

use super::forms::{document, event};
use super::*;
use crate::contract::push::of_form::{Registration, of_form};
use crate::event::{ExamRegistered, ProcedureStepReported, RegisteredBy};
use crate::exam::WithdrawnBy;
use crate::performed::StepStatus;
use crate::registry::ExamWay;
use crate::time::LocalDateTime;

const FORM: &str = "F-王一";

impl House {
    /// A hospital without pushes, with a form, and a HIS that wants notices.
    fn of_scenario_3() -> Self {
        let mut house = Self::with_receiver();
        let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
        hospital.exams = ExamWay::Forms;
        house
            .send_document(&document("INSERT", FORM, "王一"))
            .unwrap();
        house
    }

    /// What a node makes of the form as it stands.
    fn registration(&self, by: RegisteredBy, study: &str, patient_id: &str) -> ExamRegistered {
        let row = &self.apply_forms[&form_key()];
        let Event::ApplyFormReceived(received) = event(self, &document("INSERT", FORM, "王一"))
        else {
            panic!("no form");
        };
        let exam_no = ExamNo::new(FORM).unwrap();
        let registration = Registration {
            hospital: &row.key.hospital,
            hospital_name: "示例医院",
            exam_no: &exam_no,
            exam_time: LocalDateTime::parse("2026-07-04 08:00:00").unwrap(),
            study: &uid(study),
            patient_id,
            accession_no: None,
        };
        let (json, digest) = of_form(&received.body.form.unwrap(), &registration);
        ExamRegistered {
            form: row.key.clone(),
            content: row.position,
            by,
            reason: String::new(),
            digest,
            json,
        }
    }

    fn register(&mut self, by: RegisteredBy, study: &str) -> Outcome {
        let body = self.registration(by, study, "S-王一");
        self.take("ae:CT01", Event::ExamRegistered(body))
    }

    fn exam(&self) -> &ExamRow {
        self.row("350006", FORM)
    }

    fn report_step(&mut self, is_new: bool, status: StepStatus) {
        let study = self.apply_forms[&form_key()].study_uid.clone();
        let body = ProcedureStepReported {
            step: SopInstanceUid::new("1.2.840.1.7").unwrap(),
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
}

fn form_key() -> FormKey {
    FormKey {
        hospital: code("350006"),
        apply_no: FORM.to_owned(),
        generation: 0,
    }
}

/// The report of the exam, under a number of the department's own, with the form's person.
fn report(exam_no: &str, status: u8, study: &str) -> Push {
    Push::new("350006", exam_no, "王一", status, study)
}

#[test]
fn an_exam_is_registered_from_its_form_and_told_of() {
    let mut house = House::of_scenario_3();
    let outcome = house.register(RegisteredBy::StudyUid, "1.2.1");
    assert_eq!(step(&outcome), PushStep::Registered);
    let row = house.exam();
    assert_eq!((row.status, row.report), (20, ReportState::None));
    assert!(row.has(ExamFlag::WithoutPush));
    assert_eq!(
        (row.name.as_str(), row.sick_id.as_str()),
        ("王一", "S-王一")
    );
    assert!(!house.apply_forms[&form_key()].is_open());
    assert_eq!(house.told_codes(), ["20"]);
    // Its images are shown
    house.store(&Images::new("1.2.1", "S-王一", 0..2));
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    assert_eq!(house.told_codes(), ["20", "50"]);
    // And nothing changes its form any more
    let other = document("UPDATE", FORM, "王一").replace("待查", "肺炎");
    assert_eq!(house.send_document(&other), Err("form-taken".to_owned()));
}

#[test]
fn a_form_is_registered_once_and_only_as_it_stands() {
    let mut house = House::of_scenario_3();
    let old = house.registration(RegisteredBy::Step, "1.2.1", "S-王一");
    let changed = document("UPDATE", FORM, "王一").replace("待查", "肺炎");
    house.send_document(&changed).unwrap();
    let outcome = house.take("ae:CT01", Event::ExamRegistered(old));
    assert_eq!(rule(&outcome), "form-changed");
    house.register(RegisteredBy::Step, "1.2.1");
    let again = house.register(RegisteredBy::AccessionNumber, "1.2.2");
    assert_eq!(rule(&again), "form-taken");
    // An operator may add a study that came under a UID of its own
    let further = house.register(RegisteredBy::Operator, "1.2.2");
    assert_eq!(step(&further), PushStep::Changed);
    assert_eq!(house.exam().studies.len(), 2);
    assert_eq!(
        rule(&house.register(RegisteredBy::Operator, "1.2.2")),
        "form-taken"
    );
}

#[test]
fn nothing_is_registered_so_where_exams_are_pushed_but_by_an_operator() {
    let mut house = House::of_scenario_3();
    let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
    hospital.exams = ExamWay::Push;
    for by in [
        RegisteredBy::StudyUid,
        RegisteredBy::AccessionNumber,
        RegisteredBy::Step,
    ] {
        assert_eq!(rule(&house.register(by, "1.2.1")), "not-from-forms");
    }
    let outcome = house.register(RegisteredBy::Operator, "1.2.1");
    assert_eq!(step(&outcome), PushStep::Registered);
}

#[test]
fn a_pushed_exam_under_the_form_s_number_is_no_registration_of_it() {
    let mut house = House::of_scenario_3();
    let other = report(FORM, 50, "1.2.9").with("/examInfo/applyNo", "F-2");
    house.push(&other);
    let outcome = house.register(RegisteredBy::AccessionNumber, "1.2.1");
    assert_eq!(rule(&outcome), "exam-known");
    // Nor is one taken from a form that a pushed exam has
    house.push(&report("E7", 50, "1.2.7"));
    let key = key("350006", FORM, 0);
    house.exams.remove(&key);
    let outcome = house.register(RegisteredBy::AccessionNumber, "1.2.1");
    assert_eq!(rule(&outcome), "form-taken");
}

#[test]
fn a_report_that_comes_under_the_form_s_number_is_the_exam_s_next_version() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    house.store(&Images::new("1.2.1", "S-王一", 0..2));
    // It names neither study nor the PatientID that images have
    let pushed = report(FORM, 70, "1.2.1").without("imageList");
    assert_eq!(step(&house.push(&pushed)), PushStep::Changed);
    let row = house.exam();
    assert!(!row.has(ExamFlag::WithoutPush));
    assert_eq!((row.status, row.version), (70, 2));
    assert_eq!(house.shown("350006", "1.2.1"), 2);
    // Images that come later are taken as the first ones were
    house.store(&Images::new("1.2.1", "S-王一", 2..3));
    assert_eq!(
        (house.shown("350006", "1.2.1"), house.held("1.2.1")),
        (3, 0)
    );
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
}

#[test]
fn a_report_under_another_number_takes_the_exam_s_place_and_its_images() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::AccessionNumber, "1.2.1");
    house.store(&Images::new("1.2.1", "S-王一", 0..2));
    for pushed in [report("R1", 60, "1.2.5"), report("R1", 70, "1.2.5")] {
        house.push(&pushed);
        // Then there is one exam, with both studies
        assert_eq!(house.exam().withdrawn.by(), Some(WithdrawnBy::App));
        let row = house.row("350006", "R1");
        let studies: Vec<&str> = row.studies.iter().map(|it| it.uid.as_str()).collect();
        assert_eq!(studies, ["1.2.5", "1.2.1"]);
        assert!(row.own_studies().count() == 2 && !row.has(ExamFlag::StudyConflict));
        assert_eq!(house.shown("350006", "1.2.1"), 2);
    }
    house.store(&Images::new("1.2.1", "S-王一", 2..3));
    assert_eq!(house.shown("350006", "1.2.1"), 3);
    // And the HIS was told each step once, and of no cancellation
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
    // A further image with the form's number registers nothing
    let outcome = house.register(RegisteredBy::AccessionNumber, "1.2.8");
    assert_eq!(rule(&outcome), "form-taken");
}

#[test]
fn another_person_s_report_with_the_form_is_suspected_and_takes_nothing() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    let other = Push::new("350006", "R1", "李四", 70, "1.2.5").with("/examInfo/applyNo", FORM);
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    assert!(house.exam().withdrawn.is_none());
}

#[test]
fn a_step_that_is_broken_off_takes_its_exam_back_until_the_next_one() {
    let mut house = House::of_scenario_3();
    house.report_step(true, StepStatus::InProgress);
    house.register(RegisteredBy::Step, "1.2.1");
    house.report_step(false, StepStatus::Discontinued);
    // The form can be done again, and nobody was told of a cancellation
    assert!(house.apply_forms[&form_key()].is_open());
    assert!(house.exam().withdrawn.is_some());
    assert_eq!(house.told_codes(), ["20"]);
    let outcome = house.register(RegisteredBy::StudyUid, "1.2.1");
    assert_eq!(step(&outcome), PushStep::Changed);
    assert!(house.exam().withdrawn.is_none());
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    assert_eq!(house.shown("350006", "1.2.1"), 1);
    assert_eq!(house.told_codes(), ["20", "50"]);
}

#[test]
fn a_step_that_is_broken_off_after_images_came_keeps_its_exam() {
    let mut house = House::of_scenario_3();
    house.report_step(true, StepStatus::InProgress);
    house.register(RegisteredBy::Step, "1.2.1");
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    house.report_step(false, StepStatus::Discontinued);
    assert!(house.exam().withdrawn.is_none());
    assert_eq!(house.shown("350006", "1.2.1"), 1);
}

#[test]
fn an_operator_s_withdrawal_of_such_an_exam_is_told_and_stays() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    let exam = key("350006", FORM, 0);
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam { exam });
    assert_eq!(house.told_codes(), ["20", "00"]);
    let again = house.register(RegisteredBy::StudyUid, "1.2.1");
    assert_eq!(rule(&again), "exam-withdrawn");
    house.undo(withdrawal);
    assert!(house.exam().withdrawn.is_none());
}

#[test]
fn before_the_rules_are_active_nothing_is_registered_from_forms() {
    let mut house = House::of_scenario_3();
    house.registry.rules = crate::event::REGISTRATION_SINCE_RULES - 1;
    let outcome = house.register(RegisteredBy::Operator, "1.2.1");
    assert_eq!(rule(&outcome), "not-from-forms");
    assert!(house.exams.is_empty());
}

#[test]
fn a_form_that_was_open_when_numbers_began_anew_is_registered_under_the_earlier_ones() {
    let mut house = House::of_scenario_3();
    let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
    hospital.generation = 1;
    house.register(RegisteredBy::StudyUid, "1.2.1");
    assert!(!house.apply_forms[&form_key()].is_open());
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    // A report of the same person is still of that exam
    house.push(&report(FORM, 70, "1.2.1"));
    assert_eq!((house.exam().status, house.exams.len()), (70, 1));
    assert!(!house.apply_forms[&form_key()].is_open());
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
}
