//! What another topic says about assets, on a real Apache Kafka: each reading is judged by what was said before
//! it, through a kill and a restart, and the same when the past is gone through again.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Feeder, Pipeline, Record, brokers, create_topic, equals_live, fixture_models, micros,
    read_committed,
};

const WAIT: Duration = Duration::from_secs(90);
const BEGIN: i64 = 1_700_000_000_000;
const ASSETS: i64 = 8;
const PARTITIONS: usize = 4;

/// A reading of each asset at each of `seconds`.
fn feed(feeder: &Feeder, seconds: std::ops::Range<i64>) {
    for second in seconds {
        for asset in 0..ASSETS {
            let payload = json!({"t": BEGIN + second * 1_000, "a": second, "b": asset}).to_string();
            let key = format!("pump-{asset}");
            feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), None);
        }
    }
    feeder.flush();
}

fn say(orders: &Feeder, asset: &str, text: &str) {
    orders.send(Some(asset.as_bytes()), Some(text.as_bytes()), None);
    orders.flush();
}

/// Seconds in which `asset` was not scored; every result says why.
fn unscored(records: &[Record], asset: &str) -> Vec<i64> {
    let mut seconds = Vec::new();
    for json in records.iter().map(Record::json) {
        let code = &json["unscored"]["code"];
        if json["asset"] != asset || *code == Value::Null {
            continue;
        }
        assert_eq!(*code, "regime");
        let reason = json["unscored"]["reason"].as_str().unwrap();
        assert!(reason.contains("maintenance"), "{reason}");
        let at = micros(json["event_time"].as_str().unwrap());
        seconds.push((at / 1_000 - BEGIN) / 1_000);
    }
    seconds.sort_unstable();
    seconds
}

#[test]
fn maintenance_that_another_topic_tells_is_known_once_and_for_all() {
    let Some(brokers) = brokers() else { return };
    let orders = support::unique("orders");
    let source = "event-time = { field = \"t\", unit = \"ms\" }";
    let models = fixture_models(&["plain"]);
    let models = models.replace("[\"*\"]", "[\"*\", \"maintenance\"]");
    let toml = format!(
        "{models}unless = [\"maintenance\"]\n[status.maintenance]\ntopic = \"{orders}\"\n\
         [delivery]\ninstance = \"one\"\n[service]\nworkers = 2\n"
    );
    let pipeline = Pipeline::new("notices", &brokers, source, &toml);
    create_topic(&brokers, &pipeline.topic, PARTITIONS);
    create_topic(&brokers, &orders, 1);
    let (feeder, orders) = (
        Feeder::new(&brokers, &pipeline.topic),
        Feeder::new(&brokers, &orders),
    );
    // Before anything runs, for an instant that is still to come.
    say(
        &orders,
        "pump-0",
        r#"{"active":true,"at":"2023-11-14T22:13:30Z"}"#,
    );
    feed(&feeder, 0..20);
    let service = pipeline.start(PARTITIONS);
    let so_far = (20 * ASSETS) as usize;
    read_committed(&brokers, &pipeline.predictions, so_far, WAIT);

    // While it runs; what can't be read is passed over.
    say(&orders, "pump-2", "on");
    say(&orders, "pump-1", r#"{"active":true,"at":1700000020000}"#);
    let told = 2 * PARTITIONS;
    let marks = read_committed(&brokers, &pipeline.progress(), told, WAIT);
    assert_eq!(marks.len(), told, "each partition knows both");
    feed(&feeder, 20..40);
    read_committed(&brokers, &pipeline.predictions, 2 * so_far, WAIT);
    service.kill();

    // While nothing runs.
    say(&orders, "pump-0", r#"{"active":false,"at":1700000040000}"#);
    say(
        &orders,
        "pump-1",
        r#"{"active":false,"at":"2023-11-14T22:14:10Z"}"#,
    );
    feed(&feeder, 40..60);
    let service = pipeline.start(PARTITIONS);
    let records = read_committed(&brokers, &pipeline.predictions, 3 * so_far, WAIT);
    assert!(service.terminate().success());

    assert_eq!(records.len(), 3 * so_far, "nothing lost, nothing doubled");
    assert_eq!(unscored(&records, "pump-0"), (10..40).collect::<Vec<_>>());
    assert_eq!(unscored(&records, "pump-1"), (20..50).collect::<Vec<_>>());
    for asset in 2..ASSETS {
        assert_eq!(unscored(&records, &format!("pump-{asset}")), [0; 0]);
    }
    let marks = read_committed(&brokers, &pipeline.progress(), 2 * told, WAIT);
    assert_eq!(marks.len(), 2 * told, "nothing is taken in twice");
    let changes = read_committed(&brokers, &pipeline.status(), 4, WAIT);
    let mut changes: Vec<Value> = changes
        .iter()
        .map(Record::json)
        .map(|json| json!([json["asset"], json["active"], json["since"]]))
        .collect();
    changes.sort_by_key(ToString::to_string);
    let expected = [
        json!(["pump-0", false, "2023-11-14T22:14:00Z"]),
        json!(["pump-0", true, "2023-11-14T22:13:30Z"]),
        json!(["pump-1", false, "2023-11-14T22:14:10Z"]),
        json!(["pump-1", true, "2023-11-14T22:13:40Z"]),
    ];
    assert_eq!(changes, expected);
    equals_live(&pipeline.config, &records);
}
