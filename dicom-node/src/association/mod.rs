//! An association after its negotiation: DIMSE messages in and out, over any stream.
//!
//! Operations are synchronous: no operations window is negotiated, so a peer has one request open at a time (PS3.7
//! §D.3.3.3), save for C-CANCEL. An `Association` is not shared: one task drives it.

mod accept;
mod negotiate;
mod pace;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dicom_ul::pdu::{AbortRQServiceProviderReason, AbortRQSource, Pdu};
use tokio::time::Instant;

pub use accept::{AcceptError, accept, reject_overload};
pub use negotiate::{Admission, Caller, Gatekeeper, NegotiationPolicy, Rejection};
pub use request::{ProposedContext, RequestError, Requestor};

use pace::{Pace, SLOWEST_BYTES_PER_S};

use crate::message::{COMMAND_LIMIT, Command, MessageError, Operation};
use crate::meters;
use crate::pdu::{PDV_HEADER_BYTES, PduError, PduStream, PduType, PdvHeader, SENT_PDU_LENGTH};

/// One contiguous buffer for a data set's bytes; most instances fit whole.
const DATA_BUFFER_BYTES: usize = 1024 * 1024;
/// Largest piece of a data set that is handed on at once: small enough to hash while the next one arrives.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// An association that is silent this long gives its buffer back, so that idle ones cost little memory.
const BUFFER_KEPT: Duration = Duration::from_secs(1);

/// A presentation context that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentationContext {
    pub id: u8,
    pub abstract_syntax: Arc<str>,
    pub transfer_syntax: Arc<str>,
    /// The peer takes C-STORE requests on it: C-GET's sub-operations (PS3.4 §C.4.3).
    pub peer_is_scp: bool,
}

/// Whom we speak with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub calling: String,
    pub called: String,
    pub address: Option<std::net::SocketAddr>,
    pub implementation: String,
    /// Most bytes of one P-DATA that the peer takes.
    pub max_pdu: u32,
}

/// Why an association ended without a release.
#[derive(Debug, thiserror::Error)]
pub enum AssociationError {
    #[error(transparent)]
    Pdu(#[from] PduError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the peer aborted the association")]
    Aborted,
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    #[error("{what} is longer than {limit} bytes")]
    TooLong { what: &'static str, limit: usize },
    #[error("presentation context {0} was not agreed on")]
    UnknownContext(u8),
    #[error("a message came at less than {SLOWEST_BYTES_PER_S} bytes a second")]
    TooSlow,
}

/// What the peer wants next.
#[derive(Debug)]
pub enum Event {
    Command {
        context: u8,
        command: Command,
    },
    /// The peer asks for the release of the association.
    Release,
}

/// The data set that is being read.
#[derive(Debug, Clone, Copy)]
struct DataSet {
    context: u8,
    fragment_left: u32,
    last_fragment: bool,
    begun: bool,
    pace: Pace,
}

pub struct Association {
    pdus: PduStream,
    contexts: Vec<PresentationContext>,
    peer: Peer,
    data_set: Option<DataSet>,
    buffer: BytesMut,
}

impl Association {
    fn new(pdus: PduStream, contexts: Vec<PresentationContext>, peer: Peer) -> Self {
        Self {
            pdus,
            contexts,
            peer,
            data_set: None,
            buffer: BytesMut::new(),
        }
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub fn contexts(&self) -> &[PresentationContext] {
        &self.contexts
    }

    pub fn context(&self, id: u8) -> Result<&PresentationContext, AssociationError> {
        self.contexts
            .iter()
            .find(|c| c.id == id)
            .ok_or(AssociationError::UnknownContext(id))
    }

    /// Waits for the peer's next request, for as long as an idle association may live.
    pub async fn next_request(&mut self) -> Result<Event, AssociationError> {
        let idle = self.pdus.timeouts().idle;
        self.next_event(idle, "message").await
    }

    /// Waits for the peer's answer to a request of ours.
    pub async fn next_response(&mut self) -> Result<Event, AssociationError> {
        let response = self.pdus.timeouts().response;
        self.next_event(response, "answer").await
    }

    async fn next_event(
        &mut self,
        wait: Duration,
        what: &'static str,
    ) -> Result<Event, AssociationError> {
        self.discard_data_set().await?;
        self.wait_idle(wait, what).await?;
        let started = Instant::now();
        let mut bytes = Vec::new();
        let mut context = None;
        loop {
            let Some(fragment) = self.next_fragment(wait, what).await? else {
                return if context.is_none() {
                    Ok(Event::Release)
                } else {
                    Err(AssociationError::Unexpected("release within a command"))
                };
            };
            if !fragment.is_command {
                return Err(AssociationError::Unexpected("data set without a command"));
            }
            if context.is_some_and(|id| id != fragment.context) {
                return Err(AssociationError::Unexpected(
                    "change of presentation context",
                ));
            }
            context = Some(fragment.context);
            if bytes.len() + fragment.length as usize > COMMAND_LIMIT {
                return Err(AssociationError::TooLong {
                    what: "command set",
                    limit: COMMAND_LIMIT,
                });
            }
            let mut piece = BytesMut::with_capacity(fragment.length as usize);
            self.pdus.read_fragment(&mut piece, fragment.length).await?;
            bytes.extend_from_slice(&piece);
            if fragment.is_last {
                return self.command_arrived(fragment.context, &bytes);
            }
            if started.elapsed() > self.pdus.timeouts().pdu {
                return Err(AssociationError::TooSlow);
            }
        }
    }

    fn command_arrived(&mut self, context: u8, bytes: &[u8]) -> Result<Event, AssociationError> {
        self.context(context)?;
        let command = Command::decode(bytes)?;
        if command.has_data_set {
            self.data_set = Some(DataSet {
                context,
                fragment_left: 0,
                last_fragment: false,
                begun: false,
                pace: Pace::default(),
            });
        }
        Ok(Event::Command { context, command })
    }

    /// Waits for the next message's first byte; an association that stays silent gives its buffer back.
    async fn wait_idle(&mut self, wait: Duration, what: &'static str) -> Result<(), PduError> {
        if self.pdus.within_data() || self.buffer.capacity() == 0 || wait <= BUFFER_KEPT {
            return Ok(());
        }
        match self.pdus.wait_for_bytes(BUFFER_KEPT, what).await {
            Err(PduError::TooSlow { .. }) => {
                self.buffer = BytesMut::new();
                Ok(())
            }
            other => other,
        }
    }

    /// The next fragment of any P-DATA; `None` when the peer asks for release instead.
    async fn next_fragment(
        &mut self,
        wait: Duration,
        what: &'static str,
    ) -> Result<Option<PdvHeader>, AssociationError> {
        loop {
            if let Some(fragment) = self.pdus.next_fragment().await? {
                return Ok(Some(fragment));
            }
            match self.pdus.read_header(wait, what).await? {
                (PduType::Data, _) => {}
                (PduType::ReleaseRequest, length) => {
                    self.pdus.read_body(PduType::ReleaseRequest, length).await?;
                    return Ok(None);
                }
                (PduType::Abort, _) => return Err(AssociationError::Aborted),
                _ => return Err(AssociationError::Unexpected("PDU type")),
            }
        }
    }

    /// The next piece of the data set that follows the last command, [`CHUNK_BYTES`] at most; `None` at its end.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, AssociationError> {
        let Some(mut data) = self.data_set else {
            return Ok(None);
        };
        // At an instance's start nobody holds the buffer any more: reserving then rewinds it instead of allocating.
        if !data.begun || self.buffer.capacity() - self.buffer.len() < CHUNK_BYTES {
            self.buffer.reserve(DATA_BUFFER_BYTES);
        }
        data.begun = true;
        let limit = self.pdus.timeouts().pdu;
        let mut since = Instant::now();
        while self.buffer.len() < CHUNK_BYTES {
            if data.fragment_left == 0 {
                if data.last_fragment {
                    break;
                }
                data = self.next_data_fragment(data, limit).await?;
                since = data.pace.keep(since, 0, limit)?;
                continue;
            }
            let room = (CHUNK_BYTES - self.buffer.len()) as u32;
            let take = room.min(data.fragment_left);
            self.pdus.read_fragment(&mut self.buffer, take).await?;
            data.fragment_left -= take;
            since = data.pace.keep(since, take, limit)?;
        }
        let ended = data.last_fragment && data.fragment_left == 0;
        self.data_set = if ended && self.buffer.is_empty() {
            None
        } else {
            Some(data)
        };
        if self.buffer.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.buffer.split().freeze()))
    }

    async fn next_data_fragment(
        &mut self,
        mut data: DataSet,
        wait: Duration,
    ) -> Result<DataSet, AssociationError> {
        let fragment = self
            .next_fragment(wait, "rest of the data set")
            .await?
            .ok_or(AssociationError::Unexpected("release within a data set"))?;
        if fragment.is_command {
            return Err(AssociationError::Unexpected("command within a data set"));
        }
        if fragment.context != data.context {
            return Err(AssociationError::Unexpected(
                "change of presentation context",
            ));
        }
        data.fragment_left = fragment.length;
        data.last_fragment = fragment.is_last;
        Ok(data)
    }

    /// The whole data set that follows the last command, if it has at most `limit` bytes.
    pub async fn read_data_set(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Bytes, AssociationError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.read_chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Err(AssociationError::TooLong { what, limit });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads past what is left of the data set, so that a refused instance does not end the association.
    pub async fn discard_data_set(&mut self) -> Result<(), AssociationError> {
        while self.read_chunk().await?.is_some() {}
        Ok(())
    }

    /// Whether the peer has cancelled the request `message_id`; looks only at what is here already.
    pub async fn is_cancelled(&mut self, message_id: u16) -> Result<bool, AssociationError> {
        if self.pdus.within_data() || !self.pdus.poll_whole_pdu()? {
            return Ok(false);
        }
        match self.next_request().await? {
            Event::Command { command, .. } if command.operation == Operation::Cancel => {
                Ok(command.message_id == message_id)
            }
            Event::Command { .. } => Err(AssociationError::Unexpected("request within a request")),
            Event::Release => Err(AssociationError::Unexpected("release within a request")),
        }
    }

    /// Waits for the peer to say something while it waits for our answers; fails when it is gone. Giving up loses
    /// nothing.
    pub async fn peer_speaks(&mut self) -> Result<(), AssociationError> {
        Ok(self.pdus.wait_for_whole_pdu().await?)
    }

    /// Sends a command without a data set.
    pub async fn send(&mut self, context: u8, command: &Command) -> Result<(), AssociationError> {
        self.queue_command(context, command);
        Ok(self.pdus.flush().await?)
    }

    /// Puts a command in front of the data set that is sent next.
    pub fn queue_command(&mut self, context: u8, command: &Command) {
        meters::answered(command);
        let bytes = command.encode();
        let room = self.fragment_bytes();
        let mut pieces = bytes.chunks(room).peekable();
        while let Some(piece) = pieces.next() {
            self.pdus
                .queue_data(context, true, pieces.peek().is_none(), piece);
        }
    }

    /// Puts a command and its whole data set into the queue, to leave with the next [`Self::flush`].
    pub fn queue_with(&mut self, context: u8, command: &Command, data_set: &[u8]) {
        self.queue_command(context, command);
        let room = self.fragment_bytes();
        if data_set.is_empty() {
            self.pdus.queue_data(context, false, true, data_set);
        }
        let mut pieces = data_set.chunks(room).peekable();
        while let Some(piece) = pieces.next() {
            self.pdus
                .queue_data(context, false, pieces.peek().is_none(), piece);
        }
    }

    /// Bytes that wait in the queue.
    pub fn queued_bytes(&self) -> usize {
        self.pdus.queued_bytes()
    }

    /// Writes what is queued.
    pub async fn flush(&mut self) -> Result<(), AssociationError> {
        Ok(self.pdus.flush().await?)
    }

    /// Sends a command and its whole data set.
    pub async fn send_with(
        &mut self,
        context: u8,
        command: &Command,
        data_set: &[u8],
    ) -> Result<(), AssociationError> {
        self.queue_command(context, command);
        self.send_data(context, data_set, true).await
    }

    /// Sends a part of a data set; `is_last` ends it.
    pub async fn send_data(
        &mut self,
        context: u8,
        data: &[u8],
        is_last: bool,
    ) -> Result<(), AssociationError> {
        if data.is_empty() && is_last {
            return Ok(self.pdus.write_data(context, true, data).await?);
        }
        let mut pieces = data.chunks(self.fragment_bytes()).peekable();
        while let Some(piece) = pieces.next() {
            let last = is_last && pieces.peek().is_none();
            self.pdus.write_data(context, last, piece).await?;
        }
        Ok(())
    }

    /// Most bytes of one fragment: even, as PS3.8 annex E asks; negotiation saw to it that there is room.
    fn fragment_bytes(&self) -> usize {
        let pdu = match self.peer.max_pdu {
            0 => SENT_PDU_LENGTH,
            limit => limit.min(SENT_PDU_LENGTH),
        };
        ((pdu as usize).saturating_sub(PDV_HEADER_BYTES) & !1).max(2)
    }

    /// Answers the peer's wish for release and ends the connection.
    pub async fn confirm_release(mut self) -> Result<(), AssociationError> {
        self.pdus.write(&Pdu::ReleaseRP).await?;
        self.pdus.until_closed().await;
        Ok(())
    }

    /// Asks for release, waits for the confirmation and ends the connection.
    pub async fn release(mut self) -> Result<(), AssociationError> {
        self.pdus.write(&Pdu::ReleaseRQ).await?;
        let wait = self.pdus.timeouts().pdu;
        loop {
            match self.pdus.read_header(wait, "release confirmation").await? {
                (PduType::ReleaseResponse, _) => break,
                (PduType::ReleaseRequest, length) => {
                    // Both asked at once (PS3.8 §7.2.2): confirm theirs and go on waiting for ours.
                    self.pdus.read_body(PduType::ReleaseRequest, length).await?;
                    self.pdus.write(&Pdu::ReleaseRP).await?;
                }
                (PduType::Abort, _) => return Err(AssociationError::Aborted),
                _ => return Err(AssociationError::Unexpected("PDU type")),
            }
        }
        self.pdus.shutdown().await;
        Ok(())
    }

    /// Tells the peer that the association ends here.
    pub async fn abort(mut self, reason: AbortRQServiceProviderReason) {
        let source = AbortRQSource::ServiceProvider(reason);
        if self.pdus.write(&Pdu::AbortRQ { source }).await.is_ok() {
            self.pdus.until_closed().await;
        }
    }
}

impl AssociationError {
    /// What an A-ABORT says of it; `None` where the peer is gone.
    pub fn abort_reason(&self) -> Option<AbortRQServiceProviderReason> {
        use AbortRQServiceProviderReason as Reason;
        match self {
            Self::Aborted | Self::Pdu(PduError::Io(_) | PduError::Closed) => None,
            Self::Pdu(PduError::UnknownType(_)) => Some(Reason::UnrecognizedPdu),
            Self::Pdu(PduError::TooSlow { .. } | PduError::Unwritable(_)) | Self::TooSlow => {
                Some(Reason::ReasonNotSpecified)
            }
            Self::Unexpected(_) => Some(Reason::UnexpectedPdu),
            _ => Some(Reason::InvalidPduParameter),
        }
    }
}
