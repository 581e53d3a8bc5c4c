//! The published form of an alarm.
//!
//! ```json
//! {"id":"cars-3-overheating:car-7:1767225600000000","alarm":"overheating","event":"raised","severity":"warning",
//!  "asset":"car-7","model":"car-anomaly","version":1,"event_time":"2026-01-01T00:00:00Z",
//!  "since":"2025-12-31T23:59:40Z","raised":"2026-01-01T00:00:00Z","watch":"confidence","value":2.31,"limit":1.0,
//!  "reason":"3 of the last 5 results of car-anomaly@1 have confidence above 1 (latest 2.31): coolant_temp 61 %",
//!  "source":{"topic":"cars","partition":3,"offset":412,"first_offset":340}}
//! ```
//!
//! All events of one occurrence have one `id`; the record's `ce_id` adds the event and its severity.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{AlarmChange, AlarmEvent};
use crate::plan::Plan;
use crate::prediction::{EventTimestamp, SourceRef};

/// One event of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord<'a> {
    /// The occurrence: the same from `raised` to `cleared`, in every run.
    pub id: String,
    pub alarm: Cow<'a, str>,
    /// `raised`, `escalated` or `cleared`.
    pub event: Cow<'a, str>,
    /// The worst one that it reached.
    pub severity: Cow<'a, str>,
    pub asset: Cow<'a, str>,
    /// The model that gave the latest result.
    pub model: Cow<'a, str>,
    pub version: u32,
    /// When the latest result was measured.
    pub event_time: EventTimestamp,
    /// When the first result beyond the limit was.
    pub since: EventTimestamp,
    /// When it was raised.
    pub raised: EventTimestamp,
    /// What is compared with the limit: `confidence`, `rul`, ...
    pub watch: Cow<'a, str>,
    /// Its latest value.
    pub value: f64,
    /// The limit of the severity; of a cleared alarm, what the values came back behind.
    pub limit: f64,
    /// Why, for a person.
    pub reason: Cow<'a, str>,
    /// The latest record that counted, and the first one beyond the limit.
    pub source: SourceRef<'a>,
}

impl<'a> AlarmRecord<'a> {
    /// The record of a change, of `asset` in `partition` of `topic`.
    pub fn new(
        change: &'a AlarmChange,
        plan: &'a Plan,
        asset: &'a str,
        (topic, partition): (&'a str, i32),
    ) -> Self {
        let spec = &plan.alarms[change.alarm];
        let model = &plan.models[change.latest.model].model;
        let (severity, limit) = &spec.severities[change.severity];
        AlarmRecord {
            id: format!(
                "{topic}-{partition}-{}:{asset}:{}",
                spec.name, change.raised_at
            ),
            alarm: spec.name.as_str().into(),
            event: change.event.name().into(),
            severity: severity.as_str().into(),
            asset: asset.into(),
            model: model.name.as_str().into(),
            version: model.version,
            event_time: EventTimestamp(change.latest.at),
            since: EventTimestamp(change.first.at),
            raised: EventTimestamp(change.raised_at),
            watch: spec.watched().into(),
            value: change.latest.value,
            limit: match change.event {
                AlarmEvent::Cleared => spec.clear_at,
                AlarmEvent::Raised | AlarmEvent::Escalated => *limit,
            },
            reason: change.reason.as_str().into(),
            source: SourceRef {
                topic: topic.into(),
                partition,
                offset: change.latest.offset,
                first_offset: (change.first.offset != change.latest.offset)
                    .then_some(change.first.offset),
            },
        }
    }

    /// The deterministic id of this event.
    pub fn event_id(&self) -> String {
        format!("{}-{}-{}", self.id, self.event, self.severity)
    }
}
