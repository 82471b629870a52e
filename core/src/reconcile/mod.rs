//! Reconciliation 对账: what hospitals declared against what the archive holds, for each hospital, date and class
//! (contract §2.6, R8–R10). Here is the answer and how it is added up; where the facts come from is the views' matter.

mod book;
mod detail;
mod images;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{AeTitle, Position};
use crate::instance::HoldReason;
use crate::refusal::RefusalReason;
use crate::time::LocalDateTime;

pub use book::{Book, Marks, Place};
pub use detail::differences;
pub use images::{ImageState, StudyState, images_of};

/// Days that one question may cover: a year and a month, so that years can be compared.
pub const DAYS_LIMIT: usize = 400;

/// Names listed for each hospital, date and class; how many more there are is said.
pub const NAMES_LIMIT: usize = 500;

/// Senders and reasons listed for each hospital, date and class; the counts hold all.
pub const SENDERS_LIMIT: usize = 100;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// `YYYY-MM-DD`, both included.
    pub from: String,
    pub to: String,
    /// Records before this position are counted; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Position>,
    /// The moment asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of_time: Option<LocalDateTime>,
    /// By hospital, date, class.
    pub cells: Vec<Cell>,
    pub totals: Counts,
}

/// One hospital, date and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Empty for refusals whose hospital nobody knows.
    pub hospital_code: String,
    pub hospital_name: String,
    /// `YYYY-MM-DD`
    #[serde(rename = "examDate")]
    pub date: String,
    /// Dictionary code, or the text itself if no table has it.
    #[serde(rename = "examClass")]
    pub class: String,
    pub class_known: bool,
    /// The hospital is in mode `test`: the cell is in no total.
    #[serde(default)]
    pub test: bool,
    /// When the declarations that count came; of several the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_time: Option<LocalDateTime>,
    #[serde(flatten)]
    pub counts: Counts,
    pub refusals: Vec<RefusedFrom>,
    pub holds: Vec<HeldFrom>,
    /// What is known and unfinished.
    pub unfinished: Vec<Unfinished>,
    /// Unfinished ones beyond the limit of names.
    pub more_unfinished: u32,
}

/// Numbers of a cell, or of all cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// 应上传: the latest declaration; absent if there is none.
    pub declared: Option<u32>,
    /// 已登记: pushed exams, neither withdrawn nor test data.
    pub registered: u32,
    /// 已确认: of those with a completed report and a real apply form.
    pub confirmed: u32,
    pub images: ImageTally,
    /// Refused instances.
    pub refused: u32,
    /// Instances kept aside.
    pub held: u32,
    /// Exams whose images tell of another person.
    pub identity_doubts: u32,
    /// Exams with a study that another hospital or patient claims.
    pub conflicts: u32,
    /// Pushes refused as suspected reuse of a number, not ruled on.
    pub suspected_reuse: u32,
    /// SOP instances that came again with other bytes.
    pub further_versions: u32,
    /// Apply forms that are planned for the day and that no exam has; absent for questions about the past, and before rules
    /// version 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forms_without_exam: Option<u32>,
    /// Exams with a status that came late.
    pub late: u32,
    pub unknown_class: u32,
    pub placeholder_apply_no: u32,
    /// Exams whose push broke a rule that the hospital only warns of.
    pub warned: u32,
    /// Exams that are not as `uploadDetail` tells.
    pub detail_differs: u32,
    pub withdrawn: u32,
    /// Exams of a hospital in mode `test`; in no other number.
    pub test_exams: u32,
    /// Exams that it declared in mode `test`; in no other number.
    #[serde(default)]
    pub test_declared: u32,
    /// 缺口: declared less confirmed, never below 0; absent without a declaration.
    pub deficit: Option<u32>,
    /// Of the deficit what no name explains.
    pub unnamed: Option<u32>,
    /// Exams confirmed before the declaration beyond what it declares; reports finished later are none (R10).
    pub surplus: u32,
}

/// Registered exams by the state of their images (R9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageTally {
    pub complete: u32,
    pub partly: u32,
    pub missing: u32,
    pub none_declared: u32,
    /// Linked, not verified.
    pub linked: u32,
    /// Deleted by a retention rule, not missing.
    #[serde(default)]
    pub deleted: u32,
    /// Of the complete ones those with more images than declared.
    pub surplus: u32,
}

/// Refused instances from one sender for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedFrom {
    pub sender: AeTitle,
    pub reason: RefusalReason,
    pub count: u32,
}

/// Held instances from one sender for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldFrom {
    pub sender: AeTitle,
    pub reason: HoldReason,
    pub count: u32,
}

/// Something known that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// The hospital's number; empty where only the study or the apply form is known.
    pub exam_no: String,
    /// Of an apply form without an exam.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply_no: String,
    /// Generation of numbers that it is of (R6); the first is 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[serde(rename = "studyUID")]
    pub study_uid: String,
    pub why: Vec<Why>,
}

fn is_first(generation: &u16) -> bool {
    *generation == 0
}

/// Why something is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// Named by `uploadDetail`, never pushed.
    NotRegistered,
    NoReport,
    ReportReturned,
    /// The apply-form number is a placeholder.
    NoApplyForm,
    Withdrawn,
    ImagesMissing,
    ImagesPartly,
    /// Images without a pushed exam, or with other identifiers, are kept aside.
    ImagesHeld,
    /// An apply form is planned for the day, and no exam has it.
    FormWithoutExam,
    /// `uploadDetail` names it for another day than that of its push.
    DateDiffers,
    /// Another apply-form number than `uploadDetail` tells.
    ApplyNoDiffers,
    /// `uploadDetail` tells a study that the exam does not have.
    StudyDiffers,
    /// Fewer images are here than `uploadDetail` tells.
    ImagesFewer,
    /// More images are here than `uploadDetail` tells.
    ImagesMore,
    /// What lacks is about to be fetched from the hospital's gateway.
    Pulling,
    /// It was tried, and is tried again later.
    PullWaiting,
    /// It was tried too often, or fetching is switched off.
    PullStopped,
}

impl Why {
    /// 中文, as tables show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::NotRegistered => "未登记",
            Self::NoReport => "报告未完成",
            Self::ReportReturned => "报告已撤回",
            Self::NoApplyForm => "无申请单",
            Self::Withdrawn => "检查已撤回",
            Self::ImagesMissing => "缺影像",
            Self::ImagesPartly => "影像不全",
            Self::ImagesHeld => "影像暂存",
            Self::FormWithoutExam => "有申请单无检查",
            Self::DateDiffers => "检查日期与明细不符",
            Self::ApplyNoDiffers => "申请单号与明细不符",
            Self::StudyDiffers => "StudyUID与明细不符",
            Self::ImagesFewer => "影像少于明细",
            Self::ImagesMore => "影像多于明细",
            Self::Pulling => "调取中",
            Self::PullWaiting => "调取待再试",
            Self::PullStopped => "调取已停",
        }
    }

    /// Whether it tells why an exam that was declared is not confirmed.
    fn explains_deficit(self) -> bool {
        match self {
            Self::NotRegistered
            | Self::NoReport
            | Self::ReportReturned
            | Self::NoApplyForm
            | Self::Withdrawn
            | Self::ImagesHeld
            | Self::FormWithoutExam
            | Self::DateDiffers => true,
            Self::ImagesMissing
            | Self::ImagesPartly
            | Self::ApplyNoDiffers
            | Self::StudyDiffers
            | Self::ImagesFewer
            | Self::ImagesMore
            | Self::Pulling
            | Self::PullWaiting
            | Self::PullStopped => false,
        }
    }
}

impl Counts {
    /// Adds the numbers of another cell.
    pub fn add(&mut self, other: &Self) {
        let add = |a: &mut u32, b: u32| *a = a.saturating_add(b);
        let add_some = |a: &mut Option<u32>, b: Option<u32>| {
            if let Some(b) = b {
                *a = Some(a.unwrap_or(0).saturating_add(b));
            }
        };
        add_some(&mut self.declared, other.declared);
        add_some(&mut self.deficit, other.deficit);
        add_some(&mut self.unnamed, other.unnamed);
        add_some(&mut self.forms_without_exam, other.forms_without_exam);
        add(&mut self.registered, other.registered);
        add(&mut self.confirmed, other.confirmed);
        add(&mut self.images.complete, other.images.complete);
        add(&mut self.images.partly, other.images.partly);
        add(&mut self.images.missing, other.images.missing);
        add(&mut self.images.none_declared, other.images.none_declared);
        add(&mut self.images.linked, other.images.linked);
        add(&mut self.images.deleted, other.images.deleted);
        add(&mut self.images.surplus, other.images.surplus);
        add(&mut self.refused, other.refused);
        add(&mut self.held, other.held);
        add(&mut self.identity_doubts, other.identity_doubts);
        add(&mut self.conflicts, other.conflicts);
        add(&mut self.suspected_reuse, other.suspected_reuse);
        add(&mut self.further_versions, other.further_versions);
        add(&mut self.late, other.late);
        add(&mut self.unknown_class, other.unknown_class);
        add(&mut self.placeholder_apply_no, other.placeholder_apply_no);
        add(&mut self.warned, other.warned);
        add(&mut self.detail_differs, other.detail_differs);
        add(&mut self.withdrawn, other.withdrawn);
        add(&mut self.test_exams, other.test_exams);
        add(&mut self.test_declared, other.test_declared);
        add(&mut self.surplus, other.surplus);
    }
}

/// Refusals and holds are added up by sender and reason before they are listed.
type BySender<R> = BTreeMap<(AeTitle, R), u32>;
