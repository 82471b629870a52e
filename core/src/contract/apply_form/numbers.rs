//! Whose a form is (R15): its numbers carry their hospital's ID and an underscore, or they are bare and belong to the
//! hospital that `Exam/ReqHospital/@code` names. They are split only at what is registered, so that a number that has
//! an underscore of its own is never cut.

use super::super::fault::{Fault, Findings, Rule};
use super::values::Values;
use crate::dictionaries::is_placeholder;
use crate::registry::{Hospital, Registry};

const APPLY_NO: &str = "Exam/ApplyNo";
const SICK_NO: &str = "Patient/SickNo";
const REQ_HOSPITAL: &str = "Exam/ReqHospital/@code";

/// A number with and without its hospital's prefix.
#[derive(Clone)]
pub(super) struct Number<'r> {
    pub bare: String,
    pub spelling: String,
    /// The hospital that its prefix names; none of a bare number.
    named: Option<&'r Hospital>,
}

/// What the numbers say, as far as they could be read.
pub(super) struct Numbers<'r> {
    pub hospital: Option<&'r Hospital>,
    pub apply_no: Option<Number<'r>>,
    pub sick_no: Option<Number<'r>>,
}

/// Splits both numbers and finds their hospital. Names an unknown prefix, two hospitals in one form, and a hospital that
/// nothing tells.
pub(super) fn read<'r>(
    findings: &mut Findings,
    registry: &'r Registry,
    exam: &Values,
    sick_no: Option<&str>,
) -> Numbers<'r> {
    let apply_no = split(findings, registry, APPLY_NO, exam.text("ApplyNo"));
    let sick_no = split(findings, registry, SICK_NO, sick_no);
    if let Some(number) = &apply_no
        && is_placeholder(&registry.settings.placeholder_apply_nos, &number.bare)
    {
        let message = "申请单号为占位值，申请单须有自己的号码 (a placeholder; a form needs a number of its own)";
        findings.refuse(Fault::new(APPLY_NO, Rule::Placeholder, message));
    }
    let hospital = hospital(
        findings,
        registry,
        [(&apply_no, APPLY_NO), (&sick_no, SICK_NO)],
        exam.code("ReqHospital"),
    );
    Numbers {
        hospital,
        apply_no,
        sick_no,
    }
}

/// The hospital that a prefix names, else the requesting one.
fn hospital<'r>(
    findings: &mut Findings,
    registry: &'r Registry,
    numbers: [(&Option<Number<'r>>, &str); 2],
    code: Option<&str>,
) -> Option<&'r Hospital> {
    let requesting = code.and_then(|code| hospital_by_code(registry, code));
    let read = || {
        numbers
            .iter()
            .filter_map(|(number, path)| Some((number.as_ref()?, *path)))
    };
    let Some(named) = read().find_map(|(number, _)| number.named) else {
        return match read().next() {
            Some(_) => requesting.or_else(|| untold(findings, registry, code)),
            None => requesting,
        };
    };
    // A bare number is of the requesting hospital, if that is one of ours, and else of the same as the other number.
    let differs = read().find(|(number, _)| {
        let own = number.named.or(requesting);
        own.is_some_and(|own| own.code != named.code)
    });
    if let Some((_, path)) = differs {
        let message = "申请单号与病人ID属于不同的医院：前缀须一致，无前缀的号码属于 Exam/ReqHospital/@code (ApplyNo and SickNo belong to different hospitals: prefixes must agree, and a number without one is of Exam/ReqHospital/@code)";
        findings.refuse(Fault::new(path, Rule::Consistency, message));
    }
    Some(named)
}

/// Splits a number at a registered prefix. None where there is no number, or one that is wrong.
fn split<'r>(
    findings: &mut Findings,
    registry: &'r Registry,
    path: &str,
    spelling: Option<&str>,
) -> Option<Number<'r>> {
    let spelling = spelling?;
    let (bare, named) = match spelling.split_once('_') {
        None => (spelling, None),
        // R15: the project's own code says nothing of the hospital.
        Some((prefix, rest)) if is_project(registry, prefix.trim()) => (rest.trim(), None),
        Some((prefix, rest)) => match hospital_by_number_prefix(registry, prefix.trim()) {
            Some(hospital) => (rest.trim(), Some(hospital)),
            None => {
                let message = "第一个下划线之前不是平台登记的医院ID、医院代码或 yyid00；应写作“医院ID_号码”，或不带前缀且不含下划线并在 Exam/ReqHospital/@code 写明医院 (what stands before the first underscore is no registered hospital ID, hospitalCode or yyid00: write ID_number, or a number without prefix and underscore, with the hospital in Exam/ReqHospital/@code)";
                findings.refuse(Fault::new(path, Rule::HospitalUnknown, message));
                return None;
            }
        },
    };
    if bare.is_empty() {
        let message = "前缀之后没有号码 (nothing follows the prefix)";
        findings.refuse(Fault::new(path, Rule::Required, message));
        return None;
    }
    Some(Number {
        bare: bare.to_owned(),
        spelling: spelling.to_owned(),
        named,
    })
}

/// The number's prefix names another hospital than the one whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::contract) struct OtherHospital;

/// A number without its prefix, where its hospital is known otherwise: what is no registered prefix is part of it.
pub(in crate::contract) fn of_hospital<'n>(
    registry: &Registry,
    hospital: &Hospital,
    spelling: &'n str,
) -> Result<&'n str, OtherHospital> {
    let Some((prefix, rest)) = spelling.split_once('_') else {
        return Ok(spelling);
    };
    let (prefix, rest) = (prefix.trim(), rest.trim());
    if is_project(registry, prefix) {
        return Ok(rest);
    }
    match hospital_by_number_prefix(registry, prefix) {
        None => Ok(spelling),
        Some(named) if named.code == hospital.code => Ok(rest),
        Some(_) => Err(OtherHospital),
    }
}

/// The hospital of numbers without prefix where no registered one is named: the only one that there is, if none is named
/// at all.
fn untold<'r>(
    findings: &mut Findings,
    registry: &'r Registry,
    code: Option<&str>,
) -> Option<&'r Hospital> {
    let (rule, message) = match code {
        None if registry.hospitals.len() == 1 => return registry.hospitals.values().next(),
        None => (
            Rule::Required,
            "号码没有医院ID前缀，请加前缀（医院ID_号码），或在 Exam/ReqHospital/@code 写明医院代码 (the number has no prefix: add it, ID_number, or name the hospital in Exam/ReqHospital/@code)",
        ),
        Some(_) => (
            Rule::HospitalUnknown,
            "号码没有医院ID前缀，而申请院区代码未在平台登记，请核对 (the number has no prefix, and this hospital is not registered: check the code)",
        ),
    };
    if !findings.has_fault_at(REQ_HOSPITAL) {
        findings.refuse(Fault::new(REQ_HOSPITAL, rule, message));
    }
    None
}

pub(in crate::contract) fn is_project(registry: &Registry, prefix: &str) -> bool {
    registry.settings.project_prefix.as_deref() == Some(prefix)
}

/// 医院ID first: it is what prefixes are made for.
pub(in crate::contract) fn hospital_by_number_prefix<'r>(
    registry: &'r Registry,
    prefix: &str,
) -> Option<&'r Hospital> {
    by_prefix(registry, prefix)
        .or_else(|| by_hospital_code(registry, prefix))
        .or_else(|| by_yyid00(registry, prefix))
}

fn hospital_by_code<'r>(registry: &'r Registry, code: &str) -> Option<&'r Hospital> {
    by_hospital_code(registry, code)
        .or_else(|| by_prefix(registry, code))
        .or_else(|| by_yyid00(registry, code))
}

fn by_hospital_code<'r>(registry: &'r Registry, code: &str) -> Option<&'r Hospital> {
    let mut hospitals = registry.hospitals.values();
    hospitals.find(|hospital| hospital.code.as_str() == code)
}

fn by_prefix<'r>(registry: &'r Registry, prefix: &str) -> Option<&'r Hospital> {
    let mut hospitals = registry.hospitals.values();
    hospitals.find(|hospital| hospital.prefix.as_deref() == Some(prefix))
}

fn by_yyid00<'r>(registry: &'r Registry, yyid00: &str) -> Option<&'r Hospital> {
    let mut hospitals = registry.hospitals.values();
    hospitals.find(|hospital| hospital.yyid00.as_deref() == Some(yyid00))
}
