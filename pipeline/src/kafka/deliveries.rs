//! What became of the records that a producer sent: the failures, counted, with the first reason.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::client;

/// The context of every producer.
#[derive(Debug, Default)]
pub struct Deliveries {
    failed: Mutex<Option<Failed>>,
}

/// Records that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub records: u64,
    /// Where the first one was to go.
    pub topic: String,
    /// Why the first one did not.
    pub reason: KafkaError,
}

impl Deliveries {
    /// What has failed since the last call.
    pub fn take_failed(&self) -> Option<Failed> {
        self.failed.lock().ok()?.take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    // The client keeps trying; what can't be mended is the error of a call or of a delivery.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result
            && let Ok(mut failed) = self.failed.lock()
        {
            let first = || Failed {
                records: 0,
                topic: record.topic().to_owned(),
                reason: error.clone(),
            };
            failed.get_or_insert_with(first).records += 1;
        }
    }
}
