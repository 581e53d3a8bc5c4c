//! Results are attributed to the features that they are due to.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::Path;

use forewarn_models::{Model, Repository, Runtime, Verdict, Verdicts};

/// A fixture, with a contract that says more.
fn load(name: &str, manifest: &str) -> Model {
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join(name).join("1");
    std::fs::create_dir_all(&version).unwrap();
    let fixture = fixtures.join(name).join("1/model.onnx");
    std::fs::copy(fixture, version.join("model.onnx")).unwrap();
    std::fs::write(version.join("model.toml"), manifest).unwrap();
    let files = Repository::new(dir.path()).resolve(name, None).unwrap();
    Model::load(&runtime, &files).unwrap()
}

#[test]
fn a_sequence_is_occluded_in_all_its_rows() {
    // 1·a₋₂ + 10·a₋₁ + 100·a₀: less than with the reference, so the whole of what is missing is due to a.
    let mut model = load("weighted", "reference = [9.0]\n");
    assert!(model.contract.is_attributable());
    let mut shares = Vec::new();
    model
        .attribute(
            &[1.0, 2.0, 3.0, 20.0, 20.0, 20.0, 9.0, 9.0, 9.0],
            &[],
            &mut shares,
        )
        .unwrap();
    assert_eq!(shares, [1.0, -1.0, 0.0]);
}

#[test]
fn what_spoke_against_has_a_negative_share() {
    // P(worn) is b, and P(ok) is a: bad is 1 − a.
    let mut model = load("classes", "reference = [0.5, 0.5]\n");
    let mut shares = Vec::new();
    model
        .attribute(&[0.2, 0.8, 0.9, 0.1], &[], &mut shares)
        .unwrap();
    assert_eq!(shares, [1.0, 0.0, -1.0, 0.0]);
}

#[test]
fn a_row_of_a_recurrent_model_is_occluded_with_the_state_that_it_found() {
    let mut model = load("lstm-step", "reference = [0.5, -0.5, 0.0]\n");
    let (row, mut found) = ([2.0, 1.0, -1.0], vec![0.0; model.state_len()]);
    let mut told = |row: &[f32], state: &mut Vec<f32>| {
        let mut verdicts = Verdicts::default();
        model.score_recurrent(row, state, &mut verdicts).unwrap();
        match verdicts.get(0).unwrap() {
            Verdict::Rul { value, .. } => value,
            other => panic!("{other:?}"),
        }
    };
    for earlier in [[1.0, 0.0, 0.5], [-1.0, 2.0, 0.0]] {
        told(&earlier, &mut found);
    }
    // Bad is −RUL.
    let whole = -told(&row, &mut found.clone());
    let occluded = [[0.5, 1.0, -1.0], [2.0, -0.5, -1.0], [2.0, 1.0, 0.0]];
    let deltas = occluded.map(|row| whole + told(&row, &mut found.clone()));
    let total: f64 = deltas.iter().map(|delta| delta.abs()).sum();
    assert!(total > 0.0);
    let expected = deltas.map(|delta| (delta / total) as f32);
    let mut shares = Vec::new();
    let (rows, states) = ([row, row].concat(), [found.clone(), found].concat());
    model.attribute(&rows, &states, &mut shares).unwrap();
    assert_eq!(shares, [expected, expected].concat());
}

#[test]
fn models_that_tell_by_themselves_or_name_nothing_typical_are_not_occluded() {
    for (name, manifest) in [("plain", "reference = [0.0, 0.0]\n"), ("weighted", "")] {
        assert!(!load(name, manifest).contract.is_attributable(), "{name}");
    }
}
