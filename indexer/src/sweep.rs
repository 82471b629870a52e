//! Going through a segment, the newest exam first, for the surest of what is found.
//!
//! Every word may be met in several ways, each worth its points; an exam has the points of the surest way of each word. Documents
//! lie the newest first, so of two exams with the same points the one that comes first counts more, and a way that cannot bring an
//! exam before those that are kept already need not be followed any further. A word that is in every third report is so done with
//! after a page of exams, and the count of all that is found ends at a bound.

use tantivy::columnar::Column;
use tantivy::query::{AllQuery, EnableScoring, Query, Scorer, TermQuery, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, DocId, Searcher, SeekDangerResult, SegmentReader, TERMINATED, Term};

use crate::best::{Best, Kept};
use crate::narrow::{AnyOf, Narrow};
use crate::query;
use crate::schema::FIRST;
use crate::search::{Question, Sort};

/// Values of one field that are followed one by one; of more a set is made beforehand.
const VALUES: usize = 8;
/// Hospitals that have less than this part of a segment lead to its exams; of others each exam is asked whether it is theirs.
const FEW: u64 = 4;

/// What is looked for, ready for any segment.
pub struct Looked<'q> {
    question: &'q Question,
    /// Of each word its ways; of each filter its values.
    words: Vec<Vec<Weighed>>,
    hospitals: Vec<Weighed>,
    hospital: Field,
}

struct Weighed {
    points: u32,
    docs: Box<dyn Weight>,
    phrase: Option<(u32, Box<dyn Weight>)>,
}

impl<'q> Looked<'q> {
    pub fn new(
        searcher: &Searcher,
        question: &'q Question,
        words: &[Vec<query::Way>],
        filters: &[AnyOf],
        hospital: Field,
    ) -> tantivy::Result<Self> {
        let scoring = || EnableScoring::disabled_from_searcher(searcher);
        let is_scored = question.sort == Sort::Relevance;
        let plain = |query: &dyn Query| -> tantivy::Result<Weighed> {
            Ok(Weighed {
                points: 0,
                docs: query.weight(scoring())?,
                phrase: None,
            })
        };
        let way = |way: &query::Way| -> tantivy::Result<Weighed> {
            let phrase = match way.phrase.as_ref().filter(|_| is_scored) {
                Some(it) => Some((it.more, it.query.weight(scoring())?)),
                None => None,
            };
            Ok(Weighed {
                points: if is_scored { way.points } else { 0 },
                phrase,
                ..plain(&*way.query)?
            })
        };
        let values = |filter: &AnyOf| -> tantivy::Result<Vec<Weighed>> {
            if filter.values.len() > VALUES {
                return Ok(vec![plain(&*filter.query())?]);
            }
            let terms = filter.values.iter();
            let terms = terms.map(|value| Term::from_field_text(filter.field, value));
            let queries = terms.map(|term| TermQuery::new(term, IndexRecordOption::Basic));
            queries.map(|query| plain(&query)).collect()
        };
        let mut all = Vec::new();
        for ways in words {
            all.push(ways.iter().map(way).collect::<tantivy::Result<Vec<_>>>()?);
        }
        for filter in filters {
            all.push(values(filter)?);
        }
        if all.is_empty() {
            all.push(vec![plain(&AllQuery)?]);
        }
        let hospitals = AnyOf {
            field: hospital,
            values: question.hospitals.iter().map(ToString::to_string).collect(),
        };
        Ok(Self {
            question,
            words: all,
            hospitals: values(&hospitals)?,
            hospital,
        })
    }

    /// Goes through one segment.
    pub fn sweep(
        &self,
        reader: &SegmentReader,
        segment: u32,
        best: &mut Best,
    ) -> tantivy::Result<()> {
        let question = self.question;
        let Some(narrow) = Narrow::of(question, reader)? else {
            return Ok(());
        };
        let first = reader.fast_fields().u64(FIRST)?;
        let counted_from = start(&first, reader.max_doc(), question.before.0);
        let shown_from = match question.after {
            Some(after) => start(&first, reader.max_doc(), after.0).max(counted_from),
            None => counted_from,
        };
        let mut parts = Vec::with_capacity(self.words.len() + 1);
        for ways in &self.words {
            parts.push(Part::of(ways, reader)?);
        }
        if self.has_few(reader)? {
            parts.push(Part::of(&self.hospitals, reader)?);
        }
        let mut parts = Parts { parts, lead: 0 };
        parts.choose_lead();
        let mut kept = best.of_segment();
        let mut doc = counted_from;
        let mut is_done = false;
        loop {
            if best.is_counted() {
                is_done |= parts.drop_below(kept.needed());
            }
            if is_done {
                break;
            }
            doc = parts.next(doc);
            if doc == TERMINATED {
                break;
            }
            let points = parts.points(doc, kept.needed());
            let is_alive = || {
                reader
                    .alive_bitset()
                    .is_none_or(|alive| alive.is_alive(doc))
            };
            if let Some(points) = points.filter(|_| narrow.keeps(doc) && is_alive()) {
                best.count();
                if doc >= shown_from {
                    kept.put(points, doc);
                }
            }
            doc += 1;
        }
        best.add(kept, |kept: Kept| {
            let address = DocAddress::new(segment, kept.doc);
            (first.first(kept.doc).unwrap_or_default(), address)
        });
        Ok(())
    }

    fn has_few(&self, reader: &SegmentReader) -> tantivy::Result<bool> {
        let inverted = reader.inverted_index(self.hospital)?;
        let mut exams = 0;
        for code in &self.question.hospitals {
            let term = Term::from_field_text(self.hospital, code.as_str());
            exams += u64::from(inverted.doc_freq(&term)?);
        }
        Ok(exams * FEW < u64::from(reader.max_doc()))
    }
}

/// The first document that came first before a position. They lie the newest first.
fn start(first: &Column<u64>, documents: DocId, before: u64) -> DocId {
    let (mut from, mut to) = (0, documents);
    while from < to {
        let middle = from + (to - from) / 2;
        match first.first(middle).is_some_and(|it| it >= before) {
            true => from = middle + 1,
            false => to = middle,
        }
    }
    from
}

/// All that an exam must have.
struct Parts {
    parts: Vec<Part>,
    /// The one that is met by the fewest: it says which exams are looked at.
    lead: usize,
}

impl Parts {
    fn choose_lead(&mut self) {
        let costs = self.parts.iter().map(Part::cost).enumerate();
        self.lead = costs.min_by_key(|(_, cost)| *cost).map_or(0, |(at, _)| at);
    }

    fn next(&mut self, from: DocId) -> DocId {
        let lead = self.parts.get_mut(self.lead);
        lead.map_or(TERMINATED, |lead| lead.next(from))
    }

    /// The points of a document; `None`: it lacks something. Fewer than `needed` need not be exact.
    fn points(&mut self, doc: DocId, needed: u32) -> Option<u32> {
        let with_phrases = self.most() >= needed;
        let mut points = 0;
        for part in &mut self.parts {
            points += part.points(doc, with_phrases)?;
        }
        Some(points)
    }

    fn most(&self) -> u32 {
        self.parts.iter().map(Part::most).sum()
    }

    /// Leaves out what cannot bring an exam of as many points. `true`: nothing can.
    fn drop_below(&mut self, needed: u32) -> bool {
        let most = self.most();
        let mut has_dropped = false;
        for part in &mut self.parts {
            let others = most - part.most();
            let ways = part.ways.len();
            part.ways.retain(|way| way.most() + others >= needed);
            has_dropped |= part.ways.len() < ways;
        }
        if has_dropped {
            self.choose_lead();
        }
        self.parts.iter().any(|part| part.ways.is_empty())
    }
}

/// A word, or a filter: any of its ways is enough.
struct Part {
    /// The surest first.
    ways: Vec<Way>,
}

impl Part {
    fn of(weighed: &[Weighed], reader: &SegmentReader) -> tantivy::Result<Self> {
        let mut ways = Vec::with_capacity(weighed.len());
        for way in weighed {
            let docs = way.docs.scorer(reader, 1.0)?;
            if docs.doc() == TERMINATED {
                continue;
            }
            let phrase = way.phrase.as_ref();
            let phrase = phrase.map(|(more, weight)| Phrase::of(*more, &**weight, reader));
            ways.push(Way {
                points: way.points,
                docs,
                phrase: phrase.transpose()?,
            });
        }
        ways.sort_by_key(|way| std::cmp::Reverse(way.most()));
        Ok(Self { ways })
    }

    fn cost(&self) -> u64 {
        self.ways.iter().map(|way| way.docs.cost()).sum()
    }

    fn most(&self) -> u32 {
        self.ways.first().map_or(0, Way::most)
    }

    fn next(&mut self, from: DocId) -> DocId {
        let ways = self.ways.iter_mut();
        ways.map(|way| way.seek(from)).min().unwrap_or(TERMINATED)
    }

    fn points(&mut self, doc: DocId, with_phrases: bool) -> Option<u32> {
        let mut points = None;
        for way in &mut self.ways {
            if points.is_some_and(|points| points >= way.most()) {
                break;
            }
            if way.seek(doc) != doc {
                continue;
            }
            let phrase = way.phrase.as_mut().filter(|_| with_phrases);
            let more = phrase.map_or(0, |phrase| phrase.points(doc));
            points = points.max(Some(way.points + more));
        }
        points
    }
}

struct Way {
    points: u32,
    docs: Box<dyn Scorer>,
    phrase: Option<Phrase>,
}

impl Way {
    fn most(&self) -> u32 {
        self.points + self.phrase.as_ref().map_or(0, |phrase| phrase.more)
    }

    fn seek(&mut self, target: DocId) -> DocId {
        let doc = self.docs.doc();
        if doc < target {
            self.docs.seek(target)
        } else {
            doc
        }
    }
}

/// Words in sequence. Looking for the next place where they are may be long, so it is only asked whether they are here.
struct Phrase {
    more: u32,
    docs: Box<dyn Scorer>,
    /// The document that was asked for last, if it has them.
    here: Option<DocId>,
    /// No document from the last one that was asked for up to this one has them.
    next: DocId,
}

impl Phrase {
    fn of(more: u32, weight: &dyn Weight, reader: &SegmentReader) -> tantivy::Result<Self> {
        let (found, docs) = weight.scorer_danger(reader, 0, 1.0)?;
        let mut phrase = Self {
            more,
            docs,
            here: None,
            next: 0,
        };
        phrase.note(0, found);
        Ok(phrase)
    }

    fn note(&mut self, asked: DocId, found: SeekDangerResult) {
        (self.here, self.next) = match found {
            SeekDangerResult::Found => (Some(asked), asked + 1),
            SeekDangerResult::SeekLowerBound(next) => (None, next.max(asked + 1)),
        };
    }

    fn points(&mut self, doc: DocId) -> u32 {
        if doc >= self.next {
            let found = self.docs.seek_danger(doc);
            self.note(doc, found);
        }
        if self.here == Some(doc) { self.more } else { 0 }
    }
}
