//! Corrections: what a person rules about exams and images. Nothing is destroyed. All but two can be undone: an undoing is
//! undone by making the correction again, and a new generation of numbers stays open.

use serde::{Deserialize, Serialize};

use crate::exam::ExamRow;
use crate::finding::FindingRow;
use crate::ids::{ExamKey, HospitalCode, Position, SopInstanceUid, StudyKey, StudyUid};
use crate::instance::StudyClaims;

/// Longest reason, in characters; a reason is required (it is shown in the exam's history).
pub const REASON_LIMIT: usize = 500;

/// Instances that one correction may hide.
pub const HIDE_LIMIT: usize = 10_000;

/// What is to be corrected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum CorrectionAction {
    /// Hides an exam; its study is released (R7).
    WithdrawExam { exam: ExamKey },
    /// Hides instances of a study; an empty list hides all that are there now.
    HideInstances {
        study: StudyKey,
        instances: Vec<SopInstanceUid>,
    },
    /// Gives a study's images to another exam.
    MoveStudy { study: StudyKey, to: ExamKey },
    /// Ends an exam's claim on a study UID.
    ReleaseUid { study: StudyUid, exam: ExamKey },
    /// Says which exam a contested study belongs to.
    RuleConflict { study: StudyUid, exam: ExamKey },
    /// Says what a push was that was refused as suspected reuse of a number (R6).
    RuleReuse {
        refused: Position,
        ruling: ReuseRuling,
    },
    /// Says which of the bytes that came under one SOP Instance UID are shown. Since rules version 3.
    ChooseVersion {
        study: StudyKey,
        instance: SopInstanceUid,
        /// The beginning of their digest (see [`StoredInstance`](crate::instance::StoredInstance)), 32 hexadecimal
        /// digits.
        digest: String,
    },
    /// Nothing of an exam's images is deleted by a rule. Since rules version 4.
    LegalHold { exam: ExamKey },
    /// Takes a correction back.
    Undo { correction: Position },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReuseRuling {
    /// The push corrects the exam: it becomes its next version.
    Correction,
    /// The hospital starts its numbers anew: the push is a new exam.
    NewGeneration,
}

/// Body of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionMade {
    #[serde(flatten)]
    pub action: CorrectionAction,
    pub reason: String,
    /// Person who rules, as the operator or the app names them.
    pub author: String,
}

/// A correction as the views keep it, with what undoing needs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionRow {
    pub position: Position,
    pub time_ms: i64,
    pub actor: String,
    /// JSON of [`CorrectionMade`].
    pub made: String,
    pub undone: Option<Position>,
    /// The push with new content that ended a withdrawal.
    pub lifted: Option<Position>,
    pub before: Before,
}

/// State that a correction replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    Nothing,
    Hidden(Vec<SopInstanceUid>),
    Claims {
        study: StudyUid,
        claims: StudyClaims,
        /// The exam that the study was given to.
        given: Option<ExamKey>,
        /// The hospital whose images went to another one.
        from: Option<HospitalCode>,
        /// The exam whose the images had been ruled to be that were ruled to be another's; absent: none were.
        marked: Option<Option<ExamKey>>,
    },
    /// An exam's earlier version, and the list's line of the push that became the next.
    Version {
        listed: FindingRow,
        exam: Box<ExamRow>,
    },
    /// Nothing: a refused push became this exam.
    Registered {
        exam: ExamKey,
    },
    /// The bytes that were shown, and the list's line.
    Shown {
        digest: [u8; 16],
        listed: Option<FindingRow>,
    },
}
