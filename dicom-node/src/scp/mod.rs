//! The services that this node provides over an archive: storage, query, retrieve by move and by get, worklist, performed
//! procedure steps.

mod access;
mod answer;
mod awaited;
mod delivery;
mod fetched;
mod find;
mod get;
#[cfg(test)]
mod index_tests;
mod instances;
mod matching;
mod moving;
mod performed;
mod query;
mod quota;
mod retrieval;
mod rewritten;
mod shares;
mod storage;
mod worklist;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use yingku_storage::archive::Archive;

use crate::association::{Association, AssociationError, Peer, PresentationContext};
use crate::door::PlacesPerAe;
use crate::message::Command;
use crate::pdu::Timeouts;
use crate::server::{Node, NodeConfig, QueryRetrieve, Services};
use crate::status::Status;
use crate::text::Undeclared;
use access::Denied;
pub use awaited::Awaited;
use awaited::AwaitedGateways;
pub use fetched::{Came, FetchedStore};
use instances::{OUTGOING_BYTES, OUTGOING_BYTES_PER_AE, Reader};
use quota::{Part, Quota};
use shares::Shares;
use storage::Refusals;

/// Searches at a time, each of which has a thread beside its association's that may wait for a caller to take its answers.
const SEARCHES: u64 = 128;
const SEARCHES_PER_AE: u64 = 32;
/// Retrievals at a time: each has a list of what is wanted, and a piece of an instance.
const RETRIEVALS: u64 = 256;
const RETRIEVALS_PER_AE: u64 = 64;
/// Bytes of answers that wait for their callers to take them.
const ANSWER_BYTES: u64 = 64 << 20;
const ANSWER_BYTES_PER_AE: u64 = 16 << 20;
/// How long a query or a retrieval waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(20);

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
pub struct Scp {
    inner: Arc<Inner>,
}

struct Inner {
    archive: Archive,
    /// For what goes on when an association, and its own runtime, have ended.
    runtime: Handle,
    settings: ScpSettings,
    places: PlacesPerAe,
    shares: Shares,
    /// Bytes of instances that are on their way out.
    outgoing: Arc<Quota>,
    searches: Arc<Quota>,
    answers: Arc<Quota>,
    retrievals: Arc<Quota>,
    refusals: Refusals,
    awaited: AwaitedGateways,
}

/// Where callers come in.
pub struct Doors {
    pub clear: TcpListener,
    pub tls: Option<(TcpListener, TlsAcceptor)>,
}

/// Serves DICOM until `stop`; returns when all associations have ended.
pub async fn serve(doors: Doors, scp: Scp, config: NodeConfig, stop: CancellationToken) {
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
    /// Within a runtime, for what goes on when an association has ended.
    pub fn new(archive: Archive, settings: ScpSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                archive,
                runtime: Handle::current(),
                places: PlacesPerAe::new(settings.max_associations_per_ae),
                settings,
                shares: Shares::default(),
                outgoing: Quota::new(OUTGOING_BYTES, OUTGOING_BYTES_PER_AE),
                searches: Quota::new(SEARCHES, SEARCHES_PER_AE),
                answers: Quota::new(ANSWER_BYTES, ANSWER_BYTES_PER_AE),
                retrievals: Quota::new(RETRIEVALS, RETRIEVALS_PER_AE),
                refusals: Refusals::default(),
                awaited: AwaitedGateways::default(),
            }),
        }
    }

    fn archive(&self) -> &Archive {
        &self.inner.archive
    }

    pub fn settings(&self) -> &ScpSettings {
        &self.inner.settings
    }

    async fn place_for_search(&self, caller: &str) -> Result<Part, Denied> {
        let status = Status::OUT_OF_RESOURCES;
        place(&self.inner.searches, caller, status).await
    }

    async fn place_for_retrieval(&self, caller: &str) -> Result<Part, Denied> {
        let status = Status::CANNOT_SUBOPERATE;
        place(&self.inner.retrievals, caller, status).await
    }

    /// Reads what goes to a peer that agreed to `contexts`, on behalf of `caller`.
    fn reader(&self, caller: &str, contexts: Vec<PresentationContext>) -> Reader {
        Reader {
            packs: self.archive().packs().clone(),
            memory: Arc::clone(&self.inner.outgoing),
            caller: caller.to_owned(),
            contexts,
        }
    }
}

async fn place(places: &Arc<Quota>, caller: &str, refused: Status) -> Result<Part, Denied> {
    timeout(PLACE_TIMEOUT, places.take(caller, 1))
        .await
        .map_err(|_| Denied::new(refused, "too many requests at once: try again later"))
}

impl QueryRetrieve for Scp {
    fn find<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(async move {
            if worklist::is_worklist(&association.context(context)?.abstract_syntax) {
                worklist::serve(self, association, context, request).await
            } else {
                find::serve(self, association, context, request).await
            }
        })
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

    fn procedure_step<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(performed::serve(self, association, context, request))
    }

    fn ending<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, ()> {
        Box::pin(self.settle(peer))
    }
}
