//! The engine as a function of the log: whatever the cuts, repeats and restarts, the same outputs.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::path::{Path, PathBuf};

use forewarn_models::Loader;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::{Config, Engine, Plan, Prediction};
use proptest::prelude::*;

const CONFIG: &str = include_str!("../../deploy/turbofan.toml");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn engine() -> Engine {
    let config = Config::parse("turbofan.toml", CONFIG, &root().join("deploy")).unwrap();
    let plan = Plan::build(&config, &Loader::trusted()).unwrap();
    Engine::new(&config, plan)
}

/// A message of the log: asset, payload.
type Entry = (String, Vec<u8>);

/// A log of one partition: a few engines with wandering sensors, and some messages that are no readings.
fn log(seed: u64, length: usize) -> Vec<Entry> {
    let mut state = seed | 1;
    let mut random = move || {
        // xorshift: enough to make unlike numbers.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let typical = [
        ("T24", 642.0),
        ("T30", 1587.0),
        ("T50", 1405.0),
        ("P30", 554.0),
        ("Nf", 2388.0),
        ("Nc", 9060.0),
        ("Ps30", 47.4),
        ("phi", 521.5),
        ("NRf", 2388.0),
        ("NRc", 8140.0),
        ("BPR", 8.44),
        ("htBleed", 392.0),
        ("W31", 38.8),
        ("W32", 23.3),
    ];
    (0..length)
        .map(|i| {
            let asset = format!("engine-{}", (random() * 5.0) as u32);
            if random() < 0.05 {
                return (asset, b"{\"time\":1}".to_vec());
            }
            let signals: Vec<String> = typical
                .iter()
                .map(|(name, value)| format!("\"{name}\":{}", value * (1.0 + 0.002 * random())))
                .collect();
            let time = 1_767_225_600_000_i64 + i as i64 * 1000;
            (
                asset,
                format!("{{\"time\":{time},{}}}", signals.join(",")).into_bytes(),
            )
        })
        .collect()
}

fn messages(log: &[Entry], range: std::ops::Range<usize>) -> Vec<Message<'_>> {
    range
        .map(|offset| Message {
            partition: 3,
            offset: offset as i64,
            timestamp: None,
            key: Some(log[offset].0.as_bytes()),
            payload: Some(&log[offset].1),
        })
        .collect()
}

/// Everything the engine says of some records, as published, sorted by record and model.
fn outputs(
    engine: &mut Engine,
    log: &[Entry],
    range: std::ops::Range<usize>,
) -> Vec<(i64, String)> {
    let messages = messages(log, range);
    let step = engine.step(&messages).unwrap();
    let mut told = Vec::new();
    for scored in step.results() {
        let view = step.plan.views[scored.model.view].view.name();
        let asset = step.asset(scored.head.slot, scored.head.asset);
        let prediction = Prediction::new(&scored, view, asset, ("t", 3));
        let offset = scored.head.offset;
        told.push((offset, serde_json::to_string(&prediction).unwrap()));
    }
    for refused in step.refused {
        told.push((refused.offset, refused.refusal.to_string()));
    }
    told.sort();
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn outputs_do_not_depend_on_where_batches_are_cut(
        seed in any::<u64>(),
        cuts in prop::collection::vec(1_usize..60, 1..12),
        repeat in 0_usize..20,
        restart in 0_usize..200,
    ) {
        let log = log(seed, 220);
        let mut whole = engine();
        whole.assign(3, 0, 0, Vec::new());
        let expected = outputs(&mut whole, &log, 0..log.len());
        prop_assert!(expected.len() > log.len(), "two models score most readings");

        // Cut anywhere, with records that come again.
        let mut cut = engine();
        cut.assign(3, 0, 0, Vec::new());
        let (mut told, mut at) = (Vec::new(), 0);
        for size in cuts.iter().cycle() {
            if at == log.len() { break; }
            let end = (at + size).min(log.len());
            told.extend(outputs(&mut cut, &log, at.saturating_sub(repeat)..end));
            at = end;
        }
        told.sort();
        prop_assert_eq!(&told, &expected);

        // Another process takes over: it rebuilds state without telling what is published already.
        let mut restarted = engine();
        restarted.assign(3, 0, restart as i64, Vec::new());
        let told = outputs(&mut restarted, &log, 0..log.len());
        let later: Vec<_> =
            expected.into_iter().filter(|(offset, _)| *offset >= restart as i64).collect();
        prop_assert_eq!(told, later);
    }
}

#[test]
fn partitions_and_assets_do_not_touch_each_other() {
    let log = log(7, 120);
    let mut alone = engine();
    alone.assign(3, 0, 0, Vec::new());
    let expected = outputs(&mut alone, &log, 0..120);
    // The same records beside those of another partition with the same asset names.
    let mut beside = engine();
    beside.assign(3, 0, 0, Vec::new());
    beside.assign(4, 0, 0, Vec::new());
    let other = self::log(8, 120);
    let mut told = Vec::new();
    for offset in 0..120 {
        let foreign = Message {
            partition: 4,
            ..messages(&other, offset..offset + 1)[0]
        };
        beside.step(&[foreign]).unwrap();
        told.extend(outputs(&mut beside, &log, offset..offset + 1));
    }
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_partition_that_is_not_owned_is_not_read() {
    let log = log(7, 10);
    let mut engine = engine();
    assert!(outputs(&mut engine, &log, 0..10).is_empty());
    engine.assign(3, 0, 0, Vec::new());
    engine.revoke(3);
    assert!(outputs(&mut engine, &log, 0..10).is_empty());
}
