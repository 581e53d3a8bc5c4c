//! The whole path on a real Kafka: a topic is filled first, then the service drains it.
//!
//! ```text
//!   scripts/kafka.sh with -- cargo bench --bench end_to_end
//! ```
//!
//! Sizes: 1,000,000 readings of 100,000 simulated cars, half of which have a fault in the end, and 209,536 of 1,600
//! engines, 8 partitions, one worker, exactly once with a commit every 25 ms; the broker is on the same machine and
//! takes its share of it. CPU is that of this process, the broker's not counted.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use forewarn_pipeline::Config;
use forewarn_pipeline::config::{ContributionsOf, OrNever};
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::topics;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use support::{PARTITIONS, Serving, commits, cpu_seconds, feed, rename};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Fleets of 100 engines.
const FLEETS: u64 = 16;

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
            let partitions = PARTITIONS.to_string();
            let cars = ["cars", "--assets", "100000", "--steps", "10"];
            let to = [
                "--topic",
                topic,
                "--brokers",
                &brokers,
                "--partitions",
                &partitions,
            ];
            feed(&[&cars[..], &to].concat());
        },
    );
    let data = std::env::var("FOREWARN_DATA").unwrap_or_else(|_| "../shared/data".into());
    if !Path::new(&data).join("cmapss").is_dir() {
        println!("engines skipped: no data folder (FOREWARN_DATA, or ../shared/data)");
        return;
    }
    drain(
        &brokers,
        "engines, LSTM over 30x14 and autoencoder",
        "deploy/turbofan.toml",
        FLEETS * 13_096,
        |topic| feed_fleets(&brokers, &data, topic),
    );
}

/// FD001's 100 test engines, many times over and side by side: to let one fleet fly after the other would make all
/// but the first too late.
fn feed_fleets(brokers: &str, data: &str, topic: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("engines.jsonl");
    let path = file.to_str().expect("UTF-8 path");
    feed(&["cmapss", "--data", data, "--output", path]);
    let mut kafka = Config::load(Path::new("deploy/turbofan.toml"))
        .expect("the shipped configuration")
        .kafka;
    brokers.clone_into(&mut kafka.brokers);
    topics::require_one(&kafka, topic, Some(PARTITIONS)).expect("a topic");
    let producer: BaseProducer = client::config(&kafka, Role::Producer)
        .create()
        .expect("a producer");
    for line in std::fs::read_to_string(&file).expect("lines").lines() {
        let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let asset = json["asset"].as_str().expect("an asset");
        for fleet in 0..FLEETS {
            let key = format!("{asset}-{fleet}");
            let mut record = BaseRecord::to(topic).key(&key).payload(line);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
        }
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("acknowledged");
}

/// Fills a topic and drains it: as by default, with contributions in all results, with state never written down, and all
/// the time.
fn drain(brokers: &str, name: &str, file: &str, readings: u64, fill: impl FnOnce(&str)) {
    let shipped = Config::load(Path::new(file)).expect("the shipped configuration");
    let topic = format!("bench-{}-{}-in", shipped.name, std::process::id());
    fill(&topic);
    let seconds = |seconds| OrNever(Some(Duration::from_secs(seconds)));
    for (what, every, contributions) in [
        (name, seconds(60), ContributionsOf::Flagged),
        (
            "  contributions in all results",
            seconds(60),
            ContributionsOf::All,
        ),
        (
            "  state never written",
            OrNever(None),
            ContributionsOf::Flagged,
        ),
        ("  state every second", seconds(1), ContributionsOf::Flagged),
    ] {
        let mut config = shipped.clone();
        config.models.contributions = contributions;
        let told = every.0.map_or(0, |every| every.as_secs());
        let name = format!(
            "bench-{}-{}-{told}-{contributions:?}",
            shipped.name,
            std::process::id()
        );
        rename(&mut config, &name);
        config.kafka.brokers = brokers.to_owned();
        config.source.topic.clone_from(&topic);
        config.delivery.snapshot_every = every;
        run(what, config, readings);
    }
}

fn run(name: &str, config: Config, readings: u64) {
    let serving = Serving::start(config, PARTITIONS);
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    serving.wait_for(readings);
    let ended = serving.end();
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(ended.readings, readings);
    // Each reading has a result from the model over single readings, if from no other.
    assert!(ended.predictions >= readings, "{ended:?}");
    let per_million = cpu * 1e6 / readings as f64;
    println!(
        "{name:<44} {:>12.0} {per_million:>16.2}",
        readings as f64 / took
    );
    println!("  {}", commits(&ended));
}
