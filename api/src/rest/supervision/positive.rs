//! `POST /v1/statistics/positive`: positive rates of confirmed reports, by their own flag (abNormalFlag).

use serde_json::Value;
use yingku_core::supervision::group::{Dimension, OF_CONTENT, OF_EVERY_EXAM};
use yingku_core::supervision::positive::{Positive, Tally};
use yingku_storage::views::Walk;

use super::super::params::{Params, text};
use super::question::{Asked, in_bounds, request_schema as of_question};
use super::sheet::{Kind, answer_schema};
use super::{Cell, Column, Sheet, download};
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"from":"2026-07-01","to":"2026-07-31","by":"hospital,class"}"#;

const OPERATION: &str = "positive";

const BY: [&[Dimension]; 2] = [OF_EVERY_EXAM, OF_CONTENT];

pub fn request_schema() -> Value {
    of_question(&BY, Vec::new())
}

fn columns() -> Vec<Column> {
    let count = |name: &str, title: &str| Column::new(name, title, Kind::Count);
    vec![
        count("reports", "已确认报告"),
        count("positive", "阳性"),
        count("negative", "阴性"),
        count("unsaid", "未标阳性标识"),
        count("unknown", "规则启用前归档，标识未知"),
        Column::new("rate", "阳性率", Kind::Share),
    ]
}

pub fn result_schema() -> Value {
    answer_schema(&BY.concat(), &columns(), Vec::new())
}

fn cells(group: &Positive) -> Vec<Cell> {
    vec![
        Cell::Count(group.reports),
        Cell::Count(group.positive),
        Cell::Count(group.negative),
        Cell::Count(group.unsaid),
        Cell::Count(group.unknown),
        Cell::Share(group.rate()),
    ]
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &BY);
        params.finish()?;
        asked
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let (views, registry) = (call.archive().views(), call.archive().registry());
        let mut tally = Tally::new(&question.by);
        views.visit_supervised(&registry, &question.hospitals, question.days, &mut |seen| {
            tally.add(seen);
            in_bounds(tally.groups())?;
            Ok(Walk::On)
        })?;
        let (groups, total) = tally.finish();
        let sheet = Sheet::of_groups(
            "阳性率",
            question.by.iter().copied(),
            columns(),
            groups,
            &total,
            cells,
        );
        download::answer(&question, OPERATION, &sheet, Vec::new())
    })
    .await
}
