//! Recurrent models: a state per asset, fed row by row, is the same computation as a window.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::Path;

use forewarn_models::{Model, Repository, Runtime, Verdict, Verdicts};

/// Features of the LSTM, and the rows of its window.
const F: usize = 3;
const L: usize = 6;

fn load(name: &str) -> Model {
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let files = Repository::new(root).resolve(name, None).unwrap();
    Model::load(&runtime, &files).unwrap()
}

/// A row of asset `asset` at step `step`: distinct values of ordinary size.
fn row(asset: usize, step: usize) -> [f32; F] {
    std::array::from_fn(|f| ((asset * 131 + step * 37 + f * 17) % 101) as f32 * 0.03 - 1.5)
}

fn value(verdicts: &Verdicts, row: usize) -> Option<f64> {
    verdicts.get(row).map(|verdict| match verdict {
        Verdict::Rul { value, .. } => value,
        Verdict::Anomaly { score, .. } => score,
        other => panic!("{other:?}"),
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Feeds `L` rows of each asset, `batch` assets a call: all values, and the states that are left.
fn step_through(model: &mut Model, assets: usize, batch: usize) -> (Vec<Option<f64>>, Vec<f32>) {
    let state_len = model.state_len();
    let mut state = vec![0.0; assets * state_len];
    let mut values = Vec::new();
    for step in 0..L {
        let rows: Vec<f32> = (0..assets).flat_map(|asset| row(asset, step)).collect();
        for (rows, state) in rows
            .chunks(batch * F)
            .zip(state.chunks_mut(batch * state_len))
        {
            let mut verdicts = Verdicts::default();
            model.score_recurrent(rows, state, &mut verdicts).unwrap();
            values.extend((0..verdicts.len()).map(|row| value(&verdicts, row)));
        }
    }
    (values, state)
}

#[test]
fn rows_one_by_one_give_what_their_window_gives() {
    const ASSETS: usize = 40;
    let mut window = load("lstm-window");
    let windows: Vec<f32> = (0..ASSETS)
        .flat_map(|asset| (0..L).flat_map(move |step| row(asset, step)))
        .collect();
    let mut verdicts = Verdicts::default();
    window.score(&windows, &mut verdicts).unwrap();
    let expected: Vec<Option<f64>> = (0..ASSETS).map(|asset| value(&verdicts, asset)).collect();
    // A network that says the same of everything would prove nothing.
    let (low, high) = expected
        .iter()
        .flatten()
        .fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
    assert!(high - low > 1.0, "from {low} to {high}");

    let mut step = load("lstm-step");
    assert_eq!((step.state_len(), step.contract.length()), (16, 1));
    let (values, _) = step_through(&mut step, ASSETS, 1);
    assert_eq!(values[(L - 1) * ASSETS..], expected, "bit for bit");
}

#[test]
fn batches_of_any_size_leave_the_same_bits() {
    // More assets than one run takes, and no multiple of any batch.
    const ASSETS: usize = 600;
    let mut model = load("lstm-step");
    let (values, state) = step_through(&mut model, ASSETS, 1);
    assert!(values.iter().all(Option::is_some));
    for batch in [2, 7, 33, 255, 256, 257, ASSETS] {
        let together = step_through(&mut model, ASSETS, batch);
        assert_eq!(together.0, values, "batches of {batch}");
        assert_eq!(bits(&together.1), bits(&state), "batches of {batch}");
    }
}

#[test]
fn a_fixed_batch_leaves_the_same_states() {
    // No multiple of the batch of 4.
    const ASSETS: usize = 10;
    let (values, state) = step_through(&mut load("lstm-step"), ASSETS, 1);
    let mut model = load("lstm-step-of-4");
    for batch in [1, 3, 4, ASSETS] {
        let fixed = step_through(&mut model, ASSETS, batch);
        assert_eq!(fixed.0, values, "{batch} assets a call");
        assert_eq!(bits(&fixed.1), bits(&state), "{batch} assets a call");
    }
}

#[test]
fn the_assets_of_a_batch_may_change_from_row_to_row() {
    let mut model = load("lstm-step");
    let state_len = model.state_len();
    let (_, expected) = step_through(&mut model, 5, 1);
    // Each asset is at its own step, and a batch holds those whose turn it is in a changing order.
    let mut steps = [0; 5];
    let mut states = vec![vec![0.0; state_len]; 5];
    for turn in 0..100 {
        let mut due: Vec<usize> = (0..5)
            .filter(|asset| steps[*asset] < L && (turn + asset) % (asset + 1) == 0)
            .collect();
        let first = turn % due.len().max(1);
        due.rotate_left(first);
        let rows: Vec<f32> = due
            .iter()
            .flat_map(|&asset| row(asset, steps[asset]))
            .collect();
        let mut state: Vec<f32> = due
            .iter()
            .flat_map(|&asset| states[asset].clone())
            .collect();
        model
            .score_recurrent(&rows, &mut state, &mut Verdicts::default())
            .unwrap();
        for (&asset, state) in due.iter().zip(state.chunks(state_len)) {
            states[asset].copy_from_slice(state);
            steps[asset] += 1;
        }
    }
    assert_eq!(steps, [L; 5], "all rows were fed");
    assert_eq!(bits(&states.concat()), bits(&expected));
}

#[test]
fn a_state_is_carried_from_row_to_row() {
    let mut model = load("running-sum");
    let mut state = vec![0.0; 2 * model.state_len()];
    let mut verdicts = Verdicts::default();
    for input in [[1.0, 2.0, 10.0, 20.0], [1.0, 0.0, 0.0, -20.0]] {
        model
            .score_recurrent(&input, &mut state, &mut verdicts)
            .unwrap();
    }
    assert_eq!(state, [2.0, 2.0, 10.0, 0.0]);
    let scores: Vec<Option<f64>> = (0..4).map(|row| value(&verdicts, row)).collect();
    assert_eq!(scores, [Some(2.5), Some(250.0), Some(4.0), Some(50.0)]);
}

#[test]
fn a_row_that_is_not_finite_leaves_its_state_and_its_neighbours() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut model = load("lstm-step");
        let state_len = model.state_len();
        let (_, before) = step_through(&mut model, 3, 1);
        let good: Vec<f32> = (0..3).flat_map(|asset| row(asset, L)).collect();
        let mut expected = before.clone();
        let mut neighbours = Verdicts::default();
        model
            .score_recurrent(&good, &mut expected, &mut neighbours)
            .unwrap();
        expected[state_len..2 * state_len].copy_from_slice(&before[state_len..2 * state_len]);

        let mut rows = good;
        rows[F + 1] = bad;
        let (mut state, mut verdicts) = (before, Verdicts::default());
        model
            .score_recurrent(&rows, &mut state, &mut verdicts)
            .unwrap();
        assert_eq!(verdicts.get(1), None, "{bad}");
        assert_eq!(verdicts.get(0), neighbours.get(0), "{bad}");
        assert_eq!(verdicts.get(2), neighbours.get(2), "{bad}");
        assert_eq!(bits(&state), bits(&expected), "{bad}");
    }
}

#[test]
fn a_result_that_overflows_leaves_its_state_and_its_neighbours() {
    let mut model = load("running-sum");
    let mut state = vec![1.0, f32::MAX, 1.0, 1.0];
    let mut verdicts = Verdicts::default();
    let rows = [1.0, f32::MAX, 2.0, 3.0];
    model
        .score_recurrent(&rows, &mut state, &mut verdicts)
        .unwrap();
    assert_eq!(verdicts.get(0), None);
    assert_eq!(value(&verdicts, 1), Some(12.5));
    assert_eq!(state, [1.0, f32::MAX, 3.0, 4.0]);
}

#[test]
fn a_state_that_overflows_takes_its_verdict_with_it() {
    // The output is the row itself, whatever the state.
    let mut model = load("batch-in-state");
    let mut state = vec![f32::MAX, 0.0, 0.0, 0.0];
    let mut verdicts = Verdicts::default();
    let rows = [f32::MAX, 1.0, 2.0, 4.0];
    model
        .score_recurrent(&rows, &mut state, &mut verdicts)
        .unwrap();
    assert_eq!(verdicts.get(0), None);
    assert_eq!(value(&verdicts, 1), Some(10.0));
    assert_eq!(state, [f32::MAX, 0.0, 2.0, 4.0]);
}

#[test]
fn states_that_depend_on_the_batch_are_found_and_scored_one_by_one() {
    let mut model = load("batch-in-state");
    let mut state = vec![0.0; 4];
    let rows = [1.0, 2.0, 10.0, 20.0];
    model
        .score_recurrent(&rows, &mut state, &mut Verdicts::default())
        .unwrap();
    assert_eq!(
        state, rows,
        "no row has its neighbour's values in its state"
    );
}

#[test]
fn a_state_of_another_length_is_refused() {
    let mut verdicts = Verdicts::default();
    let mut model = load("running-sum");
    for mut state in [vec![], vec![0.0; 3]] {
        let error = model
            .score_recurrent(&[1.0, 2.0], &mut state, &mut verdicts)
            .unwrap_err();
        assert!(error.to_string().contains("expected 2"), "{error}");
    }
    assert!(
        model.score(&[1.0, 2.0], &mut verdicts).is_err(),
        "it needs a state"
    );
    let mut plain = load("plain");
    assert_eq!(plain.state_len(), 0);
    assert!(
        plain
            .score_recurrent(&[1.0, 2.0], &mut [0.0], &mut verdicts)
            .is_err()
    );
    assert!(verdicts.is_empty());
}
