//! Which assets train, and which are held back.
//!
//! ```text
//!   all assets ─┬─ held back: judge and calibrate, no training sees them
//!               └─ folds 0..K: member k of an ensemble learns from all folds but k, and is watched on fold k
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
    /// Members of an ensemble, at least 2; each learns from all folds but its own, which says when it stops.
    pub folds: usize,
    pub seed: u64,
}

impl Default for Split {
    fn default() -> Self {
        Split {
            hold_out: 0.2,
            folds: 5,
            seed: 7,
        }
    }
}

/// Where an asset belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    HeldOut,
    Fold(usize),
}

impl Split {
    pub fn part(&self, asset: &str) -> Part {
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
        Part::Fold((number(&hash[6..12]) % self.folds as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(seed: u64) -> Split {
        Split {
            hold_out: 0.2,
            folds: 4,
            seed,
        }
    }

    #[test]
    fn shares_are_about_as_wanted() {
        let parts: Vec<Part> = (0..10_000)
            .map(|n| split(7).part(&format!("engine-{n}")))
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
        let parts = ["pump-1", "pump-2", "pump-3"].map(|asset| split(7).part(asset));
        assert_eq!(
            parts,
            ["pump-1", "pump-2", "pump-3"].map(|asset| split(7).part(asset))
        );
        let moved = (0..1_000)
            .filter(|n| {
                let asset = format!("pump-{n}");
                split(7).part(&asset) != split(8).part(&asset)
            })
            .count();
        assert!(moved > 500, "another seed is another split: {moved}");
    }
}
