//! Connected cars: a simulator, its fault truth, and the rules which derive the faults from values.
//!
//! The published data set `car-sensors` (100 simulated electric cars, one reading per car every
//! 10 s) is too short to load a stream. [`Fleet`] continues it without end, for any number of
//! cars, by rules that were fitted to the published file:
//!
//! ```text
//!   Fleet (fleet.rs, car.rs) --(CarReading, Faults)--> write.rs --> JSON for Kafka, CSV
//!   published csv (published.rs) --CarReading--> label.rs --> Faults
//! ```
//!
//! Invariants:
//! - a car is a function of (seed, index of the car), whatever the size of the fleet is;
//! - a fault that has begun in a car stays;
//! - the signals, their order and their names are those of the published file.
//!
//! Source of file and faults: K. Waehner and others, *Streaming Machine Learning at Scale from
//! 100000 IoT Devices with HiveMQ, Apache Kafka and TensorFlow*, 2019-2020 (Apache-2.0).
//!
//! Not here: Kafka, pacing to wall-clock time.

mod car;
mod fleet;
mod label;
mod published;
mod write;

#[cfg(test)]
mod tests;

pub use fleet::{Fleet, FleetConfig, TRIP_STEPS};
pub use label::{Labeller, derive_labels};
pub use published::{load_labels, load_readings};
pub use write::{
    reading_csv_header, truth_csv_header, write_json, write_reading_csv, write_truth_csv,
    write_truth_json,
};

use crate::dataset::Signal;

/// The signals of a car in the order of the published file, without `time` and `car`.
pub const CAR_SIGNALS: [Signal; 18] = [
    Signal::float("coolant_temp", "deg C"),
    Signal::float("intake_air_temp", "deg C"),
    Signal::float("intake_air_flow_speed", "g/s"),
    Signal::float("battery_percentage", "-"),
    Signal::float("battery_voltage", "V"),
    Signal::float("current_draw", "A"),
    Signal::float("speed", "m/s"),
    Signal::float("engine_vibration_amplitude", "mV"),
    Signal::float("throttle_pos", "-"),
    Signal::integer("tire_pressure_1_1", "psi"),
    Signal::integer("tire_pressure_1_2", "psi"),
    Signal::integer("tire_pressure_2_1", "psi"),
    Signal::integer("tire_pressure_2_2", "psi"),
    Signal::float("accelerometer_1_1_value", "m/s^2"),
    Signal::float("accelerometer_1_2_value", "m/s^2"),
    Signal::float("accelerometer_2_1_value", "m/s^2"),
    Signal::float("accelerometer_2_2_value", "m/s^2"),
    Signal::integer("control_unit_firmware", "-"),
];

/// One reading of one car; the fields are described at [`CAR_SIGNALS`].
///
/// Floats are `f32` because the published Avro schema says so: a wider type would publish digits
/// that the data set does not have. Wheels are in the order front left, front right, back left,
/// back right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CarReading {
    /// Event time, Unix seconds.
    pub time: i64,
    /// Number of the car, from 1: the asset id is `car<number>`.
    pub car: u32,
    pub coolant_temp: f32,
    pub intake_air_temp: f32,
    pub intake_air_flow_speed: f32,
    pub battery_percentage: f32,
    pub battery_voltage: f32,
    pub current_draw: f32,
    pub speed: f32,
    pub engine_vibration_amplitude: f32,
    pub throttle_pos: f32,
    pub tire_pressure: [i32; 4],
    pub accelerometer: [f32; 4],
    pub control_unit_firmware: i32,
}

impl CarReading {
    /// The asset id, as published: `car1`, `car2`, ...
    pub fn asset(&self) -> String {
        format!("car{}", self.car)
    }

    /// The values in the order of [`CAR_SIGNALS`], integers widened: what a model reads.
    pub fn values(&self) -> [f32; 18] {
        let [p1, p2, p3, p4] = self.tire_pressure.map(|psi| psi as f32);
        let [a1, a2, a3, a4] = self.accelerometer;
        [
            self.coolant_temp,
            self.intake_air_temp,
            self.intake_air_flow_speed,
            self.battery_percentage,
            self.battery_voltage,
            self.current_draw,
            self.speed,
            self.engine_vibration_amplitude,
            self.throttle_pos,
            p1,
            p2,
            p3,
            p4,
            a1,
            a2,
            a3,
            a4,
            self.control_unit_firmware as f32,
        ]
    }
}

/// One way in which a car fails, in the column order of the label file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    Tire11,
    Tire12,
    Tire21,
    Tire22,
    Shock11,
    Shock12,
    Shock21,
    Shock22,
    DriveShaft,
    Overheating,
    Firmware,
}

impl Fault {
    pub const TIRES: [Self; 4] = [Self::Tire11, Self::Tire12, Self::Tire21, Self::Tire22];
    pub const SHOCKS: [Self; 4] = [Self::Shock11, Self::Shock12, Self::Shock21, Self::Shock22];
    pub const ALL: [Self; 11] = [
        Self::Tire11,
        Self::Tire12,
        Self::Tire21,
        Self::Tire22,
        Self::Shock11,
        Self::Shock12,
        Self::Shock21,
        Self::Shock22,
        Self::DriveShaft,
        Self::Overheating,
        Self::Firmware,
    ];

    /// Column name in the label file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tire11 => "tire_1_1",
            Self::Tire12 => "tire_1_2",
            Self::Tire21 => "tire_2_1",
            Self::Tire22 => "tire_2_2",
            Self::Shock11 => "shock_1_1",
            Self::Shock12 => "shock_1_2",
            Self::Shock21 => "shock_2_1",
            Self::Shock22 => "shock_2_2",
            Self::DriveShaft => "drive_shaft",
            Self::Overheating => "overheating",
            Self::Firmware => "firmware",
        }
    }
}

/// The set of faults which a car has at one reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    pub const NONE: Self = Self(0);

    pub const fn contains(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | (1 << fault as u8))
    }

    /// `failure_occurred` of the label file.
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// One flag per fault, in the order of [`Fault::ALL`].
    pub fn flags(self) -> [bool; 11] {
        Fault::ALL.map(|fault| self.contains(fault))
    }
}
