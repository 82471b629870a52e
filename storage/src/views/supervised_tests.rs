//! What is kept for supervision, against what the exams and all around them say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use yingku_core::decide::supervised_row;
use yingku_core::event::{Event, RulesActivated, SUPERVISION_SINCE_RULES};
use yingku_core::ids::Position;
use yingku_core::registry::Registry;
use yingku_core::supervision::{SupervisedKey, SupervisedRow};

use super::histories::Generator;
use super::recount_tests::{log_of, replay, replay_to};
use super::{BatchState, View, Views, Walk, decode, keys};

type Rows = BTreeMap<SupervisedKey, SupervisedRow>;

fn kept(views: &Views) -> Rows {
    let mut rows = Rows::new();
    let add = |key: &[u8], value: &[u8]| {
        let row = decode(View::Supervised, value)?;
        rows.insert(keys::supervised::read(key).unwrap(), row);
        Ok(Walk::On)
    };
    views.scan(View::Supervised, &[], &[], add).unwrap();
    rows
}

/// Lines from documents to exams.
fn lines(views: &Views) -> BTreeSet<Vec<u8>> {
    let mut lines = BTreeSet::new();
    let add = |key: &[u8], _: &[u8]| {
        lines.insert(key.to_vec());
        Ok(Walk::On)
    };
    views.scan(View::PatientKeys, &[], &[], add).unwrap();
    lines
}

/// As rows say.
fn lines_of(rows: &Rows) -> BTreeSet<Vec<u8>> {
    let of_row = |(key, row): (&SupervisedKey, &SupervisedRow)| {
        let exam = key.exam();
        let persons = row.joins_by().iter();
        let lines = persons.map(|person| keys::patients::line(*person, &exam));
        lines.collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

/// The same history, but that every second patient has a document, the same at every hospital, and some have a further card.
fn with_documents(mut history: Vec<(String, Event)>) -> Vec<(String, Event)> {
    for (_, event) in &mut history {
        let Event::ExamPushed(body) = event else {
            continue;
        };
        let mut push: Value = serde_json::from_slice(&body.json).unwrap();
        let patient = &mut push["patientInfo"];
        let number: u32 = patient["sickId"].as_str().unwrap()[1..].parse().unwrap();
        if number.is_multiple_of(2) {
            let document = format!("E{}", 20_000_001 + number);
            patient["identity"] = json!([{"idType": "4", "idNumber": document}]);
        }
        if body.digest[0] < 100 {
            patient["miCard"] = format!("M{}", 30_000_001 + number).into();
        }
        body.json = serde_json::to_vec(&push).unwrap().into();
    }
    history
}

#[tokio::test]
async fn documents_lead_to_the_exams_whose_rows_have_them_after_any_history() {
    let mut most = 0;
    for seed in 40..46 {
        let history = with_documents(Generator::history(seed, 700));
        let log = log_of(&history).await;
        let (_folder, views, _) = replay(&log, 100);
        let rows = kept(&views);
        assert!(lines(&views) == lines_of(&rows), "seed {seed}");
        most = most.max(lines(&views).len());
        let (_folder, other, _) = replay(&log, 1_000);
        assert_eq!(other.digest().unwrap(), views.digest().unwrap());
    }
    assert!(most > 15, "{most}");
}

/// Made of every exam as it is now; contents are what was kept.
fn anew(views: &Views, registry: &Arc<Registry>, kept: &Rows) -> Rows {
    let state = BatchState::new(views, Arc::clone(registry));
    let mut exams = Vec::new();
    let add = |exam| {
        exams.push(exam);
        Walk::On
    };
    views.visit_all_exams(&mut { add }).unwrap();
    let rows = exams.iter().map(|exam| {
        let key = SupervisedKey::of(exam);
        let mut row = supervised_row(&state, exam).unwrap();
        row.content = kept.get(&key).and_then(|row| row.content.clone());
        (key, row)
    });
    rows.collect()
}

#[tokio::test]
async fn rows_are_what_exams_and_images_say_after_any_history() {
    for seed in 20..28 {
        let log = log_of(&Generator::history(seed, 700)).await;
        let (_folder, views, registry) = replay(&log, 100);
        let kept = kept(&views);
        assert!(kept.len() > 20 && kept.values().any(|row| row.images_ms > 0));
        let anew = anew(&views, &registry, &kept);
        let keys = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&kept), keys(&anew), "seed {seed}");
        for (key, row) in &kept {
            assert!(anew.get(key) == Some(row), "seed {seed}: {key:?}");
        }
        assert!(kept.values().filter(|row| row.content.is_some()).count() > 20);
    }
}

#[tokio::test]
async fn rules_that_are_activated_fill_the_rows_in_and_keep_them() {
    // Given an archive of earlier rules
    let activated = |rules| {
        let event = Event::RulesActivated(RulesActivated { rules });
        ("node:0".to_owned(), event)
    };
    let begin = vec![activated(SUPERVISION_SINCE_RULES - 1)];
    let mut history = Generator::history_after(begin, 31, 400);
    let earlier = Position(history.len() as u64);
    history.push(activated(SUPERVISION_SINCE_RULES));
    let pushes = Generator::history(32, 300).into_iter().skip(2);
    history.extend(pushes);
    let log = log_of(&with_documents(history)).await;
    let (_folder, before, _) = replay_to(&log, earlier, 100);
    assert!(kept(&before).is_empty());
    // When the rules are activated, then every exam has its row, of a content that is not known
    let (_folder, views, registry) = replay_to(&log, earlier.next(), 100);
    let filled = kept(&views);
    assert!(filled.len() > 10 && filled.values().all(|row| row.content.is_none()));
    assert!(filled == anew(&views, &registry, &filled));
    // And later pushes tell theirs, however the views are made
    let (_folder, views, registry) = replay(&log, 100);
    let rows = kept(&views);
    assert!(lines(&views) == lines_of(&rows));
    assert!(rows.values().any(|row| row.content.is_some()));
    assert!(rows == anew(&views, &registry, &rows));
    for records in [1, 1_000] {
        let (_folder, other, _) = replay(&log, records);
        assert_eq!(other.digest().unwrap(), views.digest().unwrap());
    }
}
