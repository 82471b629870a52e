//! `SynApplyInfo` (contract §3.1): a form is taken, changed or deleted, and the answer is a code with words.

use std::net::IpAddr;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{self, Action, FormContext, FormRefused};
use yingku_core::contract::xml::{self, DOCUMENT_LIMIT, Element};
use yingku_core::decide::{FORM_TAKEN, FORM_UNKNOWN};
use yingku_core::event::{ApplyFormReceived, Event, FORMS_SINCE_RULES};
use yingku_core::ids::{HisId, HospitalCode};
use yingku_core::outcome::{ErrorKind, FormStep, Outcome};
use yingku_core::registry::{His, Registry};
use yingku_storage::archive::Submission;
use yingku_storage::keys::Purpose;

use crate::call::{Api, INLINE_BYTES, blocking};
use crate::error::{Failure, NOTES_LIMIT, Note, rule_name, without_indices};

pub const NAME: &str = "SynApplyInfo";

/// Codes of the contract's table.
pub const DONE: i16 = 0;
const WRITING_FAILED: i16 = -1;
const DELETING_FAILED: i16 = -2;
const MESSAGE_WRONG: i16 = -3;
const EXAM_REGISTERED: i16 = -88;
const NO_SUCH_FORM: i16 = -99;

/// A form's XML, decoded once. No `Debug`: it holds a patient.
pub struct Document(pub String);

/// What the HIS is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: i16,
    /// Chinese first, then English in parentheses; no patient data. Cut at 300 characters when it is sent.
    pub desc: String,
    /// For the operator's error digest.
    pub notes: Vec<Note>,
    /// Whom the digest lists it under, where that is not the caller's address.
    pub source: Option<String>,
}

impl Answer {
    /// A refusal whose words are also the digest's reason.
    fn refused(code: i16, rule: &str, desc: impl Into<String>) -> Self {
        let desc = desc.into();
        Self {
            code,
            notes: vec![Note {
                rule: rule.to_owned(),
                path: String::new(),
                reason: desc.clone(),
                hospital: String::new(),
                example: String::new(),
            }],
            desc,
            source: None,
        }
    }
}

/// Takes a document from whoever sent it.
pub async fn handle(api: &Arc<Api>, address: IpAddr, document: Document) -> Answer {
    let read = match document.0.len() <= INLINE_BYTES {
        true => Ok(read(document)),
        false => blocking(move || Ok(read(document))).await,
    };
    match read {
        Ok(Ok(form)) => submit(api, address, form).await,
        Ok(Err(answer)) => answer,
        Err(failure) => Answer {
            code: WRITING_FAILED,
            desc: failure.message,
            notes: failure.notes,
            source: None,
        },
    }
}

fn read(document: Document) -> Result<Element, Answer> {
    let wrong = |desc: String| Answer::refused(MESSAGE_WRONG, "xml", desc);
    if document.0.len() > DOCUMENT_LIMIT {
        return Err(wrong(format!(
            "申请单 XML 超过 {DOCUMENT_LIMIT} 字节 (the form has more than {DOCUMENT_LIMIT} bytes)"
        )));
    }
    if document.0.starts_with("&lt;") {
        return Err(wrong(
            "申请单 XML 被转义了两次，应只转义一次或用 CDATA (the form is escaped twice: escape it once, or use CDATA)".to_owned(),
        ));
    }
    match xml::read(&document.0) {
        Ok(form) => Ok(form),
        Err(error) => Err(wrong(format!("申请单{error}"))),
    }
}

/// Lets the sender in by its licence, checks the form and has it written.
async fn submit(api: &Arc<Api>, address: IpAddr, form: Element) -> Answer {
    let registry = api.archive.registry();
    let licensed = match admitted(api, &registry, address, &form).await {
        Ok(licensed) => licensed,
        Err(answer) => return answer,
    };
    let parsed = match apply_form::parse(
        &form,
        FormContext {
            registry: &registry,
        },
    ) {
        Ok(parsed) => parsed,
        Err(refused) => return of_faults(&licensed.first.id, &refused),
    };
    let his = licensed.of(&parsed.hospital);
    let about = About {
        his: his.id.clone(),
        hospital: parsed.hospital.to_string(),
        apply_no: parsed.apply_no,
    };
    if !his.hospitals.has(&parsed.hospital) {
        let desc = format!(
            "该验证码无权发送医院 {0} 的申请单 (this licence may not send forms of hospital {0})",
            parsed.hospital
        );
        return about.refused(MESSAGE_WRONG, "hospital-forbidden", "Header/License", desc);
    }
    if registry.rules < FORMS_SINCE_RULES {
        let desc = format!(
            "平台尚未启用申请单规则（版本 {FORMS_SINCE_RULES}），请稍后重发 (the archive does not take forms yet: send it again later)"
        );
        return about.refused(WRITING_FAILED, "rules", "", desc);
    }
    let (action, warnings) = (parsed.action, parsed.warnings.len());
    let submission = Submission {
        hospital: Some(parsed.hospital.clone()),
        actor: format!("his:{}", his.id),
        event: Event::ApplyFormReceived(ApplyFormReceived {
            hospital: parsed.hospital,
            source: FormSource::Soap,
            body: parsed.body,
        }),
    };
    match api.archive.submit(submission).await {
        Ok(decided) => match decided.outcome {
            Outcome::Refused(refusal) => {
                let code = code_of(action, &refusal.rule);
                about.refused(code, &refusal.rule, &refusal.path, refusal.message)
            }
            Outcome::Form(outcome) => done(outcome.step, warnings),
            Outcome::Done | Outcome::Push(_) => done(FormStep::Repeated, warnings),
        },
        Err(error) => {
            let failure = Failure::from(error);
            let code = match failure.kind {
                ErrorKind::TooLarge => MESSAGE_WRONG,
                _ => failed(action),
            };
            about.refused(code, "submit", "", failure.message)
        }
    }
}

/// The HIS whose licence a message has. Who has a wrong one learns nothing else, and waits when there were many.
async fn admitted(
    api: &Arc<Api>,
    registry: &Arc<Registry>,
    address: IpAddr,
    form: &Element,
) -> Result<Licensed, Answer> {
    let license = apply_form::license_of(form);
    let his = license.and_then(|license| licensed(api, registry, &license));
    let judged = api
        .license_attempts
        .judge(address, his.as_ref().map(|his| &his.first.id))
        .await;
    if let Err(failure) = judged {
        // Whether the message is right was not looked at: it is to be sent again.
        return Err(Answer {
            code: WRITING_FAILED,
            desc: failure.message,
            notes: failure.notes,
            source: None,
        });
    }
    his.ok_or_else(|| {
        Answer::refused(
            MESSAGE_WRONG,
            "license",
            "Header/License 为空或有误，请使用平台分配的验证码 (the licence is missing or wrong: use the one that the platform gave)",
        )
    })
}

/// Who has a licence: several HIS may have been given the same.
struct Licensed {
    first: His,
    others: Vec<His>,
}

impl Licensed {
    /// The one that sends a hospital's forms.
    fn of(self, hospital: &HospitalCode) -> His {
        let others = self.others.into_iter();
        let mut senders = others.filter(|his| his.hospitals.has(hospital));
        match self.first.hospitals.has(hospital) {
            true => self.first,
            false => senders.next().unwrap_or(self.first),
        }
    }
}

/// Every licence is compared, so that the time tells nothing of which are near.
fn licensed(api: &Api, registry: &Registry, license: &str) -> Option<Licensed> {
    let mut found: Option<Licensed> = None;
    for his in registry.his.values().filter(|his| his.enabled) {
        let Ok(own) = api.archive.key().open(Purpose::License, &his.license) else {
            tracing::error!(his = %his.id, "a licence does not open under the cluster key");
            continue;
        };
        if bool::from(own.as_slice().ct_eq(license.as_bytes())) {
            match &mut found {
                Some(found) => found.others.push(his.clone()),
                None => {
                    found = Some(Licensed {
                        first: his.clone(),
                        others: Vec::new(),
                    });
                }
            }
        }
    }
    found
}

/// What a refusal is about, for the error digest.
struct About {
    his: HisId,
    hospital: String,
    apply_no: String,
}

impl About {
    fn refused(&self, code: i16, rule: &str, path: &str, desc: String) -> Answer {
        Answer {
            code,
            notes: vec![Note {
                rule: rule.to_owned(),
                path: path.to_owned(),
                reason: desc.clone(),
                hospital: self.hospital.clone(),
                example: self.apply_no.clone(),
            }],
            desc,
            source: Some(format!("his:{}", self.his)),
        }
    }
}

/// R13: every wrong field at once.
fn of_faults(his: &HisId, refused: &FormRefused) -> Answer {
    let hospital = refused.hospital.as_ref().map(ToString::to_string);
    let hospital = hospital.unwrap_or_default();
    let notes = refused.faults.iter().take(NOTES_LIMIT).map(|fault| Note {
        rule: rule_name(fault),
        path: without_indices(&fault.path),
        reason: fault.message.clone(),
        hospital: hospital.clone(),
        example: refused.apply_no.clone().unwrap_or_default(),
    });
    Answer {
        code: MESSAGE_WRONG,
        desc: refused.summary(),
        notes: notes.collect(),
        source: Some(format!("his:{his}")),
    }
}

/// The contract's table (§3.1) with R13 and R14.
fn code_of(action: Action, rule: &str) -> i16 {
    match (action, rule) {
        (Action::Update | Action::Delete, FORM_TAKEN) => EXAM_REGISTERED,
        (_, FORM_UNKNOWN) => NO_SUCH_FORM,
        _ => failed(action),
    }
}

fn failed(action: Action) -> i16 {
    match action {
        Action::Insert | Action::Update => WRITING_FAILED,
        Action::Delete => DELETING_FAILED,
    }
}

fn done(step: FormStep, warnings: usize) -> Answer {
    let mut desc = match step {
        FormStep::Inserted => "成功，已接收 (inserted)",
        FormStep::Updated => "成功，已更新 (updated)",
        FormStep::Repeated => "成功，内容相同，未产生新版本 (repeated: nothing new)",
        FormStep::Deleted => "成功，已删除 (deleted)",
    }
    .to_owned();
    if warnings > 0 {
        desc.push_str(&format!(
            "；{warnings} 处内容超长或代码不识，已照收 ({warnings} warnings)"
        ));
    }
    Answer {
        code: DONE,
        desc,
        notes: Vec::new(),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_code_of_its_action() {
        use Action::{Delete, Insert, Update};
        for (action, rule, code) in [
            (Insert, FORM_TAKEN, -1),
            (Update, FORM_TAKEN, -88),
            (Delete, FORM_TAKEN, -88),
            (Update, FORM_UNKNOWN, -99),
            (Delete, FORM_UNKNOWN, -99),
            (Insert, "number-reuse", -1),
            (Update, "hospital-suspended", -1),
            (Delete, "hospital-suspended", -2),
        ] {
            assert_eq!(code_of(action, rule), code, "{action:?} {rule}");
        }
    }
}
