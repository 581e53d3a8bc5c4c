//! The simulated fleet: who reports when, and when trips begin. The rules of a car are in `car.rs`.
//!
//! The published simulation is one trip of 100 steps with no cooling and an unbounded battery. Here
//! a car begins a new trip, from its own start values, after [`TRIP_STEPS`] steps, while its faults
//! stay: an endless stream keeps the value range of the published file, which models learn from.
//! There is no repair either, so a long-running fleet ends with every car at fault: start a fresh
//! fleet (other seed) where the mix of early and late faults matters.
//!
//! Not here: wall-clock time. The published file spaces its steps 10.01 s on average; here a step
//! is exactly `step_seconds`.

use std::num::NonZeroU32;

use super::car::Car;
use super::{CarReading, Faults};

/// Length of a trip: the length of the published file, beyond which its values leave any range.
pub const TRIP_STEPS: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// What a simulated fleet is; the readings are a function of it.
#[derive(Debug, Clone, Copy)]
pub struct FleetConfig {
    /// Number of cars; each contributes one reading per step. Default 100, as published.
    pub assets: u32,
    /// Index, from 0, of the first car. Default 0. Several fleets with the same seed and adjoining
    /// ranges produce what one large fleet would: a way to use several threads or processes.
    pub first_asset: u32,
    /// Seed of all random numbers. Default 1.
    pub seed: u64,
    /// Event time of the first step, Unix seconds. Default 1567606196, as published.
    pub start_at: i64,
    /// Event time between two readings of a car, seconds. Default 10, as published.
    pub step_seconds: u32,
    /// Steps after which a car begins a new trip. Default [`TRIP_STEPS`]. Larger values let coolant
    /// and battery leave the range that published models know.
    pub trip_steps: NonZeroU32,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            assets: 100,
            first_asset: 0,
            seed: 1,
            start_at: 1_567_606_196,
            step_seconds: 10,
            trip_steps: TRIP_STEPS,
        }
    }
}

/// The fleet as an endless iterator over readings and their truth: step after step, and inside a
/// step car after car. It ends only when it has no cars.
#[derive(Debug, Clone)]
pub struct Fleet {
    cars: Vec<Car>,
    next: usize,
    step_in_trip: u32,
    time: i64,
    step_seconds: i64,
    trip_steps: u32,
}

impl Fleet {
    pub fn new(config: FleetConfig) -> Self {
        let cars = (0..config.assets).map(|i| Car::new(config.seed, config.first_asset + i));
        Self {
            cars: cars.collect(),
            next: 0,
            step_in_trip: 0,
            time: config.start_at,
            step_seconds: i64::from(config.step_seconds),
            trip_steps: config.trip_steps.get(),
        }
    }

    /// Number of cars, which is the number of readings per step.
    pub fn assets(&self) -> usize {
        self.cars.len()
    }
}

impl Iterator for Fleet {
    type Item = (CarReading, Faults);

    fn next(&mut self) -> Option<Self::Item> {
        let car = self.cars.get_mut(self.next)?;
        let item = car.advance(self.time, self.step_in_trip == 0);
        self.next += 1;
        if self.next == self.cars.len() {
            self.next = 0;
            self.time += self.step_seconds;
            self.step_in_trip = (self.step_in_trip + 1) % self.trip_steps;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cars::Fault;

    #[test]
    fn car_does_not_depend_on_the_size_of_the_fleet() {
        let config = |first_asset, assets| FleetConfig {
            first_asset,
            assets,
            ..Default::default()
        };
        let large: Vec<_> = Fleet::new(config(0, 7)).take(7 * 250).collect();
        let small = Fleet::new(config(2, 3)).take(3 * 250);
        let part = large
            .iter()
            .filter(|(reading, _)| (3..6).contains(&reading.car));
        assert!(small.eq(part.copied()));
    }

    #[test]
    fn new_trip_starts_where_the_first_did_and_faults_stay() {
        let rows: Vec<_> = Fleet::new(FleetConfig {
            assets: 1,
            ..Default::default()
        })
        .take(301)
        .collect();
        for (step, (reading, faults)) in rows.iter().enumerate() {
            assert_eq!(reading.time, 1_567_606_196 + 10 * step as i64);
            let before = rows[step.saturating_sub(1)].1;
            assert!(
                Fault::ALL
                    .iter()
                    .all(|f| faults.contains(*f) || !before.contains(*f))
            );
        }
        for start in [100, 200, 300] {
            assert_eq!(rows[start].0.speed, rows[0].0.speed);
            assert_eq!(
                rows[start].0.battery_percentage,
                rows[0].0.battery_percentage
            );
        }
        assert!(rows[99].0.battery_percentage < rows[98].0.battery_percentage);
    }

    #[test]
    fn fleet_without_cars_ends() {
        assert_eq!(
            Fleet::new(FleetConfig {
                assets: 0,
                ..Default::default()
            })
            .next(),
            None
        );
    }
}
