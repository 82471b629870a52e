//! One row of an answer: an apply form as 基卫 writes it (`core/data/fields/apply_query_response.tsv`).

use std::fmt;

use super::super::json::Json;
use super::FIELD_LIMIT_CHARS;
use super::fields::{self, RESPONSE};

/// Makes the row's type and both ways between its fields and the contract's names.
macro_rules! form {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// 申请单. Every field is text as it came, trimmed; `None` where it was absent. Codes are not looked up and times
        /// not read here: nothing is lost of a form that is a little odd.
        #[derive(Clone, PartialEq, Eq, Default)]
        pub struct JiweiForm {
            $($(#[$doc])* pub $field: Option<String>,)*
        }

        impl JiweiForm {
            fn field(&self, name: &str) -> Option<&str> {
                match name {
                    $($name => self.$field.as_deref(),)*
                    _ => None,
                }
            }

            fn field_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
                match name {
                    $($name => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

form! {
    /// 申请单号码
    apply_code = "applycode",
    /// His病人号
    fkey = "fkey",
    /// His病历号
    rep_code = "repcode",
    /// 病人卡号
    medicare_code = "medicarecode",
    /// 门诊号/住院号
    clinic_code = "cliniccode",
    /// 姓名
    name = "patname",
    /// 性别
    gender = "gender",
    /// 出生日期
    birthday = "birthday",
    /// 检查时的年龄
    age = "patage",
    /// 地址
    address = "address",
    /// 电话
    tel = "tel",
    /// 身份证号码, required
    id_card = "idcard",
    /// 申请医生代码
    doctor_code = "applydoccode",
    /// 申请医生名称, required
    doctor = "applydocname",
    /// 申请科室代码
    department_code = "applydepartmentcode",
    /// 申请科室名称
    department = "applydepartment",
    /// 临床诊断
    diagnosis = "clincdiagnose",
    /// 项目标识号
    project_code = "checkprojectcode",
    /// 检查项目
    project = "checkproject",
    /// 申请日期（开单日期）
    apply_date = "applydate",
    /// 执行科室代码
    check_department_code = "checkdepartmentcode",
    /// 执行科室名称
    check_department = "checkdepartment",
    /// 申请单状态; the contract has no table for it
    reg_state = "regstate",
    /// 执行时间
    exe_date = "exedate",
    /// 医院id
    yyid00 = "yyid00",
    /// 类型, a code of [`super::BusinessType`]
    business_type = "businesstype",
    /// 业务类型, a code of [`super::ApplyKind`]; required
    kind = "type",
}

impl JiweiForm {
    /// The contract's names of the fields, and what they mean.
    pub fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
        RESPONSE.iter().map(|field| (field.name, field.title))
    }

    /// The contract's names of required fields that the form lacks. Such a form is taken (a patient without papers has
    /// no 身份证号码), and flagged.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        RESPONSE
            .iter()
            .filter(|field| field.required && self.field(field.name).is_none())
            .map(|field| field.name)
    }

    /// Reads a row (R5): unknown fields are ignored, null and empty text are absent.
    ///
    /// # Errors
    /// The name of the first field that holds no text or more than [`FIELD_LIMIT_CHARS`]; empty if the row is no object.
    pub(super) fn of_json(row: &Json<'_>) -> Result<Self, &'static str> {
        if !matches!(row, Json::Object(_)) {
            return Err("");
        }
        let mut form = Self::default();
        for field in RESPONSE.iter() {
            let Some(value) = row.get(field.name) else {
                continue;
            };
            let text = fields::text(value).map_err(|fields::NotText| field.name)?;
            if text.is_some_and(|text| text.chars().count() > FIELD_LIMIT_CHARS) {
                return Err(field.name);
            }
            if let Some(place) = form.field_mut(field.name) {
                *place = text.map(str::to_owned);
            }
        }
        Ok(form)
    }

    /// Writes a row: what is absent is left out, but required fields are written empty, for readers that ask for the key.
    pub(super) fn to_json(&self) -> Json<'_> {
        let entries = RESPONSE.iter().filter_map(|field| {
            let text = self
                .field(field.name)
                .or_else(|| field.required.then_some(""))?;
            Some((field.name.into(), Json::Text(text.into())))
        });
        Json::Object(entries.collect())
    }
}

/// Numbers of the form and codes, nothing of the patient.
impl fmt::Debug for JiweiForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JiweiForm")
            .field("apply_code", &self.apply_code)
            .field("yyid00", &self.yyid00)
            .field("business_type", &self.business_type)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn read(text: &str) -> Result<JiweiForm, &'static str> {
        JiweiForm::of_json(&Json::parse(text).ok().unwrap())
    }

    #[test]
    fn every_field_of_the_table_has_a_place_of_its_own() {
        let mut form = JiweiForm::default();
        for field in RESPONSE.iter() {
            *form.field_mut(field.name).expect(field.name) = Some(field.name.to_owned());
        }
        for field in RESPONSE.iter() {
            assert_eq!(form.field(field.name), Some(field.name));
        }
        assert_eq!(JiweiForm::of_json(&form.to_json()), Ok(form));
    }

    #[test]
    fn a_row_is_read_leniently() {
        let form = read(
            r#"{"applycode":12345678901234567890,"patage":46,"tel":null,"address":" ","gender":" 女 ",
                "more":{"a":[]},"kind":"x","type":2,"fkey":"old","fkey":"new"}"#,
        )
        .unwrap();
        let expected = JiweiForm {
            apply_code: Some("12345678901234567890".into()),
            age: Some("46".into()),
            gender: Some("女".into()),
            kind: Some("2".into()),
            fkey: Some("new".into()),
            ..JiweiForm::default()
        };
        assert!(form == expected);
        assert_eq!(
            form.missing().collect::<Vec<_>>(),
            ["idcard", "applydocname"]
        );
    }

    #[test]
    fn a_row_that_is_no_form_names_its_field() {
        assert_eq!(read("[]"), Err(""));
        assert_eq!(read("\"00000001\""), Err(""));
        assert_eq!(read(r#"{"patname":["肖萍"]}"#), Err("patname"));
        assert_eq!(read(r#"{"idcard":true}"#), Err("idcard"));
        let prose = |length| format!(r#"{{"clincdiagnose":"{}"}}"#, "查".repeat(length));
        assert!(read(&prose(FIELD_LIMIT_CHARS)).is_ok());
        assert_eq!(read(&prose(FIELD_LIMIT_CHARS + 1)), Err("clincdiagnose"));
    }

    #[test]
    fn required_fields_are_always_written() {
        let written = JiweiForm::default().to_json().to_bytes();
        assert_eq!(written, br#"{"idcard":"","applydocname":"","type":""}"#);
    }

    #[test]
    fn debug_shows_nothing_of_the_patient() {
        let form = JiweiForm {
            apply_code: Some("00000001".into()),
            name: Some("肖萍".into()),
            medicare_code: Some("C0001".into()),
            id_card: Some("350100198001010029".into()),
            ..JiweiForm::default()
        };
        let shown = format!("{form:?}");
        assert!(shown.contains("00000001"));
        for hidden in ["肖萍", "C0001", "350100"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
