//! Why a row has no score. It is published in place of one: an operator sees that nothing was overlooked.
//!
//! Invariant: a code, once published, keeps its meaning.

/// The reason, with what a person needs to understand it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unscored {
    #[error("signal {signal} is missing")]
    SignalMissing { signal: String },
    #[error("feature {feature} is missing or not a finite number")]
    FeatureNotFinite { feature: String },
    #[error("the window has {rows} rows, fewer than {needed}")]
    TooFewRows { rows: u32, needed: u32 },
    #[error("the asset has {rows} rows so far, the first score needs {needed}")]
    InsufficientHistory { rows: usize, needed: usize },
    #[error("the row was revised after the model had gone on from it")]
    SequenceMovedOn,
    #[error("{feature} is {}: the model is for rows in which it is {}", if *.only { "0" } else { "not 0" }, if *.only { "not 0" } else { "0" })]
    Regime { feature: String, only: bool },
    #[error("the model gave a value that is not finite")]
    ScoreNotFinite,
}

impl Unscored {
    /// The stable code, published in the record and counted in the metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Unscored::SignalMissing { .. } => "signal-missing",
            Unscored::FeatureNotFinite { .. } => "feature-not-finite",
            Unscored::TooFewRows { .. } => "too-few-rows",
            Unscored::InsufficientHistory { .. } => "insufficient-history",
            Unscored::SequenceMovedOn => "sequence-moved-on",
            Unscored::Regime { .. } => "regime",
            Unscored::ScoreNotFinite => "score-not-finite",
        }
    }
}
