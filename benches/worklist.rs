//! How fast a machine has its worklist of 100,000 open forms: `worklist [--forms N] [--hospitals 20|1] [--questions N]
//! [--scratch DIR] [--rules N]`; with rules 5 it is what an archive does before the present rules are activated.
//!
//! Two archives: one with the forms of 20 hospitals, one with all of them in one hospital. Each question is asked over an
//! association as a machine of its own hospital asks it. The clock runs from the question until its last answer is here; what
//! came is read afterwards, counted and held against the forms that were made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod asking;
mod generate;
mod waiting;

use std::time::{Duration, Instant};

use asking::Served;
use waiting::{DAYS, Form, Town, reader, scanner};
use yingku_core::event::RULES_VERSION;
use yingku_storage::archive::{Archive, ArchiveOptions};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions};
use yingku_storage::packs::PackOptions;

const FORMS: u64 = 100_000;
const HOSPITALS: u64 = 20;
/// Questions of one kind: as many as make a p99 more than the slowest of them.
const QUESTIONS: u64 = 400;
const AIM_MS: f64 = 10.0;

/// What a machine asks, and for whom.
struct Question<'a> {
    asks: String,
    keys: Vec<(&'static str, String)>,
    meets: Box<dyn Fn(&Form) -> bool + 'a>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
            .map_or(default, |value| value.parse().expect("a number"))
    };
    let forms = option("--forms", FORMS);
    let rules = option("--rules", u64::from(RULES_VERSION)) as u32;
    let scratch = arguments
        .iter()
        .position(|argument| argument == "--scratch");
    let scratch = scratch.and_then(|at| arguments.get(at + 1));
    let scratch = scratch.map(String::as_str);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let questions = option("--questions", QUESTIONS);
    for hospitals in [HOSPITALS, 1] {
        if option("--hospitals", hospitals) != hospitals {
            continue;
        }
        let town = Town {
            seed: 5,
            forms,
            hospitals,
        };
        runtime.block_on(measure(town, rules, questions, scratch));
    }
}

async fn measure(town: Town, rules: u32, questions: u64, scratch: Option<&str>) {
    let dir = match scratch {
        Some(scratch) => tempfile::tempdir_in(scratch),
        None => tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
            .or_else(|_| tempfile::tempdir()),
    };
    let dir = dir.unwrap();
    let log = EmbeddedLog::open(&dir.path().join("log"), EmbeddedLogOptions::default()).unwrap();
    let forms = town.load(&log, rules).await;
    drop(log);
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default().into(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.path().join("cluster.key"), true).unwrap();
    let began = Instant::now();
    let archive = Archive::open(dir.path(), options, key).await.unwrap();
    archive.settle().await.unwrap();
    let place = match town.hospitals {
        1 => "all in one hospital".to_owned(),
        hospitals => format!("{hospitals} hospitals"),
    };
    println!(
        "| {} open forms, {place}: views made from the log | {:.1} s, {:.0} MB | |",
        town.forms,
        began.elapsed().as_secs_f64(),
        archive.views().file_bytes() as f64 / 1e6,
    );
    let served = Served::start(archive.clone()).await;
    for (what, question) in kinds() {
        let (mut taken, mut spent) = (Vec::new(), Duration::ZERO);
        let (mut fewest, mut most) = (usize::MAX, 0);
        for number in 0..questions {
            let of = &forms[(generate::mix(9, number) % town.forms) as usize];
            let question = question(of, number);
            let mut machine = served.machine(&question.asks).await;
            let before = cpu();
            let (took, answers) = machine.ask(&question.keys).await;
            spent += cpu().saturating_sub(before);
            machine.release().await;
            let mut found: Vec<String> = answers.iter().map(|it| it.number()).collect();
            found.sort();
            let wanted = forms.iter().filter(|form| form.hospital == of.hospital);
            let mut wanted: Vec<String> = wanted
                .filter(|form| (question.meets)(form))
                .map(|form| form.apply_no.clone())
                .collect();
            wanted.sort();
            assert_eq!(found, wanted, "{what}: {:?}", question.keys);
            (fewest, most) = (fewest.min(found.len()), most.max(found.len()));
            taken.push(took);
        }
        let (median, p99) = quantiles(taken);
        let spent = spent.as_secs_f64() * 1e3 / questions as f64;
        println!(
            "| {place}, {what}, {fewest} to {most} answers | p50 {median:.2} ms, p99 {p99:.2} ms (CPU of both sides: \
             {spent:.2} ms) | p99 ≤ {AIM_MS} ms |"
        );
    }
    served.stop().await;
    archive.close().await;
}

/// What all threads of this process have computed.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let spent = tasks.map(|task| {
        let times = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
        let times = times.unwrap_or_default();
        let first = times.split(' ').next().and_then(|ns| ns.parse().ok());
        first.unwrap_or(0)
    });
    Duration::from_nanos(spent.sum())
}

/// Median and p99 in milliseconds.
fn quantiles(mut taken: Vec<Duration>) -> (f64, f64) {
    taken.sort_unstable();
    let at = |q: f64| taken[((taken.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}

type Ask = for<'a> fn(&'a Form, u64) -> Question<'a>;

fn kinds() -> [(&'static str, Ask); 7] {
    [
        ("accession number", |of, _| Question {
            asks: reader(of.hospital),
            keys: vec![("AccessionNumber", of.apply_no.clone())],
            meets: Box::new(|form| form.apply_no == of.apply_no),
        }),
        ("PatientID", |of, _| Question {
            asks: reader(of.hospital),
            keys: vec![("PatientID", of.sick_id.clone())],
            meets: Box::new(|form| form.sick_id == of.sick_id),
        }),
        ("day and modality CT", |of, number| {
            let day = format!("202607{:02}", 1 + number % DAYS);
            let keys = vec![("Day", day.clone()), ("Modality", "CT".to_owned())];
            Question {
                asks: reader(of.hospital),
                keys,
                meets: Box::new(move |form| form.day == day && form.modality == "CT"),
            }
        }),
        ("day, modality CT and station", |of, number| {
            let day = format!("202607{:02}", 1 + number % DAYS);
            let station = scanner(of.hospital, number % 2);
            Question {
                asks: station.clone(),
                keys: vec![
                    ("Day", day.clone()),
                    ("Modality", "CT".to_owned()),
                    ("Station", station.clone()),
                ],
                meets: Box::new(move |form| {
                    // Whichever station asks may do what names none.
                    let named = form.station.as_ref().unwrap_or(&station);
                    form.day == day && form.modality == "CT" && *named == station
                }),
            }
        }),
        ("name with wildcard, characters", |of, _| {
            let length = of.name.chars().count();
            let beginning: String = of.name.chars().take(length.max(3) - 1).collect();
            Question {
                asks: reader(of.hospital),
                keys: vec![("PatientName", format!("{beginning}*"))],
                meets: Box::new(move |form| form.name.starts_with(&beginning)),
            }
        }),
        ("name with wildcard, letters", |of, _| {
            let name = &of.person.alphabetic;
            let beginning = &name[..name.len().min(name.find('^').unwrap_or(0) + 6)];
            Question {
                asks: reader(of.hospital),
                keys: vec![("PatientName", format!("{beginning}*"))],
                meets: Box::new(move |form| form.person.alphabetic.starts_with(beginning)),
            }
        }),
        ("name", |of, _| Question {
            asks: reader(of.hospital),
            keys: vec![("PatientName", of.name.clone())],
            meets: Box::new(|form| form.name == of.name),
        }),
    ]
}
