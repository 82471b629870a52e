//! Events of a city, made from a seed: pushes as the edge makes them of JSON, and the facts of their instances.
//!
//! The same seed and number always give the same exam, so a bench knows what it can ask for without keeping a list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(dead_code)] // Each bench uses its part of it.

use bytes::Bytes;
use uuid::Uuid;
use yingku_core::contract::policy::ValidationPolicy;
use yingku_core::contract::push::{self, PushContext};
use yingku_core::dictionaries::{ClassAliases, Placeholders};
use yingku_core::envelope::{Cipher, Envelope};
use yingku_core::event::{Event, RULES_VERSION, RegistryChanged};
use yingku_core::ids::{AeTitle, HospitalCode, PackId, SeriesUid, SopInstanceUid, StudyUid, Uid};
use yingku_core::instance::facts::FACTS_VERSION;
use yingku_core::instance::{
    ImageFacts, InstanceFacts, InstancesStored, PatientFacts, SeriesFacts, SeriesGroup,
    StoredInstance, StudyFacts,
};
use yingku_core::registry::RegistryChange;
use yingku_storage::log::EventLog;

pub const HOSPITALS: [&str; 2] = ["350006", "350007"];
/// Exams whose instances travel in one record: what the archive gathers under load within its linger.
const EXAMS_OF_RECORD: u64 = 10;
/// Exams that are made before they are appended.
const BLOCK_EXAMS: u64 = 8_000;
/// Instances of one pack: 256 MiB of CT slices.
const PACK_INSTANCES: u64 = 512;
const INSTANCE_BYTES: u64 = 526_000;

const SURNAMES: [&str; 24] = [
    "王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙", "马", "朱", "胡", "郭",
    "何", "林", "高", "罗", "肖", "郑", "梁", "欧阳",
];
const PINYIN: [&str; 24] = [
    "Wang", "Li", "Zhang", "Liu", "Chen", "Yang", "Huang", "Zhao", "Wu", "Zhou", "Xu", "Sun", "Ma",
    "Zhu", "Hu", "Guo", "He", "Lin", "Gao", "Luo", "Xiao", "Zheng", "Liang", "Ouyang",
];
const GIVEN: [(&str, &str); 20] = [
    ("萍", "Ping"),
    ("伟", "Wei"),
    ("芳", "Fang"),
    ("娜", "Na"),
    ("秀英", "Xiuying"),
    ("敏", "Min"),
    ("静", "Jing"),
    ("丽", "Li"),
    ("强", "Qiang"),
    ("磊", "Lei"),
    ("军", "Jun"),
    ("洋", "Yang"),
    ("勇", "Yong"),
    ("艳", "Yan"),
    ("杰", "Jie"),
    ("娟", "Juan"),
    ("涛", "Tao"),
    ("明", "Ming"),
    ("超", "Chao"),
    ("桂兰", "Guilan"),
];
/// Class, DICOM modality, SOP class, description, rows and columns.
const CLASSES: [(&str, &str, &str, &str, u32); 4] = [
    ("CT", "CT", "1.2.840.10008.5.1.4.1.1.2", "胸部CT平扫", 512),
    ("MR", "MR", "1.2.840.10008.5.1.4.1.1.4", "头颅MR平扫", 320),
    (
        "DR",
        "DX",
        "1.2.840.10008.5.1.4.1.1.1.1",
        "胸部正位片",
        2048,
    ),
    ("CT", "CT", "1.2.840.10008.5.1.4.1.1.2", "上腹部CT增强", 512),
];

/// Numbers from a number (SplitMix64).
pub fn mix(seed: u64, lane: u64) -> u64 {
    let mut z = seed.wrapping_add(lane.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What is to be made.
#[derive(Clone, Copy)]
pub struct City {
    pub seed: u64,
    pub exams: u64,
    pub instances_of_exam: u64,
}

/// One exam; everything follows from its number.
pub struct Exam {
    pub number: u64,
    pub hospital: &'static str,
    person: u64,
    dice: u64,
    instances: u64,
}

impl City {
    pub fn exam(&self, number: u64) -> Exam {
        let dice = mix(self.seed, number);
        Exam {
            number,
            hospital: HOSPITALS[usize::from(dice % 4 == 3)],
            // Every third exam is a known patient's.
            person: if number % 3 == 2 { number / 2 } else { number },
            dice,
            instances: self.instances_of_exam,
        }
    }

    /// Appends the registry's events and every exam with its instances. The number of records.
    pub async fn load(&self, log: &dyn EventLog) -> u64 {
        let mut records = vec![registry_event()];
        let mut appended = 0;
        let mut from = 0;
        while from < self.exams {
            let to = (from + BLOCK_EXAMS).min(self.exams);
            let middle = (from + to) / 2 / EXAMS_OF_RECORD * EXAMS_OF_RECORD;
            let middle = middle.max(from);
            let [first, second] = std::thread::scope(|scope| {
                let first = scope.spawn(|| self.block(from, middle));
                let second = self.block(middle, to);
                [first.join().expect("a block is made"), second]
            });
            // Pushes before their instances, as the contract has it.
            for (pushes, _) in [&first, &second] {
                records.extend(pushes.iter().cloned());
            }
            for (_, stored) in [&first, &second] {
                records.extend(stored.iter().cloned());
            }
            appended += records.len() as u64;
            log.append_all(std::mem::take(&mut records))
                .await
                .expect("the log takes them");
            from = to;
        }
        appended
    }

    fn block(&self, from: u64, to: u64) -> (Vec<Bytes>, Vec<Bytes>) {
        let pushes = (from..to).map(|n| self.exam(n).push_record()).collect();
        let mut stored = Vec::new();
        let mut at = from;
        while at < to && self.instances_of_exam > 0 {
            let end = (at + EXAMS_OF_RECORD).min(to);
            stored.push(self.stored_record(at, end));
            at = end;
        }
        (pushes, stored)
    }

    fn stored_record(&self, from: u64, to: u64) -> Bytes {
        let event = Event::InstancesStored(InstancesStored {
            facts_version: FACTS_VERSION,
            pack: PackId::new(0, 1 + from * self.instances_of_exam / PACK_INSTANCES),
            groups: (from..to).map(|n| self.exam(n).group()).collect(),
        });
        record(&event, None, "node:0", mix(self.seed ^ 1, from))
    }
}

pub fn registry_event() -> Bytes {
    let hospital = |code: &str, prefix: &str| {
        serde_json::from_value(
            serde_json::json!({"code": code, "name": "示例医院", "prefix": prefix}),
        )
        .unwrap()
    };
    let event = Event::RegistryChanged(RegistryChanged {
        changes: vec![
            RegistryChange::PutHospital(hospital(HOSPITALS[0], "7173")),
            RegistryChange::PutHospital(hospital(HOSPITALS[1], "7174")),
        ],
    });
    record(&event, None, "operator:bench", 1)
}

pub fn record(event: &Event, hospital: Option<&str>, actor: &str, id: u64) -> Bytes {
    let (kind, version) = event.kind();
    let body = event.encode_body().unwrap();
    Envelope {
        id: Uuid::from_u64_pair(0x0190_0000_0000_7000 | id >> 52, id),
        kind,
        version,
        rules: RULES_VERSION,
        cipher: Cipher::None,
        key_id: 0,
        hospital: hospital.map(|code| HospitalCode::new(code).unwrap()),
        actor,
        body: &body,
    }
    .encode()
    .unwrap()
    .into()
}

impl Exam {
    fn class(&self) -> (&'static str, &'static str, &'static str, &'static str, u32) {
        CLASSES[(self.dice >> 8) as usize % CLASSES.len()]
    }

    /// Month, day, minute of the day: a year of exams.
    fn when(&self) -> (u64, u64, u64) {
        let day = (self.dice >> 16) % 336;
        (1 + day / 28, 1 + day % 28, 480 + (self.dice >> 32) % 600)
    }

    fn name(&self) -> (String, String) {
        let dice = mix(77, self.person);
        let surname = dice as usize % SURNAMES.len();
        let (given, pinyin) = GIVEN[(dice >> 8) as usize % GIVEN.len()];
        (
            format!("{}^{given}", SURNAMES[surname]),
            format!("{}^{pinyin}", PINYIN[surname]),
        )
    }

    fn sex(&self) -> (&'static str, &'static str) {
        [("女", "F"), ("男", "M")][(mix(78, self.person) % 2) as usize]
    }

    fn birth(&self) -> (u64, u64, u64) {
        let dice = mix(79, self.person);
        (
            1930 + dice % 90,
            1 + (dice >> 8) % 12,
            1 + (dice >> 16) % 28,
        )
    }

    pub fn exam_no(&self) -> String {
        format!("E2026{:09}", self.number)
    }

    pub fn patient_id(&self) -> String {
        format!("{}{:08}", self.class().0, self.number)
    }

    pub fn accession_no(&self) -> String {
        format!("A{:010}", self.number)
    }

    pub fn study_uid(&self) -> String {
        let (month, day, minute) = self.when();
        format!(
            "1.2.840.113619.2.{}.3.2831164{:03}.2026{month:02}{day:02}{minute:04}.{}",
            50 + self.dice % 8,
            (self.dice >> 40) % 1000,
            self.number
        )
    }

    /// The push as a vendor writes it.
    pub fn json(&self) -> String {
        let (class, modality, _, item, _) = self.class();
        let (month, day, minute) = self.when();
        let (hour, minute) = (minute / 60, minute % 60);
        let (year_b, month_b, day_b) = self.birth();
        let name = self.name().0.replace('^', "");
        let sex = self.sex().0;
        let (n, person, hospital) = (self.number, self.person, self.hospital);
        let (patient_id, study_uid, accession_no) =
            (self.patient_id(), self.study_uid(), self.accession_no());
        // The contract counts up to four digits.
        let images = self.instances.clamp(1, 9_999);
        format!(
            r#"{{"examNo":"{}","hospitalCode":"{hospital}","patientInfo":{{"sickId":"C{person:08}","cardNo":"K{person:09}","miCard":"MI{person:08}","patientSource":"门诊","outPatientNo":"O{n:09}","name":"{name}","sex":"{sex}","age":"46岁","birthDate":"{year_b}-{month_b:02}-{day_b:02}","phoneNumber":"136{:08}","nationality":"中国","nation":"汉族","maritalStatus":"1","chargeType":"0","identity":[{{"idType":"1","idName":"居民身份证","idNumber":"350100{year_b}{month_b:02}{day_b:02}{:04}"}}]}},"examInfo":{{"applyNo":"SQ{n:010}","patientID":"{patient_id}","examStatus":"70","examTime":"2026-{month:02}-{day:02} {hour:02}:{minute:02}:32","examClass":"{class}","examSubClass":"胸部","device":"320排CT","examItemList":[{{"itemCode":"001","itemName":"{item}","itemCost":"153.45","itemCharge":"153.45","orderNo":"{n}"}}],"examOrganList":[{{"organName":"胸部"}}],"reqHospitalCode":"{hospital}","reqHospitalName":"示例县医院","reqDeptCode":"0006","reqDeptName":"呼吸科","reqPhysicianCode":"C939","reqPhysicianName":"王医生","reqTime":"2026-{month:02}-{day:02} 07:30:00","clinSymp":"胸闷","clinDiag":"待查","cost":"153.45","charge":"153.45","chargeFlag":"1"}},"reportList":[{{"reportNo":"R{n:010}","category":[{{"caType":"ICD-10","caCode":"J18.9","caName":"肺炎"}}],"description":"右肺下叶见片状高密度影，边界模糊，其内可见支气管充气征；纵隔居中，未见肿大淋巴结。编号{n}。","impression":"右肺下叶炎症。","recommendation":"治疗后复查。","abNormalFlag":"1","reporter":"李医生","reportTime":"2026-{month:02}-{day:02} 19:30:00","affirmReporter":"陈主任","affirmTime":"2026-{month:02}-{day:02} 20:00:00"}}],"imageList":[{{"imageType":"DICOM","imageCount":"{images}","modality":"{modality}","patientID":"{patient_id}","studyUID":"{study_uid}","accessionNo":"{accession_no}"}}]}}"#,
            self.exam_no(),
            person % 100_000_000,
            person % 10_000,
        )
    }

    pub fn push_event(&self) -> Event {
        let context = PushContext {
            policy: &ValidationPolicy::default(),
            aliases: &ClassAliases::default(),
            placeholders: &Placeholders::default(),
        };
        let parsed = push::parse(self.json().as_bytes(), None, context)
            .unwrap_or_else(|refused| panic!("the template is refused: {refused:?}"));
        Event::ExamPushed(parsed.body)
    }

    fn push_record(&self) -> Bytes {
        record(
            &self.push_event(),
            Some(self.hospital),
            "app:demo-pacs",
            self.dice,
        )
    }

    pub fn patient(&self) -> PatientFacts {
        let (name, pinyin) = self.name();
        let (year, month, day) = self.birth();
        PatientFacts {
            name: format!("{pinyin}={name}"),
            id: self.patient_id(),
            birth_date: format!("{year}{month:02}{day:02}"),
            sex: self.sex().1.to_owned(),
        }
    }

    fn study(&self) -> StudyFacts {
        let (month, day, minute) = self.when();
        StudyFacts {
            date: format!("2026{month:02}{day:02}"),
            time: format!("{:02}{:02}32", minute / 60, minute % 60),
            accession_no: self.accession_no(),
            id: self.number.to_string(),
            description: self.class().3.to_owned(),
            referring_physician: "王医生".to_owned(),
            patient_age: "046Y".to_owned(),
            institution: "示例县医院".to_owned(),
        }
    }

    fn series(&self) -> SeriesFacts {
        let (month, day, minute) = self.when();
        SeriesFacts {
            modality: self.class().1.to_owned(),
            number: "2".to_owned(),
            description: "Chest 5.0 B31f".to_owned(),
            date: format!("2026{month:02}{day:02}"),
            time: format!("{:02}{:02}41", minute / 60, minute % 60),
            body_part: "CHEST".to_owned(),
            protocol: "5.1 Chest Routine".to_owned(),
            station: format!("CT{}", self.dice % 8),
            manufacturer: "GE MEDICAL SYSTEMS".to_owned(),
            laterality: String::new(),
        }
    }

    fn image(&self, index: u64) -> ImageFacts {
        let (_, _, sop_class, _, side) = self.class();
        ImageFacts {
            sop_instance: SopInstanceUid::new(format!("{}.2.{}", self.study_uid(), index + 1))
                .unwrap(),
            sop_class: Uid::new(sop_class).unwrap(),
            transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
            number: (index + 1).to_string(),
            rows: side,
            columns: side,
            bits_allocated: 16,
            frames: 1,
        }
    }

    /// Facts of one instance as the header scan reads them.
    pub fn instance(&self, index: u64) -> InstanceFacts {
        InstanceFacts {
            study_uid: StudyUid::new(self.study_uid()).unwrap(),
            series_uid: SeriesUid::new(format!("{}.2", self.study_uid())).unwrap(),
            patient: self.patient(),
            study: self.study(),
            series: self.series(),
            image: self.image(index),
        }
    }

    pub fn digest(&self, index: u64) -> [u8; 16] {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&mix(self.dice, 2 * index).to_le_bytes());
        digest[8..].copy_from_slice(&mix(self.dice, 2 * index + 1).to_le_bytes());
        digest
    }

    fn group(&self) -> SeriesGroup {
        self.series_group(0..self.instances)
    }

    /// Some of its instances as they are recorded.
    pub fn series_group(&self, indices: std::ops::Range<u64>) -> SeriesGroup {
        let first = self.number * self.instances % PACK_INSTANCES;
        SeriesGroup {
            hospital: HospitalCode::new(self.hospital).unwrap(),
            sender: AeTitle::new(format!("CT{}", self.dice % 8)).unwrap(),
            study_uid: StudyUid::new(self.study_uid()).unwrap(),
            series_uid: SeriesUid::new(format!("{}.2", self.study_uid())).unwrap(),
            patient: self.patient(),
            study: self.study(),
            series: self.series(),
            instances: indices
                .map(|index| StoredInstance {
                    image: self.image(index),
                    offset: 4096 + (first + index) * (INSTANCE_BYTES + 700),
                    length: INSTANCE_BYTES + mix(self.dice, 1000 + index) % 500,
                    digest: self.digest(index),
                })
                .collect(),
        }
    }
}
