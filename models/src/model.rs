//! One version of a model, loaded, checked against its contract and probed.
//!
//! Not here: running untrusted files in a child process, hot swap.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ort::session::Session;

use crate::contract::{self, Contract, Task};
use crate::repository::ModelFiles;
use crate::runtime::Runtime;
use crate::scorer::{ScoreError, Scorer};
use crate::signature::Signature;
use crate::verdict::Verdicts;

/// Prefix of the contract's keys in an ONNX file's `metadata_props`.
const PREFIX: &str = "forewarn.";

#[derive(Debug)]
pub struct Model {
    pub name: String,
    pub version: u32,
    pub contract: Contract,
    scorer: Scorer,
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
        let contract = Contract::from_keys(&keys).map_err(misfit)?;
        let problems = Signature::of(&session).problems(&contract);
        if !problems.is_empty() {
            return Err(misfit(problems));
        }
        let mut scorer =
            Scorer::new(session, &contract).map_err(|problem| misfit(vec![problem]))?;
        let per_row = match contract.task {
            Task::Anomaly { .. } => scorer.row_len(),
            Task::Rul { .. } => 1,
        };
        scorer.probe(per_row).map_err(|source| LoadError::Probe {
            path: path(),
            source,
        })?;
        Ok(Model {
            name: files.name.clone(),
            version: files.version,
            contract,
            scorer,
        })
    }

    pub fn signature(&self) -> &Signature {
        self.scorer.signature()
    }

    /// Scores whole rows of L × F values and judges them.
    ///
    /// # Errors
    /// When the graph fails.
    pub fn score(&mut self, input: &[f32], verdicts: &mut Verdicts) -> Result<(), ScoreError> {
        let raw = self.scorer.score(input)?;
        verdicts.judge(&self.contract, input, raw);
        Ok(())
    }
}

/// The keys of `metadata_props`, then those of `model.toml`, which win.
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
    }
    Ok(keys)
}
