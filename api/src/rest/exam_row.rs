//! An exam's row as readers get it: numbers, states, and how its images stand (R6, R9).

use serde_json::{Map, Value, json};
use yingku_core::dictionaries::{EXAM_CLASS, canonical_class};
use yingku_core::exam::{ExamRow, ReportState};
use yingku_core::ids::{ExamKey, Position, StudyKey, StudyUid};
use yingku_core::instance::ImageCounts;
use yingku_core::reconcile::{ImageState, StudyState, images_of};
use yingku_core::registry::Registry;
use yingku_core::time::Zone;
use yingku_storage::views::Views;

use super::schema;
use crate::call::local_time;
use crate::error::Failure;

/// What makes JSON of rows.
pub struct Rows<'a> {
    pub views: &'a Views,
    pub registry: &'a Registry,
    pub zone: Zone,
    /// Images that came before this position; `None`: all.
    pub as_of: Option<Position>,
}

impl Rows<'_> {
    /// Everything that a list shows of an exam.
    pub fn whole(&self, row: &ExamRow) -> Result<Value, Failure> {
        let mut out = self.brief(row)?;
        out.extend(fields(json!({
            "applyNo": row.apply_no,
            "sickId": row.sick_id,
            "patientID": row.patient_id,
            "name": row.name,
            "sex": row.sex,
            "birthDate": row.birth_date,
            "cardNo": row.card_no,
            "inpatientNo": row.inpatient_no,
            "outPatientNo": row.outpatient_no,
        })));
        out.retain(|_, value| *value != Value::String(String::new()));
        Ok(Value::Object(out))
    }

    /// What may be shown of a withdrawn exam as well: no patient.
    pub fn brief(&self, row: &ExamRow) -> Result<Map<String, Value>, Failure> {
        let class = canonical_class(&self.registry.settings.class_aliases, &row.class);
        let images = self.images(row)?;
        let studies: Vec<Value> = images.studies.iter().map(study_json).collect();
        let mut out = names(&row.key);
        out.extend(fields(json!({
            "version": row.version,
            "examTime": row.exam_time,
            "examClass": row.class,
            "examClassCode": class.code,
            "examStatus": row.status.to_string(),
            "reportState": row.report,
            "reportStateName": report_name(row.report),
            "imageState": exam_state(images.state),
            "studies": studies,
            "flags": row.flags,
            "firstReceived": local_time(row.first_time_ms, &self.zone),
            "lastReceived": local_time(row.time_ms, &self.zone),
        })));
        if let Some(name) = EXAM_CLASS.name(&class.code) {
            out.insert("examClassName".to_owned(), name.into());
        }
        if let Some(by) = row.withdrawn.by() {
            out.insert("withdrawn".to_owned(), json!(by));
        }
        Ok(out)
    }

    /// How an exam's images stand.
    pub fn images<'e>(&self, row: &'e ExamRow) -> Result<Images<'e>, Failure> {
        let mut declared = Vec::with_capacity(row.studies.len());
        for study in &row.studies {
            declared.push((study, self.counts(row, &study.uid)?));
        }
        let mut given = Vec::new();
        for uid in row.given() {
            given.push((uid, self.counts(row, uid)?));
        }
        let all_given = given.iter().map(|(_, counts)| *counts).sum();
        let (states, state) = images_of(row, &declared, all_given);
        let of_declared = declared.into_iter().zip(states);
        let mut studies: Vec<ExamStudy<'e>> = of_declared
            .map(|((study, received), state)| ExamStudy {
                uid: &study.uid,
                accession_no: study.accession_no.as_deref(),
                declared: study.image_count,
                received,
                state,
                foreign: study.foreign,
                moved: row.moved.contains(&study.uid),
            })
            .collect();
        studies.extend(given.into_iter().map(|(uid, received)| ExamStudy {
            uid,
            accession_no: None,
            declared: None,
            received,
            state: StudyState::Uncounted,
            foreign: false,
            moved: true,
        }));
        Ok(Images { studies, state })
    }

    /// Images of a study that count for an exam.
    fn counts(&self, row: &ExamRow, uid: &StudyUid) -> Result<ImageCounts, Failure> {
        if row.withdrawn.is_some() || !row.own_studies().any(|own| own == uid) {
            return Ok(ImageCounts::default());
        }
        let key = StudyKey::new(row.key.hospital.clone(), uid.clone());
        Ok(self.views.image_counts(&key, self.as_of)?)
    }
}

/// Images of an exam: those of each study, and all together.
pub struct Images<'e> {
    pub studies: Vec<ExamStudy<'e>>,
    pub state: ImageState,
}

/// A study that an exam declares, or that an operator gave to it.
pub struct ExamStudy<'e> {
    pub uid: &'e StudyUid,
    pub accession_no: Option<&'e str>,
    /// Images that the push tells of.
    pub declared: Option<u32>,
    pub received: ImageCounts,
    pub state: StudyState,
    /// Images under its UID are another exam's.
    pub foreign: bool,
    pub moved: bool,
}

fn study_json(study: &ExamStudy<'_>) -> Value {
    json!({
        "studyUID": study.uid,
        "accessionNo": study.accession_no,
        "declared": study.declared,
        "received": study.received,
        "state": study_state(study.state),
        "surplus": matches!(study.state, StudyState::Reached { surplus: true }),
        "foreign": study.foreign,
        "moved": study.moved,
    })
}

/// Hospital and number, and the generation of numbers where it is not the first.
pub fn names(key: &ExamKey) -> Map<String, Value> {
    let mut names = fields(json!({ "hospitalCode": key.hospital, "examNo": key.exam_no }));
    if key.generation > 0 {
        names.insert("generation".to_owned(), key.generation.into());
    }
    names
}

pub fn generation() -> Value {
    schema::integer("流水号代次，首代不出现 (generation of numbers)")
}

pub fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn study_state(state: StudyState) -> &'static str {
    match state {
        StudyState::Reached { .. } => "complete",
        StudyState::Begun => "partly",
        StudyState::Missing => "missing",
        StudyState::Uncounted => "noneDeclared",
        StudyState::Linked => "linked",
    }
}

fn exam_state(state: ImageState) -> &'static str {
    match state {
        ImageState::Complete { .. } => "complete",
        ImageState::Partly => "partly",
        ImageState::Missing => "missing",
        ImageState::NoneDeclared => "noneDeclared",
        ImageState::Linked => "linked",
        ImageState::Deleted => "deleted",
    }
}

/// R6: what readers see of a report.
pub fn report_name(report: ReportState) -> &'static str {
    match report {
        ReportState::None => "未出报告",
        ReportState::Preliminary => "初步报告",
        ReportState::Returned => "已撤回",
        ReportState::Confirmed => "已确认",
        ReportState::Revised => "已修订",
    }
}

pub fn row_schema() -> Value {
    let text = schema::text;
    schema::object(&[
        ("hospitalCode", true, text(32, "医院代码")),
        ("examNo", true, text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        ("version", true, schema::integer("版本号")),
        ("applyNo", false, text(64, "申请单号")),
        ("sickId", false, text(64, "院内患者id")),
        ("patientID", false, text(64, "检查号，即 DICOM PatientID")),
        ("name", false, text(64, "姓名")),
        ("sex", false, text(16, "性别")),
        ("birthDate", false, text(10, "出生日期")),
        ("cardNo", false, text(64, "诊疗卡号")),
        ("inpatientNo", false, text(64, "住院号")),
        ("outPatientNo", false, text(64, "门诊号")),
        ("examTime", true, text(19, "检查时间")),
        ("examClass", true, text(32, "检查类别，原文")),
        ("examClassCode", true, text(32, "检查类别，字典代码")),
        ("examClassName", false, text(64, "检查类别，字典名称")),
        (
            "examStatus",
            true,
            text(2, "50 收到影像, 60 初步报告, 65 审核退回, 70 确认报告"),
        ),
        (
            "reportState",
            true,
            text(
                16,
                "none, preliminary, returned 已撤回, confirmed, revised 已修订",
            ),
        ),
        ("reportStateName", true, text(16, "报告状态，中文")),
        (
            "imageState",
            true,
            text(
                16,
                "complete, partly, missing, noneDeclared 未声明, linked 链接, deleted 按保存规则删除",
            ),
        ),
        (
            "studies",
            true,
            schema::array(schema::object(&[
                ("studyUID", true, text(128, "Study 唯一号")),
                (
                    "accessionNo",
                    true,
                    schema::or_null(text(64, "AccessionNumber；未声明为 null")),
                ),
                (
                    "declared",
                    true,
                    schema::or_null(schema::integer("声明的图像数；未声明为 null")),
                ),
                (
                    "received",
                    true,
                    schema::object(&[
                        ("instances", true, schema::integer("实例数")),
                        ("images", true, schema::integer("图像数，不含 SR、PR、KO")),
                        ("imagesWithoutZero", true, schema::integer("不含 0 号序列")),
                        ("frames", true, schema::integer("帧数")),
                    ]),
                ),
                (
                    "state",
                    true,
                    text(16, "complete, partly, missing, noneDeclared, linked"),
                ),
                ("surplus", true, schema::boolean("多于声明")),
                (
                    "foreign",
                    true,
                    schema::boolean("影像归其他检查 (images are another exam's)"),
                ),
                (
                    "moved",
                    true,
                    schema::boolean(
                        "由管理员归入本检查；其影像计入所声明的图像数 (an operator moved it here)",
                    ),
                ),
            ])),
        ),
        ("flags", true, schema::array(text(32, "标记"))),
        ("withdrawn", false, text(16, "app 或 operator，已撤回")),
        ("firstReceived", true, text(19, "首次收到")),
        ("lastReceived", true, text(19, "当前内容收到")),
    ])
}
