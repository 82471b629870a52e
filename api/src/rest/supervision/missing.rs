//! `POST /v1/statistics/missing`: what lacks, exam by exam: declared and not here, without images, without a report. As
//! reconciliation names it, with the time that has passed since.

use serde_json::Value;
use yingku_core::contract::Rule;
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode};
use yingku_core::reconcile::{NAMES_LIMIT, Unfinished, Why};
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::views::reconcile::{Question as OfDays, reconcile};
use yingku_storage::views::{Views, ViewsError};

use super::super::params::{Params, text};
use super::super::schema;
use super::question::{Asked, Question, request_schema as of_question};
use super::sheet::{Kind, line_schema};
use super::{Cell, Column, LINES_LIMIT, Sheet, download};
use crate::call::{Call, blocking, now_ms};
use crate::envelope::{Answer, Page};
use crate::error::Failure;

pub const EXAMPLE: &str =
    r#"{"what":"noReport","afterHours":48,"from":"2026-07-01","to":"2026-07-31"}"#;

const OPERATION: &str = "missing";

/// Hours after which something is told of: a year at most.
const HOURS_LIMIT: u64 = 366 * 24;
const HOUR_MS: i64 = 3_600_000;
const PAGE_SIZE: u64 = 100;
/// Lines of one page at most.
const PAGE_SIZE_LIMIT: u64 = 1_000;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// `uploadDetail` names it, and nobody pushed it.
    NotRegistered,
    /// It declares images, of which none or not all are here.
    NoImages,
    NoReport,
}

impl What {
    fn of(text: &str) -> Result<Self, &'static str> {
        match text {
            "notRegistered" => Ok(Self::NotRegistered),
            "noImages" => Ok(Self::NoImages),
            "noReport" => Ok(Self::NoReport),
            _ => Err(
                "应为 notRegistered（已申报而未推送）、noImages（影像缺失或不全）或 noReport（无确认报告） (must be one of these)",
            ),
        }
    }

    fn has(self, why: Why) -> bool {
        match self {
            Self::NotRegistered => why == Why::NotRegistered,
            Self::NoImages => matches!(why, Why::ImagesMissing | Why::ImagesPartly),
            Self::NoReport => matches!(why, Why::NoReport | Why::ReportReturned),
        }
    }
}

pub fn request_schema() -> Value {
    of_question(
        &[],
        vec![
            (
                "what",
                true,
                schema::text(
                    16,
                    "notRegistered 已申报明细而未推送；noImages 影像缺失或不全；noReport 无确认报告 (which list)",
                ),
            ),
            (
                "afterHours",
                false,
                schema::number(
                    0..=HOURS_LIMIT,
                    "检查时间之后多少小时才列出，缺省 0；未推送的按检查日期止算起 (hours since the exam)",
                ),
            ),
            (
                "pageSize",
                false,
                schema::number(1..=PAGE_SIZE_LIMIT, "每页行数，缺省 100；文件不分页"),
            ),
            ("pageNo", false, schema::page_no()),
        ],
    )
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("hospitalCode", "医院代码", Kind::Text),
        Column::new("examDate", "检查日期", Kind::Text),
        Column::new("examClass", "检查类别", Kind::Text),
        Column::new("examNo", "检查唯一流水号", Kind::Text),
        Column::new("examTime", "检查时间", Kind::Text),
        Column::new("hours", "已过小时", Kind::Count),
        Column::new("why", "原因", Kind::Texts),
    ]
}

pub fn result_schema() -> Value {
    schema::object(&[
        ("from", true, schema::text(10, "检查日期起")),
        ("to", true, schema::text(10, "检查日期止")),
        ("rows", true, schema::array(line_schema(&[], &columns()))),
        (
            "notNamed",
            true,
            schema::integer(
                "每医院、日期、类别只列前 500 个未完成的检查；此数未列，请缩小范围 (beyond the names that are kept)",
            ),
        ),
    ])
}

/// How the list is cut.
struct Paged {
    size: u64,
    no: u64,
}

pub async fn handle(call: Call) -> Result<Answer, Failure> {
    let (asked, what, hours, paged) = {
        let text = text(&call.body, call.charset.as_deref())?;
        let mut params = Params::read(&text)?;
        let asked = Asked::read(&mut params, &[]);
        let what = params.required("what", |params| params.parsed("what", What::of));
        let hours = params.number("afterHours", 0..=HOURS_LIMIT).unwrap_or(0);
        let size = params.number("pageSize", 1..=PAGE_SIZE_LIMIT);
        let paged = Paged {
            size: size.unwrap_or(PAGE_SIZE),
            no: params.page_no(),
        };
        if params.text("by", 128).is_some() {
            let message = "清单不分组 (a list is not grouped)".to_owned();
            params.fault("by", Rule::Format, message);
        }
        params.finish()?;
        let what = what.ok_or_else(super::super::params::incomplete)?;
        (asked, what, hours, paged)
    };
    let question = asked.check(&call)?;
    question.begin(&call, OPERATION).await?;
    let _turn = call.turn_of_supervision().await?;
    blocking(move || {
        let before_ms = now_ms() - i64::try_from(hours).unwrap_or(i64::MAX / HOUR_MS) * HOUR_MS;
        let (lines, not_named) = list(&call, &question, what, before_ms)?;
        let is_file = question.format != download::Format::Json;
        let total = lines.len() as u64;
        let skip = (paged.no - 1).saturating_mul(paged.size);
        let (skip, size) = match is_file {
            true => (0, u64::MAX),
            false => (skip, paged.size),
        };
        let bounded = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let lines = lines.into_iter().skip(bounded(skip)).take(bounded(size));
        let sheet = Sheet {
            title: "缺失清单",
            columns: columns(),
            lines: lines.collect(),
            total: None,
        };
        let more = vec![("notNamed", not_named.into())];
        let answer = download::answer(&question, OPERATION, &sheet, more)?;
        Ok(match is_file {
            true => answer,
            false => answer.with_page(Page {
                page_no: paged.no,
                page_size: paged.size,
                total,
                pages: total.div_ceil(paged.size),
                next_page_token: None,
            }),
        })
    })
    .await
}

/// Lines in the order of hospital, day, class and number; how many exams have no name in the cells.
fn list(
    call: &Call,
    question: &Question,
    what: What,
    before_ms: i64,
) -> Result<(Vec<Vec<Cell>>, u32), Failure> {
    let (views, registry, zone) = (
        call.archive().views(),
        call.archive().registry(),
        call.zone(),
    );
    let (mut lines, mut not_named) = (Vec::new(), 0u32);
    for hospital in &question.hospitals {
        let of_days = OfDays {
            hospitals: std::slice::from_ref(hospital),
            from: question.days.from,
            to: question.days.to,
            as_of: None,
            as_of_ms: None,
        };
        for cell in reconcile(&views, &registry, of_days)?.cells {
            debug_assert!(cell.unfinished.len() <= NAMES_LIMIT);
            not_named = not_named.saturating_add(cell.more_unfinished);
            let mut named: Vec<Unfinished> = cell.unfinished;
            named.retain(|one| one.why.iter().any(|why| what.has(*why)));
            named.sort_by(|a, b| a.exam_no.cmp(&b.exam_no));
            for one in named {
                let (time, due_ms) = since(&views, hospital, &one, &cell.date, &zone)?;
                if due_ms > before_ms {
                    continue;
                }
                let hours = (now_ms() - due_ms).max(0) / HOUR_MS;
                lines.push(vec![
                    Cell::Text(hospital.to_string()),
                    Cell::Text(cell.date.clone()),
                    Cell::Text(cell.class.clone()),
                    Cell::Text(one.exam_no),
                    Cell::Text(time),
                    Cell::Count(u32::try_from(hours).unwrap_or(u32::MAX)),
                    Cell::Texts(one.why.iter().map(|why| why.title().to_owned()).collect()),
                ]);
                if lines.len() > LINES_LIMIT {
                    return Err(ViewsError::TooMany { limit: LINES_LIMIT }.into());
                }
            }
        }
    }
    Ok((lines, not_named))
}

/// The exam's time as it says, and the moment since which it lacks something; of one that is not here the end of its day.
fn since(
    views: &Views,
    hospital: &HospitalCode,
    one: &Unfinished,
    date: &str,
    zone: &Zone,
) -> Result<(String, i64), ViewsError> {
    if let Ok(exam_no) = ExamNo::new(&one.exam_no) {
        let key = ExamKey {
            hospital: hospital.clone(),
            exam_no,
            generation: one.generation,
        };
        let row = views.exam(&key)?;
        let time = row.and_then(|row| LocalDateTime::parse(&row.exam_time).ok());
        if let Some(time) = time.filter(|_| !one.why.contains(&Why::NotRegistered)) {
            return Ok((time.to_string(), time.unix_ms(zone)));
        }
    }
    let day = LocalDate::parse(date).ok().and_then(LocalDate::next);
    let end_ms = day.map_or(0, |day| day.midnight().unix_ms(zone));
    Ok((String::new(), end_ms))
}
