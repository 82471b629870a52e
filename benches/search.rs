//! Search over a city's exams: `search [--exams N] [--seconds N] [--rate N]`.
//!
//! A log of pushes with names as they are frequent and reports made of sentences (the same seed gives the same city), its views,
//! and the index that follows them: how fast that is made anew, how large it is, and how long a question takes while questions
//! come at a set rate, whether or not the one before is answered, and exams come in at 100 a second. A question is what the interface
//! does of it: the index, the rows of its hits, and who may see them. HTTP and the audit record are not in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../src/backoff.rs"]
mod backoff;
mod generate;
#[path = "../src/indexing.rs"]
mod indexing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use generate::{City, HOSPITALS, mix, record, registry_event};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yingku_core::contract::policy::ValidationPolicy;
use yingku_core::contract::push::{self, PushContext};
use yingku_core::dictionaries::{ClassAliases, Placeholders};
use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::ids::{HospitalCode, Position};
use yingku_indexer::{Index, Question};
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions, EventLog};
use yingku_storage::packs::PackOptions;

const BLOCK: u64 = 20_000;
const INCOMING_PER_S: u64 = 100;
/// Threads that ask: as many as the interface lets work at once for one app, and more than there are cores.
const ASKERS: u64 = 8;

const SURNAMES: &str = "王王王王王王王李李李李李李李张张张张张张刘刘刘刘刘陈陈陈陈陈杨杨杨黄黄赵赵吴吴周周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤单仇解";
const GIVEN: &str = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂红建国华志文玉梅玲辉春燕海鹏飞云龙峰宇浩然子轩梓涵欣怡思雨佳琪俊杰晓东小雪雅婷嘉豪雨桐诗涵一诺宇航梦琪博文";
const FINDINGS: [&str; 12] = [
    "双肺纹理增多增粗，走行自然。",
    "右肺上叶见一磨玻璃结节，边界清楚，直径约6毫米。",
    "左肺下叶见斑片状高密度影，边缘模糊。",
    "纵隔居中，未见肿大淋巴结。",
    "心影大小形态未见异常，主动脉壁钙化。",
    "肝脏密度弥漫性减低，CT值低于脾脏。",
    "胆囊壁毛糙，其内见结节状致密影。",
    "右肾见囊性低密度影，增强后未见强化。",
    "第四五腰椎间盘向后突出，硬膜囊受压。",
    "双侧基底节区见点状低密度影。",
    "右侧股骨颈骨皮质不连续，断端错位。",
    "甲状腺左叶见低回声结节，边界欠清。",
];
const IMPRESSIONS: [&str; 12] = [
    "右肺上叶磨玻璃结节，建议六个月后复查。",
    "左肺下叶肺炎。",
    "脂肪肝。",
    "胆囊结石伴慢性胆囊炎。",
    "右肾囊肿。",
    "腰椎间盘突出。",
    "双侧基底节区腔隙性脑梗死。",
    "右侧股骨颈骨折。",
    "甲状腺左叶结节，TI-RADS 4类。",
    "主动脉硬化。",
    "未见明显异常。",
    "考虑肺癌，建议增强扫描。",
];

fn main() {
    let exams = argument("--exams").unwrap_or(1_000_000);
    let seconds = argument("--seconds").unwrap_or(20);
    let rate = argument("--rate").unwrap_or(200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    runtime.block_on(run(dir.path(), exams, seconds, rate));
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)?.parse().ok()
}

async fn run(dir: &Path, exams: u64, seconds: u64, rate: u64) {
    let city = City {
        seed: 26,
        exams,
        instances_of_exam: 0,
    };
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
    let dice = mix(99, number);
    let exam = dice % city.exams;
    let name = name(exam);
    let text = match (dice >> 32) % 6 {
        0 => name,
        1 => yingku_core::names::PersonName::new(&name, "")
            .alphabetic
            .replace('^', "")
            .to_lowercase(),
        2 => city.exam(exam).exam_no(),
        3 => "磨玻璃结节".to_owned(),
        4 => format!("{name} CT"),
        _ => "肺炎 胸部".to_owned(),
    };
    Question {
        text,
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

fn name(exam: u64) -> String {
    let dice = mix(5, exam / 2);
    let pick = |from: &str, lane: u64| {
        let characters: Vec<char> = from.chars().collect();
        characters[(mix(dice, lane) % characters.len() as u64) as usize]
    };
    let mut name = pick(SURNAMES, 1).to_string();
    name.push(pick(GIVEN, 2));
    if !dice.is_multiple_of(5) {
        name.push(pick(GIVEN, 3));
    }
    name
}

fn event(city: &City, number: u64) -> Event {
    let dice = mix(8, number);
    let pick =
        |from: &[&'static str], lane: u64| from[(mix(dice, lane) % from.len() as u64) as usize];
    let mut push: Value = serde_json::from_str(&city.exam(number).json()).unwrap();
    push["patientInfo"]["name"] = name(number).into();
    let findings: String = (0..4).map(|lane| pick(&FINDINGS, lane)).collect();
    let report = &mut push["reportList"][0];
    report["description"] = findings.into();
    report["impression"] = pick(&IMPRESSIONS, 9).into();
    let context = PushContext {
        policy: &ValidationPolicy::default(),
        aliases: &ClassAliases::default(),
        placeholders: &Placeholders::default(),
    };
    let parsed = push::parse(push.to_string().as_bytes(), None, context)
        .unwrap_or_else(|refused| panic!("the template is refused: {refused:?}"));
    Event::ExamPushed(parsed.body)
}

async fn load(dir: &Path, city: &City) {
    let log = EmbeddedLog::open(&dir.join("log"), EmbeddedLogOptions::default()).unwrap();
    let rules = Event::RulesActivated(RulesActivated {
        rules: RULES_VERSION,
    });
    let first = vec![record(&rules, None, "node:0", 2), registry_event()];
    log.append_all(first).await.unwrap();
    let mut from = 0;
    while from < city.exams {
        let to = (from + BLOCK).min(city.exams);
        let middle = (from + to) / 2;
        let make = |from, to| {
            let exams = from..to;
            let records = exams.map(|number| {
                let hospital = Some(city.exam(number).hospital);
                record(
                    &event(city, number),
                    hospital,
                    "app:demo-pacs",
                    mix(city.seed, number),
                )
            });
            records.collect::<Vec<_>>()
        };
        let records = std::thread::scope(|scope| {
            let first = scope.spawn(|| make(from, middle));
            let second = make(middle, to);
            [first.join().expect("a block is made"), second].concat()
        });
        log.append_all(records).await.unwrap();
        from = to;
    }
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or_default() / 1024
}
