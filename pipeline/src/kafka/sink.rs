//! The producer of a worker: outputs, and the offsets that belong to them.
//!
//! ```text
//!   exactly once:   begin ─ send ... send ─ wait until acknowledged ─ send offsets ─ commit
//!   at least once:          send ... send ─ wait until acknowledged ─ commit offsets
//! ```
//!
//! Invariant: offsets are committed only after everything derived from the records below them is
//! acknowledged. One failed record fails the commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::ANSWER;
use super::client;
use super::deliveries::Deliveries;
use super::killpoint::KillPoint;
use super::produce::{abort, again_while_retriable, send, wait_until_acknowledged};
use super::traced::Traced;
use crate::config::{Config, Guarantee};
use crate::dead_letter;
use crate::engine::Disposition;
use crate::publish::{Output, OutputRecord, Publisher, SetAside, SetAsideRecord};
use crate::pulse;

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("producer can't be opened: {0}")]
    Open(KafkaError),
    #[error("record can't be produced to {topic}: {source}")]
    Produce { topic: String, source: KafkaError },
    #[error("records were not acknowledged within {} s", ANSWER.as_secs())]
    Unacknowledged,
    #[error("offsets can't be committed: {0}")]
    Commit(KafkaError),
}

impl SinkError {
    pub fn disposition(&self) -> Disposition {
        match self {
            SinkError::Unacknowledged => Disposition::Retry,
            SinkError::Open(source)
            | SinkError::Commit(source)
            | SinkError::Produce { source, .. } => kafka_disposition(source),
        }
    }

    /// Has another process fenced `producer`? Calls after the first one that was refused tell only that the client
    /// can't go on; the client itself knows why.
    pub(super) fn is_fenced(&self, producer: Option<&BaseProducer<Deliveries>>) -> bool {
        let code = match self {
            SinkError::Unacknowledged => None,
            SinkError::Open(source)
            | SinkError::Commit(source)
            | SinkError::Produce { source, .. } => source.rdkafka_error_code(),
        };
        let fatal = || producer.and_then(|producer| producer.client().fatal_error());
        code.is_some_and(fenced) || fatal().is_some_and(|(code, _)| fenced(code))
    }

    /// The record is larger than `message.max.bytes` of the producer.
    fn is_too_large(&self) -> bool {
        let code = RDKafkaErrorCode::MessageSizeTooLarge;
        matches!(self, SinkError::Produce { source, .. } if source.rdkafka_error_code() == Some(code))
    }
}

/// A fatal client (fenced by another process, no permission) can't go on; the rest is tried again from the
/// last committed state.
pub fn kafka_disposition(error: &KafkaError) -> Disposition {
    use RDKafkaErrorCode as Code;
    let denied = |code| {
        [
            Code::TopicAuthorizationFailed,
            Code::GroupAuthorizationFailed,
            Code::TransactionalIdAuthorizationFailed,
            Code::Authentication,
            Code::SaslAuthenticationFailed,
        ]
        .contains(&code)
    };
    let fatal = match error {
        KafkaError::Transaction(error) => {
            let code = error.code();
            error.is_fatal() && !error.txn_requires_abort() || fenced(code) || denied(code)
        }
        other => other.rdkafka_error_code().is_some_and(|code| {
            let unknown = [
                Code::UnknownTopicOrPartition,
                Code::UnknownTopic,
                Code::Fatal,
            ];
            unknown.contains(&code) || fenced(code) || denied(code)
        }),
    };
    if fatal {
        Disposition::Halt
    } else {
        Disposition::Retry
    }
}

/// Does a producer, or a static member, meet another process of its identity?
pub(super) fn fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::FencedInstanceId
    )
}

/// The producer.
pub struct Sink {
    producer: BaseProducer<Deliveries>,
    guarantee: Guarantee,
    topics: Arc<Topics>,
    in_transaction: bool,
    /// The commit of the transaction at hand was asked for: it may be committed whatever came back.
    may_be_committed: bool,
    /// When the latest transaction began.
    begun: Option<Instant>,
}

#[derive(Debug)]
struct Topics {
    predictions: String,
    dead_letters: String,
    late: String,
    status: String,
    alarms: String,
    shadow: String,
    models: String,
    progress: String,
    state: String,
}

impl Sink {
    /// Opens the producer of a worker; under exactly-once, fences whoever had the same identity.
    pub fn open(config: &Config, worker: usize) -> Result<Self, SinkError> {
        let guarantee = config.delivery.guarantee;
        let id = client::transactional_id(config, worker);
        let client = client::config(&config.kafka, client::sink_role(guarantee, &id));
        let producer: BaseProducer<Deliveries> = client
            .create_with_context(Deliveries::default())
            .map_err(SinkError::Open)?;
        if guarantee == Guarantee::ExactlyOnce {
            pulse::call("init_transactions", || producer.init_transactions(ANSWER))
                .map_err(SinkError::Open)?;
        }
        Ok(Sink {
            producer,
            guarantee,
            topics: Arc::new(Topics {
                predictions: config.sink.predictions.clone(),
                dead_letters: config.sink.dead_letters.clone(),
                late: config.sink.late.clone(),
                status: config.sink.status.clone(),
                alarms: config.sink.alarms.clone(),
                shadow: config.sink.shadow.clone(),
                models: config.models_topic(),
                progress: config.progress_topic(),
                state: config.state_topic(),
            }),
            in_transaction: false,
            may_be_committed: false,
            begun: None,
        })
    }

    /// Has the transaction at hand lasted so long that the brokers may have ended it by themselves? They refuse its
    /// producer then, as they do when another process has fenced it.
    pub fn may_have_expired(&self) -> bool {
        let lasts = self.begun.map(|begun| begun.elapsed());
        self.in_transaction && lasts.is_some_and(|lasts| lasts >= client::TRANSACTION_TIMEOUT)
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.in_transaction {
            pulse::call("begin_transaction", || self.producer.begin_transaction())?;
            self.in_transaction = true;
            self.may_be_committed = false;
            KillPoint::AfterBegin.pass();
            self.begun = Some(Instant::now());
        }
        Ok(())
    }

    /// Writes a record of a partition's state; without a payload it is deleted.
    ///
    /// # Errors
    /// When the record can't be produced.
    pub fn write_state(
        &mut self,
        partition: i32,
        key: &[u8],
        payload: Option<&[u8]>,
    ) -> Result<(), SinkError> {
        let topics = self.topics.clone();
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topics.state);
        record.key = Some(key);
        record.payload = payload;
        record.partition = Some(partition);
        self.send(record)
    }

    pub(super) fn producer(&self) -> &BaseProducer<Deliveries> {
        &self.producer
    }

    /// Was anything sent since the last commit?
    pub fn has_uncommitted(&self) -> bool {
        self.in_transaction || self.producer.in_flight_count() > 0
    }

    /// Commits everything sent, with the offsets.
    pub fn commit<C: ConsumerContext>(
        &mut self,
        offsets: &TopicPartitionList,
        consumer: &impl Consumer<C>,
    ) -> Result<(), SinkError> {
        self.begin().map_err(SinkError::Commit)?;
        wait_until_acknowledged(&self.producer)?;
        KillPoint::AfterProduce.pass();
        match self.guarantee {
            Guarantee::AtLeastOnce if offsets.count() == 0 => Ok(()),
            Guarantee::AtLeastOnce => {
                pulse::call("commit", || consumer.commit(offsets, CommitMode::Sync))
                    .map_err(SinkError::Commit)
            }
            Guarantee::ExactlyOnce => {
                // Taken just before each commit: an old generation would be refused.
                let group = consumer
                    .group_metadata()
                    .ok_or(SinkError::Commit(KafkaError::Canceled))?;
                self.commit_transaction(offsets, &group)
                    .map_err(SinkError::Commit)?;
                self.in_transaction = false;
                Ok(())
            }
        }
    }

    fn commit_transaction(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), KafkaError> {
        // Without new offsets, what a quiet partition caused is committed alone.
        if offsets.count() > 0 {
            KillPoint::BeforeSendOffsets.pass();
            again_while_retriable(|| {
                pulse::call("send_offsets_to_transaction", || {
                    self.producer
                        .send_offsets_to_transaction(offsets, group, ANSWER)
                })
            })?;
            KillPoint::AfterSendOffsets.pass();
        }
        KillPoint::BeforeCommit.pass();
        self.may_be_committed = true;
        again_while_retriable(|| {
            pulse::call("commit_transaction", || {
                self.producer.commit_transaction(ANSWER)
            })
        })?;
        KillPoint::AfterCommit.pass();
        Ok(())
    }

    /// Serves acknowledgements without waiting.
    pub fn poll(&self) {
        pulse::call("poll", || self.producer.poll(Duration::ZERO));
    }

    /// Drops what was sent since the last commit; readers of `read_committed` never see it.
    pub fn abort(&mut self) -> Result<(), SinkError> {
        if self.in_transaction {
            abort(&self.producer).map_err(SinkError::Commit)?;
            self.in_transaction = false;
        }
        self.producer.context().take_failed();
        Ok(())
    }

    /// Sets a message aside that can't be sent as it came: a reference to it.
    fn send_without_value(
        &mut self,
        topic: &str,
        original: &BorrowedMessage<'_>,
        record: &SetAsideRecord<'_>,
    ) -> Result<(), SinkError> {
        let omitted = Some(original.payload_len());
        let headers = with_headers(OwnedHeaders::new(), record.headers.iter().copied());
        let headers = with_original(headers, record.why, original, omitted);
        let mut letter: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers);
        letter.key = original.key().filter(|key| key.len() <= LONGEST_KEY);
        self.send(letter)
    }

    /// Is there a transaction that can only have been aborted, should the producer be replaced?
    pub(super) fn leaves_aborted(&self) -> bool {
        self.in_transaction && !self.may_be_committed
    }

    pub(super) fn writes_to(&self, topic: &str) -> bool {
        let topics = &self.topics;
        [
            &topics.predictions,
            &topics.dead_letters,
            &topics.late,
            &topics.status,
            &topics.alarms,
            &topics.shadow,
            &topics.models,
            &topics.progress,
            &topics.state,
        ]
        .contains(&&topic.to_owned())
    }

    pub(super) fn send(&mut self, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), SinkError> {
        let topic = record.topic;
        self.begin().map_err(|source| SinkError::Produce {
            topic: topic.to_owned(),
            source,
        })?;
        send(&self.producer, record)
    }
}

/// A longer key is left out as well.
const LONGEST_KEY: usize = 16 << 10;

/// The sink together with the batch that dead letters are copied from.
pub struct BatchPublisher<'s, 'b> {
    sink: &'s mut Sink,
    traced: &'s mut Traced,
    batch: &'b [BorrowedMessage<'b>],
    /// Counted here because this is where each output passes.
    pub counts: Counts,
}

impl<'s, 'b> BatchPublisher<'s, 'b> {
    pub fn new(
        sink: &'s mut Sink,
        traced: &'s mut Traced,
        batch: &'b [BorrowedMessage<'b>],
    ) -> Self {
        BatchPublisher {
            sink,
            traced,
            batch,
            counts: Counts::default(),
        }
    }
}

/// Outputs of one batch.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub predictions: u64,
    pub anomalous: u64,
    pub late: u64,
    pub status_changes: u64,
    pub shadow: u64,
    /// By code.
    pub unscored: BTreeMap<&'static str, u64>,
    pub refused: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Was anything published for its rows?
    pub fn has_results(&self) -> bool {
        self.predictions + self.shadow > 0 || !self.unscored.is_empty()
    }
}

impl Publisher for BatchPublisher<'_, '_> {
    type Error = SinkError;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), SinkError> {
        let topics = self.sink.topics.clone();
        let (topic, partition) = match record.output {
            Output::Prediction {
                anomalous,
                unscored,
            } => {
                self.counts.predictions += u64::from(unscored.is_none());
                self.counts.anomalous += u64::from(anomalous);
                if let Some(code) = unscored {
                    *self.counts.unscored.entry(code).or_default() += 1;
                }
                (&topics.predictions, None)
            }
            Output::Status => {
                self.counts.status_changes += 1;
                (&topics.status, None)
            }
            Output::Shadow => {
                self.counts.shadow += 1;
                (&topics.shadow, None)
            }
            Output::Alarm(_) => (&topics.alarms, None),
            Output::Model => (&topics.models, None),
            Output::Progress { partition } => (&topics.progress, Some(partition)),
        };
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = with_headers(headers, record.headers.iter().copied());
        let traced = self.traced.send(record.source, topic);
        let traced = traced
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut out = BaseRecord::to(topic)
            .key(record.key.as_bytes())
            .payload(record.payload)
            .headers(with_headers(headers, traced));
        out.partition = partition;
        self.sink.send(out)
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), SinkError> {
        let topics = self.sink.topics.clone();
        let topic = match record.why {
            SetAside::Refused(code) => {
                *self.counts.refused.entry(code).or_default() += 1;
                &topics.dead_letters
            }
            SetAside::Late => {
                self.counts.late += 1;
                &topics.late
            }
        };
        let original = record.message.map(|message| &self.batch[message as usize]);
        let headers = original
            .and_then(|original| original.headers())
            .map(rdkafka::message::BorrowedHeaders::detach)
            .unwrap_or_default();
        let mut headers = with_headers(headers, record.headers.iter().copied());
        if let Some(original) = original {
            headers = with_original(headers, record.why, original, None);
        }
        let mut letter = BaseRecord::to(topic).headers(headers);
        // No key and an empty key are different things, and stay so.
        letter.key = original.and_then(|original| original.key());
        letter.payload = original.and_then(|original| original.payload());
        match (self.sink.send(letter), original) {
            // Trying again would not make it smaller, and the pipeline would never get past it.
            (Err(error), Some(original)) if error.is_too_large() => {
                self.sink.send_without_value(topic, original, record)
            }
            (sent, _) => sent,
        }
    }
}

/// Adds what a dead letter tells of its original besides; late readings have no such headers.
fn with_original(
    headers: OwnedHeaders,
    why: SetAside,
    original: &BorrowedMessage<'_>,
    omitted: Option<usize>,
) -> OwnedHeaders {
    let timestamp = match why {
        SetAside::Refused(_) => original.timestamp().to_millis(),
        SetAside::Late => None,
    };
    let more = dead_letter::of_original(timestamp, omitted);
    more.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

fn with_headers<'a>(
    headers: OwnedHeaders,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> OwnedHeaders {
    pairs.into_iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The failure policy of `ARCHITECTURE.md`.
    #[test]
    fn what_a_retry_cannot_mend_halts_and_the_rest_is_tried_again() {
        use RDKafkaErrorCode as Code;
        let table = [
            (
                KafkaError::MessageProduction(Code::BrokerTransportFailure),
                Disposition::Retry,
            ),
            (
                KafkaError::MessageProduction(Code::MessageTimedOut),
                Disposition::Retry,
            ),
            (
                KafkaError::ConsumerCommit(Code::IllegalGeneration),
                Disposition::Retry,
            ),
            (
                KafkaError::ConsumerCommit(Code::RebalanceInProgress),
                Disposition::Retry,
            ),
            (
                KafkaError::MessageProduction(Code::Fenced),
                Disposition::Halt,
            ),
            (
                KafkaError::MessageProduction(Code::InvalidProducerEpoch),
                Disposition::Halt,
            ),
            (
                KafkaError::MessageProduction(Code::TopicAuthorizationFailed),
                Disposition::Halt,
            ),
            (
                KafkaError::MessageProduction(Code::UnknownTopicOrPartition),
                Disposition::Halt,
            ),
            (
                KafkaError::MessageConsumptionFatal(Code::Fatal),
                Disposition::Halt,
            ),
        ];
        for (error, expected) in table {
            let told = SinkError::Commit(error.clone()).disposition();
            assert_eq!(told, expected, "{error}");
        }
        assert_eq!(SinkError::Unacknowledged.disposition(), Disposition::Retry);
    }
}
