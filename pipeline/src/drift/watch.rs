//! A worker's part in the drift that `/metrics` tells: the rows of its batches, counted into the bins of the references.
//!
//! Of a large batch one of every n rows is looked at, drawn by chance, so that a batch costs the same however long it is.
//! Not every n-th: of assets that come in turn that would be the same few.
//!
//! Not here: windows and distances, which are those of all workers (`live.rs`).

use std::sync::Arc;
use std::time::Instant;

use forewarn_models::Reference;

use super::counts::Counts;
use super::fleet::hash;
use super::live::{Crossing, Live};
use super::random::Random;
use super::seen::{columns, is_first, is_lacking, level};
use crate::config::{Config, Drift};
use crate::engine::Step;
use crate::plan::{PlannedModel, Role};

/// Rows of a batch and a model that are looked at.
const MOST: usize = 1_024;

/// Sees what a worker's steps say.
#[derive(Debug)]
pub struct Watcher {
    /// `None`: nothing is watched.
    settings: Option<Drift>,
    /// Names of entries with a model per asset: there may be thousands, which no metric tells one by one.
    per_asset: Vec<bool>,
    /// By place in the plan.
    watched: Vec<Option<Watched>>,
    random: Random,
    /// Rows of a view that are looked at, and where their verdicts are.
    rows: Vec<(u32, Option<usize>)>,
    column: Vec<f32>,
}

/// A model that is watched.
#[derive(Debug)]
struct Watched {
    version: u32,
    columns: Vec<usize>,
    batch: Batch,
}

/// What was seen of a model in one batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub model: String,
    pub version: u32,
    pub reference: Arc<Reference>,
    pub rows: u64,
    /// Of each row, the hash of its asset's name.
    pub assets: Vec<u64>,
    /// Of the features, then of the score.
    pub counts: Vec<Counts>,
}

impl Watcher {
    pub fn new(config: &Config) -> Self {
        let settings = config.models.drift.clone();
        let entries = config.models.serve.iter();
        Watcher {
            settings: settings.watch.then_some(settings),
            per_asset: entries
                .map(|entry| entry.name.contains("{asset}"))
                .collect(),
            watched: Vec::new(),
            random: Random::default(),
            rows: Vec::new(),
            column: Vec::new(),
        }
    }

    /// Looks at a step, and tells which limits were crossed by it.
    pub fn look(&mut self, step: &Step<'_>, live: &Live, now: Instant) -> Vec<Crossing> {
        let mut crossed = Vec::new();
        if self.settings.is_none() {
            return crossed;
        }
        self.watched.resize_with(step.plan.models.len(), || None);
        for place in 0..step.plan.models.len() {
            self.follow(&step.plan.models[place], place, live);
            if self.watched[place].is_some() {
                self.sample(step, place);
                self.count(step, place);
            }
            if let (Some(watched), Some(settings)) = (&mut self.watched[place], &self.settings)
                && watched.batch.rows > 0
            {
                crossed.extend(live.take(&watched.batch, settings, now));
                watched.batch.clear();
            }
        }
        crossed
    }

    /// Watches the version that is in a place of the plan now.
    fn follow(&mut self, planned: &PlannedModel, place: usize, live: &Live) {
        let (model, watched) = (&planned.model, &mut self.watched[place]);
        if watched
            .as_ref()
            .is_some_and(|of| of.version == model.version)
        {
            return;
        }
        if let Some(of) = watched.take() {
            live.forget(&of.batch.model, of.version);
        }
        let is_watched = planned.role != Role::Challenger && !self.per_asset[planned.entry];
        if let Some(reference) = model.reference.as_ref().filter(|_| is_watched) {
            let all = reference.features.iter().chain(&reference.score);
            *watched = Some(Watched {
                version: model.version,
                columns: columns(planned),
                batch: Batch {
                    model: model.name.clone(),
                    version: model.version,
                    reference: reference.clone(),
                    rows: 0,
                    assets: Vec::new(),
                    counts: all.map(Counts::of).collect(),
                },
            });
        }
    }

    /// Chooses the rows to be looked at.
    fn sample(&mut self, step: &Step<'_>, place: usize) {
        let output = &step.outputs[place];
        let scored = output.rows.iter().enumerate();
        let scored = scored.map(|(at, row)| (*row, Some(at)));
        let lacking = output.unscored.iter().filter(|(_, why)| is_lacking(why));
        let lacking = lacking.map(|(row, _)| (*row, None));
        let all = output.rows.len() + lacking.clone().count();
        let every = all.div_ceil(MOST).max(1);
        let heads = &step.views[step.plan.models[place].view].heads;
        self.rows.clear();
        let (mut part, mut next) = (0, self.random.below(every as u64) as usize);
        for (at, (row, verdict)) in scored.chain(lacking).enumerate() {
            if at != next {
                continue;
            }
            part += every;
            next = part + self.random.below(every as u64) as usize;
            let head = &heads[row as usize];
            if head.publish && is_first(head) {
                self.rows.push((row, verdict));
            }
        }
    }

    fn count(&mut self, step: &Step<'_>, place: usize) {
        let Some(watched) = &mut self.watched[place] else {
            return;
        };
        let Watched { columns, batch, .. } = watched;
        let view = &step.views[step.plan.models[place].view];
        batch.rows = self.rows.len() as u64;
        for (row, _) in &self.rows {
            let head = &view.heads[*row as usize];
            let asset = hash(step.asset(head.slot, head.asset));
            batch.assets.push(asset);
        }
        let of_features = batch.reference.features.iter().zip(&mut batch.counts);
        for ((reference, counts), column) in of_features.zip(columns.iter()) {
            let values = &view.columns[*column];
            let rows = self.rows.iter();
            let column = rows.map(|(row, _)| values[*row as usize] as f32);
            self.column.clear();
            self.column.extend(column);
            counts.extend(reference, &self.column);
        }
        if let (Some(reference), Some(counts)) = (&batch.reference.score, batch.counts.last_mut()) {
            let verdicts = &step.outputs[place].verdicts;
            let verdicts = self.rows.iter().filter_map(|(_, at)| verdicts.get((*at)?));
            let levels = verdicts.filter_map(|verdict| level(&verdict));
            self.column.clear();
            self.column.extend(levels.map(|level| level as f32));
            counts.extend(reference, &self.column);
        }
    }
}

impl Batch {
    fn clear(&mut self) {
        self.rows = 0;
        self.assets.clear();
        self.counts.iter_mut().for_each(Counts::clear);
    }
}
