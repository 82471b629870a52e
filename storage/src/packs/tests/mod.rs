//! What packs promise, with every disk that the tests can think of below them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod damage;
mod faults;
mod leases;
mod objects;
mod other_nodes;
mod storing;

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use yingku_core::ids::PackId;

use super::*;

/// A disk that does what it is told: counts, and fails where asked.
#[derive(Clone)]
pub struct TestDisk {
    orders: Arc<Mutex<Orders>>,
    /// Bytes written so far.
    written: watch::Sender<u64>,
}

#[derive(Default)]
pub struct Orders {
    /// Writes succeed for so many bytes more, then fail so.
    pub write_limit: Option<(usize, io::ErrorKind)>,
    pub sync_fails: bool,
    pub truncate_fails: bool,
    pub syncs: usize,
    /// Room that was reserved so far, in bytes.
    pub reserved: u64,
    /// Parts of files that need not stay in memory, in order.
    pub forgotten: Vec<Range<u64>>,
}

impl TestDisk {
    pub fn new() -> Self {
        Self {
            orders: Arc::default(),
            written: watch::Sender::new(0),
        }
    }

    pub fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock());
    }

    pub fn syncs(&self) -> usize {
        self.orders.lock().syncs
    }

    pub fn reserved(&self) -> u64 {
        self.orders.lock().reserved
    }

    pub async fn written(&self, bytes: u64) {
        let mut written = self.written.subscribe();
        written.wait_for(|w| *w >= bytes).await.unwrap();
    }
}

impl Disk for TestDisk {
    fn begin_writeback(&self, _: &File, _: u64, _: u64) {}

    fn forget(&self, _: &File, offset: u64, len: u64) {
        let mut orders = self.orders.lock();
        orders.forgotten.push(offset..offset + len);
    }

    fn write_some(&self, file: &File, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written = match &mut self.orders.lock().write_limit {
            None => LocalDisk.write_some(file, buffers, offset)?,
            Some((0, kind)) => return Err((*kind).into()),
            Some((left, _)) => {
                // One buffer, and only as much of it as is allowed: a short write.
                let buffer = buffers.iter().find(|b| !b.is_empty()).unwrap();
                let part = &buffer[..buffer.len().min(*left)];
                *left -= part.len();
                LocalDisk.write_some(file, &[IoSlice::new(part)], offset)?
            }
        };
        self.written.send_modify(|w| *w += written as u64);
        Ok(written)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let mut orders = self.orders.lock();
        orders.syncs += 1;
        if orders.sync_fails {
            return Err(io::Error::other("the platter is gone"));
        }
        drop(orders);
        LocalDisk.sync_data(file)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        if self.orders.lock().truncate_fails {
            return Err(io::Error::other("the platter is gone"));
        }
        LocalDisk.truncate(file, len)
    }

    fn reserve(&self, _: &File, len: u64) -> io::Result<()> {
        self.orders.lock().reserved += len;
        Ok(())
    }
}

pub fn options(disk: &TestDisk) -> PackOptions {
    PackOptions {
        node: 3,
        seal_bytes: 1024 * 1024,
        seal_idle: Duration::from_secs(3600),
        reserve_bytes: 0,
        disk: Arc::new(disk.clone()),
        ..PackOptions::default()
    }
}

pub fn open(dir: &Path) -> (Packs, Recovered) {
    Packs::open(dir, options(&TestDisk::new())).unwrap()
}

/// Instance number `n`: its data differs from every other's and has `length` bytes, in three pieces.
pub fn instance(n: usize, length: usize) -> NewInstance {
    let data = sample(n, length);
    NewInstance {
        data: vec![
            data.slice(..length / 3),
            data.slice(length / 3..length / 2),
            data.slice(length / 2..),
        ],
        facts: facts(n),
        digest: [n as u8; 32],
        crc: crc32c::crc32c(&data),
    }
}

pub fn sample(n: usize, length: usize) -> Bytes {
    (0..length)
        .map(|i| (i * 31 + n * 7 + i / 251) as u8)
        .collect()
}

pub fn facts(n: usize) -> Bytes {
    format!("facts of {n}").into()
}

/// Appends `count` instances of growing length, one after the other.
pub async fn append(packs: &Packs, count: usize) -> Vec<Placed> {
    let mut placed = Vec::new();
    for n in 0..count {
        placed.push(packs.append(instance(n, 50 + 9 * n)).await.unwrap());
    }
    placed
}

/// The instance `n` of [`append`] is there, byte for byte.
pub fn assert_whole(packs: &Packs, n: usize, placed: Placed) {
    let record = packs.read(placed.pack, placed.offset).unwrap();
    assert_eq!(record.data, sample(n, 50 + 9 * n));
    assert_eq!(record.facts, facts(n));
    assert_eq!(record.digest, [n as u8; 32]);
    assert_eq!(placed.length, record.data.len() as u64);
}

pub fn file_of(dir: &Path, pack: PackId, extension: &str) -> PathBuf {
    dir.join(format!("{pack}.{extension}"))
}

/// The directory as a crash at this moment would leave it.
pub fn crash_copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Seals the pack and waits until it is.
pub async fn seal(packs: &Packs, pack: PackId) {
    let mut sealed = packs.watch_sealed();
    let before = *sealed.borrow();
    packs.all_logged(pack);
    sealed.wait_for(|sealed| *sealed > before).await.unwrap();
}
