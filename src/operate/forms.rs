//! 申请单: lists of apply forms, and how long they take to their exams and reports.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::apply_form::progress::{FormProgress, FormState};
use yingku_core::apply_form::turnaround::{DayTurnaround, Spread, Turnaround};
use yingku_core::ids::HospitalCode;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};
use yingku_storage::archive::Archive;
use yingku_storage::views::form_lists::{Days, Overdue};

use super::ensure_registered;
use crate::control::Output;
use crate::table::Table;

/// Which forms are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormsAsked {
    pub hospital: HospitalCode,
    /// `YYYY-MM-DD`, both included: of the request, or of the plan where overdue ones are asked for.
    pub days: Option<(String, String)>,
    pub open_after: Option<OpenAfter>,
}

/// Only forms without an exam, so many hours after the time for which they are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenAfter {
    /// As the registry has it.
    Usual,
    Hours(u32),
}

/// Of which days turnaround is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnaroundAsked {
    pub hospital: HospitalCode,
    pub from: String,
    pub to: String,
    pub csv: bool,
}

fn days(from: &str, to: &str) -> anyhow::Result<Days> {
    let day = |key: &str, text: &str| {
        LocalDate::parse(text)
            .with_context(|| format!("--{key} 应为 YYYY-MM-DD (must be a day): {text}"))
    };
    Ok(Days::new(day("from", from)?, day("to", to)?)?)
}

pub async fn list(archive: &Archive, asked: FormsAsked, output: &Output) -> anyhow::Result<bool> {
    ensure_registered(archive, &asked.hospital)?;
    let asked_days = match &asked.days {
        Some((from, to)) => Some(days(from, to)?),
        None => None,
    };
    archive.settle().await?;
    let registry = archive.registry();
    let views = archive.views();
    let lines = tokio::task::spawn_blocking(move || {
        let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
        let rows = match (asked.open_after, asked_days) {
            (Some(open_after), days) => {
                let overdue = Overdue {
                    now_ms: jiff::Timestamp::now().as_millisecond(),
                    hours: match open_after {
                        OpenAfter::Usual => registry.settings.form_overdue_hours,
                        OpenAfter::Hours(hours) => hours,
                    },
                };
                views.overdue_forms(&asked.hospital, days, overdue, &zone)?
            }
            (None, Some(days)) => views.forms_of_days(&asked.hospital, days)?,
            (None, None) => anyhow::bail!(
                "请给出 --from 与 --to，或 --open-after (give --from and --to, or --open-after)"
            ),
        };
        let mut table = table();
        for row in &rows {
            let progress = views.form_progress(row)?;
            let exams = views.exams_of_form(&row.key)?;
            let numbers = exams.iter().map(|exam| exam.key.exam_no.as_str());
            table.row(cells(row, &progress, numbers.collect(), &zone));
        }
        Ok::<_, anyhow::Error>((rows.len(), table.render()))
    });
    let (count, text) = lines.await??;
    output.line(text).await?;
    output.note(format!("{count} 张申请单 (forms)")).await?;
    Ok(true)
}

fn table() -> Table {
    Table::new([
        "申请单",
        "状态",
        "病人",
        "类别",
        "项目",
        "申请科室",
        "申请时间",
        "预约时间",
        "收到",
        "登记",
        "影像",
        "报告",
        "取消",
        "检查",
        "备注",
    ])
}

fn cells(
    row: &ApplyFormRow,
    progress: &FormProgress,
    exams: Vec<&str>,
    zone: &Zone,
) -> [String; 15] {
    let content = &row.content;
    let at = |time_ms: Option<i64>| {
        let local = time_ms.and_then(|ms| LocalDateTime::from_unix_ms(ms, zone));
        local.map(|time| time.to_string()).unwrap_or_default()
    };
    let items = content.items.iter().map(|item| item.name.as_str());
    [
        row.key.apply_no.clone(),
        state_words(progress.state).to_owned(),
        content.sick_id.clone(),
        content.exam_class.clone(),
        items.collect::<Vec<_>>().join("、"),
        content.req_dept.name.clone(),
        content.req_time.clone(),
        content.scheduled_time.clone(),
        at(Some(progress.received_ms)),
        at(progress.registered_ms),
        at(progress.images_ms),
        at(progress.reported_ms),
        at(progress.cancelled_ms),
        exams.join(" "),
        if row.test { "测试" } else { "" }.to_owned(),
    ]
}

fn state_words(state: FormState) -> &'static str {
    match state {
        FormState::Received => "已收 (received)",
        FormState::Registered => "已登记 (registered)",
        FormState::Started => "检查中 (started)",
        FormState::Performed => "已检查 (performed)",
        FormState::Images => "有影像 (images)",
        FormState::Reported => "已报告 (reported)",
        FormState::Cancelled => "已取消 (cancelled)",
    }
}

pub async fn turnaround(
    archive: &Archive,
    asked: TurnaroundAsked,
    output: &Output,
) -> anyhow::Result<bool> {
    ensure_registered(archive, &asked.hospital)?;
    let days = days(&asked.from, &asked.to)?;
    archive.settle().await?;
    let registry = archive.registry();
    let views = archive.views();
    let hospital = asked.hospital;
    let answer = tokio::task::spawn_blocking(move || {
        let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
        views.turnaround(&hospital, days, &zone)
    });
    let answer = answer.await??;
    match asked.csv {
        true => output.line(csv(&answer)).await?,
        false => output.line(turnaround_table(&answer)).await?,
    }
    Ok(true)
}

/// The four times of a day, with the heads of their columns.
fn times(day: &DayTurnaround) -> [(&'static str, &'static str, Spread); 4] {
    [
        ("申请→登记", "applyToRegistered", day.apply_to_registered),
        ("申请→检查", "applyToExam", day.apply_to_exam),
        ("检查→报告", "examToReport", day.exam_to_report),
        ("申请→报告", "applyToReport", day.apply_to_report),
    ]
}

const COUNTS: usize = 4;

fn counts(day: &DayTurnaround) -> [(&'static str, &'static str, u32); COUNTS] {
    [
        ("申请单", "forms", day.forms),
        ("取消", "cancelled", day.cancelled),
        ("有检查", "withExam", day.with_exam),
        ("有报告", "withReport", day.with_report),
    ]
}

fn number(minutes: Option<u64>) -> String {
    minutes.map(|it| it.to_string()).unwrap_or_default()
}

fn turnaround_table(answer: &Turnaround) -> String {
    let total = &answer.total;
    let mut head = vec!["申请日期".to_owned()];
    head.extend(counts(total).map(|(title, ..)| title.to_owned()));
    for (title, ..) in times(total) {
        head.push(format!("{title} 中位"));
        head.push("90%".to_owned());
    }
    let columns = head.len();
    let mut table = Table::with_head(head).with_numbers(1..columns);
    table.rule();
    let row = |name: &str, day: &DayTurnaround| {
        let mut row = vec![name.to_owned()];
        row.extend(counts(day).map(|(.., count)| count.to_string()));
        for (.., spread) in times(day) {
            row.extend([number(spread.median_minutes), number(spread.p90_minutes)]);
        }
        row
    };
    for day in &answer.days {
        table.row(row(&day.date, day));
    }
    table.rule();
    table.row(row("合计", total));
    format!("{}时间单位：分钟 (minutes)\n", table.render())
}

/// Dates and numbers only: nothing has to be quoted. A line break ends each line but the last.
fn csv(answer: &Turnaround) -> String {
    let total = &answer.total;
    let mut head = vec!["date".to_owned()];
    head.extend(counts(total).map(|(_, key, _)| key.to_owned()));
    for (_, key, _) in times(total) {
        head.extend([
            format!("{key}Count"),
            format!("{key}MedianMinutes"),
            format!("{key}P90Minutes"),
        ]);
    }
    let mut lines = vec![head.join(",")];
    for day in &answer.days {
        let mut line = vec![day.date.clone()];
        line.extend(counts(day).map(|(.., count)| count.to_string()));
        for (.., spread) in times(day) {
            line.extend([
                spread.count.to_string(),
                number(spread.median_minutes),
                number(spread.p90_minutes),
            ]);
        }
        lines.push(line.join(","));
    }
    lines.join("\n")
}
