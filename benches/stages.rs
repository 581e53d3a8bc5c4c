//! What each stage costs, in nanoseconds per reading, on one core.
//!
//! ```text
//!   cargo bench --bench stages
//! ```
//!
//! Sizes: 200,000 readings of 10,000 simulated cars with 18 signals; 100,000 readings of 1,000 engines with
//! 14 signals, LSTM over 30 rows. Seeds are fixed. Every stage is measured in the same run, best of five;
//! the machine's noise is why a share is worth more than a figure.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use forewarn_models::{Loader, Model, Repository, Runtime, Verdicts};
use forewarn_pipeline::drift::live::Live;
use forewarn_pipeline::drift::watch::Watcher;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::publish::{Encoder, OutputRecord, Publisher, SetAsideRecord};
use forewarn_pipeline::{Config, Engine, Plan};
use forewarn_training::cars::{Fleet, FleetConfig, write_json};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BATCH: usize = 8_192;
const RUNS: usize = 5;

fn main() {
    let (cars, engines) = (cars(10_000, 200_000), engines(1_000, 100_000));
    println!("{:<48} {:>12} {:>12}", "", "ns/reading", "readings/s");
    for (name, config, log) in [
        ("cars, autoencoder per reading", "deploy/cars.toml", &cars),
        (
            "engines, LSTM over 30x14 and autoencoder",
            "deploy/turbofan.toml",
            &engines,
        ),
    ] {
        println!("{name}");
        let config = Config::load(Path::new(config)).expect("the shipped configuration");
        report(
            "decode, features, sequences",
            best(log.len(), || run(&config, log, Until::State)),
        );
        report(
            "  and scores",
            best(log.len(), || run(&config, log, Until::Verdicts)),
        );
        report(
            "  and records",
            best(log.len(), || run(&config, log, Until::Records)),
        );
        report(
            "  and looked at for drift",
            best(log.len(), || run(&config, log, Until::Drift)),
        );
        for served in &config.models.serve {
            let name = format!("raw ONNX Runtime, {}, batches of 256", served.name);
            report(&name, raw(&config, &served.name, log.len()));
        }
    }
}

/// How far a reading goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    State,
    Verdicts,
    Records,
    /// And looked at for drift, as a worker does.
    Drift,
}

/// Takes the log through an engine in batches; gives seconds.
fn run(config: &Config, log: &Log, until: Until) -> f64 {
    let mut plan = Plan::build(config, &Loader::trusted()).expect("the shipped models");
    if until == Until::State {
        plan.score_nothing();
    }
    let mut engine = Engine::new(config, plan);
    engine.assign(0, 0, 0, Vec::new());
    let (mut watcher, live) = (Watcher::new(config), Live::default());
    let mut encoder = Encoder::new(&config.name, &config.source.topic);
    let messages: Vec<Message<'_>> = log
        .iter()
        .enumerate()
        .map(|(offset, (key, payload))| Message {
            partition: 0,
            offset: offset as i64,
            timestamp: None,
            key: Some(key.as_bytes()),
            payload: Some(payload),
        })
        .collect();
    let begun = Instant::now();
    for batch in messages.chunks(BATCH) {
        let step = engine.step(batch).expect("the engine goes on");
        assert!(step.refused.is_empty(), "every reading of the log is good");
        if matches!(until, Until::Records | Until::Drift) {
            let Ok(()) = encoder.publish(&step, &mut Discard);
        }
        if until == Until::Drift {
            watcher.look(&step, &live, Instant::now());
        }
    }
    begun.elapsed().as_secs_f64()
}

/// Encoded records end here.
struct Discard;

impl Publisher for Discard {
    type Error = std::convert::Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Self::Error> {
        black_box(record);
        Ok(())
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Self::Error> {
        black_box(record);
        Ok(())
    }
}

/// The limit: the model alone on inputs that are ready. Nanoseconds per row.
fn raw(config: &Config, name: &str, rows: usize) -> f64 {
    let runtime = Runtime::load(None).expect("ONNX Runtime: run `make setup`");
    let files = Repository::new(&config.models.repository)
        .resolve(name, None)
        .expect("a shipped model");
    let mut model = Model::load(&runtime, &files).expect("a shipped model");
    let row = model.contract.length() * model.contract.features.len();
    let input: Vec<f32> = (0..256 * row).map(|i| (i % 89) as f32 * 0.1).collect();
    let mut verdicts = Verdicts::default();
    best(rows / 256 * 256, || {
        let begun = Instant::now();
        for _ in 0..rows / 256 {
            verdicts.clear();
            model.score(&input, &mut verdicts).expect("scored");
        }
        begun.elapsed().as_secs_f64()
    })
}

/// Nanoseconds per reading, the best of the runs.
fn best(readings: usize, mut run: impl FnMut() -> f64) -> f64 {
    let seconds = (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
    seconds * 1e9 / readings as f64
}

fn report(stage: &str, nanos: f64) {
    println!("  {stage:<46} {nanos:>12.0} {:>12.0}", 1e9 / nanos);
}

/// A log of one partition: key and payload.
type Log = Vec<(String, Vec<u8>)>;

fn cars(assets: u32, readings: usize) -> Log {
    let fleet = Fleet::new(FleetConfig {
        assets,
        ..FleetConfig::default()
    });
    fleet
        .take(readings)
        .map(|(reading, _)| {
            let mut payload = Vec::new();
            write_json(&reading, &mut payload);
            (reading.asset(), payload)
        })
        .collect()
}

/// Engines that idle at typical values with some noise; what they mean does not change the cost.
fn engines(assets: usize, readings: usize) -> Log {
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
    (0..readings)
        .map(|i| {
            let noise = |s: usize| 1.0 + ((i * 31 + s * 17) % 97) as f64 * 1e-5;
            let signals: Vec<String> = typical
                .iter()
                .enumerate()
                .map(|(s, (name, value))| format!("\"{name}\":{:.4}", value * noise(s)))
                .collect();
            let payload = format!(
                "{{\"time\":{},{}}}",
                1_767_225_600_000_u64 + i as u64,
                signals.join(",")
            );
            (format!("engine-{}", i % assets), payload.into_bytes())
        })
        .collect()
}
