//! What more assets, partitions and workers cost on a real Kafka.
//!
//! ```text
//!   scripts/kafka.sh with -- cargo bench --bench growth
//!   scripts/kafka.sh with -- cargo bench --bench growth -- assets       or partitions, or workers
//! ```
//!
//! Sizes: simulated cars, an autoencoder per reading and an alarm that looks at the last five results of each, exactly
//! once. Results have no contributions: the longer cars drive, the more of them have a fault, and would have longer
//! results. Assets: 2,000,000 readings of 1,000 to 1,000,000 cars, of which the second million is measured: each asset has
//! its state by then. Partitions and workers: 1,000,000 readings of 100,000 cars, all of them measured. Each topic is
//! full before the service starts. CPU is that of this process; rates of several workers are those of a machine whose
//! cores the broker shares.

mod support;

use std::path::Path;
use std::time::Instant;

use forewarn_pipeline::Config;
use forewarn_pipeline::config::ContributionsOf;

use support::{Serving, commits, cpu_seconds, feed, memory, rename};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const READINGS: u64 = 1_000_000;

/// One row of the table.
struct Case {
    assets: u64,
    partitions: usize,
    workers: usize,
    /// Readings before the clock runs.
    before: u64,
}

impl Case {
    fn readings(&self) -> u64 {
        self.before + READINGS
    }

    fn topic(&self) -> String {
        let Case {
            assets, partitions, ..
        } = self;
        let process = std::process::id();
        format!("growth-{process}-{assets}-{partitions}-{}", self.readings())
    }

    fn fill(&self, brokers: &str) {
        let steps = self.readings() / self.assets;
        feed(&[
            "cars",
            "--assets",
            &self.assets.to_string(),
            "--steps",
            &steps.to_string(),
            "--brokers",
            brokers,
            "--topic",
            &self.topic(),
            "--partitions",
            &self.partitions.to_string(),
        ]);
    }
}

fn main() {
    let Ok(brokers) = std::env::var("FOREWARN_TEST_BROKERS") else {
        println!("skipped: no broker (scripts/kafka.sh with -- cargo bench --bench growth)");
        return;
    };
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    println!(
        "{:>9} {:>10} {:>8} {:>12} {:>14} {:>9}",
        "assets", "partitions", "workers", "readings/s", "CPU s/million", "RSS MiB"
    );
    let of_assets = |assets| Case {
        assets,
        partitions: 8,
        workers: 1,
        before: READINGS,
    };
    let of_partitions = |partitions, workers| Case {
        assets: 100_000,
        partitions,
        workers,
        before: 0,
    };
    // The first run warms the broker up.
    let groups: [(&str, Vec<Case>); 3] = [
        (
            "assets",
            [10_000, 1_000, 100_000, 1_000_000].map(of_assets).into(),
        ),
        (
            "partitions",
            [4, 1, 4, 16].map(|n| of_partitions(n, 1)).into(),
        ),
        ("workers", [1, 1, 2, 4].map(|n| of_partitions(16, n)).into()),
    ];
    for (name, cases) in &groups {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let mut full = Vec::new();
        for case in cases {
            if !full.contains(&case.topic()) {
                case.fill(&brokers);
                full.push(case.topic());
            }
        }
        for (number, case) in cases.iter().enumerate() {
            run(&brokers, case, &format!("{name}-{number}"));
        }
    }
}

fn run(brokers: &str, case: &Case, name: &str) {
    let mut config = Config::load(Path::new("deploy/cars.toml")).expect("the shipped file");
    rename(
        &mut config,
        &format!("growth-{}-{name}", std::process::id()),
    );
    brokers.clone_into(&mut config.kafka.brokers);
    config.source.topic = case.topic();
    config.models.contributions = ContributionsOf::None;
    config.service.workers = case.workers;
    let serving = Serving::start(config, case.partitions);
    // Not readings: those by which a worker rebuilds the state of partitions that it takes over count as well.
    serving.wait_until(|totals| totals.predictions >= case.before);
    let already = serving.metrics.totals().predictions;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    serving.wait_until(|totals| totals.predictions >= case.readings());
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let resident = memory("VmRSS:") >> 10;
    let ended = serving.end();
    // A batch that was rolled back, because another worker joined the group amid a commit, counts twice.
    assert!(ended.predictions >= case.readings());
    let measured = (case.readings() - already) as f64;
    println!(
        "{:>9} {:>10} {:>8} {:>12.0} {:>14.2} {resident:>9}",
        case.assets,
        case.partitions,
        case.workers,
        measured / took,
        cpu * 1e6 / measured
    );
    println!("  {}", commits(&ended));
}
