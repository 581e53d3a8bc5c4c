//! What each stage costs, in nanoseconds and allocations per reading, on one core.
//!
//! ```text
//!   cargo bench --bench stages
//! ```
//!
//! Sizes: 200,000 readings of 10,000 simulated cars with 18 signals; 100,000 readings of 1,000 engines with
//! 14 signals, LSTM over 30 rows. Seeds are fixed. Every stage is measured in the same run, best of five;
//! the machine's noise is why a share is worth more than a figure. To compare with, in the same run: each number of the
//! messages found and parsed and nothing else, and the models alone as the limit of scoring.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
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
static ALLOCATOR: Counting = Counting(tikv_jemallocator::Jemalloc);

/// The service's allocator, and how often this thread has asked it for memory.
struct Counting(tikv_jemallocator::Jemalloc);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "what allocates is unsafe to implement")]
// SAFETY: all of it is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { self.0.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { self.0.dealloc(memory, layout) }
    }
}

const BATCH: usize = 8_192;
const RUNS: usize = 5;

fn main() {
    let (cars, engines) = (cars(10_000, 200_000), engines(1_000, 100_000));
    println!(
        "{:<48} {:>12} {:>12} {:>12}",
        "", "ns/reading", "readings/s", "allocations"
    );
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
            "standard library: numbers found and parsed",
            best(log.len(), || numbers(log)),
        );
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
            let name = format!("limit: {} alone, batches of 256", served.name);
            report(&name, alone(&config, &served.name, log.len()));
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

/// Time and allocations of what is measured.
#[derive(Clone, Copy)]
struct Taken {
    seconds: f64,
    allocations: u64,
}

impl Taken {
    fn by(work: impl FnOnce()) -> Self {
        let (begun, before) = (Instant::now(), ALLOCATIONS.get());
        work();
        Taken {
            seconds: begun.elapsed().as_secs_f64(),
            allocations: ALLOCATIONS.get() - before,
        }
    }
}

/// What a decoder is compared with: walks through each message, and parses what follows a colon as the standard library
/// does, if it is a number.
fn numbers(log: &Log) -> Taken {
    Taken::by(|| {
        let mut sum = 0.0;
        for (_, payload) in log {
            let mut rest = payload.as_slice();
            while let Some(colon) = rest.iter().position(|byte| *byte == b':') {
                rest = &rest[colon + 1..];
                let ends = |byte: &u8| matches!(byte, b',' | b'}');
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                let number = std::str::from_utf8(&rest[..end]).ok();
                sum += number
                    .and_then(|text| text.parse::<f64>().ok())
                    .unwrap_or(0.0);
                rest = &rest[end..];
            }
        }
        black_box(sum);
    })
}

/// Takes the log through an engine in batches.
fn run(config: &Config, log: &Log, until: Until) -> Taken {
    let mut plan = Plan::build(config, &Loader::trusted()).expect("the shipped models");
    if until == Until::State {
        plan.score_nothing();
    }
    let mut engine = Engine::new(config, plan);
    engine.assign(0, 0, 0, Vec::new());
    let (mut watcher, live) = (Watcher::new(config), Live::default());
    let mut encoder = Encoder::new(&config.name, &config.source.topic, config.sink.headers);
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
    Taken::by(|| {
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
    })
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

/// The limit: the model alone on inputs that are ready, a row for each reading.
fn alone(config: &Config, name: &str, rows: usize) -> Reading {
    let runtime = Runtime::load(None).expect("ONNX Runtime: run `make setup`");
    let files = Repository::new(&config.models.repository)
        .resolve(name, None)
        .expect("a shipped model");
    let mut model = Model::load(&runtime, &files).expect("a shipped model");
    let row = model.contract.length() * model.contract.features.len();
    let input: Vec<f32> = (0..256 * row).map(|i| (i % 89) as f32 * 0.1).collect();
    let mut verdicts = Verdicts::default();
    best(rows / 256 * 256, || {
        Taken::by(|| {
            for _ in 0..rows / 256 {
                verdicts.clear();
                model.score(&input, &mut verdicts).expect("scored");
            }
        })
    })
}

/// What one reading costs.
struct Reading {
    nanos: f64,
    allocations: f64,
}

/// The best of the runs.
fn best(readings: usize, mut run: impl FnMut() -> Taken) -> Reading {
    let runs: Vec<Taken> = (0..RUNS).map(|_| run()).collect();
    let seconds = runs
        .iter()
        .map(|run| run.seconds)
        .fold(f64::INFINITY, f64::min);
    let allocations = runs.iter().map(|run| run.allocations).min().unwrap_or(0);
    Reading {
        nanos: seconds * 1e9 / readings as f64,
        allocations: allocations as f64 / readings as f64,
    }
}

fn report(stage: &str, Reading { nanos, allocations }: Reading) {
    println!(
        "  {stage:<46} {nanos:>12.0} {:>12.0} {allocations:>12.3}",
        1e9 / nanos
    );
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
