//! What `[models]` says about admission, in the types of the `models` crate, and its defaults.

use std::path::PathBuf;
use std::time::Duration;

use forewarn_models::admission::{Limits, Policy, PolicyError};

use super::sections::{Models, Reload};

pub(super) fn max_bytes() -> u64 {
    Limits::default().max_bytes
}

pub(super) fn probe_memory() -> u64 {
    Limits::default().probe_memory
}

pub(super) fn probe_time() -> Duration {
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
            reload_every: super::sections::reload_every(),
            trial_results: super::sections::trial_results(),
            max_row_time: super::sections::max_row_time(),
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
