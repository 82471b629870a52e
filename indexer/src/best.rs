//! The best of what is found: the surest, of equally sure ones the newest, as many as a page needs; and how many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tantivy::{DocAddress, DocId};

/// Exams that are kept while segments are gone through.
pub struct Best {
    wanted: usize,
    /// Points, first position, place: the best first.
    found: Vec<(u32, u64, DocAddress)>,
    counted: u64,
    count_limit: u64,
}

/// An exam of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub points: u32,
    pub doc: DocId,
}

impl Best {
    /// `count_limit`: what is beyond is not counted.
    pub fn new(wanted: usize, count_limit: u64) -> Self {
        Self {
            wanted,
            found: Vec::new(),
            counted: 0,
            count_limit,
        }
    }

    pub fn count(&mut self) {
        self.counted += 1;
    }

    /// Nothing more needs to be counted.
    pub fn is_counted(&self) -> bool {
        self.counted >= self.count_limit
    }

    pub fn counted(&self) -> u64 {
        self.counted.min(self.count_limit)
    }

    /// For a segment whose documents come the newest first.
    pub fn of_segment(&self) -> OfSegment {
        let worst = self.found.get(self.wanted.saturating_sub(1));
        OfSegment {
            wanted: self.wanted,
            // As many as the worst that is kept are enough: it may be older.
            floor: worst.map_or(0, |worst| worst.0),
            kept: BinaryHeap::new(),
        }
    }

    /// `place`: first position and address of a document.
    pub fn add(&mut self, segment: OfSegment, place: impl Fn(Kept) -> (u64, DocAddress)) {
        let kept = segment.kept.into_iter();
        self.found
            .extend(kept.map(|Reverse((points, Reverse(doc)))| {
                let (first, address) = place(Kept { points, doc });
                (points, first, address)
            }));
        self.found.sort_by_key(|it| Reverse((it.0, it.1)));
        self.found.truncate(self.wanted);
    }

    pub fn found(self) -> impl Iterator<Item = DocAddress> {
        self.found.into_iter().map(|(_, _, address)| address)
    }
}

/// The best of one segment.
pub struct OfSegment {
    wanted: usize,
    floor: u32,
    kept: BinaryHeap<Reverse<(u32, Reverse<DocId>)>>,
}

impl OfSegment {
    /// Points that one needs to be kept. Zero: whatever comes.
    pub fn needed(&self) -> u32 {
        let worst = self.kept.peek().filter(|_| self.kept.len() >= self.wanted);
        let more = worst.map_or(0, |Reverse((points, _))| points + 1);
        more.max(self.floor)
    }

    /// Documents come the newest first.
    pub fn put(&mut self, points: u32, doc: DocId) {
        if points < self.needed() {
            return;
        }
        self.kept.push(Reverse((points, Reverse(doc))));
        if self.kept.len() > self.wanted {
            self.kept.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_are_kept_and_of_equally_sure_ones_the_newest_of_all_segments() {
        let mut best = Best::new(3, 10);
        for (segment, exams) in [(0, [(1, 5), (9, 4), (1, 3)]), (1, [(1, 9), (1, 2), (2, 1)])] {
            let mut kept = best.of_segment();
            for (doc, (points, _)) in (0..).zip(exams) {
                kept.put(points, doc);
            }
            best.add(kept, |kept| {
                let (_, first) = exams.get(kept.doc as usize).copied().unwrap_or_default();
                (first, DocAddress::new(segment, kept.doc))
            });
        }
        let found: Vec<(u32, DocId)> = best.found().map(|it| (it.segment_ord, it.doc_id)).collect();
        assert_eq!(found, [(0, 1), (1, 2), (1, 0)]);
    }
}
