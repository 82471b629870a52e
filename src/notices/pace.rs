//! How long to wait after what failed: longer each time, and never all at the same moment.

use std::time::Duration;

use crate::backoff::grown;

/// Waits after a receiver that cannot be reached.
const UNREACHED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Waits before a notice is sent again that its receiver refused.
const REFUSED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));

/// A notice that was refused so many times waits for an operator: with the waits above that is most of a day.
pub const REFUSALS_LIMIT: u32 = 24;

/// Before the next look at a receiver that was not reached so many times in a row.
pub fn after_unreached(times: u32) -> Duration {
    grown(UNREACHED, times)
}

/// Before the next try of a notice that was refused so many times.
pub fn after_refusals(times: u32) -> Duration {
    grown(REFUSED, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_differ() {
        for times in 1..40 {
            let wait = after_refusals(times);
            let most = REFUSED
                .0
                .saturating_mul(1 << (times - 1).min(16))
                .min(REFUSED.1);
            assert!(wait <= most && wait * 2 >= most, "{times}: {wait:?}");
        }
        let waits: Vec<Duration> = (0..16).map(|_| after_unreached(9)).collect();
        assert!(waits.iter().any(|wait| Some(wait) != waits.first()));
    }
}
