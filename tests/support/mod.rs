//! What the end-to-end tests share: the binary, the broker, a reader of committed records.
//!
//! A test that needs something which is not there says `skipped: ...` and passes; `make test` provides the
//! broker and the Python interpreter, the data folder is beside the checkout or not at all.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod python;
pub mod served;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use polars::prelude::{AnyValue, DataFrame, ParquetReader, SerReader};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

#[allow(unused_imports, reason = "as above")]
pub use python::{check_graph, python};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The address of a real broker, or `None` after saying that the test is skipped.
pub fn brokers() -> Option<String> {
    let brokers = std::env::var("FOREWARN_TEST_BROKERS").ok();
    if brokers.is_none() {
        println!("skipped: no broker (`make test` starts one and sets FOREWARN_TEST_BROKERS)");
    }
    brokers
}

/// The data folder, or `None` after saying that the test is skipped.
pub fn data() -> Option<PathBuf> {
    let data = std::env::var_os("FOREWARN_DATA")
        .map_or_else(|| root().join("../shared/data"), PathBuf::from);
    if data.join("cmapss").is_dir() {
        return Some(data);
    }
    println!("skipped: no data folder (FOREWARN_DATA, or ../shared/data)");
    None
}

/// The binary under test, in the repository's root.
pub fn forewarn(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    command.args(args).current_dir(root());
    command
}

pub fn run(args: &[&str]) -> Output {
    forewarn(args).output().expect("the binary starts")
}

/// Runs and expects success; gives standard output.
pub fn run_ok(args: &[&str]) -> String {
    let output = run(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "forewarn {args:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that is killed, by its own id, when the test ends.
pub struct Running(Child);

impl Running {
    pub fn start(mut command: Command) -> Self {
        Running(
            command
                .stdin(Stdio::null())
                .spawn()
                .expect("the binary starts"),
        )
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("own child").is_none()
    }

    /// SIGKILL: no chance to drain.
    pub fn kill(mut self) {
        self.0.kill().expect("own child");
        self.0.wait().expect("own child");
    }

    /// How it ends by itself.
    pub fn ended(mut self, limit: Duration) -> std::process::ExitStatus {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().expect("own child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end within {limit:?}");
    }

    /// SIGTERM, and how it ended within ten seconds.
    pub fn terminate(self) -> std::process::ExitStatus {
        let id = self.0.id().to_string();
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill");
        self.ended(Duration::from_secs(10))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Names that no other test, and no earlier run, uses.
pub fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format!("{name}-{nanos}")
}

/// A pipeline configuration in a temporary folder.
pub struct Pipeline {
    pub name: String,
    pub topic: String,
    pub predictions: String,
    pub dead_letters: String,
    pub config: PathBuf,
    _dir: tempfile::TempDir,
}

impl Pipeline {
    /// Writes `toml` (everything but name, brokers and topics) as the configuration of a new pipeline.
    pub fn new(name: &str, brokers: &str, source: &str, toml: &str) -> Self {
        let name = unique(name);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (topic, predictions, dead_letters) = (
            format!("{name}-in"),
            format!("{name}-out"),
            format!("{name}-dead"),
        );
        let config = dir.path().join("pipeline.toml");
        let text = format!(
            "name = \"{name}\"\n[kafka]\nbrokers = \"{brokers}\"\n[source]\ntopic = \"{topic}\"\n{source}\n\
             [sink]\npredictions = \"{predictions}\"\ndead-letters = \"{dead_letters}\"\n\
             late = \"{name}-late\"\nstatus = \"{name}-status\"\nalarms = \"{name}-alarms\"\n\
             shadow = \"{name}-shadow\"\n{toml}\n"
        );
        std::fs::write(&config, text).expect("written");
        Pipeline {
            name,
            topic,
            predictions,
            dead_letters,
            config,
            _dir: dir,
        }
    }

    pub fn config(&self) -> &str {
        self.config.to_str().expect("UTF-8 path")
    }

    /// Topic of readings that came too late.
    pub fn late(&self) -> String {
        format!("{}-late", self.name)
    }

    /// Topic of changes of statuses.
    pub fn status(&self) -> String {
        format!("{}-status", self.name)
    }

    /// Topic of marks.
    pub fn progress(&self) -> String {
        format!("{}-progress", self.name)
    }

    /// Starts the service.
    pub fn start(&self, partitions: usize) -> Running {
        Running::start(self.command(partitions))
    }

    /// Starts the service with its log as JSON in a file: see [`log_lines`].
    pub fn start_logged(&self, partitions: usize, log: &Path, more: &[&str]) -> Running {
        let mut command = self.command(partitions);
        command.args(["--log-format", "json"]).args(more);
        command.env("RUST_LOG", "info");
        command.stderr(std::fs::File::create(log).expect("a log file"));
        Running::start(command)
    }

    fn command(&self, partitions: usize) -> Command {
        let partitions = partitions.to_string();
        forewarn(&[
            "run",
            "--config",
            self.config(),
            "--create-topics",
            &partitions,
        ])
    }
}

/// All complete lines of a log so far; each must be JSON but for the error that the process ends with.
pub fn log_lines(log: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(log).expect("a log file");
    let lines = text.split_inclusive('\n');
    let lines = lines.filter(|line| line.ends_with('\n') && !line.starts_with("error: "));
    let json = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.map(json).collect()
}

/// The view and models sections for fixture models `models` over the signals a and b.
pub fn fixture_models(models: &[&str]) -> String {
    let mut toml = format!(
        "[signals]\na = {{ unit = \"bar\" }}\nb = {{ unit = \"degC\" }}\n[views.v]\nfeatures = [\"*\"]\n\
         [models]\nrepository = \"{}\"\n",
        root().join("tests/fixtures/models").display()
    );
    for model in models {
        toml += &format!("[[models.serve]]\nname = \"{model}\"\nview = \"v\"\n");
    }
    toml
}

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Record {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.payload.as_deref().unwrap_or_default()).expect("JSON")
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let pairs = headers
            .iter()
            .map(|h| (h.key.to_owned(), text(h.value.unwrap_or_default())));
        pairs.collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// Reads committed records from the beginning until there are `expected` and none came for `quiet`, or the
/// time is over. More than expected are read too: that is what a double would be.
pub fn read_committed(brokers: &str, topic: &str, expected: usize, limit: Duration) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let deadline = Instant::now() + limit;
    let list = loop {
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(10))
            .expect("metadata");
        let partitions = metadata.topics()[0].partitions();
        if !partitions.is_empty() {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning)
                    .expect("offset");
            }
            break list;
        }
        assert!(Instant::now() < deadline, "topic {topic} did not appear");
        std::thread::sleep(Duration::from_millis(50));
    };
    consumer.assign(&list).expect("assigned");
    let quiet = Duration::from_millis(700);
    let (mut records, mut last) = (Vec::new(), Instant::now());
    while Instant::now() < deadline && (records.len() < expected || last.elapsed() < quiet) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                records.push(record(&message));
                last = Instant::now();
            }
            Some(Err(error)) => panic!("reading {topic}: {error}"),
            None => {}
        }
    }
    records
}

/// A plain producer, as any other program would have one.
pub struct Feeder {
    producer: BaseProducer,
    topic: String,
}

impl Feeder {
    pub fn new(brokers: &str, topic: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "1000000")
            // Without it a broker that comes back may take a later batch before an earlier one.
            .set("enable.idempotence", "true")
            // What the service may not send, others may.
            .set("message.max.bytes", "2000000")
            .create()
            .expect("a producer");
        Feeder {
            producer,
            topic: topic.to_owned(),
        }
    }

    pub fn send(&self, key: Option<&[u8]>, payload: Option<&[u8]>, partition: Option<i32>) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        record.key = key;
        record.payload = payload;
        record.partition = partition;
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("sent");
        self.producer.poll(Duration::ZERO);
    }

    /// A record with headers.
    pub fn send_with(&self, key: &[u8], payload: &[u8], headers: &[(&str, &str)]) {
        let with = |all: OwnedHeaders, (key, value): &(&str, &str)| {
            let value = Some(*value);
            all.insert(Header { key, value })
        };
        let headers = headers.iter().fold(OwnedHeaders::new(), with);
        let record = BaseRecord::to(&self.topic).key(key).payload(payload);
        self.producer
            .send(record.headers(headers))
            .map_err(|(error, _)| error)
            .expect("sent");
        self.producer.poll(Duration::ZERO);
    }

    pub fn flush(&self) {
        self.producer
            .flush(Duration::from_secs(30))
            .expect("acknowledged");
    }
}

/// Creates a topic as an operator would before anything runs.
pub fn create_topic(brokers: &str, topic: &str, partitions: usize) {
    create_topic_with(brokers, topic, partitions, &[]);
}

/// The same, with settings of its own.
pub fn create_topic_with(brokers: &str, topic: &str, partitions: usize, settings: &[(&str, &str)]) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("an admin client");
    let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1));
    let new = settings
        .iter()
        .fold(new, |new, (key, value)| new.set(key, value));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let created = runtime
        .block_on(admin.create_topics([&new], &AdminOptions::new()))
        .expect("answered");
    created
        .into_iter()
        .for_each(|result| drop(result.expect("created")));
}

/// The files of a folder into another one, which is made.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

pub fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().expect("UTF-8 path").to_owned()
}

/// A Kafka that a test may kill.
pub struct OwnBroker {
    pub address: String,
    dir: tempfile::TempDir,
}

impl OwnBroker {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        kafka_script(&["up", "--dir", &path(dir.path(), "kafka"), "--port", "0"]);
        let address =
            std::fs::read_to_string(dir.path().join("kafka/address")).expect("its address");
        OwnBroker {
            address: address.trim().to_owned(),
            dir,
        }
    }

    /// SIGKILL, by the id in its own file.
    pub fn kill(&self) {
        let id = std::fs::read_to_string(self.dir.path().join("kafka/broker.pid")).expect("its id");
        let killed = Command::new("kill")
            .args(["-KILL", id.trim()])
            .status()
            .expect("kill");
        assert!(killed.success());
        // It is gone a moment later, and its port free.
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&self.address).is_ok() {
            assert!(Instant::now() < deadline, "the broker did not die");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again on its data and port.
    pub fn up(&self) {
        let port = self.address.rsplit(':').next().expect("host:port");
        kafka_script(&[
            "up",
            "--dir",
            &path(self.dir.path(), "kafka"),
            "--port",
            port,
        ]);
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Transactions that the broker left undecided: see `tests/verifier/README.md`.
            let log = std::fs::read_to_string(self.dir.path().join("kafka/broker.log"));
            let log = log.unwrap_or_default();
            let said = log.lines().filter(|line| line.contains("can be skipped"));
            said.for_each(|line| eprintln!("broker: {line}"));
        }
        kafka_script(&["down", "--dir", &path(self.dir.path(), "kafka")]);
    }
}

fn kafka_script(args: &[&str]) {
    let script = root().join("scripts/kafka.sh");
    let output = Command::new(script)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("kafka.sh");
    assert!(
        output.status.success(),
        "kafka.sh {args:?}: {}",
        text(&output.stderr)
    );
}

/// `forewarn score` over the topic gives the scores of `records`, bit for bit.
pub fn equals_live(config: &Path, records: &[Record]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = path(dir.path(), "scores.parquet");
    run_ok(&[
        "score",
        "--config",
        config.to_str().unwrap(),
        "--output",
        &output,
    ]);
    let frame: DataFrame = ParquetReader::new(std::fs::File::open(&output).unwrap())
        .finish()
        .unwrap();
    let mut replayed: Vec<String> = Vec::new();
    let column = |name: &str| frame.column(name).unwrap().clone();
    let (assets, models, times) = (column("asset"), column("model"), column("event_time"));
    let (scores, ruls, offsets) = (column("score"), column("rul"), column("row"));
    for row in 0..frame.height() {
        let number = |value: AnyValue<'_>| value.extract::<f64>().map_or(u64::MAX, f64::to_bits);
        let at = times.get(row).unwrap().extract::<i64>().unwrap();
        replayed.push(format!(
            "{} {} {at} {} {:x} {:x}",
            assets.get(row).unwrap().get_str().unwrap(),
            models.get(row).unwrap().get_str().unwrap(),
            offsets.get(row).unwrap().extract::<i64>().unwrap(),
            number(scores.get(row).unwrap()),
            number(ruls.get(row).unwrap())
        ));
    }
    let mut live: Vec<String> = records
        .iter()
        .map(|record| {
            let json = record.json();
            let number = |value: &serde_json::Value| value.as_f64().map_or(u64::MAX, f64::to_bits);
            format!(
                "{} {} {} {} {:x} {:x}",
                json["asset"].as_str().unwrap(),
                json["model"].as_str().unwrap(),
                micros(json["event_time"].as_str().unwrap()),
                json["source"]["offset"],
                number(&json["anomaly"]["score"]),
                number(&json["rul"]["value"])
            )
        })
        .collect();
    replayed.sort();
    live.sort();
    assert!(!live.is_empty());
    assert_eq!(live.len(), replayed.len(), "as many results");
    for (live, replayed) in live.iter().zip(&replayed) {
        assert_eq!(live, replayed);
    }
}

/// Microseconds since 1970 of a time as results tell it.
pub fn micros(time: &str) -> i64 {
    forewarn_pipeline::prediction::EventTimestamp::parse(time)
        .unwrap()
        .0
}
