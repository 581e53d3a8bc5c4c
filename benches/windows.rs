//! What state costs by the number of assets, in nanoseconds per reading, on one core.
//!
//! ```text
//!   cargo bench --bench windows              1,000 to 1,000,000 assets: some 11 minutes, several GiB
//!   cargo bench --bench windows -- 10000     up to 10,000 assets
//!   cargo bench --bench windows -- 1000 1000000 sequence     these sizes, the shapes with this word
//! ```
//!
//! Sizes: one partition, batches of 8,192 JSON messages, a reading of each asset every 10 s. First a minute
//! that is not measured, in which state grows to its size; then whole minutes: 1,000,000 readings, or one
//! minute where that is more. So a measured reading pays for a sixth of a tumbling window of 6 rows, or for
//! one hopping window of 6 rows, whatever the number of assets. Best of three, one run for a million. Seeds
//! are fixed. Only `Engine::step` is timed; messages are made between the steps.
//!
//! Nothing is scored: `publish_from` is beyond the log, so state is kept and models do not run. *Decode* is
//! the same messages through a view over single readings without state. It forgets the names of assets after
//! each batch, so finding a name among all of them is a cost of state. Bytes are what the engine keeps, at
//! the largest moment; the peak of the process also has the rows of the windows that fire together. The
//! longest step is the one in which they do: all windows of a minute end at the same record.
//!
//! The peer is polars alone: one `group_by` over a frame of the rows of all measured windows, which is ready
//! before the clock starts. It keeps no order and no state.

#[path = "windows/feed.rs"]
mod feed;
#[path = "windows/peer.rs"]
mod peer;
mod support;

use std::path::Path;
use std::time::Instant;

use forewarn_models::Loader;
use forewarn_pipeline::state::PartitionState;
use forewarn_pipeline::{Config, Engine, Plan};

use feed::Feed;
use support::memory;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const COMPARED: [usize; 2] = [10_000, 100_000];
const BATCH: usize = 8_192;
/// Rounds, each a reading of every asset, in a window; as many come before those that are measured.
const ROUNDS: usize = 6;
const READINGS: usize = 1_000_000;
const ENGINE: &str = "T24 T30 T50 P30 Nf Nc Ps30 phi NRf NRc BPR htBleed W31 W32";
/// The fixture model, without which there is no pipeline, takes a and b.
const MACHINE: &str = "a b c d e f g h i j k l m n o p q r";

/// What is kept of each asset.
struct Shape {
    name: &'static str,
    signals: &'static str,
    /// Repository and model, with the state and without.
    models: [(&'static str, &'static str); 2],
    view: &'static str,
    window: Option<&'static str>,
    /// Windows that hold a row.
    overlap: usize,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "sequence, 30 rows of 14 signals",
        signals: ENGINE,
        models: [
            ("models/zoo", "turbofan-rul"),
            ("models/zoo", "turbofan-anomaly"),
        ],
        view: r#""*""#,
        window: None,
        overlap: 0,
    },
    Shape {
        name: "tumbling 60 s, 18 signals x 3",
        signals: MACHINE,
        models: [("tests/fixtures/models", "plain"); 2],
        view: r#""a", "b""#,
        window: Some(r#"{ tumbling = "60s" }"#),
        overlap: 1,
    },
    Shape {
        name: "hopping 60 s every 10 s, 18 signals x 3",
        signals: MACHINE,
        models: [("tests/fixtures/models", "plain"); 2],
        view: r#""a", "b""#,
        window: Some(r#"{ hopping = "60s", every = "10s" }"#),
        overlap: ROUNDS,
    },
];

fn main() {
    limit_polars_threads();
    let (sizes, words) = arguments();
    println!(
        "{:<40} {:>9} {:>10} {:>7} {:>7} {:>11} {:>9} {:>8} {:>12}",
        "",
        "assets",
        "ns/reading",
        "decode",
        "state",
        "bytes/asset",
        "RSS MiB",
        "peak",
        "longest step"
    );
    let mut costs: Vec<Cost> = Vec::new();
    let wanted = |shape: &&Shape| words.iter().all(|word| shape.name.contains(word));
    for shape in SHAPES.iter().filter(wanted) {
        costs.extend(sizes.iter().map(|assets| measure(shape, *assets)));
    }
    println!(
        "\n{:<40} {:>9} {:>10} {:>7} {:>7}",
        "times the cost of the fewest", "assets", "whole", "decode", "state"
    );
    for costs in costs.chunks(sizes.len().max(1)) {
        costs.iter().for_each(|cost| cost.report_growth(&costs[0]));
    }
    println!(
        "\n{:<40} {:>9} {:>10} {:>7} {:>7} {:>11} {:>12}",
        "polars' group_by on the same rows",
        "assets",
        "ns/reading",
        "ours",
        "state",
        "ours/polars",
        "state/polars"
    );
    for cost in &costs {
        if cost.shape.window.is_some() && COMPARED.contains(&cost.assets) {
            compare(cost);
        }
    }
}

/// Sizes, and words that a shape's name must have.
fn arguments() -> (Vec<usize>, Vec<String>) {
    let args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let (numbers, words): (Vec<String>, Vec<String>) =
        args.partition(|arg| arg.parse::<usize>().is_ok());
    let numbers: Vec<usize> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
    let sizes = match numbers[..] {
        [] => SIZES.to_vec(),
        [most] => SIZES.into_iter().filter(|size| *size <= most).collect(),
        _ => numbers,
    };
    (sizes, words)
}

/// As the service runs: workers are the parallelism.
#[expect(unsafe_code, reason = "set before any other thread exists")]
fn limit_polars_threads() {
    unsafe { std::env::set_var("POLARS_MAX_THREADS", "1") };
}

/// Nanoseconds per reading.
struct Cost {
    shape: &'static Shape,
    assets: usize,
    whole: f64,
    decode: f64,
}

impl Cost {
    fn state(&self) -> f64 {
        self.whole - self.decode
    }

    fn report_growth(&self, first: &Cost) {
        let Cost { shape, assets, .. } = self;
        println!(
            "{:<40} {assets:>9} {:>9.2}x {:>6.2}x {:>6.2}x",
            shape.name,
            self.whole / first.whole,
            self.decode / first.decode,
            self.state() / first.state()
        );
    }
}

/// Rounds that are measured: whole windows.
fn rounds(assets: usize) -> usize {
    (READINGS / assets / ROUNDS).max(1) * ROUNDS
}

fn measure(shape: &'static Shape, assets: usize) -> Cost {
    let readings = rounds(assets) * assets;
    let (mut decode, mut whole, mut told) = (f64::INFINITY, f64::INFINITY, Told::default());
    for _ in 0..if assets < 1_000_000 { 3 } else { 1 } {
        // One after the other, so that both see the same noise.
        decode = decode.min(run(shape, false, assets).seconds);
        told = run(shape, true, assets);
        whole = whole.min(told.seconds);
        assert_eq!(
            told.windows,
            readings * shape.overlap / ROUNDS,
            "each window fired once"
        );
    }
    let nanos = |seconds: f64| seconds * 1e9 / readings as f64;
    let (whole, decode) = (nanos(whole), nanos(decode));
    println!(
        "{:<40} {assets:>9} {whole:>10.0} {decode:>7.0} {:>7.0} {:>11} {:>9} {:>8} {:>9.0} ms",
        shape.name,
        whole - decode,
        told.bytes / assets,
        told.resident >> 10,
        told.peak >> 10,
        told.longest * 1e3,
    );
    Cost {
        shape,
        assets,
        whole,
        decode,
    }
}

/// What a run said; memory of the process in KiB.
#[derive(Default)]
struct Told {
    seconds: f64,
    longest: f64,
    windows: usize,
    bytes: usize,
    resident: usize,
    peak: usize,
}

fn run(shape: &Shape, with_state: bool, assets: usize) -> Told {
    let config = config(shape, with_state);
    let plan = Plan::build(&config, &Loader::trusted()).expect("the shipped models");
    let view = plan.views.iter().position(|view| view.window.is_some());
    let mut engine = Engine::new(&config, plan);
    engine.assign(0, 0, i64::MAX, Vec::new());
    let mut feed = Feed::new(shape.signals, assets);
    let (begin, end) = (ROUNDS * assets, (ROUNDS + rounds(assets)) * assets);
    let (mut told, mut at) = (Told::default(), 0);
    // The high-water mark starts again from here.
    std::fs::write("/proc/self/clear_refs", "5").ok();
    while at < end {
        // What is measured begins with a batch.
        let to = (at + BATCH).min(if at < begin { begin } else { end });
        feed.write(at, to);
        let messages = feed.messages(at);
        let begun = Instant::now();
        let step = engine.step(&messages).expect("the engine goes on");
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(step.readings as usize, to - at, "every reading is good");
        if at >= begin {
            told.seconds += seconds;
            told.longest = told.longest.max(seconds);
            told.windows += view.map_or(0, |view| step.views[view].len());
        }
        // At the end of a round, not of each batch: it looks at every name.
        if at / assets < to / assets {
            told.bytes = told
                .bytes
                .max(engine.partitions().map(PartitionState::bytes).sum());
            told.resident = told.resident.max(memory("VmRSS:"));
        }
        at = to;
    }
    told.peak = memory("VmHWM:");
    told
}

fn config(shape: &Shape, with_state: bool) -> Config {
    let (repository, model) = shape.models[usize::from(!with_state)];
    let mut text = format!(
        "name = \"bench\"\n[source]\ntopic = \"in\"\nevent-time = {{ field = \"time\", unit = \"us\" }}\n\
         [models]\nrepository = \"{repository}\"\n[[models.serve]]\nname = \"{model}\"\nview = \"rows\"\n\
         [views.rows]\nfeatures = [{}]\n",
        shape.view
    );
    if let Some(window) = shape.window.filter(|_| with_state) {
        let aggregate = |s| {
            format!("\"AVG({s}) AS {s}_mean\", \"MIN({s}) AS {s}_min\", \"MAX({s}) AS {s}_max\"")
        };
        let features: Vec<String> = shape.signals.split(' ').map(aggregate).collect();
        let features = features.join(", ");
        text += &format!("[views.windows]\nwindow = {window}\nfeatures = [{features}]\n");
    }
    text += "[signals]\n";
    text += &shape.signals.replace(' ', " = {}\n");
    text += " = {}\n";
    Config::parse("bench.toml", &text, Path::new(env!("CARGO_MANIFEST_DIR")))
        .expect("a good configuration")
}

/// Prints ours beside polars' own.
fn compare(cost: &Cost) {
    let readings = rounds(cost.assets) * cost.assets;
    let seconds = peer::group_by(cost.shape, cost.assets, rounds(cost.assets));
    let nanos = seconds * 1e9 / readings as f64;
    println!(
        "{:<40} {:>9} {nanos:>10.0} {:>7.0} {:>7.0} {:>10.2}x {:>11.2}x",
        cost.shape.name,
        cost.assets,
        cost.whole,
        cost.state(),
        cost.whole / nanos,
        cost.state() / nanos
    );
}
