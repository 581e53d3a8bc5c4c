//! The whole path on a real Kafka: a topic is filled first, then the service drains it.
//!
//! ```text
//!   scripts/kafka.sh with -- cargo bench --bench end_to_end
//! ```
//!
//! Sizes: 1,000,000 readings of 10,000 simulated cars and 200,000 of 1,000 engines, 8 partitions, one worker,
//! exactly once with a commit every 25 ms; the broker is on the same machine and takes its share of it. CPU
//! is that of this process, the broker's not counted.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use forewarn_models::Loader;
use forewarn_pipeline::{Config, Service, Shutdown};

const PARTITIONS: usize = 8;

fn main() {
    let Ok(brokers) = std::env::var("FOREWARN_TEST_BROKERS") else {
        println!("skipped: no broker (scripts/kafka.sh with -- cargo bench --bench end_to_end)");
        return;
    };
    println!("{:<44} {:>12} {:>16}", "", "readings/s", "CPU s/million");
    drain(
        &brokers,
        "cars, autoencoder per reading",
        "deploy/cars.toml",
        1_000_000,
        |topic| {
            feed(
                &brokers,
                &[
                    "cars", "--assets", "10000", "--steps", "100", "--topic", topic,
                ],
            );
        },
    );
    let data = std::env::var("FOREWARN_DATA").unwrap_or_else(|_| "../shared/data".into());
    if !Path::new(&data).join("cmapss").is_dir() {
        println!("engines skipped: no data folder (FOREWARN_DATA, or ../shared/data)");
        return;
    }
    // FD001's 13,096 test readings, 16 times: the engines fly again and again.
    drain(
        &brokers,
        "engines, LSTM over 30x14 and autoencoder",
        "deploy/turbofan.toml",
        16 * 13_096,
        |topic| {
            (0..16).for_each(|_| feed(&brokers, &["cmapss", "--data", &data, "--topic", topic]));
        },
    );
}

fn feed(brokers: &str, args: &[&str]) {
    let partitions = PARTITIONS.to_string();
    let fed = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .arg("feed")
        .args(args)
        .args(["--brokers", brokers, "--partitions", &partitions])
        .output()
        .expect("the binary starts");
    assert!(
        fed.status.success(),
        "{}",
        String::from_utf8_lossy(&fed.stderr)
    );
}

fn drain(brokers: &str, name: &str, file: &str, readings: u64, fill: impl FnOnce(&str)) {
    let mut config = Config::load(Path::new(file)).expect("the shipped configuration");
    config.name = format!("bench-{}-{}", config.name, std::process::id());
    config.kafka.brokers = brokers.to_owned();
    config.source.topic = format!("{}-in", config.name);
    config.sink.predictions = format!("{}-out", config.name);
    config.sink.dead_letters = format!("{}-dead", config.name);
    config.sink.alarms = format!("{}-alarms", config.name);
    fill(&config.source.topic);
    let service = Service::new(config, Loader::trusted()).expect("the shipped models");
    let (metrics, shutdown) = (service.metrics(), Shutdown::default());
    let stop = shutdown.clone();
    let serving = std::thread::spawn(move || service.run(&stop, Some(PARTITIONS)));
    // Joining the group is no part of the rate.
    while metrics.totals().partitions < PARTITIONS as u64 && !shutdown.is_requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    while metrics.totals().readings < readings && !shutdown.is_requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
    shutdown.request();
    let ended = serving
        .join()
        .expect("the service does not panic")
        .expect("the service ends well");
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(ended.readings, readings);
    let per_million = cpu * 1e6 / readings as f64;
    println!(
        "{name:<44} {:>12.0} {per_million:>16.2}",
        readings as f64 / took
    );
    let commit = ended.commit_time.as_secs_f64() * 1e3 / ended.commits.max(1) as f64;
    println!(
        "  {} commits of {commit:.1} ms on average, {} batches",
        ended.commits, ended.batches
    );
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    // Fields 14 and 15 of proc(5), in clock ticks of 1/100 s.
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
