//! Positive rates 阳性率, by the flag of confirmed reports (abNormalFlag).

use super::group::{Dimension, GroupKey, Groups, Seen};
use super::spread::permille;

/// One group's confirmed reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Positive {
    pub reports: u32,
    pub positive: u32,
    pub negative: u32,
    /// Pushed without the flag.
    pub unsaid: u32,
    /// Came before rules version 7.
    pub unknown: u32,
}

impl Positive {
    /// Tenths of a percent of those that say either.
    pub fn rate(&self) -> Option<u32> {
        permille(self.positive, self.positive.saturating_add(self.negative))
    }

    fn add(&mut self, seen: Seen<'_>) {
        let flag = seen.row.content.as_ref().map(|content| content.positive);
        let count = match flag {
            None => &mut self.unknown,
            Some(None) => &mut self.unsaid,
            Some(Some(true)) => &mut self.positive,
            Some(Some(false)) => &mut self.negative,
        };
        *count = count.saturating_add(1);
        self.reports = self.reports.saturating_add(1);
    }
}

/// Adds up exams, in any order.
pub struct Tally {
    groups: Groups<Positive>,
    total: Positive,
}

impl Tally {
    pub fn new(by: &[Dimension]) -> Self {
        Self {
            groups: Groups::new(by),
            total: Positive::default(),
        }
    }

    pub fn add(&mut self, seen: Seen<'_>) {
        if seen.row.counted && seen.row.reported {
            self.groups.of(|dimension| seen.value(dimension)).add(seen);
            self.total.add(seen);
        }
    }

    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    pub fn finish(self) -> (Vec<(GroupKey, Positive)>, Positive) {
        (self.groups.finish().collect(), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::Dimension;
    use super::super::tests_support::Exam;
    use super::*;

    #[test]
    fn a_rate_is_of_the_confirmed_reports_that_say_either() {
        // Given in one hospital 2 positive, 1 negative, 1 without a flag, 1 of before; not confirmed, and withdrawn: 1 each
        let mut exams = vec![Exam::new("1", "E1").positive(Some(true)); 2];
        exams.push(Exam::new("1", "E3").positive(Some(false)));
        exams.push(Exam::new("1", "E4").positive(None));
        exams.push(Exam::new("1", "E5").of_before());
        exams.push(Exam::new("1", "E6").positive(Some(true)).unreported());
        exams.push(Exam::new("1", "E7").positive(Some(true)).withdrawn());
        // and in another a negative one
        exams.push(Exam::new("2", "E1").positive(Some(false)));
        let mut tally = Tally::new(&[Dimension::Hospital]);
        exams.iter().for_each(|exam| tally.add(exam.seen()));
        let (groups, total) = tally.finish();
        let first = Positive {
            reports: 5,
            positive: 2,
            negative: 1,
            unsaid: 1,
            unknown: 1,
        };
        let told: Vec<_> = groups.iter().map(|(key, it)| (key.concat(), *it)).collect();
        assert_eq!(told.first(), Some(&("1".to_owned(), first)));
        assert_eq!(first.rate(), Some(667));
        assert_eq!((told.len(), total.reports, total.rate()), (2, 6, Some(500)));
    }
}
