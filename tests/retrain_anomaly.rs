//! `forewarn retrain` for models of anomalies, with the binary: one for a fleet, one for each asset, with labels and without;
//! and the Skoltech Anomaly Benchmark by its protocol.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use forewarn_training::random::Random;
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use serde_json::Value;
use support::{check_graph, copy_folder, data, path, root, run, run_ok, text};

const NOT_BETTER: i32 = 10;

/// Runs a recipe over readings; gives its status, and what it prints as JSON.
fn retrain(dir: &Path, recipe: &str, more: &[&str]) -> (i32, Value) {
    let (recipe, input) = (path(dir, recipe), path(dir, "readings.jsonl"));
    let mut args = vec!["retrain", &recipe, "--input", &input, "--output", "json"];
    args.extend(more);
    let output = run(&args);
    let printed = text(&output.stdout);
    let value = serde_json::from_str(&printed)
        .unwrap_or_else(|_| panic!("{printed}{}", text(&output.stderr)));
    (output.status.code().unwrap(), value)
}

/// What `forewarn score` says of the readings in a folder.
fn scores(dir: &Path, config: &str) -> DataFrame {
    let (config, input) = (path(dir, config), path(dir, "readings.jsonl"));
    let output = path(dir, "scores.parquet");
    let _ = fs::remove_file(&output);
    run_ok(&[
        "score", "--config", &config, "--input", &input, "--output", &output,
    ]);
    let file = fs::File::open(&output).unwrap();
    ParquetReader::new(file).finish().unwrap()
}

/// Asset, event time in milliseconds and flag of each scored row.
fn flags(scores: &DataFrame) -> Vec<(String, i64, bool)> {
    let column = |name: &str| scores.column(name).unwrap().clone();
    let (assets, times, flags) = (column("asset"), column("event_time"), column("anomalous"));
    let times = times.cast(&polars::prelude::DataType::Int64).unwrap();
    let rows = assets
        .str()
        .unwrap()
        .iter()
        .zip(times.i64().unwrap().iter());
    rows.zip(flags.bool().unwrap().iter())
        .filter_map(|((asset, time), flag)| Some((asset?.to_owned(), time? / 1_000, flag?)))
        .collect()
}

/// Point-wise counts: flagged rightly, flagged wrongly, missed, left alone rightly.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    tp: u64,
    fp: u64,
    missed: u64,
    tn: u64,
}

impl Counts {
    fn add(&mut self, flagged: bool, truth: bool) {
        *match (flagged, truth) {
            (true, true) => &mut self.tp,
            (true, false) => &mut self.fp,
            (false, true) => &mut self.missed,
            (false, false) => &mut self.tn,
        } += 1;
    }

    fn f1(&self) -> f64 {
        2.0 * self.tp as f64 / (2 * self.tp + self.fp + self.missed) as f64
    }

    fn false_alarm_rate(&self) -> f64 {
        self.fp as f64 / (self.fp + self.tn) as f64
    }
}

/// A folder with 300 simulated cars, when their faults began, and the shipped pipeline with a repository of its own.
fn cars() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(root().join("deploy/cars.toml")).unwrap();
    let own = config.replace("../models/zoo", "models");
    assert_ne!(own, config);
    fs::write(dir.path().join("cars.toml"), own).unwrap();
    let (readings, faults) = (
        path(dir.path(), "readings.jsonl"),
        path(dir.path(), "faults.csv"),
    );
    run_ok(&[
        "feed",
        "cars",
        "--assets",
        "300",
        "--steps",
        "60",
        "--seed",
        "5",
        "--output",
        &readings,
        "--failures",
        &faults,
    ]);
    dir
}

fn car_recipe(trainer: &str, more: &str) -> String {
    format!(
        "model = \"car-anomaly\"\npipeline = \"cars.toml\"\nview = \"car\"\n[labels]\nfailures = \"faults.csv\"\n\
         [judge]\nassets = [\"car1?\", \"car2??\"]\n[threshold]\nflags = 0.01\n[trainer]\n{trainer}\n{more}"
    )
}

#[test]
fn what_is_reported_of_a_fleet_is_what_the_new_version_says_of_it() {
    let dir = cars();
    let recipe = dir.path().join("recipe.toml");
    fs::write(&recipe, car_recipe("kind = \"pca\"", "")).unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &["--promote"]);
    assert_eq!(status, 0, "{told:#}");
    let report = &told["report"];
    assert!(
        report["reason"]
            .as_str()
            .unwrap()
            .contains("this is the first one")
    );
    assert!(report["trainer_difference"].as_f64().unwrap() < 1e-4);
    check_graph(&dir.path().join("models/car-anomaly/1/model.onnx"));

    // The same counts from the table of scores and the file of faults, by hand.
    let faults = fs::read_to_string(dir.path().join("faults.csv")).unwrap();
    let mut begins: BTreeMap<&str, i64> = BTreeMap::new();
    for line in faults.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let begin = begins.entry(fields[0]).or_insert(i64::MAX);
        *begin = fields[1].parse::<i64>().unwrap().min(*begin);
    }
    let is_judged = |asset: &str| {
        (asset.len() == 5 && asset.starts_with("car1"))
            || (asset.len() == 6 && asset.starts_with("car2"))
    };
    let mut counts = Counts::default();
    for (asset, time, flagged) in flags(&scores(dir.path(), "cars.toml")) {
        if is_judged(&asset) {
            let truth = begins
                .get(asset.as_str())
                .is_some_and(|begin| time >= *begin);
            counts.add(flagged, truth);
        }
    }
    let rows = &report["figures"]["rows"];
    let told_counts = ["tp", "fp", "fn", "tn"].map(|name| rows[name].as_u64().unwrap());
    assert_eq!(
        told_counts,
        [counts.tp, counts.fp, counts.missed, counts.tn],
        "{rows:#}"
    );
    // 110 cars for 60 steps, and most faults are visible in one reading.
    assert_eq!(told_counts.iter().sum::<u64>(), 110 * 60);
    assert!(
        counts.f1() > 0.8 && counts.false_alarm_rate() < 0.05,
        "{counts:?}"
    );
    let kinds: BTreeSet<&str> = report["by_kind"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}");

    // A worse one is not added; a better one is judged beside it on the same rows.
    fs::write(&recipe, car_recipe("kind = \"pca\"\nexplains = 0.2", "")).unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, NOT_BETTER, "{told:#}");
    assert_eq!(told["added"], Value::Array(Vec::new()));
    assert_eq!(told["report"]["champion"]["figures"], report["figures"]);
    let network = "kind = \"autoencoder\"\nhidden = [32, 7, 32]\n[trainer.learning]\nsteps = 1500\nround = 500";
    fs::write(&recipe, car_recipe(network, "")).unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &["--why", "a network"]);
    let losses = told["report"]["models"][0]["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 3);
    assert!(losses[2].as_f64() < losses[0].as_f64(), "{losses:?}");
    let compared = &told["report"]["compared"];
    let is_better = compared["high"].as_f64().unwrap() < 0.0;
    assert_eq!(status, if is_better { 0 } else { NOT_BETTER }, "{told:#}");
    assert_eq!(
        compared["champion"].as_f64().unwrap(),
        1.0 - report["figures"]["f1"].as_f64().unwrap()
    );
}

#[test]
fn a_shipped_model_is_the_champion_that_a_recipe_must_beat() {
    let dir = cars();
    copy_folder(
        &root().join("models/zoo/car-anomaly/1"),
        &dir.path().join("models/car-anomaly/1"),
    );
    fs::write(
        dir.path().join("recipe.toml"),
        car_recipe("kind = \"pca\"\nexplains = 0.3", ""),
    )
    .unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, NOT_BETTER, "{told:#}");
    let reason = told["report"]["reason"].as_str().unwrap();
    assert!(reason.contains("1 - F1"), "{reason}");
    assert_eq!(told["report"]["champion"]["version"], 1);
    let card = fs::read_to_string(told["card"].as_str().unwrap()).unwrap();
    assert!(
        card.contains("champion, version 1") && card.contains("| overheating |"),
        "{card}"
    );
}

/// Two pumps of another make each, which are well, and one of which breaks at the end.
fn pumps() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut readings = String::new();
    let mut random = Random::new(3, 0);
    for second in 0..600_i64 {
        for (pump, level) in [("a", 10.0), ("b", 50.0), ("c", 90.0)] {
            if pump == "c" && second < 590 {
                continue;
            }
            let load = random.normal();
            let flow = if pump == "b" && second >= 550 {
                -load
            } else {
                load
            };
            let _ = writeln!(
                readings,
                "{{\"asset\":\"pump-{pump}\",\"time\":{},\"pressure\":{},\"flow\":{}}}",
                second * 1_000,
                level + load + 0.1 * random.normal(),
                5.0 + 0.5 * flow + 0.05 * random.normal()
            );
        }
    }
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("readings.jsonl", &readings);
    write(
        "faults.csv",
        "asset,time,kind,until\npump-b,550000,valve,600000\n",
    );
    write(
        "plant.toml",
        "name = \"plant\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[source]\ntopic = \"pumps\"\n\
         event-time = { field = \"time\", unit = \"ms\" }\n[signals]\npressure = { unit = \"bar\" }\n\
         flow = { unit = \"l/min\" }\n[views.pump]\nfeatures = [\"*\"]\n[models]\nrepository = \"models\"\n\
         [[models.serve]]\nname = \"{asset}-state\"\nview = \"pump\"\n[sink]\npredictions = \"out\"\ndead-letters = \"dead\"\n\
         late = \"late\"\n",
    );
    dir
}

const OWN: &str = "model = \"{asset}-state\"\npipeline = \"plant.toml\"\nview = \"pump\"\n[split]\n\
    time = { learn = 300, calibrate = 200 }\n[threshold]\nflags = 0.01\n[gate]\nassets = 2\n[trainer]\nkind = \"pca\"\nexplains = 1\nindex = \"t2\"\n";

#[test]
fn each_asset_has_a_model_of_its_own_rows() {
    let dir = pumps();
    let labels = "[labels]\nfailures = \"faults.csv\"\n";
    fs::write(dir.path().join("recipe.toml"), format!("{OWN}{labels}")).unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, 0, "{told:#}");
    let names: Vec<&str> = told["added"]
        .as_array()
        .unwrap()
        .iter()
        .map(|added| added["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pump-a-state", "pump-b-state"]);
    let report = &told["report"];
    assert_eq!(
        report["left_out"][0][0], "pump-c",
        "it has ten rows: {report:#}"
    );
    let figures = &report["figures"];
    assert_eq!(
        (&figures["episodes"], &figures["detected"]),
        (&1.into(), &1.into())
    );
    assert!(figures["recall"].as_f64().unwrap() > 0.7, "{figures:#}");
    assert!(
        figures["false_alarm_rate"].as_f64().unwrap() < 0.06,
        "{figures:#}"
    );
    // Each is served for its own asset.
    let flags = flags(&scores(dir.path(), "plant.toml"));
    let flagged = |asset: &str| {
        flags
            .iter()
            .filter(|(of, _, flagged)| of == asset && *flagged)
            .count()
    };
    assert!(
        flagged("pump-b") > 35 && flagged("pump-a") < 25,
        "{} {}",
        flagged("pump-b"),
        flagged("pump-a")
    );
    assert!(
        flags.iter().all(|(asset, ..)| asset != "pump-c"),
        "it has no model"
    );

    // The same night again: equal, so nothing is added.
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, NOT_BETTER, "{told:#}");
    assert_eq!(told["report"]["compared"]["difference"].as_f64(), Some(0.0));
}

#[test]
fn without_labels_false_alarms_alone_are_compared() {
    let dir = pumps();
    let recipe = |flags: &str| OWN.replace("flags = 0.01", flags);
    fs::write(dir.path().join("recipe.toml"), recipe("flags = 0.3")).unwrap();
    assert_eq!(retrain(dir.path(), "recipe.toml", &[]).0, 0);
    fs::write(dir.path().join("recipe.toml"), recipe("flags = 0.01")).unwrap();
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, 0, "{told:#}");
    assert_eq!(told["report"]["metric"], "false-alarms");
    let reason = told["report"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("better: false alarms"), "{reason}");
}

#[test]
fn what_can_not_be_learnt_is_told() {
    let dir = pumps();
    let told = |recipe: String| {
        fs::write(dir.path().join("recipe.toml"), recipe).unwrap();
        let (recipe, input) = (
            path(dir.path(), "recipe.toml"),
            path(dir.path(), "readings.jsonl"),
        );
        let output = run(&["retrain", &recipe, "--input", &input]);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let all = "[labels]\nfailures = \"all.csv\"\n";
    let lines = ["a", "b", "c"].map(|pump| format!("pump-{pump},0,stop,open\n"));
    fs::write(
        dir.path().join("all.csv"),
        format!("asset,time,kind,until\n{}", lines.concat()),
    )
    .unwrap();
    for (recipe, expected) in [
        (format!("{OWN}{all}"), "is normal by the labels"),
        (
            OWN.replace("learn = 300", "learn = 20"),
            "no asset can have a model",
        ),
        (OWN.replace("learn = 300", "learn = 1.0"), "held back"),
        (
            OWN.replace("time = { learn = 300, calibrate = 200 }", "hold-out = 0.5"),
            "give split.time",
        ),
    ] {
        let told = told(recipe);
        assert!(
            told.starts_with("error: ") && told.contains(expected),
            "{expected}: {told}"
        );
    }
}

/// SKAB, valve1, by the protocol of its leaderboard: the first 400 rows of each file teach, unlabelled; all rows behind them
/// are judged together, one by one. Counted here from the table of scores, not from the report.
#[test]
fn valves_that_close_are_told_by_the_means_of_ten_readings() {
    let Some(data) = data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut readings, mut faults) = (String::new(), "asset,time,kind,until\n".to_owned());
    let mut truth: BTreeMap<(String, i64), bool> = BTreeMap::new();
    for number in 0..16 {
        let text = fs::read_to_string(data.join(format!("skab/valve1/{number}.csv"))).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(';').collect();
        let asset = format!("valve1-{number}");
        let mut since = None;
        let mut last = 0;
        for (row, line) in text.lines().skip(1).enumerate() {
            let fields: Vec<&str> = line.split(';').collect();
            let time = forewarn_pipeline::prediction::EventTimestamp::parse(&format!(
                "{}Z",
                fields[0].replace(' ', "T")
            ));
            let time = time.unwrap().0 / 1_000;
            let signals: Vec<String> = (1..9)
                .map(|at| format!("\"{}\":{}", header[at], fields[at]))
                .collect();
            let _ = writeln!(
                readings,
                "{{\"asset\":\"{asset}\",\"time\":{time},{}}}",
                signals.join(",")
            );
            let is_anomaly = fields[9].starts_with('1');
            match (is_anomaly, since) {
                (true, None) => since = Some(time),
                (false, Some(from)) => {
                    let _ = writeln!(faults, "{asset},{from},valve,{last}");
                    since = None;
                }
                _ => {}
            }
            last = time;
            if row >= 400 {
                truth.insert((asset.clone(), time), is_anomaly);
            }
        }
        if let Some(from) = since {
            let _ = writeln!(faults, "{asset},{from},valve,{last}");
        }
    }
    assert_eq!(truth.len(), 11_760, "the test parts");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("readings.jsonl", &readings);
    write("pump-faults.csv", &faults);
    let shipped = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    write(
        "pumps.toml",
        &shipped("deploy/pumps.toml").replace("../models/own", "models"),
    );
    write(
        "recipe.toml",
        &shipped("training/recipes/pump-valve.toml").replace("../../deploy/", ""),
    );
    let (status, told) = retrain(dir.path(), "recipe.toml", &[]);
    assert_eq!(status, 0, "{told:#}");
    let mut counts = Counts::default();
    for (asset, time, flagged) in flags(&scores(dir.path(), "pumps.toml")) {
        if let Some(truth) = truth.remove(&(asset, time)) {
            counts.add(flagged, truth);
        }
    }
    assert!(truth.is_empty(), "{} rows have no score", truth.len());
    println!(
        "SKAB valve1: F1 {:.3}, FAR {:.1} %, {counts:?}",
        counts.f1(),
        100.0 * counts.false_alarm_rate()
    );
    assert!(
        counts.f1() >= 0.76 && counts.false_alarm_rate() <= 0.26,
        "{counts:?}"
    );
    let rows = &told["report"]["figures"]["rows"];
    assert_eq!(
        ["tp", "fp", "fn", "tn"].map(|name| rows[name].as_u64().unwrap()),
        [counts.tp, counts.fp, counts.missed, counts.tn]
    );
}
