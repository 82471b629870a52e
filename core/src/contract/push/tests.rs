//! Pushes that must be taken, refused and flagged. What every row of the table demands is in `table_tests`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;
use crate::contract::policy::Mode;

pub(super) const SAMPLE: &[u8] =
    include_bytes!("../../../../tests/fixtures/contract/exam_push.json");

pub(super) fn sample() -> Value {
    serde_json::from_slice(SAMPLE).unwrap()
}

pub(super) fn parse_bytes(
    policy: &ValidationPolicy,
    bytes: &[u8],
    charset: Option<&str>,
) -> Result<Parsed, Box<Refused>> {
    let (aliases, placeholders) = (ClassAliases::default(), Placeholders::default());
    parse(
        bytes,
        charset,
        PushContext {
            policy,
            aliases: &aliases,
            placeholders: &placeholders,
        },
    )
}

pub(super) fn parse_value(
    policy: &ValidationPolicy,
    value: &Value,
) -> Result<Parsed, Box<Refused>> {
    parse_bytes(policy, &serde_json::to_vec(value).unwrap(), None)
}

fn taken(value: &Value) -> Parsed {
    match parse_value(&ValidationPolicy::default(), value) {
        Ok(parsed) => parsed,
        Err(refused) => panic!("refused: {:?}", refused.faults),
    }
}

fn refused(value: &Value) -> Box<Refused> {
    parse_value(&ValidationPolicy::default(), value).expect_err("a refusal")
}

fn places(faults: &[Fault]) -> Vec<(&str, Rule)> {
    faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.rule))
        .collect()
}

#[test]
fn the_sample_parses_as_it_stands() {
    let parsed = parse_bytes(&ValidationPolicy::default(), SAMPLE, None).expect("the sample");
    assert_eq!(parsed.warnings, []);
    assert!(parsed.flags.is_empty());
    let push = parsed.push;
    assert_eq!(
        (push.hospital_code.as_str(), push.exam_no.as_str()),
        ("350006", "E20260704001")
    );
    assert_eq!(
        push.patient_info.birth_date.unwrap().to_string(),
        "1980-01-01"
    );
    assert!(push.patient_info.identity[0].id_name.as_deref() == Some("居民身份证"));
    assert_eq!(push.exam_info.exam_status, ExamStatus::Confirmed);
    assert_eq!(
        push.exam_info.exam_status.report_state(),
        ReportState::Confirmed
    );
    assert_eq!(push.exam_info.exam_time.to_string(), "2026-07-04 10:54:32");
    assert!(push.report_list[0].category[0].ca_code.as_deref() == Some("J18.9"));
    assert_eq!(push.image_list[0].image_count, Some(2));
}

#[test]
fn the_canonical_json_of_the_sample_is_the_sample() {
    let parsed = taken(&sample());
    assert_eq!(
        serde_json::from_slice::<Value>(&parsed.body.json).unwrap(),
        sample()
    );
    assert!(ExamPush::from_canonical(&parsed.body.json) == Some(parsed.push));
}

#[test]
fn every_leniency_of_r5_gives_the_same_content() {
    // Given the sample in a sloppy sender's spelling
    let mut value = sample();
    value["examInfo"]["examStatus"] = json!(70);
    value["examInfo"]["cost"] = json!(153.45);
    value["imageList"] = value["imageList"][0].clone();
    value["imageList"]["imageCount"] = json!(2);
    value["examInfo"]["examOrganList"] = json!(["胸部"]);
    value["examInfo"]["examItemList"] = value["examInfo"]["examItemList"][0].clone();
    value["examInfo"]["examTime"] = json!("2026/07/04 10:54:32.0");
    value["examInfo"]["reqTime"] = json!(20_260_704_093_000_i64);
    value["patientInfo"]["birthDate"] = json!("1980-01-01T00:00:00");
    value["patientInfo"]["bedno"] = Value::Null;
    value["patientInfo"]["height"] = json!("");
    value["patientInfo"]["name"] = json!(" 肖萍 ");
    value["reportList"][0]["printTime"] = json!("  ");
    // When both are checked
    let (lenient, exact) = (taken(&value), taken(&sample()));
    // Then they are one content
    assert!(lenient.push == exact.push);
    assert_eq!(lenient.body.digest, exact.body.digest);
    assert_eq!(
        serde_json::from_slice::<Value>(&lenient.body.json).unwrap(),
        sample()
    );
}

#[test]
fn one_plain_organ_may_stand_for_the_list() {
    let mut value = sample();
    value["examInfo"]["examOrganList"] = json!("胸部");
    assert_eq!(taken(&value).body.digest, taken(&sample()).body.digest);
}

#[test]
fn unknown_fields_are_kept_and_do_not_count_as_content() {
    let mut value = sample();
    value["vendor"] = json!({"sent": 1.50, "nothing": null});
    value["examInfo"]["examOrganList"][0]["organCode"] = json!("06");
    let parsed = taken(&value);
    assert_eq!(parsed.body.digest, taken(&sample()).body.digest);
    assert_eq!(
        serde_json::from_slice::<Value>(&parsed.body.json).unwrap(),
        value
    );
}

#[test]
fn the_digest_is_of_the_content_whatever_the_order_of_keys() {
    let text = String::from_utf8(SAMPLE.to_vec()).unwrap();
    let turned = text.replace(
        r#""examNo": "E20260704001","#,
        r#""examNo": "old","examNo": "E20260704001","#,
    );
    let turned = turned.replace(
        r#""sickId": "C0001", "cardNo": "C0001","#,
        r#""cardNo": "C0001", "sickId": "C0001","#,
    );
    assert_ne!(text, turned);
    let policy = ValidationPolicy::default();
    let (a, b) = (
        taken(&sample()),
        parse_bytes(&policy, turned.as_bytes(), None).ok().unwrap(),
    );
    assert_eq!(a.body.digest, b.body.digest);
    assert_eq!(canonical_digest(&b.body.json).unwrap(), b.body.digest);
    let mut other = sample();
    other["reportList"][0]["impression"] = json!("右肺下叶炎症");
    assert_ne!(taken(&other).body.digest, a.body.digest);
}

#[test]
fn an_item_moved_to_another_list_is_another_content() {
    let (mut one, mut two) = (sample(), sample());
    one["patientInfo"]["siCard"] = json!("X");
    two["patientInfo"]["bedno"] = json!("X");
    assert_ne!(taken(&one).body.digest, taken(&two).body.digest);
}

#[test]
fn gbk_is_read_where_the_charset_says_so() {
    let text = String::from_utf8(SAMPLE.to_vec()).unwrap();
    let gbk = encoding_rs::GBK.encode(&text).0;
    let policy = ValidationPolicy::default();
    let parsed = parse_bytes(&policy, &gbk, Some("GBK")).expect("GBK");
    assert_eq!(parsed.body.digest, taken(&sample()).body.digest);
    let refused = parse_bytes(&policy, &gbk, None).err().unwrap();
    assert_eq!(places(&refused.faults), [("", Rule::Json)]);
}

#[test]
fn unknown_codes_are_kept_and_flagged() {
    let mut value = sample();
    value["patientInfo"]["sex"] = json!("M");
    value["patientInfo"]["patientSource"] = json!("转诊");
    value["patientInfo"]["chargeType"] = json!("9");
    value["patientInfo"]["identity"][0]["idType"] = json!("55");
    value["examInfo"]["examClass"] = json!("骨密度");
    value["examInfo"]["applyNo"] = json!("无");
    let parsed = taken(&value);
    let flags = parsed.flags;
    for flag in [
        Flags::UNKNOWN_SEX,
        Flags::UNKNOWN_SOURCE,
        Flags::UNKNOWN_CHARGE_TYPE,
        Flags::UNKNOWN_CLASS,
        Flags::UNKNOWN_OTHER_CODE,
        Flags::PLACEHOLDER_APPLY_NO,
    ] {
        assert!(flags.contains(flag), "{flag:?} in {flags:?}");
    }
    assert!(parsed.push.patient_info.sex == "M");
    assert!(places(&parsed.warnings).contains(&("patientInfo.identity[0].idType", Rule::Code)));
}

#[test]
fn only_the_four_statuses_of_a_push_are_taken() {
    for code in ["50", "60", "65", "70"] {
        let mut value = sample();
        value["examInfo"]["examStatus"] = json!(code);
        assert_eq!(taken(&value).push.exam_info.exam_status.code(), code);
    }
    for code in ["00", "20", "7", "xx"] {
        let mut value = sample();
        value["examInfo"]["examStatus"] = json!(code);
        assert_eq!(
            places(&refused(&value).faults),
            [("examInfo.examStatus", Rule::Code)]
        );
    }
}

#[test]
fn pathology_needs_its_six_specimen_fields() {
    for class in ["Microscopy", "病理"] {
        let mut value = sample();
        value["examInfo"]["examClass"] = json!(class);
        value["examInfo"]["specimenNumber"] = json!("S1");
        let faults = refused(&value).faults;
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.rule == Rule::Required));
        let policy = ValidationPolicy {
            pathology: Mode::Warn,
            ..Default::default()
        };
        let parsed = parse_value(&policy, &value).expect("warned only");
        assert_eq!(parsed.warnings.len(), 5);
        assert!(parsed.flags.contains(Flags::PATHOLOGY_INCOMPLETE));
    }
}

#[test]
fn a_length_rule_can_be_set_to_warn() {
    let mut value = sample();
    value["reportList"][0]["impression"] = json!("炎".repeat(1_001));
    assert_eq!(
        places(&refused(&value).faults),
        [("reportList[0].impression", Rule::Length)]
    );
    let policy = ValidationPolicy {
        length: [("reportList[].impression".to_owned(), Mode::Warn)].into(),
        ..Default::default()
    };
    let parsed = parse_value(&policy, &value).expect("warned only");
    assert!(parsed.flags.contains(Flags::LENGTH));
    assert_eq!(
        parsed.push.report_list[0]
            .impression
            .as_ref()
            .map(|text| text.chars().count()),
        Some(1_001)
    );
    // Lengths are counted in characters, not bytes.
    value["reportList"][0]["impression"] = json!("炎".repeat(1_000));
    taken(&value);
}

#[test]
fn numbers_that_name_things_are_never_too_long_even_where_lengths_warn() {
    let mut value = sample();
    value["examNo"] = json!("1".repeat(33));
    value["examInfo"]["applyNo"] = json!("1".repeat(65));
    value["imageList"][0]["studyUID"] = json!("1".repeat(129));
    value["patientInfo"]["name"] = json!("名".repeat(33));
    let policy = ValidationPolicy {
        length_default: Mode::Warn,
        ..Default::default()
    };
    let refused = parse_value(&policy, &value).expect_err("numbers too long");
    assert_eq!(
        places(&refused.faults),
        [
            ("examNo", Rule::Length),
            ("examInfo.applyNo", Rule::Length),
            ("imageList[0].studyUID", Rule::Length)
        ]
    );
    assert!(places(&refused.warnings).contains(&("patientInfo.name", Rule::Length)));
}

#[test]
fn the_settings_survive_postcard_and_json() {
    let policy = ValidationPolicy {
        length: [("reportList[].*".to_owned(), Mode::Warn)].into(),
        ..Default::default()
    };
    let settings = (policy, ClassAliases::default(), Placeholders::default());
    type Settings = (ValidationPolicy, ClassAliases, Placeholders);
    let packed = postcard::to_allocvec(&settings).unwrap();
    assert!(postcard::from_bytes::<Settings>(&packed).unwrap() == settings);
    let text = serde_json::to_string(&settings).unwrap();
    assert!(serde_json::from_str::<Settings>(&text).unwrap() == settings);
    assert!(serde_json::from_str::<ValidationPolicy>("{}").unwrap() == ValidationPolicy::default());
}

#[test]
fn the_images_patient_is_the_exams() {
    let mut value = sample();
    value["imageList"] =
        json!([null, value["imageList"][0], {"patientID": "CT2", "studyUID": "1.2.x"}]);
    assert_eq!(
        places(&refused(&value).faults),
        [
            ("imageList[2].studyUID", Rule::Format),
            ("imageList[2].patientID", Rule::Consistency)
        ]
    );
    value["imageList"][2] = Value::Null;
    assert_eq!(taken(&value).body.digest, taken(&sample()).body.digest);
}

#[test]
fn every_wrong_field_is_named_at_once_and_no_value_is_shown() {
    let mut value = sample();
    value["patientInfo"]["name"] = json!("秘密".repeat(20));
    value["examInfo"]["examTime"] = json!("秘密");
    value["examInfo"]["cost"] = json!("秘密");
    value["examInfo"]["examStatus"] = json!("秘密");
    value["examInfo"]["applyNo"] = Value::Null;
    value["imageList"][0]["patientID"] = json!("秘密");
    value["patientInfo"]["sex"] = json!("秘密");
    value["reportList"] = json!("秘密");
    let refused = refused(&value);
    assert_eq!(refused.faults.len(), 7, "{:?}", refused.faults);
    assert_eq!(
        refused.exam_no.as_ref().map(ExamNo::as_str),
        Some("E20260704001")
    );
    assert!(!format!("{refused:?}").contains("秘密"));
    assert!(refused.summary().starts_with("共 7 处错误："));
    assert!(refused.summary().ends_with('…'));
}

#[test]
fn a_key_in_other_letters_is_pointed_out() {
    let mut value = sample();
    value["examno"] = value["examNo"].take();
    let refused = refused(&value);
    assert_eq!(places(&refused.faults), [("examNo", Rule::Required)]);
    assert!(refused.faults[0].message.contains("examno"));
}

#[test]
fn what_is_no_push_is_refused_and_lists_are_bounded() {
    assert_eq!(
        places(&refused(&json!([sample()])).faults),
        [("", Rule::Type)]
    );
    let missing = refused(&json!({}));
    assert_eq!(
        places(&missing.faults),
        [
            ("examNo", Rule::Required),
            ("examInfo", Rule::Required),
            ("patientInfo", Rule::Required),
            ("hospitalCode", Rule::Required)
        ]
    );
    let mut value = sample();
    value["imageList"] = json!(vec![json!({}); 1_001]);
    assert_eq!(
        places(&refused(&value).faults),
        [("imageList", Rule::Length)]
    );
    value["imageList"] = json!(vec![json!({}); 1_000]);
    let many = refused(&value);
    assert_eq!((many.faults.len(), many.more), (200, 1_800));
    let mut value = sample();
    value["vendor"] = json!("x".repeat(CANONICAL_LIMIT_BYTES));
    assert_eq!(places(&refused(&value).faults), [("", Rule::Length)]);
}

#[test]
fn serialisers_that_know_only_floating_point_are_understood() {
    let mut value = sample();
    value["examInfo"]["examStatus"] = json!(70.0);
    value["imageList"][0]["imageCount"] = json!(2.0);
    assert_eq!(taken(&value).body.digest, taken(&sample()).body.digest);
    value["imageList"][0]["imageCount"] = json!(2.5);
    assert_eq!(
        places(&refused(&value).faults),
        [("imageList[0].imageCount", Rule::Number)]
    );
}

#[test]
fn the_summary_reads_what_the_edge_made() {
    let mut value = sample();
    value["patientInfo"]["name"] = json!("肖\"萍\\");
    let parsed = taken(&value);
    let summary = ExamSummary::from_json(&parsed.body.json).unwrap();
    assert_eq!(
        (summary.hospital_code.as_ref(), summary.exam_no.as_ref()),
        ("350006", "E20260704001")
    );
    assert!(
        summary.name == "肖\"萍\\" && summary.sick_id == "C0001" && summary.inpatient_no.is_empty()
    );
    assert_eq!(summary.exam_status, ExamStatus::Confirmed);
    assert_eq!(summary.exam_time, parsed.push.exam_info.exam_time);
    assert_eq!(summary.birth_date, parsed.push.patient_info.birth_date);
    assert_eq!(summary.reports[0].abnormal, Some(true));
    assert!(summary.reports[0].has_text);
    let image = &summary.images[0];
    assert_eq!(
        (image.image_count, image.study_uid.as_ref()),
        (Some(2), "1.2.826.0.1.3680043.8.498.1")
    );
    assert!(!image.has_image_url && !image.has_store);
    assert!(ExamSummary::from_json(b"{\"examNo\":\"1\"}").is_err());
}

#[test]
fn the_body_survives_postcard_and_borrows_its_json() {
    let body = taken(&sample()).body;
    let bytes = postcard::to_allocvec(&body).unwrap();
    assert!(bytes.len() < body.json.len() + 32);
    let again: ExamPushedBody<'_> = postcard::from_bytes(&bytes).unwrap();
    assert!(matches!(again.json, std::borrow::Cow::Borrowed(_)));
    assert!(again == body);
}

/// Prints what one push costs; run with `--nocapture`. The bounds are loose: the figures are for people.
#[test]
fn both_paths_are_fast() {
    const ROUNDS: u32 = 20_000;
    let body = taken(&sample()).body;
    let bytes = postcard::to_allocvec(&body).unwrap();
    let (policy, aliases, placeholders) = (
        ValidationPolicy::default(),
        ClassAliases::default(),
        Placeholders::default(),
    );
    let context = PushContext {
        policy: &policy,
        aliases: &aliases,
        placeholders: &placeholders,
    };
    let timed = |name: &str, step: &dyn Fn()| {
        let start = std::time::Instant::now();
        (0..ROUNDS).for_each(|_| step());
        let each = start.elapsed() / ROUNDS;
        println!("{name}: {each:?} a push of {} bytes", SAMPLE.len());
        each
    };
    let edge = timed("edge", &|| assert!(parse(SAMPLE, None, context).is_ok()));
    let replay = timed("replay", &|| {
        let body: ExamPushedBody<'_> = postcard::from_bytes(&bytes).unwrap();
        assert!(ExamSummary::from_json(&body.json).is_ok());
    });
    let text = std::str::from_utf8(SAMPLE).unwrap();
    let value = Json::parse(text).ok().unwrap();
    timed("- reading", &|| assert!(Json::parse(text).is_ok()));
    timed("- writing", &|| assert!(!value.to_bytes().is_empty()));
    timed("- types", &|| {
        assert!(ExamPush::from_json(&value).is_some())
    });
    timed("- digesting", &|| {
        assert!(digest_of(&EXAM_PUSH, &value) != [0; 16])
    });
    timed("digest", &|| assert!(canonical_digest(&body.json).is_ok()));
    assert!(edge.as_micros() < 500 && replay.as_micros() < 200);
}

#[test]
fn a_uid_with_odd_components_is_taken_with_a_warning() {
    for uid in ["1..2", ".1.2", "01.2", "1.2.00"] {
        let mut push = sample();
        push["imageList"][0]["studyUID"] = json!(uid);
        let expected = [("imageList[0].studyUID", Rule::Format)];
        assert_eq!(places(&taken(&push).warnings), expected, "{uid}");
    }
    let mut push = sample();
    push["imageList"][0]["studyUID"] = json!("1.0.20");
    assert!(taken(&push).warnings.is_empty());
}

#[test]
fn a_push_that_is_too_large_says_the_limit_and_what_to_do() {
    let mut push = sample();
    push["vendorOwn"] = json!("x".repeat(CANONICAL_LIMIT_BYTES));
    let refused = refused(&push);
    let said = &refused.faults[0].message;
    assert!(said.contains(&CANONICAL_LIMIT_BYTES.to_string()), "{said}");
    assert!(
        said.contains("C-STORE") && said.contains("rptImgPath"),
        "{said}"
    );
}

#[test]
fn a_marital_status_that_is_not_known_is_taken_in_words_and_no_other_words_are() {
    let mut push = sample();
    push["patientInfo"]["maritalStatus"] = json!(" 不详 ");
    let parsed = taken(&push);
    assert_eq!(
        parsed.push.patient_info.marital_status.as_deref(),
        Some("不详")
    );
    assert!(parsed.warnings.is_empty() && parsed.flags.is_empty());
    push["patientInfo"]["maritalStatus"] = json!("已婚");
    assert_eq!(
        places(&refused(&push).faults),
        [("patientInfo.maritalStatus", Rule::Length)]
    );
}
