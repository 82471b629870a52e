//! States of an exam in words that a clinician uses.

use yingku_core::dictionaries::{EXAM_CLASS, canonical_class};
use yingku_core::exam::{ExamHistory, ExamRow, ExamStep, ReportState};
use yingku_core::reconcile::{ImageState, StudyState};
use yingku_core::registry::Registry;

/// How far the exam has come.
pub fn status(row: &ExamRow) -> &'static str {
    match row.status {
        20 => "已登记",
        50 => "已检查，待报告",
        60 => "报告待审核",
        65 => "报告退回修改",
        70 => "已完成",
        _ => "",
    }
}

/// Where its report stands (R6).
pub fn report(state: ReportState) -> &'static str {
    match state {
        ReportState::None => "未出报告",
        ReportState::Preliminary => "初步报告（未确认）",
        ReportState::Returned => "已撤回",
        ReportState::Confirmed => "已确认",
        ReportState::Revised => "已修订",
    }
}

pub fn images(state: ImageState) -> &'static str {
    match state {
        ImageState::Complete { .. } => "齐全",
        ImageState::Partly => "部分到达",
        ImageState::Missing => "未到",
        ImageState::NoneDeclared => "未声明",
        ImageState::Linked => "在医院（链接）",
        ImageState::Deleted => "已按保存期限删除",
    }
}

pub fn study(state: StudyState) -> &'static str {
    match state {
        StudyState::Reached { .. } => "齐全",
        StudyState::Begun => "部分到达",
        StudyState::Missing => "未到",
        StudyState::Uncounted => "未声明图像数",
        StudyState::Linked => "影像在医院，链接，平台未核实",
    }
}

/// What a line of an exam's history is to a reader.
pub fn step(line: &ExamHistory) -> &'static str {
    match line.step {
        ExamStep::Registered => "首次上传",
        ExamStep::Changed => "更新",
        ExamStep::Late => "迟到的状态，未采用",
        ExamStep::Withdrawn => "检查撤回",
        ExamStep::Restored if line.content.is_some() => "撤回后重新上传",
        ExamStep::Restored => "撤回解除",
        ExamStep::Corrected => "平台更正影像归属",
        ExamStep::Doubted => "患者信息核对",
        ExamStep::ImagesDeleted => "影像按保存期限删除",
    }
}

/// The class by its name in the dictionary, else as the hospital writes it.
pub fn class(row: &ExamRow, registry: &Registry) -> String {
    let code = canonical_class(&registry.settings.class_aliases, &row.class).code;
    match EXAM_CLASS.name(&code) {
        Some(name) if code != row.class => format!("{name}（{}）", row.class),
        Some(name) => name.to_owned(),
        None => row.class.clone(),
    }
}

/// 阳性标识, in words; empty: the report says nothing of it.
pub fn abnormal(flag: Option<&str>) -> &'static str {
    match flag {
        Some("1") => "阳性",
        Some("0") => "阴性",
        _ => "",
    }
}

/// As much of a text as a page shows of it, with plain words where something is left out: a report that ends unnoticed is
/// read wrongly.
pub fn within(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => {
            let shown = text.get(..end).unwrap_or_default();
            format!("{shown}……【全文过长，以下未显示，请向检查科室索取】")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_a_text_is_said() {
        assert_eq!(within("右肺", 2), "右肺");
        let cut = within("右肺下叶", 2);
        assert!(cut.starts_with("右肺…") && cut.contains("未显示") && !cut.contains("下叶"));
    }
}
