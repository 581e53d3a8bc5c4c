//! The rim of the pipeline: everything that talks to Kafka.
//!
//! ```text
//!               ┌──────────────── one OS thread per worker ────────────────┐
//!   input topic → source (BaseConsumer) → engine.step → sink (BaseProducer) → predictions, dead letters
//!               └ assignments: messages,             └ transaction: outputs + offsets, every commit interval
//!                 handled between two batches
//! ```
//!
//! `idle.rs` finds partitions that have gone quiet, whose windows are closed by the wall clock; `progress.rs`
//! reads back where that was done. `killpoint.rs` names where a test may let the process die. `past.rs` reads a log up to its present end, for that and for `replay.rs`.
//!
//! Invariants:
//! - a thread creates, uses and drops its own clients (dropping one elsewhere has deadlocked others);
//! - every client configuration comes from [`client::config`].

pub mod client;
pub mod deliveries;
mod idle;
pub mod killpoint;
mod past;
mod progress;
pub mod reader;
pub mod replay;
mod sink;
mod source;
mod swapping;
pub mod topics;
mod worker;

pub use sink::{Counts, OMITTED, SinkError};
pub use swapping::Links;
pub use worker::{Worker, WorkerError};
