//! The topic's settings: made as they must be, and checked before anything is read or written.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::ASK_TIMEOUT;
use super::client::{Doubt, hear};
use super::error::KafkaOpenError;
use super::options::{KafkaLogOptions, MAX_BATCH_BYTES};

/// How long a start tries to reach the brokers.
const REACH_TIMEOUT: Duration = Duration::from_secs(20);
/// Until all brokers know a new topic.
const CREATED_TIMEOUT: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(200);

/// Settings that must be just so, with what another value would do.
const EXACT: [(&str, &str, &str); 5] = [
    ("cleanup.policy", "delete", "others remove single events"),
    (
        "retention.ms",
        "-1",
        "otherwise events are removed with time",
    ),
    (
        "retention.bytes",
        "-1",
        "otherwise old events are removed for new ones",
    ),
    (
        "message.timestamp.type",
        "LogAppendTime",
        "the log's time must be the broker's, in log order",
    ),
    (
        "unclean.leader.election.enable",
        "false",
        "otherwise acknowledged events may vanish",
    ),
];

/// Makes the topic if it is not there and never was, and refuses one that is not kept as the log needs it.
pub fn prepare(
    options: &KafkaLogOptions,
    consumer: &BaseConsumer<Doubt>,
    remembered: &Path,
    runtime: &tokio::runtime::Handle,
) -> Result<(), KafkaOpenError> {
    let admin: AdminClient<Doubt> = options
        .client()
        .create_with_context(Doubt::default())
        .map_err(KafkaOpenError::Settings)?;
    let copies = match look(options, consumer, REACH_TIMEOUT, false)? {
        Some(copies) => copies,
        None if remembered.exists() => {
            return Err(KafkaOpenError::Foreign {
                topic: options.topic.clone(),
                reason: "there is no such topic any more".to_owned(),
                remembered: remembered.to_owned(),
            });
        }
        None => {
            runtime.block_on(create(options, &admin))?;
            look(options, consumer, CREATED_TIMEOUT, true)?.unwrap_or_default()
        }
    };
    let settings = runtime.block_on(describe(options, &admin))?;
    let mut faults = partition_faults(options, &copies);
    faults.extend(setting_faults(options, &settings, &copies));
    if !faults.is_empty() {
        return Err(KafkaOpenError::WrongSettings {
            topic: options.topic.clone(),
            faults,
        });
    }
    Ok(())
}

/// Copies of each partition; `None` if there is no such topic.
fn look(
    options: &KafkaLogOptions,
    consumer: &BaseConsumer<Doubt>,
    limit: Duration,
    made: bool,
) -> Result<Option<Vec<usize>>, KafkaOpenError> {
    let deadline = Instant::now() + limit;
    loop {
        let found = consumer
            .fetch_metadata(Some(&options.topic), ASK_TIMEOUT)
            .map(|metadata| {
                let topic = metadata.topics().first()?;
                let ready = topic.error().is_none() && !topic.partitions().is_empty();
                ready.then(|| {
                    topic
                        .partitions()
                        .iter()
                        .map(|it| it.replicas().len())
                        .collect()
                })
            });
        match found {
            Ok(None) if made && Instant::now() < deadline => {}
            Ok(found) => return Ok(found),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => {
                hear(consumer, RETRY);
                let reason = consumer.context().reason();
                let hopeless = reason.as_ref().is_some_and(|(_, hopeless)| *hopeless);
                if hopeless || Instant::now() >= deadline {
                    return Err(KafkaOpenError::Unreachable {
                        brokers: options.brokers.clone(),
                        reason: reason.map_or_else(|| error.to_string(), |(text, _)| text),
                    });
                }
            }
        }
        std::thread::sleep(RETRY);
    }
}

fn is_absent(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
    )
}

fn needed(options: &KafkaLogOptions) -> Vec<(&'static str, String)> {
    let exact = EXACT
        .iter()
        .map(|(key, value, _)| (*key, (*value).to_owned()));
    exact
        .chain([
            (
                "min.insync.replicas",
                options.min_insync_replicas.to_string(),
            ),
            ("max.message.bytes", MAX_BATCH_BYTES.to_string()),
        ])
        .collect()
}

async fn create(
    options: &KafkaLogOptions,
    admin: &AdminClient<Doubt>,
) -> Result<(), KafkaOpenError> {
    let settings = needed(options);
    let copies = TopicReplication::Fixed(i32::from(options.replication));
    let mut topic = NewTopic::new(&options.topic, 1, copies);
    for (key, value) in &settings {
        topic = topic.set(key, value);
    }
    let limits = AdminOptions::new().operation_timeout(Some(CREATED_TIMEOUT));
    let failed = |reason: String| KafkaOpenError::Create {
        topic: options.topic.clone(),
        settings: std::iter::once("1 partition".to_owned())
            .chain([format!("{} copies", options.replication)])
            .chain(settings.iter().map(|(key, value)| format!("{key}={value}")))
            .collect(),
        reason,
    };
    let made = admin.create_topics([&topic], &limits).await;
    match made.map_err(|error| failed(error.to_string()))?.pop() {
        Some(Ok(_)) => {
            tracing::info!(topic = %options.topic, copies = options.replication, "the topic was made");
            Ok(())
        }
        // Another node was faster.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(code.to_string())),
        None => Err(failed("no answer".to_owned())),
    }
}

async fn describe(
    options: &KafkaLogOptions,
    admin: &AdminClient<Doubt>,
) -> Result<ConfigResource, KafkaOpenError> {
    let failed = |reason: String| KafkaOpenError::Describe {
        topic: options.topic.clone(),
        reason,
    };
    let asked = [ResourceSpecifier::Topic(&options.topic)];
    let answer = admin.describe_configs(&asked, &AdminOptions::new()).await;
    match answer.map_err(|error| failed(error.to_string()))?.pop() {
        Some(Ok(settings)) => Ok(settings),
        Some(Err(code)) => Err(failed(code.to_string())),
        None => Err(failed("no answer".to_owned())),
    }
}

fn partition_faults(options: &KafkaLogOptions, copies: &[usize]) -> Vec<String> {
    let mut faults = Vec::new();
    if copies.len() != 1 {
        faults.push(format!(
            "it has {} partitions and must have exactly 1, so that there is one order; name another topic",
            copies.len()
        ));
    }
    let fewest = copies.iter().copied().min().unwrap_or(0);
    if fewest < usize::from(options.replication) {
        faults.push(format!(
            "it has {fewest} copies of each record and {} are asked for; reassign its replicas, or set \
             log.kafka.replication",
            options.replication
        ));
    }
    faults
}

fn setting_faults(
    options: &KafkaLogOptions,
    settings: &ConfigResource,
    copies: &[usize],
) -> Vec<String> {
    let value = |key: &str| {
        let entry = settings.get(key)?;
        entry.value.as_deref()
    };
    let number = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok());
    let mut faults = Vec::new();
    let mut wrong = |key: &str, needed: &str, why: &str| {
        faults.push(format!(
            "{key} is {} and must be {needed} ({why})",
            value(key).unwrap_or("unknown")
        ));
    };
    for (key, needed, why) in EXACT {
        if value(key) != Some(needed) {
            wrong(key, needed, why);
        }
    }
    let least = u64::from(options.min_insync_replicas);
    let most = copies.iter().copied().min().unwrap_or(0) as u64;
    match number("min.insync.replicas") {
        Some(set) if set > most => {
            wrong(
                "min.insync.replicas",
                &format!("at most {most}"),
                "there are no more copies",
            );
        }
        Some(set) if set >= least => {}
        _ => wrong(
            "min.insync.replicas",
            &format!("at least {least}"),
            "an acknowledged event must outlive a broker",
        ),
    }
    if number("max.message.bytes").is_none_or(|set| set < MAX_BATCH_BYTES as u64) {
        wrong(
            "max.message.bytes",
            &format!("at least {MAX_BATCH_BYTES}"),
            "the largest event must fit",
        );
    }
    if !faults.is_empty() {
        faults.push(format!(
            "set them with kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config KEY=VALUE",
            options.topic
        ));
    }
    faults
}
