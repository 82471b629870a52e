//! What was answered: `<response><code>…</code><desc>…</desc></response>` (contract §3.1, §3.2), in whatever envelope the
//! other side's stack puts it, as text or as elements.

use yingku_core::contract::xml::{self, Element};

use super::within;

/// The code that says it was taken.
const TAKEN: &str = "0";

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Empty: there is none that can be read.
    pub code: String,
    pub desc: String,
}

impl Answer {
    pub fn is_taken(&self) -> bool {
        self.code == TAKEN
    }
}

/// Reads an answer's body; `charset` is that of its Content-Type.
pub fn read(body: &[u8], charset: Option<&str>) -> Answer {
    let unreadable = |desc: String| Answer {
        code: String::new(),
        desc,
    };
    let root = xml::decode(body, charset).and_then(|text| xml::read(&text));
    let root = match root {
        Ok(root) => root,
        Err(error) => return unreadable(error.to_string()),
    };
    let found = within::find(&root, &of);
    // A fault says what it does not like.
    match (found, fault(&root)) {
        (Ok(Some(answer)), _) | (_, Some(answer)) => answer,
        (Ok(None), None) => {
            unreadable("回复中没有 response/code (the answer has no response/code)".to_owned())
        }
        (Err(error), None) => unreadable(error.to_string()),
    }
}

/// The charset that a Content-Type names.
pub fn charset_of(content_type: &str) -> Option<&str> {
    let (_, rest) = content_type.split_once("charset=")?;
    Some(rest.split(';').next()?.trim().trim_matches(['"', '\'']))
}

fn of(response: &Element) -> Option<Answer> {
    if !response.name.eq_ignore_ascii_case("response") {
        return None;
    }
    let code = response.child("code")?;
    Some(Answer {
        code: code.text.clone(),
        desc: response
            .child("desc")
            .map(|desc| desc.text.clone())
            .unwrap_or_default(),
    })
}

fn fault(root: &Element) -> Option<Answer> {
    let fault = root.at("Body/Fault")?;
    let words = fault
        .at("faultstring")
        .or_else(|| fault.at("Reason/Text"))?;
    Some(Answer {
        code: String::new(),
        desc: format!("SOAP Fault: {}", words.text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(inner: &str) -> String {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{inner}</s:Body></s:Envelope>"
        )
    }

    #[test]
    fn an_answer_is_found_in_every_envelope() {
        let plain = "<response><code>0</code><desc>成功</desc></response>";
        let escaped = xml::escape(plain).into_owned();
        let twice = xml::escape(&escaped).into_owned();
        let cdata = format!("<![CDATA[<?xml version=\"1.0\" encoding=\"GBK\"?>{plain}]]>");
        for inner in [
            plain.to_owned(),
            body(&format!(
                "<SynStatusInfoResponse><return>{escaped}</return></SynStatusInfoResponse>"
            )),
            body(&format!("<r><out>{cdata}</out></r>")),
            body(&format!("<r><out>{twice}</out></r>")),
            body(&format!(
                "<ns:r xmlns:ns=\"urn:x\"><ns:return>{plain}</ns:return></ns:r>"
            )),
        ] {
            let answer = read(inner.as_bytes(), None);
            assert!(
                answer.is_taken() && answer.desc == "成功",
                "{inner}: {answer:?}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_never_a_success() {
        for inner in [
            "".to_owned(),
            "<html><body>502 Bad Gateway</body></html>".to_owned(),
            "0".to_owned(),
            body("<r><return>0</return></r>"),
            body(
                "<r><return>&lt;response&gt;&lt;desc&gt;0&lt;/desc&gt;&lt;/response&gt;</return></r>",
            ),
            body("<s:Fault><faultstring>no such operation</faultstring></s:Fault>"),
            body(
                "<r><return>&lt;response&gt;&lt;code&gt;-1&lt;/code&gt;&lt;/response&gt;</return></r>",
            ),
        ] {
            assert!(!read(inner.as_bytes(), None).is_taken(), "{inner}");
        }
        let fault = read(
            body("<s:Fault><faultstring>no such operation</faultstring></s:Fault>").as_bytes(),
            None,
        );
        assert!(fault.desc.contains("no such operation"));
    }
}
