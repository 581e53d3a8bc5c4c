//! NASA's test engines: each is cut off some cycles before its failure, and the truth says how many.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use forewarn_pipeline::Prediction;
use forewarn_training::cmapss::{self, Split, Subset};
use forewarn_training::evaluate::{nasa_score, rmse};

use super::{Judge, Scenario};
use crate::cli::{SplitArg, SubsetArg};
use crate::feed::{EngineFeed, Fed, KafkaTarget, Pace};

/// The cap of the model's training target; the truth is capped alike, and the report says so.
const CAP: f64 = 125.0;
/// Bands of true remaining life for the share of flagged readings: upper bounds.
const BANDS: [(f64, &str); 4] = [
    (25.0, "0 to 25"),
    (75.0, "26 to 75"),
    (125.0, "76 to 125"),
    (f64::INFINITY, "over 125"),
];

/// The test engines of FD001 and their true remaining life.
pub(super) struct Engines {
    feed: EngineFeed,
    /// By asset: last cycle, and remaining life at it.
    truth: HashMap<String, (u32, f64)>,
}

impl Engines {
    pub(super) fn load(data: &Path) -> Result<Self> {
        let feed = EngineFeed::load(Some(data), SubsetArg::Fd001, SplitArg::Test)?;
        let cycles = cmapss::load(data, Subset::Fd001, Split::Test)?;
        let rul = cmapss::load_rul(data, Subset::Fd001)?;
        let truth = cmapss::engines(&cycles)
            .zip(rul)
            .filter_map(|(engine, rul)| {
                let last = engine.last()?;
                Some((
                    cmapss::asset_id(Subset::Fd001, Split::Test, last.unit),
                    (last.cycle, rul),
                ))
            })
            .collect();
        Ok(Engines { feed, truth })
    }
}

impl Scenario for Engines {
    fn title(&self) -> String {
        format!(
            "{} turbofan engines (NASA C-MAPSS FD001, test split)",
            self.truth.len()
        )
    }

    fn readings(&self) -> u64 {
        self.feed.len()
    }

    fn feed(&self, telemetry: &mut KafkaTarget, _: &mut KafkaTarget, pace: Pace) -> Result<Fed> {
        self.feed.run(telemetry, pace)
    }

    fn judge(&self) -> Box<dyn Judge + '_> {
        Box::new(EngineJudge {
            truth: &self.truth,
            last: HashMap::new(),
            bands: [(0, 0); 4],
        })
    }

    fn config(&self) -> (&'static str, &'static str) {
        (
            "deploy/turbofan.toml",
            include_str!("../../deploy/turbofan.toml"),
        )
    }
}

struct EngineJudge<'a> {
    truth: &'a HashMap<String, (u32, f64)>,
    /// By asset: the last cycle with a prediction of remaining life, and its value.
    last: HashMap<String, (u32, f64)>,
    /// Per band: readings, flagged readings.
    bands: [(u64, u64); 4],
}

impl Judge for EngineJudge<'_> {
    fn add(&mut self, prediction: &Prediction<'_>) {
        let Some(&(last_cycle, rul)) = self.truth.get(prediction.asset.as_ref()) else {
            return;
        };
        let cycle = EngineFeed::cycle_at(prediction.event_time.0);
        if let Some(predicted) = &prediction.rul {
            let last = self.last.entry(prediction.asset.to_string()).or_default();
            if cycle >= last.0 {
                *last = (cycle, predicted.value);
            }
        }
        if let Some(anomaly) = &prediction.anomaly {
            let left = rul + f64::from(last_cycle.saturating_sub(cycle));
            let band = BANDS
                .iter()
                .position(|(upper, _)| left <= *upper)
                .unwrap_or(BANDS.len() - 1);
            self.bands[band].0 += 1;
            self.bands[band].1 += u64::from(anomaly.anomalous);
        }
    }

    fn report(&self) -> String {
        let (mut predicted, mut capped, mut uncapped) = (Vec::new(), Vec::new(), Vec::new());
        for (asset, (_, rul)) in self.truth {
            if let Some((_, value)) = self.last.get(asset) {
                predicted.push(*value);
                capped.push(rul.min(CAP));
                uncapped.push(*rul);
            }
        }
        let mut out = String::new();
        let _ = writeln!(
            out,
            "life left  RMSE {:.2} cycles, NASA score {:.0}: {} engines, last prediction of each, truth capped \
             at {CAP:.0} (uncapped: {:.2}, {:.0})",
            rmse(&predicted, &capped),
            nasa_score(&predicted, &capped),
            predicted.len(),
            rmse(&predicted, &uncapped),
            nasa_score(&predicted, &uncapped)
        );
        for ((_, name), (readings, flagged)) in BANDS.iter().zip(self.bands) {
            let share = 100.0 * flagged as f64 / readings.max(1) as f64;
            let _ = writeln!(
                out,
                "anomalies  {share:>5.1} % of readings flagged with {name} cycles left ({flagged} of {readings})"
            );
        }
        out
    }
}
