//! What `forewarn feed` sends has one form: nearly all of it is read in the form of the message before, which is what
//! makes decoding fast.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::Path;

use forewarn_models::Loader;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::{Config, Engine, Plan};
use forewarn_training::cars::{self, Fleet, FleetConfig};
use forewarn_training::cmapss::{self, Cycle};

/// Takes the log through the engine of a shipped configuration; how many of its messages were familiar, and how many
/// were readings.
fn familiar(config: &str, log: &[(String, Vec<u8>)]) -> (u64, u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(config);
    let config = Config::load(&path).unwrap();
    let mut plan = Plan::build(&config, &Loader::trusted()).unwrap();
    plan.score_nothing();
    let mut engine = Engine::new(&config, plan);
    engine.assign(0, 0, 0, Vec::new());
    let messages = log.iter().zip(0..);
    let messages = messages.map(|((key, payload), offset)| Message {
        partition: 0,
        offset,
        timestamp: None,
        key: Some(key.as_bytes()),
        payload: Some(payload),
    });
    let step = engine.step(&messages.collect::<Vec<_>>()).unwrap();
    (step.familiar, step.readings)
}

#[test]
fn all_messages_of_the_feeds_but_the_first_are_familiar() {
    let fleet = Fleet::new(FleetConfig {
        assets: 50,
        ..FleetConfig::default()
    });
    let mut payload = Vec::new();
    let cars: Vec<_> = fleet
        .take(1_000)
        .map(|(reading, _)| {
            payload.clear();
            cars::write_json(&reading, &mut payload);
            (reading.asset(), payload.clone())
        })
        .collect();
    assert_eq!(familiar("deploy/cars.toml", &cars), (999, 1_000));

    let engines: Vec<_> = (1..=100)
        .map(|cycle| {
            // In the ranges of a working sensor, with as many decimals as the real ones.
            let sensors = [
                518.67, 642.35, 1587.05, 1402.13, 14.62, 21.61, 554.02, 2388.06, 9050.7, 1.3,
                47.35, 522.42, 2388.02, 8138.62, 8.4195, 0.03, 392.0, 2388.0, 100.0, 39.06, 23.419,
            ];
            let cycle = Cycle {
                unit: 1,
                cycle,
                settings: [-0.0007, 1e-5, 100.0],
                sensors: sensors.map(|value: f64| value + f64::from(cycle) / 1_000.0),
            };
            payload.clear();
            cmapss::write_json(
                &cycle,
                1_767_225_600_000 + i64::from(cycle.cycle),
                &mut payload,
            );
            ("engine-1".to_owned(), payload.clone())
        })
        .collect();
    assert_eq!(familiar("deploy/turbofan.toml", &engines), (99, 100));
}
