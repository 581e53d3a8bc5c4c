//! Ends what an aborted transaction has left undecided.
//!
//! A broker that has just started may call a transaction complete without having written its markers (seen with Kafka
//! 4.3; `tests/verifier/README.md`). What it had stays undecided then, and is decided with the next transaction of the
//! same producer. Of an aborted one that is wrong twice: its outputs would be committed later; and until then the
//! brokers do not tell the committed offsets of its partitions, for which this worker waits before it begins another
//! transaction, so that neither ever came.
//!
//! So after a producer was replaced amid a transaction, the new one begins a transaction that has all partitions in it
//! which that one may have had, and aborts it: its markers decide both.
//!
//! Not here: a transaction of which the worker had asked for the commit. Whether it was committed is not known, and to
//! abort a part of it would lose what it has published.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer};

use super::ANSWER;
use super::produce::{again_while_retriable, wait_until_acknowledged};
use super::sink::{Sink, SinkError};
use crate::pulse;

impl Sink {
    /// Begins a transaction with all partitions of outputs, and with `offsets`, and aborts it.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub(super) fn settle<C: ConsumerContext>(
        &mut self,
        offsets: &TopicPartitionList,
        consumer: &impl Consumer<C>,
    ) -> Result<(), SinkError> {
        for (topic, partition) in self.output_partitions().map_err(SinkError::Open)? {
            // Only readers of what is not committed ever see it.
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic);
            record.key = Some(b"forewarn: settled");
            record.partition = Some(partition);
            self.send(record)?;
        }
        wait_until_acknowledged(self.producer())?;
        if let Some(group) = consumer.group_metadata() {
            let sent = again_while_retriable(|| {
                pulse::call("send_offsets_to_transaction", || {
                    self.producer()
                        .send_offsets_to_transaction(offsets, &group, ANSWER)
                })
            });
            // The group may refuse them, from a member that it does not know any more. Its partition of offsets is in
            // the transaction all the same.
            if let Err(error) = sent {
                tracing::debug!(%error, "offsets of a transaction that is aborted anyway");
            }
        }
        self.abort()
    }

    fn output_partitions(&self) -> Result<Vec<(String, i32)>, KafkaError> {
        let client = self.producer().client();
        let metadata = pulse::call("fetch_metadata", || client.fetch_metadata(None, ANSWER))?;
        let outputs = metadata
            .topics()
            .iter()
            .filter(|topic| self.writes_to(topic.name()));
        let partitions = outputs.flat_map(|topic| {
            let partitions = topic.partitions().iter();
            partitions.map(|partition| (topic.name().to_owned(), partition.id()))
        });
        Ok(partitions.collect())
    }
}
