//! Status notices as their sender and operators look at them: by HIS and state, eldest first.

use yingku_core::ids::HisId;
use yingku_core::notice::{NoticeId, NoticeRow, NoticeState};

use super::{View, Views, ViewsError, Walk, decode, keys};

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
}
