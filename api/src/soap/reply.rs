//! What goes back: `<response><code>…</code><desc>…</desc></response>` as a text within SOAP, or a fault.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use encoding_rs::{GBK, UTF_8};
use yingku_core::contract::xml::escape;
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::HttpStatus;

use super::envelope::{Manner, Spoken, Version};
use super::syn_apply_info::Answer;
use crate::error::{Failure, status_of};

/// Of the service as the WSDL describes it.
pub const NAMESPACE: &str = "urn:yingku:syn-info";

/// R13: characters of `desc`, which is as long as HIS programs have room for.
const DESC_CHARS: usize = 300;
/// A caller's namespace is repeated up to this; a longer one is no toolkit's.
const NAMESPACE_BYTES: usize = 1024;

/// How answers are made, where clients that exist already expect one form (R12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapShape {
    return_name: String,
    namespace: Option<String>,
}

impl Default for SoapShape {
    fn default() -> Self {
        Self {
            return_name: "return".to_owned(),
            namespace: None,
        }
    }
}

impl SoapShape {
    /// `return_name`: the element that holds the answer, in ASCII; `None`: it is no name. `namespace`: of the service; else
    /// answers are in the caller's own.
    pub fn new(return_name: &str, namespace: Option<String>) -> Option<Self> {
        let is_name = return_name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && return_name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        is_name.then(|| Self {
            return_name: return_name.to_owned(),
            namespace: namespace.filter(|namespace| !namespace.is_empty()),
        })
    }

    pub fn return_name(&self) -> &str {
        &self.return_name
    }

    /// The namespace of the service's own description.
    pub fn target(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }

    fn answers_in<'s>(&'s self, spoken: &'s Spoken) -> &'s str {
        let own = spoken.namespace.as_deref();
        match &self.namespace {
            Some(namespace) => namespace,
            None => own
                .filter(|own| own.len() <= NAMESPACE_BYTES)
                .unwrap_or(NAMESPACE),
        }
    }
}

/// The operation's response.
pub fn answer(
    shape: &SoapShape,
    manner: Manner,
    spoken: &Spoken,
    answer: &Answer,
) -> Response<Body> {
    let desc: String = answer.desc.chars().take(DESC_CHARS).collect();
    let within = format!(
        "<response><code>{}</code><desc>{}</desc></response>",
        answer.code,
        escape(&desc)
    );
    let (name, namespace) = (&spoken.name, escape(shape.answers_in(spoken)));
    let prefix = if spoken.qualified { "ns:" } else { "" };
    let (return_name, text) = (shape.return_name(), escape(&within));
    let body = format!(
        "<ns:{name}Response xmlns:ns=\"{namespace}\"><{prefix}{return_name}>{text}</{prefix}{return_name}></ns:{name}Response>"
    );
    envelope(StatusCode::OK, manner, &body)
}

/// A fault: what came is no request, or is not taken now.
pub fn fault(manner: Manner, failure: &Failure) -> Response<Body> {
    let is_senders = matches!(failure.kind, ErrorKind::Invalid | ErrorKind::TooLarge);
    let text = escape(&failure.message);
    let body = match (manner.version, is_senders) {
        (Version::Soap11, _) => format!(
            "<soap:Fault><faultcode>soap:{}</faultcode><faultstring>{text}</faultstring></soap:Fault>",
            if is_senders { "Client" } else { "Server" }
        ),
        (Version::Soap12, _) => format!(
            "<soap:Fault><soap:Code><soap:Value>soap:{}</soap:Value></soap:Code><soap:Reason><soap:Text xml:lang=\"zh\">{text}</soap:Text></soap:Reason></soap:Fault>",
            if is_senders { "Sender" } else { "Receiver" }
        ),
    };
    envelope(fault_status(manner.version, failure.kind), manner, &body)
}

/// SOAP 1.1 (6.2) has 500 for every fault and SOAP 1.2 (part 2, 7.4.2) 400 for a sender's. 413, 429 and 503 say more, and
/// to the gateways in between too.
fn fault_status(version: Version, kind: ErrorKind) -> StatusCode {
    match (status_of(kind, HttpStatus::Real).0, version) {
        (StatusCode::OK, Version::Soap11) => StatusCode::INTERNAL_SERVER_ERROR,
        (StatusCode::OK, Version::Soap12) => StatusCode::BAD_REQUEST,
        (http, _) => http,
    }
}

/// A SOAP message in the caller's version and encoding.
fn envelope(http: StatusCode, manner: Manner, body: &str) -> Response<Body> {
    let encoding = if manner.gbk { GBK } else { UTF_8 };
    let (charset, namespace) = (encoding.name(), manner.version.namespace());
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"{charset}\"?>\n<soap:Envelope xmlns:soap=\"{namespace}\"><soap:Body>{body}</soap:Body></soap:Envelope>"
    );
    // What GBK has no character for becomes a reference, which every reader of XML decodes.
    let bytes = match encoding.encode(&text).0 {
        Cow::Owned(bytes) => bytes,
        Cow::Borrowed(_) => text.into_bytes(),
    };
    let kind = format!("{}; charset={charset}", manner.version.content_type());
    response(http, &kind, bytes)
}

/// A document of this service in UTF-8.
pub fn xml(text: String) -> Response<Body> {
    response(StatusCode::OK, "text/xml; charset=UTF-8", text.into_bytes())
}

/// Words for whoever looks at the address with a browser.
pub fn words(http: StatusCode, text: String) -> Response<Body> {
    response(http, "text/plain; charset=UTF-8", text.into_bytes())
}

fn response(http: StatusCode, kind: &str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = http;
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spoken(namespace: Option<&str>, qualified: bool) -> Spoken {
        Spoken {
            name: "SynApplyInfo".to_owned(),
            namespace: namespace.map(str::to_owned),
            qualified,
        }
    }

    async fn text_of(response: Response<Body>, charset: &'static encoding_rs::Encoding) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        charset.decode(&bytes.unwrap()).0.into_owned()
    }

    async fn said(shape: &SoapShape, spoken: &Spoken, desc: &str, gbk: bool) -> String {
        let manner = Manner {
            version: Version::Soap11,
            gbk,
        };
        let told = Answer {
            code: -3,
            desc: desc.to_owned(),
            notes: Vec::new(),
            source: None,
        };
        let response = answer(shape, manner, spoken, &told);
        text_of(response, if gbk { GBK } else { UTF_8 }).await
    }

    #[tokio::test]
    async fn the_answer_is_a_text_in_the_callers_namespace_or_the_configured_one() {
        let response = "&lt;response&gt;&lt;code&gt;-3&lt;/code&gt;&lt;desc&gt;错&amp;amp;误&lt;/desc&gt;&lt;/response&gt;";
        for (shape, spoken, body) in [
            (
                SoapShape::default(),
                spoken(Some("urn:x&y"), false),
                format!(
                    "<ns:SynApplyInfoResponse xmlns:ns=\"urn:x&amp;y\"><return>{response}</return></ns:SynApplyInfoResponse>"
                ),
            ),
            (
                SoapShape::default(),
                spoken(None, false),
                format!(
                    "<ns:SynApplyInfoResponse xmlns:ns=\"urn:yingku:syn-info\"><return>{response}</return></ns:SynApplyInfoResponse>"
                ),
            ),
            (
                SoapShape::new("SynApplyInfoResult", Some("http://tempuri.org/".to_owned()))
                    .unwrap(),
                spoken(Some("urn:x"), true),
                format!(
                    "<ns:SynApplyInfoResponse xmlns:ns=\"http://tempuri.org/\"><ns:SynApplyInfoResult>{response}</ns:SynApplyInfoResult></ns:SynApplyInfoResponse>"
                ),
            ),
        ] {
            let text = said(&shape, &spoken, "错&误", false).await;
            assert!(
                text.contains(&format!("<soap:Body>{body}</soap:Body>")),
                "{text}"
            );
        }
        assert_eq!(SoapShape::new("a b", None), None);
        assert_eq!(SoapShape::new("", None), None);
    }

    #[tokio::test]
    async fn desc_is_cut_at_300_characters_and_what_gbk_lacks_becomes_a_reference() {
        let (shape, spoken) = (SoapShape::default(), spoken(None, false));
        let text = said(&shape, &spoken, &"错".repeat(400), false).await;
        assert_eq!(text.matches('错').count(), 300);
        let text = said(&shape, &spoken, "错\u{1F600}", true).await;
        assert!(
            text.starts_with("<?xml version=\"1.0\" encoding=\"GBK\"?>"),
            "{text}"
        );
        assert!(text.contains("错&#128512;"), "{text}");
    }

    #[test]
    fn faults_have_the_statuses_of_their_version() {
        for (kind, soap11, soap12) in [
            (ErrorKind::Invalid, 500, 400),
            (ErrorKind::TooLarge, 413, 413),
            (ErrorKind::TooMany, 429, 429),
            (ErrorKind::Unavailable, 503, 503),
            (ErrorKind::Internal, 500, 500),
        ] {
            assert_eq!(fault_status(Version::Soap11, kind), soap11, "{kind:?}");
            assert_eq!(fault_status(Version::Soap12, kind), soap12, "{kind:?}");
        }
    }
}
