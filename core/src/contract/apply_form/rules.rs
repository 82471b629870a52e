//! The rules of a form that its table cannot say: which fields which patients need, and codes.

use super::super::fault::{Fault, Findings, Rule};
use super::table::{EXAM, IDENTITY, PATIENT, SAMPLE, Scope};
use super::values::Values;
use crate::dictionaries::{MENSES_STATUS, PATIENT_CLASS, canonical_class};
use crate::registry::Settings;

/// 性别: the contract names them in words.
pub(in crate::contract) const SEXES: [&str; 3] = ["男", "女", "其他"];
/// Marks that are 0 or 1.
const MARKS: [&str; 2] = ["0", "1"];
/// The dictionary's code of pathology.
const PATHOLOGY: &str = "Microscopy";

/// Why fields are needed that others need not have.
#[derive(Clone, Copy)]
enum Because {
    Outpatient,
    Inpatient,
    Identity,
    Pathology,
}

impl Because {
    fn message(self, title: &str) -> String {
        let (why_zh, why) = match self {
            Self::Outpatient => ("门诊病人", "of outpatients"),
            Self::Inpatient => ("住院病人", "of inpatients"),
            Self::Identity => (
                "证件任一项非空则三项",
                "where any of an identity's three is given",
            ),
            Self::Pathology => ("病理检查", "of pathology, in at least one sample"),
        };
        format!("{why_zh}必填“{title}”，缺失或为空，请补上 (required {why}, absent or empty)")
    }
}

/// Applies every rule to fields that the table's check has passed over.
pub(super) fn apply(findings: &mut Findings, patient: &Values, exam: &Values, settings: &Settings) {
    let mut rules = Rules { findings };
    rules.patient_class(patient, exam);
    for identity in patient.nodes("Identity") {
        let names = ["Type", "Name", "Number"];
        rules.need(Because::Identity, &IDENTITY, identity, &names);
    }
    rules.code(patient, "Sex", |code| SEXES.contains(&code));
    rules.code(patient, "MensesStatus", |code| MENSES_STATUS.contains(code));
    for mark in ["ChargeFlag", "IsCritical"] {
        rules.code(exam, mark, |code| MARKS.contains(&code));
    }
    if let Some(class) = exam.text("ExamClass") {
        let class = canonical_class(&settings.class_aliases, class);
        rules.code(exam, "ExamClass", |_| class.known);
        if class.code == PATHOLOGY {
            rules.samples(exam.nodes("Samples"));
        }
    }
}

struct Rules<'f> {
    findings: &'f mut Findings,
}

impl Rules<'_> {
    fn need(&mut self, because: Because, scope: &Scope, values: &Values, names: &[&str]) {
        for name in names {
            let path = values.path(name);
            if values.text(name).is_some() || self.findings.has_fault_at(&path) {
                continue;
            }
            let title = scope.row(name).map_or("", |row| row.title);
            let fault = Fault::new(path, Rule::Required, because.message(title));
            self.findings.refuse(fault);
        }
    }

    fn patient_class(&mut self, patient: &Values, exam: &Values) {
        let path = "Patient/PatientClass/@code";
        let Some(code) = patient.code("PatientClass") else {
            // Without the element itself the table's check has named it, and so it has a wrong code.
            if patient.text("PatientClass").is_some() && !self.findings.has_fault_at(path) {
                let message = "病人来源代码必填：IN 住院、OU 门诊、EM 急诊、PE 体检、OT 其它 (the attribute code is required: IN, OU, EM, PE or OT)";
                self.findings
                    .refuse(Fault::new(path, Rule::Required, message));
            }
            return;
        };
        match code {
            "OU" => {
                let names = ["CardNo", "OutPatientNo", "Phoneticize"];
                self.need(Because::Outpatient, &PATIENT, patient, &names);
                let names = ["OutRegNo", "PerformDept"];
                self.need(Because::Outpatient, &EXAM, exam, &names);
            }
            "IN" => self.need(Because::Inpatient, &PATIENT, patient, &["InPatientNo"]),
            _ => {}
        }
        self.known(path, code, PATIENT_CLASS.contains(code));
    }

    fn samples(&mut self, samples: &[Values]) {
        let needed = ["SampleNo", "SampleName"];
        let complete = |sample: &Values| needed.iter().all(|name| sample.text(name).is_some());
        if samples.iter().any(complete) {
            return;
        }
        let none = Values::new("Exam/Samples/SampleInfo");
        let first = samples.first().unwrap_or(&none);
        self.need(Because::Pathology, &SAMPLE, first, &needed);
    }

    fn code(&mut self, values: &Values, name: &str, known: impl Fn(&str) -> bool) {
        if let Some(code) = values.text(name) {
            self.known(&values.path(name), code, known(code));
        }
    }

    /// A code that its list lacks is kept and flagged (R5).
    fn known(&mut self, path: &str, code: &str, known: bool) {
        if known {
            return;
        }
        let found = code.chars().count();
        let message = format!(
            "代码不在字典中，已保留并标记，实为 {found} 个字符 (unknown code, kept and flagged; {found} characters)"
        );
        self.findings.warn(Fault::new(path, Rule::Code, message));
    }
}
