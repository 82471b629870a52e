//! Questions and answers.

use std::collections::BTreeMap;

use tantivy::query::{AllQuery, BooleanQuery, Occur, Query};
use tantivy::schema::Value;
use tantivy::{DocAddress, Searcher, TantivyDocument};
use yingku_core::ids::{ExamKey, HospitalCode, Position};

use crate::best::Best;
use crate::facets::{self, Facets};
use crate::index::{Index, IndexError};
use crate::narrow;
use crate::query::{Strictness, Way, ways, words_of};
use crate::schema::FIRST;
use crate::sweep::Looked;

/// How far into an answer a page may lie: all that is before it is held. Exams beyond are not counted, unless facets are.
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

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub hits: Vec<Hit>,
    /// What was found, as of the last commit; without facets not more than [`FOUND_LIMIT`].
    pub total: u64,
    /// There may be more than `total`.
    pub has_more: bool,
    /// Nothing met the words as they were typed: these come near.
    pub forgiven: bool,
    pub facets: Facets,
}

impl Index {
    /// Finds exams. Blocks: reads files.
    pub fn search(&self, question: &Question) -> Result<Found, IndexError> {
        if question.offset.saturating_add(question.limit) > FOUND_LIMIT {
            return Err(IndexError::TooFar { limit: FOUND_LIMIT });
        }
        let searcher = self.searcher();
        let mut found = self.ask(&searcher, question, Strictness::Exact)?;
        if found.total == 0 && !words_of(&question.text).is_empty() {
            found = self.ask(&searcher, question, Strictness::Forgiving)?;
            found.forgiven = found.total > 0;
        }
        Ok(found)
    }

    fn ask(
        &self,
        searcher: &Searcher,
        question: &Question,
        strictness: Strictness,
    ) -> Result<Found, IndexError> {
        let fields = self.fields();
        let typed = words_of(&question.text).into_iter();
        let words = typed.map(|word| ways(&word, strictness, &question.prefixes, fields));
        // What nothing can be looked for by narrows nothing.
        let words: Vec<Vec<Way>> = words.filter(|ways| !ways.is_empty()).collect();
        let counted = match question.facets {
            true => Some(facets::count(searcher, &*self.all(question, &words))?),
            false => None,
        };
        let count_limit = match counted {
            Some(_) => 0,
            None => FOUND_LIMIT as u64,
        };
        let mut best = Best::new(question.offset + question.limit, count_limit);
        let filters = narrow::filters(question, fields);
        let looked = Looked::new(searcher, question, &words, &filters, fields.hospital)?;
        // The largest first: what it has bounds what the others need to be looked through for.
        let mut segments: Vec<_> = (0..).zip(searcher.segment_readers()).collect();
        segments.sort_by_key(|(_, reader)| std::cmp::Reverse(reader.max_doc()));
        for (segment, reader) in segments {
            looked.sweep(reader, segment, &mut best)?;
        }
        let (total, facets, has_more) = match counted {
            Some((total, facets)) => (total, facets, false),
            None => (best.counted(), Facets::default(), best.is_counted()),
        };
        let hits = best.found().skip(question.offset).take(question.limit);
        let hits = hits.map(|address| self.hit(searcher, address));
        Ok(Found {
            hits: hits.collect::<Result<_, IndexError>>()?,
            total,
            has_more,
            forgiven: false,
            facets,
        })
    }

    /// A query of all that is found.
    fn all(&self, question: &Question, words: &[Vec<Way>]) -> Box<dyn Query> {
        let mut clauses = narrow::clauses(question, self.fields());
        if words.is_empty() {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        for ways in words {
            let ways = ways.iter().map(|way| way.query.box_clone());
            let any = BooleanQuery::union(ways.collect());
            clauses.push((Occur::Must, Box::new(any)));
        }
        Box::new(BooleanQuery::new(clauses))
    }

    fn hit(&self, searcher: &Searcher, address: DocAddress) -> Result<Hit, IndexError> {
        let document: TantivyDocument = searcher.doc(address)?;
        let key = document.get_first(self.fields().key);
        let key = key.as_ref().and_then(|value| value.as_bytes());
        let exam = serde_json::from_slice(key.unwrap_or_default());
        let segment = searcher.segment_reader(address.segment_ord);
        let first = segment.fast_fields().u64(FIRST)?.first(address.doc_id);
        Ok(Hit {
            exam: exam.map_err(|_| IndexError::Document)?,
            first: Position(first.unwrap_or_default()),
        })
    }
}
