//! Windows of event time: which rows of an asset belong together, and when they are scored.
//!
//! ```text
//!   start             end          end + allowed lateness
//!   [----- open ------)[-- late rows revise --)[ late → late topic
//!                      ^ the watermark arrives: the window fires, once
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `spec.rs` | the kinds of window, and the arithmetic of tumbling and hopping ones |
//! | `chains.rs` | the rows of each asset, in the order of their instants, in one slab |
//! | `timers.rs` | what is due at which instant |
//! | `state.rs` | one partition's windows of one view: insert, fire, revise, expire |
//! | `sessions.rs` | which rows of a chain are one session |
//! | `fired.rs` | what was told of windows that can still be revised |
//! | `gathered.rs` | the rows of fired windows in columns, and their aggregation by polars |
//!
//! Invariants:
//! - what fires, and with which rows, depends on the order of release only, never on a clock nor on where a
//!   batch ended. A timer at T fires before rows that were behind at T, and after rows in time at T; none of
//!   the latter can belong to a window that ends at T;
//! - a row is stored once per view, however many windows hold it.
//!
//! Not here: order and lateness of readings (`watermark.rs`, `held.rs`).

mod chains;
mod fired;
mod gathered;
mod sessions;
mod spec;
mod state;
mod timers;

pub(crate) use gathered::{EVENT_TIME, trial, try_aggregate};
pub use gathered::{Gathered, Input};
pub use spec::{Kind, WindowSpec};
pub use state::{Partition, SavedWindows, Taken, WindowState};
