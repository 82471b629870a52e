//! Views of random histories against [`super::recount`], replay against replay.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use yingku_core::envelope::{Cipher, Envelope};
use yingku_core::event::Event;
use yingku_core::ids::{HospitalCode, Position};
use yingku_core::instance::is_image_class;
use yingku_core::reconcile::Reconciliation;
use yingku_core::registry::Registry;
use yingku_core::time::LocalDate;

use super::histories::Generator;
use super::reconcile::{Question, reconcile};
use super::recount::{COUNTS, HAPPENINGS, Recount, Tally, tally_of};
use super::studies::StudySelector;
use super::{Cursor, Views, Walk};
use crate::log::{EventLog, MemoryLog};
use crate::projector::{self, Batch, Decoded};

pub(super) async fn log_of(events: &[(String, Event)]) -> MemoryLog {
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
pub(super) fn replay(
    log: &MemoryLog,
    batch_records: usize,
) -> (tempfile::TempDir, Views, Arc<Registry>) {
    replay_to(log, log.end().unwrap(), batch_records)
}

pub(super) fn replay_to(
    log: &MemoryLog,
    end: Position,
    batch_records: usize,
) -> (tempfile::TempDir, Views, Arc<Registry>) {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let mut registry = Arc::new(Registry::default());
    let mut cursor = Cursor::default();
    while cursor.next < end {
        let left = (end.0 - cursor.next.0) as usize;
        let batch_records = batch_records.min(left);
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
    tally_of(&whole_answer(views, registry, as_of))
}

fn whole_answer(views: &Views, registry: &Registry, as_of: Option<Position>) -> Reconciliation {
    let hospitals: Vec<HospitalCode> = registry.hospitals.keys().cloned().collect();
    let question = Question {
        hospitals: &hospitals,
        from: LocalDate::parse("2026-07-01").unwrap(),
        to: LocalDate::parse("2026-07-31").unwrap(),
        as_of,
        as_of_ms: None,
    };
    reconcile(views, registry, question).unwrap()
}

fn assert_equal(seed: u64, as_of: Option<u64>, found: &Tally, expected: &Tally) {
    let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
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
        assert_equal(seed, None, &now, &end.tally());
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
            let expected = Recount::of(&records, moment).tally();
            assert_equal(seed, Some(moment), &found, &expected);
        }
    }
}

#[tokio::test]
async fn a_question_about_a_past_moment_gives_the_answer_that_was_given_then() {
    for seed in 0..SEEDS {
        // Given a history, and what was answered when a part of it had happened
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let (_folder, views, registry) = replay(&log, 1_000);
        for moment in [LENGTH / 5, LENGTH / 2, LENGTH - LENGTH / 9] {
            let moment = Position(moment as u64);
            let (_folder, then, _) = replay_to(&log, moment, 1_000);
            // When the same is asked now as of that moment, then the answer is the same, name by name
            let (mut given, mut answered) = (
                whole_answer(&then, &registry, None),
                whole_answer(&views, &registry, Some(moment)),
            );
            answered.as_of = None;
            for answer in [&mut given, &mut answered] {
                // What forms were then is kept nowhere.
                answer.totals.forms_without_exam = None;
                for cell in &mut answer.cells {
                    cell.counts.forms_without_exam = None;
                    cell.unfinished
                        .sort_by_key(|u| (u.exam_no.clone(), u.study_uid.clone()));
                }
            }
            assert_eq!(given, answered, "seed {seed} as of {moment}");
        }
    }
}

#[tokio::test]
async fn a_random_history_meets_every_number() {
    // Given histories as those of the test above, then none of their numbers is always 0: each comparison can fail
    let mut sums = [0i64; COUNTS.len()];
    let mut happened = BTreeSet::new();
    // Images that are set aside and come back are rarer than all else.
    for seed in 0..3 * SEEDS {
        let log = log_of(&Generator::history(seed, LENGTH)).await;
        let end = Recount::of(&records(&log), u64::MAX);
        happened.extend(end.happened.iter().copied());
        for counts in end.tally().values() {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
    for (name, sum) in COUNTS.iter().zip(sums) {
        assert!(sum > 0, "{name} never occurs");
    }
    // And every correction takes effect, and is undone
    for what in HAPPENINGS {
        assert!(happened.contains(what), "nothing is ever {what}");
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
    let dates = StudySelector::Dates(vec![(String::new(), String::new())]);
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
