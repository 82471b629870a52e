//! How slowly a data set may come: a peer that only crawls holds a place that others need.

use std::time::Duration;

use tokio::time::Instant;

use super::AssociationError;

/// What a data set must bring in each span of a PDU's time: a line of 128 kbit/s does.
pub const SLOWEST_BYTES_PER_S: u64 = 16 * 1024;

/// Bytes of the span at hand, and how long was waited for them. Time that we take ourselves does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Counts bytes that were waited for since `since`; gives back from when to count on.
    pub fn keep(
        &mut self,
        since: Instant,
        bytes: u32,
        span: Duration,
    ) -> Result<Instant, AssociationError> {
        let now = Instant::now();
        self.waited += now - since;
        self.bytes = self.bytes.saturating_add(u64::from(bytes));
        if self.waited >= span {
            let least = u128::from(SLOWEST_BYTES_PER_S) * self.waited.as_millis() / 1000;
            if u128::from(self.bytes) < least {
                return Err(AssociationError::TooSlow);
            }
            *self = Self::default();
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SPAN: Duration = Duration::from_secs(30);

    /// Whether a data set goes through that brings so many bytes after each so long wait.
    fn passes(pieces: &[(u64, u32)]) -> bool {
        let mut pace = Pace::default();
        pieces.iter().all(|(seconds, bytes)| {
            let since = Instant::now() - Duration::from_secs(*seconds);
            pace.keep(since, *bytes, SPAN).is_ok()
        })
    }

    #[test]
    fn a_data_set_must_go_on_coming() {
        let enough = SLOWEST_BYTES_PER_S as u32 * 11;
        assert!(passes(&[(10, enough); 20]));
        assert!(passes(&[(29, 1)]));
        assert!(!passes(&[(29, 1), (29, 1)]));
        // Nor does it help to have brought much before
        assert!(!passes(&[(1, 100 << 20), (29, 1), (29, 1), (29, 1)]));
        assert!(!passes(&[(29, 0), (29, 0)]));
    }
}
