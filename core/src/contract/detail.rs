//! `POST /v1/exam/uploadDetail`: our extension of §2.6 (R10). A declaration of counts says how many exams are missing;
//! this says which.
//!
//! A JSON array, one row an exam and study, in the style of uploadStatistics:
//! `{"hospitalCode", "examDate", "examClass", "examNo"}`, all required, and optionally `"applyNo"`, `"studyUID"`,
//! `"imageCount"` (`core/data/fields/upload_detail.tsv`). An exam with several studies has several rows. The array is
//! taken or refused as a whole, and replaces what the same hospital declared for the same date and class before.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Findings, Refused, Rule};
use super::fields::UPLOAD_DETAIL;
use super::json::Json;
use super::rows::{RowsContext, day, read, typed};
use crate::dictionaries::{ClassCode, canonical_class};
use crate::ids::{ApplyNo, ExamNo, HospitalCode, StudyUid};
use crate::time::LocalDate;

/// All exams that one message declares for a hospital, date and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredExams {
    pub hospital: HospitalCode,
    pub date: LocalDate,
    pub class: ClassCode,
    /// In the order of the message.
    pub exams: Vec<DeclaredExam>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredExam {
    pub exam_no: ExamNo,
    pub apply_no: Option<ApplyNo>,
    pub study_uid: Option<StudyUid>,
    pub image_count: Option<u32>,
}

/// Reads and checks the whole array and puts its rows together by hospital, date and class.
pub fn parse(
    bytes: &[u8],
    charset: Option<&str>,
    context: RowsContext<'_>,
) -> Result<Vec<DeclaredExams>, Box<Refused>> {
    let mut seen = HashMap::new();
    let rows = read(
        bytes,
        charset,
        &UPLOAD_DETAIL,
        context,
        |row, index, findings| {
            let row = declared(row, index, findings, context)?;
            let ((hospital, ..), exam) = &row;
            let key = (
                hospital.clone(),
                exam.exam_no.clone(),
                exam.study_uid.clone(),
            );
            match seen.insert(key, index) {
                None => Some(row),
                Some(first) => {
                    let message = format!(
                        "与第 [{first}] 行的医院、检查、Study 重复 (same hospital, exam and study as row [{first}])"
                    );
                    findings.refuse(Fault::new(format!("[{index}]"), Rule::Consistency, message));
                    None
                }
            }
        },
    )?;
    let mut groups: BTreeMap<Key, Vec<DeclaredExam>> = BTreeMap::new();
    for (key, exam) in rows {
        groups.entry(key).or_default().push(exam);
    }
    let group = |((hospital, date, class), exams)| DeclaredExams {
        hospital,
        date,
        class,
        exams,
    };
    Ok(groups.into_iter().map(group).collect())
}

type Key = (HospitalCode, LocalDate, ClassCode);

fn declared(
    row: &Json<'_>,
    index: usize,
    findings: &mut Findings,
    context: RowsContext<'_>,
) -> Option<(Key, DeclaredExam)> {
    let hospital = typed(row, index, "hospitalCode", findings, HospitalCode::new);
    let date = day(row, index, findings, context.last_day);
    let exam_no = typed(row, index, "examNo", findings, ExamNo::new);
    let apply_no = typed(row, index, "applyNo", findings, ApplyNo::new);
    let study_uid = typed(row, index, "studyUID", findings, StudyUid::new);
    let image_count = typed(row, index, "imageCount", findings, str::parse::<u32>);
    let class = canonical_class(context.aliases, row.get("examClass")?.as_text()?);
    let exam = DeclaredExam {
        exam_no: exam_no?,
        apply_no,
        study_uid,
        image_count,
    };
    Some(((hospital?, date?, class), exam))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use crate::dictionaries::ClassAliases;
    use crate::registry::Closed;

    fn parse_text(text: &str) -> Result<Vec<DeclaredExams>, Box<Refused>> {
        let last_day = LocalDate::new(2026, 7, 5).unwrap();
        let context = RowsContext {
            aliases: &ClassAliases::default(),
            last_day,
            closed: &|code| (code.as_str() == "999999").then_some(Closed::Unknown),
        };
        parse(text.as_bytes(), None, context)
    }

    fn row(exam: &str, class: &str, more: &str) -> String {
        format!(
            r#"{{"hospitalCode":"350006","examDate":"2026-07-04","examClass":"{class}","examNo":"{exam}"{more}}}"#
        )
    }

    #[test]
    fn rows_are_put_together_by_hospital_date_and_class() {
        let text = format!(
            "[{},{},{},{}]",
            row(
                "E1",
                "CT",
                r#","applyNo":"A1","studyUID":"1.2.3","imageCount":2"#
            ),
            row("E2", "DR", ""),
            row("E1", "CT", r#","studyUID":"1.2.4""#),
            row("E3", "CR", r#","applyNo":null"#),
        );
        let groups = parse_text(&text).unwrap();
        let counts: Vec<_> = groups
            .iter()
            .map(|group| (group.class.code.as_str(), group.exams.len()))
            .collect();
        assert_eq!(counts, [("CT", 2), ("X-Ray", 2)]);
        let first = &groups[0].exams[0];
        assert_eq!(first.image_count, Some(2));
        assert_eq!(
            first.study_uid.as_ref().map(StudyUid::as_str),
            Some("1.2.3")
        );
    }

    #[test]
    fn faults_are_named_with_their_row() {
        let text = format!(
            "[{0},{0},{1},{2}]",
            row("E1", "CT", ""),
            row("E2", "CT", r#","studyUID":"1.2.x","imageCount":-4"#),
            row("", "CT", "")
        );
        let refused = parse_text(&text).unwrap_err();
        let faults: Vec<_> = refused
            .faults
            .iter()
            .map(|fault| (fault.path.as_str(), fault.rule))
            .collect();
        assert_eq!(
            faults,
            [
                ("[1]", Rule::Consistency),
                ("[2].imageCount", Rule::Number),
                ("[2].studyUID", Rule::Format),
                ("[3].examNo", Rule::Required),
            ]
        );
        assert_eq!(
            refused.hospital.as_ref().map(HospitalCode::as_str),
            Some("350006")
        );
    }
}
