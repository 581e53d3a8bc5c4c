//! Everything that is told of a retraining: as text for a person, as JSON for a program.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use forewarn_training::gate::Difference;
use forewarn_training::judged::Figures;
use forewarn_training::labels::Labels;
use forewarn_training::recipe::{Life, Recipe};
use forewarn_training::rows::{AssetRows, Rows};
use serde::Serialize;
use serde_json::json;

use super::super::seconds;
use super::super::words::{held_back, percent};
use crate::model::Added;
use crate::reply::Output;
use crate::terminal::thousands;

/// What was learnt from.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    pub rows: usize,
    pub assets: usize,
    /// Assets that have failed; the others are censored, and teach no remaining life.
    pub failed: usize,
    /// Held back from all training; none where each asset is in a fold.
    pub held_out: usize,
    pub folds: usize,
    /// Rows without all features.
    pub incomplete: u64,
    #[serde(serialize_with = "seconds")]
    pub replay: Duration,
}

#[derive(Debug, Serialize)]
pub(super) struct Interval {
    pub nominal: f64,
    /// `None`: too few rows were held back.
    pub margin: Option<f64>,
    /// Coverage of assets that the margin was not taken from.
    pub crossed: Option<f64>,
}

/// Everything that is told of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub model: String,
    pub passes: bool,
    pub reason: String,
    pub data: Data,
    /// Of the candidate, on the judged assets.
    pub figures: Figures,
    pub champion: Option<(u32, Figures)>,
    /// Of a linear model of single rows. Its interval is none.
    pub baseline: Option<Figures>,
    pub compared: Option<Difference>,
    pub interval: Interval,
    /// Between ONNX Runtime and the trainer, as a share of the cap: the largest of all held-back rows.
    pub trainer_difference: f64,
    /// Of each member: rounds, and which one was the best.
    pub rounds: Vec<(usize, usize)>,
    #[serde(serialize_with = "seconds")]
    pub learning: Duration,
}

impl Data {
    /// # Errors
    /// When nothing can be learnt from these rows.
    pub fn of(
        rows: &Rows,
        (recipe, life): (&Recipe, &Life),
        labels: &Labels,
        replay: Duration,
    ) -> Result<Self> {
        let roles = recipe.roles();
        let train = || rows.assets.iter().filter(|rows| roles.learns(&rows.asset));
        let failed = train().filter(|rows| labels.left(&rows.asset, rows.times[0]).is_some());
        let held_out = rows
            .assets
            .iter()
            .filter(|rows| roles.calibrates(&rows.asset) && !roles.learns(&rows.asset));
        let data = Data {
            rows: train().map(AssetRows::len).sum(),
            assets: train().count(),
            failed: failed.count(),
            held_out: held_out.count(),
            folds: recipe.split.folds,
            incomplete: rows.incomplete,
            replay,
        };
        if data.failed == 0 {
            bail!(
                "none of the {} assets that are learnt from has failed by {}: nothing tells their remaining life",
                data.assets,
                life.source
            );
        }
        Ok(data)
    }
}

impl Report {
    /// Prints it, with the version that was added and the file of the card.
    pub fn tell(&self, output: Output, added: Option<&Added>, card: &Path) -> Result<()> {
        let mut value = json!({ "report": self, "card": card });
        if let Some(added) = added {
            value["added"] = added.json();
        }
        output.print(&value, || self.text(added, card))
    }

    fn text(&self, added: Option<&Added>, card: &Path) -> String {
        let (data, figures) = (&self.data, &self.figures);
        let mut text = format!(
            "learnt from  {} rows of {} assets, {} of which failed; {} ({:.0} s from the log)\n",
            thousands(data.rows as u64),
            data.assets,
            data.failed,
            held_back(data.held_out, data.folds),
            data.replay.as_secs_f64()
        );
        text += &format!(
            "trained      {} in {:.0} s\n",
            match self.rounds.len() {
                0 => "a linear model".to_owned(),
                count => format!("{count} networks"),
            },
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
        let held = percent(figures.coverage);
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
            None => text + &format!("no version is added; its card is {}", card.display()),
        }
    }
}
