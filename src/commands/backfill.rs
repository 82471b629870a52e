//! `yingku backfill …`: the images of a hospital's past exams.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use yingku_core::ids::{ExamNo, HospitalCode};

use super::{Place, hospital};
use crate::operate::{Operation, Past};

/// Lines of a file of exam numbers.
const LINES_LIMIT: usize = 20_000;

#[derive(Debug, Args)]
pub struct Backfill {
    /// 有网关的医院 (a hospital with a gateway)
    #[arg(value_parser = hospital, value_name = "医院代码")]
    hospital: HospitalCode,
    /// 检查日期，首日 (first day) YYYY-MM-DD
    #[arg(
        long,
        value_name = "日期",
        requires = "to",
        required_unless_present = "csv"
    )]
    from: Option<String>,
    /// 末日，含 (last day, inclusive)
    #[arg(long, value_name = "日期", requires = "from")]
    to: Option<String>,
    /// 每行一个检查流水号，取首列 (a file of exam numbers, the first column)
    #[arg(long, value_name = "文件", conflicts_with_all = ["from", "to"])]
    csv: Option<PathBuf>,
    /// 只列出，不补取 (say what would be, change nothing)
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

impl Backfill {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let past = match (&self.csv, self.from, self.to) {
            (Some(file), ..) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("{} 读不到 (cannot be read)", file.display()))?;
                Past::Named(numbers(&text).with_context(|| file.display().to_string())?)
            }
            (None, Some(from), Some(to)) => Past::Days { from, to },
            (None, ..) => {
                anyhow::bail!("须给出 --from 与 --to，或 --csv (give --from and --to, or --csv)")
            }
        };
        let operation = Operation::Backfill {
            hospital: self.hospital,
            past,
            dry_run: self.dry_run,
        };
        self.place.run(operation).await
    }
}

/// Exam numbers of a file's first column; a head and empty lines are passed over.
fn numbers(text: &str) -> anyhow::Result<Vec<String>> {
    let mut numbers = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines();
    for (line, at) in lines.zip(1..) {
        let first = line.split([',', '\t', ';']).next().unwrap_or_default();
        let number = first.trim().trim_matches('"');
        let is_head = at == 1 && matches!(number, "examNo" | "流水号" | "检查流水号");
        if number.is_empty() || is_head {
            continue;
        }
        ExamNo::new(number).with_context(|| format!("第 {at} 行 (line {at})"))?;
        numbers.push(number.to_owned());
    }
    anyhow::ensure!(
        (1..=LINES_LIMIT).contains(&numbers.len()),
        "须有 1 至 {LINES_LIMIT} 个流水号，有 {} 个 (must name 1 to {LINES_LIMIT} exams)",
        numbers.len()
    );
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_exam_numbers_may_have_a_head_and_more_columns() {
        let text = "\u{feff}examNo,date\nE1,2026-07-04\n\n\"E2\"\tx\nE3\n";
        assert_eq!(numbers(text).unwrap(), ["E1", "E2", "E3"]);
        assert!(numbers("examNo\n").is_err());
        let wrong = numbers(&format!("E1\n{}\n", "9".repeat(300))).unwrap_err();
        assert!(format!("{wrong:#}").contains("line 2"), "{wrong:#}");
    }
}
