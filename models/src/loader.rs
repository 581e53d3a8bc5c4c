//! How a pipeline gets its models: straight from the repository, or only what was admitted.
//!
//! Invariant: a guarded loader gives no model whose answer to its golden input differs from the one that it
//! gave when it was admitted.

use std::sync::Arc;

use crate::admission::Admission;
use crate::model::{LoadError, Model};
use crate::reference::Reference;
use crate::repository::{ModelFiles, Repository};
use crate::runtime::Runtime;

/// Loads versions out of a repository.
#[derive(Debug)]
pub struct Loader {
    /// `None`: every file is taken as it is.
    admission: Option<Admission>,
}

impl Loader {
    /// Takes every file as it is: for tests and benches, whose models are their own.
    pub fn trusted() -> Self {
        Loader { admission: None }
    }

    /// Takes what `admission` admits: for everything that others drop files into.
    pub fn guarded(admission: Admission) -> Self {
        Loader {
            admission: Some(admission),
        }
    }

    /// Loads `name` in `version`, or in the version that serves.
    ///
    /// # Errors
    /// Every problem, each with its remedy.
    pub fn load(
        &self,
        runtime: &Runtime,
        repository: &Repository,
        name: &str,
        version: Option<u32>,
    ) -> Result<Model, Vec<String>> {
        let files = repository
            .resolve(name, version)
            .map_err(|error| vec![error.to_string()])?;
        self.load_files(runtime, &files)
    }

    /// Loads one version's files.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_files(&self, runtime: &Runtime, files: &ModelFiles) -> Result<Model, Vec<String>> {
        let Some(admission) = &self.admission else {
            let model = Model::load(runtime, files).map_err(|error| problems(&error))?;
            return Ok(with_reference(model, files));
        };
        let admitted = admission
            .admit(runtime, files)
            .map_err(|refusal| refusal.problems())?;
        if admitted.tried_now {
            for warning in &admitted.report.warnings {
                tracing::warn!(model = files.name, version = files.version, "{warning}");
            }
        }
        let mut model = Model::load(runtime, &admitted.files).map_err(|error| problems(&error))?;
        admitted
            .check(runtime, &mut model)
            .map_err(|refusal| refusal.problems())?;
        Ok(with_reference(model, files))
    }
}

/// The reference is not among the admitted copies: it is read from beside the file that was dropped in. One that is of no
/// use costs what is measured with it, and no score.
fn with_reference(mut model: Model, files: &ModelFiles) -> Model {
    match Reference::read(&files.folder(), &model.contract) {
        Ok(reference) => model.reference = reference.map(Arc::new),
        Err(problem) => {
            let (name, version) = (&files.name, files.version);
            tracing::warn!(model = name, version, %problem, "drift can't be measured");
        }
    }
    model
}

fn problems(error: &LoadError) -> Vec<String> {
    match error {
        LoadError::Contract { path, problems } => problems
            .iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect(),
        other => vec![other.to_string()],
    }
}
