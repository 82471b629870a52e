//! `POST /v1/exam/withdraw`: hides an exam at once; nothing is destroyed, and it can be undone.

use serde_json::{Value, json};
use yingku_core::correction::{CorrectionAction, CorrectionMade, REASON_LIMIT};
use yingku_core::event::Event;
use yingku_core::outcome::{ErrorKind, Outcome, Refusal};
use yingku_storage::archive::Submission;

use super::detail::no_exam;
use super::exam_row::{fields, generation, names};
use super::params::{Params, incomplete, text};
use super::schema;
use crate::call::{Call, local_time};
use crate::envelope::Answer;
use crate::error::Failure;

/// Characters of an author's name.
const AUTHOR_LIMIT: usize = 64;

pub const EXAMPLE: &str = r#"{"hospitalCode":"350006","examNo":"CT20260704001","reason":"患者登记错误","author":"张医生"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("reason", true, schema::text(REASON_LIMIT, "原因")),
        ("author", true, schema::text(AUTHOR_LIMIT, "操作人")),
    ])
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        (
            "correction",
            true,
            schema::integer("更正号，撤销时使用 (position of the correction)"),
        ),
        ("time", true, schema::text(19, "撤回时间")),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (key, reason, author) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let exam = params.exam();
        let reason = params.required_text("reason", REASON_LIMIT);
        let author = params.required_text("author", AUTHOR_LIMIT);
        params.finish()?;
        match (exam, reason, author) {
            (Some(exam), Some(reason), Some(author)) => (exam, reason, author),
            _ => return Err(incomplete()),
        }
    };
    let (hospital, exam_no) = key;
    call.allow(&hospital)?;
    call.archive().catch_up().await?;
    // The number's latest generation is the one in use; `decide` has the last word.
    let about = |failure: Failure| failure.about(hospital.as_str(), exam_no.as_str());
    let exam = call.archive().views().latest_exam(&hospital, &exam_no)?;
    let exam = exam.ok_or_else(|| about(no_exam("examNo")))?.key;
    let names = names(&exam);
    let decided = call
        .archive()
        .submit(Submission {
            hospital: Some(hospital.clone()),
            actor: call.caller()?.actor(),
            event: Event::CorrectionMade(CorrectionMade {
                action: CorrectionAction::WithdrawExam { exam },
                reason,
                author,
            }),
        })
        .await?;
    if let Outcome::Refused(refusal) = decided.outcome {
        return Err(about(Failure::from(Refusal {
            // What is not there or withdrawn already is the request's fault, never a right's.
            kind: match refusal.kind {
                ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Conflict,
            },
            // The rules speak of the correction's fields, the sender wrote these.
            path: "examNo".to_owned(),
            ..refusal
        })));
    }
    let mut result = names;
    result.extend(fields(json!({
        "correction": decided.position.0,
        "time": local_time(decided.time_ms, &call.zone()),
    })));
    Ok(
        Answer::new("成功，检查已撤回，历史保留 (withdrawn; its history is kept)")
            .with_result(Value::Object(result)),
    )
}
