//! From the rows of views to verdicts: which model scores a row, and when a batch of inputs is full.
//!
//! Rows enter in the order of their release. A batch of inputs is gathered before a model runs; the rows of a
//! recurrent model need the state that the row before them left, so an asset stands in a batch once.

use super::EngineError;
use super::pending::{Gathering, Pending, Row};
use super::step::{Gathered, ModelOutput};
use crate::alarms::AlarmSpec;
use crate::plan::{GatheredView, Plan, PlannedView, Role};
use crate::routing::Routes;
use crate::rows::{Head, Rows};
use crate::sequence::{Columns, Sequences};
use crate::state::{ModelState, PartitionState, Partitions};
use crate::unscored::Unscored;

/// Inputs gathered before a model runs: a batch that stays in the cache, and the scorer's own limit.
const SCORE_ROWS: usize = 256;

/// Rows whose state is looked at together, before they are taken one by one: few enough to stay in the cache.
const TOUCHED: usize = 512;

#[derive(Debug)]
pub(super) struct Scoring {
    /// Inputs waiting for each model.
    pending: Vec<Pending>,
    outputs: Vec<ModelOutput>,
    /// Sequences for a table.
    gathered: Pending,
    row: Vec<f32>,
    /// Why a challenger is left out from now on, by model.
    failed: Vec<Option<String>>,
}

impl Scoring {
    pub fn new(plan: &Plan) -> Self {
        let models = plan.models.len();
        Scoring {
            pending: (0..models).map(|_| Pending::default()).collect(),
            outputs: (0..models).map(|_| ModelOutput::default()).collect(),
            gathered: Pending::default(),
            row: Vec::new(),
            failed: vec![None; models],
        }
    }

    /// Makes the state that a new partition needs.
    pub fn prepare(&self, plan: &Plan, state: &mut PartitionState) {
        let sequences = plan.views.iter().map(|view| {
            (view.sequence > 0).then(|| Sequences::new(view.sequence, view.view.width()))
        });
        state.sequences = sequences.collect();
        state.models = plan.models.iter().map(|_| ModelState::default()).collect();
        state.routes = Routes::new(plan.groups.len());
    }

    pub fn forget(&self, plan: &Plan, state: &mut PartitionState, asset: u32) {
        for sequences in state.sequences.iter_mut().flatten() {
            sequences.forget(asset);
        }
        for (model, planned) in state.models.iter_mut().zip(&plan.models) {
            model.forget(asset, planned.model.state_len());
        }
        state.gathered.forget(asset, 0);
        state.routes.forget(asset);
    }

    /// A new batch begins. What a step that failed left waiting is dropped: its state is forgotten too.
    pub fn begin(&mut self) {
        self.pending.iter_mut().for_each(Pending::clear);
        self.outputs.iter_mut().for_each(ModelOutput::clear);
        self.gathered.clear();
    }

    /// Sequences that were gathered for a table.
    pub fn gathered(&self) -> Gathered<'_> {
        Gathered {
            rows: &self.gathered.rows,
            values: &self.gathered.input,
        }
    }

    pub fn outputs(&self) -> &[ModelOutput] {
        &self.outputs
    }

    /// Challengers that failed, as places in the plan, with the reason.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &str)> {
        let failed = self.failed.iter().enumerate();
        failed.filter_map(|(model, reason)| Some((model, reason.as_deref()?)))
    }

    /// A challenger that failed is another version now.
    pub fn admit_again(&mut self, model: usize) {
        self.failed[model] = None;
    }

    /// Scores the rows of each view from its place in `begins` on.
    pub fn run(
        &mut self,
        plan: &mut Plan,
        partitions: &mut Partitions,
        views: &[Rows],
        begins: &[usize],
    ) -> Result<(), EngineError> {
        for view in 0..plan.views.len() {
            let gathered = plan.sequences.is_some_and(|gathered| gathered.view == view);
            if plan.views[view].groups.is_empty() && !gathered {
                continue;
            }
            let rows = &views[view];
            for row in begins[view]..rows.len() {
                if (row - begins[view]).is_multiple_of(TOUCHED) {
                    let until = (row + TOUCHED).min(rows.len());
                    touch(partitions, view, &rows.heads[row..until]);
                }
                self.row(plan, partitions, (view, row), rows)?;
            }
        }
        for model in 0..plan.models.len() {
            self.score(plan, partitions, model)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        plan: &mut Plan,
        partitions: &mut Partitions,
        (view, index): (usize, usize),
        rows: &Rows,
    ) -> Result<(), EngineError> {
        let planned = &plan.views[view];
        let head = &rows.heads[index];
        let mut values = std::mem::take(&mut self.row);
        values.clear();
        values.extend(rows.columns.iter().map(|column| column[index] as f32));
        let reason = why_not(planned, head, &values);
        let mut put = None;
        if let Some(sequences) = &mut partitions.state(head.slot).sequences[view]
            && reason.is_none()
            && !head.is_provisional()
        {
            let revision = head.window().is_some_and(|window| window.revision > 0);
            put = sequences.put(head.asset, head.event_at, &values, revision);
        }
        let row = Row {
            index: index as u32,
            head,
            values: &values,
            put,
        };
        if let Some(gathered) = plan.sequences.filter(|gathered| gathered.view == view)
            && reason.is_none()
            && !head.is_provisional()
        {
            self.gather_for_table(gathered, partitions, &row);
        }
        for at in 0..plan.views[view].groups.len() {
            let group = plan.views[view].groups[at];
            let route = self.route(plan, partitions, (group, rows, index), reason.is_some());
            let Some((model, closed)) = route else {
                continue;
            };
            let reason = reason.as_ref().or(closed.as_ref());
            self.enter(plan, partitions, model, &row, reason)?;
            for at in 0..plan.models[model].challengers.len() {
                let challenger = plan.models[model].challengers[at];
                self.enter(plan, partitions, challenger, &row, reason)?;
            }
        }
        self.row = values;
        Ok(())
    }

    /// The model of a group that scores a row, and why it does not if no entry may; `None`: the group is not for
    /// this asset. Of a row that is `unscorable` the gates are not asked.
    fn route(
        &mut self,
        plan: &Plan,
        partitions: &mut Partitions,
        (group, rows, row): (usize, &Rows, usize),
        unscorable: bool,
    ) -> Option<(usize, Option<Unscored>)> {
        let (planned, head) = (&plan.groups[group], &rows.heads[row]);
        let state = partitions.state(head.slot);
        let PartitionState {
            routes,
            assets,
            models,
            ..
        } = state;
        let takes = |member: &usize| {
            plan.models[*member]
                .selection
                .takes(assets.name(head.asset))
        };
        let first = if planned.undivided {
            0
        } else {
            routes.first(head.asset, group, || planned.members.iter().position(takes))?
        };
        if !planned.gated || unscorable {
            return Some((planned.members[first], None));
        }
        let (mut chosen, mut closed) = (None, None);
        for member in planned.members[first..].iter().copied() {
            if !takes(&member) {
                continue;
            }
            let gates = &plan.models[member].gates;
            let gate = gates.iter().find(|gate| !gate.is_open(rows, row));
            if gate.is_none() && chosen.is_none() {
                chosen = Some(member);
                continue;
            }
            closed = closed.or(gate.map(|gate| (member, gate)));
            if !head.is_provisional() {
                // What comes after rows that it did not see is not a continuation of what came before.
                let challengers = plan.models[member].challengers.iter().copied();
                for model in challengers.chain([member]) {
                    models[model].forget(head.asset, plan.models[model].model.state_len());
                    self.pending[model].disown((head.slot, head.asset));
                }
            }
        }
        match (chosen, closed) {
            (Some(model), _) => Some((model, None)),
            (None, Some((model, gate))) => {
                let reason = Unscored::Regime {
                    feature: gate.name.clone(),
                    only: gate.only,
                };
                Some((model, Some(reason)))
            }
            (None, None) => None,
        }
    }

    /// Hands a row to a model, or says why it is not scored.
    fn enter(
        &mut self,
        plan: &mut Plan,
        partitions: &mut Partitions,
        model: usize,
        row: &Row<'_>,
        reason: Option<&Unscored>,
    ) -> Result<(), EngineError> {
        if self.failed[model].is_some() {
            return Ok(());
        }
        let told = match reason {
            Some(reason) => Err(reason.clone()),
            None => self.gather(plan, partitions, model, row)?,
        };
        if let (Err(reason), true) = (told, row.head.publish) {
            self.outputs[model].unscored.push((row.index, reason));
        }
        if self.pending[model].rows.len() == SCORE_ROWS {
            self.score(plan, partitions, model)?;
        }
        Ok(())
    }

    /// Adds the sequence that ends with a row to those for a table. A row with too few before it has none.
    fn gather_for_table(
        &mut self,
        gathered: GatheredView,
        partitions: &mut Partitions,
        row: &Row<'_>,
    ) {
        let PartitionState {
            sequences,
            gathered: memory,
            ..
        } = partitions.state(row.head.slot);
        let Some(sequences) = &sequences[gathered.view] else {
            return;
        };
        let gathering = Gathering {
            columns: &Columns::All,
            sequence: gathered.sequence,
            max_gap: gathered.max_gap,
            wanted: true,
        };
        let _ = self.gathered.sequence(&gathering, sequences, memory, row);
    }

    /// Adds a row's input to what waits for a model, or says why it has none.
    fn gather(
        &mut self,
        plan: &mut Plan,
        partitions: &mut Partitions,
        model: usize,
        row: &Row<'_>,
    ) -> Result<Result<(), Unscored>, EngineError> {
        let owner = (row.head.slot, row.head.asset);
        if self.pending[model].waiting.contains(&owner) {
            self.score(plan, partitions, model)?;
        }
        let (planned, pending) = (&plan.models[model], &mut self.pending[model]);
        let state = partitions.state(row.head.slot);
        let (sequences, memory) = (&state.sequences[planned.view], &mut state.models[model]);
        let wanted = row.head.publish || plan.groups[planned.group].watched();
        let contract = &planned.model.contract;
        let told = match (contract.gathered(), sequences) {
            (Some(sequence), Some(sequences)) => {
                let gathering = Gathering {
                    columns: &planned.columns,
                    sequence,
                    max_gap: contract.max_gap,
                    wanted,
                };
                pending.sequence(&gathering, sequences, memory, row)
            }
            _ if contract.is_recurrent() => pending.recurrent(planned, memory, row),
            _ => {
                if wanted {
                    planned.columns.take(row.values, &mut pending.input);
                    pending.rows.push(row.index);
                }
                Ok(())
            }
        };
        Ok(told)
    }

    /// Scores what waits for a model, and keeps the states that it leaves.
    fn score(
        &mut self,
        plan: &mut Plan,
        partitions: &mut Partitions,
        model: usize,
    ) -> Result<(), EngineError> {
        let (pending, output) = (&mut self.pending[model], &mut self.outputs[model]);
        if pending.rows.is_empty() {
            return Ok(());
        }
        let planned = &mut plan.models[model];
        let attributed =
            planned.role != Role::Challenger && planned.model.contract.is_attributable();
        if let Err(error) = pending.run(&mut planned.model, attributed, &mut output.verdicts) {
            if planned.role != Role::Challenger {
                return Err(error);
            }
            // It must not disturb those that serve.
            *output = ModelOutput::default();
            *pending = Pending::default();
            self.failed[model] = Some(error.to_string());
            return Ok(());
        }
        let width = planned.model.state_len();
        if attributed {
            let group = &plan.groups[planned.group];
            let specs: Vec<&AlarmSpec> = group.alarms.iter().map(|at| &plan.alarms[*at]).collect();
            pending.attribute(&mut planned.model, &specs, output)?;
        }
        output.rows.append(&mut pending.rows);
        for (owner, values) in pending
            .owners
            .drain(..)
            .zip(pending.states.chunks_exact(width.max(1)))
        {
            if let Some((slot, asset)) = owner {
                let kept = &mut partitions.state(slot).models[model].recurrent;
                kept[asset as usize * width..][..width].copy_from_slice(values);
            }
        }
        pending.clear();
        Ok(())
    }
}

/// Looks at the sequences of rows that follow, partition by partition.
fn touch(partitions: &Partitions, view: usize, heads: &[Head]) {
    for heads in heads.chunk_by(|a, b| a.slot == b.slot) {
        let state = partitions.at(heads[0].slot);
        if let Some(sequences) = &state.sequences[view] {
            sequences.touch(heads.iter().map(|head| head.asset));
        }
    }
}

/// Why no model can score a row; rows without a reason enter sequences.
fn why_not(planned: &PlannedView, head: &Head, values: &[f32]) -> Option<Unscored> {
    if let (Some(window), Some(spec)) = (head.window(), &planned.window)
        && window.rows < spec.min_rows
    {
        return Some(Unscored::TooFewRows {
            rows: window.rows,
            needed: spec.min_rows,
        });
    }
    // Also a finite f64 beyond f32 is not finite for the model.
    let feature = values.iter().position(|value| !value.is_finite())?;
    let name = planned.view.feature_name(feature).to_owned();
    Some(match planned.view.passed_column(feature) {
        Some(_) if planned.from.is_none() => Unscored::SignalMissing { signal: name },
        _ => Unscored::FeatureNotFinite { feature: name },
    })
}
