//! Whose a form is: prefixes, bare numbers, deletions (R13, R15).

use super::*;

#[test]
fn a_deletion_needs_its_header_and_its_number_only() {
    let parsed = taken(&deletion("<ApplyNo>7173_00000001</ApplyNo>"));
    assert_eq!(parsed.hospital.as_str(), "350006");
    assert_eq!(parsed.action, Action::Delete);
    assert_eq!(
        (parsed.apply_no.as_str(), parsed.body.spelling.as_str()),
        ("00000001", "7173_00000001")
    );
    assert!(parsed.body.form.is_none() && parsed.body.operator.is_none());
    // Whatever else is said is not checked.
    let text = with_all(&[
        ("<Action>INSERT<", "<Action>DELETE<"),
        ("<SickNo>7173_C0001<", "<SickNo>9999_C0001<"),
        ("<ReqTime>2026-07-04 09:30:00<", "<ReqTime>today<"),
    ]);
    let parsed = taken(&text);
    assert!(parsed.body.form.is_none());
    assert!(parsed.body.operator == Some(coded("C939", "王医生")));
    assert_eq!(
        places(&refused(&deletion("")).faults),
        [("Exam/ApplyNo", Rule::Required)]
    );
    let text = "<XmlDocument><Header><Action>DELETE</Action></Header></XmlDocument>";
    assert_eq!(
        places(&refused(text).faults),
        [("Header/License", Rule::Required), ("Exam", Rule::Required)]
    );
}

#[test]
fn a_bare_number_of_a_deletion_needs_a_hospital_unless_there_is_but_one() {
    let bare = "<ApplyNo>00000001</ApplyNo>";
    let refusal = refused(&deletion(bare));
    assert_eq!(
        places(&refusal.faults),
        [("Exam/ReqHospital/@code", Rule::Required)]
    );
    assert_eq!(refusal.apply_no.as_deref(), Some("00000001"));
    let named = format!("{bare}<ReqHospital code=\"350007\"/>");
    assert_eq!(taken(&deletion(&named)).hospital.as_str(), "350007");
    let only = registry_of([hospital("350006", None, None)]);
    assert_eq!(
        parse_in(&only, &deletion(bare)).unwrap().hospital.as_str(),
        "350006"
    );
}

#[test]
fn a_prefix_is_a_hospital_id_a_hospital_code_or_yyid00() {
    for prefix in ["7174", "350007", "6930"] {
        let parsed = taken(&with_all(&[
            ("<ApplyNo>7173_", &format!("<ApplyNo>{prefix}_")),
            ("<SickNo>7173_", &format!("<SickNo>{prefix}_")),
        ]));
        assert_eq!(parsed.hospital.as_str(), "350007", "{prefix}");
        assert_eq!(parsed.apply_no, "00000001");
        assert_eq!(parsed.body.spelling, format!("{prefix}_00000001"));
        assert!(form(&parsed).patient.sick_no == "C0001");
    }
}

#[test]
fn a_number_is_split_at_its_first_underscore() {
    let parsed = taken(&with("<ApplyNo>7173_00000001", "<ApplyNo>7173_A_1_2"));
    assert_eq!(parsed.apply_no, "A_1_2");
}

#[test]
fn a_bare_number_belongs_to_the_requesting_hospital() {
    let bare = [
        ("<ApplyNo>7173_", "<ApplyNo>"),
        ("<SickNo>7173_", "<SickNo>"),
    ];
    for code in ["350007", "7174", "6930"] {
        let req = format!("<ReqHospital code=\"{code}\">");
        let parsed = taken(&with_all(&[
            bare[0],
            bare[1],
            ("<ReqHospital code=\"350006\">", &req),
        ]));
        assert_eq!(parsed.hospital.as_str(), "350007", "{code}");
        assert_eq!(parsed.body.spelling, "00000001");
        assert!(form(&parsed).sick_no_spelling == "C0001");
    }
    for (req, rule) in [
        ("<ReqHospital code=\"999\">", Rule::HospitalUnknown),
        ("<ReqHospital>", Rule::Required),
    ] {
        let text = with_all(&[bare[0], bare[1], ("<ReqHospital code=\"350006\">", req)]);
        assert_eq!(
            places(&refused(&text).faults),
            [("Exam/ReqHospital/@code", rule)]
        );
    }
}

#[test]
fn an_unknown_prefix_is_named_where_it_stands() {
    let text = with_all(&[
        ("<ApplyNo>7173_", "<ApplyNo>CT_"),
        ("<SickNo>7173_", "<SickNo>_"),
    ]);
    let refusal = refused(&text);
    assert_eq!(
        places(&refusal.faults),
        [
            ("Exam/ApplyNo", Rule::HospitalUnknown),
            ("Patient/SickNo", Rule::HospitalUnknown)
        ]
    );
    assert_eq!(refusal.hospital.as_ref().unwrap().as_str(), "350006");
    assert_eq!(refusal.apply_no.as_deref(), Some("CT_00000001"));
    let text = with("<ApplyNo>7173_00000001<", "<ApplyNo>7173_<");
    assert_eq!(
        places(&refused(&text).faults),
        [("Exam/ApplyNo", Rule::Required)]
    );
}

#[test]
fn numbers_of_two_hospitals_in_one_form_are_refused() {
    let other = (
        "<ReqHospital code=\"350006\">",
        "<ReqHospital code=\"350007\">",
    );
    for (changes, path) in [
        (vec![("<SickNo>7173_", "<SickNo>7174_")], "Patient/SickNo"),
        (vec![("<SickNo>7173_", "<SickNo>"), other], "Patient/SickNo"),
        (vec![("<ApplyNo>7173_", "<ApplyNo>"), other], "Exam/ApplyNo"),
    ] {
        let refusal = refused(&with_all(&changes));
        assert_eq!(places(&refusal.faults), [(path, Rule::Consistency)]);
    }
}

#[test]
fn one_prefix_is_enough_where_the_requesting_hospital_is_none_of_ours() {
    for req in ["<ReqHospital code=\"01\">", "<ReqHospital>"] {
        for bare in [
            ("<SickNo>7173_", "<SickNo>"),
            ("<ApplyNo>7173_", "<ApplyNo>"),
        ] {
            let parsed = taken(&with_all(&[bare, ("<ReqHospital code=\"350006\">", req)]));
            assert_eq!(parsed.hospital.as_str(), "350006");
        }
    }
    // With both prefixes another hospital may request: a county reads for a township.
    let parsed = taken(&with(
        "<ReqHospital code=\"350006\">",
        "<ReqHospital code=\"350007\">",
    ));
    assert_eq!(parsed.hospital.as_str(), "350006");
}

#[test]
fn a_number_that_stands_for_none_is_no_number_of_a_form() {
    for number in ["0", "无", "null", "7173_0", "7173_NULL", "7173_ 无"] {
        let text = with("<ApplyNo>7173_00000001<", &format!("<ApplyNo>{number}<"));
        assert_eq!(
            places(&refused(&text).faults),
            [("Exam/ApplyNo", Rule::Placeholder)],
            "{number}"
        );
    }
}
