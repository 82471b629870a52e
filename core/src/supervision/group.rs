//! By what exams are grouped.

use std::collections::BTreeMap;

use super::{SupervisedKey, SupervisedRow};
use crate::ids::HospitalCode;

/// One of the questions that a line of an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Day,
    /// `YYYY-MM`.
    Month,
    Hospital,
    /// Canonical.
    Class,
    Device,
    Modality,
    Technician,
    Physician,
    Reporter,
    Affirmer,
}

/// What is known of any exam, declared ones that are not here too.
pub const OF_EVERY_EXAM: &[Dimension] = &[
    Dimension::Day,
    Dimension::Month,
    Dimension::Hospital,
    Dimension::Class,
];

/// Those that a pushed content tells.
pub const OF_CONTENT: &[Dimension] = &[
    Dimension::Device,
    Dimension::Modality,
    Dimension::Technician,
    Dimension::Physician,
    Dimension::Reporter,
    Dimension::Affirmer,
];

impl Dimension {
    /// As a request and an answer write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Hospital => "hospital",
            Self::Class => "class",
            Self::Device => "device",
            Self::Modality => "modality",
            Self::Technician => "technician",
            Self::Physician => "physician",
            Self::Reporter => "reporter",
            Self::Affirmer => "affirmer",
        }
    }

    /// 中文, as tables show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Day => "日期",
            Self::Month => "月份",
            Self::Hospital => "医院代码",
            Self::Class => "检查类别",
            Self::Device => "设备",
            Self::Modality => "设备类型",
            Self::Technician => "技师工号",
            Self::Physician => "申请医生工号",
            Self::Reporter => "报告医生",
            Self::Affirmer => "审核医生",
        }
    }
}

/// Hospital, day and class of something.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    pub hospital: &'a str,
    /// `YYYY-MM-DD`
    pub date: &'a str,
    /// Canonical.
    pub class: &'a str,
}

impl<'a> Where<'a> {
    /// None of dimensions that only a content tells.
    pub fn value(self, dimension: Dimension) -> &'a str {
        match dimension {
            Dimension::Day => self.date,
            Dimension::Month => self.date.get(..7).unwrap_or(self.date),
            Dimension::Hospital => self.hospital,
            Dimension::Class => self.class,
            _ => "",
        }
    }
}

/// One exam as it is walked over.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub key: &'a SupervisedKey,
    /// Canonical.
    pub class: &'a str,
    pub row: &'a SupervisedRow,
}

impl<'a> Seen<'a> {
    pub fn hospital(self) -> &'a HospitalCode {
        &self.key.hospital
    }

    pub fn place(self) -> Where<'a> {
        Where {
            hospital: self.key.hospital.as_str(),
            date: &self.key.date,
            class: self.class,
        }
    }

    /// Empty: not told, or not known.
    pub fn value(self, dimension: Dimension) -> &'a str {
        let content = self.row.content.as_ref();
        let told = match dimension {
            Dimension::Device => content.map(|content| &content.device),
            Dimension::Modality => content.map(|content| &content.modality),
            Dimension::Technician => content.map(|content| &content.technician),
            Dimension::Physician => content.map(|content| &content.physician),
            Dimension::Reporter => content.map(|content| &content.reporter),
            Dimension::Affirmer => content.map(|content| &content.affirmer),
            _ => return self.place().value(dimension),
        };
        told.map(String::as_str).unwrap_or_default()
    }
}

/// A value for each dimension, in their order.
pub type GroupKey = Vec<String>;

/// Groups in the order of their keys.
#[derive(Debug)]
pub struct Groups<T> {
    by: Vec<Dimension>,
    groups: BTreeMap<GroupKey, T>,
}

impl<T: Default> Groups<T> {
    pub fn new(by: &[Dimension]) -> Self {
        Self {
            by: by.to_vec(),
            groups: BTreeMap::new(),
        }
    }

    /// The group whose values these are.
    pub fn of<'v>(&mut self, value: impl Fn(Dimension) -> &'v str) -> &mut T {
        let values = self.by.iter().map(|dimension| value(*dimension).to_owned());
        self.groups.entry(values.collect()).or_default()
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn finish(self) -> impl Iterator<Item = (GroupKey, T)> {
        self.groups.into_iter()
    }
}
