//! Query, detail, history, reconcile, withdraw, validate.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade, ReuseRuling};
use yingku_core::event::Event;
use yingku_core::ids::{ExamKey, ExamNo, Position};
use yingku_core::outcome::Outcome;
use yingku_core::registry::{HospitalMode, RegistryChange, Scope};
use yingku_storage::archive::Submission;

use crate::house::{House, SAMPLE, code, hospital, push_with};

const PUSH: &str = "/v1/exam/push";
const QUERY: &str = "/v1/exam/query";

struct Both {
    house: House,
    pacs: String,
    reader: String,
}

async fn house() -> Both {
    let house = House::open().await;
    let (pacs, reader) = (
        house.token("demo-pacs").await,
        house.token("demo-reader").await,
    );
    Both {
        house,
        pacs,
        reader,
    }
}

impl Both {
    async fn push(&self, body: String) {
        let response = self.house.post(PUSH, &self.pacs, body).await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    /// Another exam of the sample's patient.
    async fn push_number(&self, number: u32) {
        self.push(push_with(&[
            ("/examNo", json!(format!("N{number}"))),
            ("/imageList/0/studyUID", json!(format!("1.2.3.{number}"))),
        ]))
        .await;
    }

    /// An operator's correction; its number.
    async fn correct(&self, action: CorrectionAction) -> Position {
        let (reason, author) = ("示例".to_owned(), "tester".to_owned());
        let made = CorrectionMade {
            action,
            reason,
            author,
        };
        let decided = self.house.archive.submit(Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event: Event::CorrectionMade(made),
        });
        let decided = decided.await.unwrap();
        assert_eq!(decided.outcome, Outcome::Done);
        decided.position
    }

    async fn read(&self, path: &str, body: Value) -> crate::house::Response {
        self.house.post(path, &self.reader, body.to_string()).await
    }
}

fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

fn sample_key() -> Value {
    json!({"hospitalCode": sample()["hospitalCode"], "examNo": sample()["examNo"]})
}

#[tokio::test]
async fn an_exam_is_found_by_each_of_its_numbers() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let sample = sample();
    let date = &sample["examInfo"]["examTime"].as_str().unwrap()[..10];
    for filter in [
        json!({"examNo": sample["examNo"]}),
        json!({"applyNo": sample["examInfo"]["applyNo"]}),
        json!({"patientNo": sample["patientInfo"]["sickId"]}),
        json!({"patientNo": sample["examInfo"]["patientID"]}),
        json!({"studyUID": sample["imageList"][0]["studyUID"]}),
        json!({"from": date, "to": date}),
        json!({"examClass": sample["examInfo"]["examClass"], "hospitalCode": sample["hospitalCode"]}),
        json!({"examStatus": sample["examInfo"]["examStatus"]}),
        json!({"hospitalCode": sample["hospitalCode"]}),
    ] {
        let found = both.read(QUERY, filter.clone()).await;
        assert_eq!(
            found.result().as_array().unwrap().len(),
            1,
            "{filter} {}",
            found.json
        );
        assert_eq!(found.result()[0]["imageState"], "missing");
        assert_eq!(found.result()[0]["name"], sample["patientInfo"]["name"]);
    }
    for filter in [
        json!({"examNo": "other"}),
        json!({"examStatus": "50"}),
        json!({"to": "2000-01-01"}),
    ] {
        let found = both.read(QUERY, filter).await;
        assert_eq!(found.json["page"]["total"], 0);
    }
    let without = both.read(QUERY, json!({})).await;
    assert_eq!(without.status(), 1);
}

#[tokio::test]
async fn pages_neither_miss_nor_repeat_while_pushes_come_in() {
    let both = house().await;
    for number in 0..12 {
        both.push_number(number).await;
    }
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    let mut number = 100;
    loop {
        let mut question = json!({"from": "2000-01-01", "pageSize": 5});
        if let Some(token) = &token {
            question["pageToken"] = json!(token);
        }
        let page = both.read(QUERY, question).await;
        assert_eq!(page.status(), 0, "{}", page.json);
        assert_eq!(page.json["page"]["total"], 12);
        for row in page.result().as_array().unwrap() {
            seen.push(row["examNo"].as_str().unwrap().to_owned());
        }
        // Between pages a new exam comes and an old one changes.
        both.push_number(number).await;
        number += 1;
        both.push(push_with(&[
            ("/examNo", json!("N3")),
            ("/imageList/0/studyUID", json!("1.2.3.3")),
            ("/patientInfo/name", json!(format!("改{number}"))),
        ]))
        .await;
        token = page.json["page"]["nextPageToken"]
            .as_str()
            .map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (12, 12), "{seen:?}");
    let other = json!({"from": "2001-01-01", "pageSize": 5, "pageToken": "AAAA"});
    assert_eq!(both.read(QUERY, other).await.status(), 1);
}

#[tokio::test]
async fn nothing_is_found_or_read_outside_the_scope() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let narrow = yingku_core::registry::App {
        rights: [yingku_core::registry::Right::Read].into(),
        org: code("350007"),
        ..both.house.app("narrow", Scope::of([&code("350007")]))
    };
    both.house
        .change(vec![RegistryChange::PutApp(narrow)])
        .await;
    let sign = crate::house::sign("narrow,350007,demo-license");
    let token = both.house.get_token(&sign).await.result()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let uid = json!({"studyUID": sample()["imageList"][0]["studyUID"]});
    let found = both.house.post(QUERY, &token, uid.to_string()).await;
    assert_eq!(found.json["page"]["total"], 0);
    let detail = both
        .house
        .post("/v1/exam/detail", &token, uid.to_string())
        .await;
    assert_eq!(detail.status(), 1);
    let direct = both
        .house
        .post("/v1/exam/detail", &token, sample_key().to_string())
        .await;
    assert_eq!(direct.status(), 999);
}

#[tokio::test]
async fn images_that_are_at_the_hospital_are_a_link_that_nobody_verified() {
    // Given exams whose images open at the hospital, one by an address that no browser should follow
    let both = house().await;
    let patient_id = sample()["examInfo"]["patientID"].clone();
    for (exam_no, study, url) in [
        ("LINK1", "1.2.4.1", "https://pacs.example/open?study=1"),
        ("LINK2", "1.2.4.2", "javascript:alert(1)"),
    ] {
        both.push(push_with(&[
            ("/examNo", json!(exam_no)),
            (
                "/imageList",
                json!([{ "imageType": "DICOM", "patientID": patient_id, "studyUID": study, "imageUrl": url }]),
            ),
        ]))
        .await;
    }
    // When they are read
    let detail = async |exam_no: &str| {
        let asked = json!({ "hospitalCode": "350006", "examNo": exam_no }).to_string();
        let answer = both
            .house
            .post("/v1/exam/detail", &both.reader, asked)
            .await;
        answer.json["result"].clone()
    };
    // Then the way to the images stands beside what is not verified
    let linked = detail("LINK1").await;
    assert_eq!(linked["imageState"], "linked");
    assert_eq!(
        linked["links"][0]["imageUrl"],
        "https://pacs.example/open?study=1"
    );
    assert!(
        linked["links"][0]["note"]
            .as_str()
            .unwrap()
            .contains("未核实")
    );
    let odd = detail("LINK2").await;
    assert_eq!(
        (&odd["imageState"], odd.get("links")),
        (&json!("linked"), None)
    );
    assert_eq!(
        odd["content"]["imageList"][0]["imageUrl"],
        "javascript:alert(1)"
    );
}

#[tokio::test]
async fn detail_shows_the_current_content_and_no_report_that_was_taken_back() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let detail = both.read("/v1/exam/detail", sample_key()).await;
    assert_eq!(detail.status(), 0, "{}", detail.json);
    let content = &detail.result()["content"];
    assert_eq!(
        content["patientInfo"]["name"],
        sample()["patientInfo"]["name"]
    );
    assert!(content["reportList"].is_array());
    both.push(push_with(&[("/examInfo/examStatus", json!("65"))]))
        .await;
    let returned = both.read("/v1/exam/detail", sample_key()).await;
    assert_eq!(returned.result()["reportStateName"], "已撤回");
    assert!(returned.result()["content"].get("reportList").is_none());
    let none = both
        .read(
            "/v1/exam/detail",
            json!({"hospitalCode": "350006", "examNo": "none"}),
        )
        .await;
    assert_eq!(none.status(), 1);
    let read = both
        .house
        .archive
        .audit_log()
        .read(Position(0), 10, 1 << 20)
        .unwrap();
    assert!(read.iter().any(|record| {
        let text = String::from_utf8_lossy(&record.bytes).into_owned();
        text.contains("app:demo-reader") && text.contains("\"detail\"")
    }));
}

#[tokio::test]
async fn history_names_what_changed_and_answers_for_a_past_moment() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let first = both.house.archive.log().end().unwrap();
    let first_ms = both
        .house
        .archive
        .log()
        .get(Position(first.0 - 1))
        .unwrap()
        .unwrap()
        .time_ms;
    // Log times tell the versions apart once the clock has moved on.
    while jiff::Timestamp::now().as_millisecond() <= first_ms {
        tokio::task::yield_now().await;
    }
    both.push(push_with(&[("/patientInfo/name", json!("改名"))]))
        .await;
    let history = both.read("/v1/exam/history", sample_key()).await;
    let versions = history.result()["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{}", history.json);
    assert_eq!(
        versions[1]["changes"],
        json!([{"path": "patientInfo.name", "kind": "changed"}])
    );
    let mut past = sample_key();
    past["asOf"] = json!(
        jiff::Timestamp::from_millisecond(first_ms)
            .unwrap()
            .to_string()
    );
    // What answers of now only says so
    for path in ["/v1/exam/detail", "/v1/exam/query"] {
        let refused = both.read(path, past.clone()).await;
        assert!(
            refused.message().contains("exam/history"),
            "{}",
            refused.json
        );
    }
    let past = both.read("/v1/exam/history", past).await;
    assert_eq!(past.result()["versions"].as_array().unwrap().len(), 1);
    assert_eq!(
        past.result()["state"]["name"],
        sample()["patientInfo"]["name"]
    );
}

/// A moment after everything so far, once the clock has moved on from it.
async fn moment() -> Value {
    let now = jiff::Timestamp::now();
    while jiff::Timestamp::now().as_millisecond() <= now.as_millisecond() {
        tokio::task::yield_now().await;
    }
    json!(now.to_string())
}

/// The sample's number used for another person, as a new generation of numbers.
async fn reuse_the_number(both: &Both) {
    let reused = push_with(&[
        ("/patientInfo/sickId", json!("OTHER")),
        ("/patientInfo/name", json!("李四")),
        ("/imageList/0/studyUID", json!("1.2.99")),
        ("/examInfo/applyNo", json!("OTHER")),
    ]);
    let refused = both.house.post(PUSH, &both.pacs, reused).await;
    assert_eq!(refused.status(), 1, "{}", refused.json);
    let refused = Position(both.house.archive.log().end().unwrap().0 - 1);
    let ruling = ReuseRuling::NewGeneration;
    both.correct(CorrectionAction::RuleReuse { refused, ruling })
        .await;
}

#[tokio::test]
async fn a_history_is_hidden_by_its_own_generations_withdrawal_and_by_no_others() {
    // Given a number of two generations
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let first_only = moment().await;
    reuse_the_number(&both).await;
    let before = moment().await;
    let history = |generation: u16, as_of: Option<&Value>| {
        let mut question = sample_key();
        question["generation"] = json!(generation);
        if let Some(as_of) = as_of {
            question["asOf"] = as_of.clone();
        }
        both.read("/v1/exam/history", question)
    };
    let names = |answer: &crate::house::Response| answer.result()["state"].get("name").is_some();
    for withdrawn in [0, 1] {
        // When one of them is withdrawn
        let exam = ExamKey {
            hospital: code(sample()["hospitalCode"].as_str().unwrap()),
            exam_no: ExamNo::new(sample()["examNo"].as_str().unwrap()).unwrap(),
            generation: withdrawn,
        };
        let withdrawal = both.correct(CorrectionAction::WithdrawExam { exam }).await;
        // Then it is hidden as of any moment, and the other one is not
        for as_of in [None, Some(&before)] {
            let (this, other) = (
                history(withdrawn, as_of).await,
                history(1 - withdrawn, as_of).await,
            );
            assert_eq!(this.status(), 0, "{}", this.json);
            assert!(
                !names(&this) && names(&other),
                "{} {}",
                this.json,
                other.json
            );
        }
        let correction = withdrawal;
        both.correct(CorrectionAction::Undo { correction }).await;
    }
    // And before the second there was the first, also for who names none
    let mut past = sample_key();
    past["asOf"] = first_only;
    let past = both.read("/v1/exam/history", past).await;
    let name = &past.result()["state"]["name"];
    assert_eq!(name, &sample()["patientInfo"]["name"], "{}", past.json);
    let now = both.read("/v1/exam/history", sample_key()).await;
    assert_eq!(now.result()["state"]["name"], "李四");
}

#[tokio::test]
async fn a_study_that_exams_share_is_narrowed_by_what_else_is_named() {
    // Given one study UID of two hospitals' patients
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    both.push(push_with(&[
        ("/hospitalCode", json!("350007")),
        ("/examNo", json!("N7")),
        ("/patientInfo/sickId", json!("OTHER")),
        ("/patientInfo/name", json!("李四")),
    ]))
    .await;
    let uid = sample()["imageList"][0]["studyUID"].clone();
    let detail = |more: Value| {
        let mut question = json!({ "studyUID": uid });
        question
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        both.read("/v1/exam/detail", question)
    };
    let all = detail(json!({})).await;
    assert_eq!(all.result().as_array().unwrap().len(), 2);
    // When hospital or number is named too, then nothing else is answered
    for more in [json!({"hospitalCode": "350007"}), json!({"examNo": "N7"})] {
        let found = detail(more).await;
        let found = found.result().as_array().unwrap();
        assert_eq!((found.len(), &found[0]["name"]), (1, &json!("李四")));
    }
    for more in [
        json!({"hospitalCode": "350008"}),
        json!({"hospitalCode": "350007", "examNo": "N8"}),
        json!({"examNo": "N7", "generation": 1}),
    ] {
        let none = detail(more).await;
        assert_eq!(none.status(), 1);
        assert_eq!(none.result()[0]["rule"], "not-found");
    }
}

#[tokio::test]
async fn a_withdrawn_exam_is_hidden_at_once_and_its_history_kept() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let path = "/v1/exam/withdraw";
    let bare = both
        .house
        .post(path, &both.pacs, sample_key().to_string())
        .await;
    let missing: Vec<&str> = bare
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["path"].as_str().unwrap())
        .collect();
    assert_eq!(missing, ["reason", "author"]);
    let mut body = sample_key();
    body["reason"] = json!("登记错误");
    body["author"] = json!("张医生");
    let done = both.house.post(path, &both.pacs, body.to_string()).await;
    assert_eq!(done.status(), 0, "{}", done.json);
    assert_eq!(
        both.house
            .post(path, &both.pacs, body.to_string())
            .await
            .status(),
        1
    );
    let name = sample()["patientInfo"]["name"].as_str().unwrap().to_owned();
    let detail = both.read("/v1/exam/detail", sample_key()).await;
    assert_eq!(detail.status(), 1);
    assert!(!detail.json.to_string().contains(&name));
    let mut question = json!({"examNo": sample()["examNo"]});
    assert_eq!(
        both.read(QUERY, question.clone()).await.json["page"]["total"],
        0
    );
    question["includeWithdrawn"] = json!(true);
    let with = both.read(QUERY, question).await;
    assert_eq!(with.result()[0]["withdrawn"], "app");
    assert!(!with.json.to_string().contains(&name));
    let history = both.read("/v1/exam/history", sample_key()).await;
    let last = history.result()["versions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        (&last["step"], &last["correction"]["author"]),
        (&json!("withdrawn"), &json!("张医生"))
    );
    assert!(!history.json.to_string().contains(&name));
}

#[tokio::test]
async fn new_content_ends_the_apps_withdrawal_and_the_same_again_does_not() {
    // Given an exam that its app has withdrawn
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let mut body = sample_key();
    body["reason"] = json!("登记错误");
    body["author"] = json!("张医生");
    let withdrawn = both
        .house
        .post("/v1/exam/withdraw", &both.pacs, body.to_string());
    let withdrawal = withdrawn.await.result()["correction"].clone();
    // When the same is pushed again, then it stays hidden, and the answer says what would show it
    let same = both.house.post("/v1/exam/push", &both.pacs, SAMPLE).await;
    assert_eq!(same.result()["hidden"], true);
    assert!(
        same.message().contains("推送新内容或撤销撤回后恢复"),
        "{}",
        same.message()
    );
    // When new content comes, then it is shown, the answer says so, and so does the history
    let changed = push_with(&[("/patientInfo/age", json!("47岁"))]);
    let changed = both.house.post("/v1/exam/push", &both.pacs, changed).await;
    assert_eq!(changed.result()["hidden"], false);
    assert_eq!(changed.result()["lifted"], withdrawal);
    assert!(
        changed.message().contains("随新内容解除"),
        "{}",
        changed.message()
    );
    let history = both.read("/v1/exam/history", sample_key()).await;
    let versions = history.result()["versions"].as_array().unwrap();
    let steps: Vec<&Value> = versions.iter().map(|line| &line["step"]).collect();
    assert_eq!(steps, ["registered", "withdrawn", "restored"]);
    assert!(versions[1]["correction"]["lifted"].is_u64());
}

#[tokio::test]
async fn validate_names_everything_and_records_nothing() {
    let both = house().await;
    let end = both.house.archive.log().end().unwrap();
    let path = "/v1/exam/validate";
    let good = both.house.post(path, &both.pacs, SAMPLE).await;
    assert_eq!(
        (good.status(), &good.result()["valid"]),
        (0, &json!(true)),
        "{}",
        good.json
    );
    assert!(
        good.result()["would"]
            .as_str()
            .unwrap()
            .contains("registered")
    );
    let wrong = push_with(&[("/examInfo/examStatus", json!("99"))]);
    let wrong = both.house.post(path, &both.pacs, wrong).await;
    assert_eq!(
        (wrong.status(), &wrong.result()["valid"]),
        (1, &json!(false))
    );
    assert_eq!(wrong.result()["faults"][0]["path"], "examInfo.examStatus");
    both.house
        .change(vec![RegistryChange::PutHospital(hospital(
            "350006",
            HospitalMode::Suspended,
        ))])
        .await;
    let suspended = both.house.post(path, &both.pacs, SAMPLE).await;
    assert_eq!(
        suspended.result()["faults"][0]["rule"],
        "hospital-suspended"
    );
    // One record more: the change of the registry.
    assert_eq!(both.house.archive.log().end().unwrap(), end.next());
}

#[tokio::test]
async fn a_hospital_that_may_not_send_is_named_with_all_else_that_is_wrong() {
    let both = house().await;
    let suspended = hospital("350007", HospitalMode::Suspended);
    let wide = both.house.app("wide", Scope::all());
    both.house
        .change(vec![
            RegistryChange::PutHospital(suspended),
            RegistryChange::PutApp(wide),
        ])
        .await;
    let wide = both.house.token("wide").await;
    let wrong = |hospital| {
        push_with(&[
            ("/hospitalCode", json!(hospital)),
            ("/examInfo/examStatus", json!("99")),
        ])
    };
    let rules = |faults: &Value| {
        let lines = faults.as_array().unwrap().iter();
        let lines = lines.map(|line| (line["path"].clone(), line["rule"].clone()));
        lines.collect::<Vec<_>>()
    };
    let is = |rule| {
        [
            (json!("hospitalCode"), json!(rule)),
            (json!("examInfo.examStatus"), json!("code")),
        ]
    };
    // Of one that is unknown or suspended, pushed or validated
    for (code, rule) in [
        ("999999", "hospital-unknown"),
        ("350007", "hospital-suspended"),
    ] {
        let pushed = both.house.post(PUSH, &wide, wrong(code)).await;
        assert_eq!(
            (pushed.status(), rules(pushed.result())),
            (1, is(rule).into())
        );
        let validated = both
            .house
            .post("/v1/exam/validate", &wide, wrong(code))
            .await;
        assert_eq!(validated.status(), 1);
        assert_eq!(rules(&validated.result()["faults"]), is(rule));
    }
    // Of one that is not the app's the app is told that it has no right, and the rest in a dry run
    let pushed = both.house.post(PUSH, &both.pacs, wrong("350008")).await;
    assert_eq!(pushed.status(), 999);
    assert_eq!(rules(pushed.result()), is("hospital-forbidden")[..1]);
    let validate = "/v1/exam/validate";
    let validated = both.house.post(validate, &both.pacs, wrong("350008")).await;
    assert_eq!(
        (validated.status(), &validated.result()["valid"]),
        (999, &json!(false))
    );
    assert!(validated.message().contains("无权限"));
    assert_eq!(
        rules(&validated.result()["faults"]),
        is("hospital-forbidden")
    );
    assert!(validated.result().get("hospitalMode").is_none());
    // And in a declaration all of them at once
    let row = |hospital| json!({"hospitalCode": hospital, "examDate": "2026-07-04", "examClass": "CT", "accordCount": 3});
    for path in ["/v1/exam/uploadStatistics", "/v1/exam/uploadDetail"] {
        let mut rows = json!([row("999999"), row("350006"), row("999998"), row("350007")]);
        for (index, row) in rows.as_array_mut().unwrap().iter_mut().enumerate() {
            row["examNo"] = json!(format!("E{index}"));
        }
        let refused = both.house.post(path, &wide, rows.to_string()).await;
        assert_eq!(refused.status(), 1, "{}", refused.json);
        let named: Vec<Value> = rules(refused.result())
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(
            named,
            ["[0].hospitalCode", "[2].hospitalCode", "[3].hospitalCode"]
        );
        // Only suspended, it is the right that is missing
        let only = json!([rows[3]]);
        let refused = both.house.post(path, &wide, only.to_string()).await;
        assert_eq!(refused.status(), 999, "{}", refused.json);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_listed_and_gives_no_number() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let path = "/v1/exam/validate";
    // Given a push of another person with another study under the same number
    let reuse = push_with(&[
        ("/patientInfo/sickId", json!("OTHER")),
        ("/patientInfo/name", json!("李四")),
        ("/imageList/0/studyUID", json!("1.2.99")),
    ]);
    // When it is validated
    let answer = both.house.post(path, &both.pacs, reuse).await;
    // Then it would be refused and listed, and is not listed under any number
    assert_eq!(answer.result()["faults"][0]["rule"], "number-reuse");
    let said = answer.message();
    assert!(said.contains("推送时将被拒绝"), "{said}");
    assert!(
        !said.contains("已登记") && !said.contains("登记号"),
        "{said}"
    );
    // And one that claims another patient's study would be listed
    let uid = sample()["imageList"][0]["studyUID"].clone();
    let conflict = push_with(&[
        ("/examNo", json!("E-OTHER")),
        ("/patientInfo/sickId", json!("OTHER")),
        ("/imageList/0/studyUID", uid),
    ]);
    let answer = both.house.post(path, &both.pacs, conflict).await;
    let would = answer.result()["would"].as_str().unwrap();
    assert!(would.contains("并列入冲突清单"), "{would}");
    assert!(
        !would.contains("已列入") && !would.contains("已归档"),
        "{would}"
    );
}

#[tokio::test]
async fn times_of_a_reconciliation_are_written_as_the_contract_says() {
    let both = house().await;
    let row = json!([{"hospitalCode": "350006", "examDate": "2026-07-04", "examClass": "CT", "accordCount": 3}]);
    let declare = "/v1/exam/uploadStatistics";
    let declared = both.house.post(declare, &both.pacs, row.to_string()).await;
    assert_eq!(declared.status(), 0);
    let question = json!({"from": "2026-07-04", "to": "2026-07-04", "asOf": "2199-07-05 08:00:00"});
    let answer = both.read("/v1/statistics/reconcile", question).await;
    assert_eq!(answer.result()["asOfTime"], "2199-07-05 08:00:00");
    let declared = answer.result()["cells"][0]["declaredTime"]
        .as_str()
        .unwrap();
    assert!(yingku_core::time::LocalDateTime::parse(declared).is_ok());
    assert_eq!(declared.len(), 19);
    assert!(!answer.json.to_string().contains("Ms\""), "{}", answer.json);
}

#[tokio::test]
async fn what_was_declared_and_pushed_is_reconciled() {
    let both = house().await;
    both.push(SAMPLE.to_owned()).await;
    let sample = sample();
    let date = sample["examInfo"]["examTime"].as_str().unwrap()[..10].to_owned();
    let row = json!([{"hospitalCode": sample["hospitalCode"], "examDate": date, "examClass": sample["examInfo"]["examClass"], "accordCount": 3}]);
    let declared = both
        .house
        .post("/v1/exam/uploadStatistics", &both.pacs, row.to_string())
        .await;
    assert_eq!(declared.status(), 0);
    let question = json!({"from": date, "to": date});
    let answer = both.read("/v1/statistics/reconcile", question).await;
    assert_eq!(answer.status(), 0, "{}", answer.json);
    let totals = &answer.result()["totals"];
    assert_eq!(
        (&totals["declared"], &totals["registered"]),
        (&json!(3), &json!(1))
    );
    let backwards = both
        .read(
            "/v1/statistics/reconcile",
            json!({"from": "2026-07-04", "to": "2026-07-01"}),
        )
        .await;
    assert_eq!(backwards.status(), 1);
}
