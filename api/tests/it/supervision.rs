//! Supervision: what it counts, held against a plain count of what was pushed; files; who may ask.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use yingku_core::registry::{App, RegistryChange, Right, Scope};

use crate::house::{House, code, push_with};

const PUSH: &str = "/v1/exam/push";
const RANGE: (&str, &str) = ("2026-07-01", "2026-07-31");

/// Valid numbers of documents.
const PERSONS: [&str; 4] = [
    "350100198001011003",
    "350100198001021017",
    "350100198001031020",
    "350100198001041034",
];

struct Office {
    house: House,
    pacs: String,
    office: String,
    pushed: Vec<Value>,
}

impl Office {
    async fn open() -> Self {
        let house = House::open().await;
        let of = |id: &str, hospitals: Scope| App {
            rights: BTreeSet::from([Right::Supervise]),
            ..house.app(id, hospitals)
        };
        let (office, narrow) = (
            of("office", Scope::all()),
            of("narrow", Scope::of([&code("350006")])),
        );
        let changes = vec![
            RegistryChange::PutApp(office),
            RegistryChange::PutApp(narrow),
        ];
        house.change(changes).await;
        let (pacs, office) = (house.token("demo-pacs").await, house.token("office").await);
        Self {
            house,
            pacs,
            office,
            pushed: Vec::new(),
        }
    }

    async fn push(&mut self, fields: &[(&str, Value)]) {
        let body = push_with(fields);
        self.pushed.push(serde_json::from_str(&body).unwrap());
        let response = self.house.post(PUSH, &self.pacs, body).await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    /// Sixty exams of two hospitals, no two alike.
    async fn push_sixty(&mut self) {
        for number in 0..60u32 {
            let pick = |among: &[&str], by: u32| json!(among[(number / by) as usize % among.len()]);
            let day = 1 + number % 9;
            let exam_time = format!("2026-07-{day:02} {:02}:15:00", number % 24);
            let affirmed = format!(
                "2026-07-{:02} {:02}:{:02}:00",
                day + 1,
                number % 24,
                number % 50
            );
            self.push(&[
                ("/examNo", json!(format!("E{number}"))),
                ("/hospitalCode", pick(&["350006", "350007"], 1)),
                ("/patientInfo/sickId", json!(format!("S{number}"))),
                ("/patientInfo/miCard", Value::Null),
                ("/patientInfo/birthDate", Value::Null),
                ("/patientInfo/identity/0/idNumber", pick(&PERSONS, 5)),
                ("/examInfo/applyNo", json!(format!("F{number}"))),
                ("/examInfo/patientID", json!(format!("P{number}"))),
                ("/imageList/0/patientID", json!(format!("P{number}"))),
                ("/imageList/0/studyUID", json!(format!("1.2.3.{number}"))),
                ("/examInfo/examTime", json!(exam_time)),
                ("/examInfo/reqTime", Value::Null),
                ("/examInfo/examClass", pick(&["CT", "MR", "CT"], 2)),
                ("/examInfo/examStatus", pick(&["70", "70", "70", "60"], 3)),
                ("/examInfo/device", pick(&["甲", "=乙", "丙,丁"], 4)),
                (
                    "/examInfo/examOrganList/0/organName",
                    pick(&["胸部", "腹部"], 7),
                ),
                (
                    "/reportList/0/abNormalFlag",
                    pick(&["0", "1", "1", "0", "0"], 1),
                ),
                ("/reportList/0/affirmTime", json!(affirmed)),
                ("/reportList/0/reportTime", json!(exam_time)),
            ])
            .await;
        }
    }

    async fn ask(&self, what: &str, mut question: Value) -> Value {
        question["from"] = RANGE.0.into();
        question["to"] = RANGE.1.into();
        let path = format!("/v1/statistics/{what}");
        let answer = self
            .house
            .post(&path, &self.office, question.to_string())
            .await;
        assert_eq!(
            (answer.http, answer.status()),
            (StatusCode::OK, 0),
            "{}",
            answer.json
        );
        answer.result().clone()
    }

    /// Content type, name and bytes of a file.
    async fn file(&self, what: &str, question: Value) -> (String, String, Vec<u8>) {
        let request = Request::post(format!("/v1/statistics/{what}"))
            .header("token", &self.office)
            .body(Body::from(question.to_string()))
            .unwrap();
        let response = self.house.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let text = |name| response.headers()[name].to_str().unwrap().to_owned();
        let (kind, name) = (
            text(header::CONTENT_TYPE),
            text(header::CONTENT_DISPOSITION),
        );
        let chunks: Vec<_> = response
            .into_body()
            .into_data_stream()
            .try_collect()
            .await
            .unwrap();
        (kind, name, chunks.concat())
    }
}

fn text<'v>(push: &'v Value, pointer: &str) -> &'v str {
    push.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Minutes since the first of the month.
fn minutes(time: &str) -> i64 {
    let number = |at: std::ops::Range<usize>| time[at].parse::<i64>().unwrap();
    (number(8..10) * 24 + number(11..13)) * 60 + number(14..16)
}

/// A line for each group: the values of some columns.
fn lines(answer: &Value, columns: &[&str]) -> Vec<Vec<Value>> {
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| columns.iter().map(|column| row[*column].clone()).collect())
        .collect()
}

#[tokio::test]
async fn every_count_is_what_a_plain_count_of_the_pushes_gives() {
    let mut office = Office::open().await;
    office.push_sixty().await;
    // Completeness by hospital and class
    let answer = office
        .ask("completeness", json!({"by": "hospital,class"}))
        .await;
    let mut counted: BTreeMap<(String, String), (u32, u32)> = BTreeMap::new();
    for push in &office.pushed {
        let key = (
            text(push, "/hospitalCode").to_owned(),
            text(push, "/examInfo/examClass").to_owned(),
        );
        let line = counted.entry(key).or_default();
        line.0 += 1;
        line.1 += u32::from(text(push, "/examInfo/examStatus") == "70");
    }
    let expected: Vec<Vec<Value>> = counted
        .iter()
        .map(|((hospital, class), (all, final_))| {
            vec![
                json!(hospital),
                json!(class),
                json!(all),
                json!(final_),
                json!(all),
            ]
        })
        .collect();
    let columns = [
        "hospitalCode",
        "examClass",
        "registered",
        "confirmed",
        "imagesMissing",
    ];
    assert_eq!(lines(&answer, &columns), expected);
    assert_eq!(answer["totals"]["registered"], 60);
    // Positive rates by device
    let answer = office.ask("positive", json!({"by": "device"})).await;
    let mut counted: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let reported = || {
        office
            .pushed
            .iter()
            .filter(|push| text(push, "/examInfo/examStatus") == "70")
    };
    for push in reported() {
        let line = counted.entry(text(push, "/examInfo/device")).or_default();
        match text(push, "/reportList/0/abNormalFlag") {
            "1" => line.0 += 1,
            _ => line.1 += 1,
        }
    }
    let expected: Vec<Vec<Value>> = counted
        .iter()
        .map(|(device, (yes, no))| {
            let rate = (f64::from(*yes) * 1000.0 / f64::from(yes + no)).round() / 10.0;
            vec![json!(device), json!(yes), json!(no), json!(rate)]
        })
        .collect();
    assert_eq!(
        lines(&answer, &["device", "positive", "negative", "rate"]),
        expected
    );
    // Load of devices by hour: 22 o'clock and 23 in the evening
    let answer = office.ask("load", json!({"of": "device"})).await;
    for row in answer["rows"].as_array().unwrap() {
        let own = office
            .pushed
            .iter()
            .filter(|push| row["device"] == text(push, "/examInfo/device"));
        let hours: Vec<i64> = own
            .map(|push| minutes(text(push, "/examInfo/examTime")) / 60 % 24)
            .collect();
        assert_eq!(row["count"], hours.len());
        let evening = hours.iter().filter(|hour| **hour >= 18).count();
        assert_eq!(row["evening"], evening);
    }
    // From the exam until it was affirmed
    let answer = office
        .ask("timeliness", json!({"examToAffirmedWithin": 1445}))
        .await;
    let mut took: Vec<i64> = reported()
        .map(|push| {
            minutes(text(push, "/reportList/0/affirmTime"))
                - minutes(text(push, "/examInfo/examTime"))
        })
        .collect();
    took.sort_unstable();
    let total = &answer["totals"];
    assert_eq!(total["exams"], 60);
    assert_eq!(total["examToAffirmedCount"], took.len());
    assert_eq!(total["examToAffirmedP50"], took[took.len().div_ceil(2) - 1]);
    assert_eq!(total["examToAffirmedMax"], took[took.len() - 1]);
    assert_eq!(
        total["examToAffirmedWithinCount"],
        took.iter().filter(|it| **it <= 1445).count()
    );
    assert_eq!(
        (&total["pushToImagesCount"], &total["applyToExamCount"]),
        (&json!(0), &json!(0))
    );
    // Repeats, by looking at every pair
    let answer = office.ask("repeat", json!({"within": 3})).await;
    let same = |a: &Value, b: &Value, pointer| text(a, pointer) == text(b, pointer);
    let at = |push: &Value| minutes(text(push, "/examInfo/examTime"));
    let is_repeat = |later: &&Value| {
        office.pushed.iter().any(|earlier| {
            !same(earlier, later, "/hospitalCode")
                && same(earlier, later, "/examInfo/examClass")
                && same(earlier, later, "/examInfo/examOrganList/0/organName")
                && same(earlier, later, "/patientInfo/identity/0/idNumber")
                && (at(earlier), text(earlier, "/hospitalCode"))
                    < (at(later), text(later, "/hospitalCode"))
                && at(later) / 1440 - at(earlier) / 1440 <= 3
        })
    };
    let repeats = office.pushed.iter().filter(is_repeat).count();
    assert!(repeats > 3);
    assert_eq!(
        (&answer["repeats"], &answer["exams"]),
        (&json!(repeats), &json!(60))
    );
    let known = PERSONS
        .iter()
        .any(|person| answer.to_string().contains(person));
    assert!(
        !known
            && answer["rows"][0]["examples"][0]
                .as_str()
                .unwrap()
                .contains('/')
    );
}

#[tokio::test]
async fn what_lacks_is_listed_page_by_page_once_its_time_is_over() {
    let mut office = Office::open().await;
    office.push_sixty().await;
    let waiting: BTreeSet<&str> = office
        .pushed
        .iter()
        .filter(|push| text(push, "/examInfo/examStatus") != "70")
        .map(|push| text(push, "/examNo"))
        .collect();
    let (mut seen, mut page_no) = (Vec::new(), 1);
    loop {
        let question = json!({"what": "noReport", "pageSize": 4, "pageNo": page_no});
        let answer = office.ask("missing", question).await;
        let rows = answer["rows"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["examNo"].as_str().unwrap().to_owned()),
        );
        page_no += 1;
        if rows.len() < 4 {
            break;
        }
    }
    assert_eq!(seen.len(), waiting.len());
    assert_eq!(
        seen.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        waiting
    );
    let answer = office.ask("missing", json!({"what": "noImages"})).await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 60);
    // The last exam is of the tenth: none of them lacks anything since a year
    let answer = office
        .ask("missing", json!({"what": "noImages", "afterHours": 8784}))
        .await;
    assert_eq!(answer["rows"], json!([]));
    let answer = office
        .ask("missing", json!({"what": "notRegistered"}))
        .await;
    assert_eq!(answer["rows"], json!([]));
}

#[tokio::test]
async fn files_have_every_line_and_compute_nothing() {
    let mut office = Office::open().await;
    office.push_sixty().await;
    let question =
        |format: &str| json!({"from": RANGE.0, "to": RANGE.1, "by": "device", "format": format});
    let (kind, name, bytes) = office.file("positive", question("csv")).await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(
        name,
        "attachment; filename=\"positive-2026-07-01-2026-07-31.csv\""
    );
    let csv = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = csv
        .strip_prefix('\u{feff}')
        .unwrap()
        .split("\r\n")
        .collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("设备,已确认报告,阳性"));
    assert!(
        lines[1].starts_with("'=乙,") && lines[2].starts_with("\"丙,丁\","),
        "{lines:?}"
    );
    assert!(lines[4].starts_with("合计,"));
    let (kind, _, bytes) = office.file("positive", question("xlsx")).await;
    assert!(kind.ends_with("spreadsheetml.sheet") && bytes.starts_with(b"PK"));
    for (what, more) in [
        ("completeness", json!({"by": "day,hospital"})),
        ("timeliness", json!({"by": "class"})),
        ("load", json!({"of": "affirmer"})),
        ("repeat", json!({})),
        ("missing", json!({"what": "noImages"})),
    ] {
        let mut asked = question("csv");
        asked.as_object_mut().unwrap().remove("by");
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (_, _, bytes) = office.file(what, asked).await;
        assert!(bytes.starts_with("\u{feff}".as_bytes()), "{what}");
    }
}

#[tokio::test]
async fn who_may_not_ask_and_what_cannot_be_asked_is_refused_plainly() {
    let mut office = Office::open().await;
    office.push_sixty().await;
    let ask = async |token: &str, what: &str, question: Value| {
        let path = format!("/v1/statistics/{what}");
        office.house.post(&path, token, question.to_string()).await
    };
    let days = json!({"from": "2026-07-01", "to": "2026-07-31"});
    // A reader has no right to it, and nobody has without a token
    let reader = office.house.token("demo-reader").await;
    assert_eq!(
        ask(&reader, "positive", days.clone()).await.http,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        ask("", "positive", days.clone()).await.http,
        StatusCode::UNAUTHORIZED
    );
    // An app sees its own hospitals only
    let narrow = office.house.token("narrow").await;
    let mut foreign = days.clone();
    foreign["hospitalCode"] = "350007".into();
    for what in ["completeness", "timeliness", "positive", "repeat"] {
        assert_eq!(
            ask(&narrow, what, foreign.clone()).await.http,
            StatusCode::FORBIDDEN
        );
    }
    let own = ask(
        &narrow,
        "completeness",
        json!({"from": "2026-07-01", "to": "2026-07-31", "by": "hospital"}),
    )
    .await;
    assert_eq!(
        lines(own.result(), &["hospitalCode", "registered"]),
        [[json!("350006"), json!(30)]]
    );
    let repeats = ask(&narrow, "repeat", days.clone()).await;
    assert_eq!(
        (&repeats.result()["exams"], &repeats.result()["repeats"]),
        (&json!(30), &json!(0))
    );
    // What cannot be asked
    for (what, field, value) in [
        ("positive", "by", json!("patient")),
        ("completeness", "by", json!("device")),
        ("positive", "format", json!("pdf")),
        ("positive", "to", json!("2027-08-01")),
        ("positive", "from", json!("2026-08-01")),
        ("positive", "asOf", json!("2026-07-04 00:00:00")),
        ("load", "of", json!("patient")),
        ("load", "by", json!("hospital")),
        ("repeat", "within", json!(91)),
        ("timeliness", "examToPushWithin", json!(-1)),
        ("missing", "what", json!("all")),
        ("missing", "by", json!("day")),
        ("missing", "afterHours", json!("many")),
    ] {
        let mut question = days.clone();
        question[field] = value;
        let answer = ask(&office.office, what, question).await;
        assert_eq!(
            answer.http,
            StatusCode::BAD_REQUEST,
            "{what} {field} {}",
            answer.json
        );
        assert_eq!(answer.status(), 1);
    }
    let unknown = json!({"from": "2026-07-01", "to": "2026-07-31", "hospitalCode": "999999"});
    assert_eq!(
        ask(&office.office, "positive", unknown).await.http,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn each_question_is_on_record_once_and_names_nobody() {
    let office = Office::open().await;
    let before = office.house.archive.audit_log().end().unwrap().0;
    office
        .ask("positive", json!({"hospitalCode": "350006"}))
        .await;
    let log = office.house.archive.audit_log();
    let records = log
        .read(yingku_core::ids::Position(before), 10, usize::MAX)
        .unwrap();
    assert_eq!(records.len(), 1);
    let record = String::from_utf8_lossy(&records[0].bytes).into_owned();
    for said in [
        "app:office",
        "statistics.positive",
        "350006",
        "2026-07-01/2026-07-31",
    ] {
        assert!(record.contains(said), "{record}");
    }
}
