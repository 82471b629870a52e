//! `POST /v1/exam/detail`: one exam's current content as it was pushed, and how its images stand.

use serde_json::{Map, Value, json};
use yingku_core::contract::push::is_web_address;
use yingku_core::exam::{ExamRow, ReportState};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, StudyKey, StudyUid};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::Scope;
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::exams::ExamSelector;

use super::params::{NO_PAST, Params, incomplete, text};
use super::{exam_row, schema};
use crate::call::{Call, allow, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

/// Exams that share a study UID and are answered at once: one scan has a few forms.
const SHARED_LIMIT: usize = 32;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","examNo":"CT20260704001"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        (
            "hospitalCode",
            false,
            schema::text(32, "医院代码，与 examNo 同用时必填"),
        ),
        ("examNo", false, schema::text(32, "检查唯一流水号")),
        ("generation", false, schema::generation()),
        (
            "studyUID",
            false,
            schema::text(
                128,
                "Study 唯一号，可代替 examNo；同时给出 hospitalCode、examNo、generation 的，只取与之相符的检查；可能有多个检查，result 为数组 (in place of examNo; what else is given narrows it)",
            ),
        ),
    ])
}

pub fn result_schema() -> Value {
    let row = exam_schema();
    // By number one exam; by study UID all that declare it.
    json!({ "anyOf": [row, schema::array(row.clone())] })
}

/// One exam as [`describe`] tells it.
pub fn exam_schema() -> Value {
    let mut row = exam_row::row_schema();
    if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(
            "content".to_owned(),
            json!({ "type": "object", "description": "推送的内容；报告被退回 (65) 时不含 reportList" }),
        );
        properties.insert(
            "links".to_owned(),
            schema::array(schema::object(&[
                ("studyUID", true, schema::text(128, "Study 唯一号")),
                (
                    "imageUrl",
                    true,
                    schema::text(
                        512,
                        "在医院打开影像的地址 (opens the images at the hospital)",
                    ),
                ),
                (
                    "note",
                    true,
                    schema::text(64, "链接，平台未核实 (linked, not verified)"),
                ),
            ])),
        );
        properties.insert(
            "series".to_owned(),
            schema::array(schema::object(&[
                ("studyUID", true, schema::text(128, "Study 唯一号")),
                ("seriesUID", true, schema::text(128, "Series 唯一号")),
                ("modality", true, schema::text(16, "Modality")),
                (
                    "number",
                    true,
                    schema::text(16, "SeriesNumber，0 为扫描的申请单"),
                ),
                ("description", true, schema::text(64, "SeriesDescription")),
                ("instances", true, schema::integer("实例数")),
            ])),
        );
    }
    row
}

/// Which exams a request means.
enum Asked {
    Exam(ExamKey),
    Latest(ExamKey),
    Study(StudyUid, Narrowed),
}

/// What a request names beside a study UID.
struct Narrowed {
    hospital: Option<HospitalCode>,
    exam_no: Option<ExamNo>,
    generation: Option<u16>,
}

impl Narrowed {
    fn fits(&self, key: &ExamKey) -> bool {
        self.hospital.as_ref().is_none_or(|it| *it == key.hospital)
            && self.exam_no.as_ref().is_none_or(|it| *it == key.exam_no)
            && self.generation.is_none_or(|it| it == key.generation)
    }
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    let scope = call.caller()?.app()?.hospitals.clone();
    let (hospital, target) = match &asked {
        Asked::Exam(key) | Asked::Latest(key) => {
            allow(&scope, &key.hospital)?;
            (
                key.hospital.as_str().to_owned(),
                format!("{}/{}", key.hospital, key.exam_no),
            )
        }
        Asked::Study(uid, narrowed) => {
            let hospital = narrowed.hospital.as_ref();
            hospital.map_or(Ok(()), |hospital| allow(&scope, hospital))?;
            (
                hospital.map_or(String::new(), |it| it.as_str().to_owned()),
                uid.as_str().to_owned(),
            )
        }
    };
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "detail".to_owned(),
            hospital,
            target,
            ..AuditEntry::default()
        })
        .await?;
    call.archive().settle().await?;
    blocking(move || answer(&call, &asked, &scope)).await
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    params.not_here("asOf", NO_PAST);
    let study = params.study_uid();
    if study.is_some() || params.any_wrong(&["studyUID"]) {
        let narrowed = Narrowed {
            hospital: params.hospital(),
            exam_no: params.exam_no(),
            generation: params.generation(),
        };
        params.finish()?;
        let study = study.ok_or_else(incomplete)?;
        return Ok(Asked::Study(study, narrowed));
    }
    let exam = params.exam();
    let generation = params.generation();
    params.finish()?;
    let (hospital, exam_no) = exam.ok_or_else(incomplete)?;
    let key = ExamKey {
        hospital,
        exam_no,
        generation: generation.unwrap_or_default(),
    };
    Ok(match generation {
        Some(_) => Asked::Exam(key),
        None => Asked::Latest(key),
    })
}

fn answer(call: &Call, asked: &Asked, scope: &Scope) -> Result<Answer, Failure> {
    let views = call.archive().views();
    let rows = match asked {
        Asked::Exam(key) => views.exam(key)?.into_iter().collect(),
        Asked::Latest(key) => views
            .latest_exam(&key.hospital, &key.exam_no)?
            .into_iter()
            .collect(),
        Asked::Study(uid, narrowed) => {
            let mut rows = views.exams(&ExamSelector::Study(uid.clone()))?;
            rows.retain(|row| {
                scope.has(&row.key.hospital)
                    && narrowed.fits(&row.key)
                    && row.withdrawn.is_none()
                    && row.has_study(uid)
            });
            rows.truncate(SHARED_LIMIT);
            rows
        }
    };
    let Some(first) = rows.first() else {
        return Err(no_exam(match asked {
            Asked::Exam(_) | Asked::Latest(_) => "examNo",
            Asked::Study(..) => "studyUID",
        }));
    };
    if first.withdrawn.is_some() {
        return Err(withdrawn(first));
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(describe(call, &views, row)?);
    }
    let result = match (asked, found.pop()) {
        (Asked::Exam(_) | Asked::Latest(_), Some(only)) => only,
        (_, last) => {
            found.extend(last);
            Value::Array(found)
        }
    };
    Ok(Answer::new("成功 (done)").with_result(result))
}

/// An exam's row, the content that was pushed, and its series. Reads views and log, so it blocks.
pub fn describe(
    call: &Call,
    views: &yingku_storage::views::Views,
    row: &ExamRow,
) -> Result<Value, Failure> {
    let registry = call.archive().registry();
    let rows = exam_row::Rows {
        views,
        registry: &registry,
        zone: call.zone(),
        as_of: None,
    };
    let mut out = rows.whole(row)?;
    let body = call.archive().pushed_content(row.position)?;
    let mut pushed: Value =
        serde_json::from_slice(&body.json).map_err(|error| Failure::internal(&error))?;
    // R6: a report that was taken back is never shown, not even as a draft.
    if row.report == ReportState::Returned
        && let Some(pushed) = pushed.as_object_mut()
    {
        pushed.remove("reportList");
    }
    let mut series = Vec::new();
    for uid in row.own_studies() {
        let key = StudyKey::new(row.key.hospital.clone(), uid.clone());
        let Some(study) = views.study(&key)? else {
            continue;
        };
        for one in study.series.iter().filter(|one| one.instances > 0) {
            series.push(json!({
                "studyUID": uid,
                "seriesUID": one.uid,
                "modality": one.facts.modality,
                "number": one.facts.number,
                "description": one.facts.description,
                "instances": one.instances,
            }));
        }
    }
    if let Some(out) = out.as_object_mut() {
        let links = links(out, &pushed);
        if !links.is_empty() {
            out.insert("links".to_owned(), Value::Array(links));
        }
        out.insert("series".to_owned(), Value::Array(series));
        out.insert("content".to_owned(), pushed);
    }
    Ok(out)
}

/// Where images open that are at the hospital (contract §2.3, link): of studies of which nothing is here. An address that
/// no browser should be led to is left out; it is in the content as it was pushed.
fn links(row: &Map<String, Value>, pushed: &Value) -> Vec<Value> {
    let items =
        |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let linked: Vec<Value> = items(row.get("studies"))
        .into_iter()
        .filter(|study| study.get("state").is_some_and(|state| state == "linked"))
        .collect();
    let images = items(pushed.get("imageList")).into_iter();
    let opens = images.filter_map(|image| {
        let study = image.get("studyUID")?;
        let is_linked = linked.iter().any(|one| one.get("studyUID") == Some(study));
        let url = image.get("imageUrl")?.as_str()?;
        (is_linked && is_web_address(url))
            .then(|| json!({ "studyUID": study, "imageUrl": url, "note": NOT_VERIFIED }))
    });
    opens.collect()
}

/// R9's words.
const NOT_VERIFIED: &str = "影像在医院，链接调阅，平台未核实 (linked, not verified)";

/// `path`: the field that named it.
pub fn no_exam(path: &str) -> Failure {
    let message = "没有此检查，请核对 hospitalCode 与 examNo 或 studyUID (no such exam)";
    Refusal::new(ErrorKind::NotFound, "not-found", path, message).into()
}

fn withdrawn(row: &ExamRow) -> Failure {
    let message = "此检查已撤回，内容不可调阅；何人撤回见 exam/history (this exam is withdrawn; see its history)";
    Failure::from(Refusal::new(
        ErrorKind::NotFound,
        "withdrawn",
        "examNo",
        message,
    ))
    .about(row.key.hospital.as_str(), row.key.exam_no.as_str())
}
