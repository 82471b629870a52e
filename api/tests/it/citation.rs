//! Citation of a report, and addresses of images: who may, what is told, and what is not.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::event::Event;
use yingku_core::ids::{ExamKey, ExamNo};
use yingku_core::registry::{App, OwnOnly, RegistryChange, Right, Scope};
use yingku_storage::archive::Submission;

use crate::house::{House, Response, SAMPLE, code, hospital, push_with, sign};

const CITATION: &str = "/v1/report/citation";

struct Desk {
    house: House,
    pacs: String,
    /// An electronic record of 350006, with a right to all hospitals.
    emr: String,
}

async fn desk() -> Desk {
    let house = House::open().await;
    let emr = App {
        rights: [Right::Cite].into(),
        ..house.app("emr", Scope::all())
    };
    house.change(vec![RegistryChange::PutApp(emr)]).await;
    let (pacs, emr) = (house.token("demo-pacs").await, house.token("emr").await);
    Desk { house, pacs, emr }
}

impl Desk {
    async fn push(&self, body: String) {
        let response = self.house.post("/v1/exam/push", &self.pacs, body).await;
        assert_eq!(response.status(), 0, "{}", response.json);
    }

    async fn cite(&self, body: Value) -> Response {
        let body = body.to_string();
        self.house.post(CITATION, &self.emr, body).await
    }

    /// The sample, cited; there is one exam.
    async fn cited(&self) -> Value {
        let answer = self.cite(sample()).await;
        assert_eq!(
            (answer.http.as_u16(), answer.status()),
            (200, 0),
            "{}",
            answer.json
        );
        let exams = answer.result()["exams"].as_array().unwrap();
        assert_eq!(exams.len(), 1);
        exams[0].clone()
    }

    async fn withdraw(&self, exam_no: &str) {
        let exam = ExamKey {
            hospital: code("350006"),
            exam_no: ExamNo::new(exam_no).unwrap(),
            generation: 0,
        };
        let made = CorrectionMade {
            action: CorrectionAction::WithdrawExam { exam },
            reason: "误传".to_owned(),
            author: "tester".to_owned(),
        };
        let submitted = self.house.archive.submit(Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event: Event::CorrectionMade(made),
        });
        submitted.await.unwrap();
    }

    async fn frame(&self, query: &str) -> Response {
        let request = Request::get(format!("/openapi/v1/image/frame?{query}"));
        self.house.send(request.body(Body::empty()).unwrap()).await
    }
}

fn sample() -> Value {
    json!({"hospitalCode": "350006", "examNo": "E20260704001"})
}

fn rule(answer: &Response) -> &str {
    answer.result()[0]["rule"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_confirmed_report_is_cited_with_all_that_a_record_needs() {
    // given
    let desk = desk().await;
    desk.push(SAMPLE.to_owned()).await;
    // when
    let exam = desk.cited().await;
    // then
    let report = &exam["reports"][0];
    assert_eq!(report["findings"], "右肺下叶见片状高密度影。");
    assert_eq!(report["impression"], "右肺下叶炎症。");
    assert_eq!(report["recommendation"], "治疗后复查。");
    assert_eq!(report["positive"], true);
    assert_eq!(report["affirmReporter"], "陈主任");
    assert_eq!(report["affirmTime"], "2026-07-04 12:00:00");
    assert_eq!(report["diagnoses"][0]["code"], "J18.9");
    assert_eq!(
        (&exam["confirmed"], &exam["version"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(exam["patient"]["sickId"], "C0001");
    // and the key image is named, but nothing of it is here
    assert_eq!(exam["keyImages"]["source"], "report");
    assert_eq!(exam["keyImages"]["notHere"], 1);
}

#[tokio::test]
async fn a_form_and_a_study_lead_to_every_exam_of_theirs() {
    let desk = desk().await;
    desk.push(SAMPLE.to_owned()).await;
    desk.push(push_with(&[("/examNo", json!("SECOND"))])).await;
    let pushed: Value = serde_json::from_str(SAMPLE).unwrap();
    let by_form = json!({"hospitalCode": "350006", "applyNo": pushed["examInfo"]["applyNo"]});
    let by_study = json!({"studyUID": pushed["imageList"][0]["studyUID"]});
    for question in [by_form, by_study] {
        let answer = desk.cite(question).await;
        assert_eq!(
            answer.result()["exams"].as_array().unwrap().len(),
            2,
            "{}",
            answer.json
        );
        assert_eq!(answer.result()["withdrawn"], json!([]));
    }
    // and one that was withdrawn is named beside the other
    desk.withdraw("SECOND").await;
    let answer = desk
        .cite(json!({"studyUID": pushed["imageList"][0]["studyUID"]}))
        .await;
    assert_eq!(answer.result()["exams"].as_array().unwrap().len(), 1);
    assert_eq!(answer.result()["withdrawn"][0]["examNo"], "SECOND");
}

#[tokio::test]
async fn a_draft_a_revision_and_a_report_that_was_taken_back_say_so() {
    let desk = desk().await;
    desk.push(push_with(&[("/examInfo/examStatus", json!("60"))]))
        .await;
    let draft = desk.cited().await;
    assert_eq!(
        (&draft["reportState"], &draft["confirmed"]),
        (&json!("preliminary"), &json!(false))
    );
    assert!(draft["note"].as_str().unwrap().contains("未经审核确认"));
    assert_eq!(draft["confirmedVersions"], json!([]));

    desk.push(SAMPLE.to_owned()).await;
    desk.push(push_with(&[(
        "/reportList/0/impression",
        json!("未见异常。"),
    )]))
    .await;
    let revised = desk.cited().await;
    assert_eq!(revised["reportStateName"], "已修订");
    let versions = revised["confirmedVersions"].as_array().unwrap();
    let versions: Vec<_> = versions
        .iter()
        .map(|line| line["version"].clone())
        .collect();
    assert_eq!(versions, [json!(2), json!(3)]);

    desk.push(push_with(&[("/examInfo/examStatus", json!("65"))]))
        .await;
    let back = desk.cited().await;
    assert_eq!(back["reportStateName"], "已撤回");
    assert_eq!(
        (&back["reports"], &back["keyImages"]["source"]),
        (&json!([]), &json!("none"))
    );
    assert!(!back.to_string().contains("右肺"));
}

#[tokio::test]
async fn as_of_a_moment_the_version_of_then_is_cited() {
    let desk = desk().await;
    desk.push(SAMPLE.to_owned()).await;
    let mut question = sample();
    question["asOf"] = json!("2199-01-01 00:00:00");
    let later = desk.cite(question.clone()).await;
    assert_eq!(later.result()["exams"][0]["version"], 1);
    assert_eq!(later.result()["asOf"], "2199-01-01 00:00:00");
    question["asOf"] = json!("2001-01-01 00:00:00");
    let before = desk.cite(question.clone()).await;
    assert_eq!((before.http.as_u16(), rule(&before)), (404, "not-found"));
    // What is withdrawn now is cited as of no moment.
    desk.withdraw("E20260704001").await;
    question["asOf"] = json!("2199-01-01 00:00:00");
    for question in [question, sample()] {
        let answer = desk.cite(question).await;
        assert_eq!((answer.http.as_u16(), rule(&answer)), (404, "withdrawn"));
        assert!(!answer.json.to_string().contains("右肺"));
    }
}

#[tokio::test]
async fn another_hospitals_exam_wants_a_reason_and_what_it_keeps_to_itself_is_not_there() {
    let desk = desk().await;
    desk.push(push_with(&[("/hospitalCode", json!("350007"))]))
        .await;
    let mut question = json!({"hospitalCode": "350007", "examNo": "E20260704001"});
    let without = desk.cite(question.clone()).await;
    assert_eq!(
        (without.http.as_u16(), rule(&without)),
        (403, "reason-required")
    );
    question["reason"] = json!("visit");
    assert_eq!(desk.cite(question.clone()).await.status(), 0);
    // given a hospital that keeps this class to itself
    let kept = yingku_core::registry::Hospital {
        own_only: OwnOnly {
            classes: ["CT".to_owned()].into(),
            ..OwnOnly::default()
        },
        ..hospital("350007", yingku_core::registry::HospitalMode::Live)
    };
    desk.house
        .change(vec![RegistryChange::PutHospital(kept)])
        .await;
    let hidden = desk.cite(question).await;
    assert_eq!((hidden.http.as_u16(), rule(&hidden)), (404, "not-found"));
}

#[tokio::test]
async fn only_apps_with_the_right_cite_and_only_of_their_hospitals() {
    let desk = desk().await;
    desk.push(SAMPLE.to_owned()).await;
    let reader = desk.house.token("demo-reader").await;
    let body = sample().to_string();
    let refused = desk.house.post(CITATION, &reader, body.clone()).await;
    assert_eq!((refused.http.as_u16(), refused.status()), (403, 999));
    let narrow = App {
        rights: [Right::Cite].into(),
        org: code("350007"),
        ..desk.house.app("narrow", Scope::of([&code("350007")]))
    };
    desk.house
        .change(vec![RegistryChange::PutApp(narrow)])
        .await;
    let token = desk
        .house
        .get_token(&sign("narrow,350007,demo-license"))
        .await;
    let token = token.result()["token"].as_str().unwrap().to_owned();
    let outside = desk.house.post(CITATION, &token, body).await;
    assert_eq!(outside.http.as_u16(), 403);
    let pushed: Value = serde_json::from_str(SAMPLE).unwrap();
    let study = json!({"studyUID": pushed["imageList"][0]["studyUID"], "reason": "emergency"});
    let by_study = desk.house.post(CITATION, &token, study.to_string()).await;
    assert_eq!(
        (by_study.http.as_u16(), rule(&by_study)),
        (404, "not-found")
    );
}

#[tokio::test]
async fn a_question_that_is_wrong_is_told_what_is_wrong() {
    let desk = desk().await;
    for (question, path) in [
        (json!({}), "hospitalCode"),
        (json!({"hospitalCode": "350006"}), "examNo"),
        (
            json!({"hospitalCode": "350006", "examNo": "E", "applyNo": "F"}),
            "",
        ),
        (json!({"studyUID": "no uid"}), "studyUID"),
        (
            json!({"hospitalCode": "350006", "examNo": "E", "asOf": "soon"}),
            "asOf",
        ),
        (
            json!({"hospitalCode": "350006", "examNo": "E", "validMinutes": 0}),
            "validMinutes",
        ),
        (
            json!({"hospitalCode": "350006", "examNo": "E", "reason": "curious"}),
            "reason",
        ),
    ] {
        let answer = desk.cite(question.clone()).await;
        assert_eq!(answer.http.as_u16(), 400, "{question}");
        let faults = answer.result().as_array().unwrap();
        assert!(
            faults.iter().any(|fault| fault["path"] == path),
            "{question} {faults:?}"
        );
    }
}

#[tokio::test]
async fn an_address_of_an_image_that_nobody_made_opens_nothing() {
    let desk = desk().await;
    for query in ["", "token=", "token=AAAA", "token=%00", "side=512"] {
        let answer = desk.frame(query).await;
        assert_eq!(answer.http.as_u16(), 403, "{query}");
        assert!(answer.message().contains("地址无效"), "{query}");
    }
}
