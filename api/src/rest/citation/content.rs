//! One exam as it is cited: whose it is, what the report says, how far that is confirmed, and where the images open.

use serde_json::{Map, Value, json};
use yingku_core::contract::push::{Category, ExamPush, Report, is_web_address};
use yingku_core::exam::{ExamHistory, ExamRow, ExamStep, ReportState};
use yingku_core::ids::StudyUid;
use yingku_core::time::LocalDateTime;
use yingku_storage::viewer::viewer_address;
use yingku_storage::views::Views;

use super::super::exam_row::{fields, names, report_name};
use super::key_images::KeyImages;
use super::{Asked, Found};
use crate::call::{Call, local_time, now_ms};
use crate::error::Failure;

/// Confirmed versions that are listed; the eldest go.
const VERSIONS_LIMIT: usize = 50;

/// An exam's citation; its key images are told apart, since pictures of them take time.
pub struct Cited {
    pub fields: Map<String, Value>,
    pub key_images: KeyImages,
}

/// Reads views and log, so it blocks.
pub fn cite(call: &Call, asked: &Asked, found: &Found) -> Result<Cited, Failure> {
    let archive = call.archive();
    let (views, row) = (archive.views(), &found.then);
    let body = archive.pushed_content(row.position)?;
    let push = ExamPush::from_canonical(&body.json);
    // R6: a report that was taken back is never shown, not even as a draft.
    let reports = match (&push, row.report) {
        (Some(push), ReportState::Preliminary | ReportState::Confirmed | ReportState::Revised) => {
            push.report_list.as_slice()
        }
        _ => &[],
    };
    let key_images = KeyImages::of(call, asked, found, reports)?;
    let mut out = names(&row.key);
    out.extend(fields(json!({
        "applyNo": row.apply_no,
        "patient": {
            "sickId": row.sick_id,
            "patientID": row.patient_id,
            "name": row.name,
            "sex": row.sex,
            "birthDate": row.birth_date,
        },
        "examTime": row.exam_time,
        "examClass": row.class,
        "version": row.version,
        "received": local_time(row.time_ms, &call.zone()),
        "reportState": row.report,
        "reportStateName": report_name(row.report),
        "confirmed": row.report.is_final(),
        "note": note(row),
        "confirmedVersions": confirmed_versions(call, &views, found)?,
        "reports": reports.iter().map(report).collect::<Vec<_>>(),
    })));
    if let Some(push) = &push {
        let exam = &push.exam_info;
        let items = exam.exam_item_list.iter().map(|item| &item.item_name);
        let organs = exam.exam_organ_list.iter().map(|organ| &organ.organ_name);
        out.insert("examItems".to_owned(), json!(items.collect::<Vec<_>>()));
        out.insert("bodyParts".to_owned(), json!(organs.collect::<Vec<_>>()));
    }
    if let Some(viewer) = viewer(call, found, push.as_ref()) {
        out.insert("viewer".to_owned(), viewer);
    }
    Ok(Cited {
        fields: out,
        key_images,
    })
}

/// What whoever cites it must know.
fn note(row: &ExamRow) -> String {
    match row.report {
        ReportState::None => "尚无报告 (there is no report yet)".to_owned(),
        ReportState::Preliminary => {
            "初步报告，未经审核确认，引用时须注明 (a draft that is not confirmed: say so where it is cited)".to_owned()
        }
        ReportState::Returned => {
            "报告已撤回，内容不可引用 (the report was taken back and must not be cited)".to_owned()
        }
        ReportState::Confirmed => "已确认报告 (confirmed)".to_owned(),
        ReportState::Revised => format!(
            "报告已修订，现为第 {} 版；此前的确认版本见 confirmedVersions (revised: this is version {})",
            row.version, row.version
        ),
    }
}

/// Versions that were confirmed up to the one cited, oldest first.
fn confirmed_versions(call: &Call, views: &Views, found: &Found) -> Result<Vec<Value>, Failure> {
    let mut lines = views.history(&found.now.key, None)?;
    let is_confirmed = |line: &ExamHistory| {
        line.content.is_some()
            && line.step != ExamStep::Late
            && line.row.report.is_final()
            && line.row.version <= found.then.version
    };
    lines.retain(is_confirmed);
    let skipped = lines.len().saturating_sub(VERSIONS_LIMIT);
    let told = lines.iter().skip(skipped).map(|line| {
        json!({
            "version": line.row.version,
            "received": local_time(line.time_ms, &call.zone()),
        })
    });
    Ok(told.collect())
}

fn report(report: &Report) -> Value {
    let time = |time: &Option<LocalDateTime>| time.map(|time| time.to_string());
    let positive = match report.ab_normal_flag.as_deref() {
        Some("1") => Some(true),
        Some("0") => Some(false),
        _ => None,
    };
    let diagnosis = |category: &Category| {
        json!({
            "type": category.ca_type,
            "code": category.ca_code,
            "name": category.ca_name,
        })
    };
    json!({
        "reportNo": report.report_no,
        "findings": report.description,
        "impression": report.impression,
        "recommendation": report.recommendation,
        "positive": positive,
        "reporter": report.reporter,
        "reportTime": time(&report.report_time),
        "affirmReporter": report.affirm_reporter,
        "affirmTime": time(&report.affirm_time),
        "diagnoses": report.category.iter().map(diagnosis).collect::<Vec<_>>(),
    })
}

/// Where the images open: at the hospital, if they are there (contract §2.3, link), else in the region's viewer.
fn viewer(call: &Call, found: &Found, push: Option<&ExamPush>) -> Option<Value> {
    let archive = call.archive();
    let is_linked = |uid: &StudyUid| {
        let mut studies = found.now.studies.iter();
        studies.any(|study| study.linked && study.uid == *uid)
    };
    let images = push.map(|push| push.image_list.as_slice());
    let linked = images.unwrap_or_default().iter().find_map(|image| {
        let url = image.image_url.as_ref().filter(|url| is_web_address(url))?;
        is_linked(&image.study_uid).then_some(url)
    });
    if let Some(url) = linked {
        return Some(json!({
            "url": url,
            "note": "影像在医院，链接调阅，平台未核实 (linked, not verified)",
        }));
    }
    let address = viewer_address(&archive.registry(), archive.key(), &found.now, now_ms())?;
    Some(json!({
        "url": address.url,
        "expires": local_time(address.expires.saturating_mul(1000), &call.zone()),
    }))
}
