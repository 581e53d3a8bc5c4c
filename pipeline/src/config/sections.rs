//! The sections of the configuration file. The comment on a field is the user's reference.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// `[kafka]`: how to reach the cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kafka {
    /// Bootstrap servers, `host:port` separated by commas. Default: `127.0.0.1:9092`.
    pub brokers: String,
    /// Further librdkafka settings for every client, such as `"security.protocol" = "ssl"`. They win over
    /// what Forewarn sets, except for those that the delivery guarantee rests on, which are refused here.
    pub options: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: "127.0.0.1:9092".into(),
            options: BTreeMap::new(),
        }
    }
}

/// `[source]`: the telemetry topic and how to read it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Source {
    /// The topic. Required.
    pub topic: String,
    /// How values are written. Default: `json`, one object per message.
    pub format: Format,
    /// Where the asset's name is: `"key"`, the message's key, or `{ field = "car" }`. Default: the key.
    pub asset: AssetSource,
    /// Where the event time is: `"record"`, the record's timestamp, or `{ field = "time", unit = "ms" }`
    /// with unit `s`, `ms`, `us` or `rfc3339`. Default: the record.
    pub event_time: EventTime,
    /// Where one message carries one signal, as MQTT and OPC UA gateways write it: the fields with the
    /// signal's name and its value, `{ signal = "tag", value = "v" }`. Needs `[align]`, which makes rows of
    /// them. A signal that is not declared is passed over and counted. Default: a message carries all
    /// signals, each in its own field.
    pub narrow: Option<Narrow>,
    /// Patterns of asset names, with `*` and `?`; a reading of any other asset is refused. Too narrow, and
    /// a new machine is not watched until it is added; its readings wait in the dead letter queue.
    /// Default: every asset is known.
    pub known_assets: Vec<String>,
    /// Where a consumer group without committed offsets begins: `earliest` or `latest`. Default: earliest,
    /// so that nothing is missed.
    pub start: Start,
    /// Most messages of a batch. Small: more calls per reading. Large: longer batches, so a longer time to
    /// the score of the first one. Default: 8,192.
    pub max_batch_messages: usize,
    /// How long a batch waits for more messages once it has one. Default: 5 ms.
    #[serde(with = "humantime_serde")]
    pub max_batch_wait: Duration,
    /// A message with a larger value is refused without being parsed. Default: 1 MiB.
    pub max_message_bytes: usize,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            topic: String::new(),
            format: Format::Json,
            asset: AssetSource::Key,
            event_time: EventTime::Record,
            narrow: None,
            known_assets: Vec::new(),
            start: Start::Earliest,
            max_batch_messages: 8_192,
            max_batch_wait: Duration::from_millis(5),
            max_message_bytes: 1 << 20,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssetSource {
    Key,
    #[serde(untagged)]
    Field {
        field: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventTime {
    Record,
    #[serde(untagged)]
    Field {
        field: String,
        unit: TimeUnit,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    S,
    Ms,
    Us,
    Rfc3339,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    Earliest,
    Latest,
}

/// The fields of a message that carries one signal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Narrow {
    /// Field with the signal's name, compared with the `field` of each declared signal.
    pub signal: String,
    /// Field with its value.
    pub value: String,
}

/// `[event-time]`: order, lateness and clocks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EventTimeConfig {
    /// How far a reading may be behind the latest one of its partition and still be in time. The watermark
    /// is the running maximum of event time minus this; what needs order (windows, sequences, held values)
    /// waits until the watermark has passed. Too small: readings are late. Too large: scores are late.
    /// Views over single readings without sequence never wait. Default: 0 s.
    #[serde(with = "humantime_serde")]
    pub out_of_orderness: Duration,
    /// When a partition has had no record for this long, its watermark goes on at the speed of the wall
    /// clock, so that the windows of a quiet partition close. Each such advance is written to
    /// `sink.progress`, so that a replay closes them at the same point. `"never"` leaves them open.
    /// Default: 30 s.
    pub idle_timeout: OrNever,
    /// Farthest that an event time may be ahead of the record's timestamp; beyond, the reading is refused
    /// and does not move the watermark. A device whose clock runs ahead by more than this would otherwise
    /// close the windows of all others. Default: 5 min.
    #[serde(with = "humantime_serde")]
    pub max_ahead: Duration,
    /// Farthest that an event time may be behind the record's timestamp. Default: any, so that history can
    /// be fed.
    #[serde(with = "humantime_serde")]
    pub max_behind: Option<Duration>,
    /// Other bounds for some assets; the first entry that matches counts.
    pub clocks: Vec<Clock>,
    /// A reading of an asset at an instant of which it has one already: `keep` both, or `drop` the one that
    /// came later (at-least-once gateways). Default: keep.
    pub duplicates: Duplicates,
}

impl Default for EventTimeConfig {
    fn default() -> Self {
        EventTimeConfig {
            out_of_orderness: Duration::ZERO,
            idle_timeout: OrNever(Some(Duration::from_secs(30))),
            max_ahead: Duration::from_secs(300),
            max_behind: None,
            clocks: Vec::new(),
            duplicates: Duplicates::Keep,
        }
    }
}

/// A duration, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrNever(pub Option<Duration>);

impl<'de> Deserialize<'de> for OrNever {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(OrNever(None));
        }
        humantime_serde::re::humantime::parse_duration(&text)
            .map(|duration| OrNever(Some(duration)))
            .map_err(|error| {
                serde::de::Error::custom(format!("{error}: write \"30s\" or \"never\""))
            })
    }
}

/// `[[event-time.clocks]]`: bounds for the clocks of some assets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Clock {
    /// Patterns of asset names, with `*` and `?`.
    pub assets: Vec<String>,
    /// As `event-time.max-ahead`. Default: that one.
    #[serde(default, with = "humantime_serde")]
    pub max_ahead: Option<Duration>,
    /// As `event-time.max-behind`. Default: that one.
    #[serde(default, with = "humantime_serde")]
    pub max_behind: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    Keep,
    Drop,
}

/// `[align]`: rows out of messages that carry one signal each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Align {
    /// A row at every multiple of this period. One of `every` and `on` is required.
    #[serde(default, with = "humantime_serde")]
    pub every: Option<Duration>,
    /// A row at every reading of this signal.
    #[serde(default)]
    pub on: Option<String>,
    /// How old the last value of a signal may be to be carried into a row; an older one is missing. Too
    /// small: rows with gaps. Too large: scores of what is no longer true. An asset whose values are all
    /// older gets no rows. Required.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
}

/// `[status.<name>]`: a condition over time, or one that somebody tells; 1 while it holds and 0 while not. Views
/// may use it like a signal, and each change is published to `sink.status`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StatusConfig {
    /// The signal watched by `unchanged-for`.
    #[serde(default)]
    pub signal: Option<String>,
    /// Holds when the signal has stayed within `tolerance` for this long: stuck, or a flat line.
    #[serde(default, with = "humantime_serde")]
    pub unchanged_for: Option<Duration>,
    /// How far the signal may move from the first value of the stretch. 0 is a stuck sensor, the sensor's
    /// noise a flat line. Default: 0.
    #[serde(default)]
    pub tolerance: f64,
    /// Holds when the asset has had no reading for this long, and until its next one. In a reading's own
    /// features it says that the silence ended with this reading.
    #[serde(default, with = "humantime_serde")]
    pub silent_for: Option<Duration>,
    /// Holds when the latest message about the asset in this topic says so. The key is the asset, the value
    /// `{"active": true, "at": "2026-01-31T08:00:00Z"}`; a message without a value says that it is over. `at`
    /// is from when on, RFC 3339 or milliseconds since 1970; without it, the record's timestamp. The topic
    /// must keep its messages for as long as they are to hold.
    #[serde(default)]
    pub topic: Option<String>,
    /// The field of these messages that is true or false (or 1 or 0), so that several statuses can share a
    /// topic; a message without it says nothing about this one. Default: `active`.
    #[serde(default)]
    pub field: Option<String>,
}

/// `[views.<name>]`: a named set of features.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct View {
    /// Expressions in polars' SQL dialect, each a signal's name or with a name of its own: `"T24"`,
    /// `"T50 - T30 AS rise"`. Over single readings `"*"` is every signal in the order of `[signals]`. Over
    /// windows they are aggregates, such as `"AVG(T24) AS mean"`; `event_time` is the seconds since the
    /// window's start: `"COVAR_SAMP(T24, event_time) / VARIANCE(event_time) AS slope"` (where T24 may be missing, see
    /// `docs/event-time.md`).
    pub features: Vec<String>,
    /// Gathers readings in windows of event time. Default: every reading is a row of its own.
    #[serde(default)]
    pub window: Option<Window>,
    /// Another view, whose rows are read instead of readings. A window's row belongs to the instant where
    /// it ends. Default: the readings.
    #[serde(default)]
    pub from: Option<String>,
    /// How long after the watermark has passed its end a window still takes readings; each then publishes
    /// a revision of the window's score. Its rows are kept that long. Default: 0 s.
    #[serde(default, with = "humantime_serde")]
    pub allowed_lateness: Duration,
    /// Publishes provisional results of open windows at every multiple of this. Default: none.
    #[serde(default, with = "humantime_serde")]
    pub early_every: Option<Duration>,
    /// Gathers revisions until the watermark passes a multiple of this. Default: each late reading is a
    /// revision at once.
    #[serde(default, with = "humantime_serde")]
    pub revise_every: Option<Duration>,
    /// Rows that a window needs to be scored; one with fewer says so instead. Default: 1.
    #[serde(default)]
    pub min_rows: Option<u32>,
}

/// Which rows of an asset belong together. Windows of time begin at multiples of their step since 1970,
/// UTC; a window holds its start and not its end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a window is one of { tumbling = \"1m\" }, \
    { hopping = \"1m\", every = \"10s\" }, { session = \"30s\" }, { count = 100, every = 10 }"
)]
pub enum Window {
    /// Side by side.
    Tumbling {
        #[serde(with = "humantime_serde")]
        tumbling: Duration,
    },
    /// One at every multiple of `every`; they overlap. Flink calls it sliding.
    Hopping {
        #[serde(with = "humantime_serde")]
        hopping: Duration,
        #[serde(with = "humantime_serde")]
        every: Duration,
    },
    /// Readings no further apart than this; the window ends that long after the last one.
    Session {
        #[serde(with = "humantime_serde")]
        session: Duration,
    },
    /// The last `count` rows, at every `every`-th row. Default of `every`: `count`.
    Count {
        count: u32,
        #[serde(default)]
        every: Option<u32>,
    },
}

/// `[limits]`: what state may grow to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Most assets in one partition; a reading of one more is refused. It counts per partition because what
    /// is refused must not depend on which other partitions a worker happens to own. Default: 1,000,000.
    pub max_assets_per_partition: usize,
    /// Most bytes of rows that one asset may keep in the windows of a view; a reading beyond is refused. What
    /// waits for the watermark is not counted: it is the readings of `event-time.out-of-orderness`. Default:
    /// 16 MiB.
    pub max_bytes_per_asset: usize,
    /// The state of an asset without a reading for this long (in event time) is forgotten; should it come
    /// back it begins anew. Default: never.
    #[serde(with = "humantime_serde")]
    pub evict_after: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_assets_per_partition: 1_000_000,
            max_bytes_per_asset: 16 << 20,
            evict_after: None,
        }
    }
}

/// `[sink]`: where outputs go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sink {
    /// Topic for scores. Default: `predictions`.
    pub predictions: String,
    /// Headers of a score: `cloud-events`, all that CloudEvents 1.0 has for it; or `id`, only its id (`ce_id`), by which
    /// a reader tells records that come twice and `forewarn replay --verify` finds them: some 150 bytes less. Default:
    /// cloud-events.
    pub headers: Headers,
    /// Topic for refused messages, byte for byte. Default: `dead-letters`.
    pub dead_letters: String,
    /// Topic for readings that came after their windows, byte for byte. Default: `late-readings`.
    pub late: String,
    /// Topic for changes of `[status]`. Default: `status`.
    pub status: String,
    /// Topic for alarms. Default: `alarms`.
    pub alarms: String,
    /// Topic for the results of challengers. Default: `shadow`.
    pub shadow: String,
    /// Topic for advances of the watermark in quiet partitions; it needs as many partitions as the input.
    /// Default: the pipeline's name with `-progress`.
    pub progress: Option<String>,
    /// Compacted topic in which state is written down, with as many partitions as the input. Default: the
    /// pipeline's name with `-state`.
    pub state: Option<String>,
    /// Topic for what happens to the models of a running service: which version serves from which record on,
    /// who promoted it and why. Default: the pipeline's name with `-models`.
    pub models: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Headers {
    #[default]
    CloudEvents,
    Id,
}

impl Default for Sink {
    fn default() -> Self {
        Sink {
            predictions: "predictions".into(),
            headers: Headers::default(),
            dead_letters: "dead-letters".into(),
            late: "late-readings".into(),
            status: "status".into(),
            alarms: "alarms".into(),
            shadow: "shadow".into(),
            progress: None,
            state: None,
            models: None,
        }
    }
}

/// `[delivery]`: what is guaranteed, and at what latency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Delivery {
    /// `exactly-once`: outputs and offsets in one Kafka transaction; readers with `read_committed` see
    /// every output once. `at-least-once`: no transaction, so lower latency; after a crash some outputs
    /// come twice, with the same id. Default: exactly-once.
    pub guarantee: Guarantee,
    /// How often outputs and offsets are committed; it bounds how long a reader waits for a score. Below
    /// 10 ms the commits cost half of the throughput. Behind a backlog, where no score is early, commits come less often,
    /// so that they take a fifth of the time: at the latest every 500 ms. Default: 25 ms.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// What tells this process from others of the same pipeline; part of the transactional ids and of the
    /// clients' names. Under exactly-once a second process with the same one refuses to start. Default: the host's
    /// name.
    pub instance: Option<String>,
    /// How often the state of each partition is written down, with the outputs and offsets of its commit: so much
    /// of the input is read again when a partition is taken over. Shorter: more is written. `"never"`: state is
    /// rebuilt from the log's start. Default: 1 min.
    pub snapshot_every: OrNever,
    /// How long one call of the Kafka client may take. Calls are bounded by 30 s, but have been seen to block for
    /// ever; after this time the process ends with status 4, to be started anew by its supervisor. Too short, and
    /// brokers that are only slow end it; it must be longer than 30 s. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub watchdog: Duration,
    /// `true`: each worker is a static member of the group (`group.instance.id`). A process that is stopped and is back
    /// within the session (10 s, `session.timeout.ms` in `[kafka.options]`) has the partitions that it had, and no
    /// other process notices anything. What it costs: a process that stops does not give its partitions up, so that
    /// nobody scores them until it is back or its session is over, and of a fleet that is made smaller the last
    /// readings wait for as long; otherwise others take them over at once. Default: false.
    pub static_membership: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            guarantee: Guarantee::ExactlyOnce,
            commit_interval: Duration::from_millis(25),
            instance: None,
            snapshot_every: OrNever(Some(Duration::from_mins(1))),
            watchdog: Duration::from_secs(60),
            static_membership: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// `[service]`: the process.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Service {
    /// Worker threads; each has its own Kafka clients, sessions and share of the partitions. More than
    /// there are partitions stay idle. Default: 1.
    pub workers: usize,
    /// Address and port on which `/livez`, `/readyz` and `/metrics` are served over HTTP, such as
    /// `"127.0.0.1:9100"`; port 0 is any that is free. There is no encryption and no password: listen where only
    /// the monitoring reaches it. Default: nowhere.
    pub http: Option<SocketAddr>,
    /// Where spans of sampled messages are sent. Default: nowhere.
    pub traces: Option<Traces>,
}

/// `[service.traces]`: OpenTelemetry. Messages whose `traceparent` header (W3C Trace Context) says that they are sampled
/// are followed from the poll to the commit of their outputs, which carry the trace on in their own headers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Traces {
    /// Address of a collector that takes OTLP over HTTP, such as `"http://127.0.0.1:4318"`; `/v1/traces` is added.
    /// There is no encryption: use a collector on this machine, which passes spans on.
    pub endpoint: String,
    /// Messages of which a worker makes spans, a second, at most; others carry the trace of their sender on.
    /// Default: 10.
    #[serde(default = "ten")]
    pub per_second: u32,
}

fn ten() -> u32 {
    10
}

impl Default for Service {
    fn default() -> Self {
        Service {
            workers: 1,
            http: None,
            traces: None,
        }
    }
}
