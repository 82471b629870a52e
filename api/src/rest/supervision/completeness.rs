//! `POST /v1/statistics/completeness`: what was declared, what is here of it, and how whole it is. The figures are
//! reconciliation's own (R8–R10).

use serde_json::Value;
use yingku_core::reconcile::{Counts, ImageTally};
use yingku_core::supervision::completeness::{Completeness, Tally};
use yingku_core::supervision::group::{GroupKey, OF_EVERY_EXAM};
use yingku_core::time::LocalDate;
use yingku_storage::views::Walk;
use yingku_storage::views::reconcile::{Question as OfDays, reconcile};

use super::super::params::{Params, text};
use super::question::{Asked, Question, in_bounds, request_schema as of_question};
use super::sheet::{Kind, answer_schema};
use super::{Cell, Column, Sheet, download};
use crate::call::{Call, blocking};
use crate::envelope::Answer;
use crate::error::Failure;

pub const EXAMPLE: &str = r#"{"from":"2026-07-01","to":"2026-07-31","by":"hospital,class"}"#;

const OPERATION: &str = "completeness";

/// Days that are gathered at once: their cells with all that they name are in memory together.
const DAYS_AT_ONCE: usize = 31;

pub fn request_schema() -> Value {
    of_question(&[OF_EVERY_EXAM], Vec::new())
}

fn columns() -> Vec<Column> {
    let count = |name: &str, title: &str| Column::new(name, title, Kind::Count);
    let or_null = |name: &str, title: &str| Column::new(name, title, Kind::CountOrNull);
    vec![
        or_null("declared", "应上传"),
        count("registered", "已登记"),
        count("confirmed", "报告已确认且有申请单号"),
        or_null("missing", "缺口"),
        or_null("unnamed", "缺口中无名的"),
        count("surplus", "多于申报的"),
        count("imagesComplete", "影像齐全"),
        count("imagesPartly", "影像不全"),
        count("imagesMissing", "影像缺失"),
        count("imagesNotDeclared", "影像数未声明"),
        count("imagesLinked", "影像为链接"),
        count("imagesDeleted", "影像已按规则删除"),
        count("withForm", "申请单已到平台"),
        count("withoutFormNo", "申请单号为占位值"),
        or_null("formsWithoutExam", "有申请单无检查"),
        count("refused", "拒收实例"),
        count("held", "暂存实例"),
        count("withdrawn", "已撤回"),
    ]
}

fn test_column() -> Column {
    Column::new("test", "测试医院，不计入合计", Kind::Flag)
}

pub fn result_schema() -> Value {
    let mut schema = answer_schema(OF_EVERY_EXAM, &columns(), Vec::new());
    if let Some(Value::Object(line)) = schema.pointer_mut("/properties/rows/items/properties") {
        line.insert(
            "test".to_owned(),
            super::super::schema::boolean("测试医院，不计入合计"),
        );
    }
    if let Some(Value::Array(required)) = schema.pointer_mut("/properties/rows/items/required") {
        required.push("test".into());
    }
    schema
}

fn cells(group: &Completeness) -> Vec<Cell> {
    let Counts {
        declared,
        registered,
        confirmed,
        images,
        refused,
        held,
        forms_without_exam,
        placeholder_apply_no,
        withdrawn,
        deficit,
        unnamed,
        surplus,
        ..
    } = group.counts;
    let ImageTally {
        complete,
        partly,
        missing,
        none_declared,
        linked,
        deleted,
        ..
    } = images;
    vec![
        declared.into(),
        Cell::Count(registered),
        Cell::Count(confirmed),
        deficit.into(),
        unnamed.into(),
        Cell::Count(surplus),
        Cell::Count(complete),
        Cell::Count(partly),
        Cell::Count(missing),
        Cell::Count(none_declared),
        Cell::Count(linked),
        Cell::Count(deleted),
        Cell::Count(group.with_form),
        Cell::Count(placeholder_apply_no),
        forms_without_exam.into(),
        Cell::Count(refused),
        Cell::Count(held),
        Cell::Count(withdrawn),
    ]
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let asked = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &[OF_EVERY_EXAM]);
        params.finish()?;
        asked
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let (groups, total) = count(&call, &question)?;
        in_bounds(groups.len())?;
        let sheet = Sheet {
            title: "完整性",
            columns: [
                question.by.iter().copied().map(Column::of).collect(),
                vec![test_column()],
                columns(),
            ]
            .concat(),
            lines: groups
                .into_iter()
                .map(|(key, group)| {
                    let key = key.into_iter().map(Cell::Text);
                    let front = key.chain([Cell::Flag(group.test)]);
                    front.chain(cells(&group)).collect()
                })
                .collect(),
            total: Some(cells(&total)),
        };
        download::answer(&question, OPERATION, &sheet, Vec::new())
    })
    .await
}

type Counted = (Vec<(GroupKey, Completeness)>, Completeness);

fn count(call: &Call, question: &Question) -> Result<Counted, Failure> {
    let (views, registry) = (call.archive().views(), call.archive().registry());
    let mut tally = Tally::new(&question.by);
    let mut from = Some(question.days.from);
    while let Some(first) = from.filter(|first| *first <= question.days.to) {
        let last = last_of(first, question.days.to);
        let of_days = OfDays {
            hospitals: &question.hospitals,
            from: first,
            to: last,
            as_of: None,
            as_of_ms: None,
        };
        let found = reconcile(&views, &registry, of_days)?;
        found.cells.iter().for_each(|cell| tally.cell(cell));
        from = last.next();
    }
    views.visit_supervised(&registry, &question.hospitals, question.days, &mut |seen| {
        tally.exam(seen);
        Ok(Walk::On)
    })?;
    Ok(tally.finish())
}

/// The last day that is gathered together with the first.
fn last_of(first: LocalDate, end: LocalDate) -> LocalDate {
    let days = std::iter::successors(Some(first), |day| day.next());
    let days = days.take(DAYS_AT_ONCE).take_while(|day| *day <= end);
    days.last().unwrap_or(first)
}
