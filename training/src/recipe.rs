//! A recipe: everything that a retraining depends on, in one TOML file. Every key has its meaning here.
//!
//! ```toml
//! model = "turbofan-rul"                    model = "car-anomaly"
//! pipeline = "turbofan.toml"                pipeline = "cars.toml"
//! view = "engine"                           view = "car"
//! assets = ["FD001-train-*"]
//!
//! [labels]                                  [labels]                      # left out: all rows are taken for normal
//! failures = "failures.csv"                 failures = "faults.csv"
//! cap = 125                                 around = { before = "2d" }
//! unit = "cycles"
//! unit-lasts = "1h"                         [threshold]
//!                                           flags = 0.005
//! [trainer]
//! kind = "recurrent"                        [trainer]
//!                                           kind = "autoencoder"
//! ```
//!
//! `trainer.kind` decides what the model is for: `recurrent` and `linear` tell remaining life (`life.rs`), all others anomalies
//! (`anomaly.rs`).
//!
//! Invariant: a [`Recipe`] is checked; what is written in a file and not understood is an error.

mod anomaly;
mod life;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use forewarn_pipeline::routing::Selection;
use serde::Deserialize;

pub use anomaly::{Anomaly, Events, Metric};
pub use life::{Life, LifeLabels};
pub use source::Source;

use crate::gate::Rule;
use crate::split::Split;
use crate::trigger::{OnDrift, Trigger};

/// What stands for the asset in the name of a model that each asset has one of.
const ASSET: &str = "{asset}";

#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("{} can't be read: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {reason}", path.display())]
    Wrong { path: PathBuf, reason: String },
}

/// A recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The model that gets a new version. It may have none yet. With `{asset}` in it each asset has a model of its own, as
    /// in `[[models.serve]]`.
    pub model: String,
    /// The configuration whose log, views and repository are taken; relative to the recipe.
    pub pipeline: PathBuf,
    /// The view whose rows are learnt from.
    pub view: String,
    /// Features of the view, in the order in which the model takes them. Default: all.
    pub features: Vec<String>,
    /// Patterns of assets that are learnt from, with `*` and `?`. Default: all.
    pub assets: Vec<String>,
    /// Values of features that may be held, with 4 bytes each; with more there is an error instead of a machine without
    /// memory. Default: 250 million, 1 GB.
    pub most_values: usize,
    pub split: Split,
    pub scaling: Scales,
    pub judge: Judging,
    pub gate: Rule,
    /// Whether it is followed at all.
    pub trigger: Trigger,
    pub task: Task,
    /// As it was written, for lineage.
    pub text: String,
}

/// What the model is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    Life(Box<Life>),
    Anomaly(Box<Anomaly>),
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    model: String,
    pipeline: PathBuf,
    view: String,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default = "all")]
    assets: Vec<String>,
    #[serde(default = "most_values")]
    most_values: usize,
    labels: Option<toml::Table>,
    #[serde(default)]
    split: Split,
    #[serde(default)]
    scaling: Scales,
    #[serde(default)]
    threshold: Option<toml::Table>,
    #[serde(default)]
    trainer: toml::Table,
    #[serde(default)]
    judge: Judging,
    #[serde(default)]
    gate: Rule,
    #[serde(default)]
    trigger: Trigger,
}

/// `[scaling]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Scales {
    /// Features that make operating regimes, each with how far apart two rows of one regime may be in it.
    pub per: BTreeMap<String, f64>,
}

/// `[judge]`: what the model is judged by.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Judging {
    /// Patterns of assets that are judged, and not learnt from. Default: those that `split` holds back.
    pub assets: Vec<String>,
    /// Which of their rows; for models of remaining life only.
    pub rows: JudgedRows,
}

/// Which rows of an asset are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedRows {
    /// All that say something: from the 21st of a life on, with a remaining life of at most the cap and a sixth of it.
    #[default]
    All,
    /// The last one of each asset: that of a machine that still runs, whose failure is told in the future.
    Last,
}

/// What each asset is for.
#[derive(Debug)]
pub struct Roles<'a> {
    recipe: &'a Recipe,
    named: Selection,
    judged: Selection,
}

impl Roles<'_> {
    /// It is learnt from.
    pub fn learns(&self, asset: &str) -> bool {
        self.takes(asset) && !self.recipe.split.holds_out(asset)
    }

    /// The margin of the interval, or the threshold, is taken from it: it is held back, or in a fold.
    pub fn calibrates(&self, asset: &str) -> bool {
        let split = &self.recipe.split;
        self.takes(asset) && (split.is_crossed() || split.holds_out(asset))
    }

    /// Models are judged on it.
    pub fn judges(&self, asset: &str) -> bool {
        match self.recipe.judge.assets.is_empty() {
            true => self.calibrates(asset),
            false => self.judged.takes(asset),
        }
    }

    /// The recipe is about it, in some role that is not to be judged alone.
    pub fn takes(&self, asset: &str) -> bool {
        let is_set_apart = !self.recipe.judge.assets.is_empty() && self.judged.takes(asset);
        self.named.takes(asset) && !is_set_apart
    }
}

fn all() -> Vec<String> {
    vec!["*".into()]
}

fn most_values() -> usize {
    250_000_000
}

impl Recipe {
    /// Reads and checks a recipe. Its paths are relative to its folder.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("."))).map_err(|reason| {
            RecipeError::Wrong {
                path: path.to_owned(),
                reason,
            }
        })
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let (kind, trainer) = kind_of(written.trainer)?;
        let task = match life::KINDS.contains(&kind.as_str()) {
            true => {
                if written.threshold.is_some() {
                    return Err(
                        "threshold is for models of anomalies; remaining life has none".into(),
                    );
                }
                Task::Life(Box::new(Life::read(
                    written.labels,
                    (kind, trainer),
                    folder,
                )?))
            }
            false => {
                let trainer = (kind, trainer);
                let anomaly = Anomaly::read(written.labels, written.threshold, trainer, folder)?;
                Task::Anomaly(Box::new(anomaly))
            }
        };
        let recipe = Recipe {
            model: written.model,
            pipeline: folder.join(written.pipeline),
            view: written.view,
            features: written.features,
            assets: written.assets,
            most_values: written.most_values,
            split: written.split,
            scaling: written.scaling,
            judge: written.judge,
            gate: written.gate,
            trigger: written.trigger,
            task,
            text: text.to_owned(),
        };
        let on_drift = recipe.trigger.drift.as_ref();
        match (recipe.wrong(), on_drift.and_then(OnDrift::problem)) {
            (Some(what), _) => Err(what.to_owned()),
            (None, Some(what)) => Err(what),
            (None, None) => Ok(recipe),
        }
    }

    /// What is wrong between its parts.
    fn wrong(&self) -> Option<&'static str> {
        let split = &self.split;
        let is_life = matches!(self.task, Task::Life(_));
        let is_held_out = split.hold_out > 0.0 || split.is_crossed();
        let is_held_back = is_held_out || !self.judge.assets.is_empty();
        let wrong = [
            (
                !(0.0..1.0).contains(&split.hold_out),
                "split.hold-out must be at least 0 and below 1",
            ),
            (split.folds == 1, "split.folds must be 0, or at least 2"),
            (
                split.is_crossed() && split.time.is_some(),
                "split.folds and split.time are two ways to hold rows back: leave one of them out",
            ),
            (
                split.time.is_none() && !is_held_back,
                "no asset is held back: give split.hold-out, or name judge.assets",
            ),
            (
                split.time.is_some() && is_life,
                "split.time is for models of anomalies: a life can't be judged before it is over, so hold assets back",
            ),
            (
                split.time.is_some() && !self.judge.assets.is_empty(),
                "judge.assets names assets that are judged, and split.time judges each one later: leave one of them out",
            ),
            (
                !is_life && split.time.is_none() && !is_held_out,
                "the threshold is taken from assets that are held back: split.hold-out must be above 0",
            ),
            (
                self.is_per_asset() && split.time.is_none(),
                "a model for each asset learns from that asset and is judged by it: give split.time",
            ),
            (
                self.is_per_asset() && self.trigger.drift.is_some(),
                "trigger.drift looks at one model, and this recipe makes one for each asset: leave it out",
            ),
            (
                self.is_per_asset() && is_life,
                "a model of remaining life learns from assets that failed, so it can't be one for each asset",
            ),
        ];
        wrong
            .into_iter()
            .find_map(|(is_wrong, what)| is_wrong.then_some(what))
    }

    pub fn roles(&self) -> Roles<'_> {
        Roles {
            recipe: self,
            named: Selection::new(&self.assets),
            judged: Selection::new(&self.judge.assets),
        }
    }

    /// Has each asset a model of its own?
    pub fn is_per_asset(&self) -> bool {
        self.model.contains(ASSET)
    }

    /// Name of the model that scores an asset.
    pub fn model_of(&self, asset: &str) -> String {
        self.model.replace(ASSET, asset)
    }
}

/// `trainer.kind`, and the rest of the table.
fn kind_of(mut trainer: toml::Table) -> Result<(String, toml::Table), String> {
    match trainer.remove("kind") {
        None => Ok((life::KIND.into(), trainer)),
        Some(toml::Value::String(kind)) => Ok((kind, trainer)),
        Some(other) => Err(format!("trainer.kind must be a word, not {other}")),
    }
}

/// A table as what it should be, errors with its name.
fn table<T: serde::de::DeserializeOwned>(name: &str, table: toml::Table) -> Result<T, String> {
    table
        .try_into()
        .map_err(|error: toml::de::Error| format!("{name}: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Trainer;
    use crate::lives::Target;

    const SMALL: &str = "model = \"m\"\npipeline = \"p.toml\"\nview = \"v\"\n[labels]\nfailures = \"f.csv\"\n\
        unit = \"h\"\nunit-lasts = \"1h\"\ncap = 100\n";

    #[test]
    fn paths_are_relative_to_the_recipe_and_the_rest_has_a_default() {
        let recipe = Recipe::parse(SMALL, Path::new("/plant")).unwrap();
        assert_eq!(recipe.pipeline, Path::new("/plant/p.toml"));
        let Task::Life(life) = &recipe.task else {
            panic!("{recipe:?}");
        };
        assert_eq!(life.source, Source::File("/plant/f.csv".into()));
        assert_eq!(life.labels.horizons, [20.0, 40.0]);
        assert_eq!(
            life.target(),
            Target {
                unit: 3_600_000_000,
                cap: 100.0
            }
        );
        assert_eq!(recipe.assets, ["*"]);
    }

    #[test]
    fn an_asset_has_one_role_unless_held_back_ones_are_judged() {
        let roles_of = |more: &str, asset: &str| {
            let recipe = Recipe::parse(&format!("{SMALL}{more}"), Path::new(".")).unwrap();
            let roles = recipe.roles();
            (
                roles.learns(asset),
                roles.calibrates(asset),
                roles.judges(asset),
            )
        };
        for n in 0..50 {
            let asset = format!("pump-{n}");
            let (learns, calibrates, judges) = roles_of("", &asset);
            assert!(learns != calibrates && judges == calibrates, "{asset}");
            let named = "[judge]\nassets = [\"pump-7\"]\n";
            let (learns, calibrates, judges) = roles_of(named, &asset);
            assert_eq!(judges, n == 7, "{asset}");
            assert!((learns != calibrates) == (n != 7), "{asset}");
        }
    }

    #[test]
    fn the_kind_of_trainer_says_what_the_model_is_for() {
        let anomaly = |more: &str| {
            let text = format!("model = \"m\"\npipeline = \"p\"\nview = \"v\"\n{more}");
            Recipe::parse(&text, Path::new("/plant"))
        };
        let recipe = anomaly(
            "[labels]\nfailures = \"f.csv\"\naround = { before = \"2d\" }\n[trainer]\nkind = \"pca\"\nexplains = 1\n\
             index = \"t2\"\n[threshold]\nmax-alarms = \"1/asset/week\"\nof = 3\nwithin = 5\n",
        )
        .unwrap();
        let Task::Anomaly(task) = &recipe.task else {
            panic!("{recipe:?}");
        };
        assert!(matches!(&task.trainer, Trainer::Pca(settings) if settings.explains == 1.0));
        let (labels, source) = task.labels.as_ref().unwrap();
        assert_eq!(*source, Source::File("/plant/f.csv".into()));
        assert_eq!(labels.around.before.as_secs(), 2 * 86_400);
        for kind in ["mixture", "autoencoder", "lstm-autoencoder"] {
            let recipe = anomaly(&format!("[trainer]\nkind = \"{kind}\"\n")).unwrap();
            assert!(matches!(recipe.task, Task::Anomaly(task) if task.labels.is_none()));
        }
        for (more, told) in [
            ("[trainer]\nkind = \"forest\"\n", "unknown variant `forest`"),
            (
                "[trainer]\nkind = \"pca\"\nhidden = [3]\n",
                "unknown field `hidden`",
            ),
            (
                "[trainer]\nkind = \"pca\"\nexplains = 2\n",
                "trainer.explains",
            ),
            (
                "[trainer]\nkind = \"pca\"\n[split]\nhold-out = 0\n[judge]\nassets = [\"x\"]\n",
                "threshold is taken",
            ),
            (
                "[trainer]\nkind = \"pca\"\n[threshold]\nof = 3\n",
                "threshold.of",
            ),
            ("", "[labels] is missing"),
        ] {
            let error = anomaly(more).unwrap_err();
            assert!(error.contains(told), "{more}: {error}");
        }
    }

    #[test]
    fn a_model_for_each_asset_needs_a_split_by_time() {
        let own = |more: &str| {
            let text = format!(
                "model = \"{{asset}}-state\"\npipeline = \"p\"\nview = \"v\"\n[trainer]\nkind = \"pca\"\n{more}"
            );
            Recipe::parse(&text, Path::new("."))
        };
        let recipe = own("[split]\ntime = { learn = 300, calibrate = 0.2 }\n").unwrap();
        assert!(recipe.is_per_asset());
        assert_eq!(recipe.model_of("pump-7"), "pump-7-state");
        assert!(own("").unwrap_err().contains("give split.time"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (more, told) in [
            (
                "[trainer]\nmembers = 0\n",
                "trainer.members must be at least 1",
            ),
            (
                "[trainer]\nmembers = 1\nwatched = true\n",
                "needs at least 2 trainer.members",
            ),
            (
                "[labels.topic]\nname = \"t\"\n",
                "either failures, a file, or topic",
            ),
            ("[split]\nhold-out = 0\n", "no asset is held back"),
            ("[trainer]\nlayers = 3\n", "unknown field `layers`"),
            ("[trainer]\nhidden = []\n", "trainer.hidden must name"),
            ("[trainer]\nlow = 0.6\n", "trainer.low must lie below"),
            ("[trainer.learning]\nsteps = 0\n", "must be at least 1"),
            (
                "[threshold]\nflags = 0.1\n",
                "threshold is for models of anomalies",
            ),
            (
                "[split]\ntime = { learn = 5, calibrate = 5 }\n",
                "split.time is for models of anomalies",
            ),
        ] {
            let error = Recipe::parse(&format!("{SMALL}{more}"), Path::new(".")).unwrap_err();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
