//! `POST /v1/apply/turnaround`: how long it takes from an apply form to its exam and its report, by hospital and day.

use serde_json::{Value, json};
use yingku_core::time::LocalDate;
use yingku_storage::views::form_lists::Days;

use super::exam_row::fields;
use super::params::{NO_PAST, Params, incomplete, text};
use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31"}"#;

pub fn request_schema() -> Value {
    let text = schema::text;
    schema::object(&[
        (
            "hospitalCode",
            false,
            text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        ("from", true, text(10, "申请日期起，含")),
        ("to", true, text(10, "申请日期止，含")),
    ])
}

fn spread(what: &str) -> Value {
    let mut spread = schema::object(&[
        ("count", true, schema::integer("两个时间都有的申请单数")),
        ("medianMinutes", false, schema::integer("中位数，分钟")),
        ("p90Minutes", false, schema::integer("九成不超过，分钟")),
    ]);
    if let Value::Object(spread) = &mut spread {
        spread.insert("description".to_owned(), what.into());
    }
    spread
}

fn figures() -> Vec<(&'static str, bool, Value)> {
    vec![
        ("forms", true, schema::integer("申请单，含已取消的")),
        ("cancelled", true, schema::integer("已取消，不计时间")),
        ("withExam", true, schema::integer("有检查的")),
        ("withReport", true, schema::integer("有确认报告的")),
        (
            "applyToRegistered",
            true,
            spread(
                "申请时间至检查首次推送到达；只推送完成检查的医院会晚 (until the first push came)",
            ),
        ),
        (
            "applyToExam",
            true,
            spread("申请时间至推送内容中的检查时间 (until the exam, as the push says)"),
        ),
        (
            "examToReport",
            true,
            spread("检查时间至报告确认的推送到达 (from the exam until the confirmed report came)"),
        ),
        (
            "applyToReport",
            true,
            spread("申请时间至报告确认的推送到达 (until the confirmed report came)"),
        ),
    ]
}

pub fn result_schema() -> Value {
    let mut day = vec![("date", true, schema::text(10, "申请日期"))];
    day.extend(figures());
    schema::array(schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("days", true, schema::array(schema::object(&day))),
        ("total", true, schema::object(&figures())),
    ]))
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (hospital, from, to) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        params.not_here("asOf", NO_PAST);
        let hospital = params.hospital();
        let from: Option<LocalDate> = params.required("from", |params| params.date("from"));
        let to = params.required("to", |params| params.date("to"));
        params.in_order(from, to);
        params.finish()?;
        match (from, to) {
            (Some(from), Some(to)) => (hospital, from, to),
            _ => return Err(incomplete()),
        }
    };
    let days = Days::new(from, to)?;
    let hospitals = call.hospitals(hospital.as_ref())?;
    call.archive().settle().await?;
    let result = blocking(move || {
        let views = call.archive().views();
        let zone = call.zone();
        let mut result = Vec::with_capacity(hospitals.len());
        for hospital in hospitals {
            let found = views.turnaround(&hospital, days, &zone)?;
            let found = serde_json::to_value(found).map_err(|error| Failure::internal(&error))?;
            let mut row = fields(json!({ "hospitalCode": hospital }));
            row.extend(fields(found));
            result.push(Value::Object(row));
        }
        Ok(result)
    })
    .await?;
    Ok(Answer::new("成功 (done)").with_result(Value::Array(result)))
}
