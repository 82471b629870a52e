//! Leased packs: an instance streams into a pack that it has to itself meanwhile, so that the disk works while the rest
//! of it still comes in, and ordinary instances do not wait for a large one.
//!
//! The record's header first says "streaming". At the end facts, trailer and the header with the lengths are written and
//! synced at once. Until that sync is over nothing follows in the pack, so whatever a crash leaves of the record is the
//! last thing in it: a header that says "streaming", a record that is cut, or one whose checksum is wrong. Recovery takes
//! all three for what they are, an instance that was not acknowledged.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::disk::write_all;
use super::error::PackError;
use super::format::{IndexEntry, MAX_DATA_BYTES, RECORD_HEADER_BYTES, RecordHeader, Trailer};
use super::record::CHUNK_BYTES;
use super::shared::Shared;
use super::writer::OpenPack;
use super::{Ack, Placed, groups};

/// Instances that stream at the same time; the disk gains nothing from more.
pub const MAX_LEASES: usize = 4;
/// How much is written before it is synced: the last sync then has little left to do, and dirty memory stays small.
const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// How much is written before the disk is told to begin with it.
const WRITEBACK_BYTES: u64 = 256 * 1024;

/// Packs that are open for streaming.
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
        let is_acknowledged_there = shared.options.ack == Ack::Object;
        if pack.end >= shared.options.seal_bytes
            || self.permits.is_closed()
            || is_acknowledged_there
        {
            shared.retire(pack.id());
        } else {
            self.idle.lock().push(pack);
        }
    }
}

/// A pack in the hands of one instance. Whatever becomes of the instance, the pack goes back to the pool.
struct Lease {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// Absent before the first byte.
    stream: Option<Stream>,
    /// Given back last.
    _permit: OwnedSemaphorePermit,
}

struct Stream {
    pack: OpenPack,
    data_len: u64,
    crc: u32,
    /// Bytes of data that were synced, and that the disk was told to write.
    synced: u64,
    begun: u64,
    /// Something unfinished stands behind the pack's end.
    unfinished: bool,
}

/// Takes one instance. Dropped before [`LeasedWriter::finish`] resolved, the instance is not stored, or stored and not
/// acknowledged.
pub struct LeasedWriter(Option<Lease>);

impl LeasedWriter {
    /// Waits until fewer than [`MAX_LEASES`] are in use.
    pub(super) async fn open(shared: Arc<Shared>, pool: Arc<Pool>) -> Result<Self, PackError> {
        let permit = Arc::clone(&pool.permits)
            .acquire_owned()
            .await
            .map_err(|_| PackError::Closed)?;
        Ok(Self::with(shared, pool, permit))
    }

    /// A lease if one is free at once, and another one for an instance that cannot do without.
    pub(super) fn try_open(shared: Arc<Shared>, pool: Arc<Pool>) -> Option<Self> {
        let mut two = Arc::clone(&pool.permits).try_acquire_many_owned(2).ok()?;
        let permit = two.split(1)?;
        Some(Self::with(shared, pool, permit))
    }

    fn with(shared: Arc<Shared>, pool: Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        Self(Some(Lease {
            shared,
            pool,
            stream: None,
            _permit: permit,
        }))
    }

    /// Hands the next bytes of the Part 10 stream to the system; now and then waits for the disk.
    pub async fn write(&mut self, mut data: Bytes) -> Result<(), PackError> {
        let lease = self.0.take().ok_or(PackError::Closed)?;
        let mut lease = lease.begun().await?;
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(CHUNK_BYTES));
            // From memory to memory: some 50 µs for each 256 KB.
            lease.data(&chunk)?;
            if lease.needs_sync() {
                (lease, ()) = blocking(lease, Lease::sync).await?;
            }
        }
        self.0 = Some(lease);
        Ok(())
    }

    /// Makes the instance durable.
    pub async fn finish(mut self, facts: Bytes, digest: [u8; 32]) -> Result<Placed, PackError> {
        super::check_facts(&facts)?;
        let lease = self.0.take().ok_or(PackError::Closed)?;
        let lease = lease.begun().await?;
        let (lease, placed) = blocking(lease, move |lease| lease.finish(&facts, digest)).await?;
        let shared = Arc::clone(&lease.shared);
        if shared.options.ack == Ack::Local {
            drop(lease);
            return Ok(placed);
        }
        let upload = groups::DirectUpload::begin(&shared, placed.pack)?;
        // Gives the pack up: it is sealed as it is.
        drop(lease);
        match shared.is_sealed(placed.pack).await {
            true => upload.run().await.map(|()| placed),
            false => Err(PackError::Closed),
        }
    }
}

/// Does what waits for the disk on a thread that may wait: on this one where the caller has it, and its runtime, to
/// itself. A future that is dropped meanwhile leaves it to its end; the lease is given back after that.
async fn blocking<T: Send + 'static>(
    mut lease: Lease,
    work: impl FnOnce(&mut Lease) -> Result<T, PackError> + Send + 'static,
) -> Result<(Lease, T), PackError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        let done = work(&mut lease)?;
        return Ok((lease, done));
    }
    tokio::task::spawn_blocking(move || {
        let done = work(&mut lease)?;
        Ok((lease, done))
    })
    .await
    .map_err(|_| PackError::Closed)?
}

impl Lease {
    /// With a pack. One that lies ready takes a moment, a new one waits for the disk.
    async fn begun(mut self) -> Result<Self, PackError> {
        if self.stream.is_some() {
            return Ok(self);
        }
        let ready = !self.pool.idle.lock().is_empty();
        if ready {
            self.begin()?;
            return Ok(self);
        }
        blocking(self, Self::begin).await.map(|(lease, ())| lease)
    }

    /// Takes a pack and writes the head of a record that is not complete.
    fn begin(&mut self) -> Result<(), PackError> {
        self.shared.refuse_if_latched()?;
        self.shared.admit(CHUNK_BYTES as u64)?;
        let idle = self.pool.idle.lock().pop();
        let mut pack = match idle {
            Some(pack) => pack,
            None => OpenPack::create(&self.shared)?,
        };
        pack.forget(&self.shared, pack.end);
        let header = RecordHeader::STREAMING.encode(pack.id(), pack.end);
        let stream = self.stream.insert(Stream {
            pack,
            data_len: 0,
            crc: 0,
            synced: 0,
            begun: 0,
            unfinished: true,
        });
        stream.write(&self.shared, &mut [IoSlice::new(&header)], stream.pack.end)
    }

    fn data(&mut self, chunk: &[u8]) -> Result<(), PackError> {
        let stream = self.stream.as_mut().ok_or(PackError::Closed)?;
        let bytes = stream.data_len + chunk.len() as u64;
        if bytes > MAX_DATA_BYTES {
            return Err(PackError::TooLarge {
                what: "an instance",
                bytes,
                limit: MAX_DATA_BYTES,
            });
        }
        self.shared.refuse_if_latched()?;
        self.shared.admit(chunk.len() as u64)?;
        stream.write(&self.shared, &mut [IoSlice::new(chunk)], stream.data_end())?;
        stream.crc = crc32c::crc32c_append(stream.crc, chunk);
        stream.data_len = bytes;
        if stream.data_len - stream.begun >= WRITEBACK_BYTES {
            stream.begin_writeback(&self.shared);
        }
        Ok(())
    }

    fn needs_sync(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| stream.data_len - stream.synced >= SYNC_BYTES)
    }

    fn sync(&mut self) -> Result<(), PackError> {
        let stream = self.stream.as_mut().ok_or(PackError::Closed)?;
        stream.sync(&self.shared)?;
        stream.synced = stream.data_len;
        let synced = stream.data_end();
        stream.pack.forget(&self.shared, synced);
        Ok(())
    }

    fn finish(&mut self, facts: &[u8], digest: [u8; 32]) -> Result<Placed, PackError> {
        let stream = self.stream.as_mut().ok_or(PackError::Closed)?;
        let (id, offset) = (stream.pack.id(), stream.pack.end);
        let header = RecordHeader {
            complete: true,
            facts_len: facts.len() as u32,
            data_len: stream.data_len,
        };
        let bytes = header.encode(id, offset);
        let trailer = Trailer {
            digest,
            data_crc: stream.crc,
        };
        let trailer = trailer.encode(&bytes, facts);
        let mut tail = [IoSlice::new(facts), IoSlice::new(&trailer)];
        stream.write(&self.shared, &mut tail, stream.data_end())?;
        stream.write(&self.shared, &mut [IoSlice::new(&bytes)], offset)?;
        stream.sync(&self.shared)?;
        let entry = IndexEntry {
            offset,
            data_len: stream.data_len,
            facts_len: header.facts_len,
            data_crc: stream.crc,
        };
        stream.unfinished = false;
        stream.pack.appended(&self.shared, &[entry]);
        Ok(Placed {
            pack: id,
            offset,
            length: entry.data_len,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        // After a failed write or sync the pack stays as it is, for the next start to look at.
        if self.shared.latched().is_some() && stream.unfinished {
            return;
        }
        if !stream.unfinished || stream.cut(&self.shared).is_ok() {
            self.pool.put_back(&self.shared, stream.pack);
        }
    }
}

impl Stream {
    fn data_end(&self) -> u64 {
        self.pack.end + RECORD_HEADER_BYTES as u64 + self.data_len
    }

    fn write(
        &self,
        shared: &Shared,
        buffers: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<(), PackError> {
        let disk = shared.options.disk.as_ref();
        write_all(disk, &self.pack.pack.file, buffers, offset)
            .map_err(|e: io::Error| shared.full_or_latch(&self.pack.pack, self.pack.end, &e))
    }

    /// Lets the disk begin with what has come, so that the sync at the end finds little to do.
    fn begin_writeback(&mut self, shared: &Shared) {
        let from = self.pack.end + RECORD_HEADER_BYTES as u64 + self.begun;
        let length = self.data_len - self.begun;
        let disk = &shared.options.disk;
        disk.begin_writeback(&self.pack.pack.file, from, length);
        self.begun = self.data_len;
    }

    fn sync(&self, shared: &Shared) -> Result<(), PackError> {
        let disk = &shared.options.disk;
        disk.sync_data(&self.pack.pack.file)
            .map_err(|e| shared.latch("sync", &e))
    }

    /// Takes back what was written of an instance that does not come to its end.
    fn cut(&self, shared: &Shared) -> Result<(), PackError> {
        let disk = &shared.options.disk;
        disk.truncate(&self.pack.pack.file, self.pack.end)
            .map_err(|e| shared.latch("cutting off an unfinished instance", &e))
    }
}
