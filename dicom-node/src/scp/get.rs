//! C-GET (PS3.4 §C.4.3): sub-operations over the association that asked.

use std::sync::Arc;

use super::Scp;
use super::find::{Caller, prepare};
use super::instances::Ready;
use super::retrieval::{Progress, look_up, unless_cancelled};
use crate::association::{Association, AssociationError, Event};
use crate::dataset::IDENTIFIER_LIMIT;
use crate::message::{Command, Operation};
use crate::scu::{ScuError, send_instance};
use crate::status::Status;

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
    let found = match scp.place_for_retrieval(&caller).await {
        Ok(place) => match prepare(scp, Caller::of(association, context)?, request, &keys).await {
            Ok((query, scope)) => look_up(scp, association, request, query, scope)
                .await?
                .map(|wanted| (wanted, place)),
            Err(denied) => Err(denied),
        },
        Err(denied) => Err(denied),
    };
    let (wanted, _place) = match found {
        Ok((wanted, place)) => (Arc::new(wanted), place),
        Err(denied) => {
            let response = request.response(denied.status).with_comment(denied.comment);
            return association.send(context, &response).await;
        }
    };
    let mut progress = Progress::new(&wanted);
    let contexts = association.contexts().to_vec();
    let mut sources = scp
        .reader(&caller, contexts)
        .read_ahead(Arc::clone(&wanted));
    // Its own message ids must not meet the request's.
    let mut message_id = request.message_id;
    loop {
        let Some(next) = unless_cancelled(association, request, sources.recv()).await? else {
            progress.cancel();
            break;
        };
        let Some((index, read)) = next else { break };
        let Some(instance) = wanted.get(index) else {
            break;
        };
        message_id = message_id.checked_add(1).unwrap_or(1);
        let status = match read {
            Ok(Some(ready)) => {
                send_one(association, message_id, ready, request, &mut progress).await?
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, instance = %instance.outgoing.sop_instance, "a stored instance cannot be read");
                None
            }
        };
        progress.count(instance, status);
        progress.pending(association, context, request).await?;
        if progress.is_cancelled() || association.is_cancelled(request.message_id).await? {
            progress.cancel();
            break;
        }
    }
    drop(sources);
    progress.finish(association, context, request).await
}

/// The caller's status; `None` if it agreed to no context that takes the instance.
async fn send_one(
    association: &mut Association,
    message_id: u16,
    ready: Ready,
    request: &Command,
    progress: &mut Progress,
) -> Result<Option<Status>, AssociationError> {
    let Ready {
        outgoing,
        mut source,
    } = ready;
    let context = association
        .contexts()
        .iter()
        .find(|agreed| {
            agreed.peer_is_scp
                && *agreed.abstract_syntax == *outgoing.sop_class
                && *agreed.transfer_syntax == *outgoing.transfer_syntax
        })
        .map(|agreed| agreed.id);
    let Some(context) = context else {
        return Ok(None);
    };
    match send_instance(association, context, message_id, &outgoing, &mut source).await {
        Ok(()) => {}
        Err(ScuError::Association(error)) => return Err(error),
        Err(error) => {
            // Half of the data set is on its way: nothing but an abort tells the caller so.
            tracing::error!(%error, instance = %outgoing.sop_instance, "a stored instance cannot be read");
            return Err(AssociationError::Unexpected("end of a stored instance"));
        }
    }
    loop {
        match association.next_response().await? {
            Event::Command { command, .. }
                if command.operation == Operation::Store && command.is_response =>
            {
                return Ok(command.status);
            }
            Event::Command { command, .. }
                if command.operation == Operation::Cancel
                    && command.message_id == request.message_id =>
            {
                progress.cancel();
            }
            Event::Command { .. } => {
                return Err(AssociationError::Unexpected("request within a request"));
            }
            Event::Release => return Err(AssociationError::Unexpected("release within a request")),
        }
    }
}
