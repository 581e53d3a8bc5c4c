//! Training written down after each round, so that a job that was ended goes on where it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fit::Round;
use super::net::{Matrix, Weights};

/// All that the next round depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Rounds that are done.
    pub rounds: Vec<Round>,
    pub weights: Weights,
    /// Running mean of the weights.
    pub mean: Weights,
    pub best: Weights,
    /// Of Adam: steps, first and second moments of each matrix.
    pub steps: usize,
    pub first: Vec<Matrix>,
    pub second: Vec<Matrix>,
}

/// Where a training is written down.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    /// Of everything that the training depends on; what was written with another one is not taken.
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct File<S> {
    fingerprint: String,
    state: S,
}

impl Checkpoint {
    pub fn new(path: &Path, fingerprint: &str) -> Self {
        Checkpoint {
            path: path.to_owned(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    /// What was written, if it is of the same training. One that can't be read is as none: training begins anew.
    pub(super) fn load(&self) -> Option<State> {
        let bytes = fs::read(&self.path).ok()?;
        let file: File<State> = rmp_serde::from_slice(&bytes).ok()?;
        (file.fingerprint == self.fingerprint).then_some(file.state)
    }

    /// Replaces the file as a whole, so that one half is never read.
    pub(super) fn save(&self, state: &State) -> io::Result<()> {
        let file = File {
            fingerprint: self.fingerprint.clone(),
            state,
        };
        let bytes = rmp_serde::to_vec_named(&file).map_err(io::Error::other)?;
        let new = self.path.with_extension("new");
        fs::write(&new, bytes)?;
        fs::rename(&new, &self.path)
    }
}
