//! From an event to its visible score, at a set rate, on a real Kafka.
//!
//! ```text
//!   scripts/kafka.sh with -- cargo bench --bench latency -- [READINGS PER SECOND]...
//!
//!   generator ─▶ input topic ─▶ service, one worker ─▶ predictions ─▶ read_committed reader
//!      └ event time = now, when it is handed to the client                └ now − event time
//! ```
//!
//! Readings of 10,000 simulated cars, 8 partitions, `deploy/cars.toml`; `no wait` is at least once with the two settings
//! that `docs/operating.md` gives for results that are to be early. Generator, broker, service and reader share the
//! machine; runs that are told as `to warm up` come first, until the broker, a JVM, has compiled its code. The first 5 s
//! of a run are not counted, the next 20 s are. Event times are the generator's clock in microseconds, so what the
//! generator's and the reader's client add is part of the figure. A rate that the machine does not bear shows as a latency
//! of seconds; its row says how much was behind at the end.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forewarn_pipeline::Config;
use forewarn_pipeline::config::{Guarantee, Kafka};
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_training::cars::{Fleet, FleetConfig, write_json};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use support::{PARTITIONS, Serving, commits, rename};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CARS: u32 = 10_000;
const RATES: [u64; 3] = [5_000, 10_000, 20_000];
const WARM_UP: Duration = Duration::from_secs(5);
const COUNTED: Duration = Duration::from_secs(20);
/// The broker is warm when its compiler took less than this share of its CPU time in a whole run; no more runs than these
/// are spent on it.
const COMPILING: f64 = 0.1;
const WARM_RUNS: usize = 6;
/// How long outputs may take after the last reading.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let Ok(brokers) = std::env::var("FOREWARN_TEST_BROKERS") else {
        println!("skipped: no broker (scripts/kafka.sh with -- cargo bench --bench latency)");
        return;
    };
    // Cargo itself says `--bench`.
    let mut rates: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    if rates.is_empty() {
        rates = RATES.to_vec();
    }
    println!(
        "{:<14} {:>11} {:>11} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "", "asked/s", "sent/s", "behind", "p50 ms", "p99 ms", "p99.9 ms", "most ms"
    );
    warm_up(&brokers);
    let kinds = [
        ("exactly once", Guarantee::ExactlyOnce, true),
        ("at least once", Guarantee::AtLeastOnce, true),
        ("no wait", Guarantee::AtLeastOnce, false),
    ];
    for rate in rates {
        for (title, guarantee, waits) in kinds {
            run(&brokers, rate, (guarantee, waits), title);
        }
    }
}

/// The broker compiles its own code for a while, on the same cores.
fn warm_up(brokers: &str) {
    for number in 1..=WARM_RUNS {
        let before = support::broker_seconds();
        let title = format!("to warm up {number}");
        run(brokers, 20_000, (Guarantee::ExactlyOnce, true), &title);
        let Some(((all, compiling), before)) = support::broker_seconds().zip(before) else {
            return;
        };
        let share = (compiling - before.1) / (all - before.0);
        println!(
            "  the broker's compiler took {:.0} % of its CPU time",
            share * 100.0
        );
        if share < COMPILING {
            return;
        }
    }
}

/// `waits`: as by default; otherwise as soon as can be.
fn run(brokers: &str, rate: u64, (guarantee, waits): (Guarantee, bool), title: &str) {
    // A rate may be asked for several times.
    let name = format!("latency-{rate}-{title}-{}", now()).replace(' ', "-");
    let config = config(brokers, &name, guarantee, waits);
    let (kafka, input, output) = (
        config.kafka.clone(),
        config.source.topic.clone(),
        config.sink.predictions.clone(),
    );
    topics::require_one(&kafka, &input, Some(PARTITIONS)).expect("a topic");
    let serving = Serving::start(config, PARTITIONS);
    let count_from = now() + WARM_UP.as_micros() as i64;
    let reader = Reader::start(&kafka, &output, count_from);
    let begun = Instant::now();
    let sent = generate(&kafka, &input, rate);
    let took = begun.elapsed().as_secs_f64();
    let behind = sent - reader.seen.load(Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while reader.seen.load(Ordering::Relaxed) < sent && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let seen = reader.seen.load(Ordering::Relaxed);
    let mut latencies = reader.finish();
    let ended = serving.end();
    assert_eq!(seen, sent, "each reading has one output");
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() - 1) as f64 * share) as usize;
        latencies[place] as f64 / 1e3
    };
    println!(
        "{title:<14} {rate:>11} {:>11.0} {behind:>10} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
        sent as f64 / took,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!("  {}", commits(&ended));
}

fn config(brokers: &str, name: &str, guarantee: Guarantee, waits: bool) -> Config {
    let mut config = Config::load(Path::new("deploy/cars.toml")).expect("the shipped file");
    rename(&mut config, name);
    brokers.clone_into(&mut config.kafka.brokers);
    config.source.topic = format!("{name}-in");
    config.delivery.guarantee = guarantee;
    if !waits {
        config.source.max_batch_wait = Duration::from_millis(1);
        let options = &mut config.kafka.options;
        options.insert("linger.ms".to_owned(), "1".to_owned());
    }
    config
}

/// Sends readings whose event time is the moment at which they are sent; gives how many.
fn generate(kafka: &Kafka, topic: &str, rate: u64) -> u64 {
    let fleet = Fleet::new(FleetConfig {
        assets: CARS,
        ..FleetConfig::default()
    });
    // Made before the clock runs: key, and the message behind its time.
    let readings: Vec<(String, Vec<u8>)> = fleet
        .take(CARS as usize * 2)
        .map(|(reading, _)| {
            let mut payload = Vec::new();
            write_json(&reading, &mut payload);
            let behind = payload.iter().position(|byte| *byte == b',');
            let behind = behind.expect("a field behind the time");
            (reading.asset(), payload.split_off(behind))
        })
        .collect();
    let producer: BaseProducer = client::config(kafka, Role::Producer)
        .create()
        .expect("a producer");
    let begun = Instant::now();
    let mut sent = 0;
    let mut message = Vec::new();
    while begun.elapsed() < WARM_UP + COUNTED {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        let micros = now();
        while sent < due {
            let (key, rest) = &readings[sent as usize % readings.len()];
            message.clear();
            message.extend_from_slice(
                format!(
                    "{{\"time\":{}.{:06}",
                    micros / 1_000_000,
                    micros % 1_000_000
                )
                .as_bytes(),
            );
            message.extend_from_slice(rest);
            let mut record = BaseRecord::to(topic).key(key).payload(&message);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("acknowledged");
    sent
}

/// Reads what is committed, and notes how old it is.
struct Reader {
    seen: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// Microseconds.
    reading: std::thread::JoinHandle<Vec<u64>>,
}

impl Reader {
    /// Readings with an event time before `count_from` are seen, and not noted.
    fn start(kafka: &Kafka, topic: &str, count_from: i64) -> Self {
        let consumer: BaseConsumer = client::config(kafka, Role::Observer { group: "latency" })
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS as i32 {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let (seen, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (counter, stopped) = (seen.clone(), stop.clone());
        let reading = std::thread::spawn(move || {
            let mut latencies = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Some(message) = consumer.poll(Duration::from_millis(50)) else {
                    continue;
                };
                let message = message.expect("a record");
                let measured = event_time(message.payload().unwrap_or_default());
                if measured >= count_from {
                    latencies.push((now() - measured).max(0) as u64);
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
            latencies
        });
        Reader {
            seen,
            stop,
            reading,
        }
    }

    fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.join().expect("the reader does not panic")
    }
}

/// Of a prediction: `{"asset":"car7","event_time":"..."`.
fn event_time(payload: &[u8]) -> i64 {
    let text = std::str::from_utf8(payload).expect("UTF-8");
    let time = text.split('"').nth(7).expect("a second field");
    EventTimestamp::parse(time).expect("a time").0
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_micros() as i64
}
