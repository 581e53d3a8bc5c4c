//! Models of the normal state from rows to the graph: that faults lie beyond what is normal, that the graph says what the
//! trainer says, and that a training is the same in every run.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

#[path = "../../tests/support/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::path::Path;

use forewarn_models::{Model, ModelFiles, Runtime, Verdicts};
use forewarn_training::detector::{
    DenseSettings, Detector, MixtureSettings, PcaSettings, SequenceSettings, Trainer, Watched,
};
use forewarn_training::neural::{Settings, Stop};
use forewarn_training::random::Random;
use forewarn_training::rows::{AssetRows, Rows};
use forewarn_training::scaling::Scaling;

use python::check_graph;

const FEATURES: [&str; 4] = ["speed", "pressure", "flow", "heat"];

/// Pumps that are well: pressure and flow follow a load, in two regimes that shift both; heat follows the load slowly. With
/// `broken` rows at the end in which the flow no longer follows.
fn pumps(count: usize, seed: u64, broken: usize) -> Rows {
    let asset = |pump: usize| {
        let mut random = Random::new(seed, pump as u64);
        let (mut load, mut heat) = (0.0, 0.0);
        let mut asset = AssetRows {
            asset: format!("pump-{pump}"),
            ..AssetRows::default()
        };
        for row in 0..200 {
            load = 0.9 * load + 0.4 * random.normal();
            heat += 0.1 * (load - heat);
            let regime = random.below(2) as f64;
            let flow = if row >= 200 - broken { -load } else { load };
            asset.times.push(row as i64 * 1_000_000);
            asset.values.extend([
                (1_000.0 + 500.0 * regime) as f32,
                (80.0 + 30.0 * regime + 5.0 * load + 0.3 * random.normal()) as f32,
                (5.0 - regime + 0.5 * flow + 0.03 * random.normal()) as f32,
                (40.0 + 8.0 * heat + 0.1 * random.normal()) as f32,
            ]);
        }
        asset
    };
    Rows {
        features: FEATURES.map(Into::into).to_vec(),
        assets: (0..count).map(asset).collect(),
        incomplete: 0,
    }
}

fn learning(steps: usize) -> Settings {
    Settings {
        steps,
        batch: 64,
        rate: 5e-3,
        round: steps.div_ceil(4),
        ..Settings::default()
    }
}

fn trainers() -> [Trainer; 4] {
    [
        Trainer::Pca(PcaSettings::default()),
        Trainer::Mixture(MixtureSettings { components: 2 }),
        Trainer::Autoencoder(DenseSettings {
            hidden: vec![8, 2, 8],
            learning: learning(600),
            ..DenseSettings::default()
        }),
        Trainer::LstmAutoencoder(SequenceSettings {
            length: 8,
            encoder: 6,
            decoder: 8,
            learning: learning(400),
            ..SequenceSettings::default()
        }),
    ]
}

fn learn(
    trainer: &Trainer,
    on: &dyn Fn() -> bool,
    file: Option<&Path>,
) -> Result<Detector, String> {
    let rows = pumps(20, 1, 0);
    let per = BTreeMap::from([("speed".to_owned(), 10.0)]);
    let scaling = Scaling::fit(&rows, &per).unwrap();
    assert_eq!((scaling.regimes(), scaling.width()), (2, 3));
    let watched = Watched {
        checkpoint: file.map(|file| (file, "the same")),
        on: &|_, _| on(),
    };
    let trained = Detector::fit(&rows, scaling, trainer, 1, &watched);
    trained
        .map(|trained| trained.detector)
        .map_err(|error| error.to_string())
}

#[test]
fn what_no_longer_goes_together_lies_beyond_what_is_normal() {
    // Of 500, beyond what one of a hundred normal ones exceeds. The network over time is small, and learns for seconds.
    let least = [250, 250, 250, 100];
    for (trainer, least) in trainers().into_iter().zip(least) {
        let detector = learn(&trainer, &|| true, None).unwrap();
        let length = detector.length();
        let mut normal = detector.scores(&pumps(10, 2, 0));
        normal.sort_by(f64::total_cmp);
        let limit = normal[normal.len() * 99 / 100];
        // Sequences that lie in the broken rows as a whole.
        let broken = detector.scores(&pumps(10, 3, 60));
        let broken = broken
            .chunks_exact(200 + 1 - length)
            .flat_map(|scores| &scores[scores.len() - 50..]);
        let beyond = broken.filter(|score| **score > limit).count();
        assert!(
            beyond > least,
            "{trainer:?}: {beyond} of 500 beyond {limit}"
        );
    }
}

#[test]
fn a_graph_is_the_trainers() {
    let runtime =
        Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH");
    for trainer in trainers() {
        let detector = learn(&trainer, &|| true, None).unwrap();
        let features = serde_json::to_string(&FEATURES).unwrap();
        let keys = [
            ("contract", "1"),
            ("task", "anomaly"),
            ("features", &features),
            ("threshold", "1"),
        ];
        let keys = keys.map(|(key, value)| (format!("forewarn.{key}"), value.to_owned()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("model.onnx"),
            detector.export("pumps", keys.to_vec()),
        )
        .unwrap();
        check_graph(&dir.path().join("model.onnx"));
        let mut loaded =
            Model::load(&runtime, &ModelFiles::in_folder("pumps", 1, dir.path())).unwrap();
        let rows = pumps(3, 4, 60);
        let told = detector.scores(&rows);
        let length = detector.length();
        assert_eq!(told.len(), 3 * (201 - length));
        let mut input = Vec::new();
        for asset in &rows.assets {
            for end in length..=200 {
                input.extend_from_slice(&asset.values[(end - length) * 4..end * 4]);
            }
        }
        let mut verdicts = Verdicts::default();
        loaded.score(&input, &mut verdicts).unwrap();
        assert_eq!(verdicts.len(), told.len());
        for (row, told) in told.into_iter().enumerate() {
            let said = verdicts.get(row).unwrap().score().unwrap();
            assert!(
                (said - told).abs() < 1e-4 * told.max(1.0),
                "{trainer:?}: {said} and {told}"
            );
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_model_also_after_a_stop() {
    for trainer in trainers() {
        let expected = learn(&trainer, &|| true, None).unwrap();
        assert_eq!(
            learn(&trainer, &|| true, None).unwrap(),
            expected,
            "{trainer:?}"
        );
        if trainer.rounds() == 0 {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("checkpoint.bin");
        let stopped = learn(&trainer, &|| false, Some(&file)).unwrap_err();
        assert_eq!(stopped, Stop::Interrupted { round: 1 }.to_string());
        let rounds = std::cell::Cell::new(0);
        let counted = || {
            rounds.set(rounds.get() + 1);
            true
        };
        assert_eq!(
            learn(&trainer, &counted, Some(&file)).unwrap(),
            expected,
            "{trainer:?}"
        );
        assert_eq!(
            rounds.get(),
            3,
            "it went on behind the first of four rounds"
        );
    }
}
