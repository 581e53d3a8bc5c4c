//! What a model is for, and by which of its outputs it is judged.
//!
//! Not here: reading these from keys (`read_task.rs`), what the outputs mean (`verdict/`).

use serde::{Deserialize, Serialize};

/// A task with all that its verdicts need.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    Anomaly { error: ErrorOutput, threshold: f64 },
    Rul(Rul),
    Forecast(Forecast),
    Classification(Classification),
    Custom { outputs: Vec<String> },
}

/// How an anomaly model tells its error.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorOutput {
    /// The graph computes the residual without unit.
    Residual { output: String },
    /// The graph gives the reconstruction in physical units; the contract gives one scale per feature.
    Reconstruction { output: String, scale: Vec<f32> },
    /// The graph gives one score per row.
    Score { output: String, order: ScoreOrder },
}

/// Which end of a score is anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreOrder {
    /// Scores above the threshold are.
    #[default]
    Higher,
    /// Scores below the threshold are.
    Lower,
}

/// Remaining useful life.
#[derive(Debug, Clone, PartialEq)]
pub struct Rul {
    pub estimate: Estimate,
    pub unit: String,
    /// The largest value that the model was trained to give.
    pub cap: f64,
    /// Nominal coverage of the interval, within (0, 1).
    pub coverage: f64,
    /// Failure within each of these has a probability; rising, below the cap.
    pub horizons: Vec<f64>,
}

/// What a graph says of the remaining life, and what is needed to make a distribution of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Estimate {
    /// One number. `residuals` are the truth minus the value on a calibration set, rising; empty: there is
    /// no interval.
    Value { output: String, residuals: Vec<f64> },
    /// One number for each of `levels`, which rise and hold 0.5; each but the median is moved outwards by
    /// `margin`.
    Quantiles {
        output: String,
        levels: Vec<f64>,
        margin: f64,
    },
    /// `residuals` are divided by the standard deviation; empty: the distribution is normal.
    Moments {
        mean: String,
        spread: Spread,
        residuals: Vec<f64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spread {
    Variance(String),
    StandardDeviation(String),
}

/// A prediction of some features, compared with what they turn out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub output: String,
    /// Names of the features that are forecast, in the order of the output.
    pub targets: Vec<String>,
    /// Their places among the features.
    pub places: Vec<usize>,
    /// Rows between the last one that the graph sees and the one that it forecasts; at least 1.
    pub horizon: usize,
    /// One scale per target.
    pub scale: Vec<f32>,
    pub threshold: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    pub classes: Vec<String>,
    pub output: ClassOutput,
    /// Place of the class that is no anomaly.
    pub normal: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassOutput {
    /// A probability per class, or of two classes that of the second.
    Probabilities(String),
    /// The class alone.
    Label(String),
}

/// An output that a task is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged<'a> {
    pub name: &'a str,
    pub form: Form<'a>,
}

/// What an output holds for each row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form<'a> {
    /// One number.
    Scalar,
    /// So many numbers.
    Vector(usize),
    /// A number for each number of the input.
    LikeInput,
    Probabilities(&'a [String]),
    Label(&'a [String]),
    /// Any numbers, as many as the graph gives.
    Free,
}

impl ErrorOutput {
    /// Which end of the score is anomalous.
    pub fn order(&self) -> ScoreOrder {
        match self {
            ErrorOutput::Score { order, .. } => *order,
            ErrorOutput::Residual { .. } | ErrorOutput::Reconstruction { .. } => ScoreOrder::Higher,
        }
    }
}

impl Task {
    /// The word used in contracts and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Task::Anomaly { .. } => "anomaly",
            Task::Rul(_) => "rul",
            Task::Forecast(_) => "forecast",
            Task::Classification(_) => "classification",
            Task::Custom { .. } => "custom",
        }
    }

    /// The graph outputs that the task is judged by, in the order in which the judge wants them.
    pub fn outputs(&self) -> Vec<Judged<'_>> {
        let one = |name, form| vec![Judged { name, form }];
        match self {
            Task::Anomaly { error, .. } => match error {
                ErrorOutput::Residual { output } | ErrorOutput::Reconstruction { output, .. } => {
                    one(output, Form::LikeInput)
                }
                ErrorOutput::Score { output, .. } => one(output, Form::Scalar),
            },
            Task::Rul(rul) => rul.estimate.outputs(),
            Task::Forecast(Forecast {
                output, targets, ..
            }) => one(output, Form::Vector(targets.len())),
            Task::Classification(Classification {
                classes, output, ..
            }) => match output {
                ClassOutput::Probabilities(name) => one(name, Form::Probabilities(classes)),
                ClassOutput::Label(name) => one(name, Form::Label(classes)),
            },
            Task::Custom { outputs } => outputs
                .iter()
                .flat_map(|name| one(name, Form::Free))
                .collect(),
        }
    }
}

impl Rul {
    /// Is there enough for an interval? A value alone is none.
    pub fn has_interval(&self) -> bool {
        !matches!(&self.estimate, Estimate::Value { residuals, .. } if residuals.is_empty())
    }
}

impl Estimate {
    fn outputs(&self) -> Vec<Judged<'_>> {
        let judged = |name, form| Judged { name, form };
        match self {
            Estimate::Value { output, .. } => vec![judged(output.as_str(), Form::Scalar)],
            Estimate::Quantiles { output, levels, .. } => {
                vec![judged(output.as_str(), Form::Vector(levels.len()))]
            }
            Estimate::Moments { mean, spread, .. } => {
                let (Spread::Variance(name) | Spread::StandardDeviation(name)) = spread;
                vec![
                    judged(mean.as_str(), Form::Scalar),
                    judged(name.as_str(), Form::Scalar),
                ]
            }
        }
    }
}
