//! Apply forms of a HIS, and how they meet exams (contract §3.1, R14).

use super::*;
use crate::apply_form::FormSource;
use crate::contract::apply_form::{FormContext, parse};
use crate::contract::jiwei::{
    ApplyKind, ApplyQuery, BusinessType, JiweiForm, TakeContext, take as take_rows,
};
use crate::contract::xml;
use crate::event::ApplyFormReceived;
use crate::outcome::FormStep;

const SAMPLE: &str = include_str!("../../../../tests/fixtures/contract/syn_apply_info.xml");

/// The contract's sample under another number, for another patient.
pub(super) fn document(action: &str, apply_no: &str, person: &str) -> String {
    SAMPLE
        .replace("<Action>INSERT<", &format!("<Action>{action}<"))
        .replace("7173_00000001", &format!("7173_{apply_no}"))
        .replace("7173_C0001", &format!("7173_S-{person}"))
        .replace("肖萍", person)
}

pub(super) fn event(house: &House, document: &str) -> Event {
    let root = xml::read(document).unwrap();
    let context = FormContext {
        registry: &house.registry,
    };
    let parsed = parse(&root, context).unwrap();
    Event::ApplyFormReceived(ApplyFormReceived {
        hospital: parsed.hospital,
        source: FormSource::Soap,
        body: parsed.body,
    })
}

impl House {
    pub(super) fn form_house() -> Self {
        let mut house = Self::new();
        for (code, prefix) in [("350006", "7173"), ("350007", "7174")] {
            let hospital = house.registry.hospitals.get_mut(&super::code(code));
            hospital.unwrap().prefix = Some(prefix.to_owned());
        }
        house
    }

    fn send(&mut self, action: &str, apply_no: &str, person: &str) -> Result<FormStep, String> {
        self.send_document(&document(action, apply_no, person))
    }

    pub(super) fn send_document(&mut self, document: &str) -> Result<FormStep, String> {
        let event = event(self, document);
        match self.take("his:demo-his", event) {
            Outcome::Form(outcome) => Ok(outcome.step),
            Outcome::Refused(refusal) => Err(refusal.rule),
            other => panic!("{other:?}"),
        }
    }

    fn form(&self, apply_no: &str) -> &ApplyFormRow {
        &self.apply_forms[&form_key(apply_no, 0)]
    }
}

fn form_key(apply_no: &str, generation: u16) -> FormKey {
    FormKey {
        hospital: code("350006"),
        apply_no: apply_no.to_owned(),
        generation,
    }
}

fn refused(rule: &str) -> Result<FormStep, String> {
    Err(rule.to_owned())
}

#[test]
fn a_form_is_inserted_updated_and_deleted_and_can_come_again() {
    let mut house = House::form_house();
    assert_eq!(house.send("INSERT", "1", "王一"), Ok(FormStep::Inserted));
    let first = house.form("1").study_uid.clone();
    assert_eq!(house.send("INSERT", "1", "王一"), Ok(FormStep::Repeated));
    // Other content of the same patient is as an update
    let other = document("INSERT", "1", "王一").replace("待查", "肺炎");
    assert_eq!(house.send_document(&other), Ok(FormStep::Updated));
    let other = document("UPDATE", "1", "王一").replace("待查", "肺癌");
    assert_eq!(house.send_document(&other), Ok(FormStep::Updated));
    // An update may correct the patient
    assert_eq!(house.send("UPDATE", "1", "王二"), Ok(FormStep::Updated));
    assert_eq!(house.form("1").versions.len(), 4);
    assert_eq!(house.form("1").study_uid, first);
    assert_eq!(house.send("DELETE", "1", "王二"), Ok(FormStep::Deleted));
    assert_eq!(house.send("DELETE", "1", "王二"), refused("form-unknown"));
    assert_eq!(house.send("UPDATE", "1", "王二"), refused("form-unknown"));
    // And again, for whomever: with a study UID of its own
    assert_eq!(house.send("INSERT", "1", "王三"), Ok(FormStep::Inserted));
    assert!(house.form("1").is_open() && house.form("1").study_uid != first);
    assert_eq!(house.send("DELETE", "9", "王三"), refused("form-unknown"));
}

#[test]
fn an_insert_for_another_patient_under_a_form_that_stands_is_refused() {
    let mut house = House::form_house();
    house.send("INSERT", "1", "王一").unwrap();
    assert_eq!(house.send("INSERT", "1", "王二"), refused("number-reuse"));
    assert_eq!(house.form("1").content.name, "王一");
    // It is listed until the form changes or goes
    assert_eq!(house.listed(FindingKind::FormReuse), 1);
    house.send("DELETE", "1", "王一").unwrap();
    assert_eq!(house.send("INSERT", "1", "王二"), Ok(FormStep::Inserted));
    assert_eq!(house.listed(FindingKind::FormReuse), 0);
}

#[test]
fn a_form_whose_exam_is_registered_is_not_changed_until_that_is_cancelled() {
    // Given a form and the exam that has it
    let mut house = House::form_house();
    house.send("INSERT", "F-王一", "王一").unwrap();
    house.push(&Push::new("350006", "E1", "王一", 50, "1.2.1"));
    assert!(!house.form("F-王一").is_open());
    // Then nothing of it is changed, and the same again is a repeat
    assert_eq!(
        house.send("UPDATE", "F-王一", "王一"),
        refused("form-taken")
    );
    assert_eq!(
        house.send("DELETE", "F-王一", "王一"),
        refused("form-taken")
    );
    let other = document("INSERT", "F-王一", "王一").replace("待查", "肺炎");
    assert_eq!(house.send_document(&other), refused("form-taken"));
    assert_eq!(
        house.send("INSERT", "F-王一", "王一"),
        Ok(FormStep::Repeated)
    );
    // When the exam is cancelled the form is open again, and when that is undone it is not
    let exam = key("350006", "E1", 0);
    let (_, withdrawal) = house.correct(CorrectionAction::WithdrawExam { exam });
    assert!(house.form("F-王一").is_open());
    house.undo(withdrawal);
    assert!(!house.form("F-王一").is_open());
    // When a push names another form instead, it is open
    let moved = Push::new("350006", "E1", "王一", 60, "1.2.1").with("/examInfo/applyNo", "F-2");
    house.push(&moved);
    assert!(house.form("F-王一").is_open());
    assert_eq!(
        house.send("DELETE", "F-王一", "王一"),
        Ok(FormStep::Deleted)
    );
}

#[test]
fn a_form_that_comes_after_its_exam_meets_it() {
    let mut house = House::form_house();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    assert_eq!(
        house.send("INSERT", "F-王一", "王一"),
        Ok(FormStep::Inserted)
    );
    assert!(!house.form("F-王一").is_open());
    assert_eq!(
        house.send("DELETE", "F-王一", "王一"),
        refused("form-taken")
    );
}

#[test]
fn a_form_of_another_hospital_under_the_same_number_is_another() {
    let mut house = House::form_house();
    house.send("INSERT", "F-王一", "王一").unwrap();
    house.push(&Push::new("350007", "E1", "王一", 70, "1.2.1"));
    assert!(house.form("F-王一").is_open());
}

#[test]
fn a_trial_s_form_keeps_no_number_and_changes_no_live_one() {
    // Given a form of a hospital that tries out, and one that is live
    let mut house = House::form_house();
    house.send("INSERT", "1", "王一").unwrap();
    let mode = |house: &mut House, mode| {
        let hospital = house.registry.hospitals.get_mut(&code("350006"));
        hospital.unwrap().mode = mode;
    };
    mode(&mut house, HospitalMode::Test);
    house.send("INSERT", "2", "测试").unwrap();
    for action in ["INSERT", "UPDATE", "DELETE"] {
        assert_eq!(house.send(action, "1", "测试"), refused("form-live"));
    }
    // When it is live, the trial's form is nobody's
    mode(&mut house, HospitalMode::Live);
    assert_eq!(house.send("UPDATE", "2", "王二"), refused("form-unknown"));
    assert_eq!(house.send("INSERT", "2", "王二"), Ok(FormStep::Inserted));
    assert!(!house.form("2").test);
    // A suspended hospital's are refused
    mode(&mut house, HospitalMode::Suspended);
    assert_eq!(
        house.send("INSERT", "3", "王二"),
        refused("hospital-suspended")
    );
}

#[test]
fn a_hospital_s_new_generation_of_numbers_has_forms_of_its_own() {
    let mut house = House::form_house();
    house.send("INSERT", "1", "王一").unwrap();
    house
        .registry
        .hospitals
        .get_mut(&code("350006"))
        .unwrap()
        .generation = 1;
    // A form of the generation before can still be changed, and an insert is the new one's
    assert_eq!(
        house.send_document(&document("UPDATE", "1", "王一").replace("待查", "肺炎")),
        Ok(FormStep::Updated)
    );
    assert_eq!(house.send("INSERT", "1", "王二"), Ok(FormStep::Inserted));
    assert_eq!(house.form("1").content.name, "王一");
    assert_eq!(house.apply_forms[&form_key("1", 1)].content.name, "王二");
}

/// What 基卫 says of a form.
fn told_by_jiwei(
    house: &mut House,
    apply_no: &str,
    person: &str,
    diagnosis: &str,
) -> Result<FormStep, String> {
    let row = JiweiForm {
        apply_code: Some(apply_no.to_owned()),
        fkey: Some(format!("S-{person}")),
        name: Some(person.to_owned()),
        diagnosis: Some(diagnosis.to_owned()),
        ..JiweiForm::default()
    };
    let registry = house.registry.clone();
    let context = TakeContext {
        registry: &registry,
        hospital: &registry.hospitals[&code("350006")],
        asked: &ApplyQuery {
            medicare_code: "C1".to_owned(),
            yyid00: "350006".to_owned(),
            business_type: BusinessType::Outpatient,
            kind: ApplyKind::Imaging,
        },
    };
    let taken = take_rows(&[row], context).remove(0);
    let event = Event::ApplyFormReceived(ApplyFormReceived {
        hospital: code("350006"),
        source: FormSource::Jiwei,
        body: taken.ok().unwrap().body,
    });
    match house.take("app:demo-pacs", event) {
        Outcome::Form(outcome) => Ok(outcome.step),
        Outcome::Refused(refusal) => Err(refusal.rule),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_jiwei_says_changes_no_form_that_its_his_sent() {
    let mut house = House::form_house();
    house.send("INSERT", "1", "王一").unwrap();
    let before = house.form("1").clone();
    // Of the same patient it is a repeat, of another one refused
    let said = told_by_jiwei(&mut house, "1", "王一", "肺炎");
    assert_eq!(said, Ok(FormStep::Repeated));
    let said = told_by_jiwei(&mut house, "1", "王二", "肺炎");
    assert_eq!(said, refused("number-reuse"));
    assert!(*house.form("1") == before);
    // When its HIS has deleted it, it does not come back that way
    house.send("DELETE", "1", "王一").unwrap();
    let said = told_by_jiwei(&mut house, "1", "王一", "肺炎");
    assert_eq!(said, refused("form-deleted"));
    assert!(house.form("1").is_deleted());
}

#[test]
fn a_form_of_jiwei_is_updated_by_it_and_takes_what_its_his_sends() {
    let mut house = House::form_house();
    let mut said = |diagnosis| told_by_jiwei(&mut house, "1", "王一", diagnosis);
    assert_eq!(said("待查"), Ok(FormStep::Inserted));
    assert_eq!(said("待查"), Ok(FormStep::Repeated));
    assert_eq!(said("肺炎"), Ok(FormStep::Updated));
    // Without a time of its request it is planned for the day on which it came
    let form = house.form("1");
    assert!(form.content.req_time.is_empty() && form.planned_date().len() == 10);
    assert_eq!(form.planned_date(), form.came_on);
    assert_eq!(house.send("INSERT", "1", "王一"), Ok(FormStep::Updated));
    assert_eq!(house.form("1").source, FormSource::Soap);
    let said = told_by_jiwei(&mut house, "1", "王一", "肺癌");
    assert_eq!(said, Ok(FormStep::Repeated));
}

#[test]
fn a_form_of_jiwei_whose_exam_is_registered_is_refused_unless_it_is_the_same() {
    let mut house = House::form_house();
    told_by_jiwei(&mut house, "F-王一", "王一", "待查").unwrap();
    house.push(&Push::new("350006", "E1", "王一", 50, "1.2.1"));
    let said = told_by_jiwei(&mut house, "F-王一", "王一", "待查");
    assert_eq!(said, Ok(FormStep::Repeated));
    let said = told_by_jiwei(&mut house, "F-王一", "王一", "肺炎");
    assert_eq!(said, refused("form-taken"));
}

#[test]
fn supervision_knows_the_time_of_a_form_that_is_here() {
    let mut house = House::form_house();
    let push = Push::new("350006", "E1", "王一", 70, "1.2.1").with("/examInfo/applyNo", "00000001");
    house.push(&push.with("/examInfo/reqTime", "2026-07-04 06:00:00"));
    let row = |house: &House| {
        let key = SupervisedKey::of(house.row("350006", "E1"));
        house.supervised[&key].clone()
    };
    let told = |row: &SupervisedRow| (row.has_form, row.applied.map(|time| time.to_string()));
    let pushed = Some("2026-07-04 06:00:00".to_owned());
    assert_eq!(told(&row(&house)), (false, pushed.clone()));
    // The form comes after its exam, and goes
    house.send("INSERT", "00000001", "王一").unwrap();
    let form = house.form("00000001").content.req_time.clone();
    assert_eq!(told(&row(&house)), (true, Some(form)));
}
