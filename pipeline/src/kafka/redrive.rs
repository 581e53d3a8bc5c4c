//! Sends the messages of dead letters back to where they came from, each once.
//!
//! ```text
//!   init transactions ─ settle ─ receipts ─ index ─▶ a part of it ─▶ begin ─ messages ─ receipts ─ commit ─▶ begin ...
//!   └ another redrive is fenced          └ selected, not redriven, in the order of the source
//! ```
//!
//! A message and the receipt of its letter are in one transaction. One identity per pipeline: whoever begins
//! ends the transaction of one that was killed, and stops one that still runs, before receipts are read. So a
//! letter is either in a receipt, and its message was sent, or neither.
//!
//! Invariants:
//! - messages go back in the order in which they came, whatever partitions their letters are in;
//! - a message goes to the partition that it came from, with its bytes, headers and timestamp: order and
//!   state of an asset live in its partition, and a clock is judged against the record's timestamp;
//! - no receipt without its message, no message without its receipt.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::ANSWER;
use super::client::{self, Role};
use super::dead_letters::{Dead, DeadLetterError, DeadLetters, Original, Records, partitions};
use super::deliveries::Deliveries;
use super::produce::{abort, again_while_retriable, send, wait_until_acknowledged};
use super::sink::SinkError;
use crate::config::{Config, EventTime};
use crate::dead_letter::{Entry, Letter, Offsets, Position, RECEIPT_PIPELINE, REDRIVE, REDRIVEN};

/// Messages of one transaction: enough to make a commit cheap, few enough to be sent again after a crash.
const MESSAGES: usize = 200;
/// Bytes of one transaction, or one message.
const BYTES: usize = 4 << 20;
/// Bytes of letters that are read at once, to be sent in the order of the source.
const HELD: usize = 64 << 20;
/// What a letter takes in memory beside its key and payload, about.
const OVERHEAD: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(transparent)]
    Letters(#[from] DeadLetterError),
    #[error(
        "another redrive of this pipeline has begun, which stops this one: what was sent and committed stays, and is \
         not sent again"
    )]
    Fenced,
    #[error("{0}: what was committed stays and is not sent again; run it once more for the rest")]
    Sink(SinkError),
}

impl From<KafkaError> for RedriveError {
    fn from(error: KafkaError) -> Self {
        RedriveError::Letters(DeadLetterError::Kafka(error))
    }
}

impl From<super::topics::TopicError> for RedriveError {
    fn from(error: super::topics::TopicError) -> Self {
        RedriveError::Letters(DeadLetterError::Topics(error))
    }
}

/// Why a message can't be sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Skip {
    #[error("the letter is a reference, and its record is not in {topic} any more")]
    Gone { topic: String },
    #[error("it came from topic {topic}, which is not the pipeline's source")]
    OtherTopic { topic: String },
    #[error("it came from partition {partition}, which {topic} does not have")]
    NoPartition { topic: String, partition: i32 },
    #[error(
        "event-time is the record's timestamp, which neither the letter nor {topic} has any more"
    )]
    NoTimestamp { topic: String },
    #[error("it is larger than the client sends: raise message.max.bytes in kafka.options")]
    TooLarge,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Redrove {
    /// Messages sent, by code.
    pub sent: BTreeMap<String, u64>,
    /// Letters that were not, with their reasons.
    pub skipped: BTreeMap<Skip, Vec<Position>>,
    pub transactions: u64,
    /// Letters that were selected, and whose messages had been sent before.
    pub before: u64,
}

/// Sends the messages of the letters of this pipeline that `select` takes and that were not sent before.
/// `committed` is told the number of messages after each transaction.
///
/// # Errors
/// When the brokers can't be reached, refuse, or another redrive begins.
pub fn redrive(
    config: &Config,
    select: impl Fn(&Dead<'_>, &Letter<'_>) -> bool,
    committed: impl FnMut(u64),
) -> Result<Redrove, RedriveError> {
    partitions(config, &config.sink.dead_letters)?;
    let partitions = partitions(config, &config.source.topic)?;
    // Before anything is read: see the head of this file.
    let producer = open(config)?;
    let letters = DeadLetters::open(config)?;
    letters.settle()?;
    let redriven = letters.redriven()?;
    let mut run = Run {
        config,
        producer,
        records: Records::open(config)?,
        partitions,
        dead_letters: letters.topic(),
        batch: Batch::default(),
        done: Redrove::default(),
        committed,
    };
    let index = index(&letters, |dead, letter| {
        let is_meant = select(dead, letter);
        let is_open = is_meant && !redriven.contains(dead.position);
        run.done.before += u64::from(is_meant && !is_open);
        is_open
    })?;
    let mut rest = &index[..];
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(held(rest));
        let mut messages = read(&letters, part)?;
        for item in part {
            // Retention may have been faster.
            if let Some(message) = messages.remove(&item.position) {
                run.take(item.position, message)?;
            }
        }
        rest = behind;
    }
    run.commit()?;
    Ok(run.done)
}

/// A letter whose message is to be sent. Ordered by the place of the message in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    source: Position,
    position: Position,
    bytes: usize,
}

/// The letters that are `open`, in the order of the source.
fn index(
    letters: &DeadLetters<'_>,
    mut open: impl FnMut(&Dead<'_>, &Letter<'_>) -> bool,
) -> Result<Vec<Item>, RedriveError> {
    let mut index = Vec::new();
    letters.each_own::<RedriveError>(|dead, letter| {
        if open(dead, letter) {
            let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            index.push(Item {
                source: place(letter),
                position: dead.position,
                bytes: len(letter.key) + len(letter.payload),
            });
        }
        Ok(())
    })?;
    index.sort_unstable();
    Ok(index)
}

/// How many of the first letters are held in memory at once; at least one.
fn held(items: &[Item]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += item.bytes + OVERHEAD;
        bytes <= HELD
    };
    items.iter().take_while(fits).count().max(1)
}

/// The messages of some letters.
fn read(
    letters: &DeadLetters<'_>,
    items: &[Item],
) -> Result<HashMap<Position, Message>, RedriveError> {
    let mut wanted: HashMap<Position, Option<Message>> = HashMap::with_capacity(items.len());
    let mut within: BTreeMap<i32, Range<i64>> = BTreeMap::new();
    for item in items {
        let Position { partition, offset } = item.position;
        let range = within.entry(partition).or_insert(offset..offset + 1);
        *range = range.start.min(offset)..range.end.max(offset + 1);
        wanted.insert(item.position, None);
    }
    letters.each_within::<RedriveError>(&within, |dead| {
        if let (Some(wanted), Entry::Letter(letter)) = (wanted.get_mut(&dead.position), &dead.entry)
        {
            *wanted = Some(Message::of(letter));
        }
        Ok(())
    })?;
    let found = wanted.into_iter();
    Ok(found
        .filter_map(|(position, message)| Some((position, message?)))
        .collect())
}

/// What a letter says of its message.
struct Message {
    code: String,
    topic: String,
    source: Position,
    is_reference: bool,
    /// The bytes of the letter.
    own: Original,
}

impl Message {
    fn of(letter: &Letter<'_>) -> Self {
        Message {
            code: letter.code.to_owned(),
            topic: letter.source.topic.to_owned(),
            source: place(letter),
            is_reference: letter.is_reference(),
            own: Original::of(letter),
        }
    }
}

fn place(letter: &Letter<'_>) -> Position {
    Position {
        partition: letter.source.partition,
        offset: letter.source.offset,
    }
}

/// Fences whoever had the same identity, and ends what it had begun.
fn open(config: &Config) -> Result<BaseProducer<Deliveries>, RedriveError> {
    let id = format!("{}-redrive", config.name);
    let opened = client::config(&config.kafka, Role::Transactional { id: &id })
        .create_with_context(Deliveries::default())
        .and_then(|producer: BaseProducer<Deliveries>| {
            producer.init_transactions(ANSWER)?;
            Ok(producer)
        });
    opened.map_err(|error| RedriveError::Sink(SinkError::Open(error)))
}

struct Run<'c, F> {
    config: &'c Config,
    producer: BaseProducer<Deliveries>,
    records: Records,
    /// Of the source topic.
    partitions: i32,
    dead_letters: &'c str,
    batch: Batch,
    done: Redrove,
    committed: F,
}

/// What the open transaction holds.
#[derive(Default)]
struct Batch {
    bytes: usize,
    messages: u64,
    /// By partition of the dead letters.
    receipts: BTreeMap<i32, Offsets>,
    codes: BTreeMap<String, u64>,
}

impl<F: FnMut(u64)> Run<'_, F> {
    fn take(&mut self, position: Position, mut message: Message) -> Result<(), RedriveError> {
        let original = match self.original(&mut message)? {
            Ok(original) => original,
            Err(skip) => {
                self.done.skipped.entry(skip).or_default().push(position);
                return Ok(());
            }
        };
        if self.batch.messages == 0 {
            let begun = self.producer.begin_transaction();
            begun.map_err(|error| self.failed(SinkError::Commit(error)))?;
        }
        match self.send(position, &message, &original) {
            Ok(()) => {}
            Err(SinkError::Produce {
                source: KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge),
                ..
            }) => {
                let skipped = self.done.skipped.entry(Skip::TooLarge).or_default();
                skipped.push(position);
                // The transaction was begun for it alone.
                if self.batch.messages == 0 {
                    self.abort();
                }
                return Ok(());
            }
            Err(error) => return Err(self.failed(error)),
        }
        let batch = &mut self.batch;
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        batch.bytes += len(&original.key) + len(&original.payload);
        batch.messages += 1;
        let receipts = batch.receipts.entry(position.partition).or_default();
        receipts.insert(position.offset);
        *batch.codes.entry(message.code).or_default() += 1;
        if batch.messages as usize >= MESSAGES || batch.bytes >= BYTES {
            self.commit()?;
        }
        Ok(())
    }

    /// The message as it came: from the letter, else from the source topic.
    fn original(&self, message: &mut Message) -> Result<Result<Original, Skip>, RedriveError> {
        let (topic, source) = (message.topic.clone(), message.source);
        if topic != self.config.source.topic {
            return Ok(Err(Skip::OtherTopic { topic }));
        }
        if !(0..self.partitions).contains(&source.partition) {
            let partition = source.partition;
            return Ok(Err(Skip::NoPartition { topic, partition }));
        }
        if message.own.timestamp.is_some() && !message.is_reference {
            return Ok(Ok(std::mem::take(&mut message.own)));
        }
        if let Some(found) = self.records.original(&topic, source)? {
            return Ok(Ok(found));
        }
        Ok(match self.config.source.event_time {
            _ if message.is_reference => Err(Skip::Gone { topic }),
            EventTime::Record => Err(Skip::NoTimestamp { topic }),
            EventTime::Field { .. } => Ok(std::mem::take(&mut message.own)),
        })
    }

    fn send(
        &self,
        position: Position,
        message: &Message,
        original: &Original,
    ) -> Result<(), SinkError> {
        // One that came back before and was refused again names its latest letter only.
        let own = original.headers.iter().filter(|(name, _)| name != REDRIVE);
        let mut headers = own.fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(KafkaHeader {
                key: name,
                value: value.as_deref(),
            })
        });
        headers = headers.insert(KafkaHeader {
            key: REDRIVE,
            value: Some(&format!("{}:{position}", self.dead_letters)),
        });
        let mut record = BaseRecord::to(&message.topic)
            .partition(message.source.partition)
            .headers(headers);
        record.key = original.key.as_deref();
        record.payload = original.payload.as_deref();
        record.timestamp = original.timestamp;
        send(&self.producer, record)
    }

    /// Commits what was sent, with its receipts.
    fn commit(&mut self) -> Result<(), RedriveError> {
        if self.batch.messages == 0 {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        for (partition, offsets) in &batch.receipts {
            let marked = self.receipt(*partition, offsets);
            marked.map_err(|error| self.failed(error))?;
        }
        wait_until_acknowledged(&self.producer).map_err(|error| self.failed(error))?;
        again_while_retriable(|| self.producer.commit_transaction(ANSWER))
            .map_err(|error| self.failed(SinkError::Commit(error)))?;
        self.done.transactions += 1;
        for (code, messages) in batch.codes {
            *self.done.sent.entry(code).or_default() += messages;
        }
        (self.committed)(batch.messages);
        Ok(())
    }

    fn receipt(&self, partition: i32, offsets: &Offsets) -> Result<(), SinkError> {
        let offsets = offsets.to_string();
        let (pipeline, topic) = (&self.config.name, &self.config.source.topic);
        // For people who look at the topic; what counts are the headers.
        let payload = serde_json::json!({ "pipeline": pipeline, "redriven": offsets, "to": topic });
        let payload = payload.to_string();
        let headers = OwnedHeaders::new()
            .insert(KafkaHeader {
                key: RECEIPT_PIPELINE,
                value: Some(pipeline),
            })
            .insert(KafkaHeader {
                key: REDRIVEN,
                value: Some(&offsets),
            });
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.dead_letters)
            .partition(partition)
            .payload(payload.as_bytes())
            .headers(headers);
        send(&self.producer, record)
    }

    fn abort(&self) {
        // What can't be aborted now is by the next one, or by the broker after a while.
        if let Err(error) = abort(&self.producer) {
            tracing::warn!(%error, "the open transaction can't be aborted");
        }
        self.producer.context().take_failed();
    }

    /// Drops what is open; the error with what it means.
    fn failed(&self, error: SinkError) -> RedriveError {
        if error.is_fenced(Some(&self.producer)) {
            return RedriveError::Fenced;
        }
        self.abort();
        RedriveError::Sink(error)
    }
}
