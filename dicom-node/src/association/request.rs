//! The requestor's side of the negotiation: an association of ours with another node.

use std::net::SocketAddr;

use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRQ, Pdu, PresentationContextProposed,
    PresentationContextResultReason, RequestorRoles, UserVariableItem,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::{application_context, implementation, max_length, own_variables};
use super::negotiate::{CONTEXT_LIMIT, plain_uid, takes_store};
use super::{Association, AssociationError, Peer, PresentationContext};
use crate::pdu::{PduError, PduStream, PduType, SMALLEST_PEER_PDU, Timeouts};
use crate::stream::{BoxedStream, TunedTcp};

/// An abstract syntax and the transfer syntaxes in which we can speak it, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedContext {
    pub abstract_syntax: String,
    pub transfer_syntaxes: Vec<String>,
    /// We take C-STORE requests on it, for a C-GET of ours.
    pub we_are_scp: bool,
}

/// What an association of ours is asked for with.
#[derive(Debug, Clone)]
pub struct Requestor {
    pub calling: String,
    pub called: String,
    /// At most 128; more are left out.
    pub contexts: Vec<ProposedContext>,
    pub timeouts: Timeouts,
}

/// Why the peer gave no association.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no {what} in time")]
    TooSlow { what: &'static str },
    #[error("the peer refused the association: {0}")]
    Rejected(String),
    #[error("the peer takes only {0} bytes in a PDU")]
    SmallPdu(u32),
    #[error(transparent)]
    Association(#[from] AssociationError),
}

impl From<PduError> for RequestError {
    fn from(error: PduError) -> Self {
        Self::Association(error.into())
    }
}

impl Requestor {
    /// Connects over TCP and negotiates; `address` is `host:port`.
    pub async fn connect(&self, address: &str) -> Result<Association, RequestError> {
        self.connect_over(address, |tcp| Box::new(tcp)).await
    }

    /// As [`Self::connect`], over what `wrap` makes of the connection.
    pub async fn connect_over(
        &self,
        address: &str,
        wrap: impl FnOnce(TunedTcp) -> BoxedStream,
    ) -> Result<Association, RequestError> {
        let limit = self.timeouts.negotiation;
        let tcp = timeout(limit, TcpStream::connect(address))
            .await
            .map_err(|_| RequestError::TooSlow { what: "connection" })?
            .map_err(RequestError::Connect)?;
        let remote = tcp.peer_addr().ok();
        let stream = TunedTcp::new(tcp).map_err(RequestError::Connect)?;
        self.negotiate(wrap(stream), remote).await
    }

    /// Negotiates over a stream that is already open.
    pub async fn negotiate(
        &self,
        stream: BoxedStream,
        address: Option<SocketAddr>,
    ) -> Result<Association, RequestError> {
        let limit = self.timeouts.negotiation;
        match timeout(limit, self.exchange(stream, address)).await {
            Ok(done) => done,
            Err(_) => Err(RequestError::TooSlow {
                what: "answer to the association request",
            }),
        }
    }

    async fn exchange(
        &self,
        stream: BoxedStream,
        address: Option<SocketAddr>,
    ) -> Result<Association, RequestError> {
        let mut pdus = PduStream::new(stream, self.timeouts);
        let proposed = self.proposed();
        pdus.write(&Pdu::AssociationRQ(self.request(&proposed)))
            .await?;
        let wait = self.timeouts.negotiation;
        let (kind, length) = pdus
            .read_header(wait, "answer to the association request")
            .await?;
        let accepted = match kind {
            PduType::AssociateAccept | PduType::AssociateReject => {
                pdus.read_body(kind, length).await?
            }
            PduType::Abort => return Err(AssociationError::Aborted.into()),
            _ => return Err(AssociationError::Unexpected("PDU type").into()),
        };
        match accepted {
            Pdu::AssociationAC(accepted) => self.agreed(pdus, &proposed, &accepted, address),
            Pdu::AssociationRJ(AssociationRJ { result, source }) => {
                Err(RequestError::Rejected(format!("{source} ({result:?})")))
            }
            _ => Err(AssociationError::Unexpected("PDU type").into()),
        }
    }

    fn proposed(&self) -> Vec<PresentationContextProposed> {
        self.contexts
            .iter()
            .take(CONTEXT_LIMIT)
            .zip((1u8..=255).step_by(2))
            .map(|(context, id)| PresentationContextProposed {
                id,
                abstract_syntax: context.abstract_syntax.clone(),
                transfer_syntaxes: context.transfer_syntaxes.clone(),
            })
            .collect()
    }

    fn request(&self, proposed: &[PresentationContextProposed]) -> AssociationRQ {
        let mut user_variables = own_variables();
        let mut with_roles: Vec<&str> = Vec::new();
        for context in self
            .contexts
            .iter()
            .take(CONTEXT_LIMIT)
            .filter(|c| c.we_are_scp)
        {
            if with_roles.contains(&context.abstract_syntax.as_str()) {
                continue;
            }
            with_roles.push(&context.abstract_syntax);
            user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(
                context.abstract_syntax.clone(),
                RequestorRoles {
                    scu: false,
                    scp: true,
                },
            ));
        }
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: self.calling.clone(),
            called_ae_title: self.called.clone(),
            application_context_name: application_context().to_owned(),
            presentation_contexts: proposed.to_vec(),
            user_variables,
        }
    }

    fn agreed(
        &self,
        pdus: PduStream,
        proposed: &[PresentationContextProposed],
        accepted: &AssociationAC,
        address: Option<SocketAddr>,
    ) -> Result<Association, RequestError> {
        let max_pdu = max_length(&accepted.user_variables);
        if (1..SMALLEST_PEER_PDU).contains(&max_pdu) {
            return Err(RequestError::SmallPdu(max_pdu));
        }
        let contexts = accepted
            .presentation_contexts
            .iter()
            .filter(|result| result.reason == PresentationContextResultReason::Acceptance)
            .filter_map(|result| {
                let ours = proposed.iter().find(|ours| ours.id == result.id)?;
                Some(PresentationContext {
                    id: result.id,
                    abstract_syntax: ours.abstract_syntax.as_str().into(),
                    transfer_syntax: plain_uid(&result.transfer_syntax).into(),
                    peer_is_scp: !takes_store(&accepted.user_variables, &ours.abstract_syntax),
                })
            })
            .collect();
        let peer = Peer {
            calling: self.calling.clone(),
            called: self.called.clone(),
            address,
            implementation: implementation(&accepted.user_variables),
            max_pdu,
        };
        Ok(Association::new(pdus, contexts, peer))
    }
}
