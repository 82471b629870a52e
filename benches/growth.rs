//! What one more instance costs in a series that grows: `growth [INSTANCES…]`.
//!
//! One examination, one series. At each size: the facts of instances that come one to a record, decided and in the
//! views; a small instance stored; an instance that is there already, sent again. Then the views are made anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod generate;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use generate::{City, Exam, registry_event};
use yingku_core::event::Event;
use yingku_core::ids::{AeTitle, HospitalCode, PackId};
use yingku_core::instance::InstancesStored;
use yingku_core::instance::facts::FACTS_VERSION;
use yingku_storage::archive::{Admission, Archive, ArchiveOptions, Incoming, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

const SIZES: [u64; 3] = [1_000, 10_000, 50_000];
/// Instances of one record while the series is filled: what the archive gathers of a busy sender.
const RECORD_INSTANCES: u64 = 512;
/// Instances that are timed at each size.
const TIMED: u64 = 200;
const INSTANCE_BYTES: usize = 2_048;

fn main() {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        SIZES.to_vec()
    } else {
        sizes
    };
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(grow(&sizes));
}

async fn grow(sizes: &[u64]) {
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.path().join("cluster.key"), true).unwrap();
    let archive = Archive::open(dir.path(), options, key).await.unwrap();
    let city = City {
        seed: 4,
        exams: 1,
        instances_of_exam: sizes.iter().sum(),
    };
    let exam = city.exam(0);
    archive.log().append(registry_event()).await.unwrap();
    submit(&archive, exam.push_event()).await;

    println!("| instances in the series | facts of one more | one more stored | one sent again |");
    println!("|---|---|---|---|");
    let mut next = 0;
    for size in sizes {
        while next < *size {
            let end = (next + RECORD_INSTANCES).min(*size);
            submit(&archive, stored(&exam, next, end)).await;
            next = end;
        }
        let facts = timed(one_to_a_record(&archive, &exam, next)).await;
        let fresh = timed(store(&archive, &exam, next + TIMED)).await;
        archive.settle().await.unwrap();
        let again = timed(store(&archive, &exam, next + TIMED)).await;
        println!("| {size} | {facts:.3} ms | {fresh:.3} ms | {again:.3} ms |");
        next += 2 * TIMED;
    }
    rebuild(&archive, next).await;
    archive.close().await;
}

/// The views made anew from the log: how fast, and what they take.
async fn rebuild(archive: &Archive, instances: u64) {
    let rebuilder = archive.clone();
    let report = tokio::task::spawn_blocking(move || rebuilder.rebuild().unwrap())
        .await
        .unwrap();
    assert_eq!(
        report.replaced_digest,
        Some(report.digest),
        "the rebuilt views differ from the followed ones"
    );
    let rate = instances as f64 / report.replayed.as_secs_f64();
    let bytes = archive.views().file_bytes() as f64 / instances as f64;
    println!("rebuild of this series: {rate:.0} facts/s, views {bytes:.0} bytes/instance");
}

/// Milliseconds for each of the timed instances.
async fn timed(work: impl Future<Output = ()>) -> f64 {
    let began = Instant::now();
    work.await;
    let took: Duration = began.elapsed();
    took.as_secs_f64() * 1e3 / TIMED as f64
}

async fn submit(archive: &Archive, event: Event) {
    let submission = Submission {
        hospital: None,
        actor: "node:0".to_owned(),
        event,
    };
    archive.submit(submission).await.unwrap();
}

fn stored(exam: &Exam, from: u64, to: u64) -> Event {
    Event::InstancesStored(InstancesStored {
        facts_version: FACTS_VERSION,
        pack: PackId::new(0, 1),
        groups: vec![exam.series_group(from..to)],
    })
}

async fn one_to_a_record(archive: &Archive, exam: &Exam, from: u64) {
    let records = (from..from + TIMED).map(|n| submit(archive, stored(exam, n, n + 1)));
    join_all(records).await;
}

async fn store(archive: &Archive, exam: &Exam, from: u64) {
    for index in from..from + TIMED {
        let data = Bytes::from(vec![7; INSTANCE_BYTES]);
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&exam.digest(index));
        let incoming = Incoming {
            admission: Admission::Shown(HospitalCode::new(exam.hospital).unwrap()),
            sender: AeTitle::new("CT1").unwrap(),
            facts: exam.instance(index),
            digest,
            crc: crc32c::crc32c(&data),
            data: vec![data],
        };
        archive.store(incoming).await.unwrap();
    }
}
