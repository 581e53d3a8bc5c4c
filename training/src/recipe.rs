//! A recipe: everything that a retraining depends on, in one TOML file. Every key has its meaning here.
//!
//! ```toml
//! model = "turbofan-rul"
//! pipeline = "turbofan.toml"
//! view = "engine"
//! assets = ["FD001-train-*"]
//!
//! [labels]
//! failures = "failures.csv"
//! cap = 125
//! unit = "cycles"
//! unit-lasts = "1h"
//!
//! [scaling]
//! per = { altitude = 5, mach = 0.1, tra = 10 }
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forewarn_pipeline::routing::Selection;
use serde::Deserialize;

use crate::gate::Rule;
use crate::labels::Topic;
use crate::lives::Target;
use crate::rul::Training;
use crate::split::Split;

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

/// A recipe of a model of remaining useful life.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// The model that gets a new version. It may have none yet.
    pub model: String,
    /// The configuration whose log, views and repository are taken; relative to the recipe.
    pub pipeline: PathBuf,
    /// The view whose rows are learnt from.
    pub view: String,
    /// Features of the view, in the order in which the model takes them. Default: all.
    #[serde(default)]
    pub features: Vec<String>,
    /// Patterns of assets that are learnt from, with `*` and `?`. Default: all.
    #[serde(default = "all")]
    pub assets: Vec<String>,
    pub labels: Labelling,
    #[serde(default)]
    pub split: Split,
    #[serde(default)]
    pub scaling: Scales,
    #[serde(default)]
    pub trainer: Training,
    #[serde(default)]
    pub judge: Judging,
    #[serde(default)]
    pub gate: Rule,
    /// As it was written, for lineage.
    #[serde(skip)]
    pub text: String,
}

/// `[labels]`: what happened to the assets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Labelling {
    /// File of failures, relative to the recipe: CSV with a header (`asset,time,kind`), or lines of JSON.
    #[serde(default)]
    pub failures: Option<PathBuf>,
    /// Topic of failures, instead of a file.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// Kinds of events that end a life. Default: `failure`.
    #[serde(default = "failure")]
    pub kinds: Vec<String>,
    /// Name of the unit of remaining life.
    pub unit: String,
    /// How much event time one unit is.
    #[serde(with = "humantime_serde")]
    pub unit_lasts: Duration,
    /// Remaining life that is learnt at most, in units.
    pub cap: f64,
    /// Failure within each of these has a probability, in units. Default: a fifth and two fifths of the cap.
    #[serde(default)]
    pub horizons: Vec<f64>,
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
    /// Which of their rows.
    pub rows: JudgedRows,
}

impl Labelling {
    /// Where failures are told, for a person.
    pub fn place(&self) -> String {
        match (&self.failures, &self.topic) {
            (_, Some(topic)) => format!("topic {}", topic.name),
            (Some(file), None) => file.display().to_string(),
            (None, None) => String::new(),
        }
    }
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
    /// Networks learn from it.
    pub fn learns(&self, asset: &str) -> bool {
        self.takes(asset) && !self.recipe.split.holds_out(asset)
    }

    /// Held back, and so the margin of the interval is taken from it.
    pub fn calibrates(&self, asset: &str) -> bool {
        self.takes(asset) && self.recipe.split.holds_out(asset)
    }

    /// Models are judged on it.
    pub fn judges(&self, asset: &str) -> bool {
        match self.recipe.judge.assets.is_empty() {
            true => self.calibrates(asset),
            false => self.judged.takes(asset),
        }
    }

    fn takes(&self, asset: &str) -> bool {
        let is_set_apart = !self.recipe.judge.assets.is_empty() && self.judged.takes(asset);
        self.named.takes(asset) && !is_set_apart
    }
}

fn all() -> Vec<String> {
    vec!["*".into()]
}

fn failure() -> Vec<String> {
    vec!["failure".into()]
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
        let mut recipe: Recipe = toml::from_str(text).map_err(|error| error.to_string())?;
        recipe.pipeline = folder.join(&recipe.pipeline);
        recipe.labels.failures = recipe.labels.failures.map(|file| folder.join(file));
        text.clone_into(&mut recipe.text);
        let (split, learning) = (&recipe.split, &recipe.trainer.learning);
        let wrong = [
            (
                recipe.labels.failures.is_some() == recipe.labels.topic.is_some(),
                "labels needs either failures, a file, or topic",
            ),
            (recipe.labels.cap <= 0.0, "labels.cap must be above 0"),
            (
                recipe.labels.unit_lasts.is_zero(),
                "labels.unit-lasts must be longer than 0",
            ),
            (
                !(0.0..1.0).contains(&split.hold_out),
                "split.hold-out must be at least 0 and below 1",
            ),
            (
                recipe.trainer.members == 0,
                "trainer.members must be at least 1",
            ),
            (
                recipe.trainer.watched && recipe.trainer.members < 2,
                "trainer.watched needs at least 2 trainer.members: each is watched on a fold that it does not learn from",
            ),
            (
                learning.steps == 0 || learning.batch == 0 || learning.round == 0,
                "trainer.learning: steps, batch and round must be at least 1",
            ),
            (
                recipe.trainer.hidden.is_empty(),
                "trainer.hidden must name the units of a layer",
            ),
            (
                !(0.0 < recipe.trainer.low
                    && recipe.trainer.low < 0.5
                    && 0.5 < recipe.trainer.high
                    && recipe.trainer.high < 1.0),
                "trainer.low must lie below 0.5 and trainer.high above it",
            ),
            (
                split.hold_out == 0.0 && recipe.judge.assets.is_empty(),
                "no asset is held back: give split.hold-out, or name judge.assets",
            ),
        ];
        if let Some((_, what)) = wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(what.to_owned());
        }
        if recipe.labels.horizons.is_empty() {
            recipe.labels.horizons = vec![recipe.labels.cap / 5.0, recipe.labels.cap * 2.0 / 5.0];
        }
        Ok(recipe)
    }

    pub fn roles(&self) -> Roles<'_> {
        Roles {
            recipe: self,
            named: Selection::new(&self.assets),
            judged: Selection::new(&self.judge.assets),
        }
    }

    pub fn target(&self) -> Target {
        Target {
            unit: i64::try_from(self.labels.unit_lasts.as_micros()).unwrap_or(i64::MAX),
            cap: self.labels.cap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "model = \"m\"\npipeline = \"p.toml\"\nview = \"v\"\n[labels]\nfailures = \"f.csv\"\n\
        unit = \"h\"\nunit-lasts = \"1h\"\ncap = 100\n";

    #[test]
    fn paths_are_relative_to_the_recipe_and_the_rest_has_a_default() {
        let recipe = Recipe::parse(SMALL, Path::new("/plant")).unwrap();
        assert_eq!(recipe.pipeline, Path::new("/plant/p.toml"));
        assert_eq!(
            recipe.labels.failures.as_deref(),
            Some(Path::new("/plant/f.csv"))
        );
        assert_eq!(recipe.labels.horizons, [20.0, 40.0]);
        assert_eq!(
            recipe.target(),
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
        ] {
            let error = Recipe::parse(&format!("{SMALL}{more}"), Path::new(".")).unwrap_err();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
