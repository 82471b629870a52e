//! getToken and tokens: R2, R3, R4.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yingku_api::ApiConfig;
use yingku_core::registry::{
    App, EnvelopeShape, HttpStatus, RegistryChange, ResultShape, Scope, StatusType,
};
use yingku_core::time::{LocalDateTime, Zone};

use crate::house::{House, encrypt, sign};

fn now(minutes: i64) -> String {
    let moment_ms = jiff::Timestamp::now().as_millisecond() + minutes * 60_000;
    LocalDateTime::from_unix_ms(moment_ms, &Zone::default())
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn every_plaintext_and_spelling_of_a_sign_gives_a_token() {
    let house = House::open().await;
    let plain = "demo-pacs,350006,demo-license";
    let block = encrypt(plain.as_bytes());
    let hex: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, second) = plain.as_bytes().split_at(9);
    let blocks = STANDARD.encode([encrypt(first), encrypt(second)].concat());
    let four: Vec<u8> = plain.as_bytes().chunks(8).flat_map(encrypt).collect();
    let four_in_hex: String = four.iter().map(|byte| format!("{byte:02X}")).collect();
    let four = STANDARD.encode(four);
    let lines: Vec<&str> = std::str::from_utf8(sign(plain).leak().as_bytes())
        .unwrap()
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    for sign in [
        sign(plain),
        hex,
        blocks,
        four,
        four_in_hex,
        lines.join("\n"),
        sign(plain).replace('+', " "),
        sign(&format!("demo-pacs,demo-license,{}", now(0))),
        sign(&format!("demo-pacs,350007,demo-license,{}", now(5))),
    ] {
        let response = house.get_token(&sign).await;
        assert_eq!(response.status(), 0, "{}", response.json);
        let token = response.result()["token"].as_str().unwrap();
        assert!(token.len() <= 256);
    }
}

#[tokio::test]
async fn until_app_and_license_match_every_failure_is_alike_in_words_and_time() {
    let house = House::open().await;
    let mut answers = Vec::new();
    for sign in [
        sign("demo-pacs,350006,wrong-license"),
        sign("nobody,350006,demo-license"),
        sign("nonsense"),
        "AAAA".to_owned(),
        String::new(),
        sign(&format!("demo-pacs,wrong-license,{}", now(-60))),
    ] {
        let started = Instant::now();
        let response = house.get_token(&sign).await;
        assert!(started.elapsed() >= Duration::from_millis(200));
        assert_eq!(response.http, 200);
        answers.push(response.json.to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let reasons = house.archive.errors().lines("app:demo-pacs").unwrap();
    assert!(reasons.iter().any(|line| line.key.rule == "sign-license"));
}

#[tokio::test]
async fn a_timed_sign_works_once_and_within_its_window() {
    let house = House::open().await;
    let timed = sign(&format!("demo-pacs,demo-license,{}", now(0)));
    assert_eq!(house.get_token(&timed).await.status(), 0);
    let again = house.get_token(&timed).await;
    assert_eq!(again.status(), 1);
    assert!(again.message().contains("已使用"), "{}", again.message());
    let old = house
        .get_token(&sign(&format!("demo-pacs,demo-license,{}", now(-30))))
        .await;
    assert_eq!(old.status(), 1);
    assert!(old.message().contains("服务器时间"));
    assert!(old.result()[0]["serverTime"].is_string());
    let foreign = house
        .get_token(&sign("demo-pacs,999999,demo-license"))
        .await;
    assert!(foreign.message().contains("orgId"), "{}", foreign.json);
}

#[tokio::test]
async fn a_malformed_time_is_told_once_the_license_matches_and_not_before() {
    let house = House::open().await;
    for time in ["2026-13-45 10:00:00", "23/11/2026 10:00"] {
        for form in ["demo-pacs,350006,demo-license", "demo-pacs,demo-license"] {
            let answer = house.get_token(&sign(&format!("{form},{time}"))).await;
            assert_eq!(answer.status(), 1);
            assert!(answer.message().contains("YYYY-MM-DD HH:MM:SS"), "{form}");
            let server = answer.result()[0]["serverTime"].as_str().unwrap();
            assert!(answer.message().contains(server), "{}", answer.json);
        }
    }
    let lines = house.archive.errors().lines("app:demo-pacs").unwrap();
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!((&*line.key.rule, line.count), ("sign-time-form", 4));
    // with another license it is a wrong sign like any other
    let general = house.get_token("AAAA").await.json;
    let wrong = sign("demo-pacs,350006,wrong,2026-13-45 10:00:00");
    assert_eq!(house.get_token(&wrong).await.json, general);
}

#[tokio::test]
async fn the_digest_tells_of_signs_and_tokens_in_chinese_first() {
    let house = House::open().await;
    house.get_token("AAAA").await;
    house.get_token(&sign("demo-pacs,350006,wrong")).await;
    house.post("/v1/exam/push", "nonsense", "{}").await;
    let mut lines = house.archive.errors().lines("app:demo-pacs").unwrap();
    lines.extend(house.archive.errors().lines("address:0.0.0.0").unwrap());
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        let english = line.reason.find(" (").unwrap();
        let (chinese, _) = line.reason.split_at(english);
        let is_chinese = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
        assert!(chinese.contains(is_chinese), "{}", line.reason);
    }
}

#[tokio::test]
async fn an_app_that_requires_time_is_told_so() {
    let house = House::open().await;
    let app = App {
        require_time: true,
        ..house.app("timed", Scope::all())
    };
    house.change(vec![RegistryChange::PutApp(app)]).await;
    let without = house.get_token(&sign("timed,350006,demo-license")).await;
    assert_eq!(without.status(), 1);
    assert!(without.message().contains("时间"));
}

fn strict() -> ApiConfig {
    ApiConfig {
        max_sign_failures: 2,
        sign_turn_time: Duration::from_millis(10),
        ..ApiConfig::default()
    }
}

#[tokio::test]
async fn an_app_that_fails_too_often_waits_and_its_neighbours_do_not() {
    let house = House::with(strict()).await;
    let neighbour = house.app("neighbour", Scope::all());
    house.change(vec![RegistryChange::PutApp(neighbour)]).await;
    // Given an app whose license was wrong too often
    for _ in 0..2 {
        let wrong = house.get_token(&sign("demo-pacs,350006,wrong")).await;
        assert_eq!((wrong.http.as_u16(), wrong.status()), (200, 1));
    }
    // Then it waits, with the right license and with a wrong one
    for license in ["demo-license", "wrong"] {
        let sign = sign(&format!("demo-pacs,350006,{license}"));
        let answer = house.get_token(&sign).await;
        assert_eq!(answer.http, 429, "{license}");
    }
    // And another app from the same address does not
    let other = house
        .get_token(&sign("neighbour,350006,demo-license"))
        .await;
    assert_eq!(other.status(), 0, "{}", other.json);
}

#[tokio::test]
async fn a_stranger_who_sends_nonsense_locks_nobody_out() {
    let house = House::with(strict()).await;
    for _ in 0..4 {
        assert_eq!(house.get_token("AAAA").await.http, 200);
    }
    let answer = house
        .get_token(&sign("demo-pacs,350006,demo-license"))
        .await;
    assert_eq!(answer.status(), 0, "{}", answer.json);
}

#[tokio::test]
async fn a_missing_wrong_or_ended_token_is_999_at_200_and_401_for_who_wants_it() {
    let house = House::open().await;
    let path = "/v1/exam/push";
    for token in ["", "nonsense", &"A".repeat(300)] {
        let response = house.post(path, token, "{}").await;
        assert_eq!((response.http.as_u16(), response.status()), (200, 999));
        assert!(response.message().contains("token无效或已过期，请重新获取"));
    }
    let token = house.token("demo-pacs").await;
    let earlier = token.clone();
    assert_ne!(house.token("demo-pacs").await, earlier);
    assert_eq!(house.post(path, &earlier, "{}").await.status(), 1);
    let bearer = Request::post(path)
        .header("Authorization", format!("Bearer {token}"))
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(house.send(bearer).await.status(), 1);
    // A header that is always sent, empty, hides no other
    let both = Request::post(path)
        .header("token", " ")
        .header("Authorization", format!("Bearer {token}"))
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(house.send(both).await.status(), 1);
    let ended = App {
        epoch: 1,
        http_status: HttpStatus::Real,
        ..house.app("demo-pacs", Scope::all())
    };
    house.change(vec![RegistryChange::PutApp(ended)]).await;
    let response = house.post(path, &token, "{}").await;
    assert_eq!((response.http.as_u16(), response.status()), (401, 999));
}

#[tokio::test]
async fn without_the_right_or_the_hospital_it_is_999() {
    let house = House::open().await;
    let reader = house.token("demo-reader").await;
    let response = house
        .post("/v1/exam/push", &reader, crate::house::SAMPLE)
        .await;
    assert_eq!((response.http.as_u16(), response.status()), (200, 999));
    assert!(response.message().contains("无权限"));
    let pacs = house.token("demo-pacs").await;
    let foreign = crate::house::push_with(&[("/hospitalCode", json!("350008"))]);
    let response = house.post("/v1/exam/push", &pacs, foreign).await;
    assert_eq!(response.status(), 999);
    assert!(response.message().contains("无权限"));
}

#[tokio::test]
async fn every_app_is_answered_in_its_shape() {
    let house = House::open().await;
    let app = App {
        envelope: EnvelopeShape::Content,
        status_type: StatusType::Text,
        result_shape: ResultShape::Array,
        ..house.app("shaped", Scope::all())
    };
    house.change(vec![RegistryChange::PutApp(app)]).await;
    let response = house.get_token(&sign("shaped,350006,demo-license")).await;
    let content = &response.json["content"];
    assert_eq!(content["status"], Value::from("0"));
    let token = content["result"][0]["token"].as_str().unwrap();
    let refused = house.post("/v1/exam/push", token, "{}").await;
    assert_eq!(refused.json["content"]["status"], Value::from("1"));
    let open = house.get_token("AAAA").await;
    assert_eq!(open.status(), 1, "nobody's shape is the default");
}
