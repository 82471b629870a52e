//! Duties that must run once are leases: who has one is decided in log order, by the log's time.

use super::Context;
use crate::event::LeaseTaken;
use crate::outcome::{ErrorKind, Outcome, Refusal};
use crate::registry::Lease;
use crate::state::{State, Work};

/// The lease of what has to be done once in an archive, whatever it is.
pub const DUTIES: &str = "duties";

/// Given to whoever has it already, or to the first who asks after it ended.
pub fn taken<S: State>(work: &mut Work<'_, S>, context: Context<'_>, body: &LeaseTaken) -> Outcome {
    let is_free = match work.registry().leases.get(&body.duty) {
        None => body.epoch == 1,
        Some(lease) if (lease.node, lease.run) == (body.node, body.run) => {
            body.epoch == lease.epoch
        }
        Some(lease) => context.time_ms >= lease.until_ms && body.epoch == lease.epoch + 1,
    };
    if !is_free {
        return Outcome::Refused(Refusal::new(
            ErrorKind::Conflict,
            "lease-held",
            "duty",
            "该任务由另一节点承担 (another node has this duty)",
        ));
    }
    let lease = Lease {
        node: body.node,
        run: body.run,
        epoch: body.epoch,
        until_ms: context.time_ms.saturating_add(i64::from(body.ttl_ms)),
        ttl_ms: body.ttl_ms,
    };
    work.changes.lease = Some((body.duty.clone(), lease));
    Outcome::Done
}

/// Whether somebody else took the duty since the lease under which a result was found.
pub fn is_past<S: State>(work: &Work<'_, S>, duty: &str, epoch: Option<u64>) -> bool {
    let lease = work.registry().leases.get(duty);
    epoch
        .zip(lease)
        .is_some_and(|(epoch, lease)| epoch < lease.epoch)
}

/// What becomes of a result of an earlier lease.
pub fn ignored() -> Outcome {
    Outcome::Refused(Refusal::new(
        ErrorKind::Conflict,
        "lease-past",
        "epoch",
        "该任务已由另一节点承担，此结果不计 (another node has this duty by now; this result is not used)",
    ))
}
