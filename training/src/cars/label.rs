//! Derives the faults of a car from its values by the published rules.
//!
//! ```text
//!   tire_*       pressure <= 24           drive_shaft  vibration / speed = 150, not 100
//!   shock_*      accelerometer >= 3       overheating  coolant step - 0.008 speed before
//!   firmware     = 1000                                = 0.5 current, not 0.1 current
//! ```
//!
//! Overheating is a property of a *step*, so the first reading of a trip carries no information on
//! it: there the flag keeps its previous value, which is false at the first reading of all. A trip
//! starts where the battery does not fall, since it falls at every step of a trip.
//!
//! Not here: gaps. A missing reading makes the next coolant step look too large.

use super::{CarReading, Fault, Faults};

/// Midway between the published 20..=24 and 30..=34 lies no value; the rule is stated as <= 24.
const LOW_PRESSURE: i32 = 24;
const FAILED_SHOCK: f32 = 3.0;
/// Midway between 100 and 150 mV per m/s.
const SHAFT_RATIO: f32 = 125.0;
/// Midway between 0.1 and 0.5 deg C per A.
const OVERHEATING_RATE: f64 = 0.3;
const SPEED_EFFECT: f64 = 0.008;
const OUTDATED_FIRMWARE: i32 = 1000;

/// Labels the readings of one car, in order, one by one.
#[derive(Debug, Clone, Default)]
pub struct Labeller {
    previous: Option<CarReading>,
    overheating: bool,
}

impl Labeller {
    pub fn label(&mut self, reading: &CarReading) -> Faults {
        if let Some(before) = &self.previous
            && reading.battery_percentage < before.battery_percentage
        {
            self.overheating = overheats(before, reading);
        }
        self.previous = Some(*reading);
        let faults = instant_faults(reading);
        if self.overheating {
            faults.with(Fault::Overheating)
        } else {
            faults
        }
    }
}

/// The faults at each of the readings of one car, which must be complete and in order.
pub fn derive_labels(readings: &[CarReading]) -> Vec<Faults> {
    let mut labeller = Labeller::default();
    readings
        .iter()
        .map(|reading| labeller.label(reading))
        .collect()
}

fn instant_faults(reading: &CarReading) -> Faults {
    let tires = Fault::TIRES.into_iter().zip(reading.tire_pressure);
    let low = tires
        .filter(|(_, psi)| *psi <= LOW_PRESSURE)
        .map(|(tire, _)| tire);
    let shocks = Fault::SHOCKS.into_iter().zip(reading.accelerometer);
    let failed = shocks
        .filter(|(_, value)| *value >= FAILED_SHOCK)
        .map(|(shock, _)| shock);
    let shaft = reading.engine_vibration_amplitude > SHAFT_RATIO * reading.speed;
    let firmware = reading.control_unit_firmware == OUTDATED_FIRMWARE;
    low.chain(failed)
        .chain(shaft.then_some(Fault::DriveShaft))
        .chain(firmware.then_some(Fault::Firmware))
        .fold(Faults::NONE, Faults::with)
}

/// In `f64`, since the step is a small difference of two possibly large temperatures.
fn overheats(before: &CarReading, now: &CarReading) -> bool {
    let step = f64::from(now.coolant_temp) - f64::from(before.coolant_temp);
    let heating = step - SPEED_EFFECT * f64::from(before.speed);
    heating > OVERHEATING_RATE * f64::from(now.current_draw)
}
