//! C-STORE as its provider (PS3.4 annex B): an instance passes the scan and the digest on its way to whoever keeps it.
//!
//! The seam to the archive is [`InstanceStore`]: it opens an [`InstanceSink`] for each instance, which takes the data
//! set's bytes as they came, piece by piece, and at the end the facts. Success is answered only after `finish`
//! returned, so a sink returns from there only when the instance is durable.

use bytes::Bytes;
use dicom_dictionary_std::tags;
use futures::future::BoxFuture;
use yingku_core::ids::StudyUid;
use yingku_core::instance::InstanceFacts;

use crate::association::{Association, AssociationError, Peer};
use crate::message::Command;
use crate::part10::FileMeta;
use crate::scan::{ScanError, Scanner};
use crate::status::Status;
use crate::text::Undeclared;

/// An instance that a peer begins to send; nothing of its data set is known yet.
#[derive(Debug, Clone)]
pub struct Announced {
    pub peer: Peer,
    pub sop_class: String,
    pub sop_instance: String,
    pub transfer_syntax: String,
    /// AE title on whose C-MOVE it comes.
    pub move_originator: Option<String>,
}

impl Announced {
    /// The head that makes the data set a Part 10 stream.
    pub fn file_meta(&self) -> FileMeta {
        FileMeta {
            sop_class: self.sop_class.clone(),
            sop_instance: self.sop_instance.clone(),
            transfer_syntax: self.transfer_syntax.clone(),
            source_ae: self.peer.calling.clone(),
        }
    }
}

/// An instance that arrived whole and passed the scan.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub facts: InstanceFacts,
    /// BLAKE3 over transfer syntax UID and data set.
    pub digest: [u8; 32],
    /// Bytes of the data set, the head not counted.
    pub length: u64,
}

/// Why an instance is not stored. The comment goes to the sender: no patient data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRefusal {
    pub status: Status,
    pub comment: String,
    /// The study, where the data set was read so far.
    pub study: Option<StudyUid>,
    /// Whoever refused has recorded it already, with what it concerns.
    pub is_recorded: bool,
}

impl StoreRefusal {
    pub fn new(status: Status, comment: impl Into<String>) -> Self {
        Self {
            status,
            comment: comment.into(),
            study: None,
            is_recorded: false,
        }
    }
}

/// Keeps instances.
pub trait InstanceStore: Send + Sync {
    /// An instance begins; waits while too many bytes of others are on their way.
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>>;

    /// An instance was refused, for whatever reason: for the sender's error digest and reconciliation.
    fn refused(&self, peer: &Peer, refusal: &StoreRefusal) {
        let _ = (peer, refusal);
    }
}

/// Takes one instance. Dropping it unfinished throws away what it took.
pub trait InstanceSink: Send {
    /// The next bytes of the data set.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>>;

    /// The data set is whole and well-formed; returns when the instance is durable.
    fn finish(self: Box<Self>, arrived: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>>;
}

/// Answers one C-STORE request whose data set is still to be read.
pub async fn serve_store(
    association: &mut Association,
    context: u8,
    request: &Command,
    store: &dyn InstanceStore,
    undeclared: Undeclared,
) -> Result<(), AssociationError> {
    let outcome = match announced(association, context, request) {
        Ok(announced) => take(association, &announced, store, undeclared).await?,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &outcome {
        tracing::info!(
            sender = %association.peer().calling,
            instance = request.sop_instance.as_deref().unwrap_or_default(),
            status = %refusal.status,
            comment = %refusal.comment,
            "instance refused"
        );
        store.refused(association.peer(), refusal);
    }
    association.discard_data_set().await?;
    let response = match outcome {
        Ok(()) => request.response(Status::SUCCESS),
        Err(refusal) => request
            .response(refusal.status)
            .with_comment(refusal.comment),
    };
    association.send(context, &response).await
}

fn announced(
    association: &Association,
    context: u8,
    request: &Command,
) -> Result<Announced, StoreRefusal> {
    let agreed = association
        .context(context)
        .map_err(|error| StoreRefusal::new(Status::SOP_CLASS_NOT_SUPPORTED, error.to_string()))?;
    let missing = |what| StoreRefusal::new(Status::MISTYPED_ARGUMENT, format!("no {what}"));
    let sop_class = request
        .sop_class
        .clone()
        .ok_or_else(|| missing("Affected SOP Class UID"))?;
    let sop_instance = request
        .sop_instance
        .clone()
        .ok_or_else(|| missing("Affected SOP Instance UID"))?;
    if *sop_class != *agreed.abstract_syntax {
        return Err(StoreRefusal::new(
            Status::SOP_CLASS_NOT_SUPPORTED,
            "SOP class is not that of the presentation context",
        ));
    }
    if !request.has_data_set {
        return Err(StoreRefusal::new(Status::CANNOT_UNDERSTAND, "no data set"));
    }
    Ok(Announced {
        peer: association.peer().clone(),
        sop_class,
        sop_instance,
        transfer_syntax: agreed.transfer_syntax.to_string(),
        move_originator: request.move_originator.as_ref().map(|(ae, _)| ae.clone()),
    })
}

/// The outer error ends the association, the inner one only this instance.
async fn take(
    association: &mut Association,
    announced: &Announced,
    store: &dyn InstanceStore,
    undeclared: Undeclared,
) -> Result<Result<(), StoreRefusal>, AssociationError> {
    let mut sink = match store.begin(announced.clone()).await {
        Ok(sink) => sink,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut scanner = Scanner::new(&announced.transfer_syntax, undeclared);
    let mut digest = blake3::Hasher::new();
    digest.update(announced.transfer_syntax.as_bytes());
    let mut length = 0u64;
    while let Some(chunk) = association.read_chunk().await? {
        let (fed, outcome) = feed(scanner, &chunk).await?;
        scanner = fed;
        if let Err(error) = outcome {
            return Ok(Err(not_understood(&error)));
        }
        digest.update(&chunk);
        length = length.saturating_add(chunk.len() as u64);
        if let Err(refusal) = sink.write(chunk).await {
            return Ok(Err(refusal));
        }
    }
    let facts = match scanner.finish() {
        Ok(facts) => facts,
        Err(error) => return Ok(Err(not_understood(&error))),
    };
    if let Err(refusal) = agrees(announced, &facts) {
        return Ok(Err(refusal));
    }
    let arrived = Arrived {
        facts,
        digest: *digest.finalize().as_bytes(),
        length,
    };
    Ok(sink.finish(arrived).await)
}

/// Feeds the scanner: with a deflated piece on a thread that may take its time, since little may become much.
async fn feed(
    mut scanner: Scanner,
    chunk: &Bytes,
) -> Result<(Scanner, Result<(), ScanError>), AssociationError> {
    if !scanner.is_inflating() {
        let outcome = scanner.feed(chunk);
        return Ok((scanner, outcome));
    }
    let chunk = chunk.clone();
    tokio::task::spawn_blocking(move || {
        let outcome = scanner.feed(&chunk);
        (scanner, outcome)
    })
    .await
    .map_err(|_| AssociationError::Unexpected("end of the scan"))
}

fn not_understood(error: &ScanError) -> StoreRefusal {
    StoreRefusal::new(Status::CANNOT_UNDERSTAND, error.to_string())
}

/// The command and the data set must speak of the same instance (PS3.4 §B.2.2).
fn agrees(announced: &Announced, facts: &InstanceFacts) -> Result<(), StoreRefusal> {
    let pairs = [
        (
            announced.sop_class.as_str(),
            facts.image.sop_class.as_str(),
            tags::SOP_CLASS_UID,
        ),
        (
            announced.sop_instance.as_str(),
            facts.image.sop_instance.as_str(),
            tags::SOP_INSTANCE_UID,
        ),
    ];
    for (command, data_set, tag) in pairs {
        if command != data_set {
            let words = format!("{tag} differs between command and data set");
            return Err(StoreRefusal {
                study: Some(facts.study_uid.clone()),
                ..StoreRefusal::new(Status::MISMATCH, words)
            });
        }
    }
    Ok(())
}
