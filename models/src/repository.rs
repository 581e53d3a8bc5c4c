//! The model repository: `<root>/<name>/<version>/model.onnx`, versions being whole numbers.
//!
//! Not here: opening the files (`model.rs`).

use std::path::{Path, PathBuf};

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

    /// Names of all models, sorted.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn names(&self) -> Result<Vec<String>, RepositoryError> {
        let mut names = folders(&self.root).map_err(|source| RepositoryError::Unreadable {
            root: self.root.clone(),
            source,
        })?;
        names.sort();
        Ok(names)
    }

    /// The files of `name` in `version`, or in its highest version.
    ///
    /// # Errors
    /// When the repository, the model or the version is not there; the error lists what is.
    pub fn resolve(&self, name: &str, version: Option<u32>) -> Result<ModelFiles, RepositoryError> {
        let names = self.names()?;
        if !names.iter().any(|known| known == name) {
            return Err(RepositoryError::UnknownModel {
                name: name.into(),
                root: self.root.clone(),
                known: names,
            });
        }
        let dir = self.root.join(name);
        let versions = versions(&dir);
        let version = match version {
            Some(version) if versions.contains(&version) => version,
            Some(version) => {
                return Err(RepositoryError::UnknownVersion {
                    name: name.into(),
                    version,
                    known: versions.iter().map(u32::to_string).collect(),
                });
            }
            None => *versions.last().ok_or_else(|| RepositoryError::NoVersion {
                name: name.into(),
                dir: dir.clone(),
            })?,
        };
        let folder = dir.join(version.to_string());
        Ok(ModelFiles::in_folder(name, version, &folder))
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
    let mut versions: Vec<u32> = folders(dir)
        .unwrap_or_default()
        .iter()
        .filter(|folder| dir.join(folder).join("model.onnx").is_file())
        .filter_map(|folder| folder.parse().ok())
        .collect();
    versions.sort_unstable();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, Repository) {
        let dir = tempfile::tempdir().unwrap();
        for version in ["1", "2", "10", "draft"] {
            let folder = dir.path().join("pump").join(version);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("model.onnx"), b"x").unwrap();
        }
        let repository = Repository::new(dir.path());
        (dir, repository)
    }

    #[test]
    fn the_highest_number_is_taken_unless_one_is_named() {
        let (_dir, repository) = repository();
        assert_eq!(repository.resolve("pump", None).unwrap().version, 10);
        assert_eq!(repository.resolve("pump", Some(2)).unwrap().version, 2);
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let (_dir, repository) = repository();
        let error = repository.resolve("pumps", None).unwrap_err().to_string();
        assert!(error.contains("there is pump"), "{error}");
        let error = repository.resolve("pump", Some(3)).unwrap_err().to_string();
        assert!(error.contains("1, 2, 10"), "{error}");
    }
}
