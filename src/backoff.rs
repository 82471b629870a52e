//! Waits that grow with every failure, and never end all at the same moment.

use std::time::Duration;

use rand::Rng;

/// Doubles with each time up to a limit, less up to half of it by chance.
pub fn grown((first, longest): (Duration, Duration), times: u32) -> Duration {
    let doubled = first.saturating_mul(1 << times.saturating_sub(1).min(16));
    doubled
        .min(longest)
        .mul_f64(rand::thread_rng().gen_range(0.5..=1.0))
}
