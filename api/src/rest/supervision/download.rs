//! An answer as a file: CSV for any program (RFC 4180, UTF-8 with its mark, so that Excel reads Chinese), or a workbook.

use serde_json::{Map, Value};

use super::question::Question;
use super::sheet::{Cell, Sheet, percent};
use super::workbook::Workbook;
use crate::envelope::{Answer, Download};
use crate::error::Failure;

/// How a question is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Csv,
    Xlsx,
}

impl Format {
    pub fn of(text: &str) -> Result<Self, &'static str> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "xlsx" => Ok(Self::Xlsx),
            _ => Err("应为 json、csv 或 xlsx (must be json, csv or xlsx)"),
        }
    }
}

pub const CSV_TYPE: &str = "text/csv; charset=utf-8";
pub const XLSX_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// What stands in the first column of the last line.
const TOTAL: &str = "合计";
/// U+FEFF.
const MARK: &str = "\u{feff}";

/// Answers in the format that was asked for. `name`: of the file, without its days; `more`: what JSON tells beside lines.
pub fn answer(
    question: &Question,
    name: &str,
    sheet: &Sheet,
    more: Vec<(&str, Value)>,
) -> Result<Answer, Failure> {
    let days = question.days;
    let (content_type, ending, bytes) = match question.format {
        Format::Json => {
            let mut result = Map::new();
            result.insert("from".to_owned(), days.from.to_string().into());
            result.insert("to".to_owned(), days.to.to_string().into());
            result.extend(sheet.json());
            let more = more.into_iter();
            result.extend(more.map(|(name, value)| (name.to_owned(), value)));
            return Ok(Answer::new("成功 (done)").with_result(Value::Object(result)));
        }
        Format::Csv => (CSV_TYPE, "csv", csv(sheet).into_bytes()),
        Format::Xlsx => {
            let bytes = xlsx(sheet).map_err(|error| Failure::internal(&error))?;
            (XLSX_TYPE, "xlsx", bytes)
        }
    };
    Ok(Answer::new("成功 (done)").with_download(Download {
        content_type,
        name: format!("{name}-{}-{}.{ending}", days.from, days.to),
        bytes,
    }))
}

/// Titles, lines, and the total below its columns.
fn lines(sheet: &Sheet) -> impl Iterator<Item = Vec<Cell>> + '_ {
    let titles = sheet.columns.iter();
    let titles = titles.map(|column| Cell::Text(column.title.clone()));
    let total = sheet.total.iter().map(|total| {
        let front = sheet.columns.len().saturating_sub(total.len());
        let mut line = vec![Cell::Null; front];
        if let Some(first) = line.first_mut() {
            *first = Cell::Text(TOTAL.to_owned());
        }
        line.extend(total.iter().cloned());
        line
    });
    let lines = std::iter::once(titles.collect()).chain(sheet.lines.iter().cloned());
    lines.chain(total)
}

fn csv(sheet: &Sheet) -> String {
    let mut text = MARK.to_owned();
    for line in lines(sheet) {
        for (at, cell) in line.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&quoted(&plain(cell)));
        }
        text.push_str("\r\n");
    }
    text
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => harmless(text),
        Cell::Texts(texts) => harmless(&texts.join(" ")),
        Cell::Count(count) => count.to_string(),
        Cell::Null | Cell::Share(None) => String::new(),
        Cell::Share(Some(permille)) => format!("{:.1}", percent(*permille)),
        Cell::Flag(flag) => String::from(if *flag { "是" } else { "否" }),
    }
}

/// A cell that begins so is computed by a spreadsheet; behind an apostrophe it is text.
fn harmless(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn xlsx(sheet: &Sheet) -> std::io::Result<Vec<u8>> {
    let mut workbook = Workbook::new(sheet.title);
    for line in lines(sheet) {
        let mut row = workbook.row();
        for cell in &line {
            match cell {
                Cell::Count(count) => row.number(f64::from(*count)),
                Cell::Share(Some(permille)) => row.number(percent(*permille)),
                Cell::Null | Cell::Share(None) => row.empty(),
                // As texts: nothing in them is computed.
                Cell::Text(text) => row.text(text),
                Cell::Texts(texts) => row.text(&texts.join(" ")),
                Cell::Flag(_) => row.text(&plain(cell)),
            }
        }
    }
    workbook.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::sheet::{Column, Kind};
    use super::*;

    fn sheet() -> Sheet {
        let text = |text: &str| Cell::Text(text.to_owned());
        Sheet {
            title: "阳性率",
            columns: vec![
                Column::new("device", "设备", Kind::Text),
                Column::new("count", "数", Kind::Count),
                Column::new("rate", "率", Kind::Share),
            ],
            lines: vec![
                vec![
                    text("=cmd|' /C calc'!A0"),
                    Cell::Count(3),
                    Cell::Share(Some(667)),
                ],
                vec![text("甲,\"乙\"\n丙"), Cell::Null, Cell::Share(None)],
                vec![text("-1"), Cell::Count(0), Cell::Share(Some(1_000))],
            ],
            total: Some(vec![Cell::Count(3), Cell::Share(Some(5))]),
        }
    }

    #[test]
    fn a_csv_file_has_its_mark_quotes_and_nothing_that_a_spreadsheet_computes() {
        assert_eq!(
            csv(&sheet()),
            "\u{feff}设备,数,率\r\n'=cmd|' /C calc'!A0,3,66.7\r\n\"甲,\"\"乙\"\"\n丙\",,\r\n'-1,0,100.0\r\n合计,3,0.5\r\n"
        );
    }

    #[test]
    fn a_workbook_is_a_zip_file() {
        let bytes = xlsx(&sheet()).unwrap();
        assert_eq!(bytes.get(..4), Some(&b"PK\x03\x04"[..]));
    }
}
