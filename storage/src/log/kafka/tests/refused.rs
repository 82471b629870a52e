//! Topics that are not taken: kept otherwise than a log needs, cut, made anew, of another cluster.

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};

use super::*;

const NEEDED: [(&str, &str); 6] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.insync.replicas", "1"),
    ("max.message.bytes", "2000000"),
];

/// Makes a topic as it is needed, but for one setting.
async fn make(broker: &Broker, topic: &str, partitions: i32, other: (&str, &str)) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in NEEDED {
        new = new.set(key, if key == other.0 { other.1 } else { value });
    }
    if !NEEDED.iter().any(|(key, _)| *key == other.0) && !other.0.is_empty() {
        new = new.set(other.0, other.1);
    }
    let limits = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let made = broker.admin().create_topics([&new], &limits).await;
    made.unwrap().pop().unwrap().unwrap();
}

async fn delete(admin: &AdminClient<Doubt>, topic: &str) {
    let limits = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let deleted = admin.delete_topics(&[topic], &limits).await;
    deleted.unwrap().pop().unwrap().unwrap();
}

/// Removes the records before a position.
async fn cut(admin: &AdminClient<Doubt>, topic: &str, before: i64) {
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(topic, PARTITION, Offset::Offset(before))
        .unwrap();
    admin
        .delete_records(&at, &AdminOptions::new())
        .await
        .unwrap();
}

async fn refusal(options: &KafkaLogOptions, data: &Data) -> String {
    match try_open(options, data).await {
        Ok(_) => panic!("the topic was taken"),
        Err(error) => error.to_string(),
    }
}

/// Resolves with the reason once the log has found that it is another one.
async fn stopped(log: &KafkaLog) -> Arc<str> {
    let mut states = log.shared.state.subscribe();
    let stopped = states.wait_for(|state| matches!(state, State::Stopped(_)));
    match &*stopped.await.unwrap() {
        State::Stopped(reason) => Arc::clone(reason),
        _ => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_would_lose_or_reorder_events_is_refused_with_words() {
    let broker = Broker::shared();
    for (partitions, other, words) in [
        (
            1,
            ("retention.ms", "604800000"),
            "retention.ms is 604800000 and must be -1",
        ),
        (1, ("retention.bytes", "1000000"), "retention.bytes"),
        (
            1,
            ("cleanup.policy", "compact"),
            "cleanup.policy is compact",
        ),
        (
            1,
            ("message.timestamp.type", "CreateTime"),
            "message.timestamp.type",
        ),
        (
            1,
            ("unclean.leader.election.enable", "true"),
            "unclean.leader",
        ),
        (1, ("max.message.bytes", "1048588"), "max.message.bytes"),
        (1, ("min.insync.replicas", "2"), "must be at most 1"),
        (3, ("", ""), "has 3 partitions and must have exactly 1"),
    ] {
        let options = broker.options();
        make(broker, &options.topic, partitions, other).await;
        let refusal = refusal(&options, &Data::new()).await;
        assert!(refusal.contains(words), "{refusal}");
    }
    // and nothing else is wrong with such a topic
    let options = broker.options();
    make(broker, &options.topic, 1, ("", "")).await;
    drop(open(&options, &Data::new()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_copy_is_not_taken_for_three() {
    let broker = Broker::shared();
    let mut options = broker.options();
    make(broker, &options.topic, 1, ("", "")).await;
    options.replication = 3;
    options.min_insync_replicas = 2;
    let words = refusal(&options, &Data::new()).await;
    assert!(
        words.contains("1 copies of each record and 3 are asked for"),
        "{words}"
    );
    assert!(
        words.contains("min.insync.replicas is 1 and must be at least 2"),
        "{words}"
    );

    options.topic.push_str("-new");
    let words = refusal(&options, &Data::new()).await;
    assert!(words.contains("cannot be made"), "{words}");
    assert!(words.contains("min.insync.replicas=2"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_whose_beginning_is_gone_is_refused() {
    let broker = Broker::shared();
    let (options, data) = (broker.options(), Data::new());
    let log = open(&options, &data).await;
    log.append_all(numbered(0..10)).await.unwrap();

    cut(&broker.admin(), &options.topic, 4).await;

    log.shared.doubt.raise();
    let reason = stopped(&log).await;
    assert!(reason.contains("lost its first 4 records"), "{reason}");
    assert!(matches!(
        log.append("more".into()).await,
        Err(LogError::Latched { .. })
    ));
    assert!(matches!(
        log.read(Position(0), 1, 1),
        Err(LogError::Latched { .. })
    ));
    assert!(log.health().latched.is_some());
    drop(log);
    for data in [data, Data::new()] {
        let words = refusal(&options, &data).await;
        assert!(words.contains("lost its first 4 records"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_anew_is_refused() {
    let broker = Broker::shared();
    let (options, data) = (broker.options(), Data::new());
    let log = open(&options, &data).await;
    log.append_all(numbered(0..10)).await.unwrap();
    drop(log);
    // Opened with its records there once, the archive knows the topic by its first.
    drop(open(&options, &data).await);

    delete(&broker.admin(), &options.topic).await;
    let words = refusal(&options, &data).await;
    assert!(words.contains("no such topic any more"), "{words}");

    make(broker, &options.topic, 1, ("", "")).await;
    let words = refusal(&options, &data).await;
    assert!(words.contains("made anew"), "{words}");

    let other = open(&options, &Data::new()).await;
    other.append_all(numbered(100..200)).await.unwrap();
    let words = refusal(&options, &data).await;
    assert!(words.contains("its first record is another one"), "{words}");
    assert!(words.contains("log.kafka.json"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_while_it_is_read_stops_the_log() {
    let broker = Broker::shared();
    let (options, data) = (broker.options(), Data::new());
    let log = open(&options, &data).await;
    log.append_all(numbered(0..10)).await.unwrap();

    delete(&broker.admin(), &options.topic).await;
    make(broker, &options.topic, 1, ("", "")).await;
    // It grows past where it was before anybody looks.
    let other = open(&options, &Data::new()).await;
    other.append_all(numbered(100..120)).await.unwrap();

    log.shared.doubt.raise();
    let reason = stopped(&log).await;
    assert!(reason.contains("it is another log"), "{reason}");
    assert!(log.append("more".into()).await.is_err());
    assert!(log.latest_end().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_another_cluster_or_name_is_refused() {
    let broker = Broker::shared();
    let (options, data) = (broker.options(), Data::new());
    drop(open(&options, &data).await);

    let mut elsewhere = broker.options();
    elsewhere.topic.push_str("-other");
    make(broker, &elsewhere.topic, 1, ("", "")).await;
    let words = refusal(&elsewhere, &data).await;
    assert!(
        words.contains(&format!("it was {}", options.topic)),
        "{words}"
    );

    let remembered = std::fs::read_to_string(data.remembered()).unwrap();
    let cluster = open(&options, &Data::new()).await.shared.cluster.clone();
    assert!(remembered.contains(&cluster));
    let foreign = remembered.replace(&cluster, "another-cluster-id");
    std::fs::write(data.remembered(), foreign).unwrap();
    let words = refusal(&options, &data).await;
    assert!(words.contains("its cluster is"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_between_records_stops_the_log() {
    // Given a topic in which a transaction leaves its mark, which takes an offset
    let broker = Broker::shared();
    let (options, data) = (broker.options(), Data::new());
    let log = open(&options, &data).await;
    log.append("before".into()).await.unwrap();
    let topic = options.topic.clone();
    let mut foreign = options.client();
    foreign.set("transactional.id", "somebody else");
    tokio::task::spawn_blocking(move || {
        use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
        let producer: BaseProducer = foreign.create().unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        for _ in 0..2 {
            producer.begin_transaction().unwrap();
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(&topic).payload(b"in a transaction");
            producer.send(record).unwrap();
            producer
                .commit_transaction(Duration::from_secs(30))
                .unwrap();
        }
    })
    .await
    .unwrap();

    let reason = stopped(&log).await;
    assert!(reason.contains("written in transactions"), "{reason}");
}
