//! Dropping models in with the real binary: what is said, what is kept, and which version serves.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{forewarn, root, text};

/// A repository of one's own, with a configuration that serves `pump` out of it.
struct Plant {
    dir: tempfile::TempDir,
}

impl Plant {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        let config = "name = \"plant\"\n[source]\ntopic = \"in\"\nevent-time = { field = \"t\", unit = \"ms\" }\n\
                      [signals]\na = { unit = \"bar\" }\nb = { unit = \"degC\" }\n[views.v]\nfeatures = [\"*\"]\n\
                      [models]\nrepository = \"models\"\n[[models.serve]]\nname = \"pump\"\nview = \"v\"\n";
        let plant = Plant { dir };
        plant.write("plant.toml", config);
        plant
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `forewarn model ...` on this repository.
    fn model(&self, args: &[&str]) -> Output {
        let repository = self.path("models");
        let mut command = forewarn(&["model"]);
        command.args(args).arg("--repository").arg(repository);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.model(args);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{args:?}\n{told}");
        told
    }

    fn json(&self, args: &[&str]) -> Value {
        let told = self.ok(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    /// Expects exit code 1 and these words, soon, and that nothing was left behind.
    fn refused(&self, args: &[&str], words: &[&str]) {
        let before = self.everything();
        let begun = Instant::now();
        let output = self.model(args);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}\n{told}");
        for words in words {
            assert!(told.contains(words), "no \"{words}\" in:\n{told}");
        }
        assert!(!told.contains("panicked"), "{told}");
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(self.everything(), before, "{args:?} left something behind");
    }

    /// All files of the repository.
    fn everything(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path("models"), &mut found);
        found.sort();
        found
    }

    fn serves(&self) -> u64 {
        self.json(&["list"])[0]["serves"].as_u64().unwrap()
    }
}

fn fixture(name: &str) -> PathBuf {
    root().join(format!("tests/fixtures/models/{name}/1/model.onnx"))
}

fn plain() -> Vec<u8> {
    fs::read(fixture("plain")).unwrap()
}

/// The model without a contract, under a name of its own.
fn bare(plant: &Plant) -> String {
    plant.write("pump.onnx", fs::read(fixture("no-contract")).unwrap())
}

#[test]
fn a_file_with_its_contract_inside_becomes_the_next_version_and_serves_when_promoted() {
    let plant = Plant::new();
    let file = plant.write("pump.onnx", plain());
    let told = plant.ok(&["add", &file, "--why", "first", "--by", "ada"]);
    assert!(
        told.contains("pump 1 is added") && told.contains("pump 1 serves"),
        "{told}"
    );
    let told = plant.ok(&["add", &file, "--set", "threshold=7.5"]);
    assert!(
        told.contains("pump 2 is added") && told.contains("pump 1 serves as before"),
        "{told}"
    );
    assert_eq!(plant.serves(), 1);

    let told = plant.ok(&["promote", "pump@2", "--why", "fewer alarms", "--by", "ada"]);
    assert!(
        told.contains("pump 2 serves in place of 1") && !told.contains("note"),
        "{told}"
    );
    let told = plant.ok(&["promote", "pump@1"]);
    assert!(
        told.contains("pump 1 serves in place of 2") && told.contains("lower one"),
        "{told}"
    );
    let told = plant.ok(&["rollback", "pump", "--why", "it was better"]);
    assert!(told.contains("pump 2 serves in place of 1"), "{told}");
    assert_eq!(plant.serves(), 2);

    let shown = plant.json(&["show", "pump"]);
    assert_eq!(
        (shown["version"].as_u64(), shown["serves"].as_bool()),
        (Some(2), Some(true))
    );
    assert_eq!(shown["contract"]["threshold"], "7.5");
    assert_eq!(shown["inputs"][0], "x f32[?,2]");
    assert!(shown["trial"]["rows_per_second"].as_f64().unwrap() > 0.0);
    let actions: Vec<&str> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["add", "add", "promote", "promote", "rollback"]);
    assert_eq!(shown["history"][2]["why"], "fewer alarms");
    assert_eq!(shown["history"][2]["sha256"], shown["sha256"]);

    plant.refused(
        &["remove", "pump@2", "--yes"],
        &["pump 2 serves: promote another version first"],
    );
    let told = plant.ok(&["remove", "pump@1"]);
    assert!(
        told.contains(".trash") && plant.path("models/pump/.trash").is_dir(),
        "{told}"
    );
    plant.refused(
        &["rollback", "pump"],
        &["has not been promoted from another version"],
    );
    let listed = plant.json(&["list"]);
    assert_eq!(listed[0]["versions"].to_string(), "[2]");
}

#[test]
fn a_file_without_a_contract_is_answered_with_the_contract_to_fill_in() {
    let plant = Plant::new();
    let file = bare(&plant);
    let words = [
        "task = \"anomaly\"  # as the graph suggests",
        "Names of the 2 features",
        "--contract",
    ];
    plant.refused(&["add", &file], &words);
    // What it printed can be saved and filled in.
    let told = text(&plant.model(&["add", &file]).stdout);
    let filled = told.replace("[\"first\", \"second\"]", "[\"a\", \"b\"]");
    let contract = plant.write("contract.toml", filled);
    plant.ok(&["add", &file, "--contract", &contract]);
    let keys = [
        "--set",
        "task=anomaly",
        "--set",
        "features=[\"a\",\"b\"]",
        "--set",
        "output.residual=e",
    ];
    plant.refused(
        &[&["add", &file][..], &keys].concat(),
        &["Above which score"],
    );
    let all = [&["add", &file][..], &keys, &["--set", "threshold=2"]].concat();
    let told = plant.ok(&all);
    assert!(told.contains("pump 2 is added"), "{told}");
}

#[test]
fn an_mlflow_model_brings_the_names_of_its_columns() {
    let plant = Plant::new();
    plant.write(
        "logged/model.onnx",
        fs::read(fixture("no-contract")).unwrap(),
    );
    let ml_model = "flavors:\n  onnx:\n    data: model.onnx\nmetadata:\n  forewarn.task: anomaly\n  \
                    forewarn.output.residual: e\nsignature:\n  inputs: '[{\"type\": \"double\", \"name\": \"a\"}, \
                    {\"type\": \"double\", \"name\": \"b\"}]'\n";
    plant.write("logged/MLmodel", ml_model);
    let folder = plant.path("logged");
    let folder = folder.to_str().unwrap();
    plant.refused(
        &["add", folder, "--name", "pump"],
        &["Above which score", "features = [\"a\", \"b\"]"],
    );
    plant.ok(&["add", folder, "--name", "pump", "--set", "threshold=2"]);
    let shown = plant.json(&["show", "pump@1"]);
    assert_eq!(shown["contract"]["features"], "[\"a\",\"b\"]");
}

#[test]
fn what_can_not_score_is_refused_and_leaves_nothing_behind() {
    let plant = Plant::new();
    plant.ok(&["add", &plant.write("pump.onnx", plain())]);
    let cut = &plain()[..100];
    for (name, bytes, words) in [
        ("a.onnx", &b""[..], "is empty"),
        (
            "b.onnx",
            b"PK\x03\x04...archive/data.pkl",
            "a PyTorch checkpoint",
        ),
        ("c.onnx", b"<!DOCTYPE html><html>", "an HTML page"),
        ("d.onnx", cut, "is cut off"),
        (
            "e.onnx",
            &fs::read(fixture("wrong-width")).unwrap(),
            "correct forewarn.features",
        ),
        (
            "f.onnx",
            &fs::read(fixture("wrong-output")).unwrap(),
            "its outputs are e",
        ),
    ] {
        let file = plant.write(name, bytes);
        plant.refused(&["add", &file, "--name", "pump"], &[words, &file]);
        plant.refused(&["check", &file], &[words, &file]);
    }
    plant.refused(&["add", "/nowhere.onnx"], &["/nowhere.onnx"]);
    let folder = plant.path("empty.d");
    fs::create_dir(&folder).unwrap();
    plant.refused(
        &["add", folder.to_str().unwrap(), "--name", "x"],
        &["holds neither model.onnx"],
    );
    let file = plant.write("-x y.onnx", plain());
    plant.refused(&["add", &file], &["no name of a model", "--name"]);
    plant.refused(&["promote", "pump@9"], &["no version 9"]);
    assert_eq!(
        plant.model(&["promote", "../pump@1"]).status.code(),
        Some(2)
    );
    // In JSON for programs.
    let output = plant.model(&["check", &plant.write("a.onnx", b""), "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (value["admitted"].as_bool(), value["code"].as_str()),
        (Some(false), Some("empty"))
    );
}

#[test]
fn a_check_tells_whether_a_view_gives_what_a_model_needs() {
    let plant = Plant::new();
    let config = plant.path("plant.toml");
    let check = |file: &str, view: &str| {
        let config = config.to_str().unwrap();
        let output = forewarn(&["model", "check", file, "--config", config, "--view", view])
            .output()
            .unwrap();
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let file = plant.write("new.onnx", plain());
    let (code, told) = check(&file, "v");
    assert!(
        code == Some(0) && told.contains("new fits view v") && told.contains("rows/s"),
        "{told}"
    );
    let renamed = fs::read_to_string(&config)
        .unwrap()
        .replace("\nb = ", "\nc = ");
    fs::write(&config, renamed).unwrap();
    let (code, told) = check(&file, "v");
    assert!(
        code == Some(1) && told.contains("needs b which view v does not give"),
        "{told}"
    );
    let (code, told) = check(&file, "w");
    assert!(
        code == Some(1) && told.contains("w is not a view; there is: v"),
        "{told}"
    );
    assert!(plant.everything().is_empty(), "nothing is kept of a check");
}

#[test]
fn a_version_scores_in_place_of_the_one_that_serves() {
    let plant = Plant::new();
    let file = plant.write("pump.onnx", plain());
    plant.ok(&["add", &file]);
    plant.ok(&["add", &file, "--set", "threshold=7.5"]);
    let input = plant.write("in.csv", "asset,t,a,b\np,1,3,-1\n");
    let (output, config) = (plant.path("out.csv"), plant.path("plant.toml"));
    let thresholds: Vec<String> = ["pump", "pump@2"]
        .iter()
        .map(|model| {
            let told = forewarn(&["model", "score", model, "--input", &input, "--config"])
                .arg(&config)
                .arg("--output")
                .arg(&output)
                .output()
                .unwrap();
            assert!(told.status.success(), "{}", text(&told.stderr));
            let scores = fs::read_to_string(&output).unwrap();
            let column = scores
                .lines()
                .next()
                .unwrap()
                .split(',')
                .position(|name| name == "threshold");
            scores
                .lines()
                .nth(1)
                .unwrap()
                .split(',')
                .nth(column.unwrap())
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(thresholds, ["1.0", "7.5"]);
}

#[test]
fn the_service_loads_admitted_copies_only() {
    let plant = Plant::new();
    let config = plant.path("plant.toml");
    let check = || {
        let output = forewarn(&["check", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    // Dropped in by hand: tried when it is first loaded.
    plant.write("models/pump/1/model.onnx", plain());
    let (code, told) = check();
    assert!(
        code == Some(0) && told.contains("model pump version 1"),
        "{told}"
    );
    let store = plant.path("models/.store");
    let entry = fs::read_dir(&store)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    assert!(entry.join("model.onnx").is_file());
    // The highest number serves until one is promoted; a bad one dropped in by hand is told.
    plant.write("models/pump/2/model.onnx", b"<html>login</html>");
    let (code, told) = check();
    assert!(
        code == Some(1) && told.contains("an HTML page") && told.contains("models.serve[0]"),
        "{told}"
    );
    plant.ok(&["promote", "pump@1"]);
    assert_eq!(check().0, Some(0));
    plant.refused(&["promote", "pump@2"], &["an HTML page", "not-onnx"]);
    // A signature that is required.
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let signed = fs::read_to_string(&config).unwrap().replace(
        "repository = \"models\"",
        &format!("repository = \"models\"\nrequire-signature = true\npublic-keys = [\"{key}\"]"),
    );
    fs::write(&config, &signed).unwrap();
    let (code, told) = check();
    assert!(code == Some(1) && told.contains("is not signed"), "{told}");
    fs::write(&config, signed.replace(key, "RWnonsense")).unwrap();
    let (code, told) = check();
    assert!(
        code == Some(1) && told.contains("models.public-keys: \"RWnonsense\" is no public key"),
        "{told}"
    );
}

#[test]
fn a_missing_word_is_a_matter_of_usage() {
    for args in [
        &["model"][..],
        &["model", "list"],
        &["model", "add"],
        &["model", "frobnicate"],
    ] {
        assert_eq!(
            forewarn(args).output().unwrap().status.code(),
            Some(2),
            "{args:?}"
        );
    }
}

/// A shell's quotes around a word.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// On a terminal, here util-linux's `script`, what the file leaves open is asked for.
#[test]
fn on_a_terminal_the_contract_is_asked_for() {
    if !std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_ok_and(|output| text(&output.stdout).contains("util-linux"))
    {
        println!("skipped: no `script` of util-linux");
        return;
    }
    let plant = Plant::new();
    let (file, repository) = (bare(&plant), plant.path("models"));
    let binary = env!("CARGO_BIN_EXE_forewarn");
    let words = [
        binary,
        "model",
        "add",
        &file,
        "--repository",
        repository.to_str().unwrap(),
    ];
    let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let mut child = std::process::Command::new("script")
        .args(["-qec", &command.join(" "), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Task, names (one too few at first), residual, threshold.
    let answers = "anomaly\na\na, b\n\n2.5\n";
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, answers.as_bytes()).unwrap();
    // Its end is that of the terminal: a question too many does not wait for ever.
    drop(input);
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stdout).replace('\r', "");
    assert_eq!(output.status.code(), Some(0), "{told}");
    for words in [
        "What does it tell?",
        "that can't be taken: 2 names are wanted, and these are 1: a",
        "The contract:\n\n",
        "threshold = 2.5\n",
        "pump 1 is added",
    ] {
        assert!(told.contains(words), "no \"{words}\" in {told}");
    }
    let shown = plant.json(&["show", "pump"]);
    assert_eq!(shown["contract"]["features"], "[\"a\",\"b\"]");
    assert_eq!(shown["contract"]["threshold"], "2.5");
}

/// As on a full disk: files may have no bytes, and the process is told so instead of being ended.
#[test]
fn without_room_for_the_copy_a_model_is_refused_and_nothing_is_left() {
    let plant = Plant::new();
    let file = plant.write("pump.onnx", plain());
    let before = plant.everything();
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_forewarn"))
        .args(["model", "add", &file, "--repository"])
        .arg(plant.path("models"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in ["can't be copied to", "File too large"] {
        assert!(told.contains(words), "no \"{words}\" in:\n{told}");
    }
    assert!(!told.contains("panicked"), "{told}");
    assert_eq!(plant.everything(), before, "{told}");
    plant.ok(&["add", &file]);
}
