//! The past gone through again with the real binary, on a real Apache Kafka: stretches of the log as tables, other
//! versions, what was published beside what the log gives, and why an alarm was raised.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polars::prelude::{
    ChunkCompareEq as _, ChunkCompareIneq as _, DataFrame, ParquetReader, SerReader,
};
use serde_json::{Value, json};
use support::{
    Feeder, Pipeline, Record, brokers, copy_folder, create_topic, path, read_committed, root, run,
    run_ok, text,
};

const WAIT: Duration = Duration::from_secs(60);
/// Small batches: whole ones are read, also behind a stretch.
const SOURCE: &str = "max-batch-messages = 50\nevent-time = { field = \"t\", unit = \"ms\" }\n\
                      [event-time]\nout-of-orderness = \"2s\"";
/// 2023-11-14T22:13:20Z; the last readings are of the day after.
const BEGIN: i64 = 1_700_000_000_000;
const ASSETS: i64 = 6;
const STEPS: i64 = 300;
/// Milliseconds between two readings of an asset: two hours in all, over midnight.
const STEP: i64 = 24_000;

/// The fixtures on readings, on windows, and on windows with alarms.
fn served(models: &Path) -> String {
    format!(
        "[signals]\na = {{}}\nb = {{}}\n[views.v]\nfeatures = [\"a\", \"b\"]\n\
         [views.w]\nwindow = {{ tumbling = \"5m\" }}\nfeatures = [\"AVG(a) AS a\", \"MAX(b) AS b\"]\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"plain\"\nview = \"v\"\n\
         [[models.serve]]\nname = \"twin\"\nview = \"w\"\n\
         [alarms.high]\nmodel = \"plain\"\nwatch = \"score\"\nabove = {{ warning = 20.0 }}\nof = 2\nwithin = 3\n\
         [alarms.windy]\nmodel = \"twin\"\nwatch = \"score\"\nabove = {{ warning = 12.0 }}\nof = 1\nwithin = 1\n",
        models.display()
    )
}

/// A pipeline over two partitions with readings that come a little out of order.
struct Past {
    brokers: String,
    pipeline: Pipeline,
    dir: tempfile::TempDir,
}

impl Past {
    fn new(name: &str) -> Option<Self> {
        let brokers = brokers()?;
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "twin"] {
            let from = root().join("tests/fixtures/models/plain/1");
            copy_folder(&from, &dir.path().join("models").join(name).join("1"));
        }
        let toml = served(&dir.path().join("models"));
        let pipeline = Pipeline::new(name, &brokers, SOURCE, &toml);
        create_topic(&brokers, &pipeline.topic, 2);
        let feeder = Feeder::new(&brokers, &pipeline.topic);
        for n in 0..STEPS {
            for asset in 0..ASSETS {
                // Every seventh reading is a second early.
                let early = if (n + asset) % 7 == 0 { 1_000 } else { 0 };
                let at = BEGIN + n * STEP + asset * 500 - early;
                let value = ((asset * 7 + n * 3) % 40) as f64 * 0.25;
                let payload = format!("{{\"t\":{at},\"a\":{value},\"b\":{}}}", n % 5);
                let key = format!("pump-{asset}");
                let partition = Some((asset % 2) as i32);
                feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), partition);
            }
        }
        feeder.flush();
        Some(Past {
            brokers,
            pipeline,
            dir,
        })
    }

    /// Runs the service until it has published everything, and stops it.
    fn live(&self) -> Vec<Record> {
        let service = self.pipeline.start(2);
        let readings = (ASSETS * STEPS) as usize;
        // Of the last window of each asset nothing is known yet, nor of the last readings.
        let least = readings + readings / 20;
        let records = read_committed(&self.brokers, &self.pipeline.predictions, least, WAIT);
        assert!(records.len() >= least, "{} results", records.len());
        assert!(service.terminate().success());
        read_committed(&self.brokers, &self.pipeline.predictions, least, WAIT)
    }

    fn path(&self, name: &str) -> String {
        path(self.dir.path(), name)
    }

    fn replay(&self, args: &[&str]) -> String {
        let config = ["replay", "--config", self.pipeline.config()];
        run_ok(&[&config, args].concat())
    }

    /// What it says of why it can't.
    fn refused(&self, args: &[&str]) -> String {
        let config = ["replay", "--config", self.pipeline.config()];
        let refused = run(&[&config, args].concat());
        assert_eq!(refused.status.code(), Some(1));
        text(&refused.stderr)
    }

    /// Rows of a view in a stretch.
    fn rows(&self, view: &str, name: &str, stretch: &[&str]) -> DataFrame {
        let output = self.path(name);
        self.replay(&[&["--view", view, "--output", &output], stretch].concat());
        table(Path::new(&output))
    }
}

fn verify(config: &str) -> (Option<i32>, Value) {
    let output = run(&[
        "replay",
        "--config",
        config,
        "--verify",
        "--output-format",
        "json",
    ]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let told = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (output.status.code(), told)
}

fn read(path: impl AsRef<Path>) -> DataFrame {
    let file = fs::File::open(path).unwrap();
    ParquetReader::new(file).finish().unwrap()
}

fn table(path: &Path) -> DataFrame {
    read(path)
        .sort(["partition", "offset", "asset", "time"], Default::default())
        .unwrap()
}

/// The tables of a folder by date, as one.
fn folder(path: &Path) -> (usize, DataFrame) {
    let dates: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|date| date.unwrap().path())
        .collect();
    let files = dates.iter().flat_map(|date| fs::read_dir(date).unwrap());
    let tables = files.map(|file| table(&file.unwrap().path()));
    let all = tables.reduce(|mut all, part| {
        all.vstack_mut_owned(part).unwrap();
        all
    });
    let all = all
        .unwrap()
        .sort(["partition", "offset", "asset", "time"], Default::default());
    (dates.len(), all.unwrap())
}

/// What stands beside a table.
fn lineage(output: &str) -> Value {
    let text = fs::read_to_string(format!("{output}.lineage.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn assert_same(told: &DataFrame, expected: &DataFrame) {
    assert!(expected.height() > 0, "there is something to compare");
    assert!(told.equals_missing(expected), "{told}\n{expected}");
}

#[test]
fn a_stretch_is_the_whole_filtered_by_time_offset_or_asset() {
    let Some(past) = Past::new("stretch") else {
        return;
    };
    for view in ["v", "w"] {
        let whole = past.rows(view, &format!("{view}.parquet"), &[]);
        let numbers = |name: &str| whole.column(name).unwrap().i64().unwrap().clone();
        let time = whole
            .column("time")
            .unwrap()
            .cast(&polars::prelude::DataType::Int64)
            .unwrap();
        let time = time.i64().unwrap().clone();
        let (from, to) = (BEGIN * 1_000 + 1_800_000_000, BEGIN * 1_000 + 3_600_000_000);
        let of_time = time.gt_eq(from) & time.lt(to);
        let told = past.rows(
            view,
            "time.parquet",
            &[
                "--from",
                "2023-11-14T22:43:20Z",
                "--to",
                "2023-11-14T23:13:20Z",
            ],
        );
        assert_same(&told, &whole.filter(&of_time).unwrap());

        let partition = whole.column("partition").unwrap().i32().unwrap().equal(1);
        let offset = numbers("offset");
        let of_offset = &partition & &(offset.gt_eq(200_i64) & offset.lt(500_i64));
        let told = past.rows(view, "offset.parquet", &["--offsets", "1:200..500"]);
        assert_same(&told, &whole.filter(&of_offset).unwrap());

        let asset = whole
            .column("asset")
            .unwrap()
            .str()
            .unwrap()
            .equal("pump-3");
        let told = past.rows(view, "asset.parquet", &["--asset", "*-3"]);
        assert_same(&told, &whole.filter(&asset).unwrap());
    }
    let output = past.path("none.parquet");
    let told = past.refused(&["--view", "v", "--output", &output, "--offsets", "7:0..5"]);
    assert!(told.contains("has no partition 7: it has 0 to 1"), "{told}");
}

#[test]
fn a_stretch_by_offsets_does_not_read_the_log_to_its_end() {
    let Some(past) = Past::new("early") else {
        return;
    };
    let output = past.path("rows.lineage");
    let read = |view: &str| -> i64 {
        let output = format!("{output}-{view}.csv");
        past.replay(&["--view", view, "--output", &output, "--offsets", "0:0..20"]);
        let lineage = lineage(&output);
        assert_eq!(lineage["exact"], true);
        assert_eq!(lineage["stretch"]["offsets"]["0"], json!([[0, 20]]));
        assert!(lineage["partitions"]["1"].is_null());
        lineage["partitions"]["0"]["read"][1].as_i64().unwrap()
    };
    // Windows of 5 minutes hold 13 readings of each of the three assets.
    let (rows, windows) = (read("v"), read("w"));
    assert!((20..70).contains(&rows), "{rows}");
    assert!((60..160).contains(&windows), "{windows}");
}

#[test]
fn a_folder_by_date_holds_the_rows_of_the_single_file() {
    let Some(past) = Past::new("dates") else {
        return;
    };
    let whole = past.rows("v", "whole.parquet", &[]);
    let output = past.path("by-date");
    past.replay(&["--view", "v", "--output", &output]);
    let (dates, rows) = folder(Path::new(&output));
    assert_eq!(dates, 2);
    assert_same(&rows, &whole);
    let told = lineage(&output);
    assert_eq!(told["rows"], whole.height());
    assert_eq!(told["topic"], past.pipeline.topic.as_str());
    // The same features have the same hash, others another one.
    let other = past.path("other.csv");
    past.replay(&["--view", "w", "--output", &other]);
    assert!(told["feature_hash"].is_string());
    assert_ne!(lineage(&other)["feature_hash"], told["feature_hash"]);
    let told = past.refused(&["--view", "v", "--output", &output]);
    assert!(told.contains("is there already"), "{told}");
}

#[test]
fn what_was_published_is_what_the_log_gives_until_one_value_is_changed() {
    let Some(past) = Past::new("verify") else {
        return;
    };
    let records = past.live();
    let windows = records
        .iter()
        .filter(|record| !record.json()["window"].is_null())
        .count();
    assert!(windows > 100, "{windows} windows");
    let (status, told) = verify(past.pipeline.config());
    assert_eq!(status, Some(0), "{told:#}");
    assert_eq!(told["predictions"]["counts"]["equal"], records.len());
    assert!(
        told["alarms"]["counts"]["equal"].as_u64().unwrap() > 10,
        "{told:#}"
    );

    // The same outputs on another topic, but for one value.
    let victim = records
        .iter()
        .find(|record| record.json()["source"]["offset"] == 400)
        .unwrap();
    let mut changed = victim.json();
    changed["anomaly"]["score"] = 1e9.into();
    let other = format!("{}-changed", past.pipeline.predictions);
    create_topic(&past.brokers, &other, 1);
    let feeder = Feeder::new(&past.brokers, &other);
    let publish = |id: &str, value: &[u8]| feeder.send_with(b"x", value, &[("ce_id", id)]);
    for record in &records {
        let value = match record == victim {
            true => changed.to_string().into_bytes(),
            false => record.payload.clone().unwrap(),
        };
        publish(&record.headers["ce_id"], &value);
    }
    feeder.flush();
    let config = fs::read_to_string(past.pipeline.config()).unwrap();
    let own = format!("predictions = \"{}\"", past.pipeline.predictions);
    fs::write(
        past.path("changed.toml"),
        config.replace(&own, &format!("predictions = \"{other}\"")),
    )
    .unwrap();
    let (status, told) = verify(&past.path("changed.toml"));
    assert_eq!(status, Some(1), "{told:#}");
    let expected =
        json!({ "equal": records.len() - 1, "different": 1, "missing": 0, "unexpected": 0 });
    assert_eq!(told["predictions"]["counts"], expected);
    let first = &told["first_difference"];
    assert_eq!(first["id"], victim.headers["ce_id"].as_str());
    assert_eq!(first["offset"], 400);
    assert_eq!(first["recomputed"], text(victim.payload.as_ref().unwrap()));
    assert_eq!(first["published"], changed.to_string());

    // One that comes twice, and one that is of no row.
    publish(&victim.headers["ce_id"], victim.payload.as_ref().unwrap());
    changed["source"]["offset"] = 399.into();
    publish("nobody's", changed.to_string().as_bytes());
    feeder.flush();
    let (_, told) = verify(&past.path("changed.toml"));
    assert_eq!(told["predictions"]["counts"]["unexpected"], 2, "{told:#}");
}

#[test]
fn short_records_are_verified_by_their_id_alone() {
    let Some(past) = Past::new("short") else {
        return;
    };
    let config = fs::read_to_string(past.pipeline.config()).unwrap();
    let config = config
        .replace("[sink]\n", "[sink]\nheaders = \"id\"\n")
        .replace("[models]\n", "[models]\ncontributions = \"none\"\n");
    fs::write(past.pipeline.config(), config).unwrap();
    let records = past.live();
    for record in &records {
        let names: Vec<&str> = record.headers.keys().map(String::as_str).collect();
        assert_eq!(names, ["ce_id"]);
        assert!(record.json()["anomaly"]["contributions"].is_null());
    }
    let (status, told) = verify(past.pipeline.config());
    assert_eq!(status, Some(0), "{told:#}");
    assert_eq!(told["predictions"]["counts"]["equal"], records.len());
}

#[test]
fn an_alarm_is_explained_from_the_log() {
    let Some(past) = Past::new("explain") else {
        return;
    };
    past.live();
    let alarms = read_committed(
        &past.brokers,
        &format!("{}-alarms", past.pipeline.name),
        1,
        WAIT,
    );
    let explain = |id: &str| -> Value {
        let told = run_ok(&[
            "explain",
            id,
            "--config",
            past.pipeline.config(),
            "--output",
            "json",
        ]);
        serde_json::from_str(&told).unwrap()
    };
    for (name, of) in [("high", 2), ("windy", 1)] {
        let raised = alarms.iter().map(Record::json);
        let mut raised =
            raised.filter(|alarm| alarm["alarm"] == name && alarm["event"] == "raised");
        let alarm = raised.nth(1).unwrap();
        let told = explain(alarm["id"].as_str().unwrap());
        assert_eq!(told["alarm"], alarm);
        assert_eq!(
            (&told["alarm_equal"], &told["equal"]),
            (&Value::from(true), &Value::from(true))
        );
        let results = told["results"].as_array().unwrap();
        let last = results.last().unwrap();
        assert_eq!(last["offset"], alarm["source"]["offset"]);
        assert_eq!(last["value"], alarm["value"]);
        let beyond = results
            .iter()
            .rev()
            .take(3)
            .filter(|result| result["beyond"] == true);
        assert!(beyond.count() >= of, "{told:#}");
        // The score is that of the row: (a² + b²) / 2.
        let values = &told["rows"].as_array().unwrap().last().unwrap()["values"];
        let (a, b) = (values["a"].as_f64().unwrap(), values["b"].as_f64().unwrap());
        assert_eq!(last["value"], (a * a + b * b) / 2.0);
        let readings = told["readings"].as_array().unwrap();
        assert_eq!(readings.is_empty(), name == "high");
        if name == "windy" {
            let all: f64 = readings
                .iter()
                .map(|reading| reading["values"]["a"].as_f64().unwrap())
                .sum();
            assert_eq!(a, all / readings.len() as f64, "{told:#}");
        }
    }
    let config = past.pipeline.config();
    let unknown = run(&["explain", "nobody", "--config", config]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("there is no alarm nobody"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn a_backtest_scores_the_past_with_another_version() {
    let Some(past) = Past::new("backtest") else {
        return;
    };
    // Twice the threshold; the scores are the same.
    let (first, second) = (past.path("models/plain/1"), past.path("models/plain/2"));
    copy_folder(Path::new(&first), Path::new(&second));
    fs::write(
        Path::new(&second).join("model.toml"),
        "threshold = 1234.5\n",
    )
    .unwrap();
    let scores = |version: &str, name: &str| {
        let output = past.path(name);
        past.replay(&["--model", version, "--output", &output]);
        let frame = read(&output);
        let plain = frame.column("model").unwrap().str().unwrap().equal("plain");
        frame.filter(&plain).unwrap()
    };
    let (old, new) = (
        scores("plain@1", "old.parquet"),
        scores("plain@2", "new.parquet"),
    );
    assert!(old.height() > 1_000);
    assert_eq!(old.column("score").unwrap(), new.column("score").unwrap());
    let threshold = |frame: &DataFrame| frame.column("threshold").unwrap().f64().unwrap().get(0);
    assert_eq!(threshold(&new), Some(1234.5));
    assert_ne!(threshold(&old), Some(1234.5));
    assert_eq!(
        new.column("version").unwrap().u32().unwrap().get(0),
        Some(2)
    );
    let output = past.path("none.parquet");
    let told = past.refused(&["--model", "nobody@1", "--output", &output]);
    assert!(told.contains("does not serve nobody"), "{told}");
}

#[test]
fn a_sequence_is_the_last_rows_of_its_asset_oldest_first_with_the_first_one_repeated() {
    const LENGTH: usize = 4;
    let Some(past) = Past::new("sequences") else {
        return;
    };
    let rows = past.rows("v", "rows.parquet", &[]);
    let output = past.path("sequences.parquet");
    let stretch = ["--offsets", "0:30..90", "--asset", "pump-2"];
    past.replay(
        &[
            &["--view", "v", "--sequence", "4", "--output", &output][..],
            &stretch,
        ]
        .concat(),
    );
    let told = read(&output);
    let values = |frame: &DataFrame, name: &str| -> Vec<f64> {
        let column = frame
            .column(name)
            .unwrap()
            .cast(&polars::prelude::DataType::Float64)
            .unwrap();
        column.f64().unwrap().iter().flatten().collect()
    };
    let of_asset = rows.column("asset").unwrap().str().unwrap().equal("pump-2");
    let rows = rows
        .filter(&of_asset)
        .unwrap()
        .sort(["time"], Default::default())
        .unwrap();
    let (offsets, a) = (values(&rows, "offset"), values(&rows, "a"));
    let (mut expected, mut ends) = (Vec::new(), Vec::new());
    for end in 0..offsets.len() {
        if (30.0..90.0).contains(&offsets[end]) {
            for step in 0..LENGTH {
                expected.push(f64::from(a[(end + 1 + step).saturating_sub(LENGTH)] as f32));
                ends.push(offsets[end]);
            }
        }
    }
    assert_eq!(values(&told, "a"), expected);
    assert_eq!(values(&told, "offset"), ends);
    let steps: Vec<f64> = (0..expected.len())
        .map(|row| (row % LENGTH) as f64)
        .collect();
    assert_eq!(values(&told, "step"), steps);
    // The beginning of the log, where the first row stands for those before it.
    let begin = past.path("begin.parquet");
    past.replay(&[
        "--view",
        "v",
        "--sequence",
        "4",
        "--output",
        &begin,
        "--asset",
        "pump-2",
        "--offsets",
        "0:0..5",
    ]);
    let told = read(&begin);
    let first = a[0];
    let expected = [first, first, first, first, first, first, first, a[1]];
    assert_eq!(values(&told, "a"), expected[..told.height()]);
    assert!(told.height() >= LENGTH);
}

#[test]
fn messages_are_copied_as_they_are() {
    let Some(past) = Past::new("copy") else {
        return;
    };
    let topic = past.pipeline.topic.as_str();
    // One with headers that is no reading, and one without key and value.
    let feeder = Feeder::new(&past.brokers, topic);
    feeder.send_with(b"k", b"not JSON", &[("trace", "7")]);
    feeder.send(None, None, Some(0));
    feeder.flush();

    let messages = (ASSETS * STEPS + 2) as usize;
    let by_partition = |topic: &str, expected: usize| -> Vec<Record> {
        let mut records = read_committed(&past.brokers, topic, expected, WAIT);
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    };
    let whole = by_partition(topic, messages);
    let copy = format!("{}-copy", past.pipeline.name);
    past.replay(&["--to-topic", &copy]);
    let told = by_partition(&copy, messages);
    assert_eq!(told.len(), messages);
    assert!(told == whole, "every message, in its partition and order");

    let some = format!("{}-some", past.pipeline.name);
    let begun = std::time::Instant::now();
    past.replay(&[
        "--to-topic",
        &some,
        "--asset",
        "pump-3",
        "--offsets",
        "1:0..600",
        "--rate",
        "100",
    ]);
    let of_asset =
        |record: &&Record| record.key.as_deref() == Some(b"pump-3") && record.offset < 600;
    let expected: Vec<_> = whole
        .iter()
        .filter(of_asset)
        .map(|record| &record.payload)
        .collect();
    let told = by_partition(&some, expected.len());
    assert_eq!(
        told.iter()
            .map(|record| &record.payload)
            .collect::<Vec<_>>(),
        expected
    );
    let seconds = begun.elapsed().as_secs_f64();
    assert!(
        seconds > expected.len() as f64 / 100.0 - 0.1,
        "{seconds} s for {} messages",
        expected.len()
    );

    for own in [topic, &past.pipeline.predictions] {
        let told = past.refused(&["--to-topic", own]);
        assert!(told.contains("name another one"), "{told}");
    }
}
