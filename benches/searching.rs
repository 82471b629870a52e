//! What is searched: a city's exams with names as they are frequent and reports made of sentences, and what is asked of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use serde_json::Value;
use yingku_core::contract::policy::ValidationPolicy;
use yingku_core::contract::push::{self, PushContext};
use yingku_core::dictionaries::{ClassAliases, Placeholders};
use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_storage::log::{EmbeddedLog, EmbeddedLogOptions, EventLog};

use crate::generate::{City, mix, record, registry_event};

const BLOCK: u64 = 20_000;

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

/// What somebody types.
pub fn typed(city: &City, number: u64) -> String {
    let dice = mix(99, number);
    let exam = dice % city.exams;
    let name = name(exam);
    match (dice >> 32) % 6 {
        0 => name,
        1 => yingku_core::names::PersonName::new(&name, "")
            .alphabetic
            .replace('^', "")
            .to_lowercase(),
        2 => city.exam(exam).exam_no(),
        3 => "磨玻璃结节".to_owned(),
        4 => format!("{name} CT"),
        _ => "肺炎 胸部".to_owned(),
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

/// A push as a vendor writes it.
pub fn push_json(city: &City, number: u64) -> String {
    let dice = mix(8, number);
    let pick =
        |from: &[&'static str], lane: u64| from[(mix(dice, lane) % from.len() as u64) as usize];
    let mut push: Value = serde_json::from_str(&city.exam(number).json()).unwrap();
    push["patientInfo"]["name"] = name(number).into();
    let findings: String = (0..4).map(|lane| pick(&FINDINGS, lane)).collect();
    let report = &mut push["reportList"][0];
    report["description"] = findings.into();
    report["impression"] = pick(&IMPRESSIONS, 9).into();
    push.to_string()
}

pub fn event(city: &City, number: u64) -> Event {
    let json = push_json(city, number);
    let context = PushContext {
        policy: &ValidationPolicy::default(),
        aliases: &ClassAliases::default(),
        placeholders: &Placeholders::default(),
    };
    let parsed = push::parse(json.as_bytes(), None, context)
        .unwrap_or_else(|refused| panic!("the template is refused: {refused:?}"));
    Event::ExamPushed(parsed.body)
}

/// A log of it in a data directory.
pub async fn load(dir: &Path, city: &City) {
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
