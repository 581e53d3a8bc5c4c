//! From a step's result to records: what is written to the output topics, without Kafka.
//!
//! Headers follow CloudEvents 1.0, Kafka binding in binary mode, for what Forewarn says (of results it may be the id
//! alone); and Kafka Connect's
//! `__connect.errors.*` for messages that are set aside, so that tools made for either read them.

mod plain;

use std::fmt::Write as _;

use chrono::DateTime;
use forewarn_models::{Task, Verdict};
use serde::{Deserialize, Serialize};

use crate::alarms::{AlarmEvent, AlarmRecord};
use crate::config::Headers;
use crate::dead_letter;
use crate::engine::{Late, Scored, Step};
use crate::marks::{Mark, MarkRecord};
use crate::message::MessageIndex;
use crate::prediction::{EventTimestamp, Prediction};
use crate::refusal::Refused;
use crate::swap::ModelEventRecord;

use plain::{Place, Plain};

/// Where records go to; implemented by the Kafka sink, and by tests.
pub trait Publisher {
    type Error;

    /// A record of Forewarn's own.
    ///
    /// # Errors
    /// When the record can't be taken.
    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Self::Error>;

    /// A message that is set aside; the publisher has the original.
    ///
    /// # Errors
    /// When the record can't be taken.
    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Self::Error>;
}

/// The output topics of records of Forewarn's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Prediction {
        anomalous: bool,
        /// Why there is no score.
        unscored: Option<&'static str>,
    },
    /// A challenger's.
    Shadow,
    Status,
    Alarm(AlarmEvent),
    /// What happened to a model.
    Model,
    /// Written to the partition of the same number.
    Progress {
        partition: i32,
    },
}

#[derive(Debug)]
pub struct OutputRecord<'a> {
    pub output: Output,
    /// The partition and offset of the message that caused it, where it was one.
    pub source: Option<(i32, i64)>,
    pub key: &'a str,
    pub payload: &'a [u8],
    pub headers: &'a [(&'static str, &'a str)],
}

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetAside {
    /// It is no reading, or can't be kept: to the dead letter queue, with a code.
    Refused(&'static str),
    /// It came too late: to the late topic.
    Late,
}

#[derive(Debug)]
pub struct SetAsideRecord<'a> {
    /// The message in its batch; `None` when the batch is over, the original is in the log then.
    pub message: Option<MessageIndex>,
    pub why: SetAside,
    pub headers: &'a [(&'static str, &'a str)],
}

/// A change of a status, as published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusRecord<'a> {
    pub asset: std::borrow::Cow<'a, str>,
    pub status: std::borrow::Cow<'a, str>,
    /// True when it began to hold.
    pub active: bool,
    /// When what it says began: the last reading before a silence, the first value of a flat stretch.
    pub since: EventTimestamp,
    /// When it was known.
    pub event_time: EventTimestamp,
    pub partition: i32,
    /// The asset's latest record.
    pub offset: i64,
}

/// Writes records; its buffers are reused.
#[derive(Debug)]
pub struct Encoder {
    pipeline: String,
    topic: String,
    /// Of results.
    headers: Headers,
    ce_source: String,
    payload: Vec<u8>,
    id: String,
    time: String,
}

impl Encoder {
    /// `topic` is the input topic of `pipeline`, `headers` those of results.
    pub fn new(pipeline: &str, topic: &str, headers: Headers) -> Self {
        Encoder {
            pipeline: pipeline.to_owned(),
            topic: topic.to_owned(),
            headers,
            ce_source: format!("/forewarn/{pipeline}"),
            payload: Vec::new(),
            id: String::new(),
            time: String::new(),
        }
    }

    /// Publishes everything that a step caused: each model's results, changes of statuses, alarms, then the
    /// messages that are set aside.
    ///
    /// # Errors
    /// The publisher's.
    pub fn publish<P: Publisher>(
        &mut self,
        step: &Step<'_>,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        self.predictions(step, publisher)?;
        self.changes(step, publisher)?;
        self.alarms(step, publisher)?;
        for refused in step.refused {
            self.dead_letter(refused, publisher)?;
        }
        // One record for a reading, however many views it came too late for.
        for late in step
            .late
            .chunk_by(|a, b| (a.slot, a.offset) == (b.slot, b.offset))
        {
            self.late(step, late, publisher)?;
        }
        Ok(())
    }

    fn predictions<P: Publisher>(
        &mut self,
        step: &Step<'_>,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let mut plain = None;
        for scored in step.results() {
            let verdict = scored.verdict.as_ref();
            let output = Output::Prediction {
                anomalous: verdict.is_ok_and(Verdict::anomalous),
                unscored: verdict.err().map(crate::unscored::Unscored::code),
            };
            let plain = plain_of(&mut plain, &scored, &self.topic);
            self.prediction(step, (&scored, plain), output, publisher)?;
        }
        for scored in step.shadow_results() {
            let plain = plain_of(&mut plain, &scored, &self.topic);
            self.prediction(step, (&scored, plain), Output::Shadow, publisher)?;
        }
        Ok(())
    }

    fn prediction<P: Publisher>(
        &mut self,
        step: &Step<'_>,
        (scored, plain): (&Scored<'_>, &Plain<'_>),
        output: Output,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let (planned, head) = (scored.model, &scored.head);
        let (asset, partition) = (step.asset(head.slot, head.asset), step.partition(head.slot));
        let Encoder {
            topic,
            payload,
            id,
            time,
            ..
        } = self;
        time.clear();
        let _ = write!(time, "{}", EventTimestamp(head.at()));
        payload.clear();
        id.clear();
        let place = Place {
            asset,
            partition,
            time,
        };
        if !plain.write(scored, place, payload, id) {
            let view = step.plan.views[planned.view].view.name();
            let prediction = Prediction::new(scored, view, asset, (topic, partition));
            write_json(payload, &prediction);
            id.push_str(&prediction.id());
        }
        let event = Event {
            output,
            source: (partition, head.offset),
            id,
            kind: kind(&planned.model.contract.task),
            asset,
            time,
        };
        match self.headers {
            Headers::CloudEvents => event.publish((payload, &self.ce_source), publisher),
            Headers::Id => event.record(payload, &[("ce_id", id)], publisher),
        }
    }

    fn changes<P: Publisher>(
        &mut self,
        step: &Step<'_>,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        for change in step.changes {
            let (asset, partition) = (
                step.asset(change.slot, change.asset),
                step.partition(change.slot),
            );
            let status = &step.plan.conditions.statuses[change.status].name;
            let record = StatusRecord {
                asset: asset.into(),
                status: status.into(),
                active: change.active,
                since: EventTimestamp(change.since),
                event_time: EventTimestamp(change.at),
                partition,
                offset: change.offset,
            };
            let topic = &self.topic;
            let event = Event {
                output: Output::Status,
                source: (partition, change.offset),
                id: &format!("{topic}-{partition}-{asset}:{}-{status}", change.at),
                kind: "forewarn.status",
                asset,
                time: &record.event_time.to_string(),
            };
            write_json(&mut self.payload, &record);
            event.publish((&self.payload, &self.ce_source), publisher)?;
        }
        Ok(())
    }

    fn alarms<P: Publisher>(&mut self, step: &Step<'_>, publisher: &mut P) -> Result<(), P::Error> {
        for change in step.alarms {
            let (asset, partition) = (
                step.asset(change.slot, change.asset),
                step.partition(change.slot),
            );
            let record = AlarmRecord::new(change, step.plan, asset, (&self.topic, partition));
            let event = Event {
                output: Output::Alarm(change.event),
                source: (partition, record.source.offset),
                id: &record.event_id(),
                kind: "forewarn.alarm",
                asset,
                time: &record.event_time.to_string(),
            };
            write_json(&mut self.payload, &record);
            event.publish((&self.payload, &self.ce_source), publisher)?;
        }
        Ok(())
    }

    /// Publishes a mark, with what it caused.
    ///
    /// # Errors
    /// The publisher's.
    pub fn mark<P: Publisher>(
        &mut self,
        partition: i32,
        mark: Mark,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let record = MarkRecord { partition, mark };
        write_json(&mut self.payload, &record);
        publisher.record(&OutputRecord {
            output: Output::Progress { partition },
            source: None,
            key: &self.topic,
            payload: &self.payload,
            headers: &[("content-type", "application/json")],
        })
    }

    /// Publishes what happened to a model.
    ///
    /// # Errors
    /// The publisher's.
    pub fn model_event<P: Publisher>(
        &mut self,
        record: &ModelEventRecord<'_>,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        write_json(&mut self.payload, record);
        let from: Vec<String> = record
            .offsets
            .iter()
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect();
        let (model, to) = (&record.model, record.to);
        publisher.record(&OutputRecord {
            output: Output::Model,
            source: None,
            key: &record.model,
            payload: &self.payload,
            headers: &[
                ("ce_specversion", "1.0"),
                (
                    "ce_id",
                    &format!("{model}@{to}-{}-{}", record.worker, from.join(",")),
                ),
                ("ce_source", &self.ce_source),
                ("ce_type", "forewarn.model"),
                ("content-type", "application/json"),
            ],
        })
    }

    /// `dead_letter.rs` reads these headers back, in this order.
    fn dead_letter<P: Publisher>(
        &self,
        refused: &Refused,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        publisher.set_aside(&SetAsideRecord {
            message: refused.message,
            why: SetAside::Refused(refused.refusal.code()),
            headers: &[
                (dead_letter::TOPIC, &self.topic),
                (dead_letter::PARTITION, &refused.partition.to_string()),
                (dead_letter::OFFSET, &refused.offset.to_string()),
                (dead_letter::PIPELINE, &self.pipeline),
                (dead_letter::STAGE, refused.refusal.stage()),
                (dead_letter::REASON, &refused.refusal.to_string()),
                (dead_letter::CODE, refused.refusal.code()),
            ],
        })
    }

    /// `late`: the views that one reading came too late for.
    fn late<P: Publisher>(
        &self,
        step: &Step<'_>,
        late: &[Late],
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let first = late[0];
        let windows: Vec<String> = late
            .iter()
            .map(|late| {
                let view = late
                    .view
                    .map_or("align", |view| step.plan.views[view].view.name());
                let (start, end) = (EventTimestamp(late.start), EventTimestamp(late.end));
                format!("{view} {start} {end}")
            })
            .collect();
        let partition = step.partition(first.slot).to_string();
        let (offset, watermark) = (
            first.offset.to_string(),
            EventTimestamp(first.watermark).to_string(),
        );
        let lateness = duration(first.watermark.saturating_sub(first.event_at));
        let mut headers: Vec<(&'static str, &str)> = vec![
            ("forewarn.topic", &self.topic),
            ("forewarn.partition", &partition),
            ("forewarn.offset", &offset),
            ("forewarn.pipeline", &self.pipeline),
            ("forewarn.watermark", &watermark),
            ("forewarn.lateness", &lateness),
        ];
        // A header may come several times.
        headers.extend(
            windows
                .iter()
                .map(|window| ("forewarn.window", window.as_str())),
        );
        publisher.set_aside(&SetAsideRecord {
            message: first.message,
            why: SetAside::Late,
            headers: &headers,
        })
    }
}

/// The `ce_type` of a task's results.
fn kind(task: &Task) -> &'static str {
    match task {
        Task::Anomaly { .. } => "forewarn.prediction.anomaly",
        Task::Rul(_) => "forewarn.prediction.rul",
        Task::Forecast(_) => "forewarn.prediction.forecast",
        Task::Classification(_) => "forewarn.prediction.classification",
        Task::Custom { .. } => "forewarn.prediction.custom",
    }
}

/// What the results of the model of `scored` have in common. Those of one model come one after the other.
fn plain_of<'s, 'p>(
    latest: &'s mut Option<Plain<'p>>,
    scored: &Scored<'p>,
    topic: &str,
) -> &'s Plain<'p> {
    latest.take_if(|plain| !plain.is_of(scored.model));
    latest.get_or_insert_with(|| Plain::new(scored.model, topic))
}

fn write_json(to: &mut Vec<u8>, record: &impl Serialize) {
    to.clear();
    append_json(to, record);
}

fn append_json(to: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Writing to memory, of finite numbers and text, can't fail.
    let _ = serde_json::to_writer(to, value);
}

/// Something that Forewarn says, as a CloudEvent about an asset.
struct Event<'a> {
    output: Output,
    /// The partition and offset of the message that caused it.
    source: (i32, i64),
    id: &'a str,
    /// Its `ce_type`.
    kind: &'static str,
    asset: &'a str,
    /// Event time as it is written.
    time: &'a str,
}

impl Event<'_> {
    fn publish<P: Publisher>(
        &self,
        (payload, source): (&[u8], &str),
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", self.id),
            ("ce_source", source),
            ("ce_type", self.kind),
            ("ce_subject", self.asset),
            ("ce_time", self.time),
            ("content-type", "application/json"),
        ];
        self.record(payload, &headers, publisher)
    }

    fn record<P: Publisher>(
        &self,
        payload: &[u8],
        headers: &[(&'static str, &str)],
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        publisher.record(&OutputRecord {
            output: self.output,
            source: Some(self.source),
            key: self.asset,
            payload,
            headers,
        })
    }
}

/// Microseconds as ISO 8601, such as `PT75.5S`.
fn duration(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    match DateTime::from_timestamp_micros(micros.rem_euclid(1_000_000)) {
        Some(rest) if rest.timestamp_subsec_micros() > 0 => {
            let rest = format!("{:06}", rest.timestamp_subsec_micros());
            format!("PT{seconds}.{}S", rest.trim_end_matches('0'))
        }
        _ => format!("PT{seconds}S"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn lateness_is_written_as_iso_8601() {
        let told = [0, 75_500_000, 3_600_000_000, 1].map(duration);
        assert_eq!(told, ["PT0S", "PT75.5S", "PT3600S", "PT0.000001S"]);
    }
}
