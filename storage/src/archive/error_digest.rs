//! The vendors' error digest: what each app's or AE's requests were refused for, by rule, path
//! and operation, for 30 days.
//!
//! Bounded: one line for each source, day, rule and path, with a count and one example. Never values, never patients.
//! Apart from the views, since refusals of what was never recorded are not in the log.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, Options};
use serde::{Deserialize, Serialize};

/// Days that a line is kept.
pub const DAYS: u32 = 30;
/// Lines of one source and day; further rules and paths are counted together.
const LINES_OF_DAY: usize = 500;
const DAY_MS: i64 = 86_400_000;
const OTHER: &str = "other";

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// `app:ID` or `ae:TITLE`; `address:…` for callers that did not say who they are.
    pub source: String,
    pub hospital: String,
    /// Exam number, if it was readable.
    pub example: String,
    /// What was asked for: an address of the interfaces, or a DIMSE service.
    pub operation: String,
    /// The wrong field; empty if the whole was wrong.
    pub path: String,
    pub rule: String,
    /// The true reason, for operators.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedRequestKey {
    pub source: String,
    /// Days since 1970-01-01 UTC.
    pub day: u32,
    pub rule: String,
    pub path: String,
    /// Empty in lines of releases that did not tell it.
    #[serde(default)]
    pub operation: String,
}

/// One line of the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    #[serde(flatten)]
    pub key: RefusedRequestKey,
    pub count: u64,
    pub hospital: String,
    pub example: String,
    pub reason: String,
    pub last_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum ErrorDigestError {
    #[error("the error digest cannot be opened or read")]
    Database(#[from] rocksdb::Error),
}

pub struct ErrorDigest {
    db: DB,
    /// Read, count up, write back: one at a time.
    writing: Mutex<()>,
    purged_day: AtomicU32,
}

impl ErrorDigest {
    pub fn open(dir: &Path) -> Result<Self, ErrorDigestError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_size(2 << 20);
        options.set_keep_log_file_num(2);
        Ok(Self {
            db: DB::open(&options, dir)?,
            writing: Mutex::new(()),
            purged_day: AtomicU32::new(0),
        })
    }

    /// Counts a refusal. A digest that cannot be written costs a warning, never the request its answer.
    pub fn record(&self, refused: &RefusedRequest, time_ms: i64) {
        metrics::counter!("yingku_refusals_total", "rule" => refused.rule.clone()).increment(1);
        if let Err(error) = self.try_record(refused, time_ms) {
            tracing::warn!(%error, "a refusal is missing from the error digest");
        }
    }

    fn try_record(&self, refused: &RefusedRequest, time_ms: i64) -> Result<(), ErrorDigestError> {
        let day = u32::try_from(time_ms / DAY_MS).unwrap_or(0);
        let _writing = self.writing.lock();
        self.purge(day)?;
        let names = [&*refused.rule, &*refused.path, &*refused.operation];
        let mut key = key_bytes(&refused.source, day, names);
        if self.db.get(&key)?.is_none() && self.count_of(&refused.source, day) >= LINES_OF_DAY {
            key = key_bytes(&refused.source, day, [OTHER, "", ""]);
        }
        let mut line = match self.db.get(&key)? {
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => None,
        }
        .unwrap_or_else(|| Line {
            key: RefusedRequestKey {
                source: refused.source.clone(),
                day,
                rule: refused.rule.clone(),
                path: refused.path.clone(),
                operation: refused.operation.clone(),
            },
            count: 0,
            hospital: String::new(),
            example: String::new(),
            reason: String::new(),
            last_ms: 0,
        });
        line.count += 1;
        line.last_ms = time_ms;
        line.reason.clone_from(&refused.reason);
        if !refused.hospital.is_empty() {
            line.hospital.clone_from(&refused.hospital);
        }
        if !refused.example.is_empty() {
            line.example.clone_from(&refused.example);
        }
        if let Ok(bytes) = serde_json::to_vec(&line) {
            self.db.put(key, bytes)?;
        }
        Ok(())
    }

    fn count_of(&self, source: &str, day: u32) -> usize {
        let prefix = day_prefix(source, day);
        self.db
            .iterator(IteratorMode::From(&prefix, Direction::Forward))
            .take_while(|item| item.as_ref().is_ok_and(|(key, _)| key.starts_with(&prefix)))
            .take(LINES_OF_DAY)
            .count()
    }

    /// Once a day, lines older than [`DAYS`] go.
    fn purge(&self, day: u32) -> Result<(), ErrorDigestError> {
        if self.purged_day.swap(day, Ordering::Relaxed) == day {
            return Ok(());
        }
        for item in self.db.iterator(IteratorMode::Start) {
            let (key, value) = item?;
            let old = serde_json::from_slice::<Line>(&value)
                .map_or(true, |line| line.key.day.saturating_add(DAYS) < day);
            if old {
                self.db.delete(key)?;
            }
        }
        Ok(())
    }

    /// Lines of every source of a day (days since 1970-01-01 UTC), in the order of their sources.
    pub fn lines_of_day(&self, day: u32) -> Result<Vec<Line>, ErrorDigestError> {
        self.lines_of_days(day..=day)
    }

    /// The same of several days.
    pub fn lines_of_days(&self, days: RangeInclusive<u32>) -> Result<Vec<Line>, ErrorDigestError> {
        let mut lines = Vec::new();
        for item in self.db.iterator(IteratorMode::Start) {
            let (_, value) = item?;
            let line = serde_json::from_slice::<Line>(&value).ok();
            lines.extend(line.filter(|line| days.contains(&line.key.day)));
        }
        Ok(lines)
    }

    /// Lines of one source, one for each rule, path and operation: the days added up, with the last one's words. The latest come
    /// first.
    pub fn lines(&self, source: &str) -> Result<Vec<Line>, ErrorDigestError> {
        let mut prefix = source.as_bytes().to_vec();
        prefix.push(0);
        let mut lines: HashMap<[String; 3], Line> = HashMap::new();
        for item in self
            .db
            .iterator(IteratorMode::From(&prefix, Direction::Forward))
        {
            let (key, value) = item?;
            if !key.starts_with(&prefix) {
                break;
            }
            // Keys are in the order of the days, so the later one takes the earlier one's place.
            let Ok(mut line) = serde_json::from_slice::<Line>(&value) else {
                continue;
            };
            let key = [&line.key.rule, &line.key.path, &line.key.operation].map(String::clone);
            if let Some(earlier) = lines.remove(&key) {
                line.count += earlier.count;
            }
            lines.insert(key, line);
        }
        let mut lines: Vec<Line> = lines.into_values().collect();
        lines.sort_by(|a, b| {
            let days = b.key.day.cmp(&a.key.day);
            let counts = b.count.cmp(&a.count);
            let names = || (&a.key.rule, &a.key.path).cmp(&(&b.key.rule, &b.key.path));
            days.then(counts).then_with(names)
        });
        Ok(lines)
    }
}

fn day_prefix(source: &str, day: u32) -> Vec<u8> {
    let mut key = source.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&day.to_be_bytes());
    key
}

/// `names`: rule, path, operation.
fn key_bytes(source: &str, day: u32, names: [&str; 3]) -> Vec<u8> {
    let mut key = day_prefix(source, day);
    key.extend_from_slice(names.join("\0").as_bytes());
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(rule: &str) -> RefusedRequest {
        RefusedRequest {
            source: "app:demo-pacs".into(),
            hospital: "350006".into(),
            example: "E1".into(),
            operation: "/v1/exam/push".into(),
            path: "examInfo.examStatus".into(),
            rule: rule.into(),
            reason: "must be one of 50, 60, 65, 70".into(),
        }
    }

    #[test]
    fn refusals_are_counted_by_rule_bounded_and_forgotten_after_thirty_days() {
        let dir = tempfile::tempdir().unwrap();
        let digest = ErrorDigest::open(dir.path()).unwrap();
        for _ in 0..3 {
            digest.record(&refused("code"), DAY_MS);
        }
        for rule in 0..LINES_OF_DAY + 20 {
            digest.record(&refused(&format!("rule-{rule}")), DAY_MS);
        }
        let lines = digest.lines("app:demo-pacs").unwrap();
        assert_eq!(lines.len(), LINES_OF_DAY + 1);
        assert!(
            lines
                .iter()
                .any(|line| line.key.rule == "code" && line.count == 3)
        );
        digest.record(&refused("code"), DAY_MS * 2);
        let lines = digest.lines("app:demo-pacs").unwrap();
        let code: Vec<_> = lines
            .iter()
            .filter(|line| line.key.rule == "code")
            .map(|line| (line.count, line.last_ms))
            .collect();
        assert_eq!(code, [(4, DAY_MS * 2)], "one line for all days");
        let of_day = |day| {
            let lines = digest.lines_of_day(day).unwrap();
            lines.iter().map(|line| line.count).sum::<u64>()
        };
        assert_eq!((of_day(2), of_day(3)), (1, 0));
        assert_eq!(of_day(1), 3 + LINES_OF_DAY as u64 + 20);
        digest.record(&refused("late"), DAY_MS * 60);
        assert_eq!(digest.lines("app:demo-pacs").unwrap().len(), 1);
    }
}
