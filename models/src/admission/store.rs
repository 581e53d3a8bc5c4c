//! The model store: versions under the hash of what they hold.
//!
//! ```text
//!   <store>/<sha256 of files.sha256>/
//!     files.sha256     every file with its SHA-256: `sha256sum -c files.sha256` checks the folder
//!     model.onnx  model.toml  golden.json  <weights>
//!     answer.json      the answer to the golden input, and where it was given
//!     probes/<environment>.json   the report of the trial in each environment
//! ```
//!
//! Invariants:
//! - a folder under its hash is complete: it gets its name, by one rename, when all of it is on disk and the
//!   model was tried;
//! - nothing in it is written again. What was found is compared with what was asked for before it is used.
//!
//! Not here: trying (`probe.rs`).

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::bundle::Bundle;
use super::digest::sha256;
use super::environment::Environment;
use super::golden::Answer;
use super::probe::Report;
use super::refusal::Reason;

const LISTING: &str = "files.sha256";
const ANSWER: &str = "answer.json";
const PROBES: &str = "probes";
/// Names of folders that are not complete begin with this.
const STAGED: &str = ".staged-";
/// What a killed process left behind is removed after this; no trial takes as long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

/// A complete folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub folder: PathBuf,
    pub sha256: String,
    pub admitted: FirstTrial,
}

/// What the first trial gave, once and for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FirstTrial {
    pub answer: Answer,
    pub environment: Environment,
}

/// A folder that is being made; it is gone when it is not committed.
#[derive(Debug)]
pub(super) struct Staged {
    dir: TempDir,
    sha256: String,
}

/// A listing as `sha256sum` writes it, sorted by name.
fn listing(bundle: &Bundle) -> String {
    let mut text = String::new();
    for (name, part) in &bundle.parts {
        let _ = writeln!(text, "{}  {name}", part.sha256);
    }
    text
}

impl Bundle {
    /// The name of the version in the store: the hash of its listing.
    pub fn sha256(&self) -> String {
        sha256(listing(self).as_bytes())
    }
}

impl Store {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Store { root: root.into() }
    }

    /// The folder of a version, compared with it byte by byte; `None` when it was not admitted yet.
    pub fn find(&self, bundle: &Bundle) -> Result<Option<Entry>, Reason> {
        let sha256 = bundle.sha256();
        let folder = self.root.join(&sha256);
        if !folder.is_dir() {
            return Ok(None);
        }
        let damaged = |what: &str| Reason::StoreDamaged {
            entry: folder.clone(),
            what: what.to_owned(),
        };
        for (name, part) in &bundle.parts {
            let same = fs::read(folder.join(name)).is_ok_and(|bytes| bytes == part.bytes);
            if !same {
                return Err(damaged(name));
            }
        }
        // A file that the bundle lacks would be taken for a part of the version when it is loaded.
        let known = |name: &str| {
            bundle.parts.contains_key(name) || [LISTING, ANSWER, PROBES].contains(&name)
        };
        for entry in fs::read_dir(&folder).map_err(|error| self.failed(error))? {
            let name = entry.map_err(|error| self.failed(error))?.file_name();
            let name = name.to_string_lossy();
            if !known(&name) {
                return Err(damaged(&name));
            }
        }
        let admitted = read_json(&folder.join(ANSWER)).ok_or_else(|| damaged(ANSWER))?;
        Ok(Some(Entry {
            folder,
            sha256,
            admitted,
        }))
    }

    /// Copies a version into a folder of its own, beside the others.
    pub fn stage(&self, bundle: &Bundle) -> Result<Staged, Reason> {
        self.stage_files(bundle).map_err(|error| self.failed(error))
    }

    fn stage_files(&self, bundle: &Bundle) -> io::Result<Staged> {
        fs::create_dir_all(&self.root)?;
        self.remove_abandoned();
        let dir = tempfile::Builder::new()
            .prefix(STAGED)
            .tempdir_in(&self.root)?;
        for (name, part) in &bundle.parts {
            write_new(&dir.path().join(name), &part.bytes)?;
        }
        write_new(&dir.path().join(LISTING), listing(bundle).as_bytes())?;
        Ok(Staged {
            dir,
            sha256: bundle.sha256(),
        })
    }

    /// Names a staged folder by its hash. Another process may have been faster: its folder is as good.
    pub fn commit(
        &self,
        staged: Staged,
        bundle: &Bundle,
        report: &Report,
        environment: &Environment,
    ) -> Result<Entry, Reason> {
        self.commit_files(staged, report, environment)
            .map_err(|error| self.failed(error))?;
        let entry = self.find(bundle)?;
        entry.ok_or_else(|| self.failed(io::ErrorKind::NotFound.into()))
    }

    fn commit_files(
        &self,
        staged: Staged,
        report: &Report,
        environment: &Environment,
    ) -> io::Result<()> {
        let admitted = FirstTrial {
            answer: report.answer.clone(),
            environment: environment.clone(),
        };
        let path = staged.folder();
        write_new(&path.join(ANSWER), &serde_json::to_vec_pretty(&admitted)?)?;
        fs::create_dir(path.join(PROBES))?;
        write_report(path, environment, report)?;
        File::open(path)?.sync_all()?;
        match fs::rename(path, self.root.join(&staged.sha256)) {
            // The name is another one now: nothing is left to remove.
            Ok(()) => drop(staged.dir.keep()),
            Err(error) if is_taken(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        File::open(&self.root)?.sync_all()
    }

    /// What the trial in `environment` gave, if there was one.
    pub fn report(entry: &Entry, environment: &Environment) -> Option<Report> {
        read_json(&report_path(&entry.folder, environment))
    }

    /// Keeps the report of a trial in a further environment.
    pub fn add_report(
        &self,
        entry: &Entry,
        environment: &Environment,
        report: &Report,
    ) -> Result<(), Reason> {
        match write_report(&entry.folder, environment, report) {
            Err(error) if !is_taken(&error) => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> Reason {
        Reason::Store {
            path: self.root.clone(),
            source,
        }
    }

    /// Nothing depends on it, so nothing is said when it fails.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let staged = entry.file_name().to_string_lossy().starts_with(STAGED);
            let age = entry
                .metadata()
                .and_then(|data| data.modified())
                .map(|at| at.elapsed());
            if staged && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Staged {
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty)
}

/// Writes a file that must not exist, to the disk, and closes it for writing.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

fn report_path(folder: &Path, environment: &Environment) -> PathBuf {
    folder
        .join(PROBES)
        .join(format!("{}.json", environment.key()))
}

/// Written under another name first: a reader sees all of it or nothing.
fn write_report(folder: &Path, environment: &Environment, report: &Report) -> io::Result<()> {
    let path = report_path(folder, environment);
    let mut file = tempfile::NamedTempFile::new_in(folder.join(PROBES))?;
    file.write_all(&serde_json::to_vec_pretty(report)?)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
