//! What a request is refused with, and the one table from an [`ErrorKind`] to HTTP and envelope (R2).

use axum::http::StatusCode;
use serde_json::Value;
use yingku_core::contract::{Fault, Refused, Rule};
use yingku_core::outcome::{ErrorKind, Refusal};
use yingku_core::registry::HttpStatus;
use yingku_storage::archive::{AuditError, ContentError, SubmitError};
use yingku_storage::keys::KeyError;
use yingku_storage::log::LogError;
use yingku_storage::views::ViewsError;

use crate::envelope::{INTERNAL, OTHER, REFUSED, Reply, Shape};
use crate::operations::Statuses;

/// Lines of one request in the error digest; a message with more faults is wrong throughout.
pub const NOTES_LIMIT: usize = 20;

/// A line for the operator's error digest: never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub rule: String,
    pub path: String,
    pub reason: String,
    pub hospital: String,
    /// Exam number, if it was readable.
    pub example: String,
}

/// Why a request is not done, for its sender and for the digest.
#[derive(Debug)]
pub struct Failure {
    pub kind: ErrorKind,
    /// Chinese first, then English in parentheses; no patient data.
    pub message: String,
    pub result: Option<Value>,
    pub notes: Vec<Note>,
    /// Of an app that only the operation itself has made out.
    pub shape: Option<Shape>,
    /// Whom the digest lists it under, where that is not the app of the token.
    pub source: Option<String>,
    /// What goes out in place of the envelope (contract §1). Boxed, so that the many results without it stay small.
    pub enciphered: Option<Box<Enciphered>>,
}

/// Enciphered text.
#[derive(Debug)]
pub struct Enciphered(pub String);

impl Failure {
    /// A failure whose message is also the digest's reason.
    pub fn new(kind: ErrorKind, rule: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            notes: vec![Note {
                rule: rule.to_owned(),
                path: String::new(),
                reason: message.clone(),
                hospital: String::new(),
                example: String::new(),
            }],
            message,
            result: None,
            shape: None,
            source: None,
            enciphered: None,
        }
    }

    pub fn at(mut self, path: &str) -> Self {
        for note in &mut self.notes {
            path.clone_into(&mut note.path);
        }
        self
    }

    /// Names hospital and exam in the digest.
    pub fn about(mut self, hospital: &str, example: &str) -> Self {
        for note in &mut self.notes {
            hospital.clone_into(&mut note.hospital);
            example.clone_into(&mut note.example);
        }
        self
    }

    /// The digest's reason, where the sender is told less.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        for note in &mut self.notes {
            note.reason.clone_from(&reason);
        }
        self
    }

    pub fn with_shape(mut self, shape: Shape) -> Self {
        self.shape = Some(shape);
        self
    }

    /// R2: every wrong field at once, as a list in `result`.
    pub fn of_faults(refused: &Refused) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let hospital = text(refused.hospital.as_ref().map(|code| code.as_str()));
        let example = text(refused.exam_no.as_ref().map(|number| number.as_str()));
        let notes = refused.faults.iter().take(NOTES_LIMIT).map(|fault| Note {
            rule: rule_name(fault),
            path: without_indices(&fault.path),
            reason: fault.message.clone(),
            hospital: hospital.clone(),
            example: example.clone(),
        });
        // One that breaks no rule, but comes from a hospital that may not send it.
        let suspended = |fault: &Fault| fault.rule == Rule::HospitalSuspended;
        let kind = match refused.faults.iter().all(suspended) {
            true => ErrorKind::Forbidden,
            false => ErrorKind::Invalid,
        };
        Self {
            kind,
            message: refused.summary(),
            notes: notes.collect(),
            result: Some(Value::Array(
                refused.faults.iter().map(fault_json).collect(),
            )),
            shape: None,
            source: None,
            enciphered: None,
        }
    }

    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(
            error = %chain(error),
            "a request failed within the archive"
        );
        Self::new(
            ErrorKind::Internal,
            "internal",
            "内部错误，请稍后重试并告知平台管理员 (internal error: try again, tell the operator)",
        )
    }

    pub fn reply(&self, shape: Shape) -> Reply {
        let (by_r2, status) = status_of(self.kind, shape.http_status);
        let http = match shape.statuses {
            Statuses::Contract => by_r2,
            Statuses::Http => http_of(self.kind),
        };
        Reply {
            http,
            status,
            message: self.message.clone(),
            page: None,
            result: self.result.clone(),
        }
    }
}

/// The table. Only 413, 429, 500 and 503 are real HTTP statuses, and 401 and 403 for apps that want them (R2).
pub fn status_of(kind: ErrorKind, http: HttpStatus) -> (StatusCode, u16) {
    let real = |status| match http {
        HttpStatus::Real => status,
        HttpStatus::Envelope => StatusCode::OK,
    };
    match kind {
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::NotFound => (StatusCode::OK, REFUSED),
        ErrorKind::Unauthenticated => (real(StatusCode::UNAUTHORIZED), OTHER),
        ErrorKind::Forbidden => (real(StatusCode::FORBIDDEN), OTHER),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, REFUSED),
        ErrorKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, OTHER),
        ErrorKind::Full | ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, INTERNAL),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
    }
}

/// HTTP's own statuses, of the interfaces for readers.
pub fn http_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        other => status_of(other, HttpStatus::Real).0,
    }
}

/// A fault as the answer lists it.
pub fn fault_json(fault: &Fault) -> Value {
    let mut line = serde_json::json!({
        "path": fault.path,
        "rule": rule_name(fault),
        "message": fault.message,
    });
    if let (Some(limit), Some(line)) = (&fault.limit, line.as_object_mut()) {
        line.insert("limit".to_owned(), Value::String(limit.clone()));
    }
    line
}

pub fn rule_name(fault: &Fault) -> String {
    match serde_json::to_value(fault.rule) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// `imageList[3].studyUID` → `imageList[].studyUID`: the digest counts by field, not by place.
pub fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut within = false;
    for c in path.chars() {
        within = match c {
            '[' => true,
            ']' => false,
            _ if within => continue,
            _ => false,
        };
        out.push(c);
    }
    out
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = Self::new(refusal.kind, &refusal.rule, refusal.message.clone());
        let result = Value::Array(vec![serde_json::json!({
            "path": refusal.path,
            "rule": refusal.rule,
            "message": refusal.message,
        })]);
        Self {
            result: Some(result),
            ..failure.at(&refusal.path)
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let kind = error.kind();
        let (rule, message) = match kind {
            ErrorKind::TooLarge => (
                "record-size",
                "内容过大，超过单条记录上限 1 MiB；请分批发送，或去掉内嵌的图片和附件 (larger than a record of 1 MiB: send it in parts, or leave embedded pictures out)",
            ),
            ErrorKind::Full => (
                "full",
                "平台存储空间不足，暂停接收，请稍后重发 (no space left: nothing is taken now, send again later)",
            ),
            ErrorKind::TooMany => (
                "busy",
                "请求过多，请稍后重发 (too many requests: send again later)",
            ),
            ErrorKind::Unavailable => (
                "pending",
                "已收到，但处理结果未定，请重新发送，重复发送无副作用 (received, outcome unknown: send again, repeating is safe)",
            ),
            _ => return Self::internal(&error),
        };
        tracing::warn!(error = %chain(&error), "a record was not decided");
        Self::new(kind, rule, message).because(error.to_string())
    }
}

impl From<ViewsError> for Failure {
    fn from(error: ViewsError) -> Self {
        match error {
            ViewsError::TooMany { limit } => Self::new(
                ErrorKind::Invalid,
                "too-many",
                format!(
                    "查询涉及超过 {limit} 个检查或申请单，请缩小日期、医院或号码范围 (more than {limit} exams or forms: narrow it by date, hospital or number)"
                ),
            ),
            ViewsError::Days { limit } => Self::new(
                ErrorKind::Invalid,
                "days",
                format!(
                    "日期范围须从早到晚且不超过 {limit} 天 (the days must run forward and be {limit} at most)"
                ),
            ),
            other => Self::internal(&other),
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        tracing::error!(error = %chain(&error), "a reading cannot be recorded");
        Self::new(
            ErrorKind::Unavailable,
            "audit",
            "调阅记录暂不可写，请稍后重试 (the reading cannot be recorded: try again later)",
        )
    }
}

impl From<ContentError> for Failure {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Log(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        SubmitError::from(error).into()
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_r2_names_is_a_real_http_status() {
        for (kind, http, status, real) in [
            (ErrorKind::Invalid, 200, 1, 200),
            (ErrorKind::Conflict, 200, 1, 200),
            (ErrorKind::NotFound, 200, 1, 200),
            (ErrorKind::Unauthenticated, 200, 999, 401),
            (ErrorKind::Forbidden, 200, 999, 403),
            (ErrorKind::TooLarge, 413, 1, 413),
            (ErrorKind::TooMany, 429, 999, 429),
            (ErrorKind::Full, 503, 500, 503),
            (ErrorKind::Unavailable, 503, 500, 503),
            (ErrorKind::Internal, 500, 500, 500),
        ] {
            let of = |shape| {
                let (http, status) = status_of(kind, shape);
                (http.as_u16(), status)
            };
            assert_eq!(of(HttpStatus::Envelope), (http, status), "{kind:?}");
            assert_eq!(of(HttpStatus::Real), (real, status), "{kind:?}");
        }
    }

    #[test]
    fn the_digest_counts_by_field() {
        assert_eq!(
            without_indices("imageList[12].studyUID"),
            "imageList[].studyUID"
        );
        assert_eq!(without_indices(""), "");
    }
}
