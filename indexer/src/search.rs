//! Questions and answers.

use std::collections::BTreeMap;
use std::ops::Bound;

use tantivy::aggregation::AggContextParams;
use tantivy::aggregation::AggregationCollector;
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::aggregation::agg_result::{AggregationResult, AggregationResults, BucketResult};
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, Occur, Query, RangeQuery, TermSetQuery,
};
use tantivy::schema::{Field, Value};
use tantivy::{DocAddress, DocId, Order, Score, Searcher, SegmentReader, TantivyDocument, Term};
use yingku_core::ids::{ExamKey, HospitalCode, Position};
use yingku_core::registry::canonical_source;

use crate::document::cut;
use crate::index::{Index, IndexError};
use crate::query::{Strictness, of_word, term, words_of};

/// Values of one facet that are counted; a region has fewer classes, and nobody looks at more devices.
const FACET_VALUES: u32 = 50;

/// How far into an answer a page may lie: a collector holds all that is before it.
pub const FOUND_LIMIT: usize = 10_000;

/// In which order exams are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The surest match first, of equal ones the newest.
    #[default]
    Relevance,
    /// The latest that came first.
    Newest,
}

/// What a hospital keeps to its own readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    pub hospital: HospitalCode,
    /// 患者来源 and canonical classes.
    pub sources: Vec<String>,
    pub classes: Vec<String>,
}

/// What narrows a question; of several values of one field any is enough, and an empty list narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Canonical classes.
    pub classes: Vec<String>,
    pub body_parts: Vec<String>,
    pub statuses: Vec<String>,
    pub devices: Vec<String>,
    pub doctors: Vec<String>,
    pub positive: Option<bool>,
    /// Days as numbers, 20260704, both included.
    pub from: Option<u64>,
    pub to: Option<u64>,
}

/// One question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// As it was typed; empty: only the filters narrow.
    pub text: String,
    /// Nothing of another hospital is found.
    pub hospitals: Vec<HospitalCode>,
    pub hidden: Vec<Hidden>,
    /// Prefixes of hospitals' numbers (R15).
    pub prefixes: BTreeMap<String, String>,
    pub filters: Filters,
    pub sort: Sort,
    /// Exams that came first at or after this position are left out.
    pub before: Position,
    /// With [`Sort::Newest`]: exams that came before this one only.
    pub after: Option<Position>,
    /// Both together [`FOUND_LIMIT`] at most.
    pub offset: usize,
    pub limit: usize,
    pub facets: bool,
}

/// An exam that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub exam: ExamKey,
    pub first: Position,
}

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    Hospital,
    Class,
    BodyPart,
    Status,
    Positive,
    Device,
    Doctor,
}

impl Facet {
    pub const ALL: [Self; 7] = [
        Self::Hospital,
        Self::Class,
        Self::BodyPart,
        Self::Status,
        Self::Positive,
        Self::Device,
        Self::Doctor,
    ];

    fn field(self) -> &'static str {
        match self {
            Self::Hospital => "hospital",
            Self::Class => "class",
            Self::BodyPart => "body_part",
            Self::Status => "status",
            Self::Positive => "positive",
            Self::Device => "device",
            Self::Doctor => "doctor",
        }
    }
}

/// How many exams have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetCount {
    pub value: String,
    pub exams: u64,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub hits: Vec<Hit>,
    /// All that was found, as of the last commit.
    pub total: u64,
    /// Nothing met the words as they were typed: these come near.
    pub forgiven: bool,
    pub facets: BTreeMap<Facet, Vec<FacetCount>>,
}

impl Index {
    /// Finds exams. Blocks: reads files.
    pub fn search(&self, question: &Question) -> Result<Found, IndexError> {
        if question.offset.saturating_add(question.limit) > FOUND_LIMIT {
            return Err(IndexError::TooFar { limit: FOUND_LIMIT });
        }
        let searcher = self.searcher();
        let exact = self.query(question, Strictness::Exact);
        let mut found = self.ask(&searcher, question, &*exact)?;
        if found.total == 0 && !words_of(&question.text).is_empty() {
            let forgiving = self.query(question, Strictness::Forgiving);
            found = self.ask(&searcher, question, &*forgiving)?;
            found.forgiven = found.total > 0;
        }
        Ok(found)
    }

    fn query(&self, question: &Question, strictness: Strictness) -> Box<dyn Query> {
        let fields = self.fields();
        let words = words_of(&question.text);
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for word in &words {
            if let Some(query) = of_word(word, strictness, &question.prefixes, fields) {
                clauses.push((Occur::Must, query));
            }
        }
        if clauses.is_empty() {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        let mut narrow = |query: Box<dyn Query>| {
            // What narrows says nothing of how sure a match is.
            clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0))));
        };
        let hospitals = question.hospitals.iter().map(|code| code.to_string());
        narrow(any_of(fields.hospital, hospitals));
        let filters = &question.filters;
        for (field, values) in [
            (fields.class, &filters.classes),
            (fields.body_part, &filters.body_parts),
            (fields.status, &filters.statuses),
            (fields.device, &filters.devices),
            (fields.doctor, &filters.doctors),
        ] {
            if !values.is_empty() {
                narrow(any_of(field, values.iter().map(|value| cut(value))));
            }
        }
        if let Some(positive) = filters.positive {
            narrow(term(fields.positive, if positive { "1" } else { "0" }));
        }
        let number = |field, number| Term::from_field_u64(field, number);
        if filters.from.is_some() || filters.to.is_some() {
            let from = filters.from.unwrap_or_default();
            let to = filters.to.unwrap_or(u64::MAX);
            narrow(Box::new(RangeQuery::new(
                Bound::Included(number(fields.day, from)),
                Bound::Included(number(fields.day, to)),
            )));
        }
        let before = question
            .after
            .unwrap_or(question.before)
            .min(question.before);
        narrow(Box::new(RangeQuery::new(
            Bound::Included(number(fields.first, 0)),
            Bound::Excluded(number(fields.first, before.0)),
        )));
        for hidden in &question.hidden {
            let sources = hidden
                .sources
                .iter()
                .map(|source| canonical_source(source).to_owned());
            let kept: Vec<Box<dyn Query>> = vec![
                any_of(fields.source, sources),
                any_of(fields.class, hidden.classes.iter().cloned()),
            ];
            let both: Vec<Box<dyn Query>> = vec![
                term(fields.hospital, hidden.hospital.as_str()),
                Box::new(BooleanQuery::union(kept)),
            ];
            clauses.push((Occur::MustNot, Box::new(BooleanQuery::intersection(both))));
        }
        Box::new(BooleanQuery::new(clauses))
    }

    fn ask(
        &self,
        searcher: &Searcher,
        question: &Question,
        query: &dyn Query,
    ) -> Result<Found, IndexError> {
        // A collector of nothing is none.
        let top = TopDocs::with_limit(question.limit.max(1)).and_offset(question.offset);
        let (hits, total) = match question.sort {
            Sort::Newest => {
                let newest = top.order_by_fast_field::<u64>("first", Order::Desc);
                let (hits, total) = searcher.search(query, &(newest, Count))?;
                let hits = hits.into_iter().map(|(_, address)| address);
                (hits.collect::<Vec<_>>(), total)
            }
            Sort::Relevance => {
                let surest = top.tweak_score(|segment: &SegmentReader| {
                    let first = segment.fast_fields().u64("first").ok();
                    move |doc: DocId, score: Score| {
                        let first = first.as_ref().and_then(|column| column.first(doc));
                        (score, first.unwrap_or_default())
                    }
                });
                let (hits, total) = searcher.search(query, &(surest, Count))?;
                let hits = hits.into_iter().map(|(_, address)| address);
                (hits.collect::<Vec<_>>(), total)
            }
        };
        let hits = hits.into_iter().take(question.limit);
        let hits = hits.map(|address| self.hit(searcher, address));
        Ok(Found {
            hits: hits.collect::<Result<_, IndexError>>()?,
            total: total as u64,
            forgiven: false,
            facets: match question.facets {
                true => count(searcher, query)?,
                false => BTreeMap::new(),
            },
        })
    }

    fn hit(&self, searcher: &Searcher, address: DocAddress) -> Result<Hit, IndexError> {
        let document: TantivyDocument = searcher.doc(address)?;
        let key = document.get_first(self.fields().key);
        let key = key.as_ref().and_then(|value| value.as_bytes());
        let exam = serde_json::from_slice(key.unwrap_or_default());
        let segment = searcher.segment_reader(address.segment_ord);
        let first = segment.fast_fields().u64("first")?.first(address.doc_id);
        Ok(Hit {
            exam: exam.map_err(|_| IndexError::Document)?,
            first: Position(first.unwrap_or_default()),
        })
    }
}

fn any_of(field: Field, values: impl Iterator<Item = String>) -> Box<dyn Query> {
    let terms = values.map(|value| Term::from_field_text(field, &value));
    Box::new(TermSetQuery::new(terms))
}

/// How many of what was found have which values, the most frequent first.
fn count(
    searcher: &Searcher,
    query: &dyn Query,
) -> Result<BTreeMap<Facet, Vec<FacetCount>>, IndexError> {
    let request = Facet::ALL.iter().map(|facet| {
        let terms =
            serde_json::json!({ "terms": { "field": facet.field(), "size": FACET_VALUES } });
        (facet.field().to_owned(), terms)
    });
    let request = serde_json::Value::Object(request.collect());
    let request: Aggregations =
        serde_json::from_value(request).map_err(|_| IndexError::Document)?;
    let collector = AggregationCollector::from_aggs(request, AggContextParams::default());
    let results: AggregationResults = searcher.search(query, &collector)?;
    let counted = Facet::ALL.iter().map(|facet| {
        let values = match results.0.get(facet.field()) {
            Some(AggregationResult::BucketResult(BucketResult::Terms { buckets, .. })) => buckets
                .iter()
                .map(|bucket| FacetCount {
                    value: bucket.key.to_string(),
                    exams: bucket.doc_count,
                })
                .collect(),
            _ => Vec::new(),
        };
        (*facet, values)
    });
    Ok(counted.collect())
}
