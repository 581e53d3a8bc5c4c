//! A trained model of remaining life, whichever it is.
//!
//! Invariant: [`LifeModel::predict`] and the graph of [`LifeModel::export`] say the same of each row.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::linear::{Linear, Settings};
use crate::lives::{Change, Lives, Target};
use crate::neural::{Round, Stop};
use crate::rows::Rows;
use crate::rul::{self, Progress, RulModel, Told, Training};
use crate::scaling::Scaling;
use crate::split::Split;

/// What a recipe says of it: `[trainer]`, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LifeTrainer {
    Recurrent(Training),
    Linear(Settings),
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub enum LifeModel {
    Recurrent(RulModel),
    Linear(Linear),
}

/// A model, and how it came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub model: LifeModel,
    /// Of each network, its rounds, and the best of them.
    pub rounds: Vec<(Vec<Round>, usize)>,
}

#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    #[error(transparent)]
    Network(#[from] Stop),
    #[error(
        "no linear model was found: no row has a remaining life, or trainer.penalty is too large"
    )]
    Linear,
}

impl LifeTrainer {
    /// The quantiles that the interval goes from and to.
    pub fn interval(&self) -> (f64, f64) {
        match self {
            LifeTrainer::Recurrent(training) => (training.low, training.high),
            LifeTrainer::Linear(settings) => (settings.low, settings.high),
        }
    }

    /// How lives are changed while a network learns; a linear model learns them as they are.
    pub fn change(&self) -> Change {
        match self {
            LifeTrainer::Recurrent(training) => training.change,
            LifeTrainer::Linear(_) => Change::default(),
        }
    }

    /// Rounds of all networks together.
    pub fn rounds(&self) -> u64 {
        match self {
            LifeTrainer::Recurrent(training) => {
                let learning = &training.learning;
                (learning.steps.div_ceil(learning.round) * training.members) as u64
            }
            LifeTrainer::Linear(_) => 0,
        }
    }

    /// In words, for a card.
    pub fn describe(&self) -> String {
        match self {
            LifeTrainer::Recurrent(training) => format!(
                "{} recurrent networks ({:?}, {:?} units, dense {:?}) that keep a state per asset; what they say is averaged",
                training.members, training.cell, training.hidden, training.dense
            ),
            LifeTrainer::Linear(_) => "an elastic net over single rows and their age".into(),
        }
    }

    /// Trains it on the lives of `rows` that `split` does not hold back; see [`rul::train`].
    ///
    /// # Errors
    /// When these rows give no such model, or the training is told to stop.
    pub fn train(
        &self,
        (rows, scaling, labels): (&Rows, Scaling, &Labels),
        target: Target,
        split: &Split,
        work: Option<&Path>,
        on: impl Fn(Progress) -> bool + Sync,
    ) -> Result<Trained, LifeError> {
        match self {
            LifeTrainer::Recurrent(training) => {
                let data = (rows, scaling, labels);
                let trained = rul::train(data, target, split, training, work, on)?;
                Ok(Trained {
                    model: LifeModel::Recurrent(trained.model),
                    rounds: trained.rounds,
                })
            }
            LifeTrainer::Linear(settings) => {
                let lives = Lives::new(rows, &scaling, labels, target, self.change());
                let fitted = Linear::fit((&lives, &scaling), target.cap, settings, split.seed);
                Ok(Trained {
                    model: LifeModel::Linear(fitted.ok_or(LifeError::Linear)?),
                    rounds: Vec::new(),
                })
            }
        }
    }
}

impl LifeModel {
    pub fn scaling(&self) -> &Scaling {
        match self {
            LifeModel::Recurrent(model) => &model.scaling,
            LifeModel::Linear(model) => &model.scaling,
        }
    }

    /// The largest remaining life that it tells.
    pub fn cap(&self) -> f64 {
        match self {
            LifeModel::Recurrent(model) => model.cap,
            LifeModel::Linear(model) => model.cap,
        }
    }

    /// What it says at each row of each life: the trainer's own numbers.
    pub fn predict(&self, lives: &Lives) -> Vec<Vec<Told>> {
        match self {
            LifeModel::Recurrent(model) => model.predict(lives),
            LifeModel::Linear(model) => model.predict(lives),
        }
    }

    /// The graph, a row at a time, with `metadata` and the keys of its contract that the graph decides.
    pub fn export(&self, name: &str, metadata: Vec<(String, String)>) -> Vec<u8> {
        match self {
            LifeModel::Recurrent(model) => model.export(name, metadata),
            LifeModel::Linear(model) => model.export(name, metadata),
        }
    }
}
