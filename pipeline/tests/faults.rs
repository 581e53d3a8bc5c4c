//! Errors of the brokers, injected into librdkafka's mock. It shows aborted records to everyone and commits
//! no transactional offsets, so doubles mean nothing here; what is looked for is a reading that is missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use forewarn_models::Loader;
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::reader::{From, PredictionReader};
use forewarn_pipeline::kafka::replay::Replay;
use forewarn_pipeline::service::ServiceError;
use forewarn_pipeline::{Config, Engine, Plan, Service, Shutdown};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err};
use rdkafka::{Offset, TopicPartitionList};

const READINGS: i64 = 4_000;
/// The watchdog, and its margin.
const LONGEST: Duration = Duration::from_secs(65);

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

/// How a run over a topic that is filled already came out.
struct Ran {
    /// Offsets that have a prediction.
    seen: BTreeSet<i64>,
    /// How often the worker went back.
    restarts: u64,
    /// How the service ended.
    ended: Result<(), ServiceError>,
    took: Duration,
}

/// Runs the service, its first requests meeting `faults`, until everything is scored, or it ends by itself.
fn run(faults: &[(Api, &[Err])]) -> Ran {
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
    let begun = Instant::now();
    let mut seen = BTreeSet::new();
    let ended = std::thread::scope(|scope| {
        let serving = scope.spawn(|| service.run(&shutdown, None));
        // Not before the faults have met the service: this one's requests would take them.
        let deadline = begun + LONGEST;
        while metrics.totals().readings == 0 && Instant::now() < deadline && !serving.is_finished()
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Faults that the service did not meet this reader does.
        let open = || PredictionReader::open(&config.kafka, "out", From::Beginning);
        let reader = open()
            .or_else(|_| open())
            .or_else(|_| open())
            .expect("a reader");
        while (seen.len() as i64) < READINGS && Instant::now() < deadline && !serving.is_finished()
        {
            let offset = |prediction: forewarn_pipeline::Prediction<'_>| prediction.source.offset;
            let read = reader.poll(Duration::from_millis(100), offset);
            seen.extend(read.unwrap_or_default());
        }
        shutdown.request();
        serving.join().expect("no panic").map(drop)
    });
    Ran {
        seen,
        restarts: metrics.totals().restarts,
        ended,
        took: begun.elapsed(),
    }
}

/// Runs it, and expects that everything is scored; gives how often the worker went back.
fn run_to_the_end(faults: &[(Api, &[Err])]) -> u64 {
    let ran = run(faults);
    ran.ended.expect("the service ends well");
    assert_eq!(ran.seen.len() as i64, READINGS);
    ran.restarts
}

#[test]
fn after_failed_commits_every_reading_is_still_scored() {
    let refused = [Err::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION; 3];
    let restarts = run_to_the_end(&[(Api::TxnOffsetCommit, &refused)]);
    assert!(restarts > 0, "the fault has fired");
}

#[test]
fn after_refused_outputs_every_reading_is_still_scored() {
    let refused = [Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2];
    let restarts = run_to_the_end(&[(Api::Produce, &refused)]);
    assert!(restarts > 0, "the fault has fired");
}

#[test]
fn without_faults_the_worker_never_goes_back() {
    assert_eq!(run_to_the_end(&[]), 0);
}

/// What brokers may answer to each request that the service makes, twice: everything is scored, or the service ends
/// and says why, and nothing hangs.
#[test]
fn every_class_of_error_is_mended_or_ends_the_service() {
    use rdkafka::types::RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT as Disconnected,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS as Concurrent,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as Loading,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as NotAvailable,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as GroupDenied,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as IllegalGeneration,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH as InvalidEpoch,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING as InvalidMapping,
        RD_KAFKA_RESP_ERR_INVALID_TXN_STATE as InvalidState,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR as NotCoordinator,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as NotEnoughReplicas,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NotLeader,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as OutOfOrder,
        RD_KAFKA_RESP_ERR_PRODUCER_FENCED as Fenced,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS as Rebalancing,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as TimedOut,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as TopicDenied,
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED as IdDenied,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as UnknownMember,
    };
    let table: [(Api, &[Err], &[Err]); 11] = [
        // Request, what is mended, what ends the service.
        (
            Api::InitProducerId,
            &[Disconnected, NotCoordinator, Loading, Concurrent, TimedOut],
            &[IdDenied],
        ),
        (
            Api::FindCoordinator,
            &[Disconnected, NotAvailable, TimedOut],
            &[],
        ),
        (
            Api::AddPartitionsToTxn,
            &[
                Disconnected,
                NotCoordinator,
                Loading,
                Concurrent,
                InvalidMapping,
                // The client keeps these codes to itself.
                TopicDenied,
                IdDenied,
            ],
            &[],
        ),
        (
            Api::Produce,
            &[
                Disconnected,
                NotLeader,
                NotEnoughReplicas,
                TimedOut,
                OutOfOrder,
            ],
            &[TopicDenied],
        ),
        (
            Api::AddOffsetsToTxn,
            &[Disconnected, NotCoordinator, Loading, Concurrent],
            &[GroupDenied, IdDenied],
        ),
        (
            Api::TxnOffsetCommit,
            &[
                Disconnected,
                NotCoordinator,
                Loading,
                TimedOut,
                IllegalGeneration,
                UnknownMember,
            ],
            &[GroupDenied],
        ),
        (
            Api::EndTxn,
            &[Disconnected, NotCoordinator, Loading],
            // The client is done for after an invalid state, too.
            &[Fenced, InvalidEpoch, InvalidState, IdDenied],
        ),
        (
            Api::OffsetFetch,
            &[Disconnected, NotCoordinator, Loading],
            &[],
        ),
        (
            Api::JoinGroup,
            &[Disconnected, NotCoordinator, UnknownMember, Rebalancing],
            &[],
        ),
        (
            Api::Heartbeat,
            &[
                Disconnected,
                NotCoordinator,
                UnknownMember,
                IllegalGeneration,
                Rebalancing,
            ],
            &[],
        ),
        (Api::Fetch, &[Disconnected, NotLeader], &[]),
    ];
    let mut cases = Vec::new();
    for (api, mended, ends) in table {
        cases.extend(mended.iter().map(|error| (api, *error, true)));
        cases.extend(ends.iter().map(|error| (api, *error, false)));
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some((api, error, mended)) =
            cases.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        {
            let Ran {
                seen,
                restarts,
                ended,
                took,
            } = run(&[(*api, &[*error; 2])]);
            let told = ended
                .as_ref()
                .map_or_else(|error| format!("{error:?}"), |()| "ended well".into());
            let line = format!(
                "{api:?} {error:?}: {} scored, {restarts} times back, {took:.1?}, {told}",
                seen.len()
            );
            println!("{line}");
            let all = seen.len() as i64 == READINGS && ended.is_ok();
            if all != *mended || took > LONGEST {
                wrong.lock().expect("no panic").push(line);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Were connections on which nothing is said left open, librdkafka would wait for ever: see `client.rs`.
#[test]
fn offsets_are_sent_though_the_coordinator_was_not_found_at_first() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("in", 1, 1).expect("a topic");
    let config = config(&cluster.bootstrap_servers());
    let group = {
        let role = Role::Observer { group: "faults" };
        let member: BaseConsumer = client::config(&config.kafka, role)
            .create()
            .expect("a consumer");
        member.group_metadata().expect("a group")
    };
    let producer: BaseProducer = client::config(&config.kafka, Role::Transactional { id: "one" })
        .create()
        .expect("a producer");
    producer.init_transactions(LONGEST).expect("a producer id");
    producer.begin_transaction().expect("begun");
    // As many as the client tries by itself.
    let unknown = [Err::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 3];
    cluster.request_errors(Api::FindCoordinator, &unknown);
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset("in", 0, Offset::Offset(1));
        added.expect("an offset");
        let limit = Duration::from_secs(30);
        let sent = producer.send_offsets_to_transaction(&offsets, &group, limit);
        let _ = done.send(sent);
    });
    let begun = Instant::now();
    let sent = is_done.recv_timeout(LONGEST).expect("it returns");
    println!("after {:.1?}: {sent:?}", begun.elapsed());
    sent.expect("the offsets are sent");
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
