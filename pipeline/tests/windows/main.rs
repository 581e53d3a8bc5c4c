//! Windows against a plain loop over all rows, for every kind of window: whatever the order of arrival, the
//! cuts between batches, records that come again and restarts, the same rows, bit for bit.
//!
//! The loop is in `naive.rs`. Values are quarters, so that sums have no rounding and an average computed in any
//! order has the same bits.
//!
//! `PROPTEST_CASES=20000 cargo test --release --test windows` looks longer.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod naive;

use std::path::Path;

use forewarn_models::Loader;
use forewarn_pipeline::marks::Mark;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::rows::Origin;
use forewarn_pipeline::{Config, Engine, Plan};
use proptest::prelude::*;

use naive::Naive;

const FEATURES: &str = r#"["COUNT(*) AS n", "COUNT(a) AS present", "MIN(a) AS low", "MAX(a) AS high", "AVG(a) AS mean",
    "FIRST(a) AS first", "LAST(a) AS last"]"#;
/// Aggregates whose rounding is polars' own: compared between runs, not with the loop.
const ROUNDED: &str = r#"["STDDEV(a) AS std", "QUANTILE_CONT(a, 0.3) AS q", "AVG(a * 1.1) AS m",
    "COVAR_SAMP(a, event_time) / VARIANCE(event_time) AS slope"]"#;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Time { size: i64, step: i64 },
    Session { gap: i64 },
    Count { rows: usize, step: usize },
}

#[derive(Debug, Clone, Copy)]
struct Spec {
    kind: Kind,
    bound: i64,
    lateness: i64,
}

/// A reading; times in microseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    asset: usize,
    at: i64,
    value: Option<f64>,
}

/// A fired window: asset, start, end, revision; the bits of its features; the record that made it fire.
type Fired = (String, i64, i64, u32, Vec<u64>);

fn config(spec: Spec, features: &str, extra: &str) -> Config {
    let window = match spec.kind {
        Kind::Time { size, step } => format!("{{ hopping = \"{size}us\", every = \"{step}us\" }}"),
        Kind::Session { gap } => format!("{{ session = \"{gap}us\" }}"),
        Kind::Count { rows, step } => format!("{{ count = {rows}, every = {step} }}"),
    };
    let lateness = match spec.lateness {
        0 => String::new(),
        lateness => format!("allowed-lateness = \"{lateness}us\""),
    };
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let text = format!(
        "name = \"windows\"\n[source]\ntopic = \"in\"\nevent-time = {{ field = \"t\", unit = \"us\" }}\n\
         [event-time]\nout-of-orderness = \"{}us\"\n{extra}\n\
         [signals]\na = {{ missing = \"no-score\" }}\nb = {{ missing = {{ fill = 0 }} }}\n\
         [views.rows]\nfeatures = [\"*\"]\n\
         [views.w]\nwindow = {window}\n{lateness}\nfeatures = {features}\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"plain\"\nview = \"rows\"\n",
        spec.bound,
        models.display()
    );
    Config::parse("windows.toml", &text, Path::new(".")).unwrap()
}

fn engine(config: &Config) -> Engine {
    Engine::new(config, Plan::build(config, &Loader::trusted()).unwrap())
}

fn payloads(log: &[Reading]) -> Vec<(String, String)> {
    log.iter()
        .map(|reading| {
            let value = reading
                .value
                .map_or(String::new(), |value| format!(",\"a\":{value}"));
            (
                format!("asset-{}", reading.asset),
                format!("{{\"t\":{}{value}}}", reading.at),
            )
        })
        .collect()
}

/// What the windows of a run gave, and which records came too late.
#[derive(Debug, Default, PartialEq)]
struct Told {
    fired: Vec<Fired>,
    late: Vec<i64>,
}

impl Told {
    fn sorted(mut self) -> Self {
        self.fired.sort();
        self.late.sort_unstable();
        self
    }
}

fn note(step: &forewarn_pipeline::engine::Step<'_>, told: &mut Told) {
    let view = step
        .plan
        .views
        .iter()
        .position(|view| view.view.name() == "w")
        .unwrap();
    let rows = &step.views[view];
    for (row, head) in rows.heads.iter().enumerate() {
        let Origin::Window(window) = head.origin else {
            panic!("a row of a window")
        };
        if !head.publish || window.provisional {
            continue;
        }
        let bits = rows
            .columns
            .iter()
            .map(|column| bits(column[row]))
            .collect();
        let asset = step.asset(head.slot, head.asset).to_owned();
        told.fired
            .push((asset, window.start, window.end, window.revision, bits));
    }
    told.late.extend(step.late.iter().map(|late| late.offset));
}

/// All that is missing is alike.
fn bits(value: f64) -> u64 {
    if value.is_nan() {
        u64::MAX
    } else {
        value.to_bits()
    }
}

/// The messages of one partition.
fn messages(payloads: &[(String, String)]) -> Vec<Message<'_>> {
    (0..)
        .zip(payloads)
        .map(|(offset, (key, payload))| Message {
            partition: 0,
            offset,
            timestamp: None,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
        })
        .collect()
}

/// Runs a log through the engine in batches of the sizes of `cuts`, each beginning `repeat` records back, then
/// ends all time.
fn run(config: &Config, log: &[Reading], cuts: &[usize], repeat: usize, publish_from: i64) -> Told {
    let mut engine = engine(config);
    engine.assign(0, 0, publish_from, Vec::new());
    let payloads = payloads(log);
    let messages = messages(&payloads);
    let (mut told, mut at) = (Told::default(), 0);
    for size in cuts.iter().cycle() {
        if at == messages.len() {
            break;
        }
        let end = (at + size).min(messages.len());
        let begin = at.saturating_sub(repeat);
        note(&engine.step(&messages[begin..end]).unwrap(), &mut told);
        at = end;
    }
    note(&engine.advance(0, i64::MAX).unwrap(), &mut told);
    told.sorted()
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1_i64..40).prop_map(|size| Kind::Time { size, step: size }),
        (1_i64..40, 1_i64..40).prop_map(|(size, step)| Kind::Time { size, step }),
        (1_i64..25).prop_map(|gap| Kind::Session { gap }),
        (1_usize..6, 1_usize..8).prop_map(|(rows, step)| Kind::Count { rows, step }),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let lateness = prop_oneof![Just(0_i64), 1_i64..60];
    let bound = prop_oneof![Just(0_i64), 1_i64..30];
    (kind(), bound, lateness).prop_map(|(kind, bound, lateness)| {
        let lateness = if matches!(kind, Kind::Count { .. }) {
            0
        } else {
            lateness
        };
        Spec {
            kind,
            bound,
            lateness,
        }
    })
}

/// A log whose instants wander forward, with readings up to `back` behind.
fn log(back: i64) -> impl Strategy<Value = Vec<Reading>> {
    let reading = (
        0_usize..4,
        0_i64..8,
        0..=back,
        prop::option::weighted(0.9, -40_i32..40),
    );
    prop::collection::vec(reading, 1..150).prop_map(|steps| {
        let mut now = 1_000_000_i64;
        let reading = |(asset, forward, back, value): (usize, i64, i64, Option<i32>)| {
            now += forward;
            Reading {
                asset,
                at: now - back,
                value: value.map(|value| f64::from(value) * 0.25),
            }
        };
        steps.into_iter().map(reading).collect()
    })
}

proptest! {
    #[test]
    fn windows_equal_a_plain_loop_over_all_rows(
        spec in spec(),
        log in prop_oneof![log(0), log(15), log(90)],
        cuts in prop::collection::vec(1_usize..40, 1..8),
        repeat in 0_usize..10,
        publish_from in 0_i64..150,
    ) {
        let config = config(spec, FEATURES, "");
        let naive = Naive::run(spec, &log);
        prop_assert_eq!(run(&config, &log, &[log.len()], 0, 0), naive.told(0), "in one batch");
        prop_assert_eq!(run(&config, &log, &cuts, repeat, 0), naive.told(0), "in several batches");
        let publish_from = publish_from.min(log.len() as i64);
        let restarted = run(&config, &log, &cuts, 0, publish_from);
        prop_assert_eq!(restarted, naive.told(publish_from), "taken over by another process");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter_within_the_bound(
        kind in kind(),
        log in log(0),
        bound in 1_i64..30,
        jitter in prop::collection::vec(0_i64..30, 150),
        copies in prop::collection::vec(0_usize..150, 0..20),
    ) {
        let spec = Spec { kind, bound, lateness: 0 };
        let config = config(spec, ROUNDED, "duplicates = \"drop\"");
        // One reading of an asset at an instant.
        let mut seen = std::collections::BTreeSet::new();
        let mut distinct = log.clone();
        distinct.retain(|reading| seen.insert((reading.asset, reading.at)));
        let expected = run(&config, &distinct, &[distinct.len()], 0, 0);
        prop_assert!(expected.late.is_empty());
        // Each is late by less than the bound; some come twice.
        let mut arrivals: Vec<(i64, Reading)> = distinct
            .iter()
            .zip(&jitter)
            .map(|(reading, jitter)| (reading.at + jitter % (bound + 1), *reading))
            .collect();
        let again: Vec<(i64, Reading)> =
            copies.iter().filter_map(|copy| arrivals.get(*copy).copied()).collect();
        arrivals.extend(again);
        arrivals.sort_by_key(|(arrival, _)| *arrival);
        let shuffled: Vec<Reading> = arrivals.into_iter().map(|(_, reading)| reading).collect();
        prop_assert_eq!(run(&config, &shuffled, &[7, 30, 1], 3, 0), expected);
    }

    #[test]
    fn a_quiet_partition_closed_by_the_clock_is_closed_at_the_same_record_in_a_replay(
        spec in spec(),
        log in log(5),
        marks in prop::collection::vec((0_i64..150, 0_i64..200), 1..5),
        cuts in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let config = config(spec, FEATURES, "");
        let payloads = payloads(&log);
        let messages = messages(&payloads);
        // Live: the clock moves the watermark between two records.
        let mut live = engine(&config);
        live.assign(0, 0, 0, Vec::new());
        let mut marks: Vec<(i64, i64)> = marks
            .iter()
            .map(|(offset, ahead)| {
                let offset = (*offset).clamp(1, log.len() as i64);
                let latest = log[..offset as usize].iter().map(|reading| reading.at).max().unwrap();
                (offset, latest + ahead)
            })
            .collect();
        marks.sort_by_key(|(offset, _)| *offset);
        let (mut expected, mut at) = (Told::default(), 0);
        for (offset, watermark) in &marks {
            note(&live.step(&messages[at..*offset as usize]).unwrap(), &mut expected);
            at = *offset as usize;
            note(&live.advance(0, *watermark).unwrap(), &mut expected);
        }
        note(&live.step(&messages[at..]).unwrap(), &mut expected);
        let expected = expected.sorted();
        // Replayed, with what was published so far, and cut elsewhere.
        for publish_from in [0, log.len() as i64 / 2] {
            let mut replayed = engine(&config);
            // Marks up to the committed offset are in the log of outputs, with what they caused.
            let (known, later) = marks.split_at(marks.partition_point(|(at, _)| *at <= publish_from));
            let known = known.iter().map(|(offset, watermark)| Mark::advance(*offset, *watermark));
            replayed.assign(0, 0, publish_from, known.collect());
            let (mut told, mut at, mut cuts) = (Told::default(), 0, cuts.iter().cycle());
            let mut later = later.to_vec();
            while at < messages.len() {
                let next = later.first().map_or(messages.len(), |(offset, _)| *offset as usize);
                let end = (at + cuts.next().unwrap()).min(next);
                note(&replayed.step(&messages[at..end]).unwrap(), &mut told);
                at = end;
                while later.first().is_some_and(|(offset, _)| *offset as usize == at) {
                    note(&replayed.advance(0, later.remove(0).1).unwrap(), &mut told);
                }
            }
            let told = told.sorted();
            if publish_from == 0 {
                prop_assert_eq!(&told, &expected);
            } else {
                // Nothing that was not told, and nothing twice.
                let mut left = expected.fired.clone();
                for fired in &told.fired {
                    let place = left.iter().position(|known| known == fired);
                    prop_assert!(place.is_some(), "{:?} was not told live", fired);
                    left.remove(place.unwrap());
                }
            }
        }
    }
}
