//! NASA's turbofan engines as telemetry: one message per engine and cycle, in the order of the cycles, as if
//! all engines flew side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use forewarn_training::cmapss::{self, Cycle, Split, Subset};
use serde_json::json;

use super::target::Record;
use super::{Encoding, Fed, Pace, Target, data_dir};
use crate::cli::{SplitArg, SubsetArg};

/// The data has no clock. Cycle 1 is at 2026-01-01T00:00:00Z, and a cycle takes an hour.
const FIRST_CYCLE: i64 = 1_767_225_600_000;
const CYCLE: i64 = 3_600_000;

/// A subset's engines, ready to feed.
pub(crate) struct EngineFeed {
    subset: Subset,
    split: Split,
    cycles: Vec<Cycle>,
}

impl EngineFeed {
    pub(crate) fn load(data: Option<&Path>, subset: SubsetArg, split: SplitArg) -> Result<Self> {
        let subset = match subset {
            SubsetArg::Fd001 => Subset::Fd001,
            SubsetArg::Fd002 => Subset::Fd002,
            SubsetArg::Fd003 => Subset::Fd003,
            SubsetArg::Fd004 => Subset::Fd004,
        };
        let split = match split {
            SplitArg::Train => Split::Train,
            SplitArg::Test => Split::Test,
        };
        let mut cycles = cmapss::load(&data_dir(data), subset, split)?;
        cycles.sort_by_key(|cycle| (cycle.cycle, cycle.unit));
        Ok(EngineFeed {
            subset,
            split,
            cycles,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.cycles.len() as u64
    }

    /// The cycle at an event time in microseconds.
    pub(crate) fn cycle_at(event_at: i64) -> u32 {
        (1 + (event_at / 1_000 - FIRST_CYCLE) / CYCLE)
            .try_into()
            .unwrap_or(0)
    }

    /// When each engine fails: at its last cycle, or where it is cut off before, as many hours later as cycles are left
    /// of it.
    pub(crate) fn failures(&self, data: Option<&Path>) -> Result<Failures> {
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for cycle in &self.cycles {
            let latest = last.entry(cycle.unit).or_default();
            *latest = (*latest).max(cycle.cycle);
        }
        let left = match self.split {
            Split::Train => vec![0.0; last.len()],
            Split::Test => cmapss::load_rul(&data_dir(data), self.subset)?,
        };
        let failure = |((unit, cycle), left): ((u32, u32), f64)| {
            let asset = cmapss::asset_id(self.subset, self.split, unit);
            let time = FIRST_CYCLE + (i64::from(cycle) - 1 + left as i64) * CYCLE;
            (asset, time)
        };
        Ok(Failures(last.into_iter().zip(left).map(failure).collect()))
    }

    pub(crate) fn run(&self, target: &mut dyn Target, mut pace: Pace) -> Result<Fed> {
        let encoding = target.encoding();
        let names: Vec<&str> = cmapss::SIGNALS.iter().map(|signal| signal.name).collect();
        target.begin(&format!("asset,time,cycle,{}", names.join(",")))?;
        let mut assets = BTreeMap::new();
        let mut payload = Vec::new();
        for cycle in &self.cycles {
            let asset = assets
                .entry(cycle.unit)
                .or_insert_with(|| cmapss::asset_id(self.subset, self.split, cycle.unit));
            let time = FIRST_CYCLE + i64::from(cycle.cycle - 1) * CYCLE;
            payload.clear();
            match encoding {
                Encoding::Json | Encoding::JsonLine => {
                    cmapss::write_json(cycle, time, &mut payload);
                }
                Encoding::Csv => write_csv(asset, time, cycle, &mut payload),
            }
            target.send(Record {
                asset,
                time,
                payload: &payload,
            })?;
            pace.tick();
        }
        target.finish()?;
        Ok(pace.finish(assets.len() as u64))
    }
}

/// Assets, and when each of them fails, in milliseconds since 1970.
pub(crate) struct Failures(Vec<(String, i64)>);

impl Failures {
    pub(crate) fn csv(&self) -> String {
        let mut text = "asset,time,kind\n".to_owned();
        for (asset, time) in &self.0 {
            text += &format!("{asset},{time},failure\n");
        }
        text
    }

    /// A message each. Their timestamps are of now, when they are told: brokers refuse those of the future.
    pub(crate) fn tell(&self, target: &mut dyn Target) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        for (asset, time) in &self.0 {
            let event = json!({ "asset": asset, "time": time, "kind": "failure" });
            target.send(Record {
                asset,
                time: now,
                payload: event.to_string().as_bytes(),
            })?;
        }
        target.finish()
    }
}

fn write_csv(asset: &str, time: i64, cycle: &Cycle, out: &mut Vec<u8>) {
    let values: Vec<String> = cycle.values().map(|value| value.to_string()).collect();
    let line = format!("{asset},{time},{},{}\n", cycle.cycle, values.join(","));
    out.extend_from_slice(line.as_bytes());
}
