//! Simulated connected cars as telemetry, and their true faults on a topic or in a file of their own.

use anyhow::{Result, bail};
use forewarn_training::cars::{self, Fault, Faults, Fleet, FleetConfig};

use super::target::Record;
use super::{Encoding, Fed, Pace, Target};

/// A fleet, ready to drive.
pub(crate) struct CarFeed {
    config: FleetConfig,
    /// 0: for ever.
    steps: u32,
}

impl CarFeed {
    pub(crate) fn new(assets: u32, steps: u32, seed: u64) -> Result<Self> {
        if assets == 0 {
            bail!("--assets must be at least 1");
        }
        Ok(CarFeed {
            config: FleetConfig {
                assets,
                seed,
                ..FleetConfig::default()
            },
            steps,
        })
    }

    /// The fleet's parameters, of which its truth is a function.
    pub(crate) fn config(&self) -> FleetConfig {
        self.config
    }

    /// Number of readings, 0 for an endless feed.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.config.assets) * u64::from(self.steps)
    }

    /// When each fault of each car began, as labels of a recipe: a fault that has begun stays.
    pub(crate) fn failures(&self) -> String {
        let mut text = "asset,time,kind,until\n".to_owned();
        let mut known = vec![Faults::NONE; self.config.assets as usize];
        for (reading, faults) in Fleet::new(self.config).take(self.len() as usize) {
            let known = &mut known[reading.car as usize - 1];
            for fault in Fault::ALL
                .into_iter()
                .filter(|fault| faults.contains(*fault) && !known.contains(*fault))
            {
                let (car, time, kind) = (reading.car, reading.time * 1_000, fault.name());
                text += &format!("car{car},{time},{kind},open\n");
            }
            *known = faults;
        }
        text
    }

    pub(crate) fn run(
        &self,
        telemetry: &mut dyn Target,
        truth: &mut dyn Target,
        mut pace: Pace,
    ) -> Result<Fed> {
        telemetry.begin(&cars::reading_csv_header())?;
        truth.begin(&cars::truth_csv_header())?;
        let (telemetry_csv, truth_csv) = (
            telemetry.encoding() == Encoding::Csv,
            truth.encoding() == Encoding::Csv,
        );
        // Cars count from 1.
        let names: Vec<String> = (1..=self.config.assets)
            .map(|car| format!("car{car}"))
            .collect();
        let mut payload = Vec::new();
        let fleet = Fleet::new(self.config);
        let steps = if self.steps == 0 {
            usize::MAX
        } else {
            self.len() as usize
        };
        for (reading, faults) in fleet.take(steps) {
            let asset = names[reading.car as usize - 1].as_str();
            let time = reading.time * 1_000;
            payload.clear();
            if telemetry_csv {
                cars::write_reading_csv(&reading, &mut payload);
            } else {
                cars::write_json(&reading, &mut payload);
            }
            telemetry.send(Record {
                asset,
                time,
                payload: &payload,
            })?;
            payload.clear();
            if truth_csv {
                cars::write_truth_csv(&reading, faults, &mut payload);
            } else {
                cars::write_truth_json(&reading, faults, &mut payload);
            }
            truth.send(Record {
                asset,
                time,
                payload: &payload,
            })?;
            pace.tick();
        }
        telemetry.finish()?;
        truth.finish()?;
        Ok(pace.finish(u64::from(self.config.assets)))
    }
}
