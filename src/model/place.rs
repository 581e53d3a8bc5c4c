//! Where the models of a command are: a repository, or what a configuration says of it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use forewarn_models::{Repository, Runtime};
use forewarn_pipeline::Config;
use forewarn_pipeline::config::Models;

#[derive(Debug, Clone, Args)]
pub(super) struct PlaceArgs {
    /// The model repository
    #[arg(long, value_name = "DIR", required_unless_present = "config")]
    pub repository: Option<PathBuf>,
    /// A pipeline's configuration, whose [models] names repository, store, limits and keys
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `[models]` would say.
pub(crate) struct Place {
    pub models: Models,
    pub repository: Repository,
}

impl PlaceArgs {
    pub fn open(&self) -> Result<Place> {
        let mut models = match &self.config {
            Some(file) => models_of(file)?,
            None => Models::serving_none(PathBuf::new()),
        };
        if let Some(repository) = &self.repository {
            models.repository.clone_from(repository);
        }
        Ok(Place::new(models))
    }
}

impl Place {
    pub fn new(models: Models) -> Self {
        Place {
            repository: Repository::new(&models.repository),
            models,
        }
    }

    pub fn runtime(&self) -> Result<Runtime> {
        Ok(Runtime::load(self.models.runtime.as_deref())?)
    }
}

/// `[models]` of a file whose other sections may have problems: those of its models are what is worked on.
fn models_of(file: &std::path::Path) -> Result<Models> {
    let (config, problems) = Config::inspect(file);
    match config {
        Some(config) if !config.models.repository.as_os_str().is_empty() => Ok(config.models),
        _ => {
            problems.into_result()?;
            bail!("{}: [models] names no repository", file.display())
        }
    }
}
