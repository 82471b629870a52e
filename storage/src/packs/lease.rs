//! Large instances: each streams into a pack that it has to itself meanwhile, so that ordinary ones do not wait for it.
//!
//! The record's header first says "streaming". At the end facts and trailer are written and synced, then the header is
//! overwritten with the lengths and synced again: whatever moment a crash picks, the record is either whole or its header
//! does not claim to be complete.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Placed;
use super::disk::write_all;
use super::error::PackError;
use super::format::{IndexEntry, MAX_DATA_BYTES, RECORD_HEADER_BYTES, RecordHeader, Trailer};
use super::record::CHUNK_BYTES;
use super::shared::Shared;
use super::writer::OpenPack;

/// Large instances that are received at the same time; the disk gains nothing from more.
pub const MAX_LEASES: usize = 4;
/// Chunks on their way to the disk for each lease.
const WAITING_CHUNKS: usize = 4;
/// How much is written before it is synced: the last sync then has little left to do, and dirty memory stays small.
const SYNC_BYTES: u64 = 32 * 1024 * 1024;

/// Packs that are open for large instances.
pub struct Pool {
    idle: Mutex<Vec<OpenPack>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub fn new() -> Self {
        Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_LEASES)),
        }
    }

    /// Retires what is full or was not used for the idle time.
    pub fn retire_due(&self, shared: &Shared) {
        self.idle.lock().retain(|pack| {
            let due = pack.is_due(shared);
            if due {
                shared.retire(pack.id());
            }
            !due
        });
    }

    pub fn close(&self, shared: &Shared) {
        self.permits.close();
        for pack in self.idle.lock().drain(..) {
            shared.retire(pack.id());
        }
    }

    /// Resolves when no lease is in use.
    #[cfg(test)]
    pub async fn idle(&self) {
        let all = self.permits.acquire_many(MAX_LEASES as u32).await;
        drop(all);
    }

    fn put_back(&self, shared: &Shared, pack: OpenPack) {
        if pack.end >= shared.options.seal_bytes || self.permits.is_closed() {
            shared.retire(pack.id());
        } else {
            self.idle.lock().push(pack);
        }
    }
}

enum Message {
    Data(Bytes),
    Finish {
        facts: Bytes,
        digest: [u8; 32],
        reply: oneshot::Sender<Result<Placed, PackError>>,
    },
}

/// Takes one large instance. Dropped before [`LeasedWriter::finish`] resolved, the instance is not stored, or stored and
/// not acknowledged.
pub struct LeasedWriter {
    messages: mpsc::Sender<Message>,
    failure: Arc<Mutex<Option<PackError>>>,
}

impl LeasedWriter {
    /// Waits until fewer than [`MAX_LEASES`] are in use.
    pub(super) async fn open(shared: Arc<Shared>, pool: Arc<Pool>) -> Result<Self, PackError> {
        let permit = Arc::clone(&pool.permits)
            .acquire_owned()
            .await
            .map_err(|_| PackError::Closed)?;
        let (messages, mut receiver) = mpsc::channel(WAITING_CHUNKS);
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        // A thread of its own: a future that is dropped halfway leaves no write behind that nobody waits for.
        std::thread::Builder::new()
            .name("pack-lease".into())
            .spawn(move || {
                if let Err(error) = run(&shared, &pool, &mut receiver) {
                    *told.lock() = Some(error);
                }
                // Only now does the writer learn that nobody listens, so that it finds the reason.
                drop(receiver);
                drop(permit);
            })
            .map_err(|e| PackError::Create {
                source: Arc::new(e),
            })?;
        Ok(Self { messages, failure })
    }

    /// Hands on the next bytes of the Part 10 stream; waits for the disk.
    pub async fn write(&mut self, mut data: Bytes) -> Result<(), PackError> {
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(CHUNK_BYTES));
            self.send(Message::Data(chunk)).await?;
        }
        Ok(())
    }

    /// Makes the instance durable.
    pub async fn finish(self, facts: Bytes, digest: [u8; 32]) -> Result<Placed, PackError> {
        super::check_facts(&facts)?;
        let (reply, answer) = oneshot::channel();
        let finish = Message::Finish {
            facts,
            digest,
            reply,
        };
        self.send(finish).await?;
        match answer.await {
            Ok(placed) => placed,
            Err(_) => Err(self.failed().await),
        }
    }

    async fn send(&self, message: Message) -> Result<(), PackError> {
        if self.messages.send(message).await.is_err() {
            return Err(self.failed().await);
        }
        Ok(())
    }

    /// Why the writing thread gave up.
    async fn failed(&self) -> PackError {
        self.messages.closed().await;
        self.failure.lock().clone().unwrap_or(PackError::Closed)
    }
}

/// The writing thread's whole life.
fn run(
    shared: &Shared,
    pool: &Pool,
    messages: &mut mpsc::Receiver<Message>,
) -> Result<(), PackError> {
    shared.admit(CHUNK_BYTES as u64)?;
    let idle = pool.idle.lock().pop();
    let pack = match idle {
        Some(pack) => pack,
        None => OpenPack::create(shared)?,
    };
    let mut stream = Stream {
        shared,
        pack,
        data_len: 0,
        crc: 0,
        unsynced: 0,
    };
    let received = stream.receive(messages);
    let cut = match &received {
        // Something else went wrong with the disk: it stays as it is for the next start to look at.
        Err(PackError::Latched { .. }) => return received,
        Ok(()) => Ok(()),
        Err(_) => stream.cut(),
    };
    if cut.is_ok() {
        pool.put_back(shared, stream.pack);
    }
    match received {
        // Nobody wants to know.
        Err(PackError::Closed) => cut,
        received => received.and(cut),
    }
}

struct Stream<'a> {
    shared: &'a Shared,
    pack: OpenPack,
    data_len: u64,
    crc: u32,
    unsynced: u64,
}

impl Stream<'_> {
    /// Until the instance is finished. [`PackError::Closed`] when its sender is gone before.
    fn receive(&mut self, messages: &mut mpsc::Receiver<Message>) -> Result<(), PackError> {
        let header = RecordHeader::STREAMING.encode(self.pack.id(), self.pack.end);
        self.write(&mut [IoSlice::new(&header)], self.pack.end)?;
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Data(chunk) => self.data(&chunk)?,
                Message::Finish {
                    facts,
                    digest,
                    reply,
                } => {
                    let placed = self.finish(&facts, digest);
                    let done = placed.as_ref().map(|_| ()).map_err(PackError::clone);
                    let _ = reply.send(placed);
                    return done;
                }
            }
        }
        Err(PackError::Closed)
    }

    fn data(&mut self, chunk: &[u8]) -> Result<(), PackError> {
        let bytes = self.data_len + chunk.len() as u64;
        if bytes > MAX_DATA_BYTES {
            return Err(PackError::TooLarge {
                what: "an instance",
                bytes,
                limit: MAX_DATA_BYTES,
            });
        }
        self.shared.admit(chunk.len() as u64)?;
        self.write(&mut [IoSlice::new(chunk)], self.data_end())?;
        self.crc = crc32c::crc32c_append(self.crc, chunk);
        self.data_len = bytes;
        self.unsynced += chunk.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn finish(&mut self, facts: &[u8], digest: [u8; 32]) -> Result<Placed, PackError> {
        let (id, offset) = (self.pack.id(), self.pack.end);
        let header = RecordHeader {
            complete: true,
            facts_len: facts.len() as u32,
            data_len: self.data_len,
        };
        let bytes = header.encode(id, offset);
        let trailer = Trailer {
            digest,
            data_crc: self.crc,
        };
        let trailer = trailer.encode(&bytes, facts);
        let mut tail = [IoSlice::new(facts), IoSlice::new(&trailer)];
        self.write(&mut tail, self.data_end())?;
        self.sync()?;
        self.write(&mut [IoSlice::new(&bytes)], offset)?;
        self.sync()?;
        let entry = IndexEntry {
            offset,
            data_len: self.data_len,
            facts_len: header.facts_len,
            data_crc: self.crc,
        };
        self.pack.appended(self.shared, &[entry]);
        Ok(Placed {
            pack: id,
            offset,
            length: self.data_len,
        })
    }

    fn data_end(&self) -> u64 {
        self.pack.end + RECORD_HEADER_BYTES as u64 + self.data_len
    }

    fn write(&self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), PackError> {
        let disk = self.shared.options.disk.as_ref();
        write_all(disk, &self.pack.pack.file, buffers, offset).map_err(|e: io::Error| {
            self.shared
                .full_or_latch(&self.pack.pack, self.pack.end, &e)
        })
    }

    fn sync(&mut self) -> Result<(), PackError> {
        self.unsynced = 0;
        let disk = &self.shared.options.disk;
        disk.sync_data(&self.pack.pack.file)
            .map_err(|e| self.shared.latch("sync", &e))
    }

    /// Takes back what was written of an instance that does not come to its end.
    fn cut(&self) -> Result<(), PackError> {
        let disk = &self.shared.options.disk;
        disk.truncate(&self.pack.pack.file, self.pack.end)
            .map_err(|e| self.shared.latch("cutting off an unfinished instance", &e))
    }
}
