//! `SynApplyInfo` (contract §3.1): a form is taken, changed or deleted, and the answer is a code with words.

use std::net::IpAddr;
use std::sync::Arc;

use yingku_core::contract::xml::{self, DOCUMENT_LIMIT, Element};

use crate::call::{Api, INLINE_BYTES, blocking};
use crate::error::Note;

pub const NAME: &str = "SynApplyInfo";

/// Codes of the contract's table.
pub const DONE: i16 = 0;
const WRITING_FAILED: i16 = -1;
const MESSAGE_WRONG: i16 = -3;

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
        Ok(Ok((document, form))) => submit(api, address, document, form).await,
        Ok(Err(answer)) => answer,
        Err(failure) => Answer {
            code: WRITING_FAILED,
            desc: failure.message,
            notes: failure.notes,
        },
    }
}

fn read(document: Document) -> Result<(Document, Element), Answer> {
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
        Ok(form) => Ok((document, form)),
        Err(error) => Err(wrong(format!("申请单{error}"))),
    }
}

/// Hands a form over to be written.
async fn submit(_api: &Arc<Api>, _from: IpAddr, _document: Document, _form: Element) -> Answer {
    let desc = "申请单服务尚未启用 (apply forms are not taken yet)";
    Answer::refused(WRITING_FAILED, "not-enabled", desc)
}
