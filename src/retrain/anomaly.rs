//! Retraining of models of anomalies: one for all assets, or one for each.

mod card;
mod report;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use forewarn_models::{ScoreOrder, Verdict};
use forewarn_training::calibrate::Scores;
use forewarn_training::detections::{self, Said, SaidOf};
use forewarn_training::detector::{Detector, Trained, Watched};
use forewarn_training::episodes::Episodes;
use forewarn_training::evaluate::Detected;
use forewarn_training::evaluate::detection::Tally;
use forewarn_training::gate::{self, Difference};
use forewarn_training::neural::Round;
use forewarn_training::recipe::{Anomaly, Metric};
use forewarn_training::rows::{AssetRows, Rows};
use forewarn_training::scaling::Scaling;
use forewarn_training::threshold::Found;
use forewarn_training::uses::Uses;
use serde_json::json;

use super::candidate::{self, Candidates, GOLDEN, TOLERANCE};
use super::figures::Drawings;
use super::past::Serving;
use super::{Job, Outcome, labels};
use crate::terminal::progress;
use report::{Champion, Data, Model, Report};

/// Trained models by their names.
type Models = BTreeMap<String, (Trained, Rows)>;

pub(super) fn run(job: &Job<'_>, anomaly: &Anomaly) -> Result<Outcome> {
    let recipe = job.recipe;
    let episodes = read_episodes(job, anomaly)?;
    let begun = Instant::now();
    let rows = job.past.rows(recipe)?;
    let uses = Uses::of(recipe, &rows);
    let learnt = uses.learnt(&rows, &episodes);
    let data = Data::of(recipe, (&rows, &learnt), &uses, begun.elapsed())?;
    let begun = Instant::now();
    let (models, left_out) = train(job, anomaly, &learnt)?;
    let learning = begun.elapsed();
    let run = Run {
        job,
        anomaly,
        episodes: &episodes,
        uses: &uses,
        models: &models,
        candidates: Candidates::new(job, &rows)?,
    };
    run.admit(&BTreeMap::new())?;
    let mut said = run.said(&run.candidates.serving())?;
    let trainer_difference = run.against_trainer(&rows, &said)?;
    if recipe.split.is_crossed() {
        said.extend(run.crossed(&rows, &learnt)?);
    }
    let thresholds = run.thresholds(&said)?;
    run.admit(&thresholds)?;
    run.write_references()?;
    let challenger = run.judge_own(&mut said, &thresholds)?;
    let champion = match candidate::champion(job.config, recipe, models.keys())? {
        Some((serving, version)) => {
            let said = run.said(&serving)?;
            Some((version, detections::cases(&said, (&uses, &episodes))))
        }
        None => None,
    };
    let metric = run.metric(&challenger);
    let drawings = run.drawings(&challenger, champion.as_ref());
    let compared = champion
        .as_ref()
        .and_then(|(_, champion)| run.compare(champion, &challenger, metric));
    let verdict = run.verdict(compared.as_ref(), &challenger, metric);
    let report = Report {
        model: recipe.model.clone(),
        passes: verdict.passes,
        reason: verdict.reason,
        data,
        models: run.told_of_models(&thresholds),
        left_out,
        figures: challenger.figures(),
        by_kind: detections::by_kind(&challenger, &episodes),
        champion: champion.map(|(version, detected)| Champion {
            version,
            figures: detected.figures(),
            by_kind: detections::by_kind(&detected, &episodes),
        }),
        metric,
        compared,
        trainer_difference,
        learning,
    };
    let card = card::card((recipe, anomaly), &report, &challenger) + &drawings.markdown();
    let shown = (card.as_str(), &drawings);
    let added = match report.passes {
        true => models
            .keys()
            .map(|name| run.candidates.add(name, shown, &report.reason))
            .collect::<Result<Vec<_>>>()?,
        false => Vec::new(),
    };
    let file = job.work.join("card.md");
    std::fs::write(&file, &card).context("the card")?;
    drawings.write(job.work)?;
    report.tell(job.args.reply.output, &added, &file)?;
    Ok(match report.passes {
        true => Outcome::Added,
        false => Outcome::NotBetter,
    })
}

/// What all judgements of a run have in common.
struct Run<'a> {
    job: &'a Job<'a>,
    anomaly: &'a Anomaly,
    episodes: &'a Episodes,
    uses: &'a Uses,
    models: &'a Models,
    candidates: Candidates<'a>,
}

impl Run<'_> {
    /// Writes all models, with their thresholds where these are known, and tries them.
    fn admit(&self, thresholds: &BTreeMap<&str, Found>) -> Result<()> {
        for (name, (trained, learnt)) in self.models {
            let threshold = thresholds.get(name.as_str()).map(|found| found.threshold);
            let keys = self.keys(learnt, threshold.unwrap_or(1.0));
            let graph = trained.detector.export(name, keys);
            let golden = golden(learnt, trained.detector.length());
            self.candidates.admit(name, &graph, &golden)?;
        }
        Ok(())
    }

    /// What drift is measured against: the rows that each model has learnt from, and what it says of them.
    fn write_references(&self) -> Result<()> {
        for (name, (trained, learnt)) in self.models {
            let mut said = candidate::Scores::new();
            for stretch in &learnt.assets {
                let scores = scored(&trained.detector, learnt, stretch);
                let scores = scores.into_iter().map(|said| (said.time, said.score));
                said.entry(stretch.asset.clone())
                    .or_default()
                    .extend(scores);
            }
            self.candidates.write_reference(name, learnt, &said)?;
        }
        Ok(())
    }

    fn keys(&self, learnt: &Rows, threshold: f64) -> Vec<(String, String)> {
        let description = format!("Anomalies, by {}.", self.anomaly.trainer.describe());
        let mut keys = self.candidates.keys("anomaly", description, learnt);
        keys.push(("forewarn.threshold".into(), threshold.to_string()));
        keys.push((
            "forewarn.reference".into(),
            json!(means(learnt)).to_string(),
        ));
        keys
    }

    /// What a version says of the assets that are held back.
    fn said(&self, serving: &Serving) -> Result<SaidOf> {
        let mut said = SaidOf::new();
        let wanted = |asset: &str| self.uses.is_held_back(asset);
        self.job
            .past
            .verdicts(serving, wanted, |asset, time, verdict| {
                let Some(score) = verdict.score() else {
                    return false;
                };
                let is_lower = matches!(
                    verdict,
                    Verdict::Anomaly {
                        order: ScoreOrder::Lower,
                        ..
                    }
                );
                let said = said.entry(asset.to_owned()).or_default();
                said.push(Said {
                    time,
                    score: if is_lower { -score } else { score },
                    flagged: verdict.anomalous(),
                });
                true
            })?;
        said.values_mut()
            .for_each(|said| said.sort_by_key(|said| said.time));
        Ok(said)
    }

    /// The largest difference between a score of the engine and the trainer's own, as a share of the score or, where it is
    /// lower, of what the highest normal score is.
    fn against_trainer(&self, rows: &Rows, said: &SaidOf) -> Result<f64> {
        let mut largest = 0.0_f64;
        for asset in &rows.assets {
            let (Some(said), Some((trained, _))) = (
                said.get(&asset.asset),
                self.models.get(&self.job.recipe.model_of(&asset.asset)),
            ) else {
                continue;
            };
            let mut said = said.iter().peekable();
            for told in scored(&trained.detector, rows, asset) {
                while said.next_if(|said| said.time < told.time).is_some() {}
                if let Some(said) = said.next_if(|said| said.time == told.time) {
                    let apart = (said.score - told.score).abs();
                    largest = largest.max(apart / told.score.abs().max(1.0));
                }
            }
        }
        if largest > TOLERANCE {
            bail!(
                "the graph differs from its trainer by {largest:.1e} of a score, more than {TOLERANCE:.0e}: this is a defect of \
                 forewarn; nothing is added"
            );
        }
        Ok(largest)
    }

    /// What is said of each asset by a model that has learnt from the other folds only: the trainer's own numbers.
    fn crossed(&self, rows: &Rows, learnt: &Rows) -> Result<SaidOf> {
        let (recipe, mut said) = (self.job.recipe, SaidOf::new());
        let (split, roles) = (&recipe.split, recipe.roles());
        for fold in 0..split.folds {
            let is_in = |asset: &str| split.fold(asset, split.folds) == fold;
            let others = learnt.only(|asset| !is_in(asset));
            let name = format!("{}-fold-{}", recipe.model, fold + 1);
            let trained = train_one(self.job, self.anomaly, (&name, &others)).context(name)?;
            for asset in &rows.assets {
                if is_in(&asset.asset) && roles.calibrates(&asset.asset) {
                    let own = scored(&trained.detector, rows, asset);
                    said.insert(asset.asset.clone(), own);
                }
            }
        }
        Ok(said)
    }

    /// The threshold of each model.
    fn thresholds(&self, said: &SaidOf) -> Result<BTreeMap<&str, Found>> {
        let find = |name: &str| -> Result<Found> {
            let is_own = |asset: &str| self.job.recipe.model_of(asset) == name;
            let scores = self.normal(said, is_own);
            let found = self.anomaly.threshold.find(&scores);
            found.with_context(|| format!("the threshold of {name}, from held-back normal rows"))
        };
        let names = self.models.keys();
        names.map(|name| Ok((name.as_str(), find(name)?))).collect()
    }

    fn normal(&self, said: &SaidOf, wanted: impl Fn(&str) -> bool) -> Scores {
        detections::normal_scores(said, (self.uses, self.episodes), wanted)
    }

    /// What was said, judged by the candidates' own thresholds.
    fn judge_own(&self, said: &mut SaidOf, found: &BTreeMap<&str, Found>) -> Result<Detected> {
        let parts = (self.uses, self.episodes);
        let recipe = self.job.recipe;
        let threshold = |asset: &str| {
            found
                .get(recipe.model_of(asset).as_str())
                .map(|f| f.threshold)
        };
        detections::flag(
            said,
            parts,
            threshold,
            (&self.anomaly.threshold, &recipe.split),
        )?;
        Ok(detections::cases(said, parts))
    }

    /// What the gate compares: how well wrong rows are told where some are known, else false alarms alone.
    fn metric(&self, challenger: &Detected) -> Metric {
        let is_wrong_somewhere = challenger.0.values().flatten().any(|case| case.truth);
        match is_wrong_somewhere {
            true => Metric::Rows,
            false => Metric::FalseAlarms,
        }
    }

    fn compare(
        &self,
        champion: &Detected,
        challenger: &Detected,
        metric: Metric,
    ) -> Option<Difference> {
        let recipe = self.job.recipe;
        let of = |tally: &Tally| match metric {
            Metric::Rows => tally.f1_lost(),
            Metric::FalseAlarms => tally.false_alarms_per_week().unwrap_or(0.0),
        };
        champion.against(challenger, of, recipe.gate.confidence, recipe.split.seed)
    }

    /// First models pass; any others must be better.
    fn verdict(
        &self,
        compared: Option<&Difference>,
        challenger: &Detected,
        metric: Metric,
    ) -> gate::Verdict {
        let recipe = self.job.recipe;
        match compared {
            _ if challenger.0.is_empty() => gate::Verdict::none_judged(),
            Some(difference) => recipe.gate.decide(difference, metric.name()),
            None => gate::Verdict::first(&recipe.model),
        }
    }

    /// Curves of both models, and how the new one learnt, where it is a single network.
    fn drawings(&self, challenger: &Detected, champion: Option<&(u32, Detected)>) -> Drawings {
        let old = champion.map(|(version, detected)| (format!("champion {version}"), detected));
        let mut models = vec![("this version", challenger)];
        models.extend(
            old.iter()
                .map(|(name, detected)| (name.as_str(), *detected)),
        );
        let single = self
            .models
            .values()
            .next()
            .filter(|_| self.models.len() == 1);
        let rounds = single.map(|(trained, _)| trained.rounds.clone());
        let rounds = rounds.filter(|rounds| !rounds.is_empty());
        let rounds = rounds.map(|rounds| {
            let last = rounds.len() - 1;
            (rounds, last)
        });
        Drawings::of_detection(&models, rounds.as_slice())
    }

    fn told_of_models(&self, thresholds: &BTreeMap<&str, Found>) -> Vec<Model> {
        let models = self.models.iter().map(|(name, (trained, learnt))| {
            let found = &thresholds[name.as_str()];
            Model {
                name: name.clone(),
                rows: learnt.len(),
                threshold: found.threshold,
                threshold_scores: found.scores,
                is_short: found.is_short,
                losses: trained.rounds.iter().map(|round| round.loss).collect(),
            }
        });
        models.collect()
    }
}

fn read_episodes(job: &Job<'_>, anomaly: &Anomaly) -> Result<Episodes> {
    let Some((labels, source)) = &anomaly.labels else {
        return Ok(Episodes::default());
    };
    let events = labels::read(job.config, source)?;
    Ok(Episodes::of(events, &labels.kinds, labels.around))
}

/// Trains one model of all rows, or one of the rows of each asset; gives also the assets that can have none, and why.
fn train(
    job: &Job<'_>,
    anomaly: &Anomaly,
    learnt: &Rows,
) -> Result<(Models, Vec<(String, String)>)> {
    let recipe = job.recipe;
    let mut by_model: BTreeMap<String, Rows> = BTreeMap::new();
    for stretch in &learnt.assets {
        let rows = by_model.entry(recipe.model_of(&stretch.asset)).or_default();
        rows.features.clone_from(&learnt.features);
        rows.assets.push(stretch.clone());
    }
    let (mut models, mut left_out) = (Models::new(), Vec::new());
    for (name, rows) in by_model {
        match train_one(job, anomaly, (&name, &rows)) {
            Ok(trained) => drop(models.insert(name, (trained, rows))),
            // One asset of many, say a new one with few rows, keeps the others from nothing.
            Err(error) if recipe.is_per_asset() => {
                left_out.push((rows.assets[0].asset.clone(), format!("{error:#}")));
            }
            Err(error) => return Err(error.context(name)),
        }
    }
    match (models.is_empty(), left_out.first()) {
        (true, Some((asset, why))) => bail!("no asset can have a model; {asset}: {why}"),
        _ => Ok((models, left_out)),
    }
}

fn train_one(job: &Job<'_>, anomaly: &Anomaly, (name, rows): (&str, &Rows)) -> Result<Trained> {
    let recipe = job.recipe;
    let scaling = Scaling::fit(rows, &recipe.scaling.per)?;
    let bar = progress(anomaly.trainer.rounds(), "rounds");
    let on = |round: usize, told: Round| {
        tracing::info!(model = name, round = round + 1, loss = told.loss, "learnt");
        bar.inc(1);
        true
    };
    let file = job.work.join(format!("{name}.bin"));
    let fingerprint = rows.fingerprint(&format!("{scaling:?} {:?}", anomaly.trainer));
    let watched = Watched {
        checkpoint: Some((&file, &fingerprint)),
        on: &on,
    };
    let trained = Detector::fit(rows, scaling, &anomaly.trainer, recipe.split.seed, &watched);
    bar.finish_and_clear();
    Ok(trained?)
}

/// What the trainer says of one asset of `rows`.
fn scored(detector: &Detector, rows: &Rows, asset: &AssetRows) -> Vec<Said> {
    let one = Rows {
        features: rows.features.clone(),
        assets: vec![asset.clone()],
        incomplete: 0,
    };
    let scores = detector.scores(&one);
    let times = &asset.times[asset.times.len() - scores.len()..];
    let said = |(&time, score)| Said {
        time,
        score,
        flagged: false,
    };
    times.iter().zip(scores).map(said).collect()
}

/// Inputs for the golden question: the last rows of some stretches.
fn golden(learnt: &Rows, length: usize) -> Vec<Vec<f32>> {
    let numbers = length * learnt.features.len();
    let is_long = |stretch: &&AssetRows| stretch.values.len() >= numbers;
    let stretches = learnt.assets.iter().filter(is_long);
    stretches
        .take(GOLDEN)
        .map(|stretch| stretch.values[stretch.values.len() - numbers..].to_vec())
        .collect()
}

/// The mean of each feature.
fn means(rows: &Rows) -> Vec<f32> {
    let width = rows.features.len();
    let mut sums = vec![0.0; width];
    for row in rows
        .assets
        .iter()
        .flat_map(|rows| rows.values.chunks_exact(width))
    {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = rows.len() as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}
