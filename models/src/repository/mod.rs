//! The model repository, a folder that people and scripts can read and fill:
//!
//! ```text
//!   <root>/<name>/<version>/model.onnx  (model.toml, card.md, golden.json, reference.json, ...)   versions are whole numbers
//!          <name>/champion.json         which version serves; without it the highest one
//!          <name>/history.jsonl         what was added, promoted, rolled back and removed, by whom and why
//! ```
//!
//! Invariants:
//! - a version is never overwritten: it gets its folder by one rename, and a number is used once;
//! - which version serves changes by promoting and rolling back, once there is a champion;
//! - a name is a plain word, so that no path can be hidden in it.
//!
//! Not here: opening the files (`model.rs`), whether they may score (`admission/`).

mod champion;
mod change;
mod history;

use std::path::{Path, PathBuf};

pub use champion::Champion;
pub use change::{Promoted, Removal};
pub use history::{Action, Event, Note};

/// A folder of models.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
}

/// One version of one model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    pub name: String,
    pub version: u32,
    /// `model.onnx`.
    pub onnx: PathBuf,
    /// `model.toml` beside it; it need not exist.
    pub manifest: PathBuf,
}

impl ModelFiles {
    /// The files of a version that lies in `folder`.
    pub fn in_folder(name: &str, version: u32, folder: &Path) -> Self {
        ModelFiles {
            name: name.into(),
            version,
            onnx: folder.join("model.onnx"),
            manifest: folder.join("model.toml"),
        }
    }

    /// Where the graph lies.
    pub fn folder(&self) -> PathBuf {
        self.onnx.parent().unwrap_or(Path::new(".")).to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("model repository {} can't be read ({source}): set `models.repository` to the folder that holds <name>/<version>/model.onnx", root.display())]
    Unreadable {
        root: PathBuf,
        source: std::io::Error,
    },
    #[error("{} can't be written ({source}): see to its permissions and the space on its disk", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "\"{0}\" is no name of a model: it begins with a letter or a digit, and goes on with these, dots, dashes and underscores"
    )]
    Name(String),
    #[error("model {name} is not in {}; there {}", root.display(), list(known))]
    UnknownModel {
        name: String,
        root: PathBuf,
        known: Vec<String>,
    },
    #[error("model {name} has no version {version}; there {}", list(known))]
    UnknownVersion {
        name: String,
        version: u32,
        known: Vec<String>,
    },
    #[error("model {name} has no version: expected a folder with a whole number that holds model.onnx, such as {}", dir.join("1/model.onnx").display())]
    NoVersion { name: String, dir: PathBuf },
    #[error("{} can't be read ({problem}): it was not written by forewarn; correct it, or remove it so that the highest version serves", path.display())]
    Champion { path: PathBuf, problem: String },
    #[error("{} line {line} can't be read ({problem}): correct the line or remove it", path.display())]
    History {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    #[error(
        "version {version} is the champion of {name}, but it is not there; there {}: promote one of them",
        list(known)
    )]
    ChampionGone {
        name: String,
        version: u32,
        known: Vec<String>,
    },
    #[error(
        "{name} has not been promoted from another version that is still there: name one with `forewarn model promote {name}@<version>`"
    )]
    NothingBefore { name: String },
    #[error("{name} {version} serves: promote another version first")]
    Serves { name: String, version: u32 },
}

fn list(known: &[String]) -> String {
    match known {
        [] => "are none".into(),
        [one] => format!("is {one}"),
        many => format!("are {}", many.join(", ")),
    }
}

impl Repository {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Repository { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names of all models, sorted. Folders whose name begins with a dot are not models.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn names(&self) -> Result<Vec<String>, RepositoryError> {
        let mut names = folders(&self.root).map_err(|source| RepositoryError::Unreadable {
            root: self.root.clone(),
            source,
        })?;
        names.retain(|name| check_name(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// Versions of `name` that hold a graph, ascending; none when the model is not there.
    pub fn versions(&self, name: &str) -> Vec<u32> {
        versions(&self.root.join(name))
    }

    /// The files of `name` in `version`, or in the version that serves: its champion, else the highest one.
    ///
    /// # Errors
    /// When the repository, the model or the version is not there; the error lists what is.
    pub fn resolve(&self, name: &str, version: Option<u32>) -> Result<ModelFiles, RepositoryError> {
        let dir = self.folder(name)?;
        let versions = versions(&dir);
        let known = || versions.iter().map(u32::to_string).collect();
        let version = match version {
            Some(version) if versions.contains(&version) => version,
            Some(version) => {
                return Err(RepositoryError::UnknownVersion {
                    name: name.into(),
                    version,
                    known: known(),
                });
            }
            None => match self.champion(name)? {
                Some(champion) if versions.contains(&champion.version) => champion.version,
                Some(champion) => {
                    return Err(RepositoryError::ChampionGone {
                        name: name.into(),
                        version: champion.version,
                        known: known(),
                    });
                }
                None => *versions.last().ok_or_else(|| RepositoryError::NoVersion {
                    name: name.into(),
                    dir: dir.clone(),
                })?,
            },
        };
        let folder = dir.join(version.to_string());
        Ok(ModelFiles::in_folder(name, version, &folder))
    }

    /// The folder of a model that is there.
    fn folder(&self, name: &str) -> Result<PathBuf, RepositoryError> {
        check_name(name)?;
        let names = self.names()?;
        if !names.iter().any(|known| known == name) {
            return Err(RepositoryError::UnknownModel {
                name: name.into(),
                root: self.root.clone(),
                known: names,
            });
        }
        Ok(self.root.join(name))
    }
}

/// Is it a plain word? `..`, slashes and names that a shell or a program takes for an option are not.
///
/// # Errors
/// When it is not.
pub fn check_name(name: &str) -> Result<(), RepositoryError> {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if begins && goes_on && name.len() <= 128 {
        Ok(())
    } else {
        Err(RepositoryError::Name(name.into()))
    }
}

fn folders(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Version numbers that hold a model file, ascending.
fn versions(dir: &Path) -> Vec<u32> {
    // `01` is not the folder of version 1.
    let number = |folder: &String| {
        folder
            .parse()
            .ok()
            .filter(|n: &u32| n.to_string() == *folder)
    };
    let mut versions: Vec<u32> = folders(dir)
        .unwrap_or_default()
        .iter()
        .filter(|folder| dir.join(folder).join("model.onnx").is_file())
        .filter_map(number)
        .collect();
    versions.sort_unstable();
    versions
}

#[cfg(test)]
mod tests;
