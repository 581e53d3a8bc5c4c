//! From a staged folder to a version: admission, the next number, and what is said of it.
//!
//! Invariant: what is added is admitted first, and nothing that serves changes by it.
//!
//! Not here: what is put into the folder (`add`, and `calibrate`).

use anyhow::Result;
use forewarn_models::repository::Note;
use forewarn_models::{Admission, ModelFiles, Refusal};
use serde_json::{Value, json};

use super::place::Place;

/// A version that was admitted and has its number.
pub(crate) struct Added {
    pub name: String,
    pub version: u32,
    sha256: String,
    /// The version that serves now.
    serves: u32,
    warnings: Vec<String>,
    rows_per_second: f64,
}

/// Tries what is staged and makes it the next version of `name`.
///
/// # Errors
/// `refuse` words a refusal; otherwise when the repository can't be read or written.
pub(crate) fn add(
    (place, admission): (&Place, &Admission),
    name: &str,
    staged: tempfile::TempDir,
    note: &Note,
    refuse: impl FnOnce(Refusal) -> anyhow::Error,
) -> Result<Added> {
    let files = ModelFiles::in_folder(name, 0, staged.path());
    let admitted = admission.admit(&place.runtime()?, &files).map_err(refuse)?;
    let added = place.repository.add(name, staged, &admitted.sha256, note)?;
    Ok(Added {
        name: name.to_owned(),
        version: added.version,
        sha256: admitted.sha256,
        serves: place.repository.resolve(name, None)?.version,
        warnings: admitted.report.warnings,
        rows_per_second: admitted.report.rows_per_second,
    })
}

impl Added {
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "serves": self.serves,
            "warnings": self.warnings,
            "rows_per_second": self.rows_per_second,
        })
    }

    pub(crate) fn text(&self) -> String {
        let (name, version, serves) = (&self.name, self.version, self.serves);
        let mut text = format!("{name} {version} is added\n");
        for warning in &self.warnings {
            text += &format!("warning: {warning}\n");
        }
        if serves == version {
            text + &format!("{name} {serves} serves, from the next start of a service")
        } else {
            text + &format!(
                "{name} {serves} serves as before; to change that: forewarn model promote {name}@{version}"
            )
        }
    }
}
