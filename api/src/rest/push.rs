//! `POST /v1/exam/push` (§2.3): one examination with its patient, reports and images.

use bytes::Bytes;
use serde_json::{Value, json};
use yingku_core::contract::fields::EXAM_PUSH;
use yingku_core::contract::push::{Parsed, PushContext, Unchecked};
use yingku_core::contract::{Refused, ValidationPolicy};
use yingku_core::event::Event;
use yingku_core::exam::{ExamFlag, WithdrawnBy};
use yingku_core::ids::HospitalCode;
use yingku_core::outcome::{Outcome, PushOutcome, PushStep};
use yingku_core::registry::Registry;
use yingku_storage::archive::Submission;

use super::exam_row::{fields, generation, names};
use super::params::text;
use super::schema;
use crate::call::{Call, Caller, INLINE_BYTES, allow, blocking};
use crate::envelope::Answer;
use crate::error::{Failure, fault_json};

pub const EXAMPLE: &str = include_str!("../../../tests/fixtures/contract/exam_push.json");

pub fn request_schema() -> Value {
    schema::of_table(&EXAM_PUSH)
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        ("generation", false, generation()),
        (
            "version",
            true,
            schema::integer("版本号 (versions received so far)"),
        ),
        (
            "step",
            true,
            schema::text(
                16,
                "registered 首次归档, changed 新版本, repeated 内容相同, late 迟到的状态",
            ),
        ),
        (
            "flags",
            true,
            schema::array(schema::text(32, "标记 (flags)")),
        ),
        (
            "adopted",
            true,
            schema::integer("由暂存转入的影像数 (held instances that are shown now)"),
        ),
        (
            "hidden",
            true,
            schema::boolean("检查已撤回，内容保留但不可见 (withdrawn: kept, not shown)"),
        ),
        (
            "lifted",
            false,
            schema::integer(
                "随本次新内容解除的撤回，其更正号 (the withdrawal that new content ended)",
            ),
        ),
        ("warnings", true, schema::array(schema::fault())),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let caller = call.caller()?.clone();
    let parsed = check(&caller, call.body.clone(), call.charset.clone()).await?;
    let (hospital, parsed) = (parsed.hospital, parsed.parsed);
    let (exam_no, warnings) = (parsed.push.exam_no.clone(), parsed.warnings);
    let decided = call
        .archive()
        .submit(Submission {
            hospital: Some(hospital.clone()),
            actor: caller.actor(),
            event: Event::ExamPushed(parsed.body),
        })
        .await
        .map_err(|error| Failure::from(error).about(hospital.as_str(), exam_no.as_str()))?;
    match decided.outcome {
        Outcome::Push(outcome) => {
            let warnings: Vec<Value> = warnings.iter().map(fault_json).collect();
            Ok(Answer::new(message(&outcome, warnings.len()))
                .with_result(result(&outcome, &warnings)))
        }
        Outcome::Refused(refusal) => {
            Err(Failure::from(refusal).about(hospital.as_str(), exam_no.as_str()))
        }
        Outcome::Done | Outcome::Form(_) => Ok(Answer::new("成功 (done)")),
    }
}

/// A push that passed the contract's rules, and whose it is.
pub struct Checked {
    pub hospital: HospitalCode,
    pub parsed: Parsed,
}

/// Checks a push by the rules of its hospital. The app must have that hospital.
pub async fn check(
    caller: &Caller,
    body: Bytes,
    charset: Option<String>,
) -> Result<Checked, Failure> {
    if body.len() <= INLINE_BYTES {
        return check_bytes(caller, &body, charset.as_deref());
    }
    let caller = caller.clone();
    blocking(move || check_bytes(&caller, &body, charset.as_deref())).await
}

fn check_bytes(caller: &Caller, body: &[u8], charset: Option<&str>) -> Result<Checked, Failure> {
    let scope = &caller.app()?.hospitals;
    let text = text(body, charset)?;
    let unchecked = Unchecked::read(&text).map_err(|refused| Failure::of_faults(&refused))?;
    let peeked = unchecked.peek();
    if let Some(hospital) = &peeked.hospital {
        let example = peeked.exam_no.as_ref().map_or("", |number| number.as_str());
        allow(scope, hospital).map_err(|failure| failure.about(hospital.as_str(), example))?;
    }
    let default = ValidationPolicy::default();
    let context = context(&caller.registry, peeked.hospital.as_ref(), &default);
    let parsed = unchecked
        .check(context)
        .map_err(|refused| Failure::of_faults(&with_hospital(&caller.registry, refused)))?;
    let hospital = parsed.push.hospital_code.clone();
    allow(scope, &hospital)?;
    Ok(Checked { hospital, parsed })
}

/// Everything that is wrong, the hospital's own standing too.
pub fn with_hospital(registry: &Registry, mut refused: Box<Refused>) -> Box<Refused> {
    let closed = refused.hospital.as_ref();
    if let Some(closed) = closed.and_then(|code| registry.closed(code)) {
        refused.name_hospital("hospitalCode", closed);
    }
    refused
}

fn context<'c>(
    registry: &'c Registry,
    hospital: Option<&HospitalCode>,
    default: &'c ValidationPolicy,
) -> PushContext<'c> {
    let hospital = hospital.and_then(|code| registry.hospitals.get(code));
    PushContext {
        policy: hospital.map_or(default, |hospital| &hospital.validation),
        aliases: &registry.settings.class_aliases,
        placeholders: &registry.settings.placeholder_apply_nos,
    }
}

/// What a push came to, in words.
fn message(outcome: &PushOutcome, warnings: usize) -> String {
    let version = outcome.version;
    let mut text = match outcome.step {
        PushStep::Registered => {
            format!("成功，已归档，版本 {version} (registered, version {version})")
        }
        PushStep::Changed => format!("成功，已更新为版本 {version} (changed, version {version})"),
        PushStep::Repeated => format!(
            "成功，内容与当前版本 {version} 相同，未产生新版本 (repeated, still version {version})"
        ),
        PushStep::Late => format!(
            "成功，报告已确认，此状态迟到，仅记入历史，版本 {version} (late status, kept in the history as version {version})"
        ),
    };
    if let Some(withdrawal) = outcome.lifted {
        text.push_str(&format!(
            "；此前的撤回（更正号 {withdrawal}）随新内容解除，检查恢复可见 (new content has ended the withdrawal {withdrawal}: the exam is shown again)"
        ));
    }
    if outcome.contested {
        text.push_str(CONTESTED);
    }
    remark(&mut text, &outcome.flags, &LISTED);
    remark(&mut text, &outcome.flags, &MARKED);
    if outcome.adopted > 0 {
        let adopted = outcome.adopted;
        text.push_str(&format!(
            "；{adopted} 幅暂存影像已归入 ({adopted} held instances adopted)"
        ));
    }
    if let Some(by) = outcome.hidden {
        text.push_str(hidden(by));
    }
    if warnings > 0 {
        text.push_str(&format!(
            "；{warnings} 处提醒见 result.warnings ({warnings} warnings)"
        ));
    }
    text
}

/// What a dry run foresees, in words: nothing is listed yet, and nothing has a number.
pub fn foreseen(outcome: &PushOutcome) -> String {
    let version = outcome.version;
    let mut text = match outcome.step {
        PushStep::Registered => {
            format!("将归档为版本 {version} (would be registered as version {version})")
        }
        PushStep::Changed => {
            format!("将更新为版本 {version} (would be changed to version {version})")
        }
        PushStep::Repeated => format!(
            "内容与当前版本 {version} 相同，不会产生新版本 (would be a repeat of version {version})"
        ),
        PushStep::Late => format!(
            "报告已确认，此状态将作为迟到仅记入历史，版本 {version} (would be kept as a late status, version {version})"
        ),
    };
    if let Some(withdrawal) = outcome.lifted {
        text.push_str(&format!(
            "；此前的撤回（更正号 {withdrawal}）将随新内容解除 (new content would end the withdrawal {withdrawal})"
        ));
    }
    if outcome.contested {
        text.push_str(WOULD_BE_CONTESTED);
    }
    remark(&mut text, &outcome.flags, &WOULD_BE_LISTED);
    remark(&mut text, &outcome.flags, &MARKED);
    if outcome.adopted > 0 {
        let adopted = outcome.adopted;
        text.push_str(&format!(
            "；{adopted} 幅暂存影像将归入 ({adopted} held instances would be adopted)"
        ));
    }
    if let Some(by) = outcome.hidden {
        text.push_str(hidden(by));
    }
    text
}

type Remark = (ExamFlag, &'static str);

const LISTED: [Remark; 1] = [(
    ExamFlag::IdentityDoubt,
    "；患者信息与影像不一致，已列入核对清单 (identity differs from the images: listed)",
)];

const WOULD_BE_LISTED: [Remark; 1] = [(
    ExamFlag::IdentityDoubt,
    "；患者信息与影像不一致，将列入核对清单 (identity differs from the images: would be listed)",
)];

const CONTESTED: &str = "；检查UID已被其他医院或患者登记，影像暂归先登记者，已列入冲突清单 (the study UID is claimed by another hospital or patient: listed as a conflict)";

const WOULD_BE_CONTESTED: &str = "；检查UID已被其他医院或患者登记，影像将暂归先登记者，并列入冲突清单 (the study UID is claimed by another hospital or patient: would be listed as a conflict)";

const MARKED: [Remark; 3] = [
    (
        ExamFlag::PlaceholderApplyNo,
        "；申请单号为占位值，不计入统计 (applyNo stands for no form: not counted)",
    ),
    (
        ExamFlag::UnknownClass,
        "；检查类别不在字典中 (examClass is in no dictionary)",
    ),
    (
        ExamFlag::Test,
        "；医院处于测试模式，数据仅供测试 (test mode: marked and uncounted)",
    ),
];

fn hidden(by: WithdrawnBy) -> &'static str {
    match by {
        WithdrawnBy::App => {
            "；此检查已撤回，现不可见，推送新内容或撤销撤回后恢复 (withdrawn, not shown: new content or an undo shows it again)"
        }
        WithdrawnBy::Operator => {
            "；此检查已由平台撤回，撤销撤回之前不可见 (withdrawn by an operator: not shown until that is undone)"
        }
    }
}

fn remark(text: &mut String, flags: &[ExamFlag], remarks: &[Remark]) {
    for (flag, words) in remarks {
        if flags.contains(flag) {
            text.push_str(words);
        }
    }
}

pub fn result(outcome: &PushOutcome, warnings: &[Value]) -> Value {
    let mut result = names(&outcome.exam);
    result.extend(fields(json!({
        "version": outcome.version,
        "step": outcome.step,
        "flags": outcome.flags,
        "adopted": outcome.adopted,
        "hidden": outcome.hidden.is_some(),
        "warnings": warnings,
    })));
    if let Some(withdrawal) = outcome.lifted {
        result.insert("lifted".to_owned(), withdrawal.0.into());
    }
    Value::Object(result)
}
