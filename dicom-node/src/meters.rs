//! What the node counts for those who watch it. Labels are operations and statuses: never a title, a UID or a name.

use std::time::Instant;

use crate::association::AcceptError;
use crate::message::{Command, Operation};
use crate::status::StatusClass;

/// A response left: final ones are counted by their status.
pub fn answered(command: &Command) {
    let Some(status) = command.status.filter(|_| command.is_response) else {
        return;
    };
    if status.class() != StatusClass::Pending {
        metrics::counter!(
            "yingku_dimse_responses_total",
            "operation" => label(command.operation),
            "status" => status.to_string(),
        )
        .increment(1);
    }
}

/// A request was served to its final response, or its association broke.
pub fn served(operation: Operation, since: Instant) {
    metrics::histogram!("yingku_dimse_request_seconds", "operation" => label(operation))
        .record(since.elapsed());
}

/// How an image was fetched from a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Get,
    Move,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Move => "move",
        }
    }
}

/// An image came from a gateway and is durable; one that was here before counts too: the line has carried it.
pub fn fetched(way: Way, bytes: u64) {
    metrics::counter!("yingku_pulls_images_total", "method" => way.name()).increment(1);
    metrics::counter!("yingku_pulls_bytes_total", "method" => way.name()).increment(bytes);
}

pub fn not_accepted(error: &AcceptError) {
    let reason = match error {
        AcceptError::Pdu(_) => "broken",
        AcceptError::NoRequest => "no-request",
        AcceptError::Unusable(_) => "unusable",
        AcceptError::Rejected { .. } => "rejected",
    };
    metrics::counter!("yingku_associations_refused_total", "reason" => reason).increment(1);
}

/// One open association; counted until it is dropped.
pub struct Open;

impl Open {
    pub fn count() -> Self {
        metrics::counter!("yingku_associations_total").increment(1);
        metrics::gauge!("yingku_associations").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("yingku_associations").decrement(1.0);
    }
}

/// Requests of services that the node does not have share one label: their codes are the caller's to choose.
fn label(operation: Operation) -> &'static str {
    match operation {
        Operation::Store => "C-STORE",
        Operation::Get => "C-GET",
        Operation::Find => "C-FIND",
        Operation::Move => "C-MOVE",
        Operation::Echo => "C-ECHO",
        Operation::Cancel => "C-CANCEL",
        Operation::Create => "N-CREATE",
        Operation::Set => "N-SET",
        Operation::Other(_) => "other",
    }
}
