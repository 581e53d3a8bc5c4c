//! New versions of models under load, on a real Apache Kafka: nothing is lost, doubled or scored by two
//! versions, whatever is dropped in; and what a thousand swaps cost.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use serde_json::Value;
use support::{
    Feeder, Pipeline, Record, Running, brokers, create_topic, micros, read_committed, root, run_ok,
};

const WAIT: Duration = Duration::from_secs(60);
const SOURCE: &str = "event-time = { field = \"t\", unit = \"ms\" }";
const PARTITIONS: usize = 2;
const ASSETS: u64 = 50;
/// Every so many-th reading has a value that the fixture `fails` can't take.
const UNBEARABLE: u64 = 97;

/// Each of these tests puts a load on the broker: two at a time would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A pipeline on a repository of its own.
struct Serving {
    brokers: String,
    pipeline: Pipeline,
    repository: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Messages sent at a steady rate, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Serving {
    fn new(name: &str, models: &str) -> Option<Self> {
        let brokers = brokers()?;
        let alone = alone();
        let repository = tempfile::tempdir().unwrap();
        let toml = format!(
            "[signals]\na = {{}}\nb = {{}}\n[views.v]\nfeatures = [\"a\", \"b\"]\n\
             [models]\nrepository = \"{}\"\n{models}\n[service]\nworkers = 2\n",
            repository.path().display()
        );
        let pipeline = Pipeline::new(name, &brokers, SOURCE, &toml);
        create_topic(&brokers, &pipeline.topic, PARTITIONS);
        Some(Serving {
            brokers,
            pipeline,
            repository,
            _alone: alone,
        })
    }

    /// Serves the first versions of `m` and `sum` under load, until the first predictions are there.
    fn begin(name: &str, models: &str, per_second: u64) -> Option<(Self, Load, Running)> {
        let serving = Serving::new(name, models)?;
        serving.drop_in("m", 1, "plain", 1.0);
        serving.drop_in("sum", 1, "running-sum", 1.0);
        let load = serving.load(0, per_second);
        let service = serving.start();
        serving.wait_until_it_serves();
        Some((serving, load, service))
    }

    fn start(&self) -> Running {
        self.pipeline.start_logged(PARTITIONS, &self.log(), &[])
    }

    fn log(&self) -> PathBuf {
        self.pipeline.config.with_file_name("log")
    }

    /// Drops a version in, as a whole: the fixture `of`, with `threshold`.
    fn drop_in(&self, model: &str, version: u32, of: &str, threshold: f64) {
        let built = tempfile::tempdir_in(self.repository.path()).unwrap();
        let fixture = root().join(format!("tests/fixtures/models/{of}/1/model.onnx"));
        std::fs::copy(fixture, built.path().join("model.onnx")).unwrap();
        std::fs::write(
            built.path().join("model.toml"),
            format!("threshold = {threshold:?}\n"),
        )
        .unwrap();
        let home: PathBuf = self.repository.path().join(model);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::rename(built.keep(), home.join(version.to_string())).unwrap();
    }

    fn models_topic(&self) -> String {
        format!("{}-models", self.pipeline.name)
    }

    /// Predictions from now on.
    fn reader(&self) -> Latencies {
        Latencies::open(&self.brokers, &self.pipeline.predictions)
    }

    /// Waits for the first predictions.
    fn wait_until_it_serves(&self) {
        let mut reader = self.reader();
        let deadline = Instant::now() + Duration::from_secs(30);
        while reader.next().is_none() {
            assert!(Instant::now() < deadline, "nothing is scored");
        }
    }

    /// Waits until a version of `m` has been tried and is refused.
    fn wait_until_refused(&self, version: u32) {
        let refused = |line: &str| {
            // ONNX Runtime writes lines of its own there.
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let fields = &line["fields"];
            let message = fields["message"].as_str().unwrap_or_default();
            message.starts_with("a version is refused")
                && fields["model"] == "m"
                && fields["version"] == version
        };
        let deadline = Instant::now() + WAIT;
        loop {
            let told = std::fs::read_to_string(self.log()).unwrap();
            if told.lines().any(refused) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{version} is not refused: {told}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All predictions, of which so many are awaited.
    fn predictions(&self, expected: usize) -> Vec<Value> {
        read(&self.brokers, &self.pipeline.predictions, expected, WAIT)
    }

    /// All events so far, of which so many are awaited.
    fn events(&self, expected: usize, limit: Duration) -> Vec<Value> {
        read(&self.brokers, &self.models_topic(), expected, limit)
    }

    /// Sends readings from number `first` on.
    fn load(&self, first: u64, per_second: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (feeder, stopped) = (
            Feeder::new(&self.brokers, &self.pipeline.topic),
            stop.clone(),
        );
        let send = move || {
            let (begun, mut sent) = (Instant::now(), first);
            while !stopped.load(Ordering::SeqCst) {
                let due = first + (begun.elapsed().as_secs_f64() * per_second as f64) as u64;
                while sent < due {
                    let (key, payload) = reading(sent);
                    feeder.send(Some(key.as_bytes()), Some(payload.as_bytes()), None);
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            feeder.flush();
            sent
        };
        Load {
            stop,
            thread: std::thread::spawn(send),
        }
    }
}

impl Load {
    /// Stops, and gives the number of the reading that would be next.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn read(brokers: &str, topic: &str, expected: usize, limit: Duration) -> Vec<Value> {
    let records = read_committed(brokers, topic, expected, limit);
    records.iter().map(Record::json).collect()
}

/// Signal a of reading `n`.
fn signal(n: u64) -> u64 {
    if n.is_multiple_of(UNBEARABLE) {
        100
    } else {
        n % 7
    }
}

fn reading(n: u64) -> (String, String) {
    let a = signal(n);
    // The fixture `nan` takes the square root of b.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let t = now.as_micros() as f64 / 1_000.0;
    (
        format!("asset-{}", n % ASSETS),
        format!("{{\"t\":{t},\"a\":{a},\"b\":-1,\"n\":{n}}}"),
    )
}

/// Every record has one result of `model`, by the version that the events say.
fn judge(predictions: &[Value], events: &[Value], model: &str) {
    let mut by_record: HashMap<(i64, i64), u64> = HashMap::new();
    for json in predictions.iter().filter(|json| json["model"] == model) {
        let source = &json["source"];
        let at = (
            source["partition"].as_i64().unwrap(),
            source["offset"].as_i64().unwrap(),
        );
        let version = json["version"].as_u64().unwrap();
        let earlier = by_record.insert(at, version);
        assert_eq!(earlier, None, "{at:?} is scored twice");
    }
    for partition in 0..PARTITIONS as i64 {
        // The first record of each version, in the order of the events.
        let mut begins: Vec<(i64, u64)> = Vec::new();
        for event in events.iter().filter(|event| event["model"] == model) {
            if let Some(offset) = event["offsets"][partition.to_string()].as_i64() {
                begins.push((offset, event["to"].as_u64().unwrap()));
            }
        }
        let of_partition = by_record.iter().filter(|((p, _), _)| *p == partition);
        let records: BTreeMap<i64, u64> = of_partition.map(|((_, o), v)| (*o, *v)).collect();
        let offsets: Vec<i64> = records.keys().copied().collect();
        let all: Vec<i64> = (0..records.len() as i64).collect();
        assert_eq!(offsets, all, "partition {partition}: nothing missing");
        for (offset, version) in records {
            let expected = begins.iter().rev().find(|(begin, _)| *begin <= offset);
            assert_eq!(
                Some(version),
                expected.map(|(_, version)| *version),
                "partition {partition}, record {offset}, {begins:?}"
            );
        }
    }
}

#[test]
fn whatever_is_dropped_in_under_load_each_record_is_scored_once_by_the_version_that_serves() {
    let models = "reload = \"poll\"\nreload-every = \"50ms\"\ntrial-results = 100000000\n\
        [[models.serve]]\nname = \"m\"\nview = \"v\"\n\
        [[models.serve]]\nname = \"sum\"\nview = \"v\"\n";
    let Some((serving, load, service)) = Serving::begin("swaps", models, 1_000) else {
        return;
    };
    serving.drop_in("m", 2, "plain", 2.0);
    let mut said = wait_for(&serving, 2, "m", "swapped", 2);
    // Not finite for any reading: rolled back.
    serving.drop_in("m", 3, "nan", 1.0);
    said = wait_for(&serving, said + 1, "m", "rolled-back", 3);
    // No ONNX, another task, another width: refused, and nothing happens.
    for (version, of) in [(4, "truncated"), (5, "weighted"), (6, "wrong-width")] {
        serving.drop_in("m", version, of, 1.0);
        serving.wait_until_refused(version);
    }
    // Its state is that of the same network over all readings so far.
    serving.drop_in("sum", 2, "running-sum", 3.0);
    said = wait_for(&serving, said + 1, "sum", "swapped", 2);
    // Fails at a reading that it can't take.
    serving.drop_in("m", 7, "fails", 1.0);
    said = wait_for(&serving, said + 1, "m", "rolled-back", 7);
    serving.drop_in("m", 8, "plain", 8.0);
    wait_for(&serving, said + 1, "m", "swapped", 8);
    serving.reader().read_until(8);

    let sent = load.stop() as usize;
    let predictions = serving.predictions(2 * sent);
    assert!(service.terminate().success());
    assert_eq!(predictions.len(), 2 * sent);

    // A version that came while nothing ran serves from the next start on, and the events say from where.
    serving.drop_in("m", 9, "plain", 9.0);
    let load = serving.load(sent as u64, 1_000);
    let service = serving.start();
    serving.wait_until_it_serves();
    let sent = load.stop() as usize;
    let predictions = serving.predictions(2 * sent);
    assert!(service.terminate().success());
    assert_eq!(predictions.len(), 2 * sent);
    let events = serving.events(1, Duration::from_secs(5));
    judge(&predictions, &events, "m");
    judge(&predictions, &events, "sum");

    let versions = |model: &str| -> HashSet<u64> {
        let of = predictions.iter().filter(|json| json["model"] == model);
        of.map(|json| json["version"].as_u64().unwrap()).collect()
    };
    for version in [4, 5, 6] {
        assert!(!versions("m").contains(&version), "version {version}");
    }
    assert!(versions("m").is_superset(&HashSet::from([1, 2, 8, 9])));
    assert_eq!(versions("sum"), HashSet::from([1, 2]));
    // The log gives all of it again, each record by the version that served then.
    let config = serving.pipeline.config();
    let verify = ["replay", "--config", config, "--verify", "--output-format"];
    let told = run_ok(&[&verify[..], &["json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["predictions"]["counts"]["equal"], 2 * sent, "{told:#}");
    assert_eq!(told["not_verified"], serde_json::json!({}));
    sums_go_on(&predictions);
}

/// Waits until at least `expected` events are there, among them one about `version`.
fn wait_for(serving: &Serving, expected: usize, model: &str, event: &str, version: u64) -> usize {
    let deadline = Instant::now() + WAIT;
    let key = if event == "swapped" { "to" } else { "from" };
    loop {
        let events = serving.events(expected, Duration::from_secs(10));
        let about =
            |json: &Value| json["model"] == model && json["event"] == event && json[key] == version;
        // Once nothing more is under way, each worker serves the same version again.
        if events.iter().any(about) {
            return events.len();
        }
        assert!(
            Instant::now() < deadline,
            "{model} {event} {version}: {events:#?}"
        );
    }
}

/// The state of the recurrent model is not broken by its swap: the running sums of each asset go on.
fn sums_go_on(predictions: &[Value]) {
    let mut sums: HashMap<&str, (f64, f64)> = HashMap::new();
    let mut of_sum: Vec<&Value> = predictions
        .iter()
        .filter(|json| json["model"] == "sum")
        .collect();
    of_sum.sort_by_key(|json| {
        let source = &json["source"];
        (source["partition"].as_i64(), source["offset"].as_i64())
    });
    let (mut checked, mut numbers) = (0, HashMap::<&str, u64>::new());
    for json in of_sum {
        let asset = json["asset"].as_str().unwrap();
        let number: u64 = asset.strip_prefix("asset-").unwrap().parse().unwrap();
        // The asset's readings are number, number + ASSETS, ...
        let nth = numbers.entry(asset).or_default();
        let n = number + *nth * ASSETS;
        *nth += 1;
        let a = signal(n);
        let (sum_a, sum_b) = sums.entry(asset).or_default();
        *sum_a += a as f64;
        *sum_b -= 1.0;
        let expected = (*sum_a * *sum_a + *sum_b * *sum_b) / 2.0;
        let told = json["anomaly"]["score"].as_f64().unwrap();
        assert_eq!(told, expected, "reading {n} of {asset}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn a_version_that_is_too_slow_is_taken_back_and_one_that_is_promoted_says_who_and_why() {
    let models = "reload = \"poll\"\nreload-every = \"50ms\"\nmax-row-time = \"1ns\"\n\
        [[models.serve]]\nname = \"m\"\nview = \"v\"\n";
    let Some((serving, load, service)) = Serving::begin("slow", models, 500) else {
        return;
    };
    serving.drop_in("m", 2, "plain", 2.0);
    let said = wait_for(&serving, 2, "m", "rolled-back", 2);
    // Nobody tries it again by itself; somebody may.
    let repository = serving.repository.path().to_str().unwrap();
    let promote = [
        "model",
        "promote",
        "m@2",
        "--by",
        "ada",
        "--why",
        "once more",
        "--repository",
    ];
    support::run_ok(&[&promote[..], &[repository]].concat());
    let said = wait_for(&serving, said + 2, "m", "rolled-back", 2);
    load.stop();
    assert!(service.terminate().success());
    let events = serving.events(said, Duration::from_secs(5));
    let whys = |event: &str| -> HashSet<String> {
        let of = events.iter().filter(|json| json["event"] == event);
        of.map(|json| {
            format!(
                "{}: {}",
                json["by"].as_str().unwrap(),
                json["why"].as_str().unwrap()
            )
        })
        .collect()
    };
    let swapped = whys("swapped");
    assert!(
        swapped.contains("repository: it is the highest version"),
        "{swapped:?}"
    );
    assert!(swapped.contains("ada: once more"), "{swapped:?}");
    let slow = |why: &String| why.contains("per result, models.max-row-time is 1ns");
    assert!(whys("rolled-back").iter().any(slow), "{events:#?}");
}

#[test]
fn an_explicit_reload_looks_when_it_is_told_to() {
    let models = "reload = \"explicit\"\nreload-every = \"10ms\"\n\
        [[models.serve]]\nname = \"m\"\nview = \"v\"\n";
    let Some((serving, load, service)) = Serving::begin("explicit", models, 200) else {
        return;
    };
    serving.drop_in("m", 2, "plain", 2.0);
    // Fifty times the interval of a poll.
    std::thread::sleep(Duration::from_millis(500));
    let events = serving.events(1, Duration::from_secs(3));
    let is_swap = |event: &Value| event["event"] == "swapped";
    assert!(!events.iter().any(is_swap), "nobody asked for it");
    let id = service.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-HUP", &id])
        .status();
    assert!(told.unwrap().success());
    wait_for(&serving, events.len() + 1, "m", "swapped", 2);
    load.stop();
    assert!(service.terminate().success());
}

/// By number of swaps: `FOREWARN_SWAPS=1000` is the long form, and the one that looks at the memory.
#[test]
fn swaps_under_load_hold_up_no_score_for_long_and_a_thousand_leak_no_memory() {
    let long = std::env::var("FOREWARN_SWAPS").ok();
    let swaps: u32 = long.as_ref().map_or(40, |swaps| swaps.parse().unwrap());
    let models = "reload = \"poll\"\nreload-every = \"10ms\"\ntrial-results = 100\n\
        [[models.serve]]\nname = \"m\"\nview = \"v\"\n";
    let Some((serving, load, service)) = Serving::begin("many-swaps", models, 1_000) else {
        return;
    };
    let mut reader = serving.reader();
    reader.settle();
    let calm = reader.read_for(Duration::from_secs(3));
    let before = resident(&service);
    let (mut took, mut swapping, mut halfway) = (Vec::new(), Vec::new(), before);
    for version in 2..=swaps + 1 {
        let begun = Instant::now();
        serving.drop_in("m", version, "plain", f64::from(version));
        swapping.extend(reader.read_until(u64::from(version)));
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        if version == swaps / 2 {
            halfway = resident(&service);
        }
    }
    let after = resident(&service);
    load.stop();
    assert!(service.terminate().success());
    println!(
        "{swaps} swaps: from the drop to the first score p50 {:.0} ms, p99 {:.0} ms; latency of scores, event \
         to reader: without swaps p50 {:.0} p99 {:.0} ms, during them p50 {:.0} p99 {:.0} ms; resident memory \
         {before} kB before, {halfway} kB half-way, {after} kB after",
        quantile(&took, 0.5),
        quantile(&took, 0.99),
        quantile(&calm, 0.5),
        quantile(&calm, 0.99),
        quantile(&swapping, 0.5),
        quantile(&swapping, 0.99),
    );
    // A swap takes a fraction of a second; a busy machine may be given the rest.
    let oldest = quantile(&swapping, 1.0);
    assert!(oldest < 10_000.0, "a score came after {oldest} ms");
    // A leak of one session of this small model would be 100 kB a swap and worker. What the client fetches
    // ahead while a busy machine holds the workers up may be 64 MiB, so it takes the long form to tell.
    if long.is_some() {
        let growth = after.saturating_sub(halfway);
        let swaps = u64::from(swaps / 2);
        assert!(growth < 65_536 + swaps * 20, "{growth} kB in {swaps} swaps");
    }
}

/// A reader of committed predictions that notes how old they are.
struct Latencies {
    consumer: BaseConsumer,
}

impl Latencies {
    fn open(brokers: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", support::unique("latency"))
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "10")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let end = rdkafka::Offset::End;
            list.add_partition_offset(topic, partition as i32, end)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        Latencies { consumer }
    }

    /// Age in ms, and version, of the next prediction.
    fn next(&mut self) -> Option<(f64, u64)> {
        // The topic may not be there yet.
        let message = self.consumer.poll(Duration::from_millis(100))?.ok()?;
        let json: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let at = micros(json["event_time"].as_str().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_micros() as i64 - at;
        Some((age as f64 / 1_000.0, json["version"].as_u64().unwrap()))
    }

    fn read_for(&mut self, time: Duration) -> Vec<f64> {
        let mut ages = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < time {
            ages.extend(self.next().map(|(age, _)| age));
        }
        ages
    }

    /// Waits until the workers have shared the partitions and what waited for them is done, or for as long as a
    /// busy machine may be given.
    fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut calm = 0;
        while calm < 2_000 && Instant::now() < deadline {
            let age = self.next().map_or(f64::MAX, |(age, _)| age);
            calm = if age < 300.0 { calm + 1 } else { 0 };
        }
    }

    fn read_until(&mut self, version: u64) -> Vec<f64> {
        let (mut ages, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(120));
        while Instant::now() < deadline {
            if let Some((age, seen)) = self.next() {
                ages.push(age);
                if seen == version {
                    return ages;
                }
            }
        }
        panic!("version {version} did not come to serve within 120 s");
    }
}

/// NaN of no values: a machine that is held up for seconds reads nothing.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * q) as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Resident memory in kB.
fn resident(service: &Running) -> u64 {
    let status = Path::new("/proc")
        .join(service.id().to_string())
        .join("status");
    let text = std::fs::read_to_string(status).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
