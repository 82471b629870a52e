//! Which instances a retrieval asks for, and their bytes on the way out.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use yingku_core::ids::{HospitalCode, PackId};
use yingku_core::registry::{Registry, Scope};
use yingku_storage::packs::{PackError, Packs, RecordReader};
use yingku_storage::views::{Views, ViewsError, Walk};

use super::access::Denied;
use super::answer::{image_value, series_value, visible_series};
use super::matching::is_universal;
use super::query::{Level, Query};
use super::quota::{Part, Quota};
use super::rewritten::Rewritten;
use crate::association::PresentationContext;
use crate::dataset::vr_of;
use crate::part10::{FILE_META_LIMIT, FileMeta};
use crate::scu::{DataSetSource, Outgoing};
use crate::status::Status;
use crate::transcode::{counterpart, rewrite};

/// Instances of one retrieval: DICOM counts sub-operations in 16 bits.
pub const INSTANCE_LIMIT: usize = 65_535;
/// Instances up to this size are read whole, ahead of their turn, if there is memory for them now.
pub const WHOLE_BYTES: u64 = 16 << 20;
/// Instances read ahead of their turn.
const READ_AHEAD: usize = 4;
/// Bytes of all instances that are read and not yet sent; of each large one a piece of 1 MB comes on top.
pub const OUTGOING_BYTES: u64 = 192 << 20;
/// What one calling AE's retrievals may have of that: one instance that is rewritten, and its copy, fit twice.
pub const OUTGOING_BYTES_PER_AE: u64 = 64 << 20;

/// An instance to send, and where it lies.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub hospital: HospitalCode,
    pub outgoing: Outgoing,
    pub pack: PackId,
    pub offset: u64,
    pub length: u64,
    /// What lies there must have it.
    pub digest: [u8; 16],
}

/// All instances that a retrieval's identifier names, in the order of the studies' series. The walk ends early when
/// `unheard` says that nobody waits for it.
pub fn wanted(
    views: &Views,
    registry: &Registry,
    scope: &Scope,
    query: &Query,
    unheard: &dyn Fn() -> bool,
) -> Result<Result<Vec<Wanted>, Denied>, ViewsError> {
    if let Some(denied) = lacks_unique_keys(query) {
        return Ok(Err(denied));
    }
    let mut studies = Vec::new();
    views.visit_studies(registry, &query.selector(), unheard, &mut |row| {
        if query.meeting(scope, &row).is_some() {
            studies.push(row);
        }
        if studies.len() > INSTANCE_LIMIT {
            Walk::Stop
        } else {
            Walk::On
        }
    })?;
    let hospitals: BTreeSet<&HospitalCode> = studies.iter().map(|row| &row.key.hospital).collect();
    if query.level == Level::Patient && hospitals.len() > 1 {
        return Ok(Err(Denied::new(
            Status::MISMATCH,
            "PatientID is used by several hospitals: give IssuerOfPatientID",
        )));
    }
    let mut wanted = Vec::new();
    for row in &studies {
        for (index, series) in visible_series(row) {
            let asked = |tag, value: Option<String>| {
                value.is_none_or(|value| query.value_meets(tag, &value))
            };
            if query.level >= Level::Series
                && !asked(
                    tags::SERIES_INSTANCE_UID,
                    series_value(tags::SERIES_INSTANCE_UID, series),
                )
            {
                continue;
            }
            if unheard() {
                return Ok(Err(Denied::new(Status::CANCELLED, "")));
            }
            for entry in views.instances(row, index)? {
                if query.level == Level::Image
                    && !asked(
                        tags::SOP_INSTANCE_UID,
                        image_value(tags::SOP_INSTANCE_UID, &entry),
                    )
                {
                    continue;
                }
                if wanted.len() >= INSTANCE_LIMIT {
                    return Ok(Err(Denied::new(
                        Status::CANNOT_COUNT_MATCHES,
                        format!("more than {INSTANCE_LIMIT} instances: ask for less at a time"),
                    )));
                }
                let image = entry.image();
                wanted.push(Wanted {
                    hospital: row.key.hospital.clone(),
                    outgoing: Outgoing {
                        sop_class: image.sop_class.to_string(),
                        sop_instance: image.sop_instance.to_string(),
                        transfer_syntax: image.transfer_syntax.to_string(),
                        move_originator: None,
                    },
                    pack: entry.pack,
                    offset: entry.stored.offset,
                    length: entry.stored.length,
                    digest: entry.stored.digest,
                });
            }
        }
    }
    Ok(Ok(wanted))
}

/// A retrieval names what it wants by the unique keys of its level (PS3.4 §C.4.2.1.4); an empty one would be the archive.
fn lacks_unique_keys(query: &Query) -> Option<Denied> {
    let (tag, name) = match query.level {
        Level::Patient => (tags::PATIENT_ID, "PatientID"),
        Level::Study => (tags::STUDY_INSTANCE_UID, "StudyInstanceUID"),
        Level::Series => (tags::SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        Level::Image => (tags::SOP_INSTANCE_UID, "SOPInstanceUID"),
    };
    let value = query.keys.get(tag).unwrap_or_default();
    // A key of separators only has no value either.
    let unusable = is_universal(vr_of(tag), value)
        || query.level == Level::Patient && value.contains(['*', '?', '\\']);
    unusable.then(|| {
        Denied::new(
            Status::MISMATCH,
            format!("a retrieval at level {} needs {name}", query.level.name()),
        )
    })
}

impl Wanted {
    /// A sound record may still be another archive's, in a pack of the same number.
    fn is_it(&self, digest: &[u8; 32]) -> Result<(), PackError> {
        if digest.starts_with(&self.digest) {
            return Ok(());
        }
        Err(PackError::Damaged {
            pack: self.pack,
            offset: self.offset,
            reason: "it holds another instance than the log says",
        })
    }
}

/// An instance that is ready to be sent.
pub struct Ready {
    pub outgoing: Outgoing,
    pub source: Source,
}

/// An instance's data set, checked.
pub enum Source {
    Whole { bytes: Option<Bytes>, _memory: Part },
    Stream(Box<Streamed>),
    Rewritten(Box<Rewritten>),
}

/// An instance that is read while it is sent; the last piece is handed out only when the checksum was right.
pub struct Streamed {
    reader: Option<RecordReader>,
    /// The head of the Part 10 stream, which is not sent, is still to be read.
    at_head: bool,
}

/// The transfer syntax in which an instance can leave: as it is stored if the peer agreed to that, else in the one that
/// only writes the elements' heads differently.
fn deliverable(contexts: &[PresentationContext], outgoing: &Outgoing) -> Option<String> {
    let agreed = |transfer_syntax: &str| {
        contexts.iter().any(|context| {
            context.peer_is_scp
                && *context.abstract_syntax == *outgoing.sop_class
                && *context.transfer_syntax == *transfer_syntax
        })
    };
    if agreed(&outgoing.transfer_syntax) {
        return Some(outgoing.transfer_syntax.clone());
    }
    counterpart(&outgoing.transfer_syntax)
        .filter(|other| agreed(other))
        .map(str::to_owned)
}

/// What came of reading an instance; `None` if the peer takes it in no way in which it can be written.
pub type Read = Result<Option<Ready>, PackError>;

/// Reads the instances of one retrieval.
pub struct Reader {
    pub packs: Packs,
    pub memory: Arc<Quota>,
    /// Whose memory it is.
    pub caller: String,
    /// What the receiver takes.
    pub contexts: Vec<PresentationContext>,
}

impl Reader {
    /// Reads instances ahead of their turn, in order; ends when the receiver goes. No thread waits for the peer.
    pub fn read_ahead(self, wanted: Arc<Vec<Wanted>>) -> mpsc::Receiver<(usize, Read)> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        tokio::spawn(async move {
            for (index, instance) in wanted.iter().enumerate() {
                let read = tokio::select! {
                    () = sender.closed() => return,
                    read = self.read(instance) => read,
                };
                if sender.send((index, read)).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    /// An instance is read whole if there is memory for it now, else piece by piece while it is sent. One that is to be
    /// rewritten waits for memory: a large one for what may stand before its pixels.
    async fn read(&self, wanted: &Wanted) -> Read {
        let Some(syntax) = deliverable(&self.contexts, &wanted.outgoing) else {
            return Ok(None);
        };
        let small = wanted.length <= WHOLE_BYTES;
        let memory = if syntax != wanted.outgoing.transfer_syntax {
            let held = wanted.length.min(WHOLE_BYTES);
            Some(self.memory.take(&self.caller, 2 * held).await)
        } else if small {
            self.memory.try_take(&self.caller, wanted.length)
        } else {
            None
        };
        let (packs, wanted) = (self.packs.clone(), wanted.clone());
        tokio::task::spawn_blocking(move || open(&packs, wanted, syntax, memory))
            .await
            .unwrap_or(Err(PackError::Closed))
    }
}

/// Opens an instance, whole if there is memory for it. Blocks on the disk.
fn open(packs: &Packs, wanted: Wanted, syntax: String, memory: Option<Part>) -> Read {
    let Some(memory) = memory else {
        let source = Source::Stream(Box::new(Streamed::open(packs, &wanted)?));
        let outgoing = wanted.outgoing;
        return Ok(Some(Ready { outgoing, source }));
    };
    if wanted.length > WHOLE_BYTES {
        let stream = Streamed::open(packs, &wanted)?;
        let mut outgoing = wanted.outgoing;
        let rewritten = Rewritten::begin(stream, &outgoing.transfer_syntax, &syntax, memory)?;
        outgoing.transfer_syntax = syntax;
        return Ok(rewritten.map(|rewritten| Ready {
            outgoing,
            source: Source::Rewritten(Box::new(rewritten)),
        }));
    }
    let record = packs.read(wanted.pack, wanted.offset)?;
    wanted.is_it(&record.digest)?;
    let mut outgoing = wanted.outgoing;
    let mut bytes = record.data.slice(data_set_start(&record.data)..);
    if syntax != outgoing.transfer_syntax {
        let Some(rewritten) = rewrite(&bytes, &outgoing.transfer_syntax, &syntax) else {
            return Ok(None);
        };
        bytes = rewritten.into();
        outgoing.transfer_syntax = syntax;
    }
    let source = Source::Whole {
        bytes: Some(bytes),
        _memory: memory,
    };
    Ok(Some(Ready { outgoing, source }))
}

/// We wrote the head ourselves; where it is unreadable nothing is sent.
fn data_set_start(part10: &Bytes) -> usize {
    let head = part10
        .get(..FILE_META_LIMIT.min(part10.len()))
        .unwrap_or_default();
    FileMeta::decode(head).map_or(part10.len(), |(_, start)| start)
}

impl DataSetSource for Source {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            match self {
                Self::Whole { bytes, .. } => Ok(bytes.take()),
                Self::Stream(stream) => stream.next().await,
                Self::Rewritten(rewritten) => rewritten.next().await,
            }
        })
    }
}

impl Streamed {
    fn open(packs: &Packs, wanted: &Wanted) -> Result<Self, PackError> {
        let reader = packs.reader(wanted.pack, wanted.offset)?;
        wanted.is_it(&reader.info().digest)?;
        Ok(Self {
            reader: Some(reader),
            at_head: true,
        })
    }

    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(None);
        };
        let (reader, chunk) = tokio::task::spawn_blocking(move || {
            let chunk = reader.next_chunk();
            (reader, chunk)
        })
        .await
        .map_err(io::Error::other)?;
        let chunk = chunk.map_err(io::Error::other)?;
        Ok(chunk.map(|chunk| {
            self.reader = Some(reader);
            self.without_head(chunk)
        }))
    }

    /// As [`Self::next`], on a thread that may wait for the disk.
    pub fn next_blocking(&mut self) -> Result<Option<Bytes>, PackError> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let chunk = reader.next_chunk()?;
        Ok(chunk.map(|chunk| self.without_head(chunk)))
    }

    /// Of the data, the checksum of which is still open.
    pub fn bytes_left(&self) -> u64 {
        self.reader.as_ref().map_or(0, RecordReader::left)
    }

    fn without_head(&mut self, chunk: Bytes) -> Bytes {
        let start = if std::mem::take(&mut self.at_head) {
            data_set_start(&chunk)
        } else {
            0
        };
        chunk.slice(start..)
    }
}
