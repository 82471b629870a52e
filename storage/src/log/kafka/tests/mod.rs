//! The Kafka log against a real broker.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod away;
mod broker;
mod refused;
mod secure;

use std::sync::Arc;
use std::time::Instant;

use rdkafka::admin::{AdminOptions, ResourceSpecifier};

use self::broker::{Broker, Data};
use super::*;
use crate::log::MAX_RECORD_BYTES;
use crate::log::conformance::{self, read_all};

/// Opens the log as an archive does.
async fn try_open(options: &KafkaLogOptions, data: &Data) -> Result<KafkaLog, KafkaOpenError> {
    let (options, remembered) = (options.clone(), data.remembered());
    tokio::task::spawn_blocking(move || {
        KafkaLog::open(options, &remembered, &tokio::runtime::Handle::current())
    })
    .await
    .unwrap()
}

async fn open(options: &KafkaLogOptions, data: &Data) -> KafkaLog {
    try_open(options, data).await.unwrap()
}

/// Reads, which block.
async fn blocking<T: Send + 'static>(
    log: &Arc<KafkaLog>,
    read: impl FnOnce(&KafkaLog) -> T + Send + 'static,
) -> T {
    let log = Arc::clone(log);
    tokio::task::spawn_blocking(move || read(&log))
        .await
        .unwrap()
}

fn numbered(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|n| format!("record {n}").into()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kafka_log_keeps_the_contract() {
    let (options, data) = (Broker::shared().options(), Data::new());
    conformance::run(Arc::new(open(&options, &data).await)).await;
    let (options, data) = (Broker::shared().options(), Data::new());
    let log = open(&options, &data).await;
    conformance::imports(&log).await;
    // and as the topic gives it to who opens it later
    let first_after = log.first_after(2_000);
    drop(log);
    let log = open(&options, &data).await;
    assert_eq!(log.get(Position(1)).unwrap().unwrap().time_ms, 2_000);
    assert_eq!(log.first_after(2_000), first_after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_as_the_log_needs_it() {
    let (options, data) = (Broker::shared().options(), Data::new());
    drop(open(&options, &data).await);

    let asked = [ResourceSpecifier::Topic(&options.topic)];
    let admin = Broker::shared().admin();
    let found = admin.describe_configs(&asked, &AdminOptions::new()).await;
    let settings = found.unwrap().pop().unwrap().unwrap();
    let value = |key| settings.get(key).unwrap().value.clone().unwrap();
    assert_eq!(value("cleanup.policy"), "delete");
    assert_eq!(value("retention.ms"), "-1");
    assert_eq!(value("retention.bytes"), "-1");
    assert_eq!(value("message.timestamp.type"), "LogAppendTime");
    assert_eq!(value("min.insync.replicas"), "1");
    // and one that is there is taken as it is
    drop(open(&options, &Data::new()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_the_end_does_not_wait_for_the_next_record() {
    let (options, data) = (Broker::shared().options(), Data::new());
    let log = open(&options, &data).await;
    log.append("record".into()).await.unwrap();
    log.latest_end().await.unwrap();
    // Given a log to which nothing is appended, when its end is asked for again and again
    const QUESTIONS: u32 = 10;
    let began = Instant::now();
    for _ in 0..QUESTIONS {
        assert_eq!(log.latest_end().await.unwrap(), Position(1));
    }
    // Then each answer takes a round trip, not the half second that a fetch waits for records
    assert!(began.elapsed() < QUESTIONS * Duration::from_millis(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_appended_before_a_start_is_read_from_the_broker() {
    let (options, data) = (Broker::shared().options(), Data::new());
    let written = numbered(0..3_000);
    let log = open(&options, &data).await;
    log.append_all(written.clone()).await.unwrap();
    // Does not compress, so that it needs all the room that a record may take.
    let mut seed = 1u32;
    let largest: Bytes = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(MAX_RECORD_BYTES)
    .collect();
    log.append(largest.clone()).await.unwrap();
    drop(log);

    let log = Arc::new(open(&options, &data).await);
    assert_eq!(log.end().unwrap(), Position(3_001));
    let expected = written.clone();
    blocking(&log, move |log| {
        let mut expected = expected;
        // here and there
        for position in [2_999, 0, 1_500, 1_501, 1_499] {
            let record = log.get(Position(position)).unwrap().unwrap();
            assert_eq!(record.bytes, expected[position as usize]);
        }
        assert_eq!(log.get(Position(3_000)).unwrap().unwrap().bytes, largest);
        assert!(log.get(Position(3_001)).unwrap().is_none());
        // in limits, and on from where they ended
        let some = log.read(Position(1_000), 10, 35).unwrap();
        assert_eq!(some.len(), 3);
        assert_eq!(
            log.read(Position(1_003), 1, 0).unwrap()[0].bytes,
            expected[1_003]
        );
        // all of it
        expected.push(largest);
        assert!(read_all(log) == expected);
        // and by time
        let times: Vec<i64> = (0..3_001)
            .map(|n| log.read(Position(n), 1, 0).unwrap()[0].time_ms)
            .collect();
        for time_ms in [0, -5, i64::MAX, times[0], times[1_700], times[3_000] - 1] {
            let first = times.partition_point(|it| *it <= time_ms) as u64;
            assert_eq!(log.first_after(time_ms).unwrap(), Position(first));
        }
    })
    .await;

    // What comes now continues it, wherever it is read from.
    log.append("later".into()).await.unwrap();
    blocking(&log, |log| {
        let last = log.read(Position(2_998), 10, usize::MAX).unwrap();
        assert!(!last.is_empty());
        assert_eq!(log.get(Position(3_001)).unwrap().unwrap().bytes, "later");
        assert_eq!(read_all(log).len(), 3_002);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_see_each_others_records_in_one_order() {
    let options = Broker::shared().options();
    let (data_a, data_b) = (Data::new(), Data::new());
    let a = Arc::new(open(&options, &data_a).await);
    let b = Arc::new(open(&options, &data_b).await);

    let mut appends = Vec::new();
    for n in 0..100u32 {
        let log = if n % 2 == 0 { &a } else { &b };
        appends.push(tokio::spawn(log.append(format!("record {n}").into())));
    }
    for append in appends {
        append.await.unwrap().unwrap();
    }

    // The end that A is told covers what B has appended, and A's own view of it follows.
    let end = a.latest_end().await.unwrap();
    assert_eq!(end, Position(100));
    for log in [&a, &b] {
        log.watch_end().wait_for(|seen| *seen == end).await.unwrap();
    }
    let of_a = blocking(&a, |log| read_all(log)).await;
    let of_b = blocking(&b, |log| read_all(log)).await;
    assert_eq!(of_a, of_b);
    assert_eq!(of_a.len(), 100);
}
