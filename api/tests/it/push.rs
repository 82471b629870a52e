//! Push and declarations: R1, R2, R5, R6.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use yingku_api::ApiConfig;
use yingku_core::registry::{HospitalMode, RegistryChange, Scope};

use crate::house::{House, SAMPLE, hospital, push_with};

const PUSH: &str = "/openapi/v1/exam/push";

#[tokio::test]
async fn a_push_is_registered_repeated_and_changed() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    let first = house.post(PUSH, &token, SAMPLE).await;
    assert_eq!(first.status(), 0, "{}", first.json);
    assert_eq!(first.result()["step"], "registered");
    let second = house.post(PUSH, &token, SAMPLE).await;
    assert_eq!(second.result()["step"], "repeated");
    assert_eq!(second.result()["version"], 1);
    let changed = push_with(&[("/patientInfo/name", json!("改名"))]);
    let third = house.post(PUSH, &token, changed).await;
    assert_eq!(third.result()["step"], "changed");
    assert_eq!(third.result()["version"], 2);
    let late = push_with(&[("/examInfo/examStatus", json!("60"))]);
    let fourth = house.post(PUSH, &token, late).await;
    assert_eq!(fourth.result()["step"], "late");
    assert!(fourth.message().contains("迟到"));
}

#[tokio::test]
async fn every_fault_is_named_and_reaches_the_digest() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    let wrong = push_with(&[
        ("/examInfo/examStatus", json!("99")),
        ("/examInfo/examTime", json!("soon")),
        ("/patientInfo/sickId", Value::Null),
    ]);
    let response = house.post(PUSH, &token, wrong).await;
    assert_eq!((response.http.as_u16(), response.status()), (200, 1));
    let faults: Vec<(&str, &str)> = response
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["path"].as_str().unwrap(),
                line["rule"].as_str().unwrap(),
            )
        })
        .collect();
    for fault in [
        ("examInfo.examStatus", "code"),
        ("examInfo.examTime", "format"),
        ("patientInfo.sickId", "required"),
    ] {
        assert!(faults.contains(&fault), "{faults:?}");
    }
    let digest = house.archive.errors().lines("app:demo-pacs").unwrap();
    let line = digest
        .iter()
        .find(|line| line.key.path == "examInfo.examStatus")
        .unwrap();
    assert!(!line.example.is_empty());
}

#[tokio::test]
async fn addresses_charsets_and_boms_are_taken_as_they_come() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    for path in [
        "/v1/exam/push",
        "//openapi//v1/exam/push",
        "/openapi/v1//exam/push",
    ] {
        assert_eq!(house.post(path, &token, SAMPLE).await.status(), 0, "{path}");
    }
    let (gbk, _, _) = encoding_rs::GBK.encode(SAMPLE);
    let response = house
        .post_as(PUSH, &token, "text/plain; charset=GBK", gbk.into_owned())
        .await;
    assert_eq!(response.result()["step"], "repeated", "{}", response.json);
    let bom = format!("\u{FEFF}{SAMPLE}");
    assert_eq!(house.post(PUSH, &token, bom).await.status(), 0);
    let get = Request::get(PUSH).body(Body::empty()).unwrap();
    let response = house.send(get).await;
    assert_eq!(response.status(), 1);
    assert!(response.message().contains("POST"));
}

#[tokio::test]
async fn hostile_bodies_are_refused_in_words() {
    let house = House::with(ApiConfig {
        max_body_bytes: 1 << 20,
        ..ApiConfig::default()
    })
    .await;
    let token = house.token("demo-pacs").await;
    let deep = "[".repeat(100_000);
    for body in [
        deep.into_bytes(),
        b"{\"examNo\":\"\xFF\xFE\"}".to_vec(),
        b"[1,2".to_vec(),
        b"\"text\"".to_vec(),
        Vec::new(),
    ] {
        let response = house.post(PUSH, &token, body).await;
        assert_eq!((response.http.as_u16(), response.status()), (200, 1));
    }
    let large = house.post(PUSH, &token, vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(large.http, 413);
    assert_eq!(large.status(), 1);
    // The same without a declared length: counted as it comes.
    let pieces =
        futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 65_536])));
    let streamed = house.post(PUSH, &token, Body::from_stream(pieces)).await;
    assert_eq!(streamed.http, 413);
    assert_eq!(house.post(PUSH, &token, SAMPLE).await.status(), 0);
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_them_wait_their_turn() {
    let house = House::with(ApiConfig {
        max_held_bytes: 64 << 10,
        ..ApiConfig::default()
    })
    .await;
    let token = house.token("demo-pacs").await;
    let large = house.post(PUSH, &token, vec![b' '; 100 << 10]).await;
    assert_eq!(large.http, 429);
    assert_eq!(house.post(PUSH, &token, SAMPLE).await.status(), 0);
    let sign = house
        .post("/v1/auth/getToken", "", vec![b' '; 65 << 10])
        .await;
    assert_eq!(sign.http, 413, "nobody sends much without a token");
}

#[tokio::test]
async fn declarations_are_taken_or_refused_as_a_whole() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    let row = |hospital: &str| json!({"hospitalCode": hospital, "examDate": "2026-07-04", "examClass": "CT", "accordCount": 5});
    let path = "/v1/exam/uploadStatistics";
    let declared = |house: &House| {
        let mut days = Vec::new();
        house
            .archive
            .views()
            .visit_declarations(
                &crate::house::code("350006"),
                "2026-07-01",
                "2026-07-31",
                &mut |day, _| {
                    days.push(day);
                    yingku_storage::views::Walk::On
                },
            )
            .unwrap();
        days.len()
    };
    let foreign = json!([row("350006"), row("350008")]).to_string();
    assert_eq!(house.post(path, &token, foreign).await.status(), 999);
    let wrong = json!([row("350006"), {"hospitalCode": "350006"}]).to_string();
    let refused = house.post(path, &token, wrong).await;
    assert_eq!(refused.status(), 1);
    assert!(
        refused.result()[0]["path"]
            .as_str()
            .unwrap()
            .starts_with("[1]")
    );
    assert_eq!(declared(&house), 0);
    let good = json!([row("350006"), row("350007")]).to_string();
    let taken = house.post(path, &token, good).await;
    assert_eq!((taken.status(), &taken.result()["rows"]), (0, &json!(2)));
    assert_eq!(declared(&house), 1);
    let detail = json!([{"hospitalCode": "350006", "examDate": "2026-07-04", "examClass": "CT", "examNo": "E1"}]);
    let taken = house
        .post("/v1/exam/uploadDetail", &token, detail.to_string())
        .await;
    assert_eq!(taken.status(), 0, "{}", taken.json);
}

/// What one hospital is told of its CT exams of a day, and the totals.
async fn reconciled(house: &House, hospital: &str) -> (Value, Value) {
    let reader = house.token("demo-reader").await;
    let question = json!({"hospitalCode": hospital, "from": "2026-07-04", "to": "2026-07-04"});
    let path = "/v1/statistics/reconcile";
    let answer = house.post(path, &reader, question.to_string()).await;
    let result = answer.result();
    (result["cells"][0].clone(), result["totals"].clone())
}

fn declared(hospital: &str, class: &str) -> String {
    json!([{"hospitalCode": hospital, "examDate": "2026-07-04", "examClass": class, "accordCount": 5}])
        .to_string()
}

#[tokio::test]
async fn a_class_that_is_declared_again_in_another_spelling_is_replaced() {
    let house = House::open().await;
    let token = house.token("demo-pacs").await;
    for class in ["CT", "ct", "ＣＴ"] {
        let path = "/v1/exam/uploadStatistics";
        let taken = house.post(path, &token, declared("350006", class)).await;
        assert_eq!(taken.status(), 0, "{}", taken.json);
    }
    assert_eq!(reconciled(&house, "350006").await.0["declared"], 5);
}

#[tokio::test]
async fn what_a_hospital_declares_in_trial_is_in_no_total_and_a_suspended_one_declares_nothing() {
    let house = House::open().await;
    let app = house.app("demo-trial", Scope::all());
    house.change(vec![RegistryChange::PutApp(app)]).await;
    let token = house.token("demo-trial").await;
    let path = "/v1/exam/uploadStatistics";
    let taken = house.post(path, &token, declared("350008", "CT")).await;
    assert_eq!(taken.status(), 0, "{}", taken.json);
    let (cell, totals) = reconciled(&house, "350008").await;
    assert_eq!(
        (&cell["test"], &cell["testDeclared"]),
        (&json!(true), &json!(5))
    );
    assert_eq!(
        (&cell["declared"], &totals["declared"]),
        (&Value::Null, &Value::Null)
    );
    let suspended = hospital("350008", HospitalMode::Suspended);
    house
        .change(vec![RegistryChange::PutHospital(suspended)])
        .await;
    let detail = json!([{"hospitalCode": "350008", "examDate": "2026-07-04", "examClass": "CT", "examNo": "E1"}]);
    for (path, body) in [
        (path, declared("350008", "CT")),
        ("/v1/exam/uploadDetail", detail.to_string()),
    ] {
        let refused = house.post(path, &token, body).await;
        assert_ne!(refused.status(), 0, "{path}");
        assert!(refused.message().contains("已暂停接入"), "{}", refused.json);
    }
}
