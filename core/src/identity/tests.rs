//! The walk on exams in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::*;
use crate::exam::{ExamRow, ReportState, Withdrawals};
use crate::ids::{ExamKey, ExamNo, HospitalCode, Position};

/// Exams, and hospitals of which nothing is shown.
#[derive(Default)]
struct Shelf {
    exams: BTreeMap<ExamKey, (ExamRow, Vec<PersonKey>)>,
    hidden: BTreeSet<HospitalCode>,
}

fn key(hospital: &str, exam_no: &str) -> ExamKey {
    ExamKey {
        hospital: HospitalCode::new(hospital).unwrap(),
        exam_no: ExamNo::new(exam_no).unwrap(),
        generation: 0,
    }
}

fn passport(number: &str) -> PersonKey {
    PersonKey::of_document("4", number).unwrap()
}

fn row(hospital: &str, exam_no: &str, name: &str) -> ExamRow {
    ExamRow {
        key: key(hospital, exam_no),
        position: Position(0),
        time_ms: 0,
        first_position: Position(0),
        first_time_ms: 0,
        version: 1,
        digest: [0; 16],
        last_digest: [0; 16],
        status: 70,
        report: ReportState::Confirmed,
        confirmed_ms: 0,
        last_final: None,
        exam_time: "2026-07-04 08:00:00".to_owned(),
        class: "CT".to_owned(),
        apply_no: String::new(),
        // Each exam has its own, where a test does not say otherwise.
        sick_id: format!("S-{exam_no}"),
        name: name.to_owned(),
        sex: String::new(),
        birth_date: String::new(),
        patient_id: String::new(),
        card_no: String::new(),
        inpatient_no: String::new(),
        outpatient_no: String::new(),
        patient_source: String::new(),
        studies: Vec::new(),
        moved: Vec::new(),
        flags: Vec::new(),
        withdrawn: Withdrawals::default(),
    }
}

impl Shelf {
    fn put(&mut self, row: ExamRow, passports: &[&str]) {
        let mut keys: Vec<PersonKey> = passports.iter().map(|number| passport(number)).collect();
        keys.sort_unstable();
        self.exams.insert(row.key.clone(), (row, keys));
    }

    fn by_exam(&self, hospital: &str, exam_no: &str) -> Joined {
        let (row, _) = &self.exams[&key(hospital, exam_no)];
        let Ok(joined) = join(self, Start::Exam(Box::new(row.clone())));
        joined
    }

    fn by_passport(&self, number: &str, person: Person) -> Joined {
        let Ok(joined) = join(self, Start::Key(JoinKey::Person(passport(number)), person));
        joined
    }
}

impl Exams for Shelf {
    type Error = Infallible;

    fn look(&self, exam: &ExamKey) -> Result<Option<Look>, Infallible> {
        let row = self.exams.get(exam).map(|(row, _)| row.clone());
        Ok(row.filter(ExamRow::is_counted).map(|row| Look {
            shown: !self.hidden.contains(&row.key.hospital),
            row,
        }))
    }

    fn persons(&self, exam: &ExamRow) -> Result<Vec<PersonKey>, Infallible> {
        Ok(self.exams[&exam.key].1.clone())
    }

    fn under(&self, key: &JoinKey, limit: usize) -> Result<Vec<ExamKey>, Infallible> {
        let has = |row: &ExamRow, keys: &[PersonKey]| match key {
            JoinKey::Person(person) => keys.contains(person),
            JoinKey::Patient {
                hospital, sick_id, ..
            } => row.key.hospital == *hospital && row.sick_id == *sick_id,
        };
        let exams = self.exams.values().filter(|(row, keys)| has(row, keys));
        Ok(exams.map(|(row, _)| row.key.clone()).take(limit).collect())
    }
}

fn numbers(joined: &Joined) -> Vec<&str> {
    let exams = joined.exams.keys();
    exams.map(|exam| exam.exam_no.as_str()).collect()
}

#[test]
fn exams_join_over_documents_and_within_a_hospital_over_its_number() {
    // given a chain: A1 -passport- B1 -number of the hospital- B2 -other passport- C1, and one of the same name
    let mut shelf = Shelf::default();
    shelf.put(row("A", "A1", "张三"), &["E10000001"]);
    shelf.put(row("B", "B1", "张 三"), &["E10000001"]);
    let mut second = row("B", "B2", "张三");
    second.sick_id = "S-B1".to_owned();
    shelf.put(second, &["E20000002"]);
    shelf.put(row("C", "C1", "张三"), &["E20000002"]);
    let mut bare = row("C", "C2", "张三");
    bare.sick_id = "S-A1".to_owned();
    shelf.put(bare, &[]);
    // when it is asked from either end
    for (hospital, exam_no) in [("A", "A1"), ("C", "C1"), ("B", "B2")] {
        let joined = shelf.by_exam(hospital, exam_no);
        // then all are found, but not who has only name and a bare number
        assert_eq!(numbers(&joined), ["A1", "B1", "B2", "C1"]);
        assert!(!joined.is_cut && joined.vetoed.is_empty());
        // and it says what joined what
        let by = &joined.exams[&key("B", "B1")].by;
        let kinds: Vec<bool> = by
            .iter()
            .map(|place| matches!(joined.keys[*place].key, JoinKey::Person(_)))
            .collect();
        assert_eq!(by.len(), 2);
        assert!(kinds.contains(&true) && kinds.contains(&false));
    }
    let joined = shelf.by_passport("E10000001", Person::default());
    assert_eq!(numbers(&joined), ["A1", "B1", "B2", "C1"]);
}

#[test]
fn what_sex_birth_date_or_name_speak_against_is_named_and_leads_nowhere() {
    let mut shelf = Shelf::default();
    let told = |exam_no: &str, name: &str, sex: &str, birth: &str| ExamRow {
        sex: sex.to_owned(),
        birth_date: birth.to_owned(),
        ..row("B", exam_no, name)
    };
    let mut first = told("A1", "张三", "男", "1980-01-01");
    first.key = key("A", "A1");
    shelf.put(first, &["E10000001"]);
    shelf.put(told("B1", "张三", "其他", ""), &["E10000001"]);
    shelf.put(told("B2", "李四", "男", ""), &["E10000001", "E30000003"]);
    shelf.put(told("B3", "张三", "女", "1980-01-02"), &["E10000001"]);
    shelf.put(row("C", "C1", "张三"), &["E30000003"]);
    let joined = shelf.by_exam("A", "A1");
    assert_eq!(numbers(&joined), ["A1", "B1"]);
    let vetoed: Vec<_> = joined.vetoed.iter().map(|it| &it.conflicts[..]).collect();
    assert_eq!(
        vetoed,
        [
            &[Conflict::Name][..],
            &[Conflict::Sex, Conflict::BirthDate][..]
        ]
    );
    // By the number alone nobody can say whose exams are meant; with the name it is plain
    let joined = shelf.by_passport("E10000001", Person::default());
    assert!(joined.is_several && joined.exams.is_empty());
    let joined = shelf.by_passport("E10000001", Person::default().named("李四"));
    assert_eq!(numbers(&joined), ["B2"]);
}

#[test]
fn a_number_of_many_persons_is_listed_and_not_used_even_where_they_are_not_shown() {
    let mut shelf = Shelf::default();
    shelf.put(row("A", "A1", "张三"), &["E10000001"]);
    shelf.put(row("B", "B1", "张三"), &["E10000001"]);
    for name in ["李四", "王五", "赵六"] {
        shelf.put(row("X", &format!("X-{name}"), name), &["E10000001"]);
    }
    shelf.hidden.insert(HospitalCode::new("X").unwrap());
    let joined = shelf.by_exam("A", "A1");
    assert_eq!(numbers(&joined), ["A1"]);
    let states: Vec<KeyState> = joined.keys.iter().map(|it| it.state).collect();
    assert_eq!(states, [KeyState::ManyPersons, KeyState::Used]);
    // And one that more exams have than a patient's would
    let mut shelf = Shelf::default();
    for number in 0..=LINES_LIMIT {
        shelf.put(row("A", &format!("A{number}"), "张三"), &["E10000001"]);
    }
    let joined = shelf.by_exam("A", "A1");
    assert_eq!(joined.exams.len(), 1);
    assert_eq!(joined.keys[0].state, KeyState::ManyExams);
}

#[test]
fn what_is_not_shown_joins_nothing_and_counts_for_nothing() {
    // given a bridge that the reader may not see, and one that is withdrawn
    let mut shelf = Shelf::default();
    shelf.put(row("A", "A1", "张三"), &["E10000001", "E20000002"]);
    shelf.put(row("X", "X1", "张三"), &["E10000001", "E30000003"]);
    shelf.put(row("B", "B1", "张三"), &["E30000003", "E40000004"]);
    let mut withdrawn = row("A", "A2", "张三");
    withdrawn.withdrawn.operator = Some(Position(1));
    shelf.put(withdrawn, &["E20000002", "E40000004"]);
    shelf.hidden.insert(HospitalCode::new("X").unwrap());
    let joined = shelf.by_exam("A", "A1");
    assert_eq!(numbers(&joined), ["A1"]);
    assert!(joined.vetoed.is_empty());
    shelf.hidden.clear();
    assert_eq!(numbers(&shelf.by_exam("A", "A1")), ["A1", "B1", "X1"]);
}

#[test]
fn a_walk_ends_at_its_bounds_and_says_so() {
    // given a chain longer than anybody would follow, each exam with a passport of the one before
    let mut shelf = Shelf::default();
    let passport_no = |number: u32| format!("E{}", 10_000_001 + number);
    for number in 0..20 {
        let (one, next) = (passport_no(number), passport_no(number + 1));
        shelf.put(row("A", &format!("A{number:02}"), "张三"), &[&one, &next]);
    }
    let joined = shelf.by_exam("A", "A00");
    assert_eq!(joined.exams.len(), usize::from(HOPS_LIMIT) + 1);
    assert!(joined.is_cut);
    // And one exam with very many documents
    let mut shelf = Shelf::default();
    let many: Vec<String> = (0..100).map(passport_no).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    shelf.put(row("A", "A1", "张三"), &many);
    let joined = shelf.by_exam("A", "A1");
    assert!(joined.is_cut && joined.keys.len() == KEYS_LIMIT);
}

#[test]
fn a_name_compares_without_dots_blanks_and_width_and_an_identity_card_tells_birth_and_sex() {
    let of = |name: &str| Person::new(name, "", "");
    assert!(
        of("买买提·艾合买提")
            .conflicts(&of("买买提．艾合买提"))
            .is_empty()
    );
    assert!(of("ＬＩ Ming").conflicts(&of("li ming")).is_empty());
    assert_eq!(of("张三").conflicts(&of("张叁")), [Conflict::Name]);
    let told = Person::of_document("1", "11010519491231002X");
    assert!(
        told.conflicts(&Person::new("张三", "女", "1949-12-31"))
            .is_empty()
    );
    assert_eq!(
        told.conflicts(&Person::new("张三", "男", "1950-12-31")),
        [Conflict::Sex, Conflict::BirthDate]
    );
    // A number whose check fails, and other documents, tell nothing
    for (kind, number) in [("1", "110105194912310021"), ("4", "E12893745"), ("1", "证")] {
        assert_eq!(Person::of_document(kind, number), Person::default());
    }
}
