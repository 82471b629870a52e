//! Fields of a citation's request and answer, as OpenAPI has them.

use serde_json::{Value, json};

use super::super::exam_row::generation;
use super::super::{reading, schema};
use super::{APPLY_NO_LIMIT, VALID_MINUTES_LIMIT};

pub fn request_schema() -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            text(32, "医院代码；以 examNo、applyNo 引用时必填"),
        ),
        ("examNo", false, text(32, "检查唯一流水号")),
        ("generation", false, schema::generation()),
        (
            "applyNo",
            false,
            text(APPLY_NO_LIMIT, "申请单号；可能有多个检查"),
        ),
        ("studyUID", false, text(128, "Study 唯一号；可能有多个检查")),
        (
            "asOf",
            false,
            text(32, "时刻；引用当时的版本 (the version of this moment)"),
        ),
        (
            "withImages",
            false,
            schema::boolean("关键图像另以 Base64 JPEG 给出，每个检查至多 8 张、长边 1024 像素"),
        ),
        (
            "validMinutes",
            false,
            schema::number(
                1..=VALID_MINUTES_LIMIT,
                "关键图像地址的有效分钟数，缺省 60 (minutes for which addresses of key images open)",
            ),
        ),
    ];
    fields.extend(reading::request_schema());
    schema::object(&fields)
}

fn reports() -> Value {
    let or_null = |limit, words| schema::or_null(schema::text(limit, words));
    schema::array(schema::object(&[
        ("reportNo", true, or_null(32, "院内报告流水号")),
        ("findings", true, or_null(4000, "检查所见")),
        ("impression", true, or_null(2000, "印象（诊断）")),
        ("recommendation", true, or_null(2000, "建议")),
        (
            "positive",
            true,
            schema::or_null(schema::boolean("阳性；未标为 null")),
        ),
        ("reporter", true, or_null(64, "报告人")),
        ("reportTime", true, or_null(19, "报告时间")),
        ("affirmReporter", true, or_null(64, "审核医生")),
        ("affirmTime", true, or_null(19, "审核时间")),
        (
            "diagnoses",
            true,
            schema::array(schema::object(&[
                ("type", true, or_null(64, "编码类型")),
                ("code", true, or_null(64, "疾病编码")),
                ("name", true, or_null(256, "疾病名称")),
            ])),
        ),
    ]))
}

fn key_images() -> Value {
    let text = schema::text;
    let or_null = |limit, words| schema::or_null(text(limit, words));
    schema::object(&[
        (
            "source",
            true,
            text(
                16,
                "report：推送的 reportImage 所指；none：报告未指定关键图像",
            ),
        ),
        (
            "images",
            true,
            schema::array(schema::object(&[
                ("studyUID", true, text(128, "Study 唯一号")),
                ("seriesUID", true, text(128, "Series 唯一号")),
                ("sopInstanceUID", true, text(128, "图像唯一号")),
                ("frames", true, schema::integer("帧数；地址与图片为第 1 帧")),
                ("position", true, or_null(64, "部位")),
                ("description", true, or_null(64, "描述")),
                (
                    "url",
                    true,
                    text(
                        2048,
                        "JPEG 的地址，到期失效；可加 &side=512、&window=40,400",
                    ),
                ),
                (
                    "jpeg",
                    false,
                    json!({ "type": "string", "contentEncoding": "base64", "contentMediaType": "image/jpeg" }),
                ),
                (
                    "note",
                    false,
                    text(256, "没有图片的原因 (why there is no picture)"),
                ),
            ])),
        ),
        (
            "notHere",
            true,
            schema::integer("报告指定、但平台没有或不可显示的图像数"),
        ),
        ("expires", true, text(19, "图像地址有效至")),
    ])
}

pub fn result_schema() -> Value {
    let text = schema::text;
    let exam = schema::object(&[
        ("hospitalCode", true, text(32, "医院代码")),
        ("examNo", true, text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        ("applyNo", true, text(64, "申请单号")),
        (
            "patient",
            true,
            schema::object(&[
                ("sickId", true, text(64, "院内患者id")),
                ("patientID", true, text(64, "检查号，即 DICOM PatientID")),
                ("name", true, text(64, "姓名，供核对")),
                ("sex", true, text(16, "性别")),
                ("birthDate", true, text(10, "出生日期")),
            ]),
        ),
        ("examTime", true, text(19, "检查时间")),
        ("examClass", true, text(32, "检查类别")),
        ("examItems", false, schema::array(text(256, "检查项目"))),
        ("bodyParts", false, schema::array(text(256, "检查部位"))),
        ("version", true, schema::integer("版本号")),
        ("received", true, text(19, "此版本收到的时间")),
        (
            "reportState",
            true,
            text(
                16,
                "none, preliminary, returned 已撤回, confirmed, revised 已修订",
            ),
        ),
        ("reportStateName", true, text(16, "报告状态，中文")),
        ("confirmed", true, schema::boolean("报告是否已审核确认")),
        ("note", true, text(256, "引用须知")),
        (
            "confirmedVersions",
            true,
            schema::array(schema::object(&[
                ("version", true, schema::integer("版本号")),
                ("received", true, text(19, "收到的时间")),
            ])),
        ),
        ("reports", true, reports()),
        (
            "viewer",
            false,
            schema::object(&[
                ("url", true, text(2048, "调阅影像的地址")),
                ("expires", false, text(19, "有效至")),
                ("note", false, text(64, "链接，平台未核实")),
            ]),
        ),
        ("keyImages", true, key_images()),
    ]);
    schema::object(&[
        ("exams", true, schema::array(exam)),
        (
            "withdrawn",
            true,
            schema::array(schema::object(&[
                ("hospitalCode", true, text(32, "医院代码")),
                ("examNo", true, text(32, "已撤回的检查 (withdrawn)")),
                ("generation", false, generation()),
            ])),
        ),
        ("asOf", false, text(19, "所引用的时刻")),
    ])
}
