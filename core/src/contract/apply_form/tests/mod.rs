//! Forms that must be taken, refused and flagged. What every row of the table demands is in `table`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod digest;
mod items;
mod numbers;
mod rules;
mod table;

use super::*;
use crate::contract::xml;
use crate::registry::{Hospital, RegistryChange};

const SAMPLE: &str = include_str!("../../../../../tests/fixtures/contract/syn_apply_info.xml");

fn hospital(code: &str, prefix: Option<&str>, yyid00: Option<&str>) -> Hospital {
    Hospital {
        code: HospitalCode::new(code).unwrap(),
        name: "示例县医院".to_owned(),
        prefix: prefix.map(str::to_owned),
        yyid00: yyid00.map(str::to_owned),
        mode: Default::default(),
        matching: Default::default(),
        hold_days: None,
        validation: Default::default(),
        generation: 0,
        images: Default::default(),
        gateway: None,
        exams: Default::default(),
        own_only: Default::default(),
        credit_code: None,
        clinic: Default::default(),
    }
}

fn registry_of(hospitals: impl IntoIterator<Item = Hospital>) -> Registry {
    let mut registry = Registry::default();
    for hospital in hospitals {
        registry.apply(RegistryChange::PutHospital(hospital));
    }
    registry
}

/// 350006 has the prefix 7173; 350007 has 7174 and, in 基卫, 6930.
fn registry() -> Registry {
    registry_of([
        hospital("350006", Some("7173"), None),
        hospital("350007", Some("7174"), Some("6930")),
    ])
}

fn parse_xml(text: &str) -> Result<ParsedForm, Box<FormRefused>> {
    parse_in(&registry(), text)
}

fn parse_in(registry: &Registry, text: &str) -> Result<ParsedForm, Box<FormRefused>> {
    parse(&xml::read(text).unwrap(), FormContext { registry })
}

fn taken(text: &str) -> ParsedForm {
    match parse_xml(text) {
        Ok(parsed) => parsed,
        Err(refused) => panic!("refused: {:?}", refused.faults),
    }
}

fn refused(text: &str) -> Box<FormRefused> {
    parse_xml(text).expect_err("a refusal")
}

fn places(faults: &[Fault]) -> Vec<(&str, Rule)> {
    faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.rule))
        .collect()
}

/// The sample with one piece of its text for another.
fn with(old: &str, new: &str) -> String {
    assert_eq!(SAMPLE.matches(old).count(), 1, "{old}");
    SAMPLE.replace(old, new)
}

fn with_all(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SAMPLE.to_owned(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    })
}

fn form(parsed: &ParsedForm) -> &ApplyForm {
    parsed.body.form.as_ref().unwrap()
}

const ITEM_ELEMENT: &str = "<ExamItem><ItemCode>001</ItemCode><ItemName>胸部CT平扫</ItemName><ItemCost>153.45</ItemCost><ItemCharge>153.45</ItemCharge><OrderNo>123456</OrderNo><Count>1</Count></ExamItem>";
const SAMPLE_ELEMENT: &str = "<SampleInfo><SampleNo></SampleNo><BarcodeNo></BarcodeNo><PackageNo></PackageNo><SampleName></SampleName><SamplePart></SamplePart><SampleSource></SampleSource></SampleInfo>";

#[test]
fn the_sample_is_taken_as_it_stands() {
    let parsed = taken(SAMPLE);
    assert_eq!(parsed.warnings, []);
    assert_eq!(parsed.action, Action::Insert);
    assert_eq!(parsed.application, "HIS");
    assert_eq!(*parsed.license, "0A1B2C3D4E5F60718293A4B5C6D7E8F9");
    assert_eq!(parsed.hospital.as_str(), "350006");
    assert_eq!(parsed.apply_no, "00000001");
    assert_eq!(parsed.body.spelling, "7173_00000001");
    assert!(parsed.body.operator == Some(coded("C939", "王医生")));
    let ApplyForm {
        patient,
        exam,
        sick_no_spelling,
    } = form(&parsed);
    assert!(patient.sick_no == "C0001" && sick_no_spelling == "7173_C0001");
    assert!(patient.patient_class == coded("OU", "门诊"));
    assert!(patient.birth_date.unwrap().to_string() == "1980-01-01");
    assert!(patient.last_menses_date.is_none());
    assert!(patient.identity.as_ref().unwrap().name == "居民身份证");
    assert!(exam.req_time.unwrap().to_string() == "2026-07-04 09:30:00");
    assert!(exam.clin_symp.as_deref() == Some("胸闷"));
    assert!(exam.due == "153.45" && exam.paid == "153.45");
    assert!(exam.organs == ["胸部"] && exam.samples.is_empty());
    assert!(exam.technician.is_none() && exam.req_ward.is_none());
    assert!(exam.items.len() == 1 && exam.items[0].count == Some(1));
}

fn coded(code: &str, name: &str) -> Coded {
    Coded {
        code: Some(code.to_owned()),
        name: name.to_owned(),
    }
}

#[test]
fn the_body_is_read_again_from_postcard() {
    let body = taken(SAMPLE).body;
    let packed = postcard::to_allocvec(&body).unwrap();
    assert!(postcard::from_bytes::<ApplyFormBody>(&packed).unwrap() == body);
}

#[test]
fn what_a_form_is_measured_by_is_no_less_than_what_is_stored() {
    let body = taken(SAMPLE).body;
    let stored = postcard::to_allocvec(&body.form).unwrap().len();
    assert!(stored <= body::encode(&body.apply_no, body.form.as_deref()).len());
}

#[test]
fn a_vendors_own_way_to_write_xml_changes_nothing() {
    let expected = taken(SAMPLE);
    let spelt = with_all(&[
        (
            "<ApplyNo>7173_00000001</ApplyNo>",
            "< ApplyNo >\r\n\t7173_00000001\u{3000}</ ApplyNo >",
        ),
        ("<PatientName>肖萍<", "<PatientName><![CDATA[ 肖萍 ]]><"),
        (
            "<PerformDept code=\"0009\">",
            "<PerformDept Code = ' 0009 ' name='x'>",
        ),
        ("<ReqTime>", "<ReqTime><!-- 申请时间 -->"),
        ("<Exam>", "<e:Exam xmlns:e=\"urn:his\">(检查)"),
        ("</Exam>", "</e:Exam>"),
        ("<XmlDocument>", "<Request>"),
        ("</XmlDocument>", "</Request>"),
    ]);
    for text in [spelt.clone(), spelt.replace('\n', "\r\n")] {
        let parsed = taken(&text);
        assert_eq!(parsed.warnings, []);
        assert!(parsed.body == expected.body);
    }
}

#[test]
fn nothing_that_is_shown_holds_a_patient_or_the_licence() {
    let parsed = taken(SAMPLE);
    let shown = format!(
        "{parsed:?} {:?} {:?} {:?} {:?} {:?}",
        parsed.body,
        form(&parsed),
        form(&parsed).patient,
        form(&parsed).exam,
        parsed.body.operator,
    );
    assert!(shown.contains("00000001"));
    let mut refusal = refused(&with_all(&[
        ("<BirthDate>1980-01-01<", "<BirthDate>肖萍<"),
        ("<ApplyNo>7173_", "<ApplyNo>9999_"),
        ("<SickNo>7173_", "<SickNo>9998_"),
        ("<VisitID/>", "<VisitID>C939</VisitID>"),
        ("<Action>INSERT<", "<Action>王医生<"),
    ]));
    // The number of the form may be shown, and is not in a message.
    refusal.apply_no = None;
    let refusal = format!("{refusal:?} {}", refusal.summary());
    for secret in [
        "肖萍",
        "C0001",
        "0A1B",
        "C939",
        "王医生",
        "35010019",
        "9999",
        "9998",
    ] {
        assert!(
            !shown.contains(secret) && !refusal.contains(secret),
            "{secret}"
        );
    }
}

#[test]
fn everything_wrong_is_named_at_once() {
    let refused = refused(&with_all(&[
        (" 0A1B2C3D4E5F60718293A4B5C6D7E8F9", ""),
        ("<Action>INSERT<", "<Action>REMOVE<"),
        (
            "<PatientName>肖萍</PatientName>",
            "<patientname>肖萍</patientname>",
        ),
        ("<VisitID/>", "<VisitID>一</VisitID>"),
        ("<CardNo>C0001<", "<CardNo><"),
        ("<ItemName>胸部CT平扫<", "<ItemName><"),
        (
            "<ReqTime>2026-07-04 09:30:00<",
            "<ReqTime>2026-02-30 09:30:00<",
        ),
    ]));
    assert_eq!(
        places(&refused.faults),
        [
            ("Header/License", Rule::Required),
            ("Header/Action", Rule::Code),
            ("Patient/VisitID", Rule::Number),
            ("Patient/PatientName", Rule::Required),
            ("Exam/ReqTime", Rule::Format),
            ("Exam/ExamItems/ExamItem[1]/ItemName", Rule::Required),
            ("Patient/CardNo", Rule::Required),
        ]
    );
    assert!(
        refused.faults[3]
            .message
            .contains("found element patientname")
    );
    assert_eq!(refused.hospital.as_ref().unwrap().as_str(), "350006");
    assert_eq!(refused.apply_no.as_deref(), Some("00000001"));
    let summary = refused.summary();
    assert!(
        summary.starts_with("Header/License、Header/Action"),
        "{summary}"
    );
    assert!(
        summary.contains("；共 7 处错误：Header/License "),
        "{summary}"
    );
}

#[test]
fn an_action_is_read_in_any_letters_and_nothing_is_insert() {
    for (text, action) in [
        ("insert", Action::Insert),
        (" Update ", Action::Update),
        ("", Action::Insert),
    ] {
        let parsed = taken(&with("<Action>INSERT<", &format!("<Action>{text}<")));
        assert_eq!(
            (parsed.action, parsed.body.action),
            (action, action),
            "{text}"
        );
    }
    assert_eq!(
        taken(&with("<Action>INSERT</Action>", "")).action,
        Action::Insert
    );
    let text = with("<Action>INSERT<", "<Action>取消<");
    assert_eq!(
        places(&refused(&text).faults),
        [("Header/Action", Rule::Code)]
    );
}

#[test]
fn an_action_that_is_unknown_without_a_document_is_all_that_is_wrong() {
    let text = deletion("<ApplyNo>7173_1</ApplyNo>").replace("DELETE", "CANCEL");
    assert_eq!(
        places(&refused(&text).faults),
        [("Header/Action", Rule::Code)]
    );
}

fn deletion(exam: &str) -> String {
    format!(
        "<XmlDocument><Header><License>L</License><Action>DELETE</Action></Header><Exam>{exam}</Exam></XmlDocument>"
    )
}

#[test]
fn a_field_that_stands_twice_must_say_one_thing() {
    let twice = |second: &str| {
        with(
            "<OutRegNo>001</OutRegNo>",
            &format!("<OutRegNo>001</OutRegNo>{second}"),
        )
    };
    for second in ["<OutRegNo/>", "<OutRegNo> 001 </OutRegNo>"] {
        assert_eq!(taken(&twice(second)).body.digest, taken(SAMPLE).body.digest);
    }
    let refusal = refused(&twice("<OutRegNo>002</OutRegNo>"));
    assert_eq!(
        places(&refusal.faults),
        [("Exam/OutRegNo", Rule::Consistency)]
    );
    let refusal = refused(&with(
        "</XmlDocument>",
        "<Patient><Sex>男</Sex></Patient></XmlDocument>",
    ));
    assert_eq!(places(&refusal.faults), [("Patient", Rule::Consistency)]);
    taken(&with("</XmlDocument>", "<Patient/></XmlDocument>"));
}

#[test]
fn a_document_of_something_else_is_named_by_what_it_lacks() {
    assert_eq!(
        places(&refused("<SynApplyInfo><patient/></SynApplyInfo>").faults),
        [
            ("Header", Rule::Required),
            ("Patient", Rule::Required),
            ("Exam", Rule::Required)
        ]
    );
}

#[test]
fn times_are_read_leniently_and_kept_in_one_spelling() {
    let parsed = taken(&with_all(&[
        ("<ReqTime>2026-07-04 09:30:00<", "<ReqTime>20260704093000<"),
        (
            "<ExamTime>2026-07-04 10:54:32<",
            "<ExamTime>2026/7/4T10:54:32.0<",
        ),
        ("<BirthDate>1980-01-01<", "<BirthDate>19800101<"),
        ("<Charge>153.45<", "<Charge>0153.450<"),
    ]));
    assert!(*form(&parsed) == *form(&taken(SAMPLE)));
    let dated = with("<LastMensesDate>0<", "<LastMensesDate>2026/07/01<");
    let date = form(&taken(&dated)).patient.last_menses_date;
    assert!(date.unwrap().to_string() == "2026-07-01");
}

#[test]
fn the_licence_is_read_before_all_else() {
    let root = xml::read(SAMPLE).unwrap();
    assert_eq!(
        license_of(&root).unwrap().as_str(),
        "0A1B2C3D4E5F60718293A4B5C6D7E8F9"
    );
    let without = xml::read("<a><Header><License> </License></Header></a>").unwrap();
    assert!(license_of(&without).is_none());
}
