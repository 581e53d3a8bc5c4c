//! `forewarn calibrate --write`: a new version of the model, which differs in its threshold alone.
//!
//! ```text
//!   files of the version ─▶ staged ─▶ model.toml with the threshold ─▶ admission ─▶ <name>/<next version>/
//! ```
//!
//! `model.toml` wins over the metadata of the ONNX file, so a model without one gets one with the threshold
//! in it, and the graph keeps its bytes. Where the threshold comes from stands in the history.
//!
//! Not here: which threshold (`training`), admission and the number (`model::add_staged`).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use forewarn_pipeline::config::{Models, Watch};
use forewarn_pipeline::prediction::EventTimestamp;

use super::Outcome;
use crate::guard;
use crate::model::{Added, NoteArgs, Place, Source, add_staged};
use crate::terminal::thousands;

const MANIFEST: &str = "model.toml";
const CARD: &str = "card.md";
/// The signature of the contract as it was.
const SIGNATURE: &str = "model.toml.minisig";
/// What is added to the card.
const HEADING: &str = "\n## Calibrated\n";

/// May a version be written at all? Known before the past is gone through.
///
/// # Errors
/// When versions have to be signed: what to do instead.
pub(super) fn is_allowed(models: &Models) -> Result<()> {
    if models.require_signature {
        bail!(
            "no version can be written: models.require-signature is set, and only a person can sign a contract; find \
             the threshold without --write, put it into a copy of the version's {MANIFEST}, sign that with `minisign \
             -Sm {MANIFEST}` and give the folder to `forewarn model add`"
        );
    }
    Ok(())
}

impl Outcome<'_> {
    /// Does the threshold mean enough to be a version of its own?
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) fn can_be_written(&self) -> Result<()> {
        let (found, rule) = (&self.found, &self.rule);
        if found.is_short {
            bail!(
                "no version is written: the past is too short to bear one alarm ({:.2} are borne in it); go through \
                 a longer one (--input, --from, --to) or bear more (--max-alarms)",
                found.borne
            );
        }
        if rule.watch == Watch::Score {
            bail!(
                "no version is written: alarm {} watches the raw score, so its limit is not the model's threshold; \
                 put {} into `above` of [alarms.{}]",
                rule.name,
                found.threshold,
                rule.name
            );
        }
        if found.threshold == self.before {
            bail!(
                "no version is written: {} {} has the threshold {} already",
                self.model,
                self.version,
                self.before
            );
        }
        Ok(())
    }

    /// Adds the version.
    ///
    /// # Errors
    /// When the version is not admitted, or the repository can't be written.
    pub(super) fn write(&self, models: Models, note: &NoteArgs) -> Result<Added> {
        let threshold = self.found.threshold;
        let admission = guard::admission(&models)?;
        let place = Place::new(models);
        let version = place.repository.resolve(self.model, Some(self.version))?;
        let staged = place.repository.stage()?;
        Source::Folder(version.folder()).copy(staged.path())?;
        rewrite(staged.path(), threshold)?;
        let origin = self.origin();
        amend_card(staged.path(), &origin)?;
        let mut note = note.note();
        note.why = match note.why.as_str() {
            "" => origin,
            why => format!("{why}; {origin}"),
        };
        add_staged((&place, &admission), self.model, staged, &note, |refusal| {
            anyhow!(
                "{} with threshold {threshold} is refused ({}): {}",
                self.model,
                refusal.code(),
                refusal.problems().join("; ")
            )
        })
    }

    /// Where the threshold comes from.
    fn origin(&self) -> String {
        let (found, rule) = (&self.found, &self.rule);
        let (first, last) = found.stretch;
        format!(
            "threshold {} calibrated with version {}: {} borne, {} alarms by rule {} ({} of {}) in {} scores of {} \
             assets, {} above it, {} to {}",
            found.threshold,
            self.version,
            self.borne,
            found.alarms,
            rule.name,
            rule.of,
            rule.within,
            thousands(found.scores),
            thousands(found.assets as u64),
            thousands(found.above),
            EventTimestamp(first),
            EventTimestamp(last),
        )
    }
}

/// A card tells of the threshold that the model came with; what an earlier calibration added is replaced.
fn amend_card(folder: &Path, origin: &str) -> Result<()> {
    let card = folder.join(CARD);
    if !card.exists() {
        return Ok(());
    }
    let place = || card.display().to_string();
    let text = fs::read_to_string(&card).with_context(place)?;
    let said = text.split(HEADING).next().unwrap_or_default();
    let text = format!(
        "{}\n{HEADING}\nIn this version: {origin}. What is said above is of the threshold that the model came with.\n",
        said.trim_end()
    );
    fs::write(&card, text).with_context(place)
}

/// Puts the threshold into the contract of a staged version.
fn rewrite(folder: &Path, threshold: f64) -> Result<()> {
    let manifest = folder.join(MANIFEST);
    let place = || manifest.display().to_string();
    let text = if manifest.exists() {
        fs::read_to_string(&manifest).with_context(place)?
    } else {
        String::new()
    };
    fs::write(
        &manifest,
        with_threshold(&text, threshold).with_context(place)?,
    )
    .with_context(place)?;
    // It was for the old bytes, and a wrong signature is refused.
    let signature = folder.join(SIGNATURE);
    if signature.exists() {
        fs::remove_file(&signature).with_context(|| signature.display().to_string())?;
    }
    Ok(())
}

/// A contract with another threshold. Its other lines stay, comments too, where the threshold has a line of
/// its own or none; else the whole is written anew.
fn with_threshold(text: &str, threshold: f64) -> Result<String> {
    const KEY: &str = "threshold";
    let mut wanted: toml::Table = text.parse()?;
    wanted.insert(KEY.into(), threshold.into());
    let line = format!("{KEY} = {}", toml::Value::Float(threshold));
    let is_it = |line: &&str| {
        let rest = line.trim_start().strip_prefix(KEY);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(is_it) {
        Some(at) => lines[at] = &line,
        None => lines.insert(0, &line),
    }
    let edited = lines.join("\n") + "\n";
    let is_right = edited
        .parse::<toml::Table>()
        .is_ok_and(|table| table == wanted);
    Ok(if is_right {
        edited
    } else {
        toml::to_string(&wanted)?
    })
}

#[cfg(test)]
mod tests {
    use super::with_threshold;

    #[test]
    fn only_the_threshold_of_a_contract_changes() {
        let text = "# of the pump\ntask = \"anomaly\"\n  threshold=2.5 # a guess\n[output]\nresidual = \"e\"\n";
        let edited =
            "# of the pump\ntask = \"anomaly\"\nthreshold = 7.0\n[output]\nresidual = \"e\"\n";
        assert_eq!(with_threshold(text, 7.0).unwrap(), edited);
        // Keys after a table would be its own; without a contract this is all of it.
        let none = "[output]\nresidual = \"e\"\n";
        assert_eq!(
            with_threshold(none, 0.1).unwrap(),
            format!("threshold = 0.1\n{none}")
        );
        assert_eq!(with_threshold("", 7.0).unwrap(), "threshold = 7.0\n");
        assert!(with_threshold("no contract", 1.0).is_err());
    }

    /// A line that only looks like the threshold: the contract is right all the same.
    #[test]
    fn a_threshold_elsewhere_is_left_alone() {
        for text in [
            "[external-data]\nthreshold = \"f00\"\n",
            "description = \"\"\"\nthreshold = 3\n\"\"\"\nthreshold = 1.0\n",
            "\"threshold\" = 1.0\ntask = \"anomaly\"\n",
        ] {
            let mut wanted: toml::Table = text.parse().unwrap();
            wanted.insert("threshold".into(), 0.25.into());
            let edited = with_threshold(text, 0.25).unwrap();
            assert_eq!(edited.parse::<toml::Table>().unwrap(), wanted, "{edited}");
        }
    }
}
