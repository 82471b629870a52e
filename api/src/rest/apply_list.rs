//! `POST /v1/apply/list`: 申请单 by the day of the request, or those that wait too long for an exam; how far each has come.
//! Patients are told by number, not by name: supervision asks, too.

use serde_json::{Value, json};
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::apply_form::progress::FormState;
use yingku_core::contract::Rule;
use yingku_core::dictionaries::canonical_class;
use yingku_core::ids::HospitalCode;
use yingku_core::time::{LocalDate, Zone};
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::Views;
use yingku_storage::views::form_lists::{Days, Overdue};

use super::exam_row::{fields, generation};
use super::paging::{self, Paging};
use super::params::{NO_PAST, Params, text};
use super::schema;
use crate::call::{Call, allow, blocking, local_time, now_ms};
use crate::envelope::Answer;
use crate::error::Failure;

/// A year of hours: what waits longer is overdue by any measure.
const HOURS_LIMIT: u64 = 8_784;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31"}"#;

pub fn request_schema() -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        (
            "from",
            false,
            text(
                10,
                "申请日期起，含；查超时未检时为计划日期；不查超时未检则必填",
            ),
        ),
        ("to", false, text(10, "截止日期，含；与 from 同时给出")),
        (
            "overdue",
            false,
            schema::boolean(
                "只列计划时间过后仍无检查的 (only those without an exam after the usual time)",
            ),
        ),
        (
            "openAfterHours",
            false,
            schema::number(
                0..=HOURS_LIMIT,
                "过多少小时算超时，缺省为平台的设置；给出即等于 overdue",
            ),
        ),
    ];
    fields.extend(paging::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let text = schema::text;
    schema::array(schema::object(&[
        ("hospitalCode", true, text(32, "医院代码")),
        ("applyNo", true, text(64, "申请单号，不带前缀")),
        ("applyNoSpelling", true, text(64, "申请单号，HIS 的写法")),
        ("generation", false, generation()),
        (
            "state",
            true,
            text(
                16,
                "received, registered, started, performed, images, reported, cancelled",
            ),
        ),
        ("stateName", true, text(16, "状态名称")),
        ("source", true, text(16, "soap, jiwei")),
        ("sickId", true, text(64, "院内患者id")),
        ("patientClass", true, text(64, "病人类别")),
        ("examClass", true, text(64, "检查类别")),
        ("examClassCode", true, text(64, "检查类别，字典代码或原文")),
        ("items", true, schema::array(text(256, "检查项目"))),
        ("reqDept", true, text(256, "申请科室")),
        ("performDept", true, text(256, "执行科室")),
        ("reqTime", false, text(19, "申请时间")),
        ("scheduledTime", false, text(19, "预约时间")),
        ("receivedTime", true, text(19, "平台收到的时间")),
        ("registeredTime", false, text(19, "检查首次推送到达的时间")),
        ("startedTime", false, text(19, "设备开始检查的时间 (MPPS)")),
        (
            "performedTime",
            false,
            text(19, "设备完成检查的时间 (MPPS)"),
        ),
        ("imagesTime", false, text(19, "首幅影像到达的时间")),
        ("reportedTime", false, text(19, "报告确认的推送到达的时间")),
        ("cancelledTime", false, text(19, "取消的时间")),
        ("examNos", true, schema::array(text(32, "检查唯一流水号"))),
        ("test", true, schema::boolean("测试模式下收到的申请单")),
    ]))
}

/// What is asked for.
struct Asked {
    hospital: Option<HospitalCode>,
    days: Option<(LocalDate, LocalDate)>,
    /// Hours after which a form is overdue; of overdue ones only.
    overdue: Option<Option<u32>>,
    paging: Paging,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    let scope = call.caller()?.app()?.hospitals.clone();
    if let Some(hospital) = &asked.hospital {
        allow(&scope, hospital)?;
        call.registered(hospital)?;
    }
    let hospital = asked.hospital.as_ref().map(ToString::to_string);
    let target = asked.days.map(|(from, to)| format!("{from}-{to}"));
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "applyList".to_owned(),
            hospital: hospital.unwrap_or_default(),
            target: target.unwrap_or_default(),
            ..AuditEntry::default()
        })
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, &asked)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let hospital = params.hospital();
    let (from, to) = (params.date("from"), params.date("to"));
    params.in_order(from, to);
    let hours = params.number("openAfterHours", 0..=HOURS_LIMIT);
    let hours = hours.and_then(|hours| u32::try_from(hours).ok());
    let is_overdue = params.flag("overdue") || hours.is_some();
    let is_half = from.is_some() != to.is_some();
    let has_none = from.is_none() && to.is_none() && !is_overdue;
    if (is_half || has_none) && !params.any_wrong(&["from", "to", "openAfterHours", "overdue"]) {
        params.fault(
            "from",
            Rule::Required,
            "from 与 to 须同时给出，或只查超时未检 overdue (give from and to together, or overdue)"
                .to_owned(),
        );
    }
    let overdue = is_overdue.then_some(hours);
    let day = |day: Option<LocalDate>| day.map(|day| day.to_string());
    let app = call.caller()?.id.as_str();
    let filters = json!(["apply/list", app, hospital, day(from), day(to), overdue]);
    let paging = Paging::read(&mut params, call.archive().key(), &filters);
    params.finish()?;
    Ok(Asked {
        hospital,
        days: from.zip(to),
        overdue,
        paging,
    })
}

fn answer(call: &Call, asked: &Asked) -> Result<Answer, Failure> {
    let archive = call.archive();
    let views = archive.views();
    let zone = call.zone();
    let position = asked.paging.position(views.cursor()?.next);
    let days = match asked.days {
        Some((from, to)) => Some(Days::new(from, to)?),
        None => None,
    };
    let mut rows = Vec::new();
    for hospital in call.hospitals(asked.hospital.as_ref())? {
        rows.extend(match (asked.overdue, days) {
            (Some(hours), days) => {
                let overdue = Overdue {
                    now_ms: now_ms(),
                    hours: hours.unwrap_or(call.registry.settings.form_overdue_hours),
                };
                views.overdue_forms(&hospital, days, overdue, &zone)?
            }
            (None, Some(days)) => views.forms_of_days(&hospital, days)?,
            (None, None) => Vec::new(),
        });
    }
    rows.retain(|row| row.first_position < position);
    rows.sort_by_key(|row| std::cmp::Reverse(row.first_position));
    let (page, said) = asked
        .paging
        .cut(&rows, position, archive.key(), |row| row.first_position)?;
    let found = page
        .into_iter()
        .map(|row| encode(call, &views, row, &zone))
        .collect::<Result<Vec<Value>, Failure>>()?;
    let total = rows.len();
    Ok(
        Answer::new(format!("成功，共 {total} 张申请单 ({total} forms)"))
            .with_result(Value::Array(found))
            .with_page(said),
    )
}

fn encode(call: &Call, views: &Views, row: &ApplyFormRow, zone: &Zone) -> Result<Value, Failure> {
    let progress = views.form_progress(row)?;
    let exams = views.exams_of_form(&row.key)?;
    let content = &row.content;
    let class = canonical_class(&call.registry.settings.class_aliases, &content.exam_class);
    let items: Vec<&str> = content.items.iter().map(|it| it.name.as_str()).collect();
    let numbers: Vec<&str> = exams.iter().map(|exam| exam.key.exam_no.as_str()).collect();
    let mut out = fields(json!({
        "hospitalCode": row.key.hospital,
        "applyNo": row.key.apply_no,
        "applyNoSpelling": row.spelling,
        "state": progress.state,
        "stateName": state_name(progress.state),
        "source": row.source,
        "sickId": content.sick_id,
        "patientClass": content.patient_class.name,
        "examClass": content.exam_class,
        "examClassCode": class.code,
        "items": items,
        "reqDept": content.req_dept.name,
        "performDept": content.perform_dept.name,
        "examNos": numbers,
        "test": row.test,
    }));
    if row.key.generation > 0 {
        out.insert("generation".to_owned(), row.key.generation.into());
    }
    for (key, time) in [
        ("reqTime", &content.req_time),
        ("scheduledTime", &content.scheduled_time),
    ] {
        if !time.is_empty() {
            out.insert(key.to_owned(), time.as_str().into());
        }
    }
    for (key, time_ms) in [
        ("receivedTime", Some(progress.received_ms)),
        ("registeredTime", progress.registered_ms),
        ("startedTime", progress.started_ms),
        ("performedTime", progress.performed_ms),
        ("imagesTime", progress.images_ms),
        ("reportedTime", progress.reported_ms),
        ("cancelledTime", progress.cancelled_ms),
    ] {
        if let Some(time_ms) = time_ms {
            out.insert(key.to_owned(), local_time(time_ms, zone).into());
        }
    }
    Ok(Value::Object(out))
}

fn state_name(state: FormState) -> &'static str {
    match state {
        FormState::Received => "已收",
        FormState::Registered => "已登记",
        FormState::Started => "检查中",
        FormState::Performed => "已检查",
        FormState::Images => "有影像",
        FormState::Reported => "已报告",
        FormState::Cancelled => "已取消",
    }
}
