//! `forewarn retrain` with the binary: from a log to a version that serves, and the reason when there is none.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;

use forewarn_training::random::Random;
use support::{path, run, run_ok, text};

const HOUR: i64 = 3_600_000;
/// The status of a run that gave no better model.
const NOT_BETTER: i32 = 10;

/// A folder with a pipeline, the readings of pumps that wear out, when they failed, and a recipe.
fn plant(steps: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut readings, mut failures) = (String::new(), "asset,time,kind\n".to_owned());
    for pump in 0..40 {
        let mut random = Random::new(11, pump);
        let life = 50 + random.below(40) as i64;
        for hour in 0..life {
            let wear = (1.0 - (life - 1 - hour) as f64 / 60.0).max(0.0).powi(2);
            let _ = writeln!(
                readings,
                "{{\"asset\":\"pump-{pump}\",\"time\":{},\"pressure\":{},\"flow\":{}}}",
                hour * HOUR,
                80.0 + 8.0 * wear + 0.5 * random.normal(),
                5.0 - 0.6 * wear + 0.05 * random.normal()
            );
        }
        let _ = writeln!(failures, "pump-{pump},{},failure", (life - 1) * HOUR);
    }
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("readings.jsonl", &readings);
    write("failures.csv", &failures);
    write(
        "plant.toml",
        "name = \"plant\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[source]\ntopic = \"pumps\"\n\
         event-time = { field = \"time\", unit = \"ms\" }\n[signals]\npressure = { unit = \"bar\" }\n\
         flow = { unit = \"l/min\" }\n[views.pump]\nfeatures = [\"*\"]\n[models]\nrepository = \"models\"\n\
         [[models.serve]]\nname = \"pump-life\"\nview = \"pump\"\n[sink]\npredictions = \"out\"\ndead-letters = \"dead\"\n\
         late = \"late\"\n",
    );
    write("recipe.toml", &recipe(steps));
    dir
}

fn recipe(steps: usize) -> String {
    format!(
        "model = \"pump-life\"\npipeline = \"plant.toml\"\nview = \"pump\"\n[labels]\nfailures = \"failures.csv\"\n\
         unit = \"hours\"\nunit-lasts = \"1h\"\ncap = 40\n[split]\nhold-out = 0.3\n[trainer]\nmembers = 2\nmemory = 20\nhidden = [12]\n\
         dense = [8]\n[trainer.learning]\nsteps = {steps}\nbatch = 8\nround = 30\n"
    )
}

/// Runs it in a plant; gives its status, and what it prints as JSON.
fn retrain(dir: &Path, more: &[&str]) -> (i32, serde_json::Value) {
    let (recipe, input) = (path(dir, "recipe.toml"), path(dir, "readings.jsonl"));
    let mut args = vec!["retrain", &recipe, "--input", &input, "--output", "json"];
    args.extend(more);
    let output = run(&args);
    let printed = text(&output.stdout);
    let value = serde_json::from_str(&printed)
        .unwrap_or_else(|_| panic!("{printed}{}", text(&output.stderr)));
    (output.status.code().unwrap(), value)
}

#[test]
fn a_first_model_is_added_and_one_that_is_no_better_is_not() {
    let dir = plant(120);
    let (status, told) = retrain(dir.path(), &["--why", "first"]);
    assert_eq!(status, 0, "{told:#}");
    assert_eq!(
        (&told["added"]["version"], &told["added"]["serves"]),
        (&1.into(), &1.into())
    );
    let report = &told["report"];
    assert!(
        report["reason"]
            .as_str()
            .unwrap()
            .contains("this is the first one"),
        "{report:#}"
    );
    assert!(report["trainer_difference"].as_f64().unwrap() < 1e-4);
    let first = report["figures"]["rmse"].as_f64().unwrap();
    // Half of the spread of what is to be told.
    assert!(first < 6.0, "{first}");
    let version = dir.path().join("models/pump-life/1");
    for file in ["model.onnx", "golden.json", "card.md"] {
        assert!(version.join(file).is_file(), "{file}");
    }
    let card = std::fs::read_to_string(version.join("card.md")).unwrap();
    assert!(card.contains(&format!("{first:.2}")), "{card}");

    figures_come_along(dir.path(), &version, &card);

    // The same night again: the same bits, and so no better.
    let (status, told) = retrain(dir.path(), &[]);
    assert_eq!(status, NOT_BETTER, "{told:#}");
    let report = &told["report"];
    assert_eq!(report["compared"]["difference"].as_f64(), Some(0.0));
    assert!(
        report["reason"].as_str().unwrap().starts_with("not better"),
        "{report:#}"
    );
    assert_eq!(told["added"], serde_json::Value::Null);
    assert!(!dir.path().join("models/pump-life/2").exists());

    // It serves, as any model of the repository does.
    let (config, input) = (
        path(dir.path(), "plant.toml"),
        path(dir.path(), "readings.jsonl"),
    );
    let scores = path(dir.path(), "scores.parquet");
    run_ok(&[
        "score", "--config", &config, "--input", &input, "--output", &scores,
    ]);
    let history = run_ok(&[
        "model",
        "show",
        "pump-life",
        "--repository",
        &path(dir.path(), "models"),
    ]);
    assert!(history.contains("first; retrained: "), "{history}");
}

/// Every figure that a card shows lies beside it, also where the version is added elsewhere.
fn figures_come_along(dir: &Path, version: &Path, card: &str) {
    let shown: Vec<&str> = card
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(file, _)| file)
        .filter(|file| file.ends_with(".svg"))
        .collect();
    let expected = ["told-and-true", "lives", "learning"].map(|name| format!("figures/{name}.svg"));
    assert_eq!(shown, expected);
    let (from, elsewhere) = (version.display().to_string(), dir.join("elsewhere"));
    let repository = path(dir, "elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    run_ok(&[
        "model",
        "add",
        &from,
        "--name",
        "pump-life",
        "--repository",
        &repository,
    ]);
    for file in shown {
        let figure = std::fs::read_to_string(version.join(file)).unwrap();
        assert!(figure.starts_with("<svg "), "{file}");
        let copy = elsewhere.join("pump-life/1").join(file);
        assert_eq!(std::fs::read_to_string(copy).unwrap(), figure, "{file}");
    }
}

#[test]
fn a_better_model_takes_the_place_of_one_that_has_learnt_little() {
    let dir = plant(4);
    let (status, told) = retrain(dir.path(), &[]);
    assert_eq!(status, 0, "{told:#}");
    std::fs::write(dir.path().join("recipe.toml"), recipe(120)).unwrap();
    let (status, told) = retrain(dir.path(), &["--promote"]);
    assert_eq!(status, 0, "{told:#}");
    let compared = &told["report"]["compared"];
    assert!(compared["high"].as_f64().unwrap() < 0.0, "{compared:#}");
    assert!(
        told["report"]["reason"]
            .as_str()
            .unwrap()
            .starts_with("better: RMSE"),
        "{told:#}"
    );
    assert_eq!(told["added"]["version"], 2);
    let listed = run_ok(&[
        "model",
        "list",
        "--repository",
        &path(dir.path(), "models"),
        "--output",
        "json",
    ]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(listed.to_string().contains("\"serves\":2"), "{listed:#}");
}

/// In folds every pump is learnt from, and judged by what has not learnt from it.
#[test]
fn a_linear_model_is_judged_in_folds() {
    let dir = plant(30);
    let recipe = "model = \"pump-life\"\npipeline = \"plant.toml\"\nview = \"pump\"\n[labels]\n\
        failures = \"failures.csv\"\nunit = \"hours\"\nunit-lasts = \"1h\"\ncap = 40\n[split]\nfolds = 4\n\
        [trainer]\nkind = \"linear\"\n";
    std::fs::write(dir.path().join("recipe.toml"), recipe).unwrap();
    let (status, told) = retrain(dir.path(), &[]);
    assert_eq!(status, 0, "{told:#}");
    let report = &told["report"];
    let data = &report["data"];
    assert_eq!(
        (&data["assets"], &data["held_out"], &data["folds"]),
        (&40.into(), &0.into(), &4.into())
    );
    assert_eq!(report["figures"]["assets"], 40);
    assert!(report["trainer_difference"].as_f64().unwrap() < 1e-4);
    assert!(
        report["figures"]["rmse"].as_f64().unwrap() < 8.0,
        "{report:#}"
    );
    let crossed = report["interval"]["crossed"].as_f64().unwrap();
    assert!((0.85..0.95).contains(&crossed), "{crossed}");
    let card = std::fs::read_to_string(dir.path().join("models/pump-life/1/card.md")).unwrap();
    assert!(card.contains("an elastic net over single rows"), "{card}");
}

#[test]
fn what_can_not_be_learnt_is_told() {
    let dir = plant(30);
    let recipe = path(dir.path(), "recipe.toml");
    let input = path(dir.path(), "readings.jsonl");
    let told = || text(&run(&["retrain", &recipe, "--input", &input]).stderr);
    let change = |from: &str, to: &str| {
        let text = recipe_with(30, from, to);
        std::fs::write(dir.path().join("recipe.toml"), text).unwrap();
    };
    for (from, to, expected) in [
        (
            "view = \"pump\"",
            "view = \"fan\"",
            "fan is not a view; there is: pump",
        ),
        (
            "view = \"pump\"",
            "view = \"pump\"\nfeatures = [\"heat\"]",
            "view pump has no feature heat, but: pressure, flow",
        ),
        ("failures.csv", "none.csv", "none.csv"),
        (
            "view = \"pump\"",
            "view = \"pump\"\nassets = [\"fan-*\"]",
            "none of the 0 assets",
        ),
        (
            "[split]",
            "[scaling]\nper = { heat = 1 }\n[split]",
            "names heat, which is none of the features",
        ),
        ("cap = 40", "cap = 40\nlabel = 3", "unknown field `label`"),
    ] {
        change(from, to);
        let told = told();
        assert!(
            told.starts_with("error: ") && told.contains(expected),
            "{to}: {told}"
        );
    }
}

fn recipe_with(steps: usize, from: &str, to: &str) -> String {
    recipe(steps).replacen(from, to, 1)
}
