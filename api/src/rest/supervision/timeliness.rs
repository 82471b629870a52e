//! `POST /v1/statistics/timeliness`: how long it takes from form to exam, push, images and report.

use serde_json::{Value, json};
use yingku_core::supervision::group::OF_EVERY_EXAM;
use yingku_core::supervision::timeliness::{Limits, NAMED_LIMIT, Named, Step, Tally, Timeliness};
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
    r#"{"from":"2026-07-01","to":"2026-07-31","by":"hospital","examToReportWithin":1440}"#;

const OPERATION: &str = "timeliness";

/// The longest limit: a year in minutes.
const LIMIT_MINUTES: u64 = 366 * 24 * 60;

fn within(step: Step) -> String {
    format!("{}Within", step.name())
}

pub fn request_schema() -> Value {
    let names = Step::ALL.map(within);
    let schemas = Step::ALL.map(|step| {
        let words = format!(
            "{}的时限，分钟；缺省 {} (minutes that are well)",
            step.title(),
            step.limit()
        );
        schema::number(0..=LIMIT_MINUTES, &words)
    });
    let mut schema = of_question(&[OF_EVERY_EXAM], Vec::new());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.extend(names.into_iter().zip(schemas));
    }
    schema
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("exams", "检查", Kind::Count),
        Column::new("backfilled", "补取的往日检查，不计时", Kind::Count),
        Column::new("wrongTimes", "时间有误，不计时", Kind::Count),
    ];
    for step in Step::ALL {
        let mut add = |name: &str, title: &str, kind| {
            let name = format!("{}{name}", step.name());
            columns.push(Column::new(
                name,
                format!("{}：{title}", step.title()),
                kind,
            ));
        };
        add("Count", "数", Kind::Count);
        add("P50", "中位数（分钟）", Kind::CountOrNull);
        add("P90", "九成不超过（分钟）", Kind::CountOrNull);
        add("P95", "95% 不超过（分钟）", Kind::CountOrNull);
        add("Max", "最长（分钟）", Kind::CountOrNull);
        add("WithinCount", "时限内", Kind::Count);
        add("WithinShare", "时限内占比", Kind::Share);
    }
    columns
}

pub fn result_schema() -> Value {
    let named = schema::object(&[
        ("hospitalCode", true, schema::text(32, "医院代码")),
        ("examNo", true, schema::text(32, "检查唯一流水号")),
        (
            "why",
            true,
            schema::text(
                32,
                "examTime 检查时间缺失或早于 1990 年；examAfterPush 晚于推送；affirmedBeforeExam 审核早于检查；applyTime 申请时间早于 1990 年",
            ),
        ),
    ]);
    let limits = Step::ALL.map(|step| (step.name(), true, schema::integer("时限，分钟")));
    let more = vec![
        ("wrong", true, schema::array(named)),
        ("limits", true, schema::object(&limits)),
    ];
    answer_schema(OF_EVERY_EXAM, &columns(), more)
}

fn cells(group: &Timeliness) -> Vec<Cell> {
    let counts = [group.exams, group.backfilled, group.wrong];
    let mut cells: Vec<Cell> = counts.into_iter().map(Cell::Count).collect();
    for spread in &group.steps {
        cells.extend([
            Cell::Count(spread.count),
            spread.p50.into(),
            spread.p90.into(),
            spread.p95.into(),
            spread.max.into(),
            Cell::Count(spread.within),
            Cell::Share(spread.share()),
        ]);
    }
    cells
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, limits) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &[OF_EVERY_EXAM]);
        let limits: Limits = Step::ALL.map(|step| {
            let limit = params.number(&within(step), 0..=LIMIT_MINUTES);
            let limit = limit.and_then(|minutes| u32::try_from(minutes).ok());
            limit.unwrap_or(step.limit())
        });
        params.finish()?;
        (asked, limits)
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let (views, registry) = (call.archive().views(), call.archive().registry());
        let mut tally = Tally::new(&question.by, limits, call.zone());
        views.visit_supervised(&registry, &question.hospitals, question.days, &mut |seen| {
            tally.add(seen);
            in_bounds(tally.groups())?;
            Ok(Walk::On)
        })?;
        let (groups, total, wrong) = tally.finish();
        let sheet = Sheet::of_groups(
            "及时性",
            question.by.iter().copied(),
            columns(),
            groups,
            &total,
            cells,
        );
        let limits = Step::ALL.iter().zip(limits);
        let limits = limits.map(|(step, limit)| (step.name().to_owned(), limit.into()));
        let more = vec![
            ("wrong", wrong.iter().take(NAMED_LIMIT).map(named).collect()),
            ("limits", Value::Object(limits.collect())),
        ];
        download::answer(&question, OPERATION, &sheet, more)
    })
    .await
}

fn named(named: &Named) -> Value {
    json!({ "hospitalCode": named.hospital, "examNo": named.exam_no, "why": named.why.name() })
}
