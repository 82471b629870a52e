//! The answer: forms, or a failure with its code. Both are enciphered (R11).

use super::super::json::Json;
use super::cipher::JiweiKey;
use super::error::JiweiError;
use super::fields;
use super::form::JiweiForm;
use super::{ANSWER_LIMIT_BYTES, ROWS_LIMIT, carrier};

/// §1: success.
const CODE_SUCCESS: &str = "00";
/// §1: failure.
const CODE_FAILURE: &str = "98";

/// The most characters of a failure's message, as of `desc` in §3 (R13).
const MESSAGE_LIMIT_CHARS: usize = 300;

/// What a hospital's 基卫 answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In the order of the answer.
    pub forms: Vec<JiweiForm>,
    /// Rows that are no forms; the others are a patient's all the same.
    pub unreadable: Vec<UnreadableRow>,
}

/// A row that could not be taken, for an operator to tell the hospital.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableRow {
    /// From 0, in `content`.
    pub row: usize,
    /// The contract's name of the field that holds no text, or too much; absent if the row is no object.
    pub field: Option<&'static str>,
}

impl Answer {
    /// Reads an answer's body. A single object may stand for an array of one, and `success` may be text or a truth value.
    ///
    /// # Errors
    /// [`JiweiError::TooLarge`] over [`ANSWER_LIMIT_BYTES`], [`JiweiError::NotReadable`] up to the JSON object (so for an
    /// answer in clear text too), [`JiweiError::Refused`] for a failure, [`JiweiError::NotAnAnswer`] for another object
    /// and [`JiweiError::TooManyRows`] over [`ROWS_LIMIT`].
    pub fn read(body: &[u8], key: &JiweiKey) -> Result<Self, JiweiError> {
        let clear_text = carrier::open(body, ANSWER_LIMIT_BYTES, key)?;
        let answer = carrier::object(&clear_text)?;
        Self::of_json(&answer)
    }

    fn of_json(answer: &Json<'_>) -> Result<Self, JiweiError> {
        let text = |name| answer.get(name).and_then(|value| fields::text(value).ok()?);
        let code = text("errorCode");
        let succeeded = match answer.get("success") {
            Some(Json::Bool(told)) => Some(*told),
            _ => text("success").and_then(|told| told.to_ascii_lowercase().parse().ok()),
        };
        let failed = code.is_some_and(|code| code != CODE_SUCCESS);
        if !succeeded.unwrap_or(!failed) {
            return Err(JiweiError::refused(code, text("errorMsg")));
        }
        let rows = match answer.get("content") {
            Some(Json::Array(rows)) => rows.as_slice(),
            Some(one @ Json::Object(_)) => std::slice::from_ref(one),
            // Who has no forms may leave them out, if he says that he succeeded.
            None | Some(Json::Null) if succeeded.is_some() => &[],
            Some(Json::Text(text)) if succeeded.is_some() && text.trim().is_empty() => &[],
            _ => return Err(JiweiError::NotAnAnswer),
        };
        if rows.len() > ROWS_LIMIT {
            return Err(JiweiError::TooManyRows { found: rows.len() });
        }
        let mut answer = Self {
            forms: Vec::with_capacity(rows.len()),
            unreadable: Vec::new(),
        };
        for (row, value) in rows.iter().enumerate() {
            match JiweiForm::of_json(value) {
                Ok(form) => answer.forms.push(form),
                Err(field) => answer.unreadable.push(UnreadableRow {
                    row,
                    field: (!field.is_empty()).then_some(field),
                }),
            }
        }
        Ok(answer)
    }
}

/// Writes the answer to a request: the Base64 of `{"content":[…],"success":"true"}`.
///
/// # Errors
/// [`JiweiError::TooManyRows`] over [`ROWS_LIMIT`] and [`JiweiError::AnswerTooLarge`] over [`ANSWER_LIMIT_BYTES`]; who
/// asked is told by [`compose_failure`].
pub fn compose(forms: &[JiweiForm], key: &JiweiKey) -> Result<String, JiweiError> {
    if forms.len() > ROWS_LIMIT {
        return Err(JiweiError::TooManyRows { found: forms.len() });
    }
    let rows = forms.iter().map(JiweiForm::to_json).collect();
    let answer = Json::Object(vec![
        ("content".into(), Json::Array(rows)),
        ("success".into(), Json::Text("true".into())),
    ]);
    let body = key.seal(&answer.to_bytes());
    if body.len() > ANSWER_LIMIT_BYTES {
        return Err(JiweiError::AnswerTooLarge);
    }
    Ok(body)
}

/// Writes a failure: the Base64 of `{"errorCode":"98","errorMsg":…,"success":"false"}`. The text of a [`JiweiError`] is a
/// good message; longer ones are cut.
pub fn compose_failure(message: &str, key: &JiweiKey) -> String {
    let message: String = message.chars().take(MESSAGE_LIMIT_CHARS).collect();
    let answer = Json::Object(vec![
        ("errorCode".into(), Json::Text(CODE_FAILURE.into())),
        ("errorMsg".into(), Json::Text(message.into())),
        ("success".into(), Json::Text("false".into())),
    ]);
    key.seal(&answer.to_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::super::FIELD_LIMIT_CHARS;
    use super::*;

    fn key() -> JiweiKey {
        JiweiKey::new("0123456789abcdef").unwrap()
    }

    fn read(clear_text: &str) -> Result<Answer, JiweiError> {
        Answer::read(key().seal(clear_text.as_bytes()).as_bytes(), &key())
    }

    fn form(apply_code: &str) -> JiweiForm {
        JiweiForm {
            apply_code: Some(apply_code.into()),
            name: Some("肖萍".into()),
            id_card: Some("350100198001010029".into()),
            doctor: Some("王医生".into()),
            kind: Some("2".into()),
            ..JiweiForm::default()
        }
    }

    #[test]
    fn forms_that_were_composed_are_read_back() {
        for forms in [vec![], vec![form("1")], vec![form("1"), form("2")]] {
            let body = compose(&forms, &key()).unwrap();
            let answer = Answer::read(body.as_bytes(), &key()).unwrap();
            assert_eq!(answer.forms, forms);
            assert_eq!(answer.unreadable, []);
        }
    }

    #[test]
    fn a_failure_is_enciphered_and_read_with_its_code() {
        let message = JiweiError::Missing {
            name: "medicarecode",
        }
        .to_string();
        let body = compose_failure(&message, &key());
        assert!(!body.contains("98"));
        let error = Answer::read(body.as_bytes(), &key()).unwrap_err();
        let JiweiError::Refused { code, said } = error else {
            panic!("{error}")
        };
        assert_eq!(code, "98");
        assert_eq!(said.for_operators(), "缺少必传参数：medicarecode！");
    }

    #[test]
    fn success_may_be_text_or_a_truth_value_or_follow_from_the_rest() {
        for (text, forms) in [
            (r#"{"content":[{}],"success":"true"}"#, 1),
            (r#"{"content":[{}],"success":true}"#, 1),
            (r#"{"content":[{}],"success":"TRUE","errorCode":"00"}"#, 1),
            (r#"{"content":{"applycode":"1"},"success":"true"}"#, 1),
            (r#"{"content":[{}]}"#, 1),
            (r#"{"content":[],"success":"true"}"#, 0),
            (r#"{"content":null,"success":"true"}"#, 0),
            (r#"{"content":"","success":"true"}"#, 0),
            (r#"{"success":true}"#, 0),
        ] {
            let answer = read(text).expect(text);
            assert_eq!(answer.forms.len(), forms, "{text}");
        }
        for text in [
            r#"{"errorCode":"98","errorMsg":"x","success":"false"}"#,
            r#"{"errorCode":98,"success":false,"content":[{}]}"#,
            r#"{"errorCode":"98"}"#,
            r#"{"errorCode":"98","content":[{}]}"#,
            r#"{"errorCode":"98","success":null}"#,
        ] {
            let error = read(text).expect_err(text);
            assert!(
                matches!(&error, JiweiError::Refused { code, .. } if code == "98"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn an_object_that_is_no_answer_is_not_taken_for_an_empty_one() {
        for text in [
            "{}",
            r#"{"content":null}"#,
            r#"{"content":""}"#,
            r#"{"content":"x","success":"true"}"#,
            r#"{"content":5,"success":"true"}"#,
            r#"{"success":"maybe"}"#,
            r#"{"result":[]}"#,
            r#"{"medicarecode":"C0001"}"#,
        ] {
            assert_eq!(read(text), Err(JiweiError::NotAnAnswer), "{text}");
        }
    }

    #[test]
    fn one_row_that_is_no_form_does_not_cost_the_others() {
        let answer = read(
            r#"{"content":[{"applycode":"1"},7,{"applycode":"2","patname":{}},{"applycode":"3"}],"success":"true"}"#,
        )
        .unwrap();
        let codes: Vec<_> = answer
            .forms
            .iter()
            .map(|form| form.apply_code.as_deref().unwrap())
            .collect();
        assert_eq!(codes, ["1", "3"]);
        let unreadable = [(1, None), (2, Some("patname"))];
        assert_eq!(
            answer.unreadable,
            unreadable.map(|(row, field)| UnreadableRow { row, field })
        );
    }

    #[test]
    fn what_the_other_side_says_is_cut_and_in_no_text() {
        let said = format!("病人肖萍\\n不存在{}", "。".repeat(1_000));
        let error = read(&format!(
            r#"{{"errorCode":"E <b>98</b> of a very long name","errorMsg":"{said}","success":"false"}}"#
        ))
        .unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("肖萍"), "{shown}");
            assert!(shown.contains("Eb98bofaverylong"), "{shown}");
        }
        let JiweiError::Refused { said, .. } = error else {
            panic!("{error}")
        };
        assert!(said.for_operators().starts_with("病人肖萍 不存在"));
        assert_eq!(said.for_operators().chars().count(), 200);
    }

    #[test]
    fn a_clear_text_where_cipher_text_is_due_is_unreadable() {
        for body in [
            r#"{"content":[],"success":"true"}"#,
            r#"{"errorCode":"98","errorMsg":"x","success":"false"}"#,
            "<html><body>502 Bad Gateway</body></html>",
        ] {
            let error = Answer::read(body.as_bytes(), &key());
            assert_eq!(error, Err(JiweiError::NotReadable), "{body}");
        }
    }

    #[test]
    fn rows_are_bounded_on_both_ways() {
        let most = vec![form("1"); ROWS_LIMIT];
        let body = compose(&most, &key()).unwrap();
        assert_eq!(
            Answer::read(body.as_bytes(), &key()).unwrap().forms.len(),
            ROWS_LIMIT
        );
        let found = ROWS_LIMIT + 1;
        let more = vec![form("1"); found];
        assert_eq!(
            compose(&more, &key()),
            Err(JiweiError::TooManyRows { found })
        );
        let rows = vec!["{}"; found].join(",");
        let error = read(&format!(r#"{{"content":[{rows}],"success":"true"}}"#));
        assert_eq!(error, Err(JiweiError::TooManyRows { found }));
    }

    #[test]
    fn an_answer_is_bounded_on_both_ways() {
        let mut large = form("1");
        large.diagnosis = Some("查".repeat(FIELD_LIMIT_CHARS));
        let forms = vec![large; 600];
        assert_eq!(compose(&forms, &key()), Err(JiweiError::AnswerTooLarge));
        let body = vec![b'A'; ANSWER_LIMIT_BYTES + 1];
        let limit_bytes = ANSWER_LIMIT_BYTES;
        assert_eq!(
            Answer::read(&body, &key()),
            Err(JiweiError::TooLarge { limit_bytes })
        );
    }
}
