//! Windows on a real Apache Kafka: once each and right after kills and in quiet times; late, lying and stuck
//! ones told of; the past gone through again gives what was said live, bit for bit.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;
use support::{
    Feeder, Pipeline, Record, Running, brokers, copy_folder, create_topic, data, equals_live,
    forewarn, read_committed, root, run_ok, unique,
};

const WAIT: Duration = Duration::from_secs(90);
/// A whole number of any window used here.
const BEGIN: i64 = 1_700_000_000_000;

/// The fixture model `plain`, whose score is (a² + b²) / 2, on the view `w`.
fn served_on_windows(views: &str) -> String {
    format!(
        "[signals]\na = {{}}\nb = {{}}\n{views}\n[models]\nrepository = \"{}\"\n\
         [[models.serve]]\nname = \"plain\"\nview = \"w\"\n",
        root().join("tests/fixtures/models").display()
    )
}

const ASSETS: i64 = 40;
const PER_ASSET: i64 = 600;

fn value(asset: i64, n: i64) -> f64 {
    ((asset * 7 + n * 3) % 40) as f64 * 0.25
}

fn feed(feeder: &Feeder, readings: std::ops::Range<i64>) {
    for reading in readings {
        let (asset, n) = (reading % ASSETS, reading / ASSETS);
        let (at, value) = (BEGIN + n * 100 + asset, value(asset, n));
        let payload = format!("{{\"t\":{at},\"a\":{value},\"b\":0}}");
        let key = format!("asset-{asset}");
        feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), None);
    }
    feeder.flush();
}

/// Every window of 5 s of every asset, once, with the score of a plain loop.
fn judge(records: &[Record]) {
    let mut seen = HashSet::new();
    for record in records {
        let json = record.json();
        let asset: i64 = json["asset"].as_str().unwrap()[6..].parse().unwrap();
        let start = json["window"]["start"].as_str().unwrap().to_owned();
        assert!(
            seen.insert((asset, start.clone())),
            "doubled: {asset} {start}"
        );
        let at = chrono_millis(&start);
        let inside = |n: &i64| (at..at + 5_000).contains(&(BEGIN + n * 100 + asset));
        let values: Vec<f64> = (0..PER_ASSET)
            .filter(inside)
            .map(|n| value(asset, n))
            .collect();
        let mean = (values.iter().sum::<f64>() / values.len() as f64) as f32;
        let count = values.len() as f32;
        let score = (f64::from(mean) * f64::from(mean) + f64::from(count) * f64::from(count)) / 2.0;
        assert_eq!(json["anomaly"]["score"], score, "{asset} {start}");
        assert_eq!(json["window"]["rows"], values.len());
        assert_eq!(json["window"]["revision"], 0);
    }
    assert_eq!(
        seen.len() as i64,
        ASSETS * PER_ASSET / 50,
        "nothing missing"
    );
}

/// Milliseconds since 1970 of a time such as 2023-11-14T22:13:20Z, all of one day here.
fn chrono_millis(time: &str) -> i64 {
    let clock = time.split('T').nth(1).unwrap().trim_end_matches('Z');
    let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    // 2023-11-14T00:00:00Z.
    1_699_920_000_000 + ((parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]) * 1000.0).round() as i64
}

#[test]
fn windows_come_once_after_kills_and_the_last_ones_are_closed_by_the_clock_once() {
    let Some(brokers) = brokers() else { return };
    let source = "event-time = { field = \"t\", unit = \"ms\" }\n\
                  [event-time]\nout-of-orderness = \"50ms\"\nidle-timeout = \"1s\"";
    let views = "[views.w]\nwindow = { tumbling = \"5s\" }\nfeatures = [\"AVG(a) AS a\", \"COUNT(*) AS b\"]";
    let toml = served_on_windows(views) + "[delivery]\ninstance = \"one\"\n";
    let pipeline = Pipeline::new("windows", &brokers, source, &toml);
    create_topic(&brokers, &pipeline.topic, 4);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let (readings, windows) = (ASSETS * PER_ASSET, (ASSETS * PER_ASSET / 50) as usize);
    let third = readings / 3;
    feed(&feeder, 0..third);
    let mut seen = 0;
    for life in 1..=2 {
        let service = pipeline.start(4);
        seen = read_committed(&brokers, &pipeline.predictions, seen + 1, WAIT).len();
        assert!(seen > 0, "life {life} published something");
        feed(&feeder, life * third..(life + 1) * third);
        std::thread::sleep(Duration::from_millis(30));
        service.kill();
    }
    // The last windows end after the last reading: only the clock closes them.
    let service = pipeline.start(4);
    let records = read_committed(&brokers, &pipeline.predictions, windows, WAIT);
    judge(&records);
    let marks = read_committed(&brokers, &pipeline.progress(), 4, WAIT);
    assert!(!marks.is_empty());
    for mark in &marks {
        assert_eq!(
            mark.json()["partition"],
            mark.partition,
            "kept under its partition's number"
        );
    }
    service.kill();
    // Another process closes nothing again; a reading that comes then is late, as it was to the first.
    let service = pipeline.start(4);
    let late = format!("{{\"t\":{},\"a\":1,\"b\":0}}", BEGIN + 59_000);
    for partition in 0..4 {
        feeder.send(Some(b"asset-0"), Some(late.as_bytes()), Some(partition));
    }
    feeder.flush();
    let letters = read_committed(&brokers, &pipeline.late(), 4, WAIT);
    assert_eq!(letters.len(), 4, "late in each partition");
    judge(&read_committed(
        &brokers,
        &pipeline.predictions,
        windows,
        WAIT,
    ));
    assert!(service.terminate().success());
    // The log gone through again, marks and all, says the same.
    equals_live(&pipeline.config, &records);
}

#[test]
fn early_late_revised_and_impossible_readings_are_told_apart() {
    let Some(brokers) = brokers() else { return };
    let source = "event-time = { field = \"t\", unit = \"ms\" }\n\
                  [event-time]\nidle-timeout = \"never\"\nmax-ahead = \"1h\"\n\
                  [status.a_stuck]\nsignal = \"a\"\nunchanged-for = \"20s\"\n\
                  [status.quiet]\nsilent-for = \"60s\"\n";
    let views = "[views.w]\nwindow = { tumbling = \"10s\" }\nallowed-lateness = \"10s\"\nearly-every = \"4s\"\n\
                 features = [\"AVG(a) AS a\", \"COUNT(*) AS b\"]";
    let pipeline = Pipeline::new("late", &brokers, source, &served_on_windows(views));
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let send = |seconds: i64, value: f64| {
        let payload = format!("{{\"t\":{},\"a\":{value},\"b\":0}}", BEGIN + seconds * 1000);
        feeder.send(Some(b"pump"), Some(payload.as_bytes()), None);
        payload
    };
    send(1, 2.0);
    send(5, 4.0);
    send(11, 6.0);
    // Within the allowed lateness of the first window; then behind it.
    send(7, 6.0);
    send(25, 6.0);
    let late = send(2, 1.0);
    // A clock that runs years ahead closes nothing.
    let lying = send(1_000_000_000, 6.0);
    send(33, 6.0);
    send(100, 6.0);
    feeder.flush();
    let service = pipeline.start(1);
    let letters = read_committed(&brokers, &pipeline.dead_letters, 1, WAIT);
    assert_eq!(letters[0].payload.as_deref(), Some(lying.as_bytes()));
    assert_eq!(letters[0].headers["forewarn.code"], "clock-ahead");

    let late_ones = read_committed(&brokers, &pipeline.late(), 1, WAIT);
    assert_eq!(late_ones.len(), 1);
    let headers = &late_ones[0].headers;
    assert_eq!(late_ones[0].payload.as_deref(), Some(late.as_bytes()));
    assert_eq!(
        headers["forewarn.window"],
        "w 2023-11-14T22:13:20Z 2023-11-14T22:13:30Z"
    );
    assert_eq!(headers["forewarn.watermark"], "2023-11-14T22:13:45Z");
    assert_eq!(headers["forewarn.lateness"], "PT23S");

    let records = read_committed(&brokers, &pipeline.predictions, 6, WAIT);
    let told: Vec<serde_json::Value> = records
        .iter()
        .map(Record::json)
        .filter(|json| json["window"]["start"] == "2023-11-14T22:13:20Z")
        .collect();
    let outline = |json: &serde_json::Value| {
        let window = &json["window"];
        json!([
            window["provisional"],
            window["revision"],
            window["rows"],
            json["anomaly"]["score"]
        ])
    };
    let id = format!(
        "{}-0-w:pump:1700000000000000:1700000010000000-plain@1",
        pipeline.topic
    );
    let mut outlines: Vec<serde_json::Value> = told.iter().map(outline).collect();
    outlines.sort_by_key(ToString::to_string);
    // Early at 4 s and at 8 s, when 11 s came; then as it closed; then with the late one in it.
    let mut expected = vec![
        json!([true, 0, 1, (4.0 + 1.0) / 2.0]),
        json!([true, 0, 2, (9.0 + 4.0) / 2.0]),
        json!([null, 0, 2, (9.0 + 4.0) / 2.0]),
        json!([null, 1, 3, (16.0 + 9.0) / 2.0]),
    ];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(outlines, expected);
    let revised = told
        .iter()
        .find(|json| json["window"]["revision"] == 1)
        .unwrap();
    assert_eq!(revised["supersedes"], json!([id]));
    let ids: HashSet<&String> = records
        .iter()
        .map(|record| &record.headers["ce_id"])
        .collect();
    assert_eq!(
        ids.len(),
        records.len(),
        "every result has an id of its own"
    );
    assert!(ids.contains(&format!("{id}-r1")));

    let changes = read_committed(&brokers, &pipeline.status(), 3, WAIT);
    let changes: Vec<serde_json::Value> = changes
        .iter()
        .map(|change| {
            let json = change.json();
            json!([
                json["status"],
                json["active"],
                json["since"],
                json["event_time"]
            ])
        })
        .collect();
    let expected = [
        json!([
            "a_stuck",
            true,
            "2023-11-14T22:13:31Z",
            "2023-11-14T22:13:53Z"
        ]),
        json!([
            "quiet",
            true,
            "2023-11-14T22:13:53Z",
            "2023-11-14T22:14:53.000001Z"
        ]),
        json!([
            "quiet",
            false,
            "2023-11-14T22:15:00Z",
            "2023-11-14T22:15:00Z"
        ]),
    ];
    assert_eq!(changes, expected);
    assert!(service.terminate().success());
}

/// Runs a shipped configuration with windows added, on a topic that `feed` fills, and goes through it again.
fn live_equals_replay(shipped: &str, feed: &[&str], windows: &str, model: &str, expected: usize) {
    let Some(brokers) = brokers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let name = unique("replay");
    // One repository with the shipped model and the fixture.
    let repository = dir.path().join("models");
    for (from, name) in [("models/zoo", model), ("tests/fixtures/models", "plain")] {
        copy_folder(
            &root().join(from).join(name).join("1"),
            &repository.join(name).join("1"),
        );
    }
    let mut table: toml::Table = std::fs::read_to_string(root().join(shipped))
        .unwrap()
        .parse()
        .unwrap();
    let added: toml::Table = windows.parse().unwrap();
    for (key, value) in added {
        match (
            table.get_mut(&key).and_then(toml::Value::as_table_mut),
            value,
        ) {
            (Some(known), toml::Value::Table(more)) => known.extend(more),
            (_, value) => drop(table.insert(key, value)),
        }
    }
    let set = |table: &mut toml::Table, section: &str, key: &str, value: toml::Value| {
        let section = table
            .entry(section)
            .or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap().insert(key.into(), value);
    };
    table.insert("name".into(), name.clone().into());
    set(&mut table, "kafka", "brokers", brokers.clone().into());
    set(&mut table, "source", "topic", format!("{name}-in").into());
    for key in ["predictions", "dead-letters", "late", "status", "alarms"] {
        set(&mut table, "sink", key, format!("{name}-{key}").into());
    }
    let alarms = table.get_mut("alarms").and_then(toml::Value::as_table_mut);
    if let Some(alarms) = alarms {
        // Those of models that are not served here.
        alarms.retain(|_, alarm| alarm["model"].as_str() == Some(model));
    }
    set(
        &mut table,
        "models",
        "repository",
        repository.to_str().unwrap().into(),
    );
    let serve: toml::Value = ["w", "each"]
        .iter()
        .zip(["plain", model])
        .map(|(view, model)| {
            let view = if *view == "w" {
                "w".to_owned()
            } else {
                shipped_view(shipped)
            };
            toml::Value::Table(
                BTreeMap::from([("name", model.to_owned()), ("view", view)])
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.into()))
                    .collect(),
            )
        })
        .collect::<Vec<_>>()
        .into();
    set(&mut table, "models", "serve", serve);
    let config = dir.path().join("pipeline.toml");
    std::fs::write(&config, toml::to_string(&table).unwrap()).unwrap();

    let topic = format!("{name}-in");
    run_ok(&[feed, &["--brokers", &brokers, "--topic", &topic]].concat());
    let run = [
        "run",
        "--config",
        config.to_str().unwrap(),
        "--create-topics",
    ];
    let service = Running::start(forewarn(&run));
    let records = read_committed(&brokers, &format!("{name}-predictions"), expected, WAIT);
    assert!(records.len() >= expected, "{} results", records.len());
    let windows = records
        .iter()
        .filter(|record| !record.json()["window"].is_null())
        .count();
    assert!(windows > 0, "there are windows among them");
    assert!(service.terminate().success());
    println!("{} results, {windows} of windows", records.len());
    equals_live(&config, &records);
}

fn shipped_view(shipped: &str) -> String {
    if shipped.contains("cars") {
        "car".into()
    } else {
        "engine".into()
    }
}

#[test]
fn replay_equals_live_on_engines() {
    let Some(data) = data() else { return };
    let data = data.to_str().unwrap().to_owned();
    let windows = "[views.w]\nwindow = { count = 20, every = 5 }\n\
                   features = [\"AVG(T50) AS a\", \"COVAR_SAMP(T50, event_time) / VARIANCE(event_time) AS b\"]\n\
                   [event-time]\nidle-timeout = \"1s\"\n";
    // 13,096 readings; every fifth row of each engine from its twentieth on.
    let feed = ["feed", "cmapss", "--data", &data];
    live_equals_replay(
        "deploy/turbofan.toml",
        &feed,
        windows,
        "turbofan-rul",
        13_096 + 2_000,
    );
}

#[test]
fn replay_equals_live_on_cars() {
    let windows = "[views.w]\nwindow = { hopping = \"1m\", every = \"30s\" }\nallowed-lateness = \"30s\"\n\
                   features = [\"AVG(speed) AS a\", \"STDDEV(engine_vibration_amplitude) AS b\"]\n\
                   [event-time]\nidle-timeout = \"1s\"\nout-of-orderness = \"10s\"\n";
    let feed = ["feed", "cars", "--assets", "200", "--steps", "60"];
    // 60 steps of 10 s: 21 windows of each car, the first and the last ones shorter.
    live_equals_replay(
        "deploy/cars.toml",
        &feed,
        windows,
        "car-anomaly",
        12_000 + 200 * 21,
    );
}
