//! Forms and exams that meet although a hospital's numbers began anew between them (R6, R14, R15).

use super::forms::document;
use super::*;
use crate::event::MEETINGS_SINCE_RULES;
use crate::outcome::FormStep;

/// The number that [`Push::new`] gives 王一's exams.
const FORM: &str = "F-王一";

fn form_key(generation: u16) -> FormKey {
    FormKey {
        hospital: code("350006"),
        apply_no: FORM.to_owned(),
        generation,
    }
}

fn report(person: &str) -> Push {
    Push::new("350006", "E1", person, 70, "1.2.1").with("/examInfo/applyNo", FORM)
}

impl House {
    fn begin_anew(&mut self) {
        let hospital = self.registry.hospitals.get_mut(&code("350006")).unwrap();
        hospital.generation += 1;
    }

    fn insert_form(&mut self, person: &str) -> Result<FormStep, String> {
        self.send_document(&document("INSERT", FORM, person))
    }

    fn is_open_in(&self, generation: u16) -> bool {
        self.apply_forms[&form_key(generation)].is_open()
    }

    /// A form that is open when the hospital's numbers begin anew.
    fn with_open_form() -> Self {
        let mut house = Self::with_receiver();
        house.insert_form("王一").unwrap();
        house.begin_anew();
        house
    }
}

#[test]
fn a_form_that_is_open_when_numbers_begin_anew_meets_the_exam_that_names_it() {
    let mut house = House::with_open_form();
    assert_eq!(step(&house.push(&report("王一"))), PushStep::Registered);
    assert!(house.exams.contains_key(&key("350006", "E1", 1)));
    assert!(!house.is_open_in(0));
    assert_eq!(house.told_codes(), ["20", "70"]);
    let mut told = house.notices.values().map(|row| &row.form);
    assert!(told.all(|form| *form == form_key(0)));
    // Its HIS changes nothing more, and hears of a withdrawal
    let deleted = house.send_document(&document("DELETE", FORM, "王一"));
    assert_eq!(deleted, Err("form-taken".to_owned()));
    let exam = key("350006", "E1", 1);
    house.correct(CorrectionAction::WithdrawExam { exam });
    assert!(house.is_open_in(0));
    assert_eq!(house.told_codes(), ["20", "70", "00"]);
}

#[test]
fn an_exam_that_comes_to_name_such_a_form_meets_it_and_leaves_it_again() {
    let mut house = House::with_open_form();
    house.push(&report("王一").with("/examInfo/applyNo", "无"));
    assert!(house.is_open_in(0));
    house.push(&report("王一"));
    assert!(!house.is_open_in(0));
    house.push(&report("王一").with("/examInfo/applyNo", "F-2"));
    assert!(house.is_open_in(0));
    assert_eq!(house.told_codes(), ["20", "70", "00", "20", "70"]);
}

#[test]
fn another_person_s_exam_of_new_numbers_does_not_take_an_earlier_form() {
    let mut house = House::with_open_form();
    assert_eq!(step(&house.push(&report("李四"))), PushStep::Registered);
    assert!(house.is_open_in(0));
    // but one that has its study does: who was unknown is identified
    let study = house.apply_forms[&form_key(0)].study_uid.clone();
    let known = Push::new("350006", "E2", "李四", 70, study.as_str());
    house.push(&known.with("/examInfo/applyNo", FORM));
    assert!(!house.is_open_in(0));
}

#[test]
fn a_form_of_the_new_numbers_comes_before_an_earlier_one() {
    let mut house = House::with_open_form();
    assert_eq!(house.insert_form("李四"), Ok(FormStep::Inserted));
    house.push(&report("李四"));
    assert!(house.is_open_in(0) && !house.is_open_in(1));
    let mut told = house.notices.values().map(|row| &row.form);
    assert!(told.all(|form| *form == form_key(1)));
}

#[test]
fn a_form_that_comes_after_numbers_began_anew_meets_the_earlier_exam_that_names_it() {
    let mut house = House::with_receiver();
    house.push(&report("王一"));
    house.begin_anew();
    assert_eq!(house.insert_form("王一"), Ok(FormStep::Inserted));
    assert!(!house.is_open_in(1));
    // Another person's of that number is open
    let mut house = House::with_receiver();
    house.push(&report("王一"));
    house.begin_anew();
    house.insert_form("李四").unwrap();
    assert!(house.is_open_in(1));
    // and the earlier exam is told of under its own
    house.push(&report("王一").with("/patientInfo/sex", "女").status(65));
    house.push(&report("王一"));
    let last = house.notices.values().max_by_key(|row| row.id).unwrap();
    assert_eq!((last.status.code(), &last.form), ("70", &form_key(0)));
}

#[test]
fn a_form_that_is_sent_again_after_numbers_began_anew_is_no_second_one() {
    let mut house = House::with_open_form();
    assert_eq!(house.insert_form("王一"), Ok(FormStep::Repeated));
    let changed = document("INSERT", FORM, "王一").replace("待查", "肺炎");
    assert_eq!(house.send_document(&changed), Ok(FormStep::Updated));
    assert!(!house.apply_forms.contains_key(&form_key(1)));
    // What was tried out keeps no number from who is live
    let mut house = House::with_receiver();
    let mode = |house: &mut House, mode| {
        let hospital = house.registry.hospitals.get_mut(&code("350006"));
        hospital.unwrap().mode = mode;
    };
    mode(&mut house, HospitalMode::Test);
    house.insert_form("王一").unwrap();
    house.begin_anew();
    mode(&mut house, HospitalMode::Live);
    assert_eq!(house.insert_form("王一"), Ok(FormStep::Inserted));
    assert!(house.is_open_in(1) && house.apply_forms[&form_key(0)].test);
}

#[test]
fn before_rules_7_a_form_of_earlier_numbers_stayed_open() {
    let mut house = House::with_open_form();
    house.registry.rules = MEETINGS_SINCE_RULES - 1;
    house.push(&report("王一"));
    assert!(house.is_open_in(0));
    assert_eq!(house.insert_form("王一"), Ok(FormStep::Inserted));
    assert!(!house.is_open_in(1));
}
