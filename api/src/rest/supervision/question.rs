//! What every question of supervision has: hospitals, days, by what it is grouped, and how it is answered.

use std::fmt::Write as _;

use serde_json::Value;
use yingku_core::contract::Rule;
use yingku_core::ids::HospitalCode;
use yingku_core::supervision::group::Dimension;
use yingku_core::time::LocalDate;
use yingku_storage::archive::AuditEntry;
use yingku_storage::views::ViewsError;
use yingku_storage::views::form_lists::Days;

use super::super::params::{NO_PAST, Params};
use super::super::schema;
use super::LINES_LIMIT;
use super::download::Format;
use crate::call::Call;
use crate::error::Failure;

/// Days of one question: a year.
pub const DAYS_LIMIT: usize = 366;
/// Characters of a list of dimensions.
const BY_CHARACTERS: usize = 128;

/// One question, as far as all of them are alike.
pub struct Question {
    pub hospitals: Vec<HospitalCode>,
    pub days: Days,
    pub by: Vec<Dimension>,
    pub format: Format,
    /// The hospital that was named.
    asked: Option<HospitalCode>,
}

/// How a question is read, before anything is known to be there.
pub struct Asked {
    hospital: Option<HospitalCode>,
    from: Option<LocalDate>,
    to: Option<LocalDate>,
    by: Vec<Dimension>,
    format: Format,
}

/// The fields of a question. `by`: dimensions that may be named; none: it is not grouped by the caller.
pub fn request_schema(by: &[&[Dimension]], more: Vec<(&'static str, bool, Value)>) -> Value {
    let text = schema::text;
    let mut fields = vec![
        (
            "hospitalCode",
            false,
            text(32, "医院代码；缺省为该应用的全部医院 (all of the app's)"),
        ),
        ("from", true, text(10, "检查日期起，含")),
        ("to", true, text(10, "检查日期止，含；至多 366 天")),
    ];
    let named = names(by);
    let words = format!(
        "分组，逗号分隔，可为 {named}；缺省只答合计 (grouped by these; without it one line tells all)"
    );
    if !by.is_empty() {
        fields.push(("by", false, text(BY_CHARACTERS, &words)));
    }
    fields.extend(more);
    fields.push((
        "format",
        false,
        text(
            8,
            "json（缺省）、csv 或 xlsx；后两者为下载文件 (the last two are files)",
        ),
    ));
    schema::object(&fields)
}

fn names(by: &[&[Dimension]]) -> String {
    let mut text = String::new();
    for dimension in by.iter().copied().flatten() {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{}", dimension.name());
    }
    text
}

impl Asked {
    /// Reads [`request_schema`]'s fields.
    pub fn read(params: &mut Params<'_>, may_be: &[&[Dimension]]) -> Self {
        params.not_here("asOf", NO_PAST);
        let hospital = params.hospital();
        let from = params.required("from", |params| params.date("from"));
        let to = params.required("to", |params| params.date("to"));
        params.in_order(from, to);
        let by = if may_be.is_empty() {
            Vec::new()
        } else {
            dimensions(params, may_be)
        };
        let format = params.parsed("format", Format::of).unwrap_or_default();
        Self {
            hospital,
            from,
            to,
            by,
            format,
        }
    }

    /// What is asked, of whom the app may ask. After the fields are all well.
    pub fn check(self, call: &Call) -> Result<Question, Failure> {
        let (Some(from), Some(to)) = (self.from, self.to) else {
            return Err(super::super::params::incomplete());
        };
        let mut days = std::iter::successors(Some(from), |day| day.next()).take(DAYS_LIMIT);
        if !days.any(|day| day == to) {
            return Err(ViewsError::Days { limit: DAYS_LIMIT }.into());
        }
        Ok(Question {
            hospitals: call.hospitals(self.hospital.as_ref())?,
            days: Days { from, to },
            by: self.by,
            format: self.format,
            asked: self.hospital,
        })
    }
}

fn dimensions(params: &mut Params<'_>, may_be: &[&[Dimension]]) -> Vec<Dimension> {
    let text = params.text("by", BY_CHARACTERS).unwrap_or_default();
    let mut by = Vec::new();
    for name in text
        .split([',', '，'])
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let mut known = may_be.iter().copied().flatten();
        match known.find(|dimension| dimension.name() == name) {
            Some(dimension) if !by.contains(dimension) => by.push(*dimension),
            Some(_) => {}
            None => {
                let message = format!(
                    "{name} 不能用来分组，可为 {} (cannot be grouped by)",
                    names(may_be)
                );
                params.fault("by", Rule::Format, message);
                return Vec::new();
            }
        }
    }
    by
}

impl Question {
    /// Puts the question on record, and has what came before it in the views. `operation`: the last word of its address.
    pub async fn begin(&self, call: &Call, operation: &str) -> Result<(), Failure> {
        let hospital = self.asked.as_ref().map(ToString::to_string);
        let entry = AuditEntry {
            reader: call.caller()?.actor(),
            operation: format!("statistics.{operation}"),
            hospital: hospital.unwrap_or_default(),
            target: format!("{}/{}", self.days.from, self.days.to),
            read_for: call.caller()?.app()?.org.to_string(),
            user: String::new(),
            reason: String::new(),
        };
        call.archive().audit(entry).await?;
        call.archive().settle().await?;
        Ok(())
    }
}

/// Refuses an answer that would be too long.
pub fn in_bounds(lines: usize) -> Result<(), ViewsError> {
    match lines > LINES_LIMIT {
        true => Err(ViewsError::TooMany { limit: LINES_LIMIT }),
        false => Ok(()),
    }
}
