//! How long to wait after what failed.

use std::time::Duration;

use crate::backoff::grown;

/// Waits after a gateway that gives no association, or breaks it off.
const UNREACHED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Waits before a study is tried again of which something lacks: minutes, hours, a day.
const LACKING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// … where the association broke off: that may have to do with the study, and mostly has not.
const BROKEN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(24 * 3600));

/// A study that was tried so many times, without anything that came, waits for an operator: with the waits above that is
/// some ten days.
pub const TRIES_LIMIT: u32 = 20;

/// Before the next look at a gateway that was not reached so many times in a row.
pub fn after_unreached(times: u32) -> Duration {
    grown(UNREACHED, times)
}

/// Before the next try of a study that was tried so many times.
pub fn after_tries(times: u32) -> Duration {
    grown(LACKING, times)
}

/// Before the next try of a study at which the association broke off so many times.
pub fn after_broken(times: u32) -> Duration {
    grown(BROKEN, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_looked_for_within_minutes_at_first_and_daily_in_the_end() {
        assert!(after_tries(1) <= Duration::from_secs(60));
        let last = after_tries(TRIES_LIMIT);
        assert!(last <= LACKING.1 && last * 2 >= LACKING.1, "{last:?}");
        let all: Duration = (1..=TRIES_LIMIT).map(after_tries).sum();
        assert!(all > Duration::from_secs(4 * 24 * 3600), "{all:?}");
    }
}
