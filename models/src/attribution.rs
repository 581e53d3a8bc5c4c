//! Why a model says what it says, for models that do not tell: occlusion.
//!
//! ```text
//!   share_f = Δ_f / Σ|Δ|        Δ_f = bad(row) − bad(row with feature f at its reference, in all its rows)
//!   bad     = the anomaly score (negated where low ones are anomalous), −RUL, 1 − P(normal), P(class)
//! ```
//!
//! A positive share pushed towards the bad side, a negative one held against it; the absolute values sum to 1.
//! (M. D. Zeiler, R. Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014: the occluder is
//! a feature here, and its reference the value that the contract calls typical.)
//!
//! It costs one more score per feature and row, so it is for rows that a person will look at.

use crate::contract::{Contract, ScoreOrder, Task};
use crate::model::Model;
use crate::scorer::ScoreError;
use crate::verdict::{Verdict, Verdicts};

impl Contract {
    /// Can its results be attributed to features? Not where the graph tells by itself, or where nothing is said
    /// of typical values.
    pub fn is_attributable(&self) -> bool {
        let occludable = match &self.task {
            Task::Anomaly { .. } => self.contributors().is_empty(),
            Task::Rul(_) | Task::Classification(_) => true,
            Task::Forecast(_) | Task::Custom { .. } => false,
        };
        occludable && !self.reference.is_empty()
    }
}

impl Model {
    /// Appends the shares of each of `rows`, with the `states` that they found, both as
    /// [`Self::score_recurrent`] takes them: one per feature, all 0 where no feature changes anything. Of a
    /// recurrent model it is what this row adds to what the model remembers.
    ///
    /// # Errors
    /// As [`Self::score_recurrent`].
    pub fn attribute(
        &mut self,
        rows: &[f32],
        states: &[f32],
        shares: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        let (features, width) = (self.contract.features.len(), self.contract.input_len());
        let mut inputs = Vec::with_capacity(rows.len() * (features + 1));
        let mut found = Vec::with_capacity(states.len() * (features + 1));
        for state in states.chunks_exact(self.state_len().max(1)) {
            (0..=features).for_each(|_| found.extend_from_slice(state));
        }
        for row in rows.chunks_exact(width) {
            inputs.extend_from_slice(row);
            for (feature, reference) in self.contract.reference.iter().enumerate() {
                let begin = inputs.len();
                inputs.extend_from_slice(row);
                let occluded = inputs[begin..].iter_mut().skip(feature);
                occluded
                    .step_by(features)
                    .for_each(|value| *value = *reference);
            }
        }
        let mut verdicts = Verdicts::default();
        self.score_recurrent(&inputs, &mut found, &mut verdicts)?;
        for row in 0..rows.len() / width {
            let first = row * (features + 1);
            let class = verdicts.get(first).and_then(|verdict| class(&verdict));
            let bad = |at: usize| {
                verdicts
                    .get(at)
                    .and_then(|verdict| badness(&verdict, class))
            };
            let deltas: Vec<f64> = (1..=features)
                .map(|at| {
                    let pair = bad(first).zip(bad(first + at));
                    pair.map_or(0.0, |(whole, occluded)| whole - occluded)
                })
                .collect();
            let total: f64 = deltas.iter().map(|delta| delta.abs()).sum();
            let share = |delta: f64| if total > 0.0 { delta / total } else { 0.0 };
            shares.extend(deltas.into_iter().map(|delta| share(delta) as f32));
        }
        Ok(())
    }
}

fn class(verdict: &Verdict<'_>) -> Option<usize> {
    match verdict {
        Verdict::Class { class, .. } => Some(*class),
        _ => None,
    }
}

/// How bad a verdict is; of classes without a normal one how likely `class` is, the one that was told.
fn badness(verdict: &Verdict<'_>, class: Option<usize>) -> Option<f64> {
    match verdict {
        Verdict::Anomaly { score, order, .. } => Some(match order {
            ScoreOrder::Higher => *score,
            ScoreOrder::Lower => -score,
        }),
        Verdict::Rul { value, .. } => Some(-value),
        Verdict::Class { probabilities, .. } => {
            let likely = || probabilities.get(class?).copied();
            verdict.score().or_else(likely)
        }
        Verdict::Custom { .. } => None,
    }
}
