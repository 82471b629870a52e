//! A SOAP request: made as its receiver wants it, and read however its sender made it (R12).

use std::fmt::Write;

use encoding_rs::GBK;
use yingku_core::contract::xml::{self, Element, XmlError, escape};
use yingku_core::registry::{Escaping, NoticeCharset, Receiver, SoapVersion};

use super::within;

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// Root of the contract's documents.
const DOCUMENT: &str = "XmlDocument";

/// How an operation is called.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    pub soap: SoapVersion,
    /// Of the operation's element; empty: none.
    pub namespace: &'a str,
    pub operation: &'a str,
    pub parameter: &'a str,
    /// Whether the parameter's element is of the namespace too.
    pub qualified: bool,
    /// SOAPAction; empty: `""`.
    pub action: &'a str,
    pub escaping: Escaping,
    pub charset: NoticeCharset,
}

/// A request's body with what its headers say.
pub struct Message {
    pub content_type: String,
    /// SOAPAction, which SOAP 1.1 has.
    pub action: Option<String>,
    pub body: Vec<u8>,
}

impl<'a> Manner<'a> {
    pub fn of(receiver: &'a Receiver) -> Self {
        Self {
            soap: receiver.soap,
            namespace: &receiver.namespace,
            operation: &receiver.operation,
            parameter: &receiver.parameter,
            qualified: receiver.qualified,
            action: &receiver.action,
            escaping: receiver.escaping,
            charset: receiver.charset,
        }
    }

    /// The request around a document.
    pub fn message(&self, document: &str) -> Message {
        let (operation, parameter) = (self.operation, self.parameter);
        let charset = charset_name(self.charset);
        let document = declared(document, charset);
        let content = match self.escaping {
            Escaping::Escaped => escape(&document).into_owned(),
            Escaping::Cdata => cdata(&document),
        };
        let (prefix, declared) = match self.namespace {
            "" => ("", String::new()),
            own => ("ns:", format!(" xmlns:ns=\"{}\"", escape(own))),
        };
        let inner = if self.qualified { prefix } else { "" };
        let text = format!(
            "<{prefix}{operation}{declared}><{inner}{parameter}>{content}</{inner}{parameter}></{prefix}{operation}>"
        );
        let (mut content_type, body) = enveloped(self.soap, self.charset, &text);
        let action = match self.soap {
            SoapVersion::Soap11 => Some(format!("\"{}\"", self.action)),
            SoapVersion::Soap12 => None,
        };
        if action.is_none() && !self.action.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(content_type, "; action=\"{}\"", self.action);
        }
        Message {
            content_type,
            action,
            body,
        }
    }
}

/// An envelope around the text of a body: its Content-Type and its bytes.
pub fn enveloped(soap: SoapVersion, charset: NoticeCharset, text: &str) -> (String, Vec<u8>) {
    let (namespace, media) = match soap {
        SoapVersion::Soap11 => (SOAP_11, "text/xml"),
        SoapVersion::Soap12 => (SOAP_12, "application/soap+xml"),
    };
    let name = charset_name(charset);
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"{name}\"?><soap:Envelope xmlns:soap=\"{namespace}\"><soap:Body>\
         {text}</soap:Body></soap:Envelope>"
    );
    let bytes = match charset {
        NoticeCharset::Utf8 => text.into_bytes(),
        // What GBK does not have becomes a reference, which XML reads.
        NoticeCharset::Gbk => GBK.encode(&text).0.into_owned(),
    };
    (format!("{media}; charset={name}"), bytes)
}

fn charset_name(charset: NoticeCharset) -> &'static str {
    match charset {
        NoticeCharset::Utf8 => "UTF-8",
        NoticeCharset::Gbk => "GBK",
    }
}

/// A document that says an encoding says the one that it leaves in.
fn declared(document: &str, charset: &str) -> String {
    let own = document.trim_start().strip_prefix("<?xml");
    match own.and_then(|own| own.split_once("?>")) {
        Some((_, rest)) => format!("<?xml version=\"1.0\" encoding=\"{charset}\"?>{rest}"),
        None => document.to_owned(),
    }
}

/// What would end the section goes on in a second one.
fn cdata(document: &str) -> String {
    format!("<![CDATA[{}]]>", document.replace("]]>", "]]]]><![CDATA[>"))
}

/// A request as its receiver reads it.
#[derive(Debug)]
pub struct Request {
    pub soap: SoapVersion,
    pub operation: String,
    /// Of the operation's element.
    pub namespace: Option<String>,
    /// The contract's own document; absent: there is none that can be read.
    pub document: Option<Element>,
}

/// Reads a request's body; `charset` is that of its Content-Type.
pub fn read(body: &[u8], charset: Option<&str>) -> Result<Request, XmlError> {
    let root = xml::read(&xml::decode(body, charset)?)?;
    let soap = match root.namespace() {
        Some(SOAP_12) => SoapVersion::Soap12,
        _ => SoapVersion::Soap11,
    };
    let operation = root.child("Body").and_then(|body| body.children.first());
    let is_document = |element: &Element| (element.name == DOCUMENT).then(|| element.clone());
    Ok(Request {
        soap,
        operation: operation.map(|it| it.name.clone()).unwrap_or_default(),
        namespace: operation.and_then(|it| it.namespace()).map(str::to_owned),
        document: within::find(&root, &is_document)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOTICE: &str = include_str!("../../tests/fixtures/contract/syn_status_info.xml");

    #[test]
    fn what_is_sent_is_read_back_in_every_manner() {
        let document = NOTICE.replace("陈主任", "𠮷&lt;]]&gt;主任");
        for soap in [SoapVersion::Soap11, SoapVersion::Soap12] {
            for escaping in [Escaping::Escaped, Escaping::Cdata] {
                for charset in [NoticeCharset::Utf8, NoticeCharset::Gbk] {
                    for namespace in ["", "urn:a&b"] {
                        let manner = Manner {
                            soap,
                            namespace,
                            operation: "SynStatusInfo",
                            parameter: "inputString",
                            qualified: false,
                            action: "urn:x",
                            escaping,
                            charset,
                        };
                        let message = manner.message(&document);
                        let (_, named) = message.content_type.split_once("charset=").unwrap();
                        let named = named.split(';').next();
                        let request = read(&message.body, named).unwrap();
                        assert_eq!(request.soap, soap);
                        assert_eq!(request.operation, "SynStatusInfo");
                        assert_eq!(request.namespace.unwrap_or_default(), namespace);
                        let read = request.document.unwrap();
                        assert_eq!(read.at("Exam/ExamNo").unwrap().text, "E20260704001");
                        assert_eq!(read.at("Exam/Operater").unwrap().text, "𠮷<]]>主任");
                    }
                }
            }
        }
    }

    #[test]
    fn a_parameter_is_of_the_namespace_where_its_receiver_wants_it() {
        for (qualified, namespace, its) in [
            (false, "http://tempuri.org/", None),
            (true, "http://tempuri.org/", Some("http://tempuri.org/")),
            (true, "", None),
        ] {
            let manner = Manner {
                soap: SoapVersion::Soap11,
                namespace,
                operation: "SynStatusInfo",
                parameter: "inputString",
                qualified,
                action: "",
                escaping: Escaping::Escaped,
                charset: NoticeCharset::Utf8,
            };
            let body = String::from_utf8(manner.message(NOTICE).body).unwrap();
            let root = xml::read(&body).unwrap();
            let parameter = root.at("Body/SynStatusInfo/inputString").unwrap();
            assert_eq!(parameter.namespace(), its);
        }
    }
}
