//! Why a topic is not taken as the event log, in words that say what to do.

use std::path::PathBuf;

use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error)]
pub enum KafkaOpenError {
    #[error("the settings of the Kafka client are not valid")]
    Settings(#[source] KafkaError),
    #[error(
        "the Kafka brokers {brokers} cannot be reached; check that they run, their addresses, TLS and login: {reason}"
    )]
    Unreachable { brokers: String, reason: String },
    #[error("the topic {topic} cannot be made; make it yourself ({}), or give this user the right to", settings.join(", "))]
    Create {
        topic: String,
        settings: Vec<String>,
        reason: String,
    },
    #[error(
        "the settings of the topic {topic} cannot be read ({reason}); this user needs DescribeConfigs on it"
    )]
    Describe { topic: String, reason: String },
    #[error("the topic {topic} would lose or reorder events as it is set: {}", faults.join("; "))]
    WrongSettings { topic: String, faults: Vec<String> },
    #[error(
        "the topic {topic} is not the one that this archive has used: {reason}. Name the right brokers and topic. To \
         accept this topic as it is, remove {} and the views directory", remembered.display()
    )]
    Foreign {
        topic: String,
        reason: String,
        remembered: PathBuf,
    },
    #[error(
        "the topic {topic} has lost its first {records} records: it was cut, or its retention is not unlimited. \
         Restore it from a copy; an archive is not served from half a log"
    )]
    Truncated { topic: String, records: u64 },
    #[error("the topic {topic} cannot be read: {reason}")]
    Read { topic: String, reason: String },
    #[error("{} cannot be written", path.display())]
    Remember {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not readable; it says which topic this archive uses: restore it, or remove it to learn it anew", path.display())]
    Remembered {
        path: PathBuf,
        source: std::io::Error,
    },
}
