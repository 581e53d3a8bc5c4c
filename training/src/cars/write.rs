//! Readings and truth as JSON (for Kafka) and as CSV (the published files).
//!
//! The writers have to keep up with 100,000 readings a second beside Kafka, so they append to a
//! buffer of the caller and allocate nothing once it has grown. Floats are the shortest text which
//! reads back as the same `f32`, e.g. `39.395103`; all of them are finite, by the simulation and by
//! the reader of the published file.
//!
//! ```text
//!   {"time":1567606196,"car":"car1","coolant_temp":39.395103, ... ,"control_unit_firmware":2000}
//!   {"time":1567606196,"car":"car1","tire_1_1":0, ... ,"firmware":0,"failure_occurred":false}
//! ```

use std::sync::LazyLock;

use super::{CAR_SIGNALS, CarReading, Fault, Faults};
use crate::dataset::SignalKind;

/// `,"name":` of every signal: one copy per key instead of three, a tenth of the time of a reading.
static SIGNAL_KEYS: LazyLock<[String; 18]> =
    LazyLock::new(|| CAR_SIGNALS.map(|s| json_key(s.name)));
static FAULT_KEYS: LazyLock<[String; 11]> =
    LazyLock::new(|| Fault::ALL.map(|f| json_key(f.name())));

/// The header of the reading CSV, without line end: `time,car,coolant_temp,...`.
pub fn reading_csv_header() -> String {
    let names = CAR_SIGNALS.iter().map(|signal| signal.name);
    ["time", "car"]
        .into_iter()
        .chain(names)
        .collect::<Vec<_>>()
        .join(",")
}

/// The header of the truth CSV, without line end: `time,car,tire_1_1,...,failure_occurred`.
pub fn truth_csv_header() -> String {
    let names = Fault::ALL
        .into_iter()
        .map(Fault::name)
        .chain(["failure_occurred"]);
    ["time", "car"]
        .into_iter()
        .chain(names)
        .collect::<Vec<_>>()
        .join(",")
}

/// Appends a reading as one JSON object, without line end.
pub fn write_json(reading: &CarReading, out: &mut Vec<u8>) {
    json_start(reading, out);
    let signals = CAR_SIGNALS.iter().zip(&*SIGNAL_KEYS);
    for ((signal, key), value) in signals.zip(reading.values()) {
        out.extend_from_slice(key.as_bytes());
        number(signal.kind, value, out);
    }
    out.push(b'}');
}

/// Appends the truth on a reading as one JSON object, without line end.
pub fn write_truth_json(reading: &CarReading, faults: Faults, out: &mut Vec<u8>) {
    json_start(reading, out);
    for (flag, key) in faults.flags().into_iter().zip(&*FAULT_KEYS) {
        out.extend_from_slice(key.as_bytes());
        out.push(digit(flag));
    }
    out.extend_from_slice(b",\"failure_occurred\":");
    out.extend_from_slice(truth_word(faults));
    out.push(b'}');
}

/// Appends a reading as one CSV line, with line end.
pub fn write_reading_csv(reading: &CarReading, out: &mut Vec<u8>) {
    csv_start(reading, out);
    for (signal, value) in CAR_SIGNALS.iter().zip(reading.values()) {
        out.push(b',');
        number(signal.kind, value, out);
    }
    out.push(b'\n');
}

/// Appends the truth on a reading as one CSV line, with line end.
pub fn write_truth_csv(reading: &CarReading, faults: Faults, out: &mut Vec<u8>) {
    csv_start(reading, out);
    for flag in faults.flags() {
        out.extend_from_slice(&[b',', digit(flag)]);
    }
    out.push(b',');
    out.extend_from_slice(truth_word(faults));
    out.push(b'\n');
}

fn json_start(reading: &CarReading, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":");
    integer(reading.time, out);
    out.extend_from_slice(b",\"car\":\"car");
    integer(reading.car, out);
    out.push(b'"');
}

fn json_key(name: &str) -> String {
    format!(",\"{name}\":")
}

fn csv_start(reading: &CarReading, out: &mut Vec<u8>) {
    integer(reading.time, out);
    out.extend_from_slice(b",car");
    integer(reading.car, out);
}

/// Integer signals pass through `f32` without loss: pressures and firmwares are far below 2^24.
fn number(kind: SignalKind, value: f32, out: &mut Vec<u8>) {
    match kind {
        SignalKind::Integer => integer(value as i32, out),
        SignalKind::Float => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
    }
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

const fn digit(flag: bool) -> u8 {
    if flag { b'1' } else { b'0' }
}

const fn truth_word(faults: Faults) -> &'static [u8] {
    if faults.any() { b"true" } else { b"false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: CarReading = CarReading {
        time: 1_567_606_196,
        car: 1,
        coolant_temp: 39.395103,
        intake_air_temp: 34.53991,
        intake_air_flow_speed: 123.317406,
        battery_percentage: 0.82654595,
        battery_voltage: 246.12367,
        current_draw: 0.6586535,
        speed: 24.934872,
        engine_vibration_amplitude: 2493.487,
        throttle_pos: 0.034893095,
        tire_pressure: [32, 31, 34, 34],
        accelerometer: [0.5295712, 0.9600553, 0.88389874, 0.043890715],
        control_unit_firmware: 2000,
    };

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reading_is_one_json_object_in_file_order() {
        let expected = concat!(
            r#"{"time":1567606196,"car":"car1","coolant_temp":39.395103,"#,
            r#""intake_air_temp":34.53991,"intake_air_flow_speed":123.317406,"#,
            r#""battery_percentage":0.82654595,"battery_voltage":246.12367,"#,
            r#""current_draw":0.6586535,"speed":24.934872,"#,
            r#""engine_vibration_amplitude":2493.487,"throttle_pos":0.034893095,"#,
            r#""tire_pressure_1_1":32,"tire_pressure_1_2":31,"#,
            r#""tire_pressure_2_1":34,"tire_pressure_2_2":34,"#,
            r#""accelerometer_1_1_value":0.5295712,"accelerometer_1_2_value":0.9600553,"#,
            r#""accelerometer_2_1_value":0.88389874,"accelerometer_2_2_value":0.043890715,"#,
            r#""control_unit_firmware":2000}"#,
        );
        assert_eq!(text(|out| write_json(&READING, out)), expected);
    }

    #[test]
    fn reading_is_the_first_published_csv_line() {
        let expected = "1567606196,car1,39.395103,34.53991,123.317406,0.82654595,246.12367,\
                        0.6586535,24.934872,2493.487,0.034893095,32,31,34,34,0.5295712,0.9600553,\
                        0.88389874,0.043890715,2000\n";
        assert_eq!(text(|out| write_reading_csv(&READING, out)), expected);
    }

    #[test]
    fn truth_names_each_fault() {
        let faults = Faults::NONE.with(Fault::Tire12).with(Fault::Firmware);
        let json = text(|out| write_truth_json(&READING, faults, out));
        let expected = concat!(
            r#"{"time":1567606196,"car":"car1","tire_1_1":0,"tire_1_2":1,"tire_2_1":0,"#,
            r#""tire_2_2":0,"shock_1_1":0,"shock_1_2":0,"shock_2_1":0,"shock_2_2":0,"#,
            r#""drive_shaft":0,"overheating":0,"firmware":1,"failure_occurred":true}"#,
        );
        assert_eq!(json, expected);
        let csv = text(|out| write_truth_csv(&READING, Faults::NONE, out));
        assert_eq!(csv, "1567606196,car1,0,0,0,0,0,0,0,0,0,0,0,false\n");
    }
}
