//! A reconciliation as text for a terminal: a table, and below it what is unfinished by name.

use std::fmt::Write as _;

use yingku_core::instance::HoldReason;
use yingku_core::reconcile::{Cell, Counts, Reconciliation, Why};
use yingku_core::refusal::RefusalReason;

use crate::table::{Table, printable};

const HEADINGS: [&str; 16] = [
    "医院",
    "日期",
    "类别",
    "应上传",
    "登记",
    "确认",
    "缺口",
    "未明",
    "齐全",
    "不全",
    "缺失",
    "未声明",
    "链接",
    "拒收",
    "暂存",
    "备注",
];

/// Columns on the left that hold text; the others hold numbers, but the last.
const TEXT_COLUMNS: usize = 3;

/// The table and what is unfinished, ending with a line break.
pub fn text(answer: &Reconciliation) -> String {
    let mut table = Table::new(HEADINGS).with_numbers(TEXT_COLUMNS..HEADINGS.len() - 1);
    table.rule();
    for cell in &answer.cells {
        let class = if cell.class_known || cell.class.is_empty() {
            cell.class.clone()
        } else {
            format!("{}?", cell.class)
        };
        let date = cell.date.clone();
        table.row(row([hospital(cell), date, class], &cell.counts));
    }
    let totals = ["合计".to_owned(), String::new(), String::new()];
    table.rule();
    table.row(row(totals, &answer.totals));
    let mut out = format!("对账 {} 至 {}", answer.from, answer.to);
    if let Some(position) = answer.as_of {
        let _ = write!(out, "，截至日志位置 {position}");
    }
    out.push('\n');
    out += &table.render();
    let mut told = String::new();
    for cell in &answer.cells {
        names(&mut told, cell);
    }
    for line in told.lines() {
        out += &printable(line.to_owned());
        out.push('\n');
    }
    out
}

fn hospital(cell: &Cell) -> String {
    let named = match (cell.hospital_code.as_str(), cell.hospital_name.as_str()) {
        ("", _) => "未知医院".to_owned(),
        (code, "") => code.to_owned(),
        (code, name) => format!("{code} {name}"),
    };
    match cell.test {
        true => format!("{named}（测试）"),
        false => named,
    }
}

fn row(left: [String; TEXT_COLUMNS], counts: &Counts) -> [String; 16] {
    let some = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let [hospital, date, class] = left;
    [
        hospital,
        date,
        class,
        some(counts.declared),
        counts.registered.to_string(),
        counts.confirmed.to_string(),
        some(counts.deficit),
        some(counts.unnamed),
        counts.images.complete.to_string(),
        counts.images.partly.to_string(),
        counts.images.missing.to_string(),
        counts.images.none_declared.to_string(),
        counts.images.linked.to_string(),
        counts.refused.to_string(),
        counts.held.to_string(),
        remarks(counts),
    ]
}

/// Numbers that are mostly 0.
fn remarks(counts: &Counts) -> String {
    [
        ("超报", counts.surplus),
        ("影像多出", counts.images.surplus),
        ("影像到期删除", counts.images.deleted),
        ("身份存疑", counts.identity_doubts),
        ("UID冲突", counts.conflicts),
        ("疑似重号", counts.suspected_reuse),
        ("影像异版", counts.further_versions),
        ("迟到状态", counts.late),
        ("未知类别", counts.unknown_class),
        ("未检申请单", counts.forms_without_exam.unwrap_or(0)),
        ("无申请单", counts.placeholder_apply_no),
        ("校验警告", counts.warned),
        ("明细不符", counts.detail_differs),
        ("已撤回", counts.withdrawn),
        ("测试", counts.test_exams),
        ("测试申报", counts.test_declared),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(title, count)| format!("{title}{count}"))
    .collect::<Vec<_>>()
    .join(" ")
}

fn names(out: &mut String, cell: &Cell) {
    let unnamed = cell.counts.unnamed.unwrap_or(0);
    if cell.unfinished.is_empty()
        && cell.refusals.is_empty()
        && cell.holds.is_empty()
        && unnamed == 0
    {
        return;
    }
    let _ = writeln!(out, "\n{} {} {}", hospital(cell), cell.date, cell.class);
    for named in &cell.unfinished {
        let why: Vec<&str> = named.why.iter().copied().map(Why::title).collect();
        let subject = match named.exam_no.as_str() {
            "" if !named.apply_no.is_empty() => format!("申请单 {}", named.apply_no),
            "" => format!("检查UID {}", named.study_uid),
            exam_no if named.generation > 0 => format!("{exam_no}#{}", named.generation),
            exam_no => exam_no.to_owned(),
        };
        let _ = writeln!(out, "  {subject}  {}", why.join("、"));
    }
    if cell.more_unfinished > 0 {
        let _ = writeln!(out, "  另有 {} 项未列出", cell.more_unfinished);
    }
    for refused in &cell.refusals {
        let (sender, reason) = (&refused.sender, refusal_title(refused.reason));
        let _ = writeln!(out, "  拒收 {sender}  {reason}  {} 幅", refused.count);
    }
    for held in &cell.holds {
        let (sender, reason) = (&held.sender, hold_title(held.reason));
        let _ = writeln!(out, "  暂存 {sender}  {reason}  {} 幅", held.count);
    }
    if unnamed > 0 {
        let _ = writeln!(out, "  未明缺口 {unnamed} 例：已申报，平台无任何记录");
    }
}

fn refusal_title(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Unregistered => "检查未推送",
        RefusalReason::PatientIdDiffers => "PatientID不符",
        RefusalReason::AccessionNumberDiffers => "AccessionNumber不符",
        RefusalReason::Malformed => "DICOM格式错误",
        RefusalReason::HospitalSuspended => "医院已暂停接入",
        RefusalReason::LiveExam => "正式检查，医院处于测试",
        RefusalReason::NotAuthorised => "发送节点无存储权限",
        RefusalReason::NotStored => "平台未能存储，待重发",
    }
}

fn hold_title(reason: HoldReason) -> &'static str {
    match reason {
        HoldReason::Unregistered => "检查未推送",
        HoldReason::Mismatch => "标识不符",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;
    use yingku_core::dictionaries::ClassCode;
    use yingku_core::ids::AeTitle;
    use yingku_core::reconcile::{Book, Place};
    use yingku_core::registry::Hospital;

    use crate::table::columns_of;

    #[test]
    fn columns_stand_under_each_other_and_the_shortfall_is_told() {
        // Given five declared exams, none here, and two refused images
        let mut book = Book::default();
        let place = Place {
            hospital: "350006".to_owned(),
            date: "2026-07-04".to_owned(),
            class: ClassCode {
                code: "CT".to_owned(),
                known: true,
            },
        };
        book.declare(&place, 5, 1);
        book.not_registered(&place, "E1");
        let sender = AeTitle::new("PACS").unwrap();
        book.refuse(&place, &sender, RefusalReason::Unregistered, 2);
        let hospital = json!({ "code": "350006", "name": "示例医院" });
        let hospital: Hospital = serde_json::from_value(hospital).unwrap();
        let (cells, totals) = book.finish(|_| Some(&hospital));
        let answer = Reconciliation {
            from: "2026-07-04".to_owned(),
            to: "2026-07-04".to_owned(),
            as_of: None,
            as_of_time: None,
            cells,
            totals,
        };
        // When it is printed
        let text = text(&answer);
        // Then the numbers end where their headings end, counted in terminal columns
        let lines: Vec<&str> = text.lines().collect();
        let end_of =
            |line: &str, what: &str| columns_of(&line[..line.find(what).unwrap() + what.len()]);
        assert_eq!(end_of(lines[1], "应上传"), end_of(lines[3], "CT         5"));
        assert!(text.contains("350006 示例医院  2026-07-04  CT"));
        assert!(text.contains("  E1  未登记\n"));
        assert!(text.contains("  拒收 PACS  检查未推送  2 幅\n"));
        assert!(text.contains("  未明缺口 4 例"));
    }
}
