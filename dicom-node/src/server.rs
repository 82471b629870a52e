//! The listening side: connections become associations, and each has a thread with a runtime of its own.
//!
//! A sender waits for the answer to each image before it sends the next, so each time that an image changes threads on its
//! way (from the one that waits for sockets to the one that serves the association, to one that may wait for the disk, and
//! back) is paid in full: a fifth of the time that an image of 512 KB takes. Here the thread that is woken by the socket
//! reads the image, writes it, waits for the disk and answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::association::{
    AcceptError, Admission, Association, AssociationError, Caller, Event, Gatekeeper,
    NegotiationPolicy, Peer, Rejection, accept, reject_overload,
};
use crate::door::PlacesPerAe;
use crate::message::{Command, Operation};
use crate::meters;
use crate::pdu::{PduError, Timeouts};
use crate::status::Status;
use crate::store::{InstanceStore, StoreRefusal, serve_store};
use crate::stream::{BoxedStream, TunedTcp};
use crate::text::Undeclared;

/// Connections that have not negotiated yet, of all addresses. They hold no place: who has not said who it is takes
/// nothing from those who have.
const NEGOTIATING: usize = 512;
/// … and of one address.
const NEGOTIATING_PER_ADDRESS: usize = 64;
/// Connections that are told politely that there is no room; more are closed without a word.
const REFUSALS_AT_ONCE: usize = 64;
/// Pause after a failed `accept` (out of file descriptors): time for others to close.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a thread that read views or packs for an association waits for more of that.
const READER_KEPT: std::time::Duration = std::time::Duration::from_secs(1);

/// What the node is told when it starts.
#[derive(Clone)]
pub struct NodeConfig {
    pub policy: NegotiationPolicy,
    pub timeouts: Timeouts,
    /// Associations at a time.
    pub max_associations: usize,
    pub undeclared: Undeclared,
    /// Every connection is TLS if set.
    pub tls: Option<TlsAcceptor>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            policy: NegotiationPolicy::default(),
            timeouts: Timeouts::default(),
            max_associations: 1000,
            undeclared: Undeclared::default(),
            tls: None,
        }
    }
}

/// Who answers for what.
#[derive(Clone)]
pub struct Services {
    pub gatekeeper: Arc<dyn Gatekeeper>,
    pub store: Arc<dyn InstanceStore>,
    /// Query and retrieve, and what is to be done when an association ends; a plain receiver has none.
    pub query: Option<Arc<dyn QueryRetrieve>>,
}

/// Answers queries, retrievals and reports, each to its final response.
pub trait QueryRetrieve: Send + Sync {
    fn find<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>>;

    fn retrieve_by_move<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>>;

    fn retrieve_by_get<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>>;

    /// N-CREATE or N-SET of a performed procedure step.
    fn procedure_step<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>>;

    /// An association is about to end: by release (the answer waits for this) or otherwise.
    fn ending<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, ()>;
}

/// A node that listens.
pub struct Node {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    config: NodeConfig,
    services: Services,
    places: Arc<Semaphore>,
    negotiating: Arc<Semaphore>,
    negotiating_by_address: Arc<PlacesPerAe>,
    refusals: Arc<Semaphore>,
}

/// What a connection holds until it has become an association.
struct Negotiating {
    _common: OwnedSemaphorePermit,
    _own: Admission,
}

impl Node {
    pub async fn bind(
        address: SocketAddr,
        config: NodeConfig,
        services: Services,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self::new(listener, config, services))
    }

    /// A node on a listener that is open already.
    pub fn new(listener: TcpListener, config: NodeConfig, services: Services) -> Self {
        let shared = Shared {
            places: Arc::new(Semaphore::new(config.max_associations)),
            negotiating: Arc::new(Semaphore::new(NEGOTIATING)),
            negotiating_by_address: Arc::new(PlacesPerAe::new(NEGOTIATING_PER_ADDRESS)),
            refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
            config,
            services,
        };
        Self {
            listener,
            shared: Arc::new(shared),
        }
    }

    /// A second door to the same node, for TLS: both share the places for associations.
    pub fn behind_tls(&self, listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        let Shared {
            config,
            services,
            places,
            negotiating,
            negotiating_by_address,
            refusals,
        } = self.shared.as_ref();
        Self {
            listener,
            shared: Arc::new(Shared {
                config: NodeConfig {
                    tls: Some(acceptor),
                    ..config.clone()
                },
                services: services.clone(),
                places: Arc::clone(places),
                negotiating: Arc::clone(negotiating),
                negotiating_by_address: Arc::clone(negotiating_by_address),
                refusals: Arc::clone(refusals),
            }),
        }
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then takes no more connections, lets each association finish the message it is at, and
    /// returns when all have ended.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, address)) => self.open(tcp, address, &tasks, &stop),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a DICOM connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        tasks.close();
        tasks.wait().await;
    }

    fn open(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let shared = Arc::clone(&self.shared);
        if let Some(negotiating) = shared.may_negotiate(address) {
            let (running, stop) = (tasks.token(), stop.clone());
            let serve = move || {
                let _running = running;
                alone(tcp, |tcp| {
                    shared.connection(tcp, address, negotiating, stop)
                })
            };
            let own = thread::Builder::new().name("association".to_owned());
            if let Err(error) = own.spawn(move || {
                if let Err(error) = serve() {
                    tracing::warn!(%error, "a DICOM connection is closed: it cannot be served");
                }
            }) {
                tracing::warn!(%error, "a DICOM connection is closed: there is no thread for it");
            }
        } else if let Ok(place) = Arc::clone(&shared.refusals).try_acquire_owned() {
            tasks.spawn(async move {
                if shared.config.tls.is_none()
                    && let Ok(stream) = TunedTcp::new(tcp)
                {
                    let _ = reject_overload(Box::new(stream), shared.config.timeouts).await;
                }
                drop(place);
            });
        }
    }
}

/// Serves a connection on this thread, with a runtime that nothing else uses.
fn alone<F: Future<Output = ()>>(
    tcp: TcpStream,
    serve: impl FnOnce(TcpStream) -> F,
) -> io::Result<()> {
    let tcp = tcp.into_std()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(READER_KEPT)
        .build()?;
    runtime.block_on(async move {
        serve(TcpStream::from_std(tcp)?).await;
        Ok(())
    })
}

/// The node's own part of an admission: a place for the association.
impl Gatekeeper for Shared {
    fn admit(&self, caller: &Caller) -> Result<Admission, Rejection> {
        let admission = self.services.gatekeeper.admit(caller)?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Rejection::LimitExceeded)?;
        Ok(Box::new((admission, place)))
    }
}

impl Shared {
    fn may_negotiate(&self, address: SocketAddr) -> Option<Negotiating> {
        let address = address.ip().to_canonical().to_string();
        Some(Negotiating {
            _own: self.negotiating_by_address.take(&address).ok()?,
            _common: Arc::clone(&self.negotiating).try_acquire_owned().ok()?,
        })
    }

    async fn connection(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        negotiating: Negotiating,
        stop: CancellationToken,
    ) {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = self.negotiate(tcp, address) => opened,
        };
        drop(negotiating);
        match opened {
            Ok((association, admission)) => {
                let open = meters::Open::count();
                self.serve(association, &stop).await;
                drop(open);
                drop(admission);
            }
            // Port scanners and load balancers' health checks connect and leave.
            Err(AcceptError::Pdu(PduError::Closed)) => {}
            Err(error) => {
                meters::not_accepted(&error);
                tracing::info!(%address, %error, "no association");
            }
        }
    }

    async fn negotiate(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
    ) -> Result<(Association, Admission), AcceptError> {
        let config = &self.config;
        let tuned = TunedTcp::new(tcp).map_err(PduError::from)?;
        let stream: BoxedStream = match &config.tls {
            None => Box::new(tuned),
            Some(acceptor) => {
                let limit = config.timeouts.negotiation;
                let tls = timeout(limit, acceptor.accept(tuned))
                    .await
                    .map_err(|_| PduError::TooSlow {
                        what: "TLS handshake",
                        limit,
                    })?
                    .map_err(PduError::from)?;
                Box::new(tls)
            }
        };
        let secure = config.tls.is_some();
        accept(
            stream,
            Some(address),
            secure,
            &config.policy,
            self,
            config.timeouts,
        )
        .await
    }

    /// Serves an association to its end.
    async fn serve(&self, mut association: Association, stop: &CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => {
                    self.ending(association.peer().clone()).await;
                    let reason = dicom_ul::pdu::AbortRQServiceProviderReason::ReasonNotSpecified;
                    return association.abort(reason).await;
                }
                event = association.next_request() => event,
            };
            let outcome = match event {
                Ok(Event::Release) => {
                    self.ending(association.peer().clone()).await;
                    let _ = association.confirm_release().await;
                    return;
                }
                Ok(Event::Command { context, command }) => {
                    let since = Instant::now();
                    let outcome = self.dispatch(&mut association, context, &command).await;
                    meters::served(command.operation, since);
                    outcome
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.ending(association.peer().clone()).await;
                return end(association, error).await;
            }
        }
    }

    async fn ending(&self, peer: Peer) {
        if let Some(query) = &self.services.query {
            query.ending(&peer).await;
        }
    }

    async fn dispatch(
        &self,
        association: &mut Association,
        context: u8,
        command: &Command,
    ) -> Result<(), AssociationError> {
        if command.is_response {
            return Err(AssociationError::Unexpected("response"));
        }
        if !self.belongs(association, context, command)? {
            return self.misplaced(association, context, command).await;
        }
        match command.operation {
            Operation::Echo => {
                association
                    .send(context, &command.response(Status::SUCCESS))
                    .await
            }
            Operation::Store => {
                let store = self.services.store.as_ref();
                serve_store(association, context, command, store, self.config.undeclared).await
            }
            // What it would cancel is answered already.
            Operation::Cancel => Ok(()),
            Operation::Find
            | Operation::Move
            | Operation::Get
            | Operation::Create
            | Operation::Set
                if let Some(query) = &self.services.query =>
            {
                match command.operation {
                    Operation::Create | Operation::Set => {
                        query.procedure_step(association, context, command).await
                    }
                    Operation::Find => query.find(association, context, command).await,
                    Operation::Move => query.retrieve_by_move(association, context, command).await,
                    _ => query.retrieve_by_get(association, context, command).await,
                }
            }
            Operation::Find
            | Operation::Move
            | Operation::Get
            | Operation::Create
            | Operation::Set
            | Operation::Other(_) => {
                association.discard_data_set().await?;
                let refusal = command.response(Status::UNRECOGNISED_OPERATION);
                association.send(context, &refusal).await
            }
        }
    }

    /// Whether the request's service is that of its presentation context, and its SOP class the context's (PS3.7 §9.1).
    fn belongs(
        &self,
        association: &Association,
        context: u8,
        command: &Command,
    ) -> Result<bool, AssociationError> {
        let agreed = &association.context(context)?.abstract_syntax;
        let same_class = match (command.operation, command.sop_class.as_deref()) {
            (Operation::Cancel | Operation::Other(_), _) => true,
            // Whoever serves the operation says that it is missing.
            (_, None) => true,
            (_, Some(class)) => class == &**agreed,
        };
        Ok(same_class && self.config.policy.serves(command.operation, agreed))
    }

    async fn misplaced(
        &self,
        association: &mut Association,
        context: u8,
        command: &Command,
    ) -> Result<(), AssociationError> {
        let refusal = StoreRefusal::new(
            Status::SOP_CLASS_NOT_SUPPORTED,
            "SOP class is not that of the presentation context",
        );
        if command.operation == Operation::Store {
            self.services.store.refused(association.peer(), &refusal);
        }
        association.discard_data_set().await?;
        let response = command
            .response(refusal.status)
            .with_comment(refusal.comment);
        association.send(context, &response).await
    }
}

async fn end(association: Association, error: AssociationError) {
    let peer = association.peer();
    tracing::info!(calling = %peer.calling, address = ?peer.address, %error, "association ended");
    if let Some(reason) = error.abort_reason() {
        association.abort(reason).await;
    }
}
