//! Delivery on a real Apache Kafka: what is read `read_committed` is right, once, after kills, restarts and
//! hand-overs; and what can't be read is set aside as it came.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use support::{
    Feeder, OwnBroker, Pipeline, Record, Running, brokers, create_topic, fixture_models, forewarn,
    log_lines, read_committed, run_ok,
};

const SOURCE: &str = "event-time = { field = \"t\", unit = \"ms\" }";
const ASSETS: usize = 40;

/// Key, value, and the code it is refused with.
type Poison<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'static str);

/// The fixture model `weighted` gives a₋₂ + 10·a₋₁ + 100·a₀ over the last three readings of an asset, with
/// the first one repeated: a lost, doubled or reordered reading shows in the value.
fn expected(values: &[f64]) -> f64 {
    let at = |age: usize| values[values.len().saturating_sub(1 + age)];
    let at = |age: usize| {
        if age < values.len() {
            at(age)
        } else {
            values[0]
        }
    };
    at(2) + 10.0 * at(1) + 100.0 * at(0)
}

/// The value of an asset's reading number `n`.
fn value(asset: usize, n: usize) -> f64 {
    ((asset * 7 + n * 3) % 10) as f64
}

fn feed(feeder: &Feeder, readings: std::ops::Range<usize>) {
    for n in readings {
        let (asset, n) = (n % ASSETS, n / ASSETS);
        let payload = format!(
            "{{\"t\":{},\"a\":{},\"b\":{n}}}",
            1_000_000 + n * 1000,
            value(asset, n)
        );
        feeder.send(
            Some(format!("asset-{asset}").as_bytes()),
            Some(payload.as_bytes()),
            None,
        );
    }
    feeder.flush();
}

/// Every reading has exactly one prediction, with the right value, in order per asset.
fn judge(records: &[Record], readings: usize) {
    let mut ids = std::collections::HashSet::new();
    let mut history: HashMap<String, Vec<f64>> = HashMap::new();
    for record in records {
        let id = record.headers["ce_id"].clone();
        assert!(ids.insert(id.clone()), "doubled: {id}");
        let json = record.json();
        let asset = json["asset"].as_str().unwrap().to_owned();
        assert_eq!(
            record.key.as_deref(),
            Some(asset.as_bytes()),
            "keyed by its asset"
        );
        let number: usize = asset.strip_prefix("asset-").unwrap().parse().unwrap();
        let seen = history.entry(asset).or_default();
        seen.push(value(number, seen.len()));
        let told = json["rul"]["value"].as_f64().unwrap();
        assert_eq!(told, expected(seen), "reading {} of {id}", seen.len());
    }
    assert_eq!(records.len(), readings, "nothing missing");
}

fn serve_readings(guarantee: &str) -> Option<(String, Pipeline)> {
    let brokers = brokers()?;
    let toml = fixture_models(&["weighted"])
        + &format!(
            "[delivery]\nguarantee = \"{guarantee}\"\ninstance = \"one\"\n[service]\nworkers = 2\n"
        );
    let pipeline = Pipeline::new("delivery", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 4);
    Some((brokers, pipeline))
}

#[test]
fn killed_and_restarted_it_gives_the_same_output_once() {
    let Some((brokers, pipeline)) = serve_readings("exactly-once") else {
        return;
    };
    let readings = 30_000;
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    feed(&feeder, 0..10_000);
    let mut begun = 0;
    // Three lives end by SIGKILL at another point each, under load; the fourth is left to finish.
    for (life, part) in [
        (1, 10_000..16_000),
        (2, 16_000..23_000),
        (3, 23_000..readings),
    ] {
        let service = pipeline.start(4);
        let seen = read_committed(
            &brokers,
            &pipeline.predictions,
            begun + 1,
            // One killed amid a rebalance has its session counted from when that is over.
            Duration::from_secs(60),
        );
        assert!(seen.len() > begun, "life {life} published something");
        begun = seen.len();
        feed(&feeder, part);
        std::thread::sleep(Duration::from_millis(40 * life));
        service.kill();
    }
    let service = pipeline.start(4);
    let records = read_committed(
        &brokers,
        &pipeline.predictions,
        readings,
        Duration::from_secs(90),
    );
    judge(&records, readings);
    assert!(
        service.terminate().success(),
        "SIGTERM ends with exit code 0"
    );
}

#[test]
fn a_second_process_takes_partitions_over_and_nothing_is_lost_or_doubled() {
    let Some((brokers, pipeline)) = serve_readings("exactly-once") else {
        return;
    };
    let text = std::fs::read_to_string(&pipeline.config).unwrap();
    let other = pipeline.config.with_file_name("other.toml");
    std::fs::write(
        &other,
        text.replace("instance = \"one\"", "instance = \"two\""),
    )
    .unwrap();
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    feed(&feeder, 0..8_000);
    let first = pipeline.start(4);
    read_committed(
        &brokers,
        &pipeline.predictions,
        8_000,
        Duration::from_secs(60),
    );
    let second = Running::start(forewarn(&["run", "--config", other.to_str().unwrap()]));
    for part in 0..8 {
        feed(&feeder, 8_000 + part * 1_000..8_000 + (part + 1) * 1_000);
        std::thread::sleep(Duration::from_millis(500));
    }
    read_committed(
        &brokers,
        &pipeline.predictions,
        16_000,
        Duration::from_secs(60),
    );
    assert!(first.terminate().success());
    feed(&feeder, 16_000..20_000);
    let records = read_committed(
        &brokers,
        &pipeline.predictions,
        20_000,
        Duration::from_secs(60),
    );
    judge(&records, 20_000);
    assert!(second.terminate().success());
}

/// What the workers of a process were given and have given up, by their lines in its log, and what they have now.
fn rebalances(log: &Path) -> (usize, BTreeMap<u64, BTreeSet<i32>>) {
    let (mut count, mut owned) = (0, BTreeMap::<u64, BTreeSet<i32>>::new());
    for line in log_lines(log) {
        let fields = &line["fields"];
        let is = |message: &str| fields["message"] == message;
        let (given, taken) = (is("partitions assigned"), is("partitions given up"));
        if !given && !taken {
            continue;
        }
        let partitions: Vec<i32> =
            serde_json::from_str(fields["partitions"].as_str().unwrap()).unwrap();
        let mine = owned.entry(fields["worker"].as_u64().unwrap()).or_default();
        for partition in &partitions {
            match given {
                true => mine.insert(*partition),
                false => mine.remove(partition),
            };
        }
        count += usize::from(!partitions.is_empty());
    }
    (count, owned)
}

/// Waits until the workers of these processes have this many partitions each, and gives who has which.
fn await_shares<const N: usize>(
    logs: [&Path; N],
    each: usize,
) -> [BTreeMap<u64, BTreeSet<i32>>; N] {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let owned = logs.map(|log| rebalances(log).1);
        let shares = owned.iter().flat_map(BTreeMap::values);
        if shares.filter(|share| share.len() == each).count() == 2 * N {
            return owned;
        }
        assert!(Instant::now() < deadline, "{owned:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_static_member_that_is_back_in_time_has_its_partitions_and_the_other_one_notices_nothing() {
    let Some((brokers, pipeline)) = serve_readings("exactly-once") else {
        return;
    };
    let is_static = "instance = \"one\"\nstatic-membership = true";
    let text = std::fs::read_to_string(&pipeline.config).unwrap();
    let text = text.replace("instance = \"one\"", is_static)
        + "[kafka.options]\n\"session.timeout.ms\" = \"20000\"\n";
    std::fs::write(&pipeline.config, &text).unwrap();
    let other = pipeline.config.with_file_name("other.toml");
    std::fs::write(&other, text.replace("\"one\"", "\"two\"")).unwrap();
    let log = |name: &str| pipeline.config.with_file_name(name);
    let (first_log, second_log) = (log("one.log"), log("two.log"));
    let first = pipeline.start_logged(4, &first_log, &[]);
    await_shares([&first_log], 2);
    let mut command = forewarn(&[
        "--log-format",
        "json",
        "run",
        "--config",
        other.to_str().unwrap(),
    ]);
    command.stderr(std::fs::File::create(&second_log).unwrap());
    let second = Running::start(command);
    let [mine, _] = await_shares([&first_log, &second_log], 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let wait = Duration::from_secs(60);
    feed(&feeder, 0..4_000);
    read_committed(&brokers, &pipeline.predictions, 4_000, wait);
    let noticed = rebalances(&second_log).0;

    // Stopped twice, the second time without having had anything to do.
    assert!(first.terminate().success());
    feed(&feeder, 4_000..8_000);
    let back_log = log("back.log");
    let back = pipeline.start_logged(4, &back_log, &[]);
    let [mine_again] = await_shares([&back_log], 1);
    assert_eq!(mine_again, mine);
    read_committed(&brokers, &pipeline.predictions, 8_000, wait);
    assert!(back.terminate().success());
    let again_log = log("again.log");
    let again = pipeline.start_logged(4, &again_log, &[]);
    assert_eq!(await_shares([&again_log], 1), [mine]);
    assert_eq!(
        rebalances(&second_log).0,
        noticed,
        "the other one has its partitions"
    );

    // It runs, and says so: a second one of its identity is refused, and disturbs nobody.
    feed(&feeder, 8_000..12_000);
    read_committed(&brokers, &pipeline.predictions, 12_000, wait);
    let refused_log = log("refused.log");
    let refused = pipeline.start_logged(4, &refused_log, &[]);
    assert_eq!(refused.ended(wait).code(), Some(3));
    let told = std::fs::read_to_string(&refused_log).unwrap();
    assert!(
        told.contains("error: another process runs as instance one"),
        "{told}"
    );
    assert_eq!(rebalances(&second_log).0, noticed);
    // One that does not ask fences it.
    let last_log = log("last.log");
    let last = pipeline.start_logged(4, &last_log, &["--take-over"]);
    assert_eq!(again.ended(wait).code(), Some(3));
    let told = std::fs::read_to_string(&again_log).unwrap();
    assert!(told.contains("took over from this one"), "{told}");
    feed(&feeder, 12_000..16_000);
    let records = read_committed(&brokers, &pipeline.predictions, 16_000, wait);
    judge(&records, 16_000);
    assert!(last.terminate().success() && second.terminate().success());
}

#[test]
fn a_broker_that_is_killed_under_load_and_comes_back_costs_nothing() {
    // A broker of its own: the others must not see it die. It needs what `make test` sets up.
    if brokers().is_none() {
        return;
    }
    let broker = OwnBroker::start();
    let toml = fixture_models(&["weighted"]);
    let pipeline = Pipeline::new("outage", &broker.address, SOURCE, &toml);
    create_topic(&broker.address, &pipeline.topic, 4);
    let service = pipeline.start(4);
    let feeder = Feeder::new(&broker.address, &pipeline.topic);
    feed(&feeder, 0..5_000);
    let wait = Duration::from_secs(60);
    read_committed(&broker.address, &pipeline.predictions, 5_000, wait);
    for part in 5..10 {
        feed(&feeder, part * 1_000..(part + 1) * 1_000);
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.kill();
    std::thread::sleep(Duration::from_secs(2));
    broker.up();
    feed(&feeder, 10_000..15_000);
    // Machines that compile beside it take half a minute to bring a broker up.
    let records = read_committed(&broker.address, &pipeline.predictions, 15_000, 2 * wait);
    judge(&records, 15_000);
    assert!(service.terminate().success());
}

#[test]
fn at_least_once_gives_everything_when_nothing_fails() {
    let Some((brokers, pipeline)) = serve_readings("at-least-once") else {
        return;
    };
    feed(&Feeder::new(&brokers, &pipeline.topic), 0..5_000);
    let service = pipeline.start(4);
    let records = read_committed(
        &brokers,
        &pipeline.predictions,
        5_000,
        Duration::from_secs(60),
    );
    judge(&records, 5_000);
    assert!(service.terminate().success());
    // Offsets were committed: a second run finds nothing to do.
    let service = pipeline.start(4);
    std::thread::sleep(Duration::from_secs(2));
    assert!(service.terminate().success());
    let records = read_committed(
        &brokers,
        &pipeline.predictions,
        5_000,
        Duration::from_secs(30),
    );
    judge(&records, 5_000);
}

#[test]
fn what_cannot_be_read_is_set_aside_as_it_came_and_costs_only_itself() {
    let Some(brokers) = brokers() else { return };
    let source = "event-time = { field = \"t\", unit = \"ms\" }\nknown-assets = [\"pump-*\"]\n\
                  max-message-bytes = 2000";
    let pipeline = Pipeline::new("poison", &brokers, source, &fixture_models(&["nan"]));
    create_topic(&brokers, &pipeline.topic, 1);
    let large = format!("{{\"t\":1,\"a\":1,\"b\":2,\"x\":\"{}\"}}", "x".repeat(3000));
    let good: &[u8] = br#"{"t":1,"a":1,"b":4}"#;
    let key: Option<&[u8]> = Some(b"pump-1");
    #[rustfmt::skip]
    let poison: Vec<Poison> = vec![
        (key, Some(br#"{"t":1,"a":1"#), "malformed-json"),
        (key, Some(br#"{"t":1,"a":NaN,"b":1}"#), "malformed-json"),
        (key, Some(b"\x00\xff\xfe"), "invalid-utf8"),
        (key, Some(b"<html>"), "malformed-json"),
        (key, Some(b"[1,2]"), "not-an-object"),
        (key, Some(br#"{"t":1,"a":"1","b":1}"#), "wrong-type"),
        (key, Some(br#"{"t":1,"a":1}"#), "missing-signal"),
        (key, Some(br#"{"a":1,"b":1}"#), "missing-time"),
        (key, Some(large.as_bytes()), "too-large"),
        (key, None, "empty-payload"),
        (None, Some(good), "empty-key"),
        (Some(b""), Some(good), "empty-key"),
        (Some(b"\xff\xfe"), Some(good), "invalid-key"),
        (Some(b"turbine-9"), Some(good), "unknown-asset"),
    ];
    // Readings that no model can score: they are told of in the place of their score.
    let unscored: [(&[u8], &str); 2] = [
        (br#"{"t":1,"a":1,"b":-4}"#, "score-not-finite"),
        (br#"{"t":1,"a":1e300,"b":1}"#, "signal-missing"),
    ];
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    for (key, payload, _) in &poison {
        feeder.send(*key, *payload, None);
        feeder.send(Some(b"pump-2"), Some(good), None);
    }
    for (payload, _) in unscored {
        feeder.send(Some(b"pump-3"), Some(payload), None);
    }
    feeder.flush();
    let service = pipeline.start(1);
    let wait = Duration::from_secs(60);
    let letters = read_committed(&brokers, &pipeline.dead_letters, poison.len(), wait);
    assert_eq!(letters.len(), poison.len());
    for (i, (key, payload, code)) in poison.iter().enumerate() {
        // One partition: the offset tells which message it was.
        let offset = (2 * i).to_string();
        let letter = letters
            .iter()
            .find(|letter| letter.headers["__connect.errors.offset"] == offset)
            .unwrap_or_else(|| panic!("no dead letter for {code}"));
        assert_eq!(
            letter.headers["forewarn.code"], *code,
            "{:?}",
            letter.headers
        );
        assert_eq!(
            (letter.key.as_deref(), letter.payload.as_deref()),
            (*key, *payload),
            "{code}"
        );
        assert_eq!(letter.headers["__connect.errors.topic"], pipeline.topic);
        assert!(letter.headers["__connect.errors.exception.message"].len() > 10);
    }
    // Its neighbours are scored: sqrt(1), sqrt(4) as residuals give (1 + 4) / 2.
    let expected = poison.len() + unscored.len();
    let predictions = read_committed(&brokers, &pipeline.predictions, expected, wait);
    assert_eq!(predictions.len(), expected);
    let (scored, without): (Vec<_>, Vec<_>) = predictions
        .iter()
        .map(crate::support::Record::json)
        .partition(|prediction| prediction["unscored"].is_null());
    for prediction in scored {
        assert_eq!(prediction["asset"], "pump-2");
        assert_eq!(prediction["anomaly"]["score"], 2.5);
    }
    let mut codes: Vec<String> = without
        .iter()
        .map(|prediction| prediction["unscored"]["code"].to_string())
        .collect();
    codes.sort();
    assert_eq!(codes, ["\"score-not-finite\"", "\"signal-missing\""]);
    assert!(
        without
            .iter()
            .all(|prediction| prediction["asset"] == "pump-3")
    );
    assert!(service.terminate().success());
}

/// Batches are as large as its pace allows: all of them at once would take longer than the group waits for a member,
/// and than a stop may.
#[test]
fn a_slow_model_keeps_its_partitions_and_can_be_stopped() {
    const READINGS: usize = 5_000;
    let Some(brokers) = brokers() else { return };
    let options =
        "[kafka.options]\n\"session.timeout.ms\" = \"6000\"\n\"max.poll.interval.ms\" = \"6000\"\n";
    let toml = format!("{}{options}", fixture_models(&["slow"]));
    let pipeline = Pipeline::new("slow", &brokers, SOURCE, &toml);
    for topic in [&pipeline.topic, &pipeline.predictions] {
        create_topic(&brokers, topic, 1);
    }
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    for n in 0..READINGS {
        let payload = format!("{{\"t\":{n},\"a\":1,\"b\":2}}");
        feeder.send(Some(b"p"), Some(payload.as_bytes()), None);
    }
    feeder.flush();
    let dir = tempfile::tempdir().unwrap();
    let logs = ["first", "second"].map(|name| dir.path().join(name));
    let service = pipeline.start_logged(1, &logs[0], &[]);
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut scored = 0;
    while scored < 500 {
        assert!(Instant::now() < deadline, "{scored} are scored");
        let look = Duration::from_secs(1);
        scored = read_committed(&brokers, &pipeline.predictions, READINGS, look).len();
    }
    assert!(scored < READINGS, "it is slow");
    assert!(service.terminate().success());
    let service = pipeline.start_logged(1, &logs[1], &[]);
    let wait = Duration::from_secs(240);
    let predictions = read_committed(&brokers, &pipeline.predictions, READINGS, wait);
    assert!(service.terminate().success());
    let sources: std::collections::BTreeSet<i64> = predictions
        .iter()
        .map(|record| record.json()["source"]["offset"].as_i64().unwrap())
        .collect();
    assert_eq!((predictions.len(), sources.len()), (READINGS, READINGS));
    let text = logs
        .map(|log| std::fs::read_to_string(log).unwrap())
        .concat();
    for sign in [
        "partitions given up",
        "going back",
        "brokers are not reached",
    ] {
        assert!(!text.contains(sign), "{sign}: {text}");
    }
}

#[test]
fn a_message_that_is_too_large_to_be_sent_again_is_set_aside_as_a_reference() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("large", &brokers, SOURCE, &fixture_models(&["plain"]));
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    // Between what a producer sends by default and what a topic takes by default.
    let large = vec![b'x'; 1_030_000];
    let good: &[u8] = br#"{"t":1,"a":1,"b":4}"#;
    for payload in [good, &large, good] {
        feeder.send(Some(b"p"), Some(payload), None);
    }
    feeder.flush();
    let service = pipeline.start(1);
    let wait = Duration::from_secs(30);
    let letters = read_committed(&brokers, &pipeline.dead_letters, 1, wait);
    let predictions = read_committed(&brokers, &pipeline.predictions, 2, wait);
    assert!(service.terminate().success());
    assert_eq!((letters.len(), predictions.len()), (1, 2));
    let Record {
        key,
        payload,
        headers,
        ..
    } = &letters[0];
    assert_eq!((key.as_deref(), payload), (Some(b"p".as_slice()), &None));
    assert_eq!(headers["forewarn.omitted-bytes"], "1030000");
    assert_eq!(headers["forewarn.code"], "malformed-json");
    assert_eq!(headers["__connect.errors.offset"], "1");
    assert!(headers.contains_key("forewarn.timestamp"));
    let listed = run_ok(&["dlq", "list", "--config", pipeline.config()]);
    assert!(listed.contains("malformed-json"), "{listed}");
    // The letter has no bytes: those of its record would be sent, and are as large as they were.
    let redriven = run_ok(&["dlq", "redrive", "--config", pipeline.config(), "--yes"]);
    assert!(redriven.contains("not sent: 1"), "{redriven}");
    assert!(redriven.contains("message.max.bytes"), "{redriven}");
}

#[test]
fn a_prediction_says_where_it_comes_from() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("form", &brokers, SOURCE, &fixture_models(&["plain"]));
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    feeder.send(
        Some(b"p"),
        Some(br#"{"t":1567606196250,"a":3,"b":-1}"#),
        None,
    );
    feeder.flush();
    let service = pipeline.start(1);
    let records = read_committed(&brokers, &pipeline.predictions, 1, Duration::from_secs(60));
    let expected = serde_json::json!({
        "asset": "p", "event_time": "2019-09-04T14:09:56.250Z", "model": "plain", "version": 1,
        "task": "anomaly", "source": {"topic": pipeline.topic, "partition": 0, "offset": 0},
        "anomaly": {"score": 5.0, "threshold": 1.0, "confidence": 5.0, "anomalous": true,
                    "contributions": {"a": 0.9, "b": 0.1}},
    });
    assert_eq!(records[0].json(), expected);
    let headers = &records[0].headers;
    assert_eq!(headers["ce_id"], format!("{}-0-0-plain@1", pipeline.topic));
    assert_eq!(headers["ce_specversion"], "1.0");
    assert_eq!(headers["ce_type"], "forewarn.prediction.anomaly");
    assert_eq!(headers["ce_subject"], "p");
    assert_eq!(headers["ce_time"], "2019-09-04T14:09:56.250Z");
    assert!(service.terminate().success());
}

#[test]
fn alarms_and_challengers_have_topics_of_their_own_and_are_compared_row_by_row() {
    let Some(brokers) = brokers() else {
        return;
    };
    let toml = fixture_models(&[])
        + "[[models.serve]]\nname = \"plain\"\nview = \"v\"\nshadow = [{ name = \"nan\" }]\n\
           [alarms.hot]\nmodel = \"plain\"\nabove = { warning = 1.0, critical = 20.0 }\nof = 2\nwithin = 3\n";
    let pipeline = Pipeline::new("alarms", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 2);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    // The score of `plain` is (a² + b²) / 2; `nan` takes square roots and can't score what is below 0.
    let mut raised = 0;
    for n in 0..400_usize {
        let (asset, step) = (n % 4, n / 4);
        let hot = asset == 1 && (20..30).contains(&step);
        raised += usize::from(hot && step == 21);
        let a = if hot { 5.0 } else { 0.5 };
        let b = if asset == 2 { -0.5 } else { 0.5 };
        let payload = format!("{{\"t\":{},\"a\":{a},\"b\":{b}}}", 1_000_000 + n);
        feeder.send(
            Some(format!("asset-{asset}").as_bytes()),
            Some(payload.as_bytes()),
            None,
        );
    }
    feeder.flush();
    let service = pipeline.start(2);
    let limit = Duration::from_secs(30);
    let predictions = read_committed(&brokers, &pipeline.predictions, 400, limit);
    assert_eq!(predictions.len(), 400);
    let alarms = read_committed(&brokers, &format!("{}-alarms", pipeline.name), 2, limit);
    let shadow = read_committed(&brokers, &format!("{}-shadow", pipeline.name), 400, limit);
    assert!(service.terminate().success());
    assert_eq!(shadow.len(), 400);
    let told: Vec<(String, String, String)> = alarms
        .iter()
        .map(|record| {
            let json = record.json();
            let text = |key: &str| json[key].as_str().unwrap().to_owned();
            (text("asset"), text("event"), text("severity"))
        })
        .collect();
    let of = |event: &str| ("asset-1".to_owned(), event.to_owned(), "warning".to_owned());
    assert_eq!((told, raised), (vec![of("raised"), of("cleared")], 1));

    let compared = run_ok(&[
        "model",
        "compare",
        "--config",
        pipeline.config(),
        "--output",
        "json",
    ]);
    let compared: serde_json::Value = serde_json::from_str(&compared).unwrap();
    let pair = &compared[0];
    assert_eq!(
        (pair["champion"].as_str(), pair["challenger"].as_str()),
        (Some("plain@1"), Some("nan@1"))
    );
    assert_eq!(
        (pair["rows"].as_u64(), pair["only_champion_scored"].as_u64()),
        (Some(300), Some(100))
    );
    // Of √a and √b only that of 5 is beyond: (5 + 0.5) / 2.
    assert_eq!(
        (pair["both_flag"].as_u64(), pair["neither_flags"].as_u64()),
        (Some(10), Some(290))
    );
}
