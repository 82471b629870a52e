//! The request's and the answer's form.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use yingku_core::identity::{Conflict, EXAMS_LIMIT, JoinKey, Joined, KeyState, KeyUse};

use super::super::exam_row::{fields, generation, names, row_schema};
use super::super::{paging, reading, schema};
use super::{NAME_LIMIT, NUMBER_LIMIT, TYPE_LIMIT};

pub fn request_schema() -> Value {
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            schema::text(32, "医院代码，与 examNo 或 patientNo 同用时必填"),
        ),
        (
            "examNo",
            false,
            schema::text(
                32,
                "检查唯一流水号；examNo、patientNo、idNumber 只给一种 (one of the three)",
            ),
        ),
        (
            "patientNo",
            false,
            schema::text(
                NUMBER_LIMIT,
                "院内患者id（sickId），只在该医院内有效 (the hospital's own number)",
            ),
        ),
        ("generation", false, schema::generation()),
        (
            "idNumber",
            false,
            schema::text(
                NUMBER_LIMIT,
                "证件或卡号；居民身份证须校验位正确 (number of a document or card)",
            ),
        ),
        (
            "idType",
            false,
            schema::text(
                TYPE_LIMIT,
                "证件类型：1 居民身份证（缺省）、2 港澳居民来往内地通行证、3 台湾居民来往大陆通行证、4 护照、5 军官证、6 出生证、9 医保卡或社保卡、10 市民卡",
            ),
        ),
        (
            "name",
            false,
            schema::text(
                NAME_LIMIT,
                "姓名，仅用于核对，不用于查找 (compared only: it finds nobody)",
            ),
        ),
    ];
    fields.extend(reading::request_schema());
    fields.extend(paging::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let place = |description: &str| schema::integer(description);
    let mut row = row_schema();
    if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(
            "joinedBy".to_owned(),
            schema::array(place(
                "keys 中的序号：此检查由这些号码关联 (which keys it has)",
            )),
        );
        properties.insert(
            "keysUnknown".to_owned(),
            schema::boolean(
                "内容早于规则 7，其证件与卡号未知，下次推送后方可据以关联 (its documents are known from its next push)",
            ),
        );
    }
    let key = schema::object(&[
        ("no", true, place("序号，自 1 起")),
        (
            "kind",
            true,
            schema::text(
                32,
                "identityCard, insuranceCard, citizenCard, hongKongMacaoPermit, taiwanPermit, passport, officerCard, birthCertificate, patientNo",
            ),
        ),
        ("kindName", true, schema::text(32, "号码种类，中文")),
        (
            "hospitalCode",
            false,
            schema::text(32, "patientNo 所属医院"),
        ),
        ("generation", false, generation()),
        (
            "state",
            true,
            schema::text(
                16,
                "used 已用；manyPersons、manyExams 多人共用，未用于关联 (a number of many persons: not used)",
            ),
        ),
        (
            "exams",
            true,
            schema::integer("结果中有此号码的检查数 (exams of this answer that have it)"),
        ),
    ]);
    let not_joined = schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        ("by", true, place("有同一号码：keys 中的序号")),
        (
            "conflicts",
            true,
            schema::array(schema::text(16, "不符之处：name, sex, birthDate")),
        ),
    ]);
    let complete = format!(
        "全部查到；false 表示已达上限（{EXAMS_LIMIT} 个检查等），可能还有 (false: a limit was met, there may be more)"
    );
    schema::object(&[
        ("exams", true, schema::array(row)),
        ("keys", true, schema::array(key)),
        ("notJoined", true, schema::array(not_joined)),
        ("complete", true, schema::boolean(&complete)),
    ])
}

/// Places of keys as they are told: from 1.
pub fn numbers(places: Option<&BTreeSet<usize>>) -> Value {
    let places = places.into_iter().flatten();
    places.map(|place| json!(place + 1)).collect()
}

/// The numbers that were followed, none of them by itself.
pub fn keys(joined: &Joined) -> Value {
    let told = joined.keys.iter().enumerate();
    let told = told.map(|(place, used)| {
        let having = joined
            .exams
            .values()
            .filter(|exam| exam.by.contains(&place));
        let mut key = kind(used);
        key.insert("no".to_owned(), json!(place + 1));
        key.insert("state".to_owned(), state(used.state).into());
        key.insert("exams".to_owned(), having.count().into());
        Value::Object(key)
    });
    told.collect()
}

fn kind(used: &KeyUse) -> Map<String, Value> {
    match &used.key {
        JoinKey::Person(person) => {
            let kind = person.kind();
            fields(json!({
                "kind": kind.map_or("", |kind| kind.code()),
                "kindName": kind.map_or("", |kind| kind.name()),
            }))
        }
        JoinKey::Patient {
            hospital,
            generation,
            ..
        } => {
            let mut told = fields(json!({
                "kind": "patientNo",
                "kindName": "院内患者id",
                "hospitalCode": hospital,
            }));
            if *generation > 0 {
                told.insert("generation".to_owned(), (*generation).into());
            }
            told
        }
    }
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Used => "used",
        KeyState::ManyExams => "manyExams",
        KeyState::ManyPersons => "manyPersons",
    }
}

/// Exams that have a number of the patient and are another person's: their own numbers, and what differs.
pub fn not_joined(joined: &Joined) -> Value {
    let told = joined.vetoed.iter().map(|vetoed| {
        let mut exam = names(&vetoed.exam);
        exam.insert("by".to_owned(), json!(vetoed.by + 1));
        let conflicts = vetoed.conflicts.iter().copied().map(Conflict::field);
        exam.insert("conflicts".to_owned(), conflicts.collect());
        Value::Object(exam)
    });
    told.collect()
}
