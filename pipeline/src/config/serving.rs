//! The sections that say which model scores which asset, and what an alarm is.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `[[models.serve]]`: one model on one view.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServedModel {
    /// Its name in the repository. With `{asset}` in it each asset may have a model of its own: every model of
    /// the repository whose name fits is served, for that asset alone. Add another entry to the same `group`
    /// for the assets without one.
    pub name: String,
    /// Default: the champion, or the highest version where none was promoted.
    #[serde(default)]
    pub version: Option<u32>,
    /// The feature view that gives its input.
    pub view: String,
    /// Entries of one group share the assets among them: a row is scored by the first entry, in the order of
    /// this file, that takes its asset and whose `only` and `unless` fit. They must be on one view. Default: a
    /// group of its own, by its name.
    #[serde(default)]
    pub group: Option<String>,
    /// Patterns of asset names, with `*` and `?`, or `@name` for the patterns under `[classes]`. Default: every
    /// asset.
    #[serde(default)]
    pub assets: Vec<String>,
    /// Features of the view that must all be non-zero for a row to be scored, such as `running`. A row that no
    /// entry of its group may score is published as `unscored`, with code `regime`.
    #[serde(default)]
    pub only: Vec<String>,
    /// Features of the view that must all be 0, such as `maintenance`.
    #[serde(default)]
    pub unless: Vec<String>,
    /// Another version in place of this one, for a part of the assets: `{ version = 4, share = 0.05 }`. Which
    /// assets these are depends on their names only.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// Challengers: they score the same rows, and their results go to `sink.shadow`. One that fails is left
    /// out and said so; it never disturbs this entry.
    #[serde(default)]
    pub shadow: Vec<Challenger>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Canary {
    pub version: u32,
    /// Part of the entry's assets, above 0 and up to 1.
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Challenger {
    /// Default: the entry's.
    #[serde(default)]
    pub name: Option<String>,
    /// Default: the highest version.
    #[serde(default)]
    pub version: Option<u32>,
}

/// `[alarms.<name>]`: when the results of a model are an alarm, and when it is over.
///
/// With `of = 3` and `within = 5` it is raised when 3 of the last 5 results of an asset are beyond the limit:
/// one outlier raises nothing, and one good value in between hides nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AlarmConfig {
    /// The group whose results are watched: a model's name, where `group` is not given.
    pub model: String,
    /// `confidence` (score over threshold), `score` (of a class: 1 − the probability of the normal one), `rul`,
    /// `rul-low` (the lower end of its interval), `health`, or `failure` (the probability of failure within
    /// the first of the model's horizons). Default: `confidence` for anomalies and forecasts where the model
    /// has one, else `score`; `rul` for remaining life.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// Raised by values above this: a threshold, or a list of severities, `{ warning = 1.0, critical = 3.0 }`.
    /// Either this or `below` is required.
    #[serde(default)]
    pub above: Option<Levels>,
    /// Raised by values below this, as for remaining life.
    #[serde(default)]
    pub below: Option<Levels>,
    /// Results beyond the limit, among the last `within`, that raise it. Default: 1.
    #[serde(default = "one")]
    pub of: u32,
    /// Default: `of`. At most 1,024.
    #[serde(default)]
    pub within: Option<u32>,
    /// It is cleared by values on the good side of this. Farther from the limit: it does not flicker, and
    /// stays longer. Default: the limit itself.
    #[serde(default)]
    pub clear_at: Option<f64>,
    /// Good results in a row that clear it. Default: `within`.
    #[serde(default)]
    pub clear_after: Option<u32>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    Confidence,
    Score,
    Rul,
    RulLow,
    Health,
    Failure,
}

/// One limit, or one per severity.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a number, or severities such as { warning = 1.0, critical = 3.0 }"
)]
pub enum Levels {
    One(f64),
    Severities(BTreeMap<String, f64>),
}

impl Levels {
    /// Name and limit of each severity, from the mildest on; `rises` when higher values are worse.
    pub fn ordered(&self, rises: bool) -> Vec<(String, f64)> {
        let mut levels: Vec<(String, f64)> = match self {
            Levels::One(limit) => vec![("warning".into(), *limit)],
            Levels::Severities(levels) => levels
                .iter()
                .map(|(name, limit)| (name.clone(), *limit))
                .collect(),
        };
        levels.sort_by(|(_, a), (_, b)| {
            if rises {
                a.total_cmp(b)
            } else {
                b.total_cmp(a)
            }
        });
        levels
    }
}
