//! 状态回传: notices to HIS about exams and forms (contract §3.2, R17). Which are due follows from the log; each stays open
//! until its receiver takes it, or an operator has to look at it.

use serde::{Deserialize, Serialize};

use crate::apply_form::ApplyFormRow;
use crate::exam::ExamRow;
use crate::ids::{ExamKey, FormKey, HisId, Position};

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoticeStatus {
    /// 取消: the form was deleted, or its exam withdrawn.
    #[serde(rename = "00")]
    Cancelled,
    /// 确认登记
    #[serde(rename = "20")]
    Registered,
    /// 收到影像
    #[serde(rename = "50")]
    ImagesReceived,
    /// 确认报告
    #[serde(rename = "70")]
    Confirmed,
}

impl NoticeStatus {
    pub const ALL: [Self; 4] = [
        Self::Cancelled,
        Self::Registered,
        Self::ImagesReceived,
        Self::Confirmed,
    ];

    /// In which order one record makes several due.
    pub fn rank(self) -> u8 {
        match self {
            Self::Registered => 0,
            Self::ImagesReceived => 1,
            Self::Confirmed => 2,
            Self::Cancelled => 3,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "00",
            Self::Registered => "20",
            Self::ImagesReceived => "50",
            Self::Confirmed => "70",
        }
    }
}

/// A notice to one receiver: the record that made it due, and which of that record's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NoticeId {
    pub position: Position,
    pub index: u32,
}

impl std::fmt::Display for NoticeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.position, self.index)
    }
}

impl NoticeId {
    /// As it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let (position, index) = text.split_once('.')?;
        let id = Self {
            position: Position(position.parse().ok()?),
            index: index.parse().ok()?,
        };
        (id.to_string() == text).then_some(id)
    }
}

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum NoticeState {
    /// To be sent, and again until it is taken.
    Open = 0,
    /// Refused too often: it waits for an operator.
    Stopped = 1,
    /// Taken.
    Sent = 2,
    /// Never to be sent: it was of a trial whose data was purged. Since rules version 7.
    Dropped = 3,
}

impl NoticeState {
    pub const ALL: [Self; 4] = [Self::Open, Self::Stopped, Self::Sent, Self::Dropped];

    /// Whether nothing comes of it any more.
    pub fn is_past(self) -> bool {
        matches!(self, Self::Sent | Self::Dropped)
    }
}

/// One notice.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeRow {
    pub his: HisId,
    pub id: NoticeId,
    pub state: NoticeState,
    pub status: NoticeStatus,
    /// Log time of what it tells, unix milliseconds.
    pub time_ms: i64,
    pub form: FormKey,
    /// Absent where a form was deleted that no exam had.
    pub exam: Option<ExamKey>,
    /// Record with the exam's content as it was then; absent without an exam.
    pub content: Option<Position>,
    /// Times that it was sent, as far as the log tells.
    pub tries: u32,
    /// What came of the last of them.
    pub last: Option<Answered>,
}

impl NoticeRow {
    /// Whether what it tells of is gone: only a purge of test data takes an exam or a form away. An exam of its number that came
    /// since is another.
    pub fn is_of_purged(&self, exam: Option<&ExamRow>, form: Option<&ApplyFormRow>) -> bool {
        match (&self.exam, self.content) {
            (Some(_), Some(content)) => exam.is_none_or(|row| row.first_position > content),
            (Some(_), None) => exam.is_none(),
            (None, _) => form.is_none(),
        }
    }
}

impl std::fmt::Debug for NoticeRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoticeRow")
            .field("his", &self.his)
            .field("id", &self.id)
            .field("state", &self.state)
            .field("status", &self.status)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

/// A receiver's answer, or that there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Log time of the record that tells of it, unix milliseconds.
    pub time_ms: i64,
    /// `code` of the answer; empty: there was none that could be read.
    pub code: String,
    /// Its `desc`, or what failed; at most [`ANSWER_LIMIT`] characters.
    pub answer: String,
}

/// Characters of a receiver's answer that are kept.
pub const ANSWER_LIMIT: usize = 300;

/// What came of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedNotice {
    pub id: NoticeId,
    pub state: NoticeState,
    /// All times that it was sent since it became open.
    pub tries: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// What an exam's receivers were told already: nothing is told twice, and no 50 after a 70.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    pub registered: bool,
    pub images: bool,
    pub confirmed: bool,
}
