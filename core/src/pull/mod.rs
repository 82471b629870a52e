//! 调取: studies that the platform fetches from a hospital's DICOM gateway after their push (contract §2.5). Which are due
//! follows from the log; each stays open until its images are there in the declared count (R9), or an operator has to look
//! at it.

use serde::{Deserialize, Serialize};

use crate::ids::{ExamKey, Position, StudyKey, StudyUid};

/// Why a study is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PullWhy {
    /// A push declares it, or changed what it declares.
    Pushed,
    /// Its images were here, and are no longer.
    MissingAgain,
    /// An operator asked for it.
    Asked,
    /// An operator has the past fetched; what is pushed today goes first.
    Backfill,
}

/// Where a pull stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PullState {
    /// To be fetched, and again until the images are there.
    Open,
    /// Tried too often: it waits for a push or an operator.
    Stopped,
    Done,
}

/// The line in which a pull stands: live ones are looked for before those of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PullLine {
    Live = 0,
    Backfill = 1,
    Stopped = 2,
    Done = 3,
}

impl PullLine {
    pub const ALL: [Self; 4] = [Self::Live, Self::Backfill, Self::Stopped, Self::Done];
}

/// One study of one hospital that is fetched, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRow {
    pub study: StudyKey,
    /// The exam that needs it; of several the first.
    pub exam: ExamKey,
    pub why: PullWhy,
    pub state: PullState,
    /// The record that opened it last: what came of an earlier opening says nothing of this one.
    pub since: Position,
    /// Log time of that record, unix milliseconds.
    pub since_ms: i64,
    /// Times that it was tried since it became open, or since something came.
    pub tries: u32,
    /// Not to be tried before, unix milliseconds; of one that is not open, when it ended.
    pub next_ms: i64,
    /// Instances that the gateway said it has.
    pub expected: Option<u32>,
    /// Instances that the gateway gave when it last gave all that it has; absent: it did not since this became open.
    pub got: Option<u32>,
    /// What came of the last try.
    pub last: Option<PullWords>,
}

impl PullRow {
    pub fn line(&self) -> PullLine {
        match (self.state, self.why) {
            (PullState::Open, PullWhy::Backfill) => PullLine::Backfill,
            (PullState::Open, _) => PullLine::Live,
            (PullState::Stopped, _) => PullLine::Stopped,
            (PullState::Done, _) => PullLine::Done,
        }
    }
}

/// How a try ended, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullWords {
    /// Log time of the record that tells of it, unix milliseconds.
    pub time_ms: i64,
    /// At most [`WORDS_LIMIT`] characters.
    pub words: String,
}

/// Characters that are kept of how a try ended.
pub const WORDS_LIMIT: usize = 300;

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedPull {
    #[serde(rename = "studyUID")]
    pub study: StudyUid,
    /// [`PullRow::since`] when the try began.
    pub since: Position,
    pub state: PullState,
    pub tries: u32,
    /// [`PullRow::next_ms`]: when it is tried again.
    pub next_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// A study that a gateway has and nobody pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnpushedStudy {
    #[serde(rename = "studyUID")]
    pub study: StudyUid,
    /// DICOM's ModalitiesInStudy, as the gateway tells it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub modality: String,
}
