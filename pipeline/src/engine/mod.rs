//! The engine: from messages to verdicts. It decides; it has no clock, no Kafka, no thread and no file.
//!
//! ```text
//!   messages → decode ─┬────────────────────────────▶ views over single readings, as they come ─┐
//!                 │    └→ held → aligned → conditions ┬▶ views in the order of event time ──────┤
//!                 │        (until the watermark)      └▶ windows → views → views over views ────┤
//!                 └→ refused                └→ late                                             ▼
//!                                                              rings, states → models → verdicts, or why not
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `stages.rs` | order, alignment, conditions, views, windows |
//! | `scoring.rs` | which model scores a row |
//! | `pending.rs` | sequences, recurrent state, batches of inputs |
//! | `alarming.rs` | the results of each asset, judged for alarms |
//! | `step.rs` | the result of a step |
//! | `swap.rs` | another version of a model, between two steps |
//!
//! Invariants:
//! - outputs are a function of a partition's records and marks: the same wherever the batches are cut, live,
//!   in a replay or from a file;
//! - every row of a view gets one result from each group of models that takes its asset: a verdict, or the
//!   reason why there is none. Only a row between two scores of a sequence with a step has none;
//! - a challenger changes nothing but its own results;
//! - a record below a partition's `next_offset` changes nothing; what became due before `publish_from`
//!   changes state and causes no output.

mod alarming;
mod pending;
mod scoring;
mod stages;
mod step;
mod swap;

use std::collections::BTreeMap;

use forewarn_models::scorer::ScoreError;
use polars::prelude::DataFrame;

use crate::clocks::micros;
use crate::config::{Config, Limits};
use crate::decode::{Decoded, JsonDecoder, TableDecoder, TableError};
use crate::feature::FeatureError;
use crate::marks::{Mark, What};
use crate::message::Message;
use crate::notices::Notice;
use crate::plan::{Plan, PlannedModel};
use crate::prediction::EventTimestamp;
use crate::saved::{Change, SavedAsset, SavedPartition};
use crate::state::{PartitionState, Partitions};
use crate::watermark::{Advance, Watermark};

pub use step::{Gathered, Late, ModelOutput, Scored, Step};
pub use swap::Swapped;

use alarming::Alarming;
use scoring::Scoring;
use stages::Stages;

/// How often, within the time after which assets are evicted, it is looked which ones are.
const EVICTIONS: i64 = 8;

/// The engine of one worker.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    limits: Limits,
    /// Out-of-orderness bound in microseconds.
    bound: i64,
    messages: JsonDecoder,
    tables: TableDecoder,
    partitions: Partitions,
    stages: Stages,
    scoring: Scoring,
    alarming: Alarming,
}

/// Why a step failed: the partitions must be assigned anew before the next one.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Feature(#[from] FeatureError),
    #[error("model {model} version {version}: {source}")]
    Score {
        model: String,
        version: u32,
        source: ScoreError,
    },
    #[error(transparent)]
    Table(#[from] TableError),
}

impl EngineError {
    /// What the service does about it. None of these is a fault of a message (those are refused, never
    /// errors) nor passes by itself: going on would skip readings silently.
    pub fn disposition(&self) -> Disposition {
        match self {
            EngineError::Feature(_) | EngineError::Score { .. } | EngineError::Table(_) => {
                Disposition::Halt
            }
        }
    }
}

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Go back to the last committed state and try again.
    Retry,
    /// Stop, with an error for a person; what was committed stays right.
    Halt,
}

impl Engine {
    pub fn new(config: &Config, plan: Plan) -> Self {
        Engine {
            limits: config.limits.clone(),
            bound: micros(config.event_time.out_of_orderness),
            messages: JsonDecoder::new(config),
            tables: TableDecoder::new(config),
            partitions: Partitions::default(),
            stages: Stages::new(&plan, config),
            scoring: Scoring::new(&plan),
            alarming: Alarming::new(&plan),
            plan,
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Challengers that failed and are left out: place in the plan, model, reason.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &PlannedModel, &str)> {
        let failed = self.scoring.failed();
        failed.map(|(place, reason)| (place, &self.plan.models[place], reason))
    }

    /// Takes a partition over with empty state. Records from `start` on build it up, `marks` coming back at
    /// their offsets; only what becomes due from `publish_from` on causes outputs.
    pub fn assign(&mut self, partition: i32, start: i64, publish_from: i64, marks: Vec<Mark>) {
        let (mut advances, mut notices) = (Vec::new(), Vec::new());
        for Mark { offset, what } in marks {
            match what {
                What::Watermark(EventTimestamp(watermark)) => {
                    advances.push(Advance { offset, watermark });
                }
                What::Notice(notice) => notices.push((offset, notice)),
            }
        }
        let watermark = Watermark::new(self.bound, advances, publish_from);
        let mut state = PartitionState::new(partition, start, publish_from, watermark);
        for (offset, notice) in notices {
            if let Some(status) = self.plan.conditions.noticed(&notice.status) {
                state.notices.take(offset, status, &notice);
            }
        }
        self.stages.prepare(&self.plan, &self.limits, &mut state);
        self.scoring.prepare(&self.plan, &mut state);
        self.partitions.insert(state);
    }

    /// Writes the state of a partition down: hands over what has changed since the last call (all of it the first
    /// time), and gives what the assets share.
    ///
    /// # Panics
    /// When the partition is not assigned.
    pub fn save(&mut self, partition: i32, on: impl FnMut(Change<'_>)) -> SavedPartition {
        let slot = self.partitions.slot(partition);
        let slot = slot.expect("the partition is assigned");
        self.partitions.state(slot).save(&self.plan, on)
    }

    /// The state of a partition's assets, by name; `None` when it is not assigned.
    pub fn export(&self, partition: i32) -> Option<BTreeMap<String, SavedAsset>> {
        let slot = self.partitions.slot(partition)?;
        Some(self.partitions.at(slot).export(&self.plan))
    }

    /// Takes the state of a partition in that was just assigned, from where it was written down.
    ///
    /// # Panics
    /// When the partition is not assigned.
    pub fn restore<'a>(
        &mut self,
        partition: i32,
        saved: &SavedPartition,
        assets: impl Iterator<Item = (&'a str, &'a SavedAsset)>,
    ) {
        let slot = self.partitions.slot(partition);
        let slot = slot.expect("the partition is assigned");
        let state = self.partitions.state(slot);
        state.restore(saved);
        for (name, asset) in assets {
            state.restore_asset(&self.plan, slot, name, asset);
        }
    }

    /// Gives a partition up; its state is forgotten.
    pub fn revoke(&mut self, partition: i32) {
        self.partitions.remove(partition);
    }

    /// The partitions it owns.
    pub fn partitions(&self) -> impl Iterator<Item = &PartitionState> {
        self.partitions.iter()
    }

    /// Takes a batch of messages through all stages.
    ///
    /// # Errors
    /// When a view or a model fails; a bad message is refused in the result instead.
    pub fn step(&mut self, messages: &[Message<'_>]) -> Result<Step<'_>, EngineError> {
        self.begin();
        let mut read = 0;
        while read < messages.len() {
            let mut to = self.stages.decoded(&mut self.partitions);
            read = self.messages.decode(messages, read, &mut to);
            self.segment()?;
        }
        Ok(self.end())
    }

    /// Takes the rows of a table through all stages, as the next records of `partition`.
    ///
    /// # Errors
    /// As [`Self::step`], and when the table lacks columns.
    ///
    /// # Panics
    /// When the partition is not assigned.
    pub fn step_table(
        &mut self,
        partition: i32,
        frame: &DataFrame,
    ) -> Result<Step<'_>, EngineError> {
        self.begin();
        let slot = self
            .partitions
            .slot(partition)
            .expect("the partition is assigned");
        let offset = self.partitions.state(slot).next_offset;
        let mut read = 0;
        while read < frame.height() {
            let mut to: Decoded<'_> = self.stages.decoded(&mut self.partitions);
            read = self.tables.decode(frame, read, (slot, offset), &mut to)?;
            self.segment()?;
        }
        Ok(self.end())
    }

    /// Moves a quiet partition's watermark without a record. Whoever calls it must keep the mark, at the
    /// partition's `next_offset`, and give it back to [`Self::assign`] when the partition is rebuilt.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn advance(&mut self, partition: i32, watermark: i64) -> Result<Step<'_>, EngineError> {
        self.begin();
        if let Some(slot) = self.partitions.slot(partition) {
            let state = self.partitions.state(slot);
            state.watermark.reach(state.next_offset);
            state.watermark.advance(watermark);
            self.segment()?;
        }
        Ok(self.end())
    }

    /// Takes a notice in, which the records that come next, and were not published before, know of. Whoever calls
    /// it must keep the mark that it gives, and hand it to [`Self::assign`] when the partition is rebuilt. `None`
    /// when the partition has it already, or when no status of the plan has its name.
    pub fn notice(&mut self, partition: i32, notice: &Notice) -> Option<Mark> {
        let status = self.plan.conditions.noticed(&notice.status)?;
        let slot = self.partitions.slot(partition)?;
        let state = self.partitions.state(slot);
        if state.notices.is_known(status, notice) {
            return None;
        }
        // While state is rebuilt, its records are those before `publish_from`: they did not know of it.
        let offset = state.next_offset.max(state.publish_from);
        state.notices.take(offset, status, notice);
        state.notices.prune(&notice.asset, status);
        Some(Mark::notice(offset, notice.clone()))
    }

    /// Applies the marks that stand behind the last record of each partition: the end of a replay.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn reach_marks(&mut self) -> Result<Step<'_>, EngineError> {
        self.begin();
        for state in self.partitions.iter_mut() {
            state.watermark.reach(state.next_offset);
        }
        self.segment()?;
        Ok(self.end())
    }

    fn begin(&mut self) {
        let stateless = !self.plan.has_state();
        for state in self.partitions.iter_mut() {
            state.held.begin_batch();
            state.assets.begin_batch();
            if stateless {
                state.assets.clear();
                state.routes.clear();
            }
        }
        self.stages.begin();
        self.scoring.begin();
        self.alarming.begin();
    }

    /// Takes what was decoded through the stages, and evicts what is due.
    fn segment(&mut self) -> Result<(), EngineError> {
        let fresh = self.stages.run(&self.plan, &mut self.partitions)?;
        self.scoring.run(
            &mut self.plan,
            &mut self.partitions,
            self.stages.views(),
            &fresh,
        )?;
        self.alarming.run(
            &self.plan,
            &mut self.partitions,
            self.stages.views(),
            self.scoring.outputs(),
        );
        if let Some(after) = self.limits.evict_after {
            for slot in self.partitions.slots() {
                self.evict(slot, micros(after));
            }
        }
        Ok(())
    }

    /// Forgets assets without a reading for `after`, when the watermark has come to a time to look.
    fn evict(&mut self, slot: u32, after: i64) {
        let every = (after / EVICTIONS).max(1_000_000);
        let state = self.partitions.state(slot);
        let at = state.watermark.at();
        if at == i64::MIN || at < state.next_eviction {
            return;
        }
        state.next_eviction = (at.div_euclid(every) + 1).saturating_mul(every);
        for asset in state.assets.evict(at.saturating_sub(after)) {
            self.stages.forget(&self.plan, state, asset);
            self.scoring.forget(&self.plan, state, asset);
            self.alarming.forget(&self.plan, state, slot, asset);
        }
    }

    fn end(&mut self) -> Step<'_> {
        self.stages
            .late
            .sort_by_key(|late| (late.slot, late.offset));
        Step {
            plan: &self.plan,
            views: self.stages.views(),
            outputs: self.scoring.outputs(),
            sequences: self.scoring.gathered(),
            refused: &self.stages.refused,
            late: &self.stages.late,
            changes: &self.stages.changes,
            alarms: &self.alarming.changes,
            readings: self.stages.readings,
            ignored: self.stages.ignored,
            familiar: self.stages.familiar,
            duplicates: self.stages.duplicates,
            partitions: &self.partitions,
        }
    }
}
