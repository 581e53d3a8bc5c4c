//! The trained model as a version: written, admitted, compared with its trainer, and added.
//!
//! Until it is added it lies in a repository of its own in the work folder, where the engine serves it from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use forewarn_models::repository::Note;
use forewarn_models::{ModelFiles, Repository};
use forewarn_pipeline::Config;
use forewarn_pipeline::config::ServedModel;
use forewarn_training::labels::Labels;
use forewarn_training::lives::Lives;
use forewarn_training::recipe::Recipe;
use forewarn_training::rows::Rows;
use forewarn_training::rul::{RulModel, Told};
use serde_json::json;

use super::figures::Drawings;
use super::past::Serving;
use crate::cli::RetrainArgs;
use crate::guard;
use crate::model::{Added, Place, Source, add_staged};

/// What the graph and the trainer may differ by, as a share of the cap.
const TOLERANCE: f64 = 1e-4;
/// Rows of the golden input.
const GOLDEN_ROWS: usize = 8;

pub(super) struct Candidate<'a> {
    recipe: &'a Recipe,
    model: &'a RulModel,
    /// In the order of the features; `None` where a feature is no signal.
    units: Vec<Option<String>>,
    features: Vec<String>,
    golden: Vec<Vec<f32>>,
    lineage: String,
    /// A repository of its own.
    repository: PathBuf,
}

impl<'a> Candidate<'a> {
    pub fn new(
        config: &Config,
        recipe: &'a Recipe,
        model: &'a RulModel,
        train: &Rows,
        work: &Path,
    ) -> Result<Self> {
        let unit = |feature: &String| {
            let signal = config.signals.iter().find(|signal| signal.name == *feature);
            signal.and_then(|signal| signal.unit.clone())
        };
        let repository = work.join("candidate");
        if repository.exists() {
            fs::remove_dir_all(&repository).context("the candidate of the run before")?;
        }
        fs::create_dir_all(repository.join(&recipe.model).join("1"))?;
        let width = train.features.len();
        // Rows of as many assets, from where each is about to fail: what is told there is told apart.
        let last = train.assets.iter().rev().take(GOLDEN_ROWS);
        let golden = last.map(|rows| rows.values[rows.values.len() - width..].to_vec());
        let times = || train.assets.iter().flat_map(|rows| rows.times.iter());
        let lineage = json!({
            "tool": format!("forewarn {}", env!("CARGO_PKG_VERSION")),
            "recipe": recipe.text,
            "topic": config.source.topic,
            "view": recipe.view,
            "rows": train.len(),
            "assets": train.assets.iter().map(|rows| &rows.asset).collect::<Vec<_>>(),
            "from": times().min(),
            "to": times().max(),
        });
        Ok(Candidate {
            recipe,
            model,
            units: train.features.iter().map(unit).collect(),
            features: train.features.clone(),
            golden: golden.collect(),
            lineage: lineage.to_string(),
            repository,
        })
    }

    fn folder(&self) -> PathBuf {
        self.repository.join(&self.recipe.model).join("1")
    }

    /// Writes the version, with the margin of its interval, tries it as any file is tried, and gives what serves it.
    pub fn admit(&mut self, config: &Config, margin: Option<f64>) -> Result<Serving> {
        let folder = self.folder();
        let graph = self.model.export(&self.recipe.model, self.metadata(margin));
        fs::write(folder.join("model.onnx"), graph).context("model.onnx")?;
        let golden = json!({ "input": self.golden });
        fs::write(folder.join("golden.json"), golden.to_string()).context("golden.json")?;
        let mut config = config.clone();
        config.models.repository.clone_from(&self.repository);
        config.models.store = Some(self.repository.join(".store"));
        // It is this program that has made it, and it is a person that signs what serves.
        config.models.require_signature = false;
        let admission = guard::admission(&config.models)?;
        let runtime = Place::new(config.models.clone()).runtime()?;
        let files = ModelFiles::in_folder(&self.recipe.model, 1, &folder);
        admission.admit(&runtime, &files).map_err(|refusal| {
            anyhow!(
                "the trained model is refused ({}): {}",
                refusal.code(),
                refusal.problems().join("; ")
            )
        })?;
        let entry = ServedModel::new(&self.recipe.model, &self.recipe.view);
        Ok(Serving::new(&config, entry, 1))
    }

    fn metadata(&self, margin: Option<f64>) -> Vec<(String, String)> {
        let (recipe, labels) = (self.recipe, &self.recipe.labels);
        let levels = [recipe.trainer.low, 0.5, recipe.trainer.high];
        let mut keys = vec![
            ("contract", "1".to_owned()),
            ("task", "rul".to_owned()),
            (
                "description",
                format!(
                    "Remaining useful life in {}, by {} recurrent networks.",
                    labels.unit,
                    self.model.members()
                ),
            ),
            ("features", json!(self.features).to_string()),
            ("unit", labels.unit.clone()),
            ("quantiles", json!(levels).to_string()),
            ("failure-horizons", json!(labels.horizons).to_string()),
            ("lineage", self.lineage.clone()),
        ];
        if self.units.iter().all(Option::is_some) {
            keys.push(("units", json!(self.units).to_string()));
        }
        if let Some(margin) = margin {
            keys.push(("calibration.margin", margin.to_string()));
        }
        keys.into_iter()
            .map(|(key, value)| (format!("forewarn.{key}"), value))
            .collect()
    }

    /// The largest difference between what the graph says in the engine and what the trainer says, as a share of the cap.
    pub fn against_trainer(
        &self,
        rows: &Rows,
        labels: &Labels,
        said: &BTreeMap<String, Vec<(i64, Told)>>,
    ) -> Result<f64> {
        let (recipe, model) = (self.recipe, self.model);
        let lives = Lives::new(
            rows,
            &model.scaling,
            labels,
            recipe.target(),
            recipe.trainer.change,
        );
        let (told, mut largest) = (model.predict(&lives), 0.0_f64);
        for ((asset, first), told) in lives.begins().iter().zip(told) {
            // The state of an asset outlives its failure while it serves.
            if *first > 0 {
                continue;
            }
            let said = said
                .get(&rows.assets[*asset].asset)
                .map_or(&[][..], Vec::as_slice);
            for ((_, said), told) in said.iter().zip(&told) {
                largest = largest.max((said.mean - told.mean).abs() / model.cap);
            }
        }
        if largest > TOLERANCE {
            bail!(
                "the graph differs from its trainer by {largest:.1e} of the cap, more than {TOLERANCE:.0e}: this is a defect \
                 of forewarn; nothing is added"
            );
        }
        Ok(largest)
    }

    /// Makes it the next version of its model, with its card and the figures of it.
    pub fn add(
        &self,
        config: &Config,
        (card, figures): (&str, &Drawings),
        why: &str,
        args: &RetrainArgs,
    ) -> Result<Added> {
        let models = config.models.clone();
        let admission = guard::admission(&models)?;
        let place = Place::new(models);
        fs::create_dir_all(&place.models.repository).context("models.repository")?;
        let staged = place.repository.stage()?;
        Source::Folder(self.folder()).copy(staged.path())?;
        fs::write(staged.path().join("card.md"), card)?;
        figures.write(staged.path())?;
        let mut note: Note = args.note.note();
        note.why = match note.why.as_str() {
            "" => format!("retrained: {why}"),
            given => format!("{given}; retrained: {why}"),
        };
        let added = add_staged(
            (&place, &admission),
            &self.recipe.model,
            staged,
            &note,
            |refusal| {
                anyhow!(
                    "{} is refused ({}): {}",
                    self.recipe.model,
                    refusal.code(),
                    refusal.problems().join("; ")
                )
            },
        )?;
        if args.promote {
            place
                .repository
                .promote(&added.name, added.version, None, &note)?;
        }
        Ok(added)
    }
}

/// The version that serves the recipe's view now, if there is one.
pub(super) fn champion(config: &Config, recipe: &Recipe) -> Result<Option<Serving>> {
    let is_same = |entry: &&ServedModel| entry.name == recipe.model && entry.view == recipe.view;
    let entry = config.models.serve.iter().find(is_same).cloned();
    let entry = entry.unwrap_or_else(|| ServedModel::new(&recipe.model, &recipe.view));
    let repository = Repository::new(&config.models.repository);
    if repository.versions(&recipe.model).is_empty() {
        return Ok(None);
    }
    let files = repository.resolve(&recipe.model, entry.version)?;
    Ok(Some(Serving::new(config, entry, files.version)))
}
