//! What a step says, borrowed from the engine.

use forewarn_models::{Verdict, Verdicts};

use crate::alarms::AlarmChange;
use crate::conditions::StatusChange;
use crate::message::MessageIndex;
use crate::plan::{Plan, PlannedModel, Role};
use crate::refusal::Refused;
use crate::rows::{Head, Rows, Superseded};
use crate::state::Partitions;
use crate::unscored::Unscored;

/// The result of a step.
#[derive(Debug)]
pub struct Step<'a> {
    pub plan: &'a Plan,
    /// Rows of each view of the plan.
    pub views: &'a [Rows],
    /// One per model of the plan.
    pub outputs: &'a [ModelOutput],
    pub sequences: Gathered<'a>,
    pub refused: &'a [Refused],
    /// In the order of their records; one entry per view that a reading came too late for.
    pub late: &'a [Late],
    pub changes: &'a [StatusChange],
    pub alarms: &'a [AlarmChange],
    /// Accepted readings.
    pub readings: u64,
    /// Narrow messages whose signal is not declared.
    pub ignored: u64,
    /// Messages that had the form of one before, which is how they are read fast.
    pub familiar: u64,
    /// Readings dropped because their asset had one at that instant.
    pub duplicates: u64,
    pub(super) partitions: &'a Partitions,
}

/// Sequences that were gathered for a table: see [`Plan::gather`].
#[derive(Debug, Clone, Copy)]
pub struct Gathered<'a> {
    /// The row of the view that each ends with.
    pub rows: &'a [u32],
    /// Rows of a sequence oldest first, each with the view's features.
    pub values: &'a [f32],
}

/// What one model said of a batch.
#[derive(Debug, Default)]
pub struct ModelOutput {
    /// The row of the model's view that each verdict is about.
    pub rows: Vec<u32>,
    pub verdicts: Verdicts,
    /// Rows without a verdict.
    pub unscored: Vec<(u32, Unscored)>,
    /// Verdicts, as places, that were attributed to features by occlusion.
    pub attributed: Vec<usize>,
    /// A share for each of them and each feature of the model.
    pub shares: Vec<f32>,
}

impl ModelOutput {
    /// The share of each feature in the verdict at `place`, where it was asked for.
    pub fn attribution(&self, place: usize) -> Option<&[f32]> {
        let at = self.attributed.binary_search(&place).ok()?;
        let features = self.shares.len() / self.attributed.len();
        Some(&self.shares[at * features..][..features])
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.verdicts.clear();
        self.unscored.clear();
        self.attributed.clear();
        self.shares.clear();
    }
}

/// A reading that came after its windows had been scored and could not be revised any more, or behind its
/// asset's latest reading where order matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    pub message: Option<MessageIndex>,
    pub slot: u32,
    pub offset: i64,
    /// The view; `None`: the alignment of narrow telemetry.
    pub view: Option<usize>,
    pub event_at: i64,
    /// The window that it came too late for; or its own instant and that of the row before which it should
    /// have come.
    pub start: i64,
    pub end: i64,
    /// The watermark when it came.
    pub watermark: i64,
}

/// One result of a model.
#[derive(Debug, Clone)]
pub struct Scored<'a> {
    pub model: &'a PlannedModel,
    pub head: Head,
    pub superseded: &'a [Superseded],
    pub verdict: Result<Verdict<'a>, Unscored>,
    /// Which features the verdict is due to, for those that a person will look at and whose model does not
    /// tell by itself: the share of each feature of the model, negative where it spoke against.
    pub attribution: Option<&'a [f32]>,
    /// Are the contributions told that the model has of each feature?
    pub tells_contributions: bool,
}

impl<'a> Step<'a> {
    /// The name of an asset of the partition in `slot`.
    pub fn asset(&self, slot: u32, asset: u32) -> &'a str {
        self.partitions.at(slot).assets.name(asset)
    }

    /// The number of the partition in `slot`.
    pub fn partition(&self, slot: u32) -> i32 {
        self.partitions.at(slot).partition
    }

    /// All results that are to be published, but those of challengers: each model's verdicts in the order of
    /// the rows, then the rows without one.
    pub fn results(&self) -> impl Iterator<Item = Scored<'a>> {
        self.results_of(|role| role != Role::Challenger)
    }

    /// Results of challengers.
    pub fn shadow_results(&self) -> impl Iterator<Item = Scored<'a>> {
        self.results_of(|role| role == Role::Challenger)
    }

    fn results_of(&self, wanted: impl Fn(Role) -> bool) -> impl Iterator<Item = Scored<'a>> {
        let plan = self.plan;
        let models = plan.models.iter().zip(self.outputs);
        let models = models.filter(move |(model, _)| wanted(model.role));
        let views = self.views;
        let all = models.flat_map(move |(model, output)| {
            let verdicts = output.rows.iter().enumerate().map(|(i, row)| {
                let verdict = output.verdicts.get(i).ok_or(Unscored::ScoreNotFinite);
                (*row, verdict, output.attribution(i))
            });
            let unscored = output.unscored.iter();
            let unscored = unscored.map(|(row, reason)| (*row, Err(reason.clone()), None));
            let view = &views[model.view];
            verdicts
                .chain(unscored)
                .map(move |(row, verdict, attribution)| Scored {
                    model,
                    head: view.heads[row as usize],
                    superseded: view.superseded_by(row as usize),
                    tells_contributions: verdict
                        .as_ref()
                        .is_ok_and(|verdict| plan.tells_contributions(model, verdict)),
                    verdict,
                    attribution,
                })
        });
        all.filter(|scored| scored.head.publish)
    }
}
