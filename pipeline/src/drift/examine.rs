//! A stretch of the log beside the reference of one model.

use std::sync::Arc;

use forewarn_models::Reference;
use forewarn_models::reference::Distribution;

use super::counts::Counts;
use super::fleet::{Fleet, Mixture, hash};
use super::gathered::{Assets, Gathered};
use super::measure::{Distance, Limits};
use super::over_time::OverTime;
use super::page_hinkley::{Ranks, Sensitivity};
use super::report::{AssetChange, FleetChange, Kind, Report, Variable};
use super::seen::{columns, seen};
use crate::engine::Step;
use crate::plan::Plan;
use crate::stretch::Stretch;

/// Takes the rows of a model as they come.
#[derive(Debug)]
pub struct Examination {
    /// Of the model, in the plan.
    place: usize,
    name: String,
    version: u32,
    reference: Arc<Reference>,
    /// Of the features among the view's columns.
    columns: Vec<usize>,
    limits: Limits,
    assets: Assets,
    fleet: Fleet,
    rows: u64,
    /// Event times of the first and the last row.
    times: Option<(i64, i64)>,
    /// Of the features, then of the score.
    taken: Vec<(Counts, Gathered)>,
    ranks: Option<Ranks>,
    over_time: OverTime,
}

impl Examination {
    /// Of the model in `place` of the plan; `None` where it has no reference.
    pub fn new(
        plan: &Plan,
        place: usize,
        limits: Limits,
        sensitivity: Sensitivity,
    ) -> Option<Self> {
        let planned = &plan.models[place];
        let reference = planned.model.reference.clone()?;
        let all = reference.features.iter().chain(&reference.score);
        Some(Examination {
            place,
            name: planned.model.name.clone(),
            version: planned.model.version,
            columns: columns(planned),
            limits,
            assets: Assets::default(),
            fleet: Fleet::of(&reference),
            rows: 0,
            times: None,
            taken: all
                .map(|of| (Counts::of(of), Gathered::default()))
                .collect(),
            ranks: reference.score.as_ref().map(Ranks::new),
            over_time: OverTime::new(sensitivity),
            reference,
        })
    }

    /// Takes the rows of a step that are of the stretch.
    pub fn take(&mut self, step: &Step<'_>, stretch: &Stretch) {
        let rows = &step.views[step.plan.models[self.place].view];
        for seen in seen(step, self.place) {
            if !stretch.takes_row(step, seen.head) {
                continue;
            }
            let (asset, at) = (step.asset(seen.head.slot, seen.head.asset), seen.head.at());
            self.rows += 1;
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
            let asset = self.assets.take(asset);
            for (of, column) in self.columns.iter().enumerate() {
                let value = rows.columns[*column][seen.row] as f32;
                self.taken[of].0.push(&self.reference.features[of], value);
                self.taken[of].1.push(asset, value);
            }
            if let Some(level) = seen.level {
                self.score(asset, at, level as f32);
            }
        }
    }

    fn score(&mut self, asset: usize, at: i64, level: f32) {
        let (Some(reference), Some(ranks)) = (&self.reference.score, &self.ranks) else {
            return;
        };
        if let Some((counts, gathered)) = self.taken.last_mut() {
            counts.push(reference, level);
            gathered.push(asset, level);
            let rank = ranks.of(reference.bin(level));
            self.over_time.take(asset, at, rank);
        }
    }

    /// What was found.
    pub fn finish(&self) -> Report {
        let assets = self.assets.rows();
        let rows = assets.iter().map(|(name, rows)| (hash(name), *rows));
        let mixture = self.fleet.mixture(rows);
        let of = |kind, at: usize, reference: &Distribution| {
            let (counts, gathered) = &self.taken[at];
            variable(kind, reference, counts, gathered, mixture, self.limits)
        };
        let features = self.reference.features.iter().enumerate();
        let mut variables: Vec<Variable> = features
            .map(|(at, reference)| of(Kind::Feature, at, reference))
            .collect();
        variables.sort_by(|a, b| {
            let rank = |of: &Variable| (of.distance.verdict, of.distance.psi);
            let (a, b) = (rank(a), rank(b));
            b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        let score = self.reference.score.as_ref();
        let changed = self.over_time.changed().into_iter();
        let (interval, intervals) = self.over_time.intervals();
        Report {
            model: self.name.clone(),
            version: self.version,
            origin: self.reference.origin.clone(),
            reference_rows: self.reference.rows,
            reference_assets: self.reference.assets,
            rows: self.rows,
            assets: self.assets.len() as u64,
            same_fleet: mixture.is_same_fleet(),
            times: self.times,
            features: variables,
            score: score.map(|reference| of(Kind::Score, self.columns.len(), reference)),
            fleet: self.over_time.fleet().map(FleetChange::from),
            interval,
            intervals,
            changed: changed
                .map(|(asset, change)| AssetChange::new(&assets[asset].0, change))
                .collect(),
        }
    }
}

fn variable(
    kind: Kind,
    reference: &Distribution,
    counts: &Counts,
    gathered: &Gathered,
    mixture: Mixture,
    limits: Limits,
) -> Variable {
    let worth = mixture.worth(reference, counts.rows(), gathered.between());
    let missing = counts.missing as f64 / counts.rows().max(1) as f64;
    Variable {
        kind,
        name: reference.name.clone(),
        distance: Distance::of(reference, counts, worth, limits),
        rows: counts.rows(),
        effective: worth.now,
        reference_mean: reference.mean,
        mean: (gathered.rows > 0).then_some(gathered.mean),
        reference_sd: reference.sd,
        sd: (gathered.rows > 0).then_some(gathered.sd()),
        reference_missing: reference.missing_share(),
        missing,
    }
}
