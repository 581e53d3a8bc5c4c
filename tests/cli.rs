//! The command line: what it prints when all is well, and what it says when it is not.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::process::{Command, Output};

use support::{brokers, data, fixture_models, forewarn, path, run, run_ok, text, unique};

fn fails(args: &[&str], expected: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = run(args);
    let told = text(&stdout) + &text(&stderr);
    assert_eq!(status.code(), Some(1), "forewarn {args:?}\n{told}");
    for expected in expected {
        assert!(
            told.contains(expected),
            "forewarn {args:?} does not say \"{expected}\":\n{told}"
        );
    }
    assert!(!told.contains("panicked"), "{told}");
}

fn write(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let file = path(dir.path(), name);
    std::fs::write(&file, text).unwrap();
    file
}

fn config(dir: &tempfile::TempDir, rest: &str) -> String {
    let head = "name = \"test\"\n[source]\ntopic = \"in\"\nevent-time = { field = \"t\", unit = \"ms\" }\n";
    write(dir, "pipeline.toml", &format!("{head}{rest}"))
}

#[test]
fn a_point_to_be_killed_at_that_there_is_none_of_is_refused_with_those_there_are() {
    let mut command = forewarn(&["run", "--config", "none.toml"]);
    let output = command.env("FOREWARN_KILL_AT", "later:1").output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("later:1") && told.contains("after-begin, after-produce"),
        "{told}"
    );
}

#[test]
fn the_shipped_configurations_have_no_problems() {
    for (file, model) in [
        ("deploy/turbofan.toml", "turbofan-rul"),
        ("deploy/cars.toml", "car-anomaly"),
    ] {
        let told = run_ok(&["check", "--config", file]);
        assert!(
            told.contains("no problems") && told.contains(model),
            "{told}"
        );
    }
}

/// As on a full disk: /dev/full takes nothing.
#[test]
fn results_that_cannot_be_printed_are_an_error_and_no_panic() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = forewarn(&["check", "--config", "deploy/cars.toml"]);
    let output = command.stdout(full).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("error: standard output: No space left on device"),
        "{told}"
    );
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn check_tells_all_problems_of_file_views_and_models_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let rest = fixture_models(&["wrong-width", "no-contract", "absent", "plain"])
        .replace("unit = \"degC\"", "unit = \"degF\"")
        .replace("[\"*\"]", "[\"*\", \"a + nosuch AS n\", \"AVG(a) AS m\"]")
        + "[delivery]\ncommit-interval = \"never\"\n[sinc]\n";
    let file = config(&dir, &rest);
    fails(
        &["check", "--config", &file],
        &[
            "delivery.commit-interval",
            "sinc: is not known here",
            "views.v.features[1]: \"a + nosuch AS n\"",
            "column 5: no column nosuch here; there are a, b",
            "views.v.features[2]: \"AVG(a) AS m\": reads more than one reading",
            "models.serve[0]",
            "correct forewarn.features",
            "metadata_props",
            "model absent is not in",
            "has 8 problems",
        ],
    );
    // With the views mended, what the models need of them is compared.
    let rest = fixture_models(&["plain", "weighted"]).replace("degC", "degF");
    let file = config(&dir, &rest);
    fails(
        &["check", "--config", &file],
        &[
            "takes b in degC, but signals.b.unit is degF",
            "has 1 problem",
        ],
    );
    let rest = fixture_models(&["plain"]).replace("[\"*\"]", "[\"a\"]");
    let file = config(&dir, &rest);
    fails(
        &["check", "--config", &file],
        &["needs b which view v does not give (it gives a)"],
    );
}

#[test]
fn a_file_that_is_not_there_or_no_toml_is_told() {
    fails(
        &["check", "--config", "/nowhere/x.toml"],
        &["/nowhere/x.toml", "can't be read"],
    );
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "bad.toml", "name = \n");
    fails(&["run", "--config", &file], &["bad.toml:1"]);
}

#[test]
fn the_onnx_runtime_that_is_missing_foreign_or_old_is_told_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let check = |library: &str| -> String {
        let output = forewarn(&["check", "--config", "deploy/cars.toml"])
            .env("ORT_DYLIB_PATH", library)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stdout) + &text(&output.stderr)
    };
    let told = check("/nowhere/libonnxruntime.so");
    assert!(
        told.contains("was not found in /nowhere") && told.contains("make setup"),
        "{told}"
    );
    let told = check(&write(&dir, "text.so", "no library"));
    assert!(
        told.contains("can't be used") && told.contains("ORT_DYLIB_PATH"),
        "{told}"
    );
    // Libraries made for the test: one without the symbol, one of an old version.
    let build = |name: &str, source: &str| -> String {
        let (source, library) = (
            write(&dir, &format!("{name}.c"), source),
            path(dir.path(), name),
        );
        let cc = Command::new("cc")
            .args(["-shared", "-fPIC", "-o", &library, &source])
            .status()
            .unwrap();
        assert!(cc.success());
        library
    };
    let told = check(&build("other.so", "int f(void) { return 1; }"));
    assert!(told.contains("it is not ONNX Runtime"), "{told}");
    let old = "static const char *version(void) { return \"1.10.0\"; }\n\
               static const void *api(unsigned v) { return 0; }\n\
               static struct { const void *(*a)(unsigned); const char *(*v)(void); } base = { api, version };\n\
               void *OrtGetApiBase(void) { return &base; }\n";
    let told = check(&build("old.so", old));
    assert!(
        told.contains("it is version 1.10.0") && told.contains("or newer"),
        "{told}"
    );
}

#[test]
fn a_broker_that_does_not_answer_is_told() {
    fails(
        &[
            "run",
            "--config",
            "deploy/cars.toml",
            "--brokers",
            "127.0.0.1:9",
        ],
        &["no Kafka broker answered at 127.0.0.1:9", "kafka.brokers"],
    );
}

#[test]
fn a_topic_that_is_missing_is_told() {
    let Some(brokers) = brokers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let topic = unique("absent");
    let file = config(&dir, &fixture_models(&["plain"]));
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("\"in\"", &format!("\"{topic}\""));
    std::fs::write(&file, text).unwrap();
    fails(
        &["run", "--config", &file, "--brokers", &brokers],
        &[&format!("topic {topic} does not exist"), "--create-topics"],
    );
}

#[test]
fn a_scored_file_tells_its_refused_rows() {
    let dir = tempfile::tempdir().unwrap();
    let file = config(&dir, &fixture_models(&["plain"]));
    let rows = "{\"asset\":\"p\",\"t\":1,\"a\":1,\"b\":2}\n\n{\"asset\":\"p\",\"t\":2,\"a\":1}\n{\"t\":3,\"a\":1,\"b\":2}\n";
    let input = write(&dir, "in.jsonl", rows);
    let output = path(dir.path(), "out.csv");
    let told = run_ok(&[
        "score", "--config", &file, "--input", &input, "--output", &output,
    ]);
    assert!(told.contains("3 rows: 1 predictions"), "{told}");
    assert!(
        told.contains("1 rows refused, missing-signal: first in row 1"),
        "{told}"
    );
    assert!(
        told.contains("1 rows refused, missing-asset: first in row 2"),
        "{told}"
    );
    let scores = std::fs::read_to_string(&output).unwrap();
    assert_eq!(scores.lines().count(), 2);
    assert!(scores.lines().nth(1).unwrap().contains(",2.5,"), "{scores}");

    let table = write(&dir, "in.csv", "asset,t,a,b\np,1,1,2\n,2,1,2\np,3,,2\n");
    let told = run_ok(&[
        "score", "--config", &file, "--input", &table, "--output", &output,
    ]);
    assert!(
        told.contains("1 rows refused, missing-asset: first in row 1"),
        "{told}"
    );
    assert!(
        told.contains("1 rows refused, missing-signal: first in row 2"),
        "{told}"
    );

    let table = write(&dir, "narrow.csv", "asset,a\np,1\n");
    let score = |input: &str, output: &str, expected: &[&str]| {
        fails(
            &[
                "score", "--config", &file, "--input", input, "--output", output,
            ],
            expected,
        );
    };
    score(&table, &output, &["no column t, b; it has asset, a"]);
    score("/nowhere.csv", &output, &["/nowhere.csv"]);
    score(&input, "scores.txt", &["must end in"]);
    let table = write(&dir, "text.csv", "asset,t,a,b\np,1,x,2\n");
    score(&table, &output, &["column a is str, expected numbers"]);
}

#[test]
fn check_and_score_tell_what_each_task_takes_and_gives() {
    let dir = tempfile::tempdir().unwrap();
    let rest = fixture_models(&["persistence", "classes", "moments", "custom"]);
    let file = config(&dir, &rest);
    let told = run_ok(&["check", "--config", &file]);
    for expected in [
        "forecast, 2 features over 2 rows, compared with the row 3 later",
        "takes x f32[?,2,2]",
        "gives y f32[?,1]: a forecast of b, threshold 4",
        "gives e f32[?,2]: one of ok, worn",
        "gives mean f32[?,1], sd f32[?,1]: remaining life in hours up to 100, an interval of coverage 0.6",
        "gives e f32[?,2], sum f32[?], published as they are",
    ] {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
    let rows = "{\"asset\":\"p\",\"t\":1,\"a\":0.25,\"b\":0.75}\n";
    let input = write(&dir, "in.jsonl", rows);
    let output = path(dir.path(), "out.csv");
    let score = [
        "score", "--config", &file, "--input", &input, "--output", &output,
    ];
    run_ok(&score);
    let scores = std::fs::read_to_string(&output).unwrap();
    let mut lines = scores
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let lines: Vec<Vec<&str>> = lines.collect();
    let told = |model: &str, column: &str| {
        let place = |name: &str| header.iter().position(|known| *known == name);
        let row = lines
            .iter()
            .find(|row| row[place("model").unwrap()] == model);
        row.unwrap()[place(column).unwrap_or_else(|| panic!("{column}: {scores}"))].to_owned()
    };
    assert_eq!(told("persistence", "unscored"), "insufficient-history");
    assert_eq!(told("classes", "class"), "worn");
    assert_eq!(told("classes", "probability.ok"), "0.25");
    assert_eq!(told("classes", "anomalous"), "true");
    assert_eq!(told("moments", "rul"), "0.25");
    assert_eq!(told("moments", "rul_high"), "1.75");
    assert_eq!(told("moments", "failure.10"), "0.9166666666666666");
    assert_eq!(told("custom", "custom.sum"), "1.0");
    assert_eq!(told("custom", "custom.e.1"), "0.75");
    assert_eq!(told("custom", "class"), "");
}

#[test]
fn the_simulated_cars_have_the_columns_of_the_published_file() {
    let dir = tempfile::tempdir().unwrap();
    let (readings, truth) = (path(dir.path(), "cars.csv"), path(dir.path(), "truth.csv"));
    run_ok(&[
        "feed",
        "cars",
        "--assets",
        "7",
        "--steps",
        "3",
        "--output",
        &readings,
        "--truth-output",
        &truth,
    ]);
    let (readings, truth) = (
        std::fs::read_to_string(&readings).unwrap(),
        std::fs::read_to_string(&truth).unwrap(),
    );
    assert_eq!((readings.lines().count(), truth.lines().count()), (22, 22));
    let Some(data) = data() else { return };
    for (ours, published) in [
        (readings, "car-sensor-data.csv"),
        (truth, "car-sensor-labels.csv"),
    ] {
        let published = std::fs::read_to_string(data.join("car-sensors").join(published)).unwrap();
        assert_eq!(ours.lines().next(), published.lines().next());
    }
}

#[test]
fn the_demo_needs_no_data_folder_and_no_broker() {
    let output = forewarn(&["demo", "--cars", "30"])
        .env("FOREWARN_DATA", "/nowhere")
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", text(&output.stderr));
    for expected in [
        "no engines found in /nowhere",
        "readings   3,000 of 30 assets, 0 refused",
        "scored     3,000 predictions by car-anomaly",
        "<- false alarms",
    ] {
        assert!(told.contains(expected), "no \"{expected}\" in:\n{told}");
    }
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn a_missing_data_folder_is_told_with_where_it_was_looked_for() {
    let output = forewarn(&["feed", "cmapss", "--data", "/nowhere"])
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("/nowhere") && told.contains("FOREWARN_DATA"),
        "{told}"
    );
}
