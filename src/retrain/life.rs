//! Retraining of models of remaining useful life.

mod card;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use forewarn_models::Verdict;
use forewarn_training::conformal;
use forewarn_training::figures;
use forewarn_training::gate::{self, Difference};
use forewarn_training::judged::{Figures, Judged};
use forewarn_training::labels::Labels;
use forewarn_training::life::{LifeModel, LifeTrainer, Trained};
use forewarn_training::linear::{self, Linear};
use forewarn_training::lives::Lives;
use forewarn_training::recipe::{JudgedRows, Life};
use forewarn_training::rows::Rows;
use forewarn_training::rul::{Progress, Told};
use forewarn_training::scaling::Scaling;
use serde_json::json;

use super::candidate::{self, Candidates, GOLDEN, Scores, TOLERANCE};
use super::figures::Drawings;
use super::past::Serving;
use super::{Job, Outcome, labels};
use crate::terminal::progress;
use report::{Data, Interval, Report};

/// What was said of each asset, by event time.
type SaidOf = BTreeMap<String, Vec<(i64, Told)>>;

pub(super) fn run(job: &Job<'_>, life: &Life) -> Result<Outcome> {
    let recipe = job.recipe;
    let events = labels::read(job.config, &life.source)?;
    let labels = Labels::of(events, &life.labels.kinds)
        .with_context(|| format!("labels: {}", life.source))?;
    let begun = Instant::now();
    let rows = job.past.rows(recipe)?;
    let data = Data::of(&rows, (recipe, life), &labels, begun.elapsed())?;
    let roles = recipe.roles();
    let train = rows.only(|asset| roles.learns(asset));
    let begun = Instant::now();
    let scaling = Scaling::fit(&train, &recipe.scaling.per)?;
    let trained = train_with_progress((&train, scaling, &labels), (job, job.work), life)?;
    let learning = begun.elapsed();
    let run = Run {
        job,
        life,
        labels: &labels,
        model: &trained.model,
        train: &train,
        candidates: Candidates::new(job, &train)?,
    };
    let crossed = run.crossed(&rows)?;
    let (interval, trainer_difference) = run.calibrate(&rows, &crossed)?;
    let serving = run.admit(interval.margin)?;
    run.candidates
        .write_reference(&recipe.model, &train, &run.said_of_learnt())?;
    let said = match recipe.judge.assets.is_empty() && recipe.split.is_crossed() {
        true => widened(crossed, interval.margin.unwrap_or(0.0), life.labels.cap),
        false => run.said_of_judged(&serving)?,
    };
    let lives = figures::Life::of_assets(&said, &labels, life.target());
    let challenger = run.judged(said);
    let champion = match candidate::champion(job.config, recipe, [&recipe.model])? {
        Some((serving, version)) => {
            let said = run.said_of_judged(&serving)?;
            Some((version, run.judged(said)))
        }
        None => None,
    };
    let compared = champion.as_ref().and_then(|(_, champion)| {
        champion.against(&challenger, recipe.gate.confidence, recipe.split.seed)
    });
    let verdict = run.verdict(compared.as_ref(), &challenger);
    let cap = life.labels.cap;
    let report = Report {
        model: recipe.model.clone(),
        passes: verdict.passes,
        reason: verdict.reason,
        data,
        figures: challenger.figures(cap),
        champion: champion.map(|(version, judged)| (version, judged.figures(cap))),
        baseline: run.baseline(&rows),
        compared,
        interval,
        trainer_difference,
        rounds: trained
            .rounds
            .iter()
            .map(|(rounds, best)| (rounds.len(), *best + 1))
            .collect(),
        learning,
    };
    let scale = (life.labels.unit.as_str(), cap);
    let drawings = Drawings::of_life(scale, &challenger, &lives, &trained.rounds);
    let card = card::card((recipe, life), &report, &challenger) + &drawings.markdown();
    let shown = (card.as_str(), &drawings);
    let added = match report.passes {
        true => Some(run.candidates.add(&recipe.model, shown, &report.reason)?),
        false => None,
    };
    let file = job.work.join("card.md");
    std::fs::write(&file, &card).context("the card")?;
    drawings.write(job.work)?;
    report.tell(job.args.reply.output, added.as_ref(), &file)?;
    Ok(match report.passes {
        true => Outcome::Added,
        false => Outcome::NotBetter,
    })
}

/// What all judgements of a run have in common.
struct Run<'a> {
    job: &'a Job<'a>,
    life: &'a Life,
    labels: &'a Labels,
    model: &'a LifeModel,
    train: &'a Rows,
    candidates: Candidates<'a>,
}

impl Run<'_> {
    /// Writes the version, with the margin of its interval, tries it, and gives what serves it.
    fn admit(&self, margin: Option<f64>) -> Result<Serving> {
        let name = &self.job.recipe.model;
        let graph = self.model.export(name, self.keys(margin));
        let width = self.train.features.len();
        // Rows of as many assets, from where each is about to fail: what is told there is told apart.
        let last = self.train.assets.iter().rev().take(GOLDEN);
        let golden = last.map(|rows| rows.values[rows.values.len() - width..].to_vec());
        let golden: Vec<Vec<f32>> = golden.collect();
        self.candidates.admit(name, &graph, &golden)?;
        Ok(self.candidates.serving())
    }

    fn keys(&self, margin: Option<f64>) -> Vec<(String, String)> {
        let (labels, trainer) = (&self.life.labels, &self.life.trainer);
        let (unit, how) = (&labels.unit, trainer.describe());
        let description = format!("Remaining useful life in {unit}, by {how}.");
        let mut keys = self.candidates.keys("rul", description, self.train);
        let (low, high) = trainer.interval();
        let levels = [low, 0.5, high];
        let own = [
            ("unit", labels.unit.clone()),
            ("quantiles", json!(levels).to_string()),
            ("failure-horizons", json!(labels.horizons).to_string()),
        ];
        let margin = margin.map(|margin| ("calibration.margin", margin.to_string()));
        let own = own.into_iter().chain(margin);
        keys.extend(own.map(|(key, value)| (format!("forewarn.{key}"), value)));
        keys
    }

    /// What is said of each asset by networks that have learnt from the other folds only: the trainer's own numbers. Without
    /// folds, nothing.
    fn crossed(&self, rows: &Rows) -> Result<SaidOf> {
        let (recipe, life) = (self.job.recipe, self.life);
        let (split, roles, mut all) = (&recipe.split, recipe.roles(), SaidOf::new());
        for fold in 0..split.folds {
            let is_in = |asset: &str| split.fold(asset, split.folds) == fold;
            let others = self.train.only(|asset| !is_in(asset));
            let scaling = Scaling::fit(&others, &recipe.scaling.per)?;
            let work = self.job.work.join(format!("fold-{}", fold + 1));
            std::fs::create_dir_all(&work).context("the folder of a fold")?;
            let data = (&others, scaling, self.labels);
            let model = train_with_progress(data, (self.job, &work), life)?.model;
            let rows = rows.only(|asset| is_in(asset) && roles.calibrates(asset));
            let change = life.trainer.change();
            let lives = Lives::new(&rows, model.scaling(), self.labels, life.target(), change);
            all.extend(lives.by_asset(&rows, model.predict(&lives)));
        }
        Ok(all)
    }

    /// The margin of the candidate's interval, from the assets that are held back, or `crossed`; and how far its graph is from
    /// its trainer there.
    fn calibrate(&self, rows: &Rows, crossed: &SaidOf) -> Result<(Interval, f64)> {
        let (life, roles) = (self.life, self.job.recipe.roles());
        let is_held_out = |asset: &str| roles.calibrates(asset);
        let serving = self.admit(None)?;
        let said = self.said(&serving, is_held_out)?;
        let apart = self.against_trainer(&rows.only(is_held_out), &said)?;
        let unseen = match crossed.is_empty() {
            true => said,
            false => crossed.clone(),
        };
        let judged = Judged::new(unseen, self.labels, life.target(), JudgedRows::All);
        let held_out = judged.rows(life.labels.cap);
        let (low, high) = life.trainer.interval();
        let nominal = high - low;
        let interval = Interval {
            nominal,
            margin: conformal::margin(held_out.iter().copied(), nominal),
            crossed: conformal::cross_checked(&held_out, nominal),
        };
        Ok((interval, apart))
    }

    /// The largest difference between what the graph says in the engine and what the trainer says, as a share of the cap.
    fn against_trainer(&self, rows: &Rows, said: &SaidOf) -> Result<f64> {
        let (life, model) = (self.life, self.model);
        let change = life.trainer.change();
        let lives = Lives::new(rows, model.scaling(), self.labels, life.target(), change);
        let (told, mut largest) = (model.predict(&lives), 0.0_f64);
        for ((asset, first), told) in lives.begins().iter().zip(told) {
            // The state of an asset outlives its failure while it serves.
            if *first > 0 {
                continue;
            }
            let said = said
                .get(&rows.assets[*asset].asset)
                .map_or(&[][..], Vec::as_slice);
            for ((_, said), told) in said.iter().zip(&told) {
                largest = largest.max((said.mean - told.mean).abs() / model.cap());
            }
        }
        if largest > TOLERANCE {
            bail!(
                "the graph differs from its trainer by {largest:.1e} of the cap, more than {TOLERANCE:.0e}: this is a defect \
                 of forewarn; nothing is added"
            );
        }
        Ok(largest)
    }

    /// What a version says of the assets that are wanted.
    fn said(&self, serving: &Serving, wanted: impl Fn(&str) -> bool) -> Result<SaidOf> {
        let mut said = SaidOf::new();
        let past = &self.job.past;
        past.verdicts(serving, wanted, |asset, time, verdict| {
            let Verdict::Rul {
                value, interval, ..
            } = verdict
            else {
                return false;
            };
            let told = Told {
                low: interval.map_or(value, |interval| interval.low),
                mean: value,
                high: interval.map_or(value, |interval| interval.high),
            };
            said.entry(asset.to_owned()).or_default().push((time, told));
            true
        })?;
        said.values_mut()
            .for_each(|rows| rows.sort_by_key(|(time, _)| *time));
        Ok(said)
    }

    /// What the model says of the rows that it has learnt from: the trainer's own numbers.
    fn said_of_learnt(&self) -> Scores {
        let (life, scaling) = (self.life, self.model.scaling());
        let change = life.trainer.change();
        let lives = Lives::new(self.train, scaling, self.labels, life.target(), change);
        let told = lives.by_asset(self.train, self.model.predict(&lives));
        let means = |told: Vec<(i64, Told)>| told.into_iter().map(|(at, told)| (at, told.mean));
        told.into_iter()
            .map(|(asset, told)| (asset, means(told).collect()))
            .collect()
    }

    /// What a version says of the assets that are judged.
    fn said_of_judged(&self, serving: &Serving) -> Result<SaidOf> {
        let roles = self.job.recipe.roles();
        self.said(serving, |asset| roles.judges(asset))
    }

    fn judged(&self, said: SaidOf) -> Judged {
        let rows = self.job.recipe.judge.rows;
        Judged::new(said, self.labels, self.life.target(), rows)
    }

    /// What a linear model of single rows comes to on the same assets, beside networks.
    fn baseline(&self, rows: &Rows) -> Option<Figures> {
        let (life, roles) = (self.life, self.job.recipe.roles());
        if matches!(life.trainer, LifeTrainer::Linear(_)) {
            return None;
        }
        let scaling = self.model.scaling();
        let lives = |rows: &Rows| {
            let change = life.trainer.change();
            Lives::new(rows, scaling, self.labels, life.target(), change)
        };
        let seed = self.job.recipe.split.seed;
        let train = lives(self.train);
        let settings = linear::Settings::default();
        let baseline = Linear::fit((&train, scaling), life.labels.cap, &settings, seed)?;
        let rows = rows.only(|asset| roles.judges(asset));
        let lives = lives(&rows);
        let said = lives.by_asset(&rows, baseline.predict(&lives));
        Some(self.judged(said).figures(life.labels.cap))
    }

    /// A first model passes; any other one must be better.
    fn verdict(&self, compared: Option<&Difference>, challenger: &Judged) -> gate::Verdict {
        let recipe = self.job.recipe;
        match compared {
            _ if challenger.0.is_empty() => gate::Verdict::none_judged(),
            Some(difference) => recipe
                .gate
                .decide(difference, ("RMSE", &self.life.labels.unit)),
            None => gate::Verdict::first(&recipe.model),
        }
    }
}

/// Intervals with their margin, as the graph's contract has them.
fn widened(mut said: SaidOf, margin: f64, cap: f64) -> SaidOf {
    for (_, told) in said.values_mut().flatten() {
        told.low = (told.low - margin).clamp(0.0, told.mean);
        told.high = (told.high + margin).clamp(told.mean, cap);
    }
    said
}

fn train_with_progress(
    data: (&Rows, Scaling, &Labels),
    (job, work): (&Job<'_>, &Path),
    life: &Life,
) -> Result<Trained> {
    let bar = progress(life.trainer.rounds(), "rounds");
    let on = |told: Progress| {
        tracing::info!(
            member = told.member + 1,
            of = told.members,
            round = told.round + 1,
            loss = told.told.loss,
            validation = told.told.validation,
            "learnt"
        );
        bar.inc(1);
        true
    };
    let split = &job.recipe.split;
    let trained = life
        .trainer
        .train(data, life.target(), split, Some(work), on);
    bar.finish_and_clear();
    Ok(trained?)
}
