//! Which assets train, and which are held back.
//!
//! ```text
//!   all assets ─┬─ held back: judge and calibrate, no training sees them
//!               └─ the others are learnt from; in folds, where a member of an ensemble is watched on one of them
//! ```
//!
//! Or in folds (M. Stone, *Cross-Validatory Choice and Assessment of Statistical Predictions*, 1974): nothing is held back, and
//! each asset is judged by a model that has not seen it. Or by time, for models of anomalies: each asset is learnt from in its first rows, and judged in its later ones.
//!
//! An asset's place follows from its name and the seed alone, so it is the same tonight and in a year: a model is never
//! judged on an asset that an earlier one of the same recipe has learnt from. A new asset moves no other one.

use forewarn_pipeline::prediction::EventTimestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A split by asset.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Split {
    /// Share of the assets that no training sees: intervals and thresholds are calibrated and models judged with them.
    pub hold_out: f64,
    pub seed: u64,
    /// With 2 or more, no asset is held back: all are learnt from, in the end, and each is judged, and gives its part of the
    /// interval or threshold, by a model that has learnt from the other folds only. It takes as many trainings more. Default: 0.
    pub folds: usize,
    /// Splits the rows of each asset by their time instead: a model of anomalies that is made for the very machine, or for
    /// one fleet. Default: by asset.
    pub time: Option<TimeSplit>,
}

/// `split.time`: what is learnt from, then what the threshold is taken from; what comes later is judged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TimeSplit {
    pub learn: Extent,
    pub calibrate: Extent,
}

/// How far a part of an asset's rows goes.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "WrittenExtent")]
pub enum Extent {
    /// So many rows.
    Rows(usize),
    /// A share of all rows of the asset.
    Share(f64),
    /// Rows before this instant, in microseconds since 1970.
    Until(i64),
}

/// `400`, `0.7` or `2026-03-01T00:00:00Z`.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenExtent {
    Rows(usize),
    Share(f64),
    Until(String),
}

impl TryFrom<WrittenExtent> for Extent {
    type Error = String;

    fn try_from(written: WrittenExtent) -> Result<Self, String> {
        match written {
            WrittenExtent::Rows(rows) => Ok(Extent::Rows(rows)),
            WrittenExtent::Share(share) if (0.0..=1.0).contains(&share) => Ok(Extent::Share(share)),
            WrittenExtent::Share(share) => {
                Err(format!("{share} is no share of rows, within 0 and 1"))
            }
            WrittenExtent::Until(text) => match EventTimestamp::parse(&text) {
                Ok(time) => Ok(Extent::Until(time.0)),
                Err(error) => Err(format!("{text}: {error}; write rows, a share, or a time")),
            },
        }
    }
}

impl Extent {
    /// How many of the rows at `times`, which rise, from `first` on.
    fn rows(self, times: &[i64], first: usize) -> usize {
        let rows = match self {
            Extent::Rows(rows) => rows,
            Extent::Share(share) => (share * times.len() as f64).round() as usize,
            Extent::Until(until) => times
                .partition_point(|time| *time < until)
                .saturating_sub(first),
        };
        rows.min(times.len() - first)
    }
}

impl TimeSplit {
    /// Of the rows of an asset, where what is calibrated with begins, and what is judged.
    pub fn bounds(&self, times: &[i64]) -> (usize, usize) {
        let learnt = self.learn.rows(times, 0);
        (learnt, learnt + self.calibrate.rows(times, learnt))
    }
}

impl Default for Split {
    fn default() -> Self {
        Split {
            hold_out: 0.2,
            seed: 7,
            folds: 0,
            time: None,
        }
    }
}

/// Where an asset belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    HeldOut,
    /// It is learnt from; in a fold below the number that was asked for.
    Fold(usize),
}

impl Split {
    pub fn holds_out(&self, asset: &str) -> bool {
        self.part(asset, 1) == Part::HeldOut
    }

    /// Are assets judged by models that have not learnt from them, fold by fold?
    pub fn is_crossed(&self) -> bool {
        self.folds > 1
    }

    /// With the assets that are learnt from in so many folds, at least 1.
    pub fn part(&self, asset: &str, folds: usize) -> Part {
        let share = number(&self.hash(asset)[..6]) as f64 / (1_u64 << 48) as f64;
        match share < self.hold_out && !self.is_crossed() {
            true => Part::HeldOut,
            false => Part::Fold(self.fold(asset, folds)),
        }
    }

    /// In which of so many folds an asset is, held back or not.
    pub fn fold(&self, asset: &str, folds: usize) -> usize {
        (number(&self.hash(asset)[6..12]) % folds.max(1) as u64) as usize
    }

    fn hash(&self, asset: &str) -> [u8; 32] {
        let hash = Sha256::new()
            .chain_update(self.seed.to_le_bytes())
            .chain_update(asset);
        hash.finalize().into()
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(seed: u64) -> Split {
        Split {
            seed,
            ..Split::default()
        }
    }

    #[test]
    fn shares_are_about_as_wanted() {
        let parts: Vec<Part> = (0..10_000)
            .map(|n| split(7).part(&format!("engine-{n}"), 4))
            .collect();
        let count = |wanted: Part| parts.iter().filter(|part| **part == wanted).count();
        assert!((1_850..2_150).contains(&count(Part::HeldOut)));
        for fold in 0..4 {
            assert!(
                (1_850..2_150).contains(&count(Part::Fold(fold))),
                "fold {fold}"
            );
        }
    }

    #[test]
    fn in_folds_nothing_is_held_back() {
        let crossed = Split {
            folds: 4,
            ..split(7)
        };
        for n in 0..200 {
            let asset = format!("pump-{n}");
            assert!(!crossed.holds_out(&asset));
            let fold = crossed.fold(&asset, 4);
            assert_eq!(crossed.part(&asset, 4), Part::Fold(fold));
        }
    }

    #[test]
    fn rows_are_split_by_number_share_or_time() {
        let bounds = |text: &str| {
            let split: TimeSplit = toml::from_str(text).unwrap();
            split.bounds(&[0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
        };
        assert_eq!(bounds("learn = 4\ncalibrate = 3"), (4, 7));
        assert_eq!(bounds("learn = 0.5\ncalibrate = 0.2"), (5, 7));
        let times =
            "learn = \"1970-01-01T00:00:00.00003Z\"\ncalibrate = \"1970-01-01T00:00:00.00006Z\"";
        assert_eq!(bounds(times), (3, 6));
        assert_eq!(
            bounds("learn = 8\ncalibrate = 8"),
            (8, 10),
            "there are no more"
        );
        for wrong in ["1.5", "\"noon\"", "-3"] {
            let text = format!("learn = {wrong}\ncalibrate = 1");
            assert!(toml::from_str::<TimeSplit>(&text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_depends_on_name_and_seed_only() {
        // Written down: a change of these would let models be judged on what they have learnt from.
        let parts = ["pump-1", "pump-2", "pump-3"].map(|asset| split(7).part(asset, 4));
        assert_eq!(
            parts,
            ["pump-1", "pump-2", "pump-3"].map(|asset| split(7).part(asset, 4))
        );
        let moved = (0..1_000)
            .filter(|n| {
                let asset = format!("pump-{n}");
                split(7).part(&asset, 4) != split(8).part(&asset, 4)
            })
            .count();
        assert!(moved > 500, "another seed is another split: {moved}");
    }
}
