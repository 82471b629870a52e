//! The services that this node provides over an archive: storage, query, retrieve by move and by get.

mod access;
mod answer;
mod find;
mod get;
mod instances;
mod matching;
mod moving;
mod query;
mod retrieval;
mod shares;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
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
use instances::{OUTGOING_BYTES, OUTGOING_BYTES_PER_AE, Reader};
use shares::{Share, Shares};
use storage::{HELD_BYTES, HELD_UNIT, Refusals};

/// Searches at a time, each of which has a thread that may wait for a caller to take its answers: a fraction of the
/// threads that wait for the disk.
const SEARCHES: u64 = 128;
const SEARCHES_PER_AE: u64 = 32;
/// Retrievals at a time: each has a list of what is wanted, and a piece of an instance.
const RETRIEVALS: u64 = 256;
const RETRIEVALS_PER_AE: u64 = 64;
/// How long a query or a retrieval waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of the services.
#[derive(Debug, Clone)]
pub struct ScpSettings {
    /// This node's AE title; a caller that calls another one is refused.
    pub ae_title: String,
    /// Whether AEs that are not registered may store, find, move and get everything.
    pub accept_any_calling_ae: bool,
    /// Associations of one calling AE at a time.
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
    /// Bytes of instances that are on their way in, in units of [`HELD_UNIT`].
    held: Arc<Semaphore>,
    /// Bytes of instances that are on their way out.
    outgoing: Arc<Shares>,
    searches: Arc<Shares>,
    retrievals: Arc<Shares>,
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
            held: Arc::new(Semaphore::new(HELD_BYTES / HELD_UNIT)),
            outgoing: Shares::new(OUTGOING_BYTES, OUTGOING_BYTES_PER_AE),
            searches: Shares::new(SEARCHES, SEARCHES_PER_AE),
            retrievals: Shares::new(RETRIEVALS, RETRIEVALS_PER_AE),
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

    async fn place_for_search(&self, calling: &str) -> Result<Share, Denied> {
        let status = Status::OUT_OF_RESOURCES;
        place(&self.inner.searches, calling, status).await
    }

    async fn place_for_retrieval(&self, calling: &str) -> Result<Share, Denied> {
        let status = Status::CANNOT_SUBOPERATE;
        place(&self.inner.retrievals, calling, status).await
    }

    /// Reads what goes to a peer that agreed to `contexts`, on behalf of `calling`.
    fn reader(&self, calling: &str, contexts: Vec<PresentationContext>) -> Reader {
        Reader {
            packs: self.archive().packs().clone(),
            memory: Arc::clone(&self.inner.outgoing),
            calling: calling.to_owned(),
            contexts,
        }
    }
}

async fn place(places: &Arc<Shares>, calling: &str, refused: Status) -> Result<Share, Denied> {
    timeout(PLACE_TIMEOUT, places.take(calling, 1))
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
