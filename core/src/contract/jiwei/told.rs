//! A form of the archive as 基卫 would tell it, for a PACS that asks (§1). Whatever way a form came, it is told alike:
//!
//! | field | from |
//! |---|---|
//! | applycode, fkey | 申请单号 and 病人ID, without prefix, as a push will name them (R15) |
//! | repcode | 病历号, which only forms of 基卫 have |
//! | medicarecode | 诊疗卡号, else the number that was asked for |
//! | cliniccode | 住院号 of an inpatient, else 门诊号 |
//! | patname, gender, birthday, patage, address, tel | the patient's |
//! | idcard | 证件号 if the document is an 居民身份证, else empty |
//! | applydoc…, applydepartment… | 申请医师, 申请科室 |
//! | clincdiagnose | 临床诊断 |
//! | checkprojectcode, checkproject | the items', one after the other with `；` between them |
//! | applydate | the day of 申请时间 |
//! | checkdepartment… | 检查科室 |
//! | regstate | 0 not registered, 1 registered or begun by a machine, 2 images are here, 3 its report is confirmed |
//! | exedate | time of the exam that has the form, else 检查时间 of the form |
//! | yyid00 | as it was asked for |
//! | businesstype | 2 inpatients, 3 体检 (PE), 1 all others, emergencies among them |
//! | type | 1 if the class is ECG by the dictionary, else 2 |
//!
//! What is longer than [`FIELD_LIMIT_CHARS`] is cut, since readers refuse more.

use super::{ApplyKind, ApplyQuery, BusinessType, FIELD_LIMIT_CHARS, JiweiForm};
use crate::apply_form::FormSource;
use crate::apply_form::progress::FormState;
use crate::contract::apply_form::{ApplyForm, Coded};
use crate::dictionaries::{ClassAliases, canonical_class};

/// Dictionary code of 心电.
pub(super) const ECG: &str = "ECG";
/// Code and name of 居民身份证 among documents of identity.
pub(super) const RESIDENT_CARD: (&str, &str) = ("1", "居民身份证");
const BETWEEN_ITEMS: &str = "；";

impl BusinessType {
    /// Of a patient's class (PATIENT_CLASS).
    pub fn of_class(class: &Coded) -> Self {
        match class.code.as_deref() {
            Some("IN") => Self::Inpatient,
            Some("PE") => Self::Checkup,
            _ => Self::Outpatient,
        }
    }
}

impl ApplyKind {
    /// Of an exam's class as it is written.
    pub fn of_class(aliases: &ClassAliases, class: &str) -> Self {
        match canonical_class(aliases, class).code.as_str() {
            ECG => Self::Ecg,
            _ => Self::Imaging,
        }
    }
}

/// A form and what is known beside its content.
pub struct ToldForm<'a> {
    pub form: &'a ApplyForm,
    /// Without prefix.
    pub apply_no: &'a str,
    pub source: FormSource,
    pub state: FormState,
    /// Of the exam that has it, `YYYY-MM-DD HH:MM:SS`.
    pub exam_time: Option<String>,
    /// Of the form's class.
    pub kind: ApplyKind,
    pub asked: &'a ApplyQuery,
}

impl JiweiForm {
    pub fn of_archive(told: &ToldForm<'_>) -> Self {
        let (patient, exam) = (&told.form.patient, &told.form.exam);
        let business_type = BusinessType::of_class(&patient.patient_class);
        let clinic_code = match business_type {
            BusinessType::Inpatient => &patient.in_patient_no,
            BusinessType::Outpatient | BusinessType::Checkup => &patient.out_patient_no,
        };
        let identity = patient.identity.as_ref();
        let is_resident =
            |kind: &str, name: &str| kind == RESIDENT_CARD.0 || name.contains("身份证");
        let resident = identity.filter(|it| is_resident(&it.kind, &it.name));
        let rep_code = match told.source {
            FormSource::Jiwei => exam.reserve1.as_deref(),
            FormSource::Soap => None,
        };
        let card = patient.card_no.as_deref();
        let code = |coded: &Coded| text(coded.code.as_deref().unwrap_or_default());
        let dept = exam.perform_dept.as_ref();
        let exam_time = || exam.exam_time.map(|time| time.to_string());
        Self {
            apply_code: text(told.apply_no),
            fkey: text(&patient.sick_no),
            rep_code: rep_code.and_then(text),
            medicare_code: text(card.unwrap_or(&told.asked.medicare_code)),
            clinic_code: clinic_code.as_deref().and_then(text),
            name: text(&patient.name),
            gender: text(&patient.sex),
            birthday: patient.birth_date.map(|date| date.to_string()),
            age: text(&patient.age),
            address: patient.address.as_deref().and_then(text),
            tel: text(&patient.phone_number),
            id_card: resident.and_then(|it| text(&it.number)),
            doctor_code: code(&exam.req_physician),
            doctor: text(&exam.req_physician.name),
            department_code: code(&exam.req_dept),
            department: text(&exam.req_dept.name),
            diagnosis: exam.clin_diag.as_deref().and_then(text),
            project_code: listed(exam.items.iter().filter_map(|item| item.code.as_deref())),
            project: listed(exam.items.iter().map(|item| item.name.as_str())),
            apply_date: exam.req_time.map(|time| time.date().to_string()),
            check_department_code: dept.and_then(code),
            check_department: dept.and_then(|dept| text(&dept.name)),
            reg_state: Some(reg_state(told.state).to_owned()),
            exe_date: told.exam_time.clone().or_else(exam_time),
            yyid00: text(&told.asked.yyid00),
            business_type: text(business_type.code()),
            kind: text(told.kind.code()),
        }
    }
}

/// `regstate`: the contract has no table for it. A cancelled form is not told at all.
fn reg_state(state: FormState) -> &'static str {
    match state {
        FormState::Received | FormState::Cancelled => "0",
        FormState::Registered | FormState::Started | FormState::Performed => "1",
        FormState::Images => "2",
        FormState::Reported => "3",
    }
}

fn text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(FIELD_LIMIT_CHARS).collect())
}

/// As many as there is room for: none is cut in two.
fn listed<'t>(texts: impl Iterator<Item = &'t str>) -> Option<String> {
    let mut list = String::new();
    let mut room = FIELD_LIMIT_CHARS;
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        let between = if list.is_empty() { "" } else { BETWEEN_ITEMS };
        let needed = between.chars().count() + text.chars().count();
        if needed > room {
            break;
        }
        room -= needed;
        list.push_str(between);
        list.push_str(text);
    }
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::apply_form::{FormContext, FormItem, parse};
    use crate::contract::xml;
    use crate::registry::Registry;

    const SAMPLE: &str = include_str!("../../../../tests/fixtures/contract/syn_apply_info.xml");

    fn sample() -> ApplyForm {
        let mut registry = Registry::default();
        let hospital = r#"{"code":"350006","name":"甲","prefix":"7173","yyid00":"6930"}"#;
        let hospital: crate::registry::Hospital = serde_json::from_str(hospital).unwrap();
        registry.hospitals.insert(hospital.code.clone(), hospital);
        let context = FormContext {
            registry: &registry,
        };
        let root = xml::read(SAMPLE).unwrap();
        parse(&root, context)
            .unwrap()
            .body
            .form
            .map(|it| *it)
            .unwrap()
    }

    fn told(form: &ApplyForm, state: FormState) -> JiweiForm {
        let asked = ApplyQuery {
            medicare_code: "O000017".into(),
            yyid00: "6930".into(),
            business_type: BusinessType::Outpatient,
            kind: ApplyKind::Imaging,
        };
        JiweiForm::of_archive(&ToldForm {
            form,
            apply_no: "00000001",
            source: FormSource::Soap,
            state,
            exam_time: Some("2026-07-04 10:54:32".into()),
            kind: ApplyKind::of_class(&ClassAliases::default(), &form.exam.exam_class),
            asked: &asked,
        })
    }

    #[test]
    fn a_form_that_came_by_soap_is_told_with_all_that_is_required() {
        let form = told(&sample(), FormState::Registered);
        let is = |field: &Option<String>, text: &str| assert_eq!(field.as_deref(), Some(text));
        is(&form.apply_code, "00000001");
        is(&form.fkey, "C0001");
        is(&form.name, "肖萍");
        is(&form.birthday, "1980-01-01");
        is(&form.doctor_code, "C939");
        is(&form.doctor, "王医生");
        is(&form.apply_date, "2026-07-04");
        is(&form.exe_date, "2026-07-04 10:54:32");
        is(&form.reg_state, "1");
        is(&form.business_type, "1");
        is(&form.kind, "2");
        assert_eq!(form.missing().count(), 0);
        assert_eq!(form.rep_code, None);
    }

    #[test]
    fn another_document_of_identity_is_no_resident_s_card() {
        let mut form = sample();
        let identity = form.patient.identity.as_mut().unwrap();
        (identity.kind, identity.name) = ("4".into(), "护照".into());
        assert_eq!(told(&form, FormState::Received).id_card, None);
    }

    #[test]
    fn items_stand_one_after_the_other_and_none_is_cut() {
        let mut form = sample();
        let item = |name: String| FormItem {
            code: Some("1".into()),
            name,
            price: None,
            due: None,
            order_no: None,
            count: None,
        };
        form.exam.items = vec![item("胸部CT平扫".into()), item("头颅CT平扫".into())];
        let project = told(&form, FormState::Received).project.unwrap();
        assert_eq!(project, "胸部CT平扫；头颅CT平扫");
        form.exam.items = (0..200).map(|n| item(format!("{n:0>99}"))).collect();
        let project = told(&form, FormState::Received).project.unwrap();
        assert!(project.chars().count() <= FIELD_LIMIT_CHARS);
        assert!(project.split(BETWEEN_ITEMS).all(|name| name.len() == 99));
    }

    #[test]
    fn classes_of_patients_and_exams_are_two_or_three_kinds() {
        let class = |code: &str| Coded {
            code: Some(code.into()),
            name: String::new(),
        };
        for (code, business_type) in [
            ("OU", BusinessType::Outpatient),
            ("EM", BusinessType::Outpatient),
            ("OT", BusinessType::Outpatient),
            ("IN", BusinessType::Inpatient),
            ("PE", BusinessType::Checkup),
        ] {
            assert_eq!(BusinessType::of_class(&class(code)), business_type);
        }
        let kind = |text| ApplyKind::of_class(&ClassAliases::default(), text);
        assert_eq!(kind("心电"), ApplyKind::Ecg);
        assert_eq!(kind("ECG"), ApplyKind::Ecg);
        for other in ["CT", "放射", "", "不在字典"] {
            assert_eq!(kind(other), ApplyKind::Imaging, "{other}");
        }
    }
}
