//! Traces of sampled messages, from the headers that they came with to the collector and the headers of outputs, on a
//! real Apache Kafka. The collector is a stand-in that keeps what it is sent.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use support::{
    Feeder, Pipeline, Record, brokers, create_topic, fixture_models, log_lines, read_committed,
    unique,
};

const SOURCE: &str = "event-time = { field = \"t\", unit = \"ms\" }";
const WAIT: Duration = Duration::from_secs(60);

/// Takes spans over HTTP.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = spans.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(body) = request(&mut stream) {
                    let sent = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
                    let scopes = sent.resource_spans.into_iter();
                    let scopes = scopes.flat_map(|resource| resource.scope_spans);
                    let spans = scopes.flat_map(|scope| scope.spans);
                    kept.lock().unwrap().extend(spans);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.get_mut().write_all(answer).unwrap();
                }
            }
        });
        Collector { address, spans }
    }

    /// Waits until as many spans of a name have come.
    fn await_spans(&self, name: &str, count: usize) -> Vec<Span> {
        let deadline = Instant::now() + WAIT;
        loop {
            let spans = self.spans.lock().unwrap().clone();
            if spans.iter().filter(|span| span.name == name).count() >= count {
                return spans;
            }
            assert!(Instant::now() < deadline, "{name}: {spans:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The body of the next request to the path of traces; `None` at the end of the connection.
fn request(stream: &mut impl std::io::BufRead) -> Option<Vec<u8>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    assert!(head.starts_with("POST /v1/traces "), "{head}");
    let lower = head.to_lowercase();
    assert!(
        lower.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("a length").trim().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    Some(body)
}

fn traces(endpoint: &str, per_second: u32) -> String {
    format!(
        "[service.traces]\nendpoint = \"{endpoint}\"\nper-second = {per_second}\n[delivery]\ninstance = \"one\"\n"
    )
}

/// Reading number `n`, one a second.
fn payload(n: usize) -> String {
    format!("{{\"t\":{},\"a\":0.5,\"b\":0.5}}", 1_000_000 + n * 1_000)
}

/// The context that a sender gives to its message number `n`.
fn context(n: usize, sampled: bool) -> String {
    format!(
        "00-{:032x}-{:016x}-0{}",
        0xabc + n,
        0xdef + n,
        u8::from(sampled)
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace and the span that an output names.
fn carried(record: &Record) -> Option<(String, String)> {
    let parts: Vec<&str> = record.headers.get("traceparent")?.split('-').collect();
    assert_eq!(parts.len(), 4, "{parts:?}");
    Some((parts[1].to_owned(), parts[2].to_owned()))
}

fn by_offset(records: &[Record]) -> BTreeMap<usize, &Record> {
    let offset = |record: &Record| record.json()["source"]["offset"].as_u64().unwrap() as usize;
    records
        .iter()
        .map(|record| (offset(record), record))
        .collect()
}

#[test]
fn a_sampled_message_is_followed_to_its_outputs() {
    let Some(brokers) = brokers() else { return };
    let collector = Collector::start();
    let toml = fixture_models(&["plain"]) + &traces(&collector.address, 10);
    let pipeline = Pipeline::new("traces", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 1);
    let running = pipeline.start(1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let contexts: BTreeMap<usize, String> = [
        (3, context(3, true)),
        (5, context(5, false)),
        (7, context(7, true)),
        (9, "00-nonsense-01".to_owned()),
    ]
    .into();
    for n in 0..20 {
        let headers = contexts
            .get(&n)
            .map(|context| ("traceparent", context.as_str()));
        let state = ("tracestate", "vendor=1");
        let headers: Vec<_> = headers.into_iter().chain([state]).collect();
        feeder.send_with(b"pump", payload(n).as_bytes(), &headers);
    }
    feeder.flush();
    let records = read_committed(&brokers, &pipeline.predictions, 20, WAIT);
    assert_eq!(records.len(), 20);
    let process = format!("process {}", pipeline.topic);
    let send = format!("send {}", pipeline.predictions);
    let spans = collector.await_spans(&send, 2);
    for (n, record) in by_offset(&records) {
        let Some((trace, sent)) = carried(record) else {
            assert!(![3, 7].contains(&n), "{n} carries no trace");
            assert_eq!(record.headers.get("tracestate"), None);
            continue;
        };
        assert!([3, 7].contains(&n), "{n} carries a trace");
        assert_eq!(trace, format!("{:032x}", 0xabc + n));
        assert_eq!(record.headers["tracestate"], "vendor=1");
        let of_trace: Vec<&Span> = spans
            .iter()
            .filter(|span| hex(&span.trace_id) == trace)
            .collect();
        let one = |name: &str| {
            let named: Vec<&&Span> = of_trace.iter().filter(|span| span.name == name).collect();
            assert_eq!(named.len(), 1, "{name}: {of_trace:#?}");
            *named[0]
        };
        let (process, send) = (one(&process), one(&send));
        assert_eq!(hex(&process.parent_span_id), format!("{:016x}", 0xdef + n));
        assert_eq!(process.kind(), SpanKind::Consumer);
        assert_eq!(send.parent_span_id, process.span_id);
        assert_eq!(send.kind(), SpanKind::Producer);
        assert_eq!(
            hex(&send.span_id),
            sent,
            "the output goes on from where it was sent"
        );
        let offset = process
            .attributes
            .iter()
            .find(|pair| pair.key == "messaging.kafka.offset");
        assert_eq!(
            offset.unwrap().value,
            Some(opentelemetry_proto::tonic::common::v1::AnyValue {
                value: Some(
                    opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(n as i64)
                ),
            })
        );
        let mut begun = process.start_time_unix_nano;
        for stage in ["poll", "decode_and_score", "encode_and_send", "commit"] {
            let stage = one(stage);
            assert_eq!(stage.parent_span_id, process.span_id);
            // The clock of each is read for itself.
            assert!(
                stage.start_time_unix_nano + 1_000_000 > begun,
                "{of_trace:#?}"
            );
            begun = stage.start_time_unix_nano;
        }
        assert!(process.end_time_unix_nano >= begun);
        assert_eq!(of_trace.len(), 6, "{of_trace:#?}");
    }
    assert!(running.terminate().success());
}

#[test]
fn an_output_that_comes_later_carries_the_trace_of_its_last_message() {
    let Some(brokers) = brokers() else { return };
    let collector = Collector::start();
    let toml = fixture_models(&["plain"]).replace(
        "features = [\"*\"]",
        "window = { tumbling = \"10s\" }\nfeatures = [\"AVG(a) AS a\", \"AVG(b) AS b\"]",
    );
    let pipeline = Pipeline::new(
        "late-traces",
        &brokers,
        SOURCE,
        &(toml + &traces(&collector.address, 10)),
    );
    create_topic(&brokers, &pipeline.topic, 1);
    let running = pipeline.start(1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let send = |n: usize| {
        let context = context(n, true);
        feeder.send_with(b"pump", payload(n).as_bytes(), &[("traceparent", &context)]);
        feeder.flush();
    };
    // The window of readings 0 to 9 ends with one that is sent when they are committed.
    (0..10).for_each(send);
    let process = format!("process {}", pipeline.topic);
    collector.await_spans(&process, 10);
    send(10);
    let records = read_committed(&brokers, &pipeline.predictions, 1, WAIT);
    assert_eq!(records.len(), 1);
    let (trace, sent) = carried(&records[0]).expect("a trace");
    assert_eq!(trace, format!("{:032x}", 0xabc + 9));
    let spans = collector.await_spans(&format!("send {}", pipeline.predictions), 1);
    let of_nine = |name: &str| {
        let named = |span: &&Span| hex(&span.trace_id) == trace && span.name == name;
        spans.iter().find(named).expect("a span").clone()
    };
    let (process, send) = (
        of_nine(&process),
        of_nine(&format!("send {}", pipeline.predictions)),
    );
    assert_eq!(send.parent_span_id, process.span_id);
    assert_eq!(hex(&send.span_id), sent);
    assert!(send.start_time_unix_nano > process.end_time_unix_nano);
    assert!(running.terminate().success());
}

#[test]
fn a_sender_that_samples_all_gets_a_few_spans_and_all_of_its_traces_go_on() {
    let Some(brokers) = brokers() else { return };
    let collector = Collector::start();
    let toml = fixture_models(&["plain"]) + &traces(&collector.address, 1);
    let pipeline = Pipeline::new("many-traces", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    for n in 0..500 {
        let context = context(n, true);
        feeder.send_with(b"pump", payload(n).as_bytes(), &[("traceparent", &context)]);
    }
    feeder.flush();
    let begun = Instant::now();
    let running = pipeline.start(1);
    let records = read_committed(&brokers, &pipeline.predictions, 500, WAIT);
    assert_eq!(records.len(), 500);
    assert!(running.terminate().success());
    let most = begun.elapsed().as_secs() as usize + 1;
    let spans = collector.await_spans(&format!("process {}", pipeline.topic), 1);
    let process = spans
        .iter()
        .filter(|span| span.name.starts_with("process "));
    let with_spans: BTreeSet<String> = process.map(|span| hex(&span.trace_id)).collect();
    assert!(
        (1..=most).contains(&with_spans.len()),
        "{with_spans:?} in {most} s"
    );
    for (n, record) in by_offset(&records) {
        let (trace, sent) = carried(record).expect("a trace");
        assert_eq!(trace, format!("{:032x}", 0xabc + n));
        let of_the_sender = sent == format!("{:016x}", 0xdef + n);
        assert_eq!(of_the_sender, !with_spans.contains(&trace), "{n}");
    }
}

#[test]
fn what_is_aborted_is_told_as_failed() {
    let Some(brokers) = brokers() else { return };
    let collector = Collector::start();
    let toml = fixture_models(&["plain"]) + &traces(&collector.address, 10);
    // The topic that outputs go to takes no record of this size, so that no transaction can be committed.
    let pipeline = Pipeline::new("failed-traces", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 1);
    support::create_topic_with(
        &brokers,
        &pipeline.predictions,
        1,
        &[("max.message.bytes", "100")],
    );
    let running = pipeline.start(1);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    let context = context(0, true);
    feeder.send_with(b"pump", payload(0).as_bytes(), &[("traceparent", &context)]);
    feeder.flush();
    let process = format!("process {}", pipeline.topic);
    let spans = collector.await_spans(&process, 1);
    let process = spans.iter().find(|span| span.name == process).unwrap();
    let status = process.status.as_ref().expect("a status");
    assert_eq!(status.code(), StatusCode::Error);
    assert!(status.message.contains(&pipeline.predictions), "{status:?}");
    assert!(running.terminate().success());
}

#[test]
fn a_collector_that_is_away_costs_no_reading() {
    let Some(brokers) = brokers() else { return };
    // Bound and closed again: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let toml = fixture_models(&["plain"]) + &traces(&format!("http://{address}"), 1_000);
    let pipeline = Pipeline::new("no-collector", &brokers, SOURCE, &toml);
    create_topic(&brokers, &pipeline.topic, 1);
    let log = pipeline.config.with_file_name(unique("log"));
    let running = pipeline.start_logged(1, &log, &[]);
    let feeder = Feeder::new(&brokers, &pipeline.topic);
    for n in 0..5_000 {
        let context = context(n, true);
        feeder.send_with(b"pump", payload(n).as_bytes(), &[("traceparent", &context)]);
        if n % 1_000 == 0 {
            feeder.flush();
        }
    }
    feeder.flush();
    let records = read_committed(&brokers, &pipeline.predictions, 5_000, WAIT);
    assert_eq!(records.len(), 5_000);
    let refused = |line: &serde_json::Value| {
        line["fields"]["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("spans are not taken"))
    };
    let deadline = Instant::now() + WAIT;
    while !log_lines(&log).iter().any(refused) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(running.terminate().success());
    assert_eq!(
        log_lines(&log).iter().filter(|line| refused(line)).count(),
        1
    );
}
