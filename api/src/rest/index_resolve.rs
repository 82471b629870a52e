//! `POST /v1/index/resolve`: the exam that a national imaging index leads to, and where its images open.

use serde_json::{Value, json};
use yingku_core::exam::ExamRow;
use yingku_core::national_index::{Holder, Holding, INDEX_CHARACTERS, NationalIndex};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_storage::viewer::viewer_address;
use yingku_storage::views::Views;

use super::exam_row::{fields, generation, names};
use super::index_query::unhidden;
use super::national_index::{holding, index_schema};
use super::params::{NO_PAST, Params, incomplete, text};
use super::reading::{self, Reading, Shown, wants_reason};
use super::schema;
use crate::call::{Call, blocking, local_time, now_ms};
use crate::envelope::Answer;
use crate::error::Failure;

/// In the audit stream, of an index that leads to nothing here: the index itself names a person.
const UNKNOWN: &str = "unknown";

pub const EXAMPLE: &str = r#"{"index":"10000000000000000708463177-202411221430-000000000-0000000000000-123502004266007916","reason":"visit"}"#;

pub fn request_schema() -> Value {
    let mut fields = vec![("index", true, index_schema())];
    fields.extend(reading::request_schema());
    schema::object(&fields)
}

pub fn result_schema() -> Value {
    let text = schema::text;
    schema::array(schema::object(&[
        ("hospitalCode", true, text(32, "医院代码")),
        ("examNo", true, text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        (
            "holding",
            true,
            text(
                16,
                "inForce 有效, replaced 已被替换, withdrawn 检查已撤回，索引已收回",
            ),
        ),
        ("holdingName", true, text(32, "说明")),
        ("sinceTime", true, text(19, "自何时 (since when)")),
        ("studyUIDs", true, schema::array(text(128, "Study 唯一号"))),
        (
            "viewerUrl",
            false,
            text(
                1024,
                "打开影像的地址，有期限 (opens the images, for a time)",
            ),
        ),
        (
            "currentIndex",
            false,
            text(
                INDEX_CHARACTERS,
                "替换后的索引 (the index that took its place)",
            ),
        ),
    ]))
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (index, reading) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        params.not_here("asOf", NO_PAST);
        let index = params.required("index", |params| {
            params.parsed("index", NationalIndex::parse)
        });
        let reading = Reading::read(&mut params, &call)?;
        params.finish()?;
        (index.ok_or_else(incomplete)?, reading)
    };
    call.archive().settle().await?;
    let holders = call.archive().views().index_holders(&index)?.holders;
    // By its exams, since the index has the person's number in it.
    let exams: Vec<String> = holders.iter().map(|it| it.exam.to_string()).collect();
    let target = match exams.is_empty() {
        true => UNKNOWN.to_owned(),
        false => exams.join(" "),
    };
    let hospital = match holders.as_slice() {
        [only] => Some(&only.exam.hospital),
        _ => None,
    };
    reading
        .audit(&call, "indexResolve", hospital, &target)
        .await?;
    blocking(move || answer(&call, &holders, &reading)).await
}

fn answer(call: &Call, holders: &[Holder], reading: &Reading) -> Result<Answer, Failure> {
    let views = call.archive().views();
    let registry = call.archive().registry();
    let mut found = Vec::new();
    let (mut in_force, mut is_replaced, mut is_kept) = (0, false, false);
    for holder in holders {
        let Some(exam) = views.exam(&holder.exam)? else {
            continue;
        };
        match reading.shows(&unhidden(&exam), &registry) {
            Shown::Yes => {}
            Shown::WantsReason => {
                is_kept = true;
                continue;
            }
            Shown::No => continue,
        }
        in_force += usize::from(holder.holding == Holding::InForce);
        is_replaced |= holder.holding == Holding::Replaced;
        found.push(describe(call, &views, holder, &exam)?);
    }
    if found.is_empty() {
        return Err(match is_kept {
            true => wants_reason(),
            false => unknown(),
        });
    }
    let message = match in_force {
        0 if is_replaced => {
            "该索引已被替换，请用 currentIndex (the index is replaced: use currentIndex)".to_owned()
        }
        0 => {
            "该索引的检查已撤回，索引已收回 (its exam is withdrawn, and so is the index)".to_owned()
        }
        1 => "成功 (done)".to_owned(),
        count => format!(
            "该索引有 {count} 个检查，请核对 (the index leads to {count} exams: look which is meant)"
        ),
    };
    Ok(Answer::new(message).with_result(Value::Array(found)))
}

fn describe(call: &Call, views: &Views, holder: &Holder, exam: &ExamRow) -> Result<Value, Failure> {
    let (code, name) = holding(holder.holding);
    let mut out = names(&exam.key);
    out.extend(fields(json!({
        "holding": code,
        "holdingName": name,
        "sinceTime": local_time(holder.time_ms, &call.zone()),
        "studyUIDs": [],
    })));
    match holder.holding {
        Holding::InForce => {
            let studies: Vec<_> = exam.own_studies().collect();
            out.insert("studyUIDs".to_owned(), json!(studies));
            let archive = call.archive();
            let registry = archive.registry();
            if let Some(address) = viewer_address(&registry, archive.key(), exam, now_ms()) {
                out.insert("viewerUrl".to_owned(), address.url.into());
            }
        }
        Holding::Replaced => {
            let row = views.national_index(&exam.key)?;
            if let Some(current) = row.as_ref().and_then(|row| row.in_force()) {
                out.insert("currentIndex".to_owned(), json!(current));
            }
        }
        Holding::Withdrawn => {}
    }
    Ok(Value::Object(out))
}

fn unknown() -> Failure {
    Refusal::new(
        ErrorKind::NotFound,
        "index-unknown",
        "index",
        "没有此索引的检查，请核对 (no exam has this index)",
    )
    .into()
}
