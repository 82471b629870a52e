//! What the table cannot say: who needs which fields, and codes.

use super::*;

#[test]
fn an_outpatient_needs_five_fields_and_an_inpatient_one() {
    let without = [
        ("<CardNo>C0001<", "<CardNo><"),
        ("<OutPatientNo>O000017<", "<OutPatientNo> <"),
        ("<Phoneticize>xiaoping</Phoneticize>", ""),
        ("<OutRegNo>001<", "<OutRegNo><"),
        (
            "<PerformDept code=\"0009\">放射科</PerformDept>",
            "<PerformDept/>",
        ),
    ];
    assert_eq!(
        places(&refused(&with_all(&without)).faults),
        [
            ("Patient/CardNo", Rule::Required),
            ("Patient/OutPatientNo", Rule::Required),
            ("Patient/Phoneticize", Rule::Required),
            ("Exam/OutRegNo", Rule::Required),
            ("Exam/PerformDept", Rule::Required),
        ]
    );
    let mut inpatient = without.to_vec();
    inpatient.push((
        "<PatientClass code=\"OU\">门诊<",
        "<PatientClass code=\"IN\">住院<",
    ));
    assert_eq!(
        places(&refused(&with_all(&inpatient)).faults),
        [("Patient/InPatientNo", Rule::Required)]
    );
    inpatient.push(("<InPatientNo/>", "<InPatientNo>Z1</InPatientNo>"));
    taken(&with_all(&inpatient));
}

#[test]
fn a_patient_class_needs_code_and_name_and_an_unknown_code_is_flagged() {
    let class = "<PatientClass code=\"OU\">门诊</PatientClass>";
    for (text, faults) in [
        (
            "<PatientClass>门诊</PatientClass>",
            vec![("Patient/PatientClass/@code", Rule::Required)],
        ),
        (
            "<PatientClass code=\"OU\"/>",
            vec![("Patient/PatientClass", Rule::Required)],
        ),
        ("", vec![("Patient/PatientClass", Rule::Required)]),
    ] {
        assert_eq!(places(&refused(&with(class, text)).faults), faults);
    }
    let parsed = taken(&with(
        class,
        "<PatientClass Code=\" XX \">家庭</PatientClass>",
    ));
    assert!(form(&parsed).patient.patient_class == coded("XX", "家庭"));
    let flagged = [("Patient/PatientClass/@code", Rule::Code)];
    assert_eq!(places(&parsed.warnings), flagged);
    assert_eq!(parsed.body.warnings.len(), 1);
}

#[test]
fn codes_in_no_list_are_kept_and_flagged() {
    let parsed = taken(&with_all(&[
        ("<Sex>女<", "<Sex>F<"),
        ("<MensesStatus>0<", "<MensesStatus>9<"),
        ("<ExamClass>CT<", "<ExamClass>骨密度<"),
        ("<ChargeFlag>1<", "<ChargeFlag>2<"),
        ("<IsCritical/>", "<IsCritical>是</IsCritical>"),
    ]));
    let flagged = [
        "Patient/Sex",
        "Patient/MensesStatus",
        "Exam/ChargeFlag",
        "Exam/IsCritical",
        "Exam/ExamClass",
    ];
    assert_eq!(
        places(&parsed.warnings),
        flagged.map(|path| (path, Rule::Code))
    );
    assert!(form(&parsed).patient.sex == "F");
}

#[test]
fn an_identity_is_three_fields_or_none() {
    let identity = "<Type>ID</Type><Name>居民身份证</Name><Number>350100198001010029</Number>";
    let parsed = taken(&with(identity, "<Type/><Name> </Name>"));
    assert!(form(&parsed).patient.identity.is_none());
    assert_eq!(
        places(&refused(&with(identity, "<Number>1</Number>")).faults),
        [
            ("Patient/Identity/Type", Rule::Required),
            ("Patient/Identity/Name", Rule::Required)
        ]
    );
    let long = format!("<Number>{}</Number>", "1".repeat(21));
    assert_eq!(
        places(&refused(&with(identity, &long)).faults),
        [
            ("Patient/Identity/Number", Rule::Length),
            ("Patient/Identity/Type", Rule::Required),
            ("Patient/Identity/Name", Rule::Required)
        ]
    );
}

#[test]
fn pathology_needs_number_and_name_in_one_sample() {
    let class = ("<ExamClass>CT<", "<ExamClass>病理<");
    assert_eq!(
        places(&refused(&with_all(&[class])).faults),
        [
            ("Exam/Samples/SampleInfo/SampleNo", Rule::Required),
            ("Exam/Samples/SampleInfo/SampleName", Rule::Required)
        ]
    );
    let half = "<SampleInfo/><SampleInfo><SampleNo>01</SampleNo></SampleInfo>";
    let text = with_all(&[class, (SAMPLE_ELEMENT, half)]);
    assert_eq!(
        places(&refused(&text).faults),
        [("Exam/Samples/SampleInfo[2]/SampleName", Rule::Required)]
    );
    let one = "<SampleInfo><BarcodeNo>B</BarcodeNo></SampleInfo><SampleInfo><SampleNo>02</SampleNo><SampleName>胃</SampleName></SampleInfo>";
    let parsed = taken(&with_all(&[class, (SAMPLE_ELEMENT, one)]));
    let samples = &form(&parsed).exam.samples;
    assert!(samples.len() == 2 && samples[1].number == Some(2));
}
