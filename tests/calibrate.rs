//! Thresholds from the past with the real binary: what is found, and the version that `--write` makes of it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use support::{copy_folder, path, root, run, run_ok, text};

/// 20 simulated cars for 50 minutes, which are 0.69 car-days, and a repository of one's own.
struct Fleet {
    dir: tempfile::TempDir,
}

impl Fleet {
    fn new() -> Self {
        let fleet = Fleet {
            dir: tempfile::tempdir().unwrap(),
        };
        copy_folder(&root().join("models/zoo/car-anomaly/1"), &fleet.version(1));
        let config = fs::read_to_string(root().join("deploy/cars.toml")).unwrap();
        let own = config.replace("../models/zoo", "models");
        assert_ne!(own, config);
        fs::write(fleet.path("cars.toml"), own).unwrap();
        run_ok(&[
            "feed",
            "cars",
            "--assets",
            "20",
            "--steps",
            "300",
            "--output",
            &fleet.path("readings.jsonl"),
        ]);
        fleet
    }

    fn path(&self, name: &str) -> String {
        path(self.dir.path(), name)
    }

    fn version(&self, version: u32) -> PathBuf {
        PathBuf::from(self.path(&format!("models/car-anomaly/{version}")))
    }

    fn calibrate(&self, borne: &str, more: &[&str]) -> Output {
        let (config, readings) = (self.path("cars.toml"), self.path("readings.jsonl"));
        let args = [
            "calibrate",
            "--config",
            &config,
            "--model",
            "car-anomaly",
            "--max-alarms",
            borne,
            "--input",
            &readings,
        ];
        run(&[&args, more].concat())
    }

    fn found(&self, borne: &str, more: &[&str]) -> Value {
        let output = self.calibrate(borne, &[more, &["--output", "json"]].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Expects exit code 1 and these words, and no other version than before.
    fn refused(&self, borne: &str, more: &[&str], words: &str) {
        let before = self.versions();
        let output = self.calibrate(borne, more);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(words), "no \"{words}\" in:\n{told}");
        assert!(
            told.contains(" version 1: threshold ") || !words.contains("no version is written"),
            "what was found is told too:\n{told}"
        );
        assert_eq!(self.versions(), before);
    }

    fn versions(&self) -> Vec<String> {
        let folder = fs::read_dir(self.path("models/car-anomaly")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.parse::<u32>().is_ok()).collect();
        names.sort();
        names
    }

    fn shown(&self, model: &str) -> Value {
        let repository = self.path("models");
        let told = run_ok(&[
            "model",
            "show",
            model,
            "--repository",
            &repository,
            "--output",
            "json",
        ]);
        serde_json::from_str(&told).unwrap()
    }

    /// Rows of the past that `model` flags, and all.
    fn flagged(&self, model: &str) -> (u64, u64) {
        let scores = self.path("scores.csv");
        run_ok(&[
            "model",
            "score",
            model,
            "--config",
            &self.path("cars.toml"),
            "--input",
            &self.path("readings.jsonl"),
            "--output",
            &scores,
        ]);
        let scores = fs::read_to_string(&scores).unwrap();
        let mut lines = scores.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').collect();
        let column = names.iter().position(|name| *name == "anomalous").unwrap();
        let (mut flagged, mut all) = (0, 0);
        for line in lines {
            all += 1;
            match line.split(',').nth(column).unwrap() {
                "true" => flagged += 1,
                other => assert_eq!(other, "false", "{line}"),
            }
        }
        (flagged, all)
    }
}

fn number(told: &Value, key: &str) -> f64 {
    told[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key}: {told}"))
}

#[test]
fn a_threshold_is_calibrated_to_the_alarms_that_are_borne() {
    let fleet = Fleet::new();
    let (some, none) = (fleet.found("10/asset/day", &[]), fleet.found("0/day", &[]));
    assert_eq!(number(&some, "scores"), 6_000.0);
    assert_eq!(some["rule"]["of"], 3, "the rule of deploy/cars.toml");
    let (alarms, borne) = (number(&some, "alarms"), number(&some, "alarms_borne"));
    assert!(alarms <= borne && alarms >= borne - 1.5, "{some}");
    assert_eq!(number(&none, "alarms"), 0.0);
    assert!(number(&none, "threshold") > number(&some, "threshold"));
    assert_eq!(none["past_too_short"], true);
    assert_eq!(some["written"], Value::Null);
    assert_eq!(fleet.versions(), ["1"], "nothing is written unasked");
    let told = run(&[
        "calibrate",
        "--config",
        "deploy/turbofan.toml",
        "--model",
        "turbofan-rul",
        "--max-alarms",
        "1/day",
        "--input",
        &fleet.path("readings.jsonl"),
    ]);
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told.stderr).contains("task rul"));
}

#[test]
fn a_written_version_flags_what_was_told_and_the_old_one_stays() {
    let fleet = Fleet::new();
    let files = |version: u32| -> Vec<(String, Vec<u8>)> {
        let folder = fs::read_dir(fleet.version(version)).unwrap();
        let mut files: Vec<(String, Vec<u8>)> = folder
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read(path).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    let before = files(1);
    let threshold_before = number(&fleet.found("10/asset/day", &[]), "threshold_before");

    // The contract is inside the ONNX file: the new version gets a model.toml beside it.
    let written = fleet.found(
        "10/asset/day",
        &["--write", "--by", "ada", "--why", "too many alarms"],
    );
    let threshold = number(&written, "threshold");
    assert_ne!(threshold, threshold_before);
    assert_eq!(written["written"]["version"], 2);
    assert_eq!(written["written"]["serves"], 1);
    assert_eq!(files(1), before, "the version before is not touched");
    let beside = fs::read_to_string(fleet.version(2).join("model.toml")).unwrap();
    assert_eq!(beside, format!("threshold = {threshold}\n"));
    let graph = |version: u32| fs::read(fleet.version(version).join("model.onnx")).unwrap();
    assert!(graph(1) == graph(2), "the graph is the same");
    let card = fs::read_to_string(fleet.version(2).join("card.md")).unwrap();
    assert!(card.contains("## Calibrated") && card.contains("10/asset/day borne"));

    let shown = fleet.shown("car-anomaly@2");
    assert_eq!(shown["contract"]["threshold"], threshold.to_string());
    assert_eq!(shown["serves"], false);
    assert!(shown["trial"]["golden_rows"].as_u64().unwrap() > 0);
    let event = &shown["history"][0];
    assert_eq!(
        (event["action"].as_str(), event["by"].as_str()),
        (Some("add"), Some("ada"))
    );
    let why = event["why"].as_str().unwrap();
    let alarms = written["alarms"].as_u64().unwrap();
    for words in [
        "too many alarms; ",
        "calibrated with version 1: 10/asset/day borne",
        &format!(" {alarms} alarms by rule fault (3 of 5) in 6,000 scores of 20 assets"),
        written["first_score"].as_str().unwrap(),
        written["last_score"].as_str().unwrap(),
    ] {
        assert!(why.contains(words), "no \"{words}\" in {why}");
    }
    let above = written["scores_above"].as_u64().unwrap();
    assert!(above > 0);
    assert_eq!(fleet.flagged("car-anomaly@2"), (above, 6_000));
    assert_ne!(fleet.flagged("car-anomaly@1").0, above);

    // Once it serves, the same past gives the same threshold, and another one goes into its model.toml.
    run_ok(&[
        "model",
        "promote",
        "car-anomaly@2",
        "--repository",
        &fleet.path("models"),
    ]);
    let output = fleet.calibrate("10/asset/day", &["--write"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told.contains(&format!(
            "car-anomaly 2 has the threshold {threshold} already"
        )),
        "{told}"
    );
    let output = fleet.calibrate("3/asset/day", &["--write"]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(
        output.status.success()
            && told.contains("car-anomaly 3 is added\n")
            && told.contains("car-anomaly 2 serves as before; to change that: forewarn model promote car-anomaly@3"),
        "{told}"
    );
    assert_eq!(fleet.versions(), ["1", "2", "3"]);
    let raised: f64 = fleet.shown("car-anomaly@3")["contract"]["threshold"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(raised > threshold, "{raised}");
    let card = fs::read_to_string(fleet.version(3).join("card.md")).unwrap();
    assert_eq!(card.matches("## Calibrated").count(), 1, "{card}");
    assert!(card.contains("3/asset/day borne"), "{card}");
}

#[test]
fn what_means_little_is_not_written() {
    let fleet = Fleet::new();
    // 0.69 car-days bear 0.69 alarms.
    fleet.refused(
        "1/asset/day",
        &["--write"],
        "no version is written: the past is too short to bear one alarm (0.69 are borne in it)",
    );
    fleet.refused("10/asset/day", &["--why", "x"], "they go with --write");
    // An alarm on the raw score has its limit in the configuration.
    let config = fs::read_to_string(fleet.path("cars.toml")).unwrap();
    let raw = config.replace("of = 3\n", "of = 3\nwatch = \"score\"\n");
    assert_ne!(raw, config);
    fs::write(fleet.path("cars.toml"), raw).unwrap();
    fleet.refused(
        "10/asset/day",
        &["--write"],
        "into `above` of [alarms.fault]",
    );
}

#[test]
fn what_is_found_is_told_when_it_can_not_be_written() {
    let fleet = Fleet::new();
    fs::write(fleet.version(1).join("card.md"), b"\xff").unwrap();
    let output = fleet.calibrate("10/asset/day", &["--write"]);
    let (found, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{found}{error}");
    assert!(found.contains(" version 1: threshold "), "{found}");
    assert!(error.contains("card.md"), "{error}");
    assert_eq!(fleet.versions(), ["1"]);
}

#[test]
fn a_version_that_only_a_person_can_sign_is_refused_before_the_past_is_gone_through() {
    let fleet = Fleet::new();
    let config = fs::read_to_string(fleet.path("cars.toml")).unwrap();
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let signed = config.replace(
        "[models]\n",
        &format!("[models]\nrequire-signature = true\npublic-keys = [\"{key}\"]\n"),
    );
    assert_ne!(signed, config);
    fs::write(fleet.path("cars.toml"), signed).unwrap();
    fs::remove_file(fleet.path("readings.jsonl")).unwrap();
    let words = "models.require-signature is set, and only a person can sign a contract";
    fleet.refused("10/asset/day", &["--write"], words);
}
