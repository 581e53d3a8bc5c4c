//! The data plane: from messages in Kafka to predictions in Kafka.
//!
//! ```text
//!  kafka::source → decode → held, align, conditions → feature, window → sequence → (models) → publish → kafka::sink
//!                  └──────────────────────────── engine: pure ────────────────────────────┘
//!                  └──────────────────────────── state: one per partition
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the configuration file: sections, checks, problems |
//! | [`signal`], [`refusal`], [`unscored`] | what a value must be; why a message is refused; why a row has no score |
//! | [`message`], [`rows`] | messages as borrowed bytes; readings and windows in columns |
//! | [`decode`], [`clocks`] | JSON messages and table rows into readings; clocks that lie |
//! | [`watermark`], [`held`] | how far event time has come; readings put into order |
//! | [`align`], [`conditions`] | rows of narrow telemetry; held values, silent and stuck |
//! | [`feature`], [`window`] | SQL expressions over rows and windows; which rows a window holds, and when it fires |
//! | [`routing`], [`alarms`] | which model scores which asset; when results are an alarm |
//! | [`sequence`], [`state`] | the last L feature rows per asset; the state of a partition |
//! | [`stretch`] | which rows of a replay are meant |
//! | [`plan`], [`engine`] | views bound to models; the step from messages to verdicts |
//! | [`drift`] | how far features and scores are from training, in a stretch of the log and live |
//! | [`prediction`], [`publish`] | the published forms and their headers |
//! | [`dead_letter`] | dead letters read back, and receipts of those that were sent again |
//! | [`kafka`] | the rim: consumer, producer, transactions, workers |
//! | [`swap`] | new versions of models while the service runs |
//! | [`service`], `watchdog` | threads and shutdown; a worker that is stuck |
//! | [`metrics`], [`health`], [`pulse`], [`http`] | counters; how it stands; what a worker is in; who may ask |
//! | `traces` | spans of sampled messages, and who takes them |
//!
//! Not here: what a model is (the `models` crate), command line and terminal (the binary).

pub mod alarms;
pub mod align;
pub mod clocks;
mod columns;
pub mod conditions;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod drift;
pub mod engine;
pub mod feature;
pub mod health;
pub mod held;
pub mod http;
pub mod kafka;
pub mod marks;
pub mod message;
pub mod metrics;
pub mod notices;
pub mod plan;
pub mod prediction;
pub mod publish;
pub mod pulse;
pub mod refusal;
pub mod routing;
pub mod rows;
pub mod saved;
pub mod sequence;
pub mod service;
pub mod signal;
pub mod state;
pub mod stretch;
pub mod swap;
mod traces;
pub mod unscored;
mod watchdog;
pub mod watermark;
pub mod window;

pub use config::{Config, Problems};
pub use engine::Engine;
pub use http::Http;
pub use plan::Plan;
pub use prediction::Prediction;
pub use service::{Service, Shutdown};
