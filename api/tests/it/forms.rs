//! Apply forms as supervision and hospitals' own systems see them: lists, those that wait too long, how long it all takes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event};
use yingku_core::outcome::{FormOutcome, FormStep, Outcome};
use yingku_core::registry::{App, Hospital, HospitalMode, RegistryChange, Right, Scope};
use yingku_storage::archive::Submission;

use crate::house::{House, Response, code, hospital, push_with};

const FORM: &str = include_str!("../../../tests/fixtures/contract/syn_apply_info.xml");
const LIST: &str = "/v1/apply/list";
const TURNAROUND: &str = "/v1/apply/turnaround";

/// A house whose first hospital has a prefix, and an app of supervision that sees two hospitals.
async fn house() -> House {
    let house = House::open().await;
    let with_prefix = |text: &str, prefix: &str, mode| Hospital {
        prefix: Some(prefix.to_owned()),
        ..hospital(text, mode)
    };
    let supervision = App {
        rights: BTreeSet::from([Right::Supervise]),
        ..house.app("supervision", Scope::of([&code("350006"), &code("350008")]))
    };
    house
        .change(vec![
            RegistryChange::PutHospital(with_prefix("350006", "7173", HospitalMode::Live)),
            RegistryChange::PutHospital(with_prefix("350008", "7175", HospitalMode::Test)),
            RegistryChange::PutApp(supervision),
        ])
        .await;
    house
}

/// What differs from the contract's sample.
struct Form<'a> {
    action: &'a str,
    apply_no: &'a str,
    req_time: &'a str,
    scheduled: &'a str,
}

impl<'a> Form<'a> {
    fn new(apply_no: &'a str, req_time: &'a str) -> Self {
        Self {
            action: "INSERT",
            apply_no,
            req_time,
            scheduled: "",
        }
    }
}

impl House {
    async fn form(&self, form: Form<'_>) -> FormStep {
        let document = FORM
            .replace("INSERT", form.action)
            .replace("7173_00000001", form.apply_no)
            .replace("7173_C0001", &format!("{}_C0001", &form.apply_no[..4]))
            .replace("2026-07-04 09:30:00", form.req_time)
            .replace(
                "<ScheduledTime/>",
                &format!("<ScheduledTime>{}</ScheduledTime>", form.scheduled),
            );
        let registry = self.archive.registry();
        let context = FormContext {
            registry: &registry,
        };
        let parsed = parse(&xml::read(&document).unwrap(), context).unwrap();
        let decided = self.archive.submit(Submission {
            hospital: Some(parsed.hospital.clone()),
            actor: "his:test".to_owned(),
            event: Event::ApplyFormReceived(ApplyFormReceived {
                hospital: parsed.hospital,
                source: FormSource::Soap,
                body: parsed.body,
            }),
        });
        match decided.await.unwrap().outcome {
            Outcome::Form(FormOutcome { step, .. }) => step,
            other => panic!("{other:?}"),
        }
    }

    /// The sample's exam with another form, at 50 or 70, examined at a time.
    async fn exam(&self, apply_no: &str, status: &str, examined: &str) {
        let token = self.token("demo-pacs").await;
        let push = push_with(&[
            ("/examNo", json!(format!("E-{apply_no}"))),
            ("/imageList/0/studyUID", json!(format!("1.2.3.{apply_no}"))),
            ("/examInfo/applyNo", json!(apply_no)),
            ("/examInfo/examStatus", json!(status)),
            ("/examInfo/examTime", json!(examined)),
        ]);
        let answer = self.post("/v1/exam/push", &token, push).await;
        assert_eq!(answer.status(), 0, "{}", answer.json);
    }

    async fn ask(&self, app: &str, path: &str, question: Value) -> Response {
        let token = self.token(app).await;
        self.post(path, &token, question.to_string()).await
    }
}

fn numbers(answer: &Response) -> Vec<&str> {
    let rows = answer.result().as_array();
    let rows = rows.unwrap_or_else(|| panic!("{}", answer.json));
    rows.iter()
        .map(|row| row["applyNo"].as_str().unwrap())
        .collect()
}

fn july(more: Value) -> Value {
    let mut question = json!({"hospitalCode": "350006", "from": "2026-07-01", "to": "2026-07-31"});
    for (key, value) in more.as_object().unwrap() {
        question[key] = value.clone();
    }
    question
}

#[tokio::test]
async fn a_form_is_listed_with_how_far_it_has_come() {
    // Given a form that waits, one with an exam, one with a report, one that was cancelled, and one of another month
    let house = house().await;
    for (apply_no, req_time) in [
        ("7173_1", "2026-07-04 09:00:00"),
        ("7173_2", "2026-07-04 10:00:00"),
        ("7173_3", "2026-07-05 10:00:00"),
        ("7173_4", "2026-07-05 11:00:00"),
        ("7173_5", "2026-08-01 00:00:00"),
    ] {
        let step = house.form(Form::new(apply_no, req_time)).await;
        assert_eq!(step, FormStep::Inserted);
    }
    house.exam("2", "50", "2026-07-04 11:00:00").await;
    house.exam("3", "70", "2026-07-05 11:00:00").await;
    let cancelled = Form {
        action: "DELETE",
        ..Form::new("7173_4", "2026-07-05 11:00:00")
    };
    assert_eq!(house.form(cancelled).await, FormStep::Deleted);
    // When supervision asks for July
    let answer = house.ask("supervision", LIST, july(json!({}))).await;
    // Then four are there, the newest first, each with its state
    assert_eq!(numbers(&answer), ["4", "3", "2", "1"]);
    let states = answer.result().as_array().unwrap().iter();
    let states: Vec<&str> = states.map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["cancelled", "reported", "registered", "received"]);
    let row = &answer.result()[1];
    assert_eq!(row["examNos"], json!(["E-3"]));
    assert_eq!(row["applyNoSpelling"], "7173_3");
    assert_eq!(row["reqTime"], "2026-07-05 10:00:00");
    assert!(row["reportedTime"].is_string() && row["imagesTime"].is_null());
    assert!(!answer.json.to_string().contains("肖萍"), "no names");
    // and in pages nothing is missed or repeated
    let first = july(json!({"pageSize": 3}));
    let first = house.ask("supervision", LIST, first).await;
    let token = &first.json["page"]["nextPageToken"];
    let second = july(json!({"pageSize": 3, "pageToken": token}));
    let second = house.ask("supervision", LIST, second).await;
    assert_eq!(numbers(&first), ["4", "3", "2"]);
    assert_eq!(numbers(&second), ["1"]);
}

#[tokio::test]
async fn a_form_without_an_exam_is_overdue_after_its_planned_time() {
    // Given a form of long ago, one with an exam, one with an appointment to come
    let house = house().await;
    house.form(Form::new("7173_1", "2026-07-04 09:00:00")).await;
    house.form(Form::new("7173_2", "2026-07-04 10:00:00")).await;
    house.exam("2", "50", "2026-07-04 11:00:00").await;
    let to_come = Form {
        scheduled: "2199-01-01 08:00:00",
        ..Form::new("7173_3", "2026-07-04 10:00:00")
    };
    house.form(to_come).await;
    // When who may read asks
    for question in [json!({"overdue": true}), json!({"openAfterHours": 1})] {
        let answer = house.ask("demo-reader", LIST, question).await;
        // Then
        assert_eq!(numbers(&answer), ["1"], "{}", answer.json);
    }
    let planned = json!({"overdue": true, "from": "2026-07-05", "to": "2026-07-06"});
    let planned = house.ask("demo-reader", LIST, planned).await;
    assert!(numbers(&planned).is_empty());
    // and as soon as its exam is withdrawn, its form waits again
    let token = house.token("demo-pacs").await;
    let withdraw = json!({
        "hospitalCode": "350006", "examNo": "E-2", "reason": "示例", "author": "tester",
    });
    let withdrawn = house
        .post("/v1/exam/withdraw", &token, withdraw.to_string())
        .await;
    assert_eq!(withdrawn.status(), 0, "{}", withdrawn.json);
    let answer = house
        .ask("demo-reader", LIST, json!({"overdue": true}))
        .await;
    assert_eq!(numbers(&answer), ["2", "1"]);
}

#[tokio::test]
async fn turnaround_is_told_by_day_and_trials_count_nowhere() {
    let house = house().await;
    for (apply_no, req_time) in [
        ("7173_1", "2026-07-04 09:00:00"),
        ("7173_2", "2026-07-04 10:00:00"),
        ("7173_3", "2026-07-05 10:00:00"),
    ] {
        house.form(Form::new(apply_no, req_time)).await;
    }
    house.exam("1", "70", "2026-07-04 09:40:00").await;
    house.exam("2", "50", "2026-07-04 10:20:00").await;
    // Of the hospital in trial, whose prefix it has.
    house.form(Form::new("7175_9", "2026-07-04 10:00:00")).await;

    let answer = house
        .ask(
            "supervision",
            TURNAROUND,
            july(json!({"hospitalCode": null})),
        )
        .await;

    let [county, trial] = &answer.result().as_array().unwrap()[..] else {
        panic!("{}", answer.json)
    };
    assert_eq!(county["hospitalCode"], "350006");
    assert_eq!(trial["total"]["forms"], 0);
    let [day, next] = &county["days"].as_array().unwrap()[..] else {
        panic!("{county}")
    };
    assert_eq!(day["date"], "2026-07-04");
    assert_eq!(
        [&day["forms"], &day["withExam"], &day["withReport"]],
        [&json!(2), &json!(2), &json!(1)]
    );
    let to_exam = json!({"count": 2, "medianMinutes": 20, "p90Minutes": 40});
    assert_eq!(day["applyToExam"], to_exam);
    assert_eq!(day["applyToReport"]["count"], 1);
    assert_eq!([&next["forms"], &next["withExam"]], [&json!(1), &json!(0)]);
    assert_eq!(county["total"]["forms"], 3);
}

#[tokio::test]
async fn who_has_no_right_or_no_such_hospital_is_refused() {
    let house = house().await;
    for path in [LIST, TURNAROUND] {
        let pushing = house.ask("demo-pacs", path, july(json!({}))).await;
        assert_eq!(pushing.status(), 999, "{}", pushing.json);
        let foreign = july(json!({"hospitalCode": "350007"}));
        let foreign = house.ask("supervision", path, foreign).await;
        assert_eq!(foreign.status(), 999, "{}", foreign.json);
        let too_long = json!({"from": "2020-01-01", "to": "2026-07-31"});
        let too_long = house.ask("supervision", path, too_long).await;
        assert_eq!(too_long.status(), 1, "{}", too_long.json);
    }
    for half in [json!({}), json!({"from": "2026-07-01"})] {
        let answer = house.ask("supervision", LIST, half).await;
        assert_eq!(answer.result()[0]["path"], "from", "{}", answer.json);
    }
}

#[tokio::test]
async fn forms_without_an_exam_are_named_in_the_reconciliation_of_their_planned_day() {
    let house = house().await;
    house.form(Form::new("7173_1", "2026-07-04 09:00:00")).await;
    let moved = Form {
        scheduled: "2026-07-06 08:00:00",
        ..Form::new("7173_2", "2026-07-04 10:00:00")
    };
    house.form(moved).await;
    house.form(Form::new("7173_3", "2026-07-04 10:00:00")).await;
    house.exam("3", "70", "2026-07-04 11:00:00").await;

    let path = "/v1/statistics/reconcile";
    let answer = house.ask("demo-reader", path, july(json!({}))).await;

    let cells = answer.result()["cells"].as_array().unwrap();
    let told: Vec<(&str, &Value, usize)> = cells
        .iter()
        .map(|cell| {
            let named = cell["unfinished"].as_array().unwrap().iter();
            let forms = named.filter(|it| it["why"] == json!(["formWithoutExam"]));
            let date = cell["examDate"].as_str().unwrap();
            (date, &cell["formsWithoutExam"], forms.count())
        })
        .collect();
    let one = json!(1);
    assert_eq!(told, [("2026-07-04", &one, 1), ("2026-07-06", &one, 1)]);
    assert_eq!(cells[1]["unfinished"][0]["applyNo"], "2");
    assert_eq!(answer.result()["totals"]["formsWithoutExam"], 2);
    // What it was in the past nobody knows.
    let past = july(json!({"asOf": "2199-01-01 00:00:00"}));
    let past = house.ask("demo-reader", path, past).await;
    assert_eq!(past.result()["totals"]["registered"], 1, "{}", past.json);
    assert!(past.result()["totals"]["formsWithoutExam"].is_null());
}
