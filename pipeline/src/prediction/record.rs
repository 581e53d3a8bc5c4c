//! What a verdict is published as, by task.
//!
//! ```json
//! "anomaly":{"score":3.1,"threshold":2.4,"confidence":1.29,"anomalous":true,"contributions":{"T30":0.7,"T50":0.3}}
//! "anomaly":{"score":-0.08,"threshold":0.0,"anomalous":true,"order":"lower"}
//! "rul":{"value":112.3,"unit":"cycles","health":0.8984}
//! "class":{"class":"worn","probability":0.6,"probabilities":{"ok":0.4,"worn":0.6},"score":0.6,"anomalous":true}
//! "custom":{"embedding":[0.1,0.2],"cluster":3.0}
//! ```
//!
//! Invariant: a field that a model has nothing to say on is left out, never null.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use forewarn_models::{Contract, ScoreOrder, Task, Verdict};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Of the tasks anomaly and forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyRecord<'a> {
    /// Mean squared residual, no unit; or the model's own score.
    pub score: f64,
    pub threshold: f64,
    /// score / threshold; none for a threshold that is not positive, or where low scores are anomalous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Is the score beyond the threshold?
    pub anomalous: bool,
    /// Share of the score per feature; sums to 1. Empty where the model gives only a score, and where nobody will
    /// look at the result (`models.contributions`).
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub contributions: Contributions<'a>,
    /// Which scores are anomalous: those above the threshold, unless this says `lower`.
    #[serde(default, skip_serializing_if = "is_higher")]
    pub order: ScoreOrder,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulRecord<'a> {
    /// Remaining useful life in `unit`.
    pub value: f64,
    pub unit: Cow<'a, str>,
    /// 0 to 1.
    pub health: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<IntervalRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<FailureRecord>,
}

/// Where the true remaining life is with probability `coverage`, in the unit of the value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntervalRecord {
    pub low: f64,
    pub high: f64,
    pub coverage: f64,
    /// `high` is the model's cap: the asset may live longer.
    pub open: bool,
}

/// The probability of failure within a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    pub within: f64,
    pub probability: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRecord<'a> {
    pub class: Cow<'a, str>,
    /// Of this class; none for a model that gives labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub probabilities: Named<'a, f64>,
    /// 1 − the probability of the normal class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Is it another class than the normal one? None where no class is called normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomalous: Option<bool>,
}

/// A number, or as many as the output has for a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CustomValue {
    One(f64),
    Many(Vec<f64>),
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_higher(order: &ScoreOrder) -> bool {
    *order == ScoreOrder::Higher
}

impl<'a> AnomalyRecord<'a> {
    pub(super) fn new(
        contract: &'a Contract,
        verdict: Verdict<'a>,
        tells_contributions: bool,
    ) -> Option<Self> {
        let Verdict::Anomaly {
            score,
            threshold,
            order,
            contributions,
        } = verdict
        else {
            return None;
        };
        Some(AnomalyRecord {
            score,
            threshold,
            confidence: verdict.confidence(),
            anomalous: verdict.anomalous(),
            contributions: match tells_contributions {
                true => Named::Borrowed(contract.contributors(), contributions),
                false => Named::default(),
            },
            order,
        })
    }
}

impl<'a> RulRecord<'a> {
    pub(crate) fn new(contract: &'a Contract, verdict: Verdict<'a>) -> Option<Self> {
        let (
            Task::Rul(rul),
            Verdict::Rul {
                value,
                health,
                interval,
                failure,
            },
        ) = (&contract.task, verdict)
        else {
            return None;
        };
        let failure = rul.horizons.iter().zip(failure);
        Some(RulRecord {
            value,
            unit: rul.unit.as_str().into(),
            health,
            interval: interval.map(|told| IntervalRecord {
                low: told.low,
                high: told.high,
                coverage: told.coverage,
                open: told.open,
            }),
            failure: failure
                .map(|(within, probability)| FailureRecord {
                    within: *within,
                    probability: *probability,
                })
                .collect(),
        })
    }
}

impl<'a> ClassRecord<'a> {
    pub(crate) fn new(contract: &'a Contract, verdict: Verdict<'a>) -> Option<Self> {
        let (
            Task::Classification(told),
            Verdict::Class {
                class,
                probabilities,
                normal,
            },
        ) = (&contract.task, verdict)
        else {
            return None;
        };
        Some(ClassRecord {
            class: told.classes[class].as_str().into(),
            probability: probabilities.get(class).copied(),
            probabilities: Named::Borrowed(&told.classes, probabilities),
            score: verdict.score(),
            anomalous: normal.map(|_| verdict.anomalous()),
        })
    }
}

/// The outputs of a custom model by name.
pub(crate) fn custom<'a>(
    contract: &'a Contract,
    verdict: Verdict<'a>,
) -> Option<Named<'a, CustomValue>> {
    let (Task::Custom { outputs }, Verdict::Custom { values, widths }) = (&contract.task, verdict)
    else {
        return None;
    };
    let mut rest = values;
    let pairs = outputs.iter().zip(widths).map(|(name, width)| {
        let (own, others) = rest.split_at(*width);
        rest = others;
        let value = match own {
            [one] => CustomValue::One(*one),
            many => CustomValue::Many(many.to_vec()),
        };
        (name.clone(), value)
    });
    Some(Named::Owned(pairs.collect()))
}

/// Names with their values, in the model's order: an object in JSON.
#[derive(Debug, Clone)]
pub enum Named<'a, T> {
    Borrowed(&'a [String], &'a [T]),
    Owned(Vec<(String, T)>),
}

/// Feature names with their share of the score.
pub type Contributions<'a> = Named<'a, f32>;

impl<T: Clone> Named<'_, T> {
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&str, T)> + '_> {
        match self {
            Named::Borrowed(names, values) => {
                Box::new(names.iter().map(String::as_str).zip(values.iter().cloned()))
            }
            Named::Owned(pairs) => Box::new(
                pairs
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            ),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Named::Borrowed(names, values) => names.is_empty() || values.is_empty(),
            Named::Owned(pairs) => pairs.is_empty(),
        }
    }
}

impl<T> Default for Named<'_, T> {
    fn default() -> Self {
        Named::Owned(Vec::new())
    }
}

impl Contributions<'_> {
    /// The feature with the largest share.
    pub fn largest(&self) -> Option<(&str, f32)> {
        self.iter().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl<T: Clone + PartialEq> PartialEq for Named<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Clone + Serialize> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Named::Borrowed(names, values) => serializer.collect_map(names.iter().zip(*values)),
            Named::Owned(pairs) => {
                serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Vec<(String, T)>;
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
            .deserialize_map(Pairs(PhantomData))
            .map(Named::Owned)
    }
}
