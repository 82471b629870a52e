//! `POST /v1/statistics/repeat`: the same patient, class and body part within some days at another hospital. A patient is known
//! by identity document and insurance card; no answer has a number of theirs.

use serde_json::Value;
use yingku_core::ids::HospitalCode;
use yingku_core::supervision::repeat::{DAYS_LIMIT, EXAMS_LIMIT, Repeats, Tally};
use yingku_storage::views::form_lists::Days;
use yingku_storage::views::{ViewsError, Walk};

use super::super::params::{Params, text};
use super::super::schema;
use super::question::{Asked, Question, in_bounds, request_schema as of_question};
use super::sheet::{Kind, line_schema};
use super::{Cell, Column, Sheet, download};
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"from":"2026-07-01","to":"2026-07-31","within":14}"#;

const OPERATION: &str = "repeat";

/// Days within which an exam is a repeat where nobody says.
const DEFAULT_DAYS: u32 = 14;

pub fn request_schema() -> Value {
    let within = (
        "within",
        false,
        schema::number(
            0..=u64::from(DAYS_LIMIT),
            "多少天之内算重复，缺省 14 (days between the two)",
        ),
    );
    of_question(&[], vec![within])
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("firstHospital", "先检查的医院", Kind::Text),
        Column::new("secondHospital", "重复检查的医院", Kind::Text),
        Column::new("examClass", "检查类别", Kind::Text),
        Column::new("repeats", "重复检查", Kind::Count),
        Column::new("examples", "举例：先检查号/重复检查号", Kind::Texts),
    ]
}

fn counts(found: &Repeats) -> [(&'static str, &'static str, u32); 6] {
    [
        ("exams", "检查", found.exams),
        ("repeats", "重复检查", found.repeats),
        (
            "unknownPerson",
            "无证件号与医保卡号，未比较",
            found.unknown_person,
        ),
        ("unknownPart", "无检查部位，未比较", found.unknown_part),
        ("unknown", "规则启用前归档，未比较", found.unknown),
        (
            "sharedNumbers",
            "多人共用而不予采用的号码",
            found.shared_numbers,
        ),
    ]
}

pub fn result_schema() -> Value {
    let mut fields = vec![
        ("from", true, schema::text(10, "检查日期起")),
        ("to", true, schema::text(10, "检查日期止")),
        ("within", true, schema::integer("天数")),
        ("rows", true, schema::array(line_schema(&[], &columns()))),
    ];
    let counts = counts(&Repeats::default());
    fields.extend(counts.map(|(name, title, _)| (name, true, schema::integer(title))));
    schema::object(&fields)
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, within) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &[]);
        let within = params.number("within", 0..=u64::from(DAYS_LIMIT));
        params.finish()?;
        let within = within.and_then(|days| u32::try_from(days).ok());
        (asked, within.unwrap_or(DEFAULT_DAYS))
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let found = find(&call, &question, within)?;
        in_bounds(found.pairs.len())?;
        let mut more = vec![("within", within.into())];
        more.extend(counts(&found).map(|(name, _, count)| (name, count.into())));
        let lines = found.pairs.into_iter();
        let sheet = Sheet {
            title: "重复检查",
            columns: columns(),
            lines: lines
                .map(|(key, pair)| {
                    let examples = pair.examples.into_iter();
                    vec![
                        Cell::Text(key.first),
                        Cell::Text(key.second),
                        Cell::Text(key.class),
                        Cell::Count(pair.repeats),
                        Cell::Texts(examples.map(|(a, b)| format!("{a}/{b}")).collect()),
                    ]
                })
                .collect(),
            total: None,
        };
        download::answer(&question, OPERATION, &sheet, more)
    })
    .await
}

/// Repeats are those of the days and hospitals asked about; what they repeat may be of any of the app's, and of days before.
fn find(call: &Call, question: &Question, within: u32) -> Result<Repeats, Failure> {
    let (views, registry) = (call.archive().views(), call.archive().registry());
    let hospitals: Vec<HospitalCode> = call.hospitals(None)?;
    let first = question.days.from.to_string();
    let days = Days {
        from: question.days.from.days_before(within),
        to: question.days.to,
    };
    let mut tally = Tally::new(within);
    views.visit_supervised(&registry, &hospitals, days, &mut |seen| {
        let asked = question.hospitals.contains(seen.hospital()) && seen.key.date >= first;
        match tally.add(seen, asked) {
            true => Ok(Walk::On),
            false => Err(ViewsError::TooMany { limit: EXAMS_LIMIT }),
        }
    })?;
    Ok(tally.finish())
}
