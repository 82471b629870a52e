//! What only the embedded log promises: it survives crashes, cuts, flipped bytes, failing and full disks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use yingku_core::ids::Position;

use super::*;
use crate::log::conformance::{self, read_all};
use crate::log::room::ROOM_BYTES;
use crate::space::FreeSpace;

fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, options()).unwrap()
}

fn options() -> EmbeddedLogOptions {
    EmbeddedLogOptions {
        reserve_bytes: 0,
        ..EmbeddedLogOptions::default()
    }
}

/// A copy of a directory of files, as a crash at this moment would leave it.
fn crash_copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn newest_wal(dir: &Path) -> PathBuf {
    let mut wals: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    wals.sort();
    wals.pop().unwrap()
}

/// Appends one after the other, so that each is a batch of its own; the length of the write-ahead log after each.
async fn append_singly(log: &EmbeddedLog, dir: &Path, records: &[Bytes]) -> Vec<u64> {
    let mut ends = Vec::new();
    for record in records {
        log.append(record.clone()).await.unwrap();
        ends.push(fs::metadata(newest_wal(dir)).unwrap().len());
    }
    ends
}

fn sample_records(count: usize) -> Vec<Bytes> {
    (0..count)
        .map(|n| Bytes::from(vec![n as u8; 40 + 7 * n]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_the_contract() {
    let dir = TempDir::new().unwrap();
    conformance::run(Arc::new(open(&dir.path().join("log")))).await;
    conformance::imports(&open(&dir.path().join("copy"))).await;
}

#[tokio::test]
async fn a_reopened_log_has_everything_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let records = sample_records(5);
    for (n, record) in records.iter().enumerate() {
        let log = open(dir.path());
        let position = log.append(record.clone()).await.unwrap();
        assert_eq!(position, Position(n as u64));
    }
    let log = open(dir.path());
    assert_eq!(read_all(&log), records);
    assert_eq!(log.verify(|_| ()).unwrap(), 5);
}

#[tokio::test]
async fn a_log_is_opened_once() {
    let dir = TempDir::new().unwrap();
    let _log = open(dir.path());
    let second = EmbeddedLog::open(dir.path(), options()).err().unwrap();
    assert!(matches!(second, LogOpenError::InUse { .. }), "{second}");
}

#[tokio::test]
async fn a_closed_log_refuses() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    log.append("kept".into()).await.unwrap();
    log.close();
    assert_eq!(log.append("late".into()).await, Err(LogError::Closed));
    assert_eq!(read_all(&log), ["kept"]);
}

#[tokio::test]
async fn cut_at_any_byte_exactly_the_whole_records_before_are_served() {
    // Given a log of eight records that a crash left in its write-ahead log
    let dir = TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let log = open(&live);
    let records = sample_records(8);
    let ends = append_singly(&log, &live, &records).await;

    // When it is cut at each byte of the last five records
    for cut in ends[2]..=ends[7] {
        crash_copy(&live, &crashed);
        let wal = newest_wal(&crashed);
        fs::OpenOptions::new()
            .write(true)
            .open(&wal)
            .unwrap()
            .set_len(cut)
            .unwrap();

        // Then the records that lie whole before the cut are there, no more and no less
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let log = open(&crashed);
        assert_eq!(read_all(&log), records[..whole], "cut at {cut}");
        assert_eq!(
            log.append("next".into()).await.unwrap(),
            Position(whole as u64)
        );
    }
}

#[tokio::test]
async fn a_flipped_byte_before_the_last_record_refuses_to_open_and_repair_keeps_what_is_before() {
    let dir = TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let log = open(&live);
    let records = sample_records(6);
    let ends = append_singly(&log, &live, &records).await;

    for byte in 0..ends[4] {
        crash_copy(&live, &crashed);
        let wal = newest_wal(&crashed);
        let mut bytes = fs::read(&wal).unwrap();
        bytes[byte as usize] ^= 0x10;
        fs::write(&wal, bytes).unwrap();

        let refusal = EmbeddedLog::open(&crashed, options()).err();
        let refusal = refusal.unwrap_or_else(|| panic!("byte {byte} went unnoticed"));
        assert!(matches!(refusal, LogOpenError::Damaged { .. }), "{refusal}");
        assert!(refusal.to_string().contains("yingku log repair"));

        // Repair is slower; each record's middle is enough.
        let middles = ends.windows(2).map(|e| (e[0] + e[1]) / 2);
        if middles.clone().any(|middle| middle == byte) {
            let damaged = fs::read(&wal).unwrap();
            let report = repair(&crashed, false).unwrap();
            let whole = ends.iter().filter(|end| **end <= byte).count();
            assert_eq!(report.end, Position(whole as u64));
            assert!(report.cut_because.is_some(), "what is gone is said");
            assert_eq!(
                fs::read(report.copy.join(wal.file_name().unwrap())).unwrap(),
                damaged
            );
            assert_eq!(read_all(&open(&crashed)), records[..whole]);
            fs::remove_dir_all(report.copy).unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_is_found_and_never_served() {
    // Given a closed log, whose records lie in a table
    let dir = TempDir::new().unwrap();
    let (whole, flipped) = (dir.path().join("whole"), dir.path().join("flipped"));
    let log = open(&whole);
    let records = sample_records(20);
    log.append_all(records.clone()).await.unwrap();
    drop(log);
    let table = |dir: &Path| {
        fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "sst"))
            .unwrap()
    };
    let length = fs::metadata(table(&whole)).unwrap().len() as usize;

    // When any of its bytes is flipped
    for byte in (0..length).step_by(7) {
        crash_copy(&whole, &flipped);
        let path = table(&flipped);
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 0x01;
        fs::write(&path, bytes).unwrap();

        // Then the log does not open, or it serves only what was written
        if let Ok(log) = EmbeddedLog::open(&flipped, options()) {
            assert_eq!(log.end().unwrap(), Position(20));
            for (n, record) in records.iter().enumerate() {
                if let Ok(found) = log.get(Position(n as u64)) {
                    assert_eq!(&found.unwrap().bytes, record, "byte {byte}");
                }
            }
        }
    }
}

#[tokio::test]
async fn repair_keeps_every_record_before_the_damage_in_one_of_several_tables() {
    // Given a log of four tables of five records
    let dir = TempDir::new().unwrap();
    let (whole, flipped) = (dir.path().join("whole"), dir.path().join("flipped"));
    let records = sample_records(20);
    for some in records.chunks(5) {
        let log = open(&whole);
        log.append_all(some.to_vec()).await.unwrap();
    }
    let tables = |dir: &Path| {
        let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let mut tables: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|e| e == "sst"))
            .collect();
        tables.sort();
        tables
    };
    let count = tables(&whole).len();
    assert!(count > 1, "{count}");
    // When any of them is damaged at its beginning, then what is in those before it is kept
    for table in 0..count {
        crash_copy(&whole, &flipped);
        let path = &tables(&flipped)[table];
        let mut bytes = fs::read(path).unwrap();
        for byte in bytes.iter_mut().take(200) {
            *byte ^= 0x10;
        }
        fs::write(path, bytes).unwrap();
        match repair(&flipped, false) {
            Ok(report) => {
                assert!(report.cut_because.is_some(), "table {table}");
                let kept = read_all(&open(&flipped));
                assert!(kept.len() >= 5 * table, "table {table}: {}", kept.len());
                assert_eq!(kept, records[..kept.len()]);
                fs::remove_dir_all(report.copy).unwrap();
            }
            // Nothing is thrown away unasked
            Err(RepairError::NothingKept { copy, .. }) => {
                assert_eq!(table, 0);
                fs::remove_dir_all(copy).unwrap();
                let report = repair(&flipped, true).unwrap();
                assert_eq!(report.end, Position(0));
                fs::remove_dir_all(report.copy).unwrap();
            }
            Err(other) => panic!("table {table}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_list_of_tables_never_loses_a_record_unnoticed() {
    let dir = TempDir::new().unwrap();
    let (whole, flipped) = (dir.path().join("whole"), dir.path().join("flipped"));
    let log = open(&whole);
    log.append_all(sample_records(20)).await.unwrap();
    drop(log);
    let named = |dir: &Path, name: &str| {
        let mut paths = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        paths
            .find(|p| p.file_name().unwrap().to_str().unwrap().starts_with(name))
            .unwrap()
    };
    for name in ["MANIFEST", "CURRENT"] {
        let length = fs::metadata(named(&whole, name)).unwrap().len() as usize;
        for byte in 0..length {
            crash_copy(&whole, &flipped);
            let path = named(&flipped, name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[byte] ^= 0x04;
            fs::write(&path, bytes).unwrap();
            match EmbeddedLog::open(&flipped, options()) {
                Ok(log) => assert_eq!(read_all(&log), sample_records(20), "{name} byte {byte}"),
                Err(LogOpenError::Damaged { .. }) if byte % 50 == 3 => {
                    // All records lie whole in tables, so that repair brings back every one.
                    let report = repair(&flipped, false).unwrap();
                    fs::remove_dir_all(report.copy).unwrap();
                    assert_eq!(read_all(&open(&flipped)), sample_records(20));
                }
                Err(LogOpenError::Damaged { .. }) => {}
                Err(other) => panic!("{name} byte {byte}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_directory_without_current_is_not_taken_for_an_empty_log() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    log.append("kept".into()).await.unwrap();
    drop(log);
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let refusal = EmbeddedLog::open(dir.path(), options()).err().unwrap();
    assert!(matches!(refusal, LogOpenError::Damaged { .. }), "{refusal}");
    assert_eq!(repair(dir.path(), false).unwrap().end, Position(1));
    assert_eq!(read_all(&open(dir.path())), ["kept"]);
}

#[tokio::test]
async fn a_missing_record_refuses_to_open_and_repair_cuts_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let log = open(&path);
    log.append_all(sample_records(5)).await.unwrap();
    log.shared.db.delete(record::key(Position(3))).unwrap();
    assert!(matches!(
        log.get(Position(3)),
        Err(LogError::Damaged { .. })
    ));
    assert!(matches!(
        log.read(Position(0), 9, 9999),
        Err(LogError::Damaged {
            position: Position(3),
            ..
        })
    ));
    drop(log);

    let refusal = EmbeddedLog::open(&path, options()).err().unwrap();
    assert!(
        refusal.to_string().contains("no record at position 3"),
        "{refusal}"
    );
    let report = repair(&path, false).unwrap();
    assert_eq!(report.end, Position(3));
    assert!(report.cut_because.unwrap().contains("position 3"));
    assert_eq!(read_all(&open(&path)), sample_records(3));
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_but_all_is_readable() {
    let dir = TempDir::new().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let disk = Arc::clone(&fails);
    let log = EmbeddedLog::open(
        dir.path(),
        EmbeddedLogOptions {
            write_fault: Arc::new(move || match disk.load(Ordering::SeqCst) {
                true => Err(io::Error::other("bad sector")),
                false => Ok(()),
            }),
            ..options()
        },
    )
    .unwrap();
    log.append("before".into()).await.unwrap();

    fails.store(true, Ordering::SeqCst);
    let refusal = log.append("during".into()).await.unwrap_err();
    assert!(refusal.to_string().contains("bad sector"), "{refusal}");

    // The disk is well again; the log does not trust it before a restart.
    fails.store(false, Ordering::SeqCst);
    assert!(matches!(
        log.append("after".into()).await,
        Err(LogError::Latched { .. })
    ));
    assert!(log.health().latched.unwrap().contains("bad sector"));
    assert_eq!(read_all(&log), ["before"]);
    drop(log);
    assert_eq!(
        open(dir.path()).append("again".into()).await.unwrap(),
        Position(1)
    );
}

struct Disk(AtomicU64);

impl FreeSpace for Disk {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_space_returns() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Disk(AtomicU64::new(10_000)));
    let log = EmbeddedLog::open(
        dir.path(),
        EmbeddedLogOptions {
            reserve_bytes: 5_000,
            free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
            ..options()
        },
    )
    .unwrap();
    log.append("fits".into()).await.unwrap();

    disk.0.store(5_001, Ordering::SeqCst);
    let refusal = log.append("too much".into()).await.unwrap_err();
    assert!(matches!(
        refusal,
        LogError::Full(Shortage {
            free_bytes: 5_001,
            reserve_bytes: 5_000
        })
    ));
    assert!(!log.health().accepts());

    disk.0.store(10_000, Ordering::SeqCst);
    assert_eq!(log.append("fits again".into()).await.unwrap(), Position(1));
    assert!(log.health().accepts());
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_the_log_time_back() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicI64::new(5_000));
    let with_clock = || {
        let now = Arc::clone(&now);
        EmbeddedLogOptions {
            clock: Arc::new(move || now.load(Ordering::SeqCst)),
            ..options()
        }
    };
    let log = EmbeddedLog::open(dir.path(), with_clock()).unwrap();
    log.append("a".into()).await.unwrap();
    now.store(3_000, Ordering::SeqCst);
    log.append("b".into()).await.unwrap();
    drop(log);
    let log = EmbeddedLog::open(dir.path(), with_clock()).unwrap();
    log.append("c".into()).await.unwrap();
    now.store(6_000, Ordering::SeqCst);
    log.append("d".into()).await.unwrap();

    let times: Vec<i64> = log
        .read(Position(0), 9, 9)
        .unwrap()
        .iter()
        .map(|r| r.time_ms)
        .collect();
    assert_eq!(times, [5_000, 5_000, 5_000, 6_000]);
    assert_eq!(log.first_after(4_999).unwrap(), Position(0));
    assert_eq!(log.first_after(5_000).unwrap(), Position(3));
    assert_eq!(log.first_after(6_000).unwrap(), Position(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_larger_than_its_bound_is_worked_off() {
    // Given more payload than may wait at once
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    let records = vec![Bytes::from(vec![3; 1024 * 1024]); ROOM_BYTES / (1024 * 1024) + 8];
    // Then all of it gets in, and the queue is empty afterwards
    let positions = log.append_all(records.clone()).await.unwrap();
    assert_eq!(positions.len(), records.len());
    assert_eq!(log.health().waiting_bytes, 0);
}
