//! Supervision 监管: what may be asked of many exams at once. Answers are counts; none names a patient.
//!
//! [`SupervisedRow`] is what such a question needs of one exam, so that a year is one walk over small rows. It is written with
//! the exam's own row, from the push that record brought. The modules below add rows up, in any order, to what is answered.

pub mod completeness;
pub mod daily;
pub mod group;
pub mod load;
pub mod positive;
pub mod repeat;
mod spread;
#[cfg(test)]
mod tests_support;
pub mod timeliness;
pub mod unusual;

use serde::{Deserialize, Serialize};

use crate::exam::{ExamFlag, ExamRow};
use crate::identity::PersonKey;
use crate::ids::{ExamKey, ExamNo, HospitalCode};
use crate::time::LocalDateTime;

pub use spread::{Spread, permille};

/// Parts and items of an exam that its row names, at most.
pub const NAMES_KEPT: usize = 16;

/// Where an exam's row stands: by hospital and day, so that a range of days is one walk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SupervisedKey {
    pub hospital: HospitalCode,
    /// `YYYY-MM-DD` of the exam.
    pub date: String,
    pub exam_no: ExamNo,
    pub generation: u16,
}

impl SupervisedKey {
    pub fn of(row: &ExamRow) -> Self {
        Self {
            hospital: row.key.hospital.clone(),
            date: row.exam_date().to_owned(),
            exam_no: row.key.exam_no.clone(),
            generation: row.key.generation,
        }
    }

    pub fn exam(&self) -> ExamKey {
        ExamKey {
            hospital: self.hospital.clone(),
            exam_no: self.exam_no.clone(),
            generation: self.generation,
        }
    }
}

/// One exam as supervision asks of it. `Debug` shows nothing of a patient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisedRow {
    /// It counts: neither withdrawn, nor a trial's, nor another's shadow.
    pub counted: bool,
    /// Its images were fetched as a backfill's: it is of the past, and when it came says nothing.
    pub backfilled: bool,
    /// Its report is confirmed, and was not taken back.
    pub reported: bool,
    /// The apply form that it names is here.
    pub has_form: bool,
    /// As pushed; it compares by its canonical class.
    pub class: String,
    /// As the hospital says.
    #[serde(with = "crate::time::optional")]
    pub examined: Option<LocalDateTime>,
    /// 申请时间: of the form that is here, else as the push says of a form that it names.
    #[serde(with = "crate::time::optional")]
    pub applied: Option<LocalDateTime>,
    /// Log times, unix milliseconds: of the first push, of the first image that is here, of the first confirmed report; 0: none.
    pub pushed_ms: i64,
    pub images_ms: i64,
    pub confirmed_ms: i64,
    /// Absent: the current content came before rules version 7, and is not read again for this.
    pub content: Option<SupervisedContent>,
}

/// What its current content tells.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisedContent {
    /// `app:` and the id of the app that pushed it.
    pub sender: String,
    /// abNormalFlag: positive if any report says so.
    pub positive: Option<bool>,
    /// 检查设备, as pushed.
    pub device: String,
    /// Of the first image that names one.
    pub modality: String,
    /// 检查部位, as they compare ([`part_of`]), in order, each once; [`NAMES_KEPT`] at most.
    pub parts: Vec<String>,
    /// Codes of 检查项目, in order, each once; [`NAMES_KEPT`] at most.
    pub items: Vec<String>,
    /// 技师工号.
    pub technician: String,
    /// 申请医生工号.
    pub physician: String,
    /// 报告人 and 审核医生 of the last report: the contract has no codes of theirs, so these are as pushed.
    pub reporter: String,
    pub affirmer: String,
    #[serde(with = "crate::time::optional")]
    pub requested: Option<LocalDateTime>,
    #[serde(with = "crate::time::optional")]
    pub reported: Option<LocalDateTime>,
    #[serde(with = "crate::time::optional")]
    pub affirmed: Option<LocalDateTime>,
    /// Whose it is, as far as other hospitals can know the patient.
    pub persons: Vec<PersonKey>,
    /// 0 not known, 1 男, 2 女.
    pub sex: u8,
    /// `YYYYMMDD`; 0: not known.
    pub birth: u32,
}

/// A body part's name as it compares: blanks and the width of characters aside, small letters.
pub fn part_of(name: &str) -> String {
    let narrow = |c: char| match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    name.chars()
        .filter(|c| !c.is_whitespace())
        .map(narrow)
        .flat_map(char::to_lowercase)
        .collect()
}

/// What the views know of an exam beside its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Log time of the first image of its studies that are here.
    pub images_ms: i64,
    pub backfilled: bool,
    /// Its form is here; of it 申请时间.
    pub form: Option<Option<LocalDateTime>>,
}

impl SupervisedRow {
    pub fn of(exam: &ExamRow, around: Surroundings, content: Option<SupervisedContent>) -> Self {
        let names_form = !exam.has(ExamFlag::PlaceholderApplyNo);
        let requested = content.as_ref().and_then(|content| content.requested);
        let requested = requested.filter(|_| names_form);
        Self {
            counted: exam.is_counted(),
            backfilled: around.backfilled,
            reported: exam.report.is_final(),
            has_form: around.form.is_some(),
            class: exam.class.clone(),
            examined: LocalDateTime::parse(&exam.exam_time).ok(),
            applied: around.form.flatten().or(requested),
            pushed_ms: exam.first_time_ms,
            images_ms: around.images_ms,
            confirmed_ms: exam.confirmed_ms,
            content,
        }
    }
}

impl SupervisedRow {
    /// Documents and cards by which the exam is found and joined: none while it does not count.
    pub fn joins_by(&self) -> &[PersonKey] {
        let content = self.content.as_ref().filter(|_| self.counted);
        content.map_or(&[], |content| &content.persons)
    }
}

impl std::fmt::Debug for SupervisedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisedRow")
            .field("counted", &self.counted)
            .field("reported", &self.reported)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SupervisedContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisedContent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_compare_without_blanks_width_and_case() {
        for name in ["胸部 CT", "胸部ct", " 胸部ＣＴ", "胸部\u{3000}Ct"] {
            assert_eq!(part_of(name), "胸部ct", "{name}");
        }
    }
}
