//! Inputs that wait for a model, and what its rows need of the asset's earlier ones.

use std::time::Duration;

use forewarn_models::contract::Sequence;
use forewarn_models::scorer::ScoreError;
use forewarn_models::{Model, Padding, Verdicts};
use hashbrown::HashSet;

use super::EngineError;
use super::step::ModelOutput;
use crate::alarms::{AlarmSpec, is_flagged};
use crate::clocks::micros;
use crate::plan::PlannedModel;
use crate::rows::Head;
use crate::sequence::{Columns, Put, Sequences, Wanted};
use crate::state::ModelState;
use crate::unscored::Unscored;

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub input: Vec<f32>,
    pub rows: Vec<u32>,
    /// Recurrent models: the states of the rows, and whose they are; `None`: they are dropped.
    pub states: Vec<f32>,
    /// The states that the rows found, where results are attributed.
    found: Vec<f32>,
    pub owners: Vec<Option<(u32, u32)>>,
    pub waiting: HashSet<(u32, u32)>,
}

/// How sequences are gathered, for a model or for a table.
pub(super) struct Gathering<'a> {
    pub columns: &'a Columns,
    pub sequence: Sequence,
    pub max_gap: Option<Duration>,
    /// Only counted otherwise.
    pub wanted: bool,
}

/// A row on its way to the models of its view.
pub(super) struct Row<'a> {
    pub index: u32,
    pub head: &'a Head,
    pub values: &'a [f32],
    /// Where it went in the view's sequences; `None`: it is older than all that is kept.
    pub put: Option<Put>,
}

impl Pending {
    pub fn clear(&mut self) {
        self.input.clear();
        self.rows.clear();
        self.states.clear();
        self.found.clear();
        self.owners.clear();
        self.waiting.clear();
    }

    /// A model over the last L rows, or a forecast with the row that it is compared with.
    pub fn sequence(
        &mut self,
        gathering: &Gathering<'_>,
        sequences: &Sequences,
        memory: &mut ModelState,
        row: &Row<'_>,
    ) -> Result<(), Unscored> {
        let Sequence {
            length,
            padding,
            step,
            min_rows,
        } = gathering.sequence;
        let asset = row.head.asset;
        memory.admit(asset, 0);
        let rows = &mut memory.rows[asset as usize];
        if row.head.is_provisional() {
            return self.ahead(gathering, sequences, *rows as usize, row);
        }
        let Some(Put { age, gap, replaced }) = row.put else {
            return Err(Unscored::SequenceMovedOn);
        };
        let max_gap = gathering.max_gap.map(micros);
        if let (Some(gap), Some(max)) = (gap, max_gap)
            && gap > max
        {
            *rows = 0;
        }
        *rows = rows.saturating_add(u32::from(!replaced));
        let most = (*rows as usize).saturating_sub(age);
        if most < min_rows {
            return Err(Unscored::InsufficientHistory {
                rows: most,
                needed: min_rows,
            });
        }
        let is_new = age == 0 && !replaced;
        if !gathering.wanted || (is_new && !(most - min_rows).is_multiple_of(step)) {
            return Ok(());
        }
        let wanted = Wanted {
            length,
            padding,
            age,
            most,
        };
        if sequences.gather(asset, wanted, gathering.columns, &mut self.input) {
            self.rows.push(row.index);
            return Ok(());
        }
        // A revised row whose predecessors have left the ring.
        Err(Unscored::SequenceMovedOn)
    }

    /// The sequence as it will be if the window ends with the rows that it has: it is not kept.
    fn ahead(
        &mut self,
        gathering: &Gathering<'_>,
        sequences: &Sequences,
        most: usize,
        row: &Row<'_>,
    ) -> Result<(), Unscored> {
        let Gathering {
            columns, sequence, ..
        } = gathering;
        let rows = most.min(sequences.rows(row.head.asset)) + 1;
        if rows < sequence.min_rows {
            return Err(Unscored::InsufficientHistory {
                rows,
                needed: sequence.min_rows,
            });
        }
        if !row.head.publish {
            return Ok(());
        }
        let wanted = Wanted {
            length: sequence.length - 1,
            padding: Padding::Edge,
            age: 0,
            most,
        };
        if sequence.length > 1
            && !sequences.gather(row.head.asset, wanted, columns, &mut self.input)
        {
            (1..sequence.length).for_each(|_| columns.take(row.values, &mut self.input));
        }
        columns.take(row.values, &mut self.input);
        self.rows.push(row.index);
        Ok(())
    }

    /// A model that takes one row and what it remembers of the asset.
    pub fn recurrent(
        &mut self,
        planned: &PlannedModel,
        memory: &mut ModelState,
        row: &Row<'_>,
    ) -> Result<(), Unscored> {
        let (asset, at) = (row.head.asset, row.head.event_at);
        let width = planned.model.state_len();
        memory.admit(asset, width);
        let latest = memory.latest[asset as usize];
        if at < latest || row.head.window().is_some_and(|window| window.revision > 0) {
            return Err(Unscored::SequenceMovedOn);
        }
        let max_gap = planned.model.contract.max_gap.map(micros);
        if latest != i64::MIN && max_gap.is_some_and(|max| at - latest > max) {
            memory.forget(asset, width);
        }
        // Also when nothing is to be published: the state depends on it.
        planned.columns.take(row.values, &mut self.input);
        self.states
            .extend_from_slice(&memory.recurrent[asset as usize * width..][..width]);
        self.rows.push(row.index);
        if row.head.is_provisional() {
            self.owners.push(None);
            return Ok(());
        }
        memory.latest[asset as usize] = at;
        let owner = (row.head.slot, asset);
        self.owners.push(Some(owner));
        self.waiting.insert(owner);
        Ok(())
    }

    /// What a waiting row of the asset leaves is not kept.
    pub fn disown(&mut self, owner: (u32, u32)) {
        if self.waiting.remove(&owner) {
            let owners = self.owners.iter_mut();
            owners
                .filter(|kept| **kept == Some(owner))
                .for_each(|kept| *kept = None);
        }
    }

    /// Asks which features the verdicts are due to that a person will look at.
    pub fn attribute(
        &self,
        model: &mut Model,
        alarms: &[&AlarmSpec],
        output: &mut ModelOutput,
    ) -> Result<(), EngineError> {
        let first = output.rows.len();
        let flagged = (0..self.rows.len()).filter(|row| {
            let verdict = output.verdicts.get(first + row);
            verdict.is_some_and(|verdict| is_flagged(&verdict, alarms.iter().copied()))
        });
        let flagged: Vec<usize> = flagged.collect();
        if flagged.is_empty() {
            return Ok(());
        }
        let width = model.contract.input_len();
        let of_flagged = |values: &[f32], width: usize| -> Vec<f32> {
            let values = flagged.iter().map(|row| &values[row * width..][..width]);
            values.flatten().copied().collect()
        };
        let rows = of_flagged(&self.input, width);
        let states = of_flagged(&self.found, model.state_len());
        output
            .attributed
            .extend(flagged.iter().map(|row| first + row));
        let attributed = model.attribute(&rows, &states, &mut output.shares);
        attributed.map_err(|source| failed(model, source))
    }

    /// Scores the rows. `attributed`: it may be asked afterwards what their results are due to.
    pub fn run(
        &mut self,
        model: &mut Model,
        attributed: bool,
        verdicts: &mut Verdicts,
    ) -> Result<(), EngineError> {
        if attributed {
            self.found.clone_from(&self.states);
        }
        model
            .score_recurrent(&self.input, &mut self.states, verdicts)
            .map_err(|source| failed(model, source))
    }
}

fn failed(model: &Model, source: ScoreError) -> EngineError {
    EngineError::Score {
        model: model.name.clone(),
        version: model.version,
        source,
    }
}
