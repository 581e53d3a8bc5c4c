//! `[models]`: the repository, which files of it may score, and when a running service takes new ones.

use std::path::PathBuf;
use std::time::Duration;

use forewarn_models::admission::{Limits, Policy, PolicyError};
use serde::Deserialize;

use super::drift::Drift;
use super::serving::ServedModel;

/// `[models]`: which models score, and where they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Models {
    /// Folder with `<name>/<version>/model.onnx`, absolute or relative to the configuration file.
    pub repository: PathBuf,
    /// `libonnxruntime.so`. Default: `ORT_DYLIB_PATH`, else `lib/` near the program, else
    /// `.forewarn/lib/` in the working directory or above it.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
    /// The models that score.
    pub serve: Vec<ServedModel>,
    /// Folder with the copies that are really loaded, by their hash. Whoever can write there can change what
    /// scores. Default: `.store` in the repository, or, where that can't be written, `forewarn/store` in the
    /// user's cache folder.
    #[serde(default)]
    pub store: Option<PathBuf>,
    /// A version with more bytes, weights in other files included, is refused without being read. Default:
    /// 1 GiB, more than keeps up with a stream on a processor.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
    /// Most bytes of address space of the process in which a new version is tried, program and ONNX Runtime
    /// included (about 1 GiB). Too small: large models are refused. Too large: a graph that asks for much
    /// memory gets it, for as long as it is tried. Default: 4 GiB.
    #[serde(default = "probe_memory")]
    pub probe_memory: u64,
    /// How long the trial of a new version may take. Default: 30 s.
    #[serde(default = "probe_time", with = "humantime_serde")]
    pub probe_time: Duration,
    /// Keys whose signatures are right, each as in the second line of `minisign.pub`. A signature that lies
    /// beside a model (`model.onnx.minisig`) must then be of one of them. Default: none, and signatures are
    /// not looked at.
    #[serde(default)]
    pub public_keys: Vec<String>,
    /// Refuses models without a signature, of `model.onnx` and, where there is one, of `model.toml`. Default:
    /// false.
    #[serde(default)]
    pub require_signature: bool,
    /// Whether a running service takes new versions over: `none`; `poll`, looking at the repository every
    /// `reload-every`; or `explicit`, when it gets SIGHUP. Entries with a `version` of their own keep it.
    /// Default: none.
    #[serde(default)]
    pub reload: Reload,
    /// How often the repository is looked at with `reload = "poll"`. Default: 5 s.
    #[serde(default = "reload_every", with = "humantime_serde")]
    pub reload_every: Duration,
    /// A version that was swapped in is on trial for this many results: when more than 1 % of them are not
    /// finite, when it fails, or when it takes longer than `max-row-time`, the version before it serves again,
    /// and what was not committed is scored by that one. Default: 10,000.
    #[serde(default = "trial_results")]
    pub trial_results: u64,
    /// Longest mean time per result during the trial. Default: 5 ms.
    #[serde(default = "max_row_time", with = "humantime_serde")]
    pub max_row_time: Duration,
    /// Which results of a model that tells the contribution of each feature carry them: `flagged`, those that are
    /// anomalous or beyond an alarm's limit; `all`, which makes the others larger by a number for each feature (of the
    /// shipped model of cars, with 18, about twice as large, headers included); or `none`. An alarm names the largest in
    /// any case. Default: flagged.
    #[serde(default)]
    pub contributions: ContributionsOf,
    /// How far from training features and scores may be.
    #[serde(default)]
    pub drift: Drift,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reload {
    #[default]
    None,
    Poll,
    Explicit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContributionsOf {
    None,
    #[default]
    Flagged,
    All,
}

fn reload_every() -> Duration {
    Duration::from_secs(5)
}

fn max_row_time() -> Duration {
    Duration::from_millis(5)
}

fn trial_results() -> u64 {
    10_000
}

fn max_bytes() -> u64 {
    Limits::default().max_bytes
}

fn probe_memory() -> u64 {
    Limits::default().probe_memory
}

fn probe_time() -> Duration {
    Limits::default().probe_time
}

impl Models {
    /// A repository that serves no model, with all else by default.
    pub fn serving_none(repository: PathBuf) -> Self {
        Models {
            repository,
            runtime: None,
            serve: Vec::new(),
            store: None,
            max_bytes: max_bytes(),
            probe_memory: probe_memory(),
            probe_time: probe_time(),
            public_keys: Vec::new(),
            require_signature: false,
            reload: Reload::None,
            reload_every: reload_every(),
            trial_results: trial_results(),
            max_row_time: max_row_time(),
            contributions: ContributionsOf::default(),
            drift: Drift::default(),
        }
    }

    pub fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_bytes,
            probe_memory: self.probe_memory,
            probe_time: self.probe_time,
        }
    }

    /// Whose models are taken.
    ///
    /// # Errors
    /// When a key can't be read, or signatures are required and no key is given.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::new(&self.public_keys, self.require_signature)
    }
}
