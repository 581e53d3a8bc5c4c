//! Reads the dead letter topic up to its end as of when it was opened, and single records of any topic.
//!
//! It joins no group and commits nothing. Aborted records are not seen.
//!
//! Invariant: after [`DeadLetters::settle`] every receipt that was committed before the topic was opened is read.
//! Without it, receipts behind the beginning of a transaction that is still open can't be seen yet.
//!
//! Not here: what a record says (`dead_letter.rs`), sending messages again (`redrive.rs`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Role, Silent};
use super::past::{ANSWER, Past};
use super::topics::{self, TopicError};
use crate::config::Config;
use crate::dead_letter::{Entry, Header, Letter, Offsets, Position, instant};
use crate::prediction::EventTimestamp;

/// How long a transaction in the topic may be open: brokers end those of dead workers after 30 s, and look
/// for them every 10 s.
const OPEN: Duration = Duration::from_secs(60);
/// Between two looks whether it is over.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error(transparent)]
    Topics(#[from] TopicError),
    #[error("Kafka client: {0}")]
    Kafka(#[from] KafkaError),
    #[error(
        "a transaction in partition {partition} of {topic} has been open for more than {} s, and what is behind it \
         can't be read: see to its producer (kafka-transactions.sh lists it), then try again",
        OPEN.as_secs()
    )]
    Open { topic: String, partition: i32 },
}

/// The dead letter topic of a pipeline.
pub struct DeadLetters<'c> {
    config: &'c Config,
    /// The first offset that is not read, by partition.
    ends: BTreeMap<i32, i64>,
}

/// A record of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dead<'m> {
    pub position: Position,
    /// When it was written.
    pub at: EventTimestamp,
    pub entry: Entry<'m>,
}

/// Letters whose messages were sent again, by partition.
#[derive(Debug, Default)]
pub struct Redriven(BTreeMap<i32, Offsets>);

impl Redriven {
    pub fn contains(&self, position: Position) -> bool {
        let offsets = self.0.get(&position.partition);
        offsets.is_some_and(|offsets| offsets.contains(position.offset))
    }

    /// Takes note of a receipt, if `dead` is one of `pipeline`.
    pub fn note(&mut self, dead: &Dead<'_>, pipeline: &str) {
        if let Entry::Receipt(receipt) = &dead.entry
            && receipt.pipeline == pipeline
        {
            let own = self.0.entry(dead.position.partition).or_default();
            own.extend(&receipt.offsets);
        }
    }
}

impl<'c> DeadLetters<'c> {
    /// Looks where the topic ends.
    ///
    /// # Errors
    /// When there is no such topic or no broker.
    pub fn open(config: &'c Config) -> Result<Self, DeadLetterError> {
        let topic = &config.sink.dead_letters;
        let partitions = partitions(config, topic)?;
        let role = Role::Observer {
            group: &config.name,
        };
        // Where the log ends, and not where the oldest open transaction begins.
        let consumer: BaseConsumer<Silent> = client::config(&config.kafka, role)
            .set("isolation.level", "read_uncommitted")
            .create_with_context(Silent)?;
        let mut ends = BTreeMap::new();
        for partition in 0..partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
            ends.insert(partition, end);
        }
        Ok(DeadLetters { config, ends })
    }

    pub fn topic(&self) -> &'c str {
        &self.config.sink.dead_letters
    }

    /// Waits until all transactions below the end are over.
    ///
    /// # Errors
    /// When one goes on for longer than brokers let it.
    pub fn settle(&self) -> Result<(), DeadLetterError> {
        let past = Past::open(self.config)?;
        let deadline = Instant::now() + OPEN;
        for (partition, end) in &self.ends {
            loop {
                // Of committed records only: up to the oldest open transaction.
                let watermarks =
                    past.consumer()
                        .fetch_watermarks(self.topic(), *partition, ANSWER)?;
                if watermarks.1 >= *end {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(DeadLetterError::Open {
                        topic: self.topic().to_owned(),
                        partition: *partition,
                    });
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Which letters were redriven, from the receipts of the whole topic.
    ///
    /// # Errors
    /// When the brokers do not answer for too long.
    pub fn redriven(&self) -> Result<Redriven, DeadLetterError> {
        let mut redriven = Redriven::default();
        self.each::<DeadLetterError>(|dead| {
            redriven.note(&dead, &self.config.name);
            Ok(())
        })?;
        Ok(redriven)
    }

    /// Hands every record to `on`, each partition in its order.
    ///
    /// # Errors
    /// The first one of `on`; when the brokers do not answer for too long.
    pub fn each<E: From<DeadLetterError>>(
        &self,
        on: impl FnMut(Dead<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = self
            .ends
            .iter()
            .map(|(partition, end)| (*partition, 0..*end));
        self.each_within(&all.collect(), on)
    }

    /// Hands every letter of this pipeline to `on`, each partition in its order.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn each_own<E: From<DeadLetterError>>(
        &self,
        mut on: impl FnMut(&Dead<'_>, &Letter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(|dead| match &dead.entry {
            Entry::Letter(letter) if letter.pipeline == self.config.name => on(&dead, letter),
            _ => Ok(()),
        })
    }

    /// As [`Self::each`], of these offsets by partition. Those that are not there are passed over.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn each_within<E: From<DeadLetterError>>(
        &self,
        offsets: &BTreeMap<i32, Range<i64>>,
        mut on: impl FnMut(Dead<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let kafka = |error: KafkaError| E::from(DeadLetterError::Kafka(error));
        let mut list = TopicPartitionList::new();
        for (partition, offsets) in offsets {
            if !offsets.is_empty() {
                let start = Offset::Offset(offsets.start);
                let added = list.add_partition_offset(self.topic(), *partition, start);
                added.map_err(kafka)?;
            }
        }
        let past = Past::open(self.config).map_err(kafka)?;
        past.begin(&list).map_err(kafka)?;
        while let Some(message) = past.next().map_err(kafka)? {
            let offsets = &offsets[&message.partition()];
            // Deleted offsets make the client begin where the log does.
            if offsets.contains(&message.offset()) {
                on(dead(&message))?;
            }
            if message.offset() + 1 >= offsets.end {
                past.leave(self.topic(), message.partition())
                    .map_err(kafka)?;
            }
        }
        Ok(())
    }

    /// From a letter to the end of its partition.
    pub fn behind(&self, letter: Position) -> BTreeMap<i32, Range<i64>> {
        let end = self.ends.get(&letter.partition).copied().unwrap_or(0);
        BTreeMap::from([(letter.partition, letter.offset..end)])
    }
}

fn dead<'m>(message: &'m BorrowedMessage<'_>) -> Dead<'m> {
    Dead {
        position: Position {
            partition: message.partition(),
            offset: message.offset(),
        },
        at: instant(message.timestamp().to_millis().unwrap_or(0)),
        entry: Entry::read(&headers(message), message.key(), message.payload()),
    }
}

fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let headers = message.headers();
    headers.map_or_else(Vec::new, |headers| {
        let pairs = headers.iter().map(|header| (header.key, header.value));
        pairs.collect()
    })
}

/// A record out of its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Original {
    /// In milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
}

impl Original {
    /// The bytes that a letter has of it.
    pub fn of(letter: &Letter<'_>) -> Self {
        Original::new(
            letter.timestamp,
            &letter.headers,
            letter.key,
            letter.payload,
        )
    }

    fn new(
        timestamp: Option<i64>,
        headers: &[Header<'_>],
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = headers.iter();
        Original {
            timestamp,
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), owned(*value)))
                .collect(),
            key: owned(key),
            payload: owned(payload),
        }
    }
}

/// Single records by their offsets.
pub struct Records(Past);

impl Records {
    /// # Errors
    /// When the client can't be made.
    pub fn open(config: &Config) -> KafkaResult<Self> {
        Past::open(config).map(Records)
    }

    /// The committed record at an offset, handed to `on`; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn at<T>(
        &self,
        topic: &str,
        position: Position,
        on: impl FnOnce(&BorrowedMessage<'_>) -> T,
    ) -> KafkaResult<Option<T>> {
        let Position { partition, offset } = position;
        let consumer = self.0.consumer();
        let (first, end) = match consumer.fetch_watermarks(topic, partition, ANSWER) {
            Err(error) if is_unknown(&error) => return Ok(None),
            watermarks => watermarks?,
        };
        if !(first..end).contains(&offset) {
            return Ok(None);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.0.begin(&list)?;
        // The next one there is: that of an aborted transaction, or one that was compacted, is passed over.
        let found = self.0.next()?;
        Ok(found
            .filter(|message| message.offset() == offset)
            .map(|message| on(&message)))
    }

    /// The record that a letter refers to.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub fn original(&self, topic: &str, position: Position) -> KafkaResult<Option<Original>> {
        self.at(topic, position, |message| {
            let timestamp = message.timestamp().to_millis();
            Original::new(
                timestamp,
                &headers(message),
                message.key(),
                message.payload(),
            )
        })
    }

    /// The record of the dead letter topic at a place.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub fn dead<T>(
        &self,
        topic: &str,
        position: Position,
        on: impl FnOnce(Dead<'_>) -> T,
    ) -> KafkaResult<Option<T>> {
        self.at(topic, position, |message| on(dead(message)))
    }
}

/// Is there no such topic or partition?
fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        [
            Code::UnknownPartition,
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
        ]
        .contains(&code)
    })
}

/// The number of partitions of a topic that must be there.
pub(super) fn partitions(config: &Config, topic: &str) -> Result<i32, TopicError> {
    let present = topics::list(&config.kafka)?;
    let count = present.get(topic).ok_or_else(|| TopicError::Missing {
        topic: topic.to_owned(),
        brokers: config.kafka.brokers.clone(),
    })?;
    Ok(i32::try_from(*count).unwrap_or(i32::MAX))
}
