//! How long supervision's questions take: `supervision [--exams N]`.
//!
//! Loads a year's exams of fifty hospitals as pushes, lets the archive make its views, then asks in-process what the interfaces
//! ask: each question once to warm up, and then the median of three. Images are not loaded: completeness reads a row for each
//! study all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod generate;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use generate::{City, mix, record};
use yingku_core::contract::policy::ValidationPolicy;
use yingku_core::contract::push::{self, PushContext};
use yingku_core::dictionaries::{ClassAliases, Placeholders};
use yingku_core::event::{Event, RULES_VERSION, RegistryChanged, RulesActivated};
use yingku_core::ids::HospitalCode;
use yingku_core::registry::{Registry, RegistryChange};
use yingku_core::supervision::group::{Dimension, Seen};
use yingku_core::supervision::timeliness::{Limits, Step};
use yingku_core::supervision::{completeness, load, positive, repeat, timeliness};
use yingku_core::time::{LocalDate, Zone};
use yingku_storage::archive::{Archive, ArchiveOptions};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions, EventLog};
use yingku_storage::packs::PackOptions;
use yingku_storage::views::form_lists::Days;
use yingku_storage::views::reconcile::{Question, reconcile};
use yingku_storage::views::{View, Views, Walk};

const EXAMS: u64 = 1_000_000;
const HOSPITALS: u64 = 50;
const BLOCK: u64 = 20_000;
const PARTS: [&str; 6] = ["胸部", "头颅", "上腹部", "下腹部", "腰椎", "膝关节"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = arguments.iter().position(|argument| argument == "--exams");
    let exams = at.and_then(|at| arguments.get(at + 1));
    let exams = exams.map_or(EXAMS, |value| value.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(exams));
}

fn hospital(number: u64) -> String {
    format!("H{:03}", number % HOSPITALS)
}

/// A number of a document with a right check character.
fn citizen(person: u64) -> String {
    const WEIGHTS: [u64; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let dice = mix(91, person);
    let digits = format!(
        "3501{:02}{}{:02}{:02}{:03}",
        1 + dice % 80,
        1930 + dice / 100 % 90,
        1 + dice / 10_000 % 12,
        1 + dice / 1_000_000 % 28,
        dice / 100_000_000 % 1_000
    );
    let sum: u64 = digits
        .bytes()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u64::from(digit - b'0') * weight)
        .sum();
    format!(
        "{digits}{}",
        char::from(b"10X98765432"[(sum % 11) as usize])
    )
}

/// The city's exam as one of fifty hospitals has it: every fifth is of a patient who was elsewhere.
fn push_of(city: &City, number: u64) -> Bytes {
    let dice = mix(17, number);
    let code = hospital(dice);
    let mut json: serde_json::Value = serde_json::from_str(&city.exam(number).json()).unwrap();
    json["hospitalCode"] = code.as_str().into();
    let person = if number % 5 == 4 { number - 3 } else { number };
    json["patientInfo"]["identity"][0]["idNumber"] = citizen(person).into();
    json["patientInfo"]["miCard"] = format!("MI35{person:010}").into();
    json["examInfo"]["examOrganList"][0]["organName"] = PARTS[(dice / 100 % 6) as usize].into();
    json["examInfo"]["device"] =
        format!("{}-{}", json["examInfo"]["examClass"], dice / 1_000 % 6).into();
    json["reportList"][0]["abNormalFlag"] = if dice % 10 < 6 { "1" } else { "0" }.into();
    json["reportList"][0]["affirmReporter"] = format!("医生{}", dice / 7_000 % 12).into();
    let context = PushContext {
        policy: &ValidationPolicy::default(),
        aliases: &ClassAliases::default(),
        placeholders: &Placeholders::default(),
    };
    let parsed = push::parse(json.to_string().as_bytes(), None, context);
    let parsed = parsed.unwrap_or_else(|refused| panic!("{refused:?}"));
    let event = Event::ExamPushed(parsed.body);
    record(&event, Some(&code), "app:demo-pacs", mix(18, number))
}

fn begin() -> Vec<Bytes> {
    let rules = Event::RulesActivated(RulesActivated {
        rules: RULES_VERSION,
    });
    let hospital = |number| {
        let json =
            serde_json::json!({"code": hospital(number), "name": format!("示例医院{number}")});
        RegistryChange::PutHospital(serde_json::from_value(json).unwrap())
    };
    let registered = Event::RegistryChanged(RegistryChanged {
        changes: (0..HOSPITALS).map(hospital).collect(),
    });
    vec![
        record(&rules, None, "node:0", 1),
        record(&registered, None, "operator:bench", 2),
    ]
}

async fn make(dir: &Path, exams: u64) {
    let log = EmbeddedLog::open(&dir.join("log"), EmbeddedLogOptions::default()).unwrap();
    log.append_all(begin()).await.unwrap();
    let city = City {
        seed: 5,
        exams,
        instances_of_exam: 0,
    };
    for from in (0..exams).step_by(BLOCK as usize) {
        let (to, city) = ((from + BLOCK).min(exams), &city);
        let middle = (from + to) / 2;
        let [first, second] = std::thread::scope(|scope| {
            let first = scope.spawn(move || (from..middle).map(|n| push_of(city, n)).collect());
            let second = (middle..to).map(|n| push_of(city, n)).collect();
            [first.join().unwrap(), second]
        });
        let (first, second): (Vec<Bytes>, Vec<Bytes>) = (first, second);
        log.append_all(first).await.unwrap();
        log.append_all(second).await.unwrap();
    }
}

async fn run(exams: u64) {
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let began = Instant::now();
    make(dir.path(), exams).await;
    eprintln!(
        "{exams} pushes made in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
    let archive = Archive::open(dir.path(), options, key).await.unwrap();
    archive.settle().await.unwrap();
    eprintln!("views made in {:.1} s", began.elapsed().as_secs_f64());
    let (views, registry) = (archive.views(), archive.registry());
    let bytes = views.view_bytes(View::Supervised);
    println!(
        "| rows for supervision | {:.0} bytes/exam of {:.0} | |",
        bytes as f64 / exams as f64,
        views.file_bytes() as f64 / exams as f64
    );
    tokio::task::spawn_blocking(move || ask_all(&views, &registry))
        .await
        .unwrap();
    println!("| resident memory | {} MB | |", resident_mb());
    drop(archive);
}

fn ask_all(views: &Arc<Views>, registry: &Registry) {
    let codes: Vec<HospitalCode> = registry.hospitals.keys().cloned().collect();
    let day = |text: &str| LocalDate::parse(text).unwrap();
    let year = Days {
        from: day("2026-01-01"),
        to: day("2026-12-31"),
    };
    let one = Days {
        from: day("2026-07-06"),
        to: day("2026-07-06"),
    };
    let by = [Dimension::Month, Dimension::Hospital, Dimension::Class];
    for (what, days, goal_ms) in [("a day", one, 200), ("a year", year, 3_000)] {
        let row = |name: &str, took: Duration| {
            println!(
                "| {name}, {what} of {} hospitals | {} ms | ≤ {goal_ms} ms |",
                codes.len(),
                took.as_millis()
            );
        };
        let walk = |visit: &mut dyn FnMut(Seen<'_>)| {
            let visit = &mut |seen: Seen<'_>| {
                visit(seen);
                Ok(Walk::On)
            };
            views
                .visit_supervised(registry, &codes, days, visit)
                .unwrap();
        };
        row(
            "completeness",
            median(|| {
                let mut tally = completeness::Tally::new(&by);
                let mut first = Some(days.from);
                while let Some(from) = first.filter(|from| *from <= days.to) {
                    let all = std::iter::successors(Some(from), |day| day.next()).take(31);
                    let to = all.take_while(|day| *day <= days.to).last().unwrap();
                    let question = Question {
                        hospitals: &codes,
                        from,
                        to,
                        as_of: None,
                        as_of_ms: None,
                    };
                    let found = reconcile(views, registry, question).unwrap();
                    found.cells.iter().for_each(|cell| tally.cell(cell));
                    first = to.next();
                }
                walk(&mut |seen| tally.exam(seen));
                tally.finish().1.counts.registered
            }),
        );
        row(
            "timeliness",
            median(|| {
                let limits: Limits = Step::ALL.map(Step::limit);
                let mut tally = timeliness::Tally::new(&by, limits, Zone::default());
                walk(&mut |seen| tally.add(seen));
                tally.finish().1.exams
            }),
        );
        row(
            "positive rates",
            median(|| {
                let mut tally = positive::Tally::new(&by);
                walk(&mut |seen| tally.add(seen));
                tally.finish().1.reports
            }),
        );
        row(
            "load of devices",
            median(|| {
                let mut tally = load::Tally::new(Dimension::Device, &by);
                walk(&mut |seen| tally.add(seen));
                tally.finish().1.count
            }),
        );
        row(
            "repeats within 14 days",
            median(|| {
                let mut tally = repeat::Tally::new(14);
                walk(&mut |seen| assert!(tally.add(seen, true)));
                tally.finish().repeats
            }),
        );
    }
}

/// Of three, after one that warms up.
fn median(mut ask: impl FnMut() -> u32) -> Duration {
    let answer = ask();
    let mut took = [0; 3].map(|_: u32| {
        let began = Instant::now();
        assert_eq!(ask(), answer);
        began.elapsed()
    });
    took.sort_unstable();
    eprintln!("  answer {answer}");
    took[1]
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kb.unwrap_or_default() / 1_024
}
