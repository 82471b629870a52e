//! National imaging indexes: which each exam has, and what the authority is told of it.

use super::*;
use crate::event::{
    AnsweredIndex, AskedIndex, ExportedIndex, INDEX_SINCE_RULES, IndexAnswered, IndexAsked,
    IndexExported,
};
use crate::national_index::{Holding, IndexState, Lack, OwedKind, PersonCode};

const PERSON: &str = "10000000000000000708463177";
const OTHER_PERSON: &str = "10000000000000000708463178";
const UNIT: &str = "123502004266007916";

impl House {
    /// Hospitals with credit codes; pushes give the person code as identity 88.
    fn with_indexes() -> Self {
        let mut house = Self::new();
        let settings = json!({ "person_id_type": "88" });
        house.registry.settings.national_index = serde_json::from_value(settings).unwrap();
        for entry in house.registry.hospitals.values_mut() {
            entry.credit_code = serde_json::from_value(UNIT.into()).unwrap();
        }
        house
    }

    fn index_of(&self, exam_no: &str) -> &IndexRow {
        &self.indexes[&key("350006", exam_no, 0)]
    }

    fn index_stands(&self, exam_no: &str) -> IndexState {
        self.index_of(exam_no).state
    }

    /// The file of all that is owed, as it would be written now.
    fn file(&self) -> Event {
        let owed = self.indexes.values().filter_map(|row| {
            let owed = row.owed()?;
            Some(ExportedIndex {
                exam: row.exam.clone(),
                index: (owed.kind != OwedKind::TakenBack).then_some(owed.index),
                as_of: row.position,
            })
        });
        Event::IndexExported(IndexExported {
            file: "00ff".to_owned(),
            lines: owed.collect(),
        })
    }

    fn export(&mut self) {
        let file = self.file();
        assert_eq!(self.take("operator:o", file), Outcome::Done);
    }

    fn answer(&mut self, index: &NationalIndex, is_taken: bool, reason: &str) {
        let answers = vec![AnsweredIndex {
            index: index.clone(),
            is_taken,
            reason: reason.to_owned(),
        }];
        let event = Event::IndexAnswered(IndexAnswered { answers });
        assert_eq!(self.take("operator:o", event), Outcome::Done);
    }

    fn ask_index(&mut self, exam_no: &str, person: Option<&str>, again: bool) {
        let exams = vec![AskedIndex {
            exam: key("350006", exam_no, 0),
            content: self.row("350006", exam_no).position,
            person: person.map(|code| PersonCode::new(code).unwrap()),
        }];
        let event = Event::IndexAsked(IndexAsked { exams, again });
        assert_eq!(self.take("operator:o", event), Outcome::Done);
    }

    fn owed(&self, exam_no: &str) -> Option<(OwedKind, bool)> {
        let owed = self.index_of(exam_no).owed()?;
        Some((owed.kind, owed.replaces.is_some()))
    }

    fn take_back(&mut self, exam_no: &str) -> Position {
        let exam = key("350006", exam_no, 0);
        self.correct(CorrectionAction::WithdrawExam { exam }).1
    }

    fn holding(&self, index: &NationalIndex, exam_no: &str) -> Option<Holding> {
        let holders = self.index_holders[index].holders.iter();
        let mut of = holders.filter(|holder| holder.exam == key("350006", exam_no, 0));
        of.next().map(|holder| holder.holding)
    }
}

/// An exam of a person at a minute.
fn exam(exam_no: &str, person: &str, minute: &str) -> Push {
    let push = Push::new(
        "350006",
        exam_no,
        "王一",
        70,
        &format!("1.2.{}", &exam_no[1..]),
    );
    push.of(person).at(minute)
}

impl Push {
    fn of(&self, person: &str) -> Self {
        let mut json = self.0.clone();
        json["patientInfo"]["identity"] = json!([
            { "idType": "01", "idNumber": "110101199001011237" },
            { "idType": "88", "idNumber": person },
        ]);
        Self(json)
    }

    fn at(&self, minute: &str) -> Self {
        self.with("/examInfo/examTime", &format!("2026-07-04 {minute}:09"))
    }
}

#[test]
fn an_exam_whose_parts_are_known_has_its_index() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let row = house.index_of("E1");
    let expected = format!("{PERSON}-202607040830-000000000-0000000000000-{UNIT}");
    assert_eq!(row.index.as_ref().unwrap().as_str(), expected);
    assert_eq!(row.state, IndexState::Formed);
    assert_eq!(house.owed("E1"), Some((OwedKind::New, false)));
}

#[test]
fn what_lacks_is_named_and_nothing_is_told() {
    let mut house = House::with_indexes();
    house.push(&Push::new("350006", "E1", "王一", 70, "1.2.1"));
    assert_eq!(house.index_of("E1").lacks, [Lack::PersonCode]);
    let code = code("350006");
    let unit = house.registry.hospitals.get_mut(&code).unwrap();
    let unit = unit.credit_code.take();
    house.push(&exam("E2", "123", "08:30"));
    let lacks = [Lack::WrongPersonCode, Lack::CreditCode];
    assert_eq!(house.index_of("E2").lacks, lacks);
    assert_eq!((house.owed("E1"), house.owed("E2")), (None, None));
    // The unit's code alone is not enough, the push's next version is
    house.registry.hospitals.get_mut(&code).unwrap().credit_code = unit;
    house.push(&exam("E2", PERSON, "08:30"));
    assert_eq!(house.index_stands("E2"), IndexState::Formed);
    assert!(house.index_of("E2").lacks.is_empty());
}

#[test]
fn nothing_is_kept_of_trials_and_where_no_index_is_wanted_or_the_rules_do_not_know_it() {
    let mut house = House::with_indexes();
    house.registry.rules = INDEX_SINCE_RULES - 1;
    house.push(&exam("E1", PERSON, "08:30"));
    house.registry.rules = INDEX_SINCE_RULES;
    house.registry.settings.national_index = None;
    house.push(&exam("E2", PERSON, "08:31"));
    assert!(house.indexes.is_empty());
    let mut house = House::with_indexes();
    house.put_hospital("350006", HospitalMode::Test);
    house.push(&exam("E3", PERSON, "08:32"));
    assert!(house.indexes.is_empty());
}

#[test]
fn an_exam_of_before_gets_its_index_when_an_operator_asks_and_only_for_the_content_that_was_looked_at()
 {
    let mut house = House::with_indexes();
    house.registry.rules = INDEX_SINCE_RULES - 1;
    house.push(&exam("E1", PERSON, "08:30"));
    let stale = Event::IndexAsked(IndexAsked {
        exams: vec![AskedIndex {
            exam: key("350006", "E1", 0),
            content: Position(77),
            person: PersonCode::new(PERSON).ok(),
        }],
        again: false,
    });
    assert_eq!(rule(&house.take("operator:o", stale.clone())), "rules");
    house.registry.rules = INDEX_SINCE_RULES;
    house.take("operator:o", stale);
    assert_eq!(house.index_of("E1").lacks, [Lack::PersonCode]);
    house.ask_index("E1", Some(PERSON), false);
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
    // Asked again, nothing is new
    let before = house.index_of("E1").clone();
    house.ask_index("E1", Some(PERSON), false);
    assert_eq!(*house.index_of("E1"), before);
}

#[test]
fn a_push_without_a_code_keeps_the_patients_and_another_patient_has_none_of_it() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let bare = Push::new("350006", "E1", "王一", 70, "1.2.1").at("08:30");
    house.push(&bare.with("/patientInfo/sex", "男"));
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
    // The same scan under another patient
    house.push(&bare.with("/patientInfo/sickId", "S-9"));
    assert_eq!(house.index_of("E1").lacks, [Lack::PersonCode]);
}

#[test]
fn a_changed_time_or_person_makes_a_new_index_and_the_former_one_is_replaced() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let first = house.index_of("E1").index.clone().unwrap();
    house.export();
    assert_eq!(
        (house.index_stands("E1"), house.owed("E1")),
        (IndexState::Exported, None)
    );
    house.push(&exam("E1", PERSON, "08:31"));
    let second = house.index_of("E1").index.clone().unwrap();
    assert_ne!(first, second);
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
    assert_eq!(house.owed("E1"), Some((OwedKind::Replaced, true)));
    assert_eq!(house.holding(&first, "E1"), Some(Holding::Replaced));
    assert_eq!(house.holding(&second, "E1"), Some(Holding::InForce));
    house.export();
    house.push(&exam("E1", OTHER_PERSON, "08:31"));
    assert_eq!(house.owed("E1"), Some((OwedKind::Replaced, true)));
    assert_eq!(house.holding(&second, "E1"), Some(Holding::Replaced));
}

#[test]
fn a_withdrawn_exams_index_is_taken_back_and_comes_again_with_it() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let index = house.index_of("E1").index.clone().unwrap();
    // Never told: there is nothing to take back
    let withdrawal = house.take_back("E1");
    assert_eq!(
        (house.index_stands("E1"), house.owed("E1")),
        (IndexState::Withdrawn, None)
    );
    assert_eq!(house.holding(&index, "E1"), Some(Holding::Withdrawn));
    house.undo(withdrawal);
    assert_eq!(house.owed("E1"), Some((OwedKind::New, false)));
    house.export();
    // Told: it is owed that it is taken back, unless it comes again before
    let withdrawal = house.take_back("E1");
    assert_eq!(house.owed("E1"), Some((OwedKind::TakenBack, false)));
    house.undo(withdrawal);
    assert_eq!(
        (house.index_stands("E1"), house.owed("E1")),
        (IndexState::Exported, None)
    );
    house.take_back("E1");
    house.export();
    assert_eq!(
        (house.index_stands("E1"), house.owed("E1")),
        (IndexState::Withdrawn, None)
    );
}

#[test]
fn the_authoritys_answers_count_for_what_it_was_told_and_the_latest_counts() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let index = house.index_of("E1").index.clone().unwrap();
    house.answer(&index, true, "");
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
    house.export();
    house.answer(&index, false, &"无此人".repeat(200));
    let row = house.index_of("E1");
    assert_eq!(
        (row.state, row.reason.chars().count()),
        (IndexState::Refused, 200)
    );
    // Told again only when an operator asks for it
    house.ask_index("E1", None, false);
    assert_eq!(house.owed("E1"), None);
    house.ask_index("E1", None, true);
    assert_eq!(house.owed("E1"), Some((OwedKind::New, false)));
    house.export();
    house.answer(&index, true, "");
    let row = house.index_of("E1");
    assert_eq!(
        (row.state, row.reason.as_str()),
        (IndexState::Acknowledged, "")
    );
    // A former index has no answers
    house.push(&exam("E1", PERSON, "08:31"));
    house.answer(&index, false, "");
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
}

#[test]
fn a_file_that_is_recorded_late_or_twice_says_nothing_new() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    let first = house.file();
    // It changed while the file was written: the authority has the former one
    house.push(&exam("E1", PERSON, "08:31"));
    house.take("operator:o", first.clone());
    assert_eq!(house.index_stands("E1"), IndexState::Formed);
    assert_eq!(house.owed("E1"), Some((OwedKind::Replaced, true)));
    house.export();
    let after = house.index_of("E1").clone();
    house.take("operator:o", first);
    assert_eq!(*house.index_of("E1"), after);
}

#[test]
fn exams_of_one_index_are_listed_not_told_and_free_when_one_changes_or_goes() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    house.push(&exam("E2", PERSON, "08:30"));
    assert_eq!(house.listed(FindingKind::IndexCollision), 2);
    assert_eq!((house.owed("E1"), house.owed("E2")), (None, None));
    let finding = FindingKey {
        kind: FindingKind::IndexCollision,
        hospital: code("350006"),
        subject: key("350006", "E1", 0).to_string(),
    };
    let others = &house.findings[&finding].exams;
    assert_eq!(*others, [key("350006", "E2", 0).to_string()]);
    // When a third comes and two change or go
    house.push(&exam("E3", PERSON, "08:30"));
    assert_eq!(house.findings[&finding].exams.len(), 2);
    house.push(&exam("E2", PERSON, "08:31"));
    assert_eq!(house.listed(FindingKind::IndexCollision), 2);
    house.take_back("E3");
    // Then the one that is left has it alone
    assert_eq!(house.listed(FindingKind::IndexCollision), 0);
    assert_eq!(house.owed("E1"), Some((OwedKind::New, false)));
    assert_eq!(house.owed("E2"), Some((OwedKind::New, false)));
}

#[test]
fn what_the_authority_has_is_taken_back_before_a_collision() {
    let mut house = House::with_indexes();
    house.push(&exam("E1", PERSON, "08:30"));
    house.push(&exam("E2", PERSON, "08:40"));
    house.export();
    house.push(&exam("E2", PERSON, "08:30"));
    // E1 stays as it was told; of E2 the former one goes, and no second exam of the index is told
    assert_eq!(
        (house.index_stands("E1"), house.owed("E1")),
        (IndexState::Exported, None)
    );
    assert_eq!(house.owed("E2"), Some((OwedKind::TakenBack, false)));
    house.export();
    assert_eq!(house.owed("E2"), None);
    house.take_back("E1");
    assert_eq!(house.owed("E2"), Some((OwedKind::New, false)));
}
