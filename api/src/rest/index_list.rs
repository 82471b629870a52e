//! `POST /v1/index/list`: how exams' national imaging indexes stand, by the days of the exams: how many are in each state, and
//! which. Supervision asks: exams are told by number, and no index, which has a person's number in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use yingku_core::exam::ExamFlag;
use yingku_core::ids::HospitalCode;
use yingku_core::national_index::IndexState;
use yingku_core::time::LocalDate;
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::exams::ExamSelector;

use super::national_index::{NONE, standing, standing_schema};
use super::paging::{self, Paging};
use super::params::{NO_PAST, Params, incomplete, text};
use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str =
    r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31","state":"refused"}"#;

pub fn request_schema() -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        ("from", true, text(10, "检查日期起，含")),
        ("to", true, text(10, "检查日期止，含")),
        (
            "state",
            false,
            text(
                16,
                "只列一种状态：incomplete, formed, exported, acknowledged, refused, withdrawn, none",
            ),
        ),
        (
            "collides",
            false,
            schema::boolean("只列索引重复的 (only those whose index another exam has)"),
        ),
    ];
    fields.extend(paging::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let mut counts: Vec<(&str, bool, Value)> = states()
        .map(|state| (state, true, schema::integer("检查数")))
        .collect();
    counts.push(("collides", true, schema::integer("索引重复的检查数")));
    schema::object(&[
        ("counts", true, schema::object(&counts)),
        (
            "exams",
            true,
            schema::array(schema::object(&standing_schema())),
        ),
    ])
}

fn states() -> impl Iterator<Item = &'static str> {
    let known = IndexState::ALL.into_iter().map(IndexState::code);
    known.chain([NONE.0])
}

/// What is asked for.
struct Asked {
    hospital: Option<HospitalCode>,
    from: LocalDate,
    to: LocalDate,
    state: Option<&'static str>,
    collides: bool,
    paging: Paging,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    let hospitals = call.hospitals(asked.hospital.as_ref())?;
    let hospital = asked.hospital.as_ref().map(ToString::to_string);
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "indexList".to_owned(),
            hospital: hospital.unwrap_or_default(),
            target: format!("{}-{}", asked.from, asked.to),
            ..AuditEntry::default()
        })
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, &asked, hospitals)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let hospital = params.hospital();
    let from = params.required("from", |params| params.date("from"));
    let to = params.required("to", |params| params.date("to"));
    params.in_order(from, to);
    let state = params.parsed("state", |text| {
        let known = states().find(|state| *state == text);
        known.ok_or("应为 incomplete、formed、exported、acknowledged、refused、withdrawn 或 none (must be one of these)")
    });
    let collides = params.flag("collides");
    let app = call.caller()?.id.as_str();
    let day = |day: Option<LocalDate>| day.map(|day| day.to_string());
    let filters = json!([
        "index/list",
        app,
        hospital,
        day(from),
        day(to),
        state,
        collides
    ]);
    let paging = Paging::read(&mut params, call.archive().key(), &filters);
    params.finish()?;
    let (from, to) = from.zip(to).ok_or_else(incomplete)?;
    Ok(Asked {
        hospital,
        from,
        to,
        state,
        collides,
        paging,
    })
}

fn answer(call: &Call, asked: &Asked, hospitals: Vec<HospitalCode>) -> Result<Answer, Failure> {
    let archive = call.archive();
    let views = archive.views();
    let zone = call.zone();
    let position = asked.paging.position(views.cursor()?.next);
    let (from, to) = (asked.from.to_string(), asked.to.to_string());
    let exams = views.exams(&ExamSelector::Days {
        hospitals,
        from: from.clone(),
        to: to.clone(),
    })?;
    let mut counts: BTreeMap<&str, u64> = states().map(|state| (state, 0)).collect();
    let mut collide = 0u64;
    let mut rows = Vec::new();
    for exam in exams {
        // A line of the index stays when an exam's date changes.
        let is_of_days = (from.as_str()..=to.as_str()).contains(&exam.exam_date());
        let is_left_out = exam.has(ExamFlag::Test) || exam.has(ExamFlag::Superseded);
        if !is_of_days || is_left_out || exam.first_position >= position {
            continue;
        }
        let row = views.national_index(&exam.key)?;
        let state = row.as_ref().map_or(NONE.0, |row| row.state.code());
        let collides = row.as_ref().is_some_and(|row| row.collides);
        *counts.entry(state).or_default() += 1;
        collide += u64::from(collides);
        if asked.state.is_none_or(|asked| asked == state) && (collides || !asked.collides) {
            rows.push((exam.first_position, exam.key, row));
        }
    }
    rows.sort_by_key(|(first, ..)| std::cmp::Reverse(*first));
    let (page, said) = asked
        .paging
        .cut(&rows, position, archive.key(), |(first, ..)| *first)?;
    let page = page.into_iter();
    let found = page.map(|(_, exam, row)| Value::Object(standing(exam, row.as_ref(), &zone)));
    let total = rows.len();
    counts.insert("collides", collide);
    Ok(
        Answer::new(format!("成功，共 {total} 个检查 ({total} exams)"))
            .with_result(json!({ "counts": counts, "exams": found.collect::<Vec<_>>() }))
            .with_page(said),
    )
}
