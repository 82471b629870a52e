//! `POST /v1/exam/uploadStatistics` (§2.6): how many exams a hospital should have uploaded. Whole or nothing (R5).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use yingku_core::contract::RowsContext;
use yingku_core::contract::fields::UPLOAD_STATISTICS;
use yingku_core::contract::statistics;
use yingku_core::event::{DeclaredRow, Event, StatisticsDeclared};
use yingku_core::ids::HospitalCode;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::Submission;

use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = include_str!("../../../tests/fixtures/contract/upload_statistics.json");

pub fn request_schema() -> Value {
    schema::array(schema::of_table(&UPLOAD_STATISTICS))
}

pub fn result_schema() -> Value {
    schema::object(&[("rows", true, schema::integer("接收的行数 (rows taken)"))])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (body, charset) = (call.body.clone(), call.charset.clone());
    let registry = call.registry.clone();
    let last_day = call.tomorrow();
    let scope = call.caller()?.app()?.hospitals.clone();
    let rows = blocking(move || {
        let context = RowsContext {
            aliases: &registry.settings.class_aliases,
            last_day,
            // Of what is not the app's it hears that only.
            closed: &|code| scope.has(code).then(|| registry.closed(code)).flatten(),
        };
        statistics::parse(&body, charset.as_deref(), context)
            .map_err(|refused| Failure::of_faults(&refused))
    })
    .await?;
    let hospitals: BTreeSet<&HospitalCode> = rows.iter().map(|row| &row.hospital).collect();
    for hospital in &hospitals {
        call.allow(hospital)?;
    }
    let hospital = only(&hospitals);
    let count = rows.len();
    let rows = rows
        .into_iter()
        .map(|row| DeclaredRow {
            hospital_code: row.hospital,
            exam_date: row.date.to_string(),
            exam_class: row.class_text,
            accord_count: row.count.into(),
        })
        .collect();
    record(
        &call,
        hospital,
        Event::StatisticsDeclared(StatisticsDeclared { rows }),
        count,
    )
    .await
}

/// The hospital that a message is about, if it is about one only.
pub fn only(hospitals: &BTreeSet<&HospitalCode>) -> Option<HospitalCode> {
    match hospitals.first() {
        Some(first) if hospitals.len() == 1 => Some((*first).clone()),
        _ => None,
    }
}

/// Records a declaration and tells how many rows were taken.
pub async fn record(
    call: &Call,
    hospital: Option<HospitalCode>,
    event: Event,
    count: usize,
) -> Result<Answer, Failure> {
    let submission = Submission {
        hospital,
        actor: call.caller()?.actor(),
        event,
    };
    let decided = call.archive().submit(submission).await?;
    if let Outcome::Refused(refusal) = decided.outcome {
        return Err(refusal.into());
    }
    Ok(
        Answer::new(format!("成功，接收 {count} 行 ({count} rows taken)"))
            .with_result(json!({ "rows": count })),
    )
}
