//! The rim of the pipeline: everything that talks to Kafka.
//!
//! ```text
//!               ┌──────────────── one OS thread per worker ────────────────┐
//!   input topic → source (BaseConsumer) → engine.step → sink (BaseProducer) → predictions, dead letters
//!               └ assignments: messages,             └ transaction: outputs + offsets, every commit interval
//!                 handled between two batches
//! ```
//!
//! `idle.rs` finds partitions that have gone quiet, whose windows are closed by the wall clock; `notices.rs`
//! reads what other topics say about assets; `progress.rs` reads back where either was done, `snapshots.rs` state
//! that was written down, which `takeover.rs` uses. `past.rs` reads a log up to its present end, for these and for
//! `replay.rs`. `renewal.rs` replaces clients that have wedged, `settling.rs` ends what they left undecided.
//! `identity.rs` refuses to start beside a process of the same identity, `farewell.rs` tells it which static members
//! have stopped, `lag.rs` knows how far behind each partition is, `pace.rs` how large a batch may be. `worker.rs` is the
//! loop, `batch.rs` a batch, `committing.rs` what is committed beside it, `due.rs` when, `failure.rs` what ends a turn.
//! `writing.rs` says when state is written down, `traced.rs` which spans there are of sampled messages, `crossed.rs` when
//! a model drifts. `killpoint.rs` names where a test may let the process die.
//!
//! `published.rs` reads outputs, to be compared with what the log gives.
//!
//! `copy.rs` sends a stretch of the input to another topic.
//!
//! `dead_letters.rs` reads what was refused, and `redrive.rs` sends it again; `produce.rs` is what all producers do.
//!
//! Invariants:
//! - a thread creates, uses and drops its own clients (dropping one elsewhere has deadlocked others); only the thread of
//!   a commit borrows them for that time;
//! - every client configuration comes from [`client::config`].

mod batch;
pub mod client;
mod committing;
pub mod copy;
mod crossed;
pub mod dead_letters;
pub mod deliveries;
mod due;
mod failure;
mod farewell;
mod identity;
mod idle;
pub mod killpoint;
mod lag;
pub mod notices;
mod pace;
mod past;
mod produce;
mod progress;
pub mod published;
pub mod reader;
pub mod redrive;
mod renewal;
pub mod replay;
mod settling;
mod sink;
pub mod snapshots;
mod source;
mod swapping;
mod takeover;
pub mod topics;
mod traced;
mod worker;
mod writing;

use std::time::Duration;

pub use failure::WorkerError;
pub use identity::Taken;
pub(crate) use identity::require as require_identity;
pub use sink::{Counts, SinkError};
pub use swapping::Links;
pub use worker::{Seat, Worker};

/// How long the brokers may take to answer one question: a step of a transaction, an offset, the next record.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
