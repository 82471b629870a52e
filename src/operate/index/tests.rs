//! Files for the authority, interrupted at each step.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use yingku_core::contract::push::{PushContext, parse};
use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode};
use yingku_core::national_index::IndexState;
use yingku_core::outcome::Outcome;
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

use super::export::{Exporting, export, steps};
use super::{Operator, take_answers};
use crate::control::Output;
use crate::registry::{RegistryFile, import};

const SAMPLE: &[u8] = include_bytes!("../../../tests/fixtures/contract/exam_push.json");
const REGISTRY: &str = "[settings.national_index]\nperson_id_type = \"88\"\n[[hospital]]\ncode = \"1\"\nname = \"一\"\ncredit_code = \"123502004266007916\"";

struct House {
    archive: Archive,
    dir: tempfile::TempDir,
    operator: Operator,
}

impl House {
    /// An archive with exams at minutes, each of one person.
    async fn with(minutes: std::ops::Range<u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = ArchiveOptions {
            log: EmbeddedLogOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            }
            .into(),
            packs: PackOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            },
        };
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let archive = Archive::open(dir.path(), options, key).await.unwrap();
        let house = Self {
            archive,
            dir,
            operator: Operator::of_this_process(),
        };
        house
            .submit(Event::RulesActivated(RulesActivated {
                rules: RULES_VERSION,
            }))
            .await;
        let file = RegistryFile::parse(REGISTRY).unwrap();
        import(&house.archive, file, "operator:o").await.unwrap();
        for minute in minutes {
            house.push(minute, "检查").await;
        }
        house
    }

    async fn submit(&self, event: Event) -> Outcome {
        let submission = Submission {
            hospital: None,
            actor: "app:a".to_owned(),
            event,
        };
        self.archive.submit(submission).await.unwrap().outcome
    }

    async fn push(&self, minute: u32, item: &str) {
        let mut push: Value = serde_json::from_slice(SAMPLE).unwrap();
        push["hospitalCode"] = "1".into();
        push["examNo"] = format!("E{minute}").into();
        push["examInfo"]["examTime"] = format!("2026-07-04 08:{minute:02}:00").into();
        push["examInfo"]["examItemList"][0]["itemName"] = item.into();
        push["imageList"][0]["studyUID"] = format!("1.2.{minute}").into();
        push["patientInfo"]["identity"] =
            json!([{ "idType": "88", "idNumber": "10000000000000000708463177" }]);
        let registry = self.archive.registry();
        let context = PushContext {
            policy: &Default::default(),
            aliases: &registry.settings.class_aliases,
            placeholders: &registry.settings.placeholder_apply_nos,
        };
        let pushed = parse(push.to_string().as_bytes(), None, context).unwrap();
        let outcome = self.submit(Event::ExamPushed(pushed.body)).await;
        assert!(matches!(outcome, Outcome::Push(_)), "{outcome:?}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn asked(&self, name: &str) -> Exporting {
        Exporting {
            to: self.file(name),
            since: None,
            day: None,
        }
    }

    async fn export(&self, name: &str) -> anyhow::Result<bool> {
        let (output, _replies) = Output::channel();
        export(&self.archive, self.asked(name), &self.operator, &output).await
    }

    /// Lines of a file without its head.
    fn lines(&self, name: &str) -> Vec<String> {
        lines(&self.file(name))
    }

    fn state(&self, minute: u32) -> IndexState {
        let exam = ExamKey {
            hospital: HospitalCode::new("1").unwrap(),
            exam_no: ExamNo::new(format!("E{minute}")).unwrap(),
            generation: 0,
        };
        let row = self.archive.views().national_index(&exam).unwrap();
        row.unwrap().state
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with('\u{feff}'));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_owed_is_in_one_file_once_with_a_manifest_that_counts_it() {
    let house = House::with(0..3).await;
    house.export("one.csv").await.unwrap();
    let text = std::fs::read(house.file("one.csv")).unwrap();
    let manifest = std::fs::read(house.file("one.csv.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(house.lines("one.csv").len(), 3);
    assert_eq!(
        (&manifest["lines"], &manifest["new"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(manifest["blake3"], blake3::hash(&text).to_hex().as_str());
    assert_eq!(house.state(1), IndexState::Exported);
    // Again there is nothing, and a file that is there stays
    house.export("two.csv").await.unwrap();
    assert!(!house.file("two.csv").exists());
    house.push(9, "检查").await;
    assert!(house.export("one.csv").await.is_err());
    house.export("three.csv").await.unwrap();
    assert_eq!(house.lines("three.csv").len(), 1);
}

#[tokio::test]
async fn a_file_that_was_interrupted_at_any_step_is_finished_as_it_was_and_no_line_comes_twice() {
    for step in 0..4 {
        // Given an export that ends after a step, and an exam that comes later
        let house = House::with(0..3).await;
        steps::until(
            &house.archive,
            &house.asked("one.csv"),
            step,
            &house.operator,
        )
        .await;
        house.push(9, "检查").await;
        // When another file is asked for
        house.export("two.csv").await.unwrap();
        // Then each exam is in one of them
        let mut all = house.lines("two.csv");
        match step {
            0 => assert!(!house.file("one.csv").exists()),
            _ => all.extend(house.lines("one.csv")),
        }
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!((count, all.len()), (4, 4), "after step {step}");
        assert_eq!(house.state(2), IndexState::Exported, "after step {step}");
        // And nothing is owed
        house.export("three.csv").await.unwrap();
        assert!(!house.file("three.csv").exists(), "after step {step}");
    }
}

#[tokio::test]
async fn a_file_that_was_taken_away_before_it_was_on_record_is_not_written_again() {
    let house = House::with(0..2).await;
    steps::until(&house.archive, &house.asked("one.csv"), 2, &house.operator).await;
    std::fs::rename(house.file("one.csv"), house.file("sent.csv")).unwrap();
    house.export("one.csv").await.unwrap();
    assert!(!house.file("one.csv").exists());
    assert_eq!(house.state(0), IndexState::Exported);
}

#[tokio::test]
async fn answers_are_taken_of_what_was_told_and_others_are_counted() {
    let house = House::with(0..3).await;
    house.export("one.csv").await.unwrap();
    house.push(9, "检查").await;
    let index = |minute: u32| {
        format!(
            "10000000000000000708463177-20260704080{minute}-000000000-0000000000000-123502004266007916"
        )
    };
    let text = format!(
        "{},成功\n{},refused,无此人\n{},成功\n",
        index(0),
        index(1),
        index(9)
    );
    std::fs::write(house.file("answers.csv"), text).unwrap();
    let (output, _replies) = Output::channel();
    let done = take_answers(
        &house.archive,
        house.file("answers.csv"),
        &house.operator,
        &output,
    );
    assert!(!done.await.unwrap());
    let states = [0, 1, 2, 9].map(|minute| house.state(minute));
    assert_eq!(
        states,
        [
            IndexState::Acknowledged,
            IndexState::Refused,
            IndexState::Exported,
            IndexState::Formed
        ]
    );
}
