//! What an index leads to, and what a look at every study finds: the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position, SeriesUid, StudyKey, StudyUid};
use yingku_core::instance::{
    Claim, Numbers, PatientFacts, SeriesFacts, SeriesRow, StudyClaims, StudyFacts, StudyRow,
    TakenFor,
};
use yingku_core::registry::{Registry, RegistryChange, Scope};
use yingku_core::state::{Changes, Replaced};
use yingku_storage::views::studies::StudySelector;
use yingku_storage::views::{BatchState, Cursor, Views, Walk};

use super::query::Query;
use crate::dataset::{DataSetWriter, Identifier};
use crate::text::{CharacterSet, Undeclared};

const STUDIES: u32 = 400;
const QUERIES: u32 = 4_000;
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

const NUMBERS: [&str; 8] = ["", "A1", "A1\\A2", "A10", "a1", "A1 B", "ZZZ", "B*"];
const NAMES: [&str; 8] = [
    "",
    "Zhang^San=张^三",
    "LI^AN",
    "Lian",
    "张小东",
    "=王^小东",
    "A=B=C=D",
    "Li^^An",
];
const DATES: [&str; 6] = [
    "",
    "20260304",
    "2026.03.04",
    "202612",
    "20261231",
    "unknown",
];

const NUMBER_KEYS: [&str; 14] = [
    "", "*", "A1", "A1\\ZZZ", "A1*\\ZZZ", "A*", "A?", "\\", "A2", " A1 ", "B*", "A1 B", "?*",
    "A2\\A1",
];
const NAME_KEYS: [&str; 18] = [
    "",
    "*",
    "LI^AN",
    "lian",
    "li*",
    "张*",
    "张^三",
    "*三",
    "^",
    "=张*",
    "LI^*\\张*",
    "zhang=张",
    "?i*",
    "王小东",
    "Zhang^San=*三",
    "a=d",
    "zhang^san\\Lian",
    "li?an",
];
const DATE_KEYS: [&str; 14] = [
    "",
    "*",
    "20260304",
    "2026",
    "-202612",
    "202601-202612",
    "-",
    "garbage",
    "20260304\\20261231",
    "2026.03.04",
    "20261201-",
    "2026*",
    "20261231-20260101",
    "202603-202603\\x",
];
const UID_KEYS: [&str; 6] = ["", "", "1.2.1\\1.2.2\\1.2.1", "1.2.x", "*", "1.2.999999"];

struct House {
    views: Views,
    registry: Arc<Registry>,
    random: StdRng,
    _folder: tempfile::TempDir,
}

fn study(number: u32) -> StudyKey {
    let uid = StudyUid::new(format!("1.2.{number}")).unwrap();
    StudyKey::new(HospitalCode::new("350006").unwrap(), uid)
}

/// Claimed by an exam of a hospital that compares study UIDs only.
fn claims(key: &StudyKey) -> StudyClaims {
    let exam = ExamKey {
        hospital: key.hospital.clone(),
        exam_no: ExamNo::new("E1").unwrap(),
        generation: 0,
    };
    let claim = Claim {
        exam,
        position: Position(0),
        sick_id: String::new(),
        patient_id: String::new(),
        accession_no: None,
        released: false,
        trial: false,
    };
    StudyClaims {
        claims: vec![claim],
        holders: vec![key.hospital.clone()],
        ..StudyClaims::default()
    }
}

impl House {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        let hospital = json!({"code": "350006", "name": "示例医院", "matching": "study"});
        let hospital = RegistryChange::PutHospital(serde_json::from_value(hospital).unwrap());
        let mut state = BatchState::new(&views, Arc::new(Registry::default()));
        let registry = vec![hospital];
        state
            .apply(Changes {
                registry,
                ..Changes::default()
            })
            .unwrap();
        let (registry, _) = state.commit(&Cursor::default()).unwrap();
        Self {
            views,
            registry,
            random: StdRng::seed_from_u64(seed),
            _folder: folder,
        }
    }

    fn pick(&mut self, from: &[&str]) -> String {
        (*from.choose(&mut self.random).unwrap()).to_owned()
    }

    fn row(&mut self, number: u32) -> StudyRow {
        let series = SeriesRow {
            uid: SeriesUid::new("1.2.3").unwrap(),
            facts: SeriesFacts::default(),
            chunks: 1,
            instances: 1,
            images: 1,
            frames: 1,
            classes: Vec::new(),
        };
        // Some have two forms.
        let also = match self.random.gen_bool(0.3) {
            true => vec![Numbers {
                patient_id: self.pick(&NUMBERS),
                accession_no: self.pick(&NUMBERS),
            }],
            false => Vec::new(),
        };
        StudyRow {
            key: study(number),
            taken_for: claims(&study(number)).claims.first().map(TakenFor::of),
            first_position: Position(0),
            first_time_ms: 0,
            last_time_ms: 0,
            patient: PatientFacts {
                name: self.pick(&NAMES),
                id: self.pick(&NUMBERS),
                ..PatientFacts::default()
            },
            study: StudyFacts {
                date: self.pick(&DATES),
                accession_no: self.pick(&NUMBERS),
                ..StudyFacts::default()
            },
            ruled_for: None,
            hides: Vec::new(),
            came_as: Vec::new(),
            guests: Vec::new(),
            other_persons: Vec::new(),
            also,
            given: None,
            series: vec![series],
            bytes: 0,
            counted: None,
        }
    }

    /// Writes a study, in place of the one before.
    fn put(&mut self, before: Option<StudyRow>, row: &StudyRow) {
        let mut changes = Changes::default();
        let key = row.key.clone();
        changes.claims.insert(key.study.clone(), claims(&key));
        let after = Some(row.clone());
        changes
            .studies
            .insert(key, Box::new(Replaced { before, after }));
        let mut state = BatchState::new(&self.views, Arc::clone(&self.registry));
        state.apply(changes).unwrap();
        state.commit(&Cursor::default()).unwrap();
    }

    fn query(&mut self) -> Query {
        let mut keys = DataSetWriter::new();
        keys.put(tags::QUERY_RETRIEVE_LEVEL, "STUDY");
        for (tag, from) in [
            (tags::STUDY_INSTANCE_UID, UID_KEYS.as_slice()),
            (tags::ACCESSION_NUMBER, NUMBER_KEYS.as_slice()),
            (tags::PATIENT_ID, NUMBER_KEYS.as_slice()),
            (tags::PATIENT_NAME, NAME_KEYS.as_slice()),
            (tags::STUDY_DATE, DATE_KEYS.as_slice()),
        ] {
            // Few keys at a time, so that each index is the one that leads.
            if self.random.gen_bool(0.3) {
                keys.put(tag, self.pick(from));
            }
        }
        let bytes = keys.encode(EXPLICIT, &CharacterSet::utf8());
        let keys = Identifier::decode(&bytes, EXPLICIT, Undeclared::Gb18030).unwrap();
        let model = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
        let query = Query::new(model, keys);
        query.unwrap_or_else(|denied| panic!("{}", denied.comment))
    }

    fn found(&self, query: &Query, selector: &StudySelector) -> Vec<StudyKey> {
        let mut found = Vec::new();
        self.views
            .visit_studies(&self.registry, selector, &|| false, &mut |row| {
                if query.meeting(&Scope::all(), &row).is_some() {
                    found.push(row.key);
                }
                Walk::On
            })
            .unwrap();
        found.sort();
        found
    }
}

#[test]
fn every_index_leads_to_what_a_look_at_every_study_finds() {
    // Given studies, half of which have other attributes by now than they came with
    let mut house = House::new(7);
    for number in 0..STUDIES {
        let row = house.row(number);
        house.put(None, &row);
        if number % 2 == 0 {
            let now = house.row(number);
            house.put(Some(row), &now);
        }
    }
    let (mut matches, mut indexed) = (0, 0);
    for _ in 0..QUERIES {
        // When something is asked
        let query = house.query();
        let selector = query.selector();
        // Then the index finds each study once that meets the keys, and no other
        let found = house.found(&query, &selector);
        let expected = house.found(&query, &StudySelector::All);
        assert_eq!(found, expected, "{:?} by {selector:?}", query.values());
        matches += found.len();
        indexed += usize::from(selector != StudySelector::All);
    }
    assert!(matches > 0 && indexed > QUERIES as usize / 2);
}

impl Query {
    fn values(&self) -> Vec<(String, String)> {
        let value = |tag| self.keys.get(tag).unwrap_or_default().to_owned();
        let tags = self.keys.tags();
        tags.map(|tag| (crate::dataset::keyword_of(tag), value(tag)))
            .collect()
    }
}
