//! `POST /v1/statistics/reconcile` (R10): declared against archived, by hospital, date and class; at any past moment.

use serde_json::{Value, json};
use yingku_core::ids::HospitalCode;
use yingku_core::time::LocalDate;
use yingku_storage::views::reconcile::{Question, reconcile};

use super::params::{Params, incomplete, text};
use super::schema;
use crate::call::{Call, allow, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        (
            "hospitalCode",
            false,
            schema::text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        ("from", true, schema::text(10, "起始日期，含")),
        ("to", true, schema::text(10, "截止日期，含")),
        (
            "asOf",
            false,
            schema::text(32, "时刻；缺省为当前 (a past moment)"),
        ),
    ])
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("from", true, schema::text(10, "起始日期")),
        ("to", true, schema::text(10, "截止日期")),
        (
            "cells",
            true,
            schema::array(json!({
                "type": "object",
                "description": "hospitalCode, hospitalName, examDate, examClass, test 测试医院，不计入 totals; declared 应上传, registered 已登记, confirmed 已确认且有申请单, images {complete, partly, missing, noneDeclared, linked}, refused 拒收实例, held 暂存实例, deficit 缺口, unnamed 其中无名缺口, detailDiffers 与 uploadDetail 所报不符的检查, unfinished 未完成或不符的检查及原因",
            })),
        ),
        ("totals", true, json!({ "type": "object" })),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (hospital, from, to, as_of_ms) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let hospital = params.hospital();
        let from = params.required("from", LocalDate::parse);
        let to = params.required("to", LocalDate::parse);
        let as_of_ms = params.moment("asOf", &call.zone());
        params.finish()?;
        match (from, to) {
            (Some(from), Some(to)) => (hospital, from, to, as_of_ms),
            _ => return Err(incomplete()),
        }
    };
    let hospitals = hospitals(&call, hospital)?;
    call.archive().settle().await?;
    let result = blocking(move || {
        let archive = call.archive();
        let as_of = as_of_ms.map(|ms| archive.position_at(ms)).transpose()?;
        let registry = archive.registry();
        let question = Question {
            hospitals: &hospitals,
            from,
            to,
            as_of,
            as_of_ms,
        };
        let answer = reconcile(&archive.views(), &registry, question)?;
        serde_json::to_value(answer).map_err(|error| Failure::internal(&error))
    })
    .await?;
    Ok(Answer::new("成功 (done)").with_result(result))
}

/// The hospital asked about, or all of the app's.
fn hospitals(call: &Call, hospital: Option<HospitalCode>) -> Result<Vec<HospitalCode>, Failure> {
    let scope = &call.caller()?.app()?.hospitals;
    match hospital {
        Some(hospital) => {
            allow(scope, &hospital)?;
            Ok(vec![hospital])
        }
        None => Ok(call
            .registry
            .hospitals
            .keys()
            .filter(|code| scope.has(code))
            .cloned()
            .collect()),
    }
}
