//! The contract: what a model says of itself, so that one file dropped into the repository is enough.
//!
//! It is read from the ONNX file's `metadata_props` under `forewarn.*`; a `model.toml` beside the file may
//! give or override any key (there without the prefix, `output.rul` being a dotted key):
//!
//! | key | meaning | for |
//! |---|---|---|
//! | `contract` | version of this list: `1` | all |
//! | `task` | `anomaly` or `rul` | all |
//! | `features` | JSON array of feature names, in the order of the input's last axis | all |
//! | `units` | JSON array of their physical units; compared with the pipeline's signals | optional |
//! | `input` | name of the input tensor | when there are several |
//! | `sequence-length` | L: the input is `[B, L, F]`. Absent: `[B, F]`, one feature row | optional |
//! | `padding` | `edge`: the first row is repeated until there are L; `none`: no score before L rows | with L |
//! | `sequence-step` | an asset is scored at every so many-th of its rows; default `1`. All rows stay part of the input: this is no dilation | with L |
//! | `sequence-min-rows` | rows that an asset must have before its first score, up to L; default 1 with padding `edge`, else L | with L |
//! | `sequence-max-gap` | such as `90s` or `2h`: a longer gap of event time between two rows of an asset starts its sequence, or its state, anew; default: never | with L or state |
//! | `state.<input>` | name of the output that holds the new state for the state input `<input>`, one key per pair. The model is recurrent: its input is `[B, F]` or `[B, 1, F]`, and the state is kept per asset, zeros at first | optional, not with L |
//! | `output.residual` | output `[B, F]` or `[B, L, F]` (with state also `[B, 1, F]`): (x − reconstruction) / scale, no unit | anomaly |
//! | `output.reconstruction`, `residual-scale` | output in physical units, and a JSON array of F scales | anomaly, instead |
//! | `threshold` | scores above it are anomalous | anomaly |
//! | `output.rul` | output `[B]` or `[B, 1]` | rul |
//! | `unit` | unit of the remaining useful life | rul |
//! | `rul-cap` | largest value the model was trained to give; health = value / cap | rul |
//! | `description` | one sentence | optional |
//!
//! Scaling belongs inside the graph: a model takes physical units.
//!
//! Not here: reading and checking single keys (`contract/keys.rs`), whether the graph agrees
//! (`signature.rs`).

mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use keys::KeyReader;
pub use keys::keys_from_toml;

/// The only version of the key list so far.
const CONTRACT_VERSION: &str = "1";

/// What a model needs and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub description: String,
    pub task: Task,
    /// Feature names in the order of the input's last axis.
    pub features: Vec<String>,
    /// Physical units of the features; empty when the model does not say.
    pub units: Vec<String>,
    /// Name of the input tensor; `None` when the graph has only one.
    pub input: Option<String>,
    /// `None`: the model sees one feature row, its input is `[B, F]`.
    pub sequence: Option<Sequence>,
    /// A longer gap of event time between two rows of an asset starts its sequence, or its state, anew.
    /// Only models with one of these have it.
    pub max_gap: Option<Duration>,
    /// The tensors in which a recurrent model remembers an asset, sorted by input; empty for others.
    pub state: Vec<StatePair>,
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

#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    Anomaly {
        error: ErrorOutput,
        threshold: f64,
    },
    Rul {
        output: String,
        unit: String,
        cap: f64,
    },
}

/// How an anomaly model tells its error.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorOutput {
    /// The graph computes the residual without unit.
    Residual { output: String },
    /// The graph gives the reconstruction in physical units; the contract gives one scale per feature.
    Reconstruction { output: String, scale: Vec<f32> },
}

impl Task {
    /// The word used in contracts and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Task::Anomaly { .. } => "anomaly",
            Task::Rul { .. } => "rul",
        }
    }

    /// The graph output that the task is judged by.
    pub fn output(&self) -> &str {
        match self {
            Task::Anomaly {
                error: ErrorOutput::Residual { output },
                ..
            }
            | Task::Anomaly {
                error: ErrorOutput::Reconstruction { output, .. },
                ..
            }
            | Task::Rul { output, .. } => output,
        }
    }
}

impl Contract {
    /// Length of the sequence, 1 for a model that sees one row.
    pub fn length(&self) -> usize {
        self.sequence.map_or(1, |sequence| sequence.length)
    }

    /// Does the model keep a state per asset?
    pub fn is_recurrent(&self) -> bool {
        !self.state.is_empty()
    }

    /// Reads the contract from the merged keys (without the `forewarn.` prefix).
    ///
    /// # Errors
    /// Every problem found, each saying which key and what to write.
    pub fn from_keys(keys: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
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
        let version = reader
            .text("contract")
            .unwrap_or_else(|| CONTRACT_VERSION.into());
        if version != CONTRACT_VERSION {
            reader.problem(
                "contract",
                &format!("version {version} is not known; this build reads 1"),
            );
        }
        let features: Vec<String> = reader.required_json("features").unwrap_or_default();
        if features.is_empty() && keys.contains_key("features") {
            reader.problem("features", "must name at least one feature");
        }
        let units: Vec<String> = reader.json("units").unwrap_or_default();
        if !units.is_empty() && units.len() != features.len() {
            reader.problem(
                "units",
                &format!(
                    "has {} entries for {} features",
                    units.len(),
                    features.len()
                ),
            );
        }
        let sequence = reader.sequence();
        let state = reader.state();
        let max_gap = reader.max_gap();
        let task = reader.task(features.len());
        match (task, reader.problems.is_empty()) {
            (Some(task), true) => Ok(Contract {
                description: keys.get("description").cloned().unwrap_or_default(),
                task,
                features,
                units,
                input: keys.get("input").cloned(),
                sequence,
                max_gap,
                state,
            }),
            _ => Err(reader.problems),
        }
    }
}

#[cfg(test)]
mod tests;
