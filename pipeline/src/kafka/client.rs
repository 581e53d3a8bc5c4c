//! The one function that builds every Kafka client's configuration.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext};

use crate::config::{Config, Guarantee, Kafka};

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    /// A worker's consumer in its group; `id` is how the brokers call it, also after its end where it `is_static`.
    Consumer {
        group: &'a str,
        id: &'a str,
        is_static: bool,
    },
    /// A worker's producer under exactly-once.
    Transactional { id: &'a str },
    /// A producer without transactions: at-least-once workers and feeds.
    Producer,
    /// Looks at topics and at a group's offsets, joins no group, sees committed records only.
    Observer { group: &'a str },
}

/// How long a broker may leave an open transaction of a dead worker before it aborts it; until then readers
/// of `read_committed` wait.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A producer closes a connection on which nothing was said for so long, and opens another one when it has something to
/// say. It is what ends a `send_offsets_to_transaction` that would not return: librdkafka (2.12, issues 5456 and 5511)
/// goes on looking for the group's coordinator only when some connection opens or closes, and takes no account of the
/// call's time limit, so that one that it did not find at once, or that came back as another one, is waited for until
/// then. Longer than an answer takes, shorter than what a call is given (`ANSWER`) and than the watchdog.
const IDLE: Duration = Duration::from_secs(10);

/// The configuration of one client.
pub fn config(kafka: &Kafka, role: Role<'_>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "forewarn")
        // Without it every broker reconnect is an error line; clients tell what matters in their errors.
        .set("log.connection.close", "false")
        // As the Java client's. librdkafka's own 10 s are added to an outage that is over.
        .set("reconnect.backoff.max.ms", "1000")
        .set("allow.auto.create.topics", "false");
    match role {
        Role::Consumer {
            group,
            id,
            is_static,
        } => {
            if is_static {
                config.set("group.instance.id", id);
            }
            // Committing is the sink's work: offsets belong to the transaction.
            config
                .set("group.id", group)
                // The group's members are known by it: see `identity.rs`.
                .set("client.id", id)
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("auto.offset.reset", "error")
                // What lags behind is told from what has nothing to read: see `Source::end_for`.
                .set("enable.partition.eof", "true")
                .set("isolation.level", "read_committed")
                // How long the partitions of a worker that was killed wait for another one.
                .set("session.timeout.ms", "10000")
                .set("partition.assignment.strategy", "cooperative-sticky");
            fetch_fast(&mut config);
        }
        Role::Observer { group } => {
            // It never subscribes, so it is no member of the group.
            config
                .set("group.id", group)
                .set("auto.offset.reset", "earliest")
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("isolation.level", "read_committed");
            fetch_fast(&mut config);
        }
        Role::Transactional { id } => {
            produce_fast(&mut config);
            let timeout = TRANSACTION_TIMEOUT.as_millis().to_string();
            config
                .set("client.id", id)
                .set("transactional.id", id)
                .set("transaction.timeout.ms", timeout)
                .set("connections.max.idle.ms", IDLE.as_millis().to_string());
        }
        Role::Producer => produce_fast(&mut config),
    }
    // Last, so that they win; those that must not are refused when the configuration is checked.
    for (key, value) in &kafka.options {
        config.set(key, value);
    }
    config
}

/// For clients whose errors are all answered by the calls that meet them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl ClientContext for Silent {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

/// What librdkafka says of itself, for all clients. It calls much an error that is mended a moment later,
/// and what is not mended comes back as the error of a call; so its lines are for debugging.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "librdkafka");
}

/// A fast reader empties its queue and then, by default, waits a second before it fetches again; 10 ms
/// keeps it busy. 64 MiB of fetched messages are enough for a second of work.
fn fetch_fast(config: &mut ClientConfig) {
    config
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "65536");
    config.set("fetch.wait.max.ms", "50");
}

fn produce_fast(config: &mut ClientConfig) {
    config
        .set("enable.idempotence", "true")
        // A report per record that arrived costs more than the record; only failures matter, and
        // `in_flight_count` tells when all have arrived.
        .set("delivery.report.only.error", "true")
        // The Java client's default: the same key is in the same partition whoever wrote it.
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        // A batch is sent when the worker has handed over what a step caused; waiting longer gains nothing.
        .set("linger.ms", "5")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "131072");
}

/// The name that tells a worker from those of other processes of the same pipeline: its transactional id, and how
/// brokers call its clients.
pub fn transactional_id(config: &Config, worker: usize) -> String {
    let identity = identity(&config.name, &instance(config));
    format!("{identity}-{worker}")
}

/// What the workers of a process have in common.
pub(super) fn identity(pipeline: &str, instance: &str) -> String {
    format!("{pipeline}-{instance}")
}

/// What tells this process from others of the same pipeline.
pub(crate) fn instance(config: &Config) -> String {
    config.delivery.instance.clone().unwrap_or_else(host_name)
}

/// The role of a worker's producer.
pub fn sink_role(guarantee: Guarantee, id: &str) -> Role<'_> {
    match guarantee {
        Guarantee::ExactlyOnce => Role::Transactional { id },
        Guarantee::AtLeastOnce => Role::Producer,
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".into()
    } else {
        name.into()
    }
}
