//! Drift with the real binary: references of versions, reports of stretches, what a running service tells.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forewarn_training::random::Random;
use serde_json::Value;
use support::served::{Served, WAIT};
use support::{
    Feeder, Pipeline, brokers, create_topic, equals_live, log_lines, micros, path, python,
    read_committed, root, run, run_ok, text,
};

/// The status of a run that found drift.
const DRIFTED: i32 = 11;
/// The status of a recipe that had no reason to be followed.
const NO_DRIFT: i32 = 12;
const ASSETS: usize = 60;
const STEPS: usize = 400;
/// From this one on a fleet is another one, where it changes.
const CHANGE: usize = 200;
/// 2023-11-14T22:13:20Z, in milliseconds.
const BEGIN: i64 = 1_700_000_000_000;
const STEP: i64 = 10_000;

/// A folder with pumps, their model and its configuration.
struct Plant {
    dir: tempfile::TempDir,
}

impl Plant {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_version(
            "tests/fixtures/models/plain/1",
            &dir.path().join("models/plain/1"),
        );
        let config = format!(
            "name = \"plant\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[source]\ntopic = \"pumps\"\n\
             event-time = {{ field = \"t\", unit = \"ms\" }}\n[sink]\npredictions = \"out\"\n\
             dead-letters = \"dead\"\nlate = \"late\"\n{}",
            sections(dir.path())
        );
        fs::write(dir.path().join("plant.toml"), config).unwrap();
        Plant { dir }
    }

    fn path(&self, name: &str) -> String {
        path(self.dir.path(), name)
    }

    /// Writes the readings of a fleet; gives the file.
    fn fleet(&self, name: &str, seed: u64, change: impl Fn(usize, usize) -> f64) -> String {
        let (mut lines, name) = (String::new(), self.path(name));
        for (asset, at, a, b) in readings(seed, change) {
            let _ = writeln!(
                lines,
                "{{\"asset\":\"pump-{seed}-{asset}\",\"t\":{at},\"a\":{a},\"b\":{b}}}"
            );
        }
        fs::write(&name, lines).unwrap();
        name
    }

    fn fit(&self, input: &str, more: &[&str]) -> std::process::Output {
        let config = self.path("plant.toml");
        let args = [
            "drift", "--config", &config, "--input", input, "--fit", "--model", "plain",
        ];
        run(&[&args, more].concat())
    }

    /// Status and report of the model.
    fn drift(&self, input: &str, more: &[&str]) -> (i32, Value) {
        let config = self.path("plant.toml");
        let args = [
            "drift", "--config", &config, "--input", input, "--output", "json",
        ];
        let (status, value) = reported(&[&args, more].concat());
        (status, value["models"][0].clone())
    }
}

fn copy_version(from: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["model.onnx", "golden.json"] {
        let from = root().join(from).join(name);
        if from.exists() {
            fs::copy(from, to.join(name)).unwrap();
        }
    }
}

/// Signals, view and model, whose score is (a² + b²) / 2.
fn sections(dir: &Path) -> String {
    format!(
        "[signals]\na = {{ unit = \"bar\" }}\nb = {{ unit = \"degC\" }}\n[views.v]\nfeatures = [\"*\"]\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"plain\"\nview = \"v\"\n",
        dir.join("models").display()
    )
}

/// Asset, time, `a` and `b` of all readings of a fleet, step by step. `a` is noise, moved by `change` of asset and step;
/// `b` is noise around a level that each pump has of its own.
fn readings(
    seed: u64,
    change: impl Fn(usize, usize) -> f64,
) -> impl Iterator<Item = (usize, i64, f64, f64)> {
    let mut noise: Vec<(Random, f64)> = (0..ASSETS as u64)
        .map(|asset| {
            let mut random = Random::new(seed, asset);
            let level = random.normal();
            (random, level)
        })
        .collect();
    let all = (0..STEPS).flat_map(|step| (0..ASSETS).map(move |asset| (step, asset)));
    all.map(move |(step, asset)| {
        let (random, level) = &mut noise[asset];
        let a = random.normal() + change(asset, step);
        let b = *level + 0.1 * random.normal();
        (asset, BEGIN + step as i64 * STEP, a, b)
    })
}

fn reported(args: &[&str]) -> (i32, Value) {
    let output = run(args);
    let printed = text(&output.stdout);
    let value = serde_json::from_str(&printed)
        .unwrap_or_else(|_| panic!("{printed}{}", text(&output.stderr)));
    (output.status.code().unwrap(), value)
}

fn psi(report: &Value, name: &str) -> f64 {
    let mut all = report["features"].as_array().unwrap().iter();
    let found = all.find(|of| of["name"] == name).unwrap();
    found["psi"].as_f64().unwrap()
}

/// Microseconds of a step.
fn at(step: usize) -> i64 {
    (BEGIN + step as i64 * STEP) * 1_000
}

#[test]
fn what_has_moved_is_named_and_since_when() {
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    let (status, told) = {
        let config = plant.path("plant.toml");
        let output = run(&["drift", "--config", &config, "--input", &training]);
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(status, Some(1));
    assert!(told.contains("plain 1 has no training reference"), "{told}");

    let fitted = plant.fit(&training, &["--output", "json"]);
    let told: Value = serde_json::from_slice(&fitted.stdout).unwrap();
    assert_eq!(
        (&told["rows"], &told["assets"]),
        (&24_000.into(), &60.into())
    );
    let file = PathBuf::from(plant.path("models/plain/1/reference.json"));
    let first = fs::read(&file).unwrap();
    let again = plant.fit(&training, &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already"));

    // The rows of training themselves are no distance at all.
    let (status, report) = plant.drift(&training, &[]);
    assert_eq!(
        (status, psi(&report, "a"), psi(&report, "b")),
        (0, 0.0, 0.0)
    );
    assert_eq!(
        (&report["score"]["psi"], &report["same_fleet"]),
        (&0.0.into(), &true.into())
    );

    // Another fleet: its pumps have other levels, which so few pumps may have by chance.
    let other = plant.fleet("other.jsonl", 2, |_, _| 0.0);
    let (status, report) = plant.drift(&other, &[]);
    assert_eq!(status, 0, "{report:#}");
    assert!(psi(&report, "a") < 0.01, "{report:#}");
    assert!(psi(&report, "b") > 0.1, "{report:#}");
    assert_eq!(report["fleet"], Value::Null);

    // All of it moves half-way.
    let moved = |asset: usize, step: usize| {
        let _ = asset;
        if step >= CHANGE { 2.0 } else { 0.0 }
    };
    let moved = plant.fleet("moved.jsonl", 2, moved);
    let (status, report) = plant.drift(&moved, &[]);
    assert_eq!(status, DRIFTED, "{report:#}");
    let first_feature = &report["features"][0];
    assert_eq!(
        (&first_feature["name"], &first_feature["verdict"]),
        (&"a".into(), &"large".into())
    );
    let shift = first_feature["shift"].as_f64().unwrap();
    assert!((shift - 1.0).abs() < 0.05, "{shift}");
    assert_eq!(report["score"]["verdict"], "large");
    let fleet = &report["fleet"];
    assert_eq!(fleet["direction"], "up");
    let (since, sure) = (
        micros(fleet["since"].as_str().unwrap()),
        micros(fleet["at"].as_str().unwrap()),
    );
    assert!(
        (at(CHANGE - 3)..=at(CHANGE + 1)).contains(&since),
        "{fleet}"
    );
    assert!(
        (at(CHANGE + 10)..at(CHANGE + 80)).contains(&sure),
        "{fleet}"
    );
    let changed = report["changed"].as_array().unwrap();
    assert!(changed.len() > ASSETS * 8 / 10, "{}", changed.len());
    // Before the change there was none.
    let until = micros_to_time(at(CHANGE));
    let (status, report) = plant.drift(&moved, &["--to", &until]);
    assert_eq!((status, &report["fleet"]), (0, &Value::Null));
    assert_eq!(report["rows"], (ASSETS * CHANGE) as u64);

    // A person is told the same.
    let config = plant.path("plant.toml");
    let told = run(&[
        "drift", "--config", &config, "--input", &moved, "--model", "plain@1",
    ]);
    assert_eq!(told.status.code(), Some(DRIFTED));
    let told = text(&told.stdout);
    assert!(
        told.contains("drift: beyond a PSI of 0.25: a, score"),
        "{told}"
    );
    assert!(
        told.contains("the mean score of the fleet has risen since 2023-11-14T22:4"),
        "{told}"
    );

    // Another reference only where it is asked for; then the moved fleet is what is usual.
    assert_eq!(fs::read(&file).unwrap(), first);
    assert!(plant.fit(&moved, &["--replace"]).status.success());
    let (status, report) = plant.drift(&moved, &[]);
    assert_eq!((status, psi(&report, "a")), (0, 0.0));
}

fn micros_to_time(micros: i64) -> String {
    forewarn_pipeline::prediction::EventTimestamp(micros).to_string()
}

#[test]
fn one_pump_that_changes_is_no_drift_and_is_named() {
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    assert!(plant.fit(&training, &[]).status.success());
    let change = |asset, step| {
        if asset == 7 && step >= CHANGE {
            3.0
        } else {
            0.0
        }
    };
    let one = plant.fleet("one.jsonl", 1, change);
    let (status, report) = plant.drift(&one, &[]);
    assert_eq!((status, &report["fleet"]), (0, &Value::Null), "{report:#}");
    assert_eq!(report["same_fleet"], true);
    let changed = report["changed"].as_array().unwrap();
    let names: Vec<&str> = changed
        .iter()
        .map(|of| of["asset"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pump-1-7"]);
    let since = micros(changed[0]["since"].as_str().unwrap());
    assert!(
        (at(CHANGE - 10)..=at(CHANGE + 2)).contains(&since),
        "{}",
        changed[0]
    );
}

#[test]
fn a_recipe_is_followed_only_when_something_has_drifted() {
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    assert!(plant.fit(&training, &[]).status.success());
    let moved = plant.fleet("moved.jsonl", 1, |_, _| 3.0);
    let recipe = plant.path("recipe.toml");
    let retrain = |trigger: &str, input: &str| {
        let text = format!(
            "model = \"plain\"\npipeline = \"plant.toml\"\nview = \"v\"\n[threshold]\nflags = 0.01\n\
             [trainer]\nkind = \"pca\"\nexplains = 1\nindex = \"t2\"\n{trigger}"
        );
        fs::write(&recipe, text).unwrap();
        let args = [
            "retrain", &recipe, "--input", input, "--output", "json", "--why", "drift",
        ];
        let (status, told) = reported(&args);
        let versions = fs::read_dir(plant.path("models/plain")).unwrap();
        (status, told, versions.count())
    };
    let (status, told, versions) = retrain("[trigger.drift]\n", &training);
    assert_eq!((status, versions), (NO_DRIFT, 1), "{told:#}");
    let trigger = &told["trigger"];
    assert_eq!(trigger["fires"], false);
    assert_eq!(trigger["drift"]["same_fleet"], true, "{trigger:#}");
    assert!(trigger["reason"].as_str().unwrap().contains("plain 1"));

    // One feature and the score have moved: not enough for a recipe that asks for three variables.
    let (status, told, versions) = retrain("[trigger.drift]\nvariables = 3\n", &moved);
    assert_eq!((status, versions), (NO_DRIFT, 1), "{told:#}");
    let (status, told, versions) = retrain("[trigger.drift]\n", &moved);
    assert!(told["report"].is_object(), "{told:#}");
    assert!(matches!(status, 0 | 10), "{status}");
    assert_eq!(versions, if status == 0 { 2 } else { 1 });

    // Nothing is known of a version without a reference: that is a reason.
    fs::remove_file(plant.path("models/plain/1/reference.json")).unwrap();
    let (status, told, _) = retrain("[trigger.drift]\n", &training);
    assert!(matches!(status, 0 | 10), "{status} {told:#}");
}

#[test]
fn a_reference_that_is_of_no_use_costs_no_score() {
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    let score = |name: &str| {
        let output = plant.path(name);
        let config = plant.path("plant.toml");
        run_ok(&[
            "score", "--config", &config, "--input", &training, "--output", &output,
        ]);
        fs::read(output).unwrap()
    };
    let without = score("without.csv");
    fs::write(
        plant.path("models/plain/1/reference.json"),
        "{\"format\":1}",
    )
    .unwrap();
    assert_eq!(score("damaged.csv"), without);
    let told = plant.fit(&training, &[]);
    assert!(text(&told.stderr).contains("is there already"));
    assert!(plant.fit(&training, &["--replace"]).status.success());
    assert_eq!(score("with.csv"), without);
}

/// The shipped configuration with a fleet of simulated cars, and the same with a sensor that has moved.
#[test]
fn another_fleet_of_cars_is_no_drift_and_a_moved_sensor_is_named_first() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| path(dir.path(), name);
    copy_version(
        "models/zoo/car-anomaly/1",
        &dir.path().join("models/car-anomaly/1"),
    );
    let config = fs::read_to_string(root().join("deploy/cars.toml")).unwrap();
    fs::write(of("cars.toml"), config.replace("../models/zoo", "models")).unwrap();
    for (name, cars, seed) in [("training.jsonl", "1500", "1"), ("live.jsonl", "500", "2")] {
        run_ok(&[
            "feed",
            "cars",
            "--assets",
            cars,
            "--steps",
            "40",
            "--seed",
            seed,
            "--output",
            &of(name),
        ]);
    }
    let config = of("cars.toml");
    let args = [
        "drift",
        "--config",
        &config,
        "--model",
        "car-anomaly",
        "--input",
    ];
    run_ok(&[&args[..], &[&of("training.jsonl"), "--fit"]].concat());
    let (status, told) = reported(&[&args[..], &[&of("live.jsonl"), "--output", "json"]].concat());
    assert_eq!(status, 0, "{told:#}");
    assert_eq!(told["drifted"], false);
    assert_eq!(told["models"][0]["rows"], 20_000);

    let moved: String = fs::read_to_string(of("live.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let mut reading: Value = serde_json::from_str(line).unwrap();
            let voltage = reading["battery_voltage"].as_f64().unwrap();
            reading["battery_voltage"] = (voltage + 25.0).into();
            format!("{reading}\n")
        })
        .collect();
    fs::write(of("moved.jsonl"), moved).unwrap();
    let (status, told) = reported(&[&args[..], &[&of("moved.jsonl"), "--output", "json"]].concat());
    assert_eq!(status, DRIFTED);
    assert_eq!(
        told["models"][0]["features"][0]["name"], "battery_voltage",
        "{told:#}"
    );
}

#[test]
fn a_service_tells_drift_of_what_it_serves_and_serves_the_same() {
    let Some(brokers) = brokers() else { return };
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    assert!(plant.fit(&training, &[]).status.success());
    let watched = "[models.drift]\nwindow-rows = 4000\nwindow-lasts = \"1s\"\n";
    let service =
        "[delivery]\ninstance = \"one\"\n[service]\nhttp = \"127.0.0.1:0\"\nworkers = 2\n";
    let toml = sections(plant.dir.path()) + watched + service;
    let source = "event-time = { field = \"t\", unit = \"ms\" }";
    let pipeline = Pipeline::new("drift", &brokers, source, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let mut fed = 0;
    let mut feed = |seed: u64, moved: f64| {
        for (asset, at, a, b) in readings(seed, |_, _| moved) {
            let key = format!("pump-1-{asset}");
            let payload = format!("{{\"t\":{at},\"a\":{a},\"b\":{b}}}");
            feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), None);
        }
        feeder.flush();
        fed += ASSETS * STEPS;
        fed
    };
    let of = |name: &str, kind: &str, variable: &str| {
        format!(
            "forewarn_drift_{name}{{model=\"plain\",version=\"1\",kind=\"{kind}\",name=\"{variable}\"}}"
        )
    };
    let windows = "forewarn_drift_windows_total{model=\"plain\",version=\"1\"}";
    let up = "forewarn_drift_changes_total{model=\"plain\",version=\"1\",direction=\"up\"}";
    // As in training, of the same pumps, until a window is over.
    let deadline = Instant::now() + WAIT;
    while served.metric(windows) < 1.0 {
        feed(1, 0.0);
        assert!(Instant::now() < deadline, "no window is over");
        std::thread::sleep(Duration::from_millis(300));
    }
    for (kind, name) in [("feature", "a"), ("feature", "b"), ("score", "score")] {
        let (psi, chance) = (
            served.metric(&of("psi", kind, name)),
            served.metric(&of("chance", kind, name)),
        );
        // A window that ends amid a burst, or while partitions move, has more rows of some pumps than of others. Chance
        // takes account of it: `b` is a level of each pump, `a` is alike for all.
        let most = if name == "a" { 0.02 } else { 1.0 };
        assert!(
            psi < chance.max(0.02) && chance > 0.0 && chance < most,
            "{name} {psi} {chance}"
        );
    }
    assert_eq!(served.metric(up), 0.0);
    // Then all pumps have moved.
    let deadline = Instant::now() + WAIT;
    while served.metric(&of("psi", "feature", "a")) < 1.0 || served.metric(up) < 1.0 {
        feed(1, 3.0);
        assert!(Instant::now() < deadline, "{}", served.get("/metrics").1);
        std::thread::sleep(Duration::from_millis(300));
    }
    let shift = served.metric(&of("shift", "feature", "a"));
    assert!(shift > 1.0 && shift < 3.2, "{shift}");
    assert!(served.metric(&of("ks", "feature", "a")) > 0.3);
    let (psi, chance) = (
        served.metric(&of("psi", "feature", "b")),
        served.metric(&of("chance", "feature", "b")),
    );
    assert!(
        psi < chance.max(0.02),
        "b has not moved: {psi}, chance {chance}"
    );
    let fed = feed(1, 3.0);
    let records = read_committed(&brokers, &pipeline.predictions, fed, WAIT);
    assert_eq!(records.len(), fed);
    let log = served.log.clone();
    assert!(served.running.terminate().success());
    let lines = log_lines(&log);
    let said = |words: &str, psi: &str| {
        let told = lines.iter().filter(|line| line["level"] == "WARN");
        let told = told.map(|line| &line["fields"]);
        let told = told.filter(|of| of["message"].as_str().unwrap().starts_with(words));
        told.filter(|of| of["psi"].as_str().unwrap_or_default().contains(psi))
            .count()
    };
    assert_eq!(said("not as in training any more", "a "), 1, "said once");
    assert_eq!(said("the mean of the scores has left", ""), 1);
    // What was published is what the log gives without any of it.
    fs::remove_file(plant.path("models/plain/1/reference.json")).unwrap();
    equals_live(&pipeline.config, &records);

    // Without a reference, and where it is switched off, nothing is told of drift.
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    feed(1, 0.0);
    served.await_metric("forewarn_predictions_total", (ASSETS * STEPS) as f64);
    assert!(!served.get("/metrics").1.contains("forewarn_drift_psi{"));
    assert!(served.running.terminate().success());
    assert!(plant.fit(&training, &[]).status.success());
    let off = fs::read_to_string(&pipeline.config).unwrap();
    let off = off.replace("[models.drift]\n", "[models.drift]\nwatch = false\n");
    fs::write(&pipeline.config, off).unwrap();
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    feed(1, 3.0);
    served.await_metric("forewarn_predictions_total", (ASSETS * STEPS) as f64);
    assert!(
        !served
            .get("/metrics")
            .1
            .contains("forewarn_drift_windows_total{")
    );
    assert!(served.running.terminate().success());
}

#[test]
fn the_figures_are_those_that_python_finds() {
    let Some(python) = python() else { return };
    let plant = Plant::new();
    let training = plant.fleet("training.jsonl", 1, |_, _| 0.0);
    let live = plant.fleet("live.jsonl", 2, |asset, _| asset as f64 * 0.02 - 0.3);
    assert!(plant.fit(&training, &[]).status.success());
    let (_, report) = plant.drift(&live, &[]);
    let script = root().join("tests/reference/drift.py");
    let output = std::process::Command::new(python)
        .arg(script)
        .args([&training, &live, "a", "b"])
        .output()
        .unwrap();
    let told = text(&output.stdout);
    let expected: Value =
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{}", text(&output.stderr)));
    for feature in report["features"].as_array().unwrap() {
        let name = feature["name"].as_str().unwrap();
        // Wilson and Hilferty's quantile is an approximation; all else is the same sum in another order.
        for (figure, within) in [
            ("psi", 1e-9),
            ("ks", 1e-9),
            ("shift", 1e-6),
            ("effective", 1e-3),
            ("ks_p", 1e-6),
            ("chance", 0.01),
        ] {
            let (ours, theirs) = (&feature[figure], &expected[name][figure]);
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            let apart = (ours - theirs).abs() / (1.0 + theirs.abs());
            assert!(
                apart < within,
                "{name} {figure}: {ours}, in Python {theirs}"
            );
        }
    }
    let psi_of_a = psi(&report, "a");
    assert!(psi_of_a > 0.05 && psi_of_a < 0.5, "{psi_of_a}");
}
