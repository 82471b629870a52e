//! Opening: the topic is looked at before anything is read from it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::watch;
use yingku_core::ids::Position;

use super::client::Doubt;
use super::identity::Identity;
use super::options::{KafkaLogOptions, Purpose};
use super::producer::Appender;
use super::reader::Reader;
use super::recent::Recent;
use super::tail::{LastRecord, Tail};
use super::{ASK_TIMEOUT, Ends, KafkaLog, KafkaOpenError, Questions, Shared, State, topic};
use crate::log::room::Room;

/// How long a start waits for a topic that has no leader yet.
const LEADER_TIMEOUT: Duration = Duration::from_secs(20);
const LEADER_RETRY: Duration = Duration::from_millis(200);

impl KafkaLog {
    /// Opens the log, makes its topic if this data directory never had one, and refuses a topic that is not kept as a
    /// log must be or is not the one that the file `remembered` tells of. Blocks for as long as the brokers take.
    pub fn open(
        options: KafkaLogOptions,
        remembered: &Path,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, KafkaOpenError> {
        let doubt = Doubt::default();
        let consumer: BaseConsumer<Doubt> = options
            .consumer(Purpose::Tail)
            .create_with_context(doubt.clone())
            .map_err(KafkaOpenError::Settings)?;
        topic::prepare(&options, &consumer, remembered, runtime)?;
        let shared = Shared::open(options, doubt, consumer)?;
        let last = shared.confirm_identity(remembered)?;
        let shared = Arc::new(shared);
        let tail = Tail {
            shared: Arc::clone(&shared),
            last,
        };
        let tail = std::thread::Builder::new()
            .name("kafka-tail".into())
            .spawn(move || tail.run())
            .map_err(|error| shared.unread(error))?;
        Ok(Self {
            shared,
            tail: Mutex::new(Some(tail)),
        })
    }
}

impl Shared {
    fn open(
        options: KafkaLogOptions,
        doubt: Doubt,
        consumer: BaseConsumer<Doubt>,
    ) -> Result<Self, KafkaOpenError> {
        let cluster = consumer.client().fetch_cluster_id(ASK_TIMEOUT);
        let settings = KafkaOpenError::Settings;
        let reader = |purpose| Reader::open(&options, purpose, &doubt).map_err(settings);
        let shared = Self {
            cluster: cluster.unwrap_or_default(),
            state: watch::Sender::new(State::Here),
            end: watch::Sender::new(Position(0)),
            recent: Mutex::new(Recent::new(Position(0))),
            room: Room::new(),
            appender: Appender::new(&options, &doubt).map_err(settings)?,
            consumer: Mutex::new(Arc::new(consumer)),
            stretch: Mutex::new(reader(Purpose::Stretch)?),
            point: Mutex::new(reader(Purpose::Point)?),
            questions: Questions {
                begun: AtomicU64::new(0),
                answered: tokio::sync::Mutex::new((0, Ok(Position(0)))),
            },
            closed: AtomicBool::new(false),
            doubt,
            options,
        };
        let ends = shared.ends_at_start()?;
        if ends.first > Position(0) {
            return Err(KafkaOpenError::Truncated {
                topic: shared.options.topic.clone(),
                records: ends.first.0,
            });
        }
        shared.end.send_replace(ends.next);
        *shared.recent.lock() = Recent::new(ends.next);
        Ok(shared)
    }

    fn ends_at_start(&self) -> Result<Ends, KafkaOpenError> {
        let deadline = Instant::now() + LEADER_TIMEOUT;
        loop {
            match self.ask_end() {
                Ok(ends) => return Ok(ends),
                Err(error) if Instant::now() >= deadline => return Err(self.unread(error)),
                Err(_) => std::thread::sleep(LEADER_RETRY),
            }
        }
    }

    /// Refuses another topic than the remembered one. The last record, if there is one.
    fn confirm_identity(&self, remembered: &Path) -> Result<Option<LastRecord>, KafkaOpenError> {
        let end = *self.end.borrow();
        let record = |position| {
            let record = self.point.lock().get(position);
            record.map_err(|error| self.unread(error))
        };
        let mut identity = Identity {
            cluster: self.cluster.clone(),
            topic: self.options.topic.clone(),
            first_record: None,
        };
        let Some(last) = end.0.checked_sub(1) else {
            identity.confirm(remembered)?;
            return Ok(None);
        };
        let first = record(Position(0))?;
        identity.first_record = Some(blake3::hash(&first.bytes).to_hex().to_string());
        identity.confirm(remembered)?;
        Ok(Some(LastRecord::of(&record(Position(last))?)))
    }

    fn unread(&self, error: impl std::error::Error) -> KafkaOpenError {
        KafkaOpenError::Read {
            topic: self.options.topic.clone(),
            reason: error.to_string(),
        }
    }
}
