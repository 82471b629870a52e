//! Whether a full archive is as quick as an empty one: `million [--scale N] [--seconds N]`; `--make DIR` leaves the full one
//! there and does no more.
//!
//! Loads 1,000,000 exams and 20,000,000 instances as events (a scale of 10: a tenth of both), lets the archive make its
//! views, then asks the in-process views and a real association, and stores and pushes into it and into an empty
//! archive beside it, by turns. A fresh process then opens it and tells time and memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod dicom;
mod generate;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dicom::Served;
use generate::{City, Exam};
use yingku_core::ids::{HospitalCode, StudyUid};
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions};
use yingku_storage::packs::PackOptions;
use yingku_storage::views::Walk;
use yingku_storage::views::studies::StudySelector;

const EXAMS: u64 = 1_000_000;
const INSTANCES_OF_EXAM: u64 = 20;
const QUERIES: u64 = 4_000;
const ROUNDS: usize = 3;
const PUSH_CONNECTIONS: usize = 64;
const STORE_ASSOCIATIONS: usize = 8;
/// Numbers of exams that are pushed while measuring; far above those that were loaded.
static FRESH: AtomicU64 = AtomicU64::new(500_000_000);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
            .map_or(default, |value| value.parse().expect("a number"))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(at) = arguments.iter().position(|argument| argument == "--open") {
        return runtime.block_on(open_and_tell(Path::new(&arguments[at + 1])));
    }
    let city = City {
        seed: 3,
        exams: EXAMS / option("--scale", 1),
        instances_of_exam: INSTANCES_OF_EXAM,
    };
    if let Some(at) = arguments.iter().position(|argument| argument == "--make") {
        return runtime.block_on(make(city, Path::new(&arguments[at + 1])));
    }
    let seconds = Duration::from_secs(option("--seconds", 4));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).unwrap();
    let dir = tempfile::tempdir_in(target).unwrap();
    let (full_dir, empty_dir) = (dir.path().join("full"), dir.path().join("empty"));
    println!(
        "{} exams, {} instances",
        city.exams,
        city.exams * INSTANCES_OF_EXAM
    );
    runtime.block_on(async {
        load(city, &full_dir).await;
        load(City { exams: 10, ..city }, &empty_dir).await;
        let began = Instant::now();
        let full = open(&full_dir).await;
        row(
            "views made from the log",
            began.elapsed().as_secs_f64(),
            "s",
            "",
        );
        settle(&full).await;
        let bytes = full.views().file_bytes() as f64 / (city.exams * INSTANCES_OF_EXAM) as f64;
        row("views", bytes, "bytes/instance", "≤ 100");
        queries(city, &full).await;
        let empty = open(&empty_dir).await;
        rates(city, &full, &empty, seconds).await;
        full.close().await;
        empty.close().await;
    });
    drop(runtime);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--open")
        .arg(&full_dir)
        .status()
        .unwrap();
    assert!(status.success());
}

fn row(what: &str, value: f64, unit: &str, aim: &str) {
    println!("| {what} | {value:.2} {unit} | {aim} |");
}

async fn load(city: City, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let log = EmbeddedLog::open(&dir.join("log"), EmbeddedLogOptions::default()).unwrap();
    city.load(&log).await;
}

async fn open(dir: &Path) -> Archive {
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.join("cluster.key"), true).unwrap();
    Archive::open(dir, options, key).await.unwrap()
}

/// Leaves an archive behind, for a bench that goes on with it.
async fn make(city: City, dir: &Path) {
    load(city, dir).await;
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.join("keys").join("cluster.key"), true).unwrap();
    let archive = Archive::open(dir, options, key).await.unwrap();
    println!("{} records", archive.log().end().unwrap());
    archive.close().await;
}

/// Waits until RocksDB has merged its files: their size no longer changes.
async fn settle(archive: &Archive) {
    let (mut last, mut same) = (0, 0);
    while same < 5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let bytes = archive.views().file_bytes();
        same = if bytes == last { same + 1 } else { 0 };
        last = bytes;
    }
}

/// Opens a loaded archive in a process of its own, as a restart does.
async fn open_and_tell(dir: &Path) {
    let began = Instant::now();
    let archive = open(dir).await;
    row(
        "open until ready",
        began.elapsed().as_secs_f64(),
        "s",
        "≤ 5",
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    row("resident memory, idle", kilobytes / 1024.0, "MB", "≤ 200");
    archive.close().await;
}

/// Median and p99 in milliseconds.
fn quantiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}

fn some_exams(city: City) -> impl Iterator<Item = Exam> {
    (0..QUERIES).map(move |n| city.exam(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % city.exams))
}

async fn queries(city: City, archive: &Archive) {
    let served = Served::start(archive.clone()).await;
    let mut peer = served.peer("READER").await;
    type Selector = fn(&Exam) -> StudySelector;
    let by: [(&str, Selector); 3] = [
        ("study UID", |exam| {
            StudySelector::Uids(vec![StudyUid::new(exam.study_uid()).unwrap()])
        }),
        ("accession number", |exam| {
            StudySelector::Accessions(vec![exam.accession_no()])
        }),
        ("patient", |exam| {
            StudySelector::PatientIds(vec![exam.patient_id()])
        }),
    ];
    for (what, selector) in by {
        let (views, registry) = (archive.views(), archive.registry());
        let mut latencies = Vec::new();
        for exam in some_exams(city) {
            let began = Instant::now();
            let mut found = 0;
            let selector = selector(&exam);
            views
                .visit_studies(&registry, &selector, &|| false, &mut |_| {
                    found += 1;
                    Walk::On
                })
                .unwrap();
            assert_eq!(found, 1, "exam {}", exam.number);
            latencies.push(began.elapsed());
        }
        let (median, p99) = quantiles(latencies);
        println!("| views by {what} | p50 {median:.3} ms, p99 {p99:.3} ms | |");
        let mut latencies = Vec::new();
        for exam in some_exams(city) {
            let keys = dicom::keys(what, &exam);
            let began = Instant::now();
            assert_eq!(peer.find(&keys).await, 1, "exam {}", exam.number);
            latencies.push(began.elapsed());
        }
        let (median, p99) = quantiles(latencies);
        println!("| C-FIND by {what} | p50 {median:.3} ms, p99 {p99:.3} ms | p99 ≤ 2 ms |");
    }
    peer.release().await;
    served.stop().await;
}

/// Pushes and stores by turns into both; the medians and their ratio.
async fn rates(city: City, full: &Archive, empty: &Archive, seconds: Duration) {
    let city = City {
        instances_of_exam: 200,
        ..city
    };
    let (mut pushes, mut stores) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..ROUNDS {
        for (at, archive) in [full, empty].into_iter().enumerate() {
            pushes[at].push(push_rate(city, archive, seconds).await);
            stores[at].push(store_rate(city, archive, seconds).await);
        }
    }
    for (what, unit, measured) in [
        ("push", "pushes/s", pushes),
        ("C-STORE of 2 KB", "images/s", stores),
    ] {
        let [full, empty] = measured.map(|mut rates: Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        });
        row(&format!("{what}, full"), full, unit, "");
        row(&format!("{what}, empty"), empty, unit, "");
        row(&format!("{what}, full / empty"), full / empty, "×", "≥ 0.9");
    }
}

fn fresh(city: City) -> Exam {
    city.exam(FRESH.fetch_add(1, Ordering::Relaxed))
}

async fn push(archive: &Archive, exam: &Exam) {
    let submission = Submission {
        hospital: Some(HospitalCode::new(exam.hospital).unwrap()),
        actor: "app:demo-pacs".to_owned(),
        event: exam.push_event(),
    };
    archive.submit(submission).await.unwrap();
}

async fn push_rate(city: City, archive: &Archive, seconds: Duration) -> f64 {
    let began = Instant::now();
    let count = Arc::new(AtomicU64::new(0));
    let pushers: Vec<_> = (0..PUSH_CONNECTIONS)
        .map(|_| {
            let (archive, count) = (archive.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                while began.elapsed() < seconds {
                    push(&archive, &fresh(city)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn store_rate(city: City, archive: &Archive, seconds: Duration) -> f64 {
    let served = Served::start(archive.clone()).await;
    let mut peers = Vec::new();
    for number in 0..STORE_ASSOCIATIONS {
        peers.push(served.peer(&format!("CT{number}")).await);
    }
    let began = Instant::now();
    let senders: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            let archive = archive.clone();
            tokio::spawn(async move {
                let mut count = 0u64;
                while began.elapsed() < seconds {
                    let exam = fresh(city);
                    push(&archive, &exam).await;
                    for index in 0..city.instances_of_exam {
                        peer.store(&exam.instance(index)).await;
                        count += 1;
                    }
                }
                peer.release().await;
                count
            })
        })
        .collect();
    let mut count = 0;
    for sender in senders {
        count += sender.await.unwrap();
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    served.stop().await;
    rate
}
