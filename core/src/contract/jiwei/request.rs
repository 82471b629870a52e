//! The request (`core/data/fields/apply_query_request.tsv`): whose forms are asked for, of which hospital and kind.

use std::fmt;

use super::super::json::Json;
use super::carrier;
use super::cipher::JiweiKey;
use super::error::JiweiError;
use super::fields::{self, REQUEST};
use super::{Carrier, REQUEST_LIMIT_BYTES};

const MEDICARE_CODE: &str = "medicarecode";
const YYID00: &str = "yyid00";
const BUSINESS_TYPE: &str = "businesstype";
const KIND: &str = "type";

/// The most characters of a card number or a hospital ID, as for other identifiers (R13).
const IDENTIFIER_LIMIT_CHARS: usize = 64;
const IDENTIFIER: &str =
    "最多 64 个字符、不含控制字符的文本 (text of at most 64 characters without control characters)";

/// 类型 (`businesstype`): whence the patient comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BusinessType {
    /// 门诊
    Outpatient,
    /// 住院
    Inpatient,
    /// 体检 (R11)
    Checkup,
}

impl BusinessType {
    const ALLOWED: &str = "1、2 或 3 (1, 2 or 3)";

    pub fn code(self) -> &'static str {
        match self {
            Self::Outpatient => "1",
            Self::Inpatient => "2",
            Self::Checkup => "3",
        }
    }

    pub fn of_code(code: &str) -> Option<Self> {
        [Self::Outpatient, Self::Inpatient, Self::Checkup]
            .into_iter()
            .find(|one| one.code() == code)
    }
}

/// 业务类型 (`type`): what was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplyKind {
    /// 心电
    Ecg,
    /// 影像
    Imaging,
}

impl ApplyKind {
    const ALLOWED: &str = "1 或 2 (1 or 2)";

    pub fn code(self) -> &'static str {
        match self {
            Self::Ecg => "1",
            Self::Imaging => "2",
        }
    }

    pub fn of_code(code: &str) -> Option<Self> {
        [Self::Ecg, Self::Imaging]
            .into_iter()
            .find(|one| one.code() == code)
    }
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct ApplyQuery {
    /// 病人卡号
    pub medicare_code: String,
    /// 医院id, as 基卫 numbers hospitals
    pub yyid00: String,
    pub business_type: BusinessType,
    pub kind: ApplyKind,
}

impl ApplyQuery {
    /// Reads a request's body, however it carries its cipher text (R11).
    ///
    /// # Errors
    /// [`JiweiError::TooLarge`] over [`REQUEST_LIMIT_BYTES`], [`JiweiError::NotReadable`] up to the JSON object, then
    /// [`JiweiError::Missing`] for the first required field that is absent and [`JiweiError::Value`] for the first one
    /// that is wrong. Each is told to the caller by [`super::answer::compose_failure`].
    pub fn read(body: &[u8], key: &JiweiKey) -> Result<Self, JiweiError> {
        let clear_text = carrier::open(body, REQUEST_LIMIT_BYTES, key)?;
        let request = carrier::object(&clear_text)?;
        for field in REQUEST.iter().filter(|field| field.required) {
            if matches!(
                request.get(field.name).map(fields::text),
                None | Some(Ok(None))
            ) {
                return Err(JiweiError::Missing { name: field.name });
            }
        }
        Ok(Self {
            medicare_code: identifier(&request, MEDICARE_CODE)?,
            yyid00: identifier(&request, YYID00)?,
            business_type: code(
                &request,
                BUSINESS_TYPE,
                BusinessType::of_code,
                BusinessType::ALLOWED,
            )?,
            kind: code(&request, KIND, ApplyKind::of_code, ApplyKind::ALLOWED)?,
        })
    }

    /// Writes a request's body, as the hospital's 基卫 wants it carried.
    ///
    /// # Errors
    /// [`JiweiError::Missing`] and [`JiweiError::Value`], where [`ApplyQuery::read`] would refuse what is written.
    pub fn compose(&self, key: &JiweiKey, carrier: Carrier) -> Result<String, JiweiError> {
        let value = |name| match name {
            MEDICARE_CODE => Some(self.medicare_code.as_str()),
            YYID00 => Some(self.yyid00.as_str()),
            BUSINESS_TYPE => Some(self.business_type.code()),
            KIND => Some(self.kind.code()),
            _ => None,
        };
        let entries = REQUEST.iter().filter_map(|field| {
            let text = value(field.name)?;
            Some((field.name.into(), Json::Text(text.into())))
        });
        let request = Json::Object(entries.collect());
        identifier(&request, MEDICARE_CODE)?;
        identifier(&request, YYID00)?;
        Ok(carrier.body(&key.seal(&request.to_bytes())))
    }
}

/// Without the card number, which is a patient's.
impl fmt::Debug for ApplyQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyQuery")
            .field("yyid00", &self.yyid00)
            .field("business_type", &self.business_type)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

fn identifier(request: &Json<'_>, name: &'static str) -> Result<String, JiweiError> {
    let fits = |text: &str| {
        (text.chars().count() <= IDENTIFIER_LIMIT_CHARS && !text.chars().any(char::is_control))
            .then(|| text.to_owned())
    };
    code(request, name, fits, IDENTIFIER)
}

fn code<T>(
    request: &Json<'_>,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
    allowed: &'static str,
) -> Result<T, JiweiError> {
    match request.get(name).map(fields::text) {
        None | Some(Ok(None)) => Err(JiweiError::Missing { name }),
        Some(Ok(Some(text))) => read(text).ok_or(JiweiError::Value { name, allowed }),
        Some(Err(fields::NotText)) => Err(JiweiError::Value { name, allowed }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> JiweiKey {
        JiweiKey::new("0123456789abcdef").unwrap()
    }

    fn read(clear_text: &str) -> Result<ApplyQuery, JiweiError> {
        ApplyQuery::read(key().seal(clear_text.as_bytes()).as_bytes(), &key())
    }

    #[test]
    fn what_was_composed_is_read_back_from_every_carrier() {
        for business_type in [
            BusinessType::Outpatient,
            BusinessType::Inpatient,
            BusinessType::Checkup,
        ] {
            for kind in [ApplyKind::Ecg, ApplyKind::Imaging] {
                let query = ApplyQuery {
                    medicare_code: "卡 \"0001\"\\".into(),
                    yyid00: "6930".into(),
                    business_type,
                    kind,
                };
                for carrier in [
                    Carrier::Raw,
                    Carrier::JsonText,
                    Carrier::JsonParam,
                    Carrier::FormParam,
                ] {
                    let body = query.compose(&key(), carrier).unwrap();
                    assert_eq!(ApplyQuery::read(body.as_bytes(), &key()).unwrap(), query);
                }
            }
        }
    }

    #[test]
    fn what_would_not_be_read_is_not_composed() {
        let query = |medicare_code: &str, yyid00: &str| ApplyQuery {
            medicare_code: medicare_code.into(),
            yyid00: yyid00.into(),
            business_type: BusinessType::Outpatient,
            kind: ApplyKind::Imaging,
        };
        let error = |query: ApplyQuery| query.compose(&key(), Carrier::Raw).unwrap_err();
        let missing = |name| JiweiError::Missing { name };
        assert_eq!(error(query(" ", "6930")), missing("medicarecode"));
        assert_eq!(error(query("C0001", "")), missing("yyid00"));
        let too_long = error(query(&"7".repeat(65), "6930"));
        assert!(matches!(
            too_long,
            JiweiError::Value {
                name: "medicarecode",
                ..
            }
        ));
    }

    #[test]
    fn numbers_duplicates_and_more_fields_are_taken() {
        let query = read(
            r#"{"type":1,"medicarecode":"old","yyid00":6930,"businesstype":3,"page":{"no":1},"medicarecode":" 00012 "}"#,
        )
        .unwrap();
        assert_eq!(query.medicare_code, "00012");
        assert_eq!(query.yyid00, "6930");
        assert_eq!(query.business_type, BusinessType::Checkup);
        assert_eq!(query.kind, ApplyKind::Ecg);
    }

    #[test]
    fn the_first_required_field_that_is_absent_is_named_in_the_contracts_words() {
        let whole =
            r#"{"medicarecode":"C0001","yyid00":"6930","businesstype":"1","type":"2"}"#.to_owned();
        for (from, name) in [
            (r#""C0001""#, "medicarecode"),
            (r#""6930""#, "yyid00"),
            (r#""1""#, "businesstype"),
            (r#""2""#, "type"),
        ] {
            for absent in ["null", "\"\"", "\" \""] {
                let error = read(&whole.replace(from, absent)).unwrap_err();
                assert_eq!(error, JiweiError::Missing { name });
                assert_eq!(error.to_string(), format!("缺少必传参数：{name}！"));
            }
        }
        // and one that is wrong is named only when none is absent
        let error = read(r#"{"medicarecode":[],"yyid00":"6930","businesstype":"9"}"#).unwrap_err();
        assert_eq!(error, JiweiError::Missing { name: "type" });
    }

    #[test]
    fn a_wrong_value_is_named_and_not_shown() {
        let long = format!("\"{}\"", "7".repeat(65));
        for (name, value) in [
            ("medicarecode", "[\"C0001\"]"),
            ("medicarecode", "true"),
            ("medicarecode", "\"C\\u0000\""),
            ("medicarecode", long.as_str()),
            ("yyid00", "{}"),
            ("businesstype", "\"4\""),
            ("businesstype", "1.0"),
            ("type", "3"),
            ("type", "\"影像\""),
        ] {
            let rest = r#""medicarecode":"C0001","yyid00":"6930","businesstype":"1","type":"2""#;
            let error = read(&format!("{{{rest},\"{name}\":{value}}}")).unwrap_err();
            assert!(
                matches!(error, JiweiError::Value { name: named, .. } if named == name),
                "{error}"
            );
            assert!(!error.to_string().contains("C0001"));
        }
        let at_limit = "7".repeat(IDENTIFIER_LIMIT_CHARS);
        assert!(IDENTIFIER.contains(&IDENTIFIER_LIMIT_CHARS.to_string()));
        assert!(
            read(&format!(
                r#"{{"medicarecode":"{at_limit}","yyid00":"6930","businesstype":"1","type":"2"}}"#
            ))
            .is_ok()
        );
    }

    #[test]
    fn debug_shows_no_card_number() {
        let query =
            read(r#"{"medicarecode":"C0001","yyid00":"6930","businesstype":"1","type":"2"}"#);
        let shown = format!("{:?}", query.unwrap());
        assert!(
            shown.contains("6930") && !shown.contains("C0001"),
            "{shown}"
        );
    }
}
