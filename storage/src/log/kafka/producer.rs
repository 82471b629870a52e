//! Appending: an idempotent producer that waits for all copies in step.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use yingku_core::ids::Position;

use super::client::Doubt;
use super::options::KafkaLogOptions;
use super::{PARTITION, TIME_HEADER};
use crate::log::LogError;
use crate::log::room::Share;

/// Where the brokers put the record, or why that is unknown.
pub type Delivery = Result<Position, LogError>;

/// A record on its way.
pub struct Pending {
    answer: oneshot::Sender<Delivery>,
    /// Given back when the brokers have answered, also if nobody waits for that any more.
    _share: Share,
}

pub struct Appender {
    options: KafkaLogOptions,
    doubt: Doubt,
    current: Mutex<Arc<ThreadedProducer<Deliveries>>>,
}

impl Appender {
    pub fn new(options: &KafkaLogOptions, doubt: &Doubt) -> KafkaResult<Self> {
        let current = Arc::new(make(options, doubt)?);
        Ok(Self {
            options: options.clone(),
            doubt: doubt.clone(),
            current: Mutex::new(current),
        })
    }

    /// Sends a record; records of one caller keep their order. `time_ms`: when another log took it.
    pub fn send(
        &self,
        record: &[u8],
        time_ms: Option<i64>,
        share: Share,
    ) -> Result<oneshot::Receiver<Delivery>, LogError> {
        let producer = self.usable()?;
        let (answer, delivery) = oneshot::channel();
        let pending = Box::new(Pending {
            answer,
            _share: share,
        });
        let mut message: BaseRecord<'_, (), [u8], _> =
            BaseRecord::with_opaque_to(&self.options.topic, pending)
                .partition(PARTITION)
                .payload(record);
        if let Some(time_ms) = time_ms {
            let time = Header {
                key: TIME_HEADER,
                value: Some(&time_ms.to_be_bytes()),
            };
            message = message.headers(OwnedHeaders::new().insert(time));
        }
        match producer.send(message) {
            Ok(()) => Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                let waiting = usize::try_from(producer.in_flight_count()).unwrap_or(0);
                Err(LogError::Busy { waiting })
            }
            Err((error, _)) => Err(LogError::away(error.to_string())),
        }
    }

    /// The producer, a new one if the last came to an end: its numbering of records no longer fits the brokers'.
    fn usable(&self) -> Result<Arc<ThreadedProducer<Deliveries>>, LogError> {
        let mut current = self.current.lock();
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::warn!(%code, reason, "the Kafka producer ended and is made anew");
            let made = make(&self.options, &self.doubt);
            *current = Arc::new(made.map_err(|error| LogError::away(error.to_string()))?);
        }
        Ok(Arc::clone(&current))
    }
}

fn make(options: &KafkaLogOptions, doubt: &Doubt) -> KafkaResult<ThreadedProducer<Deliveries>> {
    let deliveries = Deliveries {
        doubt: doubt.clone(),
    };
    options.producer().create_with_context(deliveries)
}

/// Hands the brokers' answers to those who wait for them.
struct Deliveries {
    doubt: Doubt,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, text: &str) {
        self.doubt.log(level, kind, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.doubt.error(error, text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let delivery = match result {
            Ok(message) => u64::try_from(message.offset())
                .map(Position)
                .map_err(|_| LogError::away("it was taken, its position is unknown")),
            Err((error, _)) => {
                self.doubt.raise();
                Err(LogError::away(error.to_string()))
            }
        };
        // Whoever stopped waiting does not want to know.
        let _ = pending.answer.send(delivery);
    }
}
