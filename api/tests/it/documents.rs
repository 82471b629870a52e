//! OpenAPI and pages say what the router does.

use axum::body::Body;
use axum::http::Request;
use futures::TryStreamExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::house::House;

async fn get(house: &House, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
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

#[tokio::test]
async fn openapi_names_every_operation_and_each_answers_in_the_envelope() {
    let house = House::open().await;
    let (http, text) = get(&house, "/openapi.json").await;
    assert_eq!(http, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10);
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in paths {
        // Pictures are asked for by GET.
        let Some(operation) = item.get("post") else {
            assert_eq!(path, "/v1/image/frame");
            continue;
        };
        assert!(names.insert(operation["operationId"].as_str().unwrap()));
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        assert!(!example.is_null(), "{path} has an example that is JSON");
        if operation["security"] != serde_json::json!([]) {
            let response = house.post(path, "", example.to_string()).await;
            assert_eq!(response.status(), 999, "{path}");
        }
    }
    let push =
        &paths["/v1/exam/push"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(push["properties"]["examNo"]["maxLength"], 32);
    let items = &push["properties"]["imageList"]["items"];
    assert!(
        items["required"]
            .as_array()
            .unwrap()
            .contains(&"studyUID".into())
    );
}

#[tokio::test]
async fn every_reference_of_openapi_leads_somewhere() {
    let house = House::open().await;
    let (_, text) = get(&house, "/openapi/openapi.json").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    fn walk(document: &Value, value: &Value, seen: &mut usize) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    *seen += 1;
                }
                fields
                    .values()
                    .for_each(|value| walk(document, value, seen));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value, seen)),
            _ => {}
        }
    }
    let mut seen = 0;
    walk(&document, &document, &mut seen);
    assert!(seen > 10);
}

#[tokio::test]
async fn pages_and_probes_answer() {
    let house = House::open().await;
    let (http, docs) = get(&house, "/docs").await;
    assert_eq!(http, 200);
    assert!(docs.contains("/v1/exam/push") && docs.contains("patientInfo.sickId"));
    assert!(!docs.contains("<script"));
    assert_eq!(get(&house, "/").await.0, 200);
    assert_eq!(get(&house, "/healthz").await.0, 200);
    assert_eq!(get(&house, "/readyz").await.0, 200);
    assert_eq!(get(&house, "/nowhere").await.0, 404);
}

#[tokio::test]
async fn an_unknown_address_of_the_interfaces_is_answered_where_clients_read_it() {
    let house = House::open().await;
    for path in [
        "/openapi/v1/exam/pushh",
        "/v1/nothing",
        "/openapi/v2/exam/push",
    ] {
        let answer = house.post(path, "", "{}").await;
        assert_eq!((answer.http.as_u16(), answer.status()), (200, 1), "{path}");
        assert!(answer.message().contains("/docs"), "{path}");
    }
    assert_eq!(house.post("/nothing", "", "{}").await.http, 404);
}

#[tokio::test]
async fn what_apps_with_real_statuses_are_answered_is_documented() {
    let house = House::open().await;
    let (_, text) = get(&house, "/openapi.json").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        if path == "/v1/image/frame" {
            continue;
        }
        let responses = item["post"]["responses"].as_object().unwrap();
        let needs_token = item["post"]["security"] != serde_json::json!([]);
        // Who has no key is told so in the clear.
        let needs_key = item["post"]["x-clear-text"].is_object();
        for (http, documented) in [("401", needs_token || needs_key), ("403", needs_token)] {
            assert_eq!(responses.contains_key(http), documented, "{path} {http}");
        }
    }
}
