//! The records of most results, of readings by themselves, written without the general serializer.
//!
//! ```text
//!   {"asset":"car7","event_time":"2026-01-01T00:00:10Z"      of each result
//!    ,"model":"car-anomaly","version":1,"task":"anomaly",
//!    "source":{"topic":"car-telemetry","partition":          once for a model in a step
//!    3,"offset":41},"anomaly":{"score":0.3,...               of each result
//! ```
//!
//! What a record says besides its verdict is the same for all results of a model but for a few words, so writing it
//! anew costs more than the verdict itself.
//!
//! Invariant: the bytes are those that serde makes of the [`Prediction`](crate::Prediction). What is not plain (a
//! window, an aligned row, a result that replaces others or has no score, a name that JSON escapes) is left to it.

use forewarn_models::{ScoreOrder, Verdict};
use serde::Serialize;

use super::append_json as json;
use crate::engine::Scored;
use crate::plan::PlannedModel;
use crate::prediction::{ClassRecord, RulRecord, custom};
use crate::rows::Origin;

/// What all results of one model have in common.
#[derive(Debug)]
pub(super) struct Plain<'p> {
    planned: &'p PlannedModel,
    /// From the model to the partition of the source.
    middle: Vec<u8>,
    /// `"name":` of each feature that an anomaly tells the contribution of, and of each that others are attributed to.
    contributors: Vec<Vec<u8>>,
    features: Vec<Vec<u8>>,
    /// `topic-` and `-model@version`: what an id begins and ends with.
    id: (String, String),
}

/// Which row a result is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub asset: &'a str,
    pub partition: i32,
    /// The event time as it is written.
    pub time: &'a str,
}

impl<'p> Plain<'p> {
    /// `topic` is the input topic.
    pub fn new(planned: &'p PlannedModel, topic: &str) -> Self {
        let model = &planned.model;
        let mut middle = Vec::new();
        field(&mut middle, "model", &model.name);
        field(&mut middle, "version", &model.version);
        field(&mut middle, "task", &model.contract.task.name());
        middle.extend_from_slice(br#","source":{"topic":"#);
        json(&mut middle, topic);
        middle.extend_from_slice(br#","partition":"#);
        Plain {
            planned,
            middle,
            contributors: keys(model.contract.contributors()),
            features: keys(&model.contract.features),
            id: (
                format!("{topic}-"),
                format!("-{}@{}", model.name, model.version),
            ),
        }
    }

    /// Is it that of `planned`?
    pub fn is_of(&self, planned: &PlannedModel) -> bool {
        std::ptr::eq(self.planned, planned)
    }

    /// Writes the record of a result and its id behind what is there. False when it is not plain: then nothing is
    /// written.
    pub fn write(
        &self,
        scored: &Scored<'_>,
        place: Place<'_>,
        payload: &mut Vec<u8>,
        id: &mut String,
    ) -> bool {
        let head = &scored.head;
        let Ok(verdict) = scored.verdict else {
            return false;
        };
        let is_plain = head.origin == Origin::Reading
            && head.first_offset == head.offset
            && scored.superseded.is_empty()
            && is_unescaped(place.asset);
        if !is_plain {
            return false;
        }
        payload.extend_from_slice(br#"{"asset":""#);
        payload.extend_from_slice(place.asset.as_bytes());
        payload.extend_from_slice(br#"","event_time":""#);
        payload.extend_from_slice(place.time.as_bytes());
        payload.push(b'"');
        payload.extend_from_slice(&self.middle);
        let (mut partition, mut offset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (partition, offset) = (
            partition.format(place.partition),
            offset.format(head.offset),
        );
        payload.extend_from_slice(partition.as_bytes());
        payload.extend_from_slice(br#","offset":"#);
        payload.extend_from_slice(offset.as_bytes());
        payload.push(b'}');
        self.verdict(verdict, scored.tells_contributions, payload);
        if let Some(shares) = scored.attribution.filter(|shares| !shares.is_empty()) {
            shares_of(payload, "attribution", &self.features, shares);
        }
        payload.push(b'}');
        for part in [&self.id.0, partition, "-", offset, &self.id.1] {
            id.push_str(part);
        }
        true
    }

    fn verdict(&self, verdict: Verdict<'_>, tells_contributions: bool, payload: &mut Vec<u8>) {
        let contract = &self.planned.model.contract;
        match verdict {
            Verdict::Anomaly {
                score,
                threshold,
                order,
                contributions,
            } => {
                payload.extend_from_slice(br#","anomaly":{"score":"#);
                json(payload, &score);
                field(payload, "threshold", &threshold);
                if let Some(confidence) = verdict.confidence() {
                    field(payload, "confidence", &confidence);
                }
                field(payload, "anomalous", &verdict.anomalous());
                if tells_contributions && !contributions.is_empty() {
                    shares_of(payload, "contributions", &self.contributors, contributions);
                }
                if order != ScoreOrder::Higher {
                    field(payload, "order", &order);
                }
                payload.push(b'}');
            }
            Verdict::Rul { .. } => field(payload, "rul", &RulRecord::new(contract, verdict)),
            Verdict::Class { .. } => field(payload, "class", &ClassRecord::new(contract, verdict)),
            Verdict::Custom { .. } => field(payload, "custom", &custom(contract, verdict)),
        }
    }
}

/// Does JSON write it as it is?
fn is_unescaped(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// Another field of an object; `name` is one that JSON writes as it is.
fn field(to: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b"\":");
    json(to, value);
}

/// Another field: each name with its share.
fn shares_of(to: &mut Vec<u8>, field: &str, keys: &[Vec<u8>], shares: &[f32]) {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(field.as_bytes());
    to.extend_from_slice(b"\":{");
    for (i, (key, share)) in keys.iter().zip(shares).enumerate() {
        if i > 0 {
            to.push(b',');
        }
        to.extend_from_slice(key);
        json(to, share);
    }
    to.push(b'}');
}

fn keys(names: &[String]) -> Vec<Vec<u8>> {
    let key = |name: &String| {
        let mut key = Vec::new();
        json(&mut key, name);
        key.push(b':');
        key
    };
    names.iter().map(key).collect()
}
