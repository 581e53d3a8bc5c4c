//! State that is written down, on a real Apache Kafka: a pipeline goes on from it when the log is gone, says so
//! when it is of no use, and rebuilds it from the log then.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use support::{
    Feeder, Pipeline, Record, Running, brokers, create_topic, fixture_models, log_lines,
    read_committed, run_ok,
};

const WAIT: Duration = Duration::from_secs(90);
const ASSETS: usize = 40;
const PARTITIONS: usize = 4;

/// A pipeline with the fixture `weighted`: 1·a₋₂ + 10·a₋₁ + 100·a₀, the first row standing for earlier ones.
fn pipeline(name: &str, brokers: &str, snapshot_every: &str) -> Pipeline {
    let models = fixture_models(&["weighted"]);
    let toml =
        format!("{models}[delivery]\ninstance = \"one\"\nsnapshot-every = \"{snapshot_every}\"\n");
    let pipeline = Pipeline::new(
        name,
        brokers,
        "event-time = { field = \"t\", unit = \"s\" }",
        &toml,
    );
    create_topic(brokers, &pipeline.topic, PARTITIONS);
    pipeline
}

/// The `n`-th reading of each asset.
fn feed(feeder: &Feeder, n: usize) {
    for asset in 0..ASSETS {
        let payload = json!({"t": 1_700_000_000 + n, "a": n + 1, "b": 0}).to_string();
        let key = format!("asset-{asset}");
        feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), None);
    }
    feeder.flush();
}

/// What the `n`-th reading of an asset is scored with.
fn expected(n: usize) -> f64 {
    let a = |back: usize| (n.saturating_sub(back) + 1) as f64;
    a(2) + 10.0 * a(1) + 100.0 * a(0)
}

/// Each of the first `readings` of each asset has one result, with the right value.
fn judge(records: &[Record], readings: usize) {
    let mut results: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for json in records.iter().map(Record::json) {
        let at = json["event_time"].as_str().unwrap().to_owned();
        let value = json["rul"]["value"].as_f64();
        let value = value.unwrap_or_else(|| panic!("{json}"));
        let asset = json["asset"].as_str().unwrap().to_owned();
        results.entry(asset).or_default().push((at, value));
    }
    assert_eq!(results.len(), ASSETS);
    for (asset, mut told) in results {
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let values: Vec<f64> = told.into_iter().map(|(_, value)| value).collect();
        let right: Vec<f64> = (0..readings).map(expected).collect();
        assert_eq!(values, right, "{asset}");
    }
}

fn inspect(pipeline: &Pipeline) -> Vec<Value> {
    let args = [
        "state",
        "inspect",
        "--config",
        pipeline.config(),
        "--output",
        "json",
    ];
    serde_json::from_str(&run_ok(&args)).unwrap()
}

/// Waits until the state of all partitions is that after `readings` of each asset.
fn wait_until_written(pipeline: &Pipeline, readings: usize) {
    let deadline = Instant::now() + WAIT;
    loop {
        let told = inspect(pipeline);
        let written = told
            .iter()
            .filter_map(|partition| partition["offset"].as_u64());
        if written.sum::<u64>() == (readings * ASSETS) as u64 {
            return;
        }
        assert!(Instant::now() < deadline, "{told:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Deletes all records of the input, as retention would.
fn delete_log(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        all.add_partition_offset(topic, partition, Offset::End)
            .unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let deleted = runtime.block_on(admin.delete_records(&all, &AdminOptions::new()));
    for element in deleted.unwrap().elements() {
        element.error().unwrap();
    }
}

/// Two readings of each asset, scored by a service that goes on; nothing without a broker.
fn begun(name: &str, snapshot_every: &str) -> Option<(String, Pipeline, Feeder, Running)> {
    let brokers = brokers()?;
    let pipeline = pipeline(name, &brokers, snapshot_every);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    feed(&feeder, 0);
    feed(&feeder, 1);
    let service = pipeline.start(PARTITIONS);
    read_committed(&brokers, &pipeline.predictions, 2 * ASSETS, WAIT);
    Some((brokers, pipeline, feeder, service))
}

/// Waits until `n` readings of each asset are scored, and stops the service.
fn finish(service: Running, brokers: &str, pipeline: &Pipeline, n: usize) -> Vec<Record> {
    let records = read_committed(brokers, &pipeline.predictions, n * ASSETS, WAIT);
    assert!(service.terminate().success());
    records
}

/// How often a log says so.
fn told(log: &Path, words: &str) -> usize {
    let says = |line: &Value| {
        let message = line["fields"]["message"].as_str();
        message.is_some_and(|message| message.contains(words))
    };
    log_lines(log).iter().filter(|line| says(line)).count()
}

#[test]
fn sequences_go_on_when_the_log_that_they_were_made_of_is_gone() {
    let Some((brokers, pipeline, feeder, service)) = begun("state", "50ms") else {
        return;
    };
    wait_until_written(&pipeline, 2);
    service.kill();
    delete_log(&brokers, &pipeline.topic);
    feed(&feeder, 2);
    // Killed, and then stopped: either way all that follows knows what was before.
    let service = pipeline.start(PARTITIONS);
    finish(service, &brokers, &pipeline, 3);
    wait_until_written(&pipeline, 3);
    delete_log(&brokers, &pipeline.topic);
    feed(&feeder, 3);
    let service = pipeline.start(PARTITIONS);
    let records = finish(service, &brokers, &pipeline, 4);
    judge(&records, 4);

    let args = [
        "state",
        "export",
        "--config",
        pipeline.config(),
        "--asset",
        "asset-7",
    ];
    let exported: Value = serde_json::from_str(&run_ok(&args)).unwrap();
    assert_eq!(exported["asset"], "asset-7");
    assert_eq!(
        exported["state"]["sequences"][0]["rows"],
        json!([2.0, 0.0, 3.0, 0.0, 4.0, 0.0])
    );
}

#[test]
fn state_of_no_use_is_told_and_rebuilt_from_the_log() {
    let Some((brokers, pipeline, feeder, service)) = begun("damaged", "50ms") else {
        return;
    };
    finish(service, &brokers, &pipeline, 2);

    // One bit of the latest record of one asset.
    let topic = format!("{}-state", pipeline.name);
    let records = read_committed(&brokers, &topic, ASSETS + PARTITIONS, WAIT);
    let key = Some(&b"asset-7"[..]);
    let mut records = records.iter().rev();
    let written = records.find(|record| record.key.as_deref() == key).unwrap();
    let mut payload = written.payload.clone().unwrap();
    *payload.last_mut().unwrap() ^= 1;
    let writer = Feeder::new(&brokers, &topic);
    writer.send(key, Some(&payload), Some(written.partition));
    writer.flush();
    let damaged = inspect(&pipeline);
    let reason = &damaged[written.partition as usize]["reason"];
    assert!(
        reason.as_str().unwrap().contains("checksum"),
        "{damaged:#?}"
    );

    let log = pipeline.config.with_file_name("log");
    feed(&feeder, 2);
    let service = pipeline.start_logged(PARTITIONS, &log, &[]);
    let records = finish(service, &brokers, &pipeline, 3);
    judge(&records, 3);
    assert_eq!(told(&log, "of no use"), 1);
    // The other partitions had nothing to read again.
    assert_eq!(told(&log, "rebuilding state from the log"), 1);

    // Another meaning of the same values: nothing that was written down is of use.
    let config = std::fs::read_to_string(&pipeline.config).unwrap();
    let other = config.replace(
        "b = { unit = \"degC\" }",
        "b = { unit = \"degC\", min = -5 }",
    );
    assert_ne!(config, other);
    std::fs::write(&pipeline.config, other).unwrap();
    for partition in inspect(&pipeline) {
        let reason = partition["reason"].as_str().unwrap();
        assert!(reason.contains("another configuration"), "{partition}");
    }
    feed(&feeder, 3);
    let service = pipeline.start_logged(PARTITIONS, &log, &[]);
    let records = finish(service, &brokers, &pipeline, 4);
    judge(&records, 4);
    assert_eq!(told(&log, "of no use"), PARTITIONS);
    let inspected = inspect(&pipeline);
    let mut partitions = inspected.iter();
    assert!(partitions.all(|partition| partition["offset"].is_u64()));
}

/// All readings are there from the start: a burst would have them written within some commits.
#[test]
fn partitions_are_written_down_evenly_over_the_interval() {
    let Some((brokers, pipeline, _, service)) = begun("spread", "4s") else {
        return;
    };
    wait_until_written(&pipeline, 2);
    assert!(service.terminate().success());
    let topic = format!("{}-state", pipeline.name);
    let records = read_committed(&brokers, &topic, ASSETS + PARTITIONS, WAIT);
    // What the assets of a partition share has an empty key; it is written last.
    let shared = records
        .iter()
        .filter(|record| record.key.as_deref() == Some(b""));
    let mut at: Vec<i64> = shared.filter_map(|record| record.timestamp).collect();
    at.sort_unstable();
    assert_eq!(at.len(), PARTITIONS, "each once");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{at:?}");
}
