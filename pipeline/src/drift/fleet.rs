//! Which assets rows are of, beside those of training.
//!
//! Where nearly all rows are of the very assets of training, which assets they are is no chance. How many rows each of them
//! has may be: a window that ends amid a burst has more of some than of others. That alone moves the share of a bin, by
//! the more the less alike the assets are. With wᵢ and Wᵢ the shares of the rows that an asset has now and had in
//! training, and ρ the intraclass correlation of a variable, the variance of a bin's share e is about
//!
//! ```text
//!   e (1 − e) (1/n + ρ U)        U = Σ (wᵢ − Wᵢ)²
//! ```
//!
//! as if there were n / (1 + n ρ U) independent rows: the first part is that of n rows of a fixed mixture of assets, the
//! second one that of the mixture, as ρ is the share of the variance between assets. It takes for granted that how
//! many rows an asset has says nothing of its level.

use std::hash::Hasher as _;

use forewarn_models::Reference;
use forewarn_models::reference::Distribution;
use hashbrown::HashMap;

use super::gathered::effective;
use super::measure::Worth;

/// From this share of rows of the reference's own assets on it is the same fleet.
const SAME_FLEET: f64 = 0.9;

/// What an asset is known by here, made of its name.
pub(super) fn hash(name: &str) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The assets that a reference names, with their shares of its rows.
#[derive(Debug)]
pub(super) struct Fleet {
    shares: HashMap<u64, f64>,
}

/// The rows that were counted of one fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixture {
    /// Rows of an asset, of the asset of an average row (Kish's m).
    per_asset: f64,
    /// U, where it is the same fleet.
    uneven: Option<f64>,
}

impl Fleet {
    pub fn of(reference: &Reference) -> Self {
        let shares = reference.shares();
        Fleet {
            shares: shares.map(|(name, share)| (hash(name), share)).collect(),
        }
    }

    /// Of the rows that each asset has.
    pub fn mixture(&self, rows: impl Iterator<Item = (u64, u64)>) -> Mixture {
        let (mut all, mut squares, mut known) = (0.0, 0.0, 0.0);
        // Σ (w − W)² = Σ w² − 2 Σ w W + Σ W², each over all assets of either side.
        let mut product = 0.0;
        for (asset, rows) in rows {
            let rows = rows as f64;
            all += rows;
            squares += rows * rows;
            if let Some(share) = self.shares.get(&asset) {
                known += rows;
                product += rows * share;
            }
        }
        if all == 0.0 {
            return Mixture {
                per_asset: 0.0,
                uneven: None,
            };
        }
        let of_training: f64 = self.shares.values().map(|share| share * share).sum();
        let uneven = squares / (all * all) - 2.0 * product / all + of_training;
        Mixture {
            per_asset: squares / all,
            uneven: (known >= SAME_FLEET * all).then_some(uneven.max(0.0)),
        }
    }
}

impl Mixture {
    pub fn is_same_fleet(&self) -> bool {
        self.uneven.is_some()
    }

    /// What `rows` of a variable are worth beside its reference. `between` is its intraclass correlation in them.
    pub fn worth(&self, reference: &Distribution, rows: u64, between: f64) -> Worth {
        let rows = rows as f64;
        match self.uneven {
            Some(uneven) => Worth {
                reference: (reference.rows + reference.missing) as f64,
                now: rows / (1.0 + rows * reference.between * uneven),
            },
            None => Worth {
                reference: reference.effective,
                now: effective(rows, self.per_asset, between),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::counts::Counts;
    use crate::drift::fit::Fitting;
    use crate::drift::measure::{Distance, Limits};
    use crate::drift::random::Random;

    /// Of pumps with levels of their own, and so many rows each.
    fn reference(rows: &[u64]) -> Reference {
        let mut fitting = Fitting::new(&["a".into()]);
        for (pump, rows) in rows.iter().enumerate() {
            for row in 0..*rows {
                fitting.push(&pump.to_string(), [value(pump, row)], None);
            }
        }
        fitting.finish(serde_json::Value::Null).unwrap()
    }

    /// Levels three times as wide as the noise.
    fn value(pump: usize, row: u64) -> f32 {
        3.0 * (pump * 37 % 40) as f32 + (row * 29 % 40) as f32
    }

    /// By hand: 30 of 40 rows are of the first of two assets, which had half: U = 2 · 0.25², m = (900 + 100) / 40.
    #[test]
    fn a_mixture_is_as_by_hand() {
        let fleet = Fleet::of(&reference(&[20, 20]));
        let (a, b, c) = (hash("0"), hash("1"), hash("other"));
        let found = fleet.mixture([(a, 30), (b, 10)].into_iter());
        assert_eq!(found.per_asset, 25.0);
        assert!((found.uneven.unwrap() - 0.125).abs() < 1e-12, "{found:?}");
        // As many as in training, also where these are not even.
        let uneven = Fleet::of(&reference(&[30, 10]));
        let found = uneven.mixture([(a, 300), (b, 100)].into_iter());
        assert!(found.uneven.unwrap() < 1e-12, "{found:?}");
        // Nine of ten rows are enough for the same fleet, and fewer are not.
        let of = |others| fleet.mixture([(a, 45), (b, 45), (c, others)].into_iter());
        assert!(of(10).is_same_fleet() && !of(11).is_same_fleet());
        assert!(!fleet.mixture([].into_iter()).is_same_fleet());
    }

    /// Bursts: of some pumps there are far more rows than of others, drawn again and again. What is told as chance must be
    /// exceeded in one of a hundred cases at most; with even shares taken for granted it is in nearly all of them.
    #[test]
    fn uneven_rows_of_the_same_pumps_are_within_chance() {
        let pumps = 40;
        let reference = reference(&vec![400; pumps]);
        let fleet = Fleet::of(&reference);
        let of = &reference.features[0];
        let names: Vec<u64> = (0..pumps).map(|pump| hash(&pump.to_string())).collect();
        let limits = Limits {
            moderate: 0.1,
            large: 0.25,
        };
        let mut random = Random::default();
        let cases = 400;
        let (mut beyond, mut beyond_if_even) = (0, 0);
        for _ in 0..cases {
            let rows: Vec<u64> = (0..pumps).map(|_| 20 + 100 * random.below(2)).collect();
            let mut counts = Counts::of(of);
            for (pump, rows) in rows.iter().enumerate() {
                for _ in 0..*rows {
                    counts.push(of, value(pump, random.below(40)));
                }
            }
            let mixture = fleet.mixture(names.iter().copied().zip(rows.iter().copied()));
            let distance = |mixture: Mixture| {
                Distance::of(of, &counts, mixture.worth(of, counts.rows(), 0.0), limits)
            };
            let found = distance(mixture);
            beyond += usize::from(found.psi > found.chance);
            let even = distance(Mixture {
                uneven: Some(0.0),
                ..mixture
            });
            beyond_if_even += usize::from(even.psi > even.chance);
        }
        assert!(beyond <= cases / 100, "{beyond} of {cases}");
        assert!(beyond_if_even > cases / 2, "{beyond_if_even} of {cases}");
    }
}
