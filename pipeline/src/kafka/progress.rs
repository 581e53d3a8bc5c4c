//! Reads the marks of quiet partitions back, when a partition is taken over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Role, Silent};
use super::replay::is_final;
use crate::config::Config;
use crate::publish::MarkRecord;
use crate::watermark::Mark;

/// How long reading them all may take; there are a few for every pause of a partition.
const ANSWER: Duration = Duration::from_secs(60);

/// The committed marks of `partitions`, in the order of their offsets.
///
/// # Errors
/// When the brokers do not answer. A record that is no mark is passed over with an error line: another
/// program writes to the topic.
pub fn read(config: &Config, partitions: &[i32]) -> Result<HashMap<i32, Vec<Mark>>, KafkaError> {
    let topic = config.progress_topic();
    let mut client = client::config(
        &config.kafka,
        Role::Observer {
            group: &config.name,
        },
    );
    client.set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Silent> = client.create_with_context(Silent)?;
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut marks: HashMap<i32, Vec<Mark>> = HashMap::new();
    let (mut left, deadline) = (partitions.len(), Instant::now() + ANSWER);
    while left > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                match serde_json::from_slice::<MarkRecord>(message.payload().unwrap_or_default()) {
                    Ok(record) => marks
                        .entry(message.partition())
                        .or_default()
                        .push(record.mark()),
                    Err(error) => tracing::error!(
                        topic,
                        partition = message.partition(),
                        offset = message.offset(),
                        %error,
                        "not a mark of this pipeline; passed over"
                    ),
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) if is_final(&error) => return Err(error),
            Some(Err(_)) | None if Instant::now() > deadline => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Err(_)) | None => {}
        }
    }
    marks
        .values_mut()
        .for_each(|marks| marks.sort_by_key(|mark| mark.offset));
    Ok(marks)
}
