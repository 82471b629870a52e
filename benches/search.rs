//! Search over a city's exams: `search [--exams N] [--seconds N] [--rate N]`; `--make DIR` leaves the log in a data directory and
//! does no more; `--http ADDRESS --reader TOKEN --pacs TOKEN` asks a running archive that has it.
//!
//! A log of pushes with names as they are frequent and reports made of sentences (the same seed gives the same city), its views,
//! and the index that follows them: how fast that is made anew, how large it is, and how long a question takes while questions
//! come at a set rate, whether or not the one before is answered, and exams come in at 100 a second. A question is what the interface
//! does of it: the index, the rows of its hits, and who may see them. HTTP and the audit record are not in it, but
//! where a running archive is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../src/backoff.rs"]
mod backoff;
mod generate;
#[path = "../src/indexing.rs"]
mod indexing;
mod over_http;
mod searching;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use generate::{City, HOSPITALS};
use searching::{event, load, typed};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_core::ids::{HospitalCode, Position};
use yingku_indexer::{Index, Question};
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

const INCOMING_PER_S: u64 = 100;
/// Threads that ask: as many as the interface lets work at once for one app, and more than there are cores.
const ASKERS: u64 = 8;

fn main() {
    let exams = argument("--exams").unwrap_or(1_000_000);
    let seconds = argument("--seconds").unwrap_or(20);
    let rate = argument("--rate").unwrap_or(200);
    let city = City {
        seed: 26,
        exams,
        instances_of_exam: 0,
    };
    if let Some(address) = text("--http") {
        let tokens = ["--reader", "--pacs"].map(|name| text(name).expect("a token"));
        return over_http::ask(&city, &address, &tokens, (seconds, rate));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(dir) = text("--make") {
        return runtime.block_on(load(Path::new(&dir), &city));
    }
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    runtime.block_on(run(dir.path(), city, seconds, rate));
}

fn text(name: &str) -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != name)
        .nth(1)
}

fn argument(name: &str) -> Option<u64> {
    text(name)?.parse().ok()
}

async fn run(dir: &Path, city: City, seconds: u64, rate: u64) {
    let exams = city.exams;
    load(dir, &city).await;
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.join("cluster.key"), true).unwrap();
    let archive = Archive::open(dir, options, key).await.unwrap();
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let index = indexing::open(&archive, dir).unwrap();
    let end = archive.views().cursor().unwrap().next;
    let began = Instant::now();
    indexing::start(&archive, &index, &stop, &tasks);
    while index.next() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "| index of {exams} exams made anew | {:.0} exams/s | ≥ 8000 |",
        exams as f64 / took
    );
    println!(
        "| its size | {} B an exam | ≤ 1536 |",
        index.bytes() / index.exams().max(1)
    );
    println!("| resident memory | {} MB | ≤ 1024 |", resident_mb());
    for (what, facets) in [("search", false), ("with facets", true)] {
        ask_for(&archive, &index, &city, what, facets, (seconds, rate)).await;
    }
    println!(
        "| resident memory after it | {} MB | ≤ 1024 |",
        resident_mb()
    );
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    archive.close().await;
}

/// Questions at a set rate while exams come in; a facet question once a second beside others is what a page asks.
async fn ask_for(
    archive: &Archive,
    index: &Index,
    city: &City,
    what: &str,
    facets: bool,
    (seconds, rate): (u64, u64),
) {
    let rate = if facets { rate / 10 } else { rate };
    let until = Instant::now() + Duration::from_secs(seconds);
    let incoming = tokio::spawn(come_in(archive.clone(), *city, until));
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let askers: Vec<_> = (0..ASKERS)
        .map(|_| {
            let (archive, index, city) = (archive.clone(), index.clone(), *city);
            let next = Arc::clone(&next);
            tokio::task::spawn_blocking(move || {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = began + Duration::from_micros(number * 1_000_000 / rate);
                    if due >= until {
                        return took;
                    }
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let question = question(&city, number, facets);
                    let found = index.search(&question).unwrap();
                    let views = archive.views();
                    for hit in &found.hits {
                        views.exam(&hit.exam).unwrap();
                    }
                    // From when it was due: what waits for the one before counts.
                    took.push(due.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for asker in askers {
        took.extend(asker.await.unwrap());
    }
    let came = incoming.await.unwrap();
    took.sort_unstable();
    let ms = |q: f64| took[((took.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0;
    let goal = if facets {
        "p99 ≤ 80 ms"
    } else {
        "p50 ≤ 5 ms, p99 ≤ 40 ms"
    };
    println!(
        "| {what}: {} questions at {rate}/s, {came} exams came in | p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms | {goal} |",
        took.len(),
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

async fn come_in(archive: Archive, city: City, until: Instant) -> u64 {
    let mut every = tokio::time::interval(Duration::from_micros(1_000_000 / INCOMING_PER_S));
    let mut came = 0;
    while Instant::now() < until {
        every.tick().await;
        let number = archive.views().cursor().unwrap().next.0 + came;
        let event = event(&city, number);
        let submission = Submission {
            hospital: Some(HospitalCode::new(city.exam(number).hospital).unwrap()),
            actor: "app:demo-pacs".to_owned(),
            event,
        };
        archive.submit(submission).await.unwrap();
        came += 1;
    }
    came
}

fn question(city: &City, number: u64, facets: bool) -> Question {
    Question {
        text: typed(city, number),
        hospitals: HOSPITALS
            .iter()
            .map(|code| HospitalCode::new(*code).unwrap())
            .collect(),
        before: Position(u64::MAX),
        limit: 20,
        facets,
        ..Question::default()
    }
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or_default() / 1024
}
