//! What narrows a question beside its words: whose exams may be found at all, what hospitals keep to themselves, and filters.
//!
//! Said twice: as clauses of a query, where everything that is found is looked at (facets), and as what a sweep asks of each
//! exam that it comes to, which costs nothing for those that it does not come to.

use std::ops::{Bound, RangeInclusive};

use tantivy::columnar::Column;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, RangeQuery, TermSetQuery};
use tantivy::schema::Field;
use tantivy::{DocId, SegmentReader, Term};
use yingku_core::registry::canonical_source;

use crate::document::cut;
use crate::query::term;
use crate::schema::Fields;
use crate::search::{Hidden, Question};

/// Values of one field, any of which is enough.
pub struct AnyOf {
    pub field: Field,
    pub values: Vec<String>,
}

impl AnyOf {
    pub fn query(&self) -> Box<dyn Query> {
        any_of(self.field, self.values.iter().cloned())
    }
}

/// Filters by the values of a field.
pub fn filters(question: &Question, fields: &Fields) -> Vec<AnyOf> {
    let filters = &question.filters;
    let lists = [
        (fields.class, &filters.classes),
        (fields.body_part, &filters.body_parts),
        (fields.status, &filters.statuses),
        (fields.device, &filters.devices),
        (fields.doctor, &filters.doctors),
    ];
    let lists = lists.into_iter().filter(|(_, values)| !values.is_empty());
    let mut all: Vec<AnyOf> = lists
        .map(|(field, values)| AnyOf {
            field,
            values: values.iter().map(|value| cut(value)).collect(),
        })
        .collect();
    if let Some(positive) = filters.positive {
        all.push(AnyOf {
            field: fields.positive,
            values: vec![if positive { "1" } else { "0" }.to_owned()],
        });
    }
    all
}

/// Days that are asked for; `None`: all.
fn days(question: &Question) -> Option<RangeInclusive<u64>> {
    let (from, to) = (question.filters.from, question.filters.to);
    let is_asked = from.is_some() || to.is_some();
    is_asked.then(|| from.unwrap_or_default()..=to.unwrap_or(u64::MAX))
}

/// As clauses of a query.
pub fn clauses(question: &Question, fields: &Fields) -> Vec<(Occur, Box<dyn Query>)> {
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    let mut narrow = |query: Box<dyn Query>| {
        clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0))));
    };
    let hospitals = question.hospitals.iter().map(|code| code.to_string());
    narrow(any_of(fields.hospital, hospitals));
    for filter in filters(question, fields) {
        narrow(filter.query());
    }
    let number = |field, number| Term::from_field_u64(field, number);
    if let Some(days) = days(question) {
        narrow(Box::new(RangeQuery::new(
            Bound::Included(number(fields.day, *days.start())),
            Bound::Included(number(fields.day, *days.end())),
        )));
    }
    narrow(Box::new(RangeQuery::new(
        Bound::Included(number(fields.first, 0)),
        Bound::Excluded(number(fields.first, question.before.0)),
    )));
    for hidden in &question.hidden {
        let kept: Vec<Box<dyn Query>> = vec![
            any_of(fields.source, sources(hidden)),
            any_of(fields.class, hidden.classes.iter().cloned()),
        ];
        let both: Vec<Box<dyn Query>> = vec![
            term(fields.hospital, hidden.hospital.as_str()),
            Box::new(BooleanQuery::union(kept)),
        ];
        clauses.push((Occur::MustNot, Box::new(BooleanQuery::intersection(both))));
    }
    clauses
}

fn sources(hidden: &Hidden) -> impl Iterator<Item = String> {
    let sources = hidden.sources.iter();
    sources.map(|source| canonical_source(source).to_owned())
}

fn any_of(field: Field, values: impl Iterator<Item = String>) -> Box<dyn Query> {
    let terms = values.map(|value| Term::from_field_text(field, &value));
    Box::new(TermSetQuery::new(terms))
}

/// What is asked of each exam of one segment.
pub struct Narrow {
    hospital: Texts,
    /// By the numbers of this segment's hospitals; empty: all of them may be found.
    allowed: Vec<bool>,
    hidden: Vec<Kept>,
    days: Option<(Column<u64>, RangeInclusive<u64>)>,
}

/// What one hospital keeps, by the numbers of this segment's values.
struct Kept {
    hospital: u64,
    source: (Texts, Vec<u64>),
    class: (Texts, Vec<u64>),
}

impl Narrow {
    /// `None`: nothing of this segment may be found.
    pub fn of(question: &Question, reader: &SegmentReader) -> tantivy::Result<Option<Self>> {
        let Some(hospital) = Texts::open(reader, "hospital")? else {
            return Ok(None);
        };
        let codes = question.hospitals.iter().map(|code| code.as_str());
        let asked = hospital.numbers(codes)?;
        if asked.is_empty() {
            return Ok(None);
        }
        let mut allowed = vec![false; hospital.values()];
        for number in asked {
            if let Some(is_allowed) = usize::try_from(number)
                .ok()
                .and_then(|at| allowed.get_mut(at))
            {
                *is_allowed = true;
            }
        }
        if allowed.iter().all(|is_allowed| *is_allowed) {
            allowed.clear();
        }
        let mut hidden = Vec::new();
        for it in &question.hidden {
            hidden.extend(Kept::of(it, &hospital, reader)?);
        }
        let days = match days(question) {
            Some(days) => Some((reader.fast_fields().u64("day")?, days)),
            None => None,
        };
        Ok(Some(Self {
            hospital,
            allowed,
            hidden,
            days,
        }))
    }

    pub fn keeps(&self, doc: DocId) -> bool {
        let is_asked = |days: &(Column<u64>, RangeInclusive<u64>)| {
            days.0.first(doc).is_some_and(|day| days.1.contains(&day))
        };
        self.is_of_a_hospital(doc)
            && !self.hidden.iter().any(|kept| kept.has(doc, &self.hospital))
            && self.days.as_ref().is_none_or(is_asked)
    }

    fn is_of_a_hospital(&self, doc: DocId) -> bool {
        let is_allowed = |number: u64| {
            let at = usize::try_from(number).ok();
            at.and_then(|at| self.allowed.get(at)).copied()
        };
        self.allowed.is_empty() || self.hospital.of(doc).and_then(is_allowed).unwrap_or(false)
    }
}

impl Kept {
    /// `None`: the hospital has nothing in this segment.
    fn of(
        hidden: &Hidden,
        hospital: &Texts,
        reader: &SegmentReader,
    ) -> tantivy::Result<Option<Self>> {
        let code = std::iter::once(hidden.hospital.as_str());
        let Some(number) = hospital.numbers(code)?.first().copied() else {
            return Ok(None);
        };
        let sources: Vec<String> = sources(hidden).collect();
        let of = |field, values: &[String]| -> tantivy::Result<Option<(Texts, Vec<u64>)>> {
            let Some(texts) = Texts::open(reader, field)? else {
                return Ok(None);
            };
            let numbers = texts.numbers(values.iter().map(String::as_str))?;
            Ok(Some((texts, numbers)))
        };
        let (source, class) = (of("source", &sources)?, of("class", &hidden.classes)?);
        Ok(source.zip(class).map(|(source, class)| Self {
            hospital: number,
            source,
            class,
        }))
    }

    fn has(&self, doc: DocId, hospital: &Texts) -> bool {
        let is_among = |(texts, numbers): &(Texts, Vec<u64>)| {
            texts
                .of(doc)
                .is_some_and(|number| numbers.contains(&number))
        };
        hospital.of(doc) == Some(self.hospital) && (is_among(&self.source) || is_among(&self.class))
    }
}

/// A field of texts in one segment, where each text has a number.
struct Texts {
    column: tantivy::columnar::StrColumn,
}

impl Texts {
    /// `None`: no document of the segment has such a text.
    fn open(reader: &SegmentReader, field: &str) -> tantivy::Result<Option<Self>> {
        let column = reader.fast_fields().str(field)?;
        Ok(column.map(|column| Self { column }))
    }

    fn values(&self) -> usize {
        self.column.dictionary().num_terms()
    }

    fn numbers<'a>(&self, texts: impl Iterator<Item = &'a str>) -> tantivy::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for text in texts {
            numbers.extend(self.column.dictionary().term_ord(text)?);
        }
        Ok(numbers)
    }

    fn of(&self, doc: DocId) -> Option<u64> {
        self.column.ords().first(doc)
    }
}
