//! Drift: do a model's features and its score still look as they did in training?
//!
//! ```text
//!   rows of the log ─▶ fit ─▶ reference.json, beside the model
//!                                    │
//!   rows of a stretch ─▶ examine ────┼─▶ report: PSI, KS, shift by feature; Page-Hinkley by asset and fleet
//!   rows that are served ─▶ watch ───┴─▶ /metrics: the same of windows of recent rows
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `seen.rs` | which rows of a step are a model's: those that it scored, and those that lacked a feature |
//! | `gathered.rs` | mean, spread, and how much of it is between assets |
//! | `counts.rs` | rows in the bins of a reference |
//! | `fleet.rs` | which assets the rows are of, and what they are worth for that |
//! | `measure.rs` | PSI, KS, what chance alone gives, the verdict; formulas with their sources |
//! | `page_hinkley.rs` | since when something has changed |
//! | `fit.rs` | rows into a reference |
//! | `examine.rs`, `over_time.rs`, `report.rs` | a stretch of the log against a reference |
//! | `watch.rs`, `live.rs` | what a worker sees of its batches; windows of all workers, for `/metrics` |
//!
//! Invariants:
//! - drift is observed: no byte of an output, and no state that is written down, depends on it;
//! - all but `watch.rs` and `live.rs` are functions of the rows, whatever their batches were. Those two sample rows, and
//!   windows end by a clock that is handed in;
//! - what decides is how far distributions are apart, not how sure it is that they differ: of millions of rows any
//!   difference is sure.
//!
//! Not here: the reference's form (`forewarn_models::reference`).

pub mod counts;
pub mod examine;
pub mod fit;
mod fleet;
mod gathered;
pub mod live;
pub mod measure;
mod over_time;
pub mod page_hinkley;
mod random;
pub mod report;
pub mod seen;
pub mod watch;

pub use examine::Examination;
pub use fit::{FitError, Fitting};
pub use measure::Verdict;
pub use report::Report;
