//! 检查: an examination as the archive holds it. The pushed content stays in the log; the row says what it came to.

use serde::{Deserialize, Serialize};

use crate::ids::{ExamKey, Position, StudyUid};
use crate::performed::FormStepRow;

/// Where an exam's report stands for a reader (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportState {
    /// Pushed at 50: images received, no report yet.
    None,
    /// Pushed at 60.
    Preliminary,
    /// Pushed at 65: taken back, readers see 已撤回.
    Returned,
    /// Pushed at 70.
    Confirmed,
    /// Pushed at 70 again with other content: 已修订.
    Revised,
}

impl ReportState {
    /// Whether the report counts as completed (contract §2.6).
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Revised)
    }
}

/// Something about an exam that a person may want to look at; nothing is refused for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExamFlag {
    /// The class is in no dictionary and no alias table.
    UnknownClass,
    /// The apply-form number is a placeholder; never joined, not counted (R10).
    PlaceholderApplyNo,
    /// The hospital was in mode `test`: uncounted, purgeable.
    Test,
    /// A status 50 or 60 came after 70 (R6).
    LateStatus,
    /// The study UID is claimed by another hospital or patient (R7).
    StudyConflict,
    /// Name, sex or birth date differ between push and images (R8).
    IdentityDoubt,
    /// The push broke a rule that this hospital only warns of.
    Warned,
    /// Images of it were deleted by a retention rule.
    ImagesDeleted,
    /// It was registered from its apply form, not by a push (R16).
    WithoutPush,
    /// A push of its form stands in its place: it keeps images together with that, and counts no more.
    Superseded,
}

/// A study that a push declares, rows of `imageList` with the same UID added up (R9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredStudy {
    pub uid: StudyUid,
    pub accession_no: Option<String>,
    /// Images declared; absent if no row of this study gives a count.
    pub image_count: Option<u32>,
    /// Every row of this study opens at the hospital by `imageUrl` (link).
    pub linked: bool,
    /// Images under this UID are not this exam's: another patient's claim is in force, or an operator released it.
    pub foreign: bool,
}

/// Studies that may be given to one exam: its row and every line of its history hold them.
pub const MOVED_LIMIT: usize = 100;

/// Who hid an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithdrawnBy {
    /// A push with new content brings it back.
    App,
    /// Stays until an operator takes it back.
    Operator,
}

/// Withdrawals of an exam that are in force: it is hidden as long as there is one. Each is named by its correction and
/// lifted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Withdrawals {
    pub app: Option<Position>,
    pub operator: Option<Position>,
}

impl Withdrawals {
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    pub fn is_some(self) -> bool {
        !self.is_none()
    }

    /// Whose the exam stays hidden for: an operator's withdrawal outlasts the app's.
    pub fn by(self) -> Option<WithdrawnBy> {
        let operator = self.operator.map(|_| WithdrawnBy::Operator);
        operator.or(self.app.map(|_| WithdrawnBy::App))
    }

    /// Without the one that a correction made; `None` if that is not in force.
    pub fn without(self, correction: Position) -> Option<Self> {
        let keep = |made: Option<Position>| made.filter(|made| *made != correction);
        let left = Self {
            app: keep(self.app),
            operator: keep(self.operator),
        };
        (left != self).then_some(left)
    }
}

/// A report's content at 70, and how it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalReport {
    /// Of the whole push.
    pub digest: [u8; 16],
    pub state: ReportState,
}

/// One exam's current state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamRow {
    pub key: ExamKey,
    /// Record that holds the current content.
    pub position: Position,
    /// Log time of that record, unix milliseconds.
    pub time_ms: i64,
    /// Record of the first push: the immutable sort key of lists.
    pub first_position: Position,
    pub first_time_ms: i64,
    /// Versions received, late ones included.
    pub version: u32,
    /// Digest of the current content, and of the content that came last.
    pub digest: [u8; 16],
    pub last_digest: [u8; 16],
    /// `examStatus` of the current content: 50, 60, 65 or 70; 20 of an exam without a push.
    pub status: u8,
    pub report: ReportState,
    /// Log time when the report was first confirmed (status 70), 0 before.
    pub confirmed_ms: i64,
    /// The latest final report: taken back at 65 and pushed again as it was, it is no revision (R6).
    pub last_final: Option<FinalReport>,
    /// `YYYY-MM-DD HH:MM:SS`, local time.
    pub exam_time: String,
    /// As pushed; it compares by its canonical class (R10), which an administrator's aliases may change.
    pub class: String,
    /// 申请单号 as pushed.
    pub apply_no: String,
    pub sick_id: String,
    pub name: String,
    pub sex: String,
    pub birth_date: String,
    /// 检查号, DICOM's PatientID (R7).
    pub patient_id: String,
    pub card_no: String,
    pub inpatient_no: String,
    pub outpatient_no: String,
    /// 患者来源 as pushed; retention goes by it.
    pub patient_source: String,
    pub studies: Vec<DeclaredStudy>,
    /// Studies that an operator gave to this exam and took to no other since; at most [`MOVED_LIMIT`].
    pub moved: Vec<StudyUid>,
    pub flags: Vec<ExamFlag>,
    pub withdrawn: Withdrawals,
}

impl ExamRow {
    /// `YYYY-MM-DD` of the exam.
    pub fn exam_date(&self) -> &str {
        self.exam_time.get(..10).unwrap_or(&self.exam_time)
    }

    /// Studies that were given to the exam and that its push does not declare.
    pub fn given(&self) -> impl Iterator<Item = &StudyUid> {
        let declares = |uid: &StudyUid| self.studies.iter().any(|study| study.uid == *uid);
        self.moved.iter().filter(move |uid| !declares(uid))
    }

    /// Studies whose images are the exam's: declared ones but for foreign ones, and given ones.
    pub fn own_studies(&self) -> impl Iterator<Item = &StudyUid> {
        let own = self.studies.iter().filter(|study| !study.foreign);
        own.map(|study| &study.uid).chain(self.given())
    }

    /// Whether a push declares the study, or an operator gave it to the exam.
    pub fn has_study(&self, uid: &StudyUid) -> bool {
        self.moved.contains(uid) || self.studies.iter().any(|study| study.uid == *uid)
    }

    pub fn has(&self, flag: ExamFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether its withdrawal is a word on its studies: what comes of them registers no exam by itself (R16). One that was
    /// registered from a form goes with it, or with pushes of it, and comes back so.
    pub fn bars_registration(&self) -> bool {
        match self.has(ExamFlag::WithoutPush) {
            true => self.withdrawn.operator.is_some(),
            false => self.withdrawn.is_some(),
        }
    }

    pub fn set(&mut self, flag: ExamFlag, on: bool) {
        match (self.flags.binary_search(&flag), on) {
            (Err(at), true) => self.flags.insert(at, flag),
            (Ok(at), false) => {
                self.flags.remove(at);
            }
            _ => {}
        }
    }

    /// Counted in reconciliation: neither withdrawn, nor test data, nor another's shadow.
    pub fn is_counted(&self) -> bool {
        let is_left_out = self.has(ExamFlag::Test) || self.has(ExamFlag::Superseded);
        self.withdrawn.is_none() && !is_left_out
    }

    /// Completed report and a real apply form: what `accordCount` counts (contract §2.6, R10).
    pub fn is_accordant(&self) -> bool {
        self.is_counted() && self.report.is_final() && !self.has(ExamFlag::PlaceholderApplyNo)
    }
}

impl std::fmt::Debug for ExamRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExamRow")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Exams that name one apply form; the eldest of them go for later ones.
pub const FORM_EXAMS_LIMIT: usize = 64;

/// Exams that were pushed with an apply form's number, in order of their pushes (R14: a form may have several exams).
/// One that names another form since, or is gone, counts no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormRow {
    pub exams: Vec<ExamKey>,
}

/// Studies under which one form is done, at most.
pub const REGISTERED_STUDIES_LIMIT: usize = 100;

/// A study under which a form is done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredStudy {
    pub uid: StudyUid,
    /// PatientID that its images have: what the worklist gave out, or what the first one carried.
    pub patient_id: String,
}

/// What an exam has of its form beside its own row. Since rules version 6; most exams have none.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredRow {
    /// Under which studies the form was done, of an exam that was registered from it (R16); [`REGISTERED_STUDIES_LIMIT`] at
    /// most.
    pub studies: Vec<RegisteredStudy>,
    /// Steps that machines reported of the form, while the exam is withdrawn; [`STEPS_KEPT`](crate::apply_form::STEPS_KEPT)
    /// at most. Since rules version 7 they stay when it comes back, and say that they are this exam's.
    pub steps: Vec<FormStepRow>,
}

impl RegisteredRow {
    /// `None`: there is nothing to keep.
    pub fn or_none(self) -> Option<Self> {
        let is_empty = self.studies.is_empty() && self.steps.is_empty();
        (!is_empty).then_some(self)
    }
}

/// What a record did to an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExamStep {
    Registered,
    Changed,
    /// Kept in the history, not the current content (R6).
    Late,
    Withdrawn,
    /// A withdrawal was undone, or lifted by a push with new content.
    Restored,
    /// A correction touched its studies or flags.
    Corrected,
    /// An identity doubt was found or cleared.
    Doubted,
    /// A retention rule deleted its images.
    ImagesDeleted,
}

/// One line of an exam's history: what the record at `position` did, and the row after it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamHistory {
    pub position: Position,
    pub time_ms: i64,
    pub step: ExamStep,
    /// The record that holds pushed content, for steps that brought one.
    pub content: Option<Position>,
    pub row: ExamRow,
}
