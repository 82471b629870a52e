//! Who may do what: the registry's peers, or anybody where that is set.

use std::net::SocketAddr;
use std::sync::Arc;

use yingku_core::ids::AeTitle;
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::{Registry, Scope, Service};
use yingku_storage::archive::{AuditEntry, SubmitError};

use super::Scp;
use super::shares::SenderShare;
use crate::association::{Admission, Caller, Gatekeeper, Peer, Rejection};
use crate::status::Status;

impl Gatekeeper for Scp {
    fn admit(&self, caller: &Caller) -> Result<Admission, Rejection> {
        if caller.called != self.settings().ae_title {
            return Err(Rejection::CalledAeNotRecognised);
        }
        let title = AeTitle::new(&caller.calling).map_err(|_| Rejection::CallingAeNotRecognised)?;
        let registry = self.archive().registry();
        match registry.peers.get(&title) {
            Some(peer) => {
                let address = caller.address.map(|address| address.ip().to_canonical());
                let expected = peer.addresses.is_empty()
                    || address.is_some_and(|address| peer.addresses.contains(&address));
                if !expected {
                    return Err(Rejection::CallingAeNotRecognised);
                }
            }
            None if self.settings().accept_any_calling_ae => {}
            None => return Err(Rejection::CallingAeNotRecognised),
        }
        self.inner
            .places
            .take(&sender(&registry, &caller.calling, caller.address))
    }
}

/// Why a request is not answered.
pub struct Denied {
    pub status: Status,
    pub comment: String,
}

impl Denied {
    pub fn new(status: Status, comment: impl Into<String>) -> Self {
        Self {
            status,
            comment: comment.into(),
        }
    }
}

/// Who counts as one sender where shares are given out: a registered AE; an address where any AE may call, since
/// whoever calls from there may take as many titles as it likes.
fn sender(registry: &Registry, calling: &str, address: Option<SocketAddr>) -> String {
    let known = AeTitle::new(calling).is_ok_and(|title| registry.peers.contains_key(&title));
    match address {
        Some(address) if !known => address.ip().to_canonical().to_string(),
        _ => calling.to_owned(),
    }
}

impl Scp {
    /// Who the peer is where shares are given out.
    pub(super) fn caller(&self, peer: &Peer) -> String {
        sender(&self.archive().registry(), &peer.calling, peer.address)
    }

    /// What the peer's instances may take of what all share.
    pub(super) fn share_of(&self, peer: &Peer) -> Arc<SenderShare> {
        self.inner.shares.of(&self.caller(peer))
    }

    /// The hospitals for which a peer may use a service.
    pub(super) fn scope(&self, calling: &str, service: Service) -> Option<Scope> {
        let registry = self.archive().registry();
        let known = AeTitle::new(calling)
            .ok()
            .and_then(|title| registry.peers.get(&title).cloned());
        match known {
            Some(peer) if peer.may(service) => Some(peer.hospitals),
            Some(_) => None,
            None if self.settings().accept_any_calling_ae => Some(Scope::all()),
            None => None,
        }
    }

    /// Rights, an audit record, and views that have what was stored before: what every reading begins with.
    pub(super) async fn begin_reading(
        &self,
        peer: &Peer,
        service: Service,
        target: &str,
    ) -> Result<Scope, Denied> {
        let operation = match service {
            Service::Find => "find",
            Service::Move => "move",
            Service::Get => "get",
            Service::Store => "store",
            Service::Worklist => "worklist",
            Service::Mpps => "mpps",
        };
        let scope = self
            .scope(&peer.calling, service)
            .ok_or_else(|| not_allowed(operation))?;
        let entry = AuditEntry {
            reader: format!("ae:{}", peer.calling),
            operation: operation.to_owned(),
            hospital: scope
                .single()
                .map(|code| code.to_string())
                .unwrap_or_default(),
            target: target.to_owned(),
            ..AuditEntry::default()
        };
        self.archive().audit(entry).await.map_err(|error| {
            tracing::error!(%error, "a reading cannot be audited");
            Denied::new(
                Status::OUT_OF_RESOURCES,
                "reading cannot be audited: try again later",
            )
        })?;
        self.archive()
            .settle()
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(scope)
    }
}

pub(super) fn not_allowed(operation: &str) -> Denied {
    Denied::new(
        Status::NOT_AUTHORISED,
        format!("this AE may not {operation}: ask the operator"),
    )
}

/// The archive cannot say what it holds.
pub(super) fn unavailable(error: &SubmitError) -> Denied {
    tracing::warn!(%error, "a reading cannot be answered");
    Denied::new(
        status_of(error.kind()),
        "archive not ready: try again later",
    )
}

/// The one table from the archive's errors to DIMSE statuses (PS3.4 annexes B, C).
pub fn status_of(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Invalid | ErrorKind::NotFound => Status::NOT_REGISTERED,
        ErrorKind::Conflict => Status::MISMATCH,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Status::NOT_AUTHORISED,
        ErrorKind::TooLarge | ErrorKind::TooMany | ErrorKind::Full | ErrorKind::Unavailable => {
            Status::OUT_OF_RESOURCES
        }
        ErrorKind::Internal => Status::UNABLE_TO_PROCESS,
    }
}
