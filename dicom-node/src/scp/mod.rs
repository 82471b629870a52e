//! The services that this node provides over an archive: storage, query, retrieve by move and by get.

mod access;
mod answer;
mod find;
mod get;
#[cfg(test)]
mod index_tests;
mod instances;
mod matching;
mod moving;
mod query;
mod shares;
mod storage;

use std::sync::Arc;

use futures::future::{BoxFuture, OptionFuture};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use yingku_storage::archive::Archive;

use crate::association::{Association, AssociationError, Peer};
use crate::message::Command;
use crate::pdu::Timeouts;
use crate::server::{Node, NodeConfig, PlacesPerAe, QueryRetrieve, Services};
use crate::text::Undeclared;
use shares::Shares;
use storage::Refusals;

/// Settings of the services.
#[derive(Debug, Clone)]
pub struct ScpSettings {
    /// This node's AE title; a caller that calls another one is refused.
    pub ae_title: String,
    /// Whether AEs that are not registered may store, find, move and get everything.
    pub accept_any_calling_ae: bool,
    /// Associations of one sender at a time: a registered AE, or the address of one that is not.
    pub max_associations_per_ae: usize,
    pub undeclared: Undeclared,
    /// Time limits of associations to the destinations of C-MOVE.
    pub timeouts: Timeouts,
}

/// The archive as a DICOM node sees it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Scp {
    inner: Arc<Inner>,
}

struct Inner {
    archive: Archive,
    settings: ScpSettings,
    places: PlacesPerAe,
    shares: Shares,
    refusals: Refusals,
}

/// Where callers come in.
pub struct Doors {
    pub clear: TcpListener,
    pub tls: Option<(TcpListener, TlsAcceptor)>,
}

/// Serves DICOM until `stop`; returns when all associations have ended.
pub async fn serve(
    doors: Doors,
    archive: Archive,
    config: NodeConfig,
    settings: ScpSettings,
    stop: CancellationToken,
) {
    let scp = Scp {
        inner: Arc::new(Inner {
            archive,
            places: PlacesPerAe::new(settings.max_associations_per_ae),
            settings,
            shares: Shares::default(),
            refusals: Refusals::default(),
        }),
    };
    let services = Services {
        gatekeeper: Arc::new(scp.clone()),
        store: Arc::new(scp.clone()),
        query: Some(Arc::new(scp)),
    };
    let clear = Node::new(doors.clear, config, services);
    let tls = doors
        .tls
        .map(|(listener, acceptor)| clear.behind_tls(listener, acceptor));
    let tls = OptionFuture::from(tls.map(|node| node.run(stop.clone())));
    tokio::join!(clear.run(stop), tls);
}

impl Scp {
    fn archive(&self) -> &Archive {
        &self.inner.archive
    }

    fn settings(&self) -> &ScpSettings {
        &self.inner.settings
    }
}

impl QueryRetrieve for Scp {
    fn find<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(find::serve(self, association, context, request))
    }

    fn retrieve_by_move<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(moving::serve(self, association, context, request))
    }

    fn retrieve_by_get<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(get::serve(self, association, context, request))
    }

    fn ending<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, ()> {
        Box::pin(self.settle(peer))
    }
}
