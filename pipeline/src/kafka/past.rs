//! Reads partitions from where they are told to up to their present end: the one way to read a log that may
//! still grow.
//!
//! A partition is read to its end when the client says so for the first time. It says so again each time that
//! more records have come, so the ends are a set and not a count: a partition that grows must not stand for
//! one that has not been read yet.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionListElem;

pub(super) use super::ANSWER;
use super::client::{self, Role, Silent};
use crate::config::Config;
use crate::pulse;

/// Kibibytes that several clients may fetch ahead together.
const FETCHED_AHEAD: usize = 65_536;

pub(super) struct Past {
    consumer: BaseConsumer<Silent>,
    /// Partitions that have not come to their end.
    left: RefCell<BTreeSet<i32>>,
}

impl Past {
    /// A consumer that joins no group and commits nothing. It reads nothing yet.
    pub fn open(config: &Config) -> KafkaResult<Self> {
        Past::open_among(config, 1)
    }

    /// As [`Self::open`], one of `clients` that share the memory for what is fetched ahead.
    pub fn open_among(config: &Config, clients: usize) -> KafkaResult<Self> {
        let role = Role::Observer {
            group: &config.name,
        };
        let mut client = client::config(&config.kafka, role);
        // Control records of transactions stand at the end of a log too: only the client knows when it is there.
        client.set("enable.partition.eof", "true");
        if clients > 1 {
            let ahead = (FETCHED_AHEAD / clients).max(1_024).to_string();
            client.set("queued.max.messages.kbytes", ahead);
        }
        // What was damaged on the way is an error of the client, and not a reading.
        client.set("check.crcs", "true");
        Ok(Past {
            consumer: client.create_with_context(Silent)?,
            left: RefCell::default(),
        })
    }

    pub fn consumer(&self) -> &BaseConsumer<Silent> {
        &self.consumer
    }

    /// Begins to read the partitions of `list` at their offsets.
    pub fn begin(&self, list: &TopicPartitionList) -> KafkaResult<()> {
        let elements = list.elements();
        let numbers = elements.iter().map(TopicPartitionListElem::partition);
        *self.left.borrow_mut() = numbers.collect();
        pulse::call("assign", || self.consumer.assign(list))
    }

    /// What is there already is taken without telling of the call, which costs more than a record.
    fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        let there = self.consumer.poll(Duration::ZERO);
        there.or_else(|| pulse::call("poll", || self.consumer.poll(wait)))
    }

    /// The next record, whether or not the end was reached before; `None` when none comes within `wait`.
    pub fn more(&self, wait: Duration) -> KafkaResult<Option<BorrowedMessage<'_>>> {
        loop {
            match self.poll(wait) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if is_final(&error) => return Err(error),
                // The client mends it by itself.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    /// Reads no more of a partition before its end.
    pub fn leave(&self, topic: &str, partition: i32) -> KafkaResult<()> {
        if self.left.borrow_mut().remove(&partition) {
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, partition);
            self.consumer.pause(&list)?;
        }
        Ok(())
    }

    /// The next record; `None` when all partitions have been read to their end. Records that come to a
    /// partition behind its end while others are read are given too.
    pub fn next(&self) -> KafkaResult<Option<BorrowedMessage<'_>>> {
        let mut deadline = None;
        while !self.left.borrow().is_empty() {
            match self.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.left.borrow_mut().remove(&partition);
                }
                Some(Err(error)) if is_final(&error) => return Err(error),
                // Not asked for the time of each record: that costs as much as taking it.
                Some(Err(_)) | None
                    if Instant::now()
                        > *deadline.get_or_insert_with(|| Instant::now() + ANSWER) =>
                {
                    let code = RDKafkaErrorCode::OperationTimedOut;
                    return Err(KafkaError::MessageConsumption(code));
                }
                // The client mends it by itself.
                Some(Err(_)) | None => {}
            }
        }
        Ok(None)
    }
}

/// Errors that waiting does not mend.
fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::AutoOffsetReset
        )
    })
}
