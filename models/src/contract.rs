//! The contract: what a model says of itself, so that one file dropped into the repository is enough.
//!
//! It is read from the ONNX file's `metadata_props` under `forewarn.*`; a `model.toml` beside the file may
//! give or override any key, or take it away with an empty text (there without the prefix, `output.rul` being
//! a dotted key):
//!
//! | key | meaning | for |
//! |---|---|---|
//! | `contract` | version of this list: `1` | all |
//! | `task` | `anomaly`, `rul`, `forecast`, `classification` or `custom` | all |
//! | `description` | one sentence | optional |
//! | **What it takes** | | |
//! | `features` | JSON array of feature names, in the order of the input's last axis | all |
//! | `units` | JSON array of their physical units; compared with the pipeline's signals | optional |
//! | `reference` | JSON array of a typical value per feature, as of a machine that is well: what a result is attributed with, see `attribution.rs` | optional |
//! | `input` | name of the input tensor | when there are several and one takes all features |
//! | `input.<tensor>` | JSON array of the features that this tensor takes, one key per tensor. `features` may then be left out: it is these arrays in the order of the graph's inputs | when several take features |
//! | `sequence-length` | L: the input is `[B, L, F]`. Absent: `[B, F]`, one feature row | optional |
//! | `input-layout` | `LF` (default), or `FL`: the input is `[B, F, L]`, and so is an output over the sequence | with L |
//! | `padding` | `edge`: the first row is repeated until there are L; `none`: no score before L rows | with L |
//! | `sequence-step` | an asset is scored at every so many-th of its rows; default `1`. All rows stay part of the input: this is no dilation | with L |
//! | `sequence-min-rows` | rows that an asset must have before its first score, up to L; default 1 with padding `edge`, else L | with L |
//! | `sequence-max-gap` | such as `90s` or `2h`: a longer gap of event time between two rows of an asset starts its sequence, or its state, anew; default: never | with L or state |
//! | `state.<input>` | name of the output that holds the new state for the state input `<input>`, one key per pair. The model is recurrent: its input is `[B, F]` or `[B, 1, F]`, and the state is kept per asset, zeros at first | optional, not with L |
//! | **What it gives** | | |
//! | `output.residual` | output in the shape of the input: (x − reconstruction) / scale, no unit | anomaly |
//! | `output.reconstruction`, `residual-scale` | output in the shape of the input, in physical units, and a JSON array of F scales | anomaly, instead |
//! | `output.score`, `score-order` | output `[B]` or `[B, 1]`, and the end of it that is anomalous: `higher` (default) or `lower` | anomaly, instead |
//! | `threshold` | scores beyond it are anomalous; positive, with `output.score` any number | anomaly, forecast |
//! | `output.rul` | output `[B]` or `[B, 1]` | rul |
//! | `output.quantiles`, `quantiles` | output `[B, Q]`, and a JSON array of their levels, rising, with 0.5 between others | rul, instead |
//! | `output.mean`, and `output.variance` or `output.sd` | outputs `[B]` or `[B, 1]` | rul, instead |
//! | `unit` | unit of the remaining useful life | rul |
//! | `rul-cap` | largest value the model was trained to give; health = value / cap | rul |
//! | `calibration.residuals` | JSON array, sorted: truth − value on a calibration set, divided by the standard deviation where the model gives one. Makes the interval of `output.rul`; replaces the normal distribution of `output.mean` | rul |
//! | `calibration.margin` | number that each quantile but the median is moved outwards by; default 0 | rul, with quantiles |
//! | `interval-coverage` | nominal coverage of the interval; default 0.9, or what the outermost quantiles reach | rul |
//! | `failure-horizons` | JSON array in the unit: failure within each has a probability | rul |
//! | `output.forecast` | output `[B, T]`: the targets, `forecast-horizon` rows after the last row of the input | forecast |
//! | `targets` | JSON array of the T features that are forecast; default all | forecast |
//! | `forecast-horizon` | k, default 1: a row is compared with the forecast made k rows before it. Needs `sequence-length` | forecast |
//! | `residual-scale` | JSON array of T scales | forecast |
//! | `classes` | JSON array of names or numbers. A graph's number is one of them if all are numbers, else the place of the class, from 0 | classification |
//! | `output.probabilities` | output `[B, C]`; of two classes also `[B]` or `[B, 1]`, that of the second; or a map per row (ZipMap) | classification |
//! | `output.label` | output `[B]` or `[B, 1]`, numbers or text: the class alone | classification, instead |
//! | `normal-class` | any other class is anomalous; score = 1 − its probability | classification, optional |
//! | `outputs` | JSON array of outputs that are published as they are | custom |
//!
//! The key `input.<tensor>` and the shapes hold for tensors of f32, f64, f16, i64 and i32; B may be fixed.
//! Scaling belongs inside the graph: a model takes physical units.
//!
//! Not here: reading and checking single keys (`contract/`), whether the graph agrees (`signature.rs`).

mod keys;
mod read_input;
mod read_rul;
mod read_task;
mod task;

use std::collections::BTreeMap;
use std::time::Duration;

use keys::KeyReader;
pub use keys::keys_from_toml;
pub use task::{
    ClassOutput, Classification, ErrorOutput, Estimate, Forecast, Form, Judged, Rul, ScoreOrder,
    Spread, Task,
};

/// The only version of the key list so far.
const CONTRACT_VERSION: &str = "1";

/// What a model needs and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub description: String,
    pub task: Task,
    /// Feature names in the order of a feature row, which is that of the input's last axis.
    pub features: Vec<String>,
    /// Physical units of the features; empty when the model does not say.
    pub units: Vec<String>,
    /// A typical value of each feature; empty when the model does not say.
    pub reference: Vec<f32>,
    /// Name of the input tensor; `None` when the graph has only one, or `inputs` name several.
    pub input: Option<String>,
    /// The tensors among which the features are divided, in the graph's order; empty when one takes all.
    pub inputs: Vec<FedInput>,
    /// `None`: the model sees one feature row, its input is `[B, F]`.
    pub sequence: Option<Sequence>,
    pub layout: Layout,
    /// A longer gap of event time between two rows of an asset starts its sequence, or its state, anew.
    /// Only models with one of these have it.
    pub max_gap: Option<Duration>,
    /// The tensors in which a recurrent model remembers an asset, sorted by input; empty for others.
    pub state: Vec<StatePair>,
}

/// One of several input tensors, with the features that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FedInput {
    pub tensor: String,
    pub features: Vec<String>,
}

/// How a sequence lies in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `[B, L, F]`
    #[default]
    RowsFirst,
    /// `[B, F, L]`
    FeaturesFirst,
}

/// What the graph gives as `output` on one row, it wants as `input` with the asset's next row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePair {
    pub input: String,
    pub output: String,
}

/// The last `length` feature rows of an asset are one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    pub length: usize,
    pub padding: Padding,
    /// An asset is scored at every `step`-th of its rows; at least 1. The rows between are part of the next
    /// input all the same.
    pub step: usize,
    /// Rows that an asset must have before its first score, within 1..=`length`; `length` without padding.
    pub min_rows: usize,
}

/// What happens while an asset has fewer rows than the sequence is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The asset's first row is repeated at the front.
    Edge,
    /// There is no score.
    None,
}

impl Contract {
    /// Length of the sequence that the graph sees, 1 for a model that sees one row.
    pub fn length(&self) -> usize {
        self.sequence.map_or(1, |sequence| sequence.length)
    }

    /// The rows that are gathered for one score: what the graph sees, and of a forecast also the rows up to
    /// the one that it is compared with.
    pub fn gathered(&self) -> Option<Sequence> {
        let sequence = self.sequence?;
        Some(Sequence {
            length: sequence.length + self.horizon(),
            min_rows: sequence.min_rows + self.horizon(),
            ..sequence
        })
    }

    /// Values of one gathered input: rows × features.
    pub fn input_len(&self) -> usize {
        self.gathered().map_or(1, |sequence| sequence.length) * self.features.len()
    }

    fn horizon(&self) -> usize {
        match &self.task {
            Task::Forecast(forecast) => forecast.horizon,
            _ => 0,
        }
    }

    /// The features among which a score is divided; none where the graph does not tell.
    pub fn contributors(&self) -> &[String] {
        match &self.task {
            Task::Anomaly {
                error: ErrorOutput::Residual { .. } | ErrorOutput::Reconstruction { .. },
                ..
            } => &self.features,
            Task::Forecast(forecast) => &forecast.targets,
            _ => &[],
        }
    }

    /// Does the model keep a state per asset?
    pub fn is_recurrent(&self) -> bool {
        !self.state.is_empty()
    }

    /// Reads the contract from the merged keys (without the `forewarn.` prefix). `graph` are the names of
    /// the graph's inputs in their order.
    ///
    /// # Errors
    /// Every problem found, each saying which key and what to write.
    pub fn from_keys(
        keys: &BTreeMap<String, String>,
        graph: &[String],
    ) -> Result<Self, Vec<String>> {
        if !keys.contains_key("task") && !keys.contains_key("contract") {
            return Err(vec![
                "the file has no contract: it needs forewarn.* entries in metadata_props, or a \
                 model.toml beside it, with at least `task`, `features` and the task's output"
                    .into(),
            ]);
        }
        let mut reader = KeyReader {
            keys,
            problems: Vec::new(),
        };
        reader.version(CONTRACT_VERSION);
        let (features, inputs) = reader.features(graph);
        let units = reader.units(features.len());
        let reference = reader.reference(features.len());
        let sequence = reader.sequence();
        let layout = reader.layout();
        let state = reader.state();
        let max_gap = reader.max_gap();
        let task = reader.task(&features);
        match (task, layout, reader.problems.is_empty()) {
            (Some(task), Some(layout), true) => Ok(Contract {
                description: keys.get("description").cloned().unwrap_or_default(),
                task,
                features,
                units,
                reference,
                input: keys.get("input").cloned(),
                inputs,
                sequence,
                layout,
                max_gap,
                state,
            }),
            _ => Err(reader.problems),
        }
    }
}

#[cfg(test)]
mod tests;
