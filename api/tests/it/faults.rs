//! Whatever stands in a request: an answer in the envelope, in words, that names the field.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use yingku_core::registry::{App, RegistryChange, Right, Scope};

use crate::house::{House, Response};

/// As JSON texts: some are no value that a parser of ours would write.
const VALUES: [&str; 16] = [
    "null",
    "true",
    "-1",
    "-2.5",
    "1e999",
    "123456789012345678901234567890",
    "\"-2\"",
    "\"abc\"",
    "\"\"",
    "\"\\u0000\\u001b[31m\"",
    "[]",
    "{}",
    "[[[]]]",
    "[{}]",
    "{\"a\":[1]}",
    "\"9999-99-99 99:99:99\"",
];
/// What the parsers below say of a wrong value, in the words of programmers.
const ENGLISH: [&str; 6] = [
    "invalid digit",
    "too large to fit",
    "invalid type",
    "expected",
    "parse",
    "Error",
];

struct Operation {
    path: String,
    schema: Value,
    example: Value,
}

async fn house() -> (House, String) {
    let house = House::open().await;
    let both = App {
        rights: BTreeSet::from([Right::Push, Right::Read, Right::Cite, Right::Supervise]),
        ..house.app("both", Scope::all())
    };
    house.change(vec![RegistryChange::PutApp(both)]).await;
    let token = house.token("both").await;
    (house, token)
}

/// What the OpenAPI document says that there is, but for what is enciphered: without a key nobody can ask that.
async fn operations(house: &House) -> Vec<Operation> {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let document = house.send(request).await.json;
    let paths = document["paths"].as_object().unwrap();
    let operation = |(path, item): (&String, &Value)| {
        let content = &item["post"]["requestBody"]["content"]["application/json"];
        Operation {
            path: path.clone(),
            schema: content["schema"].clone(),
            example: content["example"].clone(),
        }
    };
    let posted = paths.iter().filter(|(_, item)| item["post"].is_object());
    let operations = posted.map(operation);
    operations
        .filter(|it| !it.path.contains("/v1/apply/query"))
        .collect()
}

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c))
}

/// In the contract's manner: a status of R2, or HTTP's own of what is for readers, words in Chinese, faults with path and rule.
fn assert_in_words(response: &Response, about: &str) {
    let answer = &response.json;
    assert!(
        [200, 400, 403, 404, 413].contains(&response.http.as_u16()),
        "{about}: {answer}"
    );
    // Readers are refused another hospital's exam without a reason.
    let refused = match response.http.as_u16() {
        403 => 999,
        _ => 1,
    };
    assert!(
        [0, refused].contains(&response.status()),
        "{about}: {answer}"
    );
    let mut words = vec![response.message()];
    if response.status() == 1 {
        for fault in response.result().as_array().into_iter().flatten() {
            assert!(fault["path"].is_string(), "{about}: {answer}");
            assert!(fault["rule"].is_string(), "{about}: {answer}");
            words.push(fault["message"].as_str().unwrap());
        }
    }
    for words in words {
        assert!(is_chinese(words), "{about}: {words}");
        let english = ENGLISH.iter().find(|english| words.contains(*english));
        assert_eq!(english, None, "{about}: {words}");
    }
}

#[tokio::test]
async fn every_field_of_every_operation_may_hold_anything() {
    let (house, token) = house().await;
    let operations = operations(&house).await;
    assert!(operations.len() >= 10);
    for Operation {
        path,
        schema,
        example,
    } in operations
    {
        if path.ends_with("getToken") {
            // Waits after each failure; what stands in a sign is tested with signs.
            continue;
        }
        for body in VALUES {
            let response = house.post(&path, &token, body).await;
            assert_in_words(&response, &format!("{path} {body}"));
            // Who narrows a search or the feed by nothing looks at all that he may see.
            let asks_for_all = ["/exam/search", "/v1/feed"];
            let asks_for_all = asks_for_all.iter().any(|it| path.ends_with(it));
            let is_question = asks_for_all && body.starts_with('{');
            assert_eq!(response.status() == 0, is_question, "{path} {body}");
        }
        let (fields, is_array) = match schema["items"]["properties"].as_object() {
            Some(fields) => (fields, true),
            None => (schema["properties"].as_object().unwrap(), false),
        };
        let example = if is_array { &example[0] } else { &example };
        for name in fields.keys() {
            for value in VALUES {
                // Put in as text: a parser of ours would not write each of them.
                let mut row = example.clone();
                row[name] = json!("@");
                let body = row.to_string().replace("\"@\"", value);
                let body = if is_array { format!("[{body}]") } else { body };
                let response = house.post(&path, &token, body).await;
                assert_in_words(&response, &format!("{path} {name} {value}"));
            }
        }
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_kind_is_named_with_what_it_may_be() {
    let (house, token) = house().await;
    let exam = json!({"hospitalCode": "350006", "examNo": "E1"});
    let query = json!({"examNo": "E1"});
    let row = json!({"hospitalCode": "350006", "examDate": "2026-07-04", "examClass": "CT", "examNo": "E1"});
    let days = json!({"from": "2026-07-01", "to": "2026-07-02"});
    let whole = "应为 0 至 65535 的整数";
    let page = "应为 1 至 1000000000 的整数";
    for (path, base, field, wrong, words) in [
        (
            "/v1/exam/query",
            &query,
            "pageSize",
            json!(-2),
            "应为 1 至 200 的整数",
        ),
        (
            "/v1/exam/query",
            &query,
            "pageSize",
            json!("0"),
            "应为 1 至 200 的整数",
        ),
        (
            "/v1/exam/query",
            &query,
            "pageSize",
            json!(201),
            "应为 1 至 200 的整数",
        ),
        (
            "/v1/exam/query",
            &query,
            "pageSize",
            json!(1.5),
            "应为 1 至 200 的整数",
        ),
        (
            "/v1/exam/query",
            &query,
            "pageSize",
            json!([5]),
            "应为文本，实为",
        ),
        ("/v1/exam/query", &query, "pageNo", json!("x"), page),
        ("/v1/exam/query", &query, "pageNo", json!(u64::MAX), page),
        (
            "/v1/exam/query",
            &query,
            "examStatus",
            json!(55),
            "应为 20、50、60、65、70 之一",
        ),
        (
            "/v1/exam/query",
            &query,
            "includeWithdrawn",
            json!("maybe"),
            "应为 true 或 false",
        ),
        (
            "/v1/exam/query",
            &query,
            "hospitalCode",
            json!("3".repeat(33)),
            "最多 32 个字符，实为 33 个",
        ),
        (
            "/v1/exam/query",
            &query,
            "studyUID",
            json!("1.2.x"),
            "只能由数字和点组成",
        ),
        (
            "/v1/exam/query",
            &query,
            "from",
            json!("2026-02-30"),
            "日历中没有",
        ),
        ("/v1/exam/detail", &exam, "generation", json!(-1), whole),
        ("/v1/exam/detail", &exam, "generation", json!(65_536), whole),
        (
            "/v1/exam/detail",
            &exam,
            "examNo",
            json!({"a": 1}),
            "应为文本，实为",
        ),
        ("/v1/exam/history", &exam, "generation", json!("-1"), whole),
        ("/v1/exam/history", &exam, "pageNo", json!(0), page),
        (
            "/v1/exam/history",
            &exam,
            "asOf",
            json!("2026-11-24"),
            "应为 YYYY-MM-DD HH:MM:SS",
        ),
        (
            "/v1/statistics/reconcile",
            &days,
            "asOf",
            json!(-5),
            "应为 YYYY-MM-DD HH:MM:SS",
        ),
        (
            "/v1/exam/query",
            &query,
            "from",
            json!("bad"),
            "应为 YYYY-MM-DD",
        ),
        (
            "/v1/statistics/reconcile",
            &days,
            "from",
            json!("2026-07-03"),
            "from 在 to 之后",
        ),
        (
            "/v1/statistics/reconcile",
            &days,
            "hospitalCode",
            json!("999"),
            "未在平台登记",
        ),
        (
            "/v1/exam/query",
            &query,
            "hospitalCode",
            json!("999"),
            "未在平台登记",
        ),
        (
            "/v1/exam/detail",
            &exam,
            "studyUID",
            json!("abc"),
            "只能由数字和点组成",
        ),
        (
            "/v1/exam/detail",
            &exam,
            "examNo",
            json!("长".repeat(33)),
            "最多 32 个字符，实为 33 个",
        ),
        (
            "/v1/exam/withdraw",
            &exam,
            "reason",
            json!("长".repeat(10_000)),
            "过长：最多",
        ),
        ("/v1/statistics/reconcile", &days, "to", json!(null), "必填"),
        ("/v1/exam/uploadDetail", &row, "imageCount", json!(-2), "数"),
        (
            "/v1/exam/uploadDetail",
            &row,
            "imageCount",
            json!(99_999),
            "数",
        ),
        ("/v1/exam/uploadDetail", &row, "examNo", json!([]), "文本"),
    ] {
        let mut body = base.clone();
        body[field] = wrong.clone();
        let response = house.post(path, &token, body.to_string()).await;
        let about = format!("{path} {field} {wrong}: {}", response.json);
        assert_eq!(response.status(), 1, "{about}");
        let faults = response.result().as_array().unwrap();
        let fault = faults
            .iter()
            .find(|fault| fault["path"].as_str().unwrap().ends_with(field));
        let fault = fault.unwrap_or_else(|| panic!("{about}"));
        let said = fault["message"].as_str().unwrap();
        assert!(said.contains(words), "{about}");
        assert!(response.message().contains(field), "{about}");
    }
}

#[tokio::test]
async fn a_faulty_condition_is_the_only_fault() {
    let (house, token) = house().await;
    for condition in [
        json!({"from": "bad"}),
        json!({"studyUID": "abc"}),
        json!({"examStatus": "55"}),
        json!({"hospitalCode": "3".repeat(33)}),
        json!({"hospitalCode": "350006", "applyNo": "9".repeat(65)}),
    ] {
        let answer = house
            .post("/v1/exam/query", &token, condition.to_string())
            .await;
        assert_eq!(
            answer.result().as_array().unwrap().len(),
            1,
            "{}",
            answer.json
        );
    }
    // none at all is a fault
    let answer = house
        .post("/v1/exam/query", &token, json!({}).to_string())
        .await;
    assert_eq!(
        answer.result().as_array().unwrap().len(),
        1,
        "{}",
        answer.json
    );
}

#[tokio::test]
async fn days_that_run_backwards_are_refused_at_both_ends() {
    let (house, token) = house().await;
    let days = json!({"from": "2026-07-05", "to": "2026-07-04"});
    for path in ["/v1/exam/query", "/v1/statistics/reconcile"] {
        let answer = house.post(path, &token, days.to_string()).await;
        let faults = answer.result().as_array().unwrap();
        let paths: Vec<&str> = faults
            .iter()
            .map(|it| it["path"].as_str().unwrap())
            .collect();
        assert_eq!(
            (answer.status(), &paths[..]),
            (1, &["from", "to"][..]),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_exam_is_the_same_fault_for_every_operation() {
    let (house, token) = house().await;
    let exam =
        json!({"hospitalCode": "350006", "examNo": "NONE", "reason": "误传", "author": "王"});
    for path in ["/v1/exam/detail", "/v1/exam/history", "/v1/exam/withdraw"] {
        let answer = house.post(path, &token, exam.to_string()).await;
        let fault = &answer.result()[0];
        assert_eq!(
            (&fault["path"], &fault["rule"]),
            (&json!("examNo"), &json!("not-found")),
            "{path}"
        );
    }
    let study = json!({"studyUID": "1.2.3"});
    let answer = house
        .post("/v1/exam/detail", &token, study.to_string())
        .await;
    assert_eq!(answer.result()[0]["path"], "studyUID");
    let lines = house.archive.errors().lines("app:both").unwrap();
    assert!(
        lines.iter().all(|line| line.key.rule == "not-found"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_digest_tells_field_and_operation_apart() {
    let (house, token) = house().await;
    for body in ["{", "[]"] {
        house.post("/v1/exam/push", &token, body).await;
    }
    let lines = house.archive.errors().lines("app:both").unwrap();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(
            (&*line.key.operation, &*line.key.path),
            ("/v1/exam/push", "")
        );
    }
}

#[tokio::test]
async fn a_declaration_of_a_day_to_come_is_refused_with_its_row() {
    let (house, token) = house().await;
    for path in ["/v1/exam/uploadStatistics", "/v1/exam/uploadDetail"] {
        let row = json!([{"hospitalCode": "350006", "examDate": "2199-01-01", "examClass": "CT", "accordCount": 1, "examNo": "E1"}]);
        let answer = house.post(path, &token, row.to_string()).await;
        assert_eq!(answer.result()[0]["path"], "[0].examDate", "{path}");
        assert!(answer.message().contains("尚未到来"), "{}", answer.json);
    }
}
