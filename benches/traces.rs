//! What traces cost: the same readings drained from a real Kafka with `[service.traces]` off, on with nothing to
//! follow, and on with one message in a hundred sampled.
//!
//! ```text
//!   scripts/kafka.sh with -- cargo bench --bench traces
//! ```
//!
//! Sizes: 300,000 readings of 3,000 simulated cars, 8 partitions, one worker, exactly once; the settings are run in
//! turn, five rounds, and the middle one of each is told beside that without traces. Broker and collector are on the
//! same machine and take their share of it; CPU is that of this process, in which the collector is a thread that reads
//! and forgets.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use forewarn_pipeline::Config;
use forewarn_pipeline::config::Traces;
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::topics;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use support::{PARTITIONS, Serving, cpu_seconds, feed, rename};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 5;
/// Every how many messages one is sampled.
const SAMPLED: usize = 100;

/// What the messages of a topic carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Headers {
    None,
    Unsampled,
    Sampled,
}

/// Name, the topic's headers, and how many messages a second a worker makes spans of; `None`: traces are off.
const SETTINGS: [(&str, Headers, Option<u32>); 6] = [
    ("off", Headers::None, None),
    ("on, no message has a context", Headers::None, Some(10)),
    ("off, 1 % of the messages sampled", Headers::Sampled, None),
    ("on, contexts, none sampled", Headers::Unsampled, Some(10)),
    ("on, 1 % sampled, spans of 10/s", Headers::Sampled, Some(10)),
    (
        "on, 1 % sampled, spans of all",
        Headers::Sampled,
        Some(1_000_000),
    ),
];

fn main() {
    let Ok(brokers) = std::env::var("FOREWARN_TEST_BROKERS") else {
        println!("skipped: no broker (scripts/kafka.sh with -- cargo bench --bench traces)");
        return;
    };
    let mut shipped =
        Config::load(Path::new("deploy/cars.toml")).expect("the shipped configuration");
    shipped.kafka.brokers = brokers;
    let id = std::process::id();
    let topic = |headers: Headers| format!("bench-traces-{id}-{headers:?}");
    let lines = cars();
    for headers in [Headers::None, Headers::Unsampled, Headers::Sampled] {
        fill(&shipped, &topic(headers), headers, &lines);
    }
    let endpoint = collector();
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new(); SETTINGS.len()];
    for round in 0..ROUNDS {
        for (place, (_, headers, per_second)) in SETTINGS.into_iter().enumerate() {
            let mut config = shipped.clone();
            rename(&mut config, &format!("bench-traces-{id}-{round}-{place}"));
            config.source.topic = topic(headers);
            config.service.traces = per_second.map(|per_second| Traces {
                endpoint: endpoint.clone(),
                per_second,
            });
            runs[place].push(drain(config, lines.len() as u64));
        }
    }
    println!(
        "{:<36} {:>12} {:>8} {:>16} {:>8}",
        "traces", "readings/s", "ratio", "CPU s/million", "ratio"
    );
    let middle = |of: fn(&(f64, f64)) -> f64, runs: &[(f64, f64)]| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (rate, cpu) = (middle(|run| run.0, &runs[0]), middle(|run| run.1, &runs[0]));
    for ((name, ..), runs) in SETTINGS.iter().zip(&runs) {
        let (r, c) = (middle(|run| run.0, runs), middle(|run| run.1, runs));
        println!(
            "{name:<36} {r:>12.0} {:>8.2} {c:>16.2} {:>8.2}",
            r / rate,
            c / cpu
        );
    }
}

/// Readings as JSON lines.
fn cars() -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("cars.jsonl");
    let path = file.to_str().expect("UTF-8 path");
    feed(&[
        "cars", "--assets", "3000", "--steps", "100", "--output", path,
    ]);
    let text = std::fs::read_to_string(&file).expect("lines");
    text.lines().map(str::to_owned).collect()
}

fn fill(config: &Config, topic: &str, headers: Headers, lines: &[String]) {
    topics::require_one(&config.kafka, topic, Some(PARTITIONS)).expect("a topic");
    let producer: BaseProducer = client::config(&config.kafka, Role::Producer)
        .create()
        .expect("a producer");
    for (n, line) in lines.iter().enumerate() {
        let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let car = json["car"].as_str().expect("a car");
        let mut record = BaseRecord::to(topic).key(car).payload(line);
        if headers != Headers::None {
            let is_sampled = headers == Headers::Sampled && n % SAMPLED == 0;
            let context = format!("00-{:032x}-{:016x}-0{}", n + 1, n + 1, u8::from(is_sampled));
            record = record.headers(OwnedHeaders::new().insert(Header {
                key: "traceparent",
                value: Some(&context),
            }));
        }
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(10));
        }
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("acknowledged");
}

/// Takes spans over HTTP, and forgets them; gives its address.
fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(length) = length_of_request(&mut stream) {
                    let mut body = vec![0; length];
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.read_exact(&mut body).is_err()
                        || stream.get_mut().write_all(answer).is_err()
                    {
                        break;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// Reads the head of a request; `None` at the end of the connection.
fn length_of_request(stream: &mut BufReader<std::net::TcpStream>) -> Option<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.to_lowercase();
        if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.trim().parse().ok()?;
        }
        if line == "\r\n" {
            return Some(length);
        }
    }
}

/// Readings per second, and seconds of processor time per million of them.
fn drain(config: Config, readings: u64) -> (f64, f64) {
    let serving = Serving::start(config, PARTITIONS);
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    serving.wait_for(readings);
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let ended = serving.end();
    assert_eq!(ended.readings, readings);
    (readings as f64 / took, cpu * 1e6 / readings as f64)
}
