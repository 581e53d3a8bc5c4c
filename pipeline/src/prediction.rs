//! The published form of a verdict: JSON that people and other programs read, and read back here.
//!
//! ```json
//! {"asset":"FD001-test-1","event_time":"2026-01-01T00:30:00Z","model":"turbofan-rul","version":1,
//!  "task":"rul","source":{"topic":"turbofan-telemetry","partition":3,"offset":41},
//!  "rul":{"value":112.3,"unit":"cycles","health":0.8984,
//!         "interval":{"low":81.0,"high":125.0,"coverage":0.9,"open":true},
//!         "failure":[{"within":30.0,"probability":0.004}]}}
//! ```
//!
//! The other tasks stand in its place as `anomaly` (also of forecasts), `class` and `custom`; see
//! `prediction/record.rs`.
//!
//! A result of a window says which, and whether it is provisional or revises an earlier one; a row without a
//! score says why:
//!
//! ```json
//! {"asset":"pump-7","event_time":"2026-01-01T00:01:00Z","model":"pump-anomaly","version":2,"task":"anomaly",
//!  "source":{"topic":"pumps","partition":0,"offset":17,"first_offset":11},
//!  "window":{"view":"minute","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:01:00Z","rows":2,"revision":0},
//!  "unscored":{"code":"too-few-rows","reason":"the window has 2 rows, fewer than 3"}}
//! ```
//!
//! Invariants:
//! - the same rows and model version give the same bytes, in every run;
//! - no NaN: a row whose verdict is not finite is published without a score.

mod record;

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use forewarn_models::{Model, Verdict};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use record::custom;
pub use record::{
    AnomalyRecord, ClassRecord, Contributions, CustomValue, FailureRecord, IntervalRecord, Named,
    RulRecord,
};

use crate::engine::Scored;
use crate::rows::{Head, Origin, Superseded};

/// One prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction<'a> {
    pub asset: Cow<'a, str>,
    pub event_time: EventTimestamp,
    pub model: Cow<'a, str>,
    pub version: u32,
    pub task: Cow<'a, str>,
    pub source: SourceRef<'a>,
    /// The row was made of several messages, at `event_time`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub aligned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowRecord<'a>>,
    /// Ids of earlier results that this one replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyRecord<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rul: Option<RulRecord<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassRecord<'a>>,
    /// The outputs that a custom model names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Named<'a, CustomValue>>,
    /// Which features the result is due to, for results that are anomalous or beyond an alarm's limit, of
    /// models that do not tell by themselves: shares of what moved it to the bad side, negative where a
    /// feature spoke against.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub attribution: Contributions<'a>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unscored: Option<UnscoredRecord<'a>>,
}

/// The window that a result is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord<'a> {
    pub view: Cow<'a, str>,
    pub start: EventTimestamp,
    /// Exclusive.
    pub end: EventTimestamp,
    pub rows: u32,
    /// 0, then counted up when late readings change the window.
    pub revision: u32,
    /// An early result of a window that is still open, as of `as_of`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub provisional: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<EventTimestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnscoredRecord<'a> {
    pub code: Cow<'a, str>,
    pub reason: Cow<'a, str>,
}

/// The last record of the input topic that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef<'a> {
    pub topic: Cow<'a, str>,
    pub partition: i32,
    pub offset: i64,
    /// The first one, when it was made of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_offset: Option<i64>,
}

impl<'a> Prediction<'a> {
    /// The record of one result of the view called `view`, about `asset` in `partition` of `topic`.
    pub fn new(
        scored: &Scored<'a>,
        view: &'a str,
        asset: &'a str,
        (topic, partition): (&'a str, i32),
    ) -> Self {
        let (model, head) = (&scored.model.model, &scored.head);
        let mut prediction = Prediction {
            asset: asset.into(),
            event_time: EventTimestamp(head.at()),
            model: model.name.as_str().into(),
            version: model.version,
            task: model.contract.task.name().into(),
            source: SourceRef {
                topic: topic.into(),
                partition,
                offset: head.offset,
                first_offset: (head.first_offset != head.offset).then_some(head.first_offset),
            },
            aligned: head.origin == Origin::Aligned,
            window: window_record(head, view),
            supersedes: Vec::new(),
            anomaly: None,
            rul: None,
            class: None,
            custom: None,
            attribution: Named::default(),
            unscored: None,
        };
        if let Some(shares) = scored.attribution {
            prediction.attribution = Named::Borrowed(&model.contract.features, shares);
        }
        let earlier = scored.superseded.iter();
        prediction.supersedes = earlier.map(|old| prediction.earlier_id(old)).collect();
        match &scored.verdict {
            Ok(verdict) => prediction.set(model, *verdict, scored.tells_contributions),
            Err(reason) => {
                prediction.unscored = Some(UnscoredRecord {
                    code: reason.code().into(),
                    reason: reason.to_string().into(),
                });
            }
        }
        prediction
    }

    fn set(&mut self, model: &'a Model, verdict: Verdict<'a>, tells_contributions: bool) {
        let contract = &model.contract;
        match verdict {
            Verdict::Anomaly { .. } => {
                self.anomaly = AnomalyRecord::new(contract, verdict, tells_contributions);
            }
            Verdict::Rul { .. } => self.rul = RulRecord::new(contract, verdict),
            Verdict::Class { .. } => self.class = ClassRecord::new(contract, verdict),
            Verdict::Custom { .. } => self.custom = record::custom(contract, verdict),
        }
    }

    /// The row of a view that it is about: the same for every model on that row.
    pub fn row(&self) -> String {
        let SourceRef {
            partition, offset, ..
        } = &self.source;
        let (asset, at) = (&self.asset, self.event_time.0);
        match &self.window {
            Some(WindowRecord {
                view,
                start,
                revision,
                as_of,
                ..
            }) => {
                let as_of = as_of.map_or(0, |at| at.0);
                format!(
                    "{partition}:{view}:{asset}:{}:{at}:{revision}:{as_of}",
                    start.0
                )
            }
            None => format!("{partition}:{offset}:{asset}:{at}"),
        }
    }

    /// The deterministic id: one per row and model version, in every run.
    pub fn id(&self) -> String {
        let SourceRef {
            topic,
            partition,
            offset,
            ..
        } = &self.source;
        let model = format!("{}@{}", self.model, self.version);
        match &self.window {
            Some(window) => {
                let id = self.window_id(window.start.0, window.end.0);
                match (window.as_of, window.revision) {
                    (Some(at), _) => format!("{id}-p{}", at.0),
                    (None, 0) => id,
                    (None, revision) => format!("{id}-r{revision}"),
                }
            }
            None if self.aligned => {
                format!(
                    "{topic}-{partition}-{}:{}-{model}",
                    self.asset, self.event_time.0
                )
            }
            None => format!("{topic}-{partition}-{offset}-{model}"),
        }
    }

    fn window_id(&self, start: i64, end: i64) -> String {
        let SourceRef {
            topic, partition, ..
        } = &self.source;
        let view = self.window.as_ref().map_or("", |window| &window.view);
        format!(
            "{topic}-{partition}-{view}:{}:{start}:{end}-{}@{}",
            self.asset, self.model, self.version
        )
    }

    fn earlier_id(&self, old: &Superseded) -> String {
        let id = self.window_id(old.start, old.end);
        match old.revision {
            0 => id,
            revision => format!("{id}-r{revision}"),
        }
    }
}

fn window_record<'a>(head: &Head, view: &'a str) -> Option<WindowRecord<'a>> {
    let window = head.window()?;
    Some(WindowRecord {
        view: view.into(),
        start: EventTimestamp(window.start),
        end: EventTimestamp(window.end),
        rows: window.rows,
        revision: window.revision,
        provisional: window.provisional,
        as_of: window
            .provisional
            .then_some(EventTimestamp(head.release.at)),
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// Microseconds since 1970, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTimestamp(pub i64);

impl EventTimestamp {
    /// Reads RFC 3339.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| EventTimestamp(time.timestamp_micros()))
    }
}

impl fmt::Display for EventTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for EventTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        EventTimestamp::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use forewarn_models::ScoreOrder;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let names = ["b".to_owned(), "a".to_owned()];
        let prediction = Prediction {
            asset: "pump \"1\"\n".into(),
            event_time: EventTimestamp(1_567_606_196_250_000),
            model: "m".into(),
            version: 3,
            task: "anomaly".into(),
            source: SourceRef {
                topic: "t".into(),
                partition: 2,
                offset: 17,
                first_offset: None,
            },
            aligned: false,
            window: None,
            supersedes: Vec::new(),
            anomaly: Some(AnomalyRecord {
                score: 0.1 + 0.2,
                threshold: 2.0,
                confidence: Some(0.15),
                anomalous: false,
                order: ScoreOrder::Higher,
                contributions: Contributions::Borrowed(&names, &[0.75, 0.25]),
            }),
            rul: None,
            class: None,
            custom: None,
            attribution: Named::default(),
            unscored: None,
        };
        let json = serde_json::to_string(&prediction).unwrap();
        assert!(
            json.contains(r#""event_time":"2019-09-04T14:09:56.250Z""#),
            "{json}"
        );
        assert!(
            json.contains(r#""contributions":{"b":0.75,"a":0.25}"#),
            "{json}"
        );
        assert!(!json.contains("rul"), "{json}");
        let back: Prediction<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, prediction);
        assert_eq!(back.id(), "t-2-17-m@3");
    }
}
