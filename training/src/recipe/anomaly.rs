//! Recipes of models of anomalies.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Source, table};
use crate::detector::Trainer;
use crate::episodes::Around;
use crate::labels::Topic;
use crate::threshold::Threshold;

/// What is learnt, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// `None`: all rows are taken for normal, and nothing is known that should be told.
    pub labels: Option<(Events, Source)>,
    pub trainer: Trainer,
    pub threshold: Threshold,
}

/// `[labels]`: what was wrong with the assets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Events {
    /// File of failures and faults, relative to the recipe: CSV with a header (`asset,time,kind,until`), or lines of JSON.
    /// An event without `until` is an instant, one until `open` lasts still.
    #[serde(default)]
    failures: Option<PathBuf>,
    /// Topic of failures and faults, instead of a file.
    #[serde(default)]
    topic: Option<Topic>,
    /// Kinds of events that are meant. Default: all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// How long before and after an event rows are not normal: they are not learnt from, and nothing is expected of them.
    /// Of an instant, such as a failure, what comes before is what should be told. Default: nothing.
    #[serde(default)]
    pub around: Around,
}

/// What a gate of such a model compares; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// 1 - F1 of rows, where it is known which rows are wrong.
    Rows,
    /// False alarms per asset and week, where nothing is known but that machines were well.
    FalseAlarms,
}

impl Metric {
    /// In words, with its unit.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Metric::Rows => ("1 - F1", "of rows"),
            Metric::FalseAlarms => ("false alarms", "per asset and week"),
        }
    }
}

impl Anomaly {
    pub(super) fn read(
        labels: Option<toml::Table>,
        threshold: Option<toml::Table>,
        (kind, mut trainer): (String, toml::Table),
        folder: &Path,
    ) -> Result<Self, String> {
        trainer.insert("kind".into(), kind.into());
        let labels = labels.map(|labels| {
            let labels: Events = table("labels", labels)?;
            let source = Source::of(labels.failures.as_deref(), labels.topic.as_ref(), folder)?;
            Ok::<_, String>((labels, source))
        });
        let anomaly = Anomaly {
            labels: labels.transpose()?,
            trainer: table("trainer", trainer)?,
            threshold: table("threshold", threshold.unwrap_or_default())?,
        };
        match anomaly.wrong() {
            Some(what) => Err(what.to_owned()),
            None => Ok(anomaly),
        }
    }

    fn wrong(&self) -> Option<&'static str> {
        let threshold = &self.threshold;
        if !(0.0..1.0).contains(&threshold.flags) {
            return Some("threshold.flags must be at least 0 and below 1");
        }
        if threshold.of == 0 || threshold.of > threshold.within {
            return Some("threshold.of must be at least 1 and at most threshold.within");
        }
        let is_no_training = |learning: &crate::neural::Settings| {
            learning.steps == 0 || learning.batch == 0 || learning.round == 0
        };
        let training = "trainer.learning: steps, batch and round must be at least 1";
        match &self.trainer {
            Trainer::Pca(settings) => (!(0.0 < settings.explains && settings.explains <= 1.0))
                .then_some("trainer.explains must be above 0 and at most 1"),
            Trainer::Mixture(settings) => {
                (settings.components == 0).then_some("trainer.components must be at least 1")
            }
            Trainer::Autoencoder(settings) => {
                if settings.hidden.is_empty() || settings.hidden.contains(&0) {
                    return Some("trainer.hidden must name the units of each layer");
                }
                is_no_training(&settings.learning).then_some(training)
            }
            Trainer::LstmAutoencoder(settings) => {
                if settings.length < 2 || settings.encoder == 0 || settings.decoder == 0 {
                    return Some(
                        "trainer.length must be at least 2, trainer.encoder and trainer.decoder at least 1",
                    );
                }
                is_no_training(&settings.learning).then_some(training)
            }
        }
    }
}
