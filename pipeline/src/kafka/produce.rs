//! What every producer here does the same way: hand records over with patience, wait for their
//! acknowledgements, and go through the steps of a transaction.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::ANSWER;
use super::deliveries::{Deliveries, Failed};
use super::sink::SinkError;
use crate::pulse;

/// Between two looks at reports while records are in flight.
const FLUSH_STEP: Duration = Duration::from_millis(50);

/// Of an abort, between two looks at reports.
const ABORT_STEP: Duration = Duration::from_millis(500);

/// Hands a record over; while the queue is full, the caller waits.
pub(super) fn send(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result<(), SinkError> {
    let topic = record.topic;
    // A look at the clock for each record would cost a part of it.
    let mut full_since: Option<Instant> = None;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            // The queue is bounded: the worker waits, and so reads no more.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if full_since.get_or_insert_with(Instant::now).elapsed() < ANSWER =>
            {
                record = back;
                pulse::call("poll", || producer.poll(Duration::from_millis(5)));
            }
            Err((source, _)) => {
                return Err(SinkError::Produce {
                    topic: topic.to_owned(),
                    source,
                });
            }
        }
    }
}

/// Waits until everything that was sent has arrived; one record that did not is the error.
pub(super) fn wait_until_acknowledged(
    producer: &BaseProducer<Deliveries>,
) -> Result<(), SinkError> {
    // One call of several steps: who watches sees for how long the brokers have not answered.
    pulse::call("acknowledgements", || {
        let deadline = Instant::now() + ANSWER;
        while producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(SinkError::Unacknowledged);
            }
            flush(producer, FLUSH_STEP);
            // What did not arrive is in flight until its report has been taken.
            producer.poll(Duration::ZERO);
        }
        Ok(())
    })?;
    match producer.context().take_failed() {
        Some(Failed { topic, reason, .. }) => Err(SinkError::Produce {
            topic,
            source: reason,
        }),
        None => Ok(()),
    }
}

/// Sends what waits, without lingering, and waits until nothing is in flight, for `most` at the longest.
///
/// Not rdkafka's own: it flushes for no time, so that what lingers goes on lingering, and then polls in steps of 100 ms.
#[expect(unsafe_code, reason = "rdkafka has no function for it")]
fn flush(producer: &BaseProducer<Deliveries>, most: Duration) {
    let most = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the producer outlives the call, which keeps nothing of it.
    unsafe { rdkafka::bindings::rd_kafka_flush(producer.client().native_ptr(), most) };
}

/// Drops the open transaction, in short steps: an abort waits until the reports of records that did not arrive have
/// been taken, and it is this thread that takes them.
pub(super) fn abort(producer: &BaseProducer<Deliveries>) -> Result<(), KafkaError> {
    again_while_retriable(|| {
        producer.poll(Duration::ZERO);
        pulse::call("abort_transaction", || {
            producer.abort_transaction(ABORT_STEP)
        })
    })
}

/// librdkafka asks for the same call again when a step was interrupted half-way.
pub(super) fn again_while_retriable(
    mut step: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    let deadline = Instant::now() + ANSWER;
    loop {
        match step() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < deadline =>
            {
                tracing::debug!(%error, "transaction step is tried again");
            }
            done => return done,
        }
    }
}
