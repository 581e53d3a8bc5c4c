//! From a graph's raw outputs to what they mean.
//!
//! Anomaly, with residuals e over L × F values of a row (Mahalanobis distance with a diagonal covariance,
//! divided by the number of values). A forecast is judged alike, its residuals being those of the targets in
//! the row that was forecast:
//!
//! ```text
//! score          = Σ e² / (L·F)                 or the graph's own score
//! confidence     = score / threshold            anomalous when above 1
//! contribution_f = Σ_l e_lf² / Σ e²             sums to 1 over the features
//! ```
//!
//! Remaining useful life: the value as the graph gives it, health = value / cap within 0..1; interval and
//! failure in `verdict/life.rs`. Class: the likeliest one, the first among equals; score = 1 − P(normal).
//!
//! Invariant: a verdict holds only finite numbers. A row whose output is not finite has no verdict, nor has
//! one that would leave a recurrent model with a state that is not finite.
//!
//! Not here: alarms, which are decisions over several verdicts.

mod judge;
mod life;

use crate::contract::ScoreOrder;

/// The verdicts of one batch of one model, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts {
    rows: Vec<Row>,
    /// So many contributions for each row, whatever its verdict.
    contributions: Vec<f32>,
    contributors: usize,
    /// So many numbers for each row: probabilities of failure or of classes, or custom outputs.
    numbers: Vec<f64>,
    /// How the numbers of a row divide into outputs.
    widths: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    NotFinite,
    Anomaly {
        score: f64,
        threshold: f64,
        order: ScoreOrder,
    },
    Rul {
        value: f64,
        health: f64,
        interval: Option<Interval>,
    },
    Class {
        class: usize,
        normal: Option<usize>,
    },
    Custom,
}

/// The verdict on one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'a> {
    /// Of the tasks anomaly and forecast.
    Anomaly {
        score: f64,
        threshold: f64,
        order: ScoreOrder,
        /// Share of the score for each of [`crate::Contract::contributors`]; sums to 1, or all 0 for a
        /// score of 0. Empty where the graph gives only a score.
        contributions: &'a [f32],
    },
    Rul {
        /// In the contract's unit.
        value: f64,
        /// 0 (at its end) to 1.
        health: f64,
        /// `None`: the model gives a value, and it was not calibrated.
        interval: Option<Interval>,
        /// The probability of failure within each horizon of the contract; empty as the interval is.
        failure: &'a [f64],
    },
    Class {
        /// Its place among the contract's classes.
        class: usize,
        /// Of each class; empty for a model that gives labels.
        probabilities: &'a [f64],
        /// Place of the class that is no anomaly, where the contract names one.
        normal: Option<usize>,
    },
    Custom {
        /// The outputs of the contract, one after the other.
        values: &'a [f64],
        /// How many values each of them has.
        widths: &'a [usize],
    },
}

/// Where the true remaining life is with probability `coverage`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    pub coverage: f64,
    /// `high` is the model's cap: the asset may live longer, how much longer is not known.
    pub open: bool,
}

impl Verdict<'_> {
    /// Score over threshold for anomalies; 1 is where the flag is raised. None where that quotient has no
    /// meaning: for a threshold that is not positive, or scores of which low ones are anomalous.
    pub fn confidence(&self) -> Option<f64> {
        match self {
            Verdict::Anomaly {
                score,
                threshold,
                order: ScoreOrder::Higher,
                ..
            } if *threshold > 0.0 => Some(score / threshold),
            _ => None,
        }
    }

    pub fn anomalous(&self) -> bool {
        match self {
            Verdict::Anomaly {
                score,
                threshold,
                order,
                ..
            } => match order {
                ScoreOrder::Higher => score > threshold,
                ScoreOrder::Lower => score < threshold,
            },
            Verdict::Class { class, normal, .. } => normal.is_some_and(|normal| normal != *class),
            Verdict::Rul { .. } | Verdict::Custom { .. } => false,
        }
    }

    /// How anomalous, on the task's own scale; of a class 1 − P(normal).
    pub fn score(&self) -> Option<f64> {
        match self {
            Verdict::Anomaly { score, .. } => Some(*score),
            Verdict::Class {
                probabilities,
                normal,
                ..
            } => Some(1.0 - probabilities.get((*normal)?)?),
            Verdict::Rul { .. } | Verdict::Custom { .. } => None,
        }
    }
}

impl Verdicts {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.contributions.clear();
        self.numbers.clear();
    }

    /// Takes back the verdict on a row, as if the graph's output had not been finite.
    pub(crate) fn withdraw(&mut self, row: usize) {
        self.contributions[row * self.contributors..][..self.contributors].fill(0.0);
        let width = self.numbers_per_row();
        self.numbers[row * width..][..width].fill(0.0);
        self.rows[row] = Row::NotFinite;
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn numbers_per_row(&self) -> usize {
        self.widths.iter().sum()
    }

    /// The verdict on row `row`; `None` where the graph's output was not finite.
    pub fn get(&self, row: usize) -> Option<Verdict<'_>> {
        let width = self.numbers_per_row();
        let numbers = &self.numbers[row * width..][..width];
        Some(match self.rows[row] {
            Row::NotFinite => return None,
            Row::Anomaly {
                score,
                threshold,
                order,
            } => Verdict::Anomaly {
                score,
                threshold,
                order,
                contributions: &self.contributions[row * self.contributors..][..self.contributors],
            },
            Row::Rul {
                value,
                health,
                interval,
            } => Verdict::Rul {
                value,
                health,
                interval,
                failure: numbers,
            },
            Row::Class { class, normal } => Verdict::Class {
                class,
                probabilities: numbers,
                normal,
            },
            Row::Custom => Verdict::Custom {
                values: numbers,
                widths: &self.widths,
            },
        })
    }
}

#[cfg(test)]
mod tests;
