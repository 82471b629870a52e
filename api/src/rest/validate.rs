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
    let named = unchecked.peek().hospital;
    let forbidden = named.as_ref().and_then(|code| allow(scope, code).err());
    // Of a hospital that is not the app's nothing shows, not even its settings.
    let hospital = named
        .as_ref()
        .filter(|_| forbidden.is_none())
        .and_then(|code| call.registry.hospitals.get(code));
    let default = ValidationPolicy::default();
    let checked = unchecked.check(PushContext {
        policy: hospital.map_or(&default, |hospital| &hospital.validation),
        aliases: &call.registry.settings.class_aliases,
        placeholders: &call.registry.settings.placeholder_apply_nos,
    });
    let mut found = match checked {
        Err(refused) if forbidden.is_some() => Found::of(&refused),
        Err(refused) => Found::of(&push::with_hospital(&call.registry, refused)),
        Ok(parsed) if forbidden.is_some() => Found {
            warnings: parsed.warnings,
            ..Found::default()
        },
        Ok(parsed) => Found {
            warnings: parsed.warnings,
            ..Found::of_outcome(&foresee(call, parsed.body)?)
        },
    };
    found.mode = hospital.map(|hospital| hospital.mode);
    match forbidden {
        None => Ok(found.into_answer()),
        Some(forbidden) => Err(found.into_failure(forbidden)),
    }
}

/// What a dry run has found.
#[derive(Default)]
struct Found {
    message: String,
    faults: Vec<Value>,
    warnings: Vec<Fault>,
    mode: Option<HospitalMode>,
    would: Option<String>,
}

impl Found {
    fn of(refused: &Refused) -> Self {
        Self {
            message: refused.summary(),
            faults: refused.faults.iter().map(fault_json).collect(),
            warnings: refused.warnings.clone(),
            ..Self::default()
        }
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        let valid = "校验通过，未归档 (valid; nothing was recorded)";
        match outcome {
            Outcome::Refused(refusal) => {
                let message = would_be_refused(refusal);
                let fault = json!({
                    "path": refusal.path,
                    "rule": refusal.rule,
                    "message": message,
                });
                Self {
                    message,
                    faults: vec![fault],
                    ..Self::default()
                }
            }
            Outcome::Push(outcome) => Self {
                message: valid.to_owned(),
                would: Some(push::foreseen(outcome)),
                ..Self::default()
            },
            Outcome::Done | Outcome::Form(_) => Self {
                message: valid.to_owned(),
                ..Self::default()
            },
        }
    }

    fn result(self) -> Value {
        let warnings: Vec<Value> = self.warnings.iter().map(fault_json).collect();
        let members = [
            ("valid", Some(json!(self.faults.is_empty()))),
            ("faults", Some(Value::Array(self.faults))),
            ("warnings", Some(Value::Array(warnings))),
            ("hospitalMode", self.mode.map(|mode| json!(mode))),
            ("would", self.would.map(Value::String)),
        ];
        // A member without a value is left out: the documented types have no null.
        let members = members.into_iter();
        let members = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(members.collect())
    }

    fn into_answer(mut self) -> Answer {
        let message = std::mem::take(&mut self.message);
        let refused = !self.faults.is_empty();
        let mut answer = Answer::new(message).with_result(self.result());
        answer.status = refused.then_some(REFUSED);
        answer
    }

    /// The app has no right, and hears all else that is wrong as well.
    fn into_failure(mut self, mut forbidden: Failure) -> Failure {
        if let Some(Value::Array(lines)) = forbidden.result.take() {
            self.faults.splice(..0, lines);
        }
        if !self.message.is_empty() {
            forbidden.message = format!("{}；{}", forbidden.message, self.message);
        }
        forbidden.result = Some(self.result());
        forbidden
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
