//! `POST /v1/apply/fetch`: asks the hospital's 基卫 for a patient's apply forms (contract §1, R11), records each of them
//! as any other form, and answers what came of it.

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use yingku_core::apply_form::FormSource;
use yingku_core::apply_form::progress::FormState;
use yingku_core::contract::apply_form::{ApplyForm, ApplyFormBody};
use yingku_core::contract::jiwei::{
    Answer as JiweiAnswer, ApplyKind, ApplyQuery, BusinessType, RefusedForm, TakeContext,
    TakenForm, UnreadableRow, take,
};
use yingku_core::contract::{Fault, Rule};
use yingku_core::dictionaries::is_placeholder;
use yingku_core::event::{ApplyFormReceived, Event};
use yingku_core::ids::{FormKey, HisId};
use yingku_core::outcome::{ErrorKind, FormStep, Outcome, Refusal};
use yingku_core::registry::{Closed, HisJiwei, Hospital, HospitalMode};
use yingku_storage::archive::{AuditEntry, Submission};

use super::apply_query::open_key;
use super::exam_row::fields;
use super::params::{Params, incomplete, text};
use super::schema;
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::{Failure, Note, fault_json};
use crate::jiwei::{Address, AskError};

const PATH: &str = "/v1/apply/fetch";
/// Characters of a card number, as of other numbers (R13).
const CARD_LIMIT: usize = 64;
/// Forms that are on their way into the log at once: their records share its syncs.
const RECORDED_AT_ONCE: usize = 16;
/// Lines of one answer in the error digest.
const NOTES_LIMIT: usize = 20;

pub const EXAMPLE: &str =
    r#"{"hospitalCode":"350006","cardNo":"C0001","businessType":"1","type":"2"}"#;

pub fn request_schema() -> Value {
    schema::object(&[
        (
            "hospitalCode",
            true,
            schema::text(32, "医院代码，其 HIS 为基卫"),
        ),
        ("cardNo", true, schema::text(CARD_LIMIT, "病人卡号")),
        (
            "businessType",
            true,
            json!({ "enum": ["1", "2", "3"], "description": "1 门诊、2 住院、3 体检" }),
        ),
        (
            "type",
            true,
            json!({ "enum": ["1", "2"], "description": "1 心电、2 影像" }),
        ),
    ])
}

pub fn result_schema() -> Value {
    let text = schema::text;
    let form = schema::object(&[
        (
            "applyNo",
            true,
            text(2000, "申请单号，无医院前缀；未收下的照基卫所写"),
        ),
        (
            "step",
            true,
            text(
                16,
                "inserted 新申请单，updated 内容有变，repeated 与已有的相同（或已由 HIS 以 SOAP 发送），refused 未收下",
            ),
        ),
        (
            "state",
            false,
            text(
                16,
                "平台上的状态：received 已收到，registered 已登记，images 影像已到，reported 已出报告",
            ),
        ),
        ("regState", false, text(2000, "基卫所述的申请单状态")),
        ("name", false, text(2000, "姓名")),
        ("sex", false, text(2000, "性别")),
        ("birthDate", false, text(10, "出生日期")),
        ("age", false, text(2000, "年龄")),
        (
            "examClass",
            false,
            text(16, "检查类别：心电为 ECG，影像基卫未说明"),
        ),
        ("items", false, schema::array(text(2000, "检查项目"))),
        ("reqTime", false, text(19, "申请时间")),
        ("reqDept", false, text(2000, "申请科室")),
        ("reqPhysician", false, text(2000, "申请医师")),
        ("path", false, text(256, "未收下时：有误的字段")),
        ("rule", false, text(32, "未收下时：规则")),
        ("message", false, text(512, "未收下的原因")),
        ("warnings", true, schema::array(schema::fault())),
    ]);
    let unreadable = schema::object(&[
        ("row", true, schema::integer("应答中的行，从 0 起")),
        (
            "field",
            false,
            text(64, "不是文本或过长的字段；无：该行不是对象"),
        ),
    ]);
    schema::object(&[
        ("his", true, text(64, "所查询的 HIS")),
        ("forms", true, schema::array(form)),
        ("unreadable", true, schema::array(unreadable)),
    ])
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = read(&call)?;
    let (his, jiwei) = asked.jiwei(&call)?;
    let key = open_key(&call, &jiwei.key)?;
    let address = Address {
        his: &his,
        url: &jiwei.url,
        carrier: jiwei.carrier,
        key: &key,
    };
    let heard = call.api.jiwei.ask(address, &asked.question).await;
    let heard = heard.map_err(|error| not_answered(&error, &his, &asked.hospital))?;
    let JiweiAnswer { forms, unreadable } = &heard.answer;
    let context = TakeContext {
        registry: &call.registry,
        hospital: &asked.hospital,
        asked: &asked.question,
    };
    let taken = take(forms, context);
    let rows: Vec<Row> = stream::iter(taken)
        .map(|form| record(&call, &asked.hospital, form))
        .buffered(RECORDED_AT_ONCE)
        .try_collect()
        .await?;
    let numbers: Vec<&str> = rows.iter().filter_map(Row::number).collect();
    call.archive()
        .audit(AuditEntry {
            reader: call.caller()?.actor(),
            operation: "applyFetch".to_owned(),
            hospital: asked.hospital.code.as_str().to_owned(),
            target: numbers.join(" "),
            ..AuditEntry::default()
        })
        .await?;
    let notes = notes(&asked.hospital, &rows, unreadable);
    let source = format!("his:{his}");
    call.api.note_refusals(PATH, source, notes).await;
    blocking(move || answered(&call, &his, rows, &heard.answer.unreadable)).await
}

/// What is asked, of whom.
struct Asked {
    hospital: Hospital,
    question: ApplyQuery,
}

fn read(call: &Call) -> Result<Asked, Failure> {
    let text = text(&call.body, call.charset.as_deref())?;
    let mut params = Params::read(&text)?;
    let code = params.required("hospitalCode", Params::hospital);
    let card = params.required_text("cardNo", CARD_LIMIT);
    let business_type = params.required("businessType", |params| {
        params.parsed("businessType", |text| {
            BusinessType::of_code(text).ok_or("应为 1、2 或 3 (must be 1, 2 or 3)")
        })
    });
    let kind = params.required("type", |params| {
        params.parsed("type", |text| {
            ApplyKind::of_code(text).ok_or("应为 1 或 2 (must be 1 or 2)")
        })
    });
    let placeholders = &call.registry.settings.placeholder_apply_nos;
    if card
        .as_ref()
        .is_some_and(|card| is_placeholder(placeholders, card))
    {
        let message = "占位值，不是病人的卡号 (a placeholder, not a patient's card)";
        params.fault("cardNo", Rule::Placeholder, message.to_owned());
    }
    if card
        .as_ref()
        .is_some_and(|card| card.contains(char::is_control))
    {
        let message = "含有控制字符，请去除 (holds a control character)";
        params.fault("cardNo", Rule::Format, message.to_owned());
    }
    params.finish()?;
    let (Some(code), Some(medicare_code), Some(business_type), Some(kind)) =
        (code, card, business_type, kind)
    else {
        return Err(incomplete());
    };
    call.allow(&code)?;
    call.registered(&code)?;
    let hospital = call.registry.hospitals.get(&code).ok_or_else(incomplete)?;
    if hospital.mode == HospitalMode::Suspended {
        let fault = Fault::of_hospital("hospitalCode", Closed::Suspended);
        let refusal = Refusal::new(
            ErrorKind::Forbidden,
            "hospital-suspended",
            "hospitalCode",
            fault.message,
        );
        return Err(Failure::from(refusal).about(code.as_str(), ""));
    }
    let yyid00 = hospital.yyid00.clone().ok_or_else(|| {
        not_set(
            hospital,
            "该医院没有登记 yyid00，无法向基卫查询，请联系平台管理员 (this hospital has no yyid00, so its 基卫 cannot be asked: tell the operator)",
        )
    })?;
    Ok(Asked {
        hospital: hospital.clone(),
        question: ApplyQuery {
            medicare_code,
            yyid00,
            business_type,
            kind,
        },
    })
}

impl Asked {
    fn jiwei(&self, call: &Call) -> Result<(HisId, HisJiwei), Failure> {
        let found = call.registry.jiwei_of(&self.hospital.code);
        let found = found.map(|(his, jiwei)| (his.id.clone(), jiwei.clone()));
        found.ok_or_else(|| {
            not_set(
                &self.hospital,
                "该医院没有登记已启用的基卫（HIS 的 jiwei 设置），请联系平台管理员 (no enabled 基卫 is registered for this hospital: tell the operator)",
            )
        })
    }
}

fn not_set(hospital: &Hospital, message: &str) -> Failure {
    let refusal = Refusal::new(
        ErrorKind::Conflict,
        "jiwei-not-set",
        "hospitalCode",
        message,
    );
    Failure::from(refusal).about(hospital.code.as_str(), "")
}

/// A refusal whose digest line is the HIS's, not the app's that asked.
fn not_answered(error: &AskError, his: &HisId, hospital: &Hospital) -> Failure {
    let kind = match error {
        AskError::Busy => ErrorKind::TooMany,
        AskError::NoClient => ErrorKind::Internal,
        _ => ErrorKind::Conflict,
    };
    let refusal = Refusal::new(kind, error.rule(), "", error.to_string());
    let mut failure = Failure::from(refusal)
        .because(error.for_operators())
        .about(hospital.code.as_str(), "");
    failure.source = Some(format!("his:{his}"));
    failure
}

/// One form of the answer, and what came of it.
struct Row {
    apply_no: String,
    came: Came,
}

enum Came {
    Taken {
        form: FormKey,
        step: FormStep,
        taken: Box<TakenForm>,
    },
    /// By the archive's rules.
    NotRecorded {
        form: FormKey,
        refusal: Refusal,
        taken: Box<TakenForm>,
    },
    /// It is no form that could be recorded.
    NotTaken(RefusedForm),
}

async fn record(
    call: &Call,
    hospital: &Hospital,
    form: Result<TakenForm, RefusedForm>,
) -> Result<Row, Failure> {
    let taken = match form {
        Ok(taken) => Box::new(taken),
        Err(refused) => {
            return Ok(Row {
                apply_no: refused.spelling.clone(),
                came: Came::NotTaken(refused),
            });
        }
    };
    let apply_no = taken.body.apply_no.clone();
    let submission = Submission {
        hospital: Some(hospital.code.clone()),
        actor: call.caller()?.actor(),
        event: Event::ApplyFormReceived(ApplyFormReceived {
            hospital: hospital.code.clone(),
            source: FormSource::Jiwei,
            body: taken.body.clone(),
        }),
    };
    let decided = call.archive().submit(submission).await?;
    let came = match decided.outcome {
        Outcome::Form(outcome) => Came::Taken {
            form: outcome.form,
            step: outcome.step,
            taken,
        },
        Outcome::Refused(refusal) => Came::NotRecorded {
            form: FormKey {
                hospital: hospital.code.clone(),
                apply_no: apply_no.clone(),
                generation: hospital.generation,
            },
            refusal,
            taken,
        },
        Outcome::Done | Outcome::Push(_) => {
            return Err(Failure::new(
                ErrorKind::Internal,
                "internal",
                "内部错误，请告知平台管理员 (internal error: tell the operator)",
            ));
        }
    };
    Ok(Row { apply_no, came })
}

impl Row {
    /// A number that is one.
    fn number(&self) -> Option<&str> {
        match &self.came {
            Came::NotTaken(refused) if refused.fault.path == "applycode" => None,
            _ => Some(&self.apply_no),
        }
    }

    fn step(&self) -> &'static str {
        match &self.came {
            Came::Taken { step, .. } => match step {
                FormStep::Inserted => "inserted",
                FormStep::Updated => "updated",
                FormStep::Repeated | FormStep::Deleted => "repeated",
            },
            Came::NotRecorded { .. } | Came::NotTaken(_) => "refused",
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        match &self.came {
            Came::Taken { .. } => None,
            Came::NotRecorded { refusal, .. } => Some(Refusal {
                // The rules speak of §3's elements.
                path: "applycode".to_owned(),
                ..refusal.clone()
            }),
            Came::NotTaken(refused) => {
                let fault = &refused.fault;
                let rule = fault_json(fault);
                let rule = rule.get("rule").and_then(Value::as_str).unwrap_or_default();
                let (path, message) = (fault.path.as_str(), fault.message.clone());
                Some(Refusal::new(ErrorKind::Invalid, rule, path, message))
            }
        }
    }

    fn to_json(&self, call: &Call) -> Result<Value, Failure> {
        let mut out = fields(json!({ "applyNo": self.apply_no, "step": self.step() }));
        let form = match &self.came {
            Came::Taken { form, .. } => Some(form),
            // Of a number that is another patient's nothing is told.
            Came::NotRecorded { form, refusal, .. } => {
                (refusal.rule == yingku_core::decide::FORM_TAKEN).then_some(form)
            }
            Came::NotTaken(_) => None,
        };
        if let Some(state) = form.map(|form| state_of(call, form)).transpose()?.flatten() {
            out.insert("state".to_owned(), json!(state));
        }
        let warnings: Vec<Value> = match &self.came {
            Came::Taken { taken, .. } | Came::NotRecorded { taken, .. } => {
                out.extend(describe(taken));
                taken.warnings.iter().map(fault_json).collect()
            }
            Came::NotTaken(refused) => {
                out.insert("name".to_owned(), refused.name.clone().into());
                Vec::new()
            }
        };
        if let Some(refusal) = self.refusal() {
            out.extend(fields(json!({
                "path": refusal.path,
                "rule": refusal.rule,
                "message": refusal.message,
            })));
        }
        out.insert("warnings".to_owned(), Value::Array(warnings));
        Ok(Value::Object(out))
    }
}

fn state_of(call: &Call, form: &FormKey) -> Result<Option<FormState>, Failure> {
    let views = call.archive().views();
    let row = views.apply_form(form)?;
    let progress = row.map(|row| views.form_progress(&row)).transpose()?;
    Ok(progress.map(|progress| progress.state))
}

/// What the asker shows of a form; what is empty is left out.
fn describe(taken: &TakenForm) -> Map<String, Value> {
    let ApplyFormBody { form, .. } = &taken.body;
    let Some(ApplyForm { patient, exam, .. }) = form.as_deref() else {
        return Map::new();
    };
    let items: Vec<&str> = exam.items.iter().map(|item| item.name.as_str()).collect();
    let mut out = fields(json!({
        "regState": taken.reg_state.as_deref().unwrap_or_default(),
        "name": patient.name,
        "sex": patient.sex,
        "birthDate": patient.birth_date.map(|date| date.to_string()).unwrap_or_default(),
        "age": patient.age,
        "examClass": exam.exam_class,
        "reqTime": exam.req_time.map(|time| time.to_string()).unwrap_or_default(),
        "reqDept": exam.req_dept.name,
        "reqPhysician": exam.req_physician.name,
    }));
    out.retain(|_, value| *value != Value::String(String::new()));
    out.insert("items".to_owned(), json!(items));
    out
}

fn answered(
    call: &Call,
    his: &HisId,
    rows: Vec<Row>,
    unreadable: &[UnreadableRow],
) -> Result<Answer, Failure> {
    let count = |step| rows.iter().filter(|row| row.step() == step).count();
    let (new, changed, same) = (count("inserted"), count("updated"), count("repeated"));
    let not = count("refused") + unreadable.len();
    let message = match rows.len() + unreadable.len() {
        0 => "成功，基卫没有此卡号的申请单 (done: no forms of this card)".to_owned(),
        all => format!(
            "成功，申请单 {all} 张：新 {new}，更新 {changed}，未变 {same}，未收下 {not} ({all} forms: {new} new, {changed} changed, {same} the same, {not} not taken)"
        ),
    };
    let forms = rows.iter().map(|row| row.to_json(call));
    let forms: Vec<Value> = forms.collect::<Result<_, _>>()?;
    let unreadable: Vec<Value> = unreadable
        .iter()
        .map(|row| match row.field {
            None => json!({ "row": row.row }),
            Some(field) => json!({ "row": row.row, "field": field }),
        })
        .collect();
    Ok(Answer::new(message).with_result(json!({
        "his": his,
        "forms": forms,
        "unreadable": unreadable,
    })))
}

/// What was not taken, for the operator to tell the hospital.
fn notes(hospital: &Hospital, rows: &[Row], unreadable: &[UnreadableRow]) -> Vec<Note> {
    let note = |rule: &str, path: &str, reason: &str, example: &str| Note {
        rule: rule.to_owned(),
        path: path.to_owned(),
        reason: reason.to_owned(),
        hospital: hospital.code.as_str().to_owned(),
        example: example.to_owned(),
    };
    let refused = rows.iter().filter_map(|row| {
        let refusal = row.refusal()?;
        let Refusal {
            rule,
            path,
            message,
            ..
        } = &refusal;
        Some(note(rule, path, message, row.number().unwrap_or_default()))
    });
    let odd = unreadable.iter().map(|row| {
        let reason = "申请单的一行不是对象，或其字段不是文本或过长 (a row is no object, or a field is no text or too long)";
        note("jiwei-row", row.field.unwrap_or_default(), reason, "")
    });
    refused.chain(odd).take(NOTES_LIMIT).collect()
}
