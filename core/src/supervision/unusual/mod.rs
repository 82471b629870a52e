//! Unusual reading 异常调阅: of who read what, that which somebody should look at. It says who, when and how many, and for an
//! exam that many look at its number; never anything of a patient.
//!
//! Nothing here is proof of anything: a health record's platform reads all that there is, and an emergency room reads in the
//! night. The limits are settable, and who reads so by its work can be left out.
//!
//! A [`Watch`] takes readings in the order of their times and holds a bounded part of them.

mod well_known;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::time::LocalDate;
use well_known::WellKnown;

/// Readers, each with its users and the hospitals that it reads for, that are told apart.
pub const READERS_LIMIT: usize = 50_000;
/// Exams of a day that are remembered, of all readers together: some 70 MB.
pub const EXAMS_LIMIT: usize = 2_000_000;
/// Lines of one kind, the largest first: more are more than anybody asks after.
pub const LINES_LIMIT: usize = 1_000;

/// From where on reading is unusual. 0 leaves a kind out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Different exams that one opened in a clock hour: one a minute is more than is read with care.
    pub opened_hour: u32,
    /// The same in a day.
    pub opened_day: u32,
    /// Different exams in the lists that one saw in a day.
    pub listed_day: u32,
    /// The hour at which the night begins, and the one at which it is over.
    pub night: (u8, u8),
    /// Readings in the night; fewer are a duty.
    pub night_least: u32,
    /// So many times as many an hour in the night as by day.
    pub night_times: u32,
    /// Readings for an emergency in a day.
    pub emergencies_day: u32,
    /// Users of other hospitals that opened the same exam.
    pub lookers: u32,
    /// Within so many days.
    pub lookers_days: u32,
    /// Attempts in a day that were refused for want of a right or a reason.
    pub refused_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opened_hour: 60,
            opened_day: 200,
            listed_day: 1_000,
            night: (22, 6),
            night_least: 20,
            night_times: 2,
            emergencies_day: 20,
            lookers: 5,
            lookers_days: 7,
            refused_day: 20,
        }
    }
}

impl Limits {
    fn is_night(&self, hour: u8) -> bool {
        let (from, to) = self.night;
        match from <= to {
            true => (from..to).contains(&hour),
            false => hour >= from || hour < to,
        }
    }

    fn night_hours(&self) -> u64 {
        (0..24).filter(|hour| self.is_night(*hour)).count() as u64
    }
}

/// One reading, as the audit stream has it.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub reader: &'a str,
    pub user: &'a str,
    pub read_for: &'a str,
    pub operation: &'a str,
    pub target: &'a str,
    pub reason: &'a str,
    /// By the hospitals' clocks.
    pub date: LocalDate,
    pub hour: u8,
}

impl<'a> Look<'a> {
    /// The exams that it names: `hospital/examNo`, or by study. A citation by study names its exams by number, too.
    fn exams(&self) -> impl Iterator<Item = &'a str> {
        let counts =
            !self.operation.starts_with("statistics.") && !self.operation.starts_with("apply");
        let by_study = self.operation != "citation";
        let words = self.target.split(' ').filter(move |_| counts);
        words.filter(move |word| hospital_of(word).is_some() || by_study && is_uid(word))
    }
}

/// Of `hospital/examNo`.
fn hospital_of(exam: &str) -> Option<&str> {
    let (hospital, number) = exam.split_once('/')?;
    (!hospital.is_empty() && !number.is_empty()).then_some(hospital)
}

fn is_uid(word: &str) -> bool {
    word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// What is unusual about a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    OpenedHour,
    OpenedDay,
    ListedDay,
    Night,
    Emergencies,
    WellKnown,
    Refused,
}

/// One line: who, at most when, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unusual {
    pub kind: Kind,
    pub reader: String,
    pub user: String,
    pub read_for: String,
    /// That many looked at; empty in the other kinds.
    pub exam: String,
    /// Day, or day and hour, at which it was most; empty of all days together.
    pub at: String,
    pub count: u32,
    /// Held against: readings by day; readings of that day with any reason.
    pub of: Option<u32>,
    /// Hours or days that reached the limit.
    pub times: u32,
}

/// What a watch came to.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// By kind, the largest first.
    pub lines: Vec<Unusual>,
    /// With those for which there was no room.
    pub total: usize,
    pub readings: u64,
    /// There were more readers or exams than are remembered: there may be more than is said.
    pub is_partial: bool,
}

impl Findings {
    /// Adds lines, orders all, and keeps [`LINES_LIMIT`] of each kind.
    pub fn with(mut self, more: Vec<Unusual>) -> Self {
        self.total += more.len();
        self.lines.extend(more);
        self.lines.sort_by(|a, b| {
            let names = |it: &Unusual| (it.reader.clone(), it.user.clone(), it.exam.clone());
            let order = a.kind.cmp(&b.kind).then(b.count.cmp(&a.count));
            order.then_with(|| names(a).cmp(&names(b)))
        });
        let mut kept: HashMap<Kind, usize> = HashMap::new();
        self.lines.retain(|line| {
            let lines = kept.entry(line.kind).or_default();
            *lines += 1;
            *lines <= LINES_LIMIT
        });
        self
    }
}

/// The highest of a count, and how often it came to its limit.
#[derive(Debug, Clone, Default)]
struct Peak {
    count: u32,
    of: u32,
    at: String,
    times: u32,
}

impl Peak {
    /// `count` has grown by one.
    fn grown(&mut self, count: u32, of: u32, limit: u32, at: impl Fn() -> String) {
        if count == limit {
            self.times += 1;
        }
        // Below the limit nobody asks when it was.
        if limit > 0 && count >= limit && count > self.count {
            (self.count, self.of, self.at) = (count, of, at());
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    reader: String,
    user: String,
    read_for: String,
}

/// What one did so far.
#[derive(Debug, Default)]
struct Account {
    hour: u8,
    opened_hour: HashSet<u64>,
    opened_day: HashSet<u64>,
    listed_day: HashSet<u64>,
    reasons_day: u32,
    emergencies_day: u32,
    most_opened_hour: Peak,
    most_opened_day: Peak,
    most_listed_day: Peak,
    most_emergencies: Peak,
    by_night: u32,
    by_day: u32,
}

impl Account {
    fn held(&self) -> usize {
        self.opened_hour.len() + self.opened_day.len() + self.listed_day.len()
    }

    fn end_day(&mut self) {
        // A reader that had a heavy day must not keep its room for ever.
        self.opened_hour = HashSet::new();
        self.opened_day = HashSet::new();
        self.listed_day = HashSet::new();
        self.reasons_day = 0;
        self.emergencies_day = 0;
    }

    fn lines(self, who: &Who, limits: &Limits, lines: &mut Vec<Unusual>) {
        let line = |kind, peak: Peak, of| Unusual {
            kind,
            reader: who.reader.clone(),
            user: who.user.clone(),
            read_for: who.read_for.clone(),
            exam: String::new(),
            at: peak.at,
            count: peak.count,
            of,
            times: peak.times,
        };
        for (kind, peak) in [
            (Kind::OpenedHour, self.most_opened_hour),
            (Kind::OpenedDay, self.most_opened_day),
            (Kind::ListedDay, self.most_listed_day),
        ] {
            if peak.count > 0 {
                lines.push(line(kind, peak, None));
            }
        }
        if self.most_emergencies.count > 0 {
            let of = Some(self.most_emergencies.of);
            lines.push(line(Kind::Emergencies, self.most_emergencies, of));
        }
        let hours = limits.night_hours();
        let an_hour_by_night = u64::from(self.by_night) * (24 - hours);
        let an_hour_by_day = u64::from(self.by_day) * hours * u64::from(limits.night_times);
        let is_much = limits.night_least > 0 && self.by_night >= limits.night_least;
        if is_much && an_hour_by_night > an_hour_by_day {
            let peak = Peak {
                count: self.by_night,
                ..Peak::default()
            };
            lines.push(line(Kind::Night, peak, Some(self.by_day)));
        }
    }
}

/// Takes readings, and tells in the end what was unusual about them.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    today: Option<LocalDate>,
    accounts: HashMap<Who, Account>,
    /// Of all accounts.
    held: usize,
    well_known: WellKnown,
    readings: u64,
    is_partial: bool,
}

impl Watch {
    pub fn new(limits: Limits) -> Self {
        Self {
            well_known: WellKnown::new(limits.lookers, limits.lookers_days),
            limits,
            today: None,
            accounts: HashMap::new(),
            held: 0,
            readings: 0,
            is_partial: false,
        }
    }

    /// Takes the next one. Their dates do not go back.
    pub fn look(&mut self, look: &Look<'_>) {
        self.readings += 1;
        if self.today != Some(look.date) {
            self.today = Some(look.date);
            self.accounts.values_mut().for_each(Account::end_day);
            self.held = 0;
            self.well_known.begin_day(look.date);
        }
        let exams: Vec<&str> = look.exams().collect();
        if let [exam] = *exams {
            self.well_known.look(look, exam);
        }
        let who = Who {
            reader: look.reader.to_owned(),
            user: look.user.to_owned(),
            read_for: look.read_for.to_owned(),
        };
        if self.accounts.len() >= READERS_LIMIT && !self.accounts.contains_key(&who) {
            self.is_partial = true;
            return;
        }
        let account = self.accounts.entry(who).or_default();
        let before = account.held();
        if self.held.saturating_add(exams.len()) > EXAMS_LIMIT {
            self.is_partial = true;
        } else {
            account.saw(look, &exams, &self.limits);
        }
        account.read(look, &self.limits);
        // An hour that ended has given room back.
        self.held = self.held.saturating_sub(before) + account.held();
    }

    pub fn finish(self) -> Findings {
        let mut lines = Vec::new();
        for (who, account) in self.accounts {
            account.lines(&who, &self.limits, &mut lines);
        }
        let is_partial = self.is_partial || self.well_known.is_partial();
        lines.extend(self.well_known.lines());
        let found = Findings {
            readings: self.readings,
            is_partial,
            ..Findings::default()
        };
        found.with(lines)
    }
}

impl Account {
    /// One exam is opened; several are a list.
    fn saw(&mut self, look: &Look<'_>, exams: &[&str], limits: &Limits) {
        if self.hour != look.hour {
            self.hour = look.hour;
            self.opened_hour = HashSet::new();
        }
        let day = || look.date.to_string();
        let hour = || format!("{} {:02}:00", look.date, look.hour);
        if let [exam] = exams {
            if self.opened_hour.insert(digest(exam)) {
                let count = self.opened_hour.len() as u32;
                self.most_opened_hour
                    .grown(count, 0, limits.opened_hour, hour);
            }
            if self.opened_day.insert(digest(exam)) {
                let count = self.opened_day.len() as u32;
                self.most_opened_day.grown(count, 0, limits.opened_day, day);
            }
            return;
        }
        for exam in exams {
            if self.listed_day.insert(digest(exam)) {
                let count = self.listed_day.len() as u32;
                self.most_listed_day.grown(count, 0, limits.listed_day, day);
            }
        }
    }

    /// When, and why.
    fn read(&mut self, look: &Look<'_>, limits: &Limits) {
        match limits.is_night(look.hour) {
            true => self.by_night = self.by_night.saturating_add(1),
            false => self.by_day = self.by_day.saturating_add(1),
        }
        if look.reason.is_empty() {
            return;
        }
        self.reasons_day = self.reasons_day.saturating_add(1);
        if look.reason == "emergency" {
            self.emergencies_day = self.emergencies_day.saturating_add(1);
            let (count, of) = (self.emergencies_day, self.reasons_day);
            let day = || look.date.to_string();
            self.most_emergencies
                .grown(count, of, limits.emergencies_day, day);
        }
    }
}

/// Two that have the same are counted as one: of 2 million, hardly ever.
fn digest(text: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
