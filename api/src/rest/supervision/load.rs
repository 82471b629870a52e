//! `POST /v1/statistics/load`: what devices and persons did, by the hours of the day.
//!
//! Technicians and asking doctors have codes. Of who wrote and who affirmed a report the contract has no code, so they are told
//! as they were pushed.

use serde_json::Value;
use yingku_core::supervision::group::{Dimension, OF_CONTENT, OF_EVERY_EXAM};
use yingku_core::supervision::load::{BANDS, Load, Tally};
use yingku_storage::views::Walk;

use super::super::params::{Params, text};
use super::super::schema;
use super::question::{Asked, in_bounds, request_schema as of_question};
use super::sheet::{Kind, answer_schema};
use super::{Cell, Column, Sheet, download};
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str =
    r#"{"of":"device","from":"2026-07-01","to":"2026-07-31","by":"hospital"}"#;

const OPERATION: &str = "load";

pub fn request_schema() -> Value {
    let of = (
        "of",
        true,
        schema::text(
            16,
            "谁的工作量：device 设备、modality 设备类型、technician 技师、physician 申请医生、reporter 报告医生、affirmer 审核医生 (whose load)",
        ),
    );
    of_question(&[OF_EVERY_EXAM], vec![of])
}

fn columns() -> Vec<Column> {
    let mut columns = vec![Column::new("count", "数", Kind::Count)];
    let bands = BANDS.iter();
    columns.extend(bands.map(|(_, name, title)| Column::new(*name, *title, Kind::Count)));
    columns.push(Column::new("untimed", "时间未知", Kind::Count));
    columns
}

pub fn result_schema() -> Value {
    let unknown = (
        "unknown",
        true,
        schema::integer("规则启用前归档的检查，设备与人员未知"),
    );
    answer_schema(
        &[OF_CONTENT, OF_EVERY_EXAM].concat(),
        &columns(),
        vec![unknown],
    )
}

fn cells(group: &Load) -> Vec<Cell> {
    let counts = std::iter::once(group.count).chain(group.bands);
    counts.chain([group.untimed]).map(Cell::Count).collect()
}

fn whose(text: &str) -> Result<Dimension, &'static str> {
    let mut known = OF_CONTENT.iter();
    known.find(|one| one.name() == text).copied().ok_or(
        "应为 device、modality、technician、physician、reporter 或 affirmer (must be one of these)",
    )
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, of) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &[OF_EVERY_EXAM]);
        let of = params.required("of", |params| params.parsed("of", whose));
        params.finish()?;
        (asked, of.ok_or_else(super::super::params::incomplete)?)
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let (views, registry) = (call.archive().views(), call.archive().registry());
        let mut tally = Tally::new(of, &question.by);
        views.visit_supervised(&registry, &question.hospitals, question.days, &mut |seen| {
            tally.add(seen);
            in_bounds(tally.groups())?;
            Ok(Walk::On)
        })?;
        let (groups, total, unknown) = tally.finish();
        let by = std::iter::once(of).chain(question.by.iter().copied());
        let sheet = Sheet::of_groups("工作量", by, columns(), groups, &total, cells);
        let more = vec![("unknown", unknown.into())];
        download::answer(&question, OPERATION, &sheet, more)
    })
    .await
}
