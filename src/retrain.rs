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
//! Not here: everything that is mathematics (the `training` crate); what a person reads (`card.rs`).

mod candidate;
mod card;
mod past;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use forewarn_pipeline::routing::Selection;
use forewarn_training::baseline::Baseline;
use forewarn_training::conformal;
use forewarn_training::gate::{Difference, Verdict};
use forewarn_training::judged::{Figures, Judged};
use forewarn_training::labels::Labels;
use forewarn_training::lives::Lives;
use forewarn_training::recipe::{JudgedRows, Recipe};
use forewarn_training::rows::Rows;
use forewarn_training::rul::{self, Progress, Told, Trained};
use forewarn_training::scaling::Scaling;
use serde::Serialize;
use serde_json::json;

use crate::cli::RetrainArgs;
use crate::model::Added;
use crate::terminal::{progress, thousands};
use candidate::Candidate;
use past::Past;

/// The status of a run that went well and gave no better model.
pub(crate) const NOT_BETTER: u8 = 10;

pub(crate) fn run(args: &RetrainArgs) -> Result<Outcome> {
    let recipe = Recipe::read(&args.recipe)?;
    let config = args.past.load(&recipe.pipeline)?;
    let labels = read_labels(&recipe)?;
    let past = Past::new(&config, &args.past);
    let begun = Instant::now();
    let rows = past.rows(&recipe)?;
    let learnt = Selection::new(&recipe.assets);
    let judged = Selection::new(&recipe.judge.assets);
    let is_named = !recipe.judge.assets.is_empty();
    let is_held_out = |asset: &str| recipe.split.holds_out(asset);
    let is_judged = |asset: &str| match is_named {
        true => judged.takes(asset),
        false => learnt.takes(asset) && is_held_out(asset),
    };
    let all = rows.only(|asset| learnt.takes(asset) && !(is_named && judged.takes(asset)));
    let train = all.only(|asset| !is_held_out(asset));
    let failed = train
        .assets
        .iter()
        .filter(|rows| labels.left(&rows.asset, rows.times[0]).is_some());
    let data = Data {
        rows: train.len(),
        assets: train.assets.len(),
        failed: failed.count(),
        held_out: all.assets.len() - train.assets.len(),
        incomplete: rows.incomplete,
        replay: begun.elapsed(),
    };
    if data.failed == 0 {
        bail!(
            "none of the {} assets that are learnt from has failed by {}: nothing tells their remaining life",
            data.assets,
            recipe.labels.failures.display()
        );
    }
    let begun = Instant::now();
    let scaling = Scaling::fit(&train, &recipe.scaling.per)?;
    let work = work_folder(args, &recipe)?;
    let trained = train_with_progress((&train, scaling, &labels), &recipe, &work)?;
    let learning = begun.elapsed();
    let mut candidate = Candidate::new(&config, &recipe, &trained.model, &train, &work)?;
    // Its own numbers, before there is a margin.
    let held_out = past.said(&candidate.admit(&config, None)?, &recipe, |asset| {
        learnt.takes(asset) && is_held_out(asset)
    })?;
    let difference = candidate.against_trainer(
        &trained.model,
        &all.only(is_held_out),
        &labels,
        &recipe,
        &held_out,
    )?;
    let target = recipe.target();
    let calibrating = Judged::new(held_out, &labels, target, JudgedRows::All).rows(target.cap);
    let coverage = recipe.trainer.high - recipe.trainer.low;
    let margin = conformal::margin(calibrating.iter().copied(), coverage);
    let crossed = conformal::cross_checked(&calibrating, coverage);
    let judge = |said: BTreeMap<String, Vec<(i64, Told)>>| {
        Judged::new(said, &labels, target, recipe.judge.rows)
    };
    let challenger = judge(past.said(&candidate.admit(&config, margin)?, &recipe, is_judged)?);
    let champion = match candidate::champion(&config, &recipe)? {
        Some(champion) => Some((
            champion.version,
            judge(past.said(&champion, &recipe, is_judged)?),
        )),
        None => None,
    };
    let lives = |rows: &Rows| {
        Lives::new(
            rows,
            &trained.model.scaling,
            &labels,
            target,
            recipe.trainer.change,
        )
    };
    let baseline = Baseline::fit(&lives(&train), target.cap, recipe.split.seed).map(|baseline| {
        let rows = rows.only(is_judged);
        let lives = lives(&rows);
        let said = lives.by_asset(&rows, baseline.predict(&lives));
        judge(said).figures(target.cap)
    });
    let compared = champion.as_ref().and_then(|(_, champion)| {
        champion.against(&challenger, recipe.gate.confidence, recipe.split.seed)
    });
    let verdict = verdict(&recipe, compared.as_ref(), &challenger);
    let report = Report {
        model: recipe.model.clone(),
        passes: verdict.passes,
        reason: verdict.reason,
        data,
        figures: challenger.figures(target.cap),
        champion: champion
            .as_ref()
            .map(|(version, judged)| (*version, judged.figures(target.cap))),
        baseline,
        compared,
        interval: Interval {
            nominal: coverage,
            margin,
            crossed,
        },
        trainer_difference: difference,
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
    std::fs::write(work.join("card.md"), &card).context("the card")?;
    report.tell(args, added.as_ref(), &work)?;
    Ok(if report.passes {
        Outcome::Added
    } else {
        Outcome::NotBetter
    })
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added,
    NotBetter,
}

/// What was learnt from.
#[derive(Debug, Serialize)]
struct Data {
    rows: usize,
    assets: usize,
    /// Assets that have failed; the others are censored, and teach no remaining life.
    failed: usize,
    held_out: usize,
    /// Rows without all features.
    incomplete: u64,
    #[serde(serialize_with = "seconds")]
    replay: Duration,
}

#[derive(Debug, Serialize)]
struct Interval {
    nominal: f64,
    /// `None`: too few rows were held back.
    margin: Option<f64>,
    /// Coverage of assets that the margin was not taken from.
    crossed: Option<f64>,
}

/// Everything that is told of a run.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    passes: bool,
    reason: String,
    data: Data,
    /// Of the candidate, on the judged assets.
    figures: Figures,
    champion: Option<(u32, Figures)>,
    /// Of a linear model of single rows. Its interval is none.
    baseline: Option<Figures>,
    compared: Option<Difference>,
    interval: Interval,
    /// Between ONNX Runtime and the trainer, as a share of the cap: the largest of all held-back rows.
    trainer_difference: f64,
    /// Of each member: rounds, and which one was the best.
    rounds: Vec<(usize, usize)>,
    #[serde(serialize_with = "seconds")]
    learning: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn read_labels(recipe: &Recipe) -> Result<Labels> {
    let path = &recipe.labels.failures;
    let file = File::open(path).with_context(|| format!("labels.failures: {}", path.display()))?;
    let labels = Labels::read(BufReader::new(file), &recipe.labels.kinds);
    labels.with_context(|| path.display().to_string())
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

impl Report {
    fn tell(&self, args: &RetrainArgs, added: Option<&Added>, work: &Path) -> Result<()> {
        let mut value = json!({ "report": self, "card": work.join("card.md") });
        if let Some(added) = added {
            value["added"] = added.json();
        }
        args.reply.output.print(&value, || self.text(added, work))
    }

    fn text(&self, added: Option<&Added>, work: &Path) -> String {
        let (data, figures) = (&self.data, &self.figures);
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let mut text = format!(
            "learnt from  {} rows of {} assets, {} of which failed; {} assets held back ({:.0} s from the log)\n",
            thousands(data.rows as u64),
            data.assets,
            data.failed,
            data.held_out,
            data.replay.as_secs_f64()
        );
        text += &format!(
            "trained      {} networks in {:.0} s\n",
            self.rounds.len(),
            self.learning.as_secs_f64()
        );
        text += &format!(
            "graph        equals the trainer within {:.1e} of the cap on held-back rows\n",
            self.trainer_difference
        );
        text += &format!(
            "judged       {} rows of {} assets: RMSE {:.2}, MAE {:.2}, NASA score {:.0}\n",
            thousands(figures.rows as u64),
            figures.assets,
            figures.rmse,
            figures.mae,
            figures.nasa_score
        );
        let held = figures.coverage.map_or("-".into(), percent);
        text += &format!(
            "interval     {} nominal holds {held} of those below the cap",
            percent(self.interval.nominal)
        );
        if let Some(crossed) = self.interval.crossed {
            text += &format!(
                ", {} of the held-back assets, each with the margin of the others",
                percent(crossed)
            );
        }
        text += "\n";
        if let Some((version, figures)) = &self.champion {
            text += &format!(
                "champion     {} {version}: RMSE {:.2} on the same rows\n",
                self.model, figures.rmse
            );
        }
        if let Some(baseline) = &self.baseline {
            text += &format!(
                "linear       an elastic net on single rows: RMSE {:.2}\n",
                baseline.rmse
            );
        }
        text += &format!("verdict      {}\n", self.reason);
        match added {
            Some(added) => text + &added.text(),
            None => {
                text + &format!(
                    "no version is added; its card is {}",
                    work.join("card.md").display()
                )
            }
        }
    }
}
