//! Reads the input topic again, from the oldest record to the newest one there is when it begins.
//!
//! It joins no group and commits nothing. With the marks of quiet partitions the engine does what it did
//! live, record by record.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Role, Silent};
use super::reader::{ReadError, partitions};
use super::{progress, topics};
use crate::config::Config;
use crate::engine::Engine;
use crate::message::Message;

/// How long the brokers may take to answer, or to give the next record.
const ANSWER: Duration = Duration::from_secs(30);

/// The input topic, read from its beginning to its present end.
pub struct Replay {
    consumer: BaseConsumer<Silent>,
    /// Partitions that have not come to their end.
    left: usize,
    max_messages: usize,
}

impl Replay {
    /// Opens the topic and gives its partitions to `engine`, with empty state.
    ///
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(config: &Config, engine: &mut Engine) -> Result<Self, ReadError> {
        let role = Role::Observer {
            group: &config.name,
        };
        let mut client = client::config(&config.kafka, role);
        // Control records of transactions stand at the end of a log too: only the client knows when it is there.
        client.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Silent> = client.create_with_context(Silent)?;
        let topic = &config.source.topic;
        let listed = partitions(&consumer, topic, Offset::Invalid)?;
        let numbers: Vec<i32> = listed
            .elements()
            .iter()
            .map(TopicPartitionListElem::partition)
            .collect();
        let mut marks = Default::default();
        if engine.plan().has_timers(config) && has_topic(config)? {
            marks = progress::read(config, &numbers)?;
        }
        let mut list = TopicPartitionList::new();
        for &partition in &numbers {
            let (low, _) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
            list.add_partition_offset(topic, partition, Offset::Offset(low))?;
            engine.assign(
                partition,
                low,
                low,
                marks.remove(&partition).unwrap_or_default(),
            );
        }
        consumer.assign(&list)?;
        Ok(Replay {
            consumer,
            left: numbers.len(),
            max_messages: config.source.max_batch_messages,
        })
    }

    /// The next batch, handed to `on`; `None` at the end.
    ///
    /// # Errors
    /// When the brokers do not answer for too long.
    pub fn batch<T>(
        &mut self,
        on: impl FnOnce(&[Message<'_>]) -> T,
    ) -> Result<Option<T>, ReadError> {
        let (mut batch, mut left) = (Vec::new(), self.left);
        let deadline = Instant::now() + ANSWER;
        while left > 0 && batch.len() < self.max_messages {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => batch.push(message),
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) if is_final(&error) => return Err(error.into()),
                Some(Err(_)) | None if !batch.is_empty() => break,
                Some(Err(_)) | None if Instant::now() > deadline => {
                    return Err(timed_out().into());
                }
                Some(Err(_)) | None => {}
            }
        }
        self.left = left;
        if batch.is_empty() {
            return Ok(None);
        }
        let messages: Vec<Message<'_>> = batch.iter().map(borrow).collect();
        Ok(Some(on(&messages)))
    }
}

fn has_topic(config: &Config) -> KafkaResult<bool> {
    match topics::list(&config.kafka) {
        Ok(present) => Ok(present.contains_key(&config.progress_topic())),
        Err(
            topics::TopicError::Unreachable { source, .. } | topics::TopicError::Client(source),
        ) => Err(source),
        Err(_) => Err(timed_out()),
    }
}

fn timed_out() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)
}

/// Errors that waiting does not mend.
pub(super) fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::AutoOffsetReset
        )
    })
}

/// A message as the engine sees it.
pub(super) fn borrow<'a>(message: &'a BorrowedMessage<'_>) -> Message<'a> {
    Message {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        payload: message.payload(),
    }
}
