//! What is known of the fleet: the last word of each model on each asset. No clock, no Kafka.

use std::collections::HashMap;
use std::time::Duration;

use forewarn_pipeline::Prediction;

use crate::terminal::thousands;

/// The fleet.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    assets: HashMap<String, Asset>,
    /// Predictions and distinct source records in all, and since the last tick.
    predictions: u64,
    readings: u64,
    since_tick: u64,
    anomalous: u64,
    pub readings_per_second: f64,
    pub lag: Option<u64>,
}

/// The last verdicts on one asset.
#[derive(Debug, Default, Clone)]
pub(super) struct Asset {
    pub confidence: Option<f64>,
    /// The feature with the largest share of the score, and the share.
    pub why: Option<(String, f32)>,
    pub rul: Option<(f64, String)>,
    pub health: Option<f64>,
    pub event_time: String,
    /// The newest source record, to count a reading once however many models score it.
    newest: Option<(i32, i64)>,
}

impl Fleet {
    pub(super) fn add(&mut self, prediction: &Prediction<'_>) {
        // A result without a score is news of the asset, but no prediction.
        self.predictions += u64::from(prediction.unscored.is_none());
        let asset = match self.assets.get_mut(prediction.asset.as_ref()) {
            Some(asset) => asset,
            None => self.assets.entry(prediction.asset.to_string()).or_default(),
        };
        let record = (prediction.source.partition, prediction.source.offset);
        if asset.newest < Some(record) {
            asset.newest = Some(record);
            asset.event_time = prediction.event_time.to_string();
            self.readings += 1;
            self.since_tick += 1;
        }
        if let Some(anomaly) = &prediction.anomaly {
            asset.confidence = anomaly.confidence;
            asset.why = anomaly
                .contributions
                .largest()
                .map(|(name, share)| (name.to_owned(), share));
            self.anomalous += u64::from(anomaly.anomalous);
        }
        if let Some(class) = &prediction.class {
            self.anomalous += u64::from(class.anomalous == Some(true));
        }
        if let Some(rul) = &prediction.rul {
            asset.rul = Some((rul.value, rul.unit.to_string()));
            asset.health = Some(rul.health);
        }
    }

    /// Notes the rate since the last call, and the lag.
    pub(super) fn tick(&mut self, elapsed: Duration, lag: Option<u64>) {
        self.readings_per_second = self.since_tick as f64 / elapsed.as_secs_f64().max(1e-9);
        self.since_tick = 0;
        self.lag = lag;
    }

    /// Assets by confidence, the most suspicious first.
    pub(super) fn by_confidence(&self, count: usize) -> Vec<(&str, &Asset)> {
        self.ranked(count, |asset| {
            asset.confidence.map(|confidence| -confidence)
        })
    }

    /// Assets by remaining useful life, the shortest first.
    pub(super) fn by_rul(&self, count: usize) -> Vec<(&str, &Asset)> {
        self.ranked(count, |asset| asset.rul.as_ref().map(|(value, _)| *value))
    }

    fn ranked(&self, count: usize, key: impl Fn(&Asset) -> Option<f64>) -> Vec<(&str, &Asset)> {
        let mut ranked: Vec<(f64, &str, &Asset)> = self
            .assets
            .iter()
            .filter_map(|(name, asset)| Some((key(asset)?, name.as_str(), asset)))
            .collect();
        // By name where the keys are equal, so that rows do not jump.
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        ranked
            .into_iter()
            .take(count)
            .map(|(_, name, asset)| (name, asset))
            .collect()
    }

    /// The state in one line.
    pub(super) fn summary(&self) -> String {
        let lag = self.lag.map_or_else(|| "unknown".to_owned(), thousands);
        format!(
            "{} readings/s, lag {lag}, {} assets, {} readings, {} predictions, {} anomalous",
            thousands(self.readings_per_second as u64),
            thousands(self.assets.len() as u64),
            thousands(self.readings),
            thousands(self.predictions),
            thousands(self.anomalous)
        )
    }

    /// The summary with the most suspicious asset and the one with the shortest life.
    pub(super) fn line(&self) -> String {
        let mut line = self.summary();
        if let Some((
            name,
            Asset {
                confidence: Some(confidence),
                why,
                ..
            },
        )) = self.by_confidence(1).first()
        {
            let why = why
                .as_ref()
                .map(|(signal, _)| format!(" ({signal})"))
                .unwrap_or_default();
            line += &format!("; highest confidence {confidence:.2} {name}{why}");
        }
        if let Some((
            name,
            Asset {
                rul: Some((value, unit)),
                ..
            },
        )) = self.by_rul(1).first()
        {
            line += &format!("; shortest life {value:.0} {unit} {name}");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(asset: &str, offset: i64, verdict: &str) -> String {
        format!(
            r#"{{"asset":"{asset}","event_time":"2026-01-01T00:00:00Z","model":"m","version":1,"task":"t",
               "source":{{"topic":"t","partition":0,"offset":{offset}}},{verdict}}}"#
        )
    }

    fn anomaly(confidence: f64) -> String {
        format!(
            r#""anomaly":{{"score":{confidence},"threshold":1,"confidence":{confidence},
               "anomalous":{},"contributions":{{"a":0.25,"b":0.75}}}}"#,
            confidence > 1.0
        )
    }

    #[test]
    fn assets_are_ranked_and_a_reading_counts_once() {
        let mut fleet = Fleet::default();
        let rul = r#""rul":{"value":12.0,"unit":"cycles","health":0.1}"#;
        for json in [
            prediction("x", 0, &anomaly(0.5)),
            prediction("x", 0, rul),
            prediction("y", 1, &anomaly(2.0)),
            prediction("x", 2, &anomaly(0.75)),
        ] {
            fleet.add(&serde_json::from_str(&json).unwrap());
        }
        fleet.tick(Duration::from_secs(2), Some(7));
        let names: Vec<&str> = fleet
            .by_confidence(9)
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, ["y", "x"]);
        assert_eq!(
            fleet.line(),
            "1 readings/s, lag 7, 2 assets, 3 readings, 4 predictions, 1 anomalous; \
             highest confidence 2.00 y (b); shortest life 12 cycles x"
        );
    }
}
