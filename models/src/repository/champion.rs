//! The champion pointer: which version of a model serves.

use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::history::Note;
use super::{Repository, RepositoryError};

/// `<name>/champion.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Champion {
    pub version: u32,
    #[serde(flatten)]
    pub note: Note,
}

impl Repository {
    /// The champion of a model; `None`: the highest version serves.
    ///
    /// # Errors
    /// When the pointer is there and can't be read.
    pub fn champion(&self, name: &str) -> Result<Option<Champion>, RepositoryError> {
        let path = self.pointer(name);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(RepositoryError::Champion {
                    path,
                    problem: error.to_string(),
                });
            }
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| RepositoryError::Champion {
                path,
                problem: error.to_string(),
            })
    }

    /// Replaces the pointer at once: a service that reads it sees the old one or the new one.
    pub(super) fn point(&self, name: &str, champion: &Champion) -> Result<(), RepositoryError> {
        let path = self.pointer(name);
        let write = || -> std::io::Result<()> {
            let folder = self.root.join(name);
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer_pretty(&mut file, champion)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            // Temporary files are for their owner only; the service may run as somebody else.
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(readable)?;
            file.persist(&path).map_err(|error| error.error)?;
            std::fs::File::open(&folder)?.sync_all()
        };
        write().map_err(|source| RepositoryError::Unwritable {
            path: path.clone(),
            source,
        })
    }

    fn pointer(&self, name: &str) -> PathBuf {
        self.root.join(name).join("champion.json")
    }
}
