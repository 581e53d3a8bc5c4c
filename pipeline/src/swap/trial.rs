//! Whether a version that was swapped in may stay.
//!
//! Not here: putting the old one back (`kafka/worker.rs`, `engine/swap.rs`).

use std::time::Duration;

use forewarn_models::{Model, Usage};

/// Results that are not finite are borne up to this many, whatever their share: a few bad inputs are no fault.
const BORNE: u64 = 3;
/// Results before the time per result is judged: the first ones allocate.
const WARM: u64 = 32;

/// What a version on trial must keep to.
#[derive(Debug, Clone, Copy)]
pub struct TrialRules {
    pub results: u64,
    pub max_row_time: Duration,
}

/// A version on trial, and the one before it.
#[derive(Debug)]
pub struct Trial {
    pub old: Model,
    rules: TrialRules,
    results: u64,
    not_finite: u64,
}

impl Trial {
    pub fn new(old: Model, rules: TrialRules) -> Self {
        Trial {
            old,
            rules,
            results: 0,
            not_finite: 0,
        }
    }

    /// Takes note of a batch: results, those of them that are not finite, and what the version was used for so
    /// far.
    ///
    /// # Errors
    /// Why it must not stay.
    pub fn judge(&mut self, results: u64, not_finite: u64, usage: Usage) -> Result<(), String> {
        self.results += results;
        self.not_finite += not_finite;
        if self.not_finite > BORNE && self.not_finite * 100 > self.results {
            return Err(format!(
                "{} of its first {} results are not finite",
                self.not_finite, self.results
            ));
        }
        if usage.rows >= WARM {
            let per_row = usage.time / u32::try_from(usage.rows).unwrap_or(u32::MAX);
            if per_row > self.rules.max_row_time {
                return Err(format!(
                    "it takes {per_row:.1?} per result, models.max-row-time is {:?}",
                    self.rules.max_row_time
                ));
            }
        }
        Ok(())
    }

    pub fn is_over(&self) -> bool {
        self.results >= self.rules.results
    }
}
