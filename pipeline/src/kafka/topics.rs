//! Are the brokers there, and the topics? Asked once, before a pipeline starts, so that a person gets a
//! sentence instead of a client that waits for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{self, Role};
use crate::config::{Config, Kafka, Reload};
use crate::plan::Plan;

/// How long a broker may take to answer the first question.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause before it is asked again on another connection.
const AGAIN: Duration = Duration::from_millis(200);
/// What another topic says of assets, and a mark, is needed as long as the records that it is about, and there is little
/// of it.
const KEPT: [(&str, &str); 1] = [("retention.ms", "-1")];

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(
        "no Kafka broker answered at {brokers} within {} s ({source}): check kafka.brokers, and that Kafka runs (`make kafka-up` starts one here)",
        ANSWER.as_secs()
    )]
    Unreachable { brokers: String, source: KafkaError },
    #[error("topic {topic} does not exist at {brokers}: create it, or start with --create-topics")]
    Missing { topic: String, brokers: String },
    #[error(
        "topic {topic} has {actual} partitions, but the input has {needed}: what is kept there is under the \
         number of the partition, so add partitions to it"
    )]
    TooFewPartitions {
        topic: String,
        actual: usize,
        needed: usize,
    },
    #[error("topic {topic} can't be created: {reason}")]
    Create { topic: String, reason: String },
    #[error("Kafka client: {0}")]
    Client(#[from] KafkaError),
}

/// Names of all topics, with their number of partitions.
///
/// # Errors
/// When no broker answers.
pub fn list(kafka: &Kafka) -> Result<BTreeMap<String, usize>, TopicError> {
    let consumer: BaseConsumer =
        client::config(kafka, Role::Observer { group: "forewarn" }).create()?;
    let deadline = Instant::now() + ANSWER;
    let metadata = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_metadata(None, left) {
            Ok(metadata) => break metadata,
            // One connection that broke says nothing of the next one.
            Err(_) if left > AGAIN => std::thread::sleep(AGAIN),
            Err(source) => {
                return Err(TopicError::Unreachable {
                    brokers: kafka.brokers.clone(),
                    source,
                });
            }
        }
    };
    let topics = metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none());
    Ok(topics
        .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
        .collect())
}

/// Makes sure that the topics of a pipeline exist: creates missing ones with `create` partitions, or tells
/// which are missing. A new output topic has the cluster's default replication.
///
/// # Errors
/// When a topic is missing and not to be created, or can't be; when marks or state have too few
/// partitions of their own.
pub fn require(config: &Config, plan: &Plan, create: Option<usize>) -> Result<(), TopicError> {
    let kafka = &config.kafka;
    let mut present = list(kafka)?;
    let inputs = ensure(kafka, &mut present, &config.source.topic, create, &[])?;
    for topic in outputs(config, plan) {
        ensure(kafka, &mut present, &topic, create, &[])?;
    }
    for topic in config
        .statuses
        .values()
        .filter_map(|status| status.topic.as_ref())
    {
        ensure(kafka, &mut present, topic, create.map(|_| 1), &KEPT)?;
    }
    // Small segments: only closed ones are compacted, and all of it is read when a partition is taken over.
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "67108864"),
        ("min.cleanable.dirty.ratio", "0.2"),
    ];
    let mut of_partitions: Vec<(String, &[(&str, &str)])> = Vec::new();
    if plan.has_marks(config) {
        of_partitions.push((config.progress_topic(), &KEPT));
    }
    if plan.writes_state(config) {
        of_partitions.push((config.state_topic(), &compacted));
    }
    for (topic, settings) in of_partitions {
        let create = create.map(|_| inputs);
        let actual = ensure(kafka, &mut present, &topic, create, settings)?;
        if actual < inputs {
            return Err(TopicError::TooFewPartitions {
                topic,
                actual,
                needed: inputs,
            });
        }
    }
    Ok(())
}

/// The topics that a pipeline writes to, but for that of its marks.
pub fn outputs(config: &Config, plan: &Plan) -> Vec<String> {
    let sink = &config.sink;
    let mut outputs = vec![&sink.predictions, &sink.dead_letters];
    if plan.has_order() {
        outputs.push(&sink.late);
    }
    if !plan.conditions.statuses.is_empty() {
        outputs.push(&sink.status);
    }
    if !plan.alarms.is_empty() {
        outputs.push(&sink.alarms);
    }
    if plan.has_challengers() {
        outputs.push(&sink.shadow);
    }
    let models = config.models_topic();
    if config.models.reload != Reload::None {
        outputs.push(&models);
    }
    outputs.into_iter().cloned().collect()
}

/// Makes sure that one topic exists, for a program that feeds it.
///
/// # Errors
/// As [`require`].
pub fn require_one(kafka: &Kafka, topic: &str, create: Option<usize>) -> Result<(), TopicError> {
    let mut present = list(kafka)?;
    ensure(kafka, &mut present, topic, create, &[]).map(drop)
}

/// Makes sure that a topic exists whose messages are few, and are needed for ever.
///
/// # Errors
/// As [`require`].
pub fn require_kept(kafka: &Kafka, topic: &str) -> Result<(), TopicError> {
    let mut present = list(kafka)?;
    ensure(kafka, &mut present, topic, Some(1), &KEPT).map(drop)
}

/// Creates a topic that is not `present`, or tells that it is missing; gives its number of partitions.
fn ensure(
    kafka: &Kafka,
    present: &mut BTreeMap<String, usize>,
    topic: &str,
    create: Option<usize>,
    settings: &[(&str, &str)],
) -> Result<usize, TopicError> {
    if let Some(partitions) = present.get(topic) {
        return Ok(*partitions);
    }
    let partitions = create.ok_or_else(|| TopicError::Missing {
        topic: topic.to_owned(),
        brokers: kafka.brokers.clone(),
    })?;
    create_with(kafka, topic, partitions, settings)?;
    present.insert(topic.to_owned(), partitions);
    Ok(partitions)
}

/// Creates a topic; one that is there already is left as it is.
///
/// # Errors
/// When the brokers refuse.
pub fn create(kafka: &Kafka, topic: &str, partitions: usize) -> Result<(), TopicError> {
    create_with(kafka, topic, partitions, &[])
}

fn create_with(
    kafka: &Kafka,
    topic: &str,
    partitions: usize,
    settings: &[(&str, &str)],
) -> Result<(), TopicError> {
    let failed = |reason: String| TopicError::Create {
        topic: topic.to_owned(),
        reason,
    };
    let config: ClientConfig = client::config(kafka, Role::Producer);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let partitions = i32::try_from(partitions).map_err(|_| failed("too many partitions".into()))?;
    // Replication -1: what the cluster's owner has set as the default.
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = settings
        .iter()
        .fold(new, |new, (key, value)| new.set(key, value));
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let results = runtime.block_on(admin.create_topics([&new], &options))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(code.to_string())),
        }
    }
    tracing::info!(topic, partitions, "topic created");
    Ok(())
}
