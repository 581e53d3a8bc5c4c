//! `forewarn retrain`: one command from the log to a better model, or the reason why it is not better.
//!
//! ```text
//!   recipe ─ the log, through the views ─▶ rows ─ labels, split ─▶ train ─▶ graph ─▶ admission, as candidate
//!                                                                                      │
//!   the log again, through the engine:  candidate ─▶ margin of its interval, from held-back assets
//!                                       champion and candidate ─▶ the same rows of held-back assets ─▶ gate
//!                                                                                      │
//!                                       passed: model.onnx, card.md, golden.json as the next version
//! ```
//!
//! Both models are judged by the engine that serves, so what is compared is what would have been published.
//!
//! Not here: everything that is mathematics (the `training` crate); what is told of it (`report.rs`, `card.rs`).

mod candidate;
mod card;
mod labels;
mod past;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use forewarn_pipeline::Config;
use forewarn_training::baseline::Baseline;
use forewarn_training::conformal;
use forewarn_training::gate::{Difference, Verdict};
use forewarn_training::judged::{Figures, Judged};
use forewarn_training::labels::Labels;
use forewarn_training::lives::Lives;
use forewarn_training::recipe::{JudgedRows, Recipe};
use forewarn_training::rows::Rows;
use forewarn_training::rul::{self, Progress, RulModel, Told, Trained};
use forewarn_training::scaling::Scaling;

use crate::cli::RetrainArgs;
use crate::terminal::progress;
use candidate::Candidate;
use past::{Past, Serving};
use report::{Data, Interval, Report};

/// The status of a run that went well and gave no better model.
pub(crate) const NOT_BETTER: u8 = 10;

pub(crate) fn run(args: &RetrainArgs) -> Result<Outcome> {
    let recipe = Recipe::read(&args.recipe)?;
    let config = args.past.load(&recipe.pipeline)?;
    let labels = labels::read(&config, &recipe.labels)?;
    let work = work_folder(args, &recipe)?;
    let past = Past::new(&config, &args.past);
    let begun = Instant::now();
    let rows = past.rows(&recipe)?;
    let data = Data::of(&rows, &recipe, &labels, begun.elapsed())?;
    let roles = recipe.roles();
    let train = rows.only(|asset| roles.learns(asset));
    let begun = Instant::now();
    let scaling = Scaling::fit(&train, &recipe.scaling.per)?;
    let trained = train_with_progress((&train, scaling, &labels), &recipe, &work)?;
    let learning = begun.elapsed();
    let mut candidate = Candidate::new(&config, &recipe, &trained.model, &train, &work)?;
    let job = Job {
        config: &config,
        recipe: &recipe,
        labels: &labels,
        past: &past,
    };
    let (interval, trainer_difference) = job.calibrate(&mut candidate, &rows)?;
    let challenger = job.judge(&candidate.admit(&config, interval.margin)?)?;
    let champion = match candidate::champion(&config, &recipe)? {
        Some(champion) => Some((champion.version, job.judge(&champion)?)),
        None => None,
    };
    let compared = champion.as_ref().and_then(|(_, champion)| {
        champion.against(&challenger, recipe.gate.confidence, recipe.split.seed)
    });
    let verdict = verdict(&recipe, compared.as_ref(), &challenger);
    let report = Report {
        model: recipe.model.clone(),
        passes: verdict.passes,
        reason: verdict.reason,
        data,
        figures: challenger.figures(recipe.labels.cap),
        champion: champion.map(|(version, judged)| (version, judged.figures(recipe.labels.cap))),
        baseline: job.baseline(&rows, &trained.model),
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
    let card = card::card(&recipe, &report, &challenger);
    let added = match report.passes {
        true => Some(candidate.add(&config, &card, &report.reason, args)?),
        false => None,
    };
    let file = work.join("card.md");
    std::fs::write(&file, &card).context("the card")?;
    report.tell(args.reply.output, added.as_ref(), &file)?;
    Ok(match report.passes {
        true => Outcome::Added,
        false => Outcome::NotBetter,
    })
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added,
    NotBetter,
}

/// What all judgements of a run have in common.
struct Job<'a> {
    config: &'a Config,
    recipe: &'a Recipe,
    labels: &'a Labels,
    past: &'a Past<'a>,
}

impl Job<'_> {
    /// The margin of the candidate's interval, from the assets that are held back; and how far its graph is from its
    /// trainer there.
    fn calibrate(&self, candidate: &mut Candidate<'_>, rows: &Rows) -> Result<(Interval, f64)> {
        let (recipe, roles) = (self.recipe, self.recipe.roles());
        let is_held_out = |asset: &str| roles.calibrates(asset);
        let serving = candidate.admit(self.config, None)?;
        let said = self.past.said(&serving, recipe, is_held_out)?;
        let apart = candidate.against_trainer(&rows.only(is_held_out), self.labels, &said)?;
        let judged = Judged::new(said, self.labels, recipe.target(), JudgedRows::All);
        let held_out = judged.rows(recipe.labels.cap);
        let nominal = recipe.trainer.high - recipe.trainer.low;
        let interval = Interval {
            nominal,
            margin: conformal::margin(held_out.iter().copied(), nominal),
            crossed: conformal::cross_checked(&held_out, nominal),
        };
        Ok((interval, apart))
    }

    /// What a version says of the assets that are judged.
    fn judge(&self, serving: &Serving) -> Result<Judged> {
        let roles = self.recipe.roles();
        let said = self
            .past
            .said(serving, self.recipe, |asset| roles.judges(asset))?;
        Ok(self.judged(said))
    }

    fn judged(&self, said: BTreeMap<String, Vec<(i64, Told)>>) -> Judged {
        Judged::new(
            said,
            self.labels,
            self.recipe.target(),
            self.recipe.judge.rows,
        )
    }

    /// What a linear model of single rows comes to on the same assets.
    fn baseline(&self, rows: &Rows, model: &RulModel) -> Option<Figures> {
        let (recipe, roles) = (self.recipe, self.recipe.roles());
        let lives = |rows: &Rows| {
            let change = recipe.trainer.change;
            Lives::new(rows, &model.scaling, self.labels, recipe.target(), change)
        };
        let train = lives(&rows.only(|asset| roles.learns(asset)));
        let baseline = Baseline::fit(&train, recipe.labels.cap, recipe.split.seed)?;
        let rows = rows.only(|asset| roles.judges(asset));
        let lives = lives(&rows);
        let said = lives.by_asset(&rows, baseline.predict(&lives));
        Some(self.judged(said).figures(recipe.labels.cap))
    }
}

/// Where a run keeps what the next one goes on with.
fn work_folder(args: &RetrainArgs, recipe: &Recipe) -> Result<PathBuf> {
    let beside = || {
        let folder = args.recipe.parent().unwrap_or(Path::new("."));
        folder.join(format!(".{}-retraining", recipe.model))
    };
    let work = args.work.clone().unwrap_or_else(beside);
    std::fs::create_dir_all(&work).with_context(|| format!("--work {}", work.display()))?;
    Ok(work)
}

fn train_with_progress(
    data: (&Rows, Scaling, &Labels),
    recipe: &Recipe,
    work: &Path,
) -> Result<Trained> {
    let learning = &recipe.trainer.learning;
    let rounds = learning.steps.div_ceil(learning.round) * recipe.trainer.members;
    let bar = progress(rounds as u64, "rounds");
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
    let trained = rul::train(
        data,
        recipe.target(),
        &recipe.split,
        &recipe.trainer,
        Some(work),
        on,
    );
    bar.finish_and_clear();
    Ok(trained?)
}

/// A first model passes; any other one must be better.
fn verdict(recipe: &Recipe, compared: Option<&Difference>, challenger: &Judged) -> Verdict {
    if challenger.0.is_empty() {
        return Verdict {
            passes: false,
            reason: "not decided: no asset is judged; hold more back, or name judge.assets".into(),
        };
    }
    match compared {
        Some(difference) => recipe
            .gate
            .decide(difference, ("RMSE", &recipe.labels.unit)),
        None => Verdict {
            passes: true,
            reason: format!(
                "{} has no version that serves on these assets: this is the first one",
                recipe.model
            ),
        },
    }
}
