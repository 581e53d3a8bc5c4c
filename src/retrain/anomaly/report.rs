//! Everything that is told of a retraining of models of anomalies: as text for a person, as JSON for a program.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use forewarn_training::detections::OfKind;
use forewarn_training::evaluate::detection::Figures;
use forewarn_training::gate::Difference;
use forewarn_training::recipe::{Metric, Recipe};
use forewarn_training::rows::Rows;
use forewarn_training::uses::Uses;
use serde::Serialize;
use serde_json::json;

use super::super::seconds;
use super::super::words::{delay, held_back, number, percent, rate};
use crate::model::Added;
use crate::reply::Output;
use crate::terminal::thousands;

/// What was learnt from.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    /// Normal rows.
    pub rows: usize,
    pub assets: usize,
    /// Held back from all training; none where each asset is in a fold.
    pub held_out: usize,
    pub folds: usize,
    /// Rows without all features.
    pub incomplete: u64,
    #[serde(serialize_with = "seconds")]
    pub replay: Duration,
}

/// A model, and its threshold.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub name: String,
    /// Rows that it learnt from.
    pub rows: usize,
    pub threshold: f64,
    /// Scores that the threshold was found in.
    pub threshold_scores: usize,
    /// They were too few for what was asked, and it is the highest of them.
    pub is_short: bool,
    /// Of its rounds.
    pub losses: Vec<f64>,
}

/// What serves now, on the same rows.
#[derive(Debug, Serialize)]
pub(super) struct Champion {
    pub version: u32,
    pub figures: Figures,
    pub by_kind: Vec<OfKind>,
}

/// Everything that is told of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub model: String,
    pub passes: bool,
    pub reason: String,
    pub data: Data,
    pub models: Vec<Model>,
    /// Assets that have no model, and why, where each asset has one of its own.
    pub left_out: Vec<(String, String)>,
    /// Of the candidate, on the judged rows.
    pub figures: Figures,
    pub by_kind: Vec<OfKind>,
    pub champion: Option<Champion>,
    pub metric: Metric,
    pub compared: Option<Difference>,
    /// Between the graph in the engine and the trainer, as a share of the score: the largest of all held-back rows.
    pub trainer_difference: f64,
    #[serde(serialize_with = "seconds")]
    pub learning: Duration,
}

impl Data {
    /// # Errors
    /// When nothing can be learnt from these rows.
    pub fn of(
        recipe: &Recipe,
        (rows, learnt): (&Rows, &Rows),
        uses: &Uses,
        replay: Duration,
    ) -> Result<Self> {
        let calibrating = uses.assets(|of| &of.calibrate).count();
        let data = Data {
            rows: learnt.len(),
            assets: uses.assets(|of| &of.learn).count(),
            held_out: match recipe.split.is_crossed() {
                true => 0,
                false => calibrating,
            },
            folds: recipe.split.folds,
            incomplete: rows.incomplete,
            replay,
        };
        if data.rows == 0 {
            bail!(
                "none of the {} rows of {} assets that are learnt from is normal by the labels: nothing tells what is normal",
                rows.len(),
                data.assets
            );
        }
        if calibrating == 0 {
            bail!(
                "none of the {} assets is held back for the threshold: more assets are needed, or a larger split.hold-out",
                rows.assets.len()
            );
        }
        Ok(data)
    }
}

impl Report {
    /// Prints it, with the versions that were added and the file of the card.
    pub fn tell(&self, output: Output, added: &[Added], card: &Path) -> Result<()> {
        let added_json: Vec<_> = added.iter().map(Added::json).collect();
        let value = json!({ "report": self, "card": card, "added": added_json });
        output.print(&value, || self.text(added, card))
    }

    fn text(&self, added: &[Added], card: &Path) -> String {
        let data = &self.data;
        let mut text = format!(
            "learnt from  {} normal rows of {} assets; {} ({:.0} s from the log)\n",
            thousands(data.rows as u64),
            data.assets,
            held_back(data.held_out, data.folds),
            data.replay.as_secs_f64()
        );
        let _ = writeln!(
            text,
            "trained      {} in {:.0} s",
            match self.models.len() {
                1 => "1 model".to_owned(),
                count => format!("{count} models, one for each asset"),
            },
            self.learning.as_secs_f64()
        );
        for (asset, why) in &self.left_out {
            let _ = writeln!(text, "left out     {asset}: {why}");
        }
        let _ = writeln!(
            text,
            "graph        equals the trainer within {:.1e} of the score on held-back rows",
            self.trainer_difference
        );
        let _ = writeln!(text, "threshold    {}", self.thresholds());
        let _ = writeln!(text, "judged       {}", told(&self.figures));
        if let Some(champion) = &self.champion {
            let (version, figures) = (champion.version, told(&champion.figures));
            let _ = writeln!(text, "champion     {} {version}: {figures}", self.model);
        }
        for kind in &self.by_kind {
            let _ = writeln!(text, "  {}", of_kind(kind));
        }
        let _ = writeln!(text, "verdict      {}", self.reason);
        match added {
            [] => text + &format!("no version is added; its card is {}", card.display()),
            [one] => text + &one.text(),
            more => text + &format!("{} versions are added, one for each asset", more.len()),
        }
    }

    fn thresholds(&self) -> String {
        let short = self.models.iter().filter(|model| model.is_short).count();
        let mut text = match &self.models[..] {
            [model] => format!(
                "{:.4} in {} held-back normal scores",
                model.threshold,
                thousands(model.threshold_scores as u64)
            ),
            models => format!(
                "of each model, in its own held-back normal scores ({} models)",
                models.len()
            ),
        };
        if short > 0 {
            let _ = write!(
                text,
                "; of {short} the scores are too few for what was asked, and it is the highest one"
            );
        }
        text
    }
}

/// Figures in one line.
fn told(figures: &Figures) -> String {
    format!(
        "F1 {}, FAR {}, MAR {}, {} of {} episodes detected, {} false alarms per asset and week",
        number(figures.f1),
        percent(figures.false_alarm_rate),
        percent(figures.missed_alarm_rate),
        figures.detected,
        figures.episodes,
        rate(figures.false_alarms_per_week)
    )
}

fn of_kind(kind: &OfKind) -> String {
    format!(
        "{:<24} recall {:>7}, alone {:>7} of {} rows; began alone {}, detected {}, median delay {}",
        kind.kind,
        percent(kind.recall),
        percent(kind.recall_alone),
        kind.rows_alone,
        kind.began_alone,
        kind.detected_alone,
        delay(kind.median_delay)
    )
}
