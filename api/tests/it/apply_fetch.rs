//! The platform asks a hospital's 基卫, which a small server plays here, in good and in bad ways.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use yingku_api::ApiConfig;
use yingku_core::contract::jiwei::{
    ANSWER_LIMIT_BYTES, ApplyQuery, Carrier, JiweiForm, JiweiKey, answer,
};
use yingku_core::ids::{FormKey, HisId, Position};
use yingku_core::registry::{
    App, His, HisJiwei, Hospital, HospitalMode, RegistryChange, Right, Scope, Sealed,
};
use yingku_storage::keys::Purpose;

use crate::apply_query::{KEY, bring, key, with_key};
use crate::house::{House, Response as Answered, code, hospital, push_with};

const PATH: &str = "/openapi/v1/apply/fetch";
/// Long enough for a loaded machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(2);
const QUESTION: &str = r#"{"hospitalCode":"350006","cardNo":"C0001","businessType":"1","type":2}"#;
const SAID: &str = "病人肖萍不存在";

/// How the server answers.
#[derive(Clone)]
enum Manner {
    Forms(Vec<JiweiForm>),
    /// Only when so many ask at once.
    Together(Arc<Barrier>),
    Failure,
    OtherKey,
    Text(u16, String),
    Never,
    /// Says that it succeeded, and then stops in the middle.
    Half,
    Elsewhere,
}

/// What the server was asked.
struct Question {
    content_type: String,
    body: String,
    read: ApplyQuery,
}

#[derive(Clone)]
struct Jiwei {
    url: String,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Question>>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Jiwei {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jiwei = Self {
            url: format!("http://{}/apply", listener.local_addr().unwrap()),
            manner: Arc::new(Mutex::new(Manner::Forms(Vec::new()))),
            asked: Arc::default(),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
        };
        let served = jiwei.clone();
        let router = Router::new().fallback(move |headers: HeaderMap, body: String| {
            let jiwei = served.clone();
            async move { jiwei.answer(&headers, body).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        jiwei
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    async fn answer(&self, headers: &HeaderMap, body: String) -> Response<Body> {
        let content_type = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let read = ApplyQuery::read(body.as_bytes(), &key()).unwrap();
        self.asked.lock().push(Question {
            content_type,
            body,
            read,
        });
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let manner = self.manner.lock().clone();
        let response = respond(manner).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        response
    }
}

async fn respond(manner: Manner) -> Response<Body> {
    let text = |http: u16, text: String| {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = http.try_into().unwrap();
        response
    };
    match manner {
        Manner::Forms(forms) => text(200, answer::compose(&forms, &key()).unwrap()),
        Manner::Together(barrier) => {
            barrier.wait().await;
            text(200, answer::compose(&[], &key()).unwrap())
        }
        Manner::Failure => text(200, answer::compose_failure(SAID, &key())),
        Manner::OtherKey => {
            let other = JiweiKey::new("another key 0000").unwrap();
            text(200, answer::compose(&[row("1", "肖萍")], &other).unwrap())
        }
        Manner::Text(http, said) => text(http, said),
        Manner::Never => std::future::pending().await,
        Manner::Half => {
            let first = futures::stream::iter([Ok::<_, std::io::Error>("QUJD")]);
            let never = futures::stream::pending();
            use futures::StreamExt;
            Response::new(Body::from_stream(first.chain(never)))
        }
        Manner::Elsewhere => {
            let mut response = text(302, String::new());
            let there = "http://127.0.0.1:1/".parse().unwrap();
            response.headers_mut().insert(header::LOCATION, there);
            response
        }
    }
}

fn row(apply_no: &str, name: &str) -> JiweiForm {
    JiweiForm {
        apply_code: Some(apply_no.to_owned()),
        fkey: Some(format!("S-{name}")),
        medicare_code: Some("C0001".to_owned()),
        clinic_code: Some("O000017".to_owned()),
        name: Some(name.to_owned()),
        gender: Some("女".to_owned()),
        birthday: Some("1980-01-01".to_owned()),
        id_card: Some("350100198001010029".to_owned()),
        doctor: Some("王医生".to_owned()),
        department: Some("全科".to_owned()),
        project: Some("胸部CT平扫".to_owned()),
        apply_date: Some("2026-07-04".to_owned()),
        reg_state: Some("0".to_owned()),
        business_type: Some("1".to_owned()),
        kind: Some("2".to_owned()),
        ..JiweiForm::default()
    }
}

/// A house whose hospital has a 基卫, and a token to ask with.
struct Asking {
    house: House,
    jiwei: Jiwei,
    token: String,
}

impl Asking {
    async fn open() -> Self {
        let house = House::with(ApiConfig {
            jiwei_timeout: TIMEOUT,
            ..ApiConfig::default()
        })
        .await;
        let jiwei = Jiwei::start().await;
        let numbered = |text: &str, prefix: &str, yyid00: Option<&str>| Hospital {
            prefix: Some(prefix.to_owned()),
            yyid00: yyid00.map(str::to_owned),
            ..hospital(text, HospitalMode::Live)
        };
        let app = with_key(
            &house,
            "demo-pacs",
            Scope::of([&code("350006"), &code("350007")]),
            &[],
        );
        house
            .change(vec![
                RegistryChange::PutHospital(numbered("350006", "7173", Some("6930"))),
                RegistryChange::PutHospital(numbered("350007", "7174", None)),
                RegistryChange::PutApp(app),
            ])
            .await;
        let token = house.token("demo-pacs").await;
        let asking = Self {
            house,
            jiwei,
            token,
        };
        asking.put(Carrier::Raw, true).await;
        asking
    }

    async fn put(&self, carrier: Carrier, enabled: bool) {
        let key = self.house.archive.key();
        let his = His {
            id: HisId::new("jw").unwrap(),
            hospitals: Scope::all(),
            enabled: true,
            license: Sealed("none".to_owned()),
            receiver: None,
            jiwei: Some(HisJiwei {
                url: self.jiwei.url.clone(),
                key: key.seal(Purpose::Jiwei, KEY.as_bytes()).unwrap(),
                carrier,
                enabled,
            }),
        };
        self.house.change(vec![RegistryChange::PutHis(his)]).await;
    }

    async fn fetch(&self) -> Answered {
        self.fetch_with(json!({})).await
    }

    async fn fetch_with(&self, more: Value) -> Answered {
        let mut body: Value = serde_json::from_str(QUESTION).unwrap();
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.to_string();
        self.house.post(PATH, &self.token, body).await
    }

    /// Of the only form.
    async fn step(&self, forms: Vec<JiweiForm>) -> Value {
        self.jiwei.behaves(Manner::Forms(forms));
        let answer = self.fetch().await;
        assert_eq!(answer.status(), 0, "{}", answer.json);
        let forms = answer.result()["forms"].as_array().unwrap().clone();
        assert_eq!(forms.len(), 1, "{}", answer.json);
        forms[0].clone()
    }

    fn digest(&self, source: &str) -> Vec<(String, String, String)> {
        let lines = self.house.archive.errors().lines(source).unwrap();
        lines
            .into_iter()
            .map(|line| (line.key.rule, line.key.path, line.reason))
            .collect()
    }

    fn name_of(&self, apply_no: &str) -> Option<String> {
        let views = self.house.archive.views();
        let key = FormKey {
            hospital: code("350006"),
            apply_no: apply_no.to_owned(),
            generation: 0,
        };
        views.apply_form(&key).unwrap().map(|row| row.content.name)
    }
}

#[tokio::test]
async fn forms_are_fetched_recorded_and_answered_with_what_came_of_each() {
    let asking = Asking::open().await;
    let rows = vec![row("7173_1", "肖萍"), row("2", "肖萍")];
    asking.jiwei.behaves(Manner::Forms(rows));
    let answer = asking.fetch().await;
    assert_eq!(answer.status(), 0, "{}", answer.json);
    assert_eq!(answer.result()["his"], "jw");
    let forms = answer.result()["forms"].as_array().unwrap();
    let numbers: Vec<_> = forms.iter().map(|form| &form["applyNo"]).collect();
    assert_eq!(numbers, ["1", "2"]);
    for form in forms {
        assert_eq!(
            (&form["step"], &form["state"]),
            (&json!("inserted"), &json!("received"))
        );
        assert_eq!(form["items"], json!(["胸部CT平扫"]));
        assert_eq!(form["reqTime"], "2026-07-04 00:00:00");
        assert_eq!(form["warnings"], json!([]));
    }
    assert_eq!(asking.name_of("1").as_deref(), Some("肖萍"));
    // It was asked for with the hospital's own yyid00
    let asked = asking.jiwei.asked.lock();
    assert_eq!(asked[0].read.yyid00, "6930");
    assert_eq!(asked[0].read.medicare_code, "C0001");
}

#[tokio::test]
async fn a_form_that_comes_again_is_a_repeat_an_update_or_refused() {
    let asking = Asking::open().await;
    assert_eq!(
        asking.step(vec![row("1", "肖萍")]).await["step"],
        "inserted"
    );
    let registered_there = JiweiForm {
        reg_state: Some("1".to_owned()),
        ..row("1", "肖萍")
    };
    let form = asking.step(vec![registered_there]).await;
    assert_eq!(
        (&form["step"], &form["regState"]),
        (&json!("repeated"), &json!("1"))
    );
    let other = JiweiForm {
        diagnosis: Some("肺炎".to_owned()),
        ..row("1", "肖萍")
    };
    assert_eq!(asking.step(vec![other.clone()]).await["step"], "updated");
    // Of another patient under the number nothing is taken, and nothing of the first one told
    let form = asking.step(vec![row("1", "李四")]).await;
    assert_eq!(
        (&form["step"], &form["rule"]),
        (&json!("refused"), &json!("number-reuse"))
    );
    assert!(form.get("state").is_none(), "{form}");
    assert_eq!(asking.name_of("1").as_deref(), Some("肖萍"));
    // When its exam is registered it is not changed
    let push = push_with(&[
        ("/examInfo/applyNo", "1".into()),
        ("/examInfo/examStatus", "50".into()),
    ]);
    let pushed = asking
        .house
        .post("/v1/exam/push", &asking.token, push)
        .await;
    assert_eq!(pushed.status(), 0, "{}", pushed.json);
    let form = asking.step(vec![other]).await;
    assert_eq!(
        (&form["step"], &form["state"]),
        (&json!("repeated"), &json!("registered"))
    );
    let form = asking.step(vec![row("1", "肖萍")]).await;
    assert_eq!(
        (&form["rule"], &form["state"]),
        (&json!("form-taken"), &json!("registered"))
    );
    // And the operator reads which were refused
    let rules: BTreeSet<_> = asking.digest("his:jw").into_iter().map(|it| it.0).collect();
    assert!(
        rules.contains("number-reuse") && rules.contains("form-taken"),
        "{rules:?}"
    );
}

#[tokio::test]
async fn what_a_his_sent_by_soap_stays_as_it_is() {
    let asking = Asking::open().await;
    bring(&asking.house, &[]).await;
    let form = asking.step(vec![row("00000001", "肖萍")]).await;
    assert_eq!(form["step"], "repeated", "{form}");
    let form = asking.step(vec![row("00000001", "李四")]).await;
    assert_eq!(form["step"], "refused", "{form}");
    bring(&asking.house, &[(">INSERT<", ">DELETE<")]).await;
    let form = asking.step(vec![row("00000001", "肖萍")]).await;
    assert_eq!(
        (&form["step"], &form["rule"]),
        (&json!("refused"), &json!("form-deleted"))
    );
}

#[tokio::test]
async fn rows_that_are_no_forms_are_named_and_cost_the_others_nothing() {
    let asking = Asking::open().await;
    let elsewhere = JiweiForm {
        yyid00: Some("7174".to_owned()),
        ..row("3", "肖萍")
    };
    let forms = vec![row("无", "肖萍"), elsewhere, row("1", "肖萍")];
    asking.jiwei.behaves(Manner::Forms(forms));
    let answer = asking.fetch().await;
    assert_eq!(answer.status(), 0);
    let forms = answer.result()["forms"].as_array().unwrap();
    let steps: Vec<_> = forms.iter().map(|form| &form["step"]).collect();
    assert_eq!(steps, ["refused", "refused", "inserted"]);
    assert_eq!(forms[0]["path"], "applycode");
    assert_eq!(forms[1]["path"], "yyid00");
    let paths: BTreeSet<_> = asking.digest("his:jw").into_iter().map(|it| it.1).collect();
    assert_eq!(
        paths,
        BTreeSet::from(["applycode".to_owned(), "yyid00".to_owned()])
    );
}

#[tokio::test]
async fn a_wrong_answer_is_a_clear_refusal_and_what_was_said_is_the_operator_s_only() {
    let asking = Asking::open().await;
    let clear = r#"{"content":[{"patname":"肖萍"}],"success":"true"}"#;
    for (manner, rule, words) in [
        (Manner::Never, "jiwei-late", "2 秒"),
        (Manner::Half, "jiwei-late", "2 秒"),
        (Manner::OtherKey, "jiwei-unreadable", "密钥"),
        (
            Manner::Text(200, clear.to_owned()),
            "jiwei-unreadable",
            "密钥",
        ),
        (Manner::Text(200, String::new()), "jiwei-unreadable", "密钥"),
        (
            Manner::Text(200, "QUJD".to_owned()),
            "jiwei-unreadable",
            "密钥",
        ),
        (
            Manner::Text(500, format!("<b>{SAID}</b>")),
            "jiwei-status",
            "HTTP 500",
        ),
        (Manner::Text(204, String::new()), "jiwei-status", "HTTP 204"),
        (Manner::Elsewhere, "jiwei-status", "HTTP 302"),
        (
            Manner::Text(200, "A".repeat(ANSWER_LIMIT_BYTES + 1)),
            "jiwei-answer",
            "超过",
        ),
        (Manner::Failure, "jiwei-refused", "98"),
    ] {
        asking.jiwei.behaves(manner);
        let answer = asking.fetch().await;
        assert_eq!(
            (answer.http.as_u16(), answer.status()),
            (200, 1),
            "{}",
            answer.json
        );
        let text = answer.json.to_string();
        assert!(
            text.contains(rule) && answer.message().contains(words),
            "{text}"
        );
        assert!(
            !text.contains("肖萍") && !text.contains("127.0.0.1"),
            "{text}"
        );
        let lines = asking.digest("his:jw");
        let line = lines.iter().find(|line| line.0 == rule);
        assert!(line.is_some(), "{rule}: {lines:?}");
    }
    let lines = asking.digest("his:jw");
    let told = |rule: &str| {
        lines
            .iter()
            .find(|it| it.0 == rule)
            .unwrap()
            .2
            .contains("肖萍")
    };
    assert!(told("jiwei-refused") && !told("jiwei-status") && !told("jiwei-unreadable"));
    assert_eq!(asking.digest("app:demo-pacs"), []);
}

#[tokio::test]
async fn one_that_is_away_is_told_as_away() {
    let asking = Asking::open().await;
    // Nobody listens on the discard port of the loopback
    let mut gone = asking.jiwei.clone();
    gone.url = "http://127.0.0.1:9/".to_owned();
    let asking = Asking {
        jiwei: gone,
        ..asking
    };
    asking.put(Carrier::Raw, true).await;
    let answer = asking.fetch().await;
    assert_eq!(answer.status(), 1);
    assert!(answer.message().contains("连不上"), "{}", answer.json);
    assert!(!answer.json.to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn it_is_asked_in_the_way_that_it_wants() {
    let asking = Asking::open().await;
    asking.jiwei.behaves(Manner::Forms(Vec::new()));
    for (carrier, content_type, begins) in [
        (Carrier::Raw, "text/plain", ""),
        (Carrier::JsonText, "application/json", "\""),
        (Carrier::JsonParam, "application/json", "{\"param\""),
        (
            Carrier::FormParam,
            "application/x-www-form-urlencoded",
            "param=",
        ),
    ] {
        asking.put(carrier, true).await;
        let answer = asking.fetch().await;
        assert_eq!(answer.status(), 0);
        assert_eq!(answer.result()["forms"], json!([]));
        let asked = asking.jiwei.asked.lock().pop().unwrap();
        assert!(asked.content_type.starts_with(content_type), "{carrier:?}");
        assert!(asked.body.starts_with(begins), "{carrier:?}");
    }
}

#[tokio::test]
async fn what_is_not_set_up_is_named() {
    let asking = Asking::open().await;
    let refused = |answer: Answered, words: &str| {
        assert_eq!(answer.status(), 1, "{}", answer.json);
        assert!(answer.message().contains(words), "{}", answer.json);
    };
    let town = json!({ "hospitalCode": "350007" });
    refused(asking.fetch_with(town).await, "yyid00");
    asking.put(Carrier::Raw, false).await;
    refused(asking.fetch().await, "jiwei");
    asking.put(Carrier::Raw, true).await;
    // Wrong fields, all at once
    let wrong = json!({ "cardNo": "无", "businessType": "4", "type": "影像" });
    let answer = asking.fetch_with(wrong).await;
    let paths: Vec<_> = answer
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].clone())
        .collect();
    assert_eq!(paths, ["businessType", "type", "cardNo"]);
    let absent = json!({ "hospitalCode": null, "cardNo": " ", "businessType": null, "type": "" });
    let answer = asking.fetch_with(absent).await;
    assert_eq!(answer.result().as_array().unwrap().len(), 4);
    // A hospital that is suspended takes nothing
    let registry = asking.house.archive.registry();
    let known = registry.hospitals[&code("350006")].clone();
    let suspended = RegistryChange::PutHospital(Hospital {
        mode: HospitalMode::Suspended,
        ..known
    });
    asking.house.change(vec![suspended]).await;
    let answer = asking.fetch().await;
    assert_eq!(answer.status(), 999);
    assert!(answer.message().contains("暂停"), "{}", answer.json);
    assert_eq!(asking.jiwei.asked.lock().len(), 0);
}

#[tokio::test]
async fn who_pushes_or_reads_for_the_hospital_may_ask_and_nobody_else() {
    let asking = Asking::open().await;
    let with = |id: &str, right: Right, hospital: &str| App {
        rights: BTreeSet::from([right]),
        ..asking.house.app(id, Scope::of([&code(hospital)]))
    };
    let apps = [
        with("reader", Right::Read, "350006"),
        with("citer", Right::Cite, "350006"),
        with("other", Right::Push, "350007"),
    ];
    asking
        .house
        .change(apps.map(RegistryChange::PutApp).into())
        .await;
    for (app, status) in [("reader", 0), ("citer", 999), ("other", 999)] {
        let token = asking.house.token(app).await;
        let answer = asking.house.post(PATH, &token, QUESTION).await;
        assert_eq!(answer.status(), status, "{app}");
    }
}

#[tokio::test]
async fn one_is_asked_four_at_once_and_no_more() {
    let asking = Asking::open().await;
    // Four are answered when all four are there: two such groups
    let four = Arc::new(Barrier::new(4));
    asking.jiwei.behaves(Manner::Together(four));
    let answers = join_all((0..8).map(|_| asking.fetch())).await;
    for answer in answers {
        assert_eq!(answer.status(), 0, "{}", answer.json);
    }
    assert_eq!(asking.jiwei.most_at_once.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn who_fetched_which_forms_is_recorded_without_the_patient() {
    let asking = Asking::open().await;
    asking.step(vec![row("1234567", "肖萍")]).await;
    let audit = asking.house.archive.audit_log();
    let records = audit.read(Position(0), 10, 1 << 20).unwrap();
    let texts: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.bytes).into_owned())
        .collect();
    let shown = texts.iter().find(|it| it.contains("applyFetch")).unwrap();
    assert!(
        shown.contains("app:demo-pacs") && shown.contains("1234567"),
        "{shown}"
    );
    assert!(
        !shown.contains("C0001") && !shown.contains("肖萍"),
        "{shown}"
    );
}
