//! Dead letters with the real binary on a real Apache Kafka: listed by code, shown byte for byte, and sent back
//! once each, also when that is killed half-way, stopped by another one, or waits for an open transaction.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::process::{Output, Stdio};
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
#[derive(Default)]
struct Message<'a> {
    partition: i32,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
    timestamp: Option<i64>,
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

fn dlq(pipeline: &Pipeline, command: &str, more: &[&str]) -> Output {
    let mut forewarn = forewarn(&["dlq", command, pipeline.config()]);
    forewarn.args(more).stdin(Stdio::null()).output().unwrap()
}

fn ok(pipeline: &Pipeline, command: &str, more: &[&str]) -> String {
    let output = dlq(pipeline, command, more);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "dlq {command} {more:?}: {out}{err}"
    );
    out
}

fn json(pipeline: &Pipeline, command: &str, more: &[&str]) -> Value {
    let told = ok(pipeline, command, &[more, &["--output", "json"]].concat());
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn refused(pipeline: &Pipeline, command: &str, more: &[&str], words: &str) {
    let output = dlq(pipeline, command, more);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(words), "no \"{words}\" in {told}");
}

/// Letters and redriven ones, by code.
fn by_code(list: &Value) -> BTreeMap<String, (u64, u64)> {
    let codes = list["codes"].as_array().unwrap().iter();
    let number = |code: &Value, key: &str| code[key].as_u64().unwrap();
    let code = |code: &Value| {
        let counts = (number(code, "letters"), number(code, "redriven"));
        (code["code"].as_str().unwrap().to_owned(), counts)
    };
    codes.map(code).collect()
}

fn expected(pairs: &[(&str, u64, u64)]) -> BTreeMap<String, (u64, u64)> {
    let pairs = pairs.iter();
    pairs
        .map(|(code, letters, redriven)| ((*code).to_owned(), (*letters, *redriven)))
        .collect()
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
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq", &brokers, SOURCE, &sections(10.0));
    create_topic(&brokers, &pipeline.topic, 2);
    let feeder = producer(&brokers, None);
    let begun = 1_700_000_000_000;
    let reading = |n: i64, a: f64| format!("{{\"t\":{},\"a\":{a:?},\"b\":{n}}}", begun + n * 1_000);
    for n in 0..5 {
        let payload = reading(n, 1.0);
        let message = Message {
            key: Some(b"good"),
            payload: Some(payload.as_bytes()),
            ..Message::default()
        };
        send(&feeder, &pipeline.topic, &message);
    }
    // The cause of four of them is the configuration's; three and one are poison for ever.
    for n in 0..4 {
        let payload = reading(n, 50.0 + n as f64);
        let message = Message {
            partition: 1,
            key: Some(b"hot"),
            payload: Some(payload.as_bytes()),
            headers: &[("trace", b"\xff\x00"), ("forewarn.code", b"its own")],
            timestamp: Some(begun + n * 1_000 + 7),
        };
        send(&feeder, &pipeline.topic, &message);
    }
    for _ in 0..3 {
        let message = Message {
            key: Some(b"bad"),
            payload: Some(b"{\"t\":1,\"a\x1b[2J"),
            ..Message::default()
        };
        send(&feeder, &pipeline.topic, &message);
    }
    let long = format!("{{\"t\":{begun},\"a\":1,\"b\":1,\"x\":\"");
    let long = format!("{long}{}\"}}", "x".repeat(5_000 - long.len() - 2));
    let message = Message {
        key: Some(b"\xff\xfe"),
        payload: Some(long.as_bytes()),
        ..Message::default()
    };
    send(&feeder, &pipeline.topic, &message);
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, 8, 5);
    assert_eq!(letters.len(), 8);

    // Listed, with exact numbers and where the first one of each code is.
    let list = json(&pipeline, "list", &[]);
    let counts = [
        ("invalid-key", 1, 0),
        ("malformed-json", 3, 0),
        ("out-of-range", 4, 0),
    ];
    assert_eq!(by_code(&list), expected(&counts));
    assert_eq!(
        (list["letters"].as_u64(), list["redriven"].as_u64()),
        (Some(8), Some(0))
    );
    assert_eq!(list["others"].as_u64(), Some(0));
    let hot = &list["codes"][2];
    let example = &hot["example"];
    assert_eq!(example["topic"], pipeline.topic);
    assert_eq!(
        (example["partition"].as_i64(), example["offset"].as_i64()),
        (Some(1), Some(0))
    );
    let reason = example["reason"].as_str().unwrap();
    assert!(reason.contains("signal a is 50, outside"), "{reason}");
    assert!(hot["first"].as_str().unwrap() <= hot["last"].as_str().unwrap());
    assert!(
        hot["first"].as_str().unwrap() > "2026",
        "when it was written, not when it was measured"
    );
    let told = ok(&pipeline, "list", &[]);
    assert!(
        told.contains("\nout-of-range ") && told.contains("\ntotal "),
        "{told}"
    );
    assert!(
        told.contains(&format!("from {} 1:0: signal a is 50", pipeline.topic)),
        "{told}"
    );
    assert!(
        !told.contains('\x1b'),
        "what was sent must not steer a terminal"
    );
    let some = json(
        &pipeline,
        "list",
        &["--code", "invalid-key", "--code", "out-of-range"],
    );
    assert_eq!(some["letters"].as_u64(), Some(5));
    let last = hot["last"].as_str().unwrap();
    for (bound, letters) in [
        (["--from", "2100-01-01T00:00:00Z"], 0),
        (["--to", "2100-01-01T00:00:00Z"], 8),
    ] {
        assert_eq!(
            json(&pipeline, "list", &bound)["letters"].as_u64(),
            Some(letters)
        );
    }
    let from_last = json(
        &pipeline,
        "list",
        &["--from", last, "--code", "out-of-range"],
    );
    assert!(
        from_last["letters"].as_u64() >= Some(1),
        "the first instant is within"
    );
    let each = ok(&pipeline, "list", &["--each", "--output", "json"]);
    let each: Vec<Value> = each
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(each.len(), 8);

    // Shown byte for byte.
    let place = |key: &[u8]| {
        let letter = letters
            .iter()
            .find(|letter| letter.key.as_deref() == Some(key))
            .unwrap();
        format!("{}:{}", letter.partition, letter.offset)
    };
    let bad = ok(&pipeline, "show", &[&place(b"bad")]);
    for words in [
        "code      malformed-json (stage decode)",
        &format!("source    {} 0:5, of 20", pipeline.topic),
        "redriven  no",
        "key       3 bytes, text\nbad\n",
        "payload   13 bytes, hexadecimal\n00000000  7b 22 74 22 3a 31 2c 22 61 1b 5b 32 4a           |{\"t\":1,\"a.[2J|\n",
    ] {
        assert!(bad.contains(words), "no \"{words}\" in {bad}");
    }
    let invalid = ok(&pipeline, "show", &[&place(b"\xff\xfe")]);
    assert!(
        invalid.contains("key       2 bytes, hexadecimal\n00000000  ff fe "),
        "{invalid}"
    );
    let shown = |told: &str| told.lines().last().unwrap_or_default().to_owned();
    assert_eq!(shown(&invalid), "... and more: --all shows it");
    let line = invalid.lines().rev().nth(1).unwrap();
    assert_eq!(line.len(), 4_096, "the first 4 KiB");
    let all = ok(&pipeline, "show", &[&place(b"\xff\xfe"), "--all"]);
    assert_eq!(shown(&all).len(), 5_000);
    let hot = json(&pipeline, "show", &[&place(b"hot")]);
    assert_eq!(hot["headers"][0]["name"], "trace");
    assert_eq!(hot["headers"][0]["value"]["hex"], "ff00");
    assert_eq!(hot["headers"][1]["value"]["text"], "its own");
    assert_eq!(hot["payload"]["text"], reading(0, 50.0));
    refused(
        &pipeline,
        "show",
        &["0:99999"],
        "there is no record at 0:99999",
    );

    // Redriven when the configuration takes them.
    with_max(&pipeline, 10.0, 100.0);
    let hot = ["--code", "out-of-range"];
    refused(&pipeline, "redrive", &hot, "nothing is sent: say --yes");
    let dry = json(&pipeline, "redrive", &[&hot[..], &["--dry-run"]].concat());
    assert_eq!(dry["would_send"]["out-of-range"].as_u64(), Some(4));
    assert_eq!(
        returned(&brokers, &pipeline, 13).len(),
        0,
        "nothing was sent so far"
    );
    let yes = [&hot[..], &["--yes"]].concat();
    let done = json(&pipeline, "redrive", &yes);
    assert_eq!(done["sent"]["out-of-range"].as_u64(), Some(4));
    assert_eq!(done["skipped"].as_array().unwrap().len(), 0);
    let (after, predictions) = serve(&brokers, &pipeline, 9, 9);
    let scored: HashSet<String> = predictions
        .iter()
        .map(|p| p.headers["ce_id"].clone())
        .collect();
    assert_eq!(
        (predictions.len(), scored.len()),
        (9, 9),
        "each reading is scored once"
    );
    assert_eq!(
        after[..8]
            .iter()
            .filter(|letter| letters.contains(letter))
            .count()
            + after[8..]
                .iter()
                .filter(|letter| letters.contains(letter))
                .count(),
        8,
        "letters stay as they are"
    );

    // As they were: partition, key, bytes, headers and timestamp; and where they come from.
    let sent = returned(&brokers, &pipeline, 17);
    assert_eq!(sent.len(), 4);
    for (n, record) in sent.iter().enumerate() {
        assert_eq!(
            (record.partition, record.key.as_deref()),
            (1, Some(&b"hot"[..]))
        );
        let payload = reading(n as i64, 50.0 + n as f64);
        assert_eq!(record.payload.as_deref(), Some(payload.as_bytes()));
        assert_eq!(record.timestamp, Some(begun + n as i64 * 1_000 + 7));
        let letter = letters
            .iter()
            .find(|letter| letter.payload == record.payload)
            .unwrap();
        let place = format!(
            "{}:{}:{}",
            pipeline.dead_letters, letter.partition, letter.offset
        );
        let names: Vec<&str> = record.headers.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["forewarn.code", REDRIVE, "trace"],
            "none of ours but one"
        );
        assert_eq!(
            (
                &record.headers[REDRIVE],
                record.headers["forewarn.code"].as_str()
            ),
            (&place, "its own")
        );
    }

    // A second time sends nothing, and the list tells why.
    let again = json(&pipeline, "redrive", &yes);
    assert_eq!(
        (
            again["sent"].to_string().as_str(),
            again["redriven_before"].as_u64()
        ),
        ("{}", Some(4))
    );
    assert_eq!(returned(&brokers, &pipeline, 17).len(), 4);
    let counts = [
        ("invalid-key", 1, 0),
        ("malformed-json", 3, 0),
        ("out-of-range", 4, 4),
    ];
    assert_eq!(by_code(&json(&pipeline, "list", &[])), expected(&counts));
    let letter = place(b"hot");
    assert!(ok(&pipeline, "show", &[&letter]).contains("redriven  yes"));
    let receipt = after
        .iter()
        .find(|record| !letters.contains(record))
        .unwrap();
    let receipt = format!("{}:{}", receipt.partition, receipt.offset);
    refused(
        &pipeline,
        "show",
        &[&receipt],
        "is no letter, but the receipt that",
    );

    // What is poison for ever comes back as another letter, which is redriven by itself.
    let done = json(&pipeline, "redrive", &["--code", "malformed-json", "--yes"]);
    assert_eq!(done["sent"]["malformed-json"].as_u64(), Some(3));
    serve(&brokers, &pipeline, 8 + 3 + 2, 9);
    assert_eq!(
        by_code(&json(&pipeline, "list", &[]))["malformed-json"],
        (6, 3)
    );
    let done = json(&pipeline, "redrive", &["--code", "malformed-json", "--yes"]);
    assert_eq!(done["sent"]["malformed-json"].as_u64(), Some(3));
    let places: HashSet<String> = returned(&brokers, &pipeline, 23)
        .iter()
        .map(|record| record.headers[REDRIVE].clone())
        .collect();
    assert_eq!(places.len(), 10, "one header each, of the latest letter");
}

#[test]
fn killed_half_way_or_stopped_by_another_one_it_sends_each_message_once() {
    const LETTERS: usize = 30_000;
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq-killed", &brokers, SOURCE, &sections(10.0));
    create_topic(&brokers, &pipeline.topic, 2);
    let feeder = producer(&brokers, None);
    for n in 0..LETTERS {
        let payload = format!(
            "{{\"t\":{},\"a\":50,\"b\":{n}}}",
            1_700_000_000_000_u64 + n as u64
        );
        let key = format!("hot-{}", n % 7);
        let message = Message {
            partition: (n % 2) as i32,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
            ..Message::default()
        };
        send(&feeder, &pipeline.topic, &message);
    }
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, LETTERS, 0);
    assert_eq!(letters.len(), LETTERS);
    with_max(&pipeline, 10.0, 100.0);

    let redriven = || {
        let list = json(&pipeline, "list", &[]);
        list["redriven"].as_u64().unwrap()
    };
    // Where the input ends tells at once that something was sent.
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let end = || {
        let end = |partition| {
            observer
                .fetch_watermarks(&pipeline.topic, partition, WAIT)
                .unwrap()
                .1
        };
        end(0) + end(1)
    };
    let begin = || {
        let before = end();
        let mut command = forewarn(&["dlq", "redrive", pipeline.config(), "--yes"]);
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
        running
    };
    // One life ends by SIGKILL, the next one by another redrive, which goes to the end.
    let mut killed = begin();
    assert!(killed.is_running(), "the fault came too late");
    killed.kill();
    let first = redriven();
    assert!(first > 0 && first < LETTERS as u64, "{first}");
    let mut stopped = begin();
    assert!(stopped.is_running(), "the fault came too late");
    let rest = json(&pipeline, "redrive", &["--yes"])["sent"]["out-of-range"]
        .as_u64()
        .unwrap();
    assert!(
        rest > 0 && rest < LETTERS as u64 - first,
        "{rest} after {first}"
    );
    let deadline = Instant::now() + WAIT;
    while stopped.is_running() {
        assert!(
            Instant::now() < deadline,
            "the one that was stopped goes on"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stopped);
    assert_eq!(redriven(), LETTERS as u64);

    let sent = returned(&brokers, &pipeline, 2 * LETTERS);
    let places: HashSet<&String> = sent.iter().map(|record| &record.headers[REDRIVE]).collect();
    assert_eq!(
        (sent.len(), places.len()),
        (LETTERS, LETTERS),
        "each message once"
    );
    // As the service sees it: every reading has one score.
    let service = pipeline.start(2);
    let predictions = read_committed(&brokers, &pipeline.predictions, LETTERS, WAIT);
    assert!(service.terminate().success());
    let of: HashSet<String> = predictions
        .iter()
        .map(|p| p.headers["ce_time"].clone())
        .collect();
    assert_eq!((predictions.len(), of.len()), (LETTERS, LETTERS));
    println!("{first} messages before SIGKILL, {rest} by the last of three runs");
}

/// A letter as the pipeline writes it, with everything that can keep its message from being sent.
#[test]
fn letters_that_cannot_be_sent_are_told_and_left() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq-odd", &brokers, SOURCE, &sections(10.0));
    for (topic, partitions) in [(&pipeline.topic, 1), (&pipeline.dead_letters, 1)] {
        create_topic(&brokers, topic, partitions);
    }
    let feeder = producer(&brokers, None);
    let original = Message {
        key: Some(b"pump"),
        payload: Some(b"{\"t\":1}"),
        headers: &[("trace", b"7")],
        timestamp: Some(1_700_000_000_042),
        ..Message::default()
    };
    send(&feeder, &pipeline.topic, &original);
    feeder.flush(WAIT).unwrap();
    let large = vec![b' '; 990_000];
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
        let headers = [&ours[..], more.headers].concat();
        let message = Message {
            headers: &headers,
            key: more.key,
            payload: more.payload,
            ..Message::default()
        };
        send(&feeder, &pipeline.dead_letters, &message);
    };
    let (name, topic) = (pipeline.name.as_str(), pipeline.topic.as_str());
    let (none, bytes) = (
        Message::default(),
        Message {
            key: Some(b"k"),
            payload: Some(b"v"),
            ..Message::default()
        },
    );
    letter(name, topic, "0", "0", &none); // 0: a reference to a record that is there
    letter(name, topic, "0", "77", &none); // 1: ... that is not
    letter(name, "elsewhere", "0", "0", &bytes); // 2
    letter(name, topic, "9", "0", &bytes); // 3
    letter("another", topic, "0", "0", &bytes); // 4
    letter(name, topic, "0", "78", &bytes); // 5: of an older version, its record is gone
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

    let list = json(&pipeline, "list", &[]);
    assert_eq!(
        (list["letters"].as_u64(), list["others"].as_u64()),
        (Some(6), Some(2))
    );
    let reference = ok(&pipeline, "show", &["0:0"]);
    assert!(
        reference.contains("bytes     from the source topic") && reference.contains("pump\n"),
        "{reference}"
    );
    assert!(ok(&pipeline, "show", &["0:1"]).contains("is not in the source topic any more"));
    refused(&pipeline, "show", &["0:7"], "was not written by forewarn");

    let done = json(&pipeline, "redrive", &["--yes"]);
    assert_eq!(done["sent"]["asset-state-full"].as_u64(), Some(2), "{done}");
    let skipped = done["skipped"].as_array().unwrap().iter();
    let skipped: BTreeMap<&str, &str> = skipped
        .map(|skip| {
            (
                skip["letters"][0].as_str().unwrap(),
                skip["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("0:1", "the letter is a reference, and its record is not in"),
        ("0:2", "it came from topic elsewhere"),
        ("0:3", "it came from partition 9"),
        ("0:6", "it is larger than the client sends"),
    ];
    assert_eq!(skipped.len(), expected.len(), "{skipped:?}");
    for (letter, reason) in expected {
        assert!(
            skipped[letter].starts_with(reason),
            "{letter}: {}",
            skipped[letter]
        );
    }
    let sent = returned(&brokers, &pipeline, 3);
    let payloads: Vec<&[u8]> = sent
        .iter()
        .map(|record| record.payload.as_deref().unwrap())
        .collect();
    assert_eq!(payloads, [&b"{\"t\":1}"[..], b"v"]);
    assert_eq!(sent[0].timestamp, Some(1_700_000_000_042));
    assert_eq!(
        (sent[0].key.as_deref(), sent[0].headers["trace"].as_str()),
        (Some(&b"pump"[..]), "7")
    );
    // What could not be sent stays open, and is told again.
    let again = json(&pipeline, "redrive", &["--yes"]);
    assert_eq!(again["sent"].to_string(), "{}");
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
    let payload = |n: i64| format!("{{\"t\":{},\"a\":{n}}}", 1_700_000_000_000 + n * 1_000);
    for n in 0..8 {
        let payload = payload(n);
        let message = Message {
            key: Some(b"pump"),
            payload: Some(payload.as_bytes()),
            ..Message::default()
        };
        send(&feeder, &pipeline.topic, &message);
    }
    feeder.flush(WAIT).unwrap();
    let (letters, _) = serve(&brokers, &pipeline, 3, 0);
    assert!(
        letters.iter().all(|letter| letter.payload.is_none()),
        "references"
    );
    let mut offsets: Vec<i64> = letters
        .iter()
        .map(|letter| letter.headers["__connect.errors.offset"].parse().unwrap())
        .collect();
    // In the order in which they came, whatever partitions their letters are in.
    offsets.sort_unstable();
    let done = json(
        &pipeline,
        "redrive",
        &["--code", "asset-state-full", "--yes"],
    );
    assert_eq!(
        done["sent"]["asset-state-full"].as_u64(),
        Some(letters.len() as u64)
    );
    let sent = returned(&brokers, &pipeline, 8 + letters.len());
    let sent: Vec<String> = sent
        .iter()
        .map(|record| text(record.payload.as_deref().unwrap()))
        .collect();
    let expected: Vec<String> = offsets.into_iter().map(payload).collect();
    assert_eq!(sent, expected);
}

/// A receipt behind the beginning of an open transaction can't be read: it has to be waited for.
#[test]
fn an_open_transaction_in_the_topic_is_waited_for() {
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq-open", &brokers, SOURCE, &sections(10.0));
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = producer(&brokers, None);
    let message = Message {
        key: Some(b"hot"),
        payload: Some(b"{\"t\":1700000000000,\"a\":50,\"b\":1}"),
        ..Message::default()
    };
    send(&feeder, &pipeline.topic, &message);
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
    let mut redrive = Running::start(forewarn(&["dlq", "redrive", pipeline.config(), "--yes"]));
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        assert!(redrive.is_running(), "it did not wait");
        std::thread::sleep(Duration::from_millis(50));
    }
    other.commit_transaction(WAIT).unwrap();
    let deadline = Instant::now() + WAIT;
    while redrive.is_running() {
        assert!(Instant::now() < deadline, "it waits for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        returned(&brokers, &pipeline, 1).len(),
        0,
        "the receipt was seen"
    );
}

#[test]
fn without_a_broker_or_a_topic_it_says_what_to_do() {
    let nobody = Pipeline::new("dlq-nobody", "127.0.0.1:1", SOURCE, &sections(10.0));
    refused(
        &nobody,
        "list",
        &[],
        "no Kafka broker answered at 127.0.0.1:1",
    );
    let output = run(&["dlq", "list"]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["dlq", "show", nobody.config(), "12"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("write PARTITION:OFFSET, such as 0:12"));
    let Some(brokers) = brokers() else { return };
    let pipeline = Pipeline::new("dlq-none", &brokers, SOURCE, &sections(10.0));
    let missing = format!("topic {} does not exist", pipeline.dead_letters);
    for (command, more) in [
        ("list", &[][..]),
        ("show", &["0:1"]),
        ("redrive", &["--yes"]),
    ] {
        refused(&pipeline, command, more, &missing);
    }
    create_topic(&brokers, &pipeline.dead_letters, 1);
    let missing = format!("topic {} does not exist", pipeline.topic);
    refused(&pipeline, "redrive", &["--yes"], &missing);
    create_topic(&brokers, &pipeline.topic, 1);
    let told = ok(&pipeline, "list", &[]);
    assert!(told.contains("no dead letter of"), "{told}");
    assert!(
        ok(&pipeline, "redrive", &["--yes"]).contains("is left to send again (0 were sent before)")
    );
    // As other commands take the configuration.
    let told = run(&["dlq", "list", "--config", pipeline.config()]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    let told = run(&["dlq", "show", "--config", pipeline.config(), "0:3"]);
    assert!(
        text(&told.stderr).contains("there is no record at 0:3"),
        "{}",
        text(&told.stderr)
    );
}
