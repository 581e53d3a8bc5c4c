//! Reads the input topic again: from its oldest record to its present end, or what is asked for of it.
//!
//! It joins no group and commits nothing. With the partitions' marks the engine does what it did
//! live, record by record.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

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

/// Records by partition: the first one, and the first one behind them.
pub type Records = BTreeMap<i32, Range<i64>>;

/// The records that the input topic holds.
///
/// # Errors
/// When there is no such topic or no broker.
pub fn held(config: &Config) -> Result<Records, ReadError> {
    let (past, topic) = (Past::open(config)?, &config.source.topic);
    let listed = partitions(past.consumer(), topic, Offset::Invalid)?;
    let elements = listed.elements();
    let numbers = elements.iter().map(TopicPartitionListElem::partition);
    let mut records = Records::new();
    for partition in numbers {
        let (low, high) = past.consumer().fetch_watermarks(topic, partition, ANSWER)?;
        records.insert(partition, low..high);
    }
    Ok(records)
}

/// By partition, the first record of the input topic whose timestamp is not before the one asked for, in
/// milliseconds since 1970; where there is none, the end.
///
/// # Errors
/// When the brokers do not answer.
pub fn at_timestamps(
    config: &Config,
    timestamps: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, i64>, ReadError> {
    let (past, topic) = (Past::open(config)?, &config.source.topic);
    let mut list = TopicPartitionList::new();
    for (partition, timestamp) in timestamps {
        list.add_partition_offset(topic, *partition, Offset::Offset((*timestamp).max(0)))?;
    }
    let found = past.consumer().offsets_for_times(list, ANSWER)?;
    let offset = |element: &TopicPartitionListElem<'_>| {
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => i64::MAX,
        };
        (element.partition(), offset)
    };
    Ok(found.elements().iter().map(offset).collect())
}

/// The input topic, read to its present end or to where it is told to stop.
pub struct Replay {
    past: Past,
    topic: String,
    /// The first offset that is not read, by partition.
    ends: BTreeMap<i32, i64>,
    max_messages: usize,
}

impl Replay {
    /// Opens the topic and gives its partitions to `engine`, with empty state.
    ///
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(config: &Config, engine: &mut Engine) -> Result<Self, ReadError> {
        Replay::open_at(config, engine, &held(config)?)
    }

    /// As [`Self::open`], for these records alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(
        config: &Config,
        engine: &mut Engine,
        records: &Records,
    ) -> Result<Self, ReadError> {
        let (past, topic) = (Past::open(config)?, &config.source.topic);
        let mut marks = HashMap::new();
        if engine.plan().has_marks(config)
            && topics::list(&config.kafka)?.contains_key(&config.progress_topic())
        {
            let numbers: Vec<i32> = records.keys().copied().collect();
            marks = progress::read(config, &numbers)?;
        }
        let mut list = TopicPartitionList::new();
        for (partition, Range { start, end }) in records {
            if start < end {
                list.add_partition_offset(topic, *partition, Offset::Offset(*start))?;
            }
            let marks = marks.remove(partition).unwrap_or_default();
            engine.assign(*partition, *start, *start, marks);
        }
        past.begin(&list)?;
        let ends = records.iter();
        Ok(Replay {
            past,
            topic: topic.clone(),
            ends: ends
                .map(|(partition, range)| (*partition, range.end))
                .collect(),
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
            let end = self.ends[&message.partition()];
            if message.offset() + 1 >= end {
                self.leave(message.partition())?;
            }
            if message.offset() < end {
                batch.push(message);
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let messages: Vec<Message<'_>> = batch.iter().map(borrow).collect();
        Ok(Some(on(&messages)))
    }

    /// Reads no more of a partition; what was fetched already may still come.
    ///
    /// # Errors
    /// When the client fails.
    pub fn leave(&self, partition: i32) -> Result<(), ReadError> {
        Ok(self.past.leave(&self.topic, partition)?)
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
