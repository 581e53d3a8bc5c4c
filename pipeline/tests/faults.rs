//! Errors of the brokers, injected into librdkafka's mock. It shows aborted records to everyone and commits
//! no transactional offsets, so doubles mean nothing here; what is looked for is a reading that is missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use forewarn_models::Loader;
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::reader::{From, PredictionReader};
use forewarn_pipeline::kafka::replay::Replay;
use forewarn_pipeline::{Config, Engine, Plan, Service, Shutdown};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err};

const READINGS: i64 = 4_000;

fn config(brokers: &str) -> Config {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let text = format!(
        "name = \"faults\"\n[kafka]\nbrokers = \"{brokers}\"\n[source]\ntopic = \"in\"\n\
         max-batch-messages = 100\nevent-time = {{ field = \"t\", unit = \"ms\" }}\n\
         [signals]\na = {{}}\nb = {{}}\n[views.v]\nfeatures = [\"*\"]\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"weighted\"\nview = \"v\"\n\
         [sink]\npredictions = \"out\"\ndead-letters = \"dead\"\nlate = \"late\"\n[delivery]\ncommit-interval = \"10ms\"\n",
        models.display()
    );
    Config::parse("faults.toml", &text, Path::new(".")).expect("a good configuration")
}

fn feed(config: &Config) {
    let producer: BaseProducer = client::config(&config.kafka, Role::Producer)
        .create()
        .expect("a producer");
    for n in 0..READINGS {
        let payload = format!("{{\"t\":{n},\"a\":{},\"b\":0}}", n % 10);
        let record = BaseRecord::to("in")
            .key("pump")
            .payload(&payload)
            .partition(0);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("sent");
    }
    producer
        .flush(Duration::from_secs(10))
        .expect("acknowledged");
}

/// Runs the service over a topic that is filled already, its first requests meeting `faults`. Gives the
/// offsets that have a prediction, and how often the worker went back.
fn run(faults: &[(Api, &[Err])]) -> (BTreeSet<i64>, u64) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    for topic in ["in", "out", "dead", "late", "faults-state"] {
        cluster.create_topic(topic, 1, 1).expect("a topic");
    }
    let config = config(&cluster.bootstrap_servers());
    feed(&config);
    for (api, errors) in faults {
        cluster.request_errors(*api, errors);
    }
    let service = Service::new(config.clone(), Loader::trusted()).expect("the fixture model");
    let (metrics, shutdown) = (service.metrics(), Shutdown::default());
    let reader = PredictionReader::open(&config.kafka, "out", From::Beginning).expect("a reader");
    let mut seen = BTreeSet::new();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| service.run(&shutdown, None));
        let deadline = Instant::now() + Duration::from_secs(60);
        while (seen.len() as i64) < READINGS && Instant::now() < deadline {
            let offset = |prediction: forewarn_pipeline::Prediction<'_>| prediction.source.offset;
            seen.extend(
                reader
                    .poll(Duration::from_millis(100), offset)
                    .expect("readable"),
            );
        }
        shutdown.request();
        serving
            .join()
            .expect("no panic")
            .expect("the service ends well");
    });
    (seen, metrics.totals().restarts)
}

#[test]
fn after_failed_commits_every_reading_is_still_scored() {
    let refused = [Err::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION; 3];
    let (seen, restarts) = run(&[(Api::TxnOffsetCommit, &refused)]);
    assert_eq!(seen.len() as i64, READINGS);
    assert!(restarts > 0, "the fault has fired");
}

#[test]
fn after_refused_outputs_every_reading_is_still_scored() {
    let refused = [Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2];
    let (seen, restarts) = run(&[(Api::Produce, &refused)]);
    assert_eq!(seen.len() as i64, READINGS);
    assert!(restarts > 0, "the fault has fired");
}

#[test]
fn without_faults_the_worker_never_goes_back() {
    let (seen, restarts) = run(&[]);
    assert_eq!((seen.len() as i64, restarts), (READINGS, 0));
}

/// Each time that a partition grows, the client says again that it has come to its end.
#[test]
fn a_partition_that_grows_is_no_end_of_one_that_is_still_to_be_read() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("in", 3, 1).expect("a topic");
    let mut config = config(&cluster.bootstrap_servers());
    // Written and read in small pieces, so that the ends of the other partitions come between them.
    for (key, value) in [
        ("batch.num.messages", "50"),
        ("fetch.message.max.bytes", "1024"),
        ("queued.min.messages", "50"),
    ] {
        config.kafka.options.insert(key.into(), value.into());
    }
    feed(&config);
    let producer: BaseProducer = client::config(&config.kafka, Role::Producer)
        .create()
        .expect("a producer");
    let grow = |partition| {
        let record = BaseRecord::to("in")
            .key("fan")
            .payload("{\"t\":0,\"a\":0,\"b\":0}");
        producer
            .send(record.partition(partition))
            .map_err(|(error, _)| error)
            .expect("sent");
        producer
            .flush(Duration::from_secs(10))
            .expect("acknowledged");
    };
    let mut engine = Engine::new(
        &config,
        Plan::build(&config, &Loader::trusted()).expect("the fixture model"),
    );
    let replay = Replay::open(&config, &mut engine).expect("the topic");
    let (mut read, mut batches) = (0, 0);
    while replay
        .batch(|messages| {
            read += messages
                .iter()
                .filter(|message| message.partition == 0)
                .count();
            batches += 1;
            grow(1);
        })
        .expect("the brokers answer")
        .is_some()
    {}
    assert_eq!(read as i64, READINGS);
    assert!(
        batches > 2,
        "partition 1 has grown while partition 0 was read"
    );
}

#[test]
fn a_service_that_cannot_start_lets_nobody_wait_for_it() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    let service = Service::new(config(&cluster.bootstrap_servers()), Loader::trusted())
        .expect("the fixture model");
    let shutdown = Shutdown::default();
    let error = service
        .run(&shutdown, None)
        .expect_err("there are no topics");
    assert!(
        error.to_string().contains("topic in does not exist"),
        "{error}"
    );
    assert!(shutdown.is_requested());
}
