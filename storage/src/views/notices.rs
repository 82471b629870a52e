//! Status notices as their sender and operators look at them: by HIS and state, eldest first.

use rocksdb::{Direction, IteratorMode, ReadOptions};
use yingku_core::ids::HisId;
use yingku_core::notice::{NoticeId, NoticeRow, NoticeState};

use super::{View, Views, ViewsError, Walk, after_prefix, decode, keys};

/// How a HIS's notices stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticesStanding {
    pub open: u64,
    /// Log time of what the first open one tells, unix milliseconds.
    pub oldest_ms: Option<i64>,
    pub stopped: u64,
}

impl Views {
    /// Shows a HIS's notices of a state behind one of them, in the order in which they came due, until the visitor stops.
    pub fn visit_notices(
        &self,
        his: &HisId,
        state: NoticeState,
        after: Option<NoticeId>,
        visit: &mut dyn FnMut(NoticeRow) -> Walk,
    ) -> Result<(), ViewsError> {
        let prefix = keys::notices(his, state);
        let start = after.map_or_else(Vec::new, |id| keys::notice(his, state, id));
        self.scan(View::Notices, &prefix, &start, |_, value| {
            let row: NoticeRow = decode(View::Notices, value)?;
            if after.is_some_and(|after| row.id <= after) {
                return Ok(Walk::On);
            }
            Ok(visit(row))
        })
    }

    pub fn notice(
        &self,
        his: &HisId,
        state: NoticeState,
        id: NoticeId,
    ) -> Result<Option<NoticeRow>, ViewsError> {
        self.get(View::Notices, &keys::notice(his, state, id))
    }

    /// A HIS's last notices of a state, the latest first.
    pub fn latest_notices(
        &self,
        his: &HisId,
        state: NoticeState,
        limit: usize,
    ) -> Result<Vec<NoticeRow>, ViewsError> {
        self.noted(self.notices_backwards(his, state, limit))
    }

    fn notices_backwards(
        &self,
        his: &HisId,
        state: NoticeState,
        limit: usize,
    ) -> Result<Vec<NoticeRow>, ViewsError> {
        let prefix = keys::notices(his, state);
        let end = after_prefix(&prefix).unwrap_or_default();
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(prefix);
        options.set_iterate_upper_bound(end.clone());
        let family = self.family(View::Notices)?;
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let lines = self.db.iterator_cf_opt(family, options, mode);
        let mut rows = Vec::new();
        for item in lines.take(limit) {
            let (_, value) = item?;
            rows.push(decode(View::Notices, &value)?);
        }
        Ok(rows)
    }

    /// How many of a HIS's notices wait, and since when. Walks their keys.
    pub fn notices_standing(&self, his: &HisId) -> Result<NoticesStanding, ViewsError> {
        let mut standing = NoticesStanding::default();
        let open = keys::notices(his, NoticeState::Open);
        self.scan(View::Notices, &open, &[], |_, value| {
            if standing.oldest_ms.is_none() {
                let row: NoticeRow = decode(View::Notices, value)?;
                standing.oldest_ms = Some(row.time_ms);
            }
            standing.open += 1;
            Ok(Walk::On)
        })?;
        let stopped = keys::notices(his, NoticeState::Stopped);
        self.scan(View::Notices, &stopped, &[], |_, _| {
            standing.stopped += 1;
            Ok(Walk::On)
        })?;
        Ok(standing)
    }
}
