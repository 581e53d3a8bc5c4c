//! Models as exporters write them: each loads, and gives what Python's ONNX Runtime gives.
//!
//! `tests/corpus/make_corpus.py` exported them and stored what Python made of some rows. Another processor
//! may add in another order, so the stored numbers are compared within a tolerance; Python itself, where it is
//! at hand, runs the same library on the same processor, and then every bit of every output must be the same.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use forewarn_models::contract::Task;
use forewarn_models::{Contract, Model, Repository, Runtime, Verdict, Verdicts};
use serde_json::{Map, Value, json};

/// Largest differences that pass, relative to the larger of 1 and the expected number.
#[derive(Clone, Copy)]
struct Tolerance {
    output: f64,
    verdict: f64,
}

/// Of stored numbers: a few units in the last place of f32, and what the formulas make of them.
const STORED: Tolerance = Tolerance {
    output: 1e-5,
    verdict: 1e-4,
};
/// A last place of f16 is a thousandth.
const STORED_F16: Tolerance = Tolerance {
    output: 2e-3,
    verdict: 2e-3,
};
/// Of Python on the same machine: the same bits; the formulas are written in another order.
const LIVE: Tolerance = Tolerance {
    output: 0.0,
    verdict: 1e-9,
};
/// Contributions are told in f32.
const CONTRIBUTION: f64 = 1e-6;

/// Fewer files than this would mean that the corpus was not found, or thinned out.
const FEWEST: usize = 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

fn names() -> Vec<String> {
    let names = Repository::new(corpus().join("models")).names().unwrap();
    assert!(names.len() >= FEWEST, "{names:?}");
    names
}

fn stored(name: &str) -> Value {
    let path = corpus().join(format!("expected/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn load(repository: &Path, name: &str) -> Model {
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    let files = Repository::new(repository).resolve(name, None).unwrap();
    Model::load(&runtime, &files).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The numbers of a JSON array of arrays, in their order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// The rows of a stored input, the first `len` values of each; the rest is what a forecast is compared with.
fn rows(stored: &Value, len: usize) -> Vec<f32> {
    let rows = stored["input"].as_array().unwrap().iter().map(flat);
    rows.flat_map(|row| {
        row[..len]
            .iter()
            .map(|value| *value as f32)
            .collect::<Vec<_>>()
    })
    .collect()
}

/// All rows at once; of a recurrent model one after the other, being one asset's.
fn score(model: &mut Model, input: &[f32]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    if model.state_len() == 0 {
        model.score(input, &mut verdicts).unwrap();
        return verdicts;
    }
    let mut state = vec![0.0; model.state_len()];
    for row in input.chunks_exact(model.contract.input_len()) {
        model
            .score_recurrent(row, &mut state, &mut verdicts)
            .unwrap();
    }
    verdicts
}

/// The same file with another contract: its outputs as they are.
fn raw(name: &str, stored: &Value) -> Vec<(String, Vec<f64>)> {
    let outputs: Vec<String> = stored["outputs"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    if outputs.is_empty() {
        return Vec::new();
    }
    let folder = corpus().join("models").join(name).join("1");
    let manifest: toml::Table = std::fs::read_to_string(folder.join("model.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let input = [
        "features",
        "input",
        "input-layout",
        "sequence-length",
        "padding",
        "state",
    ];
    let mut contract: toml::Table = manifest
        .into_iter()
        .filter(|(key, _)| input.contains(&key.as_str()))
        .collect();
    contract.insert("task".into(), "custom".into());
    contract.insert("outputs".into(), outputs.clone().into());
    let repository = tempfile::tempdir().unwrap();
    let copy = repository.path().join(name).join("1");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::copy(folder.join("model.onnx"), copy.join("model.onnx")).unwrap();
    std::fs::write(copy.join("model.toml"), contract.to_string()).unwrap();

    let mut model = load(repository.path(), name);
    let input = rows(stored, model.contract.input_len());
    let verdicts = score(&mut model, &input);
    let mut told: Vec<(String, Vec<f64>)> = outputs.into_iter().map(|o| (o, Vec::new())).collect();
    for row in 0..verdicts.len() {
        let Some(Verdict::Custom { values, widths }) = verdicts.get(row) else {
            panic!("{name}: row {row} has no outputs")
        };
        let mut rest = values;
        for ((_, told), width) in told.iter_mut().zip(widths) {
            told.extend(&rest[..*width]);
            rest = &rest[*width..];
        }
    }
    told
}

/// A verdict in the words of `reference.py`.
fn told(contract: &Contract, verdict: Verdict<'_>) -> Value {
    let mut told = Map::new();
    match (&contract.task, verdict) {
        (_, Verdict::Anomaly { contributions, .. }) => {
            if let Some(confidence) = verdict.confidence() {
                told.insert("confidence".into(), confidence.into());
            }
            if !contributions.is_empty() {
                let named = contract.contributors().iter().zip(contributions);
                let named = named.map(|(name, share)| (name.clone(), json!(share)));
                told.insert("contributions".into(), named.collect::<Map<_, _>>().into());
            }
            told.insert("anomalous".into(), verdict.anomalous().into());
        }
        (
            Task::Rul(_),
            Verdict::Rul {
                value,
                health,
                interval,
                failure,
            },
        ) => {
            told.insert("value".into(), value.into());
            told.insert("health".into(), health.into());
            if let Some(interval) = interval {
                told.insert("low".into(), interval.low.into());
                told.insert("high".into(), interval.high.into());
                told.insert("open".into(), interval.open.into());
                told.insert("failure".into(), failure.to_vec().into());
            }
        }
        (
            Task::Classification(classes),
            Verdict::Class {
                class,
                probabilities,
                ..
            },
        ) => {
            told.insert("class".into(), classes.classes[class].clone().into());
            told.insert("anomalous".into(), verdict.anomalous().into());
            if !probabilities.is_empty() {
                told.insert("probabilities".into(), probabilities.to_vec().into());
            }
        }
        (_, Verdict::Custom { values, .. }) => {
            told.insert("values".into(), values.to_vec().into());
        }
        (task, other) => panic!("{task:?} gave {other:?}"),
    }
    if let Some(score) = verdict.score() {
        told.insert("score".into(), score.into());
    }
    told.into()
}

fn near(told: f64, expected: f64, tolerance: f64) -> bool {
    told.to_bits() == expected.to_bits()
        || (told - expected).abs() <= tolerance * expected.abs().max(1.0)
}

/// Where two JSON values differ; numbers by more than the tolerance.
fn difference(told: &Value, expected: &Value, tolerance: f64) -> Option<String> {
    let differs = || Some(format!("{told} instead of {expected}"));
    match (told, expected) {
        (Value::Number(a), Value::Number(b)) => {
            if near(a.as_f64()?, b.as_f64()?, tolerance) {
                None
            } else {
                differs()
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b);
            pairs
                .filter_map(|(a, b)| difference(a, b, tolerance))
                .next()
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            let mut found = a.iter().filter_map(|(key, a)| {
                let tolerance = match key.as_str() {
                    "contributions" => tolerance.max(CONTRIBUTION),
                    _ => tolerance,
                };
                let b = b.get(key).unwrap_or(&Value::Null);
                difference(a, b, tolerance).map(|difference| format!("{key}: {difference}"))
            });
            found.next()
        }
        (a, b) if a == b => None,
        _ => differs(),
    }
}

/// Scores the stored input of `name` and compares outputs and verdicts with `expected`.
fn compare(
    name: &str,
    stored: &Value,
    expected: &Value,
    tolerance: Tolerance,
) -> Result<(), String> {
    for (output, told) in raw(name, stored) {
        let wanted = flat(&expected["outputs"][&output]);
        if told.len() != wanted.len() {
            return Err(format!(
                "{name}: {output} has {} values, not {}",
                told.len(),
                wanted.len()
            ));
        }
        for (place, (told, wanted)) in told.iter().zip(&wanted).enumerate() {
            if !near(*told, *wanted, tolerance.output) {
                return Err(format!("{name}: {output}[{place}] is {told}, not {wanted}"));
            }
        }
    }
    let mut model = load(&corpus().join("models"), name);
    let input = rows(stored, model.contract.input_len());
    let verdicts = score(&mut model, &input);
    let wanted = expected["verdicts"].as_array().unwrap();
    if verdicts.len() != wanted.len() {
        return Err(format!(
            "{name}: {} verdicts, not {}",
            verdicts.len(),
            wanted.len()
        ));
    }
    for (row, wanted) in wanted.iter().enumerate() {
        let verdict = verdicts
            .get(row)
            .ok_or(format!("{name}: row {row} has no verdict"))?;
        let told = told(&model.contract, verdict);
        if let Some(difference) = difference(&told, wanted, tolerance.verdict) {
            return Err(format!("{name}: row {row}: {difference}"));
        }
    }
    Ok(())
}

#[test]
fn every_exported_file_scores_as_python_stored_it() {
    for name in names() {
        let stored = stored(&name);
        let tolerance = if name.ends_with("float16") {
            STORED_F16
        } else {
            STORED
        };
        compare(&name, &stored, &stored, tolerance).unwrap();
    }
}

#[test]
fn every_exported_file_scores_as_python_does_now_bit_for_bit() {
    let python = std::env::var_os("FOREWARN_PYTHON").filter(|path| Path::new(path).exists());
    let Some(python) = python else {
        println!("skipped: FOREWARN_PYTHON is not set, `make setup` brings it");
        return;
    };
    for name in names() {
        let run = Command::new(&python)
            .arg(corpus().join("reference.py"))
            .arg(corpus().join("models").join(&name).join("1"))
            .arg(corpus().join(format!("expected/{name}.json")))
            .output()
            .unwrap();
        assert!(
            run.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        let live: Value = serde_json::from_slice(&run.stdout).unwrap();
        compare(&name, &stored(&name), &live, LIVE).unwrap();
    }
}

#[test]
fn a_number_that_is_off_is_found() {
    let name = "torch-lstm";
    let stored = stored(name);
    for pointer in [
        "/outputs/life/7/0",
        "/verdicts/7/value",
        "/verdicts/7/failure/1",
    ] {
        let mut wrong = stored.clone();
        let number = wrong.pointer_mut(pointer).unwrap();
        *number = (number.as_f64().unwrap() + 0.01).into();
        assert!(compare(name, &stored, &wrong, STORED).is_err(), "{pointer}");
    }
}
