//! How many of what was found have which values. Unlike the hits of a page this is of everything that is found, so all of it is
//! looked at, and counted exactly.

use std::collections::BTreeMap;

use tantivy::Searcher;
use tantivy::aggregation::AggContextParams;
use tantivy::aggregation::AggregationCollector;
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::aggregation::agg_result::{AggregationResult, AggregationResults, BucketResult};
use tantivy::collector::Count;
use tantivy::query::Query;

use crate::index::IndexError;

/// Values of one facet that are counted; a region has fewer classes, and nobody looks at more devices.
const FACET_VALUES: u32 = 50;

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

pub type Facets = BTreeMap<Facet, Vec<FacetCount>>;

/// Exams that a query finds, and their values, the most frequent first.
pub fn count(searcher: &Searcher, query: &dyn Query) -> Result<(u64, Facets), IndexError> {
    let request = Facet::ALL.iter().map(|facet| {
        let terms =
            serde_json::json!({ "terms": { "field": facet.field(), "size": FACET_VALUES } });
        (facet.field().to_owned(), terms)
    });
    let request = serde_json::Value::Object(request.collect());
    let request: Aggregations =
        serde_json::from_value(request).map_err(|_| IndexError::Document)?;
    let collector = AggregationCollector::from_aggs(request, AggContextParams::default());
    let (total, results): (usize, AggregationResults) =
        searcher.search(query, &(Count, collector))?;
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
    Ok((total as u64, counted.collect()))
}
