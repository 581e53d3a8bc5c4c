//! New versions of models in a running service.
//!
//! ```text
//!   reloader (one thread)                       worker (between two batches)
//!   repository → load, probe ──── Swap ───────▶ commit → put in place → on trial ─┬▶ kept
//!        ▲  refused: remembered, not tried again                                  └▶ the old one again, and
//!        └──────────────────────── Report ◀──────────────────────────────────────    back to the last commit
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `reloader.rs` | looks for versions, loads them, hands them to the workers |
//! | `trial.rs` | whether a new version may stay |
//! | `record.rs` | the published form of what happens |
//!
//! Invariants:
//! - a batch is scored by one version, and everything of the version before is committed before the next one
//!   scores: no record has results of two versions;
//! - a version that does not fit, fails or is too slow leaves the one that serves where it is.
//!
//! Not here: what makes a file fit to be loaded at all (the `models` crate).

mod record;
mod reloader;
mod trial;

use forewarn_models::Model;

pub use record::{ModelEvent, ModelEventRecord};
pub use reloader::{Message, ReloadHandle, Reloader};
pub use trial::{Trial, TrialRules};

/// A version to put in place.
#[derive(Debug)]
pub struct Swap {
    /// Its place in the plan.
    pub place: usize,
    pub model: Model,
    /// It is new, and must show that it can stay.
    pub on_trial: bool,
    /// Who wanted it, and why.
    pub by: String,
    pub why: String,
}

/// What a worker did about a swap.
#[derive(Debug)]
pub struct Report {
    pub worker: usize,
    pub place: usize,
    pub version: u32,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It serves, on trial.
    Serving,
    /// It does not fit the pipeline.
    Refused(String),
    /// It failed its trial; the version before serves again.
    RolledBack(String),
}
