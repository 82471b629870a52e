//! The acceptor's side of the negotiation (PS3.8 §7.1).

use std::net::SocketAddr;

use dicom_ul::pdu::{
    AbortRQServiceProviderReason, AbortRQSource, AssociationAC, AssociationRQ, Pdu,
    UserVariableItem,
};
use tokio::time::timeout;

use super::negotiate::{Negotiated, negotiate, plain_uid};
use super::{Admission, Association, Caller, Gatekeeper, NegotiationPolicy, Peer, Rejection};
use crate::pdu::{OFFERED_PDU_LENGTH, PduError, PduStream, PduType, SMALLEST_PEER_PDU, Timeouts};
use crate::stream::BoxedStream;
use crate::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION};

/// PS3.7 annex A: the only application context there is.
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// Why a connection did not become an association.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error(transparent)]
    Pdu(#[from] PduError),
    #[error("the first PDU is not an association request")]
    NoRequest,
    #[error("association request: {0}")]
    Unusable(&'static str),
    #[error("{caller:?} was refused: {rejection:?}")]
    Rejected {
        caller: Box<Caller>,
        rejection: Rejection,
    },
}

/// Reads the association request and answers it, within the negotiation time.
pub async fn accept(
    stream: BoxedStream,
    address: Option<SocketAddr>,
    secure: bool,
    policy: &NegotiationPolicy,
    gatekeeper: &dyn Gatekeeper,
    timeouts: Timeouts,
) -> Result<(Association, Admission), AcceptError> {
    let limit = timeouts.negotiation;
    let work = async {
        let mut pdus = PduStream::new(stream, timeouts);
        let request = read_request(&mut pdus).await?;
        let caller = Caller {
            calling: plain_uid(&request.calling_ae_title).to_owned(),
            called: plain_uid(&request.called_ae_title).to_owned(),
            address,
            secure,
        };
        match check(&request).and_then(|()| gatekeeper.admit(&caller)) {
            Ok(admission) => Ok((answer(pdus, policy, &request, caller).await?, admission)),
            Err(rejection) => {
                reject(&mut pdus, rejection).await?;
                Err(AcceptError::Rejected {
                    caller: Box::new(caller),
                    rejection,
                })
            }
        }
    };
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(PduError::TooSlow {
            what: "association request",
            limit,
        }
        .into()),
    }
}

/// Tells a caller that there is no room, without looking at what it wants.
pub async fn reject_overload(stream: BoxedStream, timeouts: Timeouts) -> Result<(), AcceptError> {
    let mut pdus = PduStream::new(stream, timeouts);
    let work = async {
        read_request(&mut pdus).await?;
        reject(&mut pdus, Rejection::LimitExceeded).await
    };
    match timeout(timeouts.negotiation, work).await {
        Ok(done) => done,
        Err(_) => Ok(()),
    }
}

async fn read_request(pdus: &mut PduStream) -> Result<AssociationRQ, AcceptError> {
    let wait = pdus.timeouts().negotiation;
    let read = async {
        let (kind, length) = pdus.read_header(wait, "association request").await?;
        if kind != PduType::AssociateRequest {
            return Err(AcceptError::NoRequest);
        }
        match pdus.read_body(kind, length).await? {
            Pdu::AssociationRQ(request) => {
                well_formed(&request)?;
                Ok(request)
            }
            _ => Err(AcceptError::NoRequest),
        }
    };
    let outcome = read.await;
    if let Err(error) = &outcome
        && !matches!(error, AcceptError::Pdu(PduError::Io(_) | PduError::Closed))
    {
        let reason = AbortRQServiceProviderReason::InvalidPduParameter;
        let abort = Pdu::AbortRQ {
            source: AbortRQSource::ServiceProvider(reason),
        };
        if pdus.write(&abort).await.is_ok() {
            pdus.until_closed().await;
        }
    }
    outcome
}

async fn reject(pdus: &mut PduStream, rejection: Rejection) -> Result<(), AcceptError> {
    pdus.write(&Pdu::AssociationRJ(rejection.to_pdu())).await?;
    pdus.until_closed().await;
    Ok(())
}

fn check(request: &AssociationRQ) -> Result<(), Rejection> {
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::ProtocolVersion);
    }
    if plain_uid(&request.application_context_name) != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContext);
    }
    Ok(())
}

/// What no answer could be given to: an abort names the parameter as the reason, which a rejection cannot.
fn well_formed(request: &AssociationRQ) -> Result<(), AcceptError> {
    if (1..SMALLEST_PEER_PDU).contains(&max_length(&request.user_variables)) {
        return Err(AcceptError::Unusable(
            "the peer takes PDUs of less than 128 bytes only",
        ));
    }
    let mut ids = std::collections::HashSet::new();
    if !request
        .presentation_contexts
        .iter()
        .all(|proposed| ids.insert(proposed.id))
    {
        return Err(AcceptError::Unusable(
            "two presentation contexts have the same identifier",
        ));
    }
    Ok(())
}

async fn answer(
    mut pdus: PduStream,
    policy: &NegotiationPolicy,
    request: &AssociationRQ,
    caller: Caller,
) -> Result<Association, AcceptError> {
    let Negotiated {
        answers,
        contexts,
        roles,
    } = negotiate(policy, request);
    let mut user_variables = own_variables();
    user_variables.extend(roles);
    let accepted = AssociationAC {
        protocol_version: 1,
        calling_ae_title: printable(&request.calling_ae_title),
        called_ae_title: printable(&request.called_ae_title),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: answers,
        user_variables,
    };
    pdus.write(&Pdu::AssociationAC(accepted)).await?;
    let peer = Peer {
        calling: caller.calling,
        called: caller.called,
        address: caller.address,
        implementation: implementation(&request.user_variables),
        max_pdu: max_length(&request.user_variables),
    };
    Ok(Association::new(pdus, contexts, peer))
}

/// What we tell of ourselves in either role.
pub(super) fn own_variables() -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(OFFERED_PDU_LENGTH),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION.to_owned()),
    ]
}

/// 0, no limit, when the peer says nothing.
pub(super) fn max_length(items: &[UserVariableItem]) -> u32 {
    items
        .iter()
        .find_map(|item| match item {
            UserVariableItem::MaxLength(length) => Some(*length),
            _ => None,
        })
        .unwrap_or(0)
}

pub(super) fn implementation(items: &[UserVariableItem]) -> String {
    items
        .iter()
        .find_map(|item| match item {
            UserVariableItem::ImplementationVersionName(name) => Some(plain_uid(name).to_owned()),
            _ => None,
        })
        .unwrap_or_default()
}

/// The writer refuses a title that is longer than 16 bytes once a control character is escaped.
fn printable(title: &str) -> String {
    title
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .take(16)
        .collect()
}

pub(super) const fn application_context() -> &'static str {
    APPLICATION_CONTEXT
}
