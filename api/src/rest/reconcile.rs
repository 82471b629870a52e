//! `POST /v1/statistics/reconcile` (R10): declared against archived, by hospital, date and class; at any past moment.

use serde_json::Value;
use yingku_storage::views::reconcile::{Question, reconcile};

use super::params::{Params, incomplete, text};
use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","from":"2026-07-01","to":"2026-07-31"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        (
            "hospitalCode",
            false,
            schema::text(32, "医院代码；缺省为该应用的全部医院"),
        ),
        ("from", true, schema::text(10, "起始日期，含")),
        ("to", true, schema::text(10, "截止日期，含")),
        (
            "asOf",
            false,
            schema::text(32, "时刻；缺省为当前 (a past moment)"),
        ),
    ])
}

fn counts() -> Vec<(&'static str, bool, Value)> {
    let count = schema::integer;
    let images = [
        ("complete", true, count("齐全")),
        ("partly", true, count("不全")),
        ("missing", true, count("缺失")),
        ("noneDeclared", true, count("未声明")),
        ("linked", true, count("链接，未核实")),
        ("deleted", true, count("按保存规则删除，不算缺失")),
        ("surplus", true, count("齐全中多于声明的")),
    ];
    let or_null = schema::or_null;
    vec![
        ("declared", true, or_null(count("应上传；未申报为 null"))),
        ("registered", true, count("已登记")),
        ("confirmed", true, count("报告已确认且有申请单")),
        ("images", true, schema::object(&images)),
        ("refused", true, count("拒收实例")),
        ("held", true, count("暂存实例")),
        ("identityDoubts", true, count("患者信息与影像不一致的检查")),
        ("conflicts", true, count("检查UID有争议的检查")),
        ("suspectedReuse", true, count("疑似流水号复用，待裁定")),
        ("furtherVersions", true, count("另有版本的实例")),
        (
            "formsWithoutExam",
            false,
            count("计划在当日而尚无检查的申请单；查询过去时不给出 (not told of the past)"),
        ),
        ("late", true, count("有迟到状态的检查")),
        ("unknownClass", true, count("类别不在字典中的检查")),
        ("placeholderApplyNo", true, count("申请单号为占位值的检查")),
        ("warned", true, count("有提醒的检查")),
        (
            "detailDiffers",
            true,
            count("与 uploadDetail 所报不符的检查"),
        ),
        ("withdrawn", true, count("已撤回")),
        ("testExams", true, count("测试模式的检查，不计入其他各项")),
        (
            "testDeclared",
            true,
            count("测试模式下的申报数，不计入其他各项"),
        ),
        ("deficit", true, or_null(count("缺口；未申报为 null"))),
        (
            "unnamed",
            true,
            or_null(count("缺口中无名的；未申报为 null")),
        ),
        ("surplus", true, count("申报时已确认而多于申报的检查")),
    ]
}

fn cell() -> Value {
    let text = schema::text;
    let by_sender = |reasons: &str| {
        schema::array(schema::object(&[
            ("sender", true, text(16, "发送方 AE")),
            ("reason", true, text(32, reasons)),
            ("count", true, schema::integer("实例数")),
        ]))
    };
    let unfinished = schema::object(&[
        (
            "examNo",
            true,
            text(32, "检查唯一流水号；只知 Study 或申请单时为空"),
        ),
        ("applyNo", false, text(64, "尚无检查的申请单号")),
        ("generation", false, schema::integer("流水号的代；首代省略")),
        ("studyUID", false, text(128, "Study 唯一号")),
        (
            "why",
            true,
            schema::array(text(
                32,
                "notRegistered, noReport, reportReturned, noApplyForm, withdrawn, imagesMissing, imagesPartly, imagesHeld, formWithoutExam, dateDiffers, applyNoDiffers, studyDiffers, imagesFewer, imagesMore, pulling, pullWaiting, pullStopped",
            )),
        ),
    ]);
    let mut properties = vec![
        (
            "hospitalCode",
            true,
            text(32, "医院代码；拒收而医院不明时为空"),
        ),
        ("hospitalName", true, text(256, "医院名称")),
        ("examDate", true, text(10, "检查日期")),
        ("examClass", true, text(32, "检查类别，字典代码或原文")),
        ("classKnown", true, schema::boolean("类别在字典中")),
        (
            "test",
            true,
            schema::boolean("测试医院，不计入 totals (in no total)"),
        ),
        (
            "declaredTime",
            false,
            text(19, "所计申报的时间，多个时为最早"),
        ),
        (
            "refusals",
            true,
            by_sender(
                "unregistered, patientIdDiffers, accessionNumberDiffers, malformed, hospitalSuspended, liveExam, notAuthorised, notStored",
            ),
        ),
        ("holds", true, by_sender("unregistered, mismatch")),
        ("unfinished", true, schema::array(unfinished)),
        ("moreUnfinished", true, schema::integer("未列出的未完成数")),
    ];
    properties.extend(counts());
    schema::object(&properties)
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("from", true, schema::text(10, "起始日期")),
        ("to", true, schema::text(10, "截止日期")),
        ("cells", true, schema::array(cell())),
        ("totals", true, schema::object(&counts())),
        (
            "asOf",
            false,
            schema::integer("截至的日志位置 (log position)"),
        ),
        ("asOfTime", false, schema::text(19, "所问的时刻")),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (hospital, from, to, as_of_ms) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let hospital = params.hospital();
        let from = params.required("from", |params| params.date("from"));
        let to = params.required("to", |params| params.date("to"));
        params.in_order(from, to);
        let as_of_ms = params.moment("asOf", &call.zone());
        params.finish()?;
        match (from, to) {
            (Some(from), Some(to)) => (hospital, from, to, as_of_ms),
            _ => return Err(incomplete()),
        }
    };
    let hospitals = call.hospitals(hospital.as_ref())?;
    call.archive().settle().await?;
    let result = blocking(move || {
        let archive = call.archive();
        let as_of = as_of_ms.map(|ms| archive.position_at(ms)).transpose()?;
        let registry = archive.registry();
        let question = Question {
            hospitals: &hospitals,
            from,
            to,
            as_of,
            as_of_ms,
        };
        let answer = reconcile(&archive.views(), &registry, question)?;
        serde_json::to_value(answer).map_err(|error| Failure::internal(&error))
    })
    .await?;
    Ok(Answer::new("成功 (done)").with_result(result))
}
