//! Trained models as versions: written, tried, served to the engine, and added.
//!
//! Until they are added they lie in a repository of their own in the work folder, where the engine serves them from.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use forewarn_models::repository::Note;
use forewarn_models::{ModelFiles, Repository};
use forewarn_pipeline::Config;
use forewarn_pipeline::config::ServedModel;
use forewarn_training::recipe::Recipe;
use forewarn_training::reference;
use forewarn_training::rows::Rows;
use serde_json::json;

use super::Job;
use super::figures::Drawings;
use super::past::Serving;
use crate::guard;
use crate::model::{Added, Place, Source, add_staged};

/// What the graph and the trainer may differ by, as a share of what is told: of the cap, or of the threshold.
pub(super) const TOLERANCE: f64 = 1e-4;
/// Inputs of the golden question.
pub(super) const GOLDEN: usize = 8;

/// What a model says of the rows that it has learnt from, by asset and event time.
pub(super) type Scores = BTreeMap<String, Vec<(i64, f64)>>;

pub(super) struct Candidates<'a> {
    job: &'a Job<'a>,
    features: Vec<String>,
    /// In the order of the features; `None` where a feature is no signal.
    units: Vec<Option<String>>,
    /// A repository of their own.
    repository: PathBuf,
}

impl<'a> Candidates<'a> {
    pub fn new(job: &'a Job<'a>, rows: &Rows) -> Result<Self> {
        let unit = |feature: &String| {
            let mut signals = job.config.signals.iter();
            let signal = signals.find(|signal| signal.name == *feature);
            signal.and_then(|signal| signal.unit.clone())
        };
        let repository = job.work.join("candidate");
        if repository.exists() {
            fs::remove_dir_all(&repository).context("the candidate of the run before")?;
        }
        Ok(Candidates {
            job,
            units: rows.features.iter().map(unit).collect(),
            features: rows.features.clone(),
            repository,
        })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.repository.join(name).join("1")
    }

    /// The keys of a contract that do not depend on what the model is; `train` are the rows that it has learnt from.
    pub fn keys(&self, task: &str, description: String, train: &Rows) -> Vec<(String, String)> {
        let times = || train.assets.iter().flat_map(|rows| rows.times.iter());
        let mut assets: Vec<&String> = train.assets.iter().map(|rows| &rows.asset).collect();
        assets.dedup();
        let lineage = json!({
            "tool": format!("forewarn {}", env!("CARGO_PKG_VERSION")),
            "recipe": self.job.recipe.text,
            "topic": self.job.config.source.topic,
            "view": self.job.recipe.view,
            "rows": train.len(),
            "assets": assets,
            "from": times().min(),
            "to": times().max(),
        });
        let mut keys = vec![
            ("contract", "1".to_owned()),
            ("task", task.to_owned()),
            ("description", description),
            ("features", json!(self.features).to_string()),
            ("lineage", lineage.to_string()),
        ];
        if self.units.iter().all(Option::is_some) {
            keys.push(("units", json!(self.units).to_string()));
        }
        keys.into_iter()
            .map(|(key, value)| (format!("forewarn.{key}"), value))
            .collect()
    }

    /// Writes a version with its golden input, and tries it as any file is tried.
    pub fn admit(&self, name: &str, graph: &[u8], golden: &[Vec<f32>]) -> Result<()> {
        let folder = self.folder(name);
        fs::create_dir_all(&folder).context("the candidate's folder")?;
        fs::write(folder.join("model.onnx"), graph).context("model.onnx")?;
        let golden = json!({ "input": golden });
        fs::write(folder.join("golden.json"), golden.to_string()).context("golden.json")?;
        let config = self.config();
        let admission = guard::admission(&config.models)?;
        let runtime = Place::new(config.models).runtime()?;
        let files = ModelFiles::in_folder(name, 1, &folder);
        admission.admit(&runtime, &files).map_err(|refusal| {
            anyhow!(
                "the trained model is refused ({}): {}",
                refusal.code(),
                refusal.problems().join("; ")
            )
        })?;
        Ok(())
    }

    /// What serves what was admitted.
    pub fn serving(&self) -> Serving {
        let recipe = self.job.recipe;
        Serving::new(
            &self.config(),
            ServedModel::new(&recipe.model, &recipe.view),
        )
    }

    fn config(&self) -> Config {
        let mut config = self.job.config.clone();
        config.models.repository.clone_from(&self.repository);
        config.models.store = Some(self.repository.join(".store"));
        // It is this program that has made it, and it is a person that signs what serves.
        config.models.require_signature = false;
        config
    }

    /// Writes what drift of a version is measured against beside it.
    pub fn write_reference(&self, name: &str, train: &Rows, said: &Scores) -> Result<()> {
        let origin = json!({
            "by": "forewarn retrain",
            "topic": self.job.config.source.topic,
            "view": self.job.recipe.view,
        });
        let reference = reference::of(train, said, origin)?;
        reference.write(&self.folder(name), true)?;
        Ok(())
    }

    /// Makes it the next version of its model, with its card and the figures of it.
    pub fn add(&self, name: &str, (card, figures): (&str, &Drawings), why: &str) -> Result<Added> {
        let args = self.job.args;
        let models = self.job.config.models.clone();
        let admission = guard::admission(&models)?;
        let place = Place::new(models);
        fs::create_dir_all(&place.models.repository).context("models.repository")?;
        let staged = place.repository.stage()?;
        Source::Folder(self.folder(name)).copy(staged.path())?;
        fs::write(staged.path().join("card.md"), card)?;
        figures.write(staged.path())?;
        let mut note: Note = args.note.note();
        note.why = match note.why.as_str() {
            "" => format!("retrained: {why}"),
            given => format!("{given}; retrained: {why}"),
        };
        let added = add_staged((&place, &admission), name, staged, &note, |refusal| {
            anyhow!(
                "{name} is refused ({}): {}",
                refusal.code(),
                refusal.problems().join("; ")
            )
        })?;
        if args.promote {
            place
                .repository
                .promote(&added.name, added.version, None, &note)?;
        }
        Ok(added)
    }
}

/// The version that serves the recipe's view now, and its number; of models for each asset the highest one.
pub(super) fn champion<'n>(
    config: &Config,
    recipe: &Recipe,
    names: impl IntoIterator<Item = &'n String>,
) -> Result<Option<(Serving, u32)>> {
    let is_same = |entry: &&ServedModel| entry.name == recipe.model && entry.view == recipe.view;
    let entry = config.models.serve.iter().find(is_same).cloned();
    let mut entry = entry.unwrap_or_else(|| ServedModel::new(&recipe.model, &recipe.view));
    let repository = Repository::new(&config.models.repository);
    let mut versions = Vec::new();
    for name in names {
        if !repository.versions(name).is_empty() {
            versions.push(repository.resolve(name, entry.version)?.version);
        }
    }
    let Some(&version) = versions.iter().max() else {
        return Ok(None);
    };
    if !recipe.is_per_asset() {
        entry.version = Some(version);
    }
    Ok(Some((Serving::new(config, entry), version)))
}
