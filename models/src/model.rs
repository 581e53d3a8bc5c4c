//! One version of a model, loaded, checked against its contract and probed.
//!
//! Not here: whether a file may be loaded at all (`admission/`), hot swap.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::Session;

use crate::contract::{self, Contract};
use crate::reference::Reference;
use crate::repository::ModelFiles;
use crate::runtime::Runtime;
use crate::scorer::{ScoreError, Scorer};
use crate::signature::Signature;
use crate::verdict::Verdicts;

/// Prefix of the contract's keys in an ONNX file's `metadata_props`.
pub(crate) const PREFIX: &str = "forewarn.";

#[derive(Debug)]
pub struct Model {
    pub name: String,
    pub version: u32,
    pub contract: Contract,
    /// How its rows were distributed in training, where that is known.
    pub reference: Option<Arc<Reference>>,
    scorer: Scorer,
    usage: Usage,
}

/// What a model has been used for since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Rows scored.
    pub rows: u64,
    /// Time spent on them.
    pub time: Duration,
}

/// What the graph gave for some rows, before it is judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw {
    /// The judged outputs, row by row.
    pub outputs: Vec<f64>,
    /// Of a recurrent model, the state after one row, for each row; empty for others.
    pub states: Vec<f32>,
}

/// Why a version can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}: ONNX Runtime can't load it: {source}", path.display())]
    Onnx { path: PathBuf, source: ort::Error },
    #[error("{}: {source}", path.display())]
    Manifest {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{}: {}", path.display(), problems.join("; "))]
    Contract {
        path: PathBuf,
        problems: Vec<String>,
    },
    #[error("{}: it fails on a trial input: {source}", path.display())]
    Probe { path: PathBuf, source: ScoreError },
}

impl Model {
    /// Loads, checks and probes one version.
    ///
    /// # Errors
    /// With everything that does not fit, when the graph could be opened.
    pub fn load(runtime: &Runtime, files: &ModelFiles) -> Result<Self, LoadError> {
        let path = || files.onnx.clone();
        let session = Scorer::open(runtime, &files.onnx).map_err(|source| LoadError::Onnx {
            path: path(),
            source,
        })?;
        let misfit = |problems| LoadError::Contract {
            path: path(),
            problems,
        };
        let keys = contract_keys(&session, &files.manifest)?;
        let signature = Signature::of(&session);
        let inputs: Vec<String> = signature.inputs.iter().map(|i| i.name.clone()).collect();
        let contract = Contract::from_keys(&keys, &inputs).map_err(misfit)?;
        let problems = signature.problems(&contract);
        if !problems.is_empty() {
            return Err(misfit(problems));
        }
        let mut scorer = Scorer::new(session, &contract).map_err(misfit)?;
        scorer.probe().map_err(|source| LoadError::Probe {
            path: path(),
            source,
        })?;
        Ok(Model {
            name: files.name.clone(),
            version: files.version,
            contract,
            reference: None,
            scorer,
            usage: Usage::default(),
        })
    }

    pub fn signature(&self) -> &Signature {
        self.scorer.signature()
    }

    /// Values of state that a recurrent model keeps per asset; 0 for other models.
    pub fn state_len(&self) -> usize {
        self.scorer.state_len()
    }

    /// How many values a row has of each output that the task is judged by, as the probe has seen them.
    pub fn output_widths(&self) -> Vec<usize> {
        self.scorer.output_widths()
    }

    /// Values of one row of input, as [`Self::score`] takes it.
    pub(crate) fn row_len(&self) -> usize {
        self.contract.input_len()
    }

    /// Makes made-up rows of what the graph can take: integers are often places in a table.
    pub(crate) fn suit(&self, input: &mut [f32]) {
        self.scorer.suit(input);
    }

    /// Scores one row at a time from now on; see [`Scorer::score_row_by_row`].
    pub(crate) fn score_row_by_row(&mut self) {
        self.scorer.score_row_by_row();
    }

    /// Is it scored one row at a time, because its rows have other bits in a batch than alone?
    pub fn is_row_by_row(&self) -> bool {
        self.scorer.is_row_by_row()
    }

    /// Runs whole rows of L × F values, each as the first of its asset, without a verdict.
    pub(crate) fn raw(&mut self, input: &[f32]) -> Result<Raw, ScoreError> {
        let row_len = self.row_len();
        let rows = input.len() / row_len;
        let mut states = vec![0.0; rows * self.state_len()];
        let mut outputs = Vec::new();
        let mut sound = Vec::new();
        self.scorer.score(input, &mut states, |run| {
            // Row by row, so that it does not matter how many rows a run takes.
            let values: Vec<Vec<f64>> = run.outputs.iter().map(|o| o.iter().collect()).collect();
            let rows = run.input.len() / row_len;
            for row in 0..rows {
                for values in &values {
                    let width = values.len() / rows;
                    outputs.extend_from_slice(&values[row * width..][..width]);
                }
            }
            sound.extend_from_slice(run.sound);
        })?;
        // A state that is not finite is not kept; here it is to be seen.
        for (state, sound) in states.chunks_mut(self.state_len().max(1)).zip(sound) {
            if !sound {
                state.fill(f32::NAN);
            }
        }
        Ok(Raw { outputs, states })
    }

    /// Scores whole rows of [`Contract::input_len`] values (L × F, of a forecast also the rows up to the one
    /// that it is compared with) and judges them; for models without state.
    ///
    /// # Errors
    /// When the graph fails. The verdicts of the rows before are appended by then.
    pub fn score(&mut self, input: &[f32], verdicts: &mut Verdicts) -> Result<(), ScoreError> {
        self.score_recurrent(input, &mut [], verdicts)
    }

    /// Feeds one row of F values and the state of each of n assets, judges the rows, and overwrites the
    /// states with the new ones. `state` holds [`Self::state_len`] values per row, in the order of the
    /// rows; the first state of an asset is zeros. An asset occurs once per call: its second row needs
    /// the state that its first one leaves.
    ///
    /// A row without verdict keeps its old state, as if it had not been: whether its input, its output or
    /// its new state is not finite.
    ///
    /// # Errors
    /// When the graph fails, or `state` has another length. The verdicts of the rows before are appended
    /// by then, and their states are new; all others are as they were.
    pub fn score_recurrent(
        &mut self,
        input: &[f32],
        state: &mut [f32],
        verdicts: &mut Verdicts,
    ) -> Result<(), ScoreError> {
        let (contract, usage) = (&self.contract, &mut self.usage);
        let begun = Instant::now();
        let scored = self.scorer.score(input, state, |run| {
            let first = verdicts.len();
            verdicts.judge(contract, run.input, run.outputs);
            for (row, sound) in run.sound.iter_mut().enumerate() {
                if !*sound {
                    verdicts.withdraw(first + row);
                }
                *sound = verdicts.get(first + row).is_some();
            }
            usage.rows += (verdicts.len() - first) as u64;
        });
        usage.time += begun.elapsed();
        scored
    }

    /// How much it has been used, and how long that took.
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

/// The keys of `metadata_props`, then those of `model.toml`, which win; an empty one takes its key away.
fn contract_keys(
    session: &Session,
    manifest: &Path,
) -> Result<BTreeMap<String, String>, LoadError> {
    let mut keys = BTreeMap::new();
    if let Ok(metadata) = session.metadata() {
        for key in metadata.custom_keys().unwrap_or_default() {
            if let (Some(name), Some(value)) = (key.strip_prefix(PREFIX), metadata.custom(&key)) {
                keys.insert(name.to_owned(), value);
            }
        }
    }
    if manifest.is_file() {
        let failed = |source| LoadError::Manifest {
            path: manifest.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(manifest).map_err(|error| failed(error.into()))?;
        keys.extend(contract::keys_from_toml(&text).map_err(|error| failed(error.into()))?);
        keys.retain(|_, value| !value.trim().is_empty());
    }
    Ok(keys)
}
