//! The SQL of a view says the same in Python: polars there, over the replayed readings and windows that it
//! cuts itself, gives the numbers that the pipeline gave.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{path, python, root, run_ok, text};

const CARS: usize = 60;
const STEPS: usize = 80;

/// Added to the cars' own configuration: each kind of window, with aggregates of each kind. Covariances are of
/// signals that never stand still: of others they are rounding and nothing else, which no two builds share.
const VIEWS: &str = r#"
[event-time]
out-of-orderness = "30s"

[views.rows]
features = [
  "speed",
  "coolant_temp - intake_air_temp AS rise",
  "battery_voltage * current_draw / 1000 AS power",
  "tire_pressure_1_1 + tire_pressure_1_2 + tire_pressure_2_1 + tire_pressure_2_2 AS tires",
  "SQRT(accelerometer_1_1_value * accelerometer_1_1_value + accelerometer_2_2_value * accelerometer_2_2_value) AS shake",
  "CASE WHEN speed > 20 THEN current_draw / speed ELSE 0 END AS draw_at_speed",
  "COALESCE(speed, -1) AS speed_or_none",
  "throttle_pos > 0.5 AS pressed",
  "0.1 AS one_value_for_all",
]

[views.minute]
window = { tumbling = "1m" }
features = [
  "AVG(coolant_temp) AS mean",
  "MIN(coolant_temp) AS low",
  "MAX(coolant_temp) AS high",
  "STDDEV(coolant_temp) AS spread",
  "FIRST(speed) AS first",
  "LAST(speed) AS last",
  "AVG(speed) AS speed",
  "COUNT(speed) AS speeds",
  "COUNT(*) AS rows",
  "SUM(current_draw) AS drawn",
  "QUANTILE_CONT(battery_voltage, 0.9) AS p90",
  "MEDIAN(battery_voltage) AS median",
  "COVAR_SAMP(coolant_temp, event_time) AS together",
  "COVAR_SAMP(coolant_temp, event_time) / VARIANCE(event_time) AS slope",
  "(LAST(coolant_temp) - FIRST(coolant_temp)) / (MAX(event_time) - MIN(event_time)) AS rate",
  "AVG(engine_vibration_amplitude * engine_vibration_amplitude) AS energy",
  "MAX(ABS(engine_vibration_amplitude)) AS peak",
  "SUM(CASE WHEN throttle_pos > 0.5 THEN 1 ELSE 0 END) AS pressed",
  "AVG(current_draw) FILTER (WHERE speed > 20) AS draw_at_speed",
  "MIN(event_time) AS begun",
]

[views.overlapping]
window = { hopping = "2m", every = "30s" }
features = [
  "AVG(engine_vibration_amplitude) AS mean",
  "STDDEV(engine_vibration_amplitude) AS spread",
  "COVAR_SAMP(coolant_temp, event_time) / VARIANCE(event_time) AS slope",
  "MAX(speed) - MIN(speed) AS range",
  "QUANTILE_CONT(current_draw, 0.25) AS p25",
  "LAST(battery_percentage) AS battery",
  "COUNT(*) AS rows",
]

[views.drive]
window = { session = "30s" }
features = [
  "AVG(speed) AS speed",
  "STDDEV(speed) AS spread",
  "MAX(event_time) AS lasted",
  "LAST(battery_percentage) - FIRST(battery_percentage) AS charged",
  "COVAR_SAMP(battery_percentage, event_time) / VARIANCE(event_time) AS slope",
  "MEDIAN(coolant_temp) AS median",
  "COUNT(*) AS rows",
]

[views.seven]
window = { count = 7, every = 3 }
features = [
  "AVG(coolant_temp) AS mean",
  "STDDEV(coolant_temp) AS spread",
  "LAST(coolant_temp) - FIRST(coolant_temp) AS rise",
  "COVAR_SAMP(coolant_temp, event_time) / VARIANCE(event_time) AS slope",
  "MAX(event_time) AS lasted",
  "COUNT(speed) AS speeds",
]

[views.crest]
from = "minute"
features = ["peak / SQRT(energy) AS crest", "rate"]

[views.five_minutes]
from = "minute"
window = { tumbling = "5m" }
features = [
  "AVG(mean) AS mean",
  "STDDEV(mean) AS spread",
  "MAX(peak) AS peak",
  "SQRT(AVG(energy)) AS rms",
  "SUM(rows) AS rows",
  "COUNT(rate) AS rates",
  "LAST(high) - FIRST(low) AS rise",
  "COVAR_SAMP(mean, event_time) / VARIANCE(event_time) AS slope",
  "MAX(event_time) AS last",
]
"#;

const NAMES: [&str; 7] = [
    "rows",
    "minute",
    "overlapping",
    "drive",
    "seven",
    "crest",
    "five_minutes",
];

#[test]
fn the_sql_of_views_gives_the_same_numbers_in_python() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (config, readings) = (
        path(dir.path(), "cars.toml"),
        path(dir.path(), "readings.csv"),
    );
    std::fs::write(&config, configuration()).unwrap();
    write_readings(dir.path(), &readings);
    let replay = |view: &str| {
        let output = path(dir.path(), &format!("{view}.parquet"));
        run_ok(&[
            "replay", "--config", &config, "--input", &readings, "--view", view, "--output",
            &output,
        ]);
        output
    };
    let all = replay("car");
    let replays = NAMES.map(|view| format!("{view}={}", replay(view)));

    let output = Command::new(python)
        .arg(root().join("tests/reference/view_features.py"))
        .args(["--config", &config, "--readings", &all])
        .args(replays)
        .output()
        .unwrap();
    let told = text(&output.stdout);
    print!("{told}");
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
}

fn configuration() -> String {
    let shipped = std::fs::read_to_string(root().join("deploy/cars.toml")).unwrap();
    let changed = shipped
        .replace(
            "speed = { unit = \"m/s\" }",
            "speed = { unit = \"m/s\", missing = \"no-score\" }",
        )
        .replace("../models/zoo", root().join("models/zoo").to_str().unwrap());
    assert!(changed.contains("no-score"), "speeds may be missing");
    changed + VIEWS
}

/// Simulated cars, made harder: no two clocks agree, the one of every tenth car is on the edges of windows;
/// readings and values are missing; each second step arrives before the one that it follows.
fn write_readings(dir: &Path, file: &str) {
    let plain = path(dir, "plain.csv");
    let (cars, steps) = (CARS.to_string(), STEPS.to_string());
    run_ok(&[
        "feed", "cars", "--assets", &cars, "--steps", &steps, "--output", &plain,
    ]);
    let plain = std::fs::read_to_string(plain).unwrap();
    let mut lines = plain.lines();
    let header = lines.next().unwrap();
    let fields: Vec<&str> = header.split(',').collect();
    let place = |name: &str| fields.iter().position(|field| *field == name).unwrap();
    let (time, speed) = (place("time"), place("speed"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), CARS * STEPS);

    let mut changed = vec![header.to_owned()];
    for step in (0..STEPS).map(|step| step ^ 1) {
        for car in (0..CARS).filter(|car| !is_lost(*car, step)) {
            let line = lines[step * CARS + car];
            let mut values: Vec<String> = line.split(',').map(str::to_owned).collect();
            let at: usize = values[time].parse().unwrap();
            values[time] = (at + car % 10).to_string();
            // The fifth car has no speed at all, so some windows have no value.
            if car == 5 || (step * CARS + car).is_multiple_of(11) {
                values[speed].clear();
            }
            changed.push(values.join(","));
        }
    }
    std::fs::write(file, changed.join("\n") + "\n").unwrap();
}

/// One reading lost leaves a session whole. Two leave readings exactly its gap of 30 s apart, which are two
/// sessions, and so do many.
fn is_lost(car: usize, step: usize) -> bool {
    let one = (step + car) % 17 == 3;
    let two = (5..7).contains(&((step + 3 * car) % 23));
    let many = (9..15).contains(&((step + 5 * car) % 31));
    one || two || many
}
