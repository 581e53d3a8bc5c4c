//! Which assets train, and which are held back.
//!
//! ```text
//!   all assets ─┬─ held back: judge and calibrate, no training sees them
//!               └─ the others are learnt from; in folds, where a member of an ensemble is watched on one of them
//! ```
//!
//! An asset's place follows from its name and the seed alone, so it is the same tonight and in a year: a model is never
//! judged on an asset that an earlier one of the same recipe has learnt from. A new asset moves no other one.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A split by asset.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Split {
    /// Share of the assets that no training sees: intervals are calibrated and models judged with them.
    pub hold_out: f64,
    pub seed: u64,
}

impl Default for Split {
    fn default() -> Self {
        Split {
            hold_out: 0.2,
            seed: 7,
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

    /// With the assets that are learnt from in so many folds, at least 1.
    pub fn part(&self, asset: &str, folds: usize) -> Part {
        let hash = Sha256::new()
            .chain_update(self.seed.to_le_bytes())
            .chain_update(asset)
            .finalize();
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
        };
        let share = number(&hash[..6]) as f64 / (1_u64 << 48) as f64;
        if share < self.hold_out {
            return Part::HeldOut;
        }
        Part::Fold((number(&hash[6..12]) % folds.max(1) as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(seed: u64) -> Split {
        Split {
            hold_out: 0.2,
            seed,
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
