//! Simulated cars: the simulation knows which faults each car has at each step.

use anyhow::Result;
use forewarn_pipeline::Prediction;
use forewarn_training::cars::{Fault, Faults, Fleet};
use forewarn_training::evaluate::RecallTable;

use super::{Judge, Scenario};
use crate::feed::{CarFeed, Fed, KafkaTarget, Pace};

/// The published file's length: 100 steps of 10 seconds.
const STEPS: u32 = 100;
/// The seed that the cars notebook neither trains nor calibrates on.
const SEED: u64 = 2026;

/// A fleet of cars with its truth.
pub(super) struct Cars {
    feed: CarFeed,
    cars: u32,
    /// Faults by step and car.
    truth: Vec<Faults>,
}

impl Cars {
    pub(super) fn new(cars: u32) -> Result<Self> {
        let feed = CarFeed::new(cars, STEPS, SEED)?;
        let truth = Fleet::new(feed.config())
            .take((cars * STEPS) as usize)
            .map(|(_, faults)| faults)
            .collect();
        Ok(Cars { feed, cars, truth })
    }

    fn faults(&self, prediction: &Prediction<'_>) -> Option<Faults> {
        let car: u32 = prediction.asset.strip_prefix("car")?.parse().ok()?;
        let config = self.feed.config();
        let seconds = prediction.event_time.0 / 1_000_000 - config.start_at;
        let step = u32::try_from(seconds / i64::from(config.step_seconds)).ok()?;
        let index = step * self.cars + car.checked_sub(1)?;
        self.truth.get(index as usize).copied()
    }
}

impl Scenario for Cars {
    fn title(&self) -> String {
        format!(
            "{} simulated cars with 11 kinds of fault, {STEPS} readings each",
            self.cars
        )
    }

    fn readings(&self) -> u64 {
        self.feed.len()
    }

    fn feed(
        &self,
        telemetry: &mut KafkaTarget,
        truth: &mut KafkaTarget,
        pace: Pace,
    ) -> Result<Fed> {
        self.feed.run(telemetry, truth, pace)
    }

    fn judge(&self) -> Box<dyn Judge + '_> {
        Box::new(CarJudge {
            cars: self,
            table: RecallTable::new(Fault::ALL.map(Fault::name)),
        })
    }

    fn config(&self) -> (&'static str, &'static str) {
        ("deploy/cars.toml", include_str!("../../deploy/cars.toml"))
    }
}

struct CarJudge<'a> {
    cars: &'a Cars,
    table: RecallTable,
}

impl Judge for CarJudge<'_> {
    fn add(&mut self, prediction: &Prediction<'_>) {
        if let (Some(anomaly), Some(faults)) = (&prediction.anomaly, self.cars.faults(prediction)) {
            self.table.add(&faults.flags(), anomaly.anomalous);
            let named = anomaly
                .contributions
                .largest()
                .and_then(|(signal, _)| mode_of(signal));
            if let (true, Some(fault)) = (anomaly.anomalous, named) {
                self.table.add_named(fault.name(), faults.contains(fault));
            }
        }
    }

    fn report(&self) -> String {
        format!(
            "accuracy   per reading, against the simulated truth:\n{}\n",
            self.table
        )
    }
}

/// The fault that shows in a signal.
fn mode_of(signal: &str) -> Option<Fault> {
    let wheel = |prefix: &str, faults: [Fault; 4]| {
        let wheel = signal.strip_prefix(prefix)?;
        let wheels = ["1_1", "1_2", "2_1", "2_2"];
        wheels
            .iter()
            .position(|name| wheel.starts_with(name))
            .map(|wheel| faults[wheel])
    };
    match signal {
        "engine_vibration_amplitude" | "speed" => Some(Fault::DriveShaft),
        "coolant_temp" => Some(Fault::Overheating),
        "control_unit_firmware" => Some(Fault::Firmware),
        _ => {
            wheel("tire_pressure_", Fault::TIRES).or_else(|| wheel("accelerometer_", Fault::SHOCKS))
        }
    }
}
