//! What somebody types, and whom it finds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use tempfile::TempDir;
use yingku_core::contract::push::ExamPush;
use yingku_core::exam::{ExamRow, ReportState, Withdrawals};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position};
use yingku_core::registry::Settings;

use crate::{
    Changed, Exam, FOUND_LIMIT, Facet, Filters, Found, Hidden, Index, IndexError, Question, Sort,
    Source, SourceError, follow,
};

pub(crate) const HERE: &str = "350006";
pub(crate) const THERE: &str = "350007";

pub(crate) fn code(text: &str) -> HospitalCode {
    HospitalCode::new(text).unwrap()
}

/// An exam in the shape of a push, and its row.
pub(crate) fn exam(hospital: &str, exam_no: &str, name: &str, first: u64, report: Value) -> Exam {
    let push = json!({
        "examNo": exam_no,
        "hospitalCode": hospital,
        "patientInfo": {
            "sickId": format!("S-{exam_no}"),
            "name": name,
            "sex": "女",
            "identity": [{ "idType": "1", "idNumber": "11010519491231002X" }],
        },
        "examInfo": {
            "applyNo": format!("F-{exam_no}"),
            "patientID": format!("P-{exam_no}"),
            "examStatus": "70",
            "examTime": "2026-07-04 08:00:00",
            "examClass": "CT",
            "examItemList": [{ "itemName": "胸部CT平扫" }],
            "examOrganList": [{ "organName": "胸部" }],
            "device": "64排CT",
            "reqHospitalCode": hospital,
            "reqHospitalName": "示例医院",
        },
        "reportList": [report],
        "imageList": [],
    });
    let content = ExamPush::from_canonical(push.to_string().as_bytes()).unwrap();
    let row = ExamRow {
        key: ExamKey {
            hospital: code(hospital),
            exam_no: ExamNo::new(exam_no).unwrap(),
            generation: 0,
        },
        position: Position(first),
        time_ms: 0,
        first_position: Position(first),
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
        apply_no: format!("F-{exam_no}"),
        sick_id: format!("S-{exam_no}"),
        name: name.to_owned(),
        sex: "女".to_owned(),
        birth_date: String::new(),
        patient_id: format!("P-{exam_no}"),
        card_no: String::new(),
        inpatient_no: String::new(),
        outpatient_no: String::new(),
        patient_source: "门诊".to_owned(),
        studies: Vec::new(),
        moved: Vec::new(),
        flags: Vec::new(),
        withdrawn: Withdrawals::default(),
    };
    Exam { row, content }
}

pub(crate) struct House {
    pub(crate) index: Index,
    dir: TempDir,
}

impl House {
    pub(crate) fn of(exams: Vec<Exam>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index"), Position(0)).unwrap();
        let house = Self { index, dir };
        let next = exams.len() as u64;
        for exam in &exams {
            house.put(exam);
        }
        house.index.commit(Position(next)).unwrap();
        house
    }

    pub(crate) fn put(&self, exam: &Exam) {
        let document = self.index.document(exam, &Settings::default());
        let replaced = vec![(exam.row.key.clone(), Some(document))];
        self.index.replace(replaced).unwrap();
    }

    pub(crate) fn ask(&self, question: Question) -> Found {
        self.index.search(&question).unwrap()
    }

    fn found(&self, text: &str) -> Vec<String> {
        numbers(&self.ask(typed(text)))
    }
}

pub(crate) fn numbers(found: &Found) -> Vec<String> {
    let hits = found.hits.iter();
    hits.map(|hit| hit.exam.exam_no.to_string()).collect()
}

pub(crate) fn typed(text: &str) -> Question {
    Question {
        text: text.to_owned(),
        hospitals: vec![code(HERE), code(THERE)],
        before: Position(u64::MAX),
        limit: 10,
        ..Question::default()
    }
}

pub(crate) fn report(impression: &str) -> Value {
    json!({
        "impression": impression,
        "description": "双肺纹理增多，右肺下叶见一结节影。",
        "abNormalFlag": "1",
        "reporter": "示例医生",
        "category": [{ "caCode": "J18.9", "caName": "肺炎" }],
    })
}

fn people() -> House {
    let names = [
        "张小东",
        "单雄信",
        "买买提·艾合买提",
        "吕布",
        "欧阳修",
        "John Smith",
    ];
    let exams = names.iter().enumerate().map(|(at, name)| {
        let no = format!("E{}", at + 1);
        exam(HERE, &no, name, at as u64, report("未见明显异常。"))
    });
    House::of(exams.collect())
}

#[test]
fn a_name_is_found_by_any_part_of_it_and_by_every_reading() {
    let house = people();
    for (text, no) in [
        ("张小东", "E1"),
        ("小东", "E1"),
        ("zhangxiaodong", "E1"),
        ("ZhangXiaoDong", "E1"),
        ("zhang xiaodong", "E1"),
        ("zxd", "E1"),
        ("xiaodong", "E1"),
        ("shanxiongxin", "E2"),
        ("danxiongxin", "E2"),
        ("sxx", "E2"),
        ("艾合买提", "E3"),
        ("买买提·艾合买提", "E3"),
        ("买买提艾合买提", "E3"),
        ("aihemaiti", "E3"),
        ("lvbu", "E4"),
        ("lyubu", "E4"),
        ("ouyangxiu", "E5"),
        ("oyx", "E5"),
        ("smith", "E6"),
        ("John Smith", "E6"),
    ] {
        assert_eq!(house.found(text), [no], "{text}");
    }
    assert!(house.found("王五").is_empty());
}

#[test]
fn a_slip_is_forgiven_in_names_and_never_in_numbers() {
    let house = people();
    let forgiven = |text: &str| {
        let found = house.ask(typed(text));
        (numbers(&found).join(" "), found.forgiven)
    };
    for text in ["张晓东", "zhangxiaodon", "zhangxiaodang"] {
        assert_eq!(forgiven(text), ("E1".to_owned(), true), "{text}");
    }
    assert_eq!(forgiven("张小东"), ("E1".to_owned(), false));
    // A beginning of a number, but no number beside it
    assert_eq!(forgiven("11010519491231").0.split(' ').count(), 6);
    assert_eq!(forgiven("11010519491231002Y"), (String::new(), false));
}

#[test]
fn numbers_are_found_whole_whatever_they_are_of_and_with_a_hospitals_prefix() {
    let house = people();
    for text in ["E1", "e1", "F-E1", "S-E1", "P-E1", "Ｅ１"] {
        assert_eq!(house.found(text), ["E1"], "{text}");
    }
    let question = Question {
        prefixes: [("7173".to_owned(), HERE.to_owned())].into(),
        ..typed("7173_F-E1")
    };
    assert_eq!(numbers(&house.ask(question.clone())), ["E1"]);
    let elsewhere = Question {
        prefixes: [("7173".to_owned(), THERE.to_owned())].into(),
        ..question
    };
    assert!(house.ask(elsewhere).hits.is_empty());
}

#[test]
fn prose_is_found_by_words_and_phrases_and_codes_by_their_group() {
    let house = House::of(vec![
        exam(HERE, "E1", "甲某", 0, report("右肺上叶占位，考虑肺癌。")),
        exam(HERE, "E2", "乙某", 1, report("脂肪肝。")),
    ]);
    for text in ["肺癌", "右肺上叶占位", "考虑肺癌", "占位 肺癌"] {
        assert_eq!(house.found(text), ["E1"], "{text}");
    }
    assert_eq!(house.found("脂肪肝"), ["E2"]);
    for text in ["结节影", "ct平扫", "CT 胸部", "J18", "j18.9", "示例医生"] {
        assert_eq!(house.found(text).len(), 2, "{text}");
    }
    assert!(house.found("肝癌 骨折").is_empty());
}

#[test]
fn a_report_that_was_taken_back_is_not_found() {
    let mut taken_back = exam(HERE, "E1", "甲某", 0, report("考虑肺癌。"));
    taken_back.row.report = ReportState::Returned;
    let house = House::of(vec![taken_back]);
    assert!(house.found("肺癌").is_empty() && house.found("J18").is_empty());
    assert_eq!(house.found("甲某"), ["E1"]);
}

#[test]
fn filters_narrow_and_facets_count() {
    let mut other = exam(THERE, "E2", "乙某", 1, report("脂肪肝。"));
    other.row.class = "MR".to_owned();
    other.row.exam_time = "2026-08-01 08:00:00".to_owned();
    let house = House::of(vec![exam(HERE, "E1", "甲某", 0, report("肺癌。")), other]);
    let with = |filters: Filters| {
        numbers(&house.ask(Question {
            filters,
            ..typed("")
        }))
    };
    assert_eq!(with(Filters::default()).len(), 2);
    let filters = Filters {
        from: Some(20_260_705),
        ..Filters::default()
    };
    assert_eq!(with(filters), ["E2"]);
    let filters = Filters {
        classes: vec!["CT".to_owned()],
        positive: Some(true),
        ..Filters::default()
    };
    assert_eq!(with(filters), ["E1"]);
    let found = house.ask(Question {
        facets: true,
        ..typed("")
    });
    let classes = &found.facets[&Facet::Class];
    assert_eq!(classes.len(), 2);
    assert_eq!(found.facets[&Facet::BodyPart][0].exams, 2);
}

#[test]
fn nothing_is_found_without_a_right_nor_what_a_hospital_keeps_to_itself() {
    let mut kept = exam(THERE, "E2", "甲某", 1, report("肺癌。"));
    kept.row.patient_source = "体检".to_owned();
    let house = House::of(vec![exam(HERE, "E1", "甲某", 0, report("肺癌。")), kept]);
    let question = |hospitals: &[&str]| Question {
        hospitals: hospitals.iter().map(|it| code(it)).collect(),
        facets: true,
        ..typed("肺癌")
    };
    assert_eq!(numbers(&house.ask(question(&[HERE]))), ["E1"]);
    let none = house.ask(question(&[]));
    assert!(none.hits.is_empty() && none.total == 0 && none.facets[&Facet::Class].is_empty());
    let hidden = Hidden {
        hospital: code(THERE),
        sources: vec!["体检".to_owned()],
        classes: Vec::new(),
    };
    let found = house.ask(Question {
        hidden: vec![hidden],
        ..question(&[HERE, THERE])
    });
    assert_eq!(
        (numbers(&found).join(" "), found.total),
        ("E1".to_owned(), 1)
    );
}

#[test]
fn the_newest_come_first_and_pages_go_on_where_they_were() {
    let exams = (0..25).map(|at| exam(HERE, &format!("E{at}"), "甲某", at, report("肺癌。")));
    let house = House::of(exams.collect());
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let found = house.ask(Question {
            sort: Sort::Newest,
            before: Position(20),
            after,
            ..typed("肺癌")
        });
        let Some(last) = found.hits.last() else { break };
        after = Some(last.first);
        seen.extend(found.hits.iter().map(|hit| hit.first.0));
    }
    assert_eq!(seen, (0..20).rev().collect::<Vec<_>>());
    // Equally sure ones too
    let found = house.ask(typed("肺癌"));
    assert_eq!((numbers(&found)[0].as_str(), found.total), ("E24", 25));
}

#[test]
fn an_exam_is_found_as_it_stands_and_the_index_goes_on_where_it_was() {
    let house = House::of(vec![exam(HERE, "E1", "甲某", 0, report("肺癌。"))]);
    house.put(&exam(HERE, "E1", "乙某", 0, report("脂肪肝。")));
    house.index.commit(Position(2)).unwrap();
    assert!(house.found("甲某").is_empty());
    assert_eq!(house.found("乙某"), ["E1"]);
    let House { index, dir } = house;
    let key = index.search(&typed("乙某")).unwrap().hits[0].exam.clone();
    drop(index);
    let path = dir.path().join("index");
    let index = Index::open(&path, Position(2)).unwrap();
    assert_eq!((index.next(), index.exams()), (Position(2), 1));
    index.replace(vec![(key, None)]).unwrap();
    index.commit(Position(3)).unwrap();
    assert_eq!(index.search(&typed("")).unwrap().total, 0);
    drop(index);
    // One that is ahead of the views is of another log
    assert_eq!(Index::open(&path, Position(2)).unwrap().next(), Position(0));
    // And so is one of which nothing can be read
    std::fs::write(path.join("meta.json"), b"{").unwrap();
    assert_eq!(Index::open(&path, Position(9)).unwrap().exams(), 0);
}

#[test]
fn nothing_that_is_typed_breaks_it() {
    let house = people();
    let long = "肺".repeat(10_000);
    let words = "a ".repeat(10_000);
    for text in [
        "",
        " ",
        "*",
        "\"",
        "((((",
        "AND OR NOT",
        "name:张",
        "\\",
        "\0",
        "😀",
        "[1 TO",
        "~",
        "张*",
        "?",
        "-张",
        "+",
        "^9",
        "%00",
        "张 小 东 ' OR 1=1",
        &long,
        &words,
    ] {
        house.ask(typed(text));
    }
    let far = Question {
        offset: 1_000_000_000,
        ..typed("张小东")
    };
    let refused = house.index.search(&far).err().unwrap();
    assert!(matches!(refused, IndexError::TooFar { limit: FOUND_LIMIT }));
}

/// Exams in order of their first positions; the log may be cut off.
struct Pushed<'a> {
    exams: &'a [Exam],
    end: u64,
}

impl Source for Pushed<'_> {
    fn wait(&self, next: Position) -> bool {
        next.0 < self.end
    }

    fn changed(&self, from: Position, _limit: usize) -> Result<Changed, SourceError> {
        let new = self.exams.get(from.0 as usize..self.end as usize);
        Ok(Changed {
            exams: new.unwrap().iter().map(|it| it.row.key.clone()).collect(),
            next: Position(self.end),
            is_all: true,
        })
    }

    fn exam(&self, key: &ExamKey) -> Result<Option<Exam>, SourceError> {
        let exam = self.exams.iter().find(|it| it.row.key == *key);
        Ok(exam.map(|it| Exam {
            row: it.row.clone(),
            content: it.content.clone(),
        }))
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

#[test]
fn after_a_failed_write_the_index_says_so_and_goes_on_where_it_was() {
    let house = House::of(Vec::new());
    let exams = ["甲某", "乙某", "丙某"]
        .iter()
        .zip(0..)
        .map(|(name, at)| exam(HERE, &format!("E{at}"), name, at, report("肺癌。")));
    let exams: Vec<Exam> = exams.collect();
    let until = |end| Pushed { exams: &exams, end };
    follow(&house.index, &until(1)).unwrap();
    let (here, away) = (
        house.dir.path().join("index"),
        house.dir.path().join("away"),
    );
    // As a disk that fails
    std::fs::rename(&here, &away).unwrap();
    for _ in 0..2 {
        follow(&house.index, &until(2)).unwrap_err();
        assert!(house.index.problem().is_some());
    }
    assert_eq!(
        (house.index.next(), house.found("甲某")),
        (Position(1), vec!["E0".to_owned()])
    );
    std::fs::rename(&away, &here).unwrap();
    follow(&house.index, &until(3)).unwrap();
    assert_eq!(
        (house.index.next(), house.index.problem()),
        (Position(3), None)
    );
    assert_eq!(house.found("肺癌"), ["E2", "E1", "E0"]);
}
