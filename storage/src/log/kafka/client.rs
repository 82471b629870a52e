//! What the clients of one log tell while they work: their own log lines, and that a connection may have been lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Kinds of log lines that mean that a connection ended or does not answer.
const LOST: [&str; 3] = ["FAIL", "REQTMOUT", "ERROR"];

/// Raised when the brokers may not be what they were: a connection broke, a call failed. Whoever follows the log then
/// looks whether it is still the same, before it believes what it reads. Clones are the same.
#[derive(Clone, Default)]
pub struct Doubt(Arc<State>);

#[derive(Default)]
struct State {
    raised: AtomicBool,
    /// The last thing that went wrong, in the library's words.
    last: Mutex<Option<(KafkaError, String)>>,
}

impl Doubt {
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::Release);
    }

    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Whether it was raised since the last time; lowers it.
    pub fn take(&self) -> bool {
        self.0.raised.swap(false, Ordering::AcqRel)
    }

    /// The last thing that went wrong, and whether trying again is of no use.
    pub fn reason(&self) -> Option<(String, bool)> {
        let last = self.0.last.lock();
        last.as_ref().map(|(error, text)| {
            let code = error.rdkafka_error_code();
            let hopeless = matches!(
                code,
                Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
            );
            (text.clone(), hopeless)
        })
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
        if is_of_a_group(&error) {
            return;
        }
        self.raise();
        // That all of them are down says less than what was said of one.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.last.lock() = Some((error, text.to_owned()));
        }
    }
}

impl ConsumerContext for Doubt {}

/// Lets the library say what it has to say, for so long. Records that it brings meanwhile are lost to this consumer
/// until it is assigned anew.
pub fn hear(consumer: &BaseConsumer<Doubt>, time: Duration) {
    let deadline = Instant::now() + time;
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        let _ = consumer.poll(left);
    }
}

/// Lets go of a consumer; its end waits for its connections, and nobody waits for that.
pub fn give_up(consumer: impl Send + 'static) {
    std::thread::spawn(move || drop(consumer));
}

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
