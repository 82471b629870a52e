//! What is kept for supervision, against what the exams and all around them say.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

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
    let log = log_of(&history).await;
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
    assert!(rows.values().any(|row| row.content.is_some()));
    assert!(rows == anew(&views, &registry, &rows));
    for records in [1, 1_000] {
        let (_folder, other, _) = replay(&log, records);
        assert_eq!(other.digest().unwrap(), views.digest().unwrap());
    }
}
