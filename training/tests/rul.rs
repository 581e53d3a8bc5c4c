//! Models of remaining life from rows to the graph: what is learnt, that it is the same in every run, and that the graph
//! says what the trainer says.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::cell::Cell as Counter;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use forewarn_models::{Model, ModelFiles, Runtime, Verdict, Verdicts};
use forewarn_training::evaluate::rmse;
use forewarn_training::labels::Labels;
use forewarn_training::lives::{Lives, Target};
use forewarn_training::neural::{Cell, Settings, Stop};
use forewarn_training::random::Random;
use forewarn_training::rows::{AssetRows, Rows};
use forewarn_training::rul::{RulModel, Trained, Training, train};
use forewarn_training::scaling::Scaling;
use forewarn_training::split::Split;

const HOUR: i64 = 3_600_000_000;
const TARGET: Target = Target {
    unit: HOUR,
    cap: 40.0,
};

/// Pumps that wear out: a signal that rises towards the failure, one that falls, in two regimes that shift both, and one
/// that says nothing. Each fails after its last row, and every eighth one has not failed yet.
fn pumps(count: usize, seed: u64) -> (Rows, Labels) {
    let (mut rows, mut labels) = (Rows::default(), Labels::default());
    rows.features = ["speed", "rising", "falling", "noise"]
        .map(Into::into)
        .to_vec();
    for pump in 0..count {
        let mut random = Random::new(seed, pump as u64);
        let life = 50 + random.below(40);
        let mut asset = AssetRows {
            asset: format!("pump-{pump:03}"),
            ..AssetRows::default()
        };
        for hour in 0..life {
            let left = (life - 1 - hour) as f64;
            let wear = (1.0 - left / 60.0).max(0.0).powi(2);
            let regime = random.below(2) as f64;
            asset.times.push(hour as i64 * HOUR);
            asset.values.extend([
                (1_000.0 + 500.0 * regime) as f32,
                (80.0 + 30.0 * regime + 8.0 * wear + 0.5 * random.normal()) as f32,
                (5.0 - regime - 0.6 * wear + 0.05 * random.normal()) as f32,
                random.normal() as f32,
            ]);
        }
        if pump % 8 != 7 {
            labels.add(asset.asset.clone(), (life as i64 - 1) * HOUR);
        }
        rows.assets.push(asset);
    }
    (rows, labels)
}

fn split() -> Split {
    Split {
        hold_out: 0.25,
        seed: 3,
        ..Split::default()
    }
}

fn training(cell: Cell) -> Training {
    Training {
        cell,
        hidden: vec![12],
        dense: vec![8],
        dropout: 0.1,
        memory: 20.0,
        members: 2,
        watched: true,
        learning: Settings {
            steps: 120,
            batch: 8,
            round: 40,
            ..Settings::default()
        },
        ..Training::default()
    }
}

/// The rows that train and those that are held back.
fn parts(rows: &Rows) -> [Rows; 2] {
    let is_held_out = |asset: &str| split().holds_out(asset);
    [
        rows.only(|asset| !is_held_out(asset)),
        rows.only(is_held_out),
    ]
}

fn learn(
    cell: Cell,
    work: Option<&std::path::Path>,
    on: impl Fn() -> bool + Sync,
) -> Result<Trained, Stop> {
    let (rows, labels) = pumps(32, 5);
    let [rows, _] = parts(&rows);
    let scaling = Scaling::fit(&rows, &BTreeMap::from([("speed".to_owned(), 10.0)])).unwrap();
    train(
        (&rows, scaling, &labels),
        TARGET,
        &split(),
        &training(cell),
        work,
        |_| on(),
    )
}

/// The rows of the held-back pumps, and their lives.
fn held_out(model: &RulModel) -> (Rows, Lives) {
    let (rows, labels) = pumps(32, 5);
    let [_, rows] = parts(&rows);
    let change = training(Cell::Lstm).change;
    let lives = Lives::new(&rows, &model.scaling, &labels, TARGET, change);
    (rows, lives)
}

/// Bits of all that a model says of the held-back pumps.
fn bits(model: &RulModel) -> Vec<u64> {
    let (_, lives) = held_out(model);
    let told = model.predict(&lives).into_iter().flatten();
    told.flat_map(|told| [told.low, told.mean, told.high].map(f64::to_bits))
        .collect()
}

#[test]
fn an_ensemble_learns_how_long_pumps_will_live() {
    let model = learn(Cell::Lstm, None, || true).unwrap().model;
    assert_eq!((model.members(), model.scaling.regimes()), (2, 2));
    let (_, lives) = held_out(&model);
    let (mut told, mut truth, mut held) = (Vec::new(), Vec::new(), 0);
    for (life, said) in model.predict(&lives).into_iter().enumerate() {
        for (row, (said, left)) in said.into_iter().zip(lives.truth(life)).enumerate() {
            if let Some(left) = left
                && lives.is_judged(life, row)
            {
                told.push(said.mean);
                truth.push(left);
                held += usize::from(said.low <= left && left <= said.high);
            }
        }
    }
    assert!(truth.len() > 100, "{}", truth.len());
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let constant = rmse(&vec![mean; truth.len()], &truth);
    let learnt = rmse(&told, &truth);
    assert!(
        learnt < 0.5 * constant,
        "{learnt} against {constant} of the constant mean"
    );
    let share = held as f64 / truth.len() as f64;
    assert!(share > 0.5, "the interval holds {share}");
}

#[test]
fn what_was_learnt_from_other_labels_is_not_gone_on_with() {
    let (rows, labels) = pumps(8, 5);
    let work = tempfile::tempdir().unwrap();
    let mut training = Training {
        members: 1,
        watched: false,
        ..training(Cell::Lstm)
    };
    (training.learning.steps, training.learning.round) = (2, 1);
    let rounds = |labels: &Labels| {
        let rounds = AtomicUsize::new(0);
        let scaling = Scaling::fit(&rows, &BTreeMap::new()).unwrap();
        let on = |_| {
            rounds.fetch_add(1, Ordering::SeqCst);
            true
        };
        let work = Some(work.path());
        train(
            (&rows, scaling, labels),
            TARGET,
            &split(),
            &training,
            work,
            on,
        )
        .unwrap();
        rounds.into_inner()
    };
    assert_eq!(rounds(&labels), 2);
    assert_eq!(rounds(&labels), 0, "it is done");
    let mut others = labels.clone();
    others.add("pump-000".into(), 10 * HOUR);
    assert_eq!(rounds(&others), 2);
}

#[test]
fn the_same_seed_gives_the_same_bits_also_after_a_stop() {
    let expected = bits(&learn(Cell::Lstm, None, || true).unwrap().model);
    assert_eq!(
        bits(&learn(Cell::Lstm, None, || true).unwrap().model),
        expected
    );
    let work = tempfile::tempdir().unwrap();
    let rounds = AtomicUsize::new(0);
    // Ended twice, after some rounds of both members.
    for _ in 0..2 {
        let before = rounds.load(Ordering::SeqCst);
        let go_on = || rounds.fetch_add(1, Ordering::SeqCst) < before;
        let stopped = learn(Cell::Lstm, Some(work.path()), go_on);
        assert!(
            matches!(stopped, Err(Stop::Interrupted { .. })),
            "{stopped:?}"
        );
    }
    let before = rounds.load(Ordering::SeqCst);
    let counted = || {
        rounds.fetch_add(1, Ordering::SeqCst);
        true
    };
    let model = learn(Cell::Lstm, Some(work.path()), counted).unwrap().model;
    assert_eq!(bits(&model), expected);
    let after = rounds.load(Ordering::SeqCst);
    assert!(
        after - before < 6,
        "it went on where it was: {before} and {after} of 6 rounds"
    );
}

/// Fed row by row, with its states, a graph says what the trainer says of the whole life.
fn graph_equals_trainer(cell: Cell) {
    let model = learn(cell, None, || true).unwrap().model;
    let (held_out, lives) = held_out(&model);
    let told = model.predict(&lives);
    let keys = [
        ("contract", "1"),
        ("task", "rul"),
        ("unit", "hours"),
        (
            "features",
            "[\"speed\", \"rising\", \"falling\", \"noise\"]",
        ),
        ("quantiles", "[0.05, 0.5, 0.95]"),
    ];
    let keys = keys.map(|(key, value)| (format!("forewarn.{key}"), value.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("model.onnx"),
        model.export("pumps", keys.to_vec()),
    )
    .unwrap();
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    let mut loaded = Model::load(&runtime, &ModelFiles::in_folder("pumps", 1, dir.path())).unwrap();
    let assets = held_out.assets.len();
    let mut states = vec![0.0; assets * loaded.state_len()];
    let largest = Counter::new(0.0_f64);
    let longest = held_out.assets.iter().map(AssetRows::len).max().unwrap();
    for row in 0..longest {
        // An asset without a row there gets its last one again; nothing is compared then.
        let values: Vec<f32> = held_out
            .assets
            .iter()
            .flat_map(|asset| {
                asset.values[row.min(asset.len() - 1) * 4..][..4]
                    .iter()
                    .copied()
            })
            .collect();
        let mut verdicts = Verdicts::default();
        loaded
            .score_recurrent(&values, &mut states, &mut verdicts)
            .unwrap();
        for (asset, rows) in held_out.assets.iter().enumerate() {
            let Some(Verdict::Rul {
                value, interval, ..
            }) = verdicts.get(asset).filter(|_| row < rows.len())
            else {
                continue;
            };
            let (told, interval) = (told[asset][row], interval.expect("quantiles"));
            for (graph, trainer) in [
                (value, told.mean),
                (interval.low, told.low),
                (interval.high, told.high),
            ] {
                largest.set(largest.get().max((graph - trainer).abs() / TARGET.cap));
            }
        }
    }
    assert!(largest.get() < 1e-5, "{}", largest.get());
}

#[test]
fn an_lstm_in_the_graph_is_the_trainers() {
    graph_equals_trainer(Cell::Lstm);
}

#[test]
fn a_gru_in_the_graph_is_the_trainers() {
    graph_equals_trainer(Cell::Gru);
}
