//! What the authority says of indexes that it was told: `index,result,reason` line by line.

use std::path::PathBuf;

use anyhow::Context;
use yingku_core::event::{AnsweredIndex, Event, IndexAnswered};
use yingku_core::national_index::{NationalIndex, REASON_LIMIT};
use yingku_storage::archive::Archive;
use yingku_storage::views::Views;

use super::super::Operator;
use super::{cells, read_text, settings, submit};
use crate::control::Output;

/// A million lines.
const FILE_LIMIT_BYTES: u64 = 256 << 20;
/// Answers of one record, some 700 bytes each at most of the log's 1 MiB.
const ANSWERS_OF_RECORD: usize = 1_000;
/// Lines that are named when they are of no index that was told.
const NAMED_LIMIT: usize = 10;

pub async fn take_answers(
    archive: &Archive,
    file: PathBuf,
    operator: &Operator,
    output: &Output,
) -> anyhow::Result<bool> {
    archive.settle().await?;
    settings(archive)?;
    let views = archive.views();
    let read = tokio::task::spawn_blocking(move || {
        let text = read_text(&file, FILE_LIMIT_BYTES)?;
        let answers = parse(&text).with_context(|| file.display().to_string())?;
        Read::of(&views, answers)
    });
    let read = read.await??;
    for answers in read.answers.chunks(ANSWERS_OF_RECORD) {
        let answers = answers.to_vec();
        submit(
            archive,
            operator,
            Event::IndexAnswered(IndexAnswered { answers }),
        )
        .await?;
    }
    let taken = read.answers.iter().filter(|it| it.is_taken).count();
    let refused = read.answers.len() - taken;
    output
        .line(format!(
            "已确认 (acknowledged): {taken}；被拒 (refused): {refused}；未报送过、不计 (never told, passed over): {}",
            read.strange
        ))
        .await?;
    if !read.named.is_empty() {
        let lines: Vec<String> = read.named.iter().map(ToString::to_string).collect();
        output
            .line(format!("不计的行 (lines passed over): {}", lines.join(" ")))
            .await?;
    }
    Ok(read.strange == 0)
}

/// Answers of what was told, and lines of what was not.
struct Read {
    answers: Vec<AnsweredIndex>,
    strange: usize,
    named: Vec<usize>,
}

impl Read {
    fn of(views: &Views, answers: Vec<(usize, AnsweredIndex)>) -> anyhow::Result<Self> {
        let mut read = Self {
            answers: Vec::with_capacity(answers.len()),
            strange: 0,
            named: Vec::new(),
        };
        for (line, answer) in answers {
            let mut is_told = false;
            for exam in views.index_holders(&answer.index)?.in_force() {
                let row = views.national_index(exam)?;
                is_told |= row.is_some_and(|row| row.is_answered_by(&answer.index));
            }
            if is_told {
                read.answers.push(answer);
                continue;
            }
            read.strange += 1;
            if read.named.len() < NAMED_LIMIT {
                read.named.push(line);
            }
        }
        Ok(read)
    }
}

/// Every line with its number; a head and empty lines are passed over. Errors tell the line, never what is in it.
fn parse(text: &str) -> anyhow::Result<Vec<(usize, AnsweredIndex)>> {
    let mut answers = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let cells = cells(line);
        let cell = |at: usize| cells.get(at).map(String::as_str).unwrap_or_default();
        let index = match NationalIndex::parse(cell(0)) {
            Ok(index) => index,
            Err(_) if at == 1 && !cell(0).contains('-') => continue,
            Err(error) => return Err(error).context(format!("第 {at} 行 (line {at})")),
        };
        let is_taken = match cell(1).to_lowercase().as_str() {
            "acknowledged" | "accepted" | "成功" | "已确认" => true,
            "refused" | "rejected" | "失败" | "被拒" => false,
            _ => anyhow::bail!(
                "第 {at} 行：结果应为 acknowledged（成功）或 refused（失败） (line {at}: the result must be acknowledged or refused)"
            ),
        };
        let reason = cell(2).chars().filter(|c| !c.is_control());
        let reason: String = reason.take(REASON_LIMIT).collect();
        anyhow::ensure!(
            is_taken || !reason.is_empty(),
            "第 {at} 行：被拒须有原因 (line {at}: a refusal needs its reason)"
        );
        answers.push((
            at,
            AnsweredIndex {
                index,
                is_taken,
                reason: if is_taken { String::new() } else { reason },
            },
        ));
    }
    anyhow::ensure!(
        !answers.is_empty(),
        "没有一行回执 (there is no answer in it)"
    );
    Ok(answers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const INDEX: &str =
        "10000000000000000708463177-202411221430-000000000-0000000000000-123502004266007916";

    #[test]
    fn answers_may_have_a_head_and_quotes_and_what_is_wrong_is_named_by_its_line() {
        let text = format!(
            "index,result,reason\n{INDEX},成功\n\n{INDEX},refused,\"无此人, 请\"\"核对\"\"\"\n"
        );
        let answers = parse(&text).unwrap();
        assert_eq!((answers[0].0, answers[0].1.is_taken), (2, true));
        assert_eq!(answers[1].1.reason, "无此人, 请\"核对\"");
        for wrong in [
            format!("index\n{INDEX},maybe"),
            format!("index\n{INDEX},refused"),
            "index\n1-2,成功".to_owned(),
        ] {
            let error = format!("{:#}", parse(&wrong).unwrap_err());
            assert!(
                error.contains("line 2") && !error.contains("708463"),
                "{error}"
            );
        }
        assert!(parse("index,result\n").is_err());
    }
}
