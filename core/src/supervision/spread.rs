//! How long something took, over many exams.

use serde::Serialize;

/// Of so many times the percentiles by nearest rank, in whole minutes, begun ones left off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub count: u32,
    /// Absent without any.
    pub p50: Option<u32>,
    pub p90: Option<u32>,
    pub p95: Option<u32>,
    pub max: Option<u32>,
    /// Those that took no longer than the limit.
    pub within: u32,
}

impl Spread {
    /// `minutes` in any order; `limit` in minutes.
    pub fn of(mut minutes: Vec<u32>, limit: u32) -> Self {
        minutes.sort_unstable();
        let rank = |percent: usize| {
            let rank = (minutes.len() * percent).div_ceil(100);
            minutes.get(rank.saturating_sub(1)).copied()
        };
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            count: count(minutes.len()),
            p50: rank(50),
            p90: rank(90),
            p95: rank(95),
            max: minutes.last().copied(),
            within: count(minutes.partition_point(|took| *took <= limit)),
        }
    }

    /// Tenths of a percent that are within the limit.
    pub fn share(&self) -> Option<u32> {
        permille(self.within, self.count)
    }
}

/// Tenths of a percent, rounded to the nearest; none of nothing.
pub fn permille(part: u32, whole: u32) -> Option<u32> {
    let (part, whole) = (u64::from(part), u64::from(whole));
    let rounded = (part * 1_000 + whole / 2).checked_div(whole)?;
    u32::try_from(rounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_so_many_are_not_above() {
        let spread = Spread::of((1..=40).rev().map(|step| step * 10).collect(), 100);
        assert_eq!(
            (spread.count, spread.p50, spread.p90, spread.p95, spread.max),
            (40, Some(200), Some(360), Some(380), Some(400))
        );
        assert_eq!((spread.within, spread.share()), (10, Some(250)));
    }

    #[test]
    fn one_time_is_every_percentile_and_none_has_none() {
        let one = Spread::of(vec![7], 6);
        assert_eq!((one.p50, one.p95, one.max), (Some(7), Some(7), Some(7)));
        assert_eq!((one.within, one.share()), (0, Some(0)));
        let none = Spread::of(Vec::new(), 6);
        assert_eq!((none, none.share()), (Spread::default(), None));
    }

    #[test]
    fn shares_are_rounded_to_the_nearest() {
        for (part, whole, share) in [(1, 3, 333), (2, 3, 667), (1, 2_000, 1), (3, 3, 1_000)] {
            assert_eq!(permille(part, whole), Some(share), "{part}/{whole}");
        }
    }
}
