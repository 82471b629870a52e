//! What the archive keeps of an exam's index: where it stands, and what the authority was told of it.

use serde::{Deserialize, Serialize};

use super::{NationalIndex, PersonCode};
use crate::ids::{ExamKey, Position};

/// Characters that are kept of an authority's reason.
pub const REASON_LIMIT: usize = 200;

/// Exams that one index leads to, at most. Of those that it leads to no longer, the eldest go for later ones.
pub const HOLDERS_LIMIT: usize = 64;

/// Where an exam's index stands. Stored by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IndexState {
    /// A part is not known; [`IndexRow::lacks`] says which.
    Incomplete,
    /// The authority is to be told of it.
    Formed,
    /// It is in a file for the authority.
    Exported,
    /// The authority has taken it.
    Acknowledged,
    /// The authority has refused it; [`IndexRow::reason`] says why.
    Refused,
    /// The exam is withdrawn, or another stands in its place.
    Withdrawn,
}

impl IndexState {
    pub const ALL: [Self; 6] = [
        Self::Incomplete,
        Self::Formed,
        Self::Exported,
        Self::Acknowledged,
        Self::Refused,
        Self::Withdrawn,
    ];

    /// As interfaces and files write it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Formed => "formed",
            Self::Exported => "exported",
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "不完整",
            Self::Formed => "已形成",
            Self::Exported => "已导出",
            Self::Acknowledged => "已确认",
            Self::Refused => "被拒",
            Self::Withdrawn => "已收回",
        }
    }

    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether the exam has an index now.
    pub fn is_in_force(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Withdrawn)
    }

    fn is_answered_for(self) -> bool {
        matches!(self, Self::Exported | Self::Acknowledged | Self::Refused)
    }
}

/// Which part of an index is not known. Stored by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lack {
    /// No push gave a person code, and no table.
    PersonCode,
    /// What the push gave as person code is none.
    WrongPersonCode,
    /// The hospital has no credit code in the registry.
    CreditCode,
}

impl Lack {
    /// As interfaces and files write it.
    pub fn code(self) -> &'static str {
        match self {
            Self::PersonCode => "personCode",
            Self::WrongPersonCode => "wrongPersonCode",
            Self::CreditCode => "creditCode",
        }
    }

    /// What lacks, and what to do.
    pub fn words(self) -> &'static str {
        match self {
            Self::PersonCode => {
                "缺个人编码：请在推送的 patientInfo.identity 中给出，或导入对照表 (no person code: push it in patientInfo.identity, or import a table)"
            }
            Self::WrongPersonCode => {
                "推送的个人编码不是26位数字，请改正后重推 (the pushed person code is not 26 digits: push it again)"
            }
            Self::CreditCode => {
                "医院未登记统一社会信用代码：请平台管理员登记 credit_code (the hospital has no credit_code in the registry)"
            }
        }
    }
}

/// One exam's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRow {
    pub exam: ExamKey,
    pub state: IndexState,
    /// Record that brought it there.
    pub position: Position,
    /// Log time of that record, unix milliseconds.
    pub time_ms: i64,
    pub person: Option<PersonCode>,
    /// The last push gave a person code that is none.
    pub is_person_wrong: bool,
    /// The index in force; of a withdrawn exam its last one.
    pub index: Option<NationalIndex>,
    pub lacks: Vec<Lack>,
    /// Another exam has the same index: the authority is not told of it until one of them changes.
    pub collides: bool,
    /// What the authority has in its files of this exam.
    pub told: Option<NationalIndex>,
    /// The row's position as the last file knew it: what an earlier file says later is nothing new.
    pub told_as_of: Option<Position>,
    /// Why the authority refused it, [`REASON_LIMIT`] characters at most.
    pub reason: String,
}

/// What there is to tell the authority of an exam.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub kind: OwedKind,
    pub index: NationalIndex,
    /// The index that it takes the place of.
    pub replaces: Option<NationalIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedKind {
    New,
    Replaced,
    TakenBack,
}

impl OwedKind {
    pub fn code(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replaced => "replace",
            Self::TakenBack => "withdraw",
        }
    }
}

impl IndexRow {
    /// Of an exam of which nothing is known yet.
    pub fn new(exam: ExamKey) -> Self {
        Self {
            exam,
            state: IndexState::Incomplete,
            position: Position(0),
            time_ms: 0,
            person: None,
            is_person_wrong: false,
            index: None,
            lacks: Vec::new(),
            collides: false,
            told: None,
            told_as_of: None,
            reason: String::new(),
        }
    }

    /// The index that the exam has now.
    pub fn in_force(&self) -> Option<&NationalIndex> {
        self.index.as_ref().filter(|_| self.state.is_in_force())
    }

    /// What the authority is to be told next.
    pub fn owed(&self) -> Option<Owed> {
        let told = self.told.as_ref();
        let former = told.filter(|told| self.in_force() != Some(told));
        match (&self.index, former) {
            (Some(index), former) if self.state == IndexState::Formed && !self.collides => {
                Some(Owed {
                    kind: match former {
                        Some(_) => OwedKind::Replaced,
                        None => OwedKind::New,
                    },
                    index: index.clone(),
                    replaces: former.cloned(),
                })
            }
            (_, Some(former)) => Some(Owed {
                kind: OwedKind::TakenBack,
                index: former.clone(),
                replaces: None,
            }),
            _ => None,
        }
    }

    /// Whether an authority's answer about an index is about this row.
    pub fn is_answered_by(&self, index: &NationalIndex) -> bool {
        let is_told = self.told.as_ref() == Some(index) && self.index.as_ref() == Some(index);
        is_told && self.state.is_answered_for()
    }
}

/// How an index stands to an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Holding {
    InForce,
    /// The exam's time, person or unit changed.
    Replaced,
    Withdrawn,
}

/// An exam that an index leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub exam: ExamKey,
    pub holding: Holding,
    /// Log time since when, unix milliseconds.
    pub time_ms: i64,
}

/// Exams that an index leads to, or led to, in the order in which they got it. More than one in force: a collision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexHolders {
    pub holders: Vec<Holder>,
}

impl IndexHolders {
    pub fn in_force(&self) -> impl Iterator<Item = &ExamKey> {
        let holders = self.holders.iter();
        let in_force = holders.filter(|holder| holder.holding == Holding::InForce);
        in_force.map(|holder| &holder.exam)
    }

    /// Notes how the index stands to an exam. `false`: there are too many to note a further one.
    pub fn put(&mut self, exam: &ExamKey, holding: Holding, time_ms: i64) -> bool {
        if let Some(known) = self.holders.iter_mut().find(|known| known.exam == *exam) {
            if known.holding != holding {
                known.holding = holding;
                known.time_ms = time_ms;
            }
            return true;
        }
        if self.holders.len() >= HOLDERS_LIMIT {
            let former = |holder: &Holder| holder.holding != Holding::InForce;
            match self.holders.iter().position(former) {
                Some(eldest) => drop(self.holders.remove(eldest)),
                None => return false,
            }
        }
        self.holders.push(Holder {
            exam: exam.clone(),
            holding,
            time_ms,
        });
        true
    }

    pub fn remove(&mut self, exam: &ExamKey) {
        self.holders.retain(|holder| holder.exam != *exam);
    }
}
