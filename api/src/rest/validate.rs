//! `POST /v1/exam/validate`: a push's dry run. Every fault and warning is named, and what the push would come to; nothing
//! is recorded.

use serde_json::{Value, json};
use yingku_core::contract::push::{ExamPushedBody, PushContext, Unchecked};
use yingku_core::contract::{Fault, Refused, ValidationPolicy};
use yingku_core::decide::{Context, decide};
use yingku_core::event::Event;
use yingku_core::outcome::{Outcome, Refusal};
use yingku_core::registry::HospitalMode;
use yingku_storage::views::BatchState;

use super::params::text;
use super::push;
use super::schema;
use crate::call::{Call, allow, blocking, now_ms};
use crate::envelope::{Answer, REFUSED};
use crate::error::{Failure, fault_json};

/// The rule of what is refused and listed (R6).
const NUMBER_REUSE: &str = "number-reuse";

pub const EXAMPLE: &str = push::EXAMPLE;

pub fn request_schema() -> Value {
    push::request_schema()
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("valid", true, schema::boolean("可以归档 (would be taken)")),
        ("faults", true, schema::array(schema::fault())),
        ("warnings", true, schema::array(schema::fault())),
        (
            "would",
            false,
            schema::text(512, "归档结果预告 (what the push would come to)"),
        ),
        (
            "hospitalMode",
            false,
            schema::text(16, "live, test, suspended"),
        ),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    call.archive().catch_up().await?;
    blocking(move || dry_run(&call)).await
}

fn dry_run(call: &Call) -> Result<Answer, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let unchecked = Unchecked::read(&text).map_err(|refused| Failure::of_faults(&refused))?;
    let scope = &call.caller()?.app()?.hospitals;
    let peeked = unchecked.peek();
    if let Some(hospital) = &peeked.hospital {
        allow(scope, hospital)?;
    }
    let hospital = peeked
        .hospital
        .as_ref()
        .and_then(|code| call.registry.hospitals.get(code));
    let mode = hospital.map(|hospital| hospital.mode);
    let default = ValidationPolicy::default();
    let checked = unchecked.check(PushContext {
        policy: hospital.map_or(&default, |hospital| &hospital.validation),
        aliases: &call.registry.settings.class_aliases,
        placeholders: &call.registry.settings.placeholder_apply_nos,
    });
    match checked {
        Err(refused) => {
            let Refused {
                faults, warnings, ..
            } = &*refused;
            Ok(answer(
                refused.summary(),
                faults.iter().map(fault_json).collect(),
                warnings,
                mode,
                None,
            ))
        }
        Ok(parsed) => {
            let outcome = foresee(call, parsed.body)?;
            let (faults, message) = match &outcome {
                Outcome::Refused(refusal) => {
                    let message = would_be_refused(refusal);
                    let fault = json!({
                        "path": refusal.path,
                        "rule": refusal.rule,
                        "message": message,
                    });
                    (vec![fault], message)
                }
                _ => (
                    Vec::new(),
                    "校验通过，未归档 (valid; nothing was recorded)".to_owned(),
                ),
            };
            let would = match &outcome {
                Outcome::Push(outcome) => Some(push::foreseen(outcome)),
                _ => None,
            };
            Ok(answer(message, faults, &parsed.warnings, mode, would))
        }
    }
}

/// A push that is refused as suspected reuse is listed under a number; a dry run lists nothing.
fn would_be_refused(refusal: &Refusal) -> String {
    if refusal.rule == NUMBER_REUSE {
        return "examNo 已属于另一患者且检查UID全部不同，疑似流水号重复使用；推送时将被拒绝，并列入清单待平台确认 \
                (examNo belongs to another patient with other study UIDs, suspected reuse: a push would be refused, and listed for the operator)"
            .to_owned();
    }
    refusal.message.clone()
}

/// Decides the push on the views as they are, and forgets the changes.
fn foresee(call: &Call, body: ExamPushedBody<'static>) -> Result<Outcome, Failure> {
    let views = call.archive().views();
    let position = views.cursor()?.next;
    let state = BatchState::new(&views, call.archive().registry());
    let actor = call.caller()?.actor();
    let context = Context {
        position,
        time_ms: now_ms(),
        actor: &actor,
    };
    decide(&state, context, &Event::ExamPushed(body))
        .map(|(outcome, _)| outcome)
        .map_err(|error| Failure::internal(&error))
}

fn answer(
    message: String,
    faults: Vec<Value>,
    warnings: &[Fault],
    mode: Option<HospitalMode>,
    would: Option<String>,
) -> Answer {
    let valid = faults.is_empty();
    let warnings: Vec<Value> = warnings.iter().map(fault_json).collect();
    let members = [
        ("valid", Some(json!(valid))),
        ("faults", Some(Value::Array(faults))),
        ("warnings", Some(Value::Array(warnings))),
        ("hospitalMode", mode.map(|mode| json!(mode))),
        ("would", would.map(Value::String)),
    ];
    // A member without a value is left out: the documented types have no null.
    let members = members.into_iter();
    let result = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut answer = Answer::new(message).with_result(Value::Object(result.collect()));
    answer.status = (!valid).then_some(REFUSED);
    answer
}
