//! What is told of a stretch of the log beside a reference: for programs as JSON, for people in words.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::measure::{Distance, Verdict};
use super::page_hinkley::{Change, Direction};
use crate::prediction::EventTimestamp;

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub model: String,
    pub version: u32,
    /// Where the reference came from.
    pub origin: Value,
    pub reference_rows: u64,
    pub reference_assets: u64,
    pub rows: u64,
    pub assets: u64,
    /// Nearly all rows are of assets that the reference names.
    pub same_fleet: bool,
    /// Event times of the first and the last row.
    #[serde(serialize_with = "stretch")]
    pub times: Option<(i64, i64)>,
    /// The farthest from training first.
    pub features: Vec<Variable>,
    /// `None` for a custom model.
    pub score: Option<Variable>,
    /// When the mean score of the fleet left that of training.
    pub fleet: Option<FleetChange>,
    /// Length of the intervals whose means are looked at, in microseconds.
    #[serde(rename = "interval_us")]
    pub interval: i64,
    pub intervals: usize,
    /// Assets whose scores changed within the stretch, the first one first.
    pub changed: Vec<AssetChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Feature,
    Score,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Feature => "feature",
            Kind::Score => "score",
        }
    }
}

/// A feature, or the score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variable {
    pub kind: Kind,
    pub name: String,
    #[serde(flatten)]
    pub distance: Distance,
    pub rows: u64,
    /// Independent rows that they are worth.
    pub effective: f64,
    pub reference_mean: f64,
    pub mean: Option<f64>,
    pub reference_sd: f64,
    pub sd: Option<f64>,
    pub reference_missing: f64,
    /// Share of the rows.
    pub missing: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetChange {
    pub direction: Direction,
    pub since: EventTimestamp,
    pub at: EventTimestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssetChange {
    pub asset: String,
    #[serde(flatten)]
    pub change: FleetChange,
}

impl From<Change> for FleetChange {
    fn from(change: Change) -> Self {
        FleetChange {
            direction: change.direction,
            since: EventTimestamp(change.since),
            at: EventTimestamp(change.at),
        }
    }
}

impl AssetChange {
    pub fn new(asset: &str, change: Change) -> Self {
        AssetChange {
            asset: asset.to_owned(),
            change: change.into(),
        }
    }
}

impl Report {
    /// Features and score that are farther from training than the large limit, and than chance.
    pub fn drifted(&self) -> Vec<&Variable> {
        let all = self.features.iter().chain(&self.score);
        all.filter(|of| of.distance.verdict == Verdict::Large)
            .collect()
    }
}

fn stretch<S: Serializer>(times: &Option<(i64, i64)>, serializer: S) -> Result<S::Ok, S::Error> {
    let told = times.map(|(first, last)| (EventTimestamp(first), EventTimestamp(last)));
    told.serialize(serializer)
}
