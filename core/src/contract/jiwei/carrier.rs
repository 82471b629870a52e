//! How the Base64 lies in a body. The contract speaks of a parameter `param` and of an encrypted body, so four ways are
//! taken (R11), told apart by looking: vendors' Content-Types say little.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::super::json::{self, Json};
use super::cipher::JiweiKey;
use super::error::JiweiError;

const PARAMETER: &str = "param";

/// A way to carry Base64 in a body. All four are read; which one a hospital's 基卫 wants to be asked by is its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Carrier {
    /// The Base64 is the body.
    #[default]
    Raw,
    /// `"…"`
    JsonText,
    /// `{"param":"…"}`
    JsonParam,
    /// `param=…`, urlencoded.
    FormParam,
}

impl Carrier {
    /// A body that carries the Base64.
    pub fn body(self, base64: &str) -> String {
        let text = || Json::Text(Cow::Borrowed(base64));
        let written = |json: Json<'_>| String::from_utf8_lossy(&json.to_bytes()).into_owned();
        match self {
            Self::Raw => base64.to_owned(),
            Self::JsonText => written(text()),
            Self::JsonParam => written(Json::Object(vec![(PARAMETER.into(), text())])),
            Self::FormParam => form_urlencoded::Serializer::new(String::new())
                .append_pair(PARAMETER, base64)
                .finish(),
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Raw => "text/plain; charset=utf-8",
            Self::JsonText | Self::JsonParam => "application/json; charset=utf-8",
            Self::FormParam => "application/x-www-form-urlencoded; charset=utf-8",
        }
    }
}

/// The clear text in a body: one JSON object is meant, see [`object`].
pub(super) fn open(body: &[u8], limit_bytes: usize, key: &JiweiKey) -> Result<String, JiweiError> {
    if body.len() > limit_bytes {
        return Err(JiweiError::TooLarge { limit_bytes });
    }
    let text = json::decode(body, None).map_err(|_| JiweiError::NotReadable)?;
    let base64 = base64(&text).ok_or(JiweiError::NotReadable)?;
    key.open(&base64)
}

/// Reads a clear text; anything but an object is as unreadable as a wrong key.
pub(super) fn object(clear_text: &str) -> Result<Json<'_>, JiweiError> {
    // Some Java writers put a BOM before it.
    let text = clear_text.trim_start_matches('\u{FEFF}');
    match Json::parse(text) {
        Ok(object @ Json::Object(_)) => Ok(object),
        _ => Err(JiweiError::NotReadable),
    }
}

fn base64(body: &str) -> Option<Cow<'_, str>> {
    if body.trim_start().starts_with(['{', '"']) {
        return match Json::parse(body).ok()? {
            Json::Text(text) => Some(text),
            Json::Object(entries) => entries.into_iter().find_map(|(key, value)| match value {
                Json::Text(text) if key == PARAMETER => Some(text),
                _ => None,
            }),
            _ => None,
        };
    }
    // Base64 has `=` only at its end, so what has a parameter of this name is a form. Its `+` come out as blanks.
    let in_form = form_urlencoded::parse(body.trim_matches(['\r', '\n']).as_bytes())
        .filter(|(name, _)| name == PARAMETER)
        .map(|(_, value)| value)
        .last();
    Some(in_form.unwrap_or(Cow::Borrowed(body)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> JiweiKey {
        JiweiKey::new("0123456789abcdef").unwrap()
    }

    fn opened(body: &str) -> Result<String, JiweiError> {
        open(body.as_bytes(), 1_000, &key())
    }

    #[test]
    fn every_carrier_brings_what_it_was_given() {
        for carrier in [
            Carrier::Raw,
            Carrier::JsonText,
            Carrier::JsonParam,
            Carrier::FormParam,
        ] {
            let body = carrier.body(&key().seal(b"{}"));
            assert_eq!(opened(&body).unwrap(), "{}", "{carrier:?}");
        }
    }

    #[test]
    fn bodies_are_told_apart_by_looking() {
        let sealed = key().seal(b"{}");
        assert!(sealed.ends_with("=="));
        for body in [
            format!("\u{FEFF}{sealed}"),
            format!("  \r\n{sealed}\r\n "),
            format!(" \n\"{sealed}\"\n"),
            format!("\u{FEFF}{{\"param\":\"wrong\",\"other\":[1],\"param\":\"{sealed}\"}}"),
            format!("{{\"param\":\"{}\"}}", sealed.replace('/', "\\/")),
            format!("param={sealed}"),
            format!("orgid=1&param=wrong&param={sealed}\r\n"),
        ] {
            assert_eq!(opened(&body).unwrap(), "{}", "{body}");
        }
    }

    #[test]
    fn a_body_without_base64_is_unreadable_in_one_way() {
        let sealed = key().seal(b"{}");
        for body in [
            String::new(),
            " ".into(),
            "{".into(),
            "\"".into(),
            "{}".into(),
            "[]".into(),
            "null".into(),
            "{\"param\":null}".into(),
            "{\"param\":{}}".into(),
            format!("{{\"Param\":\"{sealed}\"}}"),
            format!("[\"{sealed}\"]"),
            format!("body={sealed}"),
            "param=".into(),
            format!("{sealed}{sealed}"),
        ] {
            assert_eq!(opened(&body), Err(JiweiError::NotReadable), "{body}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_not_looked_at() {
        let body = "\n".repeat(1_000 - 24) + &key().seal(b"{}");
        assert!(opened(&body).is_ok());
        let error = opened(&format!("\n{body}")).unwrap_err();
        assert_eq!(error, JiweiError::TooLarge { limit_bytes: 1_000 });
    }

    #[test]
    fn a_clear_text_is_an_object_or_unreadable() {
        for text in ["{}", " {\"a\":1} ", "\u{FEFF}{}"] {
            assert!(object(text).is_ok(), "{text}");
        }
        for text in ["", "[]", "[{}]", "\"{}\"", "1", "null", "{", "{}{}"] {
            assert_eq!(object(text).err(), Some(JiweiError::NotReadable), "{text}");
        }
    }
}
