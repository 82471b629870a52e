//! One patient's exams over all hospitals: what joins, what does not, and what nobody is shown.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::event::{Event, RulesActivated, SUPERVISION_SINCE_RULES};
use yingku_core::ids::{ExamKey, ExamNo, Position};
use yingku_core::registry::{App, Hospital, HospitalMode, OwnOnly, RegistryChange, Right, Scope};
use yingku_storage::archive::Submission;

use crate::house::{House, Response, code, hospital, push_with, sign};

const RECORDS: &str = "/v1/patient/records";
const COUNTY: &str = "350006";
const TOWN: &str = "350007";
const CITY: &str = "350009";
/// A valid number of a woman born on 1 January 1980.
const DOCUMENT: &str = "350100198001010027";

struct Desk {
    house: House,
    pacs: String,
    reader: String,
}

/// Three live hospitals; the county's own reader may read all.
async fn desk() -> Desk {
    let house = House::open().await;
    let everywhere = App {
        rights: BTreeSet::from([Right::Push]),
        ..house.app("demo-pacs", Scope::all())
    };
    house
        .change(vec![
            RegistryChange::PutHospital(hospital(CITY, HospitalMode::Live)),
            RegistryChange::PutApp(everywhere),
        ])
        .await;
    Desk {
        pacs: house.token("demo-pacs").await,
        reader: house.token("demo-reader").await,
        house,
    }
}

/// An exam of the sample's patient with no number but those that are given.
fn exam(hospital: &str, exam_no: &str, document: &str, card: &str) -> Vec<(&'static str, Value)> {
    let none_or = |text: &str| match text {
        "" => Value::Null,
        text => json!(text),
    };
    vec![
        ("/hospitalCode", json!(hospital)),
        ("/examNo", json!(exam_no)),
        ("/patientInfo/sickId", json!(format!("S-{exam_no}"))),
        ("/patientInfo/cardNo", Value::Null),
        ("/patientInfo/miCard", none_or(card)),
        ("/patientInfo/identity/0/idNumber", none_or(document)),
        ("/examInfo/applyNo", json!(format!("F-{exam_no}"))),
        ("/examInfo/patientID", json!(format!("P-{exam_no}"))),
        ("/imageList/0/patientID", json!(format!("P-{exam_no}"))),
        ("/imageList/0/studyUID", json!(study_of(hospital, exam_no))),
    ]
}

fn study_of(hospital: &str, exam_no: &str) -> String {
    let digits = exam_no.bytes().map(|byte| byte.to_string());
    format!("1.2.{hospital}.{}", digits.collect::<Vec<_>>().join("."))
}

impl Desk {
    async fn push(&self, fields: Vec<(&'static str, Value)>, more: &[(&'static str, Value)]) {
        let all: Vec<_> = fields.into_iter().chain(more.iter().cloned()).collect();
        let mut push: Value = serde_json::from_str(&push_with(&all)).unwrap();
        let identity = &push["patientInfo"]["identity"][0];
        if identity["idNumber"].is_null() {
            push["patientInfo"]
                .as_object_mut()
                .unwrap()
                .remove("identity");
        }
        let response = self
            .house
            .post("/v1/exam/push", &self.pacs, push.to_string());
        let response = response.await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    async fn ask(&self, token: &str, question: &Value) -> Response {
        self.house.post(RECORDS, token, question.to_string()).await
    }

    /// An answer to the county's reader.
    async fn records(&self, question: Value) -> Value {
        let answer = self.ask(&self.reader, &question).await;
        let (http, status) = (answer.http.as_u16(), answer.status());
        assert_eq!((http, status), (200, 0), "{question} {}", answer.json);
        answer.json
    }

    /// Refused: HTTP's status, and by which rule.
    async fn refused(&self, token: &str, question: Value) -> (u16, String) {
        let answer = self.ask(token, &question).await;
        let rule = answer.result()[0]["rule"].as_str().unwrap_or_default();
        (answer.http.as_u16(), rule.to_owned())
    }

    async fn put_app(&self, app: App) -> String {
        let named = format!("{},{},demo-license", app.id, app.org);
        self.house.change(vec![RegistryChange::PutApp(app)]).await;
        let answer = self.house.get_token(&sign(&named)).await;
        answer.result()["token"].as_str().unwrap().to_owned()
    }

    async fn submit(&self, event: Event) {
        let submitted = self.house.archive.submit(Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event,
        });
        submitted.await.unwrap();
    }

    fn audited(&self) -> String {
        let log = self.house.archive.audit_log();
        let records = log.read(Position(0), 10_000, 1 << 24).unwrap();
        let texts = records.iter();
        let texts = texts.map(|record| String::from_utf8_lossy(&record.bytes).into_owned());
        texts.collect::<Vec<_>>().join("\n")
    }
}

fn by_exam(hospital: &str, exam_no: &str) -> Value {
    json!({"hospitalCode": hospital, "examNo": exam_no, "reason": "visit"})
}

fn by_document(number: &str) -> Value {
    json!({"idNumber": number, "reason": "visit"})
}

fn numbers(answer: &Value) -> BTreeSet<String> {
    let exams = answer["result"]["exams"].as_array().unwrap().iter();
    exams
        .map(|exam| exam["examNo"].as_str().unwrap().to_owned())
        .collect()
}

/// Kinds of the keys by which an exam is joined.
fn joined_by(answer: &Value, exam_no: &str) -> BTreeSet<String> {
    let exams = answer["result"]["exams"].as_array().unwrap();
    let exam = exams.iter().find(|exam| exam["examNo"] == exam_no).unwrap();
    let keys = answer["result"]["keys"].as_array().unwrap();
    let kind = |no: &Value| {
        let key = keys.iter().find(|key| key["no"] == *no).unwrap();
        key["kind"].as_str().unwrap().to_owned()
    };
    exam["joinedBy"]
        .as_array()
        .unwrap()
        .iter()
        .map(kind)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn documents_and_cards_join_hospitals_and_the_answer_says_which() {
    // given three hospitals' exams of one patient, in a chain of document and card, and one with name and birth date only
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    desk.push(exam(TOWN, "B1", "350100 19800101 0027", "MI350001"), &[])
        .await;
    desk.push(exam(CITY, "C1", "", "mi350001"), &[]).await;
    desk.push(
        exam(CITY, "C2", "", ""),
        &[("/patientInfo/sickId", json!("S-C1"))],
    )
    .await;
    desk.push(
        exam(CITY, "C3", "", ""),
        &[("/patientInfo/sickId", json!("S-A1"))],
    )
    .await;
    // when it is asked by exam, by document, by card, by the hospital's number
    let questions = [
        by_exam(COUNTY, "A1"),
        by_exam(CITY, "C1"),
        by_document(DOCUMENT),
        json!({"idType": "9", "idNumber": "MI350001", "reason": "consent", "user": "d001"}),
        json!({"hospitalCode": CITY, "patientNo": "S-C1", "reason": "emergency"}),
        json!({"idNumber": DOCUMENT, "name": "肖 萍", "reason": "visit"}),
    ];
    for question in questions {
        let answer = desk.records(question.clone()).await;
        // then they are all there, but not who has only a name and a bare number
        assert_eq!(
            numbers(&answer),
            set(&["A1", "B1", "C1", "C2"]),
            "{question}"
        );
        assert_eq!(answer["result"]["complete"], true);
        assert_eq!(answer["page"]["total"], 4);
        let of = |exam_no| joined_by(&answer, exam_no);
        assert_eq!(of("A1"), set(&["identityCard", "patientNo"]));
        assert_eq!(
            of("B1"),
            set(&["identityCard", "insuranceCard", "patientNo"])
        );
        assert_eq!(of("C1"), set(&["insuranceCard", "patientNo"]));
        assert_eq!(of("C2"), set(&["patientNo"]));
        // and no number of a document stands in it
        assert!(!answer.to_string().contains(DOCUMENT), "{answer}");
    }
    // Each reading is on record, with its exams and without a number of the patient
    let audited = desk.audited();
    assert!(audited.contains("patientRecords") && audited.contains("identityCard"));
    assert!(audited.contains("350009/C2") && audited.contains("d001"));
    for number in [DOCUMENT, "MI350001", "S-C1", "肖"] {
        assert!(!audited.contains(number), "{number}");
    }
}

#[tokio::test]
async fn without_a_reason_the_own_hospital_s_exams_are_told_only() {
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    desk.push(exam(TOWN, "B1", DOCUMENT, ""), &[]).await;
    let mine = desk.records(json!({"idNumber": DOCUMENT})).await;
    assert_eq!(numbers(&mine), set(&["A1"]));
    for question in [
        json!({"hospitalCode": TOWN, "examNo": "B1"}),
        json!({"hospitalCode": TOWN, "patientNo": "S-B1"}),
        json!({"hospitalCode": TOWN, "patientNo": "nobody"}),
    ] {
        let refused = desk.refused(&desk.reader, question).await;
        assert_eq!(refused, (403, "reason-required".to_owned()));
    }
    let town = desk
        .records(json!({"idNumber": DOCUMENT, "readFor": TOWN}))
        .await;
    assert_eq!(numbers(&town), set(&["B1"]));
}

#[tokio::test]
async fn who_differs_in_name_sex_or_birth_date_is_named_and_not_joined() {
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, "MI350001"), &[])
        .await;
    let other = [
        ("/patientInfo/name", json!("王五")),
        ("/patientInfo/birthDate", json!("1981-01-01")),
    ];
    desk.push(exam(TOWN, "B1", "", "MI350001"), &other).await;
    let answer = desk.records(by_exam(COUNTY, "A1")).await;
    assert_eq!(numbers(&answer), set(&["A1"]));
    let [refused] = &answer["result"]["notJoined"].as_array().unwrap()[..] else {
        panic!("{answer}");
    };
    assert_eq!(
        (
            &refused["hospitalCode"],
            &refused["examNo"],
            &refused["conflicts"]
        ),
        (&json!(TOWN), &json!("B1"), &json!(["name", "birthDate"]))
    );
    assert!(!answer.to_string().contains("王五"));
    // By the card alone it is not plain who is meant
    let card = json!({"idType": "9", "idNumber": "MI350001", "reason": "visit"});
    let refused = desk.refused(&desk.reader, card.clone()).await;
    assert_eq!(refused, (409, "several-persons".to_owned()));
    let mut named = card;
    named["name"] = json!("王五");
    assert_eq!(numbers(&desk.records(named).await), set(&["B1"]));
    // A document tells birth date and sex itself: a child under its mother's number is no question
    let child = [("/patientInfo/birthDate", json!("2020-01-01"))];
    desk.push(exam(TOWN, "B2", DOCUMENT, ""), &child).await;
    let answer = desk.records(by_document(DOCUMENT)).await;
    assert_eq!(numbers(&answer), set(&["A1"]));
}

#[tokio::test]
async fn a_number_that_many_persons_have_is_listed_and_joins_nobody() {
    let desk = desk().await;
    for (number, name) in ["甲", "乙", "丙", "丁", "甲"].iter().enumerate() {
        let place = if number == 4 { TOWN } else { COUNTY };
        let named = [("/patientInfo/name", json!(name))];
        let fields = exam(place, &format!("A{number}"), "", "MI350001");
        desk.push(fields, &named).await;
    }
    let answer = desk.records(by_exam(COUNTY, "A0")).await;
    assert_eq!(numbers(&answer), set(&["A0"]));
    let keys = answer["result"]["keys"].as_array().unwrap();
    let card = keys
        .iter()
        .find(|key| key["kind"] == "insuranceCard")
        .unwrap();
    assert_eq!(
        (&card["state"], &card["exams"]),
        (&json!("manyPersons"), &json!(0))
    );
}

#[tokio::test]
async fn what_is_withdrawn_is_gone_at_once_and_leads_nowhere() {
    // given a patient whose document and card are joined by one exam only
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    desk.push(exam(TOWN, "B1", DOCUMENT, "MI350001"), &[]).await;
    desk.push(exam(CITY, "C1", "", "MI350001"), &[]).await;
    let all = desk.records(by_exam(COUNTY, "A1")).await;
    assert_eq!(numbers(&all), set(&["A1", "B1", "C1"]));
    // when that is withdrawn
    let made = CorrectionMade {
        action: CorrectionAction::WithdrawExam {
            exam: ExamKey {
                hospital: code(TOWN),
                exam_no: ExamNo::new("B1").unwrap(),
                generation: 0,
            },
        },
        reason: "误传".to_owned(),
        author: "tester".to_owned(),
    };
    desk.submit(Event::CorrectionMade(made)).await;
    // then it is not there, and joins nothing
    let rest = desk.records(by_exam(COUNTY, "A1")).await;
    assert_eq!(numbers(&rest), set(&["A1"]));
    let (http, _) = desk.refused(&desk.reader, by_exam(TOWN, "B1")).await;
    assert_eq!(http, 404);
}

#[tokio::test]
async fn an_exam_of_earlier_rules_joins_from_its_next_push() {
    let desk = desk().await;
    let activate = |rules| Event::RulesActivated(RulesActivated { rules });
    desk.submit(activate(SUPERVISION_SINCE_RULES - 1)).await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    let (http, _) = desk.refused(&desk.reader, by_exam(COUNTY, "A1")).await;
    assert_eq!(http, 503);
    desk.submit(activate(SUPERVISION_SINCE_RULES)).await;
    desk.push(exam(TOWN, "B1", DOCUMENT, ""), &[]).await;
    let answer = desk.records(by_exam(COUNTY, "A1")).await;
    assert_eq!(numbers(&answer), set(&["A1"]));
    assert_eq!(answer["result"]["exams"][0]["keysUnknown"], true);
    let again = [("/reportList/0/impression", json!("复核：右肺下叶炎症。"))];
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &again).await;
    let answer = desk.records(by_exam(COUNTY, "A1")).await;
    assert_eq!(numbers(&answer), set(&["A1", "B1"]));
}

#[tokio::test]
async fn a_trial_s_exam_is_told_to_its_own_hospital_and_joins_nothing() {
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    desk.push(exam("350008", "T1", DOCUMENT, ""), &[]).await;
    let answer = desk.records(by_document(DOCUMENT)).await;
    assert_eq!(numbers(&answer), set(&["A1"]));
    let mut trial = by_exam("350008", "T1");
    let (http, _) = desk.refused(&desk.reader, trial.clone()).await;
    assert_eq!(http, 404);
    trial["readFor"] = json!("350008");
    let answer = desk.records(trial).await;
    assert_eq!(numbers(&answer), set(&["T1"]));
    assert_eq!(answer["result"]["keys"], json!([]));
}

#[tokio::test]
async fn pages_miss_and_repeat_nothing_while_exams_come() {
    let desk = desk().await;
    for number in 0..7 {
        let place = if number % 2 == 0 { COUNTY } else { TOWN };
        desk.push(exam(place, &format!("A{number}"), DOCUMENT, ""), &[])
            .await;
    }
    let mut question = by_exam(COUNTY, "A0");
    question["pageSize"] = json!(3);
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = desk.records(question.clone()).await;
        assert_eq!(page["page"]["total"], 7);
        let exams = page["result"]["exams"].as_array().unwrap().iter();
        seen.extend(exams.map(|exam| exam["examNo"].as_str().unwrap().to_owned()));
        let more = format!("N{}", seen.len());
        desk.push(exam(TOWN, &more, DOCUMENT, ""), &[]).await;
        match page["page"]
            .get("nextPageToken")
            .filter(|token| !token.is_null())
        {
            Some(token) => question["pageToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(seen, ["A6", "A5", "A4", "A3", "A2", "A1", "A0"]);
    // And a token of one question continues no other
    question["readFor"] = json!(TOWN);
    let (http, _) = desk.refused(&desk.reader, question).await;
    assert_eq!(http, 400);
}

#[tokio::test]
async fn a_wrong_question_is_refused_in_words() {
    let desk = desk().await;
    desk.push(exam(COUNTY, "A1", DOCUMENT, ""), &[]).await;
    for wrong in [
        json!({}),
        json!({"hospitalCode": COUNTY}),
        json!({"examNo": "A1"}),
        json!({"patientNo": "S-A1"}),
        json!({"hospitalCode": COUNTY, "examNo": "A1", "idNumber": DOCUMENT}),
        json!({"idNumber": "111111111111111111"}),
        json!({"idNumber": "350100198001010028"}),
        json!({"idType": "11", "idNumber": "A12893745"}),
        json!({"idType": "9", "idNumber": "12345678"}),
        json!({"idNumber": "9".repeat(10_000)}),
        json!({"name": "肖萍"}),
        json!({"idNumber": DOCUMENT, "reason": "curious"}),
        json!({"idNumber": DOCUMENT, "user": "肖萍"}),
        json!({"idNumber": DOCUMENT, "pageNo": 0}),
        json!({"idNumber": DOCUMENT, "asOf": "2026-07-04"}),
    ] {
        let answer = desk.ask(&desk.reader, &wrong).await;
        assert_eq!(answer.http.as_u16(), 400, "{wrong} {}", answer.json);
        assert!(!answer.result().as_array().unwrap().is_empty());
        // What somebody typed as a number is not said again
        assert!(!answer.json.to_string().contains("35010019800101"));
    }
    // Who has no right is told so
    let narrow = App {
        rights: BTreeSet::from([Right::Read]),
        org: code(TOWN),
        ..desk.house.app("narrow", Scope::of([&code(TOWN)]))
    };
    let narrow = desk.put_app(narrow).await;
    for question in [
        by_exam(COUNTY, "A1"),
        json!({"hospitalCode": COUNTY, "patientNo": "S-A1", "reason": "visit"}),
        json!({"idNumber": DOCUMENT, "readFor": COUNTY}),
    ] {
        let (http, _) = desk.refused(&narrow, question).await;
        assert_eq!(http, 403);
    }
    let (http, _) = desk.refused(&desk.pacs, by_exam(COUNTY, "A1")).await;
    assert_eq!(http, 403);
    let nothing = desk.ask(&narrow, &by_document(DOCUMENT)).await;
    assert_eq!(nothing.json["page"]["total"], 0);
    // The name given guards against a slip in the number
    let mut slip = by_exam(COUNTY, "A1");
    slip["name"] = json!("王五");
    assert_eq!(desk.refused(&desk.reader, slip).await.0, 404);
}

/// An exam as the model knows it.
struct Pushed {
    hospital: &'static str,
    exam_no: String,
    sick_id: String,
    numbers: Vec<String>,
    /// 体检, which the county keeps to itself.
    kept: bool,
}

impl Pushed {
    fn may_be_seen(&self, rights: &[&str], read_for: &str, has_reason: bool) -> bool {
        let is_own = self.hospital == read_for;
        let is_kept = self.kept && self.hospital == COUNTY;
        rights.contains(&self.hospital) && (is_own || has_reason && !is_kept)
    }

    fn joins(&self, other: &Self) -> bool {
        let is_number = |number: &String| other.numbers.contains(number);
        let is_sick = self.hospital == other.hospital && self.sick_id == other.sick_id;
        is_sick || self.numbers.iter().any(is_number)
    }
}

/// All that can be reached among what may be seen.
fn reached<'p>(seen: &[&'p Pushed], start: impl Fn(&Pushed) -> bool) -> BTreeSet<&'p str> {
    let mut found: Vec<&Pushed> = seen.iter().copied().filter(|exam| start(exam)).collect();
    let mut at = 0;
    while let Some(one) = found.get(at).copied() {
        for other in seen.iter().copied().filter(|other| one.joins(other)) {
            if !found.iter().any(|known| std::ptr::eq(*known, other)) {
                found.push(other);
            }
        }
        at += 1;
    }
    found
        .into_iter()
        .map(|exam| exam.exam_no.as_str())
        .collect()
}

/// Sixty exams of four patients at three hospitals, each with some of its patient's numbers.
async fn push_sixty(desk: &Desk, random: &mut StdRng) -> Vec<Pushed> {
    const DOCUMENTS: [&str; 4] = [
        "350100198001011003",
        "350100198001021017",
        "350100198001031020",
        "350100198001041034",
    ];
    let mut pushed = Vec::new();
    for number in 0..60 {
        let person = random.gen_range(0..4usize);
        let hospital = [COUNTY, TOWN, CITY][random.gen_range(0..3)];
        let document = if random.gen_bool(0.4) {
            DOCUMENTS[person]
        } else {
            ""
        };
        let card = match random.gen_bool(0.3) {
            true => format!("MI4500{person}7"),
            false => String::new(),
        };
        let one = Pushed {
            hospital,
            exam_no: format!("E{number}"),
            sick_id: format!("S{person}-{}", random.gen_range(0..3)),
            numbers: [document.to_owned(), card.clone()]
                .into_iter()
                .filter(|number| !number.is_empty())
                .collect(),
            kept: random.gen_bool(0.3),
        };
        let more = [
            ("/patientInfo/sickId", json!(one.sick_id)),
            ("/patientInfo/name", json!(format!("病人{person}"))),
            ("/patientInfo/birthDate", Value::Null),
            ("/patientInfo/sex", json!("其他")),
            (
                "/patientInfo/patientSource",
                json!(if one.kept { "体检" } else { "门诊" }),
            ),
        ];
        desk.push(exam(hospital, &one.exam_no, document, &card), &more)
            .await;
        pushed.push(one);
    }
    pushed
}

#[tokio::test]
async fn nobody_is_shown_or_joined_by_what_he_may_not_see_whatever_he_asks() {
    // given readers with all kinds of rights, and a hospital that keeps 体检 to itself
    let mut random = StdRng::seed_from_u64(2026);
    let desk = desk().await;
    let keeps = Hospital {
        own_only: OwnOnly {
            patients: BTreeSet::from(["体检".to_owned()]),
            ..OwnOnly::default()
        },
        ..hospital(COUNTY, HospitalMode::Live)
    };
    desk.house
        .change(vec![RegistryChange::PutHospital(keeps)])
        .await;
    let pushed = push_sixty(&desk, &mut random).await;
    let rights: [&[&'static str]; 4] = [
        &[COUNTY],
        &[TOWN, COUNTY],
        &[CITY, TOWN],
        &[COUNTY, TOWN, CITY],
    ];
    let mut tokens = BTreeMap::new();
    for (number, of) in rights.iter().enumerate() {
        let codes: Vec<_> = of.iter().map(|text| code(text)).collect();
        let app = App {
            rights: BTreeSet::from([Right::Read]),
            org: code(of[0]),
            ..desk
                .house
                .app(&format!("reader-{number}"), Scope::of(&codes))
        };
        tokens.insert(number, desk.put_app(app).await);
    }
    let mut wholes = 0;
    for _ in 0..300 {
        let who = random.gen_range(0..rights.len());
        let read_for = *rights[who].choose(&mut random).unwrap();
        let reason = [None, Some("visit"), Some("consent")]
            .choose(&mut random)
            .unwrap();
        let target = pushed.choose(&mut random).unwrap();
        let mut question = match random.gen_range(0..3) {
            0 => json!({"hospitalCode": target.hospital, "examNo": target.exam_no}),
            1 => json!({"hospitalCode": target.hospital, "patientNo": target.sick_id}),
            _ => match target.numbers.first() {
                Some(number) if number.starts_with("MI") => {
                    json!({"idType": "9", "idNumber": number})
                }
                Some(number) => json!({"idNumber": number}),
                None => continue,
            },
        };
        question["readFor"] = json!(read_for);
        question["pageSize"] = json!(200);
        if let Some(reason) = reason {
            question["reason"] = json!(reason);
        }
        // when any of them asks anything
        let answer = desk.ask(&tokens[&who], &question).await;
        let sees = |exam: &&Pushed| exam.may_be_seen(rights[who], read_for, reason.is_some());
        let seen: Vec<&Pushed> = pushed.iter().filter(sees).collect();
        if answer.status() != 0 {
            assert!(
                [403, 404].contains(&answer.http.as_u16()),
                "{question} {}",
                answer.json
            );
            assert!(question.get("idNumber").is_none(), "{question}");
            assert!(
                question.get("patientNo").is_some() || !sees(&target),
                "{question}"
            );
            continue;
        }
        // then it is told what can be reached over what it may see, and nothing else
        let start =
            |exam: &Pushed| match (question["examNo"].as_str(), question["idNumber"].as_str()) {
                (Some(exam_no), _) => exam.exam_no == exam_no,
                (_, Some(number)) => exam.numbers.iter().any(|it| it == number),
                _ => exam.hospital == target.hospital && exam.sick_id == target.sick_id,
            };
        let expected = reached(&seen, start);
        let found = numbers(&answer.json);
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert!(
            found.is_subset(&expected),
            "{question} {found:?} {expected:?}"
        );
        if answer.result()["complete"] == true {
            assert_eq!(found, expected, "{question}");
            wholes += 1;
        }
        assert_eq!(answer.result()["notJoined"], json!([]));
        for key in answer.result()["keys"].as_array().unwrap() {
            let place = key.get("hospitalCode").and_then(Value::as_str);
            let is_known = place.is_none_or(|place| rights[who].contains(&place));
            assert!(is_known && key["state"] == "used", "{question} {key}");
        }
    }
    assert!(wholes > 100, "{wholes}");
    assert!(!desk.audited().contains("35010019800101"));
}
