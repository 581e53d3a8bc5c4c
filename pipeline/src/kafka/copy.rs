//! Copies records of the input topic to another one: key, value, headers and timestamp as they are.
//!
//! ```text
//!   partition 0 ─ client ─▶ a few messages ─┐
//!   partition 1 ─ client ─▶ a few messages ─┴▶ the one with the earliest timestamp ─(when it is due)─▶ producer
//! ```
//!
//! Partitions are merged by timestamp, so that a paced copy sends what happened at once at once. Each has a client
//! of its own: one client gives a lot of one partition, then of another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Role};
use super::deliveries::Deliveries;
use super::past::Past;
use super::produce::{send, wait_until_acknowledged};
use super::replay::{Records, borrow};
use super::sink::SinkError;
use crate::config::Config;
use crate::engine::EngineError;
use crate::message::Message;

/// Messages of a partition that are looked at together.
const TOGETHER: usize = 512;
/// Longest sleep while a message is not due, so that acknowledgements are taken.
const NAP: Duration = Duration::from_millis(50);

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    Full,
    /// Messages per second.
    Rate(f64),
    /// Times as fast as the timestamps of the records.
    Speed(f64),
}

/// Where to.
#[derive(Debug, Clone)]
pub struct Target {
    pub topic: String,
    /// How many it has. With as many as the input, partitions keep their numbers; else the key decides.
    pub partitions: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("Kafka client: {0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Messages of a partition that were selected, and not sent yet.
struct Queue<'p> {
    past: &'p Past,
    end: i64,
    messages: VecDeque<BorrowedMessage<'p>>,
    is_over: bool,
}

/// Copies the messages of `records` that `select` takes; gives their number.
///
/// # Errors
/// When the brokers do not answer or refuse, and those of `select`.
pub fn copy(
    config: &Config,
    records: &Records,
    target: &Target,
    pace: Pace,
    mut select: impl FnMut(&[Message<'_>]) -> Result<Vec<bool>, EngineError>,
) -> Result<u64, CopyError> {
    let opened =
        client::config(&config.kafka, Role::Producer).create_with_context(Deliveries::default());
    let producer: BaseProducer<Deliveries> = opened.map_err(SinkError::Open)?;
    let pasts = open(config, records)?;
    let ends = records.values().filter(|range| !range.is_empty());
    let mut queues: Vec<Queue<'_>> = pasts
        .iter()
        .zip(ends)
        .map(|(past, range)| Queue {
            past,
            end: range.end,
            messages: VecDeque::new(),
            is_over: false,
        })
        .collect();
    let keeps_partitions =
        target.partitions >= records.keys().max().map_or(0, |last| *last as usize + 1);
    let mut clock = Clock::new(pace);
    let mut sent = 0;
    loop {
        for queue in &mut queues {
            queue.fill(&mut select)?;
        }
        let next = queues.iter_mut().filter(|queue| !queue.messages.is_empty());
        let Some(queue) = next.min_by_key(|queue| queue.messages[0].timestamp().to_millis()) else {
            break;
        };
        let Some(message) = queue.messages.pop_front() else {
            break;
        };
        clock.wait(message.timestamp().to_millis(), sent, &producer);
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&target.topic);
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = message.timestamp().to_millis();
        record.headers = message.headers().map(BorrowedHeaders::detach);
        record.partition = keeps_partitions.then_some(message.partition());
        send(&producer, record)?;
        sent += 1;
        if sent.is_multiple_of(1_024) {
            producer.poll(Duration::ZERO);
        }
    }
    wait_until_acknowledged(&producer)?;
    Ok(sent)
}

/// A client for each partition that has records.
fn open(config: &Config, records: &Records) -> Result<Vec<Past>, KafkaError> {
    let filled: Vec<_> = records
        .iter()
        .filter(|(_, range)| !range.is_empty())
        .collect();
    let of_partition = |(partition, range): &(&i32, &std::ops::Range<i64>)| {
        let past = Past::open_among(config, filled.len())?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(
            &config.source.topic,
            **partition,
            Offset::Offset(range.start),
        )?;
        past.begin(&list)?;
        Ok(past)
    };
    filled.iter().map(of_partition).collect()
}

impl<'p> Queue<'p> {
    /// Sees to it that the next message is there, unless the partition is over.
    fn fill(
        &mut self,
        select: &mut impl FnMut(&[Message<'_>]) -> Result<Vec<bool>, EngineError>,
    ) -> Result<(), CopyError> {
        while self.messages.is_empty() && !self.is_over {
            let mut batch: Vec<BorrowedMessage<'p>> = Vec::new();
            while batch.len() < TOGETHER && !self.is_over {
                let message = self
                    .past
                    .next()?
                    .filter(|message| message.offset() < self.end);
                self.is_over = message
                    .as_ref()
                    .is_none_or(|message| message.offset() + 1 >= self.end);
                batch.extend(message);
            }
            let messages: Vec<Message<'_>> = batch.iter().map(borrow).collect();
            let selected = select(&messages)?;
            drop(messages);
            let selected = batch
                .into_iter()
                .zip(selected)
                .filter(|(_, selected)| *selected);
            self.messages.extend(selected.map(|(message, _)| message));
        }
        if self.is_over && self.messages.is_empty() {
            self.past.consumer().unassign()?;
        }
        Ok(())
    }
}

/// When messages are due.
struct Clock {
    pace: Pace,
    begun: Instant,
    /// Timestamp of the first message.
    first: Option<i64>,
}

impl Clock {
    fn new(pace: Pace) -> Self {
        Clock {
            pace,
            begun: Instant::now(),
            first: None,
        }
    }

    fn wait(&mut self, timestamp: Option<i64>, sent: u64, producer: &BaseProducer<Deliveries>) {
        let due = self.begun + self.due(timestamp, sent);
        while let Some(left) = due.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            producer.poll(Duration::ZERO);
            std::thread::sleep(left.min(NAP));
        }
    }

    /// After how much time a message is due.
    fn due(&mut self, timestamp: Option<i64>, sent: u64) -> Duration {
        let seconds = match self.pace {
            Pace::Full => 0.0,
            Pace::Rate(rate) => sent as f64 / rate,
            Pace::Speed(speed) => {
                let timestamp = timestamp.unwrap_or(0);
                let first = *self.first.get_or_insert(timestamp);
                (timestamp - first).max(0) as f64 / 1_000.0 / speed
            }
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_by_its_number_or_by_its_timestamp() {
        let due = |pace, messages: &[(i64, u64)]| -> Vec<f64> {
            let mut clock = Clock::new(pace);
            let due =
                |(timestamp, sent): &(i64, u64)| clock.due(Some(*timestamp), *sent).as_secs_f64();
            messages.iter().map(due).collect()
        };
        // The second one was written before the first one.
        let messages = [(10_000, 0), (9_000, 1), (30_000, 2)];
        assert_eq!(due(Pace::Full, &messages), [0.0, 0.0, 0.0]);
        assert_eq!(due(Pace::Rate(4.0), &messages), [0.0, 0.25, 0.5]);
        assert_eq!(due(Pace::Speed(10.0), &messages), [0.0, 0.0, 2.0]);
    }
}
