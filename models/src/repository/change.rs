//! Changes to a repository: versions come and go, and another one serves.
//!
//! The pointer is what counts: it is written first, and the history tells of it. A crash in between loses the
//! line, not the decision.
//!
//! Not here: admission, which comes before any of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::champion::Champion;
use super::history::{Action, Event, Note};
use super::{ModelFiles, Repository, RepositoryError, check_name};

/// Folders that are being filled; no model's name begins with a dot.
const ADDING: &str = ".adding-";
/// Where removed versions go, in the folder of their model.
const TRASH: &str = ".trash";

/// Another version serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// The version that served before; `None` when the model had none.
    pub from: Option<u32>,
    pub to: u32,
}

impl Promoted {
    /// Does a lower number serve than before?
    pub fn goes_backwards(&self) -> bool {
        self.from.is_some_and(|from| from > self.to)
    }
}

/// What becomes of the files of a removed version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// They are moved to `<name>/.trash/`.
    Trash,
    Delete,
}

impl Repository {
    /// Lets `version` serve.
    ///
    /// # Errors
    /// When it is not there, or the pointer can't be written.
    pub fn promote(
        &self,
        name: &str,
        version: u32,
        sha256: Option<&str>,
        note: &Note,
    ) -> Result<Promoted, RepositoryError> {
        let files = self.resolve(name, Some(version))?;
        self.serve(&files, Action::Promote, sha256, note)
    }

    /// Lets the version serve again that served before, as often as there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn roll_back(&self, name: &str, note: &Note) -> Result<Promoted, RepositoryError> {
        let now = self.resolve(name, None)?.version;
        let versions = self.versions(name);
        let before = stack(&self.history(name)?)
            .into_iter()
            .rev()
            .skip_while(|version| *version == now)
            .find(|version| versions.contains(version));
        let Some(before) = before else {
            return Err(RepositoryError::NothingBefore { name: name.into() });
        };
        let files = self.resolve(name, Some(before))?;
        self.serve(&files, Action::Rollback, None, note)
    }

    fn serve(
        &self,
        files: &ModelFiles,
        action: Action,
        sha256: Option<&str>,
        note: &Note,
    ) -> Result<Promoted, RepositoryError> {
        let (name, to) = (files.name.as_str(), files.version);
        // A pointer to what is gone must not keep a version from being promoted.
        let from = self.resolve(name, None).map(|files| files.version).ok();
        let champion = Champion {
            version: to,
            note: note.clone(),
        };
        self.point(name, &champion)?;
        let event = Event {
            action,
            from,
            to,
            sha256: sha256.map(Into::into),
            note: note.clone(),
        };
        self.record(name, &event)?;
        Ok(Promoted { from, to })
    }

    /// A folder to put a new version's files into; it is gone when it is not added.
    ///
    /// # Errors
    /// When the repository can't be written.
    pub fn stage(&self) -> Result<tempfile::TempDir, RepositoryError> {
        let dir = tempfile::Builder::new()
            .prefix(ADDING)
            .tempdir_in(&self.root);
        dir.map_err(|source| unwritable(&self.root, source))
    }

    /// Makes a staged folder the next version of `name`. It does not serve by that, unless it is the first
    /// one: the version that served so far becomes the champion.
    ///
    /// # Errors
    /// When the name is none, or the repository can't be written.
    pub fn add(
        &self,
        name: &str,
        staged: tempfile::TempDir,
        sha256: &str,
        note: &Note,
    ) -> Result<ModelFiles, RepositoryError> {
        check_name(name)?;
        let dir = self.root.join(name);
        fs::create_dir_all(&dir).map_err(|source| unwritable(&dir, source))?;
        self.keep_serving(name, note)?;
        let version = self.place(&dir, staged.path())?;
        // It has another name now: nothing is left to remove.
        drop(staged.keep());
        let event = Event {
            action: Action::Add,
            from: None,
            to: version,
            sha256: Some(sha256.into()),
            note: note.clone(),
        };
        self.record(name, &event)?;
        Ok(ModelFiles::in_folder(
            name,
            version,
            &dir.join(version.to_string()),
        ))
    }

    /// Pins what serves, where only the highest number has decided so far.
    fn keep_serving(&self, name: &str, note: &Note) -> Result<(), RepositoryError> {
        let Some(highest) = self.versions(name).last().copied() else {
            return Ok(());
        };
        if self.champion(name)?.is_some() {
            return Ok(());
        }
        let why = "it served when another version was added";
        let champion = Champion {
            version: highest,
            note: Note {
                why: why.into(),
                ..note.clone()
            },
        };
        self.point(name, &champion)
    }

    /// Renames `staged` to the next number, beyond those in use, in the trash, or told of in the history: a
    /// number that was removed must not come back as another model.
    fn place(&self, dir: &Path, staged: &Path) -> Result<u32, RepositoryError> {
        use std::os::unix::fs::PermissionsExt as _;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let told = self.history(&name)?.into_iter().map(|event| event.to);
        let used = self
            .versions(&name)
            .into_iter()
            .chain(told)
            .max()
            .unwrap_or(0);
        // Temporary folders are for their owner only; the service may run as somebody else.
        fs::set_permissions(staged, fs::Permissions::from_mode(0o755))
            .map_err(|source| unwritable(staged, source))?;
        for version in used + 1.. {
            let target = dir.join(version.to_string());
            match fs::rename(staged, &target) {
                Ok(()) => return Ok(version),
                Err(error) if is_taken(&error) => {}
                Err(source) => return Err(unwritable(&target, source)),
            }
        }
        unreachable!("there are more numbers than folders")
    }

    /// Takes a version out; gives the folder that its files were moved to, if they were.
    ///
    /// # Errors
    /// When it serves, is not there, or can't be moved.
    pub fn remove(
        &self,
        name: &str,
        version: u32,
        removal: Removal,
        note: &Note,
    ) -> Result<Option<PathBuf>, RepositoryError> {
        let files = self.resolve(name, Some(version))?;
        if self
            .resolve(name, None)
            .is_ok_and(|serving| serving.version == version)
        {
            return Err(RepositoryError::Serves {
                name: name.into(),
                version,
            });
        }
        let trash = self.root.join(name).join(TRASH);
        let target = trash.join(format!("{version}-{}", note.at.replace(':', "")));
        let moved = fs::create_dir_all(&trash).and_then(|()| fs::rename(files.folder(), &target));
        moved.map_err(|source| unwritable(&target, source))?;
        let event = Event {
            action: Action::Remove,
            from: None,
            to: version,
            sha256: None,
            note: note.clone(),
        };
        self.record(name, &event)?;
        if removal == Removal::Trash {
            return Ok(Some(target));
        }
        // From the trash, so that a version is there as a whole or not at all.
        fs::remove_dir_all(&target).map_err(|source| unwritable(&target, source))?;
        Ok(None)
    }
}

fn unwritable(path: &Path, source: io::Error) -> RepositoryError {
    RepositoryError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(
        error.kind(),
        AlreadyExists | DirectoryNotEmpty | NotADirectory
    )
}

/// Versions that served, the present one last: promoting puts one on top, rolling back takes it off.
fn stack(history: &[Event]) -> Vec<u32> {
    let mut stack = Vec::new();
    for event in history {
        match event.action {
            Action::Promote => {
                if stack.is_empty() {
                    stack.extend(event.from);
                }
                stack.push(event.to);
            }
            Action::Rollback => {
                while stack.last().is_some_and(|top| *top != event.to) {
                    stack.pop();
                }
            }
            Action::Add | Action::Remove => {}
        }
    }
    stack
}
