//! What each row of an asset is for, in a recipe of a model of anomalies.
//!
//! ```text
//!   by asset:   learnt from │ held back: threshold, and judged unless judge.assets names others
//!   by time:    ── learnt from ──┼── threshold ──┼── judged ──▶ rows of every asset
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use crate::episodes::{Episodes, State};
use crate::recipe::Recipe;
use crate::rows::{AssetRows, Rows};

/// Of the rows of one asset, by event time: ends do not belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    pub learn: Range<i64>,
    pub calibrate: Range<i64>,
    pub judge: Range<i64>,
}

/// All assets that a recipe uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    by_asset: BTreeMap<String, Use>,
    /// The threshold is taken from rows that are judged, too.
    pub is_shared: bool,
}

impl Uses {
    pub fn of(recipe: &Recipe, rows: &Rows) -> Self {
        let roles = recipe.roles();
        let mut uses = Uses {
            by_asset: BTreeMap::new(),
            is_shared: recipe.split.time.is_none() && recipe.judge.assets.is_empty(),
        };
        for asset in &rows.assets {
            let name = &asset.asset;
            let all = i64::MIN..i64::MAX;
            let of = match recipe.split.time {
                Some(time) if roles.takes(name) => {
                    let (first, second) = time.bounds(&asset.times);
                    let at = |row: usize| asset.times.get(row).copied().unwrap_or(i64::MAX);
                    Use {
                        learn: i64::MIN..at(first),
                        calibrate: at(first)..at(second),
                        judge: at(second)..i64::MAX,
                    }
                }
                Some(_) => continue,
                None => Use {
                    learn: if roles.learns(name) {
                        all.clone()
                    } else {
                        0..0
                    },
                    calibrate: if roles.calibrates(name) {
                        all.clone()
                    } else {
                        0..0
                    },
                    judge: if roles.judges(name) { all } else { 0..0 },
                },
            };
            if of
                != (Use {
                    learn: 0..0,
                    calibrate: 0..0,
                    judge: 0..0,
                })
            {
                uses.by_asset.insert(name.clone(), of);
            }
        }
        uses
    }

    pub fn of_asset(&self, asset: &str) -> Option<&Use> {
        self.by_asset.get(asset)
    }

    /// Assets with a row that is in a part.
    pub fn assets<'a>(
        &'a self,
        part: impl Fn(&Use) -> &Range<i64> + 'a,
    ) -> impl Iterator<Item = &'a str> {
        let assets = self.by_asset.iter();
        assets
            .filter(move |(_, of)| !part(of).is_empty())
            .map(|(asset, _)| asset.as_str())
    }

    /// The threshold is taken from it, or it is judged.
    pub fn is_held_back(&self, asset: &str) -> bool {
        let of = self.of_asset(asset);
        of.is_some_and(|of| !of.calibrate.is_empty() || !of.judge.is_empty())
    }

    /// The rows to learn from: normal ones, cut into stretches that hang together.
    pub fn learnt(&self, rows: &Rows, episodes: &Episodes) -> Rows {
        let width = rows.features.len();
        let mut learnt = Rows {
            features: rows.features.clone(),
            ..Rows::default()
        };
        for asset in &rows.assets {
            let Some(of) = self.of_asset(&asset.asset) else {
                continue;
            };
            let mut stretch = AssetRows::default();
            let values = asset.values.chunks_exact(width);
            for (row, &time) in values.zip(&asset.times) {
                let is_normal = || episodes.state(&asset.asset, time) == State::Normal;
                if of.learn.contains(&time) && is_normal() {
                    stretch.times.push(time);
                    stretch.values.extend_from_slice(row);
                } else {
                    learnt.assets.extend(named(&mut stretch, &asset.asset));
                }
            }
            learnt.assets.extend(named(&mut stretch, &asset.asset));
        }
        learnt
    }
}

/// Takes a stretch, if there is any of it.
fn named(stretch: &mut AssetRows, asset: &str) -> Option<AssetRows> {
    let stretch = std::mem::take(stretch);
    (!stretch.is_empty()).then(|| AssetRows {
        asset: asset.to_owned(),
        ..stretch
    })
}
