//! The sections of the configuration file. The comment on a field is the user's reference.

use std::collections::BTreeMap;
use std::path::PathBuf;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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

/// `[views.<name>]`: a named set of features.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct View {
    /// Expressions in polars' SQL dialect over the signals of one reading, each a signal's name or with a
    /// name of its own: `"T24"`, `"T50 - T30 AS rise"`. `"*"` is every signal in the order of `[signals]`.
    pub features: Vec<String>,
}

/// `[models]`: which models score, and where they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Models {
    /// Folder with `<name>/<version>/model.onnx`, absolute or relative to the configuration file.
    pub repository: PathBuf,
    /// `libonnxruntime.so`. Default: `ORT_DYLIB_PATH`, else `lib/` near the program, else
    /// `.forewarn/lib/` in the working directory or above it.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
    /// The models that score every reading.
    pub serve: Vec<ServedModel>,
}

/// `[[models.serve]]`: one model on one view.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServedModel {
    pub name: String,
    /// Default: the highest version in the repository.
    #[serde(default)]
    pub version: Option<u32>,
    /// The feature view that gives its input.
    pub view: String,
}

/// `[sink]`: where outputs go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sink {
    /// Topic for scores. Default: `predictions`.
    pub predictions: String,
    /// Topic for refused messages, byte for byte. Default: `dead-letters`.
    pub dead_letters: String,
}

impl Default for Sink {
    fn default() -> Self {
        Sink {
            predictions: "predictions".into(),
            dead_letters: "dead-letters".into(),
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
    /// 10 ms the commits cost half of the throughput. Default: 25 ms.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// What tells this process from others of the same pipeline; part of the transactional id. Two running
    /// processes with the same one stop each other. Default: the host's name.
    pub instance: Option<String>,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            guarantee: Guarantee::ExactlyOnce,
            commit_interval: Duration::from_millis(25),
            instance: None,
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
}

impl Default for Service {
    fn default() -> Self {
        Service { workers: 1 }
    }
}
