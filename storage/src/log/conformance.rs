//! One suite for every log: each backend's tests call [`run`] with an empty log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use yingku_core::ids::Position;

use super::{EventLog, LogError, LogRecord, MAX_RECORD_BYTES};

/// Holds an empty log to the contract of [`EventLog`]. Needs a runtime of more than one thread.
pub async fn run(log: Arc<dyn EventLog>) {
    an_empty_log_ends_at_zero(log.as_ref()).await;
    records_come_back_in_order(log.as_ref()).await;
    a_record_may_be_empty_and_as_large_as_the_limit_but_not_larger(log.as_ref()).await;
    concurrent_appends_leave_no_gap_and_keep_each_callers_order(Arc::clone(&log)).await;
    reading_keeps_its_limits(log.as_ref()).await;
    the_watched_end_moves_past_what_was_appended(log.as_ref()).await;
    log_times_never_decrease_and_find_their_positions(log.as_ref());
    assert!(log.health().accepts());
}

/// Holds another empty log to what is said of records that come from elsewhere.
pub async fn imports(log: &dyn EventLog) {
    let record = |position, time_ms, bytes| LogRecord {
        position: Position(position),
        time_ms,
        bytes: Bytes::from_static(bytes),
    };
    let moved = vec![
        record(0, 1_000, b"zero"),
        record(1, 2_000, b"one"),
        record(2, 2_000, b""),
    ];
    log.import(moved.clone()).await.unwrap();
    assert_eq!(log.read(Position(0), 10, 1_000).unwrap(), moved);
    log.import(vec![record(3, 5_000, b"three")]).await.unwrap();
    // What happens here follows
    assert_eq!(log.append("four".into()).await.unwrap(), Position(4));
    log_times_never_decrease_and_find_their_positions(log);
    for (time_ms, first) in [(0, 0), (1_000, 1), (1_999, 1), (2_000, 3), (5_000, 4)] {
        assert_eq!(log.first_after(time_ms).unwrap(), Position(first));
    }
    // A copy that does not go on where it ended is told
    assert!(log.import(vec![record(4, 6_000, b"again")]).await.is_err());
}

/// Every record from position 0 on.
pub fn read_all(log: &dyn EventLog) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let records = log.read(Position(all.len() as u64), 1000, 1 << 20).unwrap();
        if records.is_empty() {
            return all;
        }
        for record in records {
            assert_eq!(record.position.0, all.len() as u64);
            all.push(record.bytes);
        }
    }
}

async fn an_empty_log_ends_at_zero(log: &dyn EventLog) {
    assert_eq!(log.end().unwrap(), Position(0));
    assert!(log.read(Position(0), 10, 1000).unwrap().is_empty());
    assert!(log.get(Position(0)).unwrap().is_none());
    assert_eq!(log.first_after(0).unwrap(), Position(0));
}

async fn records_come_back_in_order(log: &dyn EventLog) {
    let first = log.append(Bytes::from_static(b"zero")).await.unwrap();
    let rest = log
        .append_all(vec!["one".into(), "two".into()])
        .await
        .unwrap();

    assert_eq!((first, rest), (Position(0), vec![Position(1), Position(2)]));
    assert_eq!(read_all(log), ["zero", "one", "two"]);
    assert_eq!(log.get(Position(1)).unwrap().unwrap().bytes, "one");
    assert!(log.get(Position(3)).unwrap().is_none());
    assert!(log.read(Position(3), 1, 1).unwrap().is_empty());
    assert!(log.read(Position(u64::MAX), 1, 1).unwrap().is_empty());
}

async fn a_record_may_be_empty_and_as_large_as_the_limit_but_not_larger(log: &dyn EventLog) {
    let before = log.end().unwrap();
    let largest = Bytes::from(vec![7; MAX_RECORD_BYTES]);
    let too_large = Bytes::from(vec![7; MAX_RECORD_BYTES + 1]);

    assert_eq!(log.append(Bytes::new()).await.unwrap(), before);
    assert_eq!(log.append(largest.clone()).await.unwrap(), before.next());
    let refusal = log.append(too_large.clone()).await.unwrap_err();
    assert!(
        matches!(refusal, LogError::TooLarge { bytes, limit: MAX_RECORD_BYTES } if bytes == MAX_RECORD_BYTES + 1)
    );
    // Refused as a whole, before anything of it is written.
    assert!(
        log.append_all(vec!["small".into(), too_large])
            .await
            .is_err()
    );

    assert_eq!(log.end().unwrap(), before.next().next());
    assert_eq!(log.get(before).unwrap().unwrap().bytes, Bytes::new());
    assert_eq!(log.get(before.next()).unwrap().unwrap().bytes, largest);
}

async fn concurrent_appends_leave_no_gap_and_keep_each_callers_order(log: Arc<dyn EventLog>) {
    const CALLERS: u64 = 16;
    const RECORDS: u64 = 50;
    let before = log.end().unwrap();

    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let log = Arc::clone(&log);
        callers.push(tokio::spawn(async move {
            let mut positions = Vec::new();
            for n in 0..RECORDS {
                positions.push(log.append(format!("{caller}:{n}").into()).await.unwrap());
            }
            positions
        }));
    }
    let mut acknowledged = HashMap::new();
    for (caller, task) in callers.into_iter().enumerate() {
        let positions = task.await.unwrap();
        assert!(positions.is_sorted(), "a caller's own records in its order");
        for (n, position) in positions.into_iter().enumerate() {
            assert!(
                acknowledged
                    .insert(position, format!("{caller}:{n}"))
                    .is_none()
            );
        }
    }

    assert_eq!(log.end().unwrap().0, before.0 + CALLERS * RECORDS);
    for (position, bytes) in acknowledged {
        assert_eq!(log.get(position).unwrap().unwrap().bytes, bytes);
    }
}

async fn reading_keeps_its_limits(log: &dyn EventLog) {
    let from = log.end().unwrap();
    log.append_all((0..10).map(|_| Bytes::from(vec![1; 100])).collect())
        .await
        .unwrap();

    let counted = |records, bytes| log.read(from, records, bytes).unwrap().len();
    assert_eq!(counted(3, 10_000), 3);
    assert_eq!(counted(100, 250), 2);
    assert_eq!(counted(100, 300), 3);
    assert_eq!(
        counted(100, 1),
        1,
        "one record even if it is larger than asked for"
    );
    assert_eq!(counted(0, 10_000), 0);
    assert_eq!(counted(100, usize::MAX), 10);
}

async fn the_watched_end_moves_past_what_was_appended(log: &dyn EventLog) {
    let mut end = log.watch_end();
    let before = *end.borrow_and_update();
    assert_eq!(before, log.end().unwrap());

    let position = log.append("seen".into()).await.unwrap();

    // Already there when the append resolves: a waiter never has to look twice.
    assert!(*end.borrow() > position);
    end.wait_for(|end| *end > position).await.unwrap();
    assert!(log.get(position).unwrap().is_some());
    assert_eq!(log.latest_end().await.unwrap(), position.next());
}

fn log_times_never_decrease_and_find_their_positions(log: &dyn EventLog) {
    let end = log.end().unwrap();
    let times: Vec<i64> = (0..end.0)
        .map(|p| log.get(Position(p)).unwrap().unwrap().time_ms)
        .collect();
    assert!(times.is_sorted());
    for &time in times.iter().chain([&0, &i64::MAX]) {
        let expected = times.partition_point(|t| *t <= time) as u64;
        assert_eq!(log.first_after(time).unwrap(), Position(expected));
    }
}
