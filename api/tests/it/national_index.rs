//! The national imaging index: query, resolve, list.

use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::event::{
    AnsweredIndex, Event, ExportedIndex, IndexAnswered, IndexExported, RULES_VERSION,
    RulesActivated,
};
use yingku_core::ids::{ExamKey, ExamNo};
use yingku_core::national_index::NationalIndex;
use yingku_core::outcome::Outcome;
use yingku_core::registry::{
    App, Hospital, HospitalMode, ImageUrl, RegistryChange, Right, Scope, Settings,
};
use yingku_storage::archive::Submission;

use crate::house::{House, Response, code, hospital, push_with};

const QUERY: &str = "/v1/index/query";
const RESOLVE: &str = "/v1/index/resolve";
const LIST: &str = "/v1/index/list";
const PERSON: &str = "10000000000000000708463177";
const UNIT: &str = "123502004266007916";

struct Indexed {
    house: House,
    pacs: String,
    citing: String,
}

/// Two hospitals with a credit code each but the second, whose is missing.
async fn indexed() -> Indexed {
    let house = House::open().await;
    let indexed = Indexed {
        pacs: house.token("demo-pacs").await,
        citing: String::new(),
        house,
    };
    let rules = RULES_VERSION;
    indexed
        .record(Event::RulesActivated(RulesActivated { rules }))
        .await;
    let settings = Settings {
        national_index: serde_json::from_value(json!({ "person_id_type": "88" })).unwrap(),
        image_url: Some(ImageUrl {
            pattern: "https://view.example/?study={studyUID}&expires={expires}&s={signature}"
                .to_owned(),
            valid_days: 1,
        }),
        ..Settings::default()
    };
    let coded = Hospital {
        credit_code: serde_json::from_value(UNIT.into()).unwrap(),
        ..hospital("350006", HospitalMode::Live)
    };
    let app = |id: &str, rights: &[Right]| App {
        rights: rights.iter().copied().collect(),
        ..indexed.house.app(id, Scope::all())
    };
    let narrow = App {
        org: code("350007"),
        hospitals: Scope::of([&code("350007")]),
        ..app("narrow", &[Right::Cite])
    };
    let away = App {
        org: code("350007"),
        ..app("away", &[Right::Cite])
    };
    let changes = vec![
        RegistryChange::PutSettings(settings),
        RegistryChange::PutHospital(coded),
        RegistryChange::PutApp(app("citing", &[Right::Cite, Right::Supervise])),
        RegistryChange::PutApp(narrow),
        RegistryChange::PutApp(away),
    ];
    indexed.house.change(changes).await;
    Indexed {
        citing: indexed.house.token("citing").await,
        ..indexed
    }
}

impl Indexed {
    async fn record(&self, event: Event) {
        let submission = Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event,
        };
        let decided = self.house.archive.submit(submission).await.unwrap();
        assert_eq!(decided.outcome, Outcome::Done);
    }

    async fn push(&self, hospital: &str, exam_no: &str, minute: u32, person: &str) {
        let body = push_with(&[
            ("/hospitalCode", json!(hospital)),
            ("/examNo", json!(exam_no)),
            (
                "/examInfo/examTime",
                json!(format!("2026-07-04 08:{minute}:00")),
            ),
            (
                "/imageList/0/studyUID",
                json!(format!("1.2.{hospital}.{minute}")),
            ),
            (
                "/patientInfo/identity",
                json!([{ "idType": "88", "idNumber": person }]),
            ),
        ]);
        let response = self.house.post("/v1/exam/push", &self.pacs, body).await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    async fn ask(&self, path: &str, body: Value) -> Response {
        self.house.post(path, &self.citing, body.to_string()).await
    }

    async fn other_token(&self, app: &str) -> String {
        let sign = crate::house::sign(&format!("{app},350007,demo-license"));
        let token = self.house.get_token(&sign).await;
        token.result()["token"].as_str().unwrap().to_owned()
    }

    async fn withdraw(&self, exam_no: &str) {
        self.record(Event::CorrectionMade(CorrectionMade {
            action: CorrectionAction::WithdrawExam { exam: key(exam_no) },
            reason: "示例".to_owned(),
            author: "tester".to_owned(),
        }))
        .await;
    }
}

fn key(exam_no: &str) -> ExamKey {
    ExamKey {
        hospital: code("350006"),
        exam_no: ExamNo::new(exam_no).unwrap(),
        generation: 0,
    }
}

fn index(minute: u32) -> String {
    format!("{PERSON}-2026070408{minute}-000000000-0000000000000-{UNIT}")
}

fn named(exam_no: &str) -> Value {
    json!({ "hospitalCode": "350006", "examNo": exam_no })
}

#[tokio::test]
async fn an_exam_tells_its_index_or_what_lacks() {
    let indexed = indexed().await;
    indexed.push("350006", "N1", 30, PERSON).await;
    indexed.push("350007", "N2", 31, "123").await;
    let found = indexed.ask(QUERY, named("N1")).await;
    let row = &found.result()[0];
    assert_eq!(
        (&row["index"], &row["state"]),
        (&json!(index(30)), &json!("formed"))
    );
    let by_study = indexed
        .ask(QUERY, json!({ "studyUID": "1.2.350006.30" }))
        .await;
    assert_eq!(by_study.result()[0]["index"], index(30));
    // Of another hospital a reason is asked for
    let other = json!({ "hospitalCode": "350007", "examNo": "N2" });
    let without = indexed.ask(QUERY, other.clone()).await;
    assert_eq!(without.http.as_u16(), 403, "{}", without.json);
    let mut with = other;
    with["reason"] = "consent".into();
    let found = indexed.ask(QUERY, with).await;
    let lacks = found.result()[0]["lacks"].as_array().unwrap();
    let parts: Vec<_> = lacks
        .iter()
        .map(|it| it["part"].as_str().unwrap())
        .collect();
    assert_eq!(parts, ["wrongPersonCode", "creditCode"]);
    assert!(found.result()[0].get("index").is_none());
    // Nothing is made up, and a push alone gives no right
    for body in [named("N9"), json!({ "studyUID": "1.2.9" })] {
        assert_eq!(indexed.ask(QUERY, body).await.http.as_u16(), 404);
    }
    let pacs = indexed.pacs.as_str();
    let refused = indexed
        .house
        .post(QUERY, pacs, named("N1").to_string())
        .await;
    assert_eq!(refused.http.as_u16(), 403);
}

#[tokio::test]
async fn an_index_leads_to_its_exam_and_its_address_and_what_became_of_it_is_said() {
    let indexed = indexed().await;
    indexed.push("350006", "N1", 30, PERSON).await;
    let ask = |minute: u32| indexed.ask(RESOLVE, json!({ "index": index(minute) }));
    let found = ask(30).await;
    let row = &found.result()[0];
    assert_eq!(
        (&row["examNo"], &row["holding"]),
        (&json!("N1"), &json!("inForce"))
    );
    assert_eq!(row["studyUIDs"], json!(["1.2.350006.30"]));
    let url = row["viewerUrl"].as_str().unwrap();
    assert!(
        url.starts_with("https://view.example/?study=1.2.350006.30&"),
        "{url}"
    );
    // Its time changes
    indexed.push("350006", "N1", 31, PERSON).await;
    let replaced = ask(30).await;
    let row = &replaced.result()[0];
    assert_eq!(
        (&row["holding"], &row["currentIndex"]),
        (&json!("replaced"), &json!(index(31)))
    );
    assert!(replaced.message().contains("已被替换"));
    // It is withdrawn
    indexed.withdraw("N1").await;
    let gone = ask(31).await;
    let row = &gone.result()[0];
    assert_eq!(
        (&row["holding"], &row["studyUIDs"]),
        (&json!("withdrawn"), &json!([]))
    );
    assert!(gone.message().contains("已撤回"));
    assert!(row.get("viewerUrl").is_none());
    let own = indexed.ask(QUERY, named("N1")).await;
    assert_eq!(own.result()[0]["state"], "withdrawn");
    // Unknown, and none
    assert_eq!(ask(45).await.http.as_u16(), 404);
    for wrong in ["", "1-2-3", &index(30).replace(UNIT, "123502004266007917")] {
        let refused = indexed.ask(RESOLVE, json!({ "index": wrong })).await;
        assert_eq!(refused.http.as_u16(), 400, "{}", refused.json);
        assert!(!refused.json.to_string().contains(PERSON));
    }
}

#[tokio::test]
async fn who_has_no_right_for_a_hospital_hears_of_no_index_of_it() {
    let indexed = indexed().await;
    indexed.push("350006", "N1", 30, PERSON).await;
    let narrow = indexed.other_token("narrow").await;
    let away = indexed.other_token("away").await;
    let asked = async |token: &str, reason: Option<&str>| {
        let body = json!({ "index": index(30), "reason": reason });
        let answer = indexed.house.post(RESOLVE, token, body.to_string()).await;
        answer.http.as_u16()
    };
    assert_eq!(asked(&narrow, None).await, 404);
    assert_eq!(asked(&narrow, Some("emergency")).await, 404);
    assert_eq!(asked(&away, None).await, 403);
    assert_eq!(asked(&away, Some("emergency")).await, 200);
}

#[tokio::test]
async fn supervision_counts_states_and_collisions_and_sees_no_index() {
    let indexed = indexed().await;
    for (exam_no, minute) in [("N1", 30), ("N2", 30), ("N3", 31), ("N4", 32)] {
        indexed.push("350006", exam_no, minute, PERSON).await;
    }
    indexed.push("350006", "N5", 33, "123").await;
    indexed.withdraw("N4").await;
    let index = NationalIndex::parse(&index(31)).unwrap();
    let as_of = indexed
        .house
        .archive
        .views()
        .national_index(&key("N3"))
        .unwrap()
        .unwrap()
        .position;
    indexed
        .record(Event::IndexExported(IndexExported {
            file: "00".to_owned(),
            lines: vec![ExportedIndex {
                exam: key("N3"),
                index: Some(index.clone()),
                as_of,
            }],
        }))
        .await;
    let answers = vec![AnsweredIndex {
        index,
        is_taken: false,
        reason: "无此人".to_owned(),
    }];
    indexed
        .record(Event::IndexAnswered(IndexAnswered { answers }))
        .await;
    let month = json!({ "from": "2026-07-01", "to": "2026-07-31", "pageSize": 2 });
    let listed = indexed.ask(LIST, month.clone()).await;
    let counts = &listed.result()["counts"];
    for (state, count) in [
        ("formed", 2),
        ("refused", 1),
        ("withdrawn", 1),
        ("incomplete", 1),
        ("exported", 0),
        ("none", 0),
        ("collides", 2),
    ] {
        assert_eq!(counts[state], count, "{state}: {}", listed.json);
    }
    assert_eq!(listed.json["page"]["total"], 5);
    assert_eq!(listed.result()["exams"].as_array().unwrap().len(), 2);
    assert!(!listed.json.to_string().contains(PERSON));
    let of_state = async |more: Value| {
        let mut body = month.clone();
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let listed = indexed.ask(LIST, body).await;
        let rows = listed.result()["exams"].as_array().unwrap().clone();
        let numbers = rows
            .iter()
            .map(|row| row["examNo"].as_str().unwrap().to_owned());
        (numbers.collect::<Vec<_>>(), rows)
    };
    let (numbers, rows) = of_state(json!({ "state": "refused" })).await;
    assert_eq!(
        (numbers, &rows[0]["reason"]),
        (vec!["N3".to_owned()], &json!("无此人"))
    );
    assert_eq!(of_state(json!({ "collides": true })).await.0, ["N2", "N1"]);
    for wrong in [
        json!({}),
        json!({ "from": "2026-07-01", "to": "2026-07-31", "state": "x" }),
    ] {
        assert_eq!(indexed.ask(LIST, wrong).await.http.as_u16(), 400);
    }
}
