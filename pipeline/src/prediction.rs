//! The published form of a verdict: JSON that people and other programs read, and read back here.
//!
//! ```json
//! {"asset":"FD001-test-1","event_time":"2026-01-01T00:30:00Z","model":"turbofan-rul","version":1,
//!  "task":"rul","source":{"topic":"turbofan-telemetry","partition":3,"offset":41},
//!  "rul":{"value":112.3,"unit":"cycles","health":0.8984}}
//! ```
//!
//! Invariants:
//! - the same reading and model version give the same bytes, in every run;
//! - no NaN: a verdict that is not finite is no prediction.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use forewarn_models::{Model, Task, Verdict};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction<'a> {
    pub asset: Cow<'a, str>,
    pub event_time: EventTimestamp,
    pub model: Cow<'a, str>,
    pub version: u32,
    pub task: Cow<'a, str>,
    pub source: SourceRef<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyRecord<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rul: Option<RulRecord<'a>>,
}

/// The record of the input topic that caused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef<'a> {
    pub topic: Cow<'a, str>,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyRecord<'a> {
    /// Mean squared residual, no unit.
    pub score: f64,
    pub threshold: f64,
    /// score / threshold.
    pub confidence: f64,
    /// score > threshold.
    pub anomalous: bool,
    /// Share of the score per feature; sums to 1.
    pub contributions: Contributions<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulRecord<'a> {
    /// Remaining useful life in `unit`.
    pub value: f64,
    pub unit: Cow<'a, str>,
    /// 0 to 1.
    pub health: f64,
}

impl<'a> Prediction<'a> {
    /// The prediction of `verdict`; `event_at` in microseconds since 1970.
    pub fn new(
        asset: &'a str,
        event_at: i64,
        model: &'a Model,
        source: SourceRef<'a>,
        verdict: Verdict<'a>,
    ) -> Self {
        let mut prediction = Prediction {
            asset: asset.into(),
            event_time: EventTimestamp(event_at),
            model: model.name.as_str().into(),
            version: model.version,
            task: model.contract.task.name().into(),
            source,
            anomaly: None,
            rul: None,
        };
        match verdict {
            Verdict::Anomaly {
                score,
                threshold,
                contributions,
            } => {
                let features = &model.contract.features;
                prediction.anomaly = Some(AnomalyRecord {
                    score,
                    threshold,
                    confidence: score / threshold,
                    anomalous: verdict.anomalous(),
                    contributions: Contributions::Borrowed(features, contributions),
                });
            }
            Verdict::Rul { value, health } => {
                let unit = match &model.contract.task {
                    Task::Rul { unit, .. } => unit.as_str(),
                    Task::Anomaly { .. } => "",
                };
                prediction.rul = Some(RulRecord {
                    value,
                    unit: unit.into(),
                    health,
                });
            }
        }
        prediction
    }

    /// The deterministic id: one per input record and model version, in every run.
    pub fn id(&self) -> String {
        let SourceRef {
            topic,
            partition,
            offset,
        } = &self.source;
        format!(
            "{topic}-{partition}-{offset}-{}@{}",
            self.model, self.version
        )
    }
}

/// Microseconds since 1970, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTimestamp(pub i64);

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
        let time = DateTime::parse_from_rfc3339(&text).map_err(de::Error::custom)?;
        Ok(EventTimestamp(time.timestamp_micros()))
    }
}

/// Feature names with their share of the score, in the model's order.
#[derive(Debug, Clone)]
pub enum Contributions<'a> {
    Borrowed(&'a [String], &'a [f32]),
    Owned(Vec<(String, f32)>),
}

impl Contributions<'_> {
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&str, f32)> + '_> {
        match self {
            Contributions::Borrowed(names, values) => {
                Box::new(names.iter().map(String::as_str).zip(values.iter().copied()))
            }
            Contributions::Owned(pairs) => {
                Box::new(pairs.iter().map(|(name, value)| (name.as_str(), *value)))
            }
        }
    }

    /// The feature with the largest share.
    pub fn largest(&self) -> Option<(&str, f32)> {
        self.iter().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl PartialEq for Contributions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Contributions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Contributions<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, f32)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer
            .deserialize_map(Pairs)
            .map(Contributions::Owned)
    }
}

#[cfg(test)]
mod tests {
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
            },
            anomaly: Some(AnomalyRecord {
                score: 0.1 + 0.2,
                threshold: 2.0,
                confidence: 0.15,
                anomalous: false,
                contributions: Contributions::Borrowed(&names, &[0.75, 0.25]),
            }),
            rul: None,
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
