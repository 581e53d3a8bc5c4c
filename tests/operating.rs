//! What an operator sees of a running service, on a real Apache Kafka: probes, metrics, logs, statuses of exit.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use support::served::{Served, WAIT};
use support::{
    Feeder, OwnBroker, Pipeline, brokers, create_topic, fixture_models, log_lines, read_committed,
    unique,
};

const SOURCE: &str = "event-time = { field = \"t\", unit = \"ms\" }";

/// Reading number `n` of an asset, of which `a` is given.
fn payload(n: usize, a: f64) -> String {
    format!("{{\"t\":{},\"a\":{a},\"b\":0.5}}", 1_000_000 + n * 1_000)
}

fn feed(feeder: &Feeder, readings: std::ops::Range<usize>) {
    for n in readings {
        let key = format!("asset-{}", n % 40);
        feeder.send(Some(key.as_bytes()), Some(payload(n, 0.5).as_bytes()), None);
    }
    feeder.flush();
}

fn service(more: &str) -> String {
    format!("[delivery]\ninstance = \"one\"\n[service]\nhttp = \"127.0.0.1:0\"\n{more}\n")
}

#[test]
fn metrics_tell_exactly_what_was_done_and_a_stop_drains() {
    let Some(brokers) = brokers() else { return };
    let toml = fixture_models(&["plain"])
        + "[alarms.hot]\nmodel = \"plain\"\nabove = { warning = 1.0 }\nof = 2\nwithin = 3\n"
        + &service("workers = 3");
    let pipeline = Pipeline::new("metrics", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let served = Served::start(&pipeline, &[]);
    // Three workers share two partitions: the third is a member without any, and that is no fault.
    served.await_ready(200, "ready");
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    for n in 0..400_usize {
        let (asset, step) = (n % 4, n / 4);
        // The score of `plain` is (a² + b²) / 2.
        let hot = asset == 1 && (20..30).contains(&step);
        let a = if hot { 5.0 } else { 0.5 };
        let key = format!("asset-{asset}");
        feeder.send(Some(key.as_bytes()), Some(payload(n, a).as_bytes()), None);
    }
    for n in 0..7 {
        let bad: &[u8] = if n < 5 { b"{" } else { b"[]" };
        feeder.send(Some(b"asset-1"), Some(bad), None);
    }
    feeder.flush();
    let records = read_committed(&brokers, &pipeline.predictions, 400, WAIT);
    assert_eq!(records.len(), 400);
    served.await_metric("forewarn_messages_total", 407.0);
    let scored = "forewarn_results_total{model=\"plain\",version=\"1\",role=\"champion\",task=\"anomaly\",outcome=\"scored\"}";
    for (name, value) in [
        ("forewarn_readings_total", 400.0),
        ("forewarn_predictions_total", 400.0),
        (scored, 400.0),
        ("forewarn_anomalous_total", 10.0),
        ("forewarn_dead_letters_total{code=\"malformed-json\"}", 5.0),
        ("forewarn_dead_letters_total{code=\"not-an-object\"}", 2.0),
        ("forewarn_alarms_raised_total{alarm=\"hot\"}", 1.0),
        ("forewarn_alarms_cleared_total{alarm=\"hot\"}", 1.0),
        ("forewarn_batch_messages_sum", 407.0),
        ("forewarn_partitions", 2.0),
        ("forewarn_restarts_total", 0.0),
        ("forewarn_ready", 1.0),
    ] {
        assert_eq!(served.metric(name), value, "{name}");
    }
    for partition in 0..2 {
        let of = |name: &str| format!("{name}{{partition=\"{partition}\"}}");
        served.await_metric(&of("forewarn_lag_messages"), 0.0);
        served.await_metric(&of("forewarn_lag_seconds"), 0.0);
        // Event times are of 1970. What is told is up to a second old.
        let begun = Instant::now();
        while served.metric(&of("forewarn_watermark_delay_seconds")) < 1e9 {
            assert!(begun.elapsed() < WAIT, "the watermark is told");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let batches = served.metric("forewarn_batch_messages_count");
    for stage in ["poll", "decode_and_score", "encode_and_send"] {
        let count = served.metric(&format!(
            "forewarn_stage_seconds_count{{stage=\"{stage}\"}}"
        ));
        assert_eq!(count, batches, "{stage}");
    }
    assert!(served.metric("forewarn_stage_seconds_count{stage=\"commit\"}") >= 1.0);
    assert!(served.metric("process_resident_memory_bytes") > 1e6);

    let log = served.log.clone();
    assert!(served.running.terminate().success(), "exit code 0");
    let told = log_lines(&log);
    for line in &told {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let stopped = told.last().unwrap();
    assert_eq!(stopped["fields"]["message"], "stopped");
    assert_eq!(stopped["fields"]["readings"], 400);
}

#[test]
fn behind_a_backlog_commits_take_little_of_the_time() {
    let Some(brokers) = brokers() else { return };
    // So short that without a rule for backlogs one commit would follow the other.
    let always = service("").replace("instance", "commit-interval = \"1ms\"\ninstance");
    let toml = fixture_models(&["plain"]) + &always;
    // Small batches: there is at most one commit for each.
    let source = format!("{SOURCE}\nmax-batch-messages = 256");
    let pipeline = Pipeline::new("backlog", &brokers, &source, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let readings = 300_000;
    feed(&Feeder::new(&brokers, &pipeline.topic), 0..readings);
    let served = Served::start(&pipeline, &[]);
    let figures = || {
        let of = |what| {
            served.metric(&format!(
                "forewarn_stage_seconds_{what}{{stage=\"commit\"}}"
            ))
        };
        let done = served.metric("forewarn_readings_total") as usize;
        (done, of("count"), of("sum"), Instant::now())
    };
    // From when the first batches, which are small, are over.
    let deadline = Instant::now() + WAIT;
    let wait_for = |enough: usize| loop {
        let now = figures();
        if now.0 >= enough {
            return now;
        }
        assert!(Instant::now() < deadline, "{} of {enough}", now.0);
        std::thread::sleep(Duration::from_millis(5));
    };
    let (begun, ended) = (wait_for(readings / 10), wait_for(readings));
    let (commits, committing) = (ended.1 - begun.1, ended.2 - begun.2);
    let took = (ended.3 - begun.3).as_secs_f64();
    assert!(commits >= 1.0, "no commit in {took} s");
    assert!(
        committing < took / 2.0,
        "{commits} commits took {committing} s of {took} s"
    );
    // And all that was scored is committed soon.
    let records = read_committed(&brokers, &pipeline.predictions, readings, WAIT);
    assert_eq!(records.len(), readings);
    assert!(served.running.terminate().success());
}

#[test]
fn readiness_waits_for_state() {
    let Some(brokers) = brokers() else { return };
    let from_the_log = service("").replace("instance", "snapshot-every = \"never\"\ninstance");
    let toml = fixture_models(&["weighted"]) + &from_the_log;
    let pipeline = Pipeline::new("rebuild", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    feed(&feeder, 0..20_000);
    let served = Served::start(&pipeline, &[]);
    served.await_ready(503, "starting");
    read_committed(&brokers, &pipeline.predictions, 20_000, WAIT);
    served.await_ready(200, "ready");
    assert!(served.running.terminate().success());
    let served = Served::start(&pipeline, &[]);
    served.await_ready(503, " records to go)");
    served.await_ready(200, "ready");
    served.await_metric("forewarn_rebuild_records{partition=\"0\"}", 0.0);
    assert_eq!(served.metric("forewarn_predictions_total"), 0.0);
    assert!(served.running.terminate().success());
}

#[test]
fn a_second_process_of_the_same_identity_is_refused_and_disturbs_nobody() {
    let Some(brokers) = brokers() else { return };
    let toml = fixture_models(&["plain"]) + &service("");
    let pipeline = Pipeline::new("identity", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let first = Served::start(&pipeline, &[]);
    first.await_ready(200, "ready");
    let second = Served::start(&pipeline, &[]);
    feed(&feeder, 0..1_000);
    let log = second.log.clone();
    let status = second.running.ended(Duration::from_secs(40));
    assert_eq!(status.code(), Some(3));
    let told = std::fs::read_to_string(&log).unwrap();
    let sentence = format!(
        "error: another process runs as instance one of pipeline {}",
        pipeline.name
    );
    assert!(told.contains(&sentence), "{told}");
    first.await_metric("forewarn_predictions_total", 1_000.0);
    assert_eq!(first.metric("forewarn_restarts_total"), 0.0);
    assert_eq!(first.get("/readyz").0, 200);

    // One that was killed is in the group until its session is over, and no longer in the way then.
    first.running.kill();
    let begun = Instant::now();
    let third = Served::start(&pipeline, &[]);
    feed(&feeder, 1_000..2_000);
    third.await_metric("forewarn_predictions_total", 1_000.0);
    assert!(
        begun.elapsed() < Duration::from_secs(35),
        "{:?}",
        begun.elapsed()
    );

    // Fenced on purpose, the one before says by whom, and nothing is lost or doubled.
    let fourth = Served::start(&pipeline, &["--take-over"]);
    fourth.await_ready(200, "ready");
    feed(&feeder, 2_000..3_000);
    let log = third.log.clone();
    assert_eq!(third.running.ended(Duration::from_secs(40)).code(), Some(3));
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("took over from this one"), "{told}");
    let records = read_committed(&brokers, &pipeline.predictions, 3_000, WAIT);
    let ids: std::collections::HashSet<_> = records.iter().map(|r| &r.headers["ce_id"]).collect();
    assert_eq!((records.len(), ids.len()), (3_000, 3_000));
    assert!(fourth.running.terminate().success());
}

#[test]
fn while_the_brokers_are_away_it_is_alive_and_not_ready() {
    // A broker of its own: the others must not see it die. It needs what `make test` sets up.
    if brokers().is_none() {
        return;
    }
    let broker = OwnBroker::start();
    let toml = fixture_models(&["plain"]) + &service("");
    let pipeline = Pipeline::new("away", &broker.address, SOURCE, &toml);
    create_topic(&broker.address, &pipeline.topic, 2);
    let feeder = Feeder::new(&broker.address, &pipeline.topic);
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    feed(&feeder, 0..1_000);
    read_committed(&broker.address, &pipeline.predictions, 1_000, WAIT);
    broker.kill();
    served.await_ready(503, "brokers not reached since 20");
    let away = Instant::now();
    // Longer than the 5 s after which an answer that does not come is a reason by itself (`health.rs`).
    while away.elapsed() < Duration::from_secs(8) {
        assert_eq!(served.get("/livez").0, 200);
        assert_eq!(served.get("/readyz").0, 503);
        std::thread::sleep(Duration::from_millis(200));
    }
    broker.up();
    // No message comes: it finds out by itself.
    served.await_ready(200, "ready");
    feed(&feeder, 1_000..2_000);
    let records = read_committed(&broker.address, &pipeline.predictions, 2_000, WAIT);
    assert_eq!(records.len(), 2_000);
    served.await_ready(200, "ready");

    // The same while it works: it waits for the answer to a commit then, and looks at nothing else.
    feed(&feeder, 2_000..3_000);
    broker.kill();
    let away = Instant::now();
    served.await_ready(503, "");
    // A worker that waits for an answer tells it after 5 s, and not when it has given up after 30.
    assert!(away.elapsed() < Duration::from_secs(20), "{away:?}");
    broker.up();
    served.await_ready(200, "ready");
    // A broker that is killed amid a commit may leave outputs undecided until the next transaction that has their
    // partitions in it (`tests/verifier/README.md`): so there is one.
    feed(&feeder, 3_000..4_000);
    let records = read_committed(&broker.address, &pipeline.predictions, 4_000, 2 * WAIT);
    assert_eq!(records.len(), 4_000);
    let ids: std::collections::HashSet<_> = records.iter().map(|r| &r.headers["ce_id"]).collect();
    assert_eq!(ids.len(), 4_000);
    served.await_ready(200, "ready");
    assert!(served.running.terminate().success());

    // Told to stop while nothing can be committed, it ends in time all the same, and says so.
    let toml = fixture_models(&["plain"])
        + &service("").replace("[service]", "commit-interval = \"60s\"\n[service]");
    let pipeline = Pipeline::new("undrained", &broker.address, SOURCE, &toml);
    create_topic(&broker.address, &pipeline.topic, 2);
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    feed(&Feeder::new(&broker.address, &pipeline.topic), 0..100);
    served.await_metric("forewarn_predictions_total", 100.0);
    broker.kill();
    let log = served.log.clone();
    assert_eq!(served.running.terminate().code(), Some(5));
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(
        told.contains("error: not drained within 9 s (worker 0 is in "),
        "{told}"
    );
}

/// Brokers tell no offsets of a partition while a transaction that has others is open, as one of a worker that was killed.
#[test]
fn a_stop_does_not_wait_for_the_transaction_of_somebody_else() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new(
        "pending",
        &brokers,
        SOURCE,
        &(fixture_models(&["plain"]) + &service("")),
    );
    create_topic(&brokers, &pipeline.topic, 2);
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("group.id", &pipeline.name)
        .create()
        .unwrap();
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("transactional.id", unique("other"))
        .create()
        .unwrap();
    other.init_transactions(WAIT).unwrap();
    other.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    for partition in 0..2 {
        let offset = Offset::Offset(0);
        offsets
            .add_partition_offset(&pipeline.topic, partition, offset)
            .unwrap();
    }
    let group = group.group_metadata().unwrap();
    other
        .send_offsets_to_transaction(&offsets, &group, WAIT)
        .unwrap();
    let served = Served::start(&pipeline, &[]);
    served.await_ready(503, "no answer in committed_offsets");
    let log = served.log.clone();
    assert!(served.running.terminate().success());
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("drained and committed"), "{told}");

    // Nor does a start once it is over.
    other.abort_transaction(WAIT).unwrap();
    let served = Served::start(&pipeline, &[]);
    served.await_ready(200, "ready");
    assert!(served.running.terminate().success());
}

/// As on a full disk: /dev/full takes nothing.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("full", &brokers, SOURCE, &fixture_models(&["plain"]));
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let service = pipeline.start_logged(1, Path::new("/dev/full"), &[]);
    for fed in [200, 400] {
        feed(&feeder, fed - 200..fed);
        let predictions = read_committed(&brokers, &pipeline.predictions, fed, WAIT);
        assert_eq!(predictions.len(), fed);
    }
    assert!(service.terminate().success());
}
