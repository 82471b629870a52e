//! Why the object store did not do what was asked, in words that hold nothing secret.

use std::error::Error;

use object_store::Error as StoreError;

/// Characters of a server's own code that are repeated (`SlowDown`, `NoSuchBucket`).
const CODE_CHARS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectsErrorKind {
    /// No answer in time, a broken connection, or 5xx: the same may succeed later.
    Away,
    /// 401 or 403.
    Credentials,
    /// No such bucket, object or upload.
    Missing,
    /// It is there already (a conditional write).
    Exists,
    /// Anything else that a repetition does not change.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct ObjectsError {
    pub kind: ObjectsErrorKind,
    words: String,
}

impl ObjectsError {
    pub(crate) fn new(kind: ObjectsErrorKind, words: impl Into<String>) -> Self {
        Self {
            kind,
            words: words.into(),
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.kind == ObjectsErrorKind::Missing
    }

    /// What an HTTP answer says that is no success.
    pub(crate) fn of_status(status: u16, body: &str) -> Self {
        let code = code_of(body).map_or_else(String::new, |code| format!(" {code}"));
        let said = format!("it answered {status}{code}");
        match status {
            401 | 403 => Self::new(
                ObjectsErrorKind::Credentials,
                format!(
                    "{said}: the account is refused; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and its rights on the bucket"
                ),
            ),
            404 if code.contains("NoSuchBucket") => Self::new(
                ObjectsErrorKind::Missing,
                format!("{said}: the bucket is not there; make it, or correct the location"),
            ),
            404 => Self::new(ObjectsErrorKind::Missing, said),
            409 | 412 => Self::new(ObjectsErrorKind::Exists, said),
            501 => Self::new(ObjectsErrorKind::Refused, said),
            408 | 429 | 500.. => Self::new(ObjectsErrorKind::Away, said),
            _ => Self::new(ObjectsErrorKind::Refused, said),
        }
    }

    pub(crate) fn of_http(error: reqwest::Error) -> Self {
        // Its address carries a signature.
        Self::new(ObjectsErrorKind::Away, innermost(&error.without_url()))
    }
}

impl From<StoreError> for ObjectsError {
    fn from(error: StoreError) -> Self {
        let body = error.to_string();
        match &error {
            StoreError::NotFound { .. } => Self::of_status(404, &body),
            StoreError::PermissionDenied { .. } => Self::of_status(403, &body),
            StoreError::Unauthenticated { .. } => Self::of_status(401, &body),
            StoreError::AlreadyExists { .. } => Self::of_status(409, &body),
            StoreError::Precondition { .. } => Self::of_status(412, &body),
            StoreError::Generic { .. } => match status_in(&body) {
                Some(status) => Self::of_status(status, &body),
                None => Self::new(ObjectsErrorKind::Away, innermost(&error)),
            },
            _ => Self::new(ObjectsErrorKind::Refused, "it does not do what was asked"),
        }
    }
}

/// The status in the words of a request that was answered.
fn status_in(words: &str) -> Option<u16> {
    let (_, behind) = words.split_once("status code: ")?;
    behind.get(..3)?.parse().ok()
}

/// `<Code>` of an S3 error answer.
fn code_of(body: &str) -> Option<String> {
    let (_, behind) = body.split_once("<Code>")?;
    let (code, _) = behind.split_once("</Code>")?;
    let plain = code.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && code.len() <= CODE_CHARS).then(|| code.to_owned())
}

/// What the operating system or the HTTP client said last: `Connection refused`, `timed out`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let words: String = last.to_string().chars().take(200).collect();
    // An answer of the server's may be among it.
    match words.split_once('<') {
        Some((before, _)) => before.trim_end().to_owned(),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_writes_is_not_repeated_but_for_its_code() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>";
        let error = ObjectsError::of_status(403, body);
        assert_eq!(error.kind, ObjectsErrorKind::Credentials);
        assert!(
            error.to_string().contains("SignatureDoesNotMatch"),
            "{error}"
        );
        assert!(!error.to_string().contains("AKID"), "{error}");
    }

    #[test]
    fn statuses_tell_whether_it_is_worth_asking_again() {
        for (status, kind) in [
            (500, ObjectsErrorKind::Away),
            (503, ObjectsErrorKind::Away),
            (429, ObjectsErrorKind::Away),
            (404, ObjectsErrorKind::Missing),
            (401, ObjectsErrorKind::Credentials),
            (412, ObjectsErrorKind::Exists),
            (400, ObjectsErrorKind::Refused),
            (501, ObjectsErrorKind::Refused),
        ] {
            assert_eq!(ObjectsError::of_status(status, "").kind, kind, "{status}");
        }
    }
}
