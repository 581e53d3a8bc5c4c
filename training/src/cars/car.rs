//! One simulated car: pure state, one reading per step, no allocation.
//!
//! Rules, fitted to the published file (all 9900 steps of it; speed, battery and current are
//! reproduced bit for bit, coolant to the last bits of an `f32`). `'` is the next step, `k` is 0.1,
//! or 0.5 with the overheating fault:
//!
//! ```text
//!   a trip starts with   speed = flow / 4,  battery ~ U(0.3, 1),  coolant ~ intake + U(0, 20)
//!   first row of a trip  speed' = 0.8 speed + 0.2 * 38.889 throttle
//!                        battery' = battery              coolant' = coolant + k current
//!   any other row        speed' as above
//!                        battery' = battery - 0.008 speed
//!                        coolant' = coolant + 0.008 speed + k current
//!   constant per car     intake ~ U(15, 40), flow ~ U(0, 200), throttle ~ U(0, 1),
//!                        voltage = 180 + 80 battery0, current = throttle * (260 - voltage + 5)
//!   per row              vibration = 100 speed, or 150 speed with the drive-shaft fault
//! ```
//!
//! The constants and the order of the `f32` operations are those of the publisher's simulator
//! where an early public version of it agrees with the file; how coolant and battery change and the
//! hazards are not in that version and are fitted alone.
//!
//! Everything random of a car comes from its own generator, in a fixed order.
//!
//! Not here: when a trip begins, and the passing of time (`fleet.rs`).

use rand_pcg::Lcg64Xsh32;
use rand_pcg::rand_core::Rng;

use super::{CarReading, Fault, Faults};

/// Probability per step that a fault begins. From the onsets in the published file: 177 tyres in
/// 30377 wheel rows at risk, 251 shock absorbers in 25033, 65 drive shafts in 6308, 20 overheatings
/// in 9030, 99 firmwares in 2225; the first row draws too.
const TIRE_HAZARD: f64 = 0.006;
const SHOCK_HAZARD: f64 = 0.01;
const DRIVE_SHAFT_HAZARD: f64 = 0.01;
const OVERHEATING_HAZARD: f64 = 0.00225;
const FIRMWARE_HAZARD: f64 = 0.045;
/// A bump lasts one step and hits all four wheels: 513 of 10000 published rows.
const BUMP_PROBABILITY: f64 = 0.05;

const INERTIA: f32 = 0.8;
/// Speed at full throttle, m/s (140 km/h).
const MAX_SPEED: f32 = 38.889;
/// Both battery and coolant move by this much per m/s and step.
const SPEED_EFFECT: f32 = 0.008;
/// Smallest throttle: with less, current heats by less than an `f32` coolant temperature resolves,
/// and overheating could not be told from the readings. One car in 4096 is affected.
const MIN_THROTTLE: f32 = 1.0 / 4096.0;

#[derive(Debug, Clone)]
pub(super) struct Car {
    random: Lcg64Xsh32,
    number: u32,
    faults: Faults,
    intake_air_temp: f32,
    throttle: f32,
    voltage: f32,
    current: f32,
    start: Motion,
    now: Motion,
}

/// What changes along a trip, and goes back at the start of the next.
#[derive(Debug, Clone, Copy)]
struct Motion {
    speed: f32,
    battery: f32,
    coolant: f32,
}

impl Car {
    pub(super) fn new(seed: u64, index: u32) -> Self {
        // Streams of one PCG that start in the same state resemble each other, therefore the car
        // also enters the state, scattered.
        let state = scatter(seed ^ scatter(u64::from(index)));
        let mut random = Lcg64Xsh32::new(state, u64::from(index));
        let speed = 50.0 * unit(&mut random);
        let throttle = unit(&mut random).max(MIN_THROTTLE);
        let intake_air_temp = 15.0 + 25.0 * unit(&mut random);
        let battery = 0.3 + 0.7 * unit(&mut random);
        let coolant = intake_air_temp + 20.0 * unit(&mut random);
        let voltage = 180.0 + 80.0 * battery;
        let start = Motion {
            speed,
            battery,
            coolant,
        };
        Self {
            random,
            number: index + 1,
            faults: Faults::NONE,
            intake_air_temp,
            throttle,
            voltage,
            current: throttle * (260.0 - voltage + 5.0),
            start,
            now: start,
        }
    }

    /// The reading of the next step and its truth; `first_of_trip` goes back to the start values.
    pub(super) fn advance(&mut self, time: i64, first_of_trip: bool) -> (CarReading, Faults) {
        self.begin_faults();
        self.drive(first_of_trip);
        let shaft = if self.faults.contains(Fault::DriveShaft) {
            150.0
        } else {
            100.0
        };
        let firmware = if self.faults.contains(Fault::Firmware) {
            1000
        } else {
            2000
        };
        let reading = CarReading {
            time,
            car: self.number,
            coolant_temp: self.now.coolant,
            intake_air_temp: self.intake_air_temp,
            intake_air_flow_speed: 4.0 * self.start.speed,
            battery_percentage: self.now.battery,
            battery_voltage: self.voltage,
            current_draw: self.current,
            speed: self.now.speed,
            engine_vibration_amplitude: shaft * self.now.speed,
            throttle_pos: self.throttle,
            tire_pressure: Fault::TIRES.map(|tire| self.tire_pressure(tire)),
            accelerometer: self.accelerometers(),
            control_unit_firmware: firmware,
        };
        (reading, self.faults)
    }

    fn begin_faults(&mut self) {
        for tire in Fault::TIRES {
            self.risk(tire, TIRE_HAZARD);
        }
        for shock in Fault::SHOCKS {
            self.risk(shock, SHOCK_HAZARD);
        }
        self.risk(Fault::DriveShaft, DRIVE_SHAFT_HAZARD);
        self.risk(Fault::Overheating, OVERHEATING_HAZARD);
        self.risk(Fault::Firmware, FIRMWARE_HAZARD);
    }

    fn risk(&mut self, fault: Fault, hazard: f64) {
        if happens(&mut self.random, hazard) {
            self.faults = self.faults.with(fault);
        }
    }

    fn drive(&mut self, first_of_trip: bool) {
        let heating = if self.faults.contains(Fault::Overheating) {
            0.5
        } else {
            0.1
        };
        if first_of_trip {
            self.now = self.start;
        } else {
            self.now.battery -= SPEED_EFFECT * self.now.speed;
            self.now.coolant += SPEED_EFFECT * self.now.speed;
        }
        self.now.coolant += heating * self.current;
        let pull = (1.0 - INERTIA) * (self.throttle * MAX_SPEED);
        self.now.speed = INERTIA * self.now.speed + pull;
    }

    fn tire_pressure(&mut self, tire: Fault) -> i32 {
        let lowest = if self.faults.contains(tire) { 20 } else { 30 };
        lowest + (5.0 * unit(&mut self.random)) as i32
    }

    fn accelerometers(&mut self) -> [f32; 4] {
        let bump = happens(&mut self.random, BUMP_PROBABILITY);
        Fault::SHOCKS.map(|shock| {
            let u = unit(&mut self.random);
            match (self.faults.contains(shock), bump) {
                (false, false) => u,
                (false, true) => 2.0 + u,
                (true, false) => 3.0 + u,
                (true, true) => 5.0 + 2.0 * u,
            }
        })
    }
}

fn happens(random: &mut impl Rng, probability: f64) -> bool {
    random.next_u32() < (probability * 4_294_967_296.0) as u32
}

/// Uniform in [0, 1) with 22 bits: adding 2 or 3 is then exact in `f32`. With 24 bits a bump could
/// round up to 3.0, which is the threshold of a shock fault, every few minutes of a large fleet.
fn unit(random: &mut impl Rng) -> f32 {
    (random.next_u32() >> 10) as f32 * (1.0 / 4_194_304.0)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection whose outputs for
/// neighbouring inputs share nothing.
fn scatter(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cars::{load_labels, load_readings};
    use crate::dataset::test_data;

    fn published_motion(reading: &CarReading) -> Motion {
        Motion {
            speed: reading.speed,
            battery: reading.battery_percentage,
            coolant: reading.coolant_temp,
        }
    }

    fn published_car(reading: &CarReading, faults: Faults) -> Car {
        Car {
            faults,
            throttle: reading.throttle_pos,
            current: reading.current_draw,
            now: published_motion(reading),
            ..Car::new(1, 0)
        }
    }

    #[test]
    fn every_published_step_is_reproduced() {
        let Some(data) = test_data() else { return };
        let (readings, labels) = (load_readings(&data).unwrap(), load_labels(&data).unwrap());
        for (i, after) in readings.iter().enumerate().skip(100) {
            let mut car = published_car(&readings[i - 100], labels[i]);
            car.drive(false);
            assert_eq!(car.now.speed, after.speed, "row {i}");
            assert_eq!(car.now.battery, after.battery_percentage, "row {i}");
            let coolant = (car.now.coolant - after.coolant_temp).abs();
            assert!(
                coolant <= 2.0 * f32::EPSILON * after.coolant_temp,
                "row {i}: {coolant}"
            );
        }
    }
}
