//! `[log]`: where the events are kept.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use yingku_storage::log::{KafkaLogOptions, KafkaLogin, KafkaMechanism, KafkaTls, Secret};

/// The embedded log's name in the settings.
pub const EMBEDDED: &str = "embedded";
/// The password of the Kafka login; takes the place of a file.
const PASSWORD: &str = "YINGKU_KAFKA_PASSWORD";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `embedded`, or `kafka://HOST:PORT,HOST:PORT/TOPIC`.
    pub place: String,
    pub kafka: Kafka,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    pub replication: Option<u16>,
    pub min_insync_replicas: Option<u16>,
    pub tls: bool,
    pub ca_file: Option<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub login: Option<Login>,
    pub username: String,
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Login {
    #[serde(rename = "plain")]
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            place: EMBEDDED.to_owned(),
            kafka: Kafka::default(),
        }
    }
}

impl Log {
    /// Whether other nodes may follow it.
    pub fn is_shared(&self) -> bool {
        self.place != EMBEDDED
    }

    /// The topic, if the log is in Kafka. Files are relative to the data directory.
    pub fn kafka_options(&self, data: &Path) -> anyhow::Result<Option<KafkaLogOptions>> {
        if !self.is_shared() {
            return Ok(None);
        }
        let (brokers, topic) = split(&self.place).with_context(|| {
            format!(
                "log.place: 应为 {EMBEDDED} 或 kafka://主机:端口/主题 (must be {EMBEDDED} or kafka://HOST:PORT/TOPIC): {}",
                self.place
            )
        })?;
        let kafka = &self.kafka;
        // A broker on this machine alone is for development, and has nobody to keep a second copy.
        let (copies, in_step) = if is_local(brokers) { (1, 1) } else { (3, 2) };
        let replication = kafka.replication.unwrap_or(copies);
        let min_insync_replicas = kafka.min_insync_replicas.unwrap_or(in_step);
        anyhow::ensure!(
            (1..=replication).contains(&min_insync_replicas),
            "log.kafka.min_insync_replicas: 须在 1 与 replication 之间 (between 1 and replication)"
        );
        let at = |file: &Option<PathBuf>| file.as_ref().map(|file| data.join(file));
        let tls = kafka.tls.then(|| KafkaTls {
            ca_file: at(&kafka.ca_file),
            certificate_file: at(&kafka.certificate_file),
            key_file: at(&kafka.key_file),
        });
        Ok(Some(KafkaLogOptions {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            replication,
            min_insync_replicas,
            tls,
            login: kafka.login(data)?,
        }))
    }
}

impl Kafka {
    fn login(&self, data: &Path) -> anyhow::Result<Option<KafkaLogin>> {
        let Some(login) = self.login else {
            return Ok(None);
        };
        anyhow::ensure!(
            !self.username.is_empty(),
            "log.kafka.username: 未设置 (is not set)"
        );
        let password = match (std::env::var(PASSWORD), &self.password_file) {
            (Ok(password), _) => password,
            (Err(_), Some(file)) => {
                let file = data.join(file);
                std::fs::read_to_string(&file)
                    .with_context(|| format!("log.kafka.password_file {}", file.display()))?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned()
            }
            (Err(_), None) => anyhow::bail!(
                "log.kafka.password_file 或环境变量 {PASSWORD} 须有其一 (one of them must be set)"
            ),
        };
        Ok(Some(KafkaLogin {
            mechanism: match login {
                Login::Plain => KafkaMechanism::Plain,
                Login::ScramSha256 => KafkaMechanism::ScramSha256,
                Login::ScramSha512 => KafkaMechanism::ScramSha512,
            },
            username: self.username.clone(),
            password: Secret::new(password),
        }))
    }
}

/// Brokers and topic.
fn split(place: &str) -> Option<(&str, &str)> {
    let (brokers, topic) = place.strip_prefix("kafka://")?.split_once('/')?;
    let named = |broker: &str| {
        broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    // Kafka's own rule, with room for the audit stream's longer name.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let topic_fits = (1..=200).contains(&topic.len()) && topic.chars().all(fits);
    (brokers.split(',').all(named) && topic_fits).then_some((brokers, topic))
}

fn is_local(brokers: &str) -> bool {
    brokers.split(',').all(|broker| {
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(place: &str, more: &str) -> anyhow::Result<Option<KafkaLogOptions>> {
        let log: Log = toml::from_str(&format!("place = '{place}'\n[kafka]\n{more}")).unwrap();
        log.kafka_options(Path::new("/data"))
    }

    #[test]
    fn a_place_is_embedded_or_a_topic() {
        assert!(options("embedded", "").unwrap().is_none());
        let kafka = options("kafka://a:9092,b:9092/yingku", "")
            .unwrap()
            .unwrap();
        assert_eq!(
            (kafka.brokers.as_str(), kafka.topic.as_str()),
            ("a:9092,b:9092", "yingku")
        );
        for wrong in [
            "kafka://a:9092",
            "kafka://a/yingku",
            "kafka://a:9092/",
            "kafka://a:9092/a/b",
            "kafka:a:9092/t",
            "embeded",
        ] {
            assert!(options(wrong, "").is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_copy_is_taken_only_where_it_is_said_or_on_this_machine() {
        let copies = |place, more| {
            let kafka = options(place, more).unwrap().unwrap();
            (kafka.replication, kafka.min_insync_replicas)
        };
        assert_eq!(copies("kafka://kafka1:9092/t", ""), (3, 2));
        assert_eq!(copies("kafka://127.0.0.1:9092/t", ""), (1, 1));
        assert_eq!(copies("kafka://127.0.0.1:9092,kafka1:9092/t", ""), (3, 2));
        let said = "replication = 1\nmin_insync_replicas = 1";
        assert_eq!(copies("kafka://kafka1:9092/t", said), (1, 1));
        assert!(options("kafka://kafka1:9092/t", "replication = 1").is_err());
    }

    #[test]
    fn a_password_comes_from_a_file_and_shows_itself_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "geheim\n").unwrap();
        let more = format!(
            "login = 'scram-sha-512'\nusername = 'yingku'\npassword_file = '{}'",
            file.display()
        );
        let kafka = options("kafka://a:9092/t", &more).unwrap().unwrap();
        let password = kafka.login.unwrap().password;
        assert_eq!(format!("{password:?}"), "Secret");

        assert!(options("kafka://a:9092/t", "login = 'plain'\nusername = 'yingku'").is_err());
        assert!(options("kafka://a:9092/t", "login = 'plain'").is_err());
    }
}
