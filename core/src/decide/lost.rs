//! Packs that are lost: what they held is missing, counts as missing, and is new when it is sent again.

use super::{Context, correction, held, instances};
use crate::event::PackLost;
use crate::outcome::Outcome;
use crate::state::{State, StateError, Work};

/// Whatever else came meanwhile stays: only instances that still lie in these packs go.
pub(super) fn lost<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &PackLost,
) -> Result<Outcome, StateError> {
    for study in &body.studies {
        let is_lost = |entry: &crate::instance::ChunkEntry| body.packs.contains(&entry.pack);
        if !instances::take_out(work, context, study, is_lost)?.is_empty() {
            correction::record_for_owners(work, context, study)?;
        }
    }
    for study in &body.held {
        held::lost(work, context, study, &body.packs)?;
    }
    if body.is_last {
        work.changes.lost.extend(&body.packs);
    }
    Ok(Outcome::Done)
}
