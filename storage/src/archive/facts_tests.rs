//! What becomes of facts while the log takes nothing.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;
use yingku_core::envelope::Envelope;
use yingku_core::ids::{AeTitle, HospitalCode, Position, SeriesUid, SopInstanceUid, StudyUid, Uid};
use yingku_core::instance::StoredInstance;
use yingku_core::instance::facts::{ImageFacts, PatientFacts, SeriesFacts, StudyFacts};

use super::super::intake::encode_facts;
use super::*;
use crate::log::{BoxFuture, LogHealth, LogRecord, MemoryLog};
use crate::packs::{NewInstance, PackOptions};

/// A log that can be away.
struct Reachable {
    log: MemoryLog,
    away: AtomicBool,
}

impl EventLog for Reachable {
    fn append(&self, record: Bytes) -> BoxFuture<'static, Result<Position, LogError>> {
        if self.away.load(Ordering::Acquire) {
            return Box::pin(async { Err(LogError::away("test")) });
        }
        self.log.append(record)
    }

    fn append_all(
        &self,
        records: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Vec<Position>, LogError>> {
        self.log.append_all(records)
    }

    fn import(&self, records: Vec<LogRecord>) -> BoxFuture<'static, Result<(), LogError>> {
        self.log.import(records)
    }

    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.log.read(from, max_records, max_bytes)
    }

    fn get(&self, position: Position) -> Result<Option<LogRecord>, LogError> {
        self.log.get(position)
    }

    fn end(&self) -> Result<Position, LogError> {
        self.log.end()
    }

    fn watch_end(&self) -> watch::Receiver<Position> {
        self.log.watch_end()
    }

    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

fn group(number: usize) -> SeriesGroup {
    SeriesGroup {
        hospital: HospitalCode::new("350006").unwrap(),
        sender: AeTitle::new("PACS").unwrap(),
        study_uid: StudyUid::new("1.2.3").unwrap(),
        series_uid: SeriesUid::new("1.2.3.1").unwrap(),
        patient: PatientFacts::default(),
        study: StudyFacts::default(),
        series: SeriesFacts::default(),
        instances: vec![StoredInstance {
            image: ImageFacts {
                sop_instance: SopInstanceUid::new(format!("1.2.3.1.{}", number + 1)).unwrap(),
                sop_class: Uid::new("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
                number: number.to_string(),
                rows: 1,
                columns: 1,
                bits_allocated: 8,
                frames: 1,
            },
            offset: 0,
            length: 0,
            digest: [0; 16],
        }],
    }
}

async fn store(packs: Packs, queue: Arc<FactsQueue>, number: usize) {
    let mut group = group(number);
    let placed = packs
        .append(NewInstance {
            data: vec![Bytes::from_static(b"image")],
            facts: encode_facts(&group, false).unwrap().into(),
            digest: [0; 32],
            crc: crc32c::crc32c(b"image"),
        })
        .await
        .unwrap();
    for instance in &mut group.instances {
        instance.offset = placed.offset;
        instance.length = placed.length;
    }
    let stored = Stored {
        pack: placed.pack,
        anew: false,
        group,
    };
    queue.stored(stored).await.unwrap();
}

/// SOP instances that the log names, each as often as it does.
fn logged(log: &MemoryLog) -> Vec<String> {
    let records = log.read(Position(0), usize::MAX, usize::MAX).unwrap();
    let mut named = Vec::new();
    for record in records {
        let envelope = Envelope::decode(&record.bytes).unwrap();
        let Event::InstancesStored(stored) = Event::decode(&envelope).unwrap() else {
            panic!("another event");
        };
        let instances = stored.groups.iter().flat_map(|group| &group.instances);
        named.extend(instances.map(|it| it.image.sop_instance.as_str().to_owned()));
    }
    named
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_instances_than_the_queue_holds_are_taken_while_the_log_is_away_and_logged_once() {
    const BEYOND: usize = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let options = PackOptions {
        reserve_bytes: 0,
        seal_bytes: 1 << 20,
        ..PackOptions::default()
    };
    let (packs, _) = Packs::open(dir.path(), options).unwrap();
    let memory = MemoryLog::new();
    let log = Arc::new(Reachable {
        log: memory.clone(),
        away: AtomicBool::new(true),
    });
    let queue = Arc::new(FactsQueue::start(
        &tokio::runtime::Handle::current(),
        Arc::clone(&log) as Arc<dyn EventLog>,
        packs.clone(),
        "node:0".to_owned(),
    ));

    // Given a log that takes nothing, when more come than the queue holds, then nobody waits for long.
    let all = QUEUE_INSTANCES + RECORD_INSTANCES + BEYOND;
    for begin in (0..all).step_by(1_000) {
        let numbers = begin..all.min(begin + 1_000);
        let stored = numbers.map(|n| tokio::spawn(store(packs.clone(), Arc::clone(&queue), n)));
        for stored in stored.collect::<Vec<_>>() {
            stored.await.unwrap();
        }
    }
    let left_behind: usize = queue.behind.lock().values().map(VecDeque::len).sum();
    assert!(left_behind > BEYOND / 2, "{left_behind} were left behind");
    let begun = Instant::now();
    store(packs.clone(), Arc::clone(&queue), all).await;
    assert!(begun.elapsed() < ROOM_WAIT, "{:?}", begun.elapsed());
    assert!(queue.flush().await.is_err());

    // When it is back, then it gets all of them, each once, and the packs are sealed.
    log.away.store(false, Ordering::Release);
    queue.flush().await.unwrap();
    let named = logged(&memory);
    assert_eq!(named.len(), all + 1);
    assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), all + 1);
    let retired = packs.list().unwrap().len() as u64 - 1;
    let mut sealed = packs.watch_sealed();
    sealed.wait_for(|sealed| *sealed == retired).await.unwrap();
}
