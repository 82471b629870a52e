//! One page of the feed: the lines of changes from a place on, each held against the exam as it stands.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{ExamKey, HospitalCode, Position};
use yingku_core::registry::Registry;
use yingku_storage::views::{Views, Walk};

use super::super::exam_row::names;
use super::super::reading::{Reading, Shown};
use super::super::{detail, exam_row};
use super::cursor::Place;
use crate::call::{Call, local_time};
use crate::error::Failure;

/// Lines that one request looks at: who has a right to few hospitals passes over those of all others, and 20,000 are some
/// ten milliseconds, or 300 where each exam is read.
const LINES_LIMIT: usize = 20_000;
/// Bytes of a page's exams, after which it ends: one push may have a megabyte.
const PAGE_BYTES: usize = 8 << 20;

/// Why an exam is no longer there for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Withdrawn,
    /// A push stands in the place of what was registered from a form (R16).
    Superseded,
    /// Its hospital keeps such exams to itself, or it is a trial's now.
    Kept,
    /// Purged with a hospital's test data.
    Purged,
}

impl Gone {
    fn code(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
            Self::Kept => "kept",
            Self::Purged => "purged",
        }
    }
}

/// What a page tells.
#[derive(Default)]
pub struct Page {
    pub entries: Vec<Value>,
    /// Of how many exams of each hospital, and how many are gone: for the record.
    pub exams: Vec<HospitalCode>,
    pub gone: usize,
    /// Where the next page begins.
    pub place: Place,
    /// All changes that there were are told.
    pub is_whole: bool,
}

struct Line {
    position: Position,
    exam: ExamKey,
}

/// Lines from a place on.
struct Lines {
    of_readers: Vec<Line>,
    /// Behind the last line looked at.
    behind: Place,
    is_whole: bool,
}

/// What makes a page.
pub struct Asked<'a> {
    pub call: &'a Call,
    pub reading: &'a Reading,
    /// Hospitals whose exams are told.
    pub hospitals: BTreeSet<HospitalCode>,
    pub size: usize,
}

impl Asked<'_> {
    /// Reads views and log, so it blocks.
    pub fn page(&self, from: &Place) -> Result<Page, Failure> {
        let archive = self.call.archive();
        let (views, registry) = (archive.views(), archive.registry());
        // Before the lines are read: what comes meanwhile is told by the next page.
        let end = views.cursor()?.next;
        let lines = self.lines(&views, from)?;
        let mut page = Page::default();
        let mut told = BTreeSet::new();
        let mut bytes = 0;
        for line in lines.of_readers {
            if page.entries.len() >= self.size || bytes >= PAGE_BYTES {
                return Ok(page);
            }
            page.place = Place {
                next: line.position,
                told: Some(line.exam.clone()),
            };
            let row = views.exam(&line.exam)?;
            // Its content came later: there is a line for that, and it tells the same.
            let comes_again = row
                .as_ref()
                .is_some_and(|row| row.position > line.position && row.position < end);
            if comes_again || told.contains(&line.exam) {
                continue;
            }
            if let Some(entry) = self.entry(&views, &registry, &line, row, &mut page)? {
                bytes += serde_json::to_vec(&entry).map_or(0, |text| text.len());
                page.entries.push(entry);
                told.insert(line.exam);
            }
        }
        page.is_whole = lines.is_whole;
        page.place = lines.behind;
        if page.is_whole && page.place.next < end {
            page.place = Place {
                next: end,
                told: None,
            };
        }
        Ok(page)
    }

    fn lines(&self, views: &Views, from: &Place) -> Result<Lines, Failure> {
        let mut lines = Lines {
            of_readers: Vec::new(),
            behind: from.clone(),
            is_whole: true,
        };
        let mut told = from.told.as_ref();
        let mut seen = 0;
        views.visit_changes(from.next, &mut |position, exam| {
            if position > from.next {
                told = None;
            }
            if let Some(last) = told {
                if exam == *last {
                    told = None;
                }
                return Walk::On;
            }
            if seen >= LINES_LIMIT {
                lines.is_whole = false;
                return Walk::Stop;
            }
            seen += 1;
            lines.behind = Place {
                next: position,
                told: Some(exam.clone()),
            };
            if self.hospitals.contains(&exam.hospital) {
                lines.of_readers.push(Line { position, exam });
            }
            Walk::On
        })?;
        Ok(lines)
    }

    /// `None`: this reader never saw it, and is told nothing.
    fn entry(
        &self,
        views: &Views,
        registry: &Registry,
        line: &Line,
        row: Option<ExamRow>,
        page: &mut Page,
    ) -> Result<Option<Value>, Failure> {
        let Some(state) = self.state(views, registry, &line.exam, row)? else {
            return Ok(None);
        };
        let log = self.call.archive().log();
        let time_ms = log.get(line.position)?.map(|record| record.time_ms);
        let mut out: Map<String, Value> = names(&line.exam);
        out.extend(exam_row::fields(json!({
            "position": line.position,
            "time": local_time(time_ms.unwrap_or_default(), &self.call.zone()),
        })));
        match state {
            State::Gone(why) => {
                page.gone += 1;
                out.insert("gone".to_owned(), why.code().into());
            }
            State::There(row) => {
                page.exams.push(line.exam.hospital.clone());
                let exam = detail::describe(self.call, views, &row)?;
                out.insert("exam".to_owned(), exam);
            }
        }
        Ok(Some(Value::Object(out)))
    }

    fn state(
        &self,
        views: &Views,
        registry: &Registry,
        key: &ExamKey,
        row: Option<ExamRow>,
    ) -> Result<Option<State>, Failure> {
        let Some(row) = row else {
            return Ok(Some(State::Gone(Gone::Purged)));
        };
        let is_shown = |row: &ExamRow| self.reading.shows(row, registry) == Shown::Yes;
        if is_shown(&row) {
            return Ok(Some(State::There(Box::new(row))));
        }
        let history = views.history(key, None)?;
        let was_shown = history.iter().any(|line| is_shown(&line.row));
        Ok(was_shown.then(|| State::Gone(why(&row))))
    }
}

enum State {
    There(Box<ExamRow>),
    Gone(Gone),
}

fn why(row: &ExamRow) -> Gone {
    match (
        row.withdrawn.is_some(),
        row.flags.contains(&ExamFlag::Superseded),
    ) {
        (true, _) => Gone::Withdrawn,
        (false, true) => Gone::Superseded,
        (false, false) => Gone::Kept,
    }
}
