//! C-MOVE (PS3.4 §C.4.2): sub-operations over an association of ours with the destination.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use yingku_core::ids::AeTitle;
use yingku_core::registry::{Peer as RegisteredPeer, Scope};

use super::Scp;
use super::access::Denied;
use super::find::{Caller, prepare};
use super::instances::{Ready, Wanted};
use super::query::Query;
use super::retrieval::{Progress, look_up, unless_cancelled};
use crate::association::{Association, AssociationError, ProposedContext, Requestor};
use crate::dataset::IDENTIFIER_LIMIT;
use crate::message::Command;
use crate::scu::{Scu, ScuError};
use crate::status::Status;
use crate::transcode::counterpart;

/// Pairs of SOP class and transfer syntax of one association, two contexts each (PS3.8 §9.3.2.2 allows 128); more go
/// over further associations.
const PAIRS: usize = 64;
/// How long the sub-operation at hand may go on after a C-CANCEL: an abort within one of its PDUs would not be seen.
const CANCEL_GRACE: Duration = Duration::from_secs(1);
/// Why the images of a hospital do not go to a destination.
const OUTSIDE_SCOPE: &str = "move destination is not registered for this hospital";

pub async fn serve(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
) -> Result<(), AssociationError> {
    let keys = association
        .read_data_set("identifier", IDENTIFIER_LIMIT)
        .await?;
    let caller = scp.caller(association.peer());
    let begun = match scp.place_for_retrieval(&caller).await {
        Ok(place) => match prepare(scp, Caller::of(association, context)?, request, &keys).await {
            Ok((query, scope)) => begin(scp, association, request, query, scope)
                .await?
                .map(|begun| (begun, place)),
            Err(denied) => Err(denied),
        },
        Err(denied) => Err(denied),
    };
    let ((destination, wanted), _place) = match begun {
        Ok(begun) => begun,
        Err(denied) => {
            let response = request.response(denied.status).with_comment(denied.comment);
            return association.send(context, &response).await;
        }
    };
    let mut progress = Progress::new(&wanted);
    let (allowed, outside): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|instance| destination.hospitals.has(&instance.hospital));
    progress.refuse(&outside, OUTSIDE_SCOPE);
    let retrieval = Retrieval {
        scp,
        context,
        request,
        caller,
        destination,
    };
    retrieval
        .send_all(association, allowed, &mut progress)
        .await?;
    progress.finish(association, context, request).await
}

async fn begin(
    scp: &Scp,
    association: &mut Association,
    request: &Command,
    query: Query,
    scope: Scope,
) -> Result<Result<(RegisteredPeer, Vec<Wanted>), Denied>, AssociationError> {
    let destination = match destination(scp, request) {
        Ok(destination) => destination,
        Err(denied) => return Ok(Err(denied)),
    };
    let wanted = match look_up(scp, association, request, query, scope).await? {
        Ok(wanted) => wanted,
        Err(denied) => return Ok(Err(denied)),
    };
    let receives = |instance: &Wanted| destination.hospitals.has(&instance.hospital);
    if !wanted.is_empty() && !wanted.iter().any(receives) {
        return Ok(Err(Denied::new(Status::NOT_AUTHORISED, OUTSIDE_SCOPE)));
    }
    Ok(Ok((destination, wanted)))
}

fn destination(scp: &Scp, request: &Command) -> Result<RegisteredPeer, Denied> {
    let unknown = || {
        Denied::new(
            Status::MOVE_DESTINATION_UNKNOWN,
            "move destination is not registered: ask the operator",
        )
    };
    let title = request.move_destination.as_deref().unwrap_or_default();
    let title = AeTitle::new(title).map_err(|_| unknown())?;
    scp.archive()
        .registry()
        .peers
        .get(&title)
        .cloned()
        .ok_or_else(unknown)
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

/// One C-MOVE that has begun.
struct Retrieval<'a> {
    scp: &'a Scp,
    context: u8,
    request: &'a Command,
    /// Whose memory it takes.
    caller: String,
    destination: RegisteredPeer,
}

/// Tells the destination that nothing follows. A destination that reads nothing keeps nobody waiting for that.
fn break_off(scu: Scu) {
    tokio::spawn(scu.abort());
}

/// How an association with the destination ended.
enum End {
    Released,
    /// Nobody waits for it any more.
    Cancelled,
    /// The destination broke it, or it answers no more: from this instance on nothing was sent.
    Broken(usize),
    /// Half of this instance is on its way when it turns out to be damaged.
    Damaged(usize),
}

impl Retrieval<'_> {
    async fn send_all(
        &self,
        association: &mut Association,
        mut wanted: Vec<Wanted>,
        progress: &mut Progress,
    ) -> Result<(), AssociationError> {
        let originator = association.peer().calling.clone();
        for instance in &mut wanted {
            instance.outgoing.move_originator = Some((originator.clone(), self.request.message_id));
        }
        let mut waiting: VecDeque<Vec<Wanted>> = parts(wanted).into();
        while let Some(part) = waiting.pop_front() {
            let requestor = Requestor {
                calling: self.scp.settings().ae_title.clone(),
                called: self.destination.ae.to_string(),
                contexts: contexts(&part),
                timeouts: self.scp.settings().timeouts,
            };
            let address = format!("{}:{}", self.destination.host, self.destination.port);
            let connecting = requestor.connect(&address);
            match unless_cancelled(association, self.request, connecting).await? {
                None => progress.cancel(),
                Some(Ok(opened)) => {
                    let left = self
                        .send_part(association, Scu::new(opened), part, progress)
                        .await?;
                    if !left.is_empty() {
                        waiting.push_front(left);
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(destination = %self.destination.ae, %error, "move destination not reached");
                    part.iter()
                        .for_each(|instance| progress.count(instance, None));
                }
            }
            if progress.is_cancelled() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends a part; gives back what is to go over another association.
    async fn send_part(
        &self,
        association: &mut Association,
        mut scu: Scu,
        part: Vec<Wanted>,
        progress: &mut Progress,
    ) -> Result<Vec<Wanted>, AssociationError> {
        let part = Arc::new(part);
        let end = match self.send_each(association, &mut scu, &part, progress).await {
            Ok(end) => end,
            Err(error) => {
                break_off(scu);
                return Err(error);
            }
        };
        match end {
            End::Released => {
                let released = scu.release();
                let _ = unless_cancelled(association, self.request, released).await?;
                Ok(Vec::new())
            }
            End::Cancelled => {
                progress.cancel();
                break_off(scu);
                Ok(Vec::new())
            }
            End::Broken(index) => {
                part.iter()
                    .skip(index)
                    .for_each(|instance| progress.count(instance, None));
                scu.abort().await;
                Ok(Vec::new())
            }
            End::Damaged(index) => {
                // Nothing but an abort tells the destination so; the others go over another association.
                scu.abort().await;
                let mut rest = part.iter().skip(index);
                rest.next()
                    .into_iter()
                    .for_each(|instance| progress.count(instance, None));
                Ok(rest.cloned().collect())
            }
        }
    }

    async fn send_each(
        &self,
        association: &mut Association,
        scu: &mut Scu,
        part: &Arc<Vec<Wanted>>,
        progress: &mut Progress,
    ) -> Result<End, AssociationError> {
        let contexts = scu.association().contexts().to_vec();
        let mut sources = self
            .scp
            .reader(&self.caller, contexts)
            .read_ahead(Arc::clone(part));
        loop {
            let next = unless_cancelled(association, self.request, sources.recv()).await?;
            let Some(next) = next else {
                return Ok(End::Cancelled);
            };
            let Some((index, read)) = next else {
                return Ok(End::Released);
            };
            let Some(instance) = part.get(index) else {
                return Ok(End::Released);
            };
            let uid = &instance.outgoing.sop_instance;
            let status = match read {
                Ok(Some(Ready {
                    outgoing,
                    mut source,
                })) => {
                    let mut storing = pin!(scu.store(&outgoing, &mut source));
                    let stored =
                        unless_cancelled(association, self.request, storing.as_mut()).await?;
                    let stored = match stored {
                        Some(stored) => Some(stored),
                        None => {
                            progress.cancel();
                            timeout(CANCEL_GRACE, storing).await.ok()
                        }
                    };
                    match stored {
                        None => return Ok(End::Cancelled),
                        Some(Ok(outcome)) => Some(outcome.status),
                        Some(Err(ScuError::Source(error))) => {
                            tracing::error!(%error, instance = %uid, "a stored instance cannot be read");
                            return Ok(End::Damaged(index));
                        }
                        Some(Err(error)) => {
                            tracing::warn!(%error, instance = %uid, "association with the move destination broke");
                            return Ok(End::Broken(index));
                        }
                    }
                }
                Ok(None) => None,
                Err(error) => {
                    tracing::error!(%error, instance = %uid, "a stored instance cannot be read");
                    None
                }
            };
            progress.count(instance, status);
            if progress.is_cancelled() {
                return Ok(End::Cancelled);
            }
            progress
                .pending(association, self.context, self.request)
                .await?;
        }
    }
}
