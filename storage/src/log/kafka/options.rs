//! Which topic, on which brokers, and how they are reached.

use std::fmt;
use std::path::PathBuf;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use zeroize::Zeroizing;

use crate::log::MAX_RECORD_BYTES;

/// A record's envelope in Kafka's own format, and more.
const RECORD_FRAME_BYTES: usize = 64 * 1024;
/// The largest batch that a topic of the log must take: a largest record that does not compress fits.
pub const MAX_BATCH_BYTES: usize = MAX_RECORD_BYTES + RECORD_FRAME_BYTES;
/// A record that is not acknowledged by then is not sent any more. Less than [`crate::log::APPEND_LIMIT`], so that
/// whoever was told "unknown" does not see it appear minutes later.
const MESSAGE_TIMEOUT_MS: u32 = 8_000;
/// A broker that does not answer for so long is hung up on.
const SOCKET_TIMEOUT_MS: u32 = 6_000;
/// Between two attempts to connect, at most.
const RECONNECT_MS: u32 = 1_000;
/// How long an append waits for others that travel with it.
const LINGER_MS: u32 = 1;

#[derive(Clone)]
pub struct KafkaLogOptions {
    /// `host:port`, several with commas; the others are learned from them.
    pub brokers: String,
    pub topic: String,
    /// Copies of every record, one a broker.
    pub replication: u16,
    /// Copies that must be written before an append is acknowledged. Kafka acknowledges before it syncs, so that one
    /// copy may be lost with its machine.
    pub min_insync_replicas: u16,
    pub tls: Option<KafkaTls>,
    pub login: Option<KafkaLogin>,
}

impl KafkaLogOptions {
    /// Whether it is the same topic, as far as addresses tell.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.brokers, &self.topic) == (&other.brokers, &other.topic)
    }
}

/// TLS to the brokers; their names are checked.
#[derive(Clone, Default)]
pub struct KafkaTls {
    /// PEM; the system's authorities if absent.
    pub ca_file: Option<PathBuf>,
    /// PEM, for brokers that ask their clients for one.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

#[derive(Clone)]
pub struct KafkaLogin {
    pub mechanism: KafkaMechanism,
    pub username: String,
    pub password: Secret,
}

/// SASL mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// Text that never shows itself.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl KafkaMechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What a consumer is for.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// Waits at the end for what comes.
    Tail,
    /// Reads long stretches: fetches ahead.
    Stretch,
    /// Reads one record here and there: fetches nothing that was not asked for.
    Point,
}

impl KafkaLogOptions {
    /// The same brokers, the topic of the audit stream.
    pub fn audit(&self) -> Self {
        Self {
            topic: format!("{}-audit", self.topic),
            ..self.clone()
        }
    }

    /// What every client is told.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "yingku")
            .set("socket.timeout.ms", SOCKET_TIMEOUT_MS.to_string())
            .set(
                "socket.connection.setup.timeout.ms",
                SOCKET_TIMEOUT_MS.to_string(),
            )
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", RECONNECT_MS.to_string())
            .set("allow.auto.create.topics", "false")
            .set("enable.metrics.push", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        self.secure(&mut config);
        config
    }

    fn secure(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.login) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            for (key, file) in [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.certificate_file),
                ("ssl.key.location", &tls.key_file),
            ] {
                if let Some(file) = file {
                    config.set(key, file.to_string_lossy());
                }
            }
        }
        if let Some(login) = &self.login {
            config
                .set("sasl.mechanism", login.mechanism.name())
                .set("sasl.username", &login.username)
                .set("sasl.password", login.password.0.as_str());
        }
    }

    pub fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS.to_string())
            .set("request.timeout.ms", SOCKET_TIMEOUT_MS.to_string())
            .set("message.max.bytes", MAX_BATCH_BYTES.to_string())
            .set("linger.ms", LINGER_MS.to_string())
            .set("compression.type", "lz4");
        config
    }

    pub fn consumer(&self, purpose: Purpose) -> ClientConfig {
        // (ready records, KiB of them, bytes of one fetch, how long the broker may wait for some)
        let (messages, kbytes, fetch_bytes, wait_ms) = match purpose {
            // Whoever asks for the end waits behind a fetch that waits for the next record.
            Purpose::Tail => (10_000, 16 << 10, 1 << 20, 20),
            Purpose::Stretch => (100_000, 16 << 10, 4 << 20, 20),
            Purpose::Point => (1, 1, 64 << 10, 20),
        };
        let mut config = self.client();
        config
            // Never joined: positions are kept with the views.
            .set("group.id", format!("yingku-{}", self.topic))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("queued.min.messages", messages.to_string())
            .set("queued.max.messages.kbytes", kbytes.to_string())
            .set("fetch.message.max.bytes", fetch_bytes.to_string())
            .set("fetch.wait.max.ms", wait_ms.to_string())
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100");
        config
    }
}
