//! From a graph's raw output to what it means.
//!
//! Anomaly, with residuals e over L × F values of a row (Mahalanobis distance with a diagonal covariance,
//! divided by the number of values):
//!
//! ```text
//! score          = Σ e² / (L·F)
//! confidence     = score / threshold            anomalous when above 1
//! contribution_f = Σ_l e_lf² / Σ e²             sums to 1 over the features
//! ```
//!
//! Remaining useful life: the value as the graph gives it, health = value / cap within 0..1.
//!
//! Invariant: a verdict holds only finite numbers. A row whose output is not finite has no verdict, nor has
//! one that would leave a recurrent model with a state that is not finite.
//!
//! Not here: alarms, which are decisions over several verdicts.

use crate::contract::{Contract, ErrorOutput, Task};

/// The verdicts of one batch, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts {
    rows: Vec<Row>,
    /// F contributions per anomaly row.
    contributions: Vec<f32>,
    features: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    NotFinite,
    Anomaly { score: f64, threshold: f64 },
    Rul { value: f64, health: f64 },
}

/// The verdict on one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'a> {
    Anomaly {
        score: f64,
        threshold: f64,
        /// Share of the score per feature, in the contract's order; sums to 1, or all 0 for a score of 0.
        contributions: &'a [f32],
    },
    Rul {
        /// In the contract's unit.
        value: f64,
        /// 0 (at its end) to 1.
        health: f64,
    },
}

impl Verdict<'_> {
    /// Score over threshold for anomalies; 1 is where the flag is raised.
    pub fn confidence(&self) -> Option<f64> {
        match self {
            Verdict::Anomaly {
                score, threshold, ..
            } => Some(score / threshold),
            Verdict::Rul { .. } => None,
        }
    }

    pub fn anomalous(&self) -> bool {
        matches!(self, Verdict::Anomaly { score, threshold, .. } if score > threshold)
    }
}

impl Verdicts {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.contributions.clear();
    }

    /// Judges `raw`, the judged output of one batch of one model, and appends the verdicts. `input` are the
    /// rows that were scored, needed where the graph gives a reconstruction.
    pub fn judge(&mut self, contract: &Contract, input: &[f32], raw: &[f32]) {
        self.features = contract.features.len();
        let row_len = contract.length() * self.features;
        match &contract.task {
            Task::Rul { cap, .. } => self.rows.extend(raw.iter().map(|value| rul(*value, *cap))),
            Task::Anomaly {
                error: ErrorOutput::Residual { .. },
                threshold,
            } => {
                for residuals in raw.chunks_exact(row_len) {
                    self.anomaly(residuals.iter().copied(), *threshold);
                }
            }
            Task::Anomaly {
                error: ErrorOutput::Reconstruction { scale, .. },
                threshold,
            } => {
                for (x, y) in input.chunks_exact(row_len).zip(raw.chunks_exact(row_len)) {
                    let residuals = x.iter().zip(y).zip(scale.iter().cycle());
                    self.anomaly(residuals.map(|((x, y), scale)| (x - y) / scale), *threshold);
                }
            }
        }
    }

    fn anomaly(&mut self, residuals: impl Iterator<Item = f32>, threshold: f64) {
        let start = self.contributions.len();
        self.contributions.resize(start + self.features, 0.0);
        let parts = &mut self.contributions[start..];
        let (mut total, mut values) = (0.0_f64, 0_usize);
        for (i, residual) in residuals.enumerate() {
            let squared = f64::from(residual) * f64::from(residual);
            parts[i % self.features] += squared as f32;
            total += squared;
            values += 1;
        }
        let score = total / values as f64;
        if !score.is_finite() {
            parts.fill(0.0);
            self.rows.push(Row::NotFinite);
            return;
        }
        if total > 0.0 {
            parts
                .iter_mut()
                .for_each(|part| *part = (f64::from(*part) / total) as f32);
        }
        self.rows.push(Row::Anomaly { score, threshold });
    }

    /// Takes back the verdict on a row, as if the graph's output had not been finite.
    pub(crate) fn withdraw(&mut self, row: usize) {
        if matches!(self.rows[row], Row::Anomaly { .. }) {
            self.contributions[row * self.features..][..self.features].fill(0.0);
        }
        self.rows[row] = Row::NotFinite;
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The verdict on row `row`; `None` where the graph's output was not finite.
    pub fn get(&self, row: usize) -> Option<Verdict<'_>> {
        match self.rows[row] {
            Row::NotFinite => None,
            Row::Rul { value, health } => Some(Verdict::Rul { value, health }),
            Row::Anomaly { score, threshold } => Some(Verdict::Anomaly {
                score,
                threshold,
                contributions: &self.contributions[row * self.features..][..self.features],
            }),
        }
    }
}

fn rul(value: f32, cap: f64) -> Row {
    if !value.is_finite() {
        return Row::NotFinite;
    }
    let value = f64::from(value);
    Row::Rul {
        value,
        health: (value / cap).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(task: Task) -> Contract {
        Contract {
            description: String::new(),
            task,
            features: vec!["a".into(), "b".into()],
            units: Vec::new(),
            input: None,
            sequence: None,
            max_gap: None,
            state: Vec::new(),
        }
    }

    fn residual(threshold: f64) -> Contract {
        let error = ErrorOutput::Residual { output: "e".into() };
        contract(Task::Anomaly { error, threshold })
    }

    #[test]
    fn score_and_contributions_follow_the_formula() {
        let mut verdicts = Verdicts::default();
        verdicts.judge(&residual(4.0), &[], &[3.0, -1.0, 0.0, 0.0]);
        let Some(Verdict::Anomaly {
            score,
            contributions,
            ..
        }) = verdicts.get(0)
        else {
            panic!()
        };
        assert_eq!(score, 5.0);
        assert_eq!(contributions, [0.9, 0.1]);
        assert!(verdicts.get(0).unwrap().anomalous());
        assert_eq!(verdicts.get(0).unwrap().confidence(), Some(1.25));
        let Some(Verdict::Anomaly {
            score,
            contributions,
            ..
        }) = verdicts.get(1)
        else {
            panic!()
        };
        assert_eq!((score, contributions), (0.0, &[0.0, 0.0][..]));
    }

    #[test]
    fn a_reconstruction_is_scaled_by_the_contract() {
        let error = ErrorOutput::Reconstruction {
            output: "y".into(),
            scale: vec![1.0, 10.0],
        };
        let contract = contract(Task::Anomaly {
            error,
            threshold: 1.0,
        });
        let mut verdicts = Verdicts::default();
        verdicts.judge(&contract, &[5.0, 120.0], &[4.0, 100.0]);
        let Some(Verdict::Anomaly { score, .. }) = verdicts.get(0) else {
            panic!()
        };
        assert_eq!(score, 2.5);
    }

    #[test]
    fn a_value_that_is_not_finite_has_no_verdict_and_spares_its_neighbours() {
        let mut verdicts = Verdicts::default();
        verdicts.judge(&residual(1.0), &[], &[f32::NAN, 0.0, 1.0, 1.0]);
        assert_eq!(verdicts.get(0), None);
        assert_eq!(verdicts.get(1).unwrap().confidence(), Some(1.0));
        let rul = Task::Rul {
            output: "rul".into(),
            unit: "cycles".into(),
            cap: 125.0,
        };
        verdicts.clear();
        verdicts.judge(&contract(rul), &[], &[f32::INFINITY, 25.0]);
        assert_eq!(verdicts.get(0), None);
        assert_eq!(
            verdicts.get(1),
            Some(Verdict::Rul {
                value: 25.0,
                health: 0.2
            })
        );
    }
}
