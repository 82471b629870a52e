//! Open apply forms of a city, made from a seed as the edge makes them of SOAP, and who may ask for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use bytes::Bytes;
use serde_json::{Value, json};
use yingku_core::apply_form::FormSource;
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event, RegistryChanged, RulesActivated};
use yingku_core::names::PersonName;
use yingku_core::registry::{Registry, RegistryChange};
use yingku_storage::log::EventLog;

use crate::generate::{mix, record};

const SAMPLE: &str = include_str!("../tests/fixtures/contract/syn_apply_info.xml");
pub const DAYS: u64 = 14;
/// Of a thousand forms, how many are of a class as a HIS writes it, and a modality that asks for them.
const CLASSES: [(u64, &str, &str); 9] = [
    (300, "彩超", "US"),
    (250, "DR", "DX"),
    (140, "CT", "CT"),
    (90, "磁共振", "MR"),
    (80, "心电图", "ECG"),
    (60, "胃镜", "ES"),
    (40, "病理", "SM"),
    (30, "钼靶", "MG"),
    (10, "介入", "XA"),
];
/// The commonest surnames first: of a thousand people, how many have one.
const SURNAMES: [(u64, &str); 24] = [
    (76, "王"),
    (75, "李"),
    (70, "张"),
    (54, "刘"),
    (60, "陈"),
    (35, "杨"),
    (26, "黄"),
    (24, "赵"),
    (50, "林"),
    (22, "周"),
    (20, "吴"),
    (40, "郑"),
    (19, "徐"),
    (18, "孙"),
    (15, "朱"),
    (14, "马"),
    (13, "胡"),
    (12, "郭"),
    (11, "何"),
    (10, "高"),
    (30, "谢"),
    (9, "曾"),
    (8, "单"),
    (4, "欧阳"),
];
const GIVEN: [&str; 48] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明",
    "超", "秀", "英", "华", "文", "玉", "兰", "桂", "小", "东", "建", "国", "志", "红", "梅", "春",
    "海", "燕", "霞", "平", "辉", "鹏", "宇", "浩", "欣", "怡", "子", "轩", "雨", "晨", "嘉", "俊",
];

/// What is to be made.
#[derive(Clone, Copy)]
pub struct Town {
    pub seed: u64,
    pub forms: u64,
    pub hospitals: u64,
}

/// A form as far as questions ask for it.
pub struct Form {
    pub hospital: usize,
    pub apply_no: String,
    pub sick_id: String,
    pub name: String,
    pub person: PersonName,
    /// `YYYYMMDD`
    pub day: String,
    planned: String,
    class: &'static str,
    pub modality: &'static str,
    /// Which of its hospital's stations is to do it, if one is named.
    pub station: Option<String>,
}

/// Title under which a hospital's machines ask.
pub fn reader(hospital: usize) -> String {
    format!("READER{hospital:02}")
}

/// Title of one of a hospital's two scanners.
pub fn scanner(hospital: usize, number: u64) -> String {
    format!("CT{hospital:02}{number}")
}

fn pick<T>(from: &[(u64, T)], dice: u64) -> &T {
    let all: u64 = from.iter().map(|(weight, _)| weight).sum();
    let mut left = dice % all;
    for (weight, one) in from {
        if left < *weight {
            return one;
        }
        left -= weight;
    }
    unreachable!("weights are summed up")
}

impl Town {
    pub fn form(&self, number: u64) -> Form {
        let dice = mix(self.seed, number);
        let hospital = (dice % self.hospitals) as usize;
        // Every tenth form is of the one before's patient, where that is the same hospital's.
        let before = mix(self.seed, number.wrapping_sub(1));
        let again =
            number > 0 && number % 10 == 9 && (before % self.hospitals) as usize == hospital;
        let patient = if again { number - 1 } else { number };
        let whose = mix(self.seed ^ 0xA11CE, patient);
        let mut name = (*pick(&SURNAMES, whose)).to_owned();
        for lane in 0..1 + u64::from(whose >> 60 != 0) {
            name.push_str(GIVEN[(mix(whose, lane) % GIVEN.len() as u64) as usize]);
        }
        let classes = CLASSES.map(|(weight, class, modality)| (weight, (class, modality)));
        let (class, modality) = *pick(&classes, dice >> 8);
        let day = 1 + (dice >> 24) % DAYS;
        let minute = 480 + (dice >> 40) % 540;
        let station = (modality == "CT" && number % 3 < 2).then(|| scanner(hospital, number % 3));
        Form {
            hospital,
            apply_no: format!("SQ{number:09}"),
            sick_id: format!("C{patient:08}"),
            person: PersonName::new(&name, ""),
            name,
            day: format!("202607{day:02}"),
            planned: format!("2026-07-{day:02} {:02}:{:02}:00", minute / 60, minute % 60),
            class,
            modality,
            station,
        }
    }

    fn changes(&self) -> Vec<RegistryChange> {
        let put = |value: Value| serde_json::from_value(value).unwrap();
        let mut changes = vec![put(json!({"change": "putHis", "value": {
            "id": "his", "hospitals": ["*"], "enabled": true, "license": "",
        }}))];
        for hospital in 0..self.hospitals as usize {
            let code = code(hospital);
            changes.push(put(json!({"change": "putHospital", "value": {
                "code": code, "name": format!("示例医院{hospital}"), "prefix": prefix(hospital),
            }})));
            let titles = [reader(hospital), scanner(hospital, 0), scanner(hospital, 1)];
            for ae in titles {
                changes.push(put(json!({"change": "putPeer", "value": {
                    "ae": ae, "host": "127.0.0.1", "port": 104, "services": ["worklist"], "hospitals": [code],
                }})));
            }
        }
        changes
    }

    /// Appends the rules, the registry and every form; the forms in their order.
    pub async fn load(&self, log: &dyn EventLog, rules: u32) -> Vec<Form> {
        let changes = self.changes();
        let mut registry = Registry::default();
        for change in changes.clone() {
            registry.apply(change);
        }
        let rules = Event::RulesActivated(RulesActivated { rules });
        let registered = Event::RegistryChanged(RegistryChanged { changes });
        let begin = [(rules, 1), (registered, 2)];
        let begin = begin.map(|(event, id)| record(&event, None, "operator:bench", id));
        log.append_all(begin.to_vec()).await.unwrap();
        let forms: Vec<Form> = (0..self.forms).map(|number| self.form(number)).collect();
        let (first, second) = forms.split_at(forms.len() / 2);
        let made = std::thread::scope(|scope| {
            let records = |forms: &[Form]| -> Vec<Bytes> {
                forms.iter().map(|form| form.record(&registry)).collect()
            };
            let other = scope.spawn(move || records(second));
            let mut made = records(first);
            made.extend(other.join().expect("forms are made"));
            made
        });
        for records in made.chunks(4_096) {
            log.append_all(records.to_vec()).await.unwrap();
        }
        forms
    }
}

fn code(hospital: usize) -> String {
    format!("35{:04}", hospital + 1)
}

fn prefix(hospital: usize) -> String {
    format!("{}", 7_000 + hospital)
}

impl Form {
    fn record(&self, registry: &Registry) -> Bytes {
        let (code, prefix) = (code(self.hospital), prefix(self.hospital));
        let mut document = SAMPLE.to_owned();
        for (old, new) in [
            ("code=\"350006\"", format!("code=\"{code}\"")),
            ("7173_00000001", format!("{prefix}_{}", self.apply_no)),
            ("7173_C0001", format!("{prefix}_{}", self.sick_id)),
            ("<CardNo>C0001<", format!("<CardNo>K{}<", self.sick_id)),
            ("肖萍", self.name.clone()),
            ("xiaoping", "-".to_owned()),
            // Pathology must have a sample, others may.
            ("<SampleNo></", "<SampleNo>1</".to_owned()),
            ("<SampleName></", "<SampleName>组织</".to_owned()),
            ("<ExamClass>CT<", format!("<ExamClass>{}<", self.class)),
            (
                "<Device>320排CT<",
                format!("<Device>{}<", self.station.as_deref().unwrap_or("320排CT")),
            ),
            (
                "<ScheduledTime/>",
                format!("<ScheduledTime>{}</ScheduledTime>", self.planned),
            ),
        ] {
            assert!(document.contains(old), "the sample has no {old}");
            document = document.replace(old, &new);
        }
        let document = xml::read(&document).unwrap();
        let parsed = parse(&document, FormContext { registry });
        let parsed = parsed.unwrap_or_else(|refused| panic!("a form is refused: {refused:?}"));
        let event = Event::ApplyFormReceived(ApplyFormReceived {
            hospital: parsed.hospital,
            source: FormSource::Soap,
            body: parsed.body,
        });
        let id = self
            .apply_no
            .trim_start_matches("SQ")
            .parse::<u64>()
            .unwrap()
            + 10;
        record(&event, Some(&code), "his:his", id)
    }
}
