//! Finding and loading ONNX Runtime.
//!
//! The library is loaded when the program runs, not linked: a plant can bring its own build. It is looked
//! for in this order, and the first file that exists is taken:
//!
//! 1. the configured path (`models.runtime`);
//! 2. `ORT_DYLIB_PATH`;
//! 3. `lib/` beside the executable, or in its parent;
//! 4. `.forewarn/lib/` in the working directory or a folder above it (where `make setup` puts it).
//!
//! Invariant: one library per process, whatever is asked for later.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;

const LIBRARY: &str = "libonnxruntime.so";

/// A loaded ONNX Runtime; cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    #[error(
        "{LIBRARY} was not found in {tried}: run `make setup`, or set ORT_DYLIB_PATH to the library of ONNX Runtime 1.{min} or newer",
        min = ort::MINOR_VERSION
    )]
    Missing { tried: String },
    #[error(
        "{} can't be used ({reason}): set ORT_DYLIB_PATH to the library of ONNX Runtime 1.{min} or newer, or run `make setup`",
        path.display(),
        min = ort::MINOR_VERSION
    )]
    Unusable { path: PathBuf, reason: String },
}

impl Runtime {
    /// Loads the library once per process; later calls give the same one.
    ///
    /// # Errors
    /// When no library is found, or it is not ONNX Runtime, or it is too old.
    pub fn load(configured: Option<&Path>) -> Result<Self, RuntimeError> {
        static LOADED: OnceLock<Result<Runtime, RuntimeError>> = OnceLock::new();
        LOADED.get_or_init(|| Self::load_now(configured)).clone()
    }

    fn load_now(configured: Option<&Path>) -> Result<Self, RuntimeError> {
        let candidates = candidates(configured);
        let path = candidates
            .iter()
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let tried: Vec<String> =
                    candidates.iter().map(|p| p.display().to_string()).collect();
                RuntimeError::Missing {
                    tried: tried.join(", "),
                }
            })?;
        let unusable = |reason: String| RuntimeError::Unusable {
            path: path.clone(),
            reason,
        };
        let environment = ort::init_from(path)
            .map_err(|error| unusable(reason(&error)))?
            .with_name("forewarn")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        tracing::debug!(path = %path.display(), build = ort::info(), "onnx runtime loaded");
        Ok(Runtime {
            environment,
            path: path.clone(),
        })
    }

    /// The library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the library says of its own build: commit and options.
    pub fn build(&self) -> &'static str {
        ort::info().trim_start_matches("ORT Build Info: ")
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A reason without the path, which the message around it already names.
fn reason(error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError as E;
    match error {
        E::Dlopen { error, .. } => error.to_string(),
        E::MissingApi { .. } => {
            "it does not export OrtGetApiBase, so it is not ONNX Runtime".into()
        }
        E::BadVersion { version_str, .. } => format!("it is version {version_str}"),
        E::InvalidVersionString => "its version is not readable".into(),
    }
}

/// A configured path or the environment's is meant: nothing else is tried after it.
fn candidates(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        return vec![path.to_owned()];
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let mut paths = Vec::new();
    let exe = std::env::current_exe().unwrap_or_default();
    paths.extend(
        exe.ancestors()
            .skip(1)
            .take(2)
            .map(|dir| dir.join("lib").join(LIBRARY)),
    );
    let cwd = std::env::current_dir().unwrap_or_default();
    paths.extend(
        cwd.ancestors()
            .map(|dir| dir.join(".forewarn/lib").join(LIBRARY)),
    );
    paths
}
