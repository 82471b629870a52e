//! An exam as its apply form tells of it (R16): where nobody pushes, this is its content until somebody does.
//!
//! It is canonical like a push that was checked, so whoever reads content of exams reads this too. What the two tables name
//! differently is joined by meaning (R13): `cost` is what is due and `charge` what was paid. What a form says in words and a
//! push in codes (费别, 婚姻状况) stays with the form.

use std::borrow::Cow;

use super::super::apply_form::{ApplyForm, Coded, FormItem};
use super::super::fields::EXAM_PUSH;
use super::super::json::Json;
use super::digest_of;
use super::status::ExamStatus;
use crate::ids::{ExamNo, HospitalCode, StudyUid};
use crate::time::LocalDateTime;

/// What there is of the exam beside its form.
pub struct Registration<'a> {
    pub hospital: &'a HospitalCode,
    /// 医院名称.
    pub hospital_name: &'a str,
    /// Without its prefix.
    pub apply_no: &'a str,
    pub exam_no: &'a ExamNo,
    /// When it was registered.
    pub exam_time: LocalDateTime,
    pub study: &'a StudyUid,
    /// PatientID that its images have.
    pub patient_id: &'a str,
    /// AccessionNumber of the image that came; none, if none has come or it has none: it is not compared then (R8).
    pub accession_no: Option<&'a str>,
}

/// Canonical JSON of the exam, and its digest.
pub fn of_form(form: &ApplyForm, registration: &Registration<'_>) -> (String, [u8; 16]) {
    let mut exam = Object::default();
    exam.text("examNo", registration.exam_no.as_str());
    exam.text("hospitalCode", registration.hospital.as_str());
    exam.put("patientInfo", patient_info(form));
    exam.put("examInfo", exam_info(form, registration));
    exam.put("imageList", Json::Array(vec![image(registration)]));
    let json = exam.done();
    let digest = digest_of(&EXAM_PUSH, &json);
    (
        String::from_utf8_lossy(&json.to_bytes()).into_owned(),
        digest,
    )
}

fn patient_info(form: &ApplyForm) -> Json<'_> {
    let patient = &form.patient;
    let mut info = Object::default();
    info.text("sickId", &patient.sick_no);
    info.some("cardNo", &patient.card_no);
    info.some("siCard", &patient.si_card);
    info.some("miCard", &patient.mi_card);
    info.text("patientSource", &patient.patient_class.name);
    info.some("inpatientNo", &patient.in_patient_no);
    info.some("outPatientNo", &patient.out_patient_no);
    info.some("bedno", &patient.bed_no);
    info.text("name", &patient.name);
    info.text("sex", &patient.sex);
    info.text("age", &patient.age);
    info.shown("birthDate", patient.birth_date);
    info.some("height", &patient.height);
    info.some("weight", &patient.weight);
    info.some("nativePlace", &patient.native_place);
    info.some("nationality", &patient.nationality);
    info.some("nation", &patient.nation);
    info.some("address", &patient.address);
    info.some("zipCode", &patient.zip_code);
    info.text("phoneNumber", &patient.phone_number);
    if let Some(document) = &patient.identity {
        let mut identity = Object::default();
        // Codes are not found by their names.
        if document.kind.bytes().all(|byte| byte.is_ascii_digit()) {
            identity.text("idType", &document.kind);
        }
        identity.text("idName", &document.name);
        identity.text("idNumber", &document.number);
        info.put("identity", Json::Array(vec![identity.done()]));
    }
    info.some("degree", &patient.degree);
    info.some("patientMemo", &patient.memo);
    info.done()
}

fn exam_info<'a>(form: &'a ApplyForm, registration: &Registration<'a>) -> Json<'a> {
    let exam = &form.exam;
    let mut info = Object::default();
    info.text("applyNo", registration.apply_no);
    info.text("patientID", registration.patient_id);
    info.text("examStatus", ExamStatus::Registered.code());
    info.shown("examTime", Some(registration.exam_time));
    info.text("examClass", &exam.exam_class);
    info.some("examSubClass", &exam.exam_sub_class);
    info.list("examItemList", exam.items.iter().map(item));
    info.list("examOrganList", exam.organs.iter().map(|name| organ(name)));
    info.some("device", &exam.device);
    info.coded("performDept", exam.perform_dept.as_ref());
    info.coded("technican", exam.technician.as_ref());
    info.text("reqHospitalCode", registration.hospital.as_str());
    let asking = &exam.req_hospital.name;
    let named = match asking.is_empty() {
        true => registration.hospital_name,
        false => asking,
    };
    info.text("reqHospitalName", named);
    info.coded("reqWard", exam.req_ward.as_ref());
    info.coded("reqDept", Some(&exam.req_dept));
    info.coded("reqPhysician", Some(&exam.req_physician));
    info.shown("reqTime", exam.req_time);
    info.shown("scheduledTime", exam.scheduled_time);
    info.some("physSign", &exam.phys_sign);
    info.some("clinSymp", &exam.clin_symp);
    info.some("clinDiag", &exam.clin_diag);
    info.text("cost", &exam.due);
    info.text("charge", &exam.paid);
    info.text("chargeFlag", &exam.charge_flag);
    info.some("examMemo", &exam.memo);
    info.done()
}

fn item(item: &FormItem) -> Json<'_> {
    let mut object = Object::default();
    object.some("itemCode", &item.code);
    object.text("itemName", &item.name);
    object.some("itemCost", &item.price);
    object.some("orderNo", &item.order_no);
    object.done()
}

fn organ(name: &str) -> Json<'_> {
    let mut object = Object::default();
    object.text("organName", name);
    object.done()
}

fn image<'a>(registration: &Registration<'a>) -> Json<'a> {
    let mut image = Object::default();
    image.text("patientID", registration.patient_id);
    image.text("studyUID", registration.study.as_str());
    image.text("accessionNo", registration.accession_no.unwrap_or_default());
    image.done()
}

/// An object in the making: what is empty is absent (R5).
#[derive(Default)]
struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    fn put(&mut self, key: impl Into<Cow<'a, str>>, value: Json<'a>) {
        self.0.push((key.into(), value));
    }

    fn text(&mut self, key: &'static str, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if !text.is_empty() {
            self.put(key, Json::Text(text));
        }
    }

    fn some(&mut self, key: &'static str, text: &'a Option<String>) {
        self.text(key, text.as_deref().unwrap_or_default());
    }

    fn shown(&mut self, key: &'static str, value: Option<impl ToString>) {
        self.text(key, value.map(|it| it.to_string()).unwrap_or_default());
    }

    /// `…Code` and `…Name`.
    fn coded(&mut self, key: &str, coded: Option<&'a Coded>) {
        let Some(Coded { code, name }) = coded else {
            return;
        };
        let parts = [
            ("Code", code.as_deref().unwrap_or_default()),
            ("Name", name),
        ];
        for (part, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            self.put(format!("{key}{part}"), Json::Text(text.into()));
        }
    }

    fn list(&mut self, key: &'static str, items: impl Iterator<Item = Json<'a>>) {
        let items: Vec<Json<'a>> = items.collect();
        if !items.is_empty() {
            self.put(key, Json::Array(items));
        }
    }

    fn done(self) -> Json<'a> {
        Json::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::super::apply_form::{FormContext, parse as parse_form};
    use super::super::super::policy::ValidationPolicy;
    use super::super::super::xml;
    use super::super::{ExamSummary, PushContext, canonical_digest, parse};
    use super::*;
    use crate::registry::{Registry, RegistryChange};

    const SAMPLE: &str = include_str!("../../../../tests/fixtures/contract/syn_apply_info.xml");

    fn sample() -> ApplyForm {
        let hospital =
            serde_json::json!({"code": "350006", "name": "示例县医院", "prefix": "7173"});
        let mut registry = Registry::default();
        let hospital = serde_json::from_value(hospital).unwrap();
        registry.apply(RegistryChange::PutHospital(hospital));
        let context = FormContext {
            registry: &registry,
        };
        let parsed = parse_form(&xml::read(SAMPLE).unwrap(), context).unwrap();
        *parsed.body.form.unwrap()
    }

    fn made(form: &ApplyForm) -> (String, [u8; 16]) {
        let registration = Registration {
            hospital: &HospitalCode::new("350006").unwrap(),
            hospital_name: "示例县医院",
            apply_no: "00000001",
            exam_no: &ExamNo::new("F:00000001").unwrap(),
            exam_time: LocalDateTime::parse("2026-07-04 08:00:00").unwrap(),
            study: &StudyUid::new("1.2.3").unwrap(),
            patient_id: "C0001",
            accession_no: Some("00000001"),
        };
        of_form(form, &registration)
    }

    #[test]
    fn what_a_form_makes_passes_the_check_of_pushes_but_for_its_status() {
        let (json, digest) = made(&sample());
        assert_eq!(canonical_digest(json.as_bytes()).unwrap(), digest);
        let context = PushContext {
            policy: &ValidationPolicy::default(),
            aliases: &Default::default(),
            placeholders: &Default::default(),
        };
        let parsed = parse(json.as_bytes(), None, context);
        let refused: Vec<String> = parsed
            .unwrap_err()
            .faults
            .iter()
            .map(|it| it.path.clone())
            .collect();
        assert_eq!(refused, ["examInfo.examStatus"]);
        // As a push would say it, nothing else is wrong and nothing changes on the way
        let pushed = json.replace(r#""examStatus":"20""#, r#""examStatus":"50""#);
        let parsed = parse(pushed.as_bytes(), None, context).unwrap();
        assert_eq!(parsed.body.json.as_ref(), pushed.as_bytes());
        let warned: Vec<&str> = parsed.warnings.iter().map(|it| it.path.as_str()).collect();
        assert!(warned.is_empty(), "{warned:?}");
    }

    #[test]
    fn the_patient_and_the_exam_are_the_form_s() {
        let form = sample();
        let (json, _) = made(&form);
        let summary = ExamSummary::from_json(json.as_bytes()).unwrap();
        assert_eq!(summary.sick_id, form.patient.sick_no);
        assert_eq!(summary.name, form.patient.name);
        assert_eq!(summary.exam_class, form.exam.exam_class);
        assert_eq!(
            (summary.apply_no, summary.exam_no),
            ("00000001".into(), "F:00000001".into())
        );
        assert_eq!(summary.exam_status, ExamStatus::Registered);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let info = &value["examInfo"];
        // R13: what is due, and what was paid
        assert_eq!(info["cost"], form.exam.due.as_str());
        assert_eq!(info["charge"], form.exam.paid.as_str());
        assert_eq!(
            info["examItemList"].as_array().unwrap().len(),
            form.exam.items.len()
        );
        assert_eq!(
            info["reqPhysicianName"],
            form.exam.req_physician.name.as_str()
        );
    }
}
