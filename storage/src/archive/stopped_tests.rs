//! A record that this release cannot decide stops it there; damaged views are made anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use yingku_core::envelope::{Cipher, Envelope};
use yingku_core::event::{Event, RULES_VERSION, RulesActivated};
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, Position};

use super::resent_tests::{open, push_exam, try_open};
use super::{Archive, RebuildError, Submission, SubmitError};

/// A kind of a release to come.
const UNKNOWN_KIND: u16 = 60_000;

async fn append_unknown(archive: &Archive) -> Position {
    let record = Envelope {
        id: uuid::Uuid::now_v7(),
        kind: UNKNOWN_KIND,
        version: 1,
        rules: RULES_VERSION,
        cipher: Cipher::None,
        key_id: 0,
        hospital: None,
        actor: "node:0",
        body: b"{}",
    };
    let record = record.encode().unwrap();
    archive.log().append(record.into()).await.unwrap()
}

fn exam() -> ExamKey {
    ExamKey {
        hospital: HospitalCode::new("350006").unwrap(),
        exam_no: ExamNo::new("E1").unwrap(),
        generation: 0,
    }
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_stops_the_views_there_and_nothing_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open(dir.path()).await;
    push_exam(&archive).await;
    // Given a record that this release does not know
    let unknown = append_unknown(&archive).await;
    let activated = Submission {
        hospital: None,
        actor: "node:0".to_owned(),
        event: Event::RulesActivated(RulesActivated {
            rules: RULES_VERSION,
        }),
    };
    // When something is submitted, then it is recorded at most, its outcome pending
    let pending = archive.submit(activated).await;
    assert!(matches!(pending, Err(SubmitError::Pending)), "{pending:?}");
    // And the record is named, the views stay before it, what they have is answered
    let health = archive.health();
    let why = health.stopped.clone().unwrap();
    assert!(why.contains(&format!("record {unknown} ")), "{why}");
    assert_eq!(health.projected, unknown);
    assert!(!health.is_ready());
    assert!(archive.views().exam(&exam()).unwrap().is_some());
    // And neither new views nor a new start go past it
    let rebuilder = archive.clone();
    let rebuilt = tokio::task::spawn_blocking(move || rebuilder.rebuild()).await;
    assert!(matches!(rebuilt.unwrap(), Err(RebuildError::Project(_))));
    archive.close().await;
    drop(archive);
    let Err(error) = try_open(dir.path()).await else {
        panic!("it serves past a record that it does not know");
    };
    assert!(
        error.to_string().contains(&format!("record {unknown} ")),
        "{error}"
    );
}

/// The files of the views' rows.
fn tables(dir: &Path) -> Vec<PathBuf> {
    let sets = fs::read_dir(dir.join("views")).unwrap();
    let sets = sets.map(|entry| entry.unwrap().path());
    let files = sets
        .filter(|path| path.is_dir())
        .flat_map(|set| fs::read_dir(set).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "sst"))
        .collect()
}

#[tokio::test]
async fn views_that_a_reader_finds_damaged_are_made_anew_while_the_archive_serves() {
    // Given views in files
    let dir = tempfile::tempdir().unwrap();
    let archive = open(dir.path()).await;
    push_exam(&archive).await;
    archive.views().flush().unwrap();
    archive.close().await;
    drop(archive);
    // And, while they are in use, one flipped bit in the first block of every file
    let archive = open(dir.path()).await;
    for table in tables(dir.path()) {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(table)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 8).unwrap();
        byte[0] ^= 1;
        file.write_all_at(&byte, 8).unwrap();
    }
    let damaged = archive.views();
    let mut replaced = archive.inner.follower.shared.replaced.subscribe();
    // When somebody reads, then it fails, and is told
    assert!(damaged.verify().is_err());
    assert!(damaged.damage().borrow().is_some());
    // And new views take their place by themselves, with every row
    let waited = tokio::time::timeout(Duration::from_secs(60), replaced.changed());
    waited.await.unwrap().unwrap();
    assert!(archive.health().views_damaged.is_none());
    assert!(archive.health().is_ready());
    assert!(archive.views().exam(&exam()).unwrap().is_some());
    assert!(archive.views().verify().is_ok());
}
