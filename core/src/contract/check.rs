//! Holds a JSON value against a field table and brings it into the canonical form: known texts as text and trimmed,
//! times in one spelling, arrays as arrays, absent fields left out; unknown fields stay as they came, keys in the
//! order in which they came (R5). Names every wrong field.

use std::borrow::Cow;
use std::fmt::Write;

use super::fault::{Fault, Findings, Rule};
use super::fields::{Field, Format, Kind};
use super::json::Json;
use super::policy::{Mode, ValidationPolicy};

/// The most items of one array. A patient's exam has a handful; a fault's list and an event must stay bounded.
pub const ITEMS_LIMIT: usize = 1_000;

/// Where the check stands: a chain on the stack, spelt out only when there is a fault.
#[derive(Clone, Copy)]
pub(super) struct Trail<'t> {
    pub parent: Option<&'t Trail<'t>>,
    pub step: Step<'t>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'t> {
    Root,
    Key(&'t str),
    Index(usize),
}

impl<'t> Trail<'t> {
    pub const ROOT: Trail<'static> = Trail {
        parent: None,
        step: Step::Root,
    };

    pub fn to(&'t self, step: Step<'t>) -> Trail<'t> {
        Trail {
            parent: Some(self),
            step,
        }
    }

    pub fn path(&self) -> String {
        let mut path = self.parent.map(Trail::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Index(index) => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            }
        }
        path
    }
}

/// One message's check against a table.
pub(super) struct Check<'p> {
    pub policy: &'p ValidationPolicy,
    pub findings: Findings,
    /// A length rule was broken that only warns.
    pub length_warned: bool,
    /// Null items stand in arrays and must be dropped.
    pub nulls: bool,
}

impl<'p> Check<'p> {
    pub fn new(policy: &'p ValidationPolicy) -> Self {
        Self {
            policy,
            findings: Findings::default(),
            length_warned: false,
            nulls: false,
        }
    }

    /// Checks an object's known fields. Null items of known arrays stay in place, so that indices remain the
    /// sender's; [`drop_nulls`] takes them out at the end.
    pub fn object<'a>(
        &mut self,
        table: &Field,
        entries: Vec<(Cow<'a, str>, Json<'a>)>,
        trail: &Trail<'_>,
    ) -> Json<'a> {
        let mut kept = Vec::with_capacity(entries.len());
        let mut seen = 0u64;
        for (key, value) in entries {
            let Some((place, field)) = table.child(&key) else {
                kept.push((key, value));
                continue;
            };
            if is_absent(&value) || (field.kind == Kind::Array && is_empty_list(&value)) {
                continue;
            }
            seen |= 1 << place;
            if let Some(value) = self.value(field, value, &trail.to(Step::Key(&field.name))) {
                kept.push((key, value));
            }
        }
        for (place, field) in table.children.iter().enumerate() {
            if field.required && seen & (1 << place) == 0 {
                self.missing(field, &kept, trail);
            }
        }
        Json::Object(kept)
    }

    fn missing(&mut self, field: &Field, kept: &[(Cow<'_, str>, Json<'_>)], trail: &Trail<'_>) {
        let mut message = format!(
            "必填字段“{}”缺失或为空，请补上 (required, absent or empty",
            field.title
        );
        if let Some((near, _)) = kept
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(&field.name))
        {
            // The key is one of ours but for its letters, so it shows nothing of a patient.
            let _ = write!(message, "; found key {near}, names are case-sensitive");
        }
        message.push(')');
        let path = trail.to(Step::Key(&field.name)).path();
        self.findings
            .refuse(Fault::new(path, Rule::Required, message));
    }

    fn wrong_kind(&mut self, wanted_zh: &str, wanted: &str, found: &Json<'_>, trail: &Trail<'_>) {
        let found = found.kind();
        let message =
            format!("类型错误：应为{wanted_zh}，实为 {found} (must be {wanted}, found {found})");
        self.findings
            .refuse(Fault::new(trail.path(), Rule::Type, message));
    }

    fn value<'a>(&mut self, field: &Field, value: Json<'a>, trail: &Trail<'_>) -> Option<Json<'a>> {
        match (field.kind, value) {
            (Kind::Text(format), Json::Text(text)) => Some(self.text(field, format, text, trail)),
            (Kind::Text(format), Json::Number(text)) => {
                // Some serialisers know only floating point and write 70.0.
                let text = match text {
                    Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix(".0").unwrap_or(text)),
                    Cow::Owned(text) => {
                        Cow::Owned(text.strip_suffix(".0").unwrap_or(&text).to_owned())
                    }
                };
                Some(self.text(field, format, text, trail))
            }
            (Kind::Object, Json::Object(entries)) => Some(self.object(field, entries, trail)),
            (Kind::Array, Json::Array(items)) => Some(self.array(field, items, trail)),
            (Kind::Array, single @ Json::Object(_)) => Some(self.array(field, vec![single], trail)),
            (Kind::Array, single @ (Json::Text(_) | Json::Number(_)))
                if field.plain_item.is_some() =>
            {
                Some(self.array(field, vec![single], trail))
            }
            (Kind::Text(_), other) => {
                self.wrong_kind("文本", "text", &other, trail);
                None
            }
            (Kind::Object, other) => {
                self.wrong_kind("对象 {…}", "an object", &other, trail);
                None
            }
            (Kind::Array, other) => {
                self.wrong_kind("数组 […]", "an array", &other, trail);
                None
            }
        }
    }

    fn array<'a>(&mut self, field: &Field, items: Vec<Json<'a>>, trail: &Trail<'_>) -> Json<'a> {
        if items.len() > ITEMS_LIMIT {
            let found = items.len();
            let message = format!(
                "数组过长：最多 {ITEMS_LIMIT} 项，实为 {found} 项 (more than {ITEMS_LIMIT} items, found {found})"
            );
            self.findings
                .refuse(Fault::new(trail.path(), Rule::Length, message).with_limit(ITEMS_LIMIT));
            return Json::Array(Vec::new());
        }
        let mut kept = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let here = trail.to(Step::Index(index));
            kept.push(match (item, field.plain_item) {
                (Json::Object(entries), _) => self.object(field, entries, &here),
                (item, _) if is_absent(&item) => {
                    self.nulls = true;
                    Json::Null
                }
                (item @ (Json::Text(_) | Json::Number(_)), Some(key)) => {
                    self.object(field, vec![(Cow::Borrowed(key), item)], &here)
                }
                (item, _) => {
                    self.wrong_kind("对象 {…}", "an object", &item, &here);
                    self.nulls = true;
                    Json::Null
                }
            });
        }
        Json::Array(kept)
    }

    fn text<'a>(
        &mut self,
        field: &Field,
        format: Format,
        text: Cow<'a, str>,
        trail: &Trail<'_>,
    ) -> Json<'a> {
        let text = if field.is_prose() { text } else { trim(text) };
        if field.also.is_some_and(|also| also == text) {
            return Json::Text(text);
        }
        match format.check(&text) {
            Ok(None) => Json::Text(text),
            Ok(Some(canonical)) => Json::Text(Cow::Owned(canonical)),
            Err(broken) => {
                let fault =
                    Fault::new(trail.path(), broken.rule, broken.message).with_limit(format);
                match (broken.rule, self.policy.length_mode(&field.path)) {
                    (Rule::Length, Mode::Warn) => {
                        self.length_warned = true;
                        self.findings.warn(fault);
                    }
                    _ => self.findings.refuse(fault),
                }
                Json::Text(text)
            }
        }
    }
}

/// Null and empty text mean absent (R5); so do blanks alone.
fn is_absent(value: &Json<'_>) -> bool {
    match value {
        Json::Null => true,
        Json::Text(text) => text.chars().all(char::is_whitespace),
        _ => false,
    }
}

fn is_empty_list(value: &Json<'_>) -> bool {
    matches!(value, Json::Array(items) if items.is_empty())
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Takes the null items out of the arrays that the table knows.
pub(super) fn drop_nulls(table: &Field, value: &mut Json<'_>) {
    match value {
        Json::Array(items) => {
            items.retain(|item| !matches!(item, Json::Null));
            items.iter_mut().for_each(|item| drop_nulls(table, item));
        }
        Json::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                if let Some((_, field)) = table.child(key) {
                    drop_nulls(field, value);
                }
            }
            entries.retain(|(key, value)| {
                !(matches!(value, Json::Array(items) if items.is_empty())
                    && table.child(key).is_some())
            });
        }
        _ => {}
    }
}
