//! What lines lead to, and what a look at every form finds: the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use yingku_core::apply_form::{FormContent, FormSource};
use yingku_core::contract::apply_form::Coded;
use yingku_core::ids::{Position, StudyUid};
use yingku_core::registry::{RegistryChange, Scope};
use yingku_core::state::{Changes, Replaced};
use yingku_storage::views::{BatchState, Cursor};

use super::super::question::Question;
use super::*;
use crate::dataset::{DataSetWriter, Nested};
use crate::scp::quota::Quota;
use crate::text::{CharacterSet, Undeclared};

const FORMS: u32 = 300;
const QUESTIONS: u32 = 1_500;
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const MEMORY: u64 = 1 << 30;

const NAMES: [(&str, &str); 9] = [
    ("张小东", ""),
    ("张小", "zhang xiao"),
    ("欧阳修", "ou yang xiu"),
    ("单雄信", ""),
    ("买买提·艾力", "maimaiti aili"),
    ("Lian", ""),
    ("LI AN", ""),
    ("李an", "li^an"),
    ("", ""),
];
const CLASSES: [&str; 8] = [
    "CT",
    "ct检查",
    "DR",
    "CR",
    "放射",
    "磁共振",
    "骨密度",
    "CT ",
];
const TIMES: [&str; 6] = [
    "2026-07-03 23:59:59",
    "2026-07-04 00:00:00",
    "2026-07-04 10:30:00",
    "2026-07-05 08:00:00",
    "2026-12-31 12:00:00",
    "",
];
const DEVICES: [&str; 4] = ["", "CT01", "CT02", "320排CT"];
const NUMBERS: [&str; 4] = ["", "P1", "P10", "p1"];

const NAME_KEYS: [&str; 22] = [
    "",
    "*",
    "张*",
    "张小东",
    "张^小东",
    "*东",
    "ZHANG*",
    "zhang^xiao*",
    "zhang^xiao",
    "?i*",
    "li*",
    "LI^AN",
    "lian",
    "^",
    "li an=李*",
    "ZHANG*=张*",
    "ouyang*\\张小东",
    "李*\\*an",
    "maimaiti aili",
    "买买提*",
    "O*Y*\\单",
    "欧?修",
];
const DATE_KEYS: [&str; 10] = [
    "",
    "*",
    "20260704",
    "20260704-",
    "-20260704",
    "20260703-20260705",
    "202607",
    "garbage",
    "20260703\\20261231",
    "-",
];
const TIME_KEYS: [&str; 6] = ["", "*", "10-11", "000000-103000", "-0900", "103000"];
const MODALITY_KEYS: [&str; 7] = ["", "CT", "MR", "CR", "CT\\DX", "O*", "XX"];
const STATION_KEYS: [&str; 5] = ["", "CT01", "CT*", "CT02\\CT03", "ASKER"];
const NUMBER_KEYS: [&str; 5] = ["", "", "P1", "P1*", "P10\\p1"];

struct House {
    views: Views,
    registry: Arc<Registry>,
    random: StdRng,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn code() -> HospitalCode {
    HospitalCode::new("350006").unwrap()
}

impl House {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        let put = |value| serde_json::from_value::<RegistryChange>(value).unwrap();
        let peer =
            |ae| put(json!({"change": "putPeer", "value": {"ae": ae, "host": "h", "port": 104}}));
        let hospital = json!({"code": "350006", "name": "示例医院"});
        let registry = vec![
            put(json!({"change": "putHospital", "value": hospital})),
            peer("CT01"),
            peer("CT02"),
        ];
        let mut state = BatchState::new(&views, Arc::new(Registry::default()));
        let rules = Some(OPEN_FORMS_SINCE_RULES);
        let changes = Changes {
            registry,
            rules,
            ..Changes::default()
        };
        state.apply(changes).unwrap();
        let (registry, _) = state.commit(&Cursor::default()).unwrap();
        Self {
            views,
            registry,
            random: StdRng::seed_from_u64(seed),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            _folder: folder,
        }
    }

    fn pick(&mut self, from: &[&str]) -> String {
        (*from.choose(&mut self.random).unwrap()).to_owned()
    }

    fn row(&mut self, number: u32) -> ApplyFormRow {
        let (name, phonetic) = *NAMES.choose(&mut self.random).unwrap();
        let content = FormContent {
            sick_id: self.pick(&NUMBERS),
            sick_spelling: String::new(),
            name: name.to_owned(),
            phonetic: phonetic.to_owned(),
            sex: self.pick(&["男", "女"]),
            birth_date: String::new(),
            patient_class: Coded::default(),
            card_no: String::new(),
            inpatient_no: String::new(),
            outpatient_no: String::new(),
            exam_class: self.pick(&CLASSES),
            priority: String::new(),
            reason: String::new(),
            ward: String::new(),
            bed_no: String::new(),
            items: Vec::new(),
            organs: Vec::new(),
            device: self.pick(&DEVICES),
            perform_dept: Coded::default(),
            technician: String::new(),
            req_dept: Coded::default(),
            req_physician: Coded::default(),
            req_time: self.pick(&TIMES),
            scheduled_time: self.pick(&TIMES),
            other_cards: Vec::new(),
        };
        ApplyFormRow {
            key: FormKey {
                hospital: code(),
                apply_no: format!("A{number}"),
                generation: 0,
            },
            position: Position(1),
            time_ms: 1,
            first_position: Position(1),
            first_time_ms: 1,
            versions: vec![Position(1)],
            digest: [0; 16],
            source: FormSource::Soap,
            spelling: format!("A{number}"),
            deleted: self.random.gen_bool(0.1).then_some((Position(1), 1)),
            taken: self.random.gen_bool(0.1),
            steps: Vec::new(),
            test: self.random.gen_bool(0.05),
            study_uid: StudyUid::new(format!("1.2.{number}")).unwrap(),
            came_on: "2026-07-04".to_owned(),
            content,
        }
    }

    fn put(&mut self, before: Option<ApplyFormRow>, after: &ApplyFormRow) {
        let mut changes = Changes::default();
        let after = Some(after.clone());
        let key = after.as_ref().unwrap().key.clone();
        let replaced = Box::new(Replaced { before, after });
        changes.apply_forms.insert(key, replaced);
        let mut state = BatchState::new(&self.views, Arc::clone(&self.registry));
        state.apply(changes).unwrap();
        state.commit(&Cursor::default()).unwrap();
    }

    fn keys(&mut self) -> Vec<u8> {
        let (mut root, mut step) = (DataSetWriter::new(), DataSetWriter::new());
        root.put(tags::ACCESSION_NUMBER, "");
        // Few keys at a time, so that each kind of line is the one that leads.
        let put = |house: &mut Self, to: &mut DataSetWriter, tag: Tag, from: &[&str]| {
            if house.random.gen_bool(0.4) {
                to.put(tag, house.pick(from));
            }
        };
        put(self, &mut root, tags::PATIENT_NAME, &NAME_KEYS);
        put(self, &mut root, tags::PATIENT_SEX, &["", "M", "F"]);
        put(self, &mut root, tags::PATIENT_ID, &NUMBER_KEYS);
        put(self, &mut step, tags::MODALITY, &MODALITY_KEYS);
        put(
            self,
            &mut step,
            tags::SCHEDULED_STATION_AE_TITLE,
            &STATION_KEYS,
        );
        put(
            self,
            &mut step,
            tags::SCHEDULED_PROCEDURE_STEP_START_DATE,
            &DATE_KEYS,
        );
        put(
            self,
            &mut step,
            tags::SCHEDULED_PROCEDURE_STEP_START_TIME,
            &TIME_KEYS,
        );
        root.put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step]);
        root.encode(EXPLICIT, &CharacterSet::utf8())
    }

    /// The numbers of the forms that are answered when `search` does so.
    fn answered(
        &self,
        keys: &[u8],
        registry: &Registry,
        search: impl FnOnce(Search<'_>) -> Result<End, ViewsError>,
    ) -> Vec<String> {
        let (keys, charset) = Nested::decode(keys, EXPLICIT, Undeclared::Gb18030).unwrap();
        let question = Question::new(keys).unwrap_or_else(|denied| panic!("{}", denied.comment));
        let asked = Asked {
            question,
            scope: Scope::all(),
            calling: "ASKER".to_owned(),
            transfer_syntax: EXPLICIT.to_owned(),
            charset,
        };
        let (answers, mut received) = Answers::with(Quota::new(MEMORY, MEMORY), "ASKER".into());
        let taken = std::thread::spawn(move || {
            let mut taken = Vec::new();
            while let Some(batch) = received.blocking_recv() {
                taken.extend(batch.data_sets());
            }
            taken
        });
        let _within = self.runtime.enter();
        let end = search(Search::new(&self.views, registry, asked, answers)).unwrap();
        assert_eq!(end, End::Whole);
        let number = |bytes: Vec<u8>| {
            let (answer, _) = Nested::decode(&bytes, EXPLICIT, Undeclared::Gb18030).unwrap();
            answer.text(tags::ACCESSION_NUMBER).to_owned()
        };
        let mut numbers: Vec<String> = taken.join().unwrap().into_iter().map(number).collect();
        numbers.sort();
        numbers
    }
}

fn by_index(search: Search<'_>) -> Result<End, ViewsError> {
    search.run()
}

/// Looks at every form of the hospital.
fn by_all(mut search: Search<'_>) -> Result<End, ViewsError> {
    let (views, registry) = (search.views, search.registry);
    let (code, hospital) = registry.hospitals.first_key_value().unwrap();
    let place = Place::of(code, hospital);
    views.visit_apply_forms(code, &mut |row| search.form(&row, place))?;
    search.answers.hand_over();
    Ok(search.end)
}

#[test]
fn lines_lead_to_what_a_look_at_every_form_finds() {
    // Given forms, half of which are others by now than they came, open or not
    let mut house = House::new(7);
    for number in 0..FORMS {
        let row = house.row(number);
        house.put(None, &row);
        if number % 2 == 0 {
            let now = house.row(number);
            house.put(Some(row), &now);
        }
    }
    let registry = Arc::clone(&house.registry);
    let earlier = Registry {
        rules: OPEN_FORMS_SINCE_RULES - 1,
        ..(*registry).clone()
    };
    let mut matches = 0;
    for _ in 0..QUESTIONS {
        // When something is asked
        let keys = house.keys();
        // Then the lines lead to each form once that meets the keys, and to no other
        let expected = house.answered(&keys, &registry, by_all);
        assert_eq!(house.answered(&keys, &registry, by_index), expected);
        // And so did the days alone, before there were lines
        assert_eq!(house.answered(&keys, &earlier, by_index), expected);
        matches += expected.len();
    }
    assert!(matches > QUESTIONS as usize);
}

#[test]
fn a_name_s_beginning_leads_unless_days_lead_to_less() {
    let beginnings = |name: &str, day: &str| {
        let (mut root, mut step) = (DataSetWriter::new(), DataSetWriter::new());
        root.put(tags::PATIENT_NAME, name);
        step.put(tags::SCHEDULED_PROCEDURE_STEP_START_DATE, day);
        root.put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step]);
        let keys = root.encode(EXPLICIT, &CharacterSet::utf8());
        let (keys, _) = Nested::decode(&keys, EXPLICIT, Undeclared::Gb18030).unwrap();
        let question = Question::new(keys).unwrap_or_else(|denied| panic!("{}", denied.comment));
        question.name_beginnings().map(|it| it.join(" "))
    };
    for (name, day, expected) in [
        ("张*", "", Some("张")),
        ("ZHANG^X*\\李四", "", Some("zhangx 李四")),
        ("ZH*=张小*", "", Some("张小")),
        ("张小东", "20260704", Some("张小东")),
        ("张*", "20260704-", Some("张")),
        ("张*", "20260704", None),
        ("*东", "", None),
        ("张*\\*东", "", None),
        ("", "", None),
        ("^", "", None),
    ] {
        assert_eq!(beginnings(name, day).as_deref(), expected, "{name} {day}");
    }
}
