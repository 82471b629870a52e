//! Seeded random histories: views against [`super::recount`], replay against replay.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use yingku_core::contract::push::{ExamPushedBody, Flags};
use yingku_core::correction::{CorrectionAction, CorrectionMade};
use yingku_core::envelope::{Cipher, Envelope};
use yingku_core::event::{
    DeclaredRow, DetailDeclared, DetailRow, Event, HoldExpired, InstancesRefused, RegistryChanged,
    StatisticsDeclared,
};
use yingku_core::ids::{
    AeTitle, ExamKey, ExamNo, HospitalCode, PackId, Position, SeriesUid, SopInstanceUid, StudyKey,
    StudyUid, Uid,
};
use yingku_core::instance::{
    ImageFacts, InstancesStored, PatientFacts, SeriesFacts, SeriesGroup, StoredInstance,
    StudyFacts, is_image_class,
};
use yingku_core::refusal::{RefusalReason, RefusedInstances};
use yingku_core::registry::{Registry, RegistryChange};
use yingku_core::time::LocalDate;

use super::reconcile::{Question, reconcile};
use super::recount::{COUNTS, Recount, Tally, tally_of};
use super::studies::StudySelector;
use super::{Cursor, Views, Walk};
use crate::log::{EventLog, MemoryLog};
use crate::projector::{self, Batch, Decoded};

const HOSPITALS: [&str; 3] = ["350006", "350007", "350008"];
const CLASSES: [&str; 5] = ["CT", "DR", "CR", "磁共振", "骨密度"];
const DATES: [&str; 3] = ["2026-07-03", "2026-07-04", "2026-07-05"];
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const SR: &str = "1.2.840.10008.5.1.4.1.1.88.11";

/// Makes one history: few exams and studies, so that everything meets everything.
struct Generator {
    random: StdRng,
    events: Vec<(String, Event)>,
    offset: u64,
}

fn hospital(code: &str, mode: &str) -> RegistryChange {
    let json = json!({"code": code, "name": format!("医院{code}"), "mode": mode, "hold_days": 3});
    RegistryChange::PutHospital(serde_json::from_value(json).unwrap())
}

fn registered(changes: Vec<RegistryChange>) -> Event {
    Event::RegistryChanged(RegistryChanged { changes })
}

fn correction(action: CorrectionAction) -> Event {
    Event::CorrectionMade(CorrectionMade {
        action,
        reason: "示例".to_owned(),
        author: "tester".to_owned(),
    })
}

/// Person of an exam: two exams of a hospital are one person's.
fn person(exam: u32) -> (String, String) {
    (format!("S{}", exam / 2), format!("王{}", exam / 2))
}

impl Generator {
    fn history(seed: u64, length: usize) -> Vec<(String, Event)> {
        let mut generator = Self {
            random: StdRng::seed_from_u64(seed),
            events: Vec::new(),
            offset: 0,
        };
        generator.events.push((
            "operator:o".to_owned(),
            registered(vec![
                hospital(HOSPITALS[0], "live"),
                hospital(HOSPITALS[1], "live"),
                hospital(HOSPITALS[2], "test"),
            ]),
        ));
        while generator.events.len() < length {
            let event = match generator.random.gen_range(0..100) {
                0..=44 => generator.push(),
                45..=74 => generator.instances(),
                75..=77 => generator.declaration(),
                78..=80 => generator.detail(),
                81..=85 => generator.refusal(),
                86..=96 => generator.correction(),
                97..=98 => generator.expiry(),
                _ if generator.random.gen_bool(0.1) => {
                    registered(vec![hospital(HOSPITALS[2], "live")])
                }
                _ => generator.push(),
            };
            let app = generator.random.gen_bool(0.5);
            let actor = if app { "app:demo-pacs" } else { "operator:o" };
            generator.events.push((actor.to_owned(), event));
            // At least once: some records come again, at once or much later.
            if generator.random.gen_bool(0.1) {
                let known = generator.events.len();
                let again = generator.random.gen_range(0..known);
                let again = generator.events[again].clone();
                if !matches!(
                    again.1,
                    Event::CorrectionMade(_) | Event::RegistryChanged(_)
                ) {
                    generator.events.push(again);
                }
            }
        }
        generator.events
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.random).unwrap()
    }

    fn hospital(&mut self) -> &'static str {
        self.pick(&HOSPITALS)
    }

    fn exam(&mut self) -> u32 {
        self.random.gen_range(0..14)
    }

    /// Mostly the exam's own study, at times one that others have too.
    fn study(&mut self, hospital: &str, exam: u32) -> String {
        match self.random.gen_range(0..10) {
            0 => format!("1.2.9.{}", self.random.gen_range(0..4)),
            1..=2 => format!("1.2.{hospital}.8.{}", exam / 2),
            3 => format!("1.2.{hospital}.7.{}", self.random.gen_range(0..14)),
            _ => format!("1.2.{hospital}.7.{exam}"),
        }
    }

    fn push(&mut self) -> Event {
        let hospital = if self.random.gen_bool(0.02) {
            "999999"
        } else {
            self.hospital()
        };
        let exam = self.exam();
        let (sick_id, name) = person(match self.random.gen_bool(0.08) {
            true => self.exam(),
            false => exam,
        });
        let images: Vec<_> = (0..self.random.gen_range(0..3))
            .map(|_| {
                let mut row = json!({"studyUID": self.study(hospital, exam)});
                if self.random.gen_bool(0.8) {
                    row["imageCount"] = self.random.gen_range(0..5).to_string().into();
                }
                if self.random.gen_bool(0.2) {
                    row["imageUrl"] = "http://pacs.invalid/".into();
                }
                if self.random.gen_bool(0.3) {
                    row["accessionNo"] = format!("A{exam}").into();
                }
                row
            })
            .collect();
        let json = json!({
            "hospitalCode": hospital,
            "examNo": format!("E{exam}"),
            "patientInfo": {"sickId": sick_id, "name": name, "sex": "男"},
            "examInfo": {
                "applyNo": self.pick(&["F1", "F2", "0", "无"]),
                "patientID": format!("C{exam}"),
                "examStatus": self.pick(&["50", "60", "65", "70", "70", "70"]),
                "examTime": format!("{} 08:00:00", self.pick(&DATES)),
                "examClass": self.pick(&CLASSES),
            },
            "imageList": images,
        });
        let json = serde_json::to_vec(&json).unwrap();
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        Event::ExamPushed(ExamPushedBody {
            digest,
            flags: Flags::default(),
            warnings: Vec::new(),
            json: json.into(),
        })
    }

    fn instances(&mut self) -> Event {
        let groups = (0..self.random.gen_range(1..4))
            .map(|_| self.group())
            .collect();
        Event::InstancesStored(InstancesStored {
            facts_version: 1,
            pack: PackId::new(0, 1),
            groups,
        })
    }

    fn group(&mut self) -> SeriesGroup {
        let (code, exam) = (self.hospital(), self.exam());
        let study = self.study(code, exam);
        let series = self.random.gen_range(0..3u32);
        let patient = if self.random.gen_bool(0.9) {
            exam
        } else {
            self.exam()
        };
        let (_, name) = person(if self.random.gen_bool(0.9) {
            exam
        } else {
            self.exam()
        });
        let instances = (0..self.random.gen_range(1..4))
            .map(|_| {
                let number = self.random.gen_range(0..4u32);
                // A document now and then; other bytes under a known UID now and then.
                let class = if number == 3 && series == 2 { SR } else { CT };
                let bytes = u8::from(self.random.gen_bool(0.1));
                self.offset += 1_000;
                StoredInstance {
                    image: ImageFacts {
                        sop_instance: SopInstanceUid::new(format!("{study}.{series}.{number}"))
                            .unwrap(),
                        sop_class: Uid::new(class).unwrap(),
                        transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
                        number: number.to_string(),
                        rows: 512,
                        columns: 512,
                        bits_allocated: 16,
                        frames: if number == 2 { 3 } else { 1 },
                    },
                    offset: self.offset,
                    length: 1_000,
                    digest: [bytes; 16],
                }
            })
            .collect();
        SeriesGroup {
            hospital: HospitalCode::new(code).unwrap(),
            sender: AeTitle::new(self.pick(&["PACS1", "PACS2"])).unwrap(),
            study_uid: StudyUid::new(&study).unwrap(),
            series_uid: SeriesUid::new(format!("{study}.{series}")).unwrap(),
            patient: PatientFacts {
                name,
                id: format!("C{patient}"),
                ..PatientFacts::default()
            },
            study: StudyFacts {
                date: self.pick(&["20260703", "20260704", "20260705"]).to_owned(),
                accession_no: format!("A{patient}"),
                ..StudyFacts::default()
            },
            series: SeriesFacts {
                modality: self.pick(&["CT", "DX", "MR"]).to_owned(),
                number: series.to_string(),
                ..SeriesFacts::default()
            },
            instances,
        }
    }

    fn declaration(&mut self) -> Event {
        let rows = (0..self.random.gen_range(1..3))
            .map(|_| DeclaredRow {
                hospital_code: HospitalCode::new(self.hospital()).unwrap(),
                exam_date: self.pick(&DATES).to_owned(),
                exam_class: self.pick(&CLASSES).to_owned(),
                accord_count: self.random.gen_range(0..6),
            })
            .collect();
        Event::StatisticsDeclared(StatisticsDeclared { rows })
    }

    /// What a hospital tells of some exams of a day, now and then with its eyes shut.
    fn detail(&mut self) -> Event {
        let (hospital, date) = (self.hospital(), self.pick(&DATES));
        let rows = (0..self.random.gen_range(1..6))
            .map(|_| {
                let exam = self.exam();
                let told = |some: bool, text: &str| match some {
                    true => text.to_owned(),
                    false => String::new(),
                };
                let study = self.study(hospital, exam);
                DetailRow {
                    hospital_code: HospitalCode::new(hospital).unwrap(),
                    exam_date: date.to_owned(),
                    exam_class: self.pick(&CLASSES).to_owned(),
                    exam_no: ExamNo::new(format!("E{exam}")).unwrap(),
                    apply_no: told(self.random.gen_bool(0.2), "F1"),
                    study_uid: told(self.random.gen_bool(0.5), &study),
                    image_count: self
                        .random
                        .gen_bool(0.5)
                        .then(|| self.random.gen_range(0..5)),
                }
            })
            .collect();
        Event::DetailDeclared(DetailDeclared { rows })
    }

    fn refusal(&mut self) -> Event {
        let known = self.random.gen_bool(0.8);
        let code = HospitalCode::new(self.hospital()).unwrap();
        let row = RefusedInstances {
            hospital: known.then_some(code),
            sender: AeTitle::new("PACS1").unwrap(),
            study_uid: None,
            date: self.pick(&DATES).to_owned(),
            class: self.pick(&["CT", "DX", ""]).to_owned(),
            reason: RefusalReason::Unregistered,
            count: self.random.gen_range(1..5),
        };
        Event::InstancesRefused(InstancesRefused { refused: vec![row] })
    }

    fn correction(&mut self) -> Event {
        let (code, number) = (self.hospital(), self.exam());
        let study = StudyUid::new(self.study(code, number)).unwrap();
        let hospital = HospitalCode::new(code).unwrap();
        let exam = ExamKey {
            hospital: hospital.clone(),
            exam_no: ExamNo::new(format!("E{number}")).unwrap(),
            generation: 0,
        };
        correction(match self.random.gen_range(0..10) {
            0..=2 => CorrectionAction::WithdrawExam { exam },
            3..=4 => CorrectionAction::ReleaseUid { study, exam },
            5..=6 => {
                let sop = |n: u32| SopInstanceUid::new(format!("{study}.{}.{}", n / 3, n % 3));
                let instances = (0..self.random.gen_range(0..6))
                    .map(|n| sop(n).unwrap())
                    .collect();
                CorrectionAction::HideInstances {
                    study: StudyKey { hospital, study },
                    instances,
                }
            }
            _ => self.undo(),
        })
    }

    /// Of a correction made before, but of no release.
    fn undo(&mut self) -> CorrectionAction {
        let positions = self
            .events
            .iter()
            .enumerate()
            .filter_map(|(at, (_, event))| match event {
                Event::CorrectionMade(made) => match made.action {
                    CorrectionAction::WithdrawExam { .. }
                    | CorrectionAction::HideInstances { .. } => Some(Position(at as u64)),
                    _ => None,
                },
                _ => None,
            });
        let positions: Vec<Position> = positions.collect();
        let correction = positions.choose(&mut self.random).copied();
        CorrectionAction::Undo {
            correction: correction.unwrap_or(Position(0)),
        }
    }

    fn expiry(&mut self) -> Event {
        let (code, exam) = (self.hospital(), self.exam());
        Event::HoldExpired(HoldExpired {
            study: StudyUid::new(self.study(code, exam)).unwrap(),
            hospital: HospitalCode::new(code).unwrap(),
            up_to: Position(self.random.gen_range(0..self.events.len() as u64)),
        })
    }
}

async fn log_of(events: &[(String, Event)]) -> MemoryLog {
    let log = MemoryLog::new();
    for (index, (actor, event)) in events.iter().enumerate() {
        let (kind, version) = event.kind();
        let body = event.encode_body().unwrap();
        let envelope = Envelope {
            id: uuid::Uuid::from_u128(index as u128 + 1),
            kind,
            version,
            rules: 1,
            cipher: Cipher::None,
            key_id: 0,
            hospital: None,
            actor,
            body: &body,
        };
        log.append(Bytes::from(envelope.encode().unwrap()))
            .await
            .unwrap();
    }
    log
}

fn records(log: &MemoryLog) -> Vec<Decoded> {
    let records = log.read(Position(0), usize::MAX, usize::MAX).unwrap();
    records
        .iter()
        .map(|record| projector::decode(record).unwrap())
        .collect()
}

/// Views of a log, made in batches of a size.
fn replay(log: &MemoryLog, batch_records: usize) -> (tempfile::TempDir, Views, Arc<Registry>) {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let mut registry = Arc::new(Registry::default());
    let mut cursor = Cursor::default();
    while cursor.next < log.end().unwrap() {
        let mut records = log.read(cursor.next, batch_records, usize::MAX).unwrap();
        let decoded = records
            .drain(..)
            .map(|record| projector::decode(&record).unwrap());
        let batch = Batch {
            records: decoded.collect(),
            failure: None,
        };
        let applied = projector::apply_batch(&views, &registry, cursor, batch).unwrap();
        if let Some(failure) = applied.failure {
            panic!("{failure}: {:?}", std::error::Error::source(&failure));
        }
        cursor = applied.cursor;
        registry = applied.registry.unwrap_or(registry);
    }
    (folder, views, registry)
}

fn answer(views: &Views, registry: &Registry, as_of: Option<Position>) -> Tally {
    let hospitals: Vec<HospitalCode> = registry.hospitals.keys().cloned().collect();
    let question = Question {
        hospitals: &hospitals,
        from: LocalDate::parse("2026-07-01").unwrap(),
        to: LocalDate::parse("2026-07-31").unwrap(),
        as_of,
        as_of_ms: None,
    };
    tally_of(&reconcile(views, registry, question).unwrap())
}

fn assert_equal(seed: u64, as_of: Option<u64>, found: &Tally, expected: &Tally) {
    let keys: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let mut differences = Vec::new();
    for key in keys {
        for (index, name) in COUNTS.iter().enumerate() {
            let of = |tally: &Tally| tally.get(key).map_or(0, |counts| counts[index]);
            if of(found) != of(expected) {
                differences.push(format!(
                    "{key:?} {name}: views {}, recount {}",
                    of(found),
                    of(expected)
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "seed {seed} as of {as_of:?}:\n{}",
        differences.join("\n")
    );
}

const SEEDS: u64 = 10;
const LENGTH: usize = 700;
/// Records that the log gives in several batches.
const SEVERAL_BATCHES: usize = 3_000;

#[tokio::test]
async fn counters_equal_a_recount_from_the_log_now_and_at_past_moments() {
    for seed in 0..SEEDS {
        // Given a history of every kind of event and the views that follow from it
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let (_folder, views, registry) = replay(&log, 1_000);
        let records = records(&log);
        let end = Recount::of(&records, u64::MAX);
        // When it is reconciled now, then it equals what a naive reading of the log counts
        let now = answer(&views, &registry, None);
        assert_equal(seed, None, &now, &end.tally(&end));
        // And so it does at past moments, the last of which is now
        let last = records.len() as u64;
        for moment in [
            1,
            last / 7,
            last / 3,
            last / 2,
            last - last / 5,
            last - 1,
            last,
        ] {
            let found = answer(&views, &registry, Some(Position(moment)));
            let expected = Recount::of(&records, moment).tally(&end);
            assert_equal(seed, Some(moment), &found, &expected);
        }
    }
}

#[tokio::test]
async fn a_random_history_meets_every_number() {
    // Given the histories of the test above, then none of their numbers is always 0: each comparison can fail
    let mut sums = [0i64; COUNTS.len()];
    for seed in 0..SEEDS {
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let end = Recount::of(&records(&log), u64::MAX);
        for counts in end.tally(&end).values() {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
    for (name, sum) in COUNTS.iter().zip(sums) {
        assert!(sum > 0, "{name} never occurs");
    }
}

#[tokio::test]
async fn replays_agree_however_the_log_is_cut_into_batches() {
    for seed in 0..4 {
        // Given views made in large batches
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let (_folder, views, _) = replay(&log, 1_000);
        // When others are made in batches of other sizes, then their digests are equal
        for size in [1, 7, 100, 1_000] {
            let (_folder, other, _) = replay(&log, size);
            assert_eq!(
                views.digest().unwrap(),
                other.digest().unwrap(),
                "seed {seed}, {size}"
            );
        }
    }
}

#[tokio::test]
async fn a_replay_in_pieces_makes_the_same_views() {
    for seed in 0..2 {
        // Given views made batch by batch
        let log = log_of(&Generator::history(seed, SEVERAL_BATCHES)).await;
        let (_folder, views, _) = replay(&log, 100);
        // When others are loaded in pieces of any size, then their digests are equal
        for piece_bytes in [1, 100_000, usize::MAX] {
            let folder = tempfile::tempdir().unwrap();
            let other = Views::open(folder.path()).unwrap();
            let (end, stop) = (log.end().unwrap(), AtomicBool::new(false));
            let (cursor, _) =
                crate::archive::replay::replay(&other, &log, end, piece_bytes, &stop).unwrap();
            assert_eq!(cursor.next, end);
            assert_eq!(
                views.digest().unwrap(),
                other.digest().unwrap(),
                "seed {seed}, {piece_bytes}"
            );
        }
    }
}

#[tokio::test]
async fn a_replay_that_was_broken_off_leaves_views_that_are_made_anew() {
    // Given a replay that is stopped
    let log = log_of(&Generator::history(1, LENGTH)).await;
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let (end, stop) = (log.end().unwrap(), AtomicBool::new(true));
    // When it ends, then the views say that they are of no version that is served
    assert!(crate::archive::replay::replay(&views, &log, end, 1, &stop).is_err());
    assert_ne!(views.cursor().unwrap().rows_version, super::ROWS_VERSION);
}

#[tokio::test]
async fn the_counts_of_a_study_equal_a_recount_of_its_instances() {
    for seed in 0..SEEDS {
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let (_folder, views, _) = replay(&log, 1_000);
        let mut studies = Vec::new();
        views
            .visit_all_studies(&mut |row| studies.push(row))
            .unwrap();
        assert!(!studies.is_empty());
        for study in studies {
            for (index, series) in study.series.iter().enumerate() {
                let entries = views.instances(&study, index).unwrap();
                let images = entries
                    .iter()
                    .filter(|e| is_image_class(&e.image().sop_class));
                let frames: u32 = images.clone().map(|e| e.image().frames).sum();
                assert_eq!(series.instances as usize, entries.len());
                assert_eq!(series.images as usize, images.count());
                assert_eq!(series.frames, frames);
            }
        }
    }
}

#[tokio::test]
async fn a_walk_over_studies_ends_at_the_row_after_nobody_waits_for_it() {
    // Given views with more than a few studies
    let log = log_of(&Generator::history(1, LENGTH)).await;
    let (_folder, views, registry) = replay(&log, 1_000);
    let dates = StudySelector::Dates {
        from: String::new(),
        to: String::new(),
    };
    for selector in [StudySelector::All, dates] {
        // When the one who waits is gone at the third row
        let asked = std::cell::Cell::new(0);
        let unheard = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        let mut visited = 0;
        let mut visit = |_| {
            visited += 1;
            Walk::On
        };
        views
            .visit_studies(&registry, &selector, &unheard, &mut visit)
            .unwrap();
        // Then no row is looked at any more
        assert_eq!(asked.get(), 3, "{selector:?}");
        assert!(visited <= 2, "{selector:?}");
    }
}
