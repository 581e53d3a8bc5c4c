//! How the commands get their models: only what was admitted, tried in a process of this same program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use forewarn_models::admission::Prober;
use forewarn_models::{Admission, Loader};
use forewarn_pipeline::Config;
use forewarn_pipeline::config::Models;

/// The hidden command that tries a model: see [`probe_model`].
const PROBE: &str = "probe-model";
/// The model store in a repository.
const STORE: &str = ".store";

/// `forewarn probe-model`: the other side of the trial.
pub(crate) fn probe_model() -> Result<()> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    forewarn_models::admission::serve(input, output).context("the trial of a model")
}

/// Loads what `[models]` admits.
pub(crate) fn loader(config: &Config) -> Result<Loader> {
    Ok(Loader::guarded(admission(&config.models)?))
}

pub(crate) fn admission(models: &Models) -> Result<Admission> {
    admission_in(models, store(models))
}

/// As [`admission`], with another store.
pub(crate) fn admission_in(models: &Models, store: PathBuf) -> Result<Admission> {
    let policy = models.policy().context("models.public-keys")?;
    let program = std::env::current_exe().context("this program's own file is not found")?;
    let prober = Prober::new(program, &[PROBE]);
    Ok(Admission::new(store, models.limits(), policy, Some(prober)))
}

/// The configured store, else one in the repository, else one in the user's cache folder.
fn store(models: &Models) -> PathBuf {
    if let Some(store) = &models.store {
        return store.clone();
    }
    let inside = models.repository.join(STORE);
    if models.repository.is_dir() && is_writable(&inside) {
        return inside;
    }
    cache().map_or(inside, |cache| cache.join("forewarn/store"))
}

/// Found out by writing: permissions do not tell of a file system that is read-only.
fn is_writable(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok() && tempfile::tempfile_in(folder).is_ok()
}

fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    named("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| named("HOME").map(|home| Path::new(&home).join(".cache")))
}
