//! Reads the input topic again, from the oldest record to its present end.
//!
//! It joins no group and commits nothing. With the partitions' marks the engine does what it did
//! live, record by record.

use std::collections::HashMap;

use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::past::{ANSWER, Past};
use super::reader::{ReadError, partitions};
use super::{progress, topics};
use crate::config::Config;
use crate::engine::Engine;
use crate::message::Message;

/// The input topic, read from its beginning to its present end.
pub struct Replay {
    past: Past,
    max_messages: usize,
}

impl Replay {
    /// Opens the topic and gives its partitions to `engine`, with empty state.
    ///
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(config: &Config, engine: &mut Engine) -> Result<Self, ReadError> {
        let (past, topic) = (Past::open(config)?, &config.source.topic);
        let listed = partitions(past.consumer(), topic, Offset::Invalid)?;
        let elements = listed.elements();
        let numbers: Vec<i32> = elements
            .iter()
            .map(TopicPartitionListElem::partition)
            .collect();
        let mut marks = HashMap::new();
        if engine.plan().has_marks(config)
            && topics::list(&config.kafka)?.contains_key(&config.progress_topic())
        {
            marks = progress::read(config, &numbers)?;
        }
        let mut list = TopicPartitionList::new();
        for partition in numbers {
            let (low, _) = past.consumer().fetch_watermarks(topic, partition, ANSWER)?;
            list.add_partition_offset(topic, partition, Offset::Offset(low))?;
            let marks = marks.remove(&partition).unwrap_or_default();
            engine.assign(partition, low, low, marks);
        }
        past.begin(&list)?;
        Ok(Replay {
            past,
            max_messages: config.source.max_batch_messages,
        })
    }

    /// The next batch, handed to `on`; `None` at the end.
    ///
    /// # Errors
    /// When the brokers do not answer for too long.
    pub fn batch<T>(&self, on: impl FnOnce(&[Message<'_>]) -> T) -> Result<Option<T>, ReadError> {
        let mut batch: Vec<BorrowedMessage<'_>> = Vec::new();
        while batch.len() < self.max_messages {
            let Some(message) = self.past.next()? else {
                break;
            };
            batch.push(message);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let messages: Vec<Message<'_>> = batch.iter().map(borrow).collect();
        Ok(Some(on(&messages)))
    }
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
