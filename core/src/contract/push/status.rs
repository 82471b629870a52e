//! 检查状态 as a push may carry it and as the archive gives it, and what readers make of it.

use serde::{Deserialize, Serialize};

/// examStatus (§2.3). Stored by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExamStatus {
    /// 50 收到影像
    ImagesReceived,
    /// 60 初步报告
    Preliminary,
    /// 65 审核退回
    Returned,
    /// 70 确认报告
    Confirmed,
    /// 20 已登记 (§3.2): of an exam that was registered without a push (R16); no push carries it.
    Registered,
}

impl ExamStatus {
    /// As recorded: what a push may carry, or the archive gave.
    pub fn from_recorded(code: &str) -> Option<Self> {
        match code {
            "20" => Some(Self::Registered),
            pushed => Self::from_code(pushed),
        }
    }

    /// As a push carries it.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "50" => Some(Self::ImagesReceived),
            "60" => Some(Self::Preliminary),
            "65" => Some(Self::Returned),
            "70" => Some(Self::Confirmed),
            _ => None,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::ImagesReceived => "50",
            Self::Preliminary => "60",
            Self::Returned => "65",
            Self::Confirmed => "70",
            Self::Registered => "20",
        }
    }

    pub fn report_state(self) -> ReportState {
        match self {
            Self::Registered | Self::ImagesReceived => ReportState::None,
            Self::Preliminary => ReportState::Preliminary,
            Self::Returned => ReportState::Returned,
            Self::Confirmed => ReportState::Confirmed,
        }
    }
}

/// What readers see of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportState {
    None,
    Preliminary,
    /// 已撤回: the draft is never shown as final (R6).
    Returned,
    Confirmed,
}
