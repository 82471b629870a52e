//! What can be wrong with a message of 基卫. Nothing here shows a key, a patient, or which step of deciphering failed.

use std::fmt;

use super::{ANSWER_LIMIT_BYTES, ROWS_LIMIT};

/// The most characters that are kept of what the other side says about its failure: enough for a sentence.
const REMOTE_TEXT_LIMIT_CHARS: usize = 200;

/// The most characters of the other side's error code; the contract's own have two.
const CODE_LIMIT_CHARS: usize = 16;

/// Why a key, a request or an answer is not taken. The text may be told to the caller and stand in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JiweiError {
    #[error(
        "密钥须恰为 16 个 ASCII 字符，实为 {characters} 个字符、{bytes} 字节，请核对 (the key must be exactly 16 ASCII characters; found {characters} characters, {bytes} bytes)"
    )]
    Key { characters: usize, bytes: usize },
    /// One for every failure on the way from body to JSON object: who sends cipher texts must not learn from the
    /// answers how far each of them came.
    #[error(
        "密文无法识别：请核对密钥与加密方式 AES/ECB/PKCS5Padding、Base64 (the cipher text cannot be read: check the key, AES/ECB/PKCS5Padding and Base64)"
    )]
    NotReadable,
    #[error("内容超过 {limit_bytes} 字节，请缩短 (longer than {limit_bytes} bytes)")]
    TooLarge { limit_bytes: usize },
    /// The contract's own words, so that vendors' programs know them.
    #[error("缺少必传参数：{name}！")]
    Missing { name: &'static str },
    #[error("参数 {name} 有误：应为 {allowed} (parameter {name} must be {allowed})")]
    Value {
        name: &'static str,
        allowed: &'static str,
    },
    /// The other side answered with a failure (`success` is false). What it says may name a patient: it is not part of
    /// the text.
    #[error(
        "基卫返回失败，代码 {code}，请查看其说明 (the hospital's 基卫 answered a failure, code {code})"
    )]
    Refused { code: String, said: RemoteText },
    #[error(
        "基卫的应答既无 content 也无失败代码，请其按接口文档返回 (the answer has neither content nor an error code)"
    )]
    NotAnAnswer,
    #[error(
        "申请单超过 {ROWS_LIMIT} 条，实为 {found} 条，不是一个病人的 (more than {ROWS_LIMIT} forms: found {found}, not one patient's)"
    )]
    TooManyRows { found: usize },
    #[error(
        "申请单共超过 {ANSWER_LIMIT_BYTES} 字节，无法一次返回 (the forms do not fit one answer of {ANSWER_LIMIT_BYTES} bytes)"
    )]
    AnswerTooLarge,
}

impl JiweiError {
    pub(super) fn refused(code: Option<&str>, said: Option<&str>) -> Self {
        let code: String = code
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .take(CODE_LIMIT_CHARS)
            .collect();
        Self::Refused {
            code: if code.is_empty() { "-".into() } else { code },
            said: RemoteText::new(said.unwrap_or_default()),
        }
    }
}

/// What the other side said, on one line and cut. It may name a patient: for an operator's eyes only.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteText(String);

impl RemoteText {
    fn new(text: &str) -> Self {
        let one_line = |c: char| if c.is_control() { ' ' } else { c };
        Self(
            text.chars()
                .take(REMOTE_TEXT_LIMIT_CHARS)
                .map(one_line)
                .collect(),
        )
    }

    /// For an operator. Never for a log.
    pub fn for_operators(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RemoteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteText({} bytes)", self.0.len())
    }
}
