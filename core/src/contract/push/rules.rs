//! The rules of a push that the field table cannot say: codes, identity (R7), pathology, placeholders (R10).

use super::super::check::Check;
use super::super::fault::{Fault, Rule};
use super::super::fields::MARITAL_UNKNOWN;
use super::super::json::Json;
use super::super::policy::Mode;
use super::{ExamStatus, Flags, PushContext};
use crate::dictionaries::{self, Dictionary, canonical_class, is_placeholder};
use crate::ids::{ApplyNo, ExamNo, HospitalCode, IdError, StudyUid};

/// 患者来源, 性别: the contract names them in words.
const SOURCES: &[&str] = &["门诊", "急诊", "住院", "体检", "其他"];
const SEXES: &[&str] = &["男", "女", "其他"];
/// Marks that are 0 or 1.
const MARKS: &[&str] = &["0", "1"];
/// The six fields that pathology needs (§2.3), all in examInfo.
const SPECIMEN_FIELDS: [&str; 6] = [
    "specimenNumber",
    "specimenCategory",
    "sampleTime",
    "specimenReceiveTime",
    "sampleFixativeName",
    "specimenStatus",
];
/// The dictionary's code of pathology.
const PATHOLOGY: &str = "Microscopy";

/// Applies every rule to a value that the table's check has passed over. Known arrays still hold null items.
pub(super) fn apply(check: &mut Check<'_>, push: &Json<'_>, context: PushContext<'_>) -> Flags {
    let mut rules = Rules {
        check,
        flags: Flags::default(),
    };
    let nothing = Json::Null;
    let patient = push.get("patientInfo").unwrap_or(&nothing);
    let exam = push.get("examInfo").unwrap_or(&nothing);
    rules.identifier(push, "", "hospitalCode", |text| {
        HospitalCode::new(text).err()
    });
    rules.identifier(push, "", "examNo", |text| ExamNo::new(text).err());
    rules.identifier(exam, "examInfo", "applyNo", |text| ApplyNo::new(text).err());
    rules.patient(patient);
    rules.exam(exam, context);
    rules.reports(push);
    rules.images(push, exam);
    if rules.check.length_warned {
        rules.flags.insert(Flags::LENGTH);
    }
    rules.flags
}

struct Rules<'r, 'p> {
    check: &'r mut Check<'p>,
    flags: Flags,
}

fn text<'j>(object: &'j Json<'_>, key: &str) -> Option<&'j str> {
    object.get(key)?.as_text()
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

impl Rules<'_, '_> {
    fn identifier(
        &mut self,
        object: &Json<'_>,
        parent: &str,
        key: &str,
        wrong: fn(&str) -> Option<IdError>,
    ) {
        let Some(value) = text(object, key) else {
            return;
        };
        let path = join(parent, key);
        match wrong(value) {
            Some(IdError::Character { .. }) => {
                let message = if key == "studyUID" {
                    "UID 只能由数字和点组成 (a UID holds only digits and dots)"
                } else {
                    "含有控制字符，请去除 (holds a control character)"
                };
                self.check
                    .findings
                    .refuse(Fault::new(path, Rule::Format, message));
            }
            // Nothing can be kept under a number that is too long, even where length rules only warn.
            Some(IdError::TooLong { limit, found, .. })
                if !self.check.findings.has_fault_at(&path) =>
            {
                let message = format!(
                    "超长：编号最多 {limit} 个字符，实为 {found} 个，请缩短 (at most {limit} characters, found {found})"
                );
                self.check
                    .findings
                    .refuse(Fault::new(path, Rule::Length, message).with_limit(limit));
            }
            _ => {}
        }
    }

    /// A code that its list lacks is kept and flagged (R5).
    fn code(
        &mut self,
        object: &Json<'_>,
        parent: &str,
        key: &str,
        known: impl Fn(&str) -> bool,
        flag: Flags,
    ) {
        let Some(value) = text(object, key) else {
            return;
        };
        if known(value) {
            return;
        }
        let path = join(parent, key);
        if self.check.findings.has_fault_at(&path) {
            return;
        }
        let found = value.chars().count();
        let message = format!(
            "代码不在字典中，已保留并标记，实为 {found} 个字符 (unknown code, kept and flagged; {found} characters)"
        );
        self.flags.insert(flag);
        self.check
            .findings
            .warn(Fault::new(path, Rule::Code, message));
    }

    fn patient(&mut self, patient: &Json<'_>) {
        let at = "patientInfo";
        self.code(
            patient,
            at,
            "sex",
            |code| SEXES.contains(&code),
            Flags::UNKNOWN_SEX,
        );
        self.code(
            patient,
            at,
            "patientSource",
            |code| SOURCES.contains(&code),
            Flags::UNKNOWN_SOURCE,
        );
        self.code(
            patient,
            at,
            "chargeType",
            in_table(&dictionaries::CHARGE_TYPE),
            Flags::UNKNOWN_CHARGE_TYPE,
        );
        self.code(
            patient,
            at,
            "maritalStatus",
            |code| code == MARITAL_UNKNOWN || dictionaries::MARITAL_STATUS.contains(code),
            Flags::UNKNOWN_OTHER_CODE,
        );
        let identities = patient.get("identity").map(Json::items).unwrap_or_default();
        for (i, identity) in identities.iter().enumerate() {
            let at = format!("patientInfo.identity[{i}]");
            self.code(
                identity,
                &at,
                "idType",
                in_table(&dictionaries::ID_TYPE),
                Flags::UNKNOWN_OTHER_CODE,
            );
        }
    }

    fn exam(&mut self, exam: &Json<'_>, context: PushContext<'_>) {
        let at = "examInfo";
        self.status(exam);
        self.code(
            exam,
            at,
            "chargeFlag",
            |code| MARKS.contains(&code),
            Flags::UNKNOWN_OTHER_CODE,
        );
        self.code(
            exam,
            at,
            "specimenCategory",
            in_table(&dictionaries::SPECIMEN_CATEGORY),
            Flags::UNKNOWN_OTHER_CODE,
        );
        if let Some(class) = text(exam, "examClass") {
            let class = canonical_class(context.aliases, class);
            self.code(exam, at, "examClass", |_| class.known, Flags::UNKNOWN_CLASS);
            if class.code == PATHOLOGY {
                self.pathology(exam, context.policy.pathology);
            }
        }
        if text(exam, "applyNo").is_some_and(|number| is_placeholder(context.placeholders, number))
        {
            let message = "申请单号为占位值，已接收但不关联申请单、不计入统计 (a placeholder; taken, never joined, not counted)";
            self.flags.insert(Flags::PLACEHOLDER_APPLY_NO);
            self.check
                .findings
                .warn(Fault::new("examInfo.applyNo", Rule::Placeholder, message));
        }
    }

    fn status(&mut self, exam: &Json<'_>) {
        let path = "examInfo.examStatus";
        let Some(code) = text(exam, "examStatus") else {
            return;
        };
        if ExamStatus::from_code(code).is_none() && !self.check.findings.has_fault_at(path) {
            let found = code.chars().count();
            let message = format!(
                "检查状态只能为 50 收到影像、60 初步报告、65 审核退回、70 确认报告，实为 {found} 个字符的其他内容 (must be 50, 60, 65 or 70; found something else, {found} characters)"
            );
            self.check
                .findings
                .refuse(Fault::new(path, Rule::Code, message).with_limit("50/60/65/70"));
        }
    }

    fn pathology(&mut self, exam: &Json<'_>, mode: Mode) {
        for key in SPECIMEN_FIELDS {
            let path = join("examInfo", key);
            if exam.get(key).is_some() || self.check.findings.has_fault_at(&path) {
                continue;
            }
            let message =
                "病理检查必填，缺失或为空，请补上 (required for pathology, absent or empty)";
            let fault = Fault::new(path, Rule::Required, message);
            match mode {
                Mode::Refuse => self.check.findings.refuse(fault),
                Mode::Warn => {
                    self.flags.insert(Flags::PATHOLOGY_INCOMPLETE);
                    self.check.findings.warn(fault);
                }
            }
        }
    }

    fn reports(&mut self, push: &Json<'_>) {
        for (i, report) in push
            .get("reportList")
            .map(Json::items)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let at = format!("reportList[{i}]");
            self.code(
                report,
                &at,
                "abNormalFlag",
                |code| MARKS.contains(&code),
                Flags::UNKNOWN_OTHER_CODE,
            );
        }
    }

    fn images(&mut self, push: &Json<'_>, exam: &Json<'_>) {
        let number = text(exam, "patientID");
        for (i, image) in push
            .get("imageList")
            .map(Json::items)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let at = format!("imageList[{i}]");
            self.identifier(image, &at, "studyUID", |text| StudyUid::new(text).err());
            if text(image, "studyUID").is_some_and(has_odd_component) {
                let message = "UID 有空的分段或以 0 开头的分段，不合 DICOM (PS3.5 §9)，已接收；影像须带同样的 UID (a component is empty or begins with 0; taken, and images must bring the same UID)";
                self.check
                    .findings
                    .warn(Fault::new(join(&at, "studyUID"), Rule::Format, message));
            }
            let differs = matches!((text(image, "patientID"), number), (Some(here), Some(there)) if here != there);
            if differs {
                let message = "与 examInfo.patientID（检查号）不一致，两者必须相同 (differs from examInfo.patientID; they must be equal)";
                self.check.findings.refuse(Fault::new(
                    join(&at, "patientID"),
                    Rule::Consistency,
                    message,
                ));
            }
        }
    }
}

/// Against PS3.5 §9, and made by old modalities all the same.
fn has_odd_component(uid: &str) -> bool {
    let odd = |part: &str| part.is_empty() || (part.len() > 1 && part.starts_with('0'));
    uid.split('.').any(odd)
}

fn in_table(table: &'static Dictionary) -> impl Fn(&str) -> bool {
    |code| table.contains(code)
}
