//! A hospital's PACS asks for apply forms in the way of 基卫.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures::TryStreamExt;
use futures::future::join_all;
use serde_json::Value;
use tower::ServiceExt;
use yingku_api::ApiConfig;
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::jiwei::{
    Answer, ApplyKind, ApplyQuery, BusinessType, Carrier, JiweiError, JiweiForm, JiweiKey,
};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event};
use yingku_core::ids::Position;
use yingku_core::registry::{App, AppJiwei, Hospital, HospitalMode, RegistryChange, Scope};
use yingku_storage::archive::Submission;
use yingku_storage::keys::Purpose;

use crate::house::{House, code, hospital, push_with};

pub const KEY: &str = "0123456789abcdef";
const FORM: &str = include_str!("../../../tests/fixtures/contract/syn_apply_info.xml");
const PATH: &str = "/openapi/v1/apply/query/demo-pacs";
const ANYWHERE: &str = "192.0.2.9";

pub fn key() -> JiweiKey {
    JiweiKey::new(KEY).unwrap()
}

pub fn with_key(house: &House, id: &str, hospitals: Scope, addresses: &[&str]) -> App {
    let sealed = house.archive.key().seal(Purpose::Jiwei, KEY.as_bytes());
    App {
        jiwei: Some(AppJiwei {
            key: sealed.unwrap(),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        }),
        ..house.app(id, hospitals)
    }
}

/// Two hospitals with numbers, and an app of the first with a key.
async fn asked_house(config: ApiConfig) -> House {
    let house = House::with(config).await;
    let numbered = |text: &str, prefix: &str, yyid00: &str| Hospital {
        prefix: Some(prefix.to_owned()),
        yyid00: Some(yyid00.to_owned()),
        ..hospital(text, HospitalMode::Live)
    };
    let app = with_key(&house, "demo-pacs", Scope::of([&code("350006")]), &[]);
    house
        .change(vec![
            RegistryChange::PutHospital(numbered("350006", "7173", "6930")),
            RegistryChange::PutHospital(numbered("350007", "7174", "6931")),
            RegistryChange::PutApp(app),
        ])
        .await;
    house
}

/// Brings in the contract's sample with some texts replaced.
pub async fn bring(house: &House, replaced: &[(&str, &str)]) {
    let mut text = FORM.to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let registry = house.archive.registry();
    let context = FormContext {
        registry: &registry,
    };
    let parsed = parse(&xml::read(&text).unwrap(), context).unwrap();
    let submission = Submission {
        hospital: Some(parsed.hospital.clone()),
        actor: "his:test".to_owned(),
        event: Event::ApplyFormReceived(ApplyFormReceived {
            hospital: parsed.hospital,
            source: FormSource::Soap,
            body: parsed.body,
        }),
    };
    let decided = house.archive.submit(submission).await.unwrap();
    assert!(matches!(
        decided.outcome,
        yingku_core::outcome::Outcome::Form(_)
    ));
}

fn question(number: &str) -> ApplyQuery {
    ApplyQuery {
        medicare_code: number.to_owned(),
        yyid00: "6930".to_owned(),
        business_type: BusinessType::Outpatient,
        kind: ApplyKind::Imaging,
    }
}

fn sealed(question: &ApplyQuery) -> String {
    question.compose(&key(), Carrier::Raw).unwrap()
}

async fn post(house: &House, path: &str, from: &str, body: String) -> (u16, String) {
    let mut request = Request::post(path).body(Body::from(body)).unwrap();
    let from = SocketAddr::new(from.parse().unwrap(), 40_000);
    request.extensions_mut().insert(ConnectInfo(from));
    let response = house.router.clone().oneshot(request).await.unwrap();
    let http = response.status().as_u16();
    let chunks: Vec<_> = response
        .into_body()
        .into_data_stream()
        .try_collect()
        .await
        .unwrap();
    (http, String::from_utf8(chunks.concat()).unwrap())
}

async fn ask(house: &House, question: &ApplyQuery) -> Result<Vec<JiweiForm>, JiweiError> {
    let (http, text) = post(house, PATH, ANYWHERE, sealed(question)).await;
    assert_eq!(http, 200, "{text}");
    Answer::read(text.as_bytes(), &key()).map(|answer| {
        assert_eq!(answer.unreadable, []);
        answer.forms
    })
}

async fn numbers(house: &House, question: &ApplyQuery) -> Vec<String> {
    let forms = ask(house, question).await.unwrap();
    forms.into_iter().map(|it| it.apply_code.unwrap()).collect()
}

fn said(error: JiweiError) -> String {
    match error {
        JiweiError::Refused { code, said } => {
            assert_eq!(code, "98");
            said.for_operators().to_owned()
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_patient_s_forms_are_answered_newest_first_by_each_of_his_numbers() {
    let house = asked_house(ApiConfig::default()).await;
    bring(&house, &[]).await;
    bring(
        &house,
        &[
            ("7173_00000001", "7173_2"),
            ("2026-07-04 09:30:00", "2026-07-05 09:30:00"),
        ],
    )
    .await;
    // and of other patients, classes and kinds
    bring(
        &house,
        &[
            ("7173_00000001", "7173_3"),
            ("C0001", "C0002"),
            ("O000017", "O1"),
            ("MI350001", "MI1"),
        ],
    )
    .await;
    bring(&house, &[("7173_00000001", "7173_4"), (">CT<", ">心电<")]).await;
    bring(
        &house,
        &[
            ("7173_00000001", "7173_5"),
            ("code=\"OU\">门诊", "code=\"IN\">住院"),
            ("<InPatientNo/>", "<InPatientNo>Z9</InPatientNo>"),
        ],
    )
    .await;
    bring(
        &house,
        &[
            ("7173_00000001", "7173_6"),
            ("code=\"OU\">门诊", "code=\"PE\">体检"),
        ],
    )
    .await;
    for number in ["C0001", "O000017", "MI350001"] {
        assert_eq!(numbers(&house, &question(number)).await, ["2", "00000001"]);
    }
    let other = |business_type, kind, number| ApplyQuery {
        business_type,
        kind,
        ..question(number)
    };
    let ecg = other(BusinessType::Outpatient, ApplyKind::Ecg, "C0001");
    assert_eq!(numbers(&house, &ecg).await, ["4"]);
    let inpatient = other(BusinessType::Inpatient, ApplyKind::Imaging, "Z9");
    assert_eq!(numbers(&house, &inpatient).await, ["5"]);
    let checkup = other(BusinessType::Checkup, ApplyKind::Imaging, "C0001");
    assert_eq!(numbers(&house, &checkup).await, ["6"]);
    assert!(numbers(&house, &question("nobody")).await.is_empty());
}

#[tokio::test]
async fn a_form_is_told_in_the_contract_s_fields_with_where_it_stands() {
    let house = asked_house(ApiConfig::default()).await;
    bring(&house, &[]).await;
    let form = ask(&house, &question("C0001")).await.unwrap().remove(0);
    let is = |field: &Option<String>, text: &str| assert_eq!(field.as_deref(), Some(text));
    is(&form.name, "肖萍");
    is(&form.id_card, "350100198001010029");
    is(&form.doctor, "王医生");
    is(&form.project, "胸部CT平扫");
    is(&form.check_department_code, "0009");
    is(&form.yyid00, "6930");
    is(&form.reg_state, "0");
    assert_eq!(form.missing().count(), 0);
    // When an exam has it, it is registered, and is not open but still told
    let push = push_with(&[
        ("/examInfo/applyNo", "00000001".into()),
        ("/examInfo/examStatus", "50".into()),
    ]);
    let reader = with_key(&house, "pusher", Scope::all(), &[]);
    house.change(vec![RegistryChange::PutApp(reader)]).await;
    let token = house.token("pusher").await;
    let pushed = house.post("/v1/exam/push", &token, push).await;
    assert_eq!(pushed.status(), 0, "{}", pushed.json);
    let form = ask(&house, &question("C0001")).await.unwrap().remove(0);
    is(&form.reg_state, "1");
    // And one that its HIS deleted is told no more
    bring(&house, &[("7173_00000001", "7173_9")]).await;
    assert_eq!(numbers(&house, &question("C0001")).await.len(), 2);
    bring(
        &house,
        &[("7173_00000001", "7173_9"), (">INSERT<", ">DELETE<")],
    )
    .await;
    assert_eq!(numbers(&house, &question("C0001")).await, ["00000001"]);
}

#[tokio::test]
async fn the_hospital_is_found_by_each_of_its_codes_and_others_show_nothing() {
    let house = asked_house(ApiConfig::default()).await;
    bring(&house, &[]).await;
    let at = |yyid00: &str| ApplyQuery {
        yyid00: yyid00.to_owned(),
        ..question("C0001")
    };
    for yyid00 in ["6930", "7173", "350006"] {
        assert_eq!(numbers(&house, &at(yyid00)).await, ["00000001"]);
    }
    // One that is not the app's, and one that is not there
    let [others, nowhere] = ["6931", "9999"].map(at);
    let others = said(ask(&house, &others).await.unwrap_err());
    assert_eq!(others, said(ask(&house, &nowhere).await.unwrap_err()));
    let lines = house.archive.errors().lines("app:demo-pacs").unwrap();
    let line = lines.iter().find(|it| it.key.path == "yyid00").unwrap();
    assert_eq!((line.count, &*line.key.operation), (2, "/v1/apply/query"));
    // A number that stands for none is nobody's
    let error = said(ask(&house, &question("无")).await.unwrap_err());
    assert!(error.contains("medicarecode"), "{error}");
}

#[tokio::test]
async fn a_trial_s_forms_are_for_trials_only() {
    let house = asked_house(ApiConfig::default()).await;
    let mode = |mode| {
        let registry = house.archive.registry();
        let known = registry.hospitals[&code("350006")].clone();
        RegistryChange::PutHospital(Hospital { mode, ..known })
    };
    bring(&house, &[]).await;
    house.change(vec![mode(HospitalMode::Test)]).await;
    bring(&house, &[("7173_00000001", "7173_T")]).await;
    assert_eq!(numbers(&house, &question("C0001")).await, ["T"]);
    house.change(vec![mode(HospitalMode::Live)]).await;
    assert_eq!(numbers(&house, &question("C0001")).await, ["00000001"]);
}

#[tokio::test]
async fn the_key_is_that_of_the_app_in_the_address_or_of_the_caller_s_address() {
    let house = asked_house(ApiConfig::default()).await;
    bring(&house, &[]).await;
    let near = with_key(&house, "near", Scope::of([&code("350006")]), &["192.0.2.1"]);
    let disabled = App {
        enabled: false,
        ..with_key(&house, "disabled", Scope::all(), &["192.0.2.2"])
    };
    let keyless = house.app("keyless", Scope::all());
    let changes = [near, disabled, keyless].map(RegistryChange::PutApp);
    house.change(changes.into()).await;
    for (path, from) in [
        ("/v1/apply/query/demo-pacs", ANYWHERE),
        ("//openapi//v1/apply//query/demo-pacs/", ANYWHERE),
        ("/v1/apply/query", "192.0.2.1"),
        ("/openapi/v1/apply/query", "::ffff:192.0.2.1"),
        ("/v1/apply/query/near", "192.0.2.1"),
    ] {
        let (http, text) = post(&house, path, from, sealed(&question("C0001"))).await;
        assert_eq!(http, 200, "{path}");
        let answer = Answer::read(text.as_bytes(), &key()).unwrap();
        assert_eq!(answer.forms.len(), 1, "{path}");
    }
    // Who has no key to be answered with hears so, and one thing only
    let mut heard = std::collections::BTreeSet::new();
    for (path, from) in [
        ("/v1/apply/query", ANYWHERE),
        ("/v1/apply/query", "192.0.2.2"),
        ("/v1/apply/query/near", ANYWHERE),
        ("/v1/apply/query/keyless", ANYWHERE),
        ("/v1/apply/query/disabled", "192.0.2.2"),
        ("/v1/apply/query/nobody", ANYWHERE),
        ("/v1/apply/query/%20", ANYWHERE),
    ] {
        let (http, text) = post(&house, path, from, sealed(&question("C0001"))).await;
        assert_eq!(http, 401, "{path}");
        heard.insert(text);
    }
    assert_eq!(heard.len(), 1, "{heard:?}");
    let envelope: Value = serde_json::from_str(heard.first().unwrap()).unwrap();
    assert_eq!(envelope["status"], 999);
    // An address that goes on further is none of ours
    let (http, text) = post(&house, "/v1/apply/query/a/b", ANYWHERE, String::new()).await;
    assert!(http == 200 && text.contains("/docs"), "{text}");
}

#[tokio::test]
async fn whatever_cannot_be_read_is_answered_with_the_same_bytes() {
    let house = asked_house(ApiConfig {
        max_sign_failures: u32::MAX,
        ..ApiConfig::default()
    })
    .await;
    let question = question("C0001");
    let sealed = sealed(&question);
    let mut bodies: Vec<String> = (0..20)
        .map(|n| {
            let other = JiweiKey::new(&format!("another key {n:04}")).unwrap();
            question.compose(&other, Carrier::JsonParam).unwrap()
        })
        .collect();
    bodies.extend((1..20).map(|n| sealed.split_at(sealed.len() - n * 3).0.to_owned()));
    bodies.push(String::new());
    bodies.push(r#"{"medicarecode":"C0001","yyid00":"6930","businesstype":"1","type":"2"}"#.into());
    let answers = bodies
        .into_iter()
        .map(|body| post(&house, PATH, ANYWHERE, body));
    let answers: std::collections::BTreeSet<_> = join_all(answers).await.into_iter().collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let (http, text) = answers.first().unwrap();
    assert_eq!(*http, 200);
    let error = said(Answer::read(text.as_bytes(), &key()).unwrap_err());
    assert_eq!(error, JiweiError::NotReadable.to_string());
}

#[tokio::test]
async fn what_is_missing_is_named_in_the_contract_s_words() {
    let house = asked_house(ApiConfig::default()).await;
    // The other side's failure, whose fields are no question's
    let body = yingku_core::contract::jiwei::answer::compose_failure("x", &key());
    let (http, text) = post(&house, PATH, ANYWHERE, body).await;
    assert_eq!(http, 200);
    let error = said(Answer::read(text.as_bytes(), &key()).unwrap_err());
    assert_eq!(error, "缺少必传参数：medicarecode！");
}

#[tokio::test]
async fn who_fails_too_often_waits_and_other_addresses_do_not() {
    let house = asked_house(ApiConfig {
        max_sign_failures: 2,
        ..ApiConfig::default()
    })
    .await;
    let wrong = question("C0001");
    let wrong = wrong.compose(&JiweiKey::new("another key 0000").unwrap(), Carrier::Raw);
    let wrong = wrong.unwrap();
    for _ in 0..2 {
        assert_eq!(post(&house, PATH, ANYWHERE, wrong.clone()).await.0, 200);
    }
    let (http, text) = post(&house, PATH, ANYWHERE, wrong).await;
    assert_eq!(http, 429);
    let error = said(Answer::read(text.as_bytes(), &key()).unwrap_err());
    assert!(error.contains("稍后"), "{error}");
    let right = sealed(&question("C0001"));
    assert_eq!(post(&house, PATH, "192.0.2.10", right).await.0, 200);
}

#[tokio::test]
async fn a_question_that_is_too_large_is_refused_before_it_is_read() {
    let house = asked_house(ApiConfig::default()).await;
    let (http, _) = post(&house, PATH, ANYWHERE, "A".repeat((64 << 10) + 1)).await;
    assert_eq!(http, 413);
}

#[tokio::test]
async fn who_was_shown_which_forms_is_recorded_without_the_patient() {
    let house = asked_house(ApiConfig::default()).await;
    bring(&house, &[]).await;
    ask(&house, &question("C0001")).await.unwrap();
    let audit = house.archive.audit_log();
    let records = audit.read(Position(0), 10, 1 << 20).unwrap();
    let texts: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.bytes).into_owned())
        .collect();
    let shown = texts.iter().find(|it| it.contains("applyQuery")).unwrap();
    for part in ["app:demo-pacs", "350006", "00000001"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(
        !shown.contains("C0001") && !shown.contains("肖萍"),
        "{shown}"
    );
}
