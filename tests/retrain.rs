//! `forewarn retrain` with the binary: from a log to a version that serves, and the reason when there is none.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use forewarn_training::random::Random;
use serde_json::json;
use support::{
    Feeder, Record, brokers, check_graph, create_topic, data, path, read_committed, run, run_ok,
    text, unique,
};

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
    check_graph(&version.join("model.onnx"));
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

/// The failures of a plant's file.
fn failures(dir: &Path) -> Vec<(String, i64)> {
    let file = std::fs::read_to_string(dir.join("failures.csv")).unwrap();
    let failure = |line: &str| {
        let mut fields = line.split(',');
        let asset = fields.next().unwrap().to_owned();
        (asset, fields.next().unwrap().parse().unwrap())
    };
    file.lines().skip(1).map(failure).collect()
}

/// A plant whose pipeline is at `brokers`, and whose failures are told by a topic.
fn plant_with_topic(brokers: &str, topic: &str) -> tempfile::TempDir {
    let dir = plant(30);
    let told = format!("topic = {{ name = \"{topic}\" }}");
    let text = recipe_with(30, "failures = \"failures.csv\"", &told);
    std::fs::write(dir.path().join("recipe.toml"), text).unwrap();
    let pipeline = std::fs::read_to_string(dir.path().join("plant.toml")).unwrap();
    let pipeline = pipeline.replace("127.0.0.1:1", brokers);
    std::fs::write(dir.path().join("plant.toml"), pipeline).unwrap();
    dir
}

/// The model file, without the recipe that its lineage repeats.
fn model_without_recipe(dir: &Path) -> Vec<u8> {
    let recipe = std::fs::read_to_string(dir.join("recipe.toml")).unwrap();
    let quoted = json!(recipe).to_string();
    let quoted = quoted.trim_matches('"').as_bytes();
    let mut model = std::fs::read(dir.join("models/pump-life/1/model.onnx")).unwrap();
    let mut windows = model.windows(quoted.len());
    let place = windows.position(|bytes| bytes == quoted);
    model[place.expect("lineage")..][..quoted.len()].fill(b' ');
    model
}

#[test]
fn labels_from_a_topic_give_the_model_of_those_from_a_file() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("failures");
    let (of_file, of_topic) = (plant(30), plant_with_topic(&brokers, &topic));
    create_topic(&brokers, &topic, 3);
    let feeder = Feeder::new(&brokers, &topic);
    let send = |key: &str, value: Option<String>| {
        let value = value.as_ref().map(String::as_bytes);
        feeder.send((!key.is_empty()).then_some(key.as_bytes()), value, None);
    };
    // What never was, and is taken back.
    let wrong = json!({"asset": "pump-3", "time": HOUR});
    send("order-3", Some(wrong.to_string()));
    send("order-3", None);
    for (pump, (asset, time)) in failures(of_file.path()).into_iter().enumerate() {
        let in_text = format!(
            "1970-01-0{}T{:02}:00:00Z",
            1 + time / HOUR / 24,
            time / HOUR % 24
        );
        match pump % 3 {
            0 => send(
                &asset,
                Some(json!({"time": time, "by": "somebody"}).to_string()),
            ),
            1 => send(
                "plant-1",
                Some(json!({"asset": asset, "time": in_text}).to_string()),
            ),
            _ => send(
                "",
                Some(json!({"asset": asset, "time": time, "kind": "failure"}).to_string()),
            ),
        }
        // Not of the kind that ends a life.
        let visit = json!({"asset": asset, "time": HOUR, "kind": "maintenance"});
        send("", Some(visit.to_string()));
    }
    feeder.flush();
    // Both recipes are of one length, so that the files that repeat them can be compared.
    let [as_file, as_topic] = [of_file.path(), of_topic.path()].map(|dir| dir.join("recipe.toml"));
    let text = std::fs::read_to_string(&as_file).unwrap();
    let length = std::fs::metadata(&as_topic).unwrap().len() as usize;
    std::fs::write(&as_file, format!("{text:length$}")).unwrap();
    let [first, second] = [of_file.path(), of_topic.path()].map(|dir| {
        let (status, told) = retrain(dir, &[]);
        assert_eq!(status, 0, "{told:#}");
        told
    });
    assert_eq!(
        first["report"]["data"]["failed"],
        second["report"]["data"]["failed"]
    );
    assert_eq!(first["report"]["figures"], second["report"]["figures"]);
    let [of_file, of_topic] = [of_file.path(), of_topic.path()].map(model_without_recipe);
    assert!(of_file == of_topic, "the models differ");
}

#[test]
fn a_failure_that_can_not_be_read_is_not_left_out_in_silence() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("failures");
    let dir = plant_with_topic(&brokers, &topic);
    let (recipe, input) = (
        path(dir.path(), "recipe.toml"),
        path(dir.path(), "readings.jsonl"),
    );
    let told = || text(&run(&["retrain", &recipe, "--input", &input]).stderr);
    let absent = told();
    assert!(
        absent.contains(&format!("topic {topic} does not exist")),
        "{absent}"
    );

    create_topic(&brokers, &topic, 1);
    let feeder = Feeder::new(&brokers, &topic);
    let send = |key: &[u8], value: Option<&[u8]>| {
        feeder.send(Some(key), value, None);
        feeder.flush();
    };
    send(b"pump-1", Some(b"{\"kind\": \"stop\"}"));
    let none = told();
    assert!(
        none.contains("no event is of kind failure; there is: stop"),
        "{none}"
    );
    send(b"pump-2", Some(b"it broke"));
    let broken = told();
    assert!(
        broken.contains("1 of its messages can't be read")
            && broken.contains("the first one, 0:1: no event"),
        "{broken}"
    );
    // Somebody has looked at it; or it is taken back.
    let text = std::fs::read_to_string(&recipe).unwrap();
    let borne = text.replace("\" }", "\", unreadable = 1 }");
    std::fs::write(&recipe, &borne).unwrap();
    let borne = told();
    assert!(
        borne.contains("passed over") && borne.contains("there is: stop"),
        "{borne}"
    );
    std::fs::write(&recipe, &text).unwrap();
    send(b"pump-2", None);
    let taken_back = told();
    assert!(taken_back.contains("there is: stop"), "{taken_back}");
    assert!(!taken_back.contains("can't be read"), "{taken_back}");

    // The topic of a status is read as the service reads it.
    let pipeline = path(dir.path(), "plant.toml");
    let status = format!(
        "{}[status.visit]\ntopic = \"{topic}\"\n",
        std::fs::read_to_string(&pipeline).unwrap()
    );
    std::fs::write(&pipeline, status).unwrap();
    std::fs::write(&recipe, text.replace("\" }", "\", unreadable = 1 }")).unwrap();
    send(b"pump-1", Some(b"{\"active\": true, \"at\": 7200000}"));
    let of_status = told();
    assert!(
        of_status.contains("no event is of kind failure; there is: visit"),
        "{of_status}"
    );
}

#[test]
fn engines_fail_in_a_topic_as_they_do_in_a_file() {
    let (Some(brokers), Some(data)) = (brokers(), data()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (file, telemetry, topic) = (
        path(dir.path(), "failures.csv"),
        unique("engines"),
        unique("failures"),
    );
    run_ok(&[
        "feed",
        "cmapss",
        "--data",
        data.to_str().unwrap(),
        "--brokers",
        &brokers,
        "--topic",
        &telemetry,
        "--failures",
        &file,
        "--failures-topic",
        &topic,
    ]);
    let expected = failures(dir.path());
    let records = read_committed(&brokers, &topic, expected.len(), Duration::from_secs(30));
    let failure = |record: &Record| {
        let json = record.json();
        assert_eq!(
            record.key.as_deref(),
            json["asset"].as_str().map(str::as_bytes)
        );
        assert_eq!(json["kind"], "failure");
        (
            json["asset"].as_str().unwrap().to_owned(),
            json["time"].as_i64().unwrap(),
        )
    };
    assert_eq!(records.iter().map(failure).collect::<Vec<_>>(), expected);
}
