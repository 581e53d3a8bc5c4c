//! The limit of the comparison: reads a topic, writes each message to the same partition of another one, exactly once,
//! and does nothing else.
//!
//! ```text
//!   cargo build --release --example relay
//!   target/release/examples/relay --brokers HOST:PORT --input TOPIC --output TOPIC --group NAME [--bytes N]
//! ```
//!
//! The clients have the settings of a worker (`pipeline/src/kafka/client.rs`), the loop is the shortest that commits
//! as a worker does behind a backlog (`due.rs`): every 25 ms, or nine times as long as the last commit took. Unlike a
//! worker it does nothing while it waits for a commit. Whatever a service does besides comes on top.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Parser;
use forewarn_pipeline::config::Kafka;
use forewarn_pipeline::kafka::client::{Role, config};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As `delivery.commit-interval` is by default.
const COMMIT_INTERVAL: Duration = Duration::from_millis(25);
/// Of the time until the next commit, in times of the last one.
const WORK: u32 = 9;
const LONGEST: Duration = Duration::from_millis(500);
/// What a call to the brokers may take.
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Args {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    input: String,
    #[arg(long)]
    output: String,
    #[arg(long)]
    group: String,
    /// Bytes of each message that are written; all of them by default.
    #[arg(long, default_value_t = usize::MAX)]
    bytes: usize,
}

fn main() {
    let args = Args::parse();
    let kafka = Kafka {
        brokers: args.brokers.clone(),
        ..Kafka::default()
    };
    let (group, id) = (args.group.as_str(), "relay");
    let consumer: BaseConsumer = config(
        &kafka,
        Role::Consumer {
            group,
            id,
            is_static: false,
        },
    )
    .set("auto.offset.reset", "earliest")
    .create()
    .expect("a consumer");
    let producer: BaseProducer = config(&kafka, Role::Transactional { id: group })
        .create()
        .expect("a producer");
    producer.init_transactions(ANSWER).expect("an identity");
    consumer.subscribe(&[&args.input]).expect("a subscription");
    let mut interval = COMMIT_INTERVAL;
    loop {
        let took = relay(&args, &consumer, &producer, interval);
        interval = COMMIT_INTERVAL.max((took * WORK).min(LONGEST));
    }
}

/// One transaction; gives how long its commit took.
fn relay(
    args: &Args,
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    interval: Duration,
) -> Duration {
    producer.begin_transaction().expect("a transaction");
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let begun = Instant::now();
    let mut read = 0_u32;
    // A look at the clock costs a part of a message.
    while !read.is_multiple_of(64) || begun.elapsed() < interval {
        let message = match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(_))) => continue,
            Some(Err(error)) => panic!("{error}"),
            // Up to date: what is read is not to wait for a longer interval.
            None if begun.elapsed() >= COMMIT_INTERVAL => break,
            None => {
                std::thread::sleep(Duration::from_millis(1));
                read = 0;
                continue;
            }
        };
        read += 1;
        let payload = message.payload().unwrap_or_default();
        let mut record = BaseRecord::to(&args.output)
            .partition(message.partition())
            .key(message.key().unwrap_or_default())
            .payload(&payload[..args.bytes.min(payload.len())]);
        while let Err((error, back)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "a record can't be produced");
            record = back;
            producer.poll(Duration::from_millis(1));
        }
        next.insert(message.partition(), message.offset() + 1);
    }
    let committing = Instant::now();
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in next {
        offsets
            .add_partition_offset(&args.input, partition, Offset::Offset(offset))
            .expect("an offset");
    }
    if offsets.count() > 0 {
        let group = consumer.group_metadata().expect("a member of the group");
        producer
            .send_offsets_to_transaction(&offsets, &group, ANSWER)
            .expect("offsets");
    }
    producer.commit_transaction(ANSWER).expect("a commit");
    committing.elapsed()
}
