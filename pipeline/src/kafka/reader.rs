//! Reading what a pipeline published, and how far behind it is: for people who watch, and for evaluation.
//!
//! It joins no group and commits nothing, so it never disturbs the pipeline. Aborted records are not seen.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Role};
use super::past::Past;
use super::topics::TopicError;
use crate::config::{Config, Kafka};
use crate::prediction::Prediction;

/// How long the brokers may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Beginning,
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("topic {topic} does not exist")]
    NoTopic { topic: String },
    #[error(transparent)]
    Topics(#[from] TopicError),
    #[error("Kafka client: {0}")]
    Kafka(#[from] KafkaError),
    #[error("record {partition}/{offset} of the predictions is not readable: {source}")]
    Format {
        partition: i32,
        offset: i64,
        source: serde_json::Error,
    },
}

/// Reads a predictions topic.
pub struct PredictionReader {
    consumer: BaseConsumer,
}

impl PredictionReader {
    /// Reads all partitions of `topic`.
    ///
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(kafka: &Kafka, topic: &str, from: From) -> Result<Self, ReadError> {
        let consumer: BaseConsumer =
            client::config(kafka, Role::Observer { group: "forewarn" }).create()?;
        let offset = match from {
            From::Beginning => Offset::Beginning,
            From::End => Offset::End,
        };
        let list = partitions(&consumer, topic, offset)?;
        consumer.assign(&list)?;
        Ok(PredictionReader { consumer })
    }

    /// Waits at most `timeout` for a prediction and hands it to `on`; false when none came.
    ///
    /// # Errors
    /// When the client fails or the record is no prediction.
    pub fn poll<T>(
        &self,
        timeout: Duration,
        on: impl FnOnce(Prediction<'_>) -> T,
    ) -> Result<Option<T>, ReadError> {
        let Some(message) = self.consumer.poll(timeout) else {
            return Ok(None);
        };
        Ok(Some(on(prediction(&message?)?)))
    }
}

/// Hands all predictions of a topic, from its beginning to its present end, to `on`.
///
/// # Errors
/// As [`PredictionReader::poll`], and when a partition can't be read to its end.
pub fn read_past(
    config: &Config,
    topic: &str,
    mut on: impl FnMut(Prediction<'_>),
) -> Result<(), ReadError> {
    read_records(config, topic, |message| prediction(message).map(&mut on))
}

/// Hands all committed records of a topic, from its beginning to its present end, to `on`, until it fails.
///
/// # Errors
/// When there is no such topic, when a partition can't be read to its end, and those of `on`.
pub fn read_records(
    config: &Config,
    topic: &str,
    mut on: impl FnMut(&BorrowedMessage<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let past = Past::open(config)?;
    let list = partitions(past.consumer(), topic, Offset::Beginning)?;
    past.begin(&list)?;
    while let Some(message) = past.next()? {
        on(&message)?;
    }
    Ok(())
}

fn prediction<'m>(message: &'m BorrowedMessage<'_>) -> Result<Prediction<'m>, ReadError> {
    serde_json::from_slice(message.payload().unwrap_or_default()).map_err(|source| {
        ReadError::Format {
            partition: message.partition(),
            offset: message.offset(),
            source,
        }
    })
}

/// How many messages of its input a pipeline has not yet committed.
pub struct Lag {
    consumer: BaseConsumer,
    topic: String,
    partitions: TopicPartitionList,
}

impl Lag {
    /// # Errors
    /// When the input topic or the brokers are not there.
    pub fn open(config: &Config) -> Result<Self, ReadError> {
        let consumer: BaseConsumer = client::config(
            &config.kafka,
            Role::Observer {
                group: &config.name,
            },
        )
        .create()?;
        let topic = config.source.topic.clone();
        let partitions = partitions(&consumer, &topic, Offset::Invalid)?;
        Ok(Lag {
            consumer,
            topic,
            partitions,
        })
    }

    /// The first record of each partition that is not committed; a partition of which none is, is not in it.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn committed(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        let committed = self
            .consumer
            .committed_offsets(self.partitions.clone(), ANSWER)?;
        let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        };
        Ok(committed.elements().iter().filter_map(offset).collect())
    }

    /// Messages behind, over all partitions.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn messages(&self) -> KafkaResult<u64> {
        let committed = self.committed()?;
        let mut lag = 0;
        for element in self.partitions.elements() {
            let partition = element.partition();
            let (low, high) = self
                .consumer
                .fetch_watermarks(&self.topic, partition, ANSWER)?;
            let position = committed
                .get(&partition)
                .map_or(low, |offset| low.max(*offset));
            lag += (high - position).max(0) as u64;
        }
        Ok(lag)
    }
}

pub(super) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    offset: Offset,
) -> Result<TopicPartitionList, ReadError> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata
        .topics()
        .first()
        .filter(|t| t.error().is_none() && !t.partitions().is_empty());
    let found = found.ok_or_else(|| ReadError::NoTopic {
        topic: topic.to_owned(),
    })?;
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition_offset(topic, partition.id(), offset)?;
    }
    Ok(list)
}
