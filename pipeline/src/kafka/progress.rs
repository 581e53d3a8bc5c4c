//! Reads marks back, when a partition is taken over or replayed.

use std::collections::HashMap;

use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::past::Past;
use crate::config::Config;
use crate::marks::{Mark, MarkRecord};

/// The committed marks of `partitions`, in the order of their offsets.
///
/// # Errors
/// When the brokers do not answer. A record that is no mark is passed over with an error line: another
/// program writes to the topic.
pub fn read(config: &Config, partitions: &[i32]) -> KafkaResult<HashMap<i32, Vec<Mark>>> {
    let topic = config.progress_topic();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&topic, *partition, Offset::Beginning)?;
    }
    let past = Past::open(config)?;
    past.begin(&list)?;
    let mut marks: HashMap<i32, Vec<Mark>> = HashMap::new();
    while let Some(message) = past.next()? {
        let partition = message.partition();
        match serde_json::from_slice::<MarkRecord>(message.payload().unwrap_or_default()) {
            Ok(record) => marks.entry(partition).or_default().push(record.mark),
            Err(error) => tracing::error!(
                topic,
                partition,
                offset = message.offset(),
                %error,
                "not a mark of this pipeline; passed over"
            ),
        }
    }
    for marks in marks.values_mut() {
        marks.sort_by_key(|mark| mark.offset);
    }
    Ok(marks)
}
