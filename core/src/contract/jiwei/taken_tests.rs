//! Rows of 基卫 that become forms of the archive, and those that cannot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::told::ToldForm;
use super::*;
use crate::apply_form::FormSource;
use crate::apply_form::progress::FormState;
use crate::contract::Rule;
use crate::ids::HospitalCode;
use crate::registry::{Hospital, Registry};

fn registry() -> Registry {
    let mut registry = Registry::default();
    for text in [
        r#"{"code":"350006","name":"甲","prefix":"7173","yyid00":"6930"}"#,
        r#"{"code":"350007","name":"乙","prefix":"7174","yyid00":"6931"}"#,
    ] {
        let hospital: Hospital = serde_json::from_str(text).unwrap();
        registry.hospitals.insert(hospital.code.clone(), hospital);
    }
    registry.settings.project_prefix = Some("3500".into());
    registry
}

fn asked() -> ApplyQuery {
    ApplyQuery {
        medicare_code: "C0001".into(),
        yyid00: "6930".into(),
        business_type: BusinessType::Outpatient,
        kind: ApplyKind::Imaging,
    }
}

/// The contract's sample row, with some of its fields otherwise.
fn row(change: impl FnOnce(&mut JiweiForm)) -> JiweiForm {
    let mut form = JiweiForm {
        apply_code: Some("00000001".into()),
        fkey: Some("brid00".into()),
        rep_code: Some("B0007".into()),
        medicare_code: Some("C0001".into()),
        clinic_code: Some("O000017".into()),
        name: Some("肖萍".into()),
        gender: Some("女".into()),
        birthday: Some("1980-01-01".into()),
        age: Some("46岁".into()),
        address: Some("福州".into()),
        tel: Some("13800000000".into()),
        id_card: Some("350100198001010029".into()),
        doctor_code: Some("C939".into()),
        doctor: Some("王医生".into()),
        department_code: Some("10".into()),
        department: Some("全科".into()),
        diagnosis: Some("待查".into()),
        project_code: Some("001".into()),
        project: Some("胸部CT平扫".into()),
        apply_date: Some("2026-07-04".into()),
        check_department_code: Some("20".into()),
        check_department: Some("放射科".into()),
        reg_state: Some("0".into()),
        exe_date: Some("2026-07-04 10:54:32".into()),
        yyid00: Some("6930".into()),
        business_type: Some("1".into()),
        kind: Some("2".into()),
    };
    change(&mut form);
    form
}

fn taken(rows: &[JiweiForm]) -> Vec<Result<TakenForm, RefusedForm>> {
    let registry = registry();
    let hospital = &registry.hospitals[&HospitalCode::new("350006").unwrap()];
    let context = TakeContext {
        registry: &registry,
        hospital,
        asked: &asked(),
    };
    take(rows, context)
}

fn one(row: JiweiForm) -> TakenForm {
    let mut taken = taken(&[row]);
    assert_eq!(taken.len(), 1);
    taken.remove(0).map_err(|it| it.fault).unwrap()
}

fn refused(row: JiweiForm) -> (String, Rule) {
    let fault = taken(&[row]).remove(0).err().unwrap().fault;
    (fault.path, fault.rule)
}

fn warned(taken: &TakenForm) -> Vec<(&str, Rule)> {
    let warnings = taken.warnings.iter();
    warnings.map(|it| (it.path.as_str(), it.rule)).collect()
}

#[test]
fn a_whole_row_is_taken_without_a_warning_and_told_again_as_it_came() {
    let came = row(|_| {});
    let form = one(came.clone());
    assert_eq!(warned(&form), []);
    assert_eq!(form.body.warnings.len(), 0);
    let content = form.body.form.as_ref().unwrap();
    assert_eq!(content.exam.exam_class, "");
    assert_eq!(content.exam.priority_order, "");
    let told = JiweiForm::of_archive(&ToldForm {
        form: content,
        apply_no: &form.body.apply_no,
        source: FormSource::Jiwei,
        state: FormState::Received,
        exam_time: None,
        kind: ApplyKind::Imaging,
        asked: &asked(),
    });
    assert!(told == came);
}

#[test]
fn a_row_with_nothing_but_a_number_and_a_name_is_taken_and_flagged() {
    let form = one(JiweiForm {
        apply_code: Some("1".into()),
        name: Some("无名氏".into()),
        ..JiweiForm::default()
    });
    let content = form.body.form.as_ref().unwrap();
    assert!(content.patient.birth_date.is_none() && content.exam.req_time.is_none());
    assert_eq!(content.patient.card_no.as_deref(), Some("C0001"));
    assert_eq!(content.patient.patient_class.code.as_deref(), Some("OU"));
    assert!(content.patient.sex.is_empty() && content.exam.items.is_empty());
    let names: Vec<_> = warned(&form).into_iter().map(|(path, _)| path).collect();
    for name in [
        "idcard",
        "applydocname",
        "type",
        "fkey",
        "gender",
        "birthday",
        "applydate",
        "checkproject",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    // and it survives the log
    let bytes = postcard::to_stdvec(&form.body).unwrap();
    assert!(
        postcard::from_bytes::<crate::contract::apply_form::ApplyFormBody>(&bytes).unwrap()
            == form.body
    );
}

#[test]
fn a_day_of_birth_is_read_of_a_resident_s_number_that_is_right_and_of_no_other() {
    let born = |id_card: &str| {
        let form = one(row(|row| {
            row.birthday = None;
            row.id_card = Some(id_card.into());
        }));
        let born = form.body.form.unwrap().patient.birth_date;
        born.map(|date| date.to_string())
    };
    // GB 11643's own example
    assert_eq!(born("11010519491231002X").as_deref(), Some("1949-12-31"));
    assert_eq!(born("11010519491231002x").as_deref(), Some("1949-12-31"));
    for wrong in [
        "110105194912310021",
        "11010519491331002X",
        "110105491231002",
        "E12345678",
    ] {
        assert_eq!(born(wrong), None, "{wrong}");
    }
}

#[test]
fn dates_that_are_none_are_left_out_and_flagged() {
    let form = one(row(|row| {
        row.birthday = Some("八零年".into());
        row.id_card = None;
        row.apply_date = Some("昨天".into());
        row.exe_date = Some("2026-13-45".into());
    }));
    let found = warned(&form);
    for path in ["birthday", "applydate", "exedate"] {
        assert!(found.contains(&(path, Rule::Format)), "{found:?}");
    }
    let form = one(row(|row| {
        row.birthday = Some("1980-01-01 08:00:00".into());
        row.apply_date = Some("20260704103000".into());
    }));
    assert_eq!(warned(&form), []);
}

#[test]
fn rows_of_one_number_are_one_form_with_several_items() {
    let rows = [
        row(|_| {}),
        row(|row| row.apply_code = Some("2".into())),
        row(|row| {
            row.project_code = Some("002".into());
            row.project = Some("头颅CT平扫".into());
            row.reg_state = Some("1".into());
        }),
        row(|_| {}),
    ];
    let forms = taken(&rows);
    assert_eq!(forms.len(), 2);
    let first = forms[0].as_ref().map_err(|it| &it.fault).unwrap();
    assert_eq!(warned(first), []);
    let items = &first.body.form.as_ref().unwrap().exam.items;
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["胸部CT平扫", "头颅CT平扫"]);
    // Rows that differ in more are told so, and of two patients none is taken
    let other_doctor = [row(|_| {}), row(|row| row.doctor = Some("李医生".into()))];
    let form = taken(&other_doctor)
        .remove(0)
        .map_err(|it| it.fault)
        .unwrap();
    assert_eq!(warned(&form), [("applycode", Rule::Consistency)]);
    let other_patient = [
        row(|_| {}),
        row(|row| {
            row.fkey = Some("other".into());
            row.name = Some("李四".into());
        }),
    ];
    let refused = taken(&other_patient).remove(0).err().unwrap();
    assert_eq!(refused.fault.rule, Rule::Consistency);
    assert_eq!(refused.spelling, "00000001");
}

#[test]
fn a_state_that_changes_at_the_other_side_is_no_other_content() {
    let digest = |state: &str| {
        one(row(|row| row.reg_state = Some(state.into())))
            .body
            .digest
    };
    assert_eq!(digest("0"), digest("1"));
    let other = one(row(|row| row.diagnosis = Some("肺炎".into())));
    assert_ne!(digest("0"), other.body.digest);
}

#[test]
fn numbers_lose_a_prefix_of_their_hospital_only() {
    let number = |text: &str| {
        let form = one(row(|row| row.apply_code = Some(text.into())));
        assert_eq!(form.body.spelling, text);
        form.body.apply_no
    };
    for text in ["7173_1", "6930_1", "350006_1", "3500_1", "1"] {
        assert_eq!(number(text), "1", "{text}");
    }
    assert_eq!(number("CT_1"), "CT_1");
    let refused_with = |text: &str| refused(row(|row| row.apply_code = Some(text.into())));
    let at = |rule| ("applycode".to_owned(), rule);
    assert_eq!(refused_with("7174_1"), at(Rule::Consistency));
    assert_eq!(refused_with("无"), at(Rule::Placeholder));
    assert_eq!(refused_with("7173_0"), at(Rule::Placeholder));
    assert_eq!(refused_with(&"7".repeat(65)), at(Rule::Length));
    assert_eq!(refused_with("1\n2"), at(Rule::Format));
    let absent = refused(row(|row| row.apply_code = None));
    assert_eq!(absent, at(Rule::Placeholder));
}

#[test]
fn a_row_of_another_hospital_or_of_nobody_is_refused() {
    let refused_at = |change: fn(&mut JiweiForm)| refused(row(change)).0;
    assert_eq!(refused_at(|row| row.yyid00 = Some("6931".into())), "yyid00");
    assert_eq!(refused_at(|row| row.yyid00 = Some("9".into())), "yyid00");
    assert_eq!(refused_at(|row| row.fkey = Some("7174_1".into())), "fkey");
    assert_eq!(
        refused_at(|row| row.id_card = Some("7".repeat(65))),
        "idcard"
    );
    let nobody = |row: &mut JiweiForm| {
        row.fkey = None;
        row.rep_code = None;
        row.name = None;
    };
    assert_eq!(refused_at(nobody), "fkey");
    // the hospital by another of its codes is the same
    assert!(taken(&[row(|row| row.yyid00 = Some("7173".into()))])[0].is_ok());
}

#[test]
fn what_is_otherwise_than_asked_is_kept_and_flagged() {
    let form = one(row(|row| {
        row.medicare_code = Some("C0002".into());
        row.business_type = Some("2".into());
        row.kind = Some("1".into());
        row.gender = Some("2".into());
    }));
    let content = form.body.form.as_ref().unwrap();
    assert_eq!(content.exam.exam_class, "ECG");
    assert_eq!(content.patient.in_patient_no.as_deref(), Some("O000017"));
    assert_eq!(content.patient.out_patient_no, None);
    let found = warned(&form);
    for path in ["medicarecode", "businesstype", "type"] {
        assert!(found.contains(&(path, Rule::Consistency)), "{found:?}");
    }
    assert!(found.contains(&("gender", Rule::Code)), "{found:?}");
    assert_eq!(form.body.warnings.len(), found.len());
}
