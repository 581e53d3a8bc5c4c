//! The simulation against the published file, and the labels against the truth.

use super::*;
use crate::dataset::test_data;

/// Enough cars that the simulation's own scatter is small beside that of the 100 published ones.
const CARS: usize = 2000;

fn simulate(steps: usize) -> Vec<(CarReading, Faults)> {
    let config = FleetConfig {
        assets: CARS as u32,
        seed: 7,
        ..Default::default()
    };
    Fleet::new(config).take(CARS * steps).collect()
}

#[test]
fn derived_labels_equal_the_truth() {
    let rows = simulate(250);
    let mut labellers = vec![Labeller::default(); CARS];
    let mut blind = 0;
    for (i, (reading, truth)) in rows.iter().enumerate() {
        let derived = labellers[i % CARS].label(reading);
        let first_of_trip = (i / CARS).is_multiple_of(TRIP_STEPS.get() as usize);
        if first_of_trip && derived.with(Fault::Overheating) == *truth {
            blind += usize::from(derived != *truth);
        } else {
            assert_eq!(derived, *truth, "step {} of {}", i / CARS, reading.asset());
        }
    }
    // Three trip starts, each with 2000 cars of hazard 0.00225: about 4.5 at the first, 4 after.
    assert!(
        (1..40).contains(&blind),
        "{blind} overheatings began at a start of trip"
    );
}

#[test]
fn derived_labels_equal_the_published_ones() {
    let Some(data) = test_data() else { return };
    let (readings, labels) = (load_readings(&data).unwrap(), load_labels(&data).unwrap());
    assert_eq!((readings.len(), labels.len()), (10_000, 10_000));
    for number in 1..=100 {
        let car = |i: &usize| readings[*i].car == number;
        let rows: Vec<usize> = (0..readings.len()).filter(car).collect();
        let series: Vec<CarReading> = rows.iter().map(|i| readings[*i]).collect();
        let expected: Vec<Faults> = rows.iter().map(|i| labels[*i]).collect();
        assert_eq!(derive_labels(&series), expected, "car{number}");
    }
    assert_eq!(labels.iter().filter(|faults| faults.any()).count(), 9195);
}

/// The publisher wrote numbers below 1e-3 in another notation; there are 128 lines with such.
#[test]
fn published_readings_are_written_as_they_were_published() {
    let Some(data) = test_data() else { return };
    let file = std::fs::read_to_string(data.join("car-sensors/car-sensor-data.csv")).unwrap();
    let mut lines = file.lines();
    assert_eq!(lines.next(), Some(reading_csv_header().as_str()));
    let mut ours = Vec::new();
    for (reading, theirs) in load_readings(&data).unwrap().iter().zip(lines) {
        ours.clear();
        write_reading_csv(reading, &mut ours);
        if !theirs.contains("E-") {
            assert_eq!(std::str::from_utf8(&ours).unwrap().trim_end(), theirs);
        }
    }
    let labels = std::fs::read_to_string(data.join("car-sensors/car-sensor-labels.csv")).unwrap();
    assert_eq!(labels.lines().next(), Some(truth_csv_header().as_str()));
}

/// Cars at risk of a fault at a step, and onsets, over all steps.
fn onsets(labels: impl Iterator<Item = Faults>, cars: usize, fault: Fault) -> (f64, f64) {
    let mut failed = vec![false; cars];
    let (mut risk, mut onsets) = (0.0, 0.0);
    for (i, faults) in labels.enumerate() {
        if !failed[i % cars] {
            risk += 1.0;
            failed[i % cars] = faults.contains(fault);
            onsets += f64::from(u8::from(failed[i % cars]));
        }
    }
    (risk, onsets)
}

#[test]
fn each_fault_begins_as_often_as_in_the_published_file() {
    let Some(data) = test_data() else { return };
    let published = load_labels(&data).unwrap();
    let ours = simulate(100);
    for fault in Fault::ALL {
        let (risk, found) = onsets(published.iter().copied(), 100, fault);
        let (our_risk, our_found) = onsets(ours.iter().map(|(_, faults)| *faults), CARS, fault);
        let expected = risk * our_found / our_risk;
        let error = (found - expected) / expected.sqrt();
        println!(
            "{}: {found} published onsets, {expected:.1} by our rate",
            fault.name()
        );
        assert!(
            error.abs() < 3.0,
            "{}: {found} onsets, not {expected}",
            fault.name()
        );
    }
}

#[test]
fn faults_spread_as_in_the_published_file() {
    let rows = simulate(51);
    // Cars with any fault, of 100 published cars (README of the data set).
    for (step, published) in [(0, 0.11), (5, 0.53), (10, 0.73), (20, 0.90), (50, 1.0)] {
        let cars = &rows[step * CARS..(step + 1) * CARS];
        let share = cars.iter().filter(|(_, faults)| faults.any()).count() as f64 / CARS as f64;
        // One standard deviation of a share of 100 cars is at most 0.05.
        assert!(
            (share - published).abs() < 0.06,
            "step {step}: {share} against {published}"
        );
    }
}

#[test]
fn values_spread_as_in_the_published_file() {
    let Some(data) = test_data() else { return };
    let published = load_readings(&data).unwrap();
    let ours: Vec<CarReading> = simulate(100)
        .into_iter()
        .map(|(reading, _)| reading)
        .collect();
    for step in [0, 1, 20, 99] {
        let theirs = &published[step * 100..(step + 1) * 100];
        let ours = &ours[step * CARS..(step + 1) * CARS];
        for (i, signal) in CAR_SIGNALS.iter().enumerate() {
            let (mean, _) = moments(ours, i);
            let (expected, deviation) = moments(theirs, i);
            let error = (mean - expected) / (deviation / 10.0);
            assert!(
                error.abs() < 4.0,
                "{} at step {step}: {mean}, not {expected}",
                signal.name
            );
        }
    }
}

type Value = fn(&CarReading) -> f32;

/// A mean of 100 cars is too blunt for the bounds of a uniform start value; the extremes are not.
#[test]
fn start_values_fill_the_published_ranges() {
    let Some(data) = test_data() else { return };
    let published = load_readings(&data).unwrap();
    // An overheating car is already warmer at its first reading; no published one is.
    let cool = simulate(1)
        .into_iter()
        .filter(|(_, faults)| !faults.contains(Fault::Overheating));
    let ours: Vec<CarReading> = cool.map(|(reading, _)| reading).collect();
    let signals: [(&str, Value); 6] = [
        ("intake_air_temp", |r| r.intake_air_temp),
        ("intake_air_flow_speed", |r| r.intake_air_flow_speed),
        ("battery_percentage", |r| r.battery_percentage),
        ("throttle_pos", |r| r.throttle_pos),
        ("speed before", |r| {
            (r.speed - 7.77778 * r.throttle_pos) / 0.8
        }),
        ("coolant above intake", |r| {
            r.coolant_temp - r.intake_air_temp - 0.1 * r.current_draw
        }),
    ];
    for (name, of) in signals {
        let range = |readings: &[CarReading]| {
            let values = readings.iter().map(of);
            values.fold((f32::MAX, f32::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            })
        };
        // Of 100 uniform values the extremes are within 7 % of the bounds, but for one in 1400.
        let ((low, high), (least, most)) = (range(&ours), range(&published[..100]));
        let width = high - low;
        for gap in [(least - low) / width, (high - most) / width] {
            assert!(
                (-0.01..0.07).contains(&gap),
                "{name}: {low}..{high}, not {least}..{most}"
            );
        }
    }
}

fn moments(readings: &[CarReading], signal: usize) -> (f64, f64) {
    let values = readings
        .iter()
        .map(|reading| f64::from(reading.values()[signal]));
    let n = readings.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (
        mean,
        (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt(),
    )
}
