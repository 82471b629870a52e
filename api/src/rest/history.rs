//! `POST /v1/exam/history`: every version of an exam, when it came and what changed; `asOf` gives a past moment.

use serde_json::{Value, json};
use yingku_core::contract::changes::compare_json;
use yingku_core::correction::{CorrectionMade, REASON_LIMIT};
use yingku_core::exam::{ExamHistory, ExamStep};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position};
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::Views;

use super::detail::no_exam;
use super::exam_row::{Rows, generation, names, report_name, row_schema};
use super::params::{Params, incomplete, text};
use super::schema;
use crate::call::{Call, blocking, local_time};
use crate::envelope::{Answer, Page};
use crate::error::Failure;

/// Versions on one page: each is compared with the one before, and both may have a megabyte.
const PAGE_SIZE: u64 = 50;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","examNo":"CT20260704001"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("generation", false, schema::generation()),
        (
            "asOf",
            false,
            schema::text(32, "时刻；只含此前的版本 (versions up to this moment)"),
        ),
        ("pageNo", false, schema::page_no()),
    ])
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        ("state", true, row_schema()),
        (
            "versions",
            true,
            schema::array(schema::object(&[
                ("position", true, schema::integer("日志位置")),
                ("time", true, schema::text(19, "时间")),
                (
                    "step",
                    true,
                    schema::text(
                        16,
                        "registered, changed, late, withdrawn, restored, corrected, doubted",
                    ),
                ),
                ("stepName", true, schema::text(16, "步骤，中文")),
                ("version", true, schema::integer("版本号")),
                ("examStatus", true, schema::text(2, "检查状态")),
                (
                    "lateStatus",
                    false,
                    schema::text(2, "迟到的检查状态 (the status that came late)"),
                ),
                ("reportState", true, schema::text(16, "报告状态")),
                ("reportStateName", true, schema::text(16, "报告状态，中文")),
                ("flags", true, schema::array(schema::text(32, "标记"))),
                (
                    "studies",
                    true,
                    schema::array(schema::text(128, "Study 唯一号")),
                ),
                (
                    "moved",
                    true,
                    schema::array(schema::text(128, "由管理员归入的 Study 唯一号")),
                ),
                (
                    "changes",
                    false,
                    schema::array(schema::object(&[
                        ("path", true, schema::text(256, "变更位置")),
                        ("kind", true, schema::text(16, "added, removed, changed")),
                    ])),
                ),
                (
                    "correction",
                    false,
                    schema::object(&[
                        (
                            "action",
                            true,
                            json!({ "type": "object", "description": "更正内容，action 为种类" }),
                        ),
                        ("author", true, schema::text(256, "裁定人")),
                        ("reason", true, schema::text(REASON_LIMIT, "理由")),
                        ("actor", true, schema::text(256, "记录者")),
                        (
                            "undone",
                            true,
                            schema::or_null(schema::integer("撤销它的更正号；未撤销为 null")),
                        ),
                        (
                            "lifted",
                            true,
                            schema::or_null(schema::integer(
                                "解除此撤回的推送的日志位置；未解除为 null",
                            )),
                        ),
                    ]),
                ),
            ])),
        ),
    ])
}

struct Asked {
    hospital: HospitalCode,
    exam_no: ExamNo,
    generation: Option<u16>,
    as_of_ms: Option<i64>,
    page_no: u64,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    call.allow(&asked.hospital)?;
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "history".to_owned(),
            hospital: asked.hospital.as_str().to_owned(),
            target: format!("{}/{}", asked.hospital, asked.exam_no),
            ..AuditEntry::default()
        })
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, asked)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    let exam = params.exam();
    let generation = params.generation();
    let as_of_ms = params.moment("asOf", &call.zone());
    let page_no = params.page_no();
    params.finish()?;
    let (hospital, exam_no) = exam.ok_or_else(incomplete)?;
    Ok(Asked {
        hospital,
        exam_no,
        generation,
        as_of_ms,
        page_no,
    })
}

fn answer(call: &Call, asked: Asked) -> Result<Answer, Failure> {
    let archive = call.archive();
    let views = archive.views();
    let as_of = asked
        .as_of_ms
        .map(|ms| archive.position_at(ms))
        .transpose()?;
    let Some((key, lines)) = lines_of(&views, &asked, as_of)? else {
        return Err(no_exam("examNo"));
    };
    let Some(last) = lines.last() else {
        return Err(no_exam("examNo"));
    };
    let registry = archive.registry();
    let rows = Rows {
        views: &views,
        registry: &registry,
        zone: call.zone(),
        as_of,
    };
    // What is withdrawn now is hidden as of any moment; other generations of the number are other exams.
    let hidden = views.exam(&key)?.is_some_and(|row| row.withdrawn.is_some());
    let state = if hidden || last.row.withdrawn.is_some() {
        Value::Object(rows.brief(&last.row)?)
    } else {
        rows.whole(&last.row)?
    };
    let total = lines.len() as u64;
    let start =
        usize::try_from((asked.page_no - 1).saturating_mul(PAGE_SIZE)).unwrap_or(usize::MAX);
    let mut versions = Vec::new();
    for (index, line) in lines
        .iter()
        .enumerate()
        .skip(start)
        .take(PAGE_SIZE as usize)
    {
        versions.push(describe(call, &lines, index, line)?);
    }
    let mut result = names(&key);
    result.insert("state".to_owned(), state);
    result.insert("versions".to_owned(), Value::Array(versions));
    Ok(Answer::new("成功 (done)")
        .with_result(Value::Object(result))
        .with_page(Page {
            page_no: asked.page_no,
            page_size: PAGE_SIZE,
            total,
            pages: total.div_ceil(PAGE_SIZE),
            next_page_token: None,
        }))
}

/// The exam that is asked for, and its lines: of the generation that is named, or of the latest that there was.
fn lines_of(
    views: &Views,
    asked: &Asked,
    as_of: Option<Position>,
) -> Result<Option<(ExamKey, Vec<ExamHistory>)>, Failure> {
    let generations = match asked.generation {
        Some(named) => named..=named,
        None => match views.latest_exam(&asked.hospital, &asked.exam_no)? {
            Some(latest) => 0..=latest.key.generation,
            None => return Ok(None),
        },
    };
    for generation in generations.rev() {
        let key = ExamKey {
            hospital: asked.hospital.clone(),
            exam_no: asked.exam_no.clone(),
            generation,
        };
        let lines = views.history(&key, as_of)?;
        if !lines.is_empty() {
            return Ok(Some((key, lines)));
        }
    }
    Ok(None)
}

fn describe(
    call: &Call,
    lines: &[ExamHistory],
    index: usize,
    line: &ExamHistory,
) -> Result<Value, Failure> {
    let mut out = json!({
        "position": line.position.0,
        "time": local_time(line.time_ms, &call.zone()),
        "step": line.step,
        "stepName": step_name(line),
        "version": line.row.version,
        "examStatus": line.row.status.to_string(),
        "reportState": line.row.report,
        "reportStateName": report_name(line.row.report),
        "flags": line.row.flags,
        "studies": line.row.studies.iter().map(|study| &study.uid).collect::<Vec<_>>(),
        "moved": line.row.moved,
    });
    let Some(fields) = out.as_object_mut() else {
        return Ok(out);
    };
    let archive = call.archive();
    if let Some(position) = line.content {
        let before = lines
            .iter()
            .take(index)
            .rev()
            .find_map(|earlier| earlier.content);
        if let Some(before) = before {
            let (old, new) = (
                archive.pushed_content(before)?,
                archive.pushed_content(position)?,
            );
            let changes =
                compare_json(&old.json, &new.json).map_err(|error| Failure::internal(&error))?;
            fields.insert("changes".to_owned(), json!(changes));
        }
        if line.step == ExamStep::Late {
            // The row is that of the current content; what came late had a status of its own.
            let late: Value = serde_json::from_slice(&archive.pushed_content(position)?.json)
                .map_err(|error| Failure::internal(&error))?;
            if let Some(status) = late.pointer("/examInfo/examStatus") {
                fields.insert("lateStatus".to_owned(), status.clone());
            }
        }
    }
    if let Some(correction) = archive.views().correction(line.position)?
        && let Ok(made) = serde_json::from_str::<CorrectionMade>(&correction.made)
    {
        fields.insert(
            "correction".to_owned(),
            json!({
                "action": made.action,
                "author": made.author,
                "reason": made.reason,
                "actor": correction.actor,
                "undone": correction.undone.map(|position| position.0),
                "lifted": correction.lifted.map(|position| position.0),
            }),
        );
    }
    Ok(out)
}

fn step_name(line: &ExamHistory) -> &'static str {
    match line.step {
        ExamStep::Registered => "首次归档",
        ExamStep::Changed => "新版本",
        ExamStep::Late => "迟到的状态",
        ExamStep::Withdrawn => "撤回",
        ExamStep::Restored if line.content.is_some() => "新版本，撤回解除",
        ExamStep::Restored => "恢复",
        ExamStep::Corrected => "更正",
        ExamStep::Doubted => "患者信息核对",
        ExamStep::ImagesDeleted => "影像按保存规则删除",
    }
}
