//! From a step's result to records: what is written to the output topics, without Kafka.
//!
//! Headers follow CloudEvents 1.0, Kafka binding in binary mode, for predictions; and Kafka Connect's
//! `__connect.errors.*` for dead letters, so that tools made for either read them.

use crate::engine::Step;
use crate::message::{Message, MessageIndex};
use crate::prediction::{Prediction, SourceRef};
use crate::refusal::Refused;

/// Where records go to; implemented by the Kafka sink, and by tests.
pub trait Publisher {
    type Error;

    /// A prediction, keyed by its asset.
    ///
    /// # Errors
    /// When the record can't be taken.
    fn prediction(&mut self, record: &PredictionRecord<'_>) -> Result<(), Self::Error>;

    /// A refused message; the publisher has the original.
    ///
    /// # Errors
    /// When the record can't be taken.
    fn dead_letter(&mut self, record: &DeadLetterRecord<'_>) -> Result<(), Self::Error>;
}

#[derive(Debug)]
pub struct PredictionRecord<'a> {
    pub key: &'a str,
    pub payload: &'a [u8],
    pub headers: [(&'static str, &'a str); 7],
    pub anomalous: bool,
}

#[derive(Debug)]
pub struct DeadLetterRecord<'a> {
    /// The refused message in its batch.
    pub message: MessageIndex,
    pub code: &'static str,
    pub headers: [(&'static str, &'a str); 6],
}

/// Writes records; its buffers are reused.
#[derive(Debug)]
pub struct Encoder {
    pipeline: String,
    topic: String,
    ce_source: String,
    payload: Vec<u8>,
}

impl Encoder {
    /// `topic` is the input topic of `pipeline`.
    pub fn new(pipeline: &str, topic: &str) -> Self {
        Encoder {
            pipeline: pipeline.to_owned(),
            topic: topic.to_owned(),
            ce_source: format!("/forewarn/{pipeline}"),
            payload: Vec::new(),
        }
    }

    /// Publishes everything that a step caused: each model's predictions in the order of the readings, then
    /// the refused messages. `messages` is the batch that was stepped.
    ///
    /// # Errors
    /// The publisher's.
    pub fn publish<P: Publisher>(
        &mut self,
        step: &Step<'_>,
        messages: &[Message<'_>],
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        for (planned, output) in step.plan.models.iter().zip(step.outputs) {
            let ce_type = format!("forewarn.prediction.{}", planned.model.contract.task.name());
            for (i, &row) in output.rows.iter().enumerate() {
                let Some(verdict) = output.verdicts.get(i) else {
                    continue;
                };
                let reading = row as usize;
                let Message {
                    partition, offset, ..
                } = messages[step.readings.message[reading] as usize];
                let source = SourceRef {
                    topic: self.topic.as_str().into(),
                    partition,
                    offset,
                };
                let (asset, event_at) = (step.asset(row), step.readings.event_at[reading]);
                let prediction = Prediction::new(asset, event_at, &planned.model, source, verdict);
                self.payload.clear();
                // Writing to memory, of finite numbers and text, can't fail.
                let _ = serde_json::to_writer(&mut self.payload, &prediction);
                publisher.prediction(&PredictionRecord {
                    key: asset,
                    payload: &self.payload,
                    headers: [
                        ("ce_specversion", "1.0"),
                        ("ce_id", &prediction.id()),
                        ("ce_source", &self.ce_source),
                        ("ce_type", &ce_type),
                        ("ce_subject", asset),
                        ("ce_time", &prediction.event_time.to_string()),
                        ("content-type", "application/json"),
                    ],
                    anomalous: verdict.anomalous(),
                })?;
            }
        }
        step.refused.iter().try_for_each(|refused| {
            let Message {
                partition, offset, ..
            } = messages[refused.message as usize];
            self.dead_letter(refused, partition, offset, publisher)
        })
    }

    fn dead_letter<P: Publisher>(
        &self,
        refused: &Refused,
        partition: i32,
        offset: i64,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        publisher.dead_letter(&DeadLetterRecord {
            message: refused.message,
            code: refused.refusal.code(),
            headers: [
                ("__connect.errors.topic", &self.topic),
                ("__connect.errors.partition", &partition.to_string()),
                ("__connect.errors.offset", &offset.to_string()),
                ("__connect.errors.connector.name", &self.pipeline),
                ("__connect.errors.stage", refused.refusal.stage()),
                (
                    "__connect.errors.exception.message",
                    &refused.refusal.to_string(),
                ),
            ],
        })
    }
}
