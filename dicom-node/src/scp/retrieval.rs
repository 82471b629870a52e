//! What C-MOVE and C-GET have in common: which instances are asked for, how far it is, whether the caller still wants it.

use std::time::{Duration, Instant};

use dicom_dictionary_std::tags;
use tokio_util::sync::CancellationToken;
use yingku_core::registry::Scope;

use super::Scp;
use super::access::Denied;
use super::instances::{Wanted, wanted};
use super::query::Query;
use crate::association::{Association, AssociationError};
use crate::dataset::DataSetWriter;
use crate::message::{Command, Suboperations};
use crate::status::{Status, StatusClass};
use crate::text::CharacterSet;

/// Pending responses come no oftener than this.
const PENDING_EVERY: Duration = Duration::from_millis(200);

/// Instances that a retrieval asks for. The caller is listened to meanwhile.
pub async fn look_up(
    scp: &Scp,
    association: &mut Association,
    request: &Command,
    query: Query,
    scope: Scope,
) -> Result<Result<Vec<Wanted>, Denied>, AssociationError> {
    let views = scp.archive().views();
    let registry = scp.archive().registry();
    let unheard = CancellationToken::new();
    let _ends_the_walk = unheard.clone().drop_guard();
    let walk = tokio::task::spawn_blocking(move || {
        wanted(&views, &registry, &scope, &query, &|| {
            unheard.is_cancelled()
        })
    });
    let Some(found) = unless_cancelled(association, request, walk).await? else {
        return Ok(Err(Denied::new(Status::CANCELLED, "")));
    };
    Ok(match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(%error, "a retrieval failed");
            Err(Denied::new(
                Status::UNABLE_TO_PROCESS,
                "views cannot be read: ask the operator",
            ))
        }
        Err(error) => {
            tracing::error!(%error, "a retrieval failed");
            Err(Denied::new(
                Status::UNABLE_TO_PROCESS,
                "retrieval failed: ask the operator",
            ))
        }
    })
}

/// Does `work` and listens to the caller meanwhile: `None` if it cancels, an error if it is gone.
pub async fn unless_cancelled<T>(
    association: &mut Association,
    request: &Command,
    work: impl Future<Output = T>,
) -> Result<Option<T>, AssociationError> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(Some(done)),
            spoken = association.peer_speaks() => {
                spoken?;
                if association.is_cancelled(request.message_id).await? {
                    return Ok(None);
                }
            }
        }
    }
}

/// Counts of a retrieval and what failed.
pub struct Progress {
    counts: Suboperations,
    failed: Vec<String>,
    cancelled: bool,
    last_pending: Option<Instant>,
    /// Why some instances are not even tried.
    comment: &'static str,
}

impl Progress {
    pub fn new(wanted: &[Wanted]) -> Self {
        Self {
            counts: Suboperations {
                remaining: u16::try_from(wanted.len()).unwrap_or(u16::MAX),
                ..Suboperations::default()
            },
            failed: Vec::new(),
            cancelled: false,
            last_pending: None,
            comment: "",
        }
    }

    pub fn cancel(&mut self) {
        self.cancelled = true;
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// One sub-operation is over; `None`: it could not be tried.
    pub fn count(&mut self, instance: &Wanted, status: Option<Status>) {
        self.counts.remaining = self.counts.remaining.saturating_sub(1);
        match status.map(Status::class) {
            Some(StatusClass::Success) => self.counts.completed += 1,
            Some(StatusClass::Warning) => self.counts.warning += 1,
            _ => {
                self.counts.failed += 1;
                self.failed.push(instance.outgoing.sop_instance.clone());
            }
        }
    }

    /// Sub-operations that fail without being tried; the final response says why.
    pub fn refuse(&mut self, instances: &[Wanted], why: &'static str) {
        if !instances.is_empty() {
            self.comment = why;
        }
        for instance in instances {
            self.count(instance, None);
        }
    }

    /// Tells the caller how far it is, now and then.
    pub async fn pending(
        &mut self,
        association: &mut Association,
        context: u8,
        request: &Command,
    ) -> Result<(), AssociationError> {
        if self.counts.remaining == 0
            || self
                .last_pending
                .is_some_and(|last| last.elapsed() < PENDING_EVERY)
        {
            return Ok(());
        }
        self.last_pending = Some(Instant::now());
        let response = request
            .response(Status::PENDING)
            .with_suboperations(self.counts, true);
        association.send(context, &response).await
    }

    /// PS3.4 tables C.4-2 and C.4-3: one warning is enough to be told of.
    fn outcome(&self) -> Status {
        let Suboperations {
            completed,
            warning,
            failed,
            ..
        } = self.counts;
        if self.cancelled {
            Status::CANCELLED
        } else if failed == 0 && warning == 0 {
            Status::SUCCESS
        } else if completed == 0 && warning == 0 {
            Status::CANNOT_SUBOPERATE
        } else {
            Status::SUBOPERATIONS_NOT_ALL_SUCCESSFUL
        }
    }

    /// The final response.
    pub async fn finish(
        self,
        association: &mut Association,
        context: u8,
        request: &Command,
    ) -> Result<(), AssociationError> {
        let mut response = request
            .response(self.outcome())
            .with_suboperations(self.counts, self.cancelled);
        if !self.comment.is_empty() {
            response = response.with_comment(self.comment);
        }
        if self.failed.is_empty() {
            return association.send(context, &response).await;
        }
        let syntax = association.context(context)?.transfer_syntax.to_string();
        let mut data_set = DataSetWriter::new();
        data_set.put(tags::FAILED_SOP_INSTANCE_UID_LIST, self.failed.join("\\"));
        let bytes = data_set.encode(&syntax, &CharacterSet::utf8());
        association
            .send_with(context, &response.with_data_set(), &bytes)
            .await
    }
}
