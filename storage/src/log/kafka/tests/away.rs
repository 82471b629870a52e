//! Brokers that stop, die and come back under appends. The appenders' own ledger is the judge.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::task::JoinHandle;

use super::*;

/// Resolves once the log is away, or back.
async fn state(log: &KafkaLog, wanted: impl Fn(&State) -> bool) {
    let mut states = log.shared.state.subscribe();
    states.wait_for(|state| wanted(state)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_appends_are_unknown_and_when_it_is_back_they_go_on() {
    let broker = Broker::start_new();
    let (options, data) = (broker.options(), Data::new());
    let log = Arc::new(open(&options, &data).await);
    log.append("before".into()).await.unwrap();

    // When it stops in the middle of everything, then an append has its answer in time.
    broker.signal("-STOP");
    let begun = Instant::now();
    let answer = log.append("unknown".into()).await;
    assert!(matches!(answer, Err(LogError::Away { .. })), "{answer:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    state(&log, |state| matches!(state, State::Away(_))).await;
    assert!(log.health().away.is_some() && !log.health().accepts());
    // Once that is known nobody waits.
    let begun = Instant::now();
    assert!(log.append("refused".into()).await.unwrap_err().is_away());
    assert!(log.latest_end().await.unwrap_err().is_away());
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    // What was read stays readable.
    assert_eq!(log.get(Position(0)).unwrap().unwrap().bytes, "before");

    broker.signal("-CONT");
    state(&log, |state| *state == State::Here).await;
    let position = log.append("after".into()).await.unwrap();
    assert_eq!(log.latest_end().await.unwrap(), position.next());

    // The same when it dies; a start while it is dead says so.
    broker.signal("-KILL");
    assert!(log.append("unknown".into()).await.unwrap_err().is_away());
    state(&log, |state| matches!(state, State::Away(_))).await;
    broker.start();
    state(&log, |state| *state == State::Here).await;
    let position = log.append("at the end".into()).await.unwrap();
    let all = blocking(&log, |log| read_all(log)).await;
    assert_eq!(all.len() as u64, position.next().0);
    let times = |text: &str| all.iter().filter(|record| *record == text).count();
    assert_eq!(
        (times("before"), times("after"), times("at the end")),
        (1, 1, 1)
    );
    assert_eq!(times("refused"), 0);
    assert!(times("unknown") <= 2);
}

/// What one appender knows.
#[derive(Default)]
struct Ledger {
    /// In the order of their appends.
    acknowledged: Vec<(Position, Bytes)>,
    /// How often each record was answered with "unknown".
    unknown: HashMap<Bytes, usize>,
}

/// Appends numbered records, each until it is acknowledged.
fn appender(log: Arc<KafkaLog>, name: usize, done: Arc<AtomicBool>) -> JoinHandle<Ledger> {
    tokio::spawn(async move {
        let mut ledger = Ledger::default();
        let mut number = 0;
        while !done.load(Ordering::Acquire) {
            let record = Bytes::from(format!("{name}:{number}"));
            match log.append(record.clone()).await {
                Ok(position) => {
                    ledger.acknowledged.push((position, record));
                    number += 1;
                }
                Err(error) => {
                    assert!(error.is_away(), "{error:?}");
                    *ledger.unknown.entry(record).or_default() += 1;
                    tokio::task::yield_now().await;
                    state(&log, |state| *state == State::Here).await;
                }
            }
        }
        ledger
    })
}

/// Resolves once the log has grown by `records`.
async fn grown(log: &KafkaLog, records: u64) {
    let mut end = log.watch_end();
    let goal = end.borrow().0 + records;
    end.wait_for(|end| end.0 >= goal).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_when_the_broker_dies_and_hangs_under_appends() {
    const APPENDERS: usize = 16;
    let broker = Broker::start_new();
    let (options, data) = (broker.options(), Data::new());
    let log = Arc::new(open(&options, &data).await);
    let done = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|name| appender(Arc::clone(&log), name, Arc::clone(&done)))
        .collect();

    for round in ["-KILL", "-STOP", "-KILL", "-KILL", "-STOP"] {
        grown(&log, 500).await;
        broker.signal(round);
        state(&log, |state| matches!(state, State::Away(_))).await;
        if round == "-KILL" {
            broker.start();
        } else {
            broker.signal("-CONT");
        }
        state(&log, |state| *state == State::Here).await;
    }
    grown(&log, 500).await;
    done.store(true, Ordering::Release);

    let mut ledgers = Vec::new();
    for appender in appenders {
        ledgers.push(appender.await.unwrap());
    }
    drop(log);
    let log = Arc::new(open(&options, &data).await);
    let all = blocking(&log, |log| read_all(log)).await;
    let mut found: HashMap<&Bytes, usize> = HashMap::new();
    for record in &all {
        *found.entry(record).or_default() += 1;
    }
    assert!(ledgers.iter().any(|ledger| !ledger.unknown.is_empty()));
    for ledger in &ledgers {
        assert!(
            ledger
                .acknowledged
                .is_sorted_by_key(|(position, _)| *position)
        );
        for (position, record) in &ledger.acknowledged {
            assert_eq!(&all[position.0 as usize], record, "at {position}");
            // Twice only if the sender was told that it may be.
            let unknown = ledger.unknown.get(record).copied().unwrap_or(0);
            assert!(
                found[record] <= 1 + unknown,
                "{record:?} is there {} times",
                found[record]
            );
        }
    }
}
