//! C-MOVE (PS3.4 §C.4.2): sub-operations over an association of ours with the destination.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_dictionary_std::tags;
use tokio::sync::mpsc;
use yingku_core::ids::AeTitle;
use yingku_core::registry::{Peer as RegisteredPeer, Scope};

use super::Scp;
use super::access::Denied;
use super::find::{Caller, prepare};
use super::instances::{Source, Wanted, deliverable, read_ahead, wanted};
use super::query::Query;
use crate::association::{Association, AssociationError, ProposedContext, Requestor};
use crate::dataset::{DataSetWriter, IDENTIFIER_LIMIT};
use crate::message::{Command, Suboperations};
use crate::scu::{Scu, ScuError};
use crate::status::{Status, StatusClass};
use crate::text::CharacterSet;
use crate::transcode::counterpart;

/// Pairs of SOP class and transfer syntax of one association, two contexts each (PS3.8 §9.3.2.2 allows 128); more go
/// over further associations.
const PAIRS: usize = 64;
/// Instances read ahead of their turn: at most 16 MB each.
const READ_AHEAD: usize = 4;
/// Pending responses come no oftener than this.
const PENDING_EVERY: Duration = Duration::from_millis(200);

pub async fn serve(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
) -> Result<(), AssociationError> {
    let keys = association
        .read_data_set("identifier", IDENTIFIER_LIMIT)
        .await?;
    let prepared = prepare(scp, Caller::of(association, context)?, request, &keys).await;
    let begun = match prepared {
        Ok((query, scope)) => begin(scp, request, query, scope).await,
        Err(denied) => Err(denied),
    };
    let (destination, wanted) = match begun {
        Ok(begun) => begun,
        Err(denied) => {
            let response = request.response(denied.status).with_comment(denied.comment);
            return association.send(context, &response).await;
        }
    };
    let mut progress = Progress::new(&wanted);
    send_all(
        scp,
        association,
        context,
        request,
        &destination,
        wanted,
        &mut progress,
    )
    .await?;
    progress.finish(association, context, request).await
}

async fn begin(
    scp: &Scp,
    request: &Command,
    query: Query,
    scope: Scope,
) -> Result<(RegisteredPeer, Vec<Wanted>), Denied> {
    let unknown = || {
        Denied::new(
            Status::MOVE_DESTINATION_UNKNOWN,
            "move destination is not registered: ask the operator",
        )
    };
    let title = request.move_destination.as_deref().unwrap_or_default();
    let title = AeTitle::new(title).map_err(|_| unknown())?;
    let destination = scp
        .archive()
        .registry()
        .peers
        .get(&title)
        .cloned()
        .ok_or_else(unknown)?;
    let mut wanted = look_up(scp, query, scope).await?;
    for instance in &mut wanted {
        instance.outgoing.move_originator = Some((String::new(), request.message_id));
    }
    Ok((destination, wanted))
}

/// Instances that a retrieval asks for.
pub async fn look_up(scp: &Scp, query: Query, scope: Scope) -> Result<Vec<Wanted>, Denied> {
    let views = scp.archive().views();
    let registry = scp.archive().registry();
    let found =
        tokio::task::spawn_blocking(move || wanted(&views, &registry, &scope, &query)).await;
    match found {
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
    }
}

/// Counts of a retrieval and what failed.
pub struct Progress {
    counts: Suboperations,
    failed: Vec<String>,
    cancelled: bool,
    last_pending: Option<Instant>,
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

    /// The final response (PS3.4 table C.4-2).
    pub async fn finish(
        self,
        association: &mut Association,
        context: u8,
        request: &Command,
    ) -> Result<(), AssociationError> {
        let done = self.counts.completed + self.counts.warning;
        let status = if self.cancelled {
            Status::CANCELLED
        } else if self.counts.failed == 0 {
            Status::SUCCESS
        } else if done == 0 {
            Status::CANNOT_SUBOPERATE
        } else {
            Status::SUBOPERATIONS_WITH_FAILURES
        };
        let response = request
            .response(status)
            .with_suboperations(self.counts, self.cancelled);
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

/// Splits instances so that each part's pairs of SOP class and transfer syntax fit one association.
fn parts(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut parts = Vec::new();
    let mut pairs: BTreeSet<(String, String)> = BTreeSet::new();
    let mut part = Vec::new();
    for instance in wanted {
        let pair = (
            instance.outgoing.sop_class.clone(),
            instance.outgoing.transfer_syntax.clone(),
        );
        if !pairs.contains(&pair) && pairs.len() >= PAIRS {
            parts.push(std::mem::take(&mut part));
            pairs.clear();
        }
        pairs.insert(pair);
        part.push(instance);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// One context for each pair, and one for its counterpart: the peer answers for each whether it takes it.
fn contexts(part: &[Wanted]) -> Vec<ProposedContext> {
    let pairs: BTreeSet<(&str, &str)> = part
        .iter()
        .map(|wanted| {
            (
                wanted.outgoing.sop_class.as_str(),
                wanted.outgoing.transfer_syntax.as_str(),
            )
        })
        .collect();
    pairs
        .into_iter()
        .flat_map(|(sop_class, stored)| {
            let syntaxes = [Some(stored), counterpart(stored)];
            syntaxes
                .into_iter()
                .flatten()
                .map(|syntax| ProposedContext {
                    abstract_syntax: sop_class.to_owned(),
                    transfer_syntaxes: vec![syntax.to_owned()],
                    we_are_scp: false,
                })
        })
        .collect()
}

async fn send_all(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
    destination: &RegisteredPeer,
    mut wanted: Vec<Wanted>,
    progress: &mut Progress,
) -> Result<(), AssociationError> {
    let originator = association.peer().calling.clone();
    for instance in &mut wanted {
        instance.outgoing.move_originator = Some((originator.clone(), request.message_id));
    }
    let mut waiting: VecDeque<Vec<Wanted>> = parts(wanted).into();
    while let Some(part) = waiting.pop_front() {
        if progress.is_cancelled() {
            return Ok(());
        }
        let requestor = Requestor {
            calling: scp.settings().ae_title.clone(),
            called: destination.ae.to_string(),
            contexts: contexts(&part),
            timeouts: scp.settings().timeouts,
        };
        let address = format!("{}:{}", destination.host, destination.port);
        match requestor.connect(&address).await {
            Ok(opened) => {
                let scu = Scu::new(opened);
                let left =
                    send_part(scp, association, context, request, scu, part, progress).await?;
                if !left.is_empty() {
                    waiting.push_front(left);
                }
            }
            Err(error) => {
                tracing::warn!(destination = %destination.ae, %error, "move destination not reached");
                part.iter()
                    .for_each(|instance| progress.count(instance, None));
            }
        }
    }
    Ok(())
}

/// Sends a part; gives back what is to go over another association.
async fn send_part(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
    mut scu: Scu,
    part: Vec<Wanted>,
    progress: &mut Progress,
) -> Result<Vec<Wanted>, AssociationError> {
    let part = Arc::new(part);
    let (sender, mut sources) = mpsc::channel(READ_AHEAD);
    read_ahead(scp.archive().packs().clone(), Arc::clone(&part), sender);
    let mut broken = None;
    let mut damaged = None;
    while let Some((index, source)) = sources.recv().await {
        let Some(instance) = part.get(index) else {
            break;
        };
        let status = match source {
            Ok(source) => match send_one(&mut scu, instance, source).await {
                Ok(status) => status,
                Err(ScuError::Source(error)) => {
                    tracing::error!(%error, instance = %instance.outgoing.sop_instance, "a stored instance cannot be read");
                    damaged = Some(index);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, instance = %instance.outgoing.sop_instance, "association with the move destination broke");
                    broken = Some(index);
                    break;
                }
            },
            Err(error) => {
                tracing::error!(%error, instance = %instance.outgoing.sop_instance, "a stored instance cannot be read");
                None
            }
        };
        progress.count(instance, status);
        progress.pending(association, context, request).await?;
        if association.is_cancelled(request.message_id).await? {
            progress.cancel();
            break;
        }
    }
    drop(sources);
    if let Some(index) = damaged {
        // Half of it is on its way, so the association ends; the others go over another one.
        scu.abort().await;
        let mut rest = part.iter().skip(index);
        rest.next()
            .into_iter()
            .for_each(|instance| progress.count(instance, None));
        return Ok(rest.cloned().collect());
    }
    match broken {
        Some(index) => {
            part.iter()
                .skip(index)
                .for_each(|instance| progress.count(instance, None));
            scu.abort().await;
        }
        None => {
            let _ = scu.release().await;
        }
    }
    Ok(Vec::new())
}

/// The peer's status; `None` if it does not take the instance as it is stored.
async fn send_one(
    scu: &mut Scu,
    instance: &Wanted,
    source: Source,
) -> Result<Option<Status>, ScuError> {
    let contexts = scu.association().contexts();
    let Some(syntax) = deliverable(contexts, &instance.outgoing) else {
        return Ok(None);
    };
    let Some((outgoing, mut source)) = source.in_syntax(&instance.outgoing, &syntax) else {
        return Ok(None);
    };
    Ok(Some(scu.store(&outgoing, &mut source).await?.status))
}
