//! The rows of a step that tell how a model's input is distributed: those that it scored, and those that it did not
//! because a feature was missing. Rows of other regimes, or of windows with too few rows, are not meant for it.

use forewarn_models::Verdict;

use crate::engine::Step;
use crate::plan::PlannedModel;
use crate::rows::Head;
use crate::unscored::Unscored;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its place among the rows of the model's view.
    pub row: usize,
    pub head: &'a Head,
    /// Score or remaining life; `None` where a feature is missing, or the model says something else.
    pub level: Option<f64>,
}

/// The rows that the model in `place` of the plan saw. Each counts once: not while its window is open, and not again
/// when late readings revise it.
pub fn seen<'a>(step: &Step<'a>, place: usize) -> impl Iterator<Item = Seen<'a>> + use<'a> {
    let output = &step.outputs[place];
    let rows = &step.views[step.plan.models[place].view];
    let scored = output.rows.iter().enumerate();
    let scored = scored.map(|(at, row)| (*row, output.verdicts.get(at).and_then(|v| level(&v))));
    let lacking = output.unscored.iter().filter(|(_, why)| is_lacking(why));
    let lacking = lacking.map(|(row, _)| (*row, None));
    let all = scored.chain(lacking).map(|(row, level)| Seen {
        row: row as usize,
        head: &rows.heads[row as usize],
        level,
    });
    all.filter(|seen| seen.head.publish && is_first(seen.head))
}

/// Is a row without a score one that lacks a feature?
pub(super) fn is_lacking(reason: &Unscored) -> bool {
    match reason {
        Unscored::SignalMissing { .. } | Unscored::FeatureNotFinite { .. } => true,
        Unscored::TooFewRows { .. }
        | Unscored::InsufficientHistory { .. }
        | Unscored::SequenceMovedOn
        | Unscored::Regime { .. }
        | Unscored::ScoreNotFinite => false,
    }
}

pub(super) fn is_first(head: &Head) -> bool {
    head.window()
        .is_none_or(|window| window.revision == 0 && !window.provisional)
}

/// The one number that a result comes down to: of anomalies and forecasts the score, of a class 1 − P(normal), of
/// remaining life its value. A custom result has none.
pub fn level(verdict: &Verdict<'_>) -> Option<f64> {
    match verdict {
        Verdict::Rul { value, .. } => Some(*value),
        Verdict::Anomaly { .. } | Verdict::Class { .. } | Verdict::Custom { .. } => verdict.score(),
    }
}

/// Where a model's features are among the columns of its view.
pub fn columns(planned: &PlannedModel) -> Vec<usize> {
    let features = planned.model.contract.features.len();
    (0..features).map(|f| planned.columns.place(f)).collect()
}
