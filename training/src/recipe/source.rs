//! Where a recipe's events are told: in a file, or in a topic.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::labels::Topic;

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    Topic(Topic),
}

impl Source {
    /// From what is written under `[labels]`.
    pub(super) fn of(
        failures: Option<&Path>,
        topic: Option<&Topic>,
        folder: &Path,
    ) -> Result<Self, String> {
        match (failures, topic) {
            (Some(file), None) => Ok(Source::File(folder.join(file))),
            (None, Some(topic)) => Ok(Source::Topic(topic.clone())),
            _ => Err("labels needs either failures, a file, or topic".into()),
        }
    }
}

/// For a person.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(file) => write!(f, "{}", file.display()),
            Source::Topic(topic) => write!(f, "topic {}", topic.name),
        }
    }
}
