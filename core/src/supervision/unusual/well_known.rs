//! One exam that many look at: a patient whom people know, or a colleague.

use std::collections::HashMap;

use super::{Kind, Look, Unusual, digest, hospital_of};
use crate::time::{LocalDate, Zone};

/// Pairs of exam and user that are remembered: some 100 MB. Only looks from other hospitals are.
pub const PAIRS_LIMIT: usize = 1_000_000;
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Default)]
struct Looked {
    /// Who, and the last day on which.
    by: Vec<(u64, i64)>,
    /// Most within the days, and when that was.
    most: u32,
    at: Option<LocalDate>,
}

#[derive(Debug)]
pub struct WellKnown {
    limit: u32,
    days: i64,
    today: i64,
    exams: HashMap<String, Looked>,
    pairs: usize,
    is_partial: bool,
}

impl WellKnown {
    /// `limit`: users; 0: nothing is told.
    pub fn new(limit: u32, days: u32) -> Self {
        Self {
            limit,
            days: i64::from(days.max(1)),
            today: 0,
            exams: HashMap::new(),
            pairs: 0,
            is_partial: false,
        }
    }

    /// Forgets who looked too long ago, and the exams that nobody looks at any more.
    pub fn begin_day(&mut self, date: LocalDate) {
        self.today = date.midnight().unix_ms(&Zone::utc()) / DAY_MS;
        let oldest = self.today - self.days;
        self.pairs = 0;
        self.exams.retain(|_, looked| {
            looked.by.retain(|(_, day)| *day > oldest);
            self.pairs += looked.by.len();
            !looked.by.is_empty() || looked.most >= self.limit
        });
    }

    /// Somebody opened an exam.
    pub fn look(&mut self, look: &Look<'_>, exam: &str) {
        let from_elsewhere = hospital_of(exam)
            .is_some_and(|hospital| !look.read_for.is_empty() && look.read_for != hospital);
        if self.limit == 0 || !from_elsewhere {
            return;
        }
        // Without a code of who reads, it is the reader as a whole.
        let who = digest((look.reader, look.read_for, look.user));
        let today = self.today;
        let known = self.exams.get_mut(exam);
        let pair = known.and_then(|looked| looked.by.iter_mut().find(|(by, _)| *by == who));
        if let Some((_, day)) = pair {
            *day = today;
            return;
        }
        if self.pairs >= PAIRS_LIMIT {
            self.is_partial = true;
            return;
        }
        self.pairs += 1;
        let looked = self.exams.entry(exam.to_owned()).or_default();
        looked.by.push((who, today));
        let count = looked.by.len() as u32;
        if count > looked.most {
            (looked.most, looked.at) = (count, Some(look.date));
        }
    }

    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub fn lines(self) -> impl Iterator<Item = Unusual> {
        let limit = self.limit;
        let known = self.exams.into_iter();
        let known = known.filter(move |(_, looked)| limit > 0 && looked.most >= limit);
        known.map(|(exam, looked)| Unusual {
            kind: Kind::WellKnown,
            reader: String::new(),
            user: String::new(),
            read_for: String::new(),
            exam,
            at: looked.at.map(|date| date.to_string()).unwrap_or_default(),
            count: looked.most,
            of: None,
            times: 1,
        })
    }
}
