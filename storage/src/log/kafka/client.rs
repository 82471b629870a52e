//! What the clients of one log tell while they work: their own log lines, and that a connection may have been lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Kinds of log lines that mean that a connection ended or does not answer.
const LOST: [&str; 3] = ["FAIL", "REQTMOUT", "ERROR"];

/// Raised when the brokers may not be what they were: a connection broke, a call failed. Whoever follows the log then
/// looks whether it is still the same, before it believes what it reads. Clones are the same.
#[derive(Clone, Default)]
pub struct Doubt(Arc<AtomicBool>);

impl Doubt {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Whether it was raised since the last time; lowers it.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl ClientContext for Doubt {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, text: &str) {
        if LOST.contains(&kind) {
            self.raise();
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", kind, "{text}"),
            _ => tracing::debug!(target: "kafka", kind, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, text: &str) {
        if !is_of_a_group(&error) {
            self.raise();
            tracing::debug!(target: "kafka", %error, "{text}");
        }
    }
}

impl ConsumerContext for Doubt {}

/// The library looks for the coordinator of a group that nobody joins; whether there is one does not matter.
pub fn is_of_a_group(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::NotCoordinator
        )
    )
}
