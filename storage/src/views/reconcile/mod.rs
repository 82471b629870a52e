//! Reconciliation: gathers what the views hold of a range of days and lets `core::reconcile` add it up.
//!
//! A past position is answered as it was answered then: by the exams' histories, by the counts of studies that were
//! kept, by lists with what has been settled since. Only names are of today: hospitals and whether they are in trial, and
//! classes by the alias table as it is, so that all days compare.

mod declared;
mod detail;
mod holds;
mod images;
mod marks;

use std::collections::{BTreeSet, HashMap};

use serde::de::DeserializeOwned;
use yingku_core::dictionaries::{ClassCode, canonical_class};
use yingku_core::event::FORMS_SINCE_RULES;
use yingku_core::exam::ExamRow;
use yingku_core::ids::{ExamKey, HospitalCode, Position};
use yingku_core::reconcile::{Book, DAYS_LIMIT, Place, Reconciliation};
use yingku_core::refusal::RefusalRow;
use yingku_core::registry::Registry;
use yingku_core::time::{LocalDate, LocalDateTime, Zone};

use self::detail::Named;
use self::images::Images;
use self::marks::Lists;
use super::exams::EXAMS_LOOKED_AT_LIMIT;
use super::{View, Views, ViewsError, Walk, keys};

/// Rows in memory at once; keys are looked up in order, so that neighbours are read from one block.
const ROWS_AT_ONCE: usize = 1_024;

/// Which question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Hospitals asked about. Refusals of no known hospital are told if it names every registered one.
    pub hospitals: &'a [HospitalCode],
    /// Days, both included.
    pub from: LocalDate,
    pub to: LocalDate,
    /// Records before this position count; `None`: all.
    pub as_of: Option<Position>,
    /// The moment asked for, unix milliseconds: said again in the answer.
    pub as_of_ms: Option<i64>,
}

/// Answers it from the views.
pub fn reconcile(
    views: &Views,
    registry: &Registry,
    question: Question<'_>,
) -> Result<Reconciliation, ViewsError> {
    check_days(question)?;
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let mut gathering = Gathering {
        views,
        registry,
        from: question.from.to_string(),
        to: question.to.to_string(),
        as_of: question.as_of,
        classes: HashMap::new(),
        book: Book::in_zone(zone.clone()),
        zone,
    };
    for hospital in question.hospitals {
        let mut named = gathering.declarations(hospital)?;
        gathering.exams(hospital, &mut named)?;
        gathering.forms(hospital, &named)?;
        gathering.not_in_place(hospital, named)?;
        gathering.refusals(hospital.as_str())?;
    }
    if registry
        .hospitals
        .keys()
        .all(|code| question.hospitals.contains(code))
    {
        gathering.refusals("")?;
    }
    gathering.held(question.hospitals)?;
    gathering.held_then(question.hospitals)?;
    let hospital_of = |code: &str| {
        let code = HospitalCode::new(code).ok()?;
        registry.hospitals.get(&code)
    };
    let (cells, totals) = gathering.book.finish(hospital_of);
    Ok(Reconciliation {
        from: gathering.from,
        to: gathering.to,
        as_of: question.as_of,
        as_of_time: question
            .as_of_ms
            .and_then(|ms| LocalDateTime::from_unix_ms(ms, &gathering.zone)),
        cells,
        totals,
    })
}

fn check_days(question: Question<'_>) -> Result<(), ViewsError> {
    let days = std::iter::successors(Some(question.from), |day| day.next())
        .take(DAYS_LIMIT)
        .any(|day| day == question.to);
    if days {
        Ok(())
    } else {
        Err(ViewsError::Days { limit: DAYS_LIMIT })
    }
}

struct Gathering<'a> {
    views: &'a Views,
    registry: &'a Registry,
    zone: Zone,
    from: String,
    to: String,
    as_of: Option<Position>,
    /// Class texts that were looked up: there are few, and exams are many.
    classes: HashMap<String, ClassCode>,
    book: Book,
}

impl Views {
    /// The rows of these keys that there are.
    fn get_many<T: DeserializeOwned>(
        &self,
        view: View,
        keys: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Vec<T>, ViewsError> {
        let mut keys: Vec<Vec<u8>> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = keys.iter().map(|key| self.get(view, key));
        rows.filter_map(Result::transpose).collect()
    }
}

impl Gathering<'_> {
    fn counts(&self, position: Position) -> bool {
        self.as_of.is_none_or(|as_of| position < as_of)
    }

    fn within(&self, date: &str) -> bool {
        self.from.as_str() <= date && date <= self.to.as_str()
    }

    fn class(&mut self, text: &str) -> ClassCode {
        if let Some(class) = self.classes.get(text) {
            return class.clone();
        }
        let class = canonical_class(&self.registry.settings.class_aliases, text);
        self.classes.insert(text.to_owned(), class.clone());
        class
    }

    fn place(&mut self, hospital: &str, date: &str, class: &str) -> Place {
        Place {
            hospital: hospital.to_owned(),
            date: date.to_owned(),
            class: self.class(class),
        }
    }

    fn day_of(&self, time_ms: i64) -> String {
        LocalDateTime::from_unix_ms(time_ms, &self.zone)
            .map(|time| time.date().to_string())
            .unwrap_or_default()
    }

    /// Enters the exams of the days, each with what it is named for.
    fn exams(&mut self, hospital: &HospitalCode, named: &mut Named) -> Result<(), ViewsError> {
        let mut keys: BTreeSet<ExamKey> = BTreeSet::new();
        let views = self.views;
        views.visit_days(hospital, &self.from, &self.to, &mut |key| {
            keys.insert(key);
            if keys.len() > EXAMS_LOOKED_AT_LIMIT {
                return Err(ViewsError::TooMany {
                    limit: EXAMS_LOOKED_AT_LIMIT,
                });
            }
            Ok(Walk::On)
        })?;
        let lists = Lists::read(self, hospital)?;
        let keys: Vec<ExamKey> = keys.into_iter().collect();
        for keys in keys.chunks(ROWS_AT_ONCE) {
            // A line of the index stays when an exam's date changes, so the row says what the date is.
            let mut rows = self.rows(keys)?;
            rows.retain(|row| self.within(row.exam_date()));
            let images = Images::of(self.views, self.as_of, &rows)?;
            for row in rows {
                let state = images.state(&row);
                let place = self.place(hospital.as_str(), row.exam_date(), &row.class);
                let mut marks = lists.marks(&row);
                marks.differs = named.differences(&row, &images);
                marks.pull = self.pull_of(&row, state)?;
                self.book.exam(&place, &row, state, marks);
            }
        }
        Ok(())
    }

    /// Enters apply forms that are planned for the days and that no exam has. What a form was then is kept nowhere, so the
    /// past is not told of.
    fn forms(&mut self, hospital: &HospitalCode, named: &Named) -> Result<(), ViewsError> {
        if self.as_of.is_some() || self.registry.rules < FORMS_SINCE_RULES {
            return Ok(());
        }
        self.book.forms_are_known();
        let named = named.forms_not_here();
        let mut forms = Vec::new();
        let (views, from, to) = (self.views, self.from.clone(), self.to.clone());
        views.visit_open_forms(hospital, &from, &to, &mut |row| {
            // What was tried out counts nowhere.
            if !row.test {
                let date = row.planned_date().to_owned();
                forms.push((row.key, date, row.content.exam_class));
            }
            match forms.len() > EXAMS_LOOKED_AT_LIMIT {
                true => Walk::Stop,
                false => Walk::On,
            }
        })?;
        if forms.len() > EXAMS_LOOKED_AT_LIMIT {
            return Err(ViewsError::TooMany {
                limit: EXAMS_LOOKED_AT_LIMIT,
            });
        }
        for (key, date, class) in forms {
            let place = self.place(hospital.as_str(), &date, &class);
            let is_named = named.contains(&key.apply_no);
            self.book.form(&place, &key, is_named);
        }
        Ok(())
    }

    /// Rows as they stood.
    fn rows(&self, keys: &[ExamKey]) -> Result<Vec<ExamRow>, ViewsError> {
        if self.as_of.is_none() {
            return self
                .views
                .get_many(View::Exams, keys.iter().map(keys::exam));
        }
        let rows = keys
            .iter()
            .map(|key| self.views.exam_as_of(key, self.as_of));
        rows.filter_map(Result::transpose).collect()
    }

    /// Enters refused instances; those without a date under the day on which they came.
    fn refusals(&mut self, hospital: &str) -> Result<(), ViewsError> {
        let mut rows: Vec<RefusalRow> = Vec::new();
        let views = self.views;
        let mut keep = |row| {
            rows.push(row);
            if rows.len() > EXAMS_LOOKED_AT_LIMIT {
                Walk::Stop
            } else {
                Walk::On
            }
        };
        views.visit_refusals(hospital, "", "", &mut keep)?;
        views.visit_refusals(hospital, &self.from, &self.to, &mut keep)?;
        if rows.len() > EXAMS_LOOKED_AT_LIMIT {
            return Err(ViewsError::TooMany {
                limit: EXAMS_LOOKED_AT_LIMIT,
            });
        }
        rows.retain(|row| self.counts(row.position));
        for row in rows {
            let refused = &row.refused;
            let date = match refused.date.as_str() {
                "" => self.day_of(row.time_ms),
                date => date.to_owned(),
            };
            if self.within(&date) {
                let place = self.place(hospital, &date, &refused.class);
                let (sender, reason) = (&refused.sender, refused.reason);
                self.book.refuse(&place, sender, reason, refused.count);
            }
        }
        Ok(())
    }
}
