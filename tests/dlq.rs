//! Dead letters with the real binary on a real Apache Kafka: listed by code, shown byte for byte, and sent back
//! once each, also when that is killed half-way, stopped by another one, or waits for an open transaction.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use support::{
    Pipeline, Record, Running, brokers, create_topic, fixture_models, forewarn, read_committed,
    root, run, text, unique,
};

const SOURCE: &str = "event-time = { field = \"t\", unit = \"ms\" }";
const WAIT: Duration = Duration::from_secs(60);
const REDRIVE: &str = "forewarn.redrive";
const BEGIN: i64 = 1_700_000_000_000;

/// Signals and a model; values of `a` above `max` are refused.
fn sections(max: f64) -> String {
    let open = fixture_models(&["plain"]);
    let bound = open.replace(
        "a = { unit = \"bar\" }",
        &format!("a = {{ unit = \"bar\", max = {max:?} }}"),
    );
    assert_ne!(bound, open);
    bound
}

fn with_max(pipeline: &Pipeline, old: f64, new: f64) {
    let text = std::fs::read_to_string(&pipeline.config).unwrap();
    let other = text.replace(&format!("max = {old:?}"), &format!("max = {new:?}"));
    assert_ne!(other, text);
    std::fs::write(&pipeline.config, other).unwrap();
}

/// A pipeline that refuses `a` above 10, its topic, and a producer; nothing without a broker.
fn begun(name: &str, partitions: usize) -> Option<(String, Pipeline, BaseProducer)> {
    let brokers = brokers()?;
    let pipeline = Pipeline::new(name, &brokers, SOURCE, &sections(10.0));
    create_topic(&brokers, &pipeline.topic, partitions);
    let feeder = producer(&brokers, None);
    Some((brokers, pipeline, feeder))
}

fn producer(brokers: &str, transactional: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("queue.buffering.max.messages", "1000000");
    if let Some(id) = transactional {
        config.set("transactional.id", id);
    }
    config.create().unwrap()
}

/// A message as any program may send it.
#[derive(Clone, Copy, Default)]
struct Message<'a> {
    partition: i32,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
    timestamp: Option<i64>,
}

/// One with key and payload only.
fn message<'a>(key: &'a [u8], payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Message<'a> {
    Message {
        key: Some(key),
        payload: Some(payload.as_ref()),
        ..Message::default()
    }
}

fn send(producer: &BaseProducer, topic: &str, message: &Message<'_>) {
    let headers = message.headers.iter();
    let headers = headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(*value),
        })
    });
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic)
        .partition(message.partition)
        .headers(headers);
    record.key = message.key;
    record.payload = message.payload;
    record.timestamp = message.timestamp;
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.poll(Duration::ZERO);
}

/// `forewarn dlq` with these words.
fn dlq(pipeline: &Pipeline, words: &[&str]) -> Command {
    let mut command = forewarn(&["dlq"]);
    command.args(words).args(["--config", pipeline.config()]);
    command.stdin(Stdio::null());
    command
}

fn ok(pipeline: &Pipeline, words: &[&str]) -> String {
    let output = dlq(pipeline, words).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "dlq {words:?}: {out}{err}");
    out
}

fn json(pipeline: &Pipeline, words: &[&str]) -> Value {
    let told = ok(pipeline, &[words, &["--output", "json"]].concat());
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn refused(pipeline: &Pipeline, words: &[&str], reason: &str) {
    let output = dlq(pipeline, words).output().unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    has(&told, reason);
}

fn has(told: &str, words: &str) {
    assert!(told.contains(words), "no \"{words}\" in {told}");
}

/// Letters and redriven ones, by code.
fn by_code(list: &Value) -> BTreeMap<&str, (u64, u64)> {
    let codes = list["codes"].as_array().unwrap().iter();
    let number = |code: &Value, key: &str| code[key].as_u64().unwrap();
    let counts = |code| (number(code, "letters"), number(code, "redriven"));
    codes
        .map(|code| (code["code"].as_str().unwrap(), counts(code)))
        .collect()
}

/// Where a record is, as letters are named.
fn place(record: &Record) -> String {
    format!("{}:{}", record.partition, record.offset)
}

/// Runs the service until so many dead letters and predictions are there.
fn serve(
    brokers: &str,
    pipeline: &Pipeline,
    letters: usize,
    predictions: usize,
) -> (Vec<Record>, Vec<Record>) {
    let service = pipeline.start(2);
    let letters = read_committed(brokers, &pipeline.dead_letters, letters, WAIT);
    let predictions = read_committed(brokers, &pipeline.predictions, predictions, WAIT);
    assert!(service.terminate().success());
    (letters, predictions)
}

/// Records that were sent again.
fn returned(brokers: &str, pipeline: &Pipeline, records: usize) -> Vec<Record> {
    let mut all = read_committed(brokers, &pipeline.topic, records, WAIT);
    all.retain(|record| record.headers.contains_key(REDRIVE));
    all
}

#[test]
fn poison_is_listed_shown_and_redriven_once_when_its_cause_is_gone() {
    let Some((brokers, pipeline, feeder)) = begun("dlq", 2) else {
        return;
    };
    let reading = |n: i64, a: f64| format!("{{\"t\":{},\"a\":{a:?},\"b\":{n}}}", BEGIN + n * 1_000);
    for n in 0..5 {
        send(
            &feeder,
            &pipeline.topic,
            &message(b"good", &reading(n, 1.0)),
        );
    }
    // The cause of four of them is the configuration's; three and one are poison for ever.
    for n in 0..4 {
        let payload = reading(n, 50.0 + n as f64);
        let hot = Message {
            partition: 1,
            headers: &[("trace", b"\xff\x00"), ("forewarn.code", b"its own")],
            timestamp: Some(BEGIN + n * 1_000 + 7),
            ..message(b"hot", &payload)
        };
        send(&feeder, &pipeline.topic, &hot);
    }
    for _ in 0..3 {
        let bad = message(b"bad", b"{\"t\":1,\"a\x1b[2J");
        send(&feeder, &pipeline.topic, &bad);
    }
    let long = format!("{{\"t\":{BEGIN},\"a\":1,\"b\":1,\"x\":\"");
    let long = format!("{long}{}\"}}", "x".repeat(5_000 - long.len() - 2));
    send(&feeder, &pipeline.topic, &message(b"\xff\xfe", &long));
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, 8, 5);
    assert_eq!(letters.len(), 8);

    // Listed, with exact numbers and where the first one of each code is.
    let list = json(&pipeline, &["list"]);
    let counts = |hot, bad| {
        BTreeMap::from([
            ("invalid-key", (1, 0)),
            ("malformed-json", bad),
            ("out-of-range", hot),
        ])
    };
    assert_eq!(by_code(&list), counts((4, 0), (3, 0)));
    assert_eq!(list["letters"], 8);
    assert_eq!(list["redriven"], 0);
    assert_eq!(list["others"], 0);
    let hot = &list["codes"][2];
    let example = &hot["example"];
    assert_eq!(example["topic"], pipeline.topic);
    assert_eq!(example["partition"], 1);
    assert_eq!(example["offset"], 0);
    let reason = example["reason"].as_str().unwrap();
    has(reason, "signal a is 50, outside");
    let (first, last) = (
        hot["first"].as_str().unwrap(),
        hot["last"].as_str().unwrap(),
    );
    assert!(first <= last);
    assert!(
        first > "2026",
        "when it was written, not when it was measured"
    );
    let told = ok(&pipeline, &["list"]);
    has(&told, "\nout-of-range ");
    has(&told, "\ntotal ");
    has(
        &told,
        &format!("from {} 1:0: signal a is 50", pipeline.topic),
    );
    assert!(
        !told.contains('\x1b'),
        "what was sent must not steer a terminal"
    );
    for (selection, letters) in [
        (&["--code", "invalid-key", "--code", "out-of-range"][..], 5),
        (&["--from", "2100-01-01T00:00:00Z"], 0),
        (&["--to", "2100-01-01T00:00:00Z"], 8),
    ] {
        let list = json(&pipeline, &[&["list"], selection].concat());
        assert_eq!(list["letters"], letters, "{selection:?}");
    }
    let from_last = json(
        &pipeline,
        &["list", "--from", last, "--code", "out-of-range"],
    );
    assert!(
        from_last["letters"].as_u64() >= Some(1),
        "the first instant is within"
    );
    let each = ok(&pipeline, &["list", "--each", "--output", "json"]);
    let each = each.lines().map(serde_json::from_str::<Value>);
    assert_eq!(each.map(Result::unwrap).count(), 8);

    // Shown byte for byte.
    let letter = |key: &[u8]| {
        let mut letters = letters.iter();
        place(letters.find(|l| l.key.as_deref() == Some(key)).unwrap())
    };
    let bad = ok(&pipeline, &["show", &letter(b"bad")]);
    for words in [
        "code      malformed-json (stage decode)",
        &format!("source    {} 0:5, of 20", pipeline.topic),
        "redriven  no",
        "key       3 bytes, text\nbad\n",
        "payload   13 bytes, hexadecimal\n00000000  7b 22 74 22 3a 31 2c 22 61 1b 5b 32 4a           |{\"t\":1,\"a.[2J|\n",
    ] {
        has(&bad, words);
    }
    let invalid = ok(&pipeline, &["show", &letter(b"\xff\xfe")]);
    has(&invalid, "key       2 bytes, hexadecimal\n00000000  ff fe ");
    let mut lines = invalid.lines().rev();
    assert_eq!(lines.next(), Some("... and more: --all shows it"));
    assert_eq!(lines.next().unwrap().len(), 4_096, "the first 4 KiB");
    let all = ok(&pipeline, &["show", &letter(b"\xff\xfe"), "--all"]);
    assert_eq!(all.lines().last().unwrap().len(), 5_000);
    let hot = json(&pipeline, &["show", &letter(b"hot")]);
    assert_eq!(hot["headers"][0]["name"], "trace");
    assert_eq!(hot["headers"][0]["value"]["hex"], "ff00");
    assert_eq!(hot["headers"][1]["value"]["text"], "its own");
    assert_eq!(hot["payload"]["text"], reading(0, 50.0));
    refused(
        &pipeline,
        &["show", "0:99999"],
        "there is no record at 0:99999",
    );

    // Redriven when the configuration takes them.
    with_max(&pipeline, 10.0, 100.0);
    let redrive_hot = ["redrive", "--code", "out-of-range"];
    refused(&pipeline, &redrive_hot, "nothing is sent: say --yes");
    let dry = json(&pipeline, &[&redrive_hot[..], &["--dry-run"]].concat());
    assert_eq!(dry["would_send"]["out-of-range"], 4);
    let so_far = returned(&brokers, &pipeline, 13);
    assert_eq!(so_far.len(), 0, "nothing was sent so far");
    let redrive_hot = [&redrive_hot[..], &["--yes"]].concat();
    let done = json(&pipeline, &redrive_hot);
    assert_eq!(done["sent"]["out-of-range"], 4);
    assert_eq!(done["skipped"], serde_json::json!([]));
    let (after, predictions) = serve(&brokers, &pipeline, 9, 9);
    let ids = predictions.iter().map(|record| &record.headers["ce_id"]);
    let scored: HashSet<&String> = ids.collect();
    assert_eq!(predictions.len(), 9);
    assert_eq!(scored.len(), 9, "each reading is scored once");
    let kept = after.iter().filter(|record| letters.contains(record));
    assert_eq!(kept.count(), 8, "letters stay as they are");

    // As they were: partition, key, bytes, headers and timestamp; and where they come from.
    let sent = returned(&brokers, &pipeline, 17);
    assert_eq!(sent.len(), 4);
    for (n, record) in (0..).zip(&sent) {
        assert_eq!(record.partition, 1);
        assert_eq!(record.key.as_deref(), Some(&b"hot"[..]));
        let payload = reading(n, 50.0 + n as f64);
        assert_eq!(record.payload.as_deref(), Some(payload.as_bytes()));
        assert_eq!(record.timestamp, Some(BEGIN + n * 1_000 + 7));
        let mut letters = letters.iter();
        let letter = letters.find(|l| l.payload == record.payload).unwrap();
        let names: Vec<&String> = record.headers.keys().collect();
        assert_eq!(
            names,
            ["forewarn.code", REDRIVE, "trace"],
            "none of ours but one"
        );
        let from = format!("{}:{}", pipeline.dead_letters, place(letter));
        assert_eq!(record.headers[REDRIVE], from);
        assert_eq!(record.headers["forewarn.code"], "its own");
    }

    // A second time sends nothing, and the list tells why.
    let again = json(&pipeline, &redrive_hot);
    assert_eq!(again["sent"], serde_json::json!({}));
    assert_eq!(again["redriven_before"], 4);
    assert_eq!(returned(&brokers, &pipeline, 17).len(), 4);
    let list = json(&pipeline, &["list"]);
    assert_eq!(by_code(&list), counts((4, 4), (3, 0)));
    has(&ok(&pipeline, &["show", &letter(b"hot")]), "redriven  yes");
    let mut receipts = after.iter().filter(|record| !letters.contains(record));
    let receipt = place(receipts.next().unwrap());
    refused(
        &pipeline,
        &["show", &receipt],
        "is no letter, but the receipt that",
    );

    // What is poison for ever comes back as another letter, which is redriven by itself.
    let redrive_bad = ["redrive", "--code", "malformed-json", "--yes"];
    let done = json(&pipeline, &redrive_bad);
    assert_eq!(done["sent"]["malformed-json"], 3);
    serve(&brokers, &pipeline, 8 + 3 + 2, 9);
    let list = json(&pipeline, &["list"]);
    assert_eq!(by_code(&list), counts((4, 4), (6, 3)));
    let done = json(&pipeline, &redrive_bad);
    assert_eq!(done["sent"]["malformed-json"], 3);
    let sent = returned(&brokers, &pipeline, 23);
    let places: HashSet<&String> = sent.iter().map(|record| &record.headers[REDRIVE]).collect();
    assert_eq!(places.len(), 10, "one header each, of the latest letter");
}

#[test]
fn killed_half_way_or_stopped_by_another_one_it_sends_each_message_once() {
    const LETTERS: usize = 30_000;
    let Some((brokers, pipeline, feeder)) = begun("dlq-killed", 2) else {
        return;
    };
    for n in 0..LETTERS {
        let payload = format!("{{\"t\":{},\"a\":50,\"b\":{n}}}", BEGIN + n as i64);
        let key = format!("hot-{}", n % 7);
        let hot = Message {
            partition: (n % 2) as i32,
            ..message(key.as_bytes(), &payload)
        };
        send(&feeder, &pipeline.topic, &hot);
    }
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, LETTERS, 0);
    assert_eq!(letters.len(), LETTERS);
    with_max(&pipeline, 10.0, 100.0);

    let redriven = || json(&pipeline, &["list"])["redriven"].as_u64().unwrap();
    // Where the input ends tells at once that something was sent.
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let end = || {
        let end = |partition| observer.fetch_watermarks(&pipeline.topic, partition, WAIT);
        end(0).unwrap().1 + end(1).unwrap().1
    };
    let begin = || {
        let before = end();
        let mut command = dlq(&pipeline, &["redrive", "--yes"]);
        command.stdout(Stdio::null());
        let mut running = Running::start(command);
        let deadline = Instant::now() + WAIT;
        // The end of what was aborted by SIGKILL is behind a batch too; this is more than one.
        while end() < before + 1_000 {
            assert!(
                Instant::now() < deadline && running.is_running(),
                "it sends nothing"
            );
        }
        assert!(running.is_running(), "the fault came too late");
        running
    };
    // One life ends by SIGKILL, the next one by another redrive, which goes to the end.
    begin().kill();
    let first = redriven();
    assert!(first > 0 && first < LETTERS as u64, "{first}");
    let stopped = begin();
    let rest = json(&pipeline, &["redrive", "--yes"]);
    let rest = rest["sent"]["out-of-range"].as_u64().unwrap();
    assert!(
        rest > 0 && rest < LETTERS as u64 - first,
        "{rest} after {first}"
    );
    assert_eq!(stopped.ended(WAIT).code(), Some(1), "it was fenced");
    assert_eq!(redriven(), LETTERS as u64);

    let sent = returned(&brokers, &pipeline, 2 * LETTERS);
    let places: HashSet<&String> = sent.iter().map(|record| &record.headers[REDRIVE]).collect();
    assert_eq!(sent.len(), LETTERS);
    assert_eq!(places.len(), LETTERS, "each message once");
    // As the service sees it: every reading has one score.
    let (_, predictions) = serve(&brokers, &pipeline, 0, LETTERS);
    let times = predictions.iter().map(|record| &record.headers["ce_time"]);
    let times: HashSet<&String> = times.collect();
    assert_eq!((predictions.len(), times.len()), (LETTERS, LETTERS));
    println!("{first} messages before SIGKILL, {rest} by the last of three runs");
}

/// A letter as the pipeline writes it, with everything that can keep its message from being sent.
#[test]
fn letters_that_cannot_be_sent_are_told_and_left() {
    let Some((brokers, pipeline, feeder)) = begun("dlq-odd", 1) else {
        return;
    };
    create_topic(&brokers, &pipeline.dead_letters, 1);
    let original = Message {
        headers: &[("trace", b"7")],
        timestamp: Some(BEGIN + 42),
        ..message(b"pump", b"{\"t\":1}")
    };
    send(&feeder, &pipeline.topic, &original);
    feeder.flush(WAIT).unwrap();
    let letter = |name: &str, topic: &str, partition: &str, offset: &str, more: &Message<'_>| {
        let ours: [(&str, &[u8]); 7] = [
            ("__connect.errors.topic", topic.as_bytes()),
            ("__connect.errors.partition", partition.as_bytes()),
            ("__connect.errors.offset", offset.as_bytes()),
            ("__connect.errors.connector.name", name.as_bytes()),
            ("__connect.errors.stage", b"windows"),
            ("__connect.errors.exception.message", b"full"),
            ("forewarn.code", b"asset-state-full"),
        ];
        let headers = &[&ours[..], more.headers].concat();
        send(
            &feeder,
            &pipeline.dead_letters,
            &Message { headers, ..*more },
        );
    };
    let (name, topic) = (pipeline.name.as_str(), pipeline.topic.as_str());
    let (none, bytes) = (Message::default(), message(b"k", b"v"));
    letter(name, topic, "0", "0", &none); // 0: a reference to a record that is there
    letter(name, topic, "0", "77", &none); // 1: ... that is not
    letter(name, "elsewhere", "0", "0", &bytes); // 2
    letter(name, topic, "9", "0", &bytes); // 3
    letter("another", topic, "0", "0", &bytes); // 4
    letter(name, topic, "0", "78", &bytes); // 5: of an older version, its record is gone
    let large = vec![b' '; 990_000];
    let timed = Message {
        headers: &[("forewarn.timestamp", b"1700000000000")],
        payload: Some(&large),
        ..Message::default()
    };
    letter(name, topic, "0", "79", &timed); // 6: larger than the client of this pipeline sends
    send(&feeder, &pipeline.dead_letters, &bytes); // 7: not of forewarn
    feeder.flush(WAIT).unwrap();
    let config = std::fs::read_to_string(&pipeline.config).unwrap();
    let small = config.replace(
        "[source]",
        "options = { \"message.max.bytes\" = \"500000\" }\n[source]",
    );
    std::fs::write(&pipeline.config, small).unwrap();

    let list = json(&pipeline, &["list"]);
    assert_eq!(list["letters"], 6);
    assert_eq!(list["others"], 2);
    let reference = ok(&pipeline, &["show", "0:0"]);
    has(&reference, "bytes     from the source topic");
    has(&reference, "pump\n");
    let gone = ok(&pipeline, &["show", "0:1"]);
    has(&gone, "is not in the source topic any more");
    refused(&pipeline, &["show", "0:7"], "was not written by forewarn");

    let done = json(&pipeline, &["redrive", "--yes"]);
    assert_eq!(done["sent"]["asset-state-full"], 2, "{done}");
    let skipped = done["skipped"].as_array().unwrap();
    let expected = [
        ("0:1", "the letter is a reference, and its record is not in"),
        ("0:2", "it came from topic elsewhere"),
        ("0:3", "it came from partition 9"),
        ("0:6", "it is larger than the client sends"),
    ];
    assert_eq!(skipped.len(), expected.len(), "{skipped:?}");
    for (letter, reason) in expected {
        let mut skipped = skipped.iter();
        let skip = skipped.find(|skip| skip["letters"][0] == letter).unwrap();
        let told = skip["reason"].as_str().unwrap();
        assert!(told.starts_with(reason), "{letter}: {told}");
    }
    let sent = returned(&brokers, &pipeline, 3);
    let payloads = sent.iter().map(|record| record.payload.as_deref().unwrap());
    assert_eq!(payloads.collect::<Vec<_>>(), [&b"{\"t\":1}"[..], b"v"]);
    assert_eq!(sent[0].timestamp, Some(BEGIN + 42));
    assert_eq!(sent[0].key.as_deref(), Some(&b"pump"[..]));
    assert_eq!(sent[0].headers["trace"], "7");
    // What could not be sent stays open, and is told again.
    let again = json(&pipeline, &["redrive", "--yes"]);
    assert_eq!(again["sent"], serde_json::json!({}));
    assert_eq!(again["skipped"].as_array().unwrap().len(), 4);
}

/// Windows refuse rows that had waited for the watermark: their letters have no bytes.
#[test]
fn a_row_that_had_waited_is_fetched_from_the_source() {
    let Some(brokers) = brokers() else { return };
    let sections = format!(
        "[event-time]\nout-of-orderness = \"2s\"\n[signals]\na = {{}}\n[limits]\nmax-bytes-per-asset = 100\n\
         [views.w]\nwindow = {{ session = \"100s\" }}\nfeatures = [\"SUM(a) AS a\", \"COUNT(*) AS b\"]\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"plain\"\nview = \"w\"\n",
        root().join("tests/fixtures/models").display()
    );
    // A row that is released in the batch that it came with still has its bytes.
    let source = format!("{SOURCE}\nmax-batch-messages = 1");
    let pipeline = Pipeline::new("dlq-waited", &brokers, &source, &sections);
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = producer(&brokers, None);
    let payload = |n: i64| format!("{{\"t\":{},\"a\":{n}}}", BEGIN + n * 1_000);
    for n in 0..8 {
        send(&feeder, &pipeline.topic, &message(b"pump", &payload(n)));
    }
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, 3, 0);
    let mut references = letters.iter();
    assert!(references.all(|letter| letter.payload.is_none()));
    let offsets = letters
        .iter()
        .map(|l| &l.headers["__connect.errors.offset"]);
    let mut offsets: Vec<i64> = offsets.map(|offset| offset.parse().unwrap()).collect();
    // In the order in which they came, whatever partitions their letters are in.
    offsets.sort_unstable();
    let done = json(
        &pipeline,
        &["redrive", "--code", "asset-state-full", "--yes"],
    );
    assert_eq!(done["sent"]["asset-state-full"], letters.len());
    let sent = returned(&brokers, &pipeline, 8 + letters.len());
    let sent = sent
        .iter()
        .map(|record| text(record.payload.as_deref().unwrap()));
    let expected: Vec<String> = offsets.into_iter().map(payload).collect();
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

/// A receipt behind the beginning of an open transaction can't be read: it has to be waited for.
#[test]
fn an_open_transaction_in_the_topic_is_waited_for() {
    let Some((brokers, pipeline, feeder)) = begun("dlq-open", 1) else {
        return;
    };
    let hot = message(b"hot", b"{\"t\":1700000000000,\"a\":50,\"b\":1}");
    send(&feeder, &pipeline.topic, &hot);
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, 1, 0);
    assert_eq!(letters.len(), 1);
    // Another writer's transaction; behind its beginning, what a redrive would have left.
    let other = producer(&brokers, Some(&unique("other")));
    other.init_transactions(WAIT).unwrap();
    other.begin_transaction().unwrap();
    let partition = letters[0].partition;
    let open = Message {
        partition,
        payload: Some(b"open"),
        ..Message::default()
    };
    send(&other, &pipeline.dead_letters, &open);
    other.flush(WAIT).unwrap();
    let offset = letters[0].offset.to_string();
    let receipt = Message {
        partition,
        payload: Some(b"{}"),
        headers: &[
            ("forewarn.pipeline", pipeline.name.as_bytes()),
            ("forewarn.redriven", offset.as_bytes()),
        ],
        ..Message::default()
    };
    send(&feeder, &pipeline.dead_letters, &receipt);
    feeder.flush(WAIT).unwrap();
    let mut redrive = Running::start(dlq(&pipeline, &["redrive", "--yes"]));
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        assert!(redrive.is_running(), "it did not wait");
        std::thread::sleep(Duration::from_millis(50));
    }
    other.commit_transaction(WAIT).unwrap();
    assert!(redrive.ended(WAIT).success());
    let sent = returned(&brokers, &pipeline, 1);
    assert_eq!(sent.len(), 0, "the receipt was seen");
}

#[test]
fn without_a_broker_or_a_topic_it_says_what_to_do() {
    let nobody = Pipeline::new("dlq-nobody", "127.0.0.1:1", SOURCE, &sections(10.0));
    let unreached = "no Kafka broker answered at 127.0.0.1:1";
    refused(&nobody, &["list"], unreached);
    // The configuration is --config, as everywhere.
    for words in [&["dlq", "list"][..], &["dlq", "list", nobody.config()]] {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
    let output = dlq(&nobody, &["show", "12"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    has(
        &text(&output.stderr),
        "write PARTITION:OFFSET, such as 0:12",
    );
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq-none", &brokers, SOURCE, &sections(10.0));
    let missing = format!("topic {} does not exist", pipeline.dead_letters);
    let redrive = ["redrive", "--yes"];
    for words in [&["list"][..], &["show", "0:1"], &redrive] {
        refused(&pipeline, words, &missing);
    }
    create_topic(&brokers, &pipeline.dead_letters, 1);
    let missing = format!("topic {} does not exist", pipeline.topic);
    refused(&pipeline, &redrive, &missing);
    create_topic(&brokers, &pipeline.topic, 1);
    has(&ok(&pipeline, &["list"]), "no dead letter of");
    refused(&pipeline, &["show", "0:3"], "there is no record at 0:3");
    let told = ok(&pipeline, &redrive);
    has(&told, "is left to send again (0 were sent before)");
}
