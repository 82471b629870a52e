//! How much of what answers a question is among the first ten that are found: 500 questions with known answers
//! (`tests/fixtures/recall`, made by `benches/recall.py` before search was tuned, and never changed to pass). Beside it stands
//! what wildcards and case folding alone find in the same fields, as other archives match.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::json;
use yingku_core::contract::push::ExamPush;
use yingku_core::exam::{DeclaredStudy, ExamRow, ReportState, Withdrawals};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position, StudyUid};
use yingku_core::registry::Settings;
use yingku_indexer::{Changed, Exam, Index, Question, Source, SourceError, follow};

const SET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/recall");
/// What a reader sees without turning the page.
const AT: usize = 10;
/// Of all questions, on average.
const WANTED: f64 = 0.98;

#[test]
fn of_what_answers_a_question_the_first_ten_have_98_percent() {
    let exams = exams();
    let questions = questions();
    assert_eq!(questions.len(), 500);
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&dir.path().join("index"), Position(0)).unwrap();
    follow(&index, &Exams(&exams)).unwrap();
    assert_eq!(index.exams(), exams.len() as u64);
    let prefixes = exams
        .iter()
        .map(|it| (it["prefix"].clone(), it["hospital"].clone()));
    let prefixes: BTreeMap<String, String> = prefixes.collect();

    let mut ours = Tally::default();
    let mut others = Tally::default();
    for question in &questions {
        let found = index.search(&asked(&question.typed, &prefixes)).unwrap();
        let found: Vec<usize> = found.hits.iter().map(|hit| hit.first.0 as usize).collect();
        let recall = ours.add(question, &found);
        others.add(question, &with_wildcards(&exams, &question.typed));
        if recall < 1.0 {
            println!("{}: {:?} {recall:.2}", question.kind, question.typed);
        }
    }
    for (kind, (recall, count)) in &ours.kinds {
        let others = others.kinds[kind].0 / count;
        println!(
            "{kind}: {count} questions, {:.3}, by wildcards {others:.3}",
            recall / count
        );
    }
    let (ours, others) = (ours.all(), others.all());
    println!("recall at {AT}: {ours:.4}, by wildcards and case folding alone {others:.4}");
    assert!(ours >= WANTED, "{ours}");
}

type Columns = HashMap<String, String>;

struct Known {
    kind: String,
    typed: String,
    right: BTreeSet<usize>,
}

/// Recall at [`AT`] of each kind of questions, and their number.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<String, (f64, f64)>,
}

impl Tally {
    /// Where more than ten are right, any ten of them are enough.
    fn add(&mut self, question: &Known, found: &[usize]) -> f64 {
        let met = found
            .iter()
            .take(AT)
            .filter(|at| question.right.contains(at));
        let recall = met.count() as f64 / question.right.len().min(AT) as f64;
        let kind = self.kinds.entry(question.kind.clone()).or_default();
        *kind = (kind.0 + recall, kind.1 + 1.0);
        recall
    }

    fn all(&self) -> f64 {
        let sum = |of: fn(&(f64, f64)) -> f64| self.kinds.values().map(of).sum::<f64>();
        sum(|it| it.0) / sum(|it| it.1)
    }
}

fn exams() -> Vec<Columns> {
    let packed = std::fs::File::open(Path::new(SET).join("exams.tsv.gz")).unwrap();
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let columns = |line: &str| {
        let values = line.split('\t').map(str::to_owned);
        names
            .iter()
            .map(|name| (*name).to_owned())
            .zip(values)
            .collect()
    };
    lines.map(columns).collect()
}

fn questions() -> Vec<Known> {
    let text = std::fs::read_to_string(Path::new(SET).join("questions.tsv")).unwrap();
    let question = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let right = columns[2].split(' ').map(|at| at.parse().unwrap());
        Known {
            kind: columns[0].to_owned(),
            typed: columns[1].to_owned(),
            right: right.collect(),
        }
    };
    text.lines().map(question).collect()
}

fn asked(typed: &str, prefixes: &BTreeMap<String, String>) -> Question {
    let hospitals = prefixes
        .values()
        .map(|code| HospitalCode::new(code).unwrap());
    Question {
        text: typed.to_owned(),
        hospitals: hospitals.collect(),
        prefixes: prefixes.clone(),
        before: Position(u64::MAX),
        limit: AT,
        ..Question::default()
    }
}

/// `LIKE '%typed%'` over each field, without regard to case, the newest first.
fn with_wildcards(exams: &[Columns], typed: &str) -> Vec<usize> {
    let typed = typed.to_lowercase();
    let has = |exam: &Columns| {
        exam.values()
            .any(|value| value.to_lowercase().contains(&typed))
    };
    let found = exams.iter().enumerate().rev().filter(|(_, exam)| has(exam));
    found.map(|(at, _)| at).take(AT).collect()
}

struct Exams<'a>(&'a [Columns]);

impl Source for Exams<'_> {
    fn wait(&self, next: Position) -> bool {
        next.0 < self.0.len() as u64
    }

    fn changed(&self, from: Position, _limit: usize) -> Result<Changed, SourceError> {
        let exams = self.0.iter().skip(from.0 as usize).map(key);
        Ok(Changed {
            exams: exams.collect(),
            next: Position(self.0.len() as u64),
            is_all: true,
        })
    }

    fn exam(&self, wanted: &ExamKey) -> Result<Option<Exam>, SourceError> {
        let at = self
            .0
            .iter()
            .position(|it| it["exam"] == wanted.exam_no.as_str());
        Ok(at.map(|at| exam(&self.0[at], at as u64)))
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

fn key(exam: &Columns) -> ExamKey {
    ExamKey {
        hospital: HospitalCode::new(&exam["hospital"]).unwrap(),
        exam_no: ExamNo::new(&exam["exam"]).unwrap(),
        generation: 0,
    }
}

fn exam(it: &Columns, first: u64) -> Exam {
    let push = json!({
        "examNo": it["exam"], "hospitalCode": it["hospital"],
        "patientInfo": {
            "sickId": it["sick"], "cardNo": it["card"], "siCard": it["social"], "miCard": it["insurance"],
            "inPatientNo": it["inpatient"], "outPatientNo": it["outpatient"], "name": it["name"], "sex": "女",
            "identity": [{ "idType": "1", "idNumber": it["identity"] }],
        },
        "examInfo": {
            "applyNo": it["form"], "patientID": it["patient"], "examStatus": "70", "examTime": format!("{} 08:00:00", it["day"]),
            "examClass": it["class"], "device": it["device"],
            "examItemList": [{ "itemName": it["item"], "orderNo": it["order"] }],
            "examOrganList": [{ "organName": it["part"] }],
            "clinSymp": it["clinical"], "reqHospitalCode": it["hospital"], "reqHospitalName": "示例医院",
        },
        "reportList": [{
            "reportNo": it["report"], "description": it["description"], "impression": it["impression"],
            "recommendation": it["advice"], "reporter": it["reporter"], "affirmReporter": it["confirmer"],
            "abNormalFlag": "1", "category": [{ "caCode": it["code"], "caName": it["diagnosis"] }],
        }],
        "imageList": [{
            "imageType": "DICOM", "imageCount": "1", "modality": it["class"], "patientID": it["patient"],
            "studyUID": it["study"], "accessionNo": it["accession"],
        }],
    });
    let content = ExamPush::from_canonical(push.to_string().as_bytes()).unwrap();
    Exam {
        row: row(it, first),
        content,
    }
}

/// What the archive keeps of it.
fn row(it: &Columns, first: u64) -> ExamRow {
    let study = DeclaredStudy {
        uid: StudyUid::new(it["study"].clone()).unwrap(),
        accession_no: Some(it["accession"].clone()),
        image_count: Some(1),
        linked: false,
        foreign: false,
    };
    let own = |name: &str| it[name].clone();
    ExamRow {
        key: key(it),
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
        exam_time: format!("{} 08:00:00", it["day"]),
        class: own("class"),
        apply_no: own("form"),
        sick_id: own("sick"),
        name: own("name"),
        sex: "女".to_owned(),
        birth_date: String::new(),
        patient_id: own("patient"),
        card_no: own("card"),
        inpatient_no: own("inpatient"),
        outpatient_no: own("outpatient"),
        patient_source: "门诊".to_owned(),
        studies: vec![study],
        moved: Vec::new(),
        flags: Vec::new(),
        withdrawn: Withdrawals::default(),
    }
}
