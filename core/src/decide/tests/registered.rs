//! Exams that are registered from their apply forms, and the pushes that come later (R16).

use super::super::registered_exam_no;
use super::forms::{document, event};
use super::*;
use crate::contract::push::of_form::{Registration, of_form};
use crate::event::{ExamRegistered, ProcedureStepReported, RegisteredBy};
use crate::performed::StepStatus;
use crate::registry::ExamWay;
use crate::time::LocalDateTime;

mod apart;
mod left;
mod scan;

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
        let free = |nth: &usize| !self.exams.contains_key(&key("350006", &number(*nth), 0));
        let exam_no = ExamNo::new(number((1..).find(free).unwrap())).unwrap();
        let registration = Registration {
            hospital: &row.key.hospital,
            hospital_name: "示例医院",
            apply_no: FORM,
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
        self.row("350006", &number(1))
    }

    fn withdraw(&mut self, exam_no: &str) -> Position {
        let exam = key("350006", exam_no, 0);
        let (outcome, position) = self.correct(CorrectionAction::WithdrawExam { exam });
        assert_eq!(outcome, Outcome::Done);
        position
    }

    fn is_open(&self) -> bool {
        self.apply_forms[&form_key()].is_open()
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

/// Number of the form's exam.
fn number(nth: usize) -> String {
    registered_exam_no(FORM, nth).unwrap().to_string()
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
    // An operator may add a study that came under a UID of its own, and with another PatientID
    let further = house.registration(RegisteredBy::Operator, "1.2.2", "TYPED");
    let further = house.take("operator:o", Event::ExamRegistered(further));
    assert_eq!(step(&further), PushStep::Changed);
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    house.store(&Images::new("1.2.2", "TYPED", 0..1));
    assert_eq!(
        (
            house.shown("350006", "1.2.1"),
            house.shown("350006", "1.2.2")
        ),
        (1, 1)
    );
    // or say by which numbers images of one are compared
    for told in [PushStep::Changed, PushStep::Repeated] {
        let outcome = house.register(RegisteredBy::Operator, "1.2.2");
        assert_eq!(step(&outcome), told);
    }
    house.store(&Images::new("1.2.2", "S-王一", 1..2));
    assert_eq!(house.shown("350006", "1.2.2"), 2);
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
fn a_form_that_a_pushed_exam_has_is_not_registered_and_a_pushed_number_is_no_form_s() {
    let mut house = House::of_scenario_3();
    let other = report(FORM, 50, "1.2.9").with("/examInfo/applyNo", "F-2");
    house.push(&other);
    let outcome = house.register(RegisteredBy::AccessionNumber, "1.2.1");
    assert_eq!(step(&outcome), PushStep::Registered);
    let mut house = House::of_scenario_3();
    house.push(&report("E7", 50, "1.2.7"));
    let outcome = house.register(RegisteredBy::AccessionNumber, "1.2.1");
    assert_eq!(rule(&outcome), "form-taken");
}

#[test]
fn a_number_that_is_too_long_or_has_signs_of_our_own_is_an_exam_s_by_its_digest() {
    for apply_no in ["123e4567-e89b-12d3-a456-426614174000", "A#1", "A/1"] {
        let number = registered_exam_no(apply_no, 2).unwrap();
        assert!(number.as_str().starts_with("F:") && number.as_str().ends_with("~2"));
        assert!(!number.as_str().contains(['#', '/']));
        assert_ne!(number, registered_exam_no("A#2", 2).unwrap());
    }
    assert_eq!(registered_exam_no("0001", 1).unwrap().as_str(), "F:0001");
}

#[test]
fn a_report_is_pushed_later_under_whatever_number_and_shares_the_images() {
    for exam_no in [FORM, "R1"] {
        let mut house = House::of_scenario_3();
        house.register(RegisteredBy::AccessionNumber, "1.2.1");
        house.store(&Images::new("1.2.1", "S-王一", 0..2));
        // It names another study, and the department's PatientID
        for status in [60, 70] {
            house.push(&report(exam_no, status, "1.2.5"));
            let row = house.row("350006", exam_no);
            let studies: Vec<&str> = row.own_studies().map(|it| it.as_str()).collect();
            assert_eq!(studies, ["1.2.5", "1.2.1"]);
            assert!(!row.has(ExamFlag::StudyConflict) && !row.has(ExamFlag::WithoutPush));
        }
        assert!(house.exam().has(ExamFlag::Superseded) && !house.exam().is_counted());
        // Images are taken with the numbers of the first ones, and with those of the push
        house.store(&Images::new("1.2.1", "S-王一", 2..3));
        house.store(&Images::new("1.2.1", &format!("C-{exam_no}"), 3..4));
        assert_eq!(house.shown("350006", "1.2.1"), 4);
        // The HIS was told each step once
        assert_eq!(house.told_codes(), ["20", "50", "70"]);
        // What is withdrawn is hidden with its images, registers nothing again, and comes back
        let withdrawal = house.withdraw(exam_no);
        let study = StudyKey::new(code("350006"), uid("1.2.1"));
        let covered = |house: &House| {
            let claims = &house.claims[&study.study];
            crate::instance::covers(&house.registry, claims, &house.studies[&study])
        };
        assert!(!covered(&house));
        let again = house.register(RegisteredBy::StudyUid, "1.2.1");
        assert_eq!(rule(&again), "exam-withdrawn");
        assert_eq!(house.told_codes(), ["20", "50", "70", "00"]);
        house.undo(withdrawal);
        assert!(covered(&house) && house.exam().withdrawn.is_none());
        assert!(house.exam().has(ExamFlag::Superseded));
    }
}

#[test]
fn a_report_keeps_images_that_are_told_of_after_it() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    house.push(&report("R1", 70, "1.2.5"));
    house.store(&Images::new("1.2.1", "S-王一", 0..2));
    assert_eq!(
        (house.shown("350006", "1.2.1"), house.held("1.2.1")),
        (2, 0)
    );
    assert!(house.row("350006", "R1").has_study(&uid("1.2.1")));
}

#[test]
fn a_report_takes_no_place_among_those_who_claim_the_study_too() {
    // Given images of a registered exam, and another patient's push of the same study UID
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    house.store(&Images::new("1.2.1", "S-王一", 0..2));
    house.push(&Push::new("350006", "E9", "李四", 70, "1.2.1"));
    // When the report comes, images stay with the first claimant
    house.push(&report("R1", 70, "1.2.5"));
    let claims = &house.claims[&uid("1.2.1")];
    let study = StudyKey::new(code("350006"), uid("1.2.1"));
    assert_eq!(claims.owner().unwrap().exam.exam_no.as_str(), number(1));
    assert!(crate::instance::covers(
        &house.registry,
        claims,
        &house.studies[&study]
    ));
    assert!(
        house
            .row("350006", "R1")
            .own_studies()
            .any(|it| *it == study.study)
    );
}

#[test]
fn another_person_s_report_with_the_form_is_suspected_and_takes_nothing() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    let other = Push::new("350006", "R1", "李四", 70, "1.2.5").with("/examInfo/applyNo", FORM);
    assert_eq!(rule(&house.push(&other)), "number-reuse");
    assert!(!house.exam().has(ExamFlag::Superseded));
}

#[test]
fn a_form_whose_step_was_broken_off_is_open_and_its_exam_waits() {
    let mut house = House::of_scenario_3();
    house.report_step(true, StepStatus::InProgress);
    house.register(RegisteredBy::Step, "1.2.1");
    assert!(!house.is_open());
    house.report_step(false, StepStatus::Discontinued);
    assert!(house.is_open() && house.exam().withdrawn.is_none());
    // Done again under the same study, or another one
    let outcome = house.register(RegisteredBy::Step, "1.2.1");
    assert_eq!(step(&outcome), PushStep::Repeated);
    house.register(RegisteredBy::AccessionNumber, "1.2.2");
    // An image that was on its way is shown, and the form is taken again
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    assert_eq!(house.shown("350006", "1.2.1"), 1);
    assert!(!house.is_open());
    house.store(&Images::new("1.2.2", "S-王一", 0..1));
    assert_eq!(house.shown("350006", "1.2.2"), 1);
    assert_eq!(house.told_codes(), ["20", "50"]);
}

#[test]
fn a_form_that_changes_after_its_step_was_broken_off_is_registered_anew() {
    for action in ["UPDATE", "DELETE"] {
        let mut house = House::of_scenario_3();
        house.report_step(true, StepStatus::InProgress);
        house.register(RegisteredBy::Step, "1.2.1");
        house.report_step(false, StepStatus::Discontinued);
        house
            .send_document(&document(action, FORM, "王一").replace("待查", "肺炎"))
            .unwrap();
        assert!(house.exam().withdrawn.is_some(), "{action}");
        if action == "DELETE" {
            house
                .send_document(&document("INSERT", FORM, "王一"))
                .unwrap();
        }
        assert!(house.is_open());
        house.register(RegisteredBy::StudyUid, "1.2.1");
        house.store(&Images::new("1.2.1", "S-王一", 0..1));
        assert_eq!(house.shown("350006", "1.2.1"), 1);
        let again = house.row("350006", &number(2));
        assert!(again.withdrawn.is_none() && house.exam().withdrawn.is_some());
        let told: &[&str] = match action {
            "UPDATE" => &["20", "20", "50"],
            _ => &["20", "00", "20", "50"],
        };
        assert_eq!(house.told_codes(), told, "{action}");
    }
}

#[test]
fn what_an_operator_withdrew_stays_hidden_and_its_form_is_done_again_under_another_study() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.register(RegisteredBy::StudyUid, given_out.as_str());
    house.store(&Images::new(given_out.as_str(), "S-王一", 0..1));
    let withdrawal = house.withdraw(&number(1));
    assert_eq!(house.told_codes(), ["20", "50", "00"]);
    // Nothing that comes of that study registers it again
    let again = house.register(RegisteredBy::AccessionNumber, given_out.as_str());
    assert_eq!(rule(&again), "exam-withdrawn");
    // The form is done again
    let anew = house.apply_forms[&form_key()].study_uid.clone();
    assert!(house.is_open() && anew != given_out);
    house.register(RegisteredBy::StudyUid, anew.as_str());
    house.store(&Images::new(anew.as_str(), "S-王一", 0..1));
    assert_eq!(house.shown("350006", anew.as_str()), 1);
    assert!(house.exam().withdrawn.is_some());
    assert_eq!(house.told_codes(), ["20", "50", "00", "20", "50"]);
    house.undo(withdrawal);
    assert!(house.exam().withdrawn.is_none());
}

#[test]
fn an_app_withdraws_only_what_was_pushed() {
    let mut house = House::of_scenario_3();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    let exam = key("350006", &number(1), 0);
    let (outcome, _) = house.correct_as("app:a", CorrectionAction::WithdrawExam { exam });
    assert_eq!(rule(&outcome), "conflict");
    assert!(house.exam().withdrawn.is_none());
}

#[test]
fn what_was_tried_out_takes_no_live_form() {
    let mut house = House::with_receiver();
    house.put_hospital("350006", HospitalMode::Test);
    let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
    (hospital.exams, hospital.prefix) = (ExamWay::Forms, Some("7173".to_owned()));
    house
        .send_document(&document("INSERT", FORM, "王一"))
        .unwrap();
    house.register(RegisteredBy::StudyUid, "1.2.1");
    assert!(house.exam().has(ExamFlag::Test));
    let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
    hospital.mode = HospitalMode::Live;
    house
        .send_document(&document("INSERT", FORM, "王一"))
        .unwrap();
    assert!(house.is_open());
    house.register(RegisteredBy::AccessionNumber, "1.2.2");
    house.store(&Images::new("1.2.2", "S-王一", 0..1));
    assert_eq!(house.shown("350006", "1.2.2"), 1);
    assert!(!house.row("350006", &number(2)).has(ExamFlag::Test));
    house.take("operator:o", purge(vec![key("350006", &number(1), 0)]));
    assert!(!house.exams.contains_key(&key("350006", &number(1), 0)) && !house.is_open());
}

#[test]
fn a_form_that_was_open_when_numbers_began_anew_is_registered_under_the_earlier_ones() {
    let mut house = House::of_scenario_3();
    let hospital = house.registry.hospitals.get_mut(&code("350006")).unwrap();
    hospital.generation = 1;
    house.register(RegisteredBy::StudyUid, "1.2.1");
    assert!(!house.is_open());
    house.store(&Images::new("1.2.1", "S-王一", 0..1));
    // A report of the same person has its images
    house.push(&report("R1", 70, "1.2.5"));
    let row = &house.exams[&key("350006", "R1", 1)];
    assert!(row.has_study(&uid("1.2.1")) && house.exam().has(ExamFlag::Superseded));
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
}

#[test]
fn before_the_rules_are_active_nothing_is_registered_from_forms() {
    let mut house = House::of_scenario_3();
    house.registry.rules = crate::event::REGISTRATION_SINCE_RULES - 1;
    let outcome = house.register(RegisteredBy::Operator, "1.2.1");
    assert_eq!(rule(&outcome), "not-from-forms");
    assert!(house.exams.is_empty());
}

impl House {
    /// The form done under a study, with an image.
    fn done_under(&mut self, study: &str) {
        let outcome = self.register(RegisteredBy::StudyUid, study);
        assert_eq!(step(&outcome), PushStep::Registered);
        self.store(&Images::new(study, "S-王一", 0..1));
    }

    fn is_shown(&self, study: &str) -> bool {
        let key = StudyKey::new(code("350006"), uid(study));
        let claims = &self.claims[&key.study];
        let covers = |row| crate::instance::covers(&self.registry, claims, row);
        self.studies.get(&key).is_some_and(covers)
    }
}

#[test]
fn a_form_whose_report_was_withdrawn_is_done_again_under_another_study() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.done_under(given_out.as_str());
    house.push(&report("R1", 70, "1.2.5"));
    let withdrawal = house.withdraw("R1");
    // It is open, and what was withdrawn registers nothing
    let anew = house.apply_forms[&form_key()].study_uid.clone();
    assert!(house.is_open() && anew != given_out);
    house.done_under(anew.as_str());
    assert!(house.is_shown(anew.as_str()) && !house.is_shown(given_out.as_str()));
    let again = house.register(RegisteredBy::AccessionNumber, "1.2.8");
    assert_eq!(rule(&again), "form-taken");
    // What was withdrawn comes back with all that the form was done under
    house.undo(withdrawal);
    assert!(house.is_shown(given_out.as_str()) && house.is_shown(anew.as_str()));
    for study in [&given_out, &anew] {
        assert!(house.row("350006", "R1").has_study(study));
    }
}

#[test]
fn a_form_is_open_again_when_the_exam_that_a_machine_did_is_cancelled() {
    let mut house = House::of_scenario_3();
    house.report_step(true, StepStatus::InProgress);
    house.done_under("1.2.1");
    house.report_step(false, StepStatus::Completed);
    let withdrawal = house.withdraw(&number(1));
    assert!(house.is_open());
    // Its HIS may change it, and what is undone comes back with its images
    let changed = document("UPDATE", FORM, "王一").replace("待查", "肺炎");
    house.send_document(&changed).unwrap();
    house.undo(withdrawal);
    assert!(house.is_shown("1.2.1") && house.exam().withdrawn.is_none());
}

#[test]
fn a_report_does_not_take_back_what_an_operator_took_from_the_exam() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    let exam = key("350006", &number(1), 0);
    let study = uid("1.2.1");
    house.correct(CorrectionAction::ReleaseUid { study, exam });
    house.push(&report("R1", 70, "1.2.5"));
    assert!(!house.is_shown("1.2.1"));
    assert!(!house.row("350006", "R1").has_study(&uid("1.2.1")));
}

#[test]
fn a_report_has_what_an_operator_gave_to_the_exam() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    house.push(&Push::new("350006", "E9", "王一", 50, "1.2.9"));
    house.store(&Images::new("1.2.9", "C-E9", 0..1));
    let to = key("350006", &number(1), 0);
    let study = StudyKey::new(code("350006"), uid("1.2.9"));
    let (outcome, _) = house.correct(CorrectionAction::MoveStudy { study, to });
    assert_eq!(outcome, Outcome::Done);
    house.push(&report("R1", 70, "1.2.5"));
    assert!(house.is_shown("1.2.9"));
    assert!(
        house
            .row("350006", "R1")
            .own_studies()
            .any(|it| it.as_str() == "1.2.9")
    );
}

#[test]
fn a_number_that_the_archive_gave_takes_no_push() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    let pushed = house.push(&report(&number(1), 70, "1.2.1"));
    assert_eq!(rule(&pushed), "exam-of-form");
    assert!(house.exam().has(ExamFlag::WithoutPush));
}

#[test]
fn each_report_of_a_form_is_told_of_by_itself() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    house.push(&report("R1", 70, "1.2.5"));
    assert_eq!(house.told_codes(), ["20", "50", "70"]);
    house.push(&report("Q1", 70, "1.2.6"));
    assert_eq!(house.told_codes()[3..], ["20", "70"]);
    house.withdraw("Q1");
    assert_eq!(house.told_codes()[5..], ["00"]);
    house.push(&report("R1", 70, "1.2.5").with("/patientInfo/sex", "女"));
    assert_eq!(house.told_codes().len(), 6);
}

#[test]
fn images_of_the_study_that_was_given_out_are_taken_after_the_report() {
    let mut house = House::of_scenario_3();
    house.push(&report("R1", 70, "1.2.5"));
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.done_under(given_out.as_str());
    assert!(house.is_shown(given_out.as_str()));
    assert!(house.exam().has(ExamFlag::Superseded));
    assert!(house.row("350006", "R1").has_study(&given_out));
    assert_eq!(house.told_codes(), ["20", "70"]);
    // And hidden with it, whichever came first
    let withdrawal = house.withdraw("R1");
    assert!(!house.is_shown(given_out.as_str()) && house.is_open());
    assert_eq!(house.told_codes(), ["20", "70", "00"]);
    house.undo(withdrawal);
    assert!(house.is_shown(given_out.as_str()));
}

#[test]
fn a_form_whose_waiting_exam_is_withdrawn_is_done_again_under_another_study() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.report_step(true, StepStatus::InProgress);
    house.register(RegisteredBy::Step, given_out.as_str());
    house.report_step(false, StepStatus::Discontinued);
    house.withdraw(&number(1));
    let anew = house.apply_forms[&form_key()].study_uid.clone();
    assert!(house.is_open() && anew != given_out);
    house.done_under(anew.as_str());
    assert!(house.is_shown(anew.as_str()));
}

#[test]
fn a_withdrawal_that_is_undone_brings_the_steps_back_as_they_are_by_then() {
    for status in [StepStatus::InProgress, StepStatus::Discontinued] {
        let mut house = House::of_scenario_3();
        house.report_step(true, StepStatus::InProgress);
        house.register(RegisteredBy::Step, "1.2.1");
        let withdrawal = house.withdraw(&number(1));
        assert!(house.is_open() && house.apply_forms[&form_key()].steps.is_empty());
        if status == StepStatus::Discontinued {
            house.report_step(false, status);
            assert!(house.is_open() && house.apply_forms[&form_key()].steps.is_empty());
        }
        house.undo(withdrawal);
        // What was broken off meanwhile is to be done again, and what goes on is not
        assert_eq!(house.is_open(), status == StepStatus::Discontinued);
        assert_eq!(house.apply_forms[&form_key()].steps.len(), 1);
        if status == StepStatus::InProgress {
            house.report_step(false, StepStatus::Discontinued);
        }
        assert!(house.is_open());
        let deleted = house.send_document(&document("DELETE", FORM, "王一"));
        assert!(deleted.is_ok() && house.exam().withdrawn.is_some());
    }
}

#[test]
fn a_study_that_an_operator_took_from_a_waiting_exam_is_given_out_no_more() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.report_step(true, StepStatus::InProgress);
    house.register(RegisteredBy::Step, given_out.as_str());
    house.report_step(false, StepStatus::Discontinued);
    let release = CorrectionAction::ReleaseUid {
        study: given_out.clone(),
        exam: key("350006", &number(1), 0),
    };
    assert_eq!(house.correct(release).0, Outcome::Done);
    let anew = house.apply_forms[&form_key()].study_uid.clone();
    assert!(house.is_open() && anew != given_out);
    // Not even a person registers it with that one, before the correction is undone
    let outcome = house.register(RegisteredBy::Operator, given_out.as_str());
    assert_eq!(rule(&outcome), "study-released");
    let outcome = house.register(RegisteredBy::StudyUid, anew.as_str());
    assert_eq!(step(&outcome), PushStep::Changed);
    house.store(&Images::new(anew.as_str(), "S-王一", 0..1));
    assert!(house.is_shown(anew.as_str()) && !house.is_open());
}

#[test]
fn a_study_that_was_moved_away_is_given_out_no_more_however_its_exam_ends() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.done_under(given_out.as_str());
    house.push(&report("E9", 50, "1.2.9").with("/examInfo/applyNo", "F-9"));
    let study = StudyKey::new(code("350006"), given_out.clone());
    let to = key("350006", "E9", 0);
    house.correct(CorrectionAction::MoveStudy { study, to });
    house.push(&report("R1", 70, "1.2.5"));
    let exam = key("350006", "R1", 0);
    let (outcome, _) = house.correct_as("app:demo-pacs", CorrectionAction::WithdrawExam { exam });
    assert_eq!(outcome, Outcome::Done);
    assert!(house.is_open());
    assert_ne!(house.apply_forms[&form_key()].study_uid, given_out);
}

#[test]
fn a_study_of_a_report_that_names_another_form_now_is_given_out_no_more() {
    let mut house = House::of_scenario_3();
    let given_out = house.apply_forms[&form_key()].study_uid.clone();
    house.push(&report("R1", 70, given_out.as_str()));
    house.push(&report("R1", 70, given_out.as_str()).with("/examInfo/applyNo", "F-2"));
    assert!(house.is_open());
    assert_ne!(house.apply_forms[&form_key()].study_uid, given_out);
}

#[test]
fn a_move_that_is_undone_closes_the_form_again() {
    let mut house = House::of_scenario_3();
    house.report_step(true, StepStatus::InProgress);
    house.done_under("1.2.1");
    house.report_step(false, StepStatus::Discontinued);
    let release = CorrectionAction::ReleaseUid {
        study: uid("1.2.1"),
        exam: key("350006", &number(1), 0),
    };
    let (_, released) = house.correct(release);
    assert!(house.is_open());
    house.undo(released);
    assert!(!house.is_open());
    let deleted = house.send_document(&document("DELETE", FORM, "王一"));
    assert_eq!(deleted, Err("form-taken".to_owned()));
}

#[test]
fn a_registered_exam_that_is_shown_again_is_told_of_from_the_beginning() {
    let mut house = House::of_scenario_3();
    house.done_under("1.2.1");
    house.push(&report("R1", 70, "1.2.5"));
    let withdrawal = house.withdraw("R1");
    assert_eq!(house.told_codes()[2..], ["70", "00"]);
    house.undo(withdrawal);
    assert_eq!(house.told_codes()[4..], ["20", "70"]);
    // One that comes to the form goes on from where its exam was
    let other = Push::new("350006", "R2", "王一", 70, "1.2.6").with("/examInfo/applyNo", "F-2");
    house.push(&other);
    house.withdraw("R1");
    assert_eq!(house.told_codes()[6..], ["20", "70", "00"]);
    house.push(&other.with("/examInfo/applyNo", FORM));
    assert_eq!(house.told_codes()[9..], ["00", "20", "70"]);
}

#[test]
fn a_step_goes_on_when_a_report_that_named_its_form_by_mistake_names_another() {
    let mut house = House::with_receiver();
    house
        .send_document(&document("INSERT", FORM, "王一"))
        .unwrap();
    house.report_step(true, StepStatus::InProgress);
    house.push(&report("R1", 60, "1.2.5"));
    house.push(&report("R1", 60, "1.2.5").with("/examInfo/applyNo", "F-2"));
    assert!(!house.is_open());
    house.report_step(false, StepStatus::Completed);
    assert!(!house.is_open());
}

#[test]
fn what_was_a_trial_s_takes_its_form_when_it_goes_live() {
    let mut house = House::of_scenario_3();
    let mode = |house: &mut House, mode| {
        house
            .registry
            .hospitals
            .get_mut(&code("350006"))
            .unwrap()
            .mode = mode;
    };
    mode(&mut house, HospitalMode::Test);
    house.push(&report("R1", 70, "1.2.5"));
    mode(&mut house, HospitalMode::Live);
    assert!(house.is_open() && house.told_codes().is_empty());
    house.push(&report("R1", 70, "1.2.5").with("/patientInfo/sex", "女"));
    assert!(!house.is_open());
    assert_eq!(house.told_codes(), ["20", "70"]);
}
