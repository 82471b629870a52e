//! Services of other nodes that we use: C-ECHO, C-STORE (also for C-MOVE's sub-operations), C-FIND, C-MOVE, C-GET.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dicom_dictionary_std::uids;
use futures::future::BoxFuture;

use crate::association::{Association, AssociationError, Event, ProposedContext};
use crate::dataset::{DataSetWriter, IDENTIFIER_LIMIT, Identifier, Nested};
use crate::message::{Command, Operation, Suboperations};
use crate::scan::ScanError;
use crate::status::{Status, StatusClass};
use crate::store::{InstanceStore, serve_store};
use crate::text::{CharacterSet, Undeclared};

/// Matches that are still taken after a query was cancelled: what was on its way, and some that do not look up soon.
const AFTER_CANCEL: usize = 100_000;
const AFTER_CANCEL_TIME: Duration = Duration::from_secs(300);
/// Messages of one retrieval: instances, and as many pending answers. No study has so many.
const RETRIEVAL_LIMIT: usize = 400_000;

/// Information models of query and retrieve (PS3.4 §C.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    PatientRoot,
    StudyRoot,
}

impl Model {
    pub fn find(self) -> &'static str {
        match self {
            Self::PatientRoot => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
            Self::StudyRoot => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
        }
    }

    pub fn retrieve_by_move(self) -> &'static str {
        match self {
            Self::PatientRoot => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
            Self::StudyRoot => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
        }
    }

    pub fn retrieve_by_get(self) -> &'static str {
        match self {
            Self::PatientRoot => uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
            Self::StudyRoot => uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
        }
    }
}

/// Find of the Modality Worklist (PS3.4 annex K).
pub const WORKLIST: &str = uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND;

/// A context for a service whose data sets we write ourselves.
pub fn service_context(abstract_syntax: &str) -> ProposedContext {
    ProposedContext {
        abstract_syntax: abstract_syntax.to_owned(),
        transfer_syntaxes: vec![
            uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
            uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        ],
        we_are_scp: false,
    }
}

/// Why a service could not be used; the peer's own refusals are statuses, not errors.
#[derive(Debug, thiserror::Error)]
pub enum ScuError {
    #[error(transparent)]
    Association(#[from] AssociationError),
    #[error("the peer agreed to no presentation context for {0}")]
    NoContext(String),
    #[error("the peer answered {found} where {expected} was meant")]
    WrongAnswer {
        expected: Operation,
        found: Operation,
    },
    #[error("the peer's answer cannot be read")]
    Answer(#[from] ScanError),
    #[error("the peer does not come to an end")]
    Endless,
    #[error("the instance cannot be read")]
    Source(#[source] std::io::Error),
}

/// The peer's final word on an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub status: Status,
    pub comment: String,
    pub counts: Suboperations,
    /// (0008,0058) of C-MOVE and C-GET.
    pub failed: Vec<String>,
}

/// An instance to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub sop_class: String,
    pub sop_instance: String,
    pub transfer_syntax: String,
    /// AE title and message of the C-MOVE that asked for it.
    pub move_originator: Option<(String, u16)>,
}

/// A data set's bytes, piece by piece.
pub trait DataSetSource: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, std::io::Result<Option<Bytes>>>;
}

/// A data set that lies in memory.
#[derive(Debug)]
pub struct Whole(pub Option<Bytes>);

impl DataSetSource for Whole {
    fn next(&mut self) -> BoxFuture<'_, std::io::Result<Option<Bytes>>> {
        Box::pin(std::future::ready(Ok(self.0.take())))
    }
}

/// An association with a peer whose services we use.
pub struct Scu {
    association: Association,
    last_message: u16,
}

impl Scu {
    pub fn new(association: Association) -> Self {
        Self {
            association,
            last_message: 0,
        }
    }

    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Ends the association.
    pub async fn release(self) -> Result<(), AssociationError> {
        self.association.release().await
    }

    /// Breaks the association off, as after an error of [`Self::store`].
    pub async fn abort(self) {
        let reason = dicom_ul::pdu::AbortRQServiceProviderReason::ReasonNotSpecified;
        self.association.abort(reason).await;
    }

    fn next_message(&mut self) -> u16 {
        self.last_message = self.last_message.checked_add(1).unwrap_or(1);
        self.last_message
    }

    fn context(&self, abstract_syntax: &str) -> Result<(u8, String), ScuError> {
        self.association
            .contexts()
            .iter()
            .find(|c| *c.abstract_syntax == *abstract_syntax)
            .map(|c| (c.id, c.transfer_syntax.to_string()))
            .ok_or_else(|| ScuError::NoContext(abstract_syntax.to_owned()))
    }

    /// Whether the peer agreed to take this class in this transfer syntax.
    pub fn store_context(&self, sop_class: &str, transfer_syntax: &str) -> Option<u8> {
        self.association
            .contexts()
            .iter()
            .find(|c| {
                c.peer_is_scp
                    && *c.abstract_syntax == *sop_class
                    && *c.transfer_syntax == *transfer_syntax
            })
            .map(|c| c.id)
    }

    pub async fn echo(&mut self) -> Result<Outcome, ScuError> {
        let (context, _) = self.context(uids::VERIFICATION)?;
        let id = self.next_message();
        let request = Command::request(Operation::Echo, id, uids::VERIFICATION);
        self.association.send(context, &request).await?;
        Ok(outcome(&self.answer(Operation::Echo).await?))
    }

    /// Sends an instance. After an error the association cannot be used any more: [`Self::abort`] it.
    pub async fn store(
        &mut self,
        outgoing: &Outgoing,
        source: &mut dyn DataSetSource,
    ) -> Result<Outcome, ScuError> {
        let context = self
            .store_context(&outgoing.sop_class, &outgoing.transfer_syntax)
            .ok_or_else(|| ScuError::NoContext(outgoing.sop_class.clone()))?;
        let id = self.next_message();
        send_instance(&mut self.association, context, id, outgoing, source).await?;
        Ok(outcome(&self.answer(Operation::Store).await?))
    }

    /// Asks for matches; `each` sees every one and says whether to go on. At `false` the query is cancelled.
    pub async fn find(
        &mut self,
        model: Model,
        keys: &DataSetWriter,
        charset: &CharacterSet,
        mut each: impl FnMut(Identifier) -> bool,
    ) -> Result<Outcome, ScuError> {
        self.ask(model.find(), keys, charset, |bytes, syntax| {
            let found = Identifier::decode(bytes, syntax, Undeclared::default())?;
            Ok(each(found))
        })
        .await
    }

    /// As [`Self::find`], of a modality worklist ([`WORKLIST`]): entries have their step in a sequence.
    pub async fn find_in_worklist(
        &mut self,
        keys: &DataSetWriter,
        charset: &CharacterSet,
        mut each: impl FnMut(Nested) -> bool,
    ) -> Result<Outcome, ScuError> {
        self.ask(WORKLIST, keys, charset, |bytes, syntax| {
            let (found, _) = Nested::decode(bytes, syntax, Undeclared::default())?;
            Ok(each(found))
        })
        .await
    }

    /// Asks by C-FIND; `each` reads every match in its transfer syntax and says whether to go on.
    async fn ask(
        &mut self,
        class: &str,
        keys: &DataSetWriter,
        charset: &CharacterSet,
        mut each: impl FnMut(&[u8], &str) -> Result<bool, ScanError>,
    ) -> Result<Outcome, ScuError> {
        let (context, syntax) = self.context(class)?;
        let id = self.next_message();
        let request = Command::request(Operation::Find, id, class).with_data_set();
        self.association
            .send_with(context, &request, &keys.encode(&syntax, charset))
            .await?;
        let mut cancelled: Option<(Instant, usize)> = None;
        loop {
            let answer = self.answer(Operation::Find).await?;
            let data_set = self.data_set(&answer).await?;
            if answer.status.map(Status::class) != Some(StatusClass::Pending) {
                return Ok(outcome(&answer));
            }
            if let Some((at, more)) = &mut cancelled {
                *more += 1;
                if *more > AFTER_CANCEL || at.elapsed() > AFTER_CANCEL_TIME {
                    return Err(ScuError::Endless);
                }
            } else if let Some(found) = data_set
                && !each(&found, &syntax)?
            {
                self.association.send(context, &Command::cancel(id)).await?;
                cancelled = Some((Instant::now(), 0));
            }
        }
    }

    /// Has the peer send what matches to `destination`; `progress` sees the counts of every pending answer.
    pub async fn retrieve_to(
        &mut self,
        model: Model,
        keys: &DataSetWriter,
        destination: &str,
        mut progress: impl FnMut(Suboperations),
    ) -> Result<Outcome, ScuError> {
        let class = model.retrieve_by_move();
        let (context, syntax) = self.context(class)?;
        let id = self.next_message();
        let mut request = Command::request(Operation::Move, id, class).with_data_set();
        request.move_destination = Some(destination.to_owned());
        let keys = keys.encode(&syntax, &CharacterSet::utf8());
        self.association.send_with(context, &request, &keys).await?;
        for _ in 0..RETRIEVAL_LIMIT {
            let answer = self.answer(Operation::Move).await?;
            let data_set = self.identifier(&answer, &syntax).await?;
            if answer.status.map(Status::class) == Some(StatusClass::Pending) {
                progress(answer.suboperations.unwrap_or_default());
                continue;
            }
            return Ok(with_failed(&answer, data_set));
        }
        Err(ScuError::Endless)
    }

    /// Fetches what matches over this association into `store`.
    pub async fn retrieve(
        &mut self,
        model: Model,
        keys: &DataSetWriter,
        store: &dyn InstanceStore,
        undeclared: Undeclared,
    ) -> Result<Outcome, ScuError> {
        let class = model.retrieve_by_get();
        let (context, syntax) = self.context(class)?;
        let id = self.next_message();
        let request = Command::request(Operation::Get, id, class).with_data_set();
        let keys = keys.encode(&syntax, &CharacterSet::utf8());
        self.association.send_with(context, &request, &keys).await?;
        for _ in 0..RETRIEVAL_LIMIT {
            let (from, command) = self.command().await?;
            if command.operation == Operation::Store && !command.is_response {
                serve_store(&mut self.association, from, &command, store, undeclared).await?;
                continue;
            }
            let answer = expect(command, Operation::Get)?;
            let data_set = self.identifier(&answer, &syntax).await?;
            if answer.status.map(Status::class) != Some(StatusClass::Pending) {
                return Ok(with_failed(&answer, data_set));
            }
        }
        Err(ScuError::Endless)
    }

    async fn command(&mut self) -> Result<(u8, Command), ScuError> {
        match self.association.next_response().await? {
            Event::Command { context, command } => Ok((context, command)),
            Event::Release => {
                Err(AssociationError::Unexpected("release instead of an answer").into())
            }
        }
    }

    async fn answer(&mut self, expected: Operation) -> Result<Command, ScuError> {
        let (_, command) = self.command().await?;
        expect(command, expected)
    }

    async fn identifier(
        &mut self,
        answer: &Command,
        syntax: &str,
    ) -> Result<Option<Identifier>, ScuError> {
        let Some(bytes) = self.data_set(answer).await? else {
            return Ok(None);
        };
        let identifier = Identifier::decode(&bytes, syntax, Undeclared::default())?;
        Ok(Some(identifier))
    }

    async fn data_set(&mut self, answer: &Command) -> Result<Option<Bytes>, ScuError> {
        if !answer.has_data_set {
            return Ok(None);
        }
        let read = self
            .association
            .read_data_set("identifier", IDENTIFIER_LIMIT);
        Ok(Some(read.await?))
    }
}

/// Sends a C-STORE request with its data set, without waiting for the answer: C-GET's sub-operations use it on the
/// association that asked.
pub async fn send_instance(
    association: &mut Association,
    context: u8,
    message_id: u16,
    outgoing: &Outgoing,
    source: &mut dyn DataSetSource,
) -> Result<(), ScuError> {
    let mut request =
        Command::request(Operation::Store, message_id, &outgoing.sop_class).with_data_set();
    request.sop_instance = Some(outgoing.sop_instance.clone());
    request.move_originator = outgoing.move_originator.clone();
    association.queue_command(context, &request);
    // One piece is held back, so that the last one can be marked as such.
    let mut held = Bytes::new();
    while let Some(piece) = source.next().await.map_err(ScuError::Source)? {
        if !held.is_empty() {
            association.send_data(context, &held, false).await?;
        }
        held = piece;
    }
    Ok(association.send_data(context, &held, true).await?)
}

fn expect(command: Command, expected: Operation) -> Result<Command, ScuError> {
    if command.is_response && command.operation == expected {
        Ok(command)
    } else {
        Err(ScuError::WrongAnswer {
            expected,
            found: command.operation,
        })
    }
}

fn outcome(answer: &Command) -> Outcome {
    Outcome {
        status: answer.status.unwrap_or(Status::PROCESSING_FAILURE),
        comment: answer.error_comment.clone().unwrap_or_default(),
        counts: answer.suboperations.unwrap_or_default(),
        failed: Vec::new(),
    }
}

fn with_failed(answer: &Command, data_set: Option<Identifier>) -> Outcome {
    let failed = data_set.map_or_else(Vec::new, |identifier| {
        let list = identifier.list(dicom_dictionary_std::tags::FAILED_SOP_INSTANCE_UID_LIST);
        list.into_iter().map(str::to_owned).collect()
    });
    Outcome {
        failed,
        ..outcome(answer)
    }
}
