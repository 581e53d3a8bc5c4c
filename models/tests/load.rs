//! Models that fit and models that do not: each is loaded, or refused with its reason and the remedy.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::Path;

use forewarn_models::{LoadError, Model, Repository, Runtime, Verdict, Verdicts};

fn load(name: &str) -> Result<Model, LoadError> {
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    Model::load(
        &runtime,
        &Repository::new(root).resolve(name, None).unwrap(),
    )
}

#[test]
fn a_model_that_fits_scores_by_the_formula() {
    let mut model = load("plain").unwrap();
    let mut verdicts = Verdicts::default();
    model.score(&[3.0, -1.0, 0.5, 0.5], &mut verdicts).unwrap();
    let told: Vec<(f64, bool)> = (0..2)
        .map(|row| match verdicts.get(row).unwrap() {
            verdict @ Verdict::Anomaly { score, .. } => (score, verdict.anomalous()),
            _ => panic!("an anomaly model"),
        })
        .collect();
    assert_eq!(told, [(5.0, true), (0.25, false)]);
}

#[test]
fn a_sequence_is_oldest_first() {
    let mut model = load("weighted").unwrap();
    let mut verdicts = Verdicts::default();
    model.score(&[1.0, 2.0, 3.0], &mut verdicts).unwrap();
    assert_eq!(
        verdicts.get(0),
        Some(Verdict::Rul {
            value: 321.0,
            health: 0.321,
            interval: None,
            failure: &[],
        })
    );
}

#[test]
fn more_rows_than_one_run_takes_are_scored_in_order() {
    let mut model = load("plain").unwrap();
    let mut verdicts = Verdicts::default();
    let input: Vec<f32> = (0..2_000).map(|i| i as f32).collect();
    model.score(&input, &mut verdicts).unwrap();
    assert_eq!(verdicts.len(), 1_000);
    for row in 0..1_000 {
        let (a, b) = (f64::from(input[2 * row]), f64::from(input[2 * row + 1]));
        let Some(Verdict::Anomaly { score, .. }) = verdicts.get(row) else {
            panic!()
        };
        assert_eq!(score, (a * a + b * b) / 2.0);
    }
}

#[test]
fn other_types_and_a_fixed_batch_give_the_same_scores() {
    let input: Vec<f32> = (0..200).map(|i| i as f32 * 0.25 - 7.0).collect();
    let mut expected = Verdicts::default();
    load("plain").unwrap().score(&input, &mut expected).unwrap();
    for name in ["float64", "fixed-batch", "fixed-batch-of-16"] {
        let mut verdicts = Verdicts::default();
        load(name).unwrap().score(&input, &mut verdicts).unwrap();
        assert_eq!(verdicts, expected, "{name}");
    }
}

#[test]
fn a_value_that_a_type_can_not_hold_leaves_its_row_without_a_verdict() {
    // 65,504 is the largest f16, 2^31 is beyond i32; both would become another number.
    for (name, beyond) in [("float16", 70_000.0), ("int32", 2_147_483_648.0)] {
        let mut verdicts = Verdicts::default();
        let input = [1.0, 2.0, beyond, 1.0, -3.0, 1.0];
        load(name).unwrap().score(&input, &mut verdicts).unwrap();
        let scores = [0, 1, 2].map(|row| verdicts.get(row)?.score());
        assert_eq!(scores, [Some(2.5), None, Some(5.0)], "{name}");
    }
}

#[test]
fn each_misfit_is_refused_with_its_reason_and_remedy() {
    for (name, reason) in [
        ("no-contract", "model.toml"),
        ("no-threshold", "forewarn.threshold is missing"),
        ("wrong-width", "correct forewarn.features"),
        ("wrong-output", "its outputs are e"),
        ("truncated", "ONNX Runtime can't load it"),
        ("logits", "end the graph with a softmax"),
    ] {
        let error = load(name).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
        assert!(
            error.contains(&format!("{name}/1/model.onnx")),
            "names the file: {error}"
        );
    }
}

#[test]
fn a_manifest_beside_the_file_completes_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("pump/3");
    std::fs::create_dir_all(&version).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    std::fs::copy(
        fixtures.join("no-contract/1/model.onnx"),
        version.join("model.onnx"),
    )
    .unwrap();
    let manifest = "task = \"anomaly\"\nfeatures = [\"a\", \"b\"]\nthreshold = 2.5\n[output]\nresidual = \"e\"\n";
    std::fs::write(version.join("model.toml"), manifest).unwrap();
    let runtime = Runtime::load(None).unwrap();
    let files = Repository::new(dir.path()).resolve("pump", None).unwrap();
    let model = Model::load(&runtime, &files).unwrap();
    assert_eq!((model.version, model.contract.features.len()), (3, 2));
    // What the file itself says is overridden, or taken away.
    std::fs::copy(
        fixtures.join("plain/1/model.onnx"),
        version.join("model.onnx"),
    )
    .unwrap();
    let manifest = "task = \"custom\"\noutputs = [\"e\"]\nunits = \"\"\n";
    std::fs::write(version.join("model.toml"), manifest).unwrap();
    let contract = Model::load(&runtime, &files).unwrap().contract;
    assert_eq!((contract.task.name(), contract.units.len()), ("custom", 0));
    // One that is no TOML is told with its place.
    std::fs::write(version.join("model.toml"), "task = ").unwrap();
    let error = Model::load(&runtime, &files).unwrap_err().to_string();
    assert!(error.contains("model.toml"), "{error}");
}
