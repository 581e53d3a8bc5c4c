//! Recipes of models of remaining useful life.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{Source, table};
use crate::labels::Topic;
use crate::life::LifeTrainer;
use crate::lives::Target;
use crate::rul::Training;

/// `trainer.kind` where it is left out.
pub(super) const KIND: &str = "recurrent";
/// All kinds of such a recipe.
pub(super) const KINDS: [&str; 2] = [KIND, "linear"];

/// What is learnt, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    pub labels: LifeLabels,
    /// Where failures are told.
    pub source: Source,
    /// `[trainer]`.
    pub trainer: LifeTrainer,
}

/// `[labels]`: what happened to the assets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LifeLabels {
    /// File of failures, relative to the recipe: CSV with a header (`asset,time,kind`), or lines of JSON.
    #[serde(default)]
    failures: Option<PathBuf>,
    /// Topic of failures, instead of a file.
    #[serde(default)]
    topic: Option<Topic>,
    /// Kinds of events that end a life. Default: `failure`.
    #[serde(default = "failure")]
    pub kinds: Vec<String>,
    /// Name of the unit of remaining life.
    pub unit: String,
    /// How much event time one unit is.
    #[serde(with = "humantime_serde")]
    pub unit_lasts: Duration,
    /// Remaining life that is learnt at most, in units.
    pub cap: f64,
    /// Failure within each of these has a probability, in units. Default: a fifth and two fifths of the cap.
    #[serde(default)]
    pub horizons: Vec<f64>,
}

fn failure() -> Vec<String> {
    vec!["failure".into()]
}

impl Life {
    pub(super) fn read(
        labels: Option<toml::Table>,
        (kind, mut trainer): (String, toml::Table),
        folder: &Path,
    ) -> Result<Self, String> {
        let labels =
            labels.ok_or("a model of remaining life learns from failures: [labels] is missing")?;
        trainer.insert("kind".into(), kind.into());
        let labels: LifeLabels = table("labels", labels)?;
        let mut life = Life {
            source: Source::of(labels.failures.as_deref(), labels.topic.as_ref(), folder)?,
            labels,
            trainer: table("trainer", trainer)?,
        };
        if let Some(what) = life.wrong() {
            return Err(what.to_owned());
        }
        let labels = &mut life.labels;
        if labels.horizons.is_empty() {
            labels.horizons = vec![labels.cap / 5.0, labels.cap * 2.0 / 5.0];
        }
        Ok(life)
    }

    fn wrong(&self) -> Option<&'static str> {
        let labels = &self.labels;
        let (low, high) = self.trainer.interval();
        let wrong = [
            (labels.cap <= 0.0, "labels.cap must be above 0"),
            (
                labels.unit_lasts.is_zero(),
                "labels.unit-lasts must be longer than 0",
            ),
            (
                !(0.0 < low && low < 0.5 && 0.5 < high && high < 1.0),
                "trainer.low must lie below 0.5 and trainer.high above it",
            ),
        ];
        let wrong = wrong
            .into_iter()
            .find_map(|(is_wrong, what)| is_wrong.then_some(what));
        wrong.or_else(|| match &self.trainer {
            LifeTrainer::Recurrent(training) => wrong_with(training),
            LifeTrainer::Linear(settings) => (!(settings.penalty >= 0.0
                && (0.0..=1.0).contains(&settings.by_absolute_value)))
            .then_some(
                "trainer.penalty must be at least 0, and trainer.by-absolute-value within 0 and 1",
            ),
        })
    }

    pub fn target(&self) -> Target {
        Target {
            unit: i64::try_from(self.labels.unit_lasts.as_micros()).unwrap_or(i64::MAX),
            cap: self.labels.cap,
        }
    }
}

fn wrong_with(training: &Training) -> Option<&'static str> {
    let learning = &training.learning;
    let wrong = [
        (training.members == 0, "trainer.members must be at least 1"),
        (
            training.watched && training.members < 2,
            "trainer.watched needs at least 2 trainer.members: each is watched on a fold that it does not learn from",
        ),
        (
            learning.steps == 0 || learning.batch == 0 || learning.round == 0,
            "trainer.learning: steps, batch and round must be at least 1",
        ),
        (
            training.hidden.is_empty(),
            "trainer.hidden must name the units of a layer",
        ),
    ];
    wrong
        .into_iter()
        .find_map(|(is_wrong, what)| is_wrong.then_some(what))
}
