//! How fast views are made anew from the log: `rebuild [PUSHES] [EXAMS_WITH_INSTANCES]`.
//!
//! Two logs: one of pushes, one in which every exam has 20 instances. What the second takes beyond its pushes is the
//! time of its instance facts. Times are those of `yingku rebuild`: read, decode, decide, write, flush; the digests
//! that compare old and new views are told apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod generate;

use std::path::Path;
use std::time::{Duration, Instant};

use generate::City;
use yingku_storage::archive::{Archive, ArchiveOptions};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions};
use yingku_storage::packs::PackOptions;

const PUSHES: u64 = 200_000;
const EXAMS: u64 = 100_000;
const INSTANCES_OF_EXAM: u64 = 20;
const PUSH_GOAL: f64 = 30_000.0;
const FACTS_GOAL: f64 = 300_000.0;

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let pushes = numbers.first().copied().unwrap_or(PUSHES);
    let exams = numbers.get(1).copied().unwrap_or(EXAMS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut push_rate = PUSH_GOAL;

    if pushes > 0 {
        let city = City {
            seed: 1,
            exams: pushes,
            instances_of_exam: 0,
        };
        let took = runtime.block_on(rebuild(city));
        push_rate = pushes as f64 / took.as_secs_f64();
        row("pushes", push_rate, "pushes/s", PUSH_GOAL);
    }
    if exams > 0 {
        let city = City {
            seed: 2,
            exams,
            instances_of_exam: INSTANCES_OF_EXAM,
        };
        let took = runtime.block_on(rebuild(city)).as_secs_f64();
        let facts = (exams * INSTANCES_OF_EXAM) as f64;
        row(
            "instance facts, the time of their pushes taken off",
            facts / (took - exams as f64 / push_rate),
            "facts/s",
            FACTS_GOAL,
        );
        println!("| both together: facts | {:.0} facts/s | | |", facts / took);
    }
}

fn row(what: &str, rate: f64, unit: &str, goal: f64) {
    println!(
        "| {what} | {rate:.0} {unit} | ≥ {goal:.0} | {:.2} × |",
        rate / goal
    );
}

/// Loads a log, lets the archive follow it, then rebuilds; the time until the new views were whole.
async fn rebuild(city: City) -> Duration {
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let began = Instant::now();
    let log = EmbeddedLog::open(&dir.path().join("log"), EmbeddedLogOptions::default()).unwrap();
    let records = city.load(&log).await;
    drop(log);
    eprintln!(
        "{records} records made in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    let archive = open(dir.path()).await;
    eprintln!("followed in {:.1} s", began.elapsed().as_secs_f64());
    let rebuilder = archive.clone();
    let cpu = cpu_seconds();
    let report = tokio::task::spawn_blocking(move || rebuilder.rebuild().unwrap())
        .await
        .unwrap();
    assert_eq!(
        report.replaced_digest,
        Some(report.digest),
        "the rebuilt views differ from the followed ones"
    );
    eprintln!(
        "rebuilt in {:.1} s, digests included {:.1} s ({:.1} s of CPU), views {:.1} MB",
        report.replayed.as_secs_f64(),
        report.took.as_secs_f64(),
        cpu_seconds() - cpu,
        archive.views().file_bytes() as f64 / 1e6
    );
    archive.close().await;
    report.replayed
}

/// CPU time of this process: on a shared machine it tells more than the clock.
fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

async fn open(dir: &Path) -> Archive {
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.join("cluster.key"), true).unwrap();
    Archive::open(dir, options, key).await.unwrap()
}
