//! `POST /v1/exam/uploadStatistics` (§2.6): how many exams a hospital should have uploaded, by date and class.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Findings, Refused, Rule};
use super::fields::UPLOAD_STATISTICS;
use super::json::Json;
use super::rows::{RowsContext, day, read, typed};
use crate::dictionaries::{ClassCode, canonical_class};
use crate::ids::HospitalCode;
use crate::time::LocalDate;

/// One row of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredCount {
    pub hospital: HospitalCode,
    pub date: LocalDate,
    /// As the hospital wrote it. Two spellings of one class (DR, CR) are two rows, and their counts add up.
    pub class_text: String,
    /// As classes are compared, by the aliases of the moment.
    pub class: ClassCode,
    /// 应上传检查数: exams with a real apply-form number and a finished report, 0 to 9999.
    pub count: u16,
}

/// Reads and checks the whole array; one fault refuses all of it (R5).
pub fn parse(
    bytes: &[u8],
    charset: Option<&str>,
    context: RowsContext<'_>,
) -> Result<Vec<DeclaredCount>, Box<Refused>> {
    let mut seen = HashMap::new();
    read(
        bytes,
        charset,
        &UPLOAD_STATISTICS,
        context,
        |row, index, findings| {
            let row = declared(row, index, findings, context)?;
            let key = (row.hospital.clone(), row.date, row.class_text.clone());
            match seen.insert(key, index) {
                None => Some(row),
                Some(first) => {
                    let message = format!(
                        "与第 [{first}] 行的医院、日期、检查类别重复，请合并 (same hospital, date and class as row [{first}])"
                    );
                    findings.refuse(Fault::new(format!("[{index}]"), Rule::Consistency, message));
                    None
                }
            }
        },
    )
}

fn declared(
    row: &Json<'_>,
    index: usize,
    findings: &mut Findings,
    context: RowsContext<'_>,
) -> Option<DeclaredCount> {
    let hospital = typed(row, index, "hospitalCode", findings, HospitalCode::new);
    let date = day(row, index, findings, context.last_day);
    let count = typed(row, index, "accordCount", findings, str::parse::<u16>);
    let class_text = row.get("examClass")?.as_text()?.to_owned();
    let class = canonical_class(context.aliases, &class_text);
    Some(DeclaredCount {
        hospital: hospital?,
        date: date?,
        class_text,
        class,
        count: count?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use crate::dictionaries::ClassAliases;
    use crate::registry::Closed;

    const SAMPLE: &[u8] = include_bytes!("../../../tests/fixtures/contract/upload_statistics.json");

    fn parse_text(text: &str) -> Result<Vec<DeclaredCount>, Box<Refused>> {
        parse_bytes(text.as_bytes())
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Vec<DeclaredCount>, Box<Refused>> {
        let last_day = LocalDate::new(2026, 7, 5).unwrap();
        let context = RowsContext {
            aliases: &ClassAliases::default(),
            last_day,
            closed: &|code| (code.as_str() == "999999").then_some(Closed::Unknown),
        };
        parse(bytes, None, context)
    }

    fn row(date: &str, class: &str, count: &str) -> String {
        format!(
            r#"{{"hospitalCode":"350006","examDate":"{date}","examClass":"{class}","accordCount":{count}}}"#
        )
    }

    fn faults(text: &str) -> Vec<(String, Rule)> {
        let refused = parse_text(text).expect_err("faults");
        refused
            .faults
            .into_iter()
            .map(|fault| (fault.path, fault.rule))
            .collect()
    }

    #[test]
    fn the_sample_parses_as_it_stands() {
        let rows = parse_bytes(SAMPLE).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].count, rows[0].class.code.as_str()), (55, "CT"));
        assert_eq!(rows[1].hospital.as_str(), "350007");
        assert_eq!(rows[1].date.to_string(), "2026-07-04");
    }

    #[test]
    fn a_single_object_and_numbers_are_taken() {
        let rows = parse_text(&row("20260704", "放射", "0")).unwrap();
        assert_eq!((rows[0].count, rows[0].class.code.as_str()), (0, "X-Ray"));
    }

    #[test]
    fn every_fault_is_named_with_its_row() {
        let text = format!(
            "[{},{},7,{},{}]",
            row("2026-07-04", "CT", "1"),
            row("2026-02-30", "CT", "-1"),
            row("2026-07-04", "", "10000"),
            r#"{"hospitalCode":"","examDate":[],"examClass":"MR","accordCount":"many"}"#
        );
        assert_eq!(
            faults(&text),
            [
                ("[1].examDate".to_owned(), Rule::Format),
                ("[1].accordCount".to_owned(), Rule::Number),
                ("[2]".to_owned(), Rule::Type),
                ("[3].accordCount".to_owned(), Rule::Length),
                ("[3].examClass".to_owned(), Rule::Required),
                ("[4].examDate".to_owned(), Rule::Type),
                ("[4].accordCount".to_owned(), Rule::Number),
                ("[4].hospitalCode".to_owned(), Rule::Required),
            ]
        );
    }

    #[test]
    fn a_day_that_is_to_come_is_refused() {
        assert!(parse_text(&row("2026-07-05", "CT", "1")).is_ok());
        for day in ["2026-07-06", "2099-07-04"] {
            let expected = [("[0].examDate".to_owned(), Rule::Consistency)];
            assert_eq!(faults(&row(day, "CT", "1")), expected);
        }
    }

    #[test]
    fn a_repeated_row_refuses_the_array_and_two_spellings_do_not() {
        let twice = format!("[{0},{0}]", row("2026-07-04", "CT", "1"));
        assert_eq!(faults(&twice), [("[1]".to_owned(), Rule::Consistency)]);
        let both = format!(
            "[{},{}]",
            row("2026-07-04", "DR", "1"),
            row("2026-07-04", "CR", "2")
        );
        assert_eq!(parse_text(&both).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_array_of_rows_is_refused() {
        assert_eq!(faults("[]"), [(String::new(), Rule::Required)]);
        assert_eq!(faults("\"x\""), [(String::new(), Rule::Type)]);
        assert_eq!(faults("[{"), [(String::new(), Rule::Json)]);
    }

    #[test]
    fn every_hospital_that_may_not_declare_is_named_with_all_else() {
        let unknown = |class| row("2026-07-04", class, "5").replace("350006", "999999");
        let text = format!(
            "[{},{},{},{}]",
            unknown("CT"),
            row("2026-07-04", "CT", "-1"),
            unknown("MR"),
            row("2026-07-04", "MR", "5"),
        );
        assert_eq!(
            faults(&text),
            [
                ("[0].hospitalCode".to_owned(), Rule::HospitalUnknown),
                ("[1].accordCount".to_owned(), Rule::Number),
                ("[2].hospitalCode".to_owned(), Rule::HospitalUnknown),
            ]
        );
    }
}
