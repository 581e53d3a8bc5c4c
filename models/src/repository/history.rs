//! What was done to a model: one line of JSON per event, appended and never changed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Repository, RepositoryError};

/// Who did something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub by: String,
    /// RFC 3339, UTC.
    pub at: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Add,
    Promote,
    Rollback,
    Remove,
}

/// A line of `<name>/history.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub action: Action,
    /// The version that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    /// The version that was added or removed, or that serves from here on.
    pub to: u32,
    /// Of the version `to`, as the model store names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(flatten)]
    pub note: Note,
}

impl Note {
    pub fn new(by: &str, why: &str, at: SystemTime) -> Self {
        Note {
            by: by.into(),
            at: humantime::format_rfc3339_seconds(at).to_string(),
            why: why.into(),
        }
    }
}

impl Repository {
    /// All events of a model, oldest first.
    ///
    /// # Errors
    /// When a line can't be read.
    pub fn history(&self, name: &str) -> Result<Vec<Event>, RepositoryError> {
        let path = self.log(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(i, line)| {
                serde_json::from_str(line).map_err(|error| RepositoryError::History {
                    path: path.clone(),
                    line: i + 1,
                    problem: error.to_string(),
                })
            })
            .collect()
    }

    pub(super) fn record(&self, name: &str, event: &Event) -> Result<(), RepositoryError> {
        let path = self.log(name);
        let append = || -> std::io::Result<()> {
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            // One write, so that lines of two processes do not mix.
            file.write_all(&line)?;
            file.sync_all()
        };
        append().map_err(|source| RepositoryError::Unwritable {
            path: path.clone(),
            source,
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.root.join(name).join("history.jsonl")
    }
}
