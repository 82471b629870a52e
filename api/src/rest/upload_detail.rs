//! `POST /v1/exam/uploadDetail`: our extension of §2.6, which exams a declaration counts (R10). Whole or nothing.

use std::collections::BTreeSet;

use serde_json::Value;
use yingku_core::contract::RowsContext;
use yingku_core::contract::detail;
use yingku_core::contract::fields::UPLOAD_DETAIL;
use yingku_core::event::{DetailDeclared, DetailRow, Event};
use yingku_core::ids::HospitalCode;

use super::schema;
use super::upload_statistics::{only, record};
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"[{"hospitalCode":"350006","examDate":"2026-07-04","examClass":"CT","examNo":"CT20260704001","applyNo":"SQ001","studyUID":"1.2.826.0.1.3680043.9.1","imageCount":400}]"#;

pub fn request_schema() -> Value {
    schema::array(schema::of_table(&UPLOAD_DETAIL))
}

pub fn result_schema() -> Value {
    schema::object(&[("rows", true, schema::integer("接收的行数 (rows taken)"))])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (body, charset) = (call.body.clone(), call.charset.clone());
    let registry = call.registry.clone();
    let last_day = call.tomorrow();
    let scope = call.caller()?.app()?.hospitals.clone();
    let groups = blocking(move || {
        let context = RowsContext {
            aliases: &registry.settings.class_aliases,
            last_day,
            // Of what is not the app's it hears that only.
            closed: &|code| scope.has(code).then(|| registry.closed(code)).flatten(),
        };
        detail::parse(&body, charset.as_deref(), context)
            .map_err(|refused| Failure::of_faults(&refused))
    })
    .await?;
    let hospitals: BTreeSet<&HospitalCode> = groups.iter().map(|group| &group.hospital).collect();
    for hospital in &hospitals {
        call.allow(hospital)?;
    }
    let hospital = only(&hospitals);
    let mut rows = Vec::new();
    for group in groups {
        let date = group.date.to_string();
        rows.extend(group.exams.into_iter().map(|exam| {
            DetailRow {
                hospital_code: group.hospital.clone(),
                exam_date: date.clone(),
                exam_class: group.class.code.clone(),
                exam_no: exam.exam_no,
                apply_no: exam
                    .apply_no
                    .map_or(String::new(), |no| no.as_str().to_owned()),
                study_uid: exam
                    .study_uid
                    .map_or(String::new(), |uid| uid.as_str().to_owned()),
                image_count: exam.image_count,
            }
        }));
    }
    let count = rows.len();
    record(
        &call,
        hospital,
        Event::DetailDeclared(DetailDeclared { rows }),
        count,
    )
    .await
}
