//! Reading the flat requests of our own operations, as leniently as a push (R5) and with every fault named (R2).

use std::fmt::Display;
use std::ops::RangeInclusive;

use yingku_core::contract::json::{self, Json};
use yingku_core::contract::{Fault, Refused, Rule};
use yingku_core::ids::{ExamNo, HospitalCode, IdError, StudyUid};
use yingku_core::time::{LocalDate, LocalDateTime, Zone};

use crate::error::Failure;

/// No typed field is longer; a longer text says so instead of what its parser makes of it.
const LIMIT: usize = 256;

/// To who asks an operation about the past that answers of now only.
pub const NO_PAST: &str = "本接口只答现状；查询过去请用 exam/history 或 statistics/reconcile 的 asOf (only the present is answered here: of the past ask exam/history or statistics/reconcile with asOf)";

/// The last page that can be asked for: far beyond what an archive has.
pub const PAGE_NO_LIMIT: u64 = 1_000_000_000;

/// Fields of one request, read one by one; [`Params::finish`] answers with all that is wrong.
pub struct Params<'a> {
    fields: Json<'a>,
    /// Path of an object within the request, with its dot; empty: the request itself.
    within: String,
    faults: Vec<Fault>,
}

/// Makes text of a request's bytes.
pub fn text<'a>(
    bytes: &'a [u8],
    charset: Option<&str>,
) -> Result<std::borrow::Cow<'a, str>, Failure> {
    json::decode(bytes, charset).map_err(|error| one_fault("", Rule::Json, error.to_string()))
}

pub fn one_fault(path: &str, rule: Rule, message: String) -> Failure {
    Failure::of_faults(&refused(vec![fault(path, rule, message)]))
}

pub fn fault(path: &str, rule: Rule, message: String) -> Fault {
    Fault {
        path: path.to_owned(),
        rule,
        message,
        limit: None,
    }
}

fn refused(faults: Vec<Fault>) -> Refused {
    Refused {
        faults,
        more: 0,
        warnings: Vec::new(),
        hospital: None,
        exam_no: None,
    }
}

impl<'a> Params<'a> {
    pub fn read(text: &'a str) -> Result<Self, Failure> {
        let fields =
            Json::parse(text).map_err(|error| one_fault("", Rule::Json, error.to_string()))?;
        if !matches!(fields, Json::Object(_)) {
            let found = fields.kind();
            let message =
                format!("应为 JSON 对象 {{…}}，实为 {found} (must be an object, found {found})");
            return Err(one_fault("", Rule::Type, message));
        }
        Ok(Self {
            fields,
            within: String::new(),
            faults: Vec::new(),
        })
    }

    /// Text of a field, trimmed; empty and null mean absent, a number is its digits.
    pub fn text(&mut self, key: &str, limit: usize) -> Option<String> {
        let text = match self.fields.get(key)? {
            Json::Null => return None,
            Json::Text(text) | Json::Number(text) => text.trim().to_owned(),
            Json::Bool(true) => "true".to_owned(),
            Json::Bool(false) => "false".to_owned(),
            other => {
                let found = other.kind();
                self.fault(
                    key,
                    Rule::Type,
                    format!("应为文本，实为 {found} (must be text, found {found})"),
                );
                return None;
            }
        };
        if text.is_empty() {
            return None;
        }
        let found = text.chars().count();
        if found > limit {
            self.fault(
                key,
                Rule::Length,
                format!("过长：最多 {limit} 字，实为 {found} 字 (at most {limit} characters, found {found})"),
            );
            return None;
        }
        Some(text)
    }

    /// A list of texts, or one text; none may be longer than `limit`, and `count` of them there may be.
    pub fn texts(&mut self, key: &str, limit: usize, count: usize) -> Vec<String> {
        let Some(Json::Array(items)) = self.fields.get(key) else {
            return self.text(key, limit).into_iter().collect();
        };
        let mut texts = Vec::new();
        for item in items {
            match item {
                Json::Text(text) | Json::Number(text) => texts.push(text.trim().to_owned()),
                _ => {
                    let message = "应为文本的数组 (must be an array of texts)".to_owned();
                    self.fault(key, Rule::Type, message);
                    return Vec::new();
                }
            }
        }
        texts.retain(|text| !text.is_empty());
        if texts.len() > count || texts.iter().any(|text| text.chars().count() > limit) {
            let message = format!(
                "至多 {count} 项，每项至多 {limit} 字 (at most {count} items of {limit} characters)"
            );
            self.fault(key, Rule::Length, message);
            return Vec::new();
        }
        texts
    }

    /// Reads the fields of an object within the request; nothing of it where it is absent.
    pub fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let object = match self.fields.get(key) {
            None | Some(Json::Null) => return None,
            Some(object @ Json::Object(_)) => object.clone(),
            Some(other) => {
                let found = other.kind();
                let message = format!("应为对象，实为 {found} (must be an object, found {found})");
                self.fault(key, Rule::Type, message);
                return None;
            }
        };
        let outer = std::mem::replace(&mut self.fields, object);
        let path = format!("{}{key}.", self.within);
        let outer_path = std::mem::replace(&mut self.within, path);
        let read = read(self);
        self.fields = outer;
        self.within = outer_path;
        Some(read)
    }

    pub fn required_text(&mut self, key: &str, limit: usize) -> Option<String> {
        self.required(key, |params| params.text(key, limit))
    }

    /// A field as its type; a text that is none is a fault.
    pub fn parsed<T, E: Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key, LIMIT)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, Rule::Format, format!("格式错误，请改正：{error}"));
                None
            }
        }
    }

    /// A field that must be there, read by another of these.
    pub fn required<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let faults = self.faults.len();
        let value = read(self);
        if value.is_none() && self.faults.len() == faults {
            self.fault(key, Rule::Required, "必填 (required)".to_owned());
        }
        value
    }

    /// A whole number within a range, both ends included.
    pub fn number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(key, LIMIT)?;
        if let Some(number) = text.parse().ok().filter(|number| range.contains(number)) {
            return Some(number);
        }
        let (least, most) = range.into_inner();
        let path = format!("{}{key}", self.within);
        self.faults.push(Fault {
            limit: Some(format!("{least}-{most}")),
            ..fault(
                &path,
                Rule::Number,
                format!(
                    "应为 {least} 至 {most} 的整数，请改正 (must be a whole number from {least} to {most})"
                ),
            )
        });
        None
    }

    /// A number of a hospital's numbering: the first is 0.
    pub fn generation(&mut self) -> Option<u16> {
        let number = self.number("generation", 0..=u64::from(u16::MAX));
        number.and_then(|number| u16::try_from(number).ok())
    }

    /// From 1 on.
    pub fn page_no(&mut self) -> u64 {
        self.number("pageNo", 1..=PAGE_NO_LIMIT).unwrap_or(1)
    }

    /// An identifier; a text that is none is a fault, in the words of a push.
    fn identifier<T>(
        &mut self,
        key: &str,
        new: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        let text = self.text(key, LIMIT)?;
        match new(&text) {
            Ok(id) => Some(id),
            Err(error) => {
                let path = format!("{}{key}", self.within);
                self.faults.push(Fault::of_identifier(&path, &error));
                None
            }
        }
    }

    pub fn hospital(&mut self) -> Option<HospitalCode> {
        self.identifier("hospitalCode", |text| HospitalCode::new(text))
    }

    pub fn exam_no(&mut self) -> Option<ExamNo> {
        self.identifier("examNo", |text| ExamNo::new(text))
    }

    pub fn study_uid(&mut self) -> Option<StudyUid> {
        self.identifier("studyUID", |text| StudyUid::new(text))
    }

    /// Hospital and exam number, both required.
    pub fn exam(&mut self) -> Option<(HospitalCode, ExamNo)> {
        let hospital = self.required("hospitalCode", Self::hospital);
        let exam_no = self.required("examNo", Self::exam_no);
        hospital.zip(exam_no)
    }

    /// A day of the calendar.
    pub fn date(&mut self, key: &str) -> Option<LocalDate> {
        let text = self.text(key, LIMIT)?;
        match LocalDate::parse(&text) {
            Ok(date) => Some(date),
            Err(error) => {
                let message = format!(
                    "日期有误：{error}；应为 YYYY-MM-DD，如 2026-07-04 (must be a date, YYYY-MM-DD)"
                );
                self.fault(key, Rule::Format, message);
                None
            }
        }
    }

    /// A field that is true or false, however written.
    pub fn flag(&mut self, key: &str) -> bool {
        self.parsed(key, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("应为 true 或 false (must be true or false)"),
        })
        .unwrap_or(false)
    }

    /// A moment as unix milliseconds: local time, whose second is included to its end, or RFC 3339 with an offset.
    pub fn moment(&mut self, key: &str, zone: &Zone) -> Option<i64> {
        let text = self.text(key, LIMIT)?;
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(moment.as_millisecond());
        }
        match LocalDateTime::parse(&text) {
            Ok(time) => Some(time.unix_ms(zone) + 999),
            Err(error) => {
                let message = format!(
                    "时间有误：{error}；应为 YYYY-MM-DD HH:MM:SS，如 2026-07-04 10:54:32 (must be a time, YYYY-MM-DD HH:MM:SS)"
                );
                self.fault(key, Rule::Format, message);
                None
            }
        }
    }

    /// First and last day: a range that ends before it begins is a fault of both.
    pub fn in_order(&mut self, from: Option<LocalDate>, to: Option<LocalDate>) {
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            for key in ["from", "to"] {
                let message = "from 在 to 之后，请对调 (from is after to)".to_owned();
                self.fault(key, Rule::Consistency, message);
            }
        }
    }

    /// Whether one of these fields was given and is wrong.
    pub fn any_wrong(&self, keys: &[&str]) -> bool {
        let mut wrong = self.faults.iter().map(|fault| fault.path.as_str());
        wrong.any(|path| keys.contains(&path))
    }

    /// A field that another operation takes: left unsaid, the answer would be taken for what it is not.
    pub fn not_here(&mut self, key: &str, hint: &str) {
        if self.text(key, LIMIT).is_some() {
            self.fault(key, Rule::Format, hint.to_owned());
        }
    }

    pub fn fault(&mut self, key: &str, rule: Rule, message: String) {
        let path = format!("{}{key}", self.within);
        self.faults.push(fault(&path, rule, message));
    }

    /// All that was wrong, if anything was.
    pub fn finish(self) -> Result<(), Failure> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Failure::of_faults(&refused(self.faults)))
    }
}

/// What a request lacks is among its faults, so this is not reached with a value missing; it keeps that from panicking.
pub fn incomplete() -> Failure {
    one_fault(
        "",
        Rule::Required,
        "缺少必填字段 (a required field is absent)".to_owned(),
    )
}
