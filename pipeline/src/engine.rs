//! The engine: from messages to verdicts. It decides; it has no clock, no Kafka, no thread and no file.
//!
//! ```text
//!   messages → decode → readings → features → rows → rings → [B, L, F] → model → verdicts
//!                 └→ refused          └→ refused                 └→ refused
//! ```
//!
//! Invariants:
//! - outputs are a function of a partition's records: the same wherever the batches are cut, live, in a
//!   replay or from a file;
//! - a reading is scored by all models of its views or by none: one that can't be is refused as a whole,
//!   before it enters any sequence (only a graph that gives no finite number is found later);
//! - a record below a partition's `next_offset` changes nothing; one below `publish_from` changes state
//!   and causes no output.

use forewarn_models::contract::Sequence;
use forewarn_models::{Verdicts, scorer::ScoreError};
use polars::prelude::DataFrame;

use crate::config::Config;
use crate::decode::{JsonDecoder, TableDecoder, TableError};
use crate::feature::FeatureError;
use crate::message::Message;
use crate::plan::{Plan, PlannedModel};
use crate::reading::Readings;
use crate::refusal::{Refusal, Refused};
use crate::sequence::Sequences;
use crate::state::{Assets, PartitionState, Partitions};

/// Inputs gathered before a model runs: a batch that stays in the cache, and the scorer's own limit.
const SCORE_ROWS: usize = 256;

/// The engine of one worker.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    messages: JsonDecoder,
    tables: TableDecoder,
    partitions: Partitions,
    readings: Readings,
    features: Features,
    /// Inputs waiting for each model.
    pending: Vec<Pending>,
    outputs: Vec<ModelOutput>,
    refused: Vec<Refused>,
}

/// Feature rows of one view, reused from view to view.
#[derive(Debug, Default)]
struct Features {
    /// Readings that are refused, for their features or their score.
    dropped: Vec<bool>,
    /// Row-major `[n, F]`, per view.
    rows: Vec<Vec<f32>>,
    refused: Vec<(usize, Refusal)>,
}

#[derive(Debug, Default)]
struct Pending {
    input: Vec<f32>,
    rows: Vec<u32>,
}

/// What one model said of a batch.
#[derive(Debug, Default)]
pub struct ModelOutput {
    /// Index of the reading that each verdict is about.
    pub rows: Vec<u32>,
    pub verdicts: Verdicts,
}

/// Why a step failed; the engine must not be used further without new state.
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

/// The result of a step, borrowed from the engine.
#[derive(Debug)]
pub struct Step<'a> {
    pub readings: &'a Readings,
    pub plan: &'a Plan,
    /// One per model of the plan.
    pub outputs: &'a [ModelOutput],
    pub refused: &'a [Refused],
    partitions: &'a Partitions,
}

impl Step<'_> {
    /// The name of the asset of reading `row`.
    ///
    /// # Panics
    /// When there is no such reading.
    pub fn asset(&self, row: u32) -> &str {
        let row = row as usize;
        self.partitions
            .assets(self.readings.partition[row])
            .name(self.readings.asset[row])
    }
}

impl Engine {
    pub fn new(config: &Config, plan: Plan) -> Self {
        let models = plan.models.len();
        Engine {
            messages: JsonDecoder::new(config),
            tables: TableDecoder::new(config),
            partitions: Partitions::default(),
            readings: Readings::new(config.signals.len()),
            features: Features {
                rows: vec![Vec::new(); plan.views.len()],
                ..Features::default()
            },
            pending: (0..models).map(|_| Pending::default()).collect(),
            outputs: (0..models).map(|_| ModelOutput::default()).collect(),
            refused: Vec::new(),
            plan,
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes a partition over with empty state. Records from `start` on build it up; only those from
    /// `publish_from` on cause outputs.
    pub fn assign(&mut self, partition: i32, start: i64, publish_from: i64) {
        let sequences = self.plan.views.iter().map(|view| {
            (view.sequence > 0).then(|| Sequences::new(view.sequence, view.view.width()))
        });
        self.partitions.insert(PartitionState {
            partition,
            next_offset: start,
            publish_from,
            assets: Assets::default(),
            sequences: sequences.collect(),
        });
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
        self.messages.decode(
            messages,
            &mut self.partitions,
            &mut self.readings,
            &mut self.refused,
        );
        self.finish()
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
        let (partitions, readings) = (&mut self.partitions, &mut self.readings);
        self.tables
            .decode(frame, slot, offset, partitions, readings, &mut self.refused)?;
        self.finish()
    }

    fn begin(&mut self) {
        self.readings.clear();
        self.refused.clear();
        for output in &mut self.outputs {
            output.rows.clear();
            output.verdicts.clear();
        }
    }

    fn finish(&mut self) -> Result<Step<'_>, EngineError> {
        self.evaluate_views()?;
        for view in 0..self.plan.views.len() {
            self.score_view(view)?;
        }
        self.refuse_verdicts();
        Ok(Step {
            readings: &self.readings,
            plan: &self.plan,
            outputs: &self.outputs,
            refused: &self.refused,
            partitions: &self.partitions,
        })
    }

    /// Computes all feature rows; a reading that one view can't use is dropped for all of them.
    fn evaluate_views(&mut self) -> Result<(), EngineError> {
        let Features {
            dropped,
            rows,
            refused,
        } = &mut self.features;
        dropped.clear();
        dropped.resize(self.readings.len(), false);
        for (planned, rows) in self.plan.views.iter().zip(rows) {
            refused.clear();
            planned.view.evaluate(&self.readings, rows, refused)?;
            for (row, refusal) in refused.drain(..) {
                let (slot, offset) = (self.readings.partition[row], self.readings.offset[row]);
                let publish = offset >= self.partitions.state(slot).publish_from;
                if !std::mem::replace(&mut dropped[row], true) && publish {
                    self.refused.push(Refused {
                        message: self.readings.message[row],
                        refusal,
                    });
                }
            }
        }
        Ok(())
    }

    /// Appends the view's rows to their sequences and scores what is due.
    fn score_view(&mut self, view: usize) -> Result<(), EngineError> {
        let Engine {
            plan: Plan { views, models },
            partitions,
            readings,
            features,
            pending,
            outputs,
            ..
        } = self;
        let planned = &views[view];
        let rows = features.rows[view].chunks_exact(planned.view.width());
        for (row, values) in rows.enumerate().filter(|(row, _)| !features.dropped[*row]) {
            let asset = readings.asset[row];
            let state = partitions.state(readings.partition[row]);
            let publish = readings.offset[row] >= state.publish_from;
            let mut sequences = state.sequences[view].as_mut();
            if let Some(sequences) = &mut sequences {
                sequences.append(asset, values);
            }
            for &model in planned.models.iter().filter(|_| publish) {
                let pending = &mut pending[model];
                let gathered = pending.gather(&models[model], asset, values, sequences.as_deref());
                if gathered {
                    pending.rows.push(row as u32);
                }
                if pending.rows.len() == SCORE_ROWS {
                    pending.score(&mut models[model], &mut outputs[model])?;
                }
            }
        }
        for &model in &planned.models {
            pending[model].score(&mut models[model], &mut outputs[model])?;
        }
        Ok(())
    }

    /// Refuses readings whose verdict is not finite, once each.
    fn refuse_verdicts(&mut self) {
        let dropped = &mut self.features.dropped;
        for (planned, output) in self.plan.models.iter().zip(&self.outputs) {
            for (i, &row) in output.rows.iter().enumerate() {
                let row = row as usize;
                if output.verdicts.get(i).is_none() && !std::mem::replace(&mut dropped[row], true) {
                    let message = self.readings.message[row];
                    let model = planned.model.name.clone();
                    let refusal = Refusal::ScoreNotFinite { model };
                    self.refused.push(Refused { message, refusal });
                }
            }
        }
    }
}

impl Pending {
    /// Appends the input of one reading; false when its sequence is still too short.
    fn gather(
        &mut self,
        planned: &PlannedModel,
        asset: u32,
        values: &[f32],
        sequences: Option<&Sequences>,
    ) -> bool {
        match (planned.model.contract.sequence, sequences) {
            (Some(Sequence { length, padding }), Some(sequences)) => {
                sequences.gather(asset, length, padding, &planned.columns, &mut self.input)
            }
            _ => {
                planned.columns.take(values, &mut self.input);
                true
            }
        }
    }

    /// Scores what is waiting.
    fn score(
        &mut self,
        planned: &mut PlannedModel,
        output: &mut ModelOutput,
    ) -> Result<(), EngineError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let model = &mut planned.model;
        model
            .score(&self.input, &mut output.verdicts)
            .map_err(|source| EngineError::Score {
                model: model.name.clone(),
                version: model.version,
                source,
            })?;
        output.rows.append(&mut self.rows);
        self.input.clear();
        Ok(())
    }
}
