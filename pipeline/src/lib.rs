//! The data plane: from messages in Kafka to predictions in Kafka.
//!
//! ```text
//!  kafka::source → decode → feature → sequence → (models) → prediction, publish → kafka::sink
//!                  └────────────── engine: pure ──────────┘
//!                  └────────────── state: one per partition
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the configuration file: sections, checks, problems |
//! | [`signal`], [`refusal`] | what a value must be; why a message is refused |
//! | [`message`], [`reading`] | messages as borrowed bytes; readings in columns |
//! | [`decode`] | JSON messages and table rows into readings |
//! | [`feature`] | feature views: SQL expressions over each reading |
//! | [`sequence`], [`state`] | the last L feature rows per asset; the state of a partition |
//! | [`plan`], [`engine`] | views bound to models; the step from messages to verdicts |
//! | [`prediction`], [`publish`] | the published form and its headers |
//! | [`kafka`] | the rim: consumer, producer, transactions, workers |
//! | [`service`], [`metrics`] | threads and shutdown; counters |
//!
//! Not here: what a model is (the `models` crate), command line and terminal (the binary).

pub mod config;
pub mod decode;
pub mod engine;
pub mod feature;
pub mod kafka;
pub mod message;
pub mod metrics;
pub mod plan;
pub mod prediction;
pub mod publish;
pub mod reading;
pub mod refusal;
pub mod sequence;
pub mod service;
pub mod signal;
pub mod state;

pub use config::{Config, Problems};
pub use engine::Engine;
pub use plan::Plan;
pub use prediction::Prediction;
pub use service::{Service, Shutdown};
