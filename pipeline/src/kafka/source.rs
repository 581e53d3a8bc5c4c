//! The consumer of a worker: micro-batches of borrowed messages, and assignments as plain events.
//!
//! librdkafka reports a rebalance inside `poll`. Deciding there, in the middle of a batch, would be wrong:
//! the callback only notes it, `poll` ends the batch, and the worker drains, commits and answers between
//! two batches. Until it has answered, the partitions still belong to it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::ANSWER;
use super::client::{self, Role};
use super::farewell;
use super::sink::fenced;
use crate::config::{Config, Start};
use crate::pulse;
use crate::service::Shutdown;

/// How long a question may take that can be asked again later.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Before it is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// Between two looks while a batch waits for more messages.
const PAUSE: Duration = Duration::from_millis(1);

/// A change of the partitions that this worker owns.
#[derive(Debug, Clone)]
pub enum Rebalance {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// Where a newly assigned partition is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    pub partition: i32,
    /// The first record to read.
    pub start: i64,
    /// The first record whose outputs are not yet published.
    pub publish_from: i64,
    /// Records that retention deleted before they were read.
    pub lost: i64,
    /// Its offset says that the process that committed it has stopped: see `farewell.rs`.
    pub farewell: bool,
}

impl Resume {
    /// Where to resume a partition whose log holds the offsets `log`: state is rebuilt from the log's start.
    fn new(
        partition: i32,
        committed: Option<i64>,
        log: Range<i64>,
        start: Start,
        stateful: bool,
    ) -> Self {
        let publish_from = match (committed, start) {
            (Some(committed), _) => committed.max(log.start),
            (None, Start::Earliest) => log.start,
            (None, Start::Latest) => log.end,
        };
        Resume {
            partition,
            start: if stateful { log.start } else { publish_from },
            publish_from,
            lost: committed.map_or(0, |committed| (log.start - committed).max(0)),
            farewell: false,
        }
    }
}

/// Where a partition's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything up to there was given.
    Reached,
    /// The offset after the last record.
    At(i64),
}

/// Notes rebalances.
#[derive(Default)]
pub struct Context {
    events: Mutex<VecDeque<Rebalance>>,
    /// The consumer is being dropped: nobody will answer any more.
    closing: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    // Answered by the call that fails; see `client::log`.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::SeqCst) {
            // Closing waits for the answer to the last revocation.
            let _ = release(consumer, list);
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect();
        let event = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ => Rebalance::Revoked(partitions),
        };
        if let Ok(mut events) = self.events.lock() {
            events.push_back(event);
        }
    }
}

/// The consumer.
pub struct Source {
    consumer: BaseConsumer<Context>,
    topic: String,
    start: Start,
    /// Read from the log's start, to rebuild state, instead of from the committed offset.
    stateful: bool,
    is_static: bool,
    max_wait: Duration,
    /// The brokers were not reached when last heard of.
    outage: Cell<bool>,
    /// Partitions that were read to the end of their log, with the end.
    ends: RefCell<BTreeMap<i32, i64>>,
}

impl Source {
    /// Joins the pipeline's group as a worker.
    pub fn subscribe(config: &Config, worker: usize, stateful: bool) -> KafkaResult<Self> {
        let client = client::config(
            &config.kafka,
            Role::Consumer {
                group: &config.name,
                id: &client::transactional_id(config, worker),
                is_static: config.delivery.static_membership,
            },
        );
        let consumer: BaseConsumer<Context> = client.create_with_context(Context::default())?;
        consumer.subscribe(&[&config.source.topic])?;
        Ok(Source {
            consumer,
            topic: config.source.topic.clone(),
            start: config.source.start,
            stateful,
            is_static: config.delivery.static_membership,
            max_wait: config.source.max_batch_wait,
            outage: Cell::new(false),
            ends: RefCell::default(),
        })
    }

    /// The consumer itself, for the offsets and group metadata of a commit.
    pub fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    /// Has another process joined the group under this worker's name?
    pub(super) fn is_fenced(&self) -> bool {
        let fatal = self.consumer.client().fatal_error();
        fatal.is_some_and(|(code, _)| fenced(code))
    }

    /// Waits at most `idle` for a message, then gathers up to `most` until the batch is full, or has waited long
    /// enough, which is not beyond `idle` either. A rebalance ends the batch.
    pub fn poll<'a>(
        &'a self,
        idle: Duration,
        most: usize,
        batch: &mut Vec<BorrowedMessage<'a>>,
    ) -> KafkaResult<()> {
        pulse::call("poll", || self.gather(idle, most, batch))
    }

    fn gather<'a>(
        &'a self,
        idle: Duration,
        most: usize,
        batch: &mut Vec<BorrowedMessage<'a>>,
    ) -> KafkaResult<()> {
        let begun = Instant::now();
        let Some(first) = self.take(idle)? else {
            return Ok(());
        };
        batch.push(first);
        let deadline = (Instant::now() + self.max_wait).min(begun + idle);
        while batch.len() < most {
            // What is fetched already comes without a look at the clock, which costs more than the message.
            if let Some(message) = self.take(Duration::ZERO)? {
                batch.push(message);
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.has_rebalance() {
                break;
            }
            // Not a poll with what is left: its last millisecond is a busy loop in the client.
            // A call of its own: waiting for more is no call that hangs.
            pulse::call("poll", || std::thread::sleep(left.min(PAUSE)));
        }
        Ok(())
    }

    /// One message. What the client mends by itself, such as a lost connection, is only told.
    fn take(&self, mut wait: Duration) -> KafkaResult<Option<BorrowedMessage<'_>>> {
        loop {
            match self.consumer.poll(wait).transpose() {
                Err(error) if is_passing(&error) => {
                    // Once per outage: it repeats until a message comes.
                    if !self.outage.replace(true) {
                        tracing::warn!(%error, "the brokers are not reached; the client keeps trying");
                    }
                    return Ok(None);
                }
                // It stands among the messages, behind nearly each one where they come one by one.
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(end) = self.fetched_end(partition) {
                        self.ends.borrow_mut().insert(partition, end);
                    }
                    wait = Duration::ZERO;
                }
                Ok(Some(message)) => {
                    if self.outage.replace(false) {
                        tracing::info!("messages come again");
                    }
                    return Ok(Some(message));
                }
                other => return other,
            }
        }
    }

    /// Are the brokers reached? Where they were not, they are asked.
    pub fn is_reached(&self) -> bool {
        if !self.outage.get() {
            return true;
        }
        // A quiet topic gives no message to tell it by.
        let told = pulse::call("fetch_metadata", || {
            self.consumer.fetch_metadata(Some(&self.topic), AT_ONCE)
        });
        if told.is_ok() && self.outage.replace(false) {
            tracing::info!("the brokers are reached again");
        }
        told.is_ok()
    }

    /// Where an assigned partition's log ends, as far as is known without asking.
    pub fn end_known(&self, partition: i32) -> Option<End> {
        let end = self.fetched_end(partition)?;
        let reached = self.ends.borrow().get(&partition) == Some(&end);
        Some(if reached { End::Reached } else { End::At(end) })
    }

    /// The end of a partition's log as the brokers told it with the last messages.
    #[expect(unsafe_code, reason = "rdkafka has no function for it")]
    fn fetched_end(&self, partition: i32) -> Option<i64> {
        let topic = CString::new(self.topic.as_str()).ok()?;
        let (mut low, mut end) = (0, 0);
        // SAFETY: the consumer outlives the call, which reads the name and writes the two numbers.
        let told = unsafe {
            rdkafka::bindings::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut end,
            )
        };
        (told == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0).then_some(end)
    }

    /// Where a partition's log ends, or nothing when the brokers do not say so at once.
    pub fn end(&self, partition: i32) -> Option<i64> {
        let ends = pulse::call("fetch_watermarks", || {
            self.consumer
                .fetch_watermarks(&self.topic, partition, AT_ONCE)
        });
        ends.ok().map(|(_, end)| end)
    }

    fn has_rebalance(&self) -> bool {
        self.consumer
            .context()
            .events
            .lock()
            .is_ok_and(|events| !events.is_empty())
    }

    /// The next change of ownership, to be answered by [`Self::accept`] or [`Self::give_up`].
    pub fn rebalance(&self) -> Option<Rebalance> {
        self.consumer.context().events.lock().ok()?.pop_front()
    }

    /// Lets an event that could not be answered come again, as the next one.
    pub fn put_back(&self, event: Rebalance) {
        if let Ok(mut events) = self.consumer.context().events.lock() {
            events.push_front(event);
        }
    }

    /// Finds where each partition is to be read from; `KafkaError::Canceled` when a stop is requested meanwhile.
    pub fn resume(&self, partitions: &[i32], shutdown: &Shutdown) -> KafkaResult<Vec<Resume>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let committed = pulse::call("committed_offsets", || self.committed(&list, shutdown))?;
        committed
            .elements()
            .iter()
            .map(|element| {
                let (low, high) = pulse::call("fetch_watermarks", || {
                    let partition = element.partition();
                    self.consumer
                        .fetch_watermarks(&self.topic, partition, ANSWER)
                })?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                let resume = Resume::new(
                    element.partition(),
                    committed,
                    low..high,
                    self.start,
                    self.stateful,
                );
                Ok(Resume {
                    farewell: self.is_static && farewell::of(element).is_some(),
                    ..resume
                })
            })
            .collect()
    }

    /// The committed offsets. The brokers do not tell them while a transaction that has others is open, which is up to
    /// 30 s where its worker was killed; so a stop must not wait for the answer.
    fn committed(
        &self,
        partitions: &TopicPartitionList,
        shutdown: &Shutdown,
    ) -> KafkaResult<TopicPartitionList> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let answer = self.consumer.committed_offsets(partitions.clone(), AT_ONCE);
            if !answer.as_ref().is_err_and(is_pending) || Instant::now() > deadline {
                return answer;
            }
            if shutdown.is_requested() {
                return Err(KafkaError::Canceled);
            }
            shutdown.wait(AGAIN);
        }
    }

    /// Takes assigned partitions over, from where `resume` says.
    pub fn accept(&self, resume: &[Resume]) -> KafkaResult<()> {
        let list = self.list(
            resume
                .iter()
                .map(|r| (r.partition, Offset::Offset(r.start))),
        )?;
        self.forget_ends(resume);
        pulse::call("assign", || match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&list),
            _ => self.consumer.assign(&list),
        })
    }

    /// Lets revoked partitions go.
    pub fn give_up(&self, partitions: &[i32]) -> KafkaResult<()> {
        let list = self.list(
            partitions
                .iter()
                .map(|partition| (*partition, Offset::Invalid)),
        )?;
        pulse::call("unassign", || release(&self.consumer, &list))
    }

    fn forget_ends(&self, resume: &[Resume]) {
        let mut ends = self.ends.borrow_mut();
        ends.retain(|partition, _| resume.iter().all(|r| r.partition != *partition));
    }

    /// Goes back in owned partitions.
    pub fn rewind(&self, resume: &[Resume]) -> KafkaResult<()> {
        let list = self.list(
            resume
                .iter()
                .map(|r| (r.partition, Offset::Offset(r.start))),
        )?;
        self.forget_ends(resume);
        let sought = pulse::call("seek_partitions", || {
            self.consumer.seek_partitions(list, ANSWER)
        })?;
        sought
            .elements()
            .iter()
            .try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
    }

    /// Offsets of this topic as Kafka takes them.
    pub fn list(
        &self,
        offsets: impl Iterator<Item = (i32, Offset)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.consumer
            .context()
            .closing
            .store(true, Ordering::SeqCst);
        // What came after the last batch, or could not be answered before the stop, still waits for its answer.
        while let Some(event) = self.rebalance() {
            let _ = match event {
                Rebalance::Assigned(_) => self.accept(&[]),
                Rebalance::Revoked(partitions) => self.give_up(&partitions),
            };
        }
    }
}

fn release(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

/// Is the answer still to come?
fn is_pending(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| [Code::OperationTimedOut, Code::UnstableOffsetCommit].contains(&code))
}

/// Errors after which the consumer goes on by itself, and nothing was lost.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    error.rdkafka_error_code().is_some_and(|code| {
        let passing = [
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::Resolve,
            Code::OperationTimedOut,
            Code::NetworkException,
            Code::CoordinatorNotAvailable,
            Code::CoordinatorLoadInProgress,
            Code::NotCoordinator,
        ];
        passing.contains(&code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_resumes_where_its_outputs_end() {
        let at = |committed, start, stateful| {
            let resume = Resume::new(0, committed, 100..500, start, stateful);
            (resume.start, resume.publish_from, resume.lost)
        };
        // Never read before.
        assert_eq!(at(None, Start::Earliest, true), (100, 100, 0));
        assert_eq!(at(None, Start::Latest, false), (500, 500, 0));
        // State of what was there before `latest` is built all the same.
        assert_eq!(at(None, Start::Latest, true), (100, 500, 0));
        // Read before: the start policy does not matter.
        assert_eq!(at(Some(300), Start::Latest, false), (300, 300, 0));
        assert_eq!(at(Some(300), Start::Earliest, true), (100, 300, 0));
        // Retention was faster.
        assert_eq!(at(Some(60), Start::Earliest, true), (100, 100, 40));
    }

    #[test]
    fn a_lost_connection_is_left_to_the_client_and_a_lost_offset_is_not() {
        let consumption = KafkaError::MessageConsumption;
        assert!(is_passing(&consumption(RDKafkaErrorCode::AllBrokersDown)));
        assert!(!is_passing(&consumption(RDKafkaErrorCode::AutoOffsetReset)));
        assert!(!is_passing(&consumption(
            RDKafkaErrorCode::TopicAuthorizationFailed
        )));
    }
}
