//! Reads a topic of outputs in turn with something else, and knows what was there when it was opened: a pipeline may
//! go on meanwhile.

use std::collections::BTreeMap;

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;

use super::past::{ANSWER, Past};
use super::reader::{ReadError, partitions};
use crate::config::Config;
use crate::dead_letter::Position;

/// The header that names an output.
const ID: &str = "ce_id";

/// A topic of outputs.
pub struct Published {
    past: Past,
    /// The first offset that was not there when it was opened, by partition.
    ends: BTreeMap<i32, i64>,
}

/// A committed output.
#[derive(Debug)]
pub struct Said<'m> {
    pub position: Position,
    /// Was it there when the topic was opened?
    pub is_old: bool,
    /// `None`: another program wrote it.
    pub id: Option<&'m str>,
    pub value: &'m [u8],
}

impl Published {
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(config: &Config, topic: &str) -> Result<Self, ReadError> {
        let past = Past::open(config)?;
        let list = partitions(past.consumer(), topic, Offset::Beginning)?;
        let elements = list.elements();
        let mut ends = BTreeMap::new();
        for partition in elements.iter().map(TopicPartitionListElem::partition) {
            let (_, end) = past.consumer().fetch_watermarks(topic, partition, ANSWER)?;
            ends.insert(partition, end);
        }
        past.begin(&list)?;
        Ok(Published { past, ends })
    }

    /// The next output, handed to `on`; `None` when all have been read that were there at the first look at the end.
    ///
    /// # Errors
    /// When the brokers do not answer for too long.
    pub fn next<T>(&self, on: impl FnOnce(&Said<'_>) -> T) -> Result<Option<T>, ReadError> {
        let Some(message) = self.past.next()? else {
            return Ok(None);
        };
        let (partition, offset) = (message.partition(), message.offset());
        let said = Said {
            position: Position { partition, offset },
            is_old: offset < self.ends[&partition],
            id: id(&message),
            value: message.payload().unwrap_or_default(),
        };
        Ok(Some(on(&said)))
    }
}

fn id<'m>(message: &'m BorrowedMessage<'_>) -> Option<&'m str> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == ID)?;
    std::str::from_utf8(header.value?).ok()
}
