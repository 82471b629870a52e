//! `POST /v1/exam/push` (§2.3): one examination with its patient, reports and images.
//!
//! [`parse`] is the edge's way: bytes to a checked [`ExamPush`] and the [`ExamPushedBody`] that the event stores.
//! [`ExamSummary::from_json`] is the replay's way: the few fields that `decide` needs, from that body.

mod body;
mod digest;
pub mod of_form;
mod record;
mod rules;
mod status;
mod summary;
mod supervised;

pub use body::{ExamPushedBody, FieldWarning, Flags};
pub use digest::canonical_digest;
pub(super) use digest::digest_of;
pub use record::{
    Category, ExamInfo, ExamItem, ExamOrgan, ExamPush, Identity, Image, PatientInfo, Report,
    ReportImage,
};
pub use status::{ExamStatus, ReportState};
pub use summary::{ExamSummary, IdentitySummary, ImageSummary, ReportSummary, SummaryError};

use std::fmt;

use super::check::{Check, Trail, drop_nulls};
use super::fault::{Fault, Refused, Rule};
use super::fields::EXAM_PUSH;
use super::json::{self, Json};
use super::policy::ValidationPolicy;
use crate::dictionaries::{ClassAliases, Placeholders};
use crate::ids::{ExamNo, HospitalCode};

/// The most bytes of canonical JSON: an event with it must fit the log's largest record of 1 MiB.
pub const CANONICAL_LIMIT_BYTES: usize = 960 * 1024;

/// What the check needs to know beside the message: settings of the registry.
#[derive(Clone, Copy)]
pub struct PushContext<'c> {
    pub policy: &'c ValidationPolicy,
    pub aliases: &'c ClassAliases,
    pub placeholders: &'c Placeholders,
}

/// Whether an imageUrl leads where a browser may be led to.
pub fn is_web_address(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    url.starts_with("http://") || url.starts_with("https://")
}

/// A push that is taken.
pub struct Parsed {
    pub push: ExamPush,
    /// What the event stores.
    pub body: ExamPushedBody<'static>,
    /// What is wrong without being refused; the answer may name it.
    pub warnings: Vec<Fault>,
    pub flags: Flags,
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed")
            .field("push", &self.push)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// A push's hospital and exam number before anything is checked, to find the hospital's settings.
pub struct Peeked {
    pub hospital: Option<HospitalCode>,
    pub exam_no: Option<ExamNo>,
}

/// A request's body as JSON, not yet checked. The caller bounds the bytes.
pub struct Unchecked<'a> {
    value: Json<'a>,
}

impl<'a> Unchecked<'a> {
    /// Reads text that [`json::decode`] has made of the request's bytes.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        Json::parse(text)
            .map(|value| Self { value })
            .map_err(|error| json_fault(&error))
    }

    /// Whose push it says it is.
    pub fn peek(&self) -> Peeked {
        let text = |key| match self.value.get(key) {
            Some(Json::Text(text) | Json::Number(text)) => text.as_ref(),
            _ => "",
        };
        Peeked {
            hospital: HospitalCode::new(text("hospitalCode")).ok(),
            exam_no: ExamNo::new(text("examNo")).ok(),
        }
    }

    /// Checks every field by table and rule.
    pub fn check(self, context: PushContext<'_>) -> Result<Parsed, Box<Refused>> {
        let peeked = self.peek();
        check(self.value, context).map_err(|refused| {
            Box::new(Refused {
                hospital: peeked.hospital,
                exam_no: peeked.exam_no,
                ..refused
            })
        })
    }
}

/// Reads and checks a request's body at once. `charset` is that of its Content-Type.
pub fn parse(
    bytes: &[u8],
    charset: Option<&str>,
    context: PushContext<'_>,
) -> Result<Parsed, Box<Refused>> {
    let text = json::decode(bytes, charset).map_err(|error| json_fault(&error))?;
    Unchecked::read(&text)?.check(context)
}

/// The refusal of a body that is no JSON.
pub(super) fn json_fault(error: &json::JsonError) -> Refused {
    Refused::one(Fault::new("", Rule::Json, error.to_string()))
}

fn check(value: Json<'_>, context: PushContext<'_>) -> Result<Parsed, Refused> {
    let entries = match value {
        Json::Object(entries) => entries,
        other => {
            let found = other.kind();
            let message = format!(
                "应为一个检查的 JSON 对象 {{…}}，实为 {found} (must be one object, found {found})"
            );
            return Err(Refused::one(Fault::new("", Rule::Type, message)));
        }
    };
    let mut check = Check::new(context.policy);
    let mut canonical = check.object(&EXAM_PUSH, entries, &Trail::ROOT);
    let flags = rules::apply(&mut check, &canonical, context);
    if check.nulls {
        drop_nulls(&EXAM_PUSH, &mut canonical);
    }
    if check.findings.faults.is_empty() {
        let json = canonical.to_bytes();
        if json.len() > CANONICAL_LIMIT_BYTES {
            let found = json.len();
            let message = format!(
                "内容过大：最多 {CANONICAL_LIMIT_BYTES} 字节，实为 {found} 字节；请去掉内嵌的图片和附件，影像经 C-STORE 传送，报告图片以 rptImgPath 给出 (at most {CANONICAL_LIMIT_BYTES} bytes, found {found}: leave embedded pictures out; images come by C-STORE, pictures of reports by rptImgPath)"
            );
            check
                .findings
                .refuse(Fault::new("", Rule::Length, message).with_limit(CANONICAL_LIMIT_BYTES));
        } else if let Some(push) = ExamPush::from_json(&canonical) {
            let warnings = check.findings.warnings;
            let body = ExamPushedBody {
                digest: digest_of(&EXAM_PUSH, &canonical),
                flags,
                warnings: warnings.iter().map(FieldWarning::from).collect(),
                json: json.into(),
            };
            return Ok(Parsed {
                push,
                body,
                warnings,
                flags,
            });
        } else {
            // A required field that a rule let through is not of its type; the rules refuse every such field, so
            // this names a gap between table and types instead of hiding it.
            check.findings.refuse(Fault::new(
                "",
                Rule::Type,
                "内容无法识别 (content cannot be read)",
            ));
        }
    }
    Err(check.findings.into_refused())
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
