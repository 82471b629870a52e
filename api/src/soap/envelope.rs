//! Reading a SOAP request, 1.1 or 1.2, however the client's toolkit wrote it (R12): any namespace or none, any prefixes,
//! SOAPAction absent or anything. Headers are ignored, those that must be understood too: HIS gateways add some that
//! mean nothing here.

use axum::http::{HeaderMap, header};
use yingku_core::contract::xml::{self, Element, XmlError};
use yingku_core::outcome::ErrorKind;

use super::syn_apply_info::Document;
use crate::body;
use crate::error::Failure;

/// The root of a form's own document.
const DOCUMENT_ROOT: &str = "XmlDocument";
/// Names of the operation's parameter: the contract's, and those that toolkits give where they lose it.
const PARAMETERS: [&str; 3] = ["req", "in0", "arg0"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Soap11,
    Soap12,
}

impl Version {
    pub fn namespace(self) -> &'static str {
        match self {
            Version::Soap11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Version::Soap12 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Version::Soap11 => "text/xml",
            Version::Soap12 => "application/soap+xml",
        }
    }

    fn of_namespace(namespace: &str) -> Option<Self> {
        [Version::Soap11, Version::Soap12]
            .into_iter()
            .find(|version| version.namespace() == namespace)
    }
}

/// How the caller speaks, which is how it is answered. Known from the headers, and better from the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub version: Version,
    pub gbk: bool,
}

impl Manner {
    pub fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let version = match kind.eq_ignore_ascii_case(Version::Soap12.content_type()) {
            true => Version::Soap12,
            false => Version::Soap11,
        };
        Self {
            version,
            gbk: xml::is_gbk(&[], body::charset(headers).as_deref()),
        }
    }
}

/// The operation's element as the caller wrote it: the answer's is of the same make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    pub name: String,
    pub namespace: Option<String>,
    /// Whether the parameter has a namespace too: schemas have it for both or for none.
    pub qualified: bool,
}

pub struct Request {
    pub spoken: Spoken,
    pub document: Document,
}

/// Why bytes are no SOAP request.
#[derive(Debug, thiserror::Error)]
pub enum NotSoap {
    #[error("不是 SOAP 请求：{0} (not a SOAP request)")]
    Xml(XmlError),
    #[error(
        "不是 SOAP 请求：根元素应为 Envelope，其中有 Body 和操作；说明见本地址加 ?wsdl (not a SOAP request: an Envelope with a Body and an operation is meant; see ?wsdl)"
    )]
    NoOperation,
    #[error(
        "不支持带附件 (MTOM) 的请求；请以纯 XML 发送 (attachments (MTOM) are not supported: send plain XML)"
    )]
    Attachments,
}

impl From<NotSoap> for Failure {
    fn from(error: NotSoap) -> Self {
        Failure::new(ErrorKind::Invalid, "soap", error.to_string())
    }
}

/// Reads a request; what is learned of the caller's manner is told also where it is none.
pub fn read(
    bytes: &[u8],
    charset: Option<&str>,
    mut manner: Manner,
) -> (Manner, Result<Request, NotSoap>) {
    manner.gbk = xml::is_gbk(bytes, charset);
    let request = xml::decode(bytes, charset)
        .and_then(|text| xml::read(&text))
        .map_err(|error| match bytes.starts_with(b"--") {
            true => NotSoap::Attachments,
            false => NotSoap::Xml(error),
        })
        .and_then(|root| {
            if let Some(version) = root.namespace().and_then(Version::of_namespace) {
                manner.version = version;
            }
            request(root).ok_or(NotSoap::NoOperation)
        });
    (manner, request)
}

fn request(envelope: Element) -> Option<Request> {
    if envelope.name != "Envelope" {
        return None;
    }
    let body = envelope.child("Body")?;
    let operation = body.children.first()?;
    let parameter = PARAMETERS
        .into_iter()
        .find_map(|name| operation.child(name))
        .or(operation.children.first());
    Some(Request {
        spoken: Spoken {
            name: operation.name.clone(),
            namespace: operation.namespace().map(str::to_owned),
            qualified: parameter.is_some_and(|it| it.namespace().is_some()),
        },
        document: Document(document(parameter.unwrap_or(operation))),
    })
}

/// The document that a parameter carries: as text, which was escaped or CDATA and is decoded by now, or as elements that
/// stand in it, or in its place.
fn document(parameter: &Element) -> String {
    match parameter.children.as_slice() {
        [] => parameter.text.clone(),
        _ if parameter.name == DOCUMENT_ROOT => parameter.to_text(),
        [root] => root.to_text(),
        _ => parameter.to_text(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
    const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
    const PLAIN: Manner = Manner {
        version: Version::Soap11,
        gbk: false,
    };

    fn envelope(namespace: &str, body: &str) -> String {
        format!(
            "<s:Envelope xmlns:s='{namespace}'><s:Header><a:To s:mustUnderstand='1'>x</a:To></s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
    }

    fn read_text(text: &str) -> (Manner, Request) {
        let (manner, request) = read(text.as_bytes(), None, PLAIN);
        (manner, request.expect(text))
    }

    #[test]
    fn whatever_a_toolkit_writes_carries_the_same_document() {
        let document = "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<XmlDocument><A code=\"1\">诊&lt;&amp;</A></XmlDocument>";
        let escaped = xml::escape(document);
        let cdata = format!("<![CDATA[{document}]]>");
        for body in [
            format!("<n:SynApplyInfo xmlns:n='urn:x'><req>{escaped}</req></n:SynApplyInfo>"),
            format!("<SynApplyInfo xmlns='urn:x'><req>{escaped}</req></SynApplyInfo>"),
            format!("<SynApplyInfo><req>{cdata}</req></SynApplyInfo>"),
            format!("<SynApplyInfo>\n<arg0>\n{cdata}\n</arg0>\n</SynApplyInfo>"),
            format!(
                "<q:SynApplyInfo><q:in0 xsi:type='xsd:string'>{escaped}</q:in0></q:SynApplyInfo>"
            ),
            format!("<SynApplyInfo><other/><req>{escaped}</req></SynApplyInfo>"),
            format!("<SynApplyInfo><inputString>{escaped}</inputString><other/></SynApplyInfo>"),
            format!("< SynApplyInfo >{cdata}</ SynApplyInfo >"),
        ] {
            for text in [
                envelope(SOAP11, &body),
                envelope(SOAP12, &body),
                format!("\u{FEFF}<?xml version='1.0'?><Envelope><Body>{body}</Body></Envelope>"),
            ] {
                let (_, request) = read_text(&text);
                assert_eq!(request.spoken.name, "SynApplyInfo", "{text}");
                assert!(request.document.0 == document, "{text}");
            }
        }
    }

    #[test]
    fn a_document_that_is_not_escaped_is_taken_as_it_stands() {
        let document = "<XmlDocument><A code=\"1\">诊&lt;</A><B></B></XmlDocument>";
        for body in [
            format!("<SynApplyInfo><req>{document}</req></SynApplyInfo>"),
            format!("<SynApplyInfo>{document}</SynApplyInfo>"),
            "<o:SynApplyInfo><o:req><o:XmlDocument><o:A o:code='1'>诊&#60;</o:A><B/></o:XmlDocument></o:req></o:SynApplyInfo>".to_owned(),
        ] {
            let (_, request) = read_text(&envelope(SOAP11, &body));
            assert_eq!(request.document.0, document, "{body}");
        }
        let (_, empty) = read_text(&envelope(SOAP11, "<SynApplyInfo/>"));
        assert_eq!(empty.document.0, "");
    }

    #[test]
    fn the_caller_is_answered_in_its_own_manner() {
        let body = "<n:SynApplyInfo xmlns:n='urn:x'><n:req>a</n:req></n:SynApplyInfo>";
        let (manner, request) = read_text(&envelope(SOAP12, body));
        assert_eq!(manner.version, Version::Soap12);
        assert_eq!(request.spoken.namespace.as_deref(), Some("urn:x"));
        assert!(request.spoken.qualified);
        let body = "<n:SynApplyInfo xmlns:n='urn:x'><req>a</req></n:SynApplyInfo>";
        assert!(!read_text(&envelope(SOAP11, body)).1.spoken.qualified);
        // where the envelope does not say, its Content-Type does
        let told = Manner {
            version: Version::Soap12,
            gbk: false,
        };
        let text = "<Envelope><Body><SynApplyInfo/></Body></Envelope>";
        assert_eq!(read(text.as_bytes(), None, told).0, told);
        let gbk = read(text.as_bytes(), Some("gb2312"), told).0;
        assert!(gbk.gbk);
    }

    #[test]
    fn what_is_no_request_is_told_what_one_is() {
        for text in [
            "",
            "{}",
            "<XmlDocument/>",
            "<Envelope/>",
            "<Envelope><Body>text</Body></Envelope>",
            "<Body><SynApplyInfo/></Body>",
            "--uuid:1\r\nContent-Type: text/xml\r\n\r\n<Envelope/>",
        ] {
            let (_, request) = read(text.as_bytes(), None, PLAIN);
            let said = request.err().expect(text).to_string();
            assert!(
                said.contains("SOAP") || said.contains("MTOM"),
                "{text}: {said}"
            );
        }
        let (manner, request) = read(envelope(SOAP12, "").as_bytes(), None, PLAIN);
        assert!(request.is_err());
        assert_eq!(manner.version, Version::Soap12);
    }
}
